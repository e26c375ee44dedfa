"""What a live conversion's delay is made of."""

import math
from dataclasses import dataclass

from vc.corpus.limiter import limiter_delay
from vc.errors import ConfigError
from vc.features.f0 import F0Range
from vc.features.world import WorldConfig

LONGEST = 1000.0  # milliseconds
PERIODS = 1.5  # of the lowest voice, to each side of a frame, that CheapTrick's window covers
WIDEST = 0.0125  # seconds, 1.5 periods at 120 Hz; a longer window costs a low voice more than it gains, as
# egs/vcc2016/live/RESULTS.md shows


@dataclass(frozen=True)
class Delay:
    """The parts in samples; their sum is what an output sample lags behind the input sample that it converts."""

    sample_rate: int  # Hz
    change: int  # one envelope gives way to the next
    window: int  # analysis of a frame needs as many samples after it
    look_ahead: int  # frames that the conversion sees after the one that it converts
    pulse: int  # a pulse begins to ring before its place; 0 where there are none
    limiter: int  # peaks are seen before they come
    spare: int  # less than a frame: what is left of the delay that was asked for
    frame_shift: float  # milliseconds

    @classmethod
    def of(
        cls, milliseconds: float, config: WorldConfig, f0_range: F0Range | None, *, span: int = 1, pulse: int = 0
    ) -> "Delay":
        """The most look-ahead that a delay leaves, for a voice's F0 range; one envelope takes over from the next within
        `span` frames, and `pulse` is the part of that name.

        Raises
        ------
        ConfigError
            The delay is shorter than what the analysis itself takes.
        """
        rate, hop = config.sample_rate, config.sample_rate * config.frame_shift / 1000
        lowest = min(config.unvoiced_f0, f0_range.floor if f0_range else math.inf)
        window = math.ceil(min(PERIODS / lowest, WIDEST) * rate) + 1
        change, limiter = math.ceil(span * hop) + 1, limiter_delay(rate)
        wanted = round(milliseconds / 1000 * rate) if 0 < milliseconds <= LONGEST else 0
        fixed = window + change + pulse + limiter
        left = wanted - fixed
        if left < 0:
            shortest = math.ceil(1000 * fixed / rate)
            raise ConfigError(f"a delay must be in {shortest}..{LONGEST:g} ms for this voice, got {milliseconds:g}")
        look_ahead = int(left / hop)
        spare = left - math.ceil(look_ahead * hop)
        return cls(rate, change, window, look_ahead, pulse, limiter, spare, config.frame_shift)

    @property
    def samples(self) -> int:
        return self.change + self.window + self._look_ahead_samples + self.pulse + self.limiter + self.spare

    @property
    def milliseconds(self) -> float:
        return 1000 * self.samples / self.sample_rate

    @property
    def _look_ahead_samples(self) -> int:
        return math.ceil(self.look_ahead * self.sample_rate * self.frame_shift / 1000)

    def __str__(self) -> str:
        parts = {
            "analysis window": self.window,
            f"look-ahead of {self.look_ahead} frames": self._look_ahead_samples,
            "change": self.change,
            "pulse": self.pulse,
            "limiter": self.limiter,
            "spare": self.spare,
        }
        told = ", ".join(
            f"{name} {1000 * samples / self.sample_rate:.1f}" for name, samples in parts.items() if samples
        )
        return f"{self.milliseconds:.1f} ms ({told})"
