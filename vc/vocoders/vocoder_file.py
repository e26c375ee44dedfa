"""The one file that a neural vocoder is: weights, and one JSON text with all else."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vc.config import build, require
from vc.errors import ConfigError
from vc.features.mel import MelConfig
from vc.tensor_file import read_tensors, write_tensors

if TYPE_CHECKING:
    import torch

FORMAT = 1
NAME = "model.safetensors"  # in an experiment directory
LICENCE = "The weights come from the recordings that the vocoder was trained on; ask their speakers and owners."


@dataclass(frozen=True)
class VocoderModel:
    """What a vocoder's file holds beside its weights."""

    method: str  # one of vocoders.GENERATORS
    mel: MelConfig  # what it takes
    network: dict[str, Any]  # the generator's own settings
    step: int = 0  # of training
    data_digest: str = ""
    origin: str = ""  # where weights that were not trained here come from
    configuration: dict[str, Any] = field(default_factory=dict)  # of the whole experiment
    metrics: dict[str, float] = field(default_factory=dict)
    licence: str = LICENCE
    format: int = FORMAT


def write(path: Path, model: VocoderModel, weights: Mapping[str, "torch.Tensor"]) -> None:
    """Write a vocoder's file, whole or not at all."""
    write_tensors(path, weights, asdict(model))


def read(path: Path) -> tuple[VocoderModel, dict[str, "torch.Tensor"]]:
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
