"""Choice of device and numeric precision."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from vc.config import require, require_known

NAMES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "tf32", "bf16", "auto")
BF16_CPUS = ("avx512_bf16", "amx_bf16", "bf16")  # CPU features, any of which means native bfloat16

Result = TypeVar("Result")


def choose(name: str | torch.device) -> torch.device:
    """The device of a name; `auto` is a GPU if there is one. ConfigError for an unknown name or a missing GPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        known = device.type in NAMES  # torch knows more than this toolkit
    except (RuntimeError, TypeError):
        known = False
    require(known, f"device: unknown {name!r}; known: {', '.join(NAMES)}")
    if device.type == "cuda":
        require(torch.cuda.is_available(), f"device {name}: no CUDA device can be used here")
        exists = device.index is None or device.index < torch.cuda.device_count()
        require(exists, f"device {name}: there are {torch.cuda.device_count()} CUDA devices here, counted from 0")
    return device


def computes_bf16(device: torch.device) -> bool:
    """Whether a device supports bfloat16 natively; emulation is very slow."""
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name) for name in BF16_CPUS)
    return torch.cuda.is_bf16_supported(including_emulation=False)


def set_precision(precision: str, device: torch.device) -> None:
    """Allow or forbid TF32 for matrix products and convolutions of the process.

    Raises
    ------
    ConfigError
        `precision` is unknown, or `bf16`, which `device` does not support natively.
    """
    require_known("precision", precision, PRECISIONS)
    possible = precision != "bf16" or computes_bf16(device)
    require(possible, f"precision bf16: {device} has no instructions for it; use float32")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether networks compute in bfloat16: if `precision` is `bf16`, or `auto` and the device supports it."""
    return precision == "bf16" or (precision == "auto" and computes_bf16(device))


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Context in which networks compute in bfloat16 if `uses_bf16`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(precision, device))


def side_by_side(parts: Sequence[Callable[[], Result]], device: torch.device) -> list[Result]:
    """What each of some independent computations on a device returns.

    On a GPU each has a stream of its own: small networks leave most of a GPU idle, and within a CUDA graph the parts
    run at the same time, forward and backward. Elsewhere they run one after the other, and so they do under autocast,
    which keeps the weights that one part has cast for the others: those would read them before they are there.
    Likewise no part may fill a cache on the GPU that another reads.
    """
    if device.type != "cuda" or torch.is_autocast_enabled(device.type):
        return [part() for part in parts]
    here, streams = torch.cuda.current_stream(device), _streams(len(parts), device)
    results = []
    try:
        for part, stream in zip(parts, streams):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                results.append(part())
    finally:
        for stream in streams:
            here.wait_stream(stream)
    return results


@functools.cache
def _streams(count: int, device: torch.device) -> list[torch.cuda.Stream]:
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)  # parts share weights: no way around it
    return [torch.cuda.Stream(device) for _ in range(count)]
