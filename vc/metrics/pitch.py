"""Distances between F0 tracks `(frames,)` in Hz, 0 where unvoiced, along a path of frame pairs.

The path is the one of the mel-cepstral distortion, so that phrasing does not count, only melody. Conversion that
moves and scales log F0 leaves its shape to the source: these figures then tell of the speakers, not of the network.
"""

import numpy as np

from vc.errors import DataError
from vc.metrics.arrays import Pairs, takes_lists


def validate(converted: np.ndarray, reference: np.ndarray, path: Pairs) -> None:
    """Refuse tracks that are not `(frames,)` of finite values from 0 on, and a path that leaves them."""
    for name, track, indices in zip(("converted", "reference"), (converted, reference), path):
        if track.ndim != 1 or not np.isfinite(track).all() or (track < 0).any():
            raise DataError(f"{name} F0 must be (frames,) of finite values, 0 or above, got shape {track.shape}")
        if len(indices) == 0 or indices.max() >= len(track):
            raise DataError(f"a path must be non-empty and within the {len(track)} frames of the {name} F0")


@takes_lists
def log_f0_rmse(converted: np.ndarray, reference: np.ndarray, path: Pairs) -> float:
    """Root mean square difference of natural log F0 over the pairs voiced on both sides; NaN if there are none.

    Without unit: times 12 / ln 2 = 17.31 it is in semitones.
    """
    one, other = _voiced_log_f0(converted, reference, path)
    return float(np.sqrt(np.square(one - other).mean())) if len(one) else float("nan")


@takes_lists
def log_f0_correlation(converted: np.ndarray, reference: np.ndarray, path: Pairs) -> float:
    """Pearson's correlation of log F0 over the pairs voiced on both sides, in -1..1; NaN where a side never moves."""
    one, other = _voiced_log_f0(converted, reference, path)
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


@takes_lists
def voicing_error(converted: np.ndarray, reference: np.ndarray, path: Pairs) -> float:
    """Share of the path's pairs, in 0..1, of which one frame is voiced and the other is not."""
    validate(converted, reference, path)
    rows, columns = path
    return float(((converted[rows] > 0) != (reference[columns] > 0)).mean())


def _voiced_log_f0(converted: np.ndarray, reference: np.ndarray, path: Pairs) -> tuple[np.ndarray, np.ndarray]:
    validate(converted, reference, path)
    rows, columns = path
    one, other = converted[rows], reference[columns]
    voiced = (one > 0) & (other > 0)
    return np.log(one[voiced]), np.log(other[voiced])
