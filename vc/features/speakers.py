"""Per-speaker statistics of the training recordings, stored with features and in model files."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vc.config import build, plain, require
from vc.corpus.lists import IDENTIFIER
from vc.corpus.names import is_line
from vc.errors import ConfigError, DataError
from vc.features.content import ContentStatistics
from vc.features.f0 import HIGHEST_F0, LOWEST_F0, WIDEST_RANGE, F0Range, F0Statistics, LogF0

LARGEST_STATISTIC = 1000.0  # mean or deviation of mel-cepstra; usual values are around 10
LARGEST_LOG_F0_DEVIATION = 2.0  # natural logarithm; speech has 0.1 to 0.3


def direction_name(source: int, target: int) -> str:
    """Name of a direction in the names of a model's weights, given the speakers' numbers.

    The names for the first two are those in a pair's model, so that speakers can be added to a pair.
    """
    return {(0, 1): "to_target", (1, 0): "to_source"}.get((source, target), f"{source}_to_{target}")


class MeanVariance:
    """Standardises each band of `(frames, bands)` to mean 0 and variance 1, and inverts that."""

    mean_: np.ndarray  # (bands,)
    deviation_: np.ndarray  # (bands,)

    def __init__(self, mean: Iterable[float] = (), deviation: Iterable[float] = ()):
        self.mean_ = np.asarray(list(mean), np.float64)
        self.deviation_ = np.asarray(list(deviation), np.float64)

    def fit(self, arrays: Iterable[np.ndarray]) -> "MeanVariance":
        """Estimate mean and (population) deviation from arrays `(frames, bands)`, which are iterated twice.

        Raises
        ------
        DataError
            There are no frames, or a band never varies.
        """
        count, total = _sum(arrays)
        if count == 0 or total.ndim != 1:
            raise DataError("expected non-empty (frames, bands)")
        self.mean_ = total / count
        self.deviation_ = np.sqrt(_sum(np.square(array - self.mean_) for array in arrays)[1] / count)
        if not (self.deviation_ > 0).all():
            raise DataError(f"bands {np.flatnonzero(self.deviation_ <= 0).tolist()} never vary")
        return self

    def transform(self, frames: np.ndarray) -> np.ndarray:
        """Standardise `(frames, bands)`."""
        return (frames - self.mean_) / self.deviation_

    def inverse(self, frames: np.ndarray) -> np.ndarray:
        """Undo `transform`: standardised `(frames, bands)` to the speaker's own scale."""
        return frames * self.deviation_ + self.mean_


def _sum(arrays: Iterable[np.ndarray]) -> tuple[int, np.ndarray]:
    """Number of frames and their sum, with the rounding of a sum over their concatenation."""
    count, total = 0, None
    for array in arrays:
        rows = array.astype(np.float64)
        total = (rows if total is None else np.concatenate([total[None], rows])).sum(axis=0)
        count += len(rows)
    return count, np.zeros(0) if total is None else total


@dataclass(frozen=True)
class Speaker:
    """The statistics of a speaker that conversion needs, as plain JSON values."""

    mel_cepstrum_mean: list[float]  # (order + 1,)
    mel_cepstrum_deviation: list[float]  # (order + 1,)
    log_f0_mean: float | None  # natural log of Hz, clearly voiced frames; None: the speaker whispers
    log_f0_deviation: float | None
    f0_floor: float  # Hz, search range
    f0_ceiling: float  # Hz
    utterances: int
    frames: int
    f0_range_given: bool = False  # set by the user, not estimated
    content: ContentStatistics | None = None  # if the features have content
    level: float | None = None  # of a typical recording, as in F0Statistics; None if unknown
    name: str = ""  # if it differs from the id

    def __post_init__(self) -> None:
        means, deviations = self.mel_cepstrum_mean, self.mel_cepstrum_deviation
        log_f0 = [value for value in (self.log_f0_mean, self.log_f0_deviation) if value is not None]
        require(len(log_f0) != 1, "a speaker has a mean and a deviation of log F0, or neither")
        numbers = [*means, *deviations, *log_f0, *([] if self.level is None else [self.level])]
        finite = all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers)
        require(finite, "a speaker's statistics must be finite numbers")
        require(len(means) == len(deviations), "a speaker's means and deviations must be of equal length")
        require(bool(means), "a speaker's statistics must not be empty")
        require(min([*deviations, *log_f0[1:]]) > 0, "a speaker's deviations must be above 0")
        possible = not log_f0 or (
            LOWEST_F0 < math.exp(min(log_f0[0], 10)) < HIGHEST_F0 and log_f0[1] <= LARGEST_LOG_F0_DEVIATION
        )
        possible = possible and max(map(abs, numbers)) <= LARGEST_STATISTIC
        require(possible, "a speaker's statistics are outside the range of speech")
        F0Range(self.f0_floor, self.f0_ceiling)  # raises ConfigError if it is not a range
        require(is_line(self.name), "a speaker's name must be one line of valid Unicode")

    @property
    def normaliser(self) -> MeanVariance:
        return MeanVariance(self.mel_cepstrum_mean, self.mel_cepstrum_deviation)

    @property
    def log_f0(self) -> LogF0 | None:
        return None if self.log_f0_mean is None else LogF0(self.log_f0_mean, self.log_f0_deviation)

    @property
    def f0_range(self) -> F0Range | None:
        return None if self.log_f0_mean is None else F0Range(self.f0_floor, self.f0_ceiling)

    @property
    def f0_statistics(self) -> F0Statistics:
        return F0Statistics(self.f0_range, self.log_f0, self.level)


def summarise(
    name: str,
    frames: Collection[np.ndarray],
    f0: F0Statistics,
    *,
    speech: Sequence[np.ndarray] | None = None,
    utterances: int | None = None,
    range_given: bool = False,
    content: ContentStatistics | None = None,
    speaker_name: str = "",
) -> Speaker:
    """Compute the statistics of a speaker.

    Parameters
    ----------
    name : str
        Name for error messages.
    frames : collection of np.ndarray
        Shape `(frames, bands)` each, one for each recording or part of one; iterated three times.
    f0 : F0Statistics
        F0 search range and statistics, and level.
    speech : sequence of np.ndarray, optional
        Masks, shape `(frames,)` each, of the frames to use: pauses carry no speaker information. Default: all frames.
    utterances : int, optional
        Number of recordings. Default: as many as `frames`.
    range_given : bool
        Whether the F0 search range was set by the user.
    content : ContentStatistics, optional
        Statistics of the content vectors, if the features have them.
    speaker_name : str
        The speaker's name, if it differs from the id.

    Returns
    -------
    Speaker

    Raises
    ------
    DataError
        There is no speech, or a band never varies.
    """
    try:
        normaliser = MeanVariance().fit(frames if speech is None else _SpeechFrames(frames, speech))
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    f0_range, log_f0 = f0.f0_range or WIDEST_RANGE, f0.log_f0  # for a speaker who whispers, any range will do
    return Speaker(
        mel_cepstrum_mean=normaliser.mean_.tolist(),
        mel_cepstrum_deviation=normaliser.deviation_.tolist(),
        log_f0_mean=log_f0 and log_f0.mean,
        log_f0_deviation=log_f0 and log_f0.deviation,
        f0_floor=f0_range.floor,
        f0_ceiling=f0_range.ceiling,
        utterances=len(frames) if utterances is None else utterances,
        frames=sum(map(len, frames)),
        f0_range_given=range_given,
        content=content,
        level=f0.level,
        name=speaker_name,
    )


@dataclass(frozen=True)
class _SpeechFrames:
    """The speech frames, selected on every iteration."""

    frames: Collection[np.ndarray]
    speech: Sequence[np.ndarray]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (part[mask] for part, mask in zip(self.frames, self.speech, strict=True))


def speakers_to_json(speakers: dict[str, Speaker]) -> dict:
    """Convert speakers by id to plain JSON values."""
    return {name: plain(speaker) for name, speaker in speakers.items()}


def speakers_from_json(content: dict) -> dict[str, Speaker]:
    """Build speakers by id from JSON values.

    Raises
    ------
    ConfigError
        An id or a speaker's statistics are not valid.
    """
    if not isinstance(content, dict):
        raise ConfigError("speakers: expected a mapping")
    for name in content:  # it becomes part of file names
        valid = IDENTIFIER.fullmatch(name) is not None
        require(valid, f"speakers: an id must consist of letters, digits, '.', '_', '-', got {name!r}")
    return {name: build(Speaker, values, f"speakers.{name}") for name, values in content.items()}
