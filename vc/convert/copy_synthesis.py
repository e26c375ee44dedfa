"""Copy synthesis through a vocoder: the upper bound on the quality of conversions that use it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vc.convert.level import vocoder_gain
from vc.convert.source import SourceVoice
from vc.corpus import audio, pieces
from vc.corpus.limiter import to_full_scale
from vc.corpus.pieces import SHORTEST, Piece
from vc.features.base import FeatureConfig
from vc.features.f0 import WHISPER, F0Range
from vc.vocoders.base import Vocoder


class Copier:
    """Analyses and resynthesises recordings with a vocoder.

    Parameters
    ----------
    vocoder : Vocoder
    config : FeatureConfig
        Settings of the analysis, for a vocoder without a front end of its own.

    Attributes
    ----------
    sample_rate : int
        Sample rate of the copies in Hz.
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
            Range in Hz in which to search for F0, for vocoders that use it.

        Returns
        -------
        np.ndarray
            Same shape, float64; not limited to -1..1.
        """
        whole = audio.fit_length(samples, max(len(samples), round(SHORTEST * self.sample_rate)))
        gain = vocoder_gain(self.vocoder.native_rate, samples)
        return self.vocoder.copy(gain * whole, self.config, f0_range)[: len(samples)] / gain

    def copy_file(
        self, source: Path | str, output: Path | str, advance: Callable[[float], None] | None = None
    ) -> float:
        """Copy a recording to a mono 16-bit WAV, in constant memory.

        Parameters
        ----------
        source : Path or str
            The recording; `-` is standard input.
        output : Path or str
            The file to write; `-` is standard output. Peaks that would clip are limited (vc/corpus/limiter.py), with a
            warning if they are lowered a lot.
        advance : callable, optional
            Called with the fraction of the recording, 0..1, that has been read so far.

        Returns
        -------
        float
            Duration of the recording in seconds.

        Raises
        ------
        DataError
            The recording cannot be read, or the output cannot be written.
        """
        peak = 0.0

        def copies() -> Iterator[tuple[Piece, np.ndarray]]:
            nonlocal peak
            parts = pieces.split(audio.blocks(source, self.sample_rate, advance=advance), self.sample_rate)
            if self.vocoder.native_rate is None:
                inputs = SourceVoice(None, self.config, recording=source, warn_whispers=False).with_voices(parts)
            else:  # the vocoder needs no F0
                inputs = ((piece, WHISPER) for piece in parts)
            for piece, voice in inputs:
                peak = max(peak, float(np.abs(piece.samples).max(initial=0)))
                yield piece, self.copy(piece.samples, voice.f0_range).astype(np.float32)

        blocks = pieces.join(copies(), self.sample_rate)
        count = audio.write_scaled(output, blocks, self.sample_rate, lambda: to_full_scale(peak, source), source)
        return count / self.sample_rate
