"""Read and write model files: the network's weights, and everything else as JSON.

`read_description` returns the description, `read` also the tensors, `read_network` the network.
"""

import copy
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vc.config import build, plain, require, require_type
from vc.corpus import names
from vc.errors import ConfigError, shorten
from vc.features.base import FeatureConfig
from vc.features.kinds import build_features
from vc.features.speakers import Speaker, speakers_from_json, speakers_to_json
from vc.features.world import WORLD_UNVOICED_F0
from vc.tensor_file import read_content, read_tensors, tensor_file, write_tensors

if TYPE_CHECKING:
    import torch

    from vc.encoders.base import Encoder
    from vc.models.base import AbstractConverter, AbstractDecoder

FORMAT = 1
NAME = "model.safetensors"
BUNDLED_MODELS = {"six_voices": Path(__file__).with_name("models") / "six_voices.safetensors"}  # by name
ENCODER = "encoder."  # prefix of the names of a content encoder's weights
KINDS = {str: "text", dict: "mapping", int: "number"}
TYPES = {  # of the values that `build` does not check
    str: ("method", "data_digest", "licence"),
    dict: ("network", "configuration", "metrics"),
    int: ("step",),
}
LICENCE = "The weights come from the recordings of the speakers named here; ask them before you use their voices."


@dataclass(frozen=True)
class Model:
    """Everything in a model file except the weights."""

    method: str
    features: FeatureConfig
    network: dict[str, Any]  # the method's settings of the network
    speakers: dict[str, Speaker]  # source first
    step: int  # of training
    data_digest: str
    configuration: dict[str, Any] = field(default_factory=dict)  # of the whole experiment
    metrics: dict[str, float] = field(default_factory=dict)
    licence: str = LICENCE
    encoder: dict[str, Any] | None = None  # description of the content encoder whose weights are in the file
    format: int = FORMAT

    def direction(self, to: str | None = None, source: str | None = None) -> tuple[str, str]:
        """Resolve the source and target of a conversion.

        Parameters
        ----------
        to, source : str, optional
            Target and source, by id or name. Default for a pair: the second speaker is the target, the other the
            source.

        Returns
        -------
        str, str
            Ids of source and target.

        Raises
        ------
        ConfigError
            A speaker is unknown, or missing although there are more than two, or both are the same.
        """
        require_type(str | None, to=to, source=source)
        to, source = self.speaker_id(to), self.speaker_id(source)
        speakers = tuple(self.speakers)
        if len(speakers) > 2 and None in (to, source):
            options = {"source (--from)": source, "target (--to)": to}
            missing = " and ".join(name for name, speaker in options.items() if speaker is None)
            raise ConfigError(f"the model has several speakers: name the {missing}; {self.there_are()}")
        to = to or (speakers[1] if source in (None, speakers[0]) else speakers[0])
        for name in (to, source or to):
            self.require_speaker(name)
        source = source or next(name for name in speakers if name != to)
        if source == to:
            raise ConfigError(f"source and target are both {to!r}")
        return source, to

    @property
    def speaker_names(self) -> dict[str, str]:
        """Speakers' names by id; empty if the same as the id."""
        return {id: speaker.name for id, speaker in self.speakers.items()}

    def speaker_id(self, name: str | None) -> str | None:
        """The id of a speaker given by id or name."""
        return name and names.resolve(name, self.speaker_names)

    def there_are(self, *unknown: str) -> str:
        """The speakers, as in `vc.corpus.names.there_are`."""
        return names.there_are(self.speaker_names, *unknown)

    def require_speaker(self, id: str) -> None:
        """Raise ConfigError unless the model has a speaker."""
        if id not in self.speakers:
            raise ConfigError(f"the model has no speaker {id!r}; {self.there_are(id)}")


def write(path: Path, model: Model, weights: Mapping[str, "torch.Tensor"], encoder: "Encoder | None" = None) -> None:
    """Write a model file, atomically.

    Parameters
    ----------
    path : Path
        The file, in an existing folder.
    model : Model
        Everything except the weights.
    weights : mapping of str to torch.Tensor
        The network's state.
    encoder : Encoder, optional
        The content encoder of a decoder, to make the file self-contained.
    """
    if encoder is not None:
        content = model.features.content
        content = replace(content, encoder=_name_of(Path(content.encoder)))
        model = replace(model, encoder=encoder.description, features=replace(model.features, content=content))
        weights = {**weights, **{f"{ENCODER}{name}": tensor for name, tensor in encoder.weights.items()}}
    model = replace(model, configuration=_without_paths(model.configuration))
    content = {**asdict(model), "features": plain(model.features), "speakers": speakers_to_json(model.speakers)}
    content["sample_rate"] = model.features.sample_rate
    write_tensors(path, weights, content)


def _without_paths(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with names in place of paths of this machine, which a model file must not publish."""
    public = copy.deepcopy(dict(configuration))
    objective, content = public.get("objective"), public.get("features", {}).get("content")
    for section, key in ((objective, "start"), (objective, "encoder"), (content, "encoder")):
        if section and section.get(key):
            section[key] = _name_of(Path(section[key]))
    return public


def _name_of(path: Path) -> str:
    """The name of a model or encoder without its place."""
    return path.parent.name if path.name == NAME else path.name.removesuffix(".safetensors")


def read(path: Path, framework: str = "pt") -> tuple[Model, dict[str, "torch.Tensor"]]:
    """Read a model file without building its network.

    Parameters
    ----------
    path : Path
        A model file, an experiment directory, or the name of a model that comes with the package.
    framework : str
        `pt` for tensors; `numpy` for arrays, without importing torch.

    Returns
    -------
    model : Model
        Everything except the weights.
    weights : dict of str to torch.Tensor
        The tensors as stored; names of a content encoder's begin with `encoder.`.

    Raises
    ------
    ConfigError
        There is no such file, or it is not a model of this version; the message begins with the path.
    """
    path = _find_file(path)
    weights, content = read_tensors(path, framework)
    return _model(path, content, weights), weights


def read_description(path: Path) -> Model:
    """Read a model file except the weights, which are not checked; parameters and errors as for `read`."""
    path = _find_file(path)
    with tensor_file(path, "numpy") as file:
        return _model(path, read_content(file, path)[0], file.keys())


def _find_file(path: Path) -> Path:
    if str(path) in BUNDLED_MODELS and not os.path.isfile(path) and not os.path.isfile(path / NAME):
        path = BUNDLED_MODELS[str(path)]  # even if there is an unrelated folder of that name
    if os.path.isdir(path):
        path = path / NAME
    if not os.path.isfile(path):
        raise ConfigError(f"{path}: no such model file; the package has {', '.join(BUNDLED_MODELS)}")
    return path


def _model(path: Path, content: dict[str, Any], tensors: Collection[str]) -> Model:
    """The description in a file's content, given the names of its tensors."""
    if "mel" in content:
        raise ConfigError(f"{path}: is a vocoder; give it to --vocoder")
    if "state" in content:
        raise ConfigError(f"{path}: is a checkpoint of training; the model is {NAME} in the folder above its own")
    if content.get("format") != FORMAT or isinstance(content["format"], bool):
        raise ConfigError(f"{path}: format {content.get('format')!r}; this version reads format {FORMAT}")
    content.pop("sample_rate", None)
    features = content.get("features")
    if isinstance(features, dict) and features.get("kind", "world") == "world":
        # In files written before `unvoiced_f0` was a setting, it was WORLD's, not today's default.
        features = {"unvoiced_f0": WORLD_UNVOICED_F0, **features}
    network = content.get("network")
    newer = (isinstance(network, dict) and "fake_class" in network) or "confidence.weight" in tensors
    if content.get("method") == "dr_gan" and not newer:
        content["method"] = "reversed_gradient"  # what was called so before DR-GAN's own game was there
    try:
        content["features"] = build_features(features)
        content["speakers"] = speakers_from_json(content.get("speakers"))
        for kind, keys in TYPES.items():
            for key in keys:
                require(type(content.get(key, kind())) is kind, f"{key} must be a {KINDS[kind]}")
        require(isinstance(content.get("encoder"), dict | None), "encoder must be a mapping")
        require(content.get("step", -1) >= 0, "step must be 0 or more")
        return Model(**content)
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def read_network(
    path: Path, device: "torch.device | str" = "cpu"
) -> tuple[Model, "AbstractConverter | AbstractDecoder", "Encoder | None"]:
    """Read a model file and build its network, in memory in proportion to the file, whatever sizes it claims.

    Parameters
    ----------
    path : Path
        As for `read`.
    device : torch.device or str
        Device of the content encoder; the network is on the CPU.

    Returns
    -------
    model : Model
        Everything except the weights.
    network : AbstractConverter or AbstractDecoder
        The network with its weights.
    encoder : Encoder or None
        The content encoder of a decoder: the file's, or one that comes with the package.

    Raises
    ------
    ConfigError
        As for `read`, or the weights do not fit the settings or the speakers.
    """
    import torch

    from vc.encoders import choice, encoder_file
    from vc.encoders.features import complete
    from vc.models import MODELS, build_network, network_config
    from vc.models.base import AbstractDecoder

    model, weights = read(path)
    try:
        encoder = None
        if model.encoder is not None:  # without one, the network's own tensors may have this prefix
            encoder_weights = {
                name.removeprefix(ENCODER): weights.pop(name) for name in list(weights) if name.startswith(ENCODER)
            }
            description = build(encoder_file.EncoderModel, model.encoder, "encoder")
            encoder = encoder_file.load_encoder(description, encoder_weights, device)
        with torch.device("meta"):
            config = network_config(model.method, model.network)
            parts = MODELS[model.method][1].fewest_parts(len(model.speakers))
            if parts > len(weights):  # refused before a network for so many speakers is built
                raise RuntimeError(f"{len(weights)} tensors for {parts} parts of {len(model.speakers)} speakers")
            restored = build_network(model.method, config, model.features, tuple(model.speakers))
        decodes = isinstance(restored, AbstractDecoder)
        fewest = 1 if decodes else 2
        require(len(model.speakers) >= fewest, f"a model has {fewest} speakers or more, this one {len(model.speakers)}")
        bands, content = model.features.bands, getattr(model.features, "content", None)
        for name, speaker in model.speakers.items():
            if len(speaker.mel_cepstrum_mean) != bands:
                raise ConfigError(f"speaker {name} has {len(speaker.mel_cepstrum_mean)} bands, the model {bands}")
            if content and len(speaker.content.mean if speaker.content else ()) != content.dims:
                raise ConfigError(f"speaker {name} has no statistics of {content.dims} dims of content")
        if decodes:
            stored = "another content encoder than" if encoder else "no content encoder, and the bundled one is not"
            if encoder is None:
                name = model.features.content.encoder
                bundled = name in choice.BUNDLED_ENCODERS
                encoder = choice.choose(name if bundled else choice.QUANTISED, device=device)
            same = complete(model.features, encoder) == model.features
            require(same, f"holds {stored} the one that its features are of")
        for name, expected in restored.state_dict().items():
            tensor = weights.get(name, expected)
            if (tensor.dtype, expected.dtype) == (torch.float16, torch.float32):
                weights[name] = tensor = tensor.float()
            if tensor.dtype != expected.dtype:
                raise ConfigError(f"tensor {name!r} is of type {tensor.dtype}, not {expected.dtype}")
        restored.load_state_dict(weights, assign=True)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (RuntimeError, OverflowError) as error:
        raise ConfigError(f"{path}: weights do not fit {model.method}: {shorten(error)}") from error
    return model, restored, encoder
