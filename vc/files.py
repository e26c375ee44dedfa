"""Files that are read without waiting or filling memory, and files that appear whole or not at all."""

import contextlib
import errno
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vc import system
from vc.errors import DataError

BLOCK = 1 << 20  # bytes read at once
PATIENCE = 10.0  # seconds that a pipe may be silent
LARGEST_STREAM = 16 << 30  # bytes of a recording
_unfinished: set[Path] = set()
_swept: set[Path] = set()  # folders that this process has written into


@contextlib.contextmanager
def reading(path: Path | str, largest: int, *, pipes: bool = True) -> Iterator[BinaryIO]:
    """Open a file from an untrusted place; a pipe is read to its end first.

    Parameters
    ----------
    path : Path or str
        A file, or a pipe such as the shell's `<(command)`.
    largest : int
        Bytes that it may have.
    pipes : bool
        Whether a pipe will do.

    Raises
    ------
    OSError
        Also for what is neither, for more bytes, and for a pipe that is silent for `PATIENCE` seconds; `strerror`
        says so.
    """
    # without O_NONBLOCK opening a pipe without a writer would block for ever
    descriptor = os.open(path, os.O_RDONLY | system.NONBLOCK | system.BINARY)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            if status.st_size > largest:
                raise _too_large(path, largest)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                yield file
        elif stat.S_ISFIFO(status.st_mode) and pipes:
            with tempfile.TemporaryFile() as spool:
                _take(descriptor, spool, largest, path)
                with temporary_space():
                    spool.seek(0)
                yield spool
        elif stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "a folder, not a file", str(path))
        else:
            raise OSError(errno.EINVAL, f"neither a file{' nor a pipe' if pipes else ', nor a link to one'}", str(path))
    finally:
        os.close(descriptor)


def read_bytes(path: Path | str, largest: int, *, pipes: bool = True) -> bytes:
    """The content of a file as `reading` opens it; one that grows meanwhile may not go beyond `largest` either."""
    with reading(path, largest, pipes=pipes) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise _too_large(path, largest)
    return content


def _too_large(path: Path | str, largest: int) -> OSError:
    return OSError(errno.EFBIG, f"larger than {largest} bytes", str(path))


def _take(pipe: int, file: BinaryIO, largest: int, path: Path | str) -> None:
    """All that comes out of a pipe."""
    count = 0
    while system.ready(pipe, PATIENCE):
        block = os.read(pipe, BLOCK)
        if not block:
            return
        count += len(block)
        if count > largest:
            raise _too_large(path, largest)
        with temporary_space():
            file.write(block)
    raise TimeoutError(errno.ETIMEDOUT, f"a pipe from which nothing came for {PATIENCE:g} s", str(path))


@contextlib.contextmanager
def temporary_space() -> Iterator[None]:
    """Where only temporary files are written: of a full disk the error names their folder, not an output."""
    try:
        yield
    except OSError as error:
        place = os.environ.get("TMPDIR") or tempfile.gettempdir()
        raise DataError(
            f"{place}: {error.strerror}: temporary files go there; set TMPDIR to a folder with more room"
        ) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds, remove it if not.

    The temporary name is short, so that a long `path` still fits; file and folder are synced to disk. What a killed
    process left in the folder is removed before its first file is written there.
    """
    path = Path(path)
    if path.parent not in _swept:
        _swept.add(path.parent)
        remove_leftovers(path.parent)
    handle, name = _temporary(path.parent)
    temporary = Path(name)
    _unfinished.add(temporary)
    try:
        yield temporary
        temporary.chmod(_USUAL_MODE)  # mkstemp makes files private
        system.sync(temporary)
        if not system.LOCKS:  # where files that are open cannot be renamed, either
            os.close(handle)
            handle = None
        temporary.replace(path)
        system.sync(path.parent)
    except OSError as error:  # a user knows the file by its own name
        error.filename = error.filename if error.filename not in (None, name) else str(path)
        raise
    finally:
        if handle is not None:
            os.close(handle)
        temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)


def _temporary(directory: Path) -> tuple[int, str]:
    """Descriptor and name of a new file that is locked until it is closed: other processes can see that it is in use.

    Between the two another process may take it for a leftover; then there is another one.
    """
    while True:
        handle, name = tempfile.mkstemp(prefix=".vc-", suffix=".tmp", dir=directory)
        with contextlib.suppress(OSError):  # where there are no locks nothing is swept either
            system.lock(handle, wait=True)
        if os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)


def abandon() -> None:
    """Remove every temporary file that this process is writing: for one that ends without unwinding."""
    for temporary in tuple(_unfinished):
        temporary.unlink(missing_ok=True)


def make_directory(path: Path) -> None:
    """Make `path` and its parents where they are missing, for good: a power loss cannot take them."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for place in missing:
        system.sync(place.parent)


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote into `directory`."""
    if not system.LOCKS:  # which tell those of processes that live
        return
    for leftover in directory.glob(".vc-*.tmp"):
        with contextlib.suppress(OSError), _opened(leftover, os.O_RDONLY) as descriptor:
            system.lock(descriptor, wait=False)  # fails while its writer lives
            leftover.unlink()


def path_inside(folder: Path, name: str) -> Path:
    """`folder / name` to write to, in an untrusted folder.

    Raises OSError for a link that leads out of the folder.
    """
    path, real_folder = folder / name, os.path.realpath(folder)
    if os.path.commonpath([real_folder, os.path.realpath(path)]) != real_folder:
        raise OSError(errno.ELOOP, f"leads out of {folder}, where nothing shall be written", str(path))
    return path


def open_in_place(path: Path) -> BinaryIO:
    """Open a file to append to as it lies there, made if missing; a link, or what is no file, is refused by OSError."""
    with _opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as descriptor:
        if os.fstat(descriptor).st_nlink > 1:
            raise OSError(errno.EMLINK, "has another name elsewhere; nothing is written there", str(path))
        return os.fdopen(os.dup(descriptor), "r+b", buffering=0)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """The descriptor of a regular file that is no link."""
    try:
        if not system.NOFOLLOW and Path(path).is_symlink():
            raise OSError(errno.ELOOP, "", str(path))
        descriptor = os.open(path, flags | system.NOFOLLOW | system.NONBLOCK | system.BINARY, 0o666)
    except OSError as error:
        error.strerror = "a link, which is not followed" if error.errno == errno.ELOOP else error.strerror
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "exists and is not a file", str(path))
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One writer a directory, where the system has locks; the kernel frees that of a holder that dies."""
    with open_in_place(directory / ".lock") as file:
        try:
            system.lock(file, wait=False)
        except BlockingIOError:
            holder = file.read(200).decode(errors="replace").strip() or "another process"
            raise DataError(f"{directory}: in use by {holder}") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 (file names that are not UTF-8 keep their bytes), whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def sha256(path: Path) -> str:
    """Digest of a file's bytes, in hexadecimal; of one that grows, of those that were there when it was opened."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        remaining = os.fstat(file.fileno()).st_size
        while block := file.read(min(BLOCK, remaining)):
            digest.update(block)
            remaining -= len(block)
    return digest.hexdigest()


_umask = os.umask(0o077)  # read once: reading changes it for a moment, for every thread
os.umask(_umask)
_USUAL_MODE = 0o666 & ~_umask  # what open() gives a file
