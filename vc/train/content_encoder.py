"""Frozen content encoders for losses that preserve the source's content in a conversion.

For recognition-synthesis it is the content encoder of its features. For other methods it is a content encoder of
`vc-encoder` that takes log-mel, which is also computed from mel-cepstra; a model of this toolkit with a
speaker-independent code; or a folder of Hugging Face's transformers whose network takes features as they are extracted,
and was trained on such. All are weights for a network that this package or transformers defines: no code in the files
is run.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vc import extras
from vc.config import require
from vc.encoders import choice, encoder_file, published
from vc.encoders.distilled import DistilledEncoder
from vc.encoders.features import encoder_of
from vc.errors import ConfigError, naming, shorten
from vc.features import mel
from vc.features.base import FeatureConfig
from vc.features.mel import MelConfig
from vc.features.speakers import Speaker
from vc.features.world import WorldConfig
from vc.model_file import Model, read_network
from vc.models.base import MultiSpeakerConverter
from vc.tensor_file import tensors_digest

TRIAL_FRAMES = 64  # of a trial of a new encoder
TRANSFORMER = "speech_to_text"  # the architecture of transformers that takes features (batch, frames, bands)
EXTERNAL_SETTINGS = ("auto_map", "quantization_config", "attn_implementation", "use_kernels")  # load other code
MAX_CONSTANTS = 1 << 26  # values of a network that are not weights, such as its position embeddings


class ContentEncoder(ABC, nn.Module):
    """A speaker's normalised `(batch, bands, frames)` to embeddings `(batch, channels, frames)`; never trained.

    Parameters
    ----------
    network : nn.Module
        The encoder, which is frozen.
    digest : str
        Digest of its weights.
    """

    def __init__(self, network: nn.Module, digest: str):
        super().__init__()
        self.network, self.digest = network.float().eval().requires_grad_(False), digest

    @abstractmethod
    def forward(self, frames: Tensor, speaker: str) -> Tensor: ...


class CodeEncoder(ContentEncoder):
    """The encoder and bottleneck of a model of this toolkit, a MultiSpeakerConverter."""

    def forward(self, frames: Tensor, speaker: str) -> Tensor:
        return self.network.apply_bottleneck(self.network.code(frames, speaker))[0]


class NaturalScaleEncoder(ContentEncoder):
    """A function of features as they are extracted, not normalised."""

    def __init__(self, network: nn.Module, digest: str, speakers: Mapping[str, Speaker]):
        super().__init__(network, digest)
        self.speaker_indices = {name: index for index, name in enumerate(speakers)}
        for side in ("mean", "deviation"):
            values = [getattr(speaker.normaliser, f"{side}_") for speaker in speakers.values()]
            self.register_buffer(side, torch.as_tensor(np.stack(values), dtype=torch.float32)[..., None])

    def forward(self, frames: Tensor, speaker: str) -> Tensor:
        return self.encode(frames, torch.full((len(frames),), self.speaker_indices[speaker], device=frames.device))

    def encode(self, frames: Tensor, speakers: Tensor) -> Tensor:
        """Encode `(batch, bands, frames)` of the speakers with indices `(batch,)`."""
        return self.network(frames * self.deviation[speakers] + self.mean[speakers])


class FromMelCepstra(nn.Module):
    """A function of log-mel as one of natural mel-cepstra `(batch, order + 1, frames)`, c0 included.

    Its log-mel is that of the envelopes at the centres of the hops, between the log spectra of the nearest two frames;
    one frame for each hop that they cover, at least one. It is not computed in bfloat16.
    """

    def __init__(self, network: nn.Module, features: WorldConfig, config: MelConfig):
        super().__init__()
        self.network, self.ratio = network, config.frame_shift / features.frame_shift
        for name, matrix in zip(("magnitudes", "filters"), mel.log_mel_matrices(features, config)):
            self.register_buffer(name, torch.from_numpy(matrix).float())

    def forward(self, cepstra: Tensor) -> Tensor:
        with torch.autocast(cepstra.device.type, enabled=False):
            last = cepstra.shape[-1] - 1
            hops = torch.arange(max(1, int(cepstra.shape[-1] / self.ratio)), device=cepstra.device)
            positions = ((hops + 0.5) * self.ratio).clamp(max=last)
            before = positions.long()
            after = (before + 1).clamp(max=last)
            cepstra = torch.lerp(cepstra[..., before].float(), cepstra[..., after].float(), positions - before)
            log_mel = (self.filters @ (self.magnitudes @ cepstra).exp()).clamp(min=mel.FLOOR).log()
        return self.network(log_mel)


class FramesFirst(nn.Module):
    """A network of transformers, which takes and returns `(batch, frames, channels)`, with frames last."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        return self.network(frames.transpose(1, 2)).last_hidden_state.transpose(1, 2)


def read(path: str, speakers: Mapping[str, Speaker], features: FeatureConfig) -> ContentEncoder:
    """Read a content encoder for a loss.

    Parameters
    ----------
    path : str
        Name of a content encoder, or path of an encoder, a model or a folder; empty: `distilled`.
    speakers : mapping of str to Speaker
        Speakers with their statistics.
    features : FeatureConfig
        Settings of the encoder's input.

    Raises
    ------
    ConfigError
        If `path` is not an encoder, or does not fit these features.
    """
    path = path or choice.DISTILLED
    bundled = path == choice.DISTILLED  # even if there is a file or folder of that name
    if not bundled and Path(path, "config.json").is_file():
        network = _read_transformer(Path(path))
        encoder = NaturalScaleEncoder(FramesFirst(network), tensors_digest(network.state_dict()), speakers)
    elif bundled or (not Path(path).is_dir() and encoder_file.is_one(choice.find(path))):
        source = choice.choose(path)
        takes_log_mel = isinstance(source, DistilledEncoder)
        advice = "objective.content needs an encoder that takes log-mel, such as distilled"
        require(takes_log_mel, f"{path}: takes samples; {advice}")
        network = copy.deepcopy(source.network)  # others use the original
        if features.cepstral:
            network = FromMelCepstra(network, features, source.mel)
        else:
            takes_log_mel = features.mel is not None
            require(takes_log_mel, f"objective.encoder: {path} does not take features of kind {features.kind}")
            needed, extracted = asdict(source.mel), asdict(features.mel)
            different = ", ".join(f"features.{key} {value}" for key, value in needed.items() if extracted[key] != value)
            advice = f"it needs {different}; or name another objective.encoder"
            require(not different, f"objective.encoder: {path} takes other features than these: {advice}")
        encoder = NaturalScaleEncoder(network, source.digest, speakers)
    else:
        model, network = read_multi_speaker_model(Path(path))
        require(model.features == features, f"{path}: trained on features of other settings")
        for name, speaker in speakers.items():
            matches = model.speakers.get(name) == speaker
            require(matches, f"{path}: was not trained on the same features of {name}")
        encoder = CodeEncoder(network, tensors_digest(network.state_dict()))
    bands = features.bands
    try:  # an encoder that a training step could not use is refused now
        embeddings = encoder(torch.zeros(2, bands, TRIAL_FRAMES), next(iter(speakers)))
    except Exception as error:  # with arbitrary settings a network may fail in any way
        reason = shorten(error)
        raise ConfigError(f"{path}: not an encoder of (batch, bands, frames) of {bands} bands: {reason}") from error
    require(bool(embeddings.isfinite().all()), f"{path}: gives embeddings that are not finite")
    return encoder


def differentiable_encoder(speakers: Mapping[str, Speaker], features: FeatureConfig) -> NaturalScaleEncoder:
    """Copy the content encoder of features with content, for gradients to reach their log-mel.

    Parameters
    ----------
    speakers : mapping of str to Speaker
        Speakers with their statistics.
    features : FeatureConfig
        Settings of the features.

    Raises
    ------
    ConfigError
        If the encoder does not take the log-mel of these features.
    """
    name, source = features.content.encoder, encoder_of(features)
    losses = "objective.content_consistency and cycle"
    require(features.mel is not None, f"{losses}: no encoder takes the log-mel of features of kind {features.kind}")
    takes_log_mel = isinstance(source, DistilledEncoder) and source.mel == features.mel
    message = f"{losses}: through the content encoder {name!r} no gradient reaches the log-mel of these features"
    require(takes_log_mel, f"{message}; extract with features.content.encoder=distilled")
    network = copy.deepcopy(source.network)  # the original stays on the CPU, for other users
    return NaturalScaleEncoder(network, source.digest, speakers)


def read_multi_speaker_model(path: Path) -> tuple[Model, MultiSpeakerConverter]:
    """Read a multi-speaker model, whose network has a code; ConfigError for any other."""
    model, network, _ = read_network(path)
    require(isinstance(network, MultiSpeakerConverter), f"{path}: method {model.method} has no code")
    return model, network


def _read_transformer(folder: Path) -> nn.Module:
    """Read the encoder of a folder saved by transformers: all of its weights, and nothing from outside the folder."""
    extras.require(f"{folder}", "encoders", "transformers")
    from transformers.models.speech_to_text import modeling_speech_to_text as modeling

    place = folder / "config.json"
    settings = {name: value for name, value in published.read_mapping(place).items() if not name.startswith("_")}
    kind = settings.get("model_type")
    require(kind == TRANSFORMER, f"{place}: model_type {kind!r}; {TRANSFORMER} is known")
    outside = [name for name in EXTERNAL_SETTINGS if name in settings]
    require(not outside, f"{place}: {', '.join(outside)}: nothing outside the folder is loaded")
    try:
        weights = published.folder_tensors(folder, ("model.encoder.", "encoder."))
    except ConfigError as error:
        raise ConfigError(naming(folder, error)) from error
    layers = settings.get("encoder_layers", 0)
    possible = isinstance(layers, int) and layers <= len(weights) and settings.get("num_conv_layers", 0) in range(9)
    require(possible, f"{place}: encoder_layers {layers!r}, but there are {len(weights)} tensors")
    try:
        config = modeling.Speech2TextConfig(**settings, attn_implementation="eager")
        with torch.device("meta"):  # takes no memory, whatever the sizes in the settings
            weightless = modeling.Speech2TextEncoder(config)
        _check_weights(weightless, weights)
        network = modeling.Speech2TextEncoder(config)
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from error
    except Exception as error:  # meaningless settings may have any effect
        raise ConfigError(f"{place}: cannot build a network from it: {shorten(error)}") from error
    network.load_state_dict(weights)
    return network


def _check_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Raise ConfigError if names or shapes of the weights differ from the network's, or its constants are too large."""
    expected = network.state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        require(name in weights, f"no tensor {name}")
        require(name in expected, f"an unknown tensor {name}")
        shape, network_shape = list(weights[name].shape), list(expected[name].shape)
        require(shape == network_shape, f"tensor {name} is of shape {shape}, not {network_shape}")
        require(bool(weights[name].isfinite().all()), f"tensor {name} holds values that are not finite")
    constants = sum(math.prod(buffer.shape) for buffer in network.buffers())
    require(constants <= MAX_CONSTANTS, f"a table of {constants} numbers")
