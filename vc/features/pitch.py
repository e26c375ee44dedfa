"""F0: a speaker's search range found from his recordings, and the log-Gaussian map between two speakers."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from vc.config import require
from vc.errors import DataError
from vc.features.world import F0Range, WorldConfig, estimate_f0

WIDE = F0Range()  # of the first pass
QUANTILES = (0.01, 0.99)  # of the voiced frames within the main lobe
LOBE = 0.9  # octaves to either side of the median: beyond lie octave errors rather than speech
MARGIN = 2 ** (3 / 12)  # three semitones beyond the quantiles
FEWEST = 20  # voiced frames that tell a range


def first_pass(samples: np.ndarray, config: WorldConfig) -> np.ndarray:
    """Voiced F0 values of `(samples,)` in the wide range, by DIO, which costs a small part of Harvest."""
    f0, _ = estimate_f0(samples, replace(config, f0_method="dio"), WIDE)
    return f0[f0 > 0]


def search_range(voiced: Iterable[np.ndarray], who: str) -> F0Range:
    """A speaker's F0 search range from the voiced values of his recordings; `who` names him in the error.

    Octave errors of the first pass lie an octave from the median, so values outside the main lobe do not count.
    """
    voiced = np.concatenate([np.zeros(0), *voiced])
    if len(voiced) < FEWEST:
        raise DataError(f"{who}: {len(voiced)} voiced frames are too few to find an F0 range")
    octaves = np.log2(voiced)
    lobe = octaves[np.abs(octaves - np.median(octaves)) < LOBE]
    low, high = 2 ** np.quantile(lobe, QUANTILES)
    floor, ceiling = max(WIDE.floor, low / MARGIN), min(WIDE.ceiling, high * MARGIN)
    return F0Range(round(float(floor), 1), round(float(ceiling), 1))


@dataclass(frozen=True)
class LogF0:
    """Mean and deviation of natural log F0 over a speaker's voiced frames."""

    mean: float
    deviation: float


def log_f0_statistics(f0: Iterable[np.ndarray], who: str) -> LogF0:
    """Statistics over the voiced frames of `(frames,)` tracks in Hz."""
    tracks = np.concatenate([np.zeros(0), *f0])
    voiced = np.log(tracks[tracks > 0], dtype=np.float64)
    if len(voiced) < FEWEST:
        raise DataError(f"{who}: {len(voiced)} voiced frames are too few for F0 statistics")
    return LogF0(float(voiced.mean()), float(max(voiced.std(), 1e-3)))


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


def map_f0(f0: np.ndarray, source: LogF0, target: LogF0, melody: Melody = AS_MAPPED) -> np.ndarray:
    """Move `(frames,)` F0 in Hz from the source's log-Gaussian to the target's; unvoiced frames stay 0.

    The usual map of statistical voice conversion, log F0 normalised by the source's mean and deviation and brought to
    the target's; CycleGAN-VC and its reproductions use it.
    """
    target = source if melody.keep else target
    voiced = f0 > 0
    mapped = np.zeros_like(f0)
    standard = melody.scale * (np.log(f0[voiced]) - source.mean) / source.deviation
    mapped[voiced] = np.exp(standard * target.deviation + target.mean + melody.shift * np.log(2) / 12)
    return mapped
