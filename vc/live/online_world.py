"""Online synthesis of log-mel by WORLD."""

import math

import numpy as np

from vc.features.base import Frames
from vc.features.mel import MelFeatures
from vc.live.synthesis import Synthesiser
from vc.vocoders.base import OnlineVocoder


class OnlineWorld(OnlineVocoder):
    """Synthesises blocks of frames by pulses and noise, `lag` frames late.

    Parameters
    ----------
    config : MelFeatures
        Settings of the frames.
    """

    needs_excitation = True

    def __init__(self, config: MelFeatures):
        self._config, self._synthesiser = config, Synthesiser(config.fine_world, config.hop)
        # A frame completes the samples up to its centre, but for the delay of pulses.
        self.lag = math.ceil((config.first_centre + self._synthesiser.delay) / config.hop)
        self.reset()

    def reset(self) -> None:
        hop, centre = self._config.hop, self._config.first_centre
        self._synthesiser.reset(hop)
        # The samples between the last two frames' centres begin before those that are due.
        self._samples = np.zeros(self.lag * hop - centre - self._synthesiser.delay)

    def begin(self, frame: np.ndarray) -> None:
        """Does nothing: no sample depends on frames before the first."""

    def push(self, frames: Frames) -> np.ndarray:
        hop, parts = self._config.hop, [self._samples]
        for f0, mel_cepstrum, aperiodicity in zip(
            frames.f0, self._config.to_fine_mel_cepstrum(frames.spectrum), frames.aperiodicity
        ):
            excitation = self._synthesiser.excitation(aperiodicity) if f0 > 0 else None
            self._synthesiser.add(hop, hop, f0, mel_cepstrum, excitation)
            parts.append(self._synthesiser.overlap.take(hop))
        samples = np.concatenate(parts)
        count = len(frames.f0) * hop
        self._samples = samples[count:]
        return samples[:count]
