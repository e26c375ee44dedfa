"""The interface of a kind of acoustic features."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from vc.features import f0, mel_cepstrum
from vc.features.f0 import WIDEST_RANGE, F0Range, F0Track


@dataclass(frozen=True)
class Frames:
    """Analysis frames of a waveform: the spectrum that is converted, and WORLD's excitation if a vocoder needs it."""

    f0: np.ndarray | None  # (frames,) Hz, 0 where unvoiced
    spectrum: np.ndarray  # (frames, bands): mel-cepstrum, or log-mel
    aperiodicity: np.ndarray | None  # (frames, bins) in 0..1
    content: np.ndarray | None = None  # (frames, dims) from a content encoder


class FeatureConfig(ABC):
    """Settings and analysis of one kind of features.

    To add a kind, write a frozen dataclass with these members in a file of its own and register it in
    vc/features/kinds.py.
    """

    kind: str  # name in a configuration
    archive: str  # name of the frames' archive in a features directory
    cepstral: bool = False  # whether the frames are mel-cepstra
    unconverted_bands: int = 0  # number of leading bands that keep the source's values: c0 (loudness) of mel-cepstra
    mel: Any = None  # MelConfig of log-mel frames, which a vocoder must match
    content: Any = None  # ContentConfig, if there are content vectors as well
    automatic_rates: tuple[int, ...] = ()  # Hz; extraction chooses the highest whose band the recordings fill

    sample_rate: int  # Hz
    frame_shift: float  # milliseconds
    frame_rate: float  # frames per second
    bands: int  # per frame
    lowest_rate: int  # Hz, lowest sample rate of recordings that contain the whole band analysed
    first_centre: int = 0  # samples before the centre of the first frame

    @property
    @abstractmethod
    def world(self) -> "vc.features.world.WorldConfig":  # noqa: F821 - it imports this
        """Settings of a WORLD analysis with the same frames."""

    @property
    def archives(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """For each array of an utterance, the name of its archive and its shape without the time axis."""
        return {"frames": (self.archive, (self.bands,)), "f0": ("f0", ())}

    def complete(self) -> "FeatureConfig":
        """These settings, completed with those of the content encoder if there is one."""
        return self

    @abstractmethod
    def extract(self, samples: np.ndarray, f0_range: F0Range | None) -> tuple[np.ndarray, np.ndarray]:
        """Extract the features for training.

        Parameters
        ----------
        samples : np.ndarray
            Shape `(samples,)`, at `sample_rate`.
        f0_range : F0Range or None
            Search range for F0; None for a speaker who whispers: all frames are unvoiced.

        Returns
        -------
        np.ndarray, np.ndarray
            F0, shape `(frames,)`, Hz, 0 where unvoiced; and frames, shape `(frames, bands)`, float64.
        """

    @abstractmethod
    def analyse(self, samples: np.ndarray, f0_range: F0Range | None, *, excitation: bool = True) -> Frames:
        """Extract the features for conversion.

        Parameters
        ----------
        samples, f0_range
            As for `extract`.
        excitation : bool
            Whether F0 and aperiodicity are needed; if not, a kind may leave them out.

        Returns
        -------
        Frames
        """

    @abstractmethod
    def to_mel_cepstrum(self, frames: np.ndarray) -> np.ndarray:
        """`(frames, bands)` to mel-cepstra `(frames, order + 1)`, on which distances are measured."""

    def envelope(self, frames: np.ndarray) -> np.ndarray:
        """`(frames, bands)` to a power spectral envelope `(frames, bins)` as WORLD's, without harmonics."""
        return mel_cepstrum.to_envelope(self.to_mel_cepstrum(frames), self.world.warping, self.world.bins)

    def restore_power(self, converted: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Give converted frames `(frames, bands)` the source's power, for a kind whose conversion does not keep it."""
        return converted

    def track_f0(self, samples: np.ndarray, search: F0Range = WIDEST_RANGE) -> F0Track:
        """Track F0 of `(samples,)` at `sample_rate` by autocorrelation, independent of the features' own F0 method."""
        return f0.track_f0(samples, self.sample_rate, search, self.frame_shift)
