"""Scalars, pictures and sound of a run: as JSON lines, and in TensorBoard if it is installed."""

import io
import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vc import phrases
from vc.files import open_in_place, reading, write_text

NAME = "log.jsonl"
MAX_BYTES = 256 << 20  # of the file
MAX_LINE = 64 << 10  # bytes
MAX_NUMBER = 2**53  # the largest up to which whole numbers are exact as floats
MAX_LOSSES = 100  # in a line
log = logging.getLogger(__name__)


class RunLog:
    """Writes log.jsonl and tensorboard/ in an experiment directory; a resumed run continues from its step."""

    def __init__(self, directory: Path, step: int):
        path = directory / NAME
        if path.is_file():  # steps after the checkpoint of a killed run are repeated
            write_text(path, "".join(text for line, text in _lines(path) if line["step"] <= step))
        self._path, self._file = path, open_in_place(path)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            log.warning("TensorBoard is not installed (pip install tensorboard); reports go to log.jsonl alone")
            self._board = None
        else:
            self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=step + 1 if step else 0)

    def report(self, step: int, losses: dict[str, float], steps_per_second: float, refused: int = 0) -> None:
        """Write a line: mean losses by name, speed, and refused steps since the last report."""
        speed = round(steps_per_second, 3)
        self._write({"step": step, "losses": losses, "steps_per_second": speed, "steps_refused": refused})
        self._scalars("loss/", losses, step)
        self._scalars("", {"steps_per_second": steps_per_second}, step)

    def score(self, step: int, scores: dict[str, float]) -> None:
        """Write a line: the scores on the held-out set by name."""
        self._write({"step": step, "held_out": scores})
        self._scalars("held_out/", scores, step)

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(f"{json.dumps(line)}\n".encode())
        except OSError as error:
            error.filename = str(self._path)
            raise

    def _scalars(self, prefix: str, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            if self._board:
                self._board.add_scalar(prefix + name, value, step)

    def sound(self, name: str, samples: np.ndarray, rate: int, step: int) -> None:
        """Add samples `(samples,)` in -1..1, at `rate` Hz, to TensorBoard."""
        if self._board:
            self._board.add_audio(name, samples[None], step, rate)

    def picture(self, name: str, image: bytes, step: int) -> None:
        """Add a PNG image to TensorBoard."""
        if self._board:
            from matplotlib.image import imread

            self._board.add_image(name, imread(io.BytesIO(image))[..., :3], step, dataformats="HWC")

    def close(self) -> None:
        self._file.close()
        if self._board:
            self._board.close()


def read(directory: Path) -> list[dict[str, Any]]:
    """The lines of an experiment directory's log; empty if there is none."""
    return [line for line, _ in _lines(directory / NAME)]


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Each line as data and as text; lines that are truncated or not reports are left out, with a warning."""
    if not path.is_file():
        return
    invalid, at_start = 0, True
    with reading(path, MAX_BYTES, pipes=False) as file:
        while content := file.readline(MAX_LINE):
            continues, at_start = not at_start, content.endswith(b"\n")
            if continues:  # the rest of a line that is too long
                continue
            text = content.decode(errors="replace").rstrip("\r\n")
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                line = None
            if _is_report(line):
                yield line, text + "\n"
            else:
                invalid += 1
    if invalid:
        log.warning("%s: left out, truncated or not reports: %s", path, phrases.count(invalid, "line"))


def _is_report(line: Any) -> bool:
    """Whether a line is one that `RunLog` may have written: a step, a speed, and finite numbers by name."""
    if not isinstance(line, dict) or type(line.get("step")) is not int or not 0 <= line["step"] <= MAX_NUMBER:
        return False
    parts = [line.get("losses", {}), line.get("held_out", {"score": 0})]
    if not all(isinstance(part, dict) and len(part) <= MAX_LOSSES for part in parts) or "score" not in parts[1]:
        return False
    named = all(name.isidentifier() and len(name) <= 100 for part in parts for name in part)
    speed = line.get("steps_per_second", 0)
    values = [speed, *(value for part in parts for value in part.values())]
    finite = all(
        math.isfinite(value) if type(value) is float else type(value) is int and abs(value) <= MAX_NUMBER
        for value in values
    )
    return named and finite and speed >= 0
