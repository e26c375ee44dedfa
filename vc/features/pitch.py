"""F0: whose voice a recording has, and the log-Gaussian map from one voice to another.

A voice is judged by its loud and clearly periodic frames. Hum, noise and what else fills pauses are neither: a search
that takes every voiced frame finds the hum of a recording in which it lies 40 dB below the speech
(docs/experiments.md, 2026-11-26).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vc.config import require
from vc.errors import DataError
from vc.features import autocorrelation
from vc.features.autocorrelation import PitchTrack
from vc.features.world import F0Range, WorldConfig

WIDE = F0Range()  # of the first pass
LOUD = 15.0  # dB below the mean power, weighted by power: speech, and no hum, where there is speech
CLEAR = 0.8  # periodicity; of loud voiced frames two thirds or more lie higher, of loud whispered ones 6 % or fewer
WHISPERED = 0.2  # share of the loud frames that are clearly voiced; below it there is no F0
ENOUGH = 1.0  # seconds of loud frames that tell whether there is an F0
FEWEST = 20  # clearly voiced frames that tell a range
QUANTILES = (0.01, 0.99)  # of the clearly voiced frames within the main lobe
LOBE = (0.7, 0.9)  # octaves below and above the median: beyond lie octave errors rather than speech
MARGIN = 2 ** (4 / 12)  # four semitones beyond the quantiles, for the quiet ends of phrases
STEADIEST = 0.05  # deviation of log F0; no voice moves less, and a map divides by it
FARTHEST = 4.0  # deviations of the target from its mean, beyond which no F0 is mapped


@dataclass(frozen=True)
class LogF0:
    """Mean and deviation of natural log F0 over a speaker's clearly voiced frames."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, f0: np.ndarray) -> "LogF0":
        """Of voiced values `(frames,)` in Hz."""
        values = np.log(f0, dtype=np.float64)
        return cls(float(values.mean()), float(max(values.std(), STEADIEST)))


@dataclass(frozen=True)
class Voice:
    """A voice, as far as F0 tells: where to look for it, and how it lies; both None of one that whispers."""

    f0_range: F0Range | None
    log_f0: LogF0 | None


WHISPER = Voice(None, None)


def first_pass(samples: np.ndarray, config: WorldConfig, search: F0Range = WIDE) -> PitchTrack:
    """F0 of `(samples,)` at `config.sample_rate`, looked for widely, with what tells how far to believe it."""
    return autocorrelation.track(samples, config.sample_rate, search.floor, search.ceiling, config.frame_shift)


def loud_frames(power: np.ndarray, faintest: float = 0.0) -> np.ndarray:
    """`(frames,)`, true for a frame of `(frames,)` powers within 15 dB of the mean power weighted by power.

    So weighted, the mean is that of what is loud, however long the pauses are. Nothing below `faintest` is loud.
    """
    total = power.sum()
    reference = np.square(power).sum() / total if total > 0 else np.inf
    return power > max(reference * 10 ** (-LOUD / 10), faintest)


def clear_frames(track: PitchTrack, loud: np.ndarray) -> np.ndarray:
    """`(frames,)`, true for a `loud` frame that is clearly voiced."""
    return loud & (track.f0 > 0) & (track.periodicity > CLEAR)


def whispers(clear: np.ndarray, loud: np.ndarray, config: WorldConfig) -> bool:
    """Whether there is enough loud speech to tell that it has no F0."""
    return loud.sum() >= ENOUGH * config.frame_rate and clear.sum() < WHISPERED * loud.sum()


def find_voice(tracks: Iterable[PitchTrack], config: WorldConfig, who: str, search: F0Range | None = None) -> Voice:
    """The voice of one speaker's recordings.

    Parameters
    ----------
    tracks : iterable of PitchTrack
        What `first_pass` found in each recording.
    config : WorldConfig
        Settings of the analysis that made them.
    who : str
        The speaker, for an error.
    search : F0Range, optional
        Where F0 was looked for, if a user gave it; it is then the voice's range.

    Returns
    -------
    Voice
        WHISPER where there is enough speech, and no F0.

    Raises
    ------
    DataError
        There is too little that is voiced to tell an F0, and too little speech to call it whispered.
    """
    judged = []  # each recording by itself: one of another loudness, or full of noise, does not decide for the rest
    for track in tracks:
        loud = loud_frames(track.power)
        judged.append((track.f0, loud, clear_frames(track, loud)))
    f0, loud, clear = (np.concatenate(parts) for parts in zip((np.zeros(0), *[np.zeros(0, bool)] * 2), *judged))
    if search is None and whispers(clear, loud, config):
        return WHISPER
    if clear.sum() < FEWEST:
        raise DataError(f"{who}: {clear.sum()} clearly voiced frames are too few to find an F0 range")
    voice = voice_of(f0[clear])
    return voice if search is None else Voice(search, voice.log_f0)


def voice_of(f0: np.ndarray) -> Voice:
    """The voice of clearly voiced values `(frames,)` in Hz; values outside the main lobe do not count."""
    octaves = np.log2(f0 / np.median(f0))
    f0 = f0[(octaves > -LOBE[0]) & (octaves < LOBE[1])]
    low, high = np.quantile(f0, QUANTILES)
    floor, ceiling = max(WIDE.floor, low / MARGIN), min(WIDE.ceiling, high * MARGIN)
    return Voice(F0Range(round(float(floor), 1), round(float(ceiling), 1)), LogF0.of(f0))


@dataclass(frozen=True)
class Melody:
    """What a user wants of the converted F0."""

    keep: bool = False  # the source's F0 instead of the map to the target's
    shift: float = 0.0  # semitones up
    scale: float = 1.0  # of the movement around the mean: below 1 flatter, above livelier

    def __post_init__(self) -> None:
        require(abs(self.shift) <= 48, f"an F0 shift must be within 48 semitones, got {self.shift}")
        require(0 <= self.scale <= 10, f"an F0 scale must be in 0..10, got {self.scale}")


AS_MAPPED = Melody()


def map_f0(f0: np.ndarray, source: LogF0 | None, target: LogF0 | None, melody: Melody = AS_MAPPED) -> np.ndarray:
    """Move `(frames,)` F0 in Hz from the source's log-Gaussian to the target's; unvoiced frames stay 0.

    The usual map of statistical voice conversion, log F0 normalised by the source's mean and deviation and brought to
    the target's; CycleGAN-VC and its reproductions use it. Ours is that nothing is mapped farther than four deviations
    of the target from its mean. A voice without F0, None, neither gives one nor gets one.
    """
    target = source if melody.keep else target
    mapped = np.zeros_like(f0)
    if source is None or target is None:
        return mapped
    voiced = f0 > 0
    standard = melody.scale * (np.log(f0[voiced]) - source.mean) / source.deviation
    if not melody.keep:
        standard = np.clip(standard, -FARTHEST, FARTHEST)
    mapped[voiced] = np.exp(standard * target.deviation + target.mean + melody.shift * np.log(2) / 12)
    return mapped
