"""Read and write files of content encoders: the network's weights, and everything else as JSON."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vc.config import build, require, require_known
from vc.encoders import quantised
from vc.encoders.base import Encoder
from vc.encoders.distilled import DistilledConfig, DistilledEncoder, DistilledNetwork
from vc.encoders.hubert import HubertConfig, HubertEncoder, HubertNetwork
from vc.encoders.whisper import WhisperConfig, WhisperEncoder, WhisperFirstBlocks, WhisperNetwork
from vc.errors import ConfigError
from vc.layers import build_with_weights
from vc.tensor_file import read_content, read_tensors, tensor_file, write_tensors

FORMAT = 1
LICENCE = "The weights belong to their authors; see their source for the licence."

NETWORKS = {
    "distilled": (DistilledConfig, DistilledNetwork, DistilledEncoder),
    "whisper": (WhisperConfig, WhisperNetwork, WhisperEncoder),
    "whisper_blocks": (WhisperConfig, WhisperFirstBlocks, WhisperEncoder),
    "hubert": (HubertConfig, HubertNetwork, HubertEncoder),
    "wavlm": (HubertConfig, HubertNetwork, HubertEncoder),
}


@dataclass(frozen=True)
class EncoderModel:
    """Everything in an encoder's file except the weights."""

    kind: str  # one of NETWORKS
    network: dict[str, Any]  # fields of the network's configuration
    layer: int = 1  # whose output is the content by default
    origin: str = ""
    licence: str = LICENCE
    format: int = FORMAT


def write(path: Path, model: EncoderModel, weights: Mapping[str, Tensor]) -> None:
    """Write an encoder's file, atomically.

    Parameters
    ----------
    path : Path
        The file, in an existing folder.
    model : EncoderModel
        Everything except the weights.
    weights : mapping of str to Tensor
        The network's state, float16 or float32, or quantised (vc/encoders/quantised.py).
    """
    write_tensors(path, weights, asdict(model))


def read(path: Path) -> tuple[EncoderModel, dict[str, Tensor]]:
    """Read an encoder's file.

    Returns
    -------
    model : EncoderModel
        Everything except the weights.
    weights : dict of str to Tensor
        The network's state as stored.

    Raises
    ------
    ConfigError
        There is no such file, or it is not an encoder of this version; the message begins with the path.
    """
    model = describe(path)  # first, so as not to read a large file of another kind
    return model, read_tensors(path)[0]


def describe(path: Path) -> EncoderModel:
    """Read an encoder's file without the weights; raises ConfigError like `read`."""
    content = _content(path)
    try:
        require("kind" in content, "not a content encoder; import a published one with vc-encoder import")
        require(content.get("format") == FORMAT, f"format {content.get('format')!r}; this version reads {FORMAT}")
        require(isinstance(content.get("network"), dict), "network must be a mapping")
        return build(EncoderModel, content, "encoder")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def is_one(path: Path) -> bool:
    """Whether a file of this toolkit is a content encoder; ConfigError if it is not a file of this toolkit."""
    return "kind" in _content(path)


def _content(path: Path) -> dict[str, Any]:
    if not os.path.isfile(path):
        raise ConfigError(f"{path}: no such encoder file")
    with tensor_file(path, "numpy") as file:
        if "vc" not in (file.metadata() or {}):
            raise ConfigError(f"{path}: not an encoder of this toolkit; import a published one with vc-encoder import")
        return read_content(file, path)[0]


def network_config(kind: str, section: Mapping[str, Any]) -> Any:
    """Build the configuration of an encoder's network (a dataclass with `dims` and `layers`).

    Raises
    ------
    ConfigError
        The kind, a key or a value is unknown.
    """
    require_known("encoder.kind", kind, NETWORKS)
    return build(NETWORKS[kind][0], section, "encoder")


def load_network(kind: str, config: Any, weights: Mapping[str, Tensor]) -> nn.Module:
    """Build a network with `weights`, which are not trained; raises ConfigError if they do not fit."""
    make_network = partial(NETWORKS[kind][1], config)
    if any(map(quantised.is_quantised, weights)):
        with torch.device("meta"):
            shapes = {name: tensor.shape for name, tensor in make_network().state_dict().items()}
        weights = quantised.decode(weights, shapes)
    return build_with_weights(make_network, weights, kind).requires_grad_(False)


def load_encoder(model: EncoderModel, weights: Mapping[str, Tensor], device: torch.device | str = "cpu") -> Encoder:
    """Build the encoder of a file's contents; raises ConfigError if the weights do not match the description."""
    require(model.format == FORMAT, f"a content encoder of format {model.format!r}; this version reads {FORMAT}")
    network = load_network(model.kind, network_config(model.kind, model.network), weights)
    encoder = make_encoder(model.kind, network, model.layer, device)
    encoder.description = asdict(model)
    encoder.quantised = {name: tensor for name, tensor in weights.items() if quantised.is_quantised(name)}
    return encoder


def make_encoder(kind: str, network: nn.Module, layer: int, device: torch.device | str = "cpu") -> Encoder:
    """Build the encoder of a network, whose content is the output of `layer`, 1..layers; ConfigError for others."""
    return NETWORKS[kind][2](network, layer, device)
