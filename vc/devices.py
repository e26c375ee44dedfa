"""Which device to compute on, and how exactly."""

import contextlib

import torch

from vc.config import require
from vc.errors import ConfigError

NAMES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "tf32", "bf16", "auto")
BF16_CPUS = ("avx512_bf16", "amx_bf16", "bf16")  # what a processor that computes in bfloat16 calls it


def choose(name: str | torch.device) -> torch.device:
    """A device by name; `auto` is a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name}: no CUDA device can be used here")
    return device


def computes_bf16(device: torch.device) -> bool:
    """Whether there are instructions for bfloat16; without them it is emulated, and crawls."""
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name) for name in BF16_CPUS)
    return torch.cuda.is_bf16_supported(including_emulation=False)


def set_precision(precision: str, device: torch.device) -> None:
    """Let matrix products and convolutions of `device` use TF32 or not; refuse bf16 where it would crawl."""
    possible = precision != "bf16" or computes_bf16(device)
    require(possible, f"precision bf16: {device} has no instructions for it; take float32")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Networks inside compute in bfloat16 if `precision` says so, or `auto` and it is fast; weights stay float32."""
    enabled = precision == "bf16" or (precision == "auto" and computes_bf16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
