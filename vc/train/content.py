"""A fixed encoder of what is said: an embedding of a conversion and of its source are held together.

It is a model of this toolkit whose code tells no speaker, learnt from the corpus; or a TorchScript file, or a folder of
Hugging Face's transformers, of the user's own. Those two take features as they are extracted, `(batch, bands, frames)`
and `(batch, frames, bands)`, and must have learnt from the like. A TorchScript file is a program: take no stranger's.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vc import extras
from vc.config import digest, require
from vc.convert import read_network
from vc.errors import ConfigError, shortened
from vc.features.kinds import FeatureConfig
from vc.files import sha256
from vc.model_file import Model
from vc.models.many import ManyConverter
from vc.normalise import Speaker
from vc.store import tensors_digest

TRIED = 64  # frames that an encoder is tried with


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
        return self.network.passed(self.network.code(frames, speaker))[0]


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
    """The encoder in `path`, for speakers with their statistics; refuses by name what is none."""
    require(bool(path), "objective.content needs objective.encoder: a model of many speakers, a .pt file or a folder")
    place = Path(path)
    if (place / "config.json").is_file():
        encoder = Foreign(_transformer(place), speakers, frames_first=True)
        encoder.digest = digest(*(sha256(file) for file in sorted(place.glob("*.safetensors"))))
    elif place.suffix == ".pt":
        encoder = Foreign(_script(place), speakers, frames_first=False)
        encoder.digest = sha256(place)
    else:
        network = _common(place, speakers, features)
        encoder = CommonCode(network)
        encoder.digest = tensors_digest(network.state_dict())
    _try(encoder, next(iter(speakers)), features.bands, place)
    return encoder


def _try(encoder: ContentEncoder, speaker: str, bands: int, path: Path) -> None:
    """Refuse an encoder that a step could not learn by."""
    frames = torch.zeros(2, bands, TRIED, requires_grad=True)
    try:
        made = encoder(frames, speaker)
        fits = isinstance(made, Tensor) and made.dim() == 3 and len(made) == 2 and made.is_floating_point()
        require(fits and bool(made.isfinite().all()), f"{path}: gives no finite embeddings (batch, channels, places)")
        through = (
            made.requires_grad and torch.autograd.grad(made.float().sum(), frames, allow_unused=True)[0] is not None
        )
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        reason = shortened(error)
        raise ConfigError(f"{path}: no encoder of (batch, bands, frames) of {bands} bands: {reason}") from error
    require(through, f"{path}: lets no gradient through to the features")


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


def _script(path: Path) -> nn.Module:
    try:
        return torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"{path}: no TorchScript file: {str(error).splitlines()[0]}") from error


def _transformer(path: Path) -> nn.Module:
    extras.require(f"{path}", "encoders", "transformers")
    from transformers import AutoModel

    try:
        found = AutoModel.from_pretrained(path, local_files_only=True, trust_remote_code=False, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}") from error
    return found.get_encoder() if found.config.is_encoder_decoder else found
