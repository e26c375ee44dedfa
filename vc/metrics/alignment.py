"""Exact dynamic time warping of two sequences of frames."""

import numpy as np

from vc.errors import DataError
from vc.metrics.arrays import takes_lists

MAX_PAIRS = 400_000_000  # pairs of frames, one byte each: two recordings of 100 s at 5 ms
STEPS = np.array([(1, 1), (1, 0), (0, 1)])  # in frames of `one` and of `other`; the first wins a tie


def require_alignable(one: np.ndarray, other: np.ndarray) -> None:
    """Check two sequences of frames before alignment.

    Parameters
    ----------
    one, other : np.ndarray
        Shape `(frames, bands)`.

    Raises
    ------
    DataError
        If one is empty, too long or not finite, or they differ in bands.
    """
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise DataError(
            f"expected two (frames, bands) with an equal number of bands, got shapes {one.shape} and {other.shape}"
        )
    if len(one) == 0 or len(other) == 0:
        raise DataError(f"cannot align {len(one)} frames with {len(other)}")
    if len(one) * len(other) > MAX_PAIRS:
        raise DataError(f"{len(one)} and {len(other)} frames are too long to align: cut the recordings into sentences")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise DataError("frames to align must be finite")


@takes_lists
def align(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Align two sequences of frames by dynamic time warping.

    The path has steps (1, 1), (1, 0) and (0, 1) of equal weight and the smallest sum of Euclidean distances: Sakoe and
    Chiba, "Dynamic programming algorithm optimization for spoken word recognition", IEEE Trans. ASSP 26, 1978, without
    a band around the diagonal and without the double weight of diagonal steps.

    Parameters
    ----------
    one, other : np.ndarray
        Shape `(frames, bands)`, finite.

    Returns
    -------
    tuple of np.ndarray
        Indices `(path,)` into the frames of each side, from the first pair of frames to the last.

    Raises
    ------
    DataError
        If a sequence is empty, too long or not finite, or they differ in bands.
    """
    require_alignable(one, other)
    steps = _best_steps(one.astype(np.float64), other.astype(np.float64))
    pair = np.array(steps.shape) - 1
    path = [pair]
    while pair.any():
        pair = pair - STEPS[steps[tuple(pair)]]
        path.append(pair)
    rows, columns = np.array(path[::-1]).T
    return rows, columns


def _best_steps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`(frames of one, frames of other)`: index of the cheapest step to each pair.

    A pair depends only on the two previous anti-diagonals, so that each anti-diagonal is computed by one array
    operation. Costs are indexed by the frame of `one` plus one: index 0 is before the first frame.
    """
    steps = np.zeros((len(one), len(other)), np.uint8)
    skewed, width = steps.reshape(-1), len(other) - 1  # an anti-diagonal is a strided slice of `skewed`
    backwards = other[::-1]
    before, last = np.full((2, len(one) + 1), np.inf)  # costs on the two previous anti-diagonals
    before[0] = 0  # the origin, before the first pair
    for diagonal in range(len(one) + len(other) - 1):
        first, end = max(0, diagonal - len(other) + 1), min(diagonal + 1, len(one))  # rows
        column = width - diagonal + first  # of `backwards`
        distances = np.sqrt(np.square(one[first:end] - backwards[column : column + end - first]).sum(axis=1))
        costs, down, across = before[first:end], last[first:end], last[first + 1 : end + 1]
        best = (down < costs).astype(np.uint8)
        costs = np.minimum(costs, down)
        best[across < costs] = 2
        skewed[first * width + diagonal : (end - 1) * width + diagonal + 1 : max(1, width)] = best
        before, last = last, np.full(len(one) + 1, np.inf)
        last[first + 1 : end + 1] = distances + np.minimum(costs, across)
    return steps
