"""An experiment directory belongs to one run at a time."""

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path

from vc.files import locked, make_directory, open_in_place, path_inside, remove_leftovers
from vc.train.processes import Processes

FOLDERS = ("checkpoints", "samples", "tensorboard")


@contextlib.contextmanager
def owned(output: Path, processes: Processes) -> Iterator[None]:
    """The directory for this run alone, with a log of all that the package says; of its processes the first speaks."""
    if not processes.first:
        logging.getLogger("vc").setLevel(logging.ERROR)
        processes.wait()
        yield
        return
    make_directory(output)
    for name in FOLDERS:
        path_inside(output, name)  # refused before anything is written
    with locked(output), _log_file(output):
        for directory in (output, output / "samples"):
            remove_leftovers(directory)
        processes.wait()
        yield


@contextlib.contextmanager
def _log_file(directory: Path) -> Iterator[None]:
    """Everything that the package says also goes to train.log."""
    with open_in_place(directory / "train.log") as file, io.TextIOWrapper(file, "utf-8", "backslashreplace") as text:
        handler = _LogFile(text)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        root = logging.getLogger("vc")
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)


class _LogFile(logging.StreamHandler):
    """A log that is lost where the disk is full, without a word: the next checkpoint will say it."""

    def handleError(self, _: logging.LogRecord) -> None:
        pass
