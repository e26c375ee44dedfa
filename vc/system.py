"""System calls that not every platform has (file locks, polling pipes, syncing folders), with fallbacks."""

import os
import select
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# Flags of os.open, 0 if unsupported; BINARY keeps Windows from translating line ends.
NONBLOCK, NOFOLLOW = getattr(os, "O_NONBLOCK", 0), getattr(os, "O_NOFOLLOW", 0)
BINARY = getattr(os, "O_BINARY", 0)
SYNCS_DIRECTORIES = hasattr(os, "O_DIRECTORY")
LOCKS = fcntl is not None
DESCRIPTORS = Path("/dev/fd")  # where a program can open its inherited descriptors by name
OPENED_ANEW = Path("/proc/self/fd")  # opening a descriptor here gives an independent file position


def lock(file: int | BinaryIO, *, wait: bool) -> None:
    """Lock a file until it is closed; does nothing on systems without locks.

    Raises
    ------
    BlockingIOError
        Another process holds the lock, and `wait` is false.
    """
    if LOCKS:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def ready(pipe: int | BinaryIO, seconds: float) -> bool:
    """Wait up to `seconds` for a pipe to have data or to end; return whether it has. True if it cannot be polled."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(max(0, 1000 * seconds)))


def sync(path: Path) -> None:
    """Sync a file to disk, or a folder's entries if the system supports that."""
    directory = path.is_dir()
    if directory and not SYNCS_DIRECTORIES:
        return
    descriptor = os.open(path, os.O_RDONLY if SYNCS_DIRECTORIES else os.O_RDWR)  # Windows only syncs writable files
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(descriptor)


def handed(descriptor: int, path: Path | str) -> tuple[str, dict[str, object]]:
    """Name of an open file for a child process, and the arguments of subprocess that make it accessible.

    By descriptor, which cannot be another file than the one opened; or by path, if descriptors are not inherited.
    """
    if DESCRIPTORS.is_dir():
        return f"{DESCRIPTORS}/{descriptor}", {"pass_fds": [descriptor]}
    return str(Path(path).absolute()), {}
