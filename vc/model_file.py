"""The one file that a finished model is: weights of every direction, and one JSON text with all else."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vc import names
from vc.config import build, plain, require
from vc.encoders.encoder_file import EncoderModel
from vc.errors import ConfigError
from vc.features.kinds import FeatureConfig, build_features
from vc.features.world import WORLD_UNVOICED_F0
from vc.normalise import Speaker, speakers_from_json, speakers_to_json
from vc.store import read_tensors, write_tensors

if TYPE_CHECKING:
    import torch

    from vc.encoders.base import Encoder

FORMAT = 1
NAME = "model.safetensors"
CARRIED = {"six_voices": Path(__file__).with_name("models") / "six_voices.safetensors"}  # by name
ENCODER = "encoder."  # before the names of a content encoder's weights
KINDS = {str: "text", dict: "mapping", int: "number"}
LICENCE = "The weights come from the recordings of the speakers named here; ask them before you use their voices."


@dataclass(frozen=True)
class Model:
    """What a model file holds beside its weights."""

    method: str
    features: FeatureConfig
    network: dict[str, Any]  # the method's own settings
    speakers: dict[str, Speaker]  # source first
    step: int  # of training
    data_digest: str
    configuration: dict[str, Any] = field(default_factory=dict)  # of the whole experiment
    metrics: dict[str, float] = field(default_factory=dict)
    licence: str = LICENCE
    encoder: dict[str, Any] | None = None  # of content: what it is; its weights are beside the network's
    format: int = FORMAT

    def direction(self, to: str | None = None, source: str | None = None) -> tuple[str, str]:
        """Source and target among the speakers, given by id or by what people call them.

        For a pair the target is its second speaker, and the source is the other one.
        """
        to, source = self.resolved(to), self.resolved(source)
        speakers = tuple(self.speakers)
        if len(speakers) > 2 and None in (to, source):
            missing = " and ".join(
                name for name, given in (("source (--from)", source), ("target (--to)", to)) if given is None
            )
            raise ConfigError(f"the model has several speakers: name the {missing}; there are: {self.known_speakers}")
        to = to or (speakers[1] if source in (None, speakers[0]) else speakers[0])
        for name in (to, source or to):
            if name not in speakers:
                raise ConfigError(f"the model has no speaker {name!r}; there are: {self.known_speakers}")
        source = source or next(name for name in speakers if name != to)
        if source == to:
            raise ConfigError(f"source and target are both {to!r}")
        return source, to

    def resolved(self, name: str | None) -> str | None:
        """A speaker's id, from it or from what people call them."""
        return name and names.resolve(name, {id: speaker.name for id, speaker in self.speakers.items()})

    @property
    def known_speakers(self) -> str:
        """The speakers, for an error."""
        return ", ".join(names.shown(id, speaker.name) for id, speaker in self.speakers.items())


def write(path: Path, model: Model, weights: Mapping[str, "torch.Tensor"], encoder: "Encoder | None" = None) -> None:
    """Write a model file, whole or not at all; with the `encoder` where there is one: nothing else is needed."""
    if encoder is not None:
        content = model.features.content
        content = replace(content, encoder=Path(content.encoder).stem)  # whoever gets the file need not see whose path
        model = replace(model, encoder=encoder.description, features=replace(model.features, content=content))
        weights = {**weights, **{f"{ENCODER}{name}": tensor for name, tensor in encoder.weights.items()}}
    content = {**asdict(model), "features": plain(model.features), "speakers": speakers_to_json(model.speakers)}
    content["sample_rate"] = model.features.sample_rate
    write_tensors(path, weights, content)


def read(path: Path, framework: str = "pt") -> tuple[Model, dict[str, "torch.Tensor"]]:
    """Read a model file, the one of an experiment directory, or a carried one; refuses any other by name.

    With the framework `numpy` the weights are arrays, and torch is not imported.
    """
    if str(path) in CARRIED and not os.path.isfile(path) and not os.path.isfile(path / NAME):
        path = CARRIED[str(path)]  # a folder of that name may hold anything else
    if os.path.isdir(path):
        path = path / NAME
    if not os.path.isfile(path):
        raise ConfigError(f"{path}: no such model file")
    weights, content = read_tensors(path, framework)
    if "mel" in content:
        raise ConfigError(f"{path}: a vocoder, which is for --vocoder")
    if content.get("format") != FORMAT or isinstance(content["format"], bool):
        raise ConfigError(f"{path}: format {content.get('format')!r}; this version reads format {FORMAT}")
    content.pop("sample_rate", None)
    try:
        content["features"] = build_features(_completed(content.get("features")))
        content["speakers"] = speakers_from_json(content.get("speakers"))
        _refuse_other_types(content)
        return Model(**content), weights
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def encoder_of(
    model: Model, weights: Mapping[str, "torch.Tensor"], device: "torch.device | str" = "cpu"
) -> tuple["Encoder | None", dict[str, "torch.Tensor"]]:
    """The content encoder that `read` found in a model's file, if there is one, and the weights of the rest."""
    if model.encoder is None:
        return None, dict(weights)  # a network may have an encoder of its own
    from vc.encoders import networks

    own = {name: tensor for name, tensor in weights.items() if not name.startswith(ENCODER)}
    theirs = {name.removeprefix(ENCODER): weights[name] for name in weights.keys() - own.keys()}
    return networks.restored(build(EncoderModel, model.encoder, "encoder"), theirs, device), own


def _completed(features: Any) -> Any:
    """Files written before `unvoiced_f0` was a setting have WORLD's, not today's default."""
    if isinstance(features, dict) and features.get("kind", "world") == "world":
        return {"unvoiced_f0": WORLD_UNVOICED_F0, **features}
    return features


def _refuse_other_types(content: dict[str, Any]) -> None:
    """What `build` has not looked at yet."""
    kinds = {str: ("method", "data_digest", "licence"), dict: ("network", "configuration", "metrics"), int: ("step",)}
    for kind, keys in kinds.items():
        for name in keys:
            require(type(content.get(name, kind())) is kind, f"{name} must be a {KINDS[kind]}")
    require(isinstance(content.get("encoder"), dict | None), "encoder must be a mapping")
    require(content.get("step", -1) >= 0, "step must be 0 or more")
