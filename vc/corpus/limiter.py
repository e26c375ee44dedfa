"""A look-ahead peak limiter: peaks that would clip are lowered for some milliseconds, all else stays as it is.

Each sample needs some attenuation in decibels, mostly none. The largest need over the look-ahead is taken; from there
it falls by a straight line, the release; and the last values, as many as the look-ahead has, are averaged by a
triangular window. All of them are at least what the present sample needs, so their mean is, too: none passes the
ceiling.

The parts are those of Giannoulis, Massberg and Reiss, "Digital dynamic range compressor design: a tutorial and
analysis", JAES 60 (6), 2012: a gain computer in decibels of ratio infinity and knee 0, smoothed in decibels. We differ
in the release: their exponential never ends, a line does, and what follows it is left as it is, bit for bit.
"""

import logging
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from vc.errors import escaped

CEILING = np.float32(10 ** (-1 / 20))  # of full scale: 1 dB is left for what players and lossy formats add
LOOK_AHEAD = 0.005  # seconds
RELEASE = 100.0  # dB a second: 6 dB in 60 ms, and a fraction of a decibel within a period of the voice
HOTTEST = 2.0  # largest peak that lossy formats and resampling make, full scale 1; above it the scale is another
WARN_ABOVE = 6.0  # dB of attenuation, beyond which to warn: there predictors of quality notice (docs/experiments.md)
BLOCK = 1 << 16  # samples of a whole signal worked on at once
UNIT = 2.0**-16  # dB; attenuation is counted in whole units: their sums are exact, however the signal is cut
log = logging.getLogger(__name__)


def to_full_scale(peak: float, recording: object = None) -> float:
    """Factor for a recording with this peak: 1, or below 1 to bring it to full scale if it is above HOTTEST.

    Floating-point files may hold, say, 16-bit integers; limiting every sample would leave nothing but noise.

    Parameters
    ----------
    peak : float
        Largest magnitude of a sample; full scale is 1.
    recording : object, optional
        Its name, for a warning if the factor is not 1. Default: no warning.

    Returns
    -------
    float
        Factor above 0, at most 1.
    """
    if peak <= HOTTEST:
        return 1.0
    if recording is not None:
        log.warning("%s: %.1f dB above full scale; scaled down by as much", escaped(recording), 20 * np.log10(peak))
    return 1 / peak


def limit(samples: np.ndarray, rate: int, name: object = None) -> np.ndarray:
    """A whole signal with no sample beyond CEILING.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`, finite; full scale is 1.
    rate : int
        Hz.
    name : object, optional
        A recording's name; with it, an attenuation of more than WARN_ABOVE is reported in a warning.

    Returns
    -------
    np.ndarray
        Shape `(samples,)`, float32; the same bits as `samples` in float32 where no sample is beyond CEILING.
    """
    blocks = (samples[start : start + BLOCK] for start in range(0, len(samples), BLOCK))
    return np.concatenate([np.zeros(0, np.float32), *limit_blocks(blocks, rate, name)])


def limit_blocks(blocks: Iterable[np.ndarray], rate: int, name: object = None) -> Iterator[np.ndarray]:
    """`limit` of a signal that comes in blocks; however it is cut, the samples are the same.

    The output lags behind the input by LOOK_AHEAD, until the blocks end. Memory follows the longest block.

    Parameters
    ----------
    blocks : iterable of np.ndarray
        Each of shape `(samples,)`, finite; full scale is 1.
    rate : int
        Hz.
    name : object, optional
        A recording's name; with it, an attenuation of more than WARN_ABOVE is reported in a warning at the end.

    Yields
    ------
    np.ndarray
        Shape `(samples,)`, float32, never empty; as many samples in all as `blocks` have.
    """
    limiter = Limiter(rate)
    padding = limiter.delay  # samples of silence that its delay line began with
    for block in chain(blocks, [np.zeros(limiter.delay, np.float32)]):
        output = limiter.push(block)
        if len(output) > padding:
            yield output[padding:]
        padding = max(0, padding - len(output))
    if name is not None and limiter.largest > WARN_ABOVE:
        log.warning("%s: peaks lowered by up to %.1f dB, for they would clip", escaped(name), limiter.largest)


def limiter_delay(rate: int) -> int:
    """Samples at `rate` Hz by which a limiter's output lags behind its input: LOOK_AHEAD, as an even number."""
    return 2 * max(1, round(LOOK_AHEAD * rate / 2))


class Limiter:
    """Its state between blocks of samples at `rate` Hz."""

    def __init__(self, rate: int):
        self._rate, self.delay = rate, limiter_delay(rate)
        self._half = self.delay // 2
        self._delay_line = np.zeros(self.delay, np.float32)
        # Units, of the samples in the delay line; of as many before them.
        self._needs = self._envelope = np.zeros(self.delay, np.int64)
        self.largest = 0.0  # dB of attenuation so far

    def push(self, block: np.ndarray) -> np.ndarray:
        """Take `(samples,)` and give as many, float32, that lag behind by `delay`."""
        count, half = len(block), self._half
        delay_line = np.concatenate([self._delay_line, np.asarray(block, np.float32)])
        # Attenuation in units that brings each sample to CEILING: a unit more, for what rounding adds
        magnitudes = np.abs(delay_line[self.delay :])
        needs, loud = np.zeros(len(magnitudes), np.int64), magnitudes > CEILING
        needs[loud] = np.ceil(20 / UNIT * np.log10(magnitudes[loud].astype(np.float64) / CEILING)) + 1
        needs = np.concatenate([self._needs, needs])
        output, envelope = delay_line[:count], np.zeros(self.delay + count, np.int64)
        if needs.any() or self._envelope.any():
            highest = _sliding_maximum(needs, self.delay + 1)
            line = round(RELEASE / UNIT / self._rate) * np.arange(len(highest) + 1)  # no faster than this it falls
            released = np.maximum.accumulate(np.append(self._envelope[-1], highest) + line)[1:] - line[1:]
            envelope = np.concatenate([self._envelope, released])
            attenuation = _moving_sum(_moving_sum(envelope, half + 1), half + 1) * (UNIT / (half + 1) ** 2)  # dB
            self.largest = max(self.largest, attenuation.max(initial=0))
            output = output * (10 ** (-attenuation / 20)).astype(np.float32)
        self._delay_line, self._needs, self._envelope = delay_line[count:], needs[count:], envelope[count:]
        return output


def _sliding_maximum(values: np.ndarray, length: int) -> np.ndarray:
    """`(values,)` to `(values - length + 1,)`: the largest of `length` values from each on."""
    covered = 1
    while covered < length:  # twice as many a turn
        step = min(covered, length - covered)
        values = np.maximum(values[step:], values[: len(values) - step])
        covered += step
    return values


def _moving_sum(values: np.ndarray, length: int) -> np.ndarray:
    """`(values,)` to `(values - length + 1,)`: the sum of `length` values from each on."""
    sums = np.append(0, np.cumsum(values))
    return sums[length:] - sums[:-length]
