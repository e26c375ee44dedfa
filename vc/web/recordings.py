"""Recordings in the page's folder: their names, length and condition, and what of them is played."""

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from vc.convert.level import speech_level
from vc.corpus import audio
from vc.corpus.condition import Condition, measure_usable
from vc.corpus.formats import FFMPEG_SUFFIXES, SUFFIXES
from vc.corpus.limiter import to_full_scale
from vc.errors import DataError

EXTENSIONS = SUFFIXES | FFMPEG_SUFFIXES
LARGEST = 1 << 30  # bytes of an upload
LONGEST = 4 * 3600.0  # seconds
MOST_CHANNELS = 8
LONGEST_PLAYBACK = 300.0  # seconds of a recording that the page plays
HIGHEST_PLAYBACK_RATE = 48000  # Hz


def list_names(folder: Path) -> list[str]:
    """Sorted names of the recordings in a folder.

    Hidden files, names that a browser cannot send back, and what is not a file, such as a pipe, are left out.
    """
    names = (path.name for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and os.path.isfile(path))
    return sorted(name for name in names if not name.startswith(".") and is_text(name))


def is_text(name: str) -> bool:
    """Whether a browser can send a file name back: bytes that are not UTF-8 do not survive JSON and URLs."""
    return name.isprintable() and not any("\ud800" <= character <= "\udfff" for character in name)


def seconds(path: Path) -> float | None:
    """Length in seconds according to the header; None if the recording cannot be read."""
    try:
        status = path.stat()
        return _seconds(path, status.st_mtime_ns, status.st_size)
    except (OSError, DataError):
        return None


def condition(path: Path) -> Condition | None:
    """Condition of a recording; None if it cannot be read or would be refused as an upload."""
    try:
        status = path.stat()
        return _condition(path, status.st_mtime_ns, status.st_size)
    except (OSError, DataError):
        return None


def examine(path: Path) -> Condition:
    """Decode a whole untrusted recording and measure its condition.

    Parameters
    ----------
    path : Path
        The recording. Its header is not trusted: decoding stops at LONGEST.

    Returns
    -------
    Condition

    Raises
    ------
    DataError
        The recording cannot be decoded, is too long or too short, has too many channels, or is silent.
    """
    header = audio.info(path)
    if header.channels > MOST_CHANNELS:
        raise DataError(f"{path}: {header.channels} channels; at most {MOST_CHANNELS} are accepted")
    if header.seconds > LONGEST:
        raise DataError(f"{path}: {header.seconds / 3600:.1f} hours; at most {LONGEST / 3600:.0f} are accepted")
    return measure_usable(_bounded(audio.blocks(path), header.sample_rate, path), header.sample_rate, path)


def playback(path: Path) -> tuple[bytes, float]:
    """Encode the first LONGEST_PLAYBACK seconds of a recording for the browser.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bytes
        FLAC, mono, at the recording's sample rate or HIGHEST_PLAYBACK_RATE; the peak is at most full scale.
    float
        Active speech level in dB of full scale, by which the page plays versions equally loud.
    """
    rate = min(audio.info(path).sample_rate, HIGHEST_PLAYBACK_RATE)
    blocks, count, longest = [], 0, round(LONGEST_PLAYBACK * rate)
    for block in audio.blocks(path, rate):  # `end` would refuse a truncated recording that does not reach it
        blocks.append(block)
        count += len(block)
        if count >= longest:
            break
    samples = np.concatenate(blocks)[:longest]
    samples = samples * to_full_scale(float(np.abs(samples).max(initial=0)))
    samples = samples / max(1.0, float(np.abs(samples).max(initial=0)))
    return audio.encode(samples, rate, format="FLAC"), speech_level(samples, rate)


def _bounded(blocks: Iterator[np.ndarray], rate: int, path: Path) -> Iterator[np.ndarray]:
    """The same blocks; DataError once there are more than LONGEST seconds of them."""
    remaining = LONGEST * rate
    for block in blocks:
        remaining -= len(block)
        if remaining < 0:
            raise DataError(f"{path}: more than {LONGEST / 3600:.0f} hours")
        yield block


@lru_cache(4096)
def _seconds(path: Path, modified: int, size: int) -> float:  # a changed file is read anew
    return round(audio.info(path).seconds, 2)


@lru_cache(4096)
def _condition(path: Path, modified: int, size: int) -> Condition:
    return examine(path)
