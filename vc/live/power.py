"""The source's power kept while one speaks: vc/features/world.py's restore_power without the frames to come."""

from collections import deque

import numpy as np

from vc.features import mel_cepstrum
from vc.features.speech import DYNAMIC_RANGE, loudness
from vc.features.world import WorldConfig
from vc.live.f0 import Extremes

SMOOTHING = 0.02  # seconds, half of what the offline conversion takes: the past alone comes late (docs/live.md)
FAINTEST = -90.0  # dB of full scale, mean log spectrum; what is fainter is digital silence


class Power:
    """Moves c0 of converted frames so that they follow the power of the source's, by audible frames of the past."""

    def __init__(self, config: WorldConfig):
        deviation = SMOOTHING * config.frame_rate  # frames
        past = np.arange(int(np.ceil(3 * deviation)), -1, -1)
        self._gaussian = np.exp(-0.5 * np.square(past / deviation))
        self._synthesis = mel_cepstrum.synthesis_matrix(config.bins, config.order, config.warping)
        self._frame_rate = config.frame_rate
        self.reset()

    def reset(self) -> None:
        """Nothing has been heard yet."""
        self._extremes = Extremes(self._frame_rate)
        self._gaps = deque([0.0] * len(self._gaussian), maxlen=len(self._gaussian))
        self._heard = deque([0.0] * len(self._gaussian), maxlen=len(self._gaussian))

    def push(self, converted: np.ndarray, source: np.ndarray) -> np.ndarray:
        """A converted frame `(order + 1,)` with another c0; `source` is the frame that it was."""
        level = float(loudness(source[None])[0])
        heard = float(level > max(self._extremes.push(level)[1] - DYNAMIC_RANGE, FAINTEST))
        wanted, own = np.log(np.exp(np.stack([source, converted]) @ self._synthesis).sum(axis=1))
        self._gaps.append(heard * (wanted - own) / 2)
        self._heard.append(heard)
        weight = self._gaussian @ np.array(self._heard)
        correction = self._gaussian @ np.array(self._gaps) / weight if weight > 0 else 0.0
        return np.concatenate([[converted[0] + correction], converted[1:]])
