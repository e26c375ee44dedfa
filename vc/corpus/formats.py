"""What a file is, by its first bytes, and how formats beyond libsndfile's are decoded: by ffmpeg."""

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

SUFFIXES = frozenset(  # of what libsndfile decodes
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd"}
    | {".caf", ".w64", ".rf64", ".sph", ".nist", ".voc", ".sf"}
)
FFMPEG_SUFFIXES = frozenset(  # of what ffmpeg decodes beside
    {".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".aac", ".wma", ".asf", ".wmv", ".mkv", ".mka", ".webm"}
    | {".amr", ".ac3", ".wv", ".ape", ".tta", ".avi", ".mpg", ".mpeg"}
)
INSTALL = "install ffmpeg (Debian, Ubuntu: apt install ffmpeg), or make a WAV of it where there is one"
HEAD = 264  # bytes by which a format is recognised
DECODING = (60.0, 1e5)  # seconds that ffmpeg may take, and bytes of a recording for each second more
LARGEST_BLOCK = 1 << 30  # bytes that ffmpeg may ask for at once
SECONDS_TO_END = 10.0  # that it may take to end after its last byte
LOG_TAIL = 2000  # bytes of the end of its log

# First bytes, from which place on, of formats by name.
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
_FFMPEG = (  # with the name of ffmpeg's reader of it
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
    ("what macOS keeps beside a file", b"\x00\x05\x16\x07", 0),  # AppleDouble: ._NAME
)


def sndfile_format(head: bytes) -> str | None:
    """The format, of those that libsndfile decodes, that a file with these first bytes has."""
    if head[:1] == b"\xff" and head[1:2] and head[1] & 0xE0 == 0xE0 and head[1] & 0x06:  # a frame without a tag
        return "MP3"
    return next((name for name, magic, place in _SNDFILE if head.startswith(magic, place)), None)


def ffmpeg_format(head: bytes) -> tuple[str, str] | None:
    """The format, of those that ffmpeg decodes beside, and the name of ffmpeg's reader of it."""
    if head[:1] == b"\xff" and head[1:2] and head[1] & 0xF6 == 0xF0:
        return "AAC", "aac"
    return next(((name, reader) for name, magic, place, reader in _FFMPEG if head.startswith(magic, place)), None)


def no_recording(head: bytes) -> str | None:
    """What a file with these first bytes is, if it is known to be no recording."""
    return next((name for name, magic, place in _OTHERS if head.startswith(magic, place)), None)


def head_of(path: Path) -> bytes:
    """The first bytes of a file; none of one that cannot be read: an error will say so when it is."""
    try:
        with reading(path, LARGEST_STREAM, pipes=False) as file:
            return file.read(HEAD)
    except OSError:
        return b""


def has_ffmpeg() -> bool:
    return shutil.which("ffmpeg") is not None


def needs_ffmpeg(head: bytes) -> str | None:
    """Why a recording with these first bytes cannot be read here, if it is for want of ffmpeg."""
    format = ffmpeg_format(head)
    return None if format is None or has_ffmpeg() else f"{format[0]} needs ffmpeg, which is not on PATH: {INSTALL}"


@contextlib.contextmanager
def decoded(descriptor: int, reader: str, path: Path | str) -> Iterator[BinaryIO]:
    """The first stream of sound in a recording, decoded by ffmpeg into a temporary file that libsndfile reads.

    The last one is cached, for the windows of a long recording are read one after the other.
    """
    status = os.fstat(descriptor)
    identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    file = _cache.open(identity)
    if file is None:
        _cache.clear()  # before there is another one: both may be large
        file = _decode(descriptor, reader, path)
        _cache.store(identity, file)
    with file:
        file.seek(0)
        yield file


class _Cache:
    """What the last recording was decoded into, held open until another takes its place; for several threads."""

    def __init__(self):
        self._lock, self._identity, self._descriptor = threading.Lock(), None, None

    def open(self, identity: tuple[int, ...]) -> BinaryIO | None:
        """The file, if it is of this recording, opened anew: each reader has a position of its own in it."""
        with self._lock:
            return (system.OPENED_ANEW / str(self._descriptor)).open("rb") if identity == self._identity else None

    def store(self, identity: tuple[int, ...], file: BinaryIO) -> None:
        if not system.OPENED_ANEW.is_dir():  # else all readers would share one position in it
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


def _decode(descriptor: int, reader: str, path: Path | str) -> BinaryIO:
    """A recording decoded by ffmpeg into a temporary file.

    ffmpeg may use only this reader, and open nothing but this file: the lists of other files that some formats are lead
    nowhere. Its time is limited by the file's size, its output as any recording is. It writes into a pipe, and so ends
    when we do.
    """
    seconds = DECODING[0] + os.fstat(descriptor).st_size / DECODING[1]
    name, more = system.descriptor_path(descriptor, path)
    source = ["-protocol_whitelist", "file", "-f", reader, "-i", f"file:{name}"]
    words = ["ffmpeg", "-nostdin", "-v", "error", "-max_alloc", str(LARGEST_BLOCK), *source, "-map", "0:a:0"]
    line = [*words, "-vn", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]  # whose header need not know the length
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
    """Copy a pipe to its end into `file`, or raise TimeoutError after so many seconds; return the number of bytes."""
    end, size = time.monotonic() + seconds, 0
    while system.ready(pipe, end - time.monotonic()):
        block = os.read(pipe.fileno(), BLOCK)
        if not block:
            with temporary_space():
                file.flush()
            return size
        size += len(block)
        if size > LARGEST_STREAM:
            raise DataError(f"{path}: more than {LARGEST_STREAM} bytes when it is decoded")
        with temporary_space():
            file.write(block)
    raise TimeoutError
