"""A noise gate with hysteresis and look-ahead."""

import math
from collections import deque

from vc.config import require

HYSTERESIS = 6.0  # dB between the thresholds that open and close the gate
HOLD = 0.2  # seconds that the gate stays open after the last frame above the lower threshold


class Gate:
    """Decides which frames are audible.

    Parameters
    ----------
    level : float
        Mean power of a frame, in dB of full scale, that opens the gate, below 0; -inf: always open.
    frame_rate : float
        Frames per second.
    look_ahead : int
        Number of future frames that are seen, so that the gate opens before speech begins.

    Raises
    ------
    ConfigError
        The level is not below 0.
    """

    def __init__(self, level: float, frame_rate: float, look_ahead: int):
        require(level < 0, f"the gate must be below 0 dB of full scale, got {level:g}")
        self._opening, self._closing = 10 ** (level / 10), 10 ** ((level - HYSTERESIS) / 10)  # power thresholds
        self._always = level == -math.inf
        self._look_ahead, self._hold = look_ahead, round(HOLD * frame_rate)
        self.reset()

    def reset(self) -> None:
        """Close the gate."""
        self._since = math.inf  # frames since the last one above the threshold
        self._is_open = False
        self._states: deque[bool] = deque([False] * self._look_ahead, maxlen=self._look_ahead + 1)

    def push(self, power: float) -> bool:
        """Take the mean power of a frame; return whether the gate is open `look_ahead` frames earlier."""
        self._since = 0 if power > (self._closing if self._is_open else self._opening) else self._since + 1
        self._is_open = self._always or self._since == 0 or (self._is_open and self._since <= self._hold)
        self._states.append(self._is_open)
        return any(self._states)
