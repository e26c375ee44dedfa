"""Every kind of content encoder by its name: its configuration, its network, what makes an encoder of it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from vc.config import build, require
from vc.encoders.base import Encoder
from vc.encoders.distilled import DistilledConfig, DistilledEncoder, DistilledNetwork
from vc.encoders.encoder_file import FORMAT, EncoderModel
from vc.encoders.hubert import HubertConfig, HubertEncoder, HubertNetwork
from vc.encoders.whisper import WhisperConfig, WhisperEncoder, WhisperNetwork
from vc.errors import ConfigError, shortened

NETWORKS = {
    "distilled": (DistilledConfig, DistilledNetwork),
    "whisper": (WhisperConfig, WhisperNetwork),
    "hubert": (HubertConfig, HubertNetwork),
    "wavlm": (HubertConfig, HubertNetwork),
}


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
