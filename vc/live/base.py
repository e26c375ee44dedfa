"""The interface of a live conversion, and what all of them share: input, delay, limiter, mute and passthrough."""

from abc import ABC, abstractmethod

import numpy as np

from vc.config import require
from vc.corpus.audio import require_floating_point
from vc.corpus.limiter import HOTTEST, Limiter
from vc.errors import DataError
from vc.features.f0 import F0Options, F0Range
from vc.live.delay import AbstractDelay


class AbstractStream(ABC):
    """The state of an online conversion from samples to as many samples.

    The output depends only on the samples, not on how they are divided into blocks, and is causal with the given delay.
    Memory is bounded.

    Attributes
    ----------
    sample_rate : int
        Hz, of input and output.
    delay : AbstractDelay
        From input to output.
    step : int
        Number of samples that are converted at once: a caller that must never wait for them needs as many in reserve.
    source : str or None
        Speaker id; None for a speaker unknown to the model.
    target : str
        Speaker id.
    method : str
        One of vc.live.settings.METHODS, or `decoder`.
    can_hurry : bool
        Whether `push` can hurry.
    f0_options : F0Options
        Changes to F0; may be changed during conversion.
    muted, passthrough : bool
        Output silence, or the delayed input; may be changed during conversion.
    not_finite : int
        Number of input or output samples that were not finite and were replaced by 0.
    """

    sample_rate: int
    delay: AbstractDelay
    step: int
    source: str | None
    target: str
    method: str
    can_hurry: bool
    f0_options: F0Options
    muted: bool
    passthrough: bool
    not_finite: int

    @abstractmethod
    def reset(self) -> None:
        """Start over with a recording's first sample; calls `_start`."""

    def other_direction(self, f0_range: F0Range | None = None) -> "AbstractStream":
        """A stream from the target to the source, of the same model and settings; nothing is read again.

        Parameters
        ----------
        f0_range : F0Range, optional
            Search range for the F0 of the speaker who is then the source. Default: as for the class.

        Raises
        ------
        ConfigError
            The source is unknown to the model, or the delay is too short for the target's voice.
        """
        require(self.source is not None, "there is no other direction")
        other = self._between_speakers(self.target, self.source, f0_range)
        other.muted, other.passthrough, other.not_finite = self.muted, self.passthrough, self.not_finite
        return other

    @abstractmethod
    def _between_speakers(self, source: str, target: str, f0_range: F0Range | None) -> "AbstractStream":
        """A stream of the same model and settings in another direction."""

    @property
    @abstractmethod
    def _needed(self) -> int:
        """Position after the last input sample that the next step needs."""

    @abstractmethod
    def _next(self, hurry: bool) -> np.ndarray:
        """Convert the next step; return the output samples that it completes, which may be none at the start."""

    def _start(self, past: int) -> None:
        """Begin with `past` samples of silence before the first."""
        self._limiter = Limiter(self.sample_rate)
        self._begin = -past  # position of the first sample in `_input`
        self._input = np.zeros(past)  # samples that are still needed
        self._ready = np.zeros(self.delay.samples - self._limiter.delay, np.float32)
        self._gains = np.zeros(2)  # of the conversion and of the input, at the end of the last step
        self.not_finite = 0

    def push(self, samples: np.ndarray, hurry: bool = False) -> np.ndarray:
        """Convert the next samples.

        Parameters
        ----------
        samples : np.ndarray
            Shape `(samples,)`, at `sample_rate`; full scale is 1.
        hurry : bool
            Skip the most expensive analysis and keep the last envelope, for a caller that cannot keep up; of no effect
            unless `can_hurry`.

        Returns
        -------
        np.ndarray
            As many samples, float32.

        Raises
        ------
        DataError
            They are not floating-point numbers `(samples,)`.
        """
        samples = np.asarray(samples)
        if samples.ndim != 1:
            raise DataError(f"expected samples (samples,), got shape {samples.shape}")
        require_floating_point(samples, "samples")
        samples = samples.astype(np.float64, copy=False)
        finite = np.isfinite(samples)
        if not finite.all():
            self.not_finite += len(samples) - int(finite.sum())
            samples = np.where(finite, samples, 0.0)
        self._input = np.concatenate([self._input, np.clip(samples, -HOTTEST, HOTTEST)])
        parts = [self._ready]
        with np.errstate(all="ignore"):  # a bad model may overflow; `_next` replaces what is not finite
            while self._needed <= self._begin + len(self._input):
                parts.append(self._limiter.push(self._next(hurry)))
        ready = np.concatenate(parts)
        output, self._ready = ready[: len(samples)], ready[len(samples) :]
        return output

    def convert(self, samples: np.ndarray) -> np.ndarray:
        """Convert a whole recording `(samples,)` as it would be live, but without the delay; resets the stream."""
        self.reset()
        rest = np.zeros(self.delay.samples)
        return np.concatenate([self.push(samples), self.push(rest)])[self.delay.samples :]

    def _between(self, first: int, last: int) -> np.ndarray:
        """Input samples between two positions."""
        return self._input[first - self._begin : last - self._begin]

    def _forget(self, oldest: int) -> None:
        """Drop the input before a position."""
        if oldest > self._begin:
            self._input, self._begin = self._input[oldest - self._begin :], oldest

    def _mix(self, converted: np.ndarray, original: np.ndarray, is_open: bool) -> np.ndarray:
        """Conversion or input `(samples,)`, or silence, as `muted`, `passthrough` and the gate have it.

        Gains are interpolated linearly from the last step's.
        """
        gains = np.array([not self.passthrough, self.passthrough]) * float(is_open and not self.muted)
        weight = (np.arange(len(converted)) + 1) / len(converted)
        converted_gain, original_gain = self._gains[:, None] + (gains - self._gains)[:, None] * weight
        self._gains = gains
        return converted_gain * converted + original_gain * original
