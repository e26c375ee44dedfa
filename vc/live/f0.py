"""F0 while one speaks: the search of vc/features/f0.py over a bounded past, decided after a few frames.

Each frame's correlations are a function of the samples around it. What a recording as a whole tells there, how loud
speech is and how quiet a pause, is told here by the last seconds; and of the best path through the candidates only so
much is waited for as the conversion looks ahead.
"""

import math
from collections import deque

import numpy as np

from vc.features import f0 as offline
from vc.features.f0 import F0Range
from vc.features.world import WorldConfig

LOWEST = 45.0  # Hz, of a search while one speaks: three periods must lie in the samples at hand
REMEMBERED = 3.0  # seconds over which speech and pauses are told apart
PARTS = 12  # of that time, forgotten one by one
LOUD = 0.25  # of the loudest frame's power: near the mean of what is loud, by which vc/features/f0.py goes
USUAL = 1e-3  # power, full scale being 1, of what is loud in quiet speech: before anybody has spoken
ABOVE_LOWEST = 3.0  # times the lowest power: where the quietest frames of a whole recording lie, or 5 % of them
EMPTY = 1e-10  # power, full scale being 1, of digital silence


class Extremes:
    """The lowest and the highest of the values of the last `REMEMBERED` seconds."""

    def __init__(self, frame_rate: float):
        self._length = max(1, round(REMEMBERED * frame_rate / PARTS))
        self._count = 0
        self._parts: deque[tuple[float, float]] = deque([(math.inf, -math.inf)], maxlen=PARTS + 1)

    def push(self, value: float) -> tuple[float, float]:
        """Take a value; give the lowest and the highest, it included."""
        if self._count == self._length:
            self._parts.append((math.inf, -math.inf))
            self._count = 0
        self._count += 1
        low, high = self._parts[-1]
        self._parts[-1] = min(low, value), max(high, value)
        return min(part[0] for part in self._parts), max(part[1] for part in self._parts)


class F0Tracker:
    """F0 frame after frame.

    Parameters
    ----------
    config : WorldConfig
        Rate of the samples and shift of the frames.
    f0_range : F0Range or None
        Where to look; None, of a voice that whispers: nothing is voiced.
    after : int
        Samples after a frame's centre that it may use.
    wait : int
        Frames after which it is decided.
    """

    def __init__(self, config: WorldConfig, f0_range: F0Range | None, after: int, wait: int):
        self._frame_rate, self._wait, self._range = config.frame_rate, wait, f0_range
        self._pace = 10 / config.frame_shift
        self._factor = max(1, config.sample_rate // 7000)  # to 7 to 8 kHz
        self._rate = config.sample_rate / self._factor
        # Half the amplitude at a quarter of the lower rate, as SMOOTHING has it, and none at half of it.
        kernel = np.hanning(4 * self._factor + 1)[:-1]
        self._kernel = kernel / kernel.sum()
        self.before = 0  # samples before a frame's centre that it uses
        self.lowest = config.unvoiced_f0 if f0_range is None else max(LOWEST, f0_range.floor)  # Hz
        if f0_range is not None:
            self._plan(self.lowest, after)
        self.reset()

    def _plan(self, floor: float, after: int) -> None:
        """Where the two stretches of each lag lie, as indices into the samples at the lower rate."""
        self._search = F0Range(floor, max(1.5 * floor, self._range.ceiling))
        lags = np.arange(int(self._rate / self._search.ceiling) - 1, int(self._rate / floor) + 3)
        self._lags = lags[lags >= 1]
        widths = np.maximum(round(offline.SHORTEST_SEGMENT * self._rate), (offline.PERIODS * self._lags).astype(int))
        here = after // self._factor - 3  # the centre lies as many before the last sample; filters take the rest
        reach = (self._lags + widths + 1) // 2
        starts = np.minimum(-reach, here - self._lags - widths)  # of the centre; none reaches beyond what is there
        self._longest = round(self._rate / floor)
        need = int(-starts.min())
        self._count = need + here + 1 + self._longest
        self.before = (need + self._longest + 6) * self._factor
        first = starts + need + self._longest  # the running mean eats as many
        spread = np.arange(widths.max())
        self._inside = spread < widths[:, None]
        self._widths = widths
        self._starts = np.stack([first, first + self._lags])
        self._ends = self._starts + widths
        self._one = np.where(self._inside, first[:, None] + spread, 0)
        self._other = np.where(self._inside, self._one + self._lags[:, None], 0)
        half = round(offline.POWER_WINDOW * self._rate / 2)
        centre = need + self._longest
        self._around = slice(centre - half, min(centre + half, self._count))

    def reset(self) -> None:
        """What comes next is a recording's first frame."""
        self._extremes = Extremes(self._frame_rate)
        self._totals: np.ndarray | None = None
        self._f0: deque[np.ndarray] = deque(maxlen=self._wait + 1)
        self._came_from: deque[np.ndarray] = deque(maxlen=self._wait + 1)

    def push(self, samples: np.ndarray) -> tuple[float, float]:
        """Take the samples around a frame, `before` of them, the centre and those after it.

        Returns
        -------
        float
            Hz, 0 where unvoiced: the frame's F0, by what is known so far.
        float
            The F0, decided, of the frame `wait` frames before.
        """
        if self._range is None:
            return 0.0, 0.0
        band = np.convolve(samples, self._kernel, "valid")[:: -self._factor][: self._count + 1][::-1]
        sums = np.concatenate([[0.0], np.cumsum(band)])
        band[self._longest :] -= (sums[self._longest + 1 :] - sums[1 : -self._longest]) / self._longest
        power = float(np.square(band[self._around]).mean())
        quietest, loudest = self._extremes.push(max(power, EMPTY))
        loud = max(LOUD * loudest, USUAL)
        sums = np.concatenate([[0.0], np.cumsum(np.square(band))])
        energies = sums[self._ends] - sums[self._starts]  # of the two stretches of each lag
        scale = np.sqrt(np.abs(energies[0] * energies[1]) + (offline.FAINT * loud * self._widths) ** 2) + offline.TINY
        correlations = np.einsum("ij,ij->i", band[self._one] * self._inside, band[self._other]) / scale
        f0, strength = offline.find_candidates(correlations[None], self._lags, self._search, rate=self._rate)
        if power < min(offline.ABOVE_QUIETEST * ABOVE_LOWEST * quietest, offline.PAUSE * loud):  # a pause
            strength = np.where(f0 > 0, offline.NO_CANDIDATE, strength)
        return self._decided(f0[0], strength[0])

    def _decided(self, f0: np.ndarray, strength: np.ndarray) -> tuple[float, float]:
        """One step of the search for the best path, and as many back as are waited for."""
        if self._totals is None:
            came_from, totals = np.arange(len(f0)), strength
        else:
            moves = self._totals - self._pace * offline.transition_costs(self._f0[-1][None], f0[None])[0]
            came_from = moves.argmax(axis=1)
            totals = moves[np.arange(len(f0)), came_from] + strength
        self._totals = totals - totals.max()
        self._f0.append(f0)
        self._came_from.append(came_from)
        place = now = int(self._totals.argmax())
        for step in range(len(self._f0) - 1, 0, -1):
            place = int(self._came_from[step][place])
        return float(f0[now]), float(self._f0[0][place])
