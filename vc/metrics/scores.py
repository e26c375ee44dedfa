"""The figures of one utterance, and of a system over its utterances."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vc.metrics import distortion, pitch
from vc.metrics.intervals import distance_interval, mean_interval


class Metric(NamedTuple):
    """How a figure is shown."""

    label: str
    unit: str  # empty: a plain number
    best: str
    decimals: int


METRICS = {
    "mcd": Metric("mel-cepstral distortion", "dB", "lower is nearer", 2),
    "msd": Metric("modulation-spectra distance", "dB", "lower is nearer", 2),
    "gv_ratio": Metric("global-variance ratio", "", "1 is the target's", 2),
    "log_f0_rmse": Metric("log-F0 error", "natural log", "lower is nearer", 3),
    "log_f0_corr": Metric("log-F0 correlation", "", "1 is the target's", 2),
    "voicing_error": Metric("voicing error", "share", "lower is nearer", 3),
    "duration_ratio": Metric("duration ratio", "", "1 is the target's", 2),
}
Interval = tuple[float, float]
NOTHING = (math.nan, math.nan)


@dataclass(frozen=True)
class Track:
    """What is measured of a recording."""

    mel_cepstrum: np.ndarray  # (frames, order + 1)
    f0: np.ndarray  # (frames,) Hz, 0 where unvoiced

    @property
    def speech_frames(self) -> int:  # from the first audible frame to the last
        heard = np.flatnonzero(distortion.audible(self.mel_cepstrum))
        return int(heard[-1] - heard[0] + 1)


@dataclass(frozen=True)
class Movement:
    """How an utterance's mel-cepstrum moves; averaged over a system before it is compared."""

    variance: np.ndarray  # (D,)
    spectrum: np.ndarray  # (D, frequencies) dB, float32

    @classmethod
    def of(cls, track: Track, frame_rate: float) -> "Movement":
        spectrum = distortion.modulation_spectrum(track.mel_cepstrum, frame_rate)
        return cls(distortion.global_variance(track.mel_cepstrum), spectrum.astype(np.float32))


@dataclass(frozen=True)
class Scores:
    """One system's figures; NaN where one cannot be told."""

    means: dict[str, float]  # metric -> figure
    intervals: dict[str, Interval]  # metric -> 95 % interval
    rows: list[dict[str, float]]  # metric -> figure, an utterance each; without `msd`, which only a system has


def compare(converted: Track, reference: Track) -> dict[str, float]:
    """The figures that two recordings of a sentence give by themselves."""
    path = distortion.speech_path(converted.mel_cepstrum, reference.mel_cepstrum)
    return {
        "mcd": distortion.mel_cepstral_distortion(converted.mel_cepstrum, reference.mel_cepstrum, path),
        "log_f0_rmse": pitch.log_f0_rmse(converted.f0, reference.f0, path),
        "log_f0_corr": pitch.log_f0_correlation(converted.f0, reference.f0, path),
        "voicing_error": pitch.voicing_error(converted.f0, reference.f0, path),
        "duration_ratio": converted.speech_frames / reference.speech_frames,
    }


def summarise(rows: Sequence[dict[str, float]], converted: Sequence[Movement], reference: Sequence[Movement]) -> Scores:
    """A system's figures from those of its utterances, in one order, and from how both sides move.

    A system's figure is the mean over the utterances that have one.
    """
    usual = np.mean([movement.variance for movement in reference], axis=0)
    rows = [{**row, "gv_ratio": distortion.gv_ratio(own.variance, usual)} for row, own in zip(rows, converted)]
    own, others = (np.stack([movement.spectrum for movement in side]) for side in (converted, reference))
    means = {"msd": distortion.modulation_spectra_distance(own.mean(axis=0), others.mean(axis=0))}
    spans = {"msd": distance_interval(own - others)}
    for metric in rows[0]:
        known = np.array([row[metric] for row in rows if math.isfinite(row[metric])])
        means[metric] = float(known.mean()) if len(known) else math.nan
        spans[metric] = mean_interval(known) if len(known) > 1 else NOTHING
    return Scores({name: means[name] for name in METRICS}, {name: spans[name] for name in METRICS}, rows)
