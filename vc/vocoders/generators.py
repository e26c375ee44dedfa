"""Every neural vocoder's generator by its name: its configuration and its network."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vc.config import build
from vc.errors import ConfigError, shortened
from vc.features.mel import MelConfig
from vc.vocoders.hifigan import HiFiGAN, HiFiGANConfig
from vc.vocoders.istft import ISTFT, ISTFTConfig

# Each takes log-mel (batch, bands, frames), gives samples (batch, frames * hop), and says on how many frames of
# `context` before and after a frame its samples depend.
GENERATORS = {"hifigan": (HiFiGANConfig, HiFiGAN), "istft": (ISTFTConfig, ISTFT)}


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
