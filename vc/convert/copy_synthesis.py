"""wav -> wav through a vocoder and nothing else: the best that a conversion through it can sound."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vc.convert.source import SourceVoice
from vc.corpus import audio, pieces
from vc.corpus.limiter import to_full_scale
from vc.corpus.pieces import SHORTEST, Piece
from vc.features.base import FeatureConfig
from vc.features.f0 import WHISPER, F0Range
from vc.vocoders.base import Vocoder


class Copier:
    """Copies recordings through a vocoder.

    Parameters
    ----------
    vocoder : Vocoder
    config : FeatureConfig
        Settings of the analysis, for a vocoder without a front end of its own.

    Attributes
    ----------
    sample_rate : int
        Hz, of the copies.
    """

    def __init__(self, vocoder: Vocoder, config: FeatureConfig):
        self.vocoder, self.config = vocoder, config
        self.sample_rate = vocoder.native_rate or config.sample_rate

    def copy(self, samples: np.ndarray, f0_range: F0Range | None) -> np.ndarray:
        """Copy a recording that fits into memory.

        Parameters
        ----------
        samples : np.ndarray
            Shape `(samples,)`, at `sample_rate`.
        f0_range : F0Range or None
            Hz, in which to search for F0, if the vocoder takes it.

        Returns
        -------
        np.ndarray
            The same shape, float64; not limited to -1..1.
        """
        whole = audio.fit_length(samples, max(len(samples), round(SHORTEST * self.sample_rate)))
        return self.vocoder.copy(whole, self.config, f0_range)[: len(samples)]

    def copy_file(
        self, source: Path | str, output: Path | str, advance: Callable[[float], None] | None = None
    ) -> float:
        """Copy a recording to a mono 16-bit WAV; memory does not grow with its length.

        Parameters
        ----------
        source : Path or str
            The recording; `-` is standard input.
        output : Path or str
            The file to write; `-` is standard output. Peaks that would clip are limited (vc/corpus/limiter.py), with a
            warning if that takes much.
        advance : callable, optional
            Called with the share of the recording, 0..1, that has been read so far.

        Returns
        -------
        float
            Seconds of the recording.

        Raises
        ------
        DataError
            If it cannot be read, or the output not be written.
        """
        peak = 0.0

        def copied() -> Iterator[tuple[Piece, np.ndarray]]:
            nonlocal peak
            cut = pieces.split(audio.blocks(source, self.sample_rate, advance=advance), self.sample_rate)
            if self.vocoder.native_rate is None:
                voiced = SourceVoice(None, self.config, recording=source, warn_whispers=False).with_voices(cut)
            else:  # it takes no F0
                voiced = ((piece, WHISPER) for piece in cut)
            for piece, voice in voiced:
                peak = max(peak, float(np.abs(piece.samples).max(initial=0)))
                yield piece, self.copy(piece.samples, voice.f0_range).astype(np.float32)

        blocks = pieces.join(copied(), self.sample_rate)
        count = audio.write_scaled(output, blocks, self.sample_rate, lambda: to_full_scale(peak, source), source)
        return count / self.sample_rate
