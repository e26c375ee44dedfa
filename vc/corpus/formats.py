"""Recognise audio formats by a file's first bytes, and decode with ffmpeg those that libsndfile cannot."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vc import system
from vc.errors import DataError
from vc.files import BLOCK, LARGEST_STREAM, reading, temporary_space

SUFFIXES = frozenset(  # decoded by libsndfile
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd"}
    | {".caf", ".w64", ".rf64", ".sph", ".nist", ".voc", ".sf"}
)
FFMPEG_SUFFIXES = frozenset(  # decoded by ffmpeg
    {".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".aac", ".wma", ".asf", ".wmv", ".mkv", ".mka", ".webm"}
    | {".amr", ".ac3", ".wv", ".ape", ".tta", ".avi", ".mpg", ".mpeg"}
)
INSTALL = "install ffmpeg (Debian, Ubuntu: apt install ffmpeg), or convert the file to WAV on a machine that has it"
HEAD = 264  # bytes by which a format is recognised
DECODING = (60.0, 1e5)  # time limit for ffmpeg: seconds, plus one second for each so many bytes of input
LARGEST_BLOCK = 1 << 30  # bytes that ffmpeg may allocate at once
SECONDS_TO_END = 10.0  # that ffmpeg may take to exit after its last byte
LOG_TAIL = 2000  # bytes read from the end of ffmpeg's log

# (format, magic bytes, their offset in the file)
_SNDFILE = (
    ("WAV", b"WAVE", 8),
    ("AIFF", b"AIF", 8),
    ("FLAC", b"fLaC", 0),
    ("Ogg", b"OggS", 0),
    ("AU", b".snd", 0),
    ("CAF", b"caff", 0),
    ("W64", b"riff\x2e\x91\xcf\x11", 0),
    ("NIST", b"NIST_1A", 0),
    ("VOC", b"Creative Voice File", 0),
    ("MP3", b"ID3", 0),
)
_FFMPEG = (  # and the name of ffmpeg's demuxer
    ("MP4", b"ftyp", 4, "mov"),
    ("QuickTime", b"moov", 4, "mov"),
    ("QuickTime", b"mdat", 4, "mov"),
    ("QuickTime", b"wide", 4, "mov"),
    ("Windows Media", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, "asf"),
    ("Matroska or WebM", b"\x1a\x45\xdf\xa3", 0, "matroska"),
    ("AMR", b"#!AMR", 0, "amr"),
    ("AC-3", b"\x0b\x77", 0, "ac3"),
    ("WavPack", b"wvpk", 0, "wv"),
    ("Monkey's Audio", b"MAC ", 0, "ape"),
    ("TTA", b"TTA1", 0, "tta"),
    ("AVI", b"AVI ", 8, "avi"),
    ("MPEG", b"\x00\x00\x01\xba", 0, "mpeg"),
)
_OTHERS = (
    ("a zip archive; unpack it", b"PK\x03\x04", 0),
    ("a rar archive; unpack it", b"Rar!", 0),
    ("a 7z archive; unpack it", b"7z\xbc\xaf", 0),
    ("a gzip archive; unpack it", b"\x1f\x8b", 0),
    ("a bzip2 archive; unpack it", b"BZh", 0),
    ("an xz archive; unpack it", b"\xfd7zXZ", 0),
    ("a tar archive; unpack it", b"ustar", 257),
    ("macOS metadata of another file", b"\x00\x05\x16\x07", 0),  # AppleDouble: ._NAME
)


def sndfile_format(head: bytes) -> str | None:
    """The format of a file with these first bytes if libsndfile decodes it, else None."""
    if head[:1] == b"\xff" and head[1:2] and head[1] & 0xE0 == 0xE0 and head[1] & 0x06:  # a frame without a tag
        return "MP3"
    return next((name for name, magic, offset in _SNDFILE if head.startswith(magic, offset)), None)


def ffmpeg_format(head: bytes) -> tuple[str, str] | None:
    """The format and ffmpeg's demuxer for a file with these first bytes, or None if ffmpeg is not used for it."""
    if head[:1] == b"\xff" and head[1:2] and head[1] & 0xF6 == 0xF0:
        return "AAC", "aac"
    return next(((name, demuxer) for name, magic, offset, demuxer in _FFMPEG if head.startswith(magic, offset)), None)


def no_recording(head: bytes) -> str | None:
    """Description of a file with these first bytes if it is known not to be a recording, else None."""
    return next((name for name, magic, offset in _OTHERS if head.startswith(magic, offset)), None)


def head_of(path: Path) -> bytes:
    """The first bytes of a file; empty if it cannot be read (decoding it will raise the error)."""
    try:
        with reading(path, LARGEST_STREAM, pipes=False) as file:
            return file.read(HEAD)
    except OSError:
        return b""


def has_ffmpeg() -> bool:
    return shutil.which("ffmpeg") is not None


def needs_ffmpeg(head: bytes) -> str | None:
    """The error message for a recording that needs ffmpeg if ffmpeg is not installed, else None."""
    format = ffmpeg_format(head)
    return None if format is None or has_ffmpeg() else f"{format[0]} needs ffmpeg, which is not on PATH: {INSTALL}"


@contextlib.contextmanager
def open_decoded(descriptor: int, demuxer: str, path: Path | str) -> Iterator[BinaryIO]:
    """Decode the first audio stream of a file with ffmpeg, into a temporary file that libsndfile can read.

    The last file decoded is cached, because the windows of a long recording are read one after the other.

    Parameters
    ----------
    descriptor : int
        Descriptor of the file to decode.
    demuxer : str
        ffmpeg's name of the container format.
    path : Path or str
        The file's name for errors.

    Yields
    ------
    BinaryIO
        An AU file of 32-bit floats.

    Raises
    ------
    DataError
        ffmpeg fails or takes too long, or the output is too large.
    """
    status = os.fstat(descriptor)
    identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    file = _cache.open(identity)
    if file is None:
        _cache.clear()  # first, because either file may be large
        file = _decode(descriptor, demuxer, path)
        _cache.store(identity, file)
    with file:
        file.seek(0)
        yield file


class _Cache:
    """Keeps the last decoded file open until the next replaces it; thread-safe."""

    def __init__(self):
        self._lock, self._identity, self._descriptor = threading.Lock(), None, None

    def open(self, identity: tuple[int, ...]) -> BinaryIO | None:
        """The cached file of this recording, reopened so that each reader has its own position, or None."""
        with self._lock:
            return (system.OPENED_ANEW / str(self._descriptor)).open("rb") if identity == self._identity else None

    def store(self, identity: tuple[int, ...], file: BinaryIO) -> None:
        if not system.OPENED_ANEW.is_dir():  # all readers would share one file position
            return
        with self._lock:
            self._clear()
            self._identity, self._descriptor = identity, os.dup(file.fileno())

    def clear(self) -> None:
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        if self._identity is not None:
            os.close(self._descriptor)
        self._identity = self._descriptor = None


_cache = _Cache()


def _decode(descriptor: int, demuxer: str, path: Path | str) -> BinaryIO:
    """Decode a recording with ffmpeg into a temporary file.

    ffmpeg is restricted to this demuxer and this file, so that playlist formats cannot make it open other files. Its
    running time is limited in proportion to the file's size, its output like any recording's. It writes to a pipe, and
    so exits when this process does.
    """
    seconds = DECODING[0] + os.fstat(descriptor).st_size / DECODING[1]
    name, more = system.descriptor_path(descriptor, path)
    source = ["-protocol_whitelist", "file", "-f", demuxer, "-i", f"file:{name}"]
    words = ["ffmpeg", "-nostdin", "-v", "error", "-max_alloc", str(LARGEST_BLOCK), *source, "-map", "0:a:0"]
    line = [*words, "-vn", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]  # AU's header may leave the length open
    with contextlib.ExitStack() as on_failure, tempfile.TemporaryFile() as log:
        file = on_failure.enter_context(tempfile.TemporaryFile())
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": log, **more}
        with subprocess.Popen(line, **streams) as process:
            try:
                size = _spool(process.stdout, file, seconds, path)
                code = process.wait(SECONDS_TO_END)
            except (TimeoutError, subprocess.TimeoutExpired):
                raise DataError(f"{path}: ffmpeg has not decoded it in {seconds:.0f} s") from None
            finally:
                process.kill()
        log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL))
        messages = log.read().decode(errors="replace").strip() or f"exit {code}"
        if code or not size:
            raise DataError(f"{path}: ffmpeg cannot decode it: {messages.splitlines()[-1]}")
        on_failure.pop_all()
        return file


def _spool(pipe: BinaryIO, file: BinaryIO, seconds: float, path: Path | str) -> int:
    """Copy a pipe into `file` up to its end and return the number of bytes; TimeoutError after `seconds`."""
    end, size = time.monotonic() + seconds, 0
    while system.ready(pipe, end - time.monotonic()):
        block = os.read(pipe.fileno(), BLOCK)
        if not block:
            with temporary_space():
                file.flush()
            return size
        size += len(block)
        if size > LARGEST_STREAM:
            raise DataError(f"{path}: more than {LARGEST_STREAM} bytes once decoded")
        with temporary_space():
            file.write(block)
    raise TimeoutError
