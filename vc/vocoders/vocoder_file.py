"""The file of a neural vocoder: its generator's weights, and one JSON text with everything else."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vc.config import build, require
from vc.errors import ConfigError, shortened
from vc.features.mel import MelConfig
from vc.tensor_file import read_tensors, write_tensors
from vc.vocoders.hifigan import HiFiGAN, HiFiGANConfig
from vc.vocoders.istft import ISTFT, ISTFTConfig

FORMAT = 1
NAME = "model.safetensors"  # in an experiment directory
LICENCE = "The weights come from the recordings that the vocoder was trained on; ask their speakers and owners."

# Each takes log-mel (batch, bands, frames), gives samples (batch, frames * hop), and says on how many frames of
# `context` before and after a frame its samples depend.
GENERATORS = {"hifigan": (HiFiGANConfig, HiFiGAN), "istft": (ISTFTConfig, ISTFT)}


@dataclass(frozen=True)
class VocoderModel:
    """What a vocoder's file holds beside its weights."""

    method: str  # one of GENERATORS
    mel: MelConfig  # what it takes
    network: dict[str, Any]  # the generator's own settings
    step: int = 0  # of training
    data_digest: str = ""
    origin: str = ""  # where weights that were not trained here come from
    configuration: dict[str, Any] = field(default_factory=dict)  # of the whole experiment
    metrics: dict[str, float] = field(default_factory=dict)
    licence: str = LICENCE
    format: int = FORMAT


def write(path: Path, model: VocoderModel, weights: Mapping[str, Tensor]) -> None:
    """Write a vocoder's file, whole or not at all."""
    write_tensors(path, weights, asdict(model))


def read(path: Path) -> tuple[VocoderModel, dict[str, Tensor]]:
    """Read a vocoder's file, or the one of an experiment directory; refuses any other by name."""
    path = Path(path)
    if os.path.isdir(path):
        path = path / NAME
    if not os.path.isfile(path):
        raise ConfigError(f"{path}: no such vocoder file")
    weights, content = read_tensors(path)
    try:
        require("mel" in content, "holds no vocoder; a converter is for --model")
        require(content.get("format") == FORMAT, f"format {content.get('format')!r}; this version reads {FORMAT}")
        return build(VocoderModel, _known(content), "vocoder"), weights
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _known(content: dict[str, Any]) -> dict[str, Any]:
    """What `build` takes; mappings of any content are looked at here."""
    for name in ("network", "configuration", "metrics"):
        require(isinstance(content.get(name, {}), dict), f"{name} must be a mapping")
    return content


def network_config(method: str, given: dict) -> object:
    """A generator's network section as its dataclass."""
    if method not in GENERATORS:
        raise ConfigError(f"method: unknown vocoder {method!r}; known: {', '.join(GENERATORS)}")
    return build(GENERATORS[method][0], given, "network")


def generator(method: str, config: object, mel: MelConfig) -> nn.Module:
    """A generator, untrained."""
    return GENERATORS[method][1](config, mel)


def loaded(method: str, config: object, mel: MelConfig, weights: Mapping[str, Tensor]) -> nn.Module:
    """A generator of `weights`, which it takes over; it takes no other memory, whatever sizes `config` claims."""
    with torch.device("meta"):
        network = generator(method, config, mel)
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
    except RuntimeError as error:
        raise ConfigError(f"weights do not fit {method}: {shortened(error)}") from error
    return network
