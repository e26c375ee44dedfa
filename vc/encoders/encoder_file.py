"""The file of a content encoder: its network's weights, and one JSON text with everything else."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vc.config import build, require
from vc.encoders.base import Encoder
from vc.encoders.distilled import DistilledConfig, DistilledEncoder, DistilledNetwork
from vc.encoders.hubert import HubertConfig, HubertEncoder, HubertNetwork
from vc.encoders.whisper import WhisperConfig, WhisperEncoder, WhisperNetwork
from vc.errors import ConfigError
from vc.layers import with_weights
from vc.tensor_file import read_content, read_tensors, tensor_file, write_tensors

FORMAT = 1
SUFFIX = ".safetensors"
LICENCE = "The weights are their makers'; their licence is where they come from."

NETWORKS = {
    "distilled": (DistilledConfig, DistilledNetwork),
    "whisper": (WhisperConfig, WhisperNetwork),
    "hubert": (HubertConfig, HubertNetwork),
    "wavlm": (HubertConfig, HubertNetwork),
}


@dataclass(frozen=True)
class EncoderModel:
    """Everything in an encoder's file but the weights."""

    kind: str  # one of NETWORKS
    network: dict[str, Any]  # its sizes
    layer: int = 1  # whose output is the content by default
    origin: str = ""
    licence: str = LICENCE
    format: int = FORMAT


def write(path: Path, model: EncoderModel, weights: Mapping[str, Tensor]) -> None:
    """Write an encoder's file, whole or not at all.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    model : EncoderModel
        Everything but the weights.
    weights : mapping of str to Tensor
        The network's state, float16 or float32.
    """
    write_tensors(path, weights, asdict(model))


def read(path: Path) -> tuple[EncoderModel, dict[str, Tensor]]:
    """Read an encoder's file.

    Returns
    -------
    model : EncoderModel
        Everything but the weights.
    weights : dict of str to Tensor
        The network's state.

    Raises
    ------
    ConfigError
        If there is no such file, or it is not an encoder of this version; the message begins with its path.
    """
    model = describe(path)  # first, so that a large file of another kind is not read
    return model, read_tensors(path)[0]


def describe(path: Path) -> EncoderModel:
    """Everything in an encoder's file but the weights, which are not read; raises ConfigError as `read`."""
    content = _content(path)
    try:
        require("kind" in content, "holds no content encoder; for a published one there is vc-encoder import")
        require(content.get("format") == FORMAT, f"format {content.get('format')!r}; this version reads {FORMAT}")
        require(isinstance(content.get("network"), dict), "network must be a mapping")
        return build(EncoderModel, content, "encoder")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def is_one(path: Path) -> bool:
    """Whether a file of this toolkit is a content encoder's; raises ConfigError if it is not of this toolkit."""
    return "kind" in _content(path)


def _content(path: Path) -> dict[str, Any]:
    if not os.path.isfile(path):
        raise ConfigError(f"{path}: no such encoder file")
    with tensor_file(path, "numpy") as file:
        if "vc" not in (file.metadata() or {}):
            raise ConfigError(f"{path}: not an encoder's file; for a published one there is vc-encoder import")
        return read_content(file, path)[0]


def network_config(kind: str, section: Mapping[str, Any]) -> Any:
    """An encoder's network section as its dataclass, which has `dims` and `layers`.

    Raises ConfigError for unknown kinds, keys and values.
    """
    require(kind in NETWORKS, f"kind: unknown encoder {kind!r}; known: {', '.join(NETWORKS)}")
    return build(NETWORKS[kind][0], section, "encoder")


def load_network(kind: str, config: Any, weights: Mapping[str, Tensor]) -> nn.Module:
    """A network with `weights` in float32, which do not learn; raises ConfigError if they do not fit."""
    return with_weights(lambda: NETWORKS[kind][1](config), weights, kind).requires_grad_(False)


def load_encoder(model: EncoderModel, weights: Mapping[str, Tensor], device: torch.device | str = "cpu") -> Encoder:
    """The encoder of a file's description and weights; raises ConfigError if they do not fit."""
    require(model.format == FORMAT, f"a content encoder of format {model.format!r}; this version reads {FORMAT}")
    network = load_network(model.kind, network_config(model.kind, model.network), weights)
    encoder = make_encoder(model.kind, network, model.layer, device)
    encoder.description = asdict(model)
    return encoder


def make_encoder(kind: str, network: nn.Module, layer: int, device: torch.device | str = "cpu") -> Encoder:
    """The encoder of a network, whose content is the output of `layer` of 1..layers."""
    if kind == "distilled":
        require(layer == 1, f"a distilled encoder has one layer, not {layer}")
        return DistilledEncoder(network, device)
    return (WhisperEncoder if kind == "whisper" else HubertEncoder)(network, layer, device)
