"""FastDTW: approximate dynamic time warping, as used by many evaluation scripts.

Salvador and Chan, "FastDTW: toward accurate dynamic time warping in linear time and space", Intelligent Data Analysis
11, 2007: the search is restricted to pairs within `radius` of the path found at half the resolution. The toolkit's own
metrics use the exact path of `vc.metrics.alignment`; this one is for comparison with other toolkits' values.
"""

from itertools import pairwise

import numpy as np

from vc.config import require
from vc.metrics.alignment import require_alignable
from vc.metrics.arrays import takes_lists

Window = tuple[np.ndarray, np.ndarray]  # first and last frame of `other` for each frame of `one`
DOWN, ACROSS, DIAGONAL = (1, 0), (0, 1), (1, 1)  # steps, in frames of `one` and of `other`


@takes_lists
def fast_align(one: np.ndarray, other: np.ndarray, radius: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Align two sequences of frames by FastDTW.

    Steps (1, 0), (0, 1) and (1, 1) of equal weight, Euclidean distances. In a tie, the first step in this order wins,
    as in the pure-Python version of the package fastdtw 0.3.4; its compiled version differs in ties and at the edges of
    the window.

    Parameters
    ----------
    one, other : np.ndarray
        Shape `(frames, bands)`, finite.
    radius : int
        Frames searched on either side of the coarser path, 1 or more.

    Returns
    -------
    tuple of np.ndarray
        Indices `(path,)` into the frames of each side, from the first pair of frames to the last.

    Raises
    ------
    DataError
        If a sequence is empty, too long or not finite, or they differ in bands.
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
    """Means of pairs of neighbouring frames, `(frames // 2, bands)`."""
    even = len(frames) // 2 * 2
    return (frames[:even:2] + frames[1:even:2]) / 2


def _window(path: list[tuple[int, int]], rows: int, columns: int, radius: int) -> Window:
    """The window within `radius` of a path at half the resolution, at full resolution."""
    coarse_rows, coarse_columns = np.array(path).T
    count = coarse_rows[-1] + 1
    first = coarse_columns[np.searchsorted(coarse_rows, np.arange(count), "left")]
    last = coarse_columns[np.searchsorted(coarse_rows, np.arange(count), "right") - 1]
    middle = np.arange(rows) // 2
    low = 2 * (first[np.clip(middle - radius, 0, count - 1)] - radius)
    high = 2 * (last[np.clip(middle + radius, 0, count - 1)] + radius) + 1
    return np.maximum(low, 0), np.minimum(high, columns - 1)


def _cheapest_path(one: np.ndarray, other: np.ndarray, window: Window) -> list[tuple[int, int]]:
    """The cheapest path within the window, by dynamic programming row by row."""
    low, high = window
    starts = np.concatenate([[0], np.cumsum(high - low + 1)])
    rows = np.repeat(np.arange(len(one)), high - low + 1)
    columns = np.arange(starts[-1]) + (low - starts[:-1])[rows]
    distances = np.sqrt(np.square(one[rows] - other[columns]).sum(axis=1)).tolist()
    steps, costs, previous_low = [], [0.0], -1  # the row before the first has one pair, before the first column
    for row, (start, stop) in enumerate(pairwise(starts)):
        # Costs of the previous row, from one column before this row's first; infinite outside its window
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
