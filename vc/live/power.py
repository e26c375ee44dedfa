"""Online counterpart of restore_power in vc/features/world.py, which uses past frames only."""

from collections import deque

import numpy as np

from vc.features import mel_cepstrum
from vc.features.speech import DYNAMIC_RANGE, loudness
from vc.features.world import WorldConfig
from vc.live.f0 import Extremes

SMOOTHING = 0.02  # seconds, half of the offline smoothing, because a causal filter lags (docs/live.md)
FAINTEST = -90.0  # dB of full scale, mean log spectrum; quieter frames are digital silence


class Power:
    """Adjusts c0 of converted frames so that their power follows the source's."""

    def __init__(self, config: WorldConfig):
        deviation = SMOOTHING * config.frame_rate  # frames
        past = np.arange(int(np.ceil(3 * deviation)), -1, -1)
        self._gaussian = np.exp(-0.5 * np.square(past / deviation))
        self._synthesis = mel_cepstrum.synthesis_matrix(config.bins, config.order, config.warping)
        self._frame_rate = config.frame_rate
        self.reset()

    def reset(self) -> None:
        """Start over with a recording's first frame."""
        self._extremes = Extremes(self._frame_rate)
        self._gaps = deque([0.0] * len(self._gaussian), maxlen=len(self._gaussian))
        self._audible = deque([0.0] * len(self._gaussian), maxlen=len(self._gaussian))

    def push(self, converted: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Return a converted frame `(order + 1,)` with c0 adjusted to the power of `source`, of the same shape."""
        level = float(loudness(source[None])[0])
        audible = float(level > max(self._extremes.push(level)[1] - DYNAMIC_RANGE, FAINTEST))
        source_power, converted_power = np.log(np.exp(np.array([source, converted]) @ self._synthesis).sum(axis=1))
        self._gaps.append(audible * (source_power - converted_power) / 2)
        self._audible.append(audible)
        weight = self._gaussian @ np.array(self._audible)
        correction = self._gaussian @ np.array(self._gaps) / weight if weight > 0 else 0.0
        return np.concatenate([[converted[0] + correction], converted[1:]])
