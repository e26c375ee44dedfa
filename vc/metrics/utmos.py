"""Predicted mean opinion score by UTMOS, with weights of the user's own (`vc.encoders.utmos`)."""

from functools import cache
from typing import Any

import numpy as np

from vc.errors import ConfigError, DataError
from vc.metrics.speech_models import RATE, one_thread, prepare

MODULES = ("torch",)
WEIGHTS = "utmos22_strong_step7459_v1.pt"  # MIT licence
NEEDED = f"the weights of UTMOS, SpeechMOS's file {WEIGHTS}"
LONGEST = 60.0  # seconds; attention takes memory quadratic in the length


def require(path: str) -> None:
    """Raise ConfigError if the file does not contain the weights."""
    _network(path)


def utmos(samples: np.ndarray, rate: int, path: str) -> float:
    """Predicted mean opinion score of a recording.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`, up to 60 s; full scale is 1.
    rate : int
        Sample rate in Hz.
    path : str
        The file of the weights.

    Returns
    -------
    float
        About 1 (bad) to 5 (excellent).

    Raises
    ------
    DataError
        If the recording is too long, too short, silent or not finite.
    ConfigError
        If the file does not contain the weights.
    """
    import torch

    network, samples = _network(path), prepare(samples, rate)
    if len(samples) > LONGEST * RATE:
        raise DataError(f"{len(samples) / RATE:.1f} s is more than the limit of {LONGEST:g} s")
    with torch.inference_mode(), one_thread():
        return float(network(torch.from_numpy(samples)[None]))


@cache
def _network(path: str) -> Any:
    """Load the network once per process."""
    from vc.encoders import utmos as published

    try:
        return published.read(path)
    except ConfigError as error:
        raise ConfigError(f"{path}: not {NEEDED}: {error}") from error
