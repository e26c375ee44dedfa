"""What is left of the speaker in a recording's content, and how loud it is: known, or gathered as it goes on."""

import numpy as np

from vc.features.base import Frames
from vc.features.content import ContentFeatures, ContentMeter, ContentStatistics
from vc.features.speech import DYNAMIC_RANGE, LOUD_QUANTILE, loudness

LIKELY = 0.5  # seconds that the target's statistics count for before anything is heard


class SourceContent:
    """Statistics of the one who speaks, piece by piece, in their order.

    Parameters
    ----------
    known : ContentStatistics or None
        The source's; None: nobody is known, and each recording has its own.
    target : ContentStatistics
        The target's, which are taken for likely before much is heard.
    config : ContentFeatures
        Settings of the analysis.
    """

    def __init__(self, known: ContentStatistics | None, target: ContentStatistics, config: ContentFeatures):
        self.known, self.target, self.config = known, target, config
        self._meter = ContentMeter()
        self._loudest = -np.inf  # dB, of a piece's loud frames

    def statistics(self, frames: Frames) -> ContentStatistics:
        """Of the recording up to a piece of it, whose frames these are."""
        if self.known is not None:
            return self.known
        level = loudness(self.config.to_mel_cepstrum(frames.spectrum))
        loud = float(np.quantile(level, LOUD_QUANTILE))
        if loud > self._loudest + DYNAMIC_RANGE:  # what came before was a pause
            self._meter = ContentMeter(self.target, LIKELY * self.config.frame_rate)
        self._loudest = max(self._loudest, loud)
        self._meter.add(frames.content, frames.spectrum, level > self._loudest - DYNAMIC_RANGE)
        return self._meter.statistics()
