"""The one file that a content encoder is: weights, and one JSON text with all else."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vc.config import build, require
from vc.errors import ConfigError
from vc.tensor_file import read_content, read_tensors, tensor_file, write_tensors

if TYPE_CHECKING:
    import torch

FORMAT = 1
SUFFIX = ".safetensors"
LICENCE = "The weights are their makers'; their licence is where they come from."


@dataclass(frozen=True)
class EncoderModel:
    """What an encoder's file holds beside its weights."""

    kind: str  # one of networks.NETWORKS
    network: dict[str, Any]  # its sizes
    layer: int = 1  # whose output is the content, unless another one is asked for
    origin: str = ""
    licence: str = LICENCE
    format: int = FORMAT


def write(path: Path, model: EncoderModel, weights: Mapping[str, "torch.Tensor"]) -> None:
    """Write an encoder's file, whole or not at all; weights are kept as they are, float16 or float32."""
    write_tensors(path, weights, asdict(model))


def read(path: Path) -> tuple[EncoderModel, dict[str, "torch.Tensor"]]:
    """Read an encoder's file; refuses any other by name."""
    model = describe(path)  # first: a large file of another kind is not read
    return model, read_tensors(path)[0]


def describe(path: Path) -> EncoderModel:
    """What an encoder's file says of itself; its weights are not read."""
    content = _content(path)
    try:
        require("kind" in content, "holds no content encoder; a published one is for vc-encoder import")
        require(content.get("format") == FORMAT, f"format {content.get('format')!r}; this version reads {FORMAT}")
        require(isinstance(content.get("network"), dict), "network must be a mapping")
        return build(EncoderModel, content, "encoder")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def is_one(path: Path) -> bool:
    """Whether a file of this toolkit's is a content encoder's."""
    return "kind" in _content(path)


def _content(path: Path) -> dict[str, Any]:
    if not os.path.isfile(path):
        raise ConfigError(f"{path}: no such encoder file")
    with tensor_file(path, "numpy") as file:
        if "vc" not in (file.metadata() or {}):
            raise ConfigError(f"{path}: no encoder's file; a published one is for vc-encoder import")
        return read_content(file, path)[0]
