"""An experiment directory belongs to one run at a time."""

import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from vc.errors import TrainingError
from vc.files import make_directory, remove_leftovers
from vc.train.processes import Processes


@contextlib.contextmanager
def owned(output: Path, processes: Processes) -> Iterator[None]:
    """The directory for this run alone, with a log of all that the package says; of its processes the first speaks."""
    if not processes.first:
        logging.getLogger("vc").setLevel(logging.ERROR)
        processes.wait()
        yield
        return
    make_directory(output)
    with _locked(output), _log_file(output):
        for directory in (output, output / "samples"):
            remove_leftovers(directory)
        processes.wait()
        yield


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One writer a directory; the kernel frees the lock of a holder that dies."""
    with (directory / ".lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise TrainingError(f"{directory}: in use by {file.read().strip() or 'another process'}") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


@contextlib.contextmanager
def _log_file(directory: Path) -> Iterator[None]:
    """Everything that the package says also goes to train.log."""
    handler = _LogFile(directory / "train.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger("vc")
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        with contextlib.suppress(OSError):
            handler.close()


class _LogFile(logging.FileHandler):
    """A log that is lost where the disk is full, without a word: the next checkpoint will say it."""

    def handleError(self, _: logging.LogRecord) -> None:
        pass
