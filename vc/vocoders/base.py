"""What every vocoder is to a conversion: features in, waveform out."""

from abc import ABC, abstractmethod

import numpy as np

from vc.features.base import FeatureConfig, Frames
from vc.features.f0 import F0Range


class Vocoder(ABC):
    """Makes samples of frames; may be used by several threads at once."""

    @property
    @abstractmethod
    def native_rate(self) -> int | None:
        """Hz, of its own front end; None: it works at any rate."""

    @abstractmethod
    def refuse_other(self, config: FeatureConfig) -> None:
        """Refuse features that it cannot take, by name."""

    @abstractmethod
    def needs_excitation(self, config: FeatureConfig) -> bool:
        """Whether it takes F0 and aperiodicity beside the spectrum of such features."""

    @abstractmethod
    def synthesise(self, frames: Frames, config: FeatureConfig) -> np.ndarray:
        """About `frames * frame_shift` samples `(samples,)` at `config.sample_rate`; not limited to -1..1."""

    @abstractmethod
    def copy(self, samples: np.ndarray, config: FeatureConfig, f0_range: F0Range | None) -> np.ndarray:
        """`(samples,)` at `native_rate`, or else `config.sample_rate`, analysed and made again: as many, float64."""
