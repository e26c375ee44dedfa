"""Read and write audio files as mono float32 samples in -1..1."""

import contextlib
import hashlib
import io
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np

from vc import system
from vc.corpus.formats import FFMPEG_SUFFIXES, HEAD, SUFFIXES, ffmpeg_format, needs_ffmpeg, open_decoded
from vc.corpus.limiter import limit_blocks
from vc.errors import ConfigError, DataError, escaped
from vc.files import LARGEST_STREAM, make_directory, reading, replacing, temporary_space
from vc.messages import warn_once

LARGEST_IN_MEMORY = 1 << 26  # bytes of samples buffered in memory; more are buffered on disk
BLOCK = 1 << 14  # frames per read: memory is bounded, and a damaged file is decoded up to the damage
MP3_CONTEXT = 1 << 14  # frames to decode after a seek before those wanted, because MP3 uses bits of earlier blocks
KNOWN_ENDINGS = f"known endings: {' '.join(sorted(SUFFIXES))}; by ffmpeg: {' '.join(sorted(FFMPEG_SUFFIXES))}"
RATES = (50, 768_000)  # Hz, lowest and highest accepted
SILENT_CHANNEL = 1e-4  # of the loudest channel's power: 40 dB below it
CANCELLING = 0.2  # of the power that the mean of uncorrelated channels would have
LOUDEST = 1e31  # magnitude of a sample (full scale is 1); sums of larger ones overflow float32
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)  # Hz
OPUS_LEVEL = 0.78  # libsndfile's compression level: 64 kbit/s; from 0.82 on the encoder takes twice as long
STANDARD = "-"  # the path that stands for standard input or output
MOST_CACHED = 1024  # recordings whose choice of channels is cached
MAX_OVERSHOOT = 0.5  # seconds that a part may end after its recording, as in Kaldi's extract-segments
# libsndfile's remark on a WAV, AIFF or AU file that ends before its samples do: their bytes by the header, and in fact.
MISSING_BYTES = re.compile(r"^ *(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
HEADER_BYTES = 1024  # some programs count the header among the samples
OPEN_LENGTH = 0x7FFF_0000  # bytes; programs that write to a pipe put this length or a larger one into the header
log = logging.getLogger(__name__)
_channels_by_recording: dict[tuple[int, int, int, int], list[int]] = {}


@dataclass(frozen=True)
class AudioInfo:
    """The header of an audio file."""

    sample_rate: int  # Hz
    channels: int
    frames: int  # as the header says; a truncated or streamed file may hold fewer
    # libsndfile's name, such as `WAV`; of what ffmpeg decodes, that of its output
    format: str = field(default="", compare=False)

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate


def info(path: Path) -> AudioInfo:
    """Read the header of an audio file.

    Raises
    ------
    DataError
        The file cannot be opened or decoded.
    """
    with _open_sound(path) as sound:
        return AudioInfo(sound.samplerate, sound.channels, sound.frames, sound.format)


def read(
    path: Path | str, rate: int | None = None, *, start: float = 0.0, end: float | None = None
) -> tuple[np.ndarray, int]:
    """Read a recording, mixed down to mono.

    Parameters
    ----------
    path : Path or str
        An audio file; `-` is standard input.
    rate : int, optional
        Sample rate in Hz to resample to. Default: the file's own.
    start, end : float
        Where to start and stop reading, in seconds. Default: the whole recording.

    Returns
    -------
    np.ndarray, int
        Samples, shape `(samples,)`, float32, full scale 1; and their sample rate in Hz.

    Raises
    ------
    DataError
        The file cannot be decoded, is empty, has samples that are not finite, or ends more than MAX_OVERSHOOT before
        `end`.
    """
    with _open_sound(path) as sound:
        rate = rate or sound.samplerate
        return np.concatenate(list(_blocks(sound, path, rate, start, end))), rate


def first_of_each(paths: Iterable[Path]) -> dict[Path, Path]:
    """Map each recording to the first one with the same samples (itself if it is the first).

    A recording that cannot be read counts as unique. Only recordings that share a sample rate and length are decoded.
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
    """SHA-256 of a recording's sample rate and mono samples: the same for every lossless format.

    Raises
    ------
    DataError
        The file cannot be decoded.
    """
    with _open_sound(path) as sound:
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
    """Like `read`, but a block at a time, in constant memory.

    Parameters
    ----------
    path, rate, start, end
        As for `read`.
    advance : callable, optional
        Called after each block but the last with the fraction of the whole recording that has been read.

    Yields
    ------
    np.ndarray
        Shape `(samples,)`, float32.

    Raises
    ------
    DataError
        As for `read`.
    """
    with _open_sound(path) as sound:
        rate, count = rate or sound.samplerate, 0
        for block in _blocks(sound, path, rate, start, end):
            yield block
            count += len(block)
            if advance:
                advance(min(1.0, count / rate * sound.samplerate / max(1, sound.frames)))


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample `(samples,)` to `(round(samples * new_rate / rate),)` with soxr's high-quality filter.

    Raises
    ------
    DataError
        `rate` is outside RATES.
    """
    if not RATES[0] <= rate <= RATES[1]:
        raise DataError(f"rate {rate} Hz is outside {RATES[0]}..{RATES[1]} Hz")
    return np.concatenate([np.zeros(0, np.float32), *_resample_blocks(iter([samples]), rate, new_rate)])


def _blocks(
    sound: "soundfile.SoundFile",  # noqa: F821
    path: Path | str,
    rate: int,
    start: float = 0.0,
    end: float | None = None,
) -> Iterator[np.ndarray]:
    """Mono blocks at `rate` Hz of the part from `start` to `end`; DataError if there are none."""
    first, last = round(start * sound.samplerate), None if end is None else round(end * sound.samplerate)
    empty = True
    for block in _resample_blocks(_mono_blocks(sound, path, first, last), sound.samplerate, rate):
        empty = False
        yield block
    if empty:
        raise DataError(f"{path}: " + ("no samples" if end is None else f"nothing between {start} s and {end} s"))


def _resample_blocks(blocks: Iterator[np.ndarray], rate: int, new_rate: int) -> Iterator[np.ndarray]:
    """Resample a stream of blocks to `round(samples * new_rate / rate)` samples in all."""
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
    """Number of frames that a recording really holds, whatever its header says; decodes the whole file."""
    with _open_sound(path) as sound:
        return sum(len(block) for block in _multichannel_blocks(sound))


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Truncate `(samples,)` to `(length,)`, or pad it with silence at the end."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))


def require_floating_point(samples: np.ndarray, name: str) -> None:
    """Raise DataError for samples of another type, such as int16, whose full scale is not 1."""
    if samples.dtype.kind != "f":
        advice = "divide samples of 16 bits by 32768, of 32 bits by 2147483648"
        raise DataError(f"{name}: expected floating-point numbers of full scale 1, got {samples.dtype}; {advice}")


def file_identity(path: Path | str) -> tuple[int, int] | str:
    """What two names of the same file have in common, links included; of a file that is not there, its full path."""
    try:
        status = Path(path).stat()
    except OSError:
        return os.path.realpath(path)
    except ValueError:  # no valid name: reading or writing it will say so
        return str(path)
    return status.st_dev, status.st_ino


def check_output(path: Path | str, recording: Path | str) -> None:
    """Raise ConfigError for an output that is the recording that it is made from, or not named like a WAV."""
    check_output_name(path)
    if STANDARD not in (str(path), str(recording)) and file_identity(path) == file_identity(recording):
        raise ConfigError(f"{path}: is also an input; choose another --output")


def check_output_name(path: Path | str) -> None:
    """Raise ConfigError for an output whose name ends like those of another audio or video format than WAV."""
    if Path(path).suffix.lower() in (SUFFIXES | FFMPEG_SUFFIXES) - {".wav", ".wave"}:
        raise ConfigError(f"{path}: the output is a WAV file; give a name that ends in .wav")


def write(path: Path | str, samples: np.ndarray, rate: int) -> None:
    """Write `(samples,)` in -1..1 as mono 16-bit WAV, atomically; `-` is standard output.

    Raises
    ------
    DataError
        Samples are not finite or beyond -1..1, or the file cannot be written.
    """
    write_blocks(path, [samples], rate)


def write_blocks(path: Path | str, blocks: Iterable[np.ndarray], rate: int) -> None:
    """Like `write`, from blocks of samples, in constant memory."""
    import soundfile

    try:
        if str(path) == STANDARD:
            with tempfile.TemporaryFile() as file:  # the header needs the length
                _write(file, path, blocks, rate)
                file.seek(0)
                shutil.copyfileobj(file, _standard_stream(sys.stdout, "output"))
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
    """Scale blocks of samples by a gain that is known only after the last one, limit their peaks and write them.

    Samples are buffered on disk, so memory is bounded. Nothing is written to `path` before the last block has come.

    Parameters
    ----------
    path : Path or str
        A mono 16-bit WAV, whose folder is created if missing; `-` is standard output.
    blocks : iterable of np.ndarray
        Each of shape `(samples,)`, float32; full scale is 1.
    rate : int
        Hz.
    gain : callable
        Returns the linear gain; called once, after the last block.
    name : object, optional
        The recording's name in the limiter's warning.

    Returns
    -------
    int
        Number of samples written.

    Raises
    ------
    DataError
        The file cannot be written.
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
            make_directory(Path(path).parent)
            contents = iter(lambda: spool.read(4 * BLOCK), b"")
            scaled = (factor * np.frombuffer(content, np.float32) for content in contents)
            write_blocks(path, limit_blocks(scaled, rate, name), rate)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"{error.filename or path}: {error.strerror}") from error
    return count


def _write(file: BinaryIO, path: Path | str, blocks: Iterable[np.ndarray], rate: int) -> None:
    import soundfile

    count = 0
    # by descriptor: libsndfile does not accept every file name
    with soundfile.SoundFile(file.fileno(), "w", rate, 1, "PCM_16", format="WAV", closefd=False) as sound:
        for block in blocks:
            if not np.isfinite(block).all() or np.abs(block).max(initial=0) > 1:
                raise DataError(f"{path}: samples to write must be finite and within -1..1")
            try:
                sound.write(block)
            except soundfile.SoundFileError:  # it does not give the reason; writing one more byte raises it
                os.lseek(file.fileno(), 0, os.SEEK_END)
                os.write(file.fileno(), b"\0")
                raise
            count += len(block)
    if os.fstat(file.fileno()).st_size < 2 * count:
        raise DataError(f"{path}: written short")


def _standard_stream(stream: TextIO | None, name: str) -> BinaryIO:
    if stream is None:
        raise DataError(f"-: standard {name} is closed")
    return stream.buffer


def encode(samples: np.ndarray, rate: int, format: str = "WAV") -> bytes:
    """Encode `(samples,)` as 16-bit audio in one of libsndfile's formats; return the file's bytes."""
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, samples, rate, format=format, subtype="PCM_16")
    return content.getvalue()


def encode_opus(samples: np.ndarray, rate: int) -> bytes:
    """Encode `(samples,)` as Ogg Opus (about half the size of FLAC) at the next higher rate that Opus supports."""
    import soundfile

    content, opus_rate = io.BytesIO(), min((r for r in OPUS_RATES if r >= rate), default=OPUS_RATES[-1])
    samples = np.clip(resample(samples, rate, opus_rate), -1, 1)
    soundfile.write(content, samples, opus_rate, format="OGG", subtype="OPUS", compression_level=OPUS_LEVEL)
    return content.getvalue()


@contextlib.contextmanager
def _open_sound(path: Path | str) -> Iterator["soundfile.SoundFile"]:  # noqa: F821 - a slow import, made where it is needed
    """Open an audio file by descriptor, because libsndfile does not accept every file name.

    Formats that libsndfile lacks and `formats` lists are decoded by ffmpeg first.
    """
    import soundfile

    try:
        with _descriptor(path) as descriptor, contextlib.ExitStack() as stack:
            head = system.read_at(descriptor, HEAD, 0)
            by_ffmpeg, reason = ffmpeg_format(head), needs_ffmpeg(head)
            if reason:
                raise DataError(f"{path}: {reason}")
            if by_ffmpeg:
                descriptor = stack.enter_context(open_decoded(descriptor, by_ffmpeg[1], path)).fileno()
            sound = stack.enter_context(_sequential(descriptor))
            if not RATES[0] <= sound.samplerate <= RATES[1]:
                raise DataError(f"{path}: rate {sound.samplerate} Hz is outside {RATES[0]}..{RATES[1]} Hz")
            yield sound
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise DataError(f"{path}: not a recording that can be read: {_reason(error)}") from error


def _sequential(descriptor: int) -> "soundfile.SoundFile":  # noqa: F821
    """Open by descriptor for reading block by block.

    soundfile seeks to where it is after every read of a file that can seek, and libmpg123 decodes wrongly after a seek.
    """
    import soundfile

    sound = soundfile.SoundFile(descriptor, closefd=False)
    sound.seekable = lambda: False
    return sound


@contextlib.contextmanager
def _descriptor(path: Path | str) -> Iterator[int]:
    """A readable descriptor; standard input is copied to a temporary file, because most formats need to seek."""
    if str(path) == STANDARD:
        with tempfile.TemporaryFile() as file:
            stream, remaining = _standard_stream(sys.stdin, "input"), LARGEST_STREAM
            while block := stream.read(BLOCK):
                remaining -= len(block)
                if remaining < 0:
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
    except ValueError as error:  # a NUL, or characters that the file system's encoding lacks
        raise DataError(f"{path!r}: not a valid file name") from error


def _mono_blocks(
    sound: "soundfile.SoundFile",  # noqa: F821
    path: Path | str,
    first: int = 0,
    last: int | None = None,
) -> Iterator[np.ndarray]:
    """Samples `first` to `last`, mixed down from channels that are chosen by the whole recording."""
    chosen = _channels_of(sound, path) if sound.channels > 1 else None
    first = min(first, sound.frames)
    context = min(first, MP3_CONTEXT) if sound.format == "MP3" else 0
    if first:
        sound.seek(first - context)
    count = first
    for block in _multichannel_blocks(sound):
        block, context = block[context:], max(0, context - len(block))
        if not (np.abs(block) <= LOUDEST).all():
            raise DataError(f"{path}: holds samples that are not finite, or above {LOUDEST:g}")
        block = block if last is None else block[: last - count]
        mono = (block if chosen is None else block[:, chosen]).mean(axis=1, dtype=np.float32)
        count += len(mono)
        if len(mono):
            yield mono
        if last is not None and count >= last:
            return
    if last is None:
        missing = count and _missing_samples(sound, count)
        if missing:
            warn_once(log, f"{escaped(path)}: truncated: only {missing}")
    elif first < count < last - MAX_OVERSHOOT * sound.samplerate:
        rate = sound.samplerate
        raise DataError(f"{path}: ends at {count / rate:.2f} s, the part to be read only at {last / rate:.2f} s")


def _missing_samples(sound: "soundfile.SoundFile", count: int) -> str:  # noqa: F821
    """How much of what the header claims is there if a recording is truncated, else ""; `count` frames were decoded."""
    if count < sound.frames:
        return f"{count} of the {sound.frames} samples in its header can be read"
    sizes = MISSING_BYTES.search(sound.extra_info)
    claimed, present = map(int, sizes.groups()) if sizes else (0, 0)
    truncated = present + HEADER_BYTES < claimed < OPEN_LENGTH
    return f"{present} of the {claimed} bytes of samples in its header are there" if truncated else ""


def _channels_of(sound: "soundfile.SoundFile", path: Path | str) -> list[int]:  # noqa: F821
    """The channels to mix down, chosen by decoding the whole recording; `sound` keeps its position."""
    descriptor = sound.name
    status = os.fstat(descriptor)
    identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    if identity in _channels_by_recording:  # many utterances may be parts of one recording
        return _channels_by_recording[identity]
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, 0, os.SEEK_SET)
    products = np.zeros((sound.channels, sound.channels))
    with _sequential(descriptor) as whole:
        for block in _multichannel_blocks(whole):
            if not (np.abs(block) <= LOUDEST).all():
                break  # `_mono_blocks` refuses it
            products += block.T.astype(np.float64) @ block
    os.lseek(descriptor, position, os.SEEK_SET)
    chosen, remark = choose_channels(products)
    if remark:
        warn_once(log, f"{escaped(path)}: {remark}")
    if len(_channels_by_recording) >= MOST_CACHED:
        _channels_by_recording.clear()
    _channels_by_recording[identity] = chosen
    return chosen


def choose_channels(products: np.ndarray) -> tuple[list[int], str]:
    """Choose the channels to mix down to mono.

    Channels far quieter than the loudest one are left out, because averaging them in would only lower the level. If the
    others cancel each other (opposite phase), only the loudest is used.

    Parameters
    ----------
    products : np.ndarray
        Shape `(channels, channels)`: inner products of the channels' samples.

    Returns
    -------
    list of int, str
        Indices of the channels, and a remark for the log, empty if all channels are used.
    """
    powers = np.diag(products)
    loudest = int(np.argmax(powers))
    audible = [int(number) for number in np.flatnonzero(powers > powers[loudest] * SILENT_CHANNEL)]
    if len(audible) > 1:
        mixed = products[np.ix_(audible, audible)].sum() / len(audible)  # for uncorrelated channels, their mean power
        if mixed < CANCELLING * powers[audible].mean():
            return [loudest], f"its channels cancel each other (opposite phase); only channel {loudest + 1} is used"
    if 0 < len(audible) < len(powers):
        return audible, f"left out: silent channels, {len(powers) - len(audible)} of {len(powers)}"
    return list(range(len(powers))), ""


def mix_down(samples: np.ndarray) -> np.ndarray:
    """Mix `(samples, channels)` down to `(samples,)` float32, using the channels that `choose_channels` returns."""
    exact = samples.astype(np.float64)
    chosen, remark = choose_channels(exact.T @ exact)
    if remark:
        log.warning("%s", remark)
    return samples[:, chosen].mean(axis=1, dtype=np.float32)


def _multichannel_blocks(sound: "soundfile.SoundFile") -> Iterator[np.ndarray]:  # noqa: F821
    """Blocks `(frames, channels)` up to the end, or up to where decoding fails."""
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
