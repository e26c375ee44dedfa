"""A look-ahead peak limiter: lowers peaks that would clip for a few milliseconds and leaves the rest unchanged.

The attenuation that each sample requires (in decibels, mostly 0) passes through a sliding maximum over the look-ahead,
a release that falls linearly, and a triangular moving average as long as the look-ahead. Every value averaged is at
least what the current sample requires, so the average is too, and no sample exceeds the ceiling.

The parts are those of Giannoulis, Massberg and Reiss, "Digital dynamic range compressor design: a tutorial and
analysis", JAES 60 (6), 2012: a gain computer with ratio infinity and knee 0, and smoothing, all in decibels. Ours
differs in the release, which is linear: an exponential one never ends, whereas after a linear one samples are unchanged
bit for bit.
"""

import logging
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from vc.errors import escaped

CEILING = np.float32(10 ** (-1 / 20))  # of full scale: 1 dB of headroom for playback and lossy formats
LOOK_AHEAD = 0.005  # seconds
RELEASE = 100.0  # dB per second: 6 dB in 60 ms, a fraction of a decibel within a period of the voice
HOTTEST = 2.0  # largest peak that lossy formats and resampling produce; above it, full scale cannot be 1
WARN_ABOVE = 6.0  # dB of attenuation; above it, quality predictors score lower (docs/experiments.md)
BLOCK = 1 << 16  # samples processed at once
UNIT = 2.0**-16  # dB; attenuation is an integer number of units, so that sums are exact for any block size
log = logging.getLogger(__name__)


def to_full_scale(peak: float, recording: object = None) -> float:
    """Gain that brings a recording down to full scale if its peak is above HOTTEST; otherwise 1.

    Floating-point files may be scaled like, say, 16-bit integers; limiting every sample would leave only noise.

    Parameters
    ----------
    peak : float
        Largest magnitude of a sample; full scale is 1.
    recording : object, optional
        The recording's name in a warning if the gain is not 1. Default: no warning.

    Returns
    -------
    float
        Linear gain above 0, at most 1.
    """
    if peak <= HOTTEST:
        return 1.0
    if recording is not None:
        log.warning("%s: %.1f dB above full scale; scaled down to it", escaped(recording), 20 * np.log10(peak))
    return 1 / peak


def limit(samples: np.ndarray, rate: int, name: object = None) -> np.ndarray:
    """Limit a signal to CEILING.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`, finite; full scale is 1.
    rate : int
        Sample rate in Hz.
    name : object, optional
        The recording's name; if given, an attenuation above WARN_ABOVE is logged as a warning.

    Returns
    -------
    np.ndarray
        Shape `(samples,)`, float32; bit-identical to `samples` in float32 if none exceeds CEILING.
    """
    blocks = (samples[start : start + BLOCK] for start in range(0, len(samples), BLOCK))
    return np.concatenate([np.zeros(0, np.float32), *limit_blocks(blocks, rate, name)])


def limit_blocks(blocks: Iterable[np.ndarray], rate: int, name: object = None) -> Iterator[np.ndarray]:
    """Like `limit`, for a signal in blocks; the result does not depend on the block sizes.

    The output lags the input by LOOK_AHEAD until the blocks end. Memory is bounded by the longest block.

    Parameters
    ----------
    blocks : iterable of np.ndarray
        Each of shape `(samples,)`, finite; full scale is 1.
    rate : int
        Sample rate in Hz.
    name : object, optional
        The recording's name; if given, an attenuation above WARN_ABOVE is logged as a warning at the end.

    Yields
    ------
    np.ndarray
        Shape `(samples,)`, float32, never empty; as many samples in all as in `blocks`.
    """
    limiter = Limiter(rate)
    padding = limiter.delay  # samples of silence in the initial delay line
    for block in chain(blocks, [np.zeros(limiter.delay, np.float32)]):
        output = limiter.push(block)
        if len(output) > padding:
            yield output[padding:]
        padding = max(0, padding - len(output))
    if name is not None and limiter.largest > WARN_ABOVE:
        log.warning("%s: peaks lowered by up to %.1f dB to prevent clipping", escaped(name), limiter.largest)


def limiter_delay(rate: int) -> int:
    """Delay of a limiter in samples at `rate` Hz: LOOK_AHEAD, rounded to an even number."""
    return 2 * max(1, round(LOOK_AHEAD * rate / 2))


class Limiter:
    """A limiter that keeps its state between blocks.

    Parameters
    ----------
    rate : int
        Sample rate in Hz.
    """

    def __init__(self, rate: int):
        self._rate, self.delay = rate, limiter_delay(rate)
        self._half = self.delay // 2
        self._delay_line = np.zeros(self.delay, np.float32)
        # In units: required attenuation of the samples in the delay line; envelope of as many samples before them.
        self._needs = self._envelope = np.zeros(self.delay, np.int64)
        self.largest = 0.0  # dB of attenuation so far

    def push(self, block: np.ndarray) -> np.ndarray:
        """Process `(samples,)`; return as many, float32, delayed by `delay` samples."""
        count, half = len(block), self._half
        delay_line = np.concatenate([self._delay_line, np.asarray(block, np.float32)])
        # Attenuation in units that brings each sample to CEILING, plus one unit for rounding errors
        magnitudes = np.abs(delay_line[self.delay :])
        needs, loud = np.zeros(len(magnitudes), np.int64), magnitudes > CEILING
        needs[loud] = np.ceil(20 / UNIT * np.log10(magnitudes[loud].astype(np.float64) / CEILING)) + 1
        needs = np.concatenate([self._needs, needs])
        output, envelope = delay_line[:count], np.zeros(self.delay + count, np.int64)
        if needs.any() or self._envelope.any():
            highest = _sliding_maximum(needs, self.delay + 1)
            line = round(RELEASE / UNIT / self._rate) * np.arange(len(highest) + 1)  # fastest fall, by RELEASE
            released = np.maximum.accumulate(np.append(self._envelope[-1], highest) + line)[1:] - line[1:]
            envelope = np.concatenate([self._envelope, released])
            attenuation = _moving_sum(_moving_sum(envelope, half + 1), half + 1) * (UNIT / (half + 1) ** 2)  # dB
            self.largest = max(self.largest, attenuation.max(initial=0))
            output = output * (10 ** (-attenuation / 20)).astype(np.float32)
        self._delay_line, self._needs, self._envelope = delay_line[count:], needs[count:], envelope[count:]
        return output


def _sliding_maximum(values: np.ndarray, length: int) -> np.ndarray:
    """`(values,)` to `(values - length + 1,)`: the maximum over windows of `length` values."""
    covered = 1
    while covered < length:  # doubles each time
        step = min(covered, length - covered)
        values = np.maximum(values[step:], values[: len(values) - step])
        covered += step
    return values


def _moving_sum(values: np.ndarray, length: int) -> np.ndarray:
    """`(values,)` to `(values - length + 1,)`: the sum over windows of `length` values."""
    sums = np.append(0, np.cumsum(values))
    return sums[length:] - sums[:-length]
