"""What a kind of features is to the rest of the toolkit."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from vc.features import f0, mel_cepstrum
from vc.features.f0 import WIDEST_RANGE, F0Range, F0Track


@dataclass(frozen=True)
class Frames:
    """A waveform's frames: what methods convert, and WORLD's excitation, which a vocoder may do without."""

    f0: np.ndarray | None  # (frames,) Hz, 0 where unvoiced
    spectrum: np.ndarray  # (frames, bands): mel-cepstrum, or log-mel
    aperiodicity: np.ndarray | None  # (frames, bins) in 0..1
    content: np.ndarray | None = None  # (frames, dims) of a content encoder


class FeatureConfig(ABC):
    """Settings of one kind of features, and its analysis.

    A further kind is a file with a frozen dataclass that has what is named here, and a line in vc/features/kinds.py.
    """

    kind: str  # its name in a configuration
    archive: str  # name of the frames' archive in a features directory
    cepstral: bool = False  # whether the frames are mel-cepstra
    unconverted_bands: int = 0  # so many bands from the first stay the source's: of mel-cepstra c0, the loudness
    mel: Any = None  # MelConfig of frames that are log-mel: what a vocoder must take
    content: Any = None  # ContentConfig of content vectors beside the frames
    automatic_rates: tuple[int, ...] = ()  # Hz, of which extraction takes the one that the recordings fill

    sample_rate: int  # Hz
    frame_shift: float  # milliseconds
    frame_rate: float  # frames per second
    bands: int  # of a frame
    lowest_rate: int  # Hz, of recordings that hold all that is analysed
    first_centre: int = 0  # samples before the centre of the first frame

    @property
    @abstractmethod
    def world(self) -> "vc.features.world.WorldConfig":  # noqa: F821 - it imports this
        """WORLD's analysis at the same frames."""

    @property
    def archives(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """By the name of an array of an utterance its archive in a features directory, and its shape after time."""
        return {"frames": (self.archive, (self.bands,)), "f0": ("f0", ())}

    def complete(self) -> "FeatureConfig":
        """These settings, completed by a model that the analysis needs, if it needs one."""
        return self

    @abstractmethod
    def extract(self, samples: np.ndarray, f0_range: F0Range | None) -> tuple[np.ndarray, np.ndarray]:
        """What training needs.

        Parameters
        ----------
        samples : np.ndarray
            Shape `(samples,)`, at `sample_rate`.
        f0_range : F0Range or None
            Where to look for F0; without a range, of a speaker who whispers, nothing is voiced.

        Returns
        -------
        np.ndarray, np.ndarray
            F0, shape `(frames,)`, Hz, 0 where unvoiced, and frames, shape `(frames, bands)`, float64.
        """

    @abstractmethod
    def analyse(self, samples: np.ndarray, f0_range: F0Range | None, *, excitation: bool = True) -> Frames:
        """What conversion needs, of `(samples,)` at `sample_rate`, with F0 as in `extract`.

        A kind that can do without F0 and aperiodicity leaves them out unless `excitation` is set.
        """

    @abstractmethod
    def to_mel_cepstrum(self, frames: np.ndarray) -> np.ndarray:
        """`(frames, bands)` to mel-cepstra `(frames, order + 1)`: what distances are measured on."""

    def envelope(self, frames: np.ndarray) -> np.ndarray:
        """`(frames, bands)` to WORLD's power spectral envelope `(frames, bins)`, smooth enough to hold no harmonics."""
        return mel_cepstrum.to_envelope(self.to_mel_cepstrum(frames), self.world.warping, self.world.bins)

    def restore_power(self, converted: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Converted frames `(frames, bands)` with the power of the source's, where conversion lets that stray."""
        return converted

    def track_f0(self, samples: np.ndarray, search: F0Range = WIDEST_RANGE) -> F0Track:
        """F0 of `(samples,)` at `sample_rate` by autocorrelation, whichever method the features' own F0 is from."""
        return f0.track_f0(samples, self.sample_rate, search, self.frame_shift)
