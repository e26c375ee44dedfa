"""Waveform -> log-mel spectrogram, as the published universal HiFi-GAN models take it.

Kong, Kim and Bae, "HiFi-GAN: generative adversarial networks for efficient and high fidelity speech synthesis",
NeurIPS 2020, and their released front end: samples reflected at both ends so that frame i is centred on hop i, Hann
window, magnitude, mel filters of equal area (Slaney, "Auditory toolbox", 1998), natural logarithm. On any device, and
with gradients: training a vocoder needs both.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from vc.config import require
from vc.corpus import audio
from vc.features import mel_cepstrum
from vc.features.base import FeatureConfig, Frames
from vc.features.f0 import F0Range
from vc.features.world import WorldConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FLOOR = 1e-5  # of a mel band's magnitude, before the logarithm
TINY = 1e-9  # added to squared magnitudes: the square root's gradient stays finite
LINEAR_BELOW = 1000.0  # Hz; the mel scale of Slaney's toolbox is linear up to there
LINEAR_STEP = 200 / 3  # Hz a mel
LOG_STEP = np.log(6.4) / 27  # of a mel above


@dataclass(frozen=True)
class MelConfig:
    """How a waveform becomes log-mel frames."""

    sample_rate: int = 22050  # Hz
    fft_size: int = 1024  # samples, of the window too
    hop: int = 256  # samples
    bands: int = 80
    lowest: float = 0.0  # Hz
    highest: float = 8000.0  # Hz

    def __post_init__(self) -> None:
        require(8000 <= self.sample_rate <= 96000, f"mel.sample_rate must be in 8000..96000, got {self.sample_rate}")
        possible = 64 <= self.fft_size <= 16384 and self.fft_size % 2 == 0
        require(possible, f"mel.fft_size must be even and in 64..16384, got {self.fft_size}")
        fits = 16 <= self.hop <= self.fft_size and self.hop % 2 == 0
        require(fits, f"mel.hop must be even and in 16..fft_size, got {self.hop}")
        require(8 <= self.bands <= self.fft_size // 2, f"mel.bands must be in 8..fft_size / 2, got {self.bands}")
        within = 0 <= self.lowest < self.highest <= self.sample_rate / 2
        require(within, f"mel.lowest and highest must satisfy 0 <= {self.lowest} < {self.highest} <= sample_rate / 2")

    @property
    def margin(self) -> int:  # samples of a frame's window on either side of its hop
        return (self.fft_size - self.hop) // 2

    @property
    def frame_shift(self) -> float:  # milliseconds
        return 1000 * self.hop / self.sample_rate

    @property
    def frame_rate(self) -> float:  # frames per second
        return self.sample_rate / self.hop


@dataclass(frozen=True)
class MelFeatures(MelConfig, FeatureConfig):
    """Log-mel frames as features of a speaker pair, with F0 at the same places."""

    kind: str = "mel"
    f0_method: str = "autocorrelation"  # as in WorldConfig

    archive: ClassVar[str] = "mel"

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = type(self).kind
        require(self.kind == kind, f"features.kind must be {kind}, got {self.kind!r}")
        _ = self.world  # refuses what WORLD cannot

    @property
    def mel(self) -> MelConfig:
        return MelConfig(**{name: getattr(self, name) for name in MelConfig.__dataclass_fields__})

    @property
    def lowest_rate(self) -> int:  # for all that the bands cover
        return min(self.sample_rate, math.ceil(2 * self.highest))

    @property
    def first_centre(self) -> int:  # in the middle of its hop
        return self.hop // 2

    @property
    def world(self) -> WorldConfig:
        return WorldConfig(self.sample_rate, self.frame_shift, f0_method=self.f0_method)

    def extract(self, samples: np.ndarray, f0_range: F0Range | None) -> tuple[np.ndarray, np.ndarray]:
        """F0 `(frames,)` and log-mel `(frames, bands)` of `(samples,)`, as FeatureConfig has it."""
        spectrum = analyse(samples, self).astype(np.float64)
        f0, _ = self.world.estimate_f0(self._from_first_centre(samples), f0_range)
        return _extended(f0, len(spectrum)), spectrum

    def analyse(self, samples: np.ndarray, f0_range: F0Range | None, *, excitation: bool = True) -> Frames:
        spectrum = analyse(samples, self).astype(np.float64)
        if not excitation:
            return Frames(None, spectrum, None)
        frames = self.world.analyse(self._from_first_centre(samples), f0_range)
        f0, aperiodicity = (_extended(values, len(spectrum)) for values in (frames.f0, frames.aperiodicity))
        return Frames(f0, spectrum, aperiodicity)

    def to_mel_cepstrum(self, frames: np.ndarray) -> np.ndarray:
        weights, offset = _to_mel_cepstrum(self)
        return frames.astype(np.float64) @ weights + offset

    def _from_first_centre(self, samples: np.ndarray) -> np.ndarray:
        """Samples, one at least, whose WORLD frame i is centred where log-mel's frame i is."""
        start = self.first_centre
        return audio.fit_length(samples, max(len(samples), start + 1))[start:]


def _extended(values: np.ndarray, frames: int) -> np.ndarray:
    """Values of so many frames; the last is repeated."""
    return values[np.minimum(np.arange(frames), len(values) - 1)]


@lru_cache(maxsize=8)
def _to_mel_cepstrum(config: MelFeatures) -> tuple[np.ndarray, np.ndarray]:
    """`(bands, order + 1)` and `(order + 1,)`: log-mel -> mel-cepstrum.

    A band's magnitude over its filter's sum stands at the band's centre, with straight lines between the centres in the
    logarithm; a window of energy E gives noise of power P the magnitude sqrt(E P).
    """
    world, filters = config.world, mel_filters(config.mel)
    sums = filters.sum(axis=1)
    frequencies = np.linspace(0, config.sample_rate / 2, filters.shape[1])
    centres = filters @ frequencies / sums
    bins = np.linspace(0, config.sample_rate / 2, world.bins)
    spread = np.stack([np.interp(bins, centres, unit) for unit in np.eye(config.bands)])  # (bands, bins)
    window = np.hanning(config.fft_size + 1)[:-1]
    constant = -2 * np.log(sums) @ spread - np.log(np.square(window).sum())  # (bins,)
    envelopes = np.exp(np.vstack([2 * spread, constant]))  # from_envelope takes its logarithm
    cepstra = mel_cepstrum.from_envelope(envelopes, world.order, world.warping)
    return cepstra[:-1], cepstra[-1]


def analyse(samples: np.ndarray, config: MelConfig, device: "torch.device | str" = "cpu") -> np.ndarray:
    """`(samples,)` to log-mel `(frames, bands)` float32 that covers every sample: the last may see silence after it."""
    import torch

    length = max(len(samples) + -len(samples) % config.hop, config.fft_size)
    padded = np.pad(samples.astype(np.float32), (0, length - len(samples)))
    with torch.inference_mode():
        frames = log_mel(torch.from_numpy(padded)[None].to(device), config)[0].T.cpu().numpy()
    return frames[: -(-len(samples) // config.hop)]


def log_mel(samples: "Tensor", config: MelConfig) -> "Tensor":
    """`(batch, samples)` in -1..1 to `(batch, bands, samples // hop)`; more than `margin` samples."""
    import torch
    from torch.nn.functional import pad

    padded = pad(samples[:, None], (config.margin, config.margin), mode="reflect")[:, 0]
    window = torch.hann_window(config.fft_size, dtype=samples.dtype, device=samples.device)
    spectrum = torch.stft(
        padded, config.fft_size, config.hop, window=window, center=False, onesided=True, return_complex=True
    )
    magnitude = (spectrum.real.square() + spectrum.imag.square() + TINY).sqrt()
    return (_filters_on(config, magnitude.device, magnitude.dtype) @ magnitude).clamp(min=FLOOR).log()


@lru_cache(maxsize=8)
def _filters_on(config: MelConfig, device: "torch.device", dtype: "torch.dtype") -> "Tensor":
    """`mel_filters` where they are used: a recorded step copies nothing from the host."""
    import torch

    with torch.inference_mode(False):
        return torch.from_numpy(mel_filters(config)).to(device, dtype)


@lru_cache(maxsize=8)
def mel_filters(config: MelConfig) -> np.ndarray:
    """`(bands, fft_size / 2 + 1)`: triangles, evenly spaced in mel, each of area 2 over Hz."""
    edges = mel_to_hertz(np.linspace(hertz_to_mel(config.lowest), hertz_to_mel(config.highest), config.bands + 2))
    bins = np.linspace(0, config.sample_rate / 2, config.fft_size // 2 + 1)
    widths = np.diff(edges)
    rising = (bins - edges[:-2, None]) / widths[:-1, None]
    falling = (edges[2:, None] - bins) / widths[1:, None]
    heights = 2 / (edges[2:] - edges[:-2])
    return np.maximum(0, np.minimum(rising, falling)) * heights[:, None]


def hertz_to_mel(hertz: float) -> float:
    """On the scale of Slaney's toolbox."""
    if hertz < LINEAR_BELOW:
        return hertz / LINEAR_STEP
    return LINEAR_BELOW / LINEAR_STEP + np.log(hertz / LINEAR_BELOW) / LOG_STEP


def mel_to_hertz(mel: np.ndarray) -> np.ndarray:
    """The inverse of `hertz_to_mel`."""
    knee = LINEAR_BELOW / LINEAR_STEP
    return np.where(mel < knee, mel * LINEAR_STEP, LINEAR_BELOW * np.exp(LOG_STEP * (mel - knee)))
