"""Progress of a training according to its experiment's folder, during and after the run."""

import contextlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from vc.config import read_yaml
from vc.corpus.lists import LARGEST_LIST
from vc.errors import VCError
from vc.files import read_bytes
from vc.train import log

PREPARING, TRAINING, MEASURING = "preparing", "training", "measuring"  # stages of vc-train on folders
MOST_POINTS = 200  # of a curve
MOST_SAMPLES = 60
SLOWEST = 0.001  # steps per second, the least that a report can hold; with less, the time left could be infinite


def progress(experiment: Path, began: float | None) -> dict[str, Any]:
    """Determine stage, steps, speed and curves of a training.

    Parameters
    ----------
    experiment : Path
        Its folder, which need not exist yet.
    began : float or None
        Time of the command's last start in seconds since the epoch; older files are those of an earlier run.

    Returns
    -------
    dict
        `stage`; `step` and `steps`, the latest and the total number; `seconds_left` of the steps (None if unknown);
        `curves`, a list of pairs of step and value for each name; `conversions`, a pair of the number of recordings
        converted for the measurement and of those to convert; `samples`, names of files.
    """
    try:
        status = (experiment / log.NAME).stat()
        lines = _read_log(experiment, status.st_mtime_ns, status.st_size)
    except OSError:
        lines = []
    steps = _total_steps(experiment / "config.yaml") if any("losses" in line for line in lines) else 0
    step = max((line["step"] for line in lines), default=0)
    speeds = (line.get("steps_per_second", 0) for line in reversed(lines))
    speed = next((speed for speed in speeds if speed >= SLOWEST), 0)
    conversions = sorted((experiment / "converted").glob("*.wav"))
    new = [path for path in conversions if _modification_time(path) >= (began or 0.0)]
    stage = PREPARING if _modification_time(experiment / "train.log") < (began or 0.0) else TRAINING
    if stage == TRAINING and (new or step >= steps > 0):
        stage = MEASURING
    total = _total_conversions(experiment / "data/held_out", conversions)
    remaining = (steps - step) / speed if steps and speed and stage == TRAINING else None
    return {
        "stage": stage,
        "step": step,
        "steps": steps,
        "seconds_left": remaining,
        "curves": _curves(lines),
        "conversions": [len(new), total],
        "samples": sorted(path.name for path in (experiment / "samples").glob("*.wav"))[-MOST_SAMPLES:],
    }


def _total_steps(config: Path) -> int:
    """Number of steps in a run's configuration; 0 for a method without steps, or if it cannot be read."""
    try:
        steps = read_yaml(config)["training"]["steps"] if config.is_file() else 0
    except (VCError, KeyError, TypeError):
        return 0
    return steps if isinstance(steps, int) else 0


@lru_cache(16)
def _read_log(directory: Path, modified: int, size: int) -> list[dict[str, Any]]:  # a changed file is read anew
    return log.read(directory)


def _curves(lines: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Losses and held-out scores over the steps, by name."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        values = dict(line.get("losses", {}))
        if "held_out" in line:
            values["held_out_score"] = line["held_out"]["score"]
        for name, value in values.items():
            curves.setdefault(name, []).append((line["step"], value))
    return {name: _decimate(points) for name, points in curves.items()}


def _decimate(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most MOST_POINTS points at regular intervals, always with the last one."""
    interval = -(-len(points) // MOST_POINTS)
    return points[::-1][::interval][::-1]


def _total_conversions(held_out: Path, conversions: list[Path]) -> int:
    """Number of the source's held-out recordings; the source is the speaker whose recordings were converted."""
    counts = []
    for path in sorted(held_out.glob("*/wav.scp")):
        converted = sum(conversion.name.startswith(path.parent.name) for conversion in conversions)
        with contextlib.suppress(OSError):
            counts.append((converted, len(read_bytes(path, LARGEST_LIST, pipes=False).splitlines())))
    return max(counts, default=(0, 0))[1]


def _modification_time(path: Path) -> float:
    """Seconds since the epoch; 0 for a missing file."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
