"""Live conversion without a sound card: files, and raw samples from standard input to standard output."""

import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vc.corpus import audio
from vc.live.stream import Stream

BLOCK = 0.01  # seconds that are converted at once
FULL_SCALE = 32768.0


def convert_file(stream: Stream, path: str | Path, output: str | Path, realtime: bool = False) -> int:
    """A recording to a mono 16-bit WAV as long, without the delay, whole or not at all.

    Parameters
    ----------
    stream : Stream
        What it heard before is forgotten.
    path, output : str or Path
        A recording of any rate and channels; a file, whose folder is made if it is missing.
    realtime : bool
        Take the samples no faster than they were spoken.

    Returns
    -------
    int
        How many samples were written.
    """
    stream.reset()
    rate, delay = stream.sample_rate, stream.delay.samples
    count = 0

    def spoken() -> Iterator[np.ndarray]:
        nonlocal count
        length = round(BLOCK * rate)
        for samples in audio.blocks(path, rate):
            count += len(samples)
            yield from (samples[start : start + length] for start in range(0, len(samples), length))

    def converted() -> Iterator[np.ndarray]:
        skipped = 0
        for block in itertools.chain(_paced(spoken(), rate) if realtime else spoken(), [np.zeros(delay)]):
            made = stream.push(block)
            first = min(len(made), delay - skipped)
            skipped += first
            if first < len(made):
                yield made[first:]

    Path(output).parent.mkdir(parents=True, exist_ok=True)
    audio.write_blocks(output, converted(), rate)
    return count


def convert_raw(stream: Stream, realtime: bool = False) -> int:
    """16-bit mono samples at the stream's rate from standard input to standard output, as they come, delay and all.

    Returns
    -------
    int
        How many samples came.
    """
    stream.reset()
    rate, count = stream.sample_rate, 0
    blocks = _raw_blocks(round(BLOCK * rate))
    for block in _paced(blocks, rate) if realtime else blocks:
        made = np.rint(stream.push(block) * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1)
        sys.stdout.buffer.write(made.astype("<i2").tobytes())
        sys.stdout.buffer.flush()
        count += len(block)
    return count


def _raw_blocks(length: int) -> Iterator[np.ndarray]:
    """What is there of the next `length` samples: a talker is not waited for until a block is full."""
    rest = b""
    while data := sys.stdin.buffer.read1(2 * length):
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        if whole:
            yield np.frombuffer(data[:whole], "<i2") / FULL_SCALE


def _paced(blocks: Iterable[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """Blocks, each given when its last sample would have been spoken."""
    begin, spoken = time.monotonic(), 0
    for block in blocks:
        spoken += len(block)
        time.sleep(max(0.0, begin + spoken / rate - time.monotonic()))
        yield block
