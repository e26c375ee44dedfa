"""The interface of a vocoder: features in, waveform out."""

from abc import ABC, abstractmethod

import numpy as np

from vc.features.base import FeatureConfig, Frames
from vc.features.f0 import F0Range


class Vocoder(ABC):
    """Synthesises samples from frames; may be used by several threads at once."""

    @property
    @abstractmethod
    def native_rate(self) -> int | None:
        """Hz, of its own front end; None if it works at any rate."""

    @abstractmethod
    def check_features(self, config: FeatureConfig) -> None:
        """Raise ConfigError for features that it cannot take; the message names the settings."""

    @abstractmethod
    def needs_excitation(self, config: FeatureConfig) -> bool:
        """Whether it takes F0 and aperiodicity beside the spectrum of features of this kind."""

    @abstractmethod
    def synthesise(self, frames: Frames, config: FeatureConfig) -> np.ndarray:
        """Synthesise a waveform.

        Parameters
        ----------
        frames : Frames
            Spectrum `(frames, bands)`; F0 and aperiodicity if `needs_excitation`.
        config : FeatureConfig
            Their settings.

        Returns
        -------
        np.ndarray
            Shape `(samples,)`, about `frames * frame_shift`, at `config.sample_rate`; not limited to -1..1.
        """

    @abstractmethod
    def copy(self, samples: np.ndarray, config: FeatureConfig, f0_range: F0Range | None) -> np.ndarray:
        """Copy-synthesis: analyse a waveform and synthesise it again.

        Parameters
        ----------
        samples : np.ndarray
            Shape `(samples,)`, at `native_rate` or, without one, `config.sample_rate`.
        config : FeatureConfig
            Settings of the analysis, for a vocoder without a front end of its own.
        f0_range : F0Range or None
            Hz, in which to search for F0, if the vocoder takes it.

        Returns
        -------
        np.ndarray
            The same shape, float64.
        """
