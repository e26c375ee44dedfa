"""Recordings <-> mono float32 samples in -1..1."""

import contextlib
import io
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vc.errors import DataError
from vc.files import replacing

SUFFIXES = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd"}
    | {".caf", ".w64", ".rf64", ".sph", ".nist", ".voc", ".sf"}
)
BLOCK = 1 << 16  # frames read at once: a header may claim any length, memory follows what is there
RATES = (50, 768_000)  # Hz, lowest and highest that we take


@dataclass(frozen=True)
class AudioInfo:
    """What a recording's header says."""

    sample_rate: int  # Hz
    channels: int
    frames: int  # as claimed; a cut or streamed file may hold fewer

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate


def is_audio(path: Path) -> bool:
    """Whether a file's name ends like a recording's."""
    return path.suffix.lower() in SUFFIXES


def info(path: Path) -> AudioInfo:
    """Read a recording's header."""
    with _opened(path) as sound:
        return AudioInfo(sound.samplerate, sound.channels, sound.frames)


def read(path: Path | str, rate: int | None = None) -> tuple[np.ndarray, int]:
    """Read a recording, or standard input for `-`, as `(samples,)` float32 mixed down to mono, and its rate in Hz.

    With `rate` it is resampled while it is read. Refuses what cannot be decoded, an empty recording, and samples
    that are not finite.
    """
    with _opened(path) as sound:
        blocks = _mono_blocks(sound, path)
        samples = _join(blocks) if rate is None else _resampled(blocks, sound.samplerate, rate)
        rate = rate or sound.samplerate
    if len(samples) == 0:
        raise DataError(f"{path}: no samples")
    return samples, rate


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """`(samples,)` at `rate` Hz to `(round(samples * new_rate / rate),)` at `new_rate` Hz, by soxr in high quality."""
    return _resampled(iter([samples]), rate, new_rate)


def _resampled(blocks: Iterator[np.ndarray], rate: int, new_rate: int) -> np.ndarray:
    """Join blocks at `rate` Hz into samples at `new_rate` Hz; memory follows the result, not the recording."""
    if rate == new_rate:
        return _join(blocks)
    import soxr

    stream = soxr.ResampleStream(rate, new_rate, 1, dtype="float32", quality="HQ")
    length, resampled = 0, []
    for block in blocks:
        length += len(block)
        resampled.append(stream.resample_chunk(np.asarray(block, np.float32)))
    resampled.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    return fit_length(_join(resampled), round(length * new_rate / rate))


def _join(blocks: Iterable[np.ndarray]) -> np.ndarray:
    blocks = list(blocks)
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut `(samples,)` at its end, or lengthen it by silence, to `(length,)`."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))


def write(path: Path | str, samples: np.ndarray, rate: int) -> None:
    """Write `(samples,)` in -1..1 as mono 16-bit WAV, whole or not at all; `-` is standard output."""
    import soundfile

    if not np.isfinite(samples).all() or np.abs(samples).max(initial=0) > 1:
        raise DataError(f"{path}: samples to write must be finite and within -1..1")
    if str(path) == "-":
        sys.stdout.buffer.write(encode(samples, rate))
        sys.stdout.buffer.flush()
        return
    try:
        with replacing(Path(path)) as temporary:
            with temporary.open("wb") as file:  # libsndfile takes a descriptor where it refuses a name
                soundfile.write(file.fileno(), samples, rate, format="WAV", subtype="PCM_16", closefd=False)
            if temporary.stat().st_size < 2 * len(samples):
                raise DataError(f"{path}: written short")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except soundfile.SoundFileError as error:
        raise DataError(f"{path}: cannot write: {_reason(error)}") from error


def encode(samples: np.ndarray, rate: int, format: str = "WAV") -> bytes:
    """`(samples,)` as the bytes of a 16-bit recording in a format of libsndfile's."""
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, samples, rate, format=format, subtype="PCM_16")
    return content.getvalue()


@contextlib.contextmanager
def _opened(path: Path | str) -> Iterator["soundfile.SoundFile"]:  # noqa: F821 - imported late, it is not light
    """Open a recording by descriptor: libsndfile takes neither every name nor every length of name."""
    import soundfile

    try:
        with _descriptor(path) as descriptor, soundfile.SoundFile(descriptor, closefd=False) as sound:
            if not RATES[0] <= sound.samplerate <= RATES[1]:
                raise DataError(f"{path}: rate {sound.samplerate} Hz is outside {RATES[0]}..{RATES[1]} Hz")
            yield sound
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise DataError(f"{path}: not a recording that can be read: {_reason(error)}") from error


@contextlib.contextmanager
def _descriptor(path: Path | str) -> Iterator[int | io.BytesIO]:
    """A descriptor to read; standard input is read whole, for most formats need to seek."""
    if str(path) == "-":
        yield io.BytesIO(sys.stdin.buffer.read())
        return
    if Path(path).is_dir():
        raise DataError(f"{path}: is a folder, not a recording")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _mono_blocks(sound: "soundfile.SoundFile", path: Path | str) -> Iterator[np.ndarray]:  # noqa: F821
    while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
        mono = block.mean(axis=1, dtype=np.float32)
        if not np.isfinite(mono).all():
            raise DataError(f"{path}: holds samples that are not finite")
        yield mono


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
