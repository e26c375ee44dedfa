"""What systems other than Linux lack: locks, process groups, pipes that can be waited for, folders to be synced."""

import os
import select
import signal
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# Flags of os.open, 0 where there are none; Windows would else change line ends in binary files.
NONBLOCK, NOFOLLOW = getattr(os, "O_NONBLOCK", 0), getattr(os, "O_NOFOLLOW", 0)
BINARY = getattr(os, "O_BINARY", 0)
SYNCS_DIRECTORIES = hasattr(os, "O_DIRECTORY")
LOCKS = fcntl is not None
DESCRIPTORS = Path("/dev/fd")  # where a program finds those that it was handed
OPENED_ANEW = Path("/proc/self/fd")  # where opening one gives a place of its own in the file


def lock(file: int | BinaryIO, *, wait: bool) -> None:
    """Lock a file until it is closed, against other processes that do so; nothing where there are no locks.

    Raises BlockingIOError where another has it and `wait` is false.
    """
    if LOCKS:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def read_at(descriptor: int, count: int, place: int) -> bytes:
    """Bytes of a file from a place on, whose own place in it stays."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, place)
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, place, os.SEEK_SET)
    content = os.read(descriptor, count)
    os.lseek(descriptor, before, os.SEEK_SET)
    return content


def ready(pipe: int | BinaryIO, seconds: float) -> bool:
    """Whether something can be read from a pipe, or its end, within so long; where none can tell, reading waits."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(max(0, 1000 * seconds)))


def kill_group(pid: int) -> None:
    """Kill the leader of a process group and all that it has started; itself alone where there are no groups."""
    if hasattr(os, "killpg"):
        os.killpg(pid, signal.SIGKILL)
    else:
        os.kill(pid, signal.SIGTERM)  # which ends a process at once on Windows, where there is no SIGKILL


def sync(path: Path) -> None:
    """Put a file on the disk, or a folder's list of files where the system does that."""
    directory = path.is_dir()
    if directory and not SYNCS_DIRECTORIES:
        return
    descriptor = os.open(path, os.O_RDONLY if SYNCS_DIRECTORIES else os.O_RDWR)  # Windows syncs what it may write
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(descriptor)


def descriptor_path(descriptor: int, path: Path | str) -> tuple[str, dict[str, object]]:
    """How a program that is started finds an open file, and what subprocess has to be told for that.

    By its descriptor, so that it is the file that was opened; where programs are handed none, by its path.
    """
    if DESCRIPTORS.is_dir():
        return f"{DESCRIPTORS}/{descriptor}", {"pass_fds": [descriptor]}
    return str(Path(path).absolute()), {}
