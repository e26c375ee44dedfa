"""Metrics of F0 tracks `(frames,)` in Hz, 0 where unvoiced, along an alignment path.

The path is that of the mel-cepstral distortion, so that the metrics compare melody, not timing. A conversion that only
shifts and scales log F0 keeps the source's contour: the values then describe the speakers, not the network.
"""

import numpy as np

from vc.errors import DataError
from vc.metrics.arrays import Pairs, takes_lists


@takes_lists
def log_f0_rmse(converted: np.ndarray, reference: np.ndarray, path: Pairs) -> float:
    """Root mean square difference of natural log F0 over the pairs of frames voiced on both sides.

    Parameters
    ----------
    converted, reference : np.ndarray
        Shape `(frames,)` of each side, Hz, 0 where unvoiced.
    path : tuple of np.ndarray
        Indices `(path,)` into the frames of each side, from `speech_path`.

    Returns
    -------
    float
        Natural log, 0 or above (multiply by 12 / ln 2 = 17.31 for semitones); NaN without such pairs.

    Raises
    ------
    DataError
        If a track is negative or not finite, or the path is empty or exceeds a track.
    """
    one, other = _voiced_log_f0(converted, reference, path)
    return float(np.sqrt(np.square(one - other).mean())) if len(one) else float("nan")


@takes_lists
def log_f0_correlation(converted: np.ndarray, reference: np.ndarray, path: Pairs) -> float:
    """Pearson's correlation of log F0 over the pairs of frames voiced on both sides.

    Parameters and errors are those of `log_f0_rmse`.

    Returns
    -------
    float
        In -1..1; NaN for fewer than two such pairs, or if a side is constant.
    """
    one, other = _voiced_log_f0(converted, reference, path)
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


@takes_lists
def voicing_error(converted: np.ndarray, reference: np.ndarray, path: Pairs) -> float:
    """Share of the pairs of frames of which only one is voiced.

    Parameters and errors are those of `log_f0_rmse`.

    Returns
    -------
    float
        In 0..1.
    """
    one, other = _paired(converted, reference, path)
    return float(((one > 0) != (other > 0)).mean())


def _voiced_log_f0(converted: np.ndarray, reference: np.ndarray, path: Pairs) -> tuple[np.ndarray, np.ndarray]:
    one, other = _paired(converted, reference, path)
    voiced = (one > 0) & (other > 0)
    return np.log(one[voiced]), np.log(other[voiced])


def _paired(converted: np.ndarray, reference: np.ndarray, path: Pairs) -> tuple[np.ndarray, np.ndarray]:
    for name, track, indices in zip(("converted", "reference"), (converted, reference), path):
        if track.ndim != 1 or not np.isfinite(track).all() or (track < 0).any():
            raise DataError(f"{name} F0 must be (frames,) of finite values, 0 or above, got shape {track.shape}")
        if len(indices) == 0 or indices.max() >= len(track):
            raise DataError(f"a path must be non-empty and within the {len(track)} frames of the {name} F0")
    return converted[path[0]], reference[path[1]]
