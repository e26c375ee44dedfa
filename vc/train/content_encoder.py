"""A fixed encoder of what is said: an embedding of a conversion and of its source are held together.

It is a model of this toolkit whose code tells no speaker, learnt from the corpus; a content encoder of `vc-encoder`
that takes log-mel; or a folder of Hugging Face's transformers that takes features as they are extracted, and must have
learnt from the like. All are weights for a network that is named and known: nothing in the files is run.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vc import extras
from vc.config import require
from vc.encoders import choice, encoder_file, published
from vc.encoders.distilled import DistilledEncoder
from vc.errors import ConfigError, naming, shortened
from vc.features.base import FeatureConfig
from vc.features.speakers import Speaker
from vc.model_file import Model, read_network
from vc.models.base import ManyConverter
from vc.tensor_file import tensors_digest

TRIED = 64  # frames that an encoder is tried with
TRANSFORMER = "speech_to_text"  # the one of transformers' architectures that takes features (batch, frames, bands)
ELSEWHERE = (
    "auto_map",
    "quantization_config",
    "attn_implementation",
    "use_kernels",
)  # settings that name code or data outside the folder
MOST_CONSTANTS = 1 << 26  # numbers of a network that are no weights, such as its table of positions


class ContentEncoder(ABC, nn.Module):
    """Embeddings `(batch, channels, places)` of normalised `(batch, bands, frames)` of a speaker; nothing moves it."""

    digest = ""  # of its weights

    @abstractmethod
    def forward(self, frames: Tensor, speaker: str) -> Tensor: ...


class CommonCode(ContentEncoder):
    """The code of a model of this toolkit."""

    def __init__(self, network: ManyConverter):
        super().__init__()
        self.network = _fixed(network)

    def forward(self, frames: Tensor, speaker: str) -> Tensor:
        return self.network.pass_bottleneck(self.network.code(frames, speaker))[0]


class Foreign(ContentEncoder):
    """A network that takes features as they are extracted."""

    def __init__(self, network: nn.Module, speakers: Mapping[str, Speaker], frames_first: bool):
        super().__init__()
        self.network, self.frames_first = _fixed(network), frames_first
        self.numbers = {name: number for number, name in enumerate(speakers)}
        for side in ("mean", "deviation"):
            values = [getattr(speaker.normaliser, f"{side}_") for speaker in speakers.values()]
            self.register_buffer(side, torch.as_tensor(np.stack(values), dtype=torch.float32)[..., None])

    def forward(self, frames: Tensor, speaker: str) -> Tensor:
        number = self.numbers[speaker]
        natural = frames * self.deviation[number] + self.mean[number]
        if not self.frames_first:
            return self.network(natural)
        return self.network(natural.transpose(1, 2)).last_hidden_state.transpose(1, 2)


def read(path: str, speakers: Mapping[str, Speaker], features: FeatureConfig) -> ContentEncoder:
    """The encoder of this name or in this file or folder, for speakers with their statistics; refuses what is none."""
    kinds = "a model of many speakers, a content encoder or a folder of transformers"
    require(bool(path), f"objective.content needs objective.encoder: {kinds}")
    place = Path(path)
    if (place / "config.json").is_file():
        network = _transformer(place)
        encoder = Foreign(network, speakers, frames_first=True)
        encoder.digest = tensors_digest(network.state_dict())
    elif not place.is_dir() and encoder_file.is_one(choice.find(path)):
        heard = choice.choose(path)
        taken = isinstance(heard, DistilledEncoder)
        require(
            taken, f"{path}: takes samples; objective.content needs an encoder that takes log-mel, such as distilled"
        )
        fits = features.mel == heard.mel
        require(
            fits, f"{path}: takes other features than these: features.kind must be mel or content, settings the usual"
        )
        encoder = Foreign(heard.network, speakers, frames_first=False)
        encoder.digest = heard.digest
    else:
        network = _common(place, speakers, features)
        encoder = CommonCode(network)
        encoder.digest = tensors_digest(network.state_dict())
    _try(encoder, next(iter(speakers)), features.bands, place)
    return encoder


def _try(encoder: ContentEncoder, speaker: str, bands: int, path: Path) -> None:
    """Refuse an encoder that a step could not learn by."""
    try:
        made = encoder(torch.zeros(2, bands, TRIED), speaker)
    except Exception as error:  # a foreign network stumbles in any way over what its settings say
        reason = shortened(error)
        raise ConfigError(f"{path}: no encoder of (batch, bands, frames) of {bands} bands: {reason}") from error
    require(bool(made.isfinite().all()), f"{path}: gives embeddings that are not finite")


def _fixed(network: nn.Module) -> nn.Module:
    network = network.float().eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network


def read_coded(path: Path) -> tuple[Model, ManyConverter]:
    """A model that has a code."""
    model, network, _ = read_network(path)
    require(isinstance(network, ManyConverter), f"{path}: method {model.method} has no code")
    return model, network


def _common(path: Path, speakers: Mapping[str, Speaker], features: FeatureConfig) -> ManyConverter:
    model, network = read_coded(path)
    require(model.features == features, f"{path}: learnt from features of other settings")
    for name, speaker in speakers.items():
        require(model.speakers.get(name) == speaker, f"{path}: does not know {name} by the same features")
    return network


def _transformer(folder: Path) -> nn.Module:
    """The encoder of a folder as transformers saves it: of its weights, all of them, and of nothing from elsewhere."""
    extras.require(f"{folder}", "encoders", "transformers")
    from transformers.models.speech_to_text import modeling_speech_to_text as modeling

    place = folder / "config.json"
    settings = {name: value for name, value in published.read_mapping(place).items() if not name.startswith("_")}
    kind = settings.get("model_type")
    require(kind == TRANSFORMER, f"{place}: model_type {kind!r}; {TRANSFORMER} is known")
    foreign = [name for name in ELSEWHERE if name in settings]
    require(not foreign, f"{place}: {', '.join(foreign)}: what is not in the folder is not taken")
    try:
        weights = published.folder_tensors(folder, ("model.encoder.", "encoder."))
    except ConfigError as error:
        raise ConfigError(naming(folder, error)) from error
    layers = settings.get("encoder_layers", 0)
    few = isinstance(layers, int) and layers <= len(weights) and settings.get("num_conv_layers", 0) in range(9)
    require(few, f"{place}: encoder_layers {layers!r}, but there are {len(weights)} tensors")
    try:
        config = modeling.Speech2TextConfig(**settings, attn_implementation="eager")
        with torch.device("meta"):  # takes no memory, whatever sizes are claimed
            claimed = modeling.Speech2TextEncoder(config)
        _refuse_other_shapes(claimed, weights)
        network = modeling.Speech2TextEncoder(config)
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from error
    except Exception as error:  # settings that make no sense have any effect
        raise ConfigError(f"{place}: no network can be made of it: {shortened(error)}") from error
    network.load_state_dict(weights)
    return network


def _refuse_other_shapes(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not those of the network, by their names, and a network with far too much beside them."""
    expected = network.state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        require(name in weights, f"no tensor {name}")
        require(name in expected, f"an unknown tensor {name}")
        shape, wanted = list(weights[name].shape), list(expected[name].shape)
        require(shape == wanted, f"tensor {name} is of shape {shape}, not {wanted}")
        require(bool(weights[name].isfinite().all()), f"tensor {name} holds values that are not finite")
    constants = sum(math.prod(buffer.shape) for buffer in network.buffers())
    require(constants <= MOST_CONSTANTS, f"a table of {constants} numbers")
