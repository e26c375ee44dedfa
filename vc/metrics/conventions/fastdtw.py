"""FastDTW: a path through two sequences of frames near the cheapest one, as many evaluation scripts take it.

Salvador and Chan, "FastDTW: toward accurate dynamic time warping in linear time and space", Intelligent Data Analysis
11, 2007: only what lies within `radius` of the path of both sequences at half the length is searched. Our own measures
take the exact path of `vc.metrics.alignment`; this one is for comparing figures with others'.
"""

from itertools import pairwise

import numpy as np

from vc.config import require
from vc.metrics.alignment import require_alignable
from vc.metrics.arrays import takes_lists

Window = tuple[np.ndarray, np.ndarray]  # first and last frame of the other side, for each frame of the one
DOWN, ACROSS, DIAGONAL = (1, 0), (0, 1), (1, 1)  # steps, in frames of the one and of the other


@takes_lists
def fast_align(one: np.ndarray, other: np.ndarray, radius: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A nearly cheapest path through two sequences of frames.

    Steps (1, 0), (0, 1) and (1, 1) of equal weight, Euclidean distances; the first of the cheapest steps in this order
    wins, as in the pure-Python form of the package fastdtw 0.3.4; its compiled form differs in ties and at the window's
    edges.

    Parameters
    ----------
    one, other : np.ndarray
        Shape `(frames, bands)`, finite.
    radius : int
        Frames on either side of the coarser path that are searched, 1 or more.

    Returns
    -------
    tuple of np.ndarray
        Indices `(path,)` into the frames of each side, from the first pair of frames to the last.

    Raises
    ------
    DataError
        If the sequences are empty, too long, not finite or of different bands.
    ConfigError
        If the radius is below 1.
    """
    require_alignable(one, other)
    require(radius >= 1, f"the radius of FastDTW must be at least 1, got {radius}")
    rows, columns = np.array(_path(one.astype(np.float64), other.astype(np.float64), radius)).T
    return rows, columns


def _path(one: np.ndarray, other: np.ndarray, radius: int) -> list[tuple[int, int]]:
    if min(len(one), len(other)) < radius + 2:
        window = np.zeros(len(one), int), np.full(len(one), len(other) - 1)
    else:
        window = _window(_path(_halved(one), _halved(other), radius), len(one), len(other), radius)
    return _cheapest_path(one, other, window)


def _halved(frames: np.ndarray) -> np.ndarray:
    """Means of neighbours, `(frames // 2, bands)`."""
    even = len(frames) // 2 * 2
    return (frames[:even:2] + frames[1:even:2]) / 2


def _window(path: list[tuple[int, int]], rows: int, columns: int, radius: int) -> Window:
    """What lies within `radius` of a path through the halved sequences, at the full lengths."""
    coarse_rows, coarse_columns = np.array(path).T
    count = coarse_rows[-1] + 1
    first = coarse_columns[np.searchsorted(coarse_rows, np.arange(count), "left")]
    last = coarse_columns[np.searchsorted(coarse_rows, np.arange(count), "right") - 1]
    middle = np.arange(rows) // 2
    low = 2 * (first[np.clip(middle - radius, 0, count - 1)] - radius)
    high = 2 * (last[np.clip(middle + radius, 0, count - 1)] + radius) + 1
    return np.maximum(low, 0), np.minimum(high, columns - 1)


def _cheapest_path(one: np.ndarray, other: np.ndarray, window: Window) -> list[tuple[int, int]]:
    """The path of least cost that stays in the window, by dynamic programming a row at a time."""
    low, high = window
    starts = np.concatenate([[0], np.cumsum(high - low + 1)])
    rows = np.repeat(np.arange(len(one)), high - low + 1)
    columns = np.arange(starts[-1]) + (low - starts[:-1])[rows]
    distances = np.sqrt(np.square(one[rows] - other[columns]).sum(axis=1)).tolist()
    steps, costs, previous_low = [], [0.0], -1  # the row before the first has one pair, before the first column
    for row, (start, stop) in enumerate(pairwise(starts)):
        # Costs of the row before from one column before this row's first; infinite outside its window
        first, length = low[row] - 1, stop - start + 1
        missing = previous_low - first
        above = costs[-missing:] if missing <= 0 else [np.inf] * missing + costs
        above = above[:length] + [np.inf] * (length - len(above))
        costs, row_steps, left = [], [], np.inf
        for corner, up, distance in zip(above, above[1:], distances[start:stop]):
            if up <= left and up <= corner:
                best, step = up, DOWN
            elif left <= corner:
                best, step = left, ACROSS
            else:
                best, step = corner, DIAGONAL
            left = best + distance
            costs.append(left)
            row_steps.append(step)
        steps.append(row_steps)
        previous_low = low[row]
    row, column, path = len(one) - 1, len(other) - 1, []
    while row >= 0:  # the first pair's step leaves the table
        path.append((row, int(column)))
        down, across = steps[row][column - low[row]]
        row, column = row - down, column - across
    return path[::-1]
