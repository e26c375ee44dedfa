"""WORLD analysis: samples -> F0, spectral envelope, aperiodicity (Morise, Yokomori and Ozawa, IEICE E99-D, 2016)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vc.config import require
from vc.errors import ConfigError
from vc.features import autocorrelation, mel_cepstrum
from vc.features.speech import audible

F0_METHODS = ("autocorrelation", "harvest", "dio")
LOWEST_F0, HIGHEST_F0 = 20.0, 2000.0  # Hz; beyond, native code is given no F0
FFT_FLOOR = 71.0  # Hz; WORLD's default floor, which sets the FFT size for every speaker alike
WORLD_UNVOICED_F0 = 500.0  # Hz, WORLD's own: what distances are measured by, and old models were made with
POWER_SMOOTHING = 0.04  # seconds, deviation of a Gaussian


@dataclass(frozen=True)
class WorldConfig:
    """How a waveform becomes frames. `order` and `warping` follow the sample rate unless they are given."""

    kind: ClassVar[str] = "world"
    archive: ClassVar[str] = "mcep"  # of the frames, in a features directory
    kept: ClassVar[int] = 1  # bands from the first that a conversion leaves alone: c0, the loudness

    sample_rate: int = 22050  # Hz
    frame_shift: float = 5.0  # milliseconds
    order: int | None = None  # of the mel-cepstrum, without c0
    warping: float | None = None  # all-pass constant of the mel-cepstrum
    f0_method: str = "autocorrelation"
    unvoiced_f0: float = 150.0  # Hz, for whose period CheapTrick's window is set where nothing is voiced

    def __post_init__(self) -> None:
        require(1.0 <= self.frame_shift <= 20.0, f"features.frame_shift must be in 1..20 ms, got {self.frame_shift}")
        known = ", ".join(F0_METHODS)
        require(self.f0_method in F0_METHODS, f"features.f0_method must be one of {known}, got {self.f0_method!r}")
        if self.sample_rate not in mel_cepstrum.SETTINGS:
            rates = ", ".join(map(str, mel_cepstrum.SETTINGS))
            raise ConfigError(f"features.sample_rate must be one of {rates} Hz, got {self.sample_rate}")
        order, warping = mel_cepstrum.SETTINGS[self.sample_rate]
        object.__setattr__(self, "order", order if self.order is None else self.order)
        object.__setattr__(self, "warping", warping if self.warping is None else self.warping)
        require(4 <= self.order <= 100, f"features.order must be in 4..100, got {self.order}")
        require(0 <= self.warping < 1, f"features.warping must be in 0..1, got {self.warping}")
        given = self.unvoiced_f0
        require(FFT_FLOOR <= given <= 1000, f"features.unvoiced_f0 must be in {FFT_FLOOR:g}..1000 Hz, got {given}")

    @property
    def fft_size(self) -> int:  # samples; WORLD's rule for FFT_FLOOR
        return 2 ** (1 + int(np.log2(3 * self.sample_rate / FFT_FLOOR + 1)))

    @property
    def lowest_rate(self) -> int:  # Hz, of recordings that hold all that is analysed
        return self.sample_rate

    @property
    def bins(self) -> int:
        return self.fft_size // 2 + 1

    @property
    def bands(self) -> int:  # rows of a mel-cepstrum with c0
        return self.order + 1

    @property
    def frame_rate(self) -> float:  # frames per second
        return 1000 / self.frame_shift


@dataclass(frozen=True)
class F0Range:
    """Where to look for F0, in Hz; the default reaches from a creaking voice to a soprano's highest notes."""

    floor: float = 30.0
    ceiling: float = 1400.0

    def __post_init__(self) -> None:
        if not LOWEST_F0 <= self.floor < self.ceiling <= HIGHEST_F0:
            raise ConfigError(
                f"F0 range must satisfy {LOWEST_F0:g} <= floor < ceiling <= {HIGHEST_F0:g} Hz,"
                f" got {self.floor}..{self.ceiling}"
            )


@dataclass(frozen=True)
class Frames:
    """A waveform's frames: what methods convert, and WORLD's excitation, which a vocoder may do without."""

    f0: np.ndarray | None  # (frames,) Hz, 0 where unvoiced
    spectrum: np.ndarray  # (frames, bands): mel-cepstrum, or log-mel
    aperiodicity: np.ndarray | None  # (frames, bins) in 0..1
    content: np.ndarray | None = None  # (frames, dims) of a content encoder


def analyse(samples: np.ndarray, config: WorldConfig, f0_range: F0Range | None) -> Frames:
    """F0, mel-cepstrum and aperiodicity of `(samples,)` at `config.sample_rate`; without a range nothing is voiced."""
    import pyworld

    f0, mel_cepstrum_frames, samples, times = _envelope_frames(samples, config, f0_range)
    aperiodicity = pyworld.d4c(samples, f0, times, config.sample_rate, fft_size=config.fft_size)
    return Frames(f0, mel_cepstrum_frames, aperiodicity)


def extract(samples: np.ndarray, config: WorldConfig, f0_range: F0Range | None) -> tuple[np.ndarray, np.ndarray]:
    """F0 `(frames,)` and mel-cepstrum `(frames, order + 1)`: what training needs, without the aperiodicity."""
    f0, mel_cepstrum_frames, _, _ = _envelope_frames(samples, config, f0_range)
    return f0, mel_cepstrum_frames


def estimate_f0(samples: np.ndarray, config: WorldConfig, f0_range: F0Range | None) -> tuple[np.ndarray, np.ndarray]:
    """F0 `(frames,)` in Hz, 0 where unvoiced, and the frames' times `(frames,)` in seconds.

    Without a range, of a voice that whispers, nothing is voiced.
    """
    import pyworld

    if f0_range is None:
        times = autocorrelation.frame_times(len(samples), config.sample_rate, config.frame_shift)
        return np.zeros(len(times)), times
    samples = samples.astype(np.float64)
    arguments = (samples, config.sample_rate, f0_range.floor, f0_range.ceiling)
    if config.f0_method == "harvest":
        return pyworld.harvest(*arguments, frame_period=config.frame_shift)
    if config.f0_method == "autocorrelation":
        f0, times = autocorrelation.estimate_f0(*arguments, config.frame_shift)
    else:
        f0, times = pyworld.dio(*arguments, frame_period=config.frame_shift)
    refined = pyworld.stonemask(samples, f0, times, config.sample_rate)
    return np.where(refined > 0, refined, f0), times  # it gives up below 40 Hz and above a twelfth of the rate


def window_f0(f0: np.ndarray, config: WorldConfig) -> np.ndarray:
    """F0 whose periods set CheapTrick's windows: voiced frames below what the FFT resolves are raised to it.

    CheapTrick would take them for unvoiced.
    """
    import pyworld

    lowest = pyworld.get_cheaptrick_f0_floor(config.sample_rate, config.fft_size)
    return np.where(f0 > 0, np.maximum(f0, lowest * 1.001), config.unvoiced_f0)


def _envelope_frames(
    samples: np.ndarray, config: WorldConfig, f0_range: F0Range | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    import pyworld

    f0, times = estimate_f0(samples, config, f0_range)
    samples = samples.astype(np.float64)
    envelope = pyworld.cheaptrick(samples, window_f0(f0, config), times, config.sample_rate, fft_size=config.fft_size)
    return f0, mel_cepstrum.from_envelope(envelope, config.order, config.warping), samples, times


def restore_power(converted: np.ndarray, source: np.ndarray, config: WorldConfig) -> np.ndarray:
    """Converted mel-cepstra with c0 moved so that they follow the power of the source's frames.

    c0 is the mean of the log spectrum: with the source's c0, another spectral envelope has another power, and a
    conversion swells and fades where the recording does not. The correction is smoothed over time, for its own quick
    movement is heard as roughness (recipes/EXPERIMENTS.md, 2026-11-26). It is that of audible frames: what a pause
    would need does not reach the speech beside it.

    Parameters
    ----------
    converted, source : np.ndarray
        Shape `(frames, order + 1)` each.
    config : WorldConfig
        Settings of their analysis.

    Returns
    -------
    np.ndarray
        Shape `(frames, order + 1)`, equal to `converted` but for c0.
    """
    envelopes = (mel_cepstrum.to_envelope(frames, config.warping, config.bins) for frames in (source, converted))
    wanted, own = (np.log(envelope.sum(axis=1)) for envelope in envelopes)
    deviation = POWER_SMOOTHING * config.frame_rate  # frames
    reach = int(np.ceil(3 * deviation))
    gaussian = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    heard = audible(source).astype(float)
    gaps = heard * (wanted - own) / 2
    weights, missing = (np.convolve(values, gaussian)[reach : reach + len(heard)] for values in (heard, gaps))
    correction = np.divide(missing, weights, out=np.zeros_like(missing), where=weights > 0)
    return np.column_stack([converted[:, 0] + correction, converted[:, 1:]])
