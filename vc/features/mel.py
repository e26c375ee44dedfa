"""Log-mel spectrograms as in the published universal HiFi-GAN models.

Kong, Kim and Bae, "HiFi-GAN: generative adversarial networks for efficient and high fidelity speech synthesis",
NeurIPS 2020, and their released front end: reflect padding so that frame i is centred on hop i, Hann window, magnitude,
mel filters of equal area (Slaney, "Auditory toolbox", 1998), natural logarithm. Differentiable, and runs on any device,
as needed to train a vocoder.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from vc.config import require, require_range
from vc.corpus import audio
from vc.features import mel_cepstrum
from vc.features.base import FeatureConfig, Frames
from vc.features.f0 import F0Range
from vc.features.world import WorldConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FLOOR = 1e-5  # lowest magnitude of a mel band, before the logarithm
MOST_BANDS = 1024  # so that the filters of a damaged configuration fit into memory
TINY = 1e-9  # added to squared magnitudes to keep the gradient of the square root finite
LINEAR_BELOW = 1000.0  # Hz; the mel scale of Slaney's toolbox is linear below
LINEAR_STEP = 200 / 3  # Hz per mel below
LOG_STEP = np.log(6.4) / 27  # natural logarithm of the frequency ratio per mel above
ENVELOPE_ORDER = 49  # of the mel-cepstrum whose envelope WORLD synthesises: less blurs formants, more leaves harmonics


@dataclass(frozen=True)
class MelConfig:
    """Settings of a log-mel spectrogram."""

    sample_rate: int = 22050  # Hz
    fft_size: int = 1024  # samples; also the window length
    hop: int = 256  # samples
    bands: int = 80
    lowest: float = 0.0  # Hz
    highest: float = 8000.0  # Hz

    def __post_init__(self) -> None:
        require_range(self, "mel", "sample_rate", at_least=8000, at_most=96000)
        possible = 64 <= self.fft_size <= 16384 and self.fft_size % 2 == 0
        require(possible, f"mel.fft_size must be even and in 64..16384, got {self.fft_size}")
        fits = 16 <= self.hop <= self.fft_size and self.hop % 2 == 0
        require(fits, f"mel.hop must be even and in 16..fft_size, got {self.hop}")
        limit = min(self.fft_size // 2, MOST_BANDS)
        require(8 <= self.bands <= limit, f"mel.bands must be in 8..{limit}, got {self.bands}")
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
    """Features of kind mel: log-mel frames, and F0 at the same frames."""

    kind: str = "mel"
    f0_method: str = "autocorrelation"  # as in WorldConfig

    archive: ClassVar[str] = "mel"

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = type(self).kind
        require(self.kind == kind, f"features.kind must be {kind}, got {self.kind!r}")
        _ = self.world  # raises ConfigError for settings that WORLD does not support
        self.check_bands(self.fft_size)

    def check_bands(self, fft_size: int) -> None:
        """Raise ConfigError if a band lies between two bins of an FFT of `fft_size` samples."""
        edges, bins = _band_edges(self), np.linspace(0, self.sample_rate / 2, fft_size // 2 + 1)
        counts = np.searchsorted(bins, edges[2:]) - np.searchsorted(bins, edges[:-2], side="right")
        require(counts.min() > 0, f"features.bands: {self.bands} are too narrow for an FFT of {fft_size} samples")

    @property
    def mel(self) -> MelConfig:
        return MelConfig(**{name: getattr(self, name) for name in MelConfig.__dataclass_fields__})

    @property
    def lowest_rate(self) -> int:  # Hz, enough for the highest band
        return min(self.sample_rate, math.ceil(2 * self.highest))

    @property
    def first_centre(self) -> int:  # samples; the centre of the hop
        return self.hop // 2

    @property
    def world(self) -> WorldConfig:
        return WorldConfig(self.sample_rate, self.frame_shift, f0_method=self.f0_method)

    def extract(self, samples: np.ndarray, f0_range: F0Range | None) -> tuple[np.ndarray, np.ndarray]:
        """F0 `(frames,)` and log-mel `(frames, bands)` of `(samples,)`, as in FeatureConfig."""
        spectrum = analyse(samples, self).astype(np.float64)
        f0, _ = self.world.estimate_f0(self.from_first_centre(samples), f0_range)
        return extend(f0, len(spectrum)), spectrum

    def analyse(self, samples: np.ndarray, f0_range: F0Range | None, *, excitation: bool = True) -> Frames:
        spectrum = analyse(samples, self).astype(np.float64)
        if not excitation:
            return Frames(None, spectrum, None)
        frames = self.world.analyse(self.from_first_centre(samples), f0_range)
        f0, aperiodicity = (extend(values, len(spectrum)) for values in (frames.f0, frames.aperiodicity))
        return Frames(f0, spectrum, aperiodicity)

    def to_mel_cepstrum(self, frames: np.ndarray) -> np.ndarray:
        weights, offset = _to_mel_cepstrum(self, self.world.order)
        return frames.astype(np.float64) @ weights + offset

    def envelope(self, frames: np.ndarray) -> np.ndarray:
        """As in FeatureConfig, finer than the mel-cepstra on which distances are measured."""
        return mel_cepstrum.to_envelope(self.to_fine_mel_cepstrum(frames), self.world.warping, self.world.bins)

    @property
    def fine_world(self) -> WorldConfig:
        """Settings of the mel-cepstra that WORLD synthesises."""
        return replace(self.world, order=ENVELOPE_ORDER)

    def to_fine_mel_cepstrum(self, frames: np.ndarray) -> np.ndarray:
        """`(frames, bands)` to mel-cepstra `(frames, ENVELOPE_ORDER + 1)`."""
        weights, offset = _to_mel_cepstrum(self, ENVELOPE_ORDER)
        return frames.astype(np.float64) @ weights + offset

    def from_first_centre(self, samples: np.ndarray) -> np.ndarray:
        """Shift the samples so that WORLD's frame i is centred on log-mel frame i; at least one sample is left."""
        start = self.first_centre
        return audio.fit_length(samples, max(len(samples), start + 1))[start:]


def extend(values: np.ndarray, frames: int) -> np.ndarray:
    """Extend or cut `values` to `frames` frames; the last one is repeated."""
    return values[np.minimum(np.arange(frames), len(values) - 1)]


@lru_cache(maxsize=8)
def _to_mel_cepstrum(config: MelFeatures, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrix `(bands, order + 1)` and offset `(order + 1,)` of the affine map from log-mel to mel-cepstrum.

    The log envelope is interpolated linearly between the bands' centres, from each band's magnitude divided by its
    filter's sum and the window's gain. Nearly the inverse of `log_mel_matrices`.
    """
    world, filters = config.world, mel_filters(config)
    sums = filters.sum(axis=1)
    frequencies = np.linspace(0, config.sample_rate / 2, filters.shape[1])
    centres = filters @ frequencies / sums
    bins = np.linspace(0, config.sample_rate / 2, world.bins)
    interpolation = np.stack([np.interp(bins, centres, unit) for unit in np.eye(config.bands)])  # (bands, bins)
    constant = -2 * np.log(sums) @ interpolation - np.log(_window_energy(config))  # (bins,)
    envelopes = np.exp(np.vstack([2 * interpolation, constant]))  # from_envelope takes the logarithm
    cepstra = mel_cepstrum.from_envelope(envelopes, order, world.warping)
    return cepstra[:-1], cepstra[-1]


def log_mel_of_envelope(envelope: np.ndarray, config: MelFeatures) -> np.ndarray:
    """Log-mel `(frames, bands)` of a power spectral envelope `(frames, bins)` as WORLD's, so without harmonics.

    It is that of noise with this envelope; a recording's differs at the lowest bands, which lie below F0.
    """
    magnitudes = np.sqrt(_window_energy(config) * envelope)
    return np.log(np.maximum(magnitudes @ _envelope_filters(config), FLOOR))


@lru_cache(maxsize=8)
def _envelope_filters(config: MelFeatures) -> np.ndarray:
    """Mel filters at the bins of WORLD's envelope, `(bins, bands)`, with the gain of the log-mel's own FFT size."""
    return config.fft_size / config.world.fft_size * _triangles(config, config.world.bins).T


def _window_energy(config: MelConfig) -> float:
    """Sum of the squared window: noise of power P has magnitudes of sqrt(energy P)."""
    return float(np.square(np.hanning(config.fft_size + 1)[:-1]).sum())


def analyse(samples: np.ndarray, config: MelConfig, device: "torch.device | str" = "cpu") -> np.ndarray:
    """`(samples,)` to log-mel `(ceil(samples / hop), bands)` float32; the end is padded with silence."""
    import torch

    length = max(len(samples) + -len(samples) % config.hop, config.fft_size)
    padded = np.pad(samples.astype(np.float32), (0, length - len(samples)))
    with torch.inference_mode():
        frames = log_mel(torch.from_numpy(padded)[None].to(device), config)[0].T.cpu().numpy()
    return frames[: -(-len(samples) // config.hop)]


def log_mel(samples: "Tensor", config: MelConfig) -> "Tensor":
    """`(batch, samples)` in -1..1, more than `margin` samples, to log-mel `(batch, bands, samples // hop)`."""
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
def log_mel_matrices(world: WorldConfig, config: MelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Matrices for the log-mel of a mel-cepstrum's envelope, without harmonics.

    The log-mel of a mel-cepstrum c with c0 is `log(max(filters @ exp(magnitudes @ c), FLOOR))`. It differs from that of
    a recording at the lowest bands, which lie below F0.

    Returns
    -------
    magnitudes : np.ndarray
        Shape `(bins, order + 1)`: mel-cepstrum to natural log magnitudes at the filters' bins, up to the lower of the
        two Nyquist frequencies.
    filters : np.ndarray
        Shape `(bands, bins)`: mel filters with the gain of the window and of resampling, which changes noise's power
        by the ratio of the rates.
    """
    bins = np.linspace(0, config.sample_rate / 2, config.fft_size // 2 + 1)
    bins = bins[bins <= world.sample_rate / 2]
    log_powers = mel_cepstrum.synthesis_matrix(world.bins, world.order, world.warping)  # (order + 1, WORLD's bins)
    world_bins = np.linspace(0, world.sample_rate / 2, world.bins)
    magnitudes = np.stack([np.interp(bins, world_bins, row) / 2 for row in log_powers], axis=1)
    gain = np.sqrt(_window_energy(config) * config.sample_rate / world.sample_rate)
    return magnitudes, gain * mel_filters(config)[:, : len(bins)]


@lru_cache(maxsize=8)
def _filters_on(config: MelConfig, device: "torch.device", dtype: "torch.dtype") -> "Tensor":
    """`mel_filters` on a device: a step captured as a CUDA graph must not copy from the host."""
    import torch

    with torch.inference_mode(False):
        return torch.from_numpy(mel_filters(config)).to(device, dtype)


@lru_cache(maxsize=8)
def mel_filters(config: MelConfig) -> np.ndarray:
    """Triangular filters `(bands, fft_size / 2 + 1)`, evenly spaced in mel and normalised to equal area over Hz."""
    return _triangles(config, config.fft_size // 2 + 1)


def _triangles(config: MelConfig, bins: int) -> np.ndarray:
    """The filters of `mel_filters` at `bins` frequencies from 0 to the Nyquist frequency."""
    edges, bins = _band_edges(config), np.linspace(0, config.sample_rate / 2, bins)
    widths = np.diff(edges)
    rising = (bins - edges[:-2, None]) / widths[:-1, None]
    falling = (edges[2:, None] - bins) / widths[1:, None]
    heights = 2 / (edges[2:] - edges[:-2])
    return np.maximum(0, np.minimum(rising, falling)) * heights[:, None]


def _band_edges(config: MelConfig) -> np.ndarray:
    """Frequencies `(bands + 2,)` in Hz at which the filters begin, peak and end."""
    return mel_to_hertz(np.linspace(hertz_to_mel(config.lowest), hertz_to_mel(config.highest), config.bands + 2))


def hertz_to_mel(hertz: float) -> float:
    """Hz to mel on the scale of Slaney's toolbox."""
    if hertz < LINEAR_BELOW:
        return hertz / LINEAR_STEP
    return LINEAR_BELOW / LINEAR_STEP + np.log(hertz / LINEAR_BELOW) / LOG_STEP


def mel_to_hertz(mel: np.ndarray) -> np.ndarray:
    """The inverse of `hertz_to_mel`, of an array of any shape."""
    knee = LINEAR_BELOW / LINEAR_STEP
    return np.where(mel < knee, mel * LINEAR_STEP, LINEAR_BELOW * np.exp(LOG_STEP * (mel - knee)))
