"""Safe file access: bounded reads that cannot block, and atomic writes."""

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
PATIENCE = 10.0  # seconds without data after which reading a pipe fails
LARGEST_STREAM = 16 << 30  # bytes of a recording
_unfinished: set[Path] = set()
_swept: set[Path] = set()  # folders that this process has written into


@contextlib.contextmanager
def reading(path: Path | str, largest: int, *, pipes: bool = True) -> Iterator[BinaryIO]:
    """Open an untrusted file for reading; a pipe is first read to its end.

    Parameters
    ----------
    path : Path or str
        A file, or a pipe such as the shell's `<(command)`.
    largest : int
        Largest allowed size in bytes.
    pipes : bool
        Whether pipes are allowed.

    Yields
    ------
    BinaryIO

    Raises
    ------
    OSError
        The file cannot be opened, is neither a file nor a pipe, or is too large; or no data came from the pipe for
        `PATIENCE` seconds. `strerror` gives the reason.
    """
    # without O_NONBLOCK, opening a pipe that has no writer would block forever
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
                _copy_pipe(descriptor, spool, largest, path)
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
    """Read a whole file, with the restrictions of `reading`, even if the file grows meanwhile."""
    with reading(path, largest, pipes=pipes) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise _too_large(path, largest)
    return content


def _too_large(path: Path | str, largest: int) -> OSError:
    return OSError(errno.EFBIG, f"larger than {largest} bytes", str(path))


def _copy_pipe(pipe: int, file: BinaryIO, largest: int, path: Path | str) -> None:
    """Copy a pipe into a file, up to its end."""
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
    raise TimeoutError(errno.ETIMEDOUT, f"no data came from the pipe for {PATIENCE:g} s", str(path))


@contextlib.contextmanager
def temporary_space() -> Iterator[None]:
    """Turn errors of the block, which writes only temporary files, into a DataError that names their folder."""
    try:
        yield
    except OSError as error:
        place = os.environ.get("TMPDIR") or tempfile.gettempdir()
        raise DataError(
            f"{place}: {error.strerror}: no room for temporary files; set TMPDIR to a folder with more space"
        ) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file atomically: yield a temporary path, renamed to `path` if the block succeeds and removed otherwise.

    The temporary file is in the same folder, with a short name in case that of `path` is as long as names can be. File
    and folder are synced to disk. Leftovers of killed processes are removed before the first write to a folder.
    """
    path = Path(path)
    if path.parent not in _swept:
        _swept.add(path.parent)
        remove_leftovers(path.parent)
    try:
        handle, name = _temporary(path.parent)
    except OSError as error:
        error.filename = str(path)
        raise
    temporary = Path(name)
    _unfinished.add(temporary)
    try:
        yield temporary
        temporary.chmod(_USUAL_MODE)  # mkstemp makes files private
        system.sync(temporary)
        if not system.LOCKS:  # on such systems, open files cannot be renamed
            os.close(handle)
            handle = None
        temporary.replace(path)
        system.sync(path.parent)
    except OSError as error:  # name the file that the user knows
        error.filename = error.filename if error.filename not in (None, name) else str(path)
        raise
    finally:
        if handle is not None:
            os.close(handle)
        temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)


def _temporary(directory: Path) -> tuple[int, str]:
    """Descriptor and name of a new file, which is locked while open to show other processes that it is in use.

    Before it is locked, another process may remove it as a leftover; then another file is created.
    """
    while True:
        handle, name = tempfile.mkstemp(prefix=".vc-", suffix=".tmp", dir=directory)
        with contextlib.suppress(OSError):  # without locks, no leftovers are removed either
            system.lock(handle, wait=True)
        if os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)


def abandon() -> None:
    """Remove all temporary files that this process is writing, before it exits without unwinding the stack."""
    for temporary in tuple(_unfinished):
        temporary.unlink(missing_ok=True)


def make_directory(path: Path) -> None:
    """Create a folder and its missing parents, and sync them to disk; OSError, also if it is a file."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        error.strerror = "exists and is not a folder"
        raise
    for place in missing:
        system.sync(place.parent)


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files of processes that were killed while writing to `directory`."""
    if not system.LOCKS:  # files of running processes could not be told apart
        return
    for leftover in directory.glob(".vc-*.tmp"):
        with contextlib.suppress(OSError), _open_regular(leftover, os.O_RDONLY) as descriptor:
            system.lock(descriptor, wait=False)  # fails while its writer is running
            leftover.unlink()


def path_inside(folder: Path, name: str) -> Path:
    """`folder / name`, for writing to an untrusted folder.

    Raises
    ------
    OSError
        The path leads outside the folder through a link.
    """
    path, real_folder = folder / name, os.path.realpath(folder)
    if os.path.commonpath([real_folder, os.path.realpath(path)]) != real_folder:
        raise OSError(errno.ELOOP, f"leads outside {folder}; nothing is written there", str(path))
    return path


def open_in_place(path: Path) -> BinaryIO:
    """Open a file for appending, created if missing; OSError if it is a link or not a regular file."""
    with _open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as descriptor:
        if os.fstat(descriptor).st_nlink > 1:
            raise OSError(errno.EMLINK, "has hard links, through which another file would change", str(path))
        return os.fdopen(os.dup(descriptor), "r+b", buffering=0)


@contextlib.contextmanager
def _open_regular(path: Path, flags: int) -> Iterator[int]:
    """Descriptor of a regular file; links are refused."""
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
    """Lock a directory against other writers, if the system has locks; the kernel releases those of dead processes.

    Raises
    ------
    DataError
        Another process holds the lock.
    """
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
    """Write text as UTF-8, atomically; surrogate escapes (from file names that are not UTF-8) keep their bytes."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file; of one that is growing, of the bytes present when it was opened."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        remaining = os.fstat(file.fileno()).st_size
        while block := file.read(min(BLOCK, remaining)):
            digest.update(block)
            remaining -= len(block)
    return digest.hexdigest()


_umask = os.umask(0o077)  # read at import, because reading it changes it briefly for all threads
os.umask(_umask)
_USUAL_MODE = 0o666 & ~_umask  # as of files made by open()
