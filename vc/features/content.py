"""Features with content: log-mel frames, F0 and an encoder's content vectors; and the inputs of a decoder.

An encoder (vc/encoders) encodes what is spoken. Most of the speaker information in its vectors is in their mean, which
is subtracted before frames of two speakers are compared or decoded. In training as in conversion, a decoder takes what
is spoken from `normalise_content` and how it is spoken from `prosody`.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np

from vc.config import require, require_range
from vc.features.base import Frames
from vc.features.f0 import HIGHEST_F0, LOWEST_F0, F0Range, LogF0
from vc.features.mel import MelConfig, MelFeatures, extend, log_mel_of_envelope, mel_filters

STEPS_PER_OCTAVE = 48  # of F0: steps of a quarter of a semitone
ASPIRATION = 0.003  # power of the noise in voiced frames, relative to the pulses
PROSODY = 3  # rows of a decoder's prosody input without the excitation: `contours`


@dataclass(frozen=True)
class ContentConfig:
    """Settings of the content encoder; extraction fills in those that only the encoder knows (from `digest` on)."""

    # A name or path, as for vc-encoder; encoders are compared by digest instead.
    encoder: str = field(default="quantised", compare=False)
    layer: int = 0  # of the encoder; 0: its default
    digest: str = ""  # of its weights: content vectors of different encoders are not comparable
    dims: int = 0
    frame_rate: float = 0.0  # content frames per second
    first: float = 0.0  # seconds to the centre of the first content frame

    def __post_init__(self) -> None:
        require(bool(self.encoder), "features.content.encoder must name an encoder")
        require_range(self, "features.content", "layer", "frame_rate", at_least=0, at_most=1000)
        require_range(self, "features.content", "dims", at_least=0, at_most=65536)
        require_range(self, "features.content", "first", at_least=0, at_most=1, unit="s")


@dataclass(frozen=True)
class ContentFeatures(MelFeatures):
    """Log-mel frames, F0 and content vectors: the target and the inputs of a decoder."""

    kind: str = "content"
    content: ContentConfig = field(default_factory=ContentConfig)

    @property
    def archives(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        return {**super().archives, "content": ("content", (self.content.dims,))}

    def complete(self) -> "ContentFeatures":
        """These settings, completed with those of their content encoder."""
        from vc.encoders.features import complete  # imports torch, which is slow and large

        return complete(self)

    def encode(self, samples: np.ndarray) -> np.ndarray:
        """Encode `(samples,)` at `sample_rate` as content vectors `(content frames, dims)`."""
        from vc.encoders.features import content_of, encoder_of

        return content_of(samples, self, encoder_of(self))

    def analyse(self, samples: np.ndarray, f0_range: F0Range | None, *, excitation: bool = True) -> Frames:
        """Log-mel, F0 (which the decoder always needs), and aperiodicity if `excitation`."""
        if excitation:
            return super().analyse(samples, f0_range)
        f0, spectrum = self.extract(samples, f0_range)
        return Frames(f0, spectrum, None)

    def content_positions(self, frames: int, content_frames: int) -> np.ndarray:
        """Centres of log-mel frames in units of content frames: `(frames,)`, in 0..content_frames - 1."""
        seconds = (np.arange(frames) * self.hop + self.first_centre) / self.sample_rate
        return np.clip((seconds - self.content.first) * self.content.frame_rate, 0, content_frames - 1)

    def content_at_frames(self, content: np.ndarray, frames: int) -> np.ndarray:
        """Interpolate `(content frames, dims)` linearly at the centres of log-mel frames: `(frames, dims)`."""
        positions = self.content_positions(frames, len(content))
        before = positions.astype(int)
        after = np.minimum(before + 1, len(content) - 1)
        weight = (positions - before).astype(np.float32)[:, None]
        return content[before] * (1 - weight) + content[after] * weight


@dataclass(frozen=True)
class ContentWorldFeatures(ContentFeatures):
    """Features of kind content_world: as of kind content, but log-mel of WORLD's envelope, for synthesis by WORLD.

    WORLD takes a tenth of a neural vocoder's time, and no weights. An envelope has no harmonics, and is analysed in a
    shorter window than a log-mel spectrogram, so that frames are closer together.
    """

    kind: str = "content_world"
    hop: int = 128  # samples

    mel: ClassVar[None] = None  # a neural vocoder takes log-mel of recordings

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_bands(self.world.fft_size)

    def extract(self, samples: np.ndarray, f0_range: F0Range | None) -> tuple[np.ndarray, np.ndarray]:
        """F0 `(frames,)` and log-mel `(frames, bands)` of `(samples,)`, as in FeatureConfig."""
        frames = self.analyse(samples, f0_range, excitation=False)
        return frames.f0, frames.spectrum

    def analyse(self, samples: np.ndarray, f0_range: F0Range | None, *, excitation: bool = True) -> Frames:
        """F0, log-mel, and aperiodicity if `excitation`."""
        count, samples = -(-len(samples) // self.hop), self.from_first_centre(samples)
        f0, _ = self.world.estimate_f0(samples, f0_range)
        log_mel = log_mel_of_envelope(self.world.cheaptrick(samples, f0), self)
        aperiodicity = extend(self.world.d4c(samples, f0), count) if excitation else None
        return Frames(extend(f0, count), extend(log_mel, count), aperiodicity)


@dataclass(frozen=True)
class ContentStatistics:
    """A speaker's statistics of content vectors and loudness, over speech frames."""

    mean: list[float]  # (dims,)
    deviation: float  # root mean square over frames and dims, after the mean is subtracted
    loudness_mean: float  # of `log_mel_loudness`
    loudness_deviation: float

    def __post_init__(self) -> None:
        numbers = np.array([*self.mean, self.deviation, self.loudness_mean, self.loudness_deviation])
        require(bool(np.isfinite(numbers).all()), "statistics of content must be finite")
        require(min(self.deviation, self.loudness_deviation) > 0, "deviations of content must be above 0")


class ContentMeter:
    """Running content statistics over speech frames.

    Parameters
    ----------
    prior : ContentStatistics, optional
        Prior statistics.
    frames : float
        Weight of the prior in frames.
    """

    def __init__(self, prior: ContentStatistics | None = None, frames: float = 0.0):
        self.count = self.content = self.squares = self.loudness = self.loudness_squares = 0.0
        if prior is not None:
            mean, loudness = np.asarray(prior.mean), prior.loudness_mean
            self.count, self.content, self.loudness = frames, frames * mean, frames * loudness
            self.squares = frames * (prior.deviation**2 + float(np.square(mean).mean()))
            self.loudness_squares = frames * (prior.loudness_deviation**2 + loudness**2)

    def add(self, content: np.ndarray, log_mel: np.ndarray, speech: np.ndarray) -> None:
        """Add the frames of content `(frames, dims)` and log-mel `(frames, bands)` where the mask `speech` is true."""
        vectors, loudness = content[speech].astype(np.float64), log_mel_loudness(log_mel[speech])
        self.count += len(vectors)
        self.content = self.content + vectors.sum(axis=0)
        self.squares += float(np.square(vectors).mean(axis=1).sum())
        self.loudness += float(loudness.sum())
        self.loudness_squares += float(np.square(loudness).sum())

    def forget(self, frames: float) -> None:
        """Reduce the weight of what was added, and of the prior, to that of `frames` frames if it is more."""
        if self.count > frames:
            weight = frames / self.count
            for name in ("count", "content", "squares", "loudness", "loudness_squares"):
                setattr(self, name, weight * getattr(self, name))

    def statistics(self) -> ContentStatistics:
        """Statistics of the prior and all frames added; there must be at least one frame."""
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
    """`(frames, bands)` to `(frames,)`: natural logarithm of the mean magnitude over bands."""
    return np.log(np.exp(log_mel.astype(np.float64)).mean(axis=1))


def normalise_content(content: np.ndarray, speaker: ContentStatistics, target: ContentStatistics) -> np.ndarray:
    """The content input of a decoder: content less its speaker's mean, divided by the target's deviation.

    Parameters
    ----------
    content : np.ndarray
        Shape `(frames, dims)`.
    speaker, target : ContentStatistics
        Statistics of who is speaking and of who is decoded; in training the same.

    Returns
    -------
    np.ndarray
        Shape `(frames, dims)`, float64.
    """
    return (content - np.asarray(speaker.mean)) / target.deviation


def standard_loudness(log_mel: np.ndarray, speaker: ContentStatistics) -> np.ndarray:
    """Loudness `(frames,)` of a speaker's log-mel `(frames, bands)`, standardised by the speaker's statistics."""
    return (log_mel_loudness(log_mel) - speaker.loudness_mean) / speaker.loudness_deviation


def prosody(f0: np.ndarray, loudness: np.ndarray, log_f0: LogF0 | None, config: MelConfig) -> np.ndarray:
    """The prosody input of a decoder: excitation, log-F0 contour, voicing and loudness.

    Parameters
    ----------
    f0 : np.ndarray
        Target F0, shape `(frames,)`, Hz, 0 where unvoiced.
    loudness : np.ndarray
        Standardised loudness, shape `(frames,)`.
    log_f0 : LogF0 or None
        The target's statistics; None for a speaker who whispers.
    config : MelConfig
        Settings of the log-mel frames.

    Returns
    -------
    np.ndarray
        Shape `(frames, bands + 3)`, float32: the bands of `excitation`, then `contours`.
    """
    return np.column_stack([excitation(f0, config), contours(f0, loudness, log_f0)]).astype(np.float32)


def contours(f0: np.ndarray, loudness: np.ndarray, log_f0: LogF0 | None) -> np.ndarray:
    """`prosody` without the excitation, which alone depends on the settings of the log-mel; parameters as there.

    Returns
    -------
    np.ndarray
        Shape `(frames, 3)`, float32: standardised log F0, linearly interpolated where unvoiced; voicing, 1 where
        voiced; loudness.
    """
    voiced = f0 > 0
    melody = np.zeros(len(f0))
    if log_f0 is not None and voiced.any():
        standard = (np.log(f0[voiced]) - log_f0.mean) / log_f0.deviation
        melody = np.interp(np.arange(len(f0)), np.flatnonzero(voiced), standard)
    return np.column_stack([melody, voiced, loudness]).astype(np.float32)


def excitation(f0: np.ndarray, config: MelConfig) -> np.ndarray:
    """Log-mel `(frames, bands)` of a pulse train at F0 `(frames,)`, minus that of white noise of equal power.

    It shows where the harmonics lie, and depends on each frame's F0 alone. Unvoiced frames are 0.
    """
    table = pulses(config)
    log_mel = np.zeros((len(f0), config.bands))
    voiced = f0 > 0
    steps = STEPS_PER_OCTAVE * np.log2(np.clip(f0[voiced], LOWEST_F0, HIGHEST_F0) / LOWEST_F0)
    before = np.minimum(steps.astype(int), len(table) - 2)
    weight = (steps - before)[:, None]
    log_mel[voiced] = table[before] * (1 - weight) + table[before + 1] * weight
    return log_mel


@lru_cache(maxsize=8)
def pulses(config: MelConfig) -> np.ndarray:
    """`excitation` at LOWEST_F0 and every step above it, STEPS_PER_OCTAVE to an octave: `(steps, bands)`."""
    size, rate = config.fft_size, config.sample_rate
    filters, bins = mel_filters(config), np.arange(size // 2 + 1)
    steps = int(np.ceil(STEPS_PER_OCTAVE * np.log2(HIGHEST_F0 / LOWEST_F0))) + 1
    flat = filters.sum(axis=1)  # magnitude of noise whose power is 1 in each bin
    rows = []
    for f0 in LOWEST_F0 * 2.0 ** (np.arange(steps) / STEPS_PER_OCTAVE):
        harmonics = np.arange(1, int(rate / 2 / f0) + 1) * f0 * size / rate  # in bins
        offsets = bins[:, None] - harmonics
        pole = np.abs(np.abs(offsets) - 1) < 1e-6
        window = np.sinc(offsets) / np.where(pole, np.inf, 1 - np.square(offsets))
        window = np.where(pole, 0.5, window)  # Fourier transform of a Hann window, 1 at its centre
        power = np.square(window).sum(axis=1) * f0 * size / rate / 1.5  # a Hann window's noise bandwidth is 1.5 bins
        rows.append(np.log((filters @ np.sqrt(power + ASPIRATION)) / flat))
    return np.array(rows)
