"""F0: tracking in a recording, statistics of a speaker, and mapping from one speaker to another.

Tracking is by normalised cross-correlation: its peaks over the lag are candidates, and F0 is the best path through
them. The correlation is RAPT's (Talkin, "A robust algorithm for pitch tracking", in Speech Coding and Synthesis,
Elsevier 1995), between two segments of the waveform one lag apart. Differs from RAPT: the segments are centred on the
frame and their length is proportional to the lag, which preserves onsets of high voices and periods of low ones; and
one pass is enough, because running sums give all frames of a lag at once. The path search is that of Boersma, "Accurate
short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled sound", Proc. Inst.
Phonetic Sciences 17, Amsterdam 1993: an unvoiced candidate of fixed strength, and costs for octave jumps and voicing
transitions. In addition, frames that are no louder than the quietest of a recording count as pauses, so that hum or
music in them is not voiced. The constants below were tuned by experiment: docs/experiments.md, 2026-11-22 and
2026-11-26. A steady pure tone above the range (a whistle) is also periodic at its subharmonics and tracked as one.

Statistics are taken over loud and clearly periodic frames, which excludes hum and noise in pauses: over all voiced
frames, they would be those of the hum even where it is 40 dB below the speech (docs/experiments.md, 2026-11-26).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from vc.config import require, require_type
from vc.corpus import audio
from vc.errors import ConfigError, DataError

LOWEST_F0, HIGHEST_F0 = 20.0, 2000.0  # Hz; the limits of any F0 that is passed to native code

SEARCH_RATE = 8000  # Hz; a higher rate admits more noise, a lower one leaves few lags in a high voice's period
SMOOTHING = (0.25, 0.5, 0.25)  # halves the amplitude at 2 kHz, so that a parabola fits a correlation peak
PERIODS = 2.0  # length of a segment in lags
SHORTEST_SEGMENT = 0.015  # seconds
FAINT = 3e-4  # of the power of loud samples; a frame of this power has its correlation lowered by 3 dB
CANDIDATES = 4  # per frame, without the unvoiced one
OCTAVE_GAIN = 0.02  # of strength per octave: multiples of a period correlate equally well, and the period must win
UNVOICED_STRENGTH = 0.30  # of the unvoiced candidate
OCTAVE_JUMP_COST = 0.5  # per octave between frames 10 ms apart
VOICING_COST = 0.25  # of a voicing transition between frames 10 ms apart
BLOCK = 2048  # frames processed at once; affects memory, not results
NO_CANDIDATE = -9.0  # strength where there is no peak
QUIETEST = 5.0  # percentile of frame power that stands for noise and hum in pauses
ABOVE_QUIETEST = 4.0  # times that power; quieter frames are pauses and unvoiced
DIGITAL_SILENCE = 1e-8  # of the power of loud samples; quieter frames are ignored in the percentile
PAUSE = 10**-1.8  # of the power of loud samples; louder frames are never pauses
POWER_WINDOW = 0.025  # seconds over which a frame's power is averaged, if longer than two of the longest periods
TINY = np.finfo(float).tiny  # makes digital silence correlate 0

LOUD_RANGE = 15.0  # dB below the power-weighted mean power: includes speech and, where there is speech, excludes hum
CLEAR_PERIODICITY = 0.8  # exceeded by two thirds or more of loud voiced frames and 6 % or fewer of loud whispered ones
WHISPERED_SHARE = 0.2  # of loud frames; if fewer are clearly voiced, the speaker whispers
ENOUGH_LOUD = 1.0  # seconds of loud frames needed to decide that a speaker whispers
FEWEST_CLEAR = 20  # clearly voiced frames needed to estimate a range
QUANTILES = (0.01, 0.99)  # of the clearly voiced frames within the main lobe
MAIN_LOBE = (0.7, 0.9)  # octaves below and above the median; beyond are octave errors rather than speech
MARGIN = 2 ** (4 / 12)  # four semitones beyond the quantiles, for the quiet ends of phrases
SMALLEST_DEVIATION = 0.05  # of log F0; no voice varies less, and the mapping divides by it
FARTHEST = 4.0  # standard deviations from the target's mean, to which mapped F0 is clipped


@dataclass(frozen=True)
class F0Range:
    """Search range for F0; the default reaches from creaky voice to a soprano's highest notes."""

    floor: float = 30.0  # Hz
    ceiling: float = 1400.0  # Hz

    def __post_init__(self) -> None:
        require_type(Real, floor=self.floor, ceiling=self.ceiling)
        if not LOWEST_F0 <= self.floor < self.ceiling <= HIGHEST_F0:
            raise ConfigError(
                f"F0 range must satisfy {LOWEST_F0:g} <= floor < ceiling <= {HIGHEST_F0:g} Hz,"
                f" got {self.floor}..{self.ceiling}"
            )


WIDEST_RANGE = F0Range()  # of the first pass


@dataclass(frozen=True)
class F0Track:
    """F0 of a recording and its reliability, at WORLD's frame times."""

    f0: np.ndarray  # (frames,) Hz, 0 where unvoiced
    times: np.ndarray  # (frames,) seconds
    periodicity: np.ndarray  # (frames,) normalised correlation at the F0's period, in -1..1; 0 where unvoiced
    power: np.ndarray  # (frames,) mean square of the samples around the frame, below about 2 kHz


def frame_times(samples: int, rate: int, frame_shift: float) -> np.ndarray:
    """Times `(frames,)` in seconds of WORLD's frames for `samples` samples at `rate` Hz, every `frame_shift` ms."""
    return np.arange(int(1000.0 * samples / rate / frame_shift) + 1) * frame_shift / 1000


def track_f0(samples: np.ndarray, rate: int, f0_range: F0Range, frame_shift: float) -> F0Track:
    """Track F0 as the best path through the peaks of the correlation.

    F0 is an average over three periods or more; StoneMask can refine it to the frequency at the frame itself.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`, of any level and DC offset.
    rate : int
        Sample rate in Hz.
    f0_range : F0Range
        Search range.
    frame_shift : float
        Milliseconds.

    Returns
    -------
    F0Track
        At `frame_times(len(samples), rate, frame_shift)`.
    """
    floor, ceiling = f0_range.floor, f0_range.ceiling
    times = frame_times(len(samples), rate, frame_shift)
    centred = np.pad(samples - samples.mean(dtype=np.float64), (0, rate // SEARCH_RATE))  # at least one sample is left
    low = audio.resample(centred.astype(np.float32), rate, SEARCH_RATE).astype(np.float64)
    period = round(SEARCH_RATE / floor)
    low = low - _filter(low, np.full(period, 1 / period))  # remove drift
    low = _filter(low, np.array(SMOOTHING))  # and hiss
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


def _filter(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Filter `(samples,)` with a centred impulse response."""
    return np.convolve(samples, response)[len(response) // 2 :][: len(samples)]


def _running_sums(values: np.ndarray) -> np.ndarray:
    """Running sums of `(n,)`, starting with 0: `(n + 1,)`."""
    return np.concatenate([[0.0], np.cumsum(values)])


def _correlations(samples: np.ndarray, times: np.ndarray, lags: np.ndarray, faint: float) -> np.ndarray:
    """Normalised correlation `(frames, lags)` in -1..1 between two segments one lag apart, centred on each time."""
    widths = np.maximum(round(SHORTEST_SEGMENT * SEARCH_RATE), (PERIODS * lags).astype(int))
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
    """F0 candidates of each frame: the highest peaks of its correlation.

    Parameters
    ----------
    correlations : np.ndarray
        Shape `(frames, lags)`.
    lags : np.ndarray
        Shape `(lags,)`, in samples at `rate`, ascending by 1.
    f0_range : F0Range
        Search range.
    rate : float
        Sample rate in Hz.

    Returns
    -------
    np.ndarray, np.ndarray
        F0 in Hz and strength, shape `(frames, candidates + 1)` each; the last candidate is unvoiced (0 Hz).
    """
    before, middle, after = correlations[:, :-2], correlations[:, 1:-1], correlations[:, 2:]
    peaks = (middle > before) & (middle >= after)
    curvature = np.where(peaks, before - 2 * middle + after, -1.0)
    shift = np.where(peaks, 0.5 * (before - after) / curvature, 0.0)  # vertex of the parabola through three points
    f0 = rate / (lags[1:-1] + shift)
    strength = middle - 0.25 * (before - after) * shift + OCTAVE_GAIN * np.log2(f0 / f0_range.floor)
    within = (f0 >= f0_range.floor) & (f0 <= f0_range.ceiling)
    strength = np.where(peaks & within, strength, NO_CANDIDATE)
    count = min(CANDIDATES, f0.shape[1])
    best = np.argpartition(-strength, count - 1, axis=1)[:, :count]
    rows = np.arange(len(best))[:, None]  # faster than take_along_axis and pad, above all for single frames
    candidates, strengths = np.zeros((len(best), count + 1)), np.full((len(best), count + 1), UNVOICED_STRENGTH)
    candidates[:, :count], strengths[:, :count] = f0[rows, best], strength[rows, best]
    return candidates, strengths


def transition_costs(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Costs `(frames, candidates after, candidates before)` of transitions between candidates 10 ms apart.

    `before` and `after` are `(frames, candidates)` in Hz, 0 where unvoiced.
    """
    octaves = [np.log2(np.where(f0 > 0, f0, 1.0)) for f0 in (before, after)]
    jumps = OCTAVE_JUMP_COST * np.abs(octaves[1][:, :, None] - octaves[0][:, None, :])
    same = (after > 0)[:, :, None] == (before > 0)[:, None, :]
    return np.where(same, jumps, VOICING_COST)


def _best_path(f0: np.ndarray, strength: np.ndarray, pace: float) -> np.ndarray:
    """Candidate indices `(frames,)` of the path that maximises strength minus `pace` times its costs (Viterbi)."""
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
    """Mean and standard deviation of a speaker's natural log F0 over clearly voiced frames."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, f0: np.ndarray) -> "LogF0":
        """Compute from voiced F0 `(frames,)` in Hz."""
        values = np.log(f0, dtype=np.float64)
        return cls(float(values.mean()), float(max(values.std(), SMALLEST_DEVIATION)))


@dataclass(frozen=True)
class F0Statistics:
    """A speaker's F0 search range and distribution; both None for a speaker who whispers. And the level of speech."""

    f0_range: F0Range | None
    log_f0: LogF0 | None
    level: float | None = None  # dB, mean square of clearly voiced frames below about 2 kHz (F0Track); None if unknown

    @classmethod
    def of(cls, f0: np.ndarray) -> "F0Statistics":
        """Compute from the F0 `(frames,)` in Hz of clearly voiced frames; values outside the main lobe are ignored."""
        octaves = np.log2(f0 / np.median(f0))
        f0 = f0[(octaves > -MAIN_LOBE[0]) & (octaves < MAIN_LOBE[1])]
        low, high = np.quantile(f0, QUANTILES)
        # A range wider than the widest is only searched if a user asks for it, and then not widened further.
        floor = max(min(WIDEST_RANGE.floor, low), low / MARGIN)
        ceiling = min(max(WIDEST_RANGE.ceiling, high), high * MARGIN)
        return cls(F0Range(round(float(floor), 1), round(float(ceiling), 1)), LogF0.of(f0))


WHISPER = F0Statistics(None, None)


def loud_frames(power: np.ndarray, faintest: float = 0.0) -> np.ndarray:
    """Mask `(frames,)` of the frames whose power is within 15 dB of the power-weighted mean of `power` `(frames,)`.

    That mean does not depend on how long the pauses are. Frames below `faintest` are never loud.
    """
    total = power.sum()
    reference = np.square(power).sum() / total if total > 0 else np.inf
    return power > max(reference * 10 ** (-LOUD_RANGE / 10), faintest)


def decibels(power: np.ndarray) -> float:
    """Level in dB of the mean of `power` `(frames,)`, mean squares above 0."""
    return float(10 * np.log10(power.mean()))


def clear_frames(track: F0Track, loud: np.ndarray) -> np.ndarray:
    """Mask `(frames,)` of the loud frames that are clearly voiced."""
    return loud & (track.f0 > 0) & (track.periodicity > CLEAR_PERIODICITY)


def whispers(clear: np.ndarray, loud: np.ndarray, frame_rate: float) -> bool:
    """Whether there is enough loud speech, and too little of it is voiced, to conclude that it is whispered.

    `clear` and `loud` are the masks `(frames,)` of `clear_frames` and `loud_frames`; `frame_rate` is frames per second.
    """
    return loud.sum() >= ENOUGH_LOUD * frame_rate and clear.sum() < WHISPERED_SHARE * loud.sum()


def f0_statistics(
    tracks: Iterable[F0Track], frame_rate: float, speaker: str, *, search: F0Range | None = None
) -> F0Statistics:
    """Estimate the F0 search range and statistics of a speaker.

    Parameters
    ----------
    tracks : iterable of F0Track
        One for each recording, tracked in WIDEST_RANGE or in `search`.
    frame_rate : float
        Frames per second.
    speaker : str
        Name for error messages.
    search : F0Range, optional
        Search range set by the user, which is kept.

    Returns
    -------
    F0Statistics
        WHISPER if there is enough speech but no F0.

    Raises
    ------
    DataError
        Too few frames are voiced to estimate F0, and too few are loud to conclude that the speaker whispers.
    """
    f0, loud, clear, levels = [np.zeros(0)], [np.zeros(0, bool)], [np.zeros(0, bool)], []
    for track in tracks:  # each by itself, so that a louder or noisier recording does not affect the others
        f0.append(track.f0)
        loud.append(loud_frames(track.power))
        clear.append(clear_frames(track, loud[-1]))
        if clear[-1].any():
            levels.append(decibels(track.power[clear[-1]]))
    f0, loud, clear = map(np.concatenate, (f0, loud, clear))
    if search is None and whispers(clear, loud, frame_rate):
        return WHISPER
    if clear.sum() < FEWEST_CLEAR:
        raise DataError(f"{speaker}: {clear.sum()} clearly voiced frames are too few to estimate an F0 range")
    statistics = F0Statistics.of(f0[clear])
    return replace(statistics, f0_range=search or statistics.f0_range, level=float(np.median(levels)))


@dataclass(frozen=True)
class F0Options:
    """Options of F0 conversion."""

    keep: bool = False  # keep the source's F0 instead of mapping it to the target's
    shift: float = 0.0  # semitones upwards
    scale: float = 1.0  # factor on the deviation of log F0 from its mean: below 1 flatter, above 1 livelier

    def __post_init__(self) -> None:
        require_type(Real, shift=self.shift, scale=self.scale)
        require(abs(self.shift) <= 48, f"an F0 shift must be within 48 semitones, got {self.shift}")
        require(0 <= self.scale <= 10, f"an F0 scale must be in 0..10, got {self.scale}")

    def check_method(self, method: str) -> None:
        """Raise ConfigError if `method`, `world` or `diff`, cannot change F0 like this; `diff` only filters."""
        unchanged = method == "world" or self == F0Options(keep=self.keep)
        require(unchanged, f"method {method} cannot change F0; world can")


DEFAULT_F0 = F0Options()


def map_f0(f0: np.ndarray, source: LogF0 | None, target: LogF0 | None, options: F0Options = DEFAULT_F0) -> np.ndarray:
    """Map F0 from the source speaker's distribution to the target's.

    The usual log-Gaussian normalisation of statistical voice conversion, as in CycleGAN-VC: log F0 is standardised by
    the source's statistics and rescaled by the target's. In addition, mapped F0 is clipped to four standard deviations
    from the target's mean.

    Parameters
    ----------
    f0 : np.ndarray
        Shape `(frames,)`, Hz, 0 where unvoiced.
    source, target : LogF0 or None
        Statistics of both speakers. If one is None (a speaker who whispers), the result is unvoiced.
    options : F0Options
        Further changes to F0.

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
