"""Which device to compute on."""

import torch

from vc.errors import ConfigError

NAMES = ("auto", "cpu", "cuda")


def choose(name: str | torch.device) -> torch.device:
    """A device by name; `auto` is a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name}: no CUDA device can be used here")
    return device
