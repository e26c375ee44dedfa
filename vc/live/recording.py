"""Live conversion without a sound card: of files, and of raw samples from standard input to standard output."""

import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vc.corpus import audio
from vc.live.base import AbstractStream

BLOCK = 0.01  # seconds converted at once
FULL_SCALE = 32768.0


def convert_file(stream: AbstractStream, path: str | Path, output: str | Path, realtime: bool = False) -> int:
    """Convert a recording to a mono 16-bit WAV of equal length, without the delay; written atomically.

    Parameters
    ----------
    stream : AbstractStream
        The conversion; it is reset first.
    path : str or Path
        A recording of any sample rate and number of channels.
    output : str or Path
        The file to write, whose folder is created if missing.
    realtime : bool
        Read the samples in real time.

    Returns
    -------
    int
        Number of samples written.

    Raises
    ------
    DataError
        The recording cannot be read, or the output cannot be written.
    """
    stream.reset()
    rate, delay = stream.sample_rate, stream.delay.samples
    count = 0

    def inputs() -> Iterator[np.ndarray]:
        nonlocal count
        length = round(BLOCK * rate)
        for samples in audio.blocks(path, rate):
            count += len(samples)
            yield from (samples[start : start + length] for start in range(0, len(samples), length))

    def outputs() -> Iterator[np.ndarray]:
        skipped = 0
        for block in itertools.chain(_paced(inputs(), rate) if realtime else inputs(), [np.zeros(delay)]):
            converted = stream.push(block)
            first = min(len(converted), delay - skipped)
            skipped += first
            if first < len(converted):
                yield converted[first:]

    Path(output).parent.mkdir(parents=True, exist_ok=True)
    audio.write_blocks(output, outputs(), rate)
    return count


def convert_raw(stream: AbstractStream, realtime: bool = False) -> int:
    """Convert raw 16-bit mono samples at the stream's rate from standard input to standard output, with the delay.

    Parameters
    ----------
    stream : AbstractStream
        The conversion; it is reset first.
    realtime : bool
        Read the samples in real time.

    Returns
    -------
    int
        Number of samples read.
    """
    stream.reset()
    rate, count = stream.sample_rate, 0
    blocks = _raw_blocks(round(BLOCK * rate))
    for block in _paced(blocks, rate) if realtime else blocks:
        converted = np.rint(stream.push(block) * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1)
        sys.stdout.buffer.write(converted.astype("<i2").tobytes())
        sys.stdout.buffer.flush()
        count += len(block)
    return count


def _raw_blocks(length: int) -> Iterator[np.ndarray]:
    """Blocks of at most `length` samples, as soon as some are available."""
    rest = b""
    while data := sys.stdin.buffer.read1(2 * length):
        data = rest + data
        size = len(data) // 2 * 2
        rest = data[size:]
        if size:
            yield np.frombuffer(data[:size], "<i2") / FULL_SCALE


def _paced(blocks: Iterable[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """Delay each block until the time of its last sample."""
    begin, count = time.monotonic(), 0
    for block in blocks:
        count += len(block)
        time.sleep(max(0.0, begin + count / rate - time.monotonic()))
        yield block
