"""What the measures by speech models share: loading, their input, mono at 16 kHz, and computing on one thread."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from vc import extras
from vc.errors import DataError

RATE = 16000  # Hz, for which all the models were trained
LOWEST_RATE = 8000  # Hz; below, half of what tells sounds apart is missing
FAINTEST = 1 / 32768  # from the lowest sample to the highest: a step of 16 bits
SHORTEST = 0.2  # seconds: less is not a word


@dataclass(frozen=True)
class PackagedModel:
    """A model that a package of the extra `eval` carries: imported and loaded at its first use, once per process."""

    purpose: str  # what needs it, for messages
    modules: tuple[str, ...]  # that must be installed
    load: Callable[..., Any]

    def require(self) -> None:
        """Raise ConfigError if a package is missing."""
        extras.require(self.purpose, "eval", *self.modules)

    @cache  # noqa: B019 - models stay for the whole process
    def get(self, *arguments: str) -> Any:
        """What `load` makes of `arguments`; raises ConfigError if a package is missing."""
        self.require()
        return self.load(*arguments)


def require_speech(samples: np.ndarray, rate: int) -> None:
    """Raise DataError unless these are finite `(samples,)`, not silent, of a rate and a length to judge speech by."""
    if samples.ndim != 1:
        raise DataError(f"expected (samples,), got shape {samples.shape}")
    if rate < LOWEST_RATE:
        raise DataError(f"{rate} Hz is too low to judge speech by: {LOWEST_RATE} Hz or more is needed")
    if len(samples) < SHORTEST * rate:
        raise DataError(f"{len(samples) / rate:.3f} s is too short to judge: {SHORTEST} s or more is needed")
    if not np.isfinite(samples).all():
        raise DataError("samples must be finite")
    if np.ptp(samples) < FAINTEST:
        raise DataError("nothing but silence")


def prepare(samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples for a speech model.

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
        If the recording is too short, silent, not finite or of too low a rate.
    """
    require_speech(samples, rate)
    samples = samples.astype(np.float32)
    if rate != RATE:
        import soxr

        samples = soxr.resample(samples, rate, RATE)
    return samples / max(1.0, np.abs(samples).max())


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: recordings are shared out over processes, and a sum's rounding depends on the
    number of threads.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
