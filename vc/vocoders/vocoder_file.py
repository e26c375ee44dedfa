"""Files of neural vocoders: the generator's weights, and everything else as JSON."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from vc.config import build, require, require_known
from vc.errors import ConfigError
from vc.features.mel import MelConfig
from vc.layers import build_with_weights
from vc.tensor_file import read_tensors, write_tensors
from vc.vocoders.hifigan import HiFiGAN, HiFiGANConfig
from vc.vocoders.istft import ISTFT, ISTFTConfig

FORMAT = 1
NAME = "model.safetensors"  # in an experiment directory
LICENCE = "The weights come from the recordings that the vocoder was trained on; ask their speakers and owners."

# Each maps log-mel (batch, bands, frames) to samples (batch, frames * hop), and has the property `context`: the number
# of frames before and after a frame on which its samples depend.
GENERATORS = {"hifigan": (HiFiGANConfig, HiFiGAN), "istft": (ISTFTConfig, ISTFT)}


@dataclass(frozen=True)
class VocoderModel:
    """Content of a vocoder file except the weights."""

    method: str  # key of GENERATORS
    mel: MelConfig  # of the input
    network: dict[str, Any]  # settings of the generator
    step: int = 0  # of training
    data_digest: str = ""
    origin: str = ""  # of weights that were not trained here
    configuration: dict[str, Any] = field(default_factory=dict)  # of the whole experiment
    metrics: dict[str, float] = field(default_factory=dict)
    licence: str = LICENCE
    format: int = FORMAT


class StoredVocoder(NamedTuple):
    """Content of a vocoder file."""

    model: VocoderModel  # everything except the weights
    weights: dict[str, Tensor]  # the generator's state dict, without weight normalisation


def write(path: Path, model: VocoderModel, weights: Mapping[str, Tensor]) -> None:
    """Write a vocoder file, atomically.

    Parameters
    ----------
    path : Path
        The file; its folder must exist.
    model : VocoderModel
        Everything except the weights.
    weights : mapping of str to Tensor
        The generator's state dict, without weight normalisation.
    """
    write_tensors(path, weights, asdict(model))


def read(path: Path) -> StoredVocoder:
    """Read a vocoder file.

    Parameters
    ----------
    path : Path
        The file, or the directory of a training run.

    Returns
    -------
    StoredVocoder

    Raises
    ------
    ConfigError
        There is no such file, or it is not a vocoder of this version; the message begins with its path.
    """
    path = Path(path)
    if os.path.isdir(path):
        path = path / NAME
    if not os.path.isfile(path):
        raise ConfigError(f"{path}: no such vocoder file")
    weights, content = read_tensors(path)
    try:
        require("mel" in content, "holds no vocoder; give a converter to --model")
        require(content.get("format") == FORMAT, f"format {content.get('format')!r}; this version reads {FORMAT}")
        for name in ("network", "configuration", "metrics"):  # `build` does not check mappings of any content
            require(isinstance(content.get(name, {}), dict), f"{name} must be a mapping")
        return StoredVocoder(build(VocoderModel, content, "vocoder"), weights)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def network_config(method: str, section: dict) -> object:
    """Build a generator's configuration from its section `network`.

    Raises
    ------
    ConfigError
        The method, a key or a value is unknown.
    """
    require_known("method", method, GENERATORS)
    return build(GENERATORS[method][0], section, "network")


def generator(method: str, config: object, mel: MelConfig) -> nn.Module:
    """Build an untrained generator; `method` is a key of GENERATORS."""
    return GENERATORS[method][1](config, mel)


def load_generator(method: str, config: object, mel: MelConfig, weights: Mapping[str, Tensor]) -> nn.Module:
    """Build a generator with `weights`; raises ConfigError if they do not fit."""
    return build_with_weights(lambda: generator(method, config, mel), weights, method)
