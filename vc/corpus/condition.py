"""In what condition a recording is: its level, background, pauses, and the band that it really fills."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

SAMPLE_RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz, at which speech is analysed
FRAME = 0.032  # seconds
AVERAGED = 32  # frames whose spectra are averaged before the largest of a recording is taken: clicks have any band
BAND = 250.0  # Hz, over which power is summed up
EMPTY = 60.0  # dB below the strongest band; rounding to 16 bits lies 90 dB below speech, hissing sounds 20 to 45
GAP = 500.0  # Hz; what lies beyond a gap as wide is no speech, but a machine's whistling
LOWEST = 1000.0  # Hz, from which on gaps count
FILLED = 0.8  # of half of a sample rate; telephone speech reaches 0.85, filters of resamplers leave 0.9
MOST_FILL = 0.9  # share of recordings
LONG_ENOUGH = 1.0  # seconds; a shorter recording may hold one sound alone
PAUSE = 35.0  # dB below loud frames, and lower
LOUD, QUIET = 0.99, 0.1  # quantiles of the frames' power: how loud speech is, and the background
FAINTEST = -100.0  # dB of full scale; 16 bits hold no background that is fainter


@dataclass(frozen=True)
class Condition:
    """The condition of one recording; levels are mean powers in dB of full scale."""

    seconds: float
    sample_rate: int  # Hz
    level: float  # of what is no pause; -inf for silence
    noise: float  # of the background
    pauses: float  # share of the frames
    bandwidth: float  # Hz

    @property
    def silent(self) -> bool:
        return self.level == -np.inf

    def fills(self, rate: int) -> bool:
        """Whether there is something in the whole band of a sample rate, as far as filters leave it."""
        return self.bandwidth >= FILLED * rate / 2


def filled_rate(conditions: Sequence[Condition], rates: Iterable[int]) -> int | None:
    """The highest of some sample rates whose band recordings fill; None where there is none.

    No recording's own rate is lower, and nine in ten of those that are long enough and not silent fill it: a recording
    may happen to hold no hissing sound.
    """
    informative = [one for one in conditions if not one.silent and one.seconds >= LONG_ENOUGH] or list(conditions)
    possible = [rate for rate in rates if all(one.sample_rate >= rate for one in conditions)]
    filled = [rate for rate in possible if np.mean([one.fills(rate) for one in informative]) >= MOST_FILL]
    return max(filled, default=None)


def measure(blocks: Iterable[np.ndarray], rate: int) -> Condition:
    """The condition of a recording, in memory that does not follow its length.

    Parameters
    ----------
    blocks : iterable of np.ndarray
        Shape `(samples,)` each; full scale is 1.
    rate : int
        Hz.

    Returns
    -------
    Condition
        With a level of -inf where there is nothing but silence.
    """
    size = max(2, 2 * round(FRAME * rate / 2))
    window = np.hanning(size + 1)[:-1]
    count, powers, spectrum = 0, [np.zeros(0)], np.zeros(size // 2 + 1)
    for part in _regrouped(blocks, AVERAGED * size):
        count += len(part)
        padded = np.pad(part.astype(np.float64), (0, -len(part) % size))
        frames = padded.reshape(-1, size)
        powers.append(np.square(frames).mean(axis=1))
        spectrum = np.maximum(spectrum, np.square(np.abs(np.fft.rfft(frames * window))).mean(axis=0))
    power = np.concatenate(powers)
    if not power.any():
        return Condition(count / rate, rate, -np.inf, -np.inf, 1.0, 0.0)
    speech = power >= np.quantile(power, LOUD) * 10 ** (-PAUSE / 10)
    level = 10 * np.log10(power[speech].mean())
    noise = max(FAINTEST, 10 * np.log10(max(np.quantile(power, QUIET), 1e-30)))
    return Condition(
        count / rate, rate, float(level), float(noise), float(1 - speech.mean()), _bandwidth(spectrum, rate)
    )


def _regrouped(blocks: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """Blocks of `length` samples, the last one shorter."""
    waiting = np.zeros(0, np.float32)
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        while len(waiting) >= length:
            yield waiting[:length]
            waiting = waiting[length:]
    if len(waiting):
        yield waiting


def _bandwidth(spectrum: np.ndarray, rate: int) -> float:
    """Hz, up to which `(bins,)` powers from 0 to half of `rate` have no wide gap."""
    bands = max(1, round(rate / 2 / BAND))
    edges = np.linspace(0, len(spectrum), bands + 1).round().astype(int)
    powers = np.array([spectrum[start:end].max(initial=0) for start, end in pairwise(edges)])
    width, top = rate / 2 / bands, 0.0
    for number, filled in enumerate(powers > powers.max() * 10 ** (-EMPTY / 10)):
        if filled and number * width <= max(LOWEST, top + GAP):
            top = (number + 1) * width
    return top
