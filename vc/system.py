"""System calls that not every platform has (locks, process groups, polling, syncing, scheduling), with fallbacks."""

import contextlib
import getpass
import os
import select
import signal
from collections.abc import Iterator
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


def read_at(descriptor: int, count: int, offset: int) -> bytes:
    """Read up to `count` bytes at an offset in a file, without moving its position."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, offset)
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, offset, os.SEEK_SET)
    content = os.read(descriptor, count)
    os.lseek(descriptor, before, os.SEEK_SET)
    return content


def ready(pipe: int | BinaryIO, seconds: float) -> bool:
    """Wait up to `seconds` for a pipe to have data or to end; return whether it has. True if it cannot be polled."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(max(0, 1000 * seconds)))


def kill_group(pid: int) -> None:
    """Kill all processes of a group, given its leader's id; only the leader on systems without groups."""
    if hasattr(os, "killpg"):
        os.killpg(pid, signal.SIGKILL)
    else:
        os.kill(pid, signal.SIGTERM)  # immediate on Windows, which has no SIGKILL


@contextlib.contextmanager
def realtime_scheduling(priority: int = 1) -> Iterator[None]:
    """Let threads that are started during the `with` block run before all ordinary ones, if the system permits it.

    They inherit the scheduling of the calling thread, which gets its own back.

    Parameters
    ----------
    priority : int
        1 or more; threads of a higher one run before those of a lower one. Where the system permits only lower ones,
        it is the highest of these.
    """
    with contextlib.ExitStack() as stack:
        for number in range(priority, 0, -1):
            with contextlib.suppress(AttributeError, OSError):  # not Linux, or not permitted to this user
                before = os.sched_getscheduler(0), os.sched_getparam(0)  # 0: of this thread
                lowest = os.sched_get_priority_min(os.SCHED_RR)
                os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(lowest + number - 1))
                stack.callback(os.sched_setscheduler, 0, *before)
                break
        yield


def name_user() -> None:
    """Give a user without a name one, in the environment: torch asks for it, and fails if there is none.

    A container's user often has a number alone (`docker run --user 1000`).
    """
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # the second from Python 3.13 on, the third on Windows before it
        os.environ["LOGNAME"] = f"user-{os.getuid()}" if hasattr(os, "getuid") else "user"


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


def descriptor_path(descriptor: int, path: Path | str) -> tuple[str, dict[str, object]]:
    """Name of an open file for a child process, and the arguments of subprocess that make it accessible.

    By descriptor, which cannot be another file than the one opened; or by path, if descriptors are not inherited.
    """
    if DESCRIPTORS.is_dir():
        return f"{DESCRIPTORS}/{descriptor}", {"pass_fds": [descriptor]}
    return str(Path(path).absolute()), {}
