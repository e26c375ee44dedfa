"""What is silence: a gate with two thresholds, which sees the frames to come."""

import math
from collections import deque

HYSTERESIS = 6.0  # dB between the level that opens the gate and the one that shuts it
HOLD = 0.2  # seconds that it stays open after the last frame above that


class Gate:
    """Whether a frame is heard.

    Parameters
    ----------
    level : float
        dB of full scale, mean power of a frame that opens it; -inf: it is always open.
    frame_rate : float
        Frames a second.
    look_ahead : int
        Frames that are seen before the one that is decided: the gate opens before speech begins.
    """

    def __init__(self, level: float, frame_rate: float, look_ahead: int):
        self._opens, self._shuts = 10 ** (level / 10), 10 ** ((level - HYSTERESIS) / 10)
        self._always = level == -math.inf
        self._look_ahead, self._held = look_ahead, round(HOLD * frame_rate)
        self.reset()

    def reset(self) -> None:
        """Shut."""
        self._since = math.inf  # frames since one was loud enough to keep it open
        self._is_open = False
        self._states: deque[bool] = deque([False] * self._look_ahead, maxlen=self._look_ahead + 1)

    def push(self, power: float) -> bool:
        """Take the mean power of a frame; say whether the one `look_ahead` frames before is heard."""
        self._since = 0 if power > (self._shuts if self._is_open else self._opens) else self._since + 1
        self._is_open = self._always or self._since == 0 or (self._is_open and self._since <= self._held)
        self._states.append(self._is_open)
        return any(self._states)
