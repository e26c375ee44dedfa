"""Recordings <-> mono float32 samples in -1..1."""

import contextlib
import hashlib
import io
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np

from vc import system
from vc.corpus.formats import FFMPEG_SUFFIXES, HEAD, SUFFIXES, decoded, ffmpeg_format, needs_ffmpeg
from vc.corpus.limiter import limit_blocks
from vc.errors import DataError, escaped
from vc.files import LARGEST_STREAM, reading, replacing, temporary_space

LARGEST_IN_MEMORY = 1 << 26  # bytes of samples that wait in memory rather than on disk
BLOCK = 1 << 14  # frames read at once: memory follows what is there, and a damaged file gives what is before
KNOWN_ENDINGS = f"known endings: {' '.join(sorted(SUFFIXES))}; by ffmpeg: {' '.join(sorted(FFMPEG_SUFFIXES))}"
RATES = (50, 768_000)  # Hz, lowest and highest that we take
SILENT_CHANNEL = 1e-4  # of the loudest channel's power: 40 dB below it
CANCELLING = 0.2  # of the power that the mean of uncorrelated channels would have
LOUDEST = 1e31  # of a sample: full scale is 1; beyond, sums leave what float32 can hold
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)  # Hz
OPUS_LEVEL = 0.78  # of libsndfile's compression: 64 kbit/s; from 0.82 on the encoder takes twice the time
STANDARD = "-"  # as a path: standard input or output
MOST_REMEMBERED = 1024  # recordings whose channels are remembered
log = logging.getLogger(__name__)
_channels_by_recording: dict[tuple[int, int, int, int], list[int]] = {}


@dataclass(frozen=True)
class AudioInfo:
    """A recording's header."""

    sample_rate: int  # Hz
    channels: int
    frames: int  # as claimed; a cut or streamed file may hold fewer

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate


def info(path: Path) -> AudioInfo:
    """Read a recording's header."""
    with _opened(path) as sound:
        return AudioInfo(sound.samplerate, sound.channels, sound.frames)


def read(
    path: Path | str, rate: int | None = None, *, start: float = 0.0, end: float | None = None
) -> tuple[np.ndarray, int]:
    """Read a recording, mixed down to mono.

    Parameters
    ----------
    path : Path or str
        A recording; `-` is standard input.
    rate : int, optional
        Hz, to which it is resampled while it is read. Default: its own rate.
    start, end : float
        Seconds of the part to read. Default: all.

    Returns
    -------
    np.ndarray, int
        Samples, shape `(samples,)`, float32, full scale 1, and their rate in Hz.

    Raises
    ------
    DataError
        It cannot be decoded, is empty, or has samples that are not finite.
    """
    with _opened(path) as sound:
        rate = rate or sound.samplerate
        return np.concatenate(list(_blocks(sound, path, rate, start, end))), rate


def first_of_each(paths: Iterable[Path]) -> dict[Path, Path]:
    """For each recording the first one with the same samples, which is itself where none before has them.

    What cannot be read counts as different from all others. Only recordings that share a rate and length are read.
    """
    first, same_header = {}, {}
    for path in paths:
        first[path] = path
        with contextlib.suppress(DataError):
            same_header.setdefault(info(path), []).append(path)
    for group in same_header.values():
        by_digest: dict[str, Path] = {}
        for path in group if len(group) > 1 else ():
            with contextlib.suppress(DataError):
                first[path] = by_digest.setdefault(samples_digest(path), path)
    return first


def samples_digest(path: Path) -> str:
    """SHA-256 of a recording's samples, mixed down, and its rate: the same in every lossless format."""
    with _opened(path) as sound:
        digest = hashlib.sha256(str(sound.samplerate).encode())
        for block in _mono_blocks(sound, path):
            digest.update(block.tobytes())
    return digest.hexdigest()


def blocks(
    path: Path | str,
    rate: int | None = None,
    *,
    start: float = 0.0,
    end: float | None = None,
    advance: Callable[[float], None] | None = None,
) -> Iterator[np.ndarray]:
    """`read` a block at a time, so that memory does not follow the recording's length.

    `advance` is called after each block but the last with the share of the whole recording that has been read.
    """
    with _opened(path) as sound:
        rate, count = rate or sound.samplerate, 0
        for block in _blocks(sound, path, rate, start, end):
            yield block
            count += len(block)
            if advance:
                advance(min(1.0, count / rate * sound.samplerate / max(1, sound.frames)))


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """`(samples,)` at `rate` Hz to `(round(samples * new_rate / rate),)` at `new_rate` Hz, by soxr in high quality."""
    if not RATES[0] <= rate <= RATES[1]:
        raise DataError(f"rate {rate} Hz is outside {RATES[0]}..{RATES[1]} Hz")
    return np.concatenate([np.zeros(0, np.float32), *_resampled(iter([samples]), rate, new_rate)])


def _blocks(
    sound: "soundfile.SoundFile",  # noqa: F821
    path: Path | str,
    rate: int,
    start: float = 0.0,
    end: float | None = None,
) -> Iterator[np.ndarray]:
    """Resampled and mono, at least one."""
    first, last = round(start * sound.samplerate), None if end is None else round(end * sound.samplerate)
    empty = True
    for block in _resampled(_mono_blocks(sound, path, first, last), sound.samplerate, rate):
        empty = False
        yield block
    if empty:
        raise DataError(f"{path}: " + ("no samples" if end is None else f"nothing between {start} s and {end} s"))


def _resampled(blocks: Iterator[np.ndarray], rate: int, new_rate: int) -> Iterator[np.ndarray]:
    """Blocks at `rate` Hz to blocks at `new_rate` Hz, `round(samples * new_rate / rate)` in all."""
    if rate == new_rate:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate, new_rate, 1, dtype="float32", quality="HQ")
    samples_in = samples_out = 0
    for block in blocks:
        samples_in += len(block)
        resampled = stream.resample_chunk(np.asarray(block, np.float32))
        samples_out += len(resampled)
        if len(resampled):
            yield resampled
    last = stream.resample_chunk(np.zeros(0, np.float32), last=True)
    last = fit_length(last, max(0, round(samples_in * new_rate / rate) - samples_out))
    if len(last):
        yield last


def count(path: Path) -> int:
    """Frames that a recording really holds, whatever its header claims; all of it is read."""
    with _opened(path) as sound:
        return sum(len(block) for block in _multichannel_blocks(sound))


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut `(samples,)` at its end, or lengthen it by silence, to `(length,)`."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))


def write(path: Path | str, samples: np.ndarray, rate: int) -> None:
    """Write `(samples,)` in -1..1 as mono 16-bit WAV, whole or not at all; `-` is standard output.

    Raises
    ------
    DataError
        Samples are not finite or beyond -1..1, or the file cannot be written.
    """
    write_blocks(path, [samples], rate)


def write_blocks(path: Path | str, blocks: Iterable[np.ndarray], rate: int) -> None:
    """`write` a block of samples at a time."""
    import soundfile

    try:
        if str(path) == STANDARD:
            with tempfile.TemporaryFile() as file:  # a header needs the length
                _write(file, path, blocks, rate)
                file.seek(0)
                shutil.copyfileobj(file, _standard(sys.stdout, "output"))
                sys.stdout.flush()
        else:
            with replacing(Path(path)) as temporary, temporary.open("wb") as file:
                _write(file, path, blocks, rate)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except soundfile.SoundFileError as error:
        raise DataError(f"{path}: cannot write: {_reason(error)}") from error


def write_scaled(
    path: Path | str, blocks: Iterable[np.ndarray], rate: int, gain: Callable[[], float], name: object = None
) -> int:
    """Write blocks of samples times a gain that is known after the last one, with peaks limited.

    Memory does not follow the number of samples: they wait on disk. Nothing is written to `path` before all are there.

    Parameters
    ----------
    path : Path or str
        A mono 16-bit WAV, whose folder is created if missing; `-` is standard output.
    blocks : iterable of np.ndarray
        Each of shape `(samples,)`, float32; full scale is 1.
    rate : int
        Hz.
    gain : callable
        Returns the factor; called once, after the last block.
    name : object, optional
        A recording's name for the limiter's warning.

    Returns
    -------
    int
        How many samples were written.
    """
    count = 0
    try:
        with tempfile.SpooledTemporaryFile(max_size=LARGEST_IN_MEMORY) as spool:
            for block in blocks:
                with temporary_space():
                    spool.write(block.tobytes())
                count += len(block)
            with temporary_space():
                spool.seek(0)
            factor = np.float32(gain())
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            contents = iter(lambda: spool.read(4 * BLOCK), b"")
            scaled = (factor * np.frombuffer(content, np.float32) for content in contents)
            write_blocks(path, limit_blocks(scaled, rate, name), rate)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    return count


def _write(file: BinaryIO, path: Path | str, blocks: Iterable[np.ndarray], rate: int) -> None:
    import soundfile

    count = 0
    # libsndfile takes a descriptor where it refuses a name
    with soundfile.SoundFile(file.fileno(), "w", rate, 1, "PCM_16", format="WAV", closefd=False) as sound:
        for block in blocks:
            if not np.isfinite(block).all() or np.abs(block).max(initial=0) > 1:
                raise DataError(f"{path}: samples to write must be finite and within -1..1")
            try:
                sound.write(block)
            except soundfile.SoundFileError:  # which does not say why; one more byte does
                os.lseek(file.fileno(), 0, os.SEEK_END)
                os.write(file.fileno(), b"\0")
                raise
            count += len(block)
    if os.fstat(file.fileno()).st_size < 2 * count:
        raise DataError(f"{path}: written short")


def _standard(stream: TextIO | None, name: str) -> BinaryIO:
    if stream is None:
        raise DataError(f"-: standard {name} is closed")
    return stream.buffer


def encode(samples: np.ndarray, rate: int, format: str = "WAV") -> bytes:
    """`(samples,)` as the bytes of a 16-bit recording in a format of libsndfile's."""
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, samples, rate, format=format, subtype="PCM_16")
    return content.getvalue()


def encode_opus(samples: np.ndarray, rate: int) -> bytes:
    """`(samples,)` as Ogg Opus, about half the size of FLAC, at the next higher of the rates that Opus has."""
    import soundfile

    content, opus_rate = io.BytesIO(), next((possible for possible in OPUS_RATES if possible >= rate), OPUS_RATES[-1])
    samples = np.clip(resample(samples, rate, opus_rate), -1, 1)
    soundfile.write(content, samples, opus_rate, format="OGG", subtype="OPUS", compression_level=OPUS_LEVEL)
    return content.getvalue()


@contextlib.contextmanager
def _opened(path: Path | str) -> Iterator["soundfile.SoundFile"]:  # noqa: F821 - imported late, it is not light
    """Open a recording by descriptor: libsndfile takes neither every name nor every length of name.

    What it does not decode is decoded by ffmpeg first, if it is of one of the formats in `formats`.
    """
    import soundfile

    try:
        with _descriptor(path) as descriptor, contextlib.ExitStack() as stack:
            head = system.read_at(descriptor, HEAD, 0)
            by_ffmpeg, reason = ffmpeg_format(head), needs_ffmpeg(head)
            if reason:
                raise DataError(f"{path}: {reason}")
            if by_ffmpeg:
                descriptor = stack.enter_context(decoded(descriptor, by_ffmpeg[1], path)).fileno()
            sound = stack.enter_context(soundfile.SoundFile(descriptor, closefd=False))
            if not RATES[0] <= sound.samplerate <= RATES[1]:
                raise DataError(f"{path}: rate {sound.samplerate} Hz is outside {RATES[0]}..{RATES[1]} Hz")
            yield sound
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise DataError(f"{path}: not a recording that can be read: {_reason(error)}") from error


@contextlib.contextmanager
def _descriptor(path: Path | str) -> Iterator[int]:
    """A descriptor to read; standard input goes through a file, for most formats need to seek."""
    if str(path) == STANDARD:
        with tempfile.TemporaryFile() as file:
            stream, room = _standard(sys.stdin, "input"), LARGEST_STREAM
            while block := stream.read(BLOCK):
                room -= len(block)
                if room < 0:
                    raise DataError(f"{path}: more than {LARGEST_STREAM} bytes")
                with temporary_space():
                    file.write(block)
            with temporary_space():
                file.seek(0)
            yield file.fileno()
        return
    if os.path.isdir(path):
        raise DataError(f"{path}: a folder without recordings; {KNOWN_ENDINGS}")
    try:
        with reading(path, LARGEST_STREAM) as file:
            yield file.fileno()
    except ValueError as error:  # a NUL, or what no file name can be encoded as
        raise DataError(f"{path!r}: no name that a file can have") from error


def _mono_blocks(
    sound: "soundfile.SoundFile",  # noqa: F821
    path: Path | str,
    first: int = 0,
    last: int | None = None,
) -> Iterator[np.ndarray]:
    """Samples `first` to `last`, mixed down by what the whole recording's channels are."""
    chosen = _channels_of(sound, path) if sound.channels > 1 else None
    if first:
        first = sound.seek(min(first, sound.frames))
    count = first
    for block in _multichannel_blocks(sound):
        if not (np.abs(block) <= LOUDEST).all():
            raise DataError(f"{path}: holds samples that are not finite, or above {LOUDEST:g}")
        block = block if last is None else block[: last - count]
        mono = (block if chosen is None else block[:, chosen]).mean(axis=1, dtype=np.float32)
        count += len(mono)
        if len(mono):
            yield mono
        if last is not None and count >= last:
            return
    if 0 < count < sound.frames and last is None:
        log.warning(
            "%s: cut short: %d of the %d samples that it claims can be read", escaped(path), count, sound.frames
        )


def _channels_of(sound: "soundfile.SoundFile", path: Path | str) -> list[int]:  # noqa: F821
    """The channels that make the mono signal of a recording, which is read to its end for them; its position stays."""
    import soundfile

    descriptor = sound.name
    status = os.fstat(descriptor)
    identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    if identity in _channels_by_recording:  # of which there may be many parts
        return _channels_by_recording[identity]
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, 0, os.SEEK_SET)
    products = np.zeros((sound.channels, sound.channels))
    with soundfile.SoundFile(descriptor, closefd=False) as whole:
        for block in _multichannel_blocks(whole):
            if not (np.abs(block) <= LOUDEST).all():
                break  # which is refused where it is read
            products += block.T.astype(np.float64) @ block
    os.lseek(descriptor, position, os.SEEK_SET)
    chosen, remark = choose_channels(products)
    if remark:
        log.warning("%s: %s", escaped(path), remark)
    if len(_channels_by_recording) >= MOST_REMEMBERED:
        _channels_by_recording.clear()
    _channels_by_recording[identity] = chosen
    return chosen


def choose_channels(products: np.ndarray) -> tuple[list[int], str]:
    """Which channels to mix down, and a remark on the others.

    Channels that are silent beside the loudest are left out, for they would make the others quieter. Where the mean of
    the others is nearly nothing, as of opposite phase, the loudest alone is taken.

    Parameters
    ----------
    products : np.ndarray
        Shape `(channels, channels)`: sums of products of every two channels' samples.

    Returns
    -------
    list of int, str
        Numbers of channels, from 0, and a remark, empty where all are mixed.
    """
    powers = np.diag(products)
    loudest = int(np.argmax(powers))
    audible = [int(number) for number in np.flatnonzero(powers > powers[loudest] * SILENT_CHANNEL)]
    if len(audible) > 1:
        mixed = products[np.ix_(audible, audible)].sum() / len(audible)  # of uncorrelated channels their mean power
        if mixed < CANCELLING * powers[audible].mean():
            return [loudest], f"its channels cancel each other (opposite phase); channel {loudest + 1} alone is taken"
    if 0 < len(audible) < len(powers):
        return audible, f"left out: silent channels, {len(powers) - len(audible)} of {len(powers)}"
    return list(range(len(powers))), ""


def mixed_down(samples: np.ndarray) -> np.ndarray:
    """`(samples, channels)` to `(samples,)` float32, with the channels that `choose_channels` takes."""
    exact = samples.astype(np.float64)
    chosen, remark = choose_channels(exact.T @ exact)
    if remark:
        log.warning("%s", remark)
    return samples[:, chosen].mean(axis=1, dtype=np.float32)


def _multichannel_blocks(sound: "soundfile.SoundFile") -> Iterator[np.ndarray]:  # noqa: F821
    """Blocks `(frames, channels)` up to the end or to what cannot be decoded."""
    import soundfile

    first = True
    while True:
        try:
            block = sound.read(BLOCK, dtype="float32", always_2d=True)
        except soundfile.SoundFileError:
            if first:
                raise
            return
        if len(block) == 0:
            return
        first = False
        yield block


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
