"""wav -> wav through a vocoder and nothing else: the best that a conversion through it can sound."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vc.convert.level import to_full_scale
from vc.convert.source_voice import SourceVoice
from vc.corpus import audio, pieces
from vc.corpus.pieces import SHORTEST, Piece
from vc.features.base import FeatureConfig
from vc.features.f0 import WHISPER
from vc.vocoders.base import Vocoder


class Copier:
    """Copies recordings through `vocoder`; `config` is the analysis of one that has no front end of its own."""

    def __init__(self, vocoder: Vocoder, config: FeatureConfig):
        self.vocoder, self.config = vocoder, config

    @property
    def sample_rate(self) -> int:  # Hz, of the copies
        return self.vocoder.native_rate or self.config.sample_rate

    def copy_file(
        self, source: Path | str, output: Path | str, advance: Callable[[float], None] | None = None
    ) -> float:
        """A recording (`-`: standard input) to a mono 16-bit WAV; return its seconds.

        `advance` is called with the share of it that is done.

        Memory does not follow the recording's length. Peaks that would clip are limited (vc/corpus/limiter.py), with
        a warning where that takes much.
        """
        peak = 0.0

        def measured_blocks() -> Iterator[np.ndarray]:
            nonlocal peak
            for block in audio.blocks(source, self.sample_rate, advance=advance):
                peak = max(peak, float(np.abs(block).max(initial=0)))
                yield block

        copied = pieces.join(self._copied(pieces.split(measured_blocks(), self.sample_rate), source), self.sample_rate)
        count = audio.write_scaled(output, copied, self.sample_rate, lambda: to_full_scale(peak, source), source)
        return count / self.sample_rate

    def _copied(self, cut: Iterator[Piece], who: Path | str) -> Iterator[tuple[Piece, np.ndarray]]:
        if self.vocoder.native_rate is None:
            spoken = SourceVoice(None, self.config, who=who).judge(cut)
        else:  # it takes no F0
            spoken = ((piece, WHISPER) for piece in cut)
        for piece, voice in spoken:
            samples = audio.fit_length(piece.samples, max(len(piece.samples), round(SHORTEST * self.sample_rate)))
            copied = self.vocoder.copy(samples, self.config, voice.f0_range)
            yield piece, copied[: len(piece.samples)].astype(np.float32)
