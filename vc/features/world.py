"""WORLD analysis: F0, spectral envelope and aperiodicity (Morise, Yokomori and Ozawa, IEICE E99-D, 2016)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vc.config import require_known, require_range
from vc.errors import ConfigError
from vc.features import mel_cepstrum
from vc.features.base import FeatureConfig, Frames
from vc.features.f0 import F0Range, frame_times
from vc.features.speech import audible

F0_METHODS = ("autocorrelation", "harvest", "dio")
USUAL_RATE = 22050  # Hz
FFT_FLOOR = 71.0  # Hz; WORLD's default F0 floor, which sets the same FFT size for every speaker
WORLD_UNVOICED_F0 = 500.0  # Hz, WORLD's own default, used to measure distances and by old models
POWER_SMOOTHING = 0.04  # seconds, standard deviation of a Gaussian


@dataclass(frozen=True)
class WorldConfig(FeatureConfig):
    """Features of kind world: mel-cepstra of WORLD's envelope. `order` and `warping` default to the sample rate's."""

    kind: ClassVar[str] = "world"
    archive: ClassVar[str] = "mcep"
    cepstral: ClassVar[bool] = True
    unconverted_bands: ClassVar[int] = 1  # c0
    automatic_rates: ClassVar[tuple[int, ...]] = tuple(rate for rate in mel_cepstrum.SETTINGS if rate <= USUAL_RATE)

    sample_rate: int = USUAL_RATE  # Hz
    frame_shift: float = 5.0  # milliseconds
    order: int | None = None  # of the mel-cepstrum, without c0
    warping: float | None = None  # all-pass constant of the mel-cepstrum
    f0_method: str = "autocorrelation"
    unvoiced_f0: float = 150.0  # Hz, whose period sets CheapTrick's window in unvoiced frames

    def __post_init__(self) -> None:
        require_range(self, "features", "frame_shift", at_least=1, at_most=20, unit="ms")
        require_known("features.f0_method", self.f0_method, F0_METHODS)
        if self.sample_rate not in mel_cepstrum.SETTINGS:
            rates = ", ".join(map(str, mel_cepstrum.SETTINGS))
            raise ConfigError(f"features.sample_rate must be one of {rates} Hz, got {self.sample_rate}")
        order, warping = mel_cepstrum.SETTINGS[self.sample_rate]
        object.__setattr__(self, "order", order if self.order is None else self.order)
        object.__setattr__(self, "warping", warping if self.warping is None else self.warping)
        require_range(self, "features", "order", at_least=4, at_most=100)
        require_range(self, "features", "warping", at_least=0, below=1)
        require_range(self, "features", "unvoiced_f0", at_least=FFT_FLOOR, at_most=1000, unit="Hz")

    @property
    def world(self) -> "WorldConfig":
        return self

    @property
    def fft_size(self) -> int:  # samples; WORLD's rule for FFT_FLOOR
        return 2 ** (1 + int(np.log2(3 * self.sample_rate / FFT_FLOOR + 1)))

    @property
    def lowest_rate(self) -> int:
        return self.sample_rate

    @property
    def bins(self) -> int:  # of the spectral envelope
        return self.fft_size // 2 + 1

    @property
    def bands(self) -> int:  # of a mel-cepstrum with c0
        return self.order + 1

    @property
    def frame_rate(self) -> float:
        return 1000 / self.frame_shift

    def extract(self, samples: np.ndarray, f0_range: F0Range | None) -> tuple[np.ndarray, np.ndarray]:
        """F0 `(frames,)` and mel-cepstrum `(frames, order + 1)` of `(samples,)`, as in FeatureConfig."""
        f0, _ = self.estimate_f0(samples, f0_range)
        return f0, mel_cepstrum.from_envelope(self.cheaptrick(samples, f0), self.order, self.warping)

    def cheaptrick(self, samples: np.ndarray, f0: np.ndarray, first: int = 0) -> np.ndarray:
        """Power spectral envelope `(frames, bins)` of `(samples,)` with F0 `(frames,)` from frame `first` on."""
        import pyworld

        times = self._times(first, len(f0))
        samples = samples.astype(np.float64)
        return pyworld.cheaptrick(samples, self.window_f0(f0), times, self.sample_rate, fft_size=self.fft_size)

    def window_f0(self, f0: np.ndarray) -> np.ndarray:
        """The F0 `(frames,)` whose period sets CheapTrick's window, from `f0` `(frames,)` in Hz, 0 where unvoiced.

        CheapTrick treats frames whose F0 is too low for the FFT size as unvoiced, so F0 is raised to that limit.
        """
        import pyworld

        lowest = pyworld.get_cheaptrick_f0_floor(self.sample_rate, self.fft_size)
        return np.where(f0 > 0, np.maximum(f0, lowest * 1.001), self.unvoiced_f0)

    def analyse(self, samples: np.ndarray, f0_range: F0Range | None, *, excitation: bool = True) -> Frames:
        """F0, mel-cepstrum and aperiodicity of `(samples,)`, whether or not `excitation` is set."""
        f0, spectrum = self.extract(samples, f0_range)
        return Frames(f0, spectrum, self.d4c(samples, f0))

    def d4c(self, samples: np.ndarray, f0: np.ndarray, first: int = 0) -> np.ndarray:
        """Aperiodicity `(frames, bins)`, in 0..1, of `(samples,)` with F0 `(frames,)` from frame `first` on."""
        import pyworld

        times = self._times(first, len(f0))
        return pyworld.d4c(samples.astype(np.float64), f0, times, self.sample_rate, fft_size=self.fft_size)

    def _times(self, first: int, frames: int) -> np.ndarray:
        """Times in seconds of `frames` frames from frame `first` on."""
        return np.arange(first, first + frames) * self.frame_shift / 1000

    def estimate_f0(self, samples: np.ndarray, f0_range: F0Range | None) -> tuple[np.ndarray, np.ndarray]:
        """Estimate F0 by `f0_method`.

        Parameters
        ----------
        samples : np.ndarray
            Shape `(samples,)`, at `sample_rate`.
        f0_range : F0Range or None
            Search range; None for a speaker who whispers: all frames are unvoiced.

        Returns
        -------
        np.ndarray, np.ndarray
            F0 in Hz, 0 where unvoiced, and times in seconds, shape `(frames,)` each.
        """
        import pyworld

        if f0_range is None:
            times = frame_times(len(samples), self.sample_rate, self.frame_shift)
            return np.zeros(len(times)), times
        samples = samples.astype(np.float64)
        arguments = (samples, self.sample_rate, f0_range.floor, f0_range.ceiling)
        if self.f0_method == "harvest":
            return pyworld.harvest(*arguments, frame_period=self.frame_shift)
        if self.f0_method == "autocorrelation":
            track = self.track_f0(samples, f0_range)
            f0, times = track.f0, track.times
        else:
            f0, times = pyworld.dio(*arguments, frame_period=self.frame_shift)
        return self.refine_f0(samples, f0, times), times

    def refine_f0(self, samples: np.ndarray, f0: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Refine F0 `(frames,)` at `times` in seconds to the frequency at each frame by StoneMask."""
        import pyworld

        refined = pyworld.stonemask(samples.astype(np.float64), f0, times, self.sample_rate)
        return np.where(refined > 0, refined, f0)  # it fails below 40 Hz and above rate / 12

    def to_mel_cepstrum(self, frames: np.ndarray) -> np.ndarray:
        return frames

    def restore_power(self, converted: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Adjust c0 of converted mel-cepstra so that their power follows the source's.

        c0 is the mean of the log spectrum, so a converted envelope with the source's c0 has a different power, and the
        level of a conversion would fluctuate where the recording's does not. The correction is smoothed over time,
        because fast changes are heard as roughness (docs/experiments.md, 2026-11-26), and computed from audible frames
        only, so that pauses do not affect adjacent speech.

        Parameters
        ----------
        converted, source : np.ndarray
            Shape `(frames, order + 1)` each.

        Returns
        -------
        np.ndarray
            Shape `(frames, order + 1)`, equal to `converted` except for c0.
        """
        log_powers = (np.log(self.envelope(frames).sum(axis=1)) for frames in (source, converted))
        source_power, converted_power = log_powers
        deviation = POWER_SMOOTHING * self.frame_rate  # frames
        reach = int(np.ceil(3 * deviation))
        gaussian = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
        weights = audible(source).astype(float)
        gaps = weights * (source_power - converted_power) / 2
        total, missing = (np.convolve(values, gaussian)[reach : reach + len(weights)] for values in (weights, gaps))
        correction = np.divide(missing, total, out=np.zeros_like(missing), where=total > 0)
        return np.column_stack([converted[:, 0] + correction, converted[:, 1:]])
