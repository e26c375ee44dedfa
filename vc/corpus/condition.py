"""Measures of recording quality: speech level, background noise, share of pauses, and effective bandwidth."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from vc.errors import DataError

SAMPLE_RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz, at which speech is analysed
FRAME = 0.032  # seconds
AVERAGED_FRAMES = 32  # frames averaged per spectrum before the maximum over time, so that wideband clicks do not count
BAND = 250.0  # Hz, width of a band
EMPTY_BAND = 60.0  # dB below the strongest band; 16-bit quantisation noise lies 90 dB below speech, fricatives 20 to 45
GAP = 500.0  # Hz; whatever lies above a gap of this width is not speech but electronic whine
LOWEST = 1000.0  # Hz; gaps below it are ignored
FILLED_BAND = 0.8  # of the Nyquist frequency; telephone speech reaches 0.85, resampling filters leave 0.9
MOST_FILL = 0.9  # fraction of the recordings
SHORTEST = 0.3  # seconds; shorter recordings are of no use for training
LONG_ENOUGH = 1.0  # seconds; a shorter recording may hold a single sound
PAUSE = 35.0  # dB below loud frames
LOUD, QUIET = 0.99, 0.1  # quantiles of frame power that stand for loud speech and for background noise
FAINTEST = -100.0  # dB of full scale; 16-bit audio has no quieter background


@dataclass(frozen=True)
class Condition:
    """Quality measures of one recording; levels are mean powers in dB of full scale."""

    seconds: float
    sample_rate: int  # Hz
    level: float  # of speech, without pauses; -inf for silence
    noise: float  # of the background
    pauses: float  # fraction of the frames
    bandwidth: float  # Hz

    @property
    def silent(self) -> bool:
        return self.level == -np.inf

    def fills(self, rate: int) -> bool:
        """Whether the recording fills the band of a sample rate, allowing for a resampler's transition band."""
        return self.bandwidth >= FILLED_BAND * rate / 2


def filled_rate(conditions: Sequence[Condition], rates: Iterable[int]) -> int | None:
    """The highest of `rates` (Hz) whose band the recordings fill, or None.

    No recording may have a lower sample rate, and nine in ten of those that are long enough and not silent must fill
    the band: some recordings contain no fricatives.
    """
    informative = [c for c in conditions if not c.silent and c.seconds >= LONG_ENOUGH] or list(conditions)
    possible = [rate for rate in rates if all(condition.sample_rate >= rate for condition in conditions)]
    filled = [rate for rate in possible if np.mean([c.fills(rate) for c in informative]) >= MOST_FILL]
    return max(filled, default=None)


def measure_usable(blocks: Iterable[np.ndarray], rate: int, path: Path) -> Condition:
    """Measure the condition of a recording that is to be trained on; parameters as for `measure`.

    Raises
    ------
    DataError
        If it is shorter than SHORTEST, or silent. The message names `path`.
    """
    condition = measure(blocks, rate)
    if condition.seconds < SHORTEST:
        raise DataError(f"{path}: {condition.seconds:.2f} s, shorter than {SHORTEST} s")
    if condition.silent:
        raise DataError(f"{path}: nothing but silence")
    return condition


def measure(blocks: Iterable[np.ndarray], rate: int) -> Condition:
    """Measure the condition of a recording, block by block.

    Parameters
    ----------
    blocks : iterable of np.ndarray
        Shape `(samples,)` each; full scale is 1.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    Condition
        Its level is -inf if the recording is silent.
    """
    size = max(2, 2 * round(FRAME * rate / 2))
    window = np.hanning(size + 1)[:-1]
    count, powers, spectrum = 0, [np.zeros(0)], np.zeros(size // 2 + 1)
    for part in _regroup(blocks, AVERAGED_FRAMES * size):
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


def _regroup(blocks: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """Blocks of `length` samples; the last may be shorter."""
    buffer = np.zeros(0, np.float32)
    for block in blocks:
        buffer = np.concatenate([buffer, block])
        while len(buffer) >= length:
            yield buffer[:length]
            buffer = buffer[length:]
    if len(buffer):
        yield buffer


def _bandwidth(spectrum: np.ndarray, rate: int) -> float:
    """Frequency in Hz up to which a power spectrum `(bins,)` has no wide gap."""
    bands = max(1, round(rate / 2 / BAND))
    edges = np.linspace(0, len(spectrum), bands + 1).round().astype(int)
    powers = np.array([spectrum[start:end].max(initial=0) for start, end in pairwise(edges)])
    width, top = rate / 2 / bands, 0.0
    for number, filled in enumerate(powers > powers.max() * 10 ** (-EMPTY_BAND / 10)):
        if filled and number * width <= max(LOWEST, top + GAP):
            top = (number + 1) * width
    return top
