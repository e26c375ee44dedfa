"""Shared by the metrics based on speech models: loading, mono input at 16 kHz, and use of a single thread."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from vc import extras
from vc.errors import DataError

RATE = 16000  # Hz, at which all the models were trained
LOWEST_RATE = 8000  # Hz; below, too much of what distinguishes speech sounds is missing
MIN_RANGE = 1 / 32768  # from the lowest to the highest sample: one step of 16 bits
SHORTEST = 0.2  # seconds: less than a word


@dataclass(frozen=True)
class PackagedModel:
    """A model included in a package of the extra `eval`, imported and loaded at its first use, once per process."""

    purpose: str  # the measure that needs it, for messages
    modules: tuple[str, ...]  # must be installed
    load: Callable[..., Any]

    def require(self) -> None:
        """Raise ConfigError if a package is missing."""
        extras.require(self.purpose, "eval", *self.modules)

    @cache  # noqa: B019 - models are kept for the whole process
    def get(self, *arguments: str) -> Any:
        """The result of `load(*arguments)`; raises ConfigError if a package is missing."""
        self.require()
        return self.load(*arguments)


def require_speech(samples: np.ndarray, rate: int) -> None:
    """Check that a recording is suitable for speech models.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`; full scale is 1.
    rate : int
        Sample rate in Hz.

    Raises
    ------
    DataError
        If the recording has another shape, is too short, silent or not finite, or its rate is too low.
    """
    if samples.ndim != 1:
        raise DataError(f"expected (samples,), got shape {samples.shape}")
    if rate < LOWEST_RATE:
        raise DataError(f"{rate} Hz is too low to assess speech: {LOWEST_RATE} Hz or more is needed")
    if len(samples) < SHORTEST * rate:
        raise DataError(f"{len(samples) / rate:.3f} s is too short to assess: {SHORTEST} s or more is needed")
    if not np.isfinite(samples).all():
        raise DataError("samples must be finite")
    if np.ptp(samples) < MIN_RANGE:
        raise DataError("nothing but silence")


def prepare(samples: np.ndarray, rate: int) -> np.ndarray:
    """Prepare samples for a speech model.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`; full scale is 1.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    np.ndarray
        Shape `(samples,)`, float32, at 16 kHz; scaled down as a whole if it exceeds full scale.

    Raises
    ------
    DataError
        If the recording is too short, silent or not finite, or its rate too low.
    """
    require_speech(samples, rate)
    samples = samples.astype(np.float32)
    if rate != RATE:
        import soxr

        samples = soxr.resample(samples, rate, RATE)
    return samples / max(1.0, np.abs(samples).max())


@contextmanager
def one_thread() -> Iterator[None]:
    """Restrict torch to one thread, since recordings are distributed over processes and rounding depends on threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
