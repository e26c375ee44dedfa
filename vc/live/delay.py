"""The algorithmic delay of live conversion and its parts."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from vc.corpus.limiter import limiter_delay
from vc.errors import ConfigError
from vc.features.f0 import F0Range
from vc.features.mel import MelConfig
from vc.features.world import WorldConfig
from vc.live.settings import LONGEST_DELAY

PERIODS = 1.5  # half-length of CheapTrick's window in periods of the F0
WIDEST = 0.0125  # seconds, 1.5 periods at 120 Hz; the delay of a longer window costs a low voice more than it gains
# (egs/vcc2016/live/RESULTS.md)


class AbstractDelay(ABC):
    """The parts of a delay in samples; their sum is the lag of an output sample behind its input sample."""

    sample_rate: int  # Hz

    @property
    @abstractmethod
    def parts(self) -> dict[str, int]:
        """Parts in samples by name."""

    @property
    def samples(self) -> int:
        return sum(self.parts.values())

    @property
    def milliseconds(self) -> float:
        return 1000 * self.samples / self.sample_rate

    def __str__(self) -> str:
        parts = (f"{name} {1000 * samples / self.sample_rate:.1f}" for name, samples in self.parts.items() if samples)
        return f"{self.milliseconds:.1f} ms ({', '.join(parts)})"


@dataclass(frozen=True)
class Delay(AbstractDelay):
    """The delay of a linear model."""

    sample_rate: int  # Hz
    change: int  # cross-fade from one envelope to the next
    window: int  # samples that the analysis needs after a frame's centre
    look_ahead: int  # future frames that the conversion sees
    pulse: int  # ringing of a pulse before its position; 0 without pulses
    limiter: int  # look-ahead of the peak limiter
    spare: int  # remainder of the requested delay, less than a frame
    frame_shift: float  # milliseconds

    @classmethod
    def of(
        cls, milliseconds: float, config: WorldConfig, f0_range: F0Range | None, *, span: int = 1, pulse: int = 0
    ) -> "Delay":
        """Divide a requested delay into its parts, with as much look-ahead as possible.

        Parameters
        ----------
        milliseconds : float
            The requested delay.
        config : WorldConfig
            Settings of the analysis.
        f0_range : F0Range or None
            F0 range of the source; None for a speaker who whispers.
        span : int
            Length of the cross-fade between envelopes in frames.
        pulse : int
            The part of that name, in samples.

        Returns
        -------
        Delay

        Raises
        ------
        ConfigError
            The delay is too short for the analysis.
        """
        rate, hop = config.sample_rate, config.sample_rate * config.frame_shift / 1000
        lowest = min(config.unvoiced_f0, f0_range.floor if f0_range else math.inf)
        window = math.ceil(min(PERIODS / lowest, WIDEST) * rate) + 1
        change, limiter = math.ceil(span * hop) + 1, limiter_delay(rate)
        remaining = _requested(milliseconds, rate, window + change + pulse + limiter)
        look_ahead = int(remaining / hop)
        spare = remaining - math.ceil(look_ahead * hop)
        return cls(rate, change, window, look_ahead, pulse, limiter, spare, config.frame_shift)

    @property
    def parts(self) -> dict[str, int]:
        return {
            "analysis window": self.window,
            f"look-ahead of {self.look_ahead} frames": math.ceil(
                self.look_ahead * self.sample_rate * self.frame_shift / 1000
            ),
            "change": self.change,
            "pulse": self.pulse,
            "limiter": self.limiter,
            "spare": self.spare,
        }


@dataclass(frozen=True)
class DecoderDelay(AbstractDelay):
    """The delay of a decoder."""

    sample_rate: int  # Hz
    block: int  # samples converted at once
    look_ahead: int  # future samples that the analysis sees
    vocoder: int  # samples by which the vocoder lags, most of them future ones that it sees
    limiter: int  # look-ahead of the peak limiter
    spare: int  # remainder of the requested delay, less than a frame

    @classmethod
    def of(
        cls, milliseconds: float | None, config: MelConfig, *, usual: float, block: int, lag: int, least: int
    ) -> "DecoderDelay":
        """Divide a requested delay into its parts, with as much look-ahead as possible.

        Parameters
        ----------
        milliseconds : float, optional
            The requested delay. Default: `usual`, or the shortest that is possible, if that is longer.
        config : MelConfig
            Settings of the log-mel frames.
        usual : float
            Milliseconds.
        block, lag, least : int
            Frames converted at once, frames that the vocoder lags, and the shortest look-ahead in frames.

        Returns
        -------
        DecoderDelay

        Raises
        ------
        ConfigError
            The delay is too short.
        """
        rate, hop = config.sample_rate, config.hop
        limiter = limiter_delay(rate)
        fixed = (block + lag + least) * hop + limiter
        remaining = _requested(
            max(usual, _shortest(rate, fixed)) if milliseconds is None else milliseconds, rate, fixed
        )
        look_ahead = least + remaining // hop
        return cls(rate, block * hop, look_ahead * hop, lag * hop, limiter, remaining % hop)

    @property
    def parts(self) -> dict[str, int]:
        return {
            "block": self.block,
            "look-ahead": self.look_ahead,
            "vocoder": self.vocoder,
            "limiter": self.limiter,
            "spare": self.spare,
        }


def _requested(milliseconds: float, rate: int, fixed: int) -> int:
    """Samples of a requested delay beyond the `fixed` ones that no setting can save; ConfigError if it is shorter."""
    remaining = round(milliseconds / 1000 * rate) - fixed if 0 < milliseconds <= LONGEST_DELAY else -1
    if remaining < 0:
        bounds = f"{_shortest(rate, fixed)}..{LONGEST_DELAY:g} ms"
        raise ConfigError(f"a delay must be in {bounds} for this voice, got {milliseconds:g}")
    return remaining


def _shortest(rate: int, fixed: int) -> int:
    """The shortest delay in whole milliseconds."""
    return math.ceil(1000 * fixed / rate)
