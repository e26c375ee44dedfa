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
from vc.errors import ConfigError, shortened
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
    """What an encoder's file holds beside its weights."""

    kind: str  # one of NETWORKS
    network: dict[str, Any]  # its sizes
    layer: int = 1  # whose output is the content, unless another one is asked for
    origin: str = ""
    licence: str = LICENCE
    format: int = FORMAT


def write(path: Path, model: EncoderModel, weights: Mapping[str, Tensor]) -> None:
    """Write an encoder's file, whole or not at all; weights are kept as they are, float16 or float32."""
    write_tensors(path, weights, asdict(model))


def read(path: Path) -> tuple[EncoderModel, dict[str, Tensor]]:
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


def network_config(kind: str, given: Mapping[str, Any]) -> Any:
    """An encoder's network section as its dataclass, which has `dims` and `layers`."""
    require(kind in NETWORKS, f"kind: unknown encoder {kind!r}; known: {', '.join(NETWORKS)}")
    return build(NETWORKS[kind][0], given, "encoder")


def loaded(kind: str, config: Any, weights: Mapping[str, Tensor]) -> nn.Module:
    """A network of `weights` in float32; it takes no other memory, whatever sizes `config` claims."""
    with torch.device("meta"):
        network = NETWORKS[kind][1](config)
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
    except RuntimeError as error:
        raise ConfigError(f"weights do not fit {kind}: {shortened(error)}") from error
    return network.requires_grad_(False)


def restored(model: EncoderModel, weights: Mapping[str, Tensor], device: torch.device | str = "cpu") -> Encoder:
    """The encoder that a file describes, of its weights."""
    require(model.format == FORMAT, f"a content encoder of format {model.format!r}; this version reads {FORMAT}")
    network = loaded(model.kind, network_config(model.kind, model.network), weights)
    made = encoder(model.kind, network, model.layer, device)
    made.description = asdict(model)
    return made


def encoder(kind: str, network: nn.Module, layer: int, device: torch.device | str = "cpu") -> Encoder:
    """An encoder of a network; `layer` is of 1..layers, of which the distilled one has one."""
    if kind == "distilled":
        require(layer == 1, f"a distilled encoder has one layer, not {layer}")
        return DistilledEncoder(network, device)
    return (WhisperEncoder if kind == "whisper" else HubertEncoder)(network, layer, device)
