"""Every neural vocoder's generator by its name: its configuration and its network."""

from torch import nn

from vc.config import build
from vc.errors import ConfigError
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
