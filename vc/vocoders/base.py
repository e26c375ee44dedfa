"""The interfaces of vocoders: features in, waveform out."""

from abc import ABC, abstractmethod

import numpy as np

from vc.features.base import FeatureConfig, Frames
from vc.features.f0 import F0Range


class OnlineVocoder(ABC):
    """Synthesises frames of a recording as they arrive, block by block.

    Attributes
    ----------
    lag : int
        Number of frames by which the samples lag the frames.
    needs_excitation : bool
        Whether it needs F0 and aperiodicity in addition to the spectrum.
    """

    lag: int
    needs_excitation: bool

    @abstractmethod
    def reset(self) -> None:
        """Start over with a recording's first frame."""

    @abstractmethod
    def begin(self, frame: np.ndarray) -> None:
        """Compute what precedes the first frame, as if that were `frame` `(bands,)`.

        Otherwise the first `push` does it, which may then take several times as long as the others.
        """

    @abstractmethod
    def push(self, frames: Frames) -> np.ndarray:
        """Take the next frames; return as many frames' samples.

        Parameters
        ----------
        frames : Frames
            At least one; F0 and aperiodicity if `needs_excitation`.

        Returns
        -------
        np.ndarray
            Shape `(frames * hop,)`: silence for the first `lag` frames, then the recording's samples.
        """


class Vocoder(ABC):
    """Synthesises a waveform from frames of features; thread-safe."""

    @property
    @abstractmethod
    def native_rate(self) -> int | None:
        """Sample rate in Hz of its own front end; None if it works at any rate."""

    @abstractmethod
    def check_features(self, config: FeatureConfig) -> None:
        """Check that the vocoder can synthesise features with these settings.

        Raises
        ------
        ConfigError
            The vocoder does not take such features; the message names the settings.
        """

    @abstractmethod
    def needs_excitation(self, config: FeatureConfig) -> bool:
        """Whether it needs F0 and aperiodicity in addition to the spectrum of these features."""

    @abstractmethod
    def synthesise(self, frames: Frames, config: FeatureConfig) -> np.ndarray:
        """Synthesise a waveform.

        Parameters
        ----------
        frames : Frames
            Spectrum `(frames, bands)`; F0 and aperiodicity if `needs_excitation`.
        config : FeatureConfig
            Settings of the features.

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
            Shape `(samples,)`, at `native_rate` or, if that is None, at `config.sample_rate`.
        config : FeatureConfig
            Settings of the analysis, if the vocoder has no front end of its own.
        f0_range : F0Range or None
            F0 search range in Hz, if the vocoder needs F0.

        Returns
        -------
        np.ndarray
            The same shape, float64.
        """
