"""Per-speaker statistics: learnt from training recordings alone, kept in features and in the model file."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vc.config import build, plain
from vc.errors import ConfigError, DataError
from vc.features.pitch import LogF0, log_f0_statistics
from vc.features.world import F0Range

LARGEST = 1000.0  # of a mean or deviation of mel-cepstra; full scale is near 10


class MeanVariance:
    """Brings each band of `(frames, bands)` to mean 0 and variance 1, and back."""

    mean_: np.ndarray  # (bands,)
    deviation_: np.ndarray  # (bands,)

    def __init__(self, mean: Iterable[float] = (), deviation: Iterable[float] = ()):
        self.mean_ = np.asarray(list(mean), np.float64)
        self.deviation_ = np.asarray(list(deviation), np.float64)

    def fit(self, arrays: Iterable[np.ndarray]) -> "MeanVariance":
        """Learn from arrays `(frames, bands)`; float64 sums, population variance."""
        frames = np.concatenate(list(arrays)).astype(np.float64)
        if frames.ndim != 2 or len(frames) == 0:
            raise DataError(f"expected non-empty (frames, bands), got shape {frames.shape}")
        self.mean_, self.deviation_ = frames.mean(axis=0), frames.std(axis=0)
        if not (self.deviation_ > 0).all():
            raise DataError(f"bands {np.flatnonzero(self.deviation_ <= 0).tolist()} never vary")
        return self

    def transform(self, frames: np.ndarray) -> np.ndarray:
        return (frames - self.mean_) / self.deviation_

    def inverse(self, frames: np.ndarray) -> np.ndarray:
        return frames * self.deviation_ + self.mean_


@dataclass(frozen=True)
class Speaker:
    """All that a conversion needs to know of a speaker; plain values, so that it can stand in JSON."""

    mel_cepstrum_mean: list[float]  # (order + 1,)
    mel_cepstrum_deviation: list[float]  # (order + 1,)
    log_f0_mean: float  # natural log of Hz, voiced frames
    log_f0_deviation: float
    f0_floor: float  # Hz, search range
    f0_ceiling: float  # Hz
    utterances: int
    frames: int

    def __post_init__(self) -> None:
        numbers = [*self.mel_cepstrum_mean, *self.mel_cepstrum_deviation, self.log_f0_mean, self.log_f0_deviation]
        if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
            raise ConfigError("a speaker's statistics must be finite numbers")
        if len(self.mel_cepstrum_mean) != len(self.mel_cepstrum_deviation):
            raise ConfigError("a speaker's means and deviations must be of one length")
        if min([*self.mel_cepstrum_deviation, self.log_f0_deviation]) <= 0:
            raise ConfigError("a speaker's deviations must be above 0")
        if max(map(abs, numbers)) > LARGEST or not 0 < self.log_f0_mean < 10 or self.log_f0_deviation > 10:
            raise ConfigError("a speaker's statistics are beyond anything that speaks")
        F0Range(self.f0_floor, self.f0_ceiling)  # refuses what is none

    @property
    def normaliser(self) -> MeanVariance:
        return MeanVariance(self.mel_cepstrum_mean, self.mel_cepstrum_deviation)

    @property
    def log_f0(self) -> LogF0:
        return LogF0(self.log_f0_mean, self.log_f0_deviation)

    @property
    def f0_range(self) -> F0Range:
        return F0Range(self.f0_floor, self.f0_ceiling)


def summarise(name: str, mel_cepstra: list[np.ndarray], f0: list[np.ndarray], f0_range: F0Range) -> Speaker:
    """Statistics of a speaker's `(frames, order + 1)` mel-cepstra and `(frames,)` F0 tracks; `name` is for errors."""
    try:
        normaliser = MeanVariance().fit(mel_cepstra)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    log_f0 = log_f0_statistics(f0, name)
    return Speaker(
        mel_cepstrum_mean=normaliser.mean_.tolist(),
        mel_cepstrum_deviation=normaliser.deviation_.tolist(),
        log_f0_mean=log_f0.mean,
        log_f0_deviation=log_f0.deviation,
        f0_floor=f0_range.floor,
        f0_ceiling=f0_range.ceiling,
        utterances=len(mel_cepstra),
        frames=sum(map(len, mel_cepstra)),
    )


def speakers_to_json(speakers: dict[str, Speaker]) -> dict:
    return {name: plain(speaker) for name, speaker in speakers.items()}


def speakers_from_json(content: dict) -> dict[str, Speaker]:
    """Refuses what is not a speaker's statistics, by name."""
    if not isinstance(content, dict):
        raise ConfigError("speakers: expected a mapping")
    return {name: build(Speaker, given, f"speakers.{name}") for name, given in content.items()}
