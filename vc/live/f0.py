"""Online F0 tracking: the method of vc/features/f0.py with bounded memory and look-ahead.

Each frame's correlations depend on the samples around it. The levels of speech and pauses, which offline come from the
whole recording, are taken from the last few seconds; and the best path through the candidates is decided with the same
look-ahead as the conversion.
"""

import math
from collections import deque

import numpy as np

from vc.features import f0 as offline
from vc.features.f0 import F0Range
from vc.features.world import WorldConfig

LOWEST = 45.0  # Hz, lowest F0 of an online search: three periods must fit into the available samples
MEMORY = 3.0  # seconds from which the levels of speech and pauses are taken
PARTS = 12  # of that time, which are dropped one at a time
LOUD = 0.25  # of the loudest frame's power: close to the mean of the loud samples, which vc/features/f0.py uses
USUAL = 1e-3  # power of loud samples (full scale is 1) in quiet speech, assumed before anybody has spoken
ABOVE_LOWEST = 3.0  # times the lowest power: about the percentile QUIETEST of a whole recording
LEVEL_BLOCK = 0.5  # seconds of loud voiced frames over which the level is a mean
ANOTHER_SOUND = 10.0  # times the mean power so far of such a block: a louder frame is no part of it
EMPTY = 1e-10  # power of digital silence (full scale is 1)


class Extremes:
    """Running minimum and maximum over the last MEMORY seconds."""

    def __init__(self, frame_rate: float):
        self._length = max(1, round(MEMORY * frame_rate / PARTS))
        self._count = 0
        self._parts: deque[tuple[float, float]] = deque(maxlen=PARTS)  # those that are over
        self._before = self._now = math.inf, -math.inf  # of the parts that are over, and of the current one

    def push(self, value: float) -> tuple[float, float]:
        """Add a value; return the minimum and maximum including it."""
        if self._count == self._length:
            self._parts.append(self._now)
            lows, highs = zip(*self._parts)
            self._before, self._now, self._count = (min(lows), max(highs)), (math.inf, -math.inf), 0
        self._count += 1
        self._now = min(self._now[0], value), max(self._now[1], value)
        return min(self._before[0], self._now[0]), max(self._before[1], self._now[1])


class F0Tracker:
    """Tracks F0 frame by frame.

    Parameters
    ----------
    config : WorldConfig
        Sample rate and frame shift.
    f0_range : F0Range or None
        Search range; None for a speaker who whispers: all frames are unvoiced.
    after : int
        Number of samples after a frame's centre that may be used.
    wait : int
        Number of frames after which a frame's F0 is decided.

    Attributes
    ----------
    level : float or None
        Level as in F0Statistics of the loudest LEVEL_BLOCK of loud voiced frames so far; None before the first.
    """

    def __init__(self, config: WorldConfig, f0_range: F0Range | None, after: int, wait: int):
        self._frame_rate, self._wait, self._range = config.frame_rate, wait, f0_range
        self._pace = 10 / config.frame_shift
        self._factor = max(1, config.sample_rate // 7000)  # decimation to 7 to 8 kHz
        self._rate = config.sample_rate / self._factor
        # Halves the amplitude at a quarter of the lower rate, like SMOOTHING, and removes half of it.
        kernel = np.hanning(4 * self._factor + 1)[:-1]
        self._kernel = kernel / kernel.sum()
        self.before = 0  # number of samples before a frame's centre that are used
        self.lowest = config.unvoiced_f0 if f0_range is None else max(LOWEST, f0_range.floor)  # Hz
        if f0_range is not None:
            self._plan(self.lowest, after)
        self.reset()

    def _plan(self, floor: float, after: int) -> None:
        """Compute the positions of each lag's two segments, as indices into the samples at the lower rate."""
        self._search = F0Range(floor, max(1.5 * floor, self._range.ceiling))
        lags = np.arange(int(self._rate / self._search.ceiling) - 1, int(self._rate / floor) + 3)
        self._lags = lags[lags >= 1]
        widths = np.maximum(round(offline.SHORTEST_SEGMENT * self._rate), (offline.PERIODS * self._lags).astype(int))
        future = after // self._factor - 3  # samples after the centre; the filters take three
        reach = (self._lags + widths + 1) // 2
        starts = np.minimum(-reach, future - self._lags - widths)  # relative to the centre, ending within `future`
        self._longest = round(self._rate / floor)
        past = int(-starts.min())
        self._count = past + future + 1 + self._longest
        self.before = (past + self._longest + 6) * self._factor
        first = starts + past + self._longest  # the running mean takes as many
        offsets = np.arange(widths.max())
        inside = offsets < widths[:, None]
        self._widths = widths
        self._starts = np.stack([first, first + self._lags])
        self._ends = self._starts + widths
        # indices into the band; beyond a segment's end, of the zero that `push` appends
        self._earlier = np.where(inside, first[:, None] + offsets, self._count + 1)
        self._later = np.where(inside, self._earlier + self._lags[:, None], self._count + 1)
        half = round(offline.POWER_WINDOW * self._rate / 2)
        centre = past + self._longest
        self._power_window = slice(centre - half, min(centre + half, self._count))

    def reset(self) -> None:
        """Start over with a recording's first frame."""
        self._extremes = Extremes(self._frame_rate)
        self._block = np.zeros(2)  # number and mean power of the latest loud voiced frames
        self._loudest_block = 0.0  # mean power
        self._totals: np.ndarray | None = None
        self._f0: deque[np.ndarray] = deque(maxlen=self._wait + 1)
        self._back_pointers: deque[np.ndarray] = deque(maxlen=self._wait + 1)

    def push(self, samples: np.ndarray) -> tuple[float, float]:
        """Track the next frame.

        Parameters
        ----------
        samples : np.ndarray
            The samples around the frame: `before` of them, the centre, and those after it.

        Returns
        -------
        float
            Preliminary F0 of the frame in Hz, 0 where unvoiced.
        float
            Final F0 of the frame `wait` frames earlier.
        """
        if self._range is None:
            return 0.0, 0.0
        band = np.convolve(samples, self._kernel, "valid")[:: -self._factor][: self._count + 1][::-1]
        sums = np.concatenate([[0.0], np.cumsum(band)])
        band[self._longest :] -= (sums[self._longest + 1 :] - sums[1 : -self._longest]) / self._longest
        around = band[self._power_window]
        power = float(around @ around) / len(around)
        quietest, loudest = self._extremes.push(max(power, EMPTY))
        loud = max(LOUD * loudest, USUAL)
        sums = np.concatenate([[0.0], np.cumsum(np.square(band))])
        energies = sums[self._ends] - sums[self._starts]  # of each lag's two segments
        scale = np.sqrt(np.abs(energies[0] * energies[1]) + (offline.FAINT * loud * self._widths) ** 2) + offline.TINY
        band = np.concatenate([band, [0.0]])
        correlations = np.einsum("ij,ij->i", band[self._earlier], band[self._later]) / scale
        f0, strength = offline.find_candidates(correlations[None], self._lags, self._search, rate=self._rate)
        if power < min(offline.ABOVE_QUIETEST * ABOVE_LOWEST * quietest, offline.PAUSE * loud):  # a pause
            strength = np.where(f0 > 0, offline.NO_CANDIDATE, strength)
        decided = self._search_step(f0[0], strength[0])
        if decided[0] > 0 and power > LOUD * loudest * 10 ** (-offline.LOUD_RANGE / 10):
            self._learn_level(power)
        return decided

    def _learn_level(self, power: float) -> None:
        """Add a loud voiced frame to the present block, or begin another one."""
        count, mean = self._block
        if power > ANOTHER_SOUND * mean or count >= LEVEL_BLOCK * self._frame_rate:
            count = 0
        self._block = np.array([count + 1, (count * mean + power) / (count + 1)])
        if self._block[0] >= LEVEL_BLOCK * self._frame_rate:
            self._loudest_block = max(self._loudest_block, float(self._block[1]))

    @property
    def level(self) -> float | None:
        loudest = max(self._loudest_block, float(self._block[1]))
        return offline.decibels(np.array(loudest)) if loudest > 0 else None

    def _search_step(self, f0: np.ndarray, strength: np.ndarray) -> tuple[float, float]:
        """One step of the Viterbi search, and back-tracking to the frame that is decided."""
        if self._totals is None:
            back_pointers, totals = np.arange(len(f0)), strength
        else:
            scores = self._totals - self._pace * offline.transition_costs(self._f0[-1][None], f0[None])[0]
            back_pointers = scores.argmax(axis=1)
            totals = scores[np.arange(len(f0)), back_pointers] + strength
        self._totals = totals - totals.max()
        self._f0.append(f0)
        self._back_pointers.append(back_pointers)
        candidate = best = int(self._totals.argmax())
        for step in range(len(self._f0) - 1, 0, -1):
            candidate = int(self._back_pointers[step][candidate])
        return float(f0[best]), float(self._f0[0][candidate])
