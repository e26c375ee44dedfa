"""What models of speech are given: mono at 16 kHz, for which all of ours were trained."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from vc.errors import DataError

RATE = 16000  # Hz
LOWEST_RATE = 8000  # Hz; below, half of what tells sounds apart is missing
FAINTEST = 1 / 32768  # from the lowest sample to the highest: a step of 16 bits
SHORTEST = 0.2  # seconds: less is not a word


def validate(samples: np.ndarray, rate: int) -> None:
    """Refuse what is not finite `(samples,)` that sound, of a rate and a length to judge speech by."""
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
    """`(samples,)` at `rate` Hz as float32 at 16 kHz; what is above full scale is brought down to it as a whole."""
    validate(samples, rate)
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
