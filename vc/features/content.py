"""Content vectors of an encoder beside log-mel, and the prosody that a decoder takes with them.

An encoder (vc/encoders) encodes what is spoken. What its vectors tell of the speaker is mostly their mean, which is
subtracted before frames of two speakers are compared or decoded.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from vc.config import require
from vc.features.base import Frames
from vc.features.f0 import HIGHEST_F0, LOWEST_F0, F0Range, LogF0
from vc.features.mel import MelConfig, MelFeatures, mel_filters

STEPS_PER_OCTAVE = 48  # of F0: a quarter of a semitone each
ASPIRATION = 0.003  # power of the noise under the pulses of voiced frames, beside all that these have
PROSODY = 3  # rows of a decoder's prosody beside the excitation


@dataclass(frozen=True)
class ContentConfig:
    """The encoder of content vectors; extraction fills in what only the encoder knows."""

    # A name or a path, as vc-encoder has them; encoders are compared by digest, not by this.
    encoder: str = field(default="distilled", compare=False)
    layer: int = 0  # of the encoder; 0: the usual one
    digest: str = ""  # of its weights: another's vectors mean something else
    dims: int = 0
    frame_rate: float = 0.0  # content frames a second
    first: float = 0.0  # seconds to the centre of the first content frame

    def __post_init__(self) -> None:
        require(bool(self.encoder), "features.content.encoder must name an encoder")
        require(0 <= self.layer <= 1000, f"features.content.layer must be 0 or more, got {self.layer}")
        require(0 <= self.dims <= 65536, f"features.content.dims must be in 0..65536, got {self.dims}")
        require(0 <= self.frame_rate <= 1000, f"features.content.frame_rate must be in 0..1000, got {self.frame_rate}")
        require(0 <= self.first <= 1, f"features.content.first must be in 0..1 s, got {self.first}")


@dataclass(frozen=True)
class ContentFeatures(MelFeatures):
    """Content vectors beside log-mel frames and F0: a decoder's input, and what it learns to give."""

    kind: str = "content"
    content: ContentConfig = field(default_factory=ContentConfig)

    @property
    def archives(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        return {**super().archives, "content": ("content", (self.content.dims,))}

    def complete(self) -> "ContentFeatures":
        """These settings with what only their content encoder knows."""
        from vc.encoders.features import complete  # torch, which takes longer and more memory than all else here

        return complete(self)

    def encode(self, samples: np.ndarray) -> np.ndarray:
        """Content vectors `(content frames, dims)` of `(samples,)` at `sample_rate`."""
        from vc.encoders.features import content_of, encoder_of

        return content_of(samples, self, encoder_of(self))

    def analyse(self, samples: np.ndarray, f0_range: F0Range | None, *, excitation: bool = True) -> Frames:
        """Log-mel, F0, which its decoder takes whatever the vocoder takes, and aperiodicity for `excitation`."""
        if excitation:
            return super().analyse(samples, f0_range)
        f0, spectrum = self.extract(samples, f0_range)
        return Frames(f0, spectrum, None)

    def content_positions(self, frames: int, content_frames: int) -> np.ndarray:
        """Where the centres of log-mel frames lie among content frames: `(frames,)`, in 0..content_frames - 1."""
        seconds = (np.arange(frames) * self.hop + self.first_centre) / self.sample_rate
        return np.clip((seconds - self.content.first) * self.content.frame_rate, 0, content_frames - 1)

    def content_at_frames(self, content: np.ndarray, frames: int) -> np.ndarray:
        """`(content frames, dims)` at the centres of log-mel frames: `(frames, dims)`, linearly interpolated."""
        positions = self.content_positions(frames, len(content))
        before = positions.astype(int)
        after = np.minimum(before + 1, len(content) - 1)
        share = (positions - before).astype(np.float32)[:, None]
        return content[before] * (1 - share) + content[after] * share


@dataclass(frozen=True)
class ContentStatistics:
    """A speaker's mean of content vectors, and their loudness, over speech."""

    mean: list[float]  # (dims,)
    deviation: float  # root mean square over frames and dims, of what the mean leaves
    loudness_mean: float  # of `log_mel_loudness`
    loudness_deviation: float

    def __post_init__(self) -> None:
        numbers = np.array([*self.mean, self.deviation, self.loudness_mean, self.loudness_deviation])
        require(bool(np.isfinite(numbers).all()), "statistics of content must be finite")
        require(min(self.deviation, self.loudness_deviation) > 0, "deviations of content must be above 0")


class ContentMeter:
    """Running content statistics of speech.

    Parameters
    ----------
    prior : ContentStatistics, optional
        Statistics to begin with.
    frames : float
        How many frames of speech the prior counts for.
    """

    def __init__(self, prior: ContentStatistics | None = None, frames: float = 0.0):
        self.count = self.content = self.squares = self.loudness = self.loudness_squares = 0.0
        if prior is not None:
            mean, loudness = np.asarray(prior.mean), prior.loudness_mean
            self.count, self.content, self.loudness = frames, frames * mean, frames * loudness
            self.squares = frames * (prior.deviation**2 + float(np.square(mean).mean()))
            self.loudness_squares = frames * (prior.loudness_deviation**2 + loudness**2)

    def add(self, content: np.ndarray, log_mel: np.ndarray, speech: np.ndarray) -> None:
        """Count content `(frames, dims)` and log-mel `(frames, bands)` where `speech` `(frames,)` is true."""
        vectors, loud = content[speech].astype(np.float64), log_mel_loudness(log_mel[speech])
        self.count += len(vectors)
        self.content = self.content + vectors.sum(axis=0)
        self.squares += float(np.square(vectors).mean(axis=1).sum())
        self.loudness += float(loud.sum())
        self.loudness_squares += float(np.square(loud).sum())

    def statistics(self) -> ContentStatistics:
        """Of all frames so far and the prior; of one frame at least."""
        mean, level = self.content / self.count, self.loudness / self.count
        variance = self.squares / self.count - np.square(mean).mean()
        loudness_variance = self.loudness_squares / self.count - level**2
        return ContentStatistics(
            mean.tolist(),
            float(np.sqrt(max(variance, 1e-8))),
            float(level),
            float(np.sqrt(max(loudness_variance, 1e-4))),
        )


def log_mel_loudness(log_mel: np.ndarray) -> np.ndarray:
    """`(frames,)` natural logarithm of the mean magnitude over the bands of `(frames, bands)`."""
    return np.log(np.exp(log_mel.astype(np.float64)).mean(axis=1))


def standard_loudness(log_mel: np.ndarray, speaker: ContentStatistics) -> np.ndarray:
    """`(frames,)` loudness of a speaker's `(frames, bands)`, brought to mean 0 and deviation 1 over speech."""
    return (log_mel_loudness(log_mel) - speaker.loudness_mean) / speaker.loudness_deviation


def prosody(f0: np.ndarray, loudness: np.ndarray, log_f0: LogF0 | None, config: MelConfig) -> np.ndarray:
    """A decoder's input beside content: excitation, log-F0 contour, voicing and loudness.

    Parameters
    ----------
    f0 : np.ndarray
        Shape `(frames,)`, Hz, 0 where unvoiced, of the target.
    loudness : np.ndarray
        Shape `(frames,)`, brought to mean 0 and deviation 1 over speech.
    log_f0 : LogF0 or None
        The target's; None of one who whispers.
    config : MelConfig
        Of the log-mel frames.

    Returns
    -------
    np.ndarray
        Shape `(frames, bands + 3)`, float32: the bands of `excitation`; log F0, brought to mean 0 and deviation 1 and
        linearly interpolated where unvoiced; 1 where voiced; loudness.
    """
    voiced = f0 > 0
    contour = np.zeros(len(f0))
    if log_f0 is not None and voiced.any():
        standard = (np.log(f0[voiced]) - log_f0.mean) / log_f0.deviation
        contour = np.interp(np.arange(len(f0)), np.flatnonzero(voiced), standard)
    return np.column_stack([excitation(f0, config), contour, voiced, loudness]).astype(np.float32)


def excitation(f0: np.ndarray, config: MelConfig) -> np.ndarray:
    """Log-mel `(frames, bands)` of pulses at F0 `(frames,)`, less that of white noise as strong; unvoiced frames are 0.

    It shows where harmonics lie, and depends on nothing but each frame's own F0.
    """
    table = pulses(config)
    log_mel = np.zeros((len(f0), config.bands))
    voiced = f0 > 0
    steps = STEPS_PER_OCTAVE * np.log2(np.clip(f0[voiced], LOWEST_F0, HIGHEST_F0) / LOWEST_F0)
    before = np.minimum(steps.astype(int), len(table) - 2)
    share = (steps - before)[:, None]
    log_mel[voiced] = table[before] * (1 - share) + table[before + 1] * share
    return log_mel


@lru_cache(maxsize=8)
def pulses(config: MelConfig) -> np.ndarray:
    """`excitation` for each step of F0 from the lowest, STEPS_PER_OCTAVE an octave: `(steps, bands)`."""
    size, rate = config.fft_size, config.sample_rate
    filters, bins = mel_filters(config), np.arange(size // 2 + 1)
    steps = int(np.ceil(STEPS_PER_OCTAVE * np.log2(HIGHEST_F0 / LOWEST_F0))) + 1
    flat = filters.sum(axis=1)  # of noise whose power is 1 in each bin
    rows = []
    for f0 in LOWEST_F0 * 2.0 ** (np.arange(steps) / STEPS_PER_OCTAVE):
        harmonics = np.arange(1, int(rate / 2 / f0) + 1) * f0 * size / rate  # in bins
        offsets = bins[:, None] - harmonics
        pole = np.abs(np.abs(offsets) - 1) < 1e-6
        window = np.sinc(offsets) / np.where(pole, np.inf, 1 - np.square(offsets))
        window = np.where(pole, 0.5, window)  # Hann's transform, 1 at its middle
        power = np.square(window).sum(axis=1) * f0 * size / rate / 1.5  # a Hann window's noise bandwidth is 1.5 bins
        rows.append(np.log((filters @ np.sqrt(power + ASPIRATION)) / flat))
    return np.array(rows)
