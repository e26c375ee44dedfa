"""F0: tracked in a recording, summarised over a speaker's recordings, and mapped from one speaker's to another's.

Tracking is by normalised cross-correlation: peaks over the lag are candidates, and the best path through them is the
F0. The correlation is RAPT's (Talkin, "A robust algorithm for pitch tracking", in Speech Coding and Synthesis, Elsevier
1995), of two stretches of the waveform one lag apart. Differs from RAPT: the two lie evenly around the frame's time
and last in proportion to the lag, so that a high voice keeps its onsets and a low one its periods; and there is one
pass, for a lag's running sums give every frame at once. The path is that of Boersma, "Accurate short-term analysis of
the fundamental frequency and the harmonics-to-noise ratio of a sampled sound", Proc. Inst. Phonetic Sciences 17,
Amsterdam 1993: an unvoiced candidate of fixed strength, costs for octave jumps and for changes of voicing. Ours is,
too, that frames no louder than a recording's quietest are a pause, in which hum or music is no voice. What the numbers
below do to the errors was measured: docs/experiments.md, 2026-11-22 and 2026-11-26. A steady pure tone above the
range, a whistle, repeats itself at its subharmonics too, and is taken for one of them.

Statistics are of loud and clearly periodic frames. Hum, noise and what else fills pauses are neither: a search that
takes every voiced frame finds the hum of a recording in which it lies 40 dB below the speech (docs/experiments.md,
2026-11-26).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vc.config import require
from vc.corpus import audio
from vc.errors import ConfigError, DataError

LOWEST_F0, HIGHEST_F0 = 20.0, 2000.0  # Hz; beyond, native code is given no F0

SEARCH_RATE = 8000  # Hz; a higher one lets in more noise, a lower one has few lags in a high voice's period
SMOOTHING = (0.25, 0.5, 0.25)  # half the amplitude at 2 kHz, so that a parabola fits a correlation's peak
PERIODS = 2.0  # lags that a stretch lasts
SHORTEST_STRETCH = 0.015  # seconds
FAINT = 3e-4  # power, of the loud samples', at which a frame's correlation is lowered by 3 dB
CANDIDATES = 4  # of a frame, beside the unvoiced one
OCTAVE_GAIN = 0.02  # of strength an octave up: a period and its multiples correlate alike, and the period has to win
UNVOICED_STRENGTH = 0.30  # of the unvoiced candidate
OCTAVE_JUMP_COST = 0.5  # of an octave between frames 10 ms apart
VOICING_COST = 0.25  # of a change of voicing between frames 10 ms apart
BLOCK = 2048  # frames worked on at once: memory depends on it, results do not
NO_CANDIDATE = -9.0  # strength of what is no peak
QUIETEST = 5.0  # % of the frames, whose power is that of noise and hum in pauses
ABOVE_QUIETEST = 4.0  # times that power: frames below it are a pause, and none of them is voiced
DIGITAL_SILENCE = 1e-8  # of the loud samples' power; fainter frames do not count as pauses
PAUSE = 10**-1.8  # of the loud samples' power; a louder frame is no pause
POWER_WINDOW = 0.025  # seconds over which a frame's power is taken, or twice the longest period
TINY = np.finfo(float).tiny  # so that digital silence correlates 0

LOUD_RANGE = 15.0  # dB below the mean power, weighted by power: speech, and no hum, where there is speech
CLEAR_PERIODICITY = 0.8  # two thirds or more of loud voiced frames lie higher, of loud whispered ones 6 % or fewer
WHISPERED_SHARE = 0.2  # of the loud frames that are clearly voiced; below it there is no F0
ENOUGH_LOUD = 1.0  # seconds of loud frames from which to decide whether there is an F0
FEWEST_CLEAR = 20  # clearly voiced frames from which to find a range
QUANTILES = (0.01, 0.99)  # of the clearly voiced frames within the main lobe
MAIN_LOBE = (0.7, 0.9)  # octaves below and above the median: beyond lie octave errors rather than speech
MARGIN = 2 ** (4 / 12)  # four semitones beyond the quantiles, for the quiet ends of phrases
SMALLEST_DEVIATION = 0.05  # of log F0; no voice moves less, and a map divides by it
FARTHEST = 4.0  # deviations of the target from its mean, beyond which no F0 is mapped


@dataclass(frozen=True)
class F0Range:
    """Where to look for F0, in Hz; the default reaches from a creaking voice to a soprano's highest notes."""

    floor: float = 30.0
    ceiling: float = 1400.0

    def __post_init__(self) -> None:
        if not LOWEST_F0 <= self.floor < self.ceiling <= HIGHEST_F0:
            raise ConfigError(
                f"F0 range must satisfy {LOWEST_F0:g} <= floor < ceiling <= {HIGHEST_F0:g} Hz,"
                f" got {self.floor}..{self.ceiling}"
            )


WIDEST_RANGE = F0Range()  # of the first pass


@dataclass(frozen=True)
class F0Track:
    """The F0 of a recording, and how reliable it is; frames are at the times at which WORLD sets them."""

    f0: np.ndarray  # (frames,) Hz, 0 where unvoiced
    times: np.ndarray  # (frames,) seconds
    periodicity: np.ndarray  # (frames,) normalised correlation at the F0's period, in -1..1; 0 where unvoiced
    power: np.ndarray  # (frames,) mean square of the samples around, below 2 kHz or so


def frame_times(samples: int, rate: int, frame_shift: float) -> np.ndarray:
    """`(frames,)` seconds: where WORLD sets the frames of so many samples at `rate` Hz, every `frame_shift` ms."""
    return np.arange(int(1000.0 * samples / rate / frame_shift) + 1) * frame_shift / 1000


def track_f0(samples: np.ndarray, rate: int, f0_range: F0Range, frame_shift: float) -> F0Track:
    """F0 by the best path through the peaks of the correlation.

    F0 is a mean over three periods or more; StoneMask refines it to the frequency at the frame itself.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`, of any level and offset.
    rate : int
        Hz, of the samples.
    f0_range : F0Range
        Hz, between which F0 is looked for.
    frame_shift : float
        Milliseconds.

    Returns
    -------
    F0Track
        Of `frame_times(len(samples), rate, frame_shift)`.
    """
    floor, ceiling = f0_range.floor, f0_range.ceiling
    times = frame_times(len(samples), rate, frame_shift)
    centred = np.pad(samples - samples.mean(dtype=np.float64), (0, rate // SEARCH_RATE))  # one sample leaves one, too
    low = audio.resample(centred.astype(np.float32), rate, SEARCH_RATE).astype(np.float64)
    period = round(SEARCH_RATE / floor)
    low = low - _filtered(low, np.full(period, 1 / period))  # without what drifts
    low = _filtered(low, np.array(SMOOTHING))  # nor hisses
    power = np.square(low)
    loud = power[power >= power.mean()].mean()
    lags = np.arange(int(SEARCH_RATE / ceiling) - 1, int(SEARCH_RATE / floor) + 3)
    blocks = [times[start : start + BLOCK] for start in range(0, len(times), BLOCK)]
    candidates = [find_candidates(_correlations(low, block, lags, FAINT * loud), lags, f0_range) for block in blocks]
    f0, strength = (np.concatenate(parts) for parts in zip(*candidates))
    path = np.arange(len(f0)), _best_path(f0, strength, 10 / frame_shift)
    f0, strength = f0[path], strength[path]

    half = round(max(POWER_WINDOW, 2 / floor) * SEARCH_RATE / 2)
    centres, sums = np.round(times * SEARCH_RATE).astype(int), _running_sums(power)
    first, last = (np.clip(centres + side, 0, len(power)) for side in (-half, half))
    powers = (sums[last] - sums[first]) / (2 * half)
    sounding = powers[powers > DIGITAL_SILENCE * loud]
    quietest = np.percentile(sounding, QUIETEST) if len(sounding) else 0.0
    f0 = np.where(powers < min(ABOVE_QUIETEST * quietest, PAUSE * loud), 0.0, f0)
    voiced = f0 > 0
    octaves = np.log2(f0, out=np.zeros_like(f0), where=voiced) - np.log2(floor)
    periodicity = np.where(voiced, strength - OCTAVE_GAIN * octaves, 0.0)
    return F0Track(f0, times, periodicity, powers)


def _filtered(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """`(samples,)` filtered by a response centred on each of them."""
    return np.convolve(samples, response)[len(response) // 2 :][: len(samples)]


def _running_sums(values: np.ndarray) -> np.ndarray:
    """`(n + 1,)`: running sums of `(n,)` from 0 on."""
    return np.concatenate([[0.0], np.cumsum(values)])


def _correlations(samples: np.ndarray, times: np.ndarray, lags: np.ndarray, faint: float) -> np.ndarray:
    """`(frames, lags)` in -1..1: correlation of two stretches around each time that lie a lag apart."""
    widths = np.maximum(round(SHORTEST_STRETCH * SEARCH_RATE), (PERIODS * lags).astype(int))
    reach = (lags[-1] + widths[-1]) // 2 + 1
    centres = np.round(times * SEARCH_RATE).astype(int)
    first, last = centres[0] - reach, centres[-1] + reach + 1
    piece = np.pad(samples[max(0, first) : last], (max(0, -first), max(0, last - len(samples))))
    centres -= first
    energies = _running_sums(np.square(piece))
    correlations = np.empty((len(times), len(lags)))
    for column, (lag, width) in enumerate(zip(lags, widths)):
        starts = centres - (lag + width) // 2
        products = _running_sums(piece[:-lag] * piece[lag:])
        energy = energies[starts + width] - energies[starts]
        energy_later = energies[starts + lag + width] - energies[starts + lag]
        scale = np.sqrt(np.abs(energy * energy_later) + (faint * width) ** 2)
        correlations[:, column] = (products[starts + width] - products[starts]) / (scale + TINY)
    return correlations


def find_candidates(
    correlations: np.ndarray, lags: np.ndarray, f0_range: F0Range, *, rate: float = SEARCH_RATE
) -> tuple[np.ndarray, np.ndarray]:
    """F0 in Hz and strength of the highest peaks of each frame, each `(frames, candidates + 1)`; last the unvoiced.

    Correlations are `(frames, lags)`, lags in samples at `rate` Hz.
    """
    before, middle, after = correlations[:, :-2], correlations[:, 1:-1], correlations[:, 2:]
    peaks = (middle > before) & (middle >= after)
    curvature = np.where(peaks, before - 2 * middle + after, -1.0)
    shift = np.where(peaks, 0.5 * (before - after) / curvature, 0.0)  # of the parabola through the three
    f0 = rate / (lags[1:-1] + shift)
    strength = middle - 0.25 * (before - after) * shift + OCTAVE_GAIN * np.log2(f0 / f0_range.floor)
    within = (f0 >= f0_range.floor) & (f0 <= f0_range.ceiling)
    strength = np.where(peaks & within, strength, NO_CANDIDATE)
    count = min(CANDIDATES, f0.shape[1])
    best = np.argpartition(-strength, count - 1, axis=1)[:, :count]
    rows = np.arange(len(best))[:, None]  # faster than take_along_axis and pad, for single frames much
    candidates, strengths = np.zeros((len(best), count + 1)), np.full((len(best), count + 1), UNVOICED_STRENGTH)
    candidates[:, :count], strengths[:, :count] = f0[rows, best], strength[rows, best]
    return candidates, strengths


def transition_costs(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """`(frames, candidates after, candidates before)`: cost of going from one F0 to another, or to unvoiced, in 10 ms.

    Both are `(frames, candidates)` in Hz, 0 where unvoiced.
    """
    octaves = [np.log2(np.where(f0 > 0, f0, 1.0)) for f0 in (before, after)]
    jumps = OCTAVE_JUMP_COST * np.abs(octaves[1][:, :, None] - octaves[0][:, None, :])
    same = (after > 0)[:, :, None] == (before > 0)[:, None, :]
    return np.where(same, jumps, VOICING_COST)


def _best_path(f0: np.ndarray, strength: np.ndarray, pace: float) -> np.ndarray:
    """`(frames,)` candidate of each frame on the path of greatest strength less `pace` times its costs (Viterbi)."""
    totals, back_pointers = strength[0], []
    for start in range(1, len(f0), BLOCK):
        stop = min(start + BLOCK, len(f0))
        costs = pace * transition_costs(f0[start - 1 : stop - 1], f0[start:stop])
        heads = np.empty((stop - start, len(totals)))
        for frame, (cost, gain) in enumerate(zip(costs, strength[start:stop])):
            heads[frame] = totals
            totals = (totals - cost).max(axis=1) + gain
        back_pointers += (heads[:, None, :] - costs).argmax(axis=2).tolist()
    path = [int(totals.argmax())]
    for choices in reversed(back_pointers):
        path.append(choices[path[-1]])
    return np.array(path[::-1])


@dataclass(frozen=True)
class LogF0:
    """Mean and deviation of natural log F0 over a speaker's clearly voiced frames."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, f0: np.ndarray) -> "LogF0":
        """Of voiced values `(frames,)` in Hz."""
        values = np.log(f0, dtype=np.float64)
        return cls(float(values.mean()), float(max(values.std(), SMALLEST_DEVIATION)))


@dataclass(frozen=True)
class F0Statistics:
    """A speaker's F0: where to look for it, and how it is distributed; both None of one who whispers."""

    f0_range: F0Range | None
    log_f0: LogF0 | None

    @classmethod
    def of(cls, f0: np.ndarray) -> "F0Statistics":
        """Of clearly voiced values `(frames,)` in Hz; values outside the main lobe do not count."""
        octaves = np.log2(f0 / np.median(f0))
        f0 = f0[(octaves > -MAIN_LOBE[0]) & (octaves < MAIN_LOBE[1])]
        low, high = np.quantile(f0, QUANTILES)
        floor, ceiling = max(WIDEST_RANGE.floor, low / MARGIN), min(WIDEST_RANGE.ceiling, high * MARGIN)
        return cls(F0Range(round(float(floor), 1), round(float(ceiling), 1)), LogF0.of(f0))


WHISPER = F0Statistics(None, None)


def loud_frames(power: np.ndarray, faintest: float = 0.0) -> np.ndarray:
    """`(frames,)`, true for a frame of `(frames,)` powers within 15 dB of the mean power weighted by power.

    So weighted, the mean is that of what is loud, however long the pauses are. Nothing below `faintest` is loud.
    """
    total = power.sum()
    reference = np.square(power).sum() / total if total > 0 else np.inf
    return power > max(reference * 10 ** (-LOUD_RANGE / 10), faintest)


def clear_frames(track: F0Track, loud: np.ndarray) -> np.ndarray:
    """`(frames,)`, true for a `loud` frame that is clearly voiced."""
    return loud & (track.f0 > 0) & (track.periodicity > CLEAR_PERIODICITY)


def whispers(clear: np.ndarray, loud: np.ndarray, frame_rate: float) -> bool:
    """Whether there is enough loud speech to conclude that it has no F0."""
    return loud.sum() >= ENOUGH_LOUD * frame_rate and clear.sum() < WHISPERED_SHARE * loud.sum()


def f0_statistics(
    tracks: Iterable[F0Track], frame_rate: float, speaker: str, *, search: F0Range | None = None
) -> F0Statistics:
    """F0 search range and statistics of one speaker.

    Parameters
    ----------
    tracks : iterable of F0Track
        Of each recording, as `track_f0` finds it between the widest limits, or in `search`.
    frame_rate : float
        Frames a second.
    speaker : str
        For an error.
    search : F0Range, optional
        Where F0 was looked for, if a user set it; it is then the speaker's range.

    Returns
    -------
    F0Statistics
        WHISPER where there is enough speech, and no F0.

    Raises
    ------
    DataError
        Too few frames are voiced to find an F0, and too few are loud to conclude that the speaker whispers.
    """
    masks = []  # each recording by itself: one of another loudness, or full of noise, does not decide for the rest
    for track in tracks:
        loud = loud_frames(track.power)
        masks.append((track.f0, loud, clear_frames(track, loud)))
    f0, loud, clear = (np.concatenate(parts) for parts in zip((np.zeros(0), *[np.zeros(0, bool)] * 2), *masks))
    if search is None and whispers(clear, loud, frame_rate):
        return WHISPER
    if clear.sum() < FEWEST_CLEAR:
        raise DataError(f"{speaker}: {clear.sum()} clearly voiced frames are too few to find an F0 range")
    statistics = F0Statistics.of(f0[clear])
    return statistics if search is None else F0Statistics(search, statistics.log_f0)


@dataclass(frozen=True)
class F0Options:
    """How F0 is converted."""

    keep: bool = False  # the source's F0 instead of the map to the target's
    shift: float = 0.0  # semitones up
    scale: float = 1.0  # of the movement around the mean: below 1 flatter, above livelier

    def __post_init__(self) -> None:
        require(abs(self.shift) <= 48, f"an F0 shift must be within 48 semitones, got {self.shift}")
        require(0 <= self.scale <= 10, f"an F0 scale must be in 0..10, got {self.scale}")

    def check_method(self, method: str) -> None:
        """Raise ConfigError if a conversion by `method`, `world` or `diff`, cannot change F0 so: a filter leaves it."""
        unchanged = method == "world" or self == F0Options(keep=self.keep)
        require(unchanged, f"method {method} cannot change F0; world can")


DEFAULT_F0 = F0Options()


def map_f0(f0: np.ndarray, source: LogF0 | None, target: LogF0 | None, options: F0Options = DEFAULT_F0) -> np.ndarray:
    """Map F0 from the source's log-Gaussian to the target's.

    The usual map of statistical voice conversion: log F0 normalised by the source's mean and deviation and brought to
    the target's; CycleGAN-VC and its reproductions use it. Ours is that nothing is mapped farther than four deviations
    of the target from its mean.

    Parameters
    ----------
    f0 : np.ndarray
        Shape `(frames,)`, Hz, 0 where unvoiced.
    source, target : LogF0 or None
        Statistics of both speakers; None of one who whispers, who neither gives an F0 nor gets one.
    options : F0Options
        What else to do to it.

    Returns
    -------
    np.ndarray
        Shape `(frames,)`, Hz, 0 where unvoiced.
    """
    target = source if options.keep else target
    mapped = np.zeros_like(f0)
    if source is None or target is None:
        return mapped
    voiced = f0 > 0
    standard = options.scale * (np.log(f0[voiced]) - source.mean) / source.deviation
    if not options.keep:
        standard = np.clip(standard, -FARTHEST, FARTHEST)
    mapped[voiced] = np.exp(standard * target.deviation + target.mean + options.shift * np.log(2) / 12)
    return mapped
