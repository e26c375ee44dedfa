"""What the folder of an experiment says of its training, while it runs and afterwards."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from vc.config import read_yaml
from vc.errors import VCError
from vc.train import log

PREPARING, TRAINING, MEASURING = "preparing", "training", "measuring"  # stages of vc-train on folders
MOST_POINTS = 200  # of a curve
MOST_SAMPLES = 60


def progress(experiment: Path, began: float | None) -> dict[str, Any]:
    """Stage, steps, speed and curves of a training.

    Parameters
    ----------
    experiment : Path
        Its folder, which need not be there yet.
    began : float or None
        When its command was last started, in seconds since the epoch: what is older belongs to a run before.

    Returns
    -------
    dict
        `stage`, `step`, `steps`, `seconds_left` of the steps (None: not known), `curves` (name -> list of pairs of step
        and value), `conversions` (recordings converted, and those that will be) and `samples` (names of files).
    """
    lines = _lines(experiment / log.NAME)
    steps = _steps(experiment / "config.yaml") if any("losses" in line for line in lines) else 0
    step = max((line["step"] for line in lines), default=0)
    speed = next((line["steps_per_second"] for line in reversed(lines) if line.get("steps_per_second")), 0)
    converted = sorted((experiment / "converted").glob("*.wav"))
    new = [path for path in converted if _modification_time(path) >= (began or 0.0)]
    stage = PREPARING if _modification_time(experiment / "train.log") < (began or 0.0) else TRAINING
    if stage == TRAINING and (new or step >= steps > 0):
        stage = MEASURING
    expected = _expected_conversions(experiment / "data/held_out", converted)
    left = (steps - step) / speed if steps and speed and stage == TRAINING else None
    return {
        "stage": stage,
        "step": step,
        "steps": steps,
        "seconds_left": left,
        "curves": _curves(lines),
        "conversions": [len(new), expected],
        "samples": sorted(path.name for path in (experiment / "samples").glob("*.wav"))[-MOST_SAMPLES:],
    }


def _steps(path: Path) -> int:
    """How many a run has, by its settings; 0 where it takes none, or nobody knows."""
    try:
        steps = read_yaml(path)["training"]["steps"] if path.is_file() else 0
    except (VCError, KeyError, TypeError):
        return 0
    return steps if isinstance(steps, int) else 0


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        status = path.stat()
    except OSError:
        return []
    return _read(path.parent, status.st_mtime_ns, status.st_size)


@lru_cache(16)
def _read(directory: Path, changed: int, size: int) -> list[dict[str, Any]]:
    try:
        return log.read(directory)
    except OSError:
        return []


def _curves(lines: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        values = dict(line.get("losses", {}))
        if "held_out" in line:
            values["held_out_score"] = line["held_out"]["score"]
        for name, value in values.items():
            curves.setdefault(name, []).append((line["step"], value))
    return {name: _thinned(points) for name, points in curves.items()}


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    every = -(-len(points) // MOST_POINTS)
    return points[::-1][::every][::-1]  # the last one stays


def _expected_conversions(held_out: Path, converted: list[Path]) -> int:
    """How many recordings of the source are converted for the measurement."""
    counts = []
    for path in sorted(held_out.glob("*/wav.scp")):
        own = [one for one in converted if one.name.startswith(path.parent.name)]
        counts.append((len(own), len(path.read_bytes().splitlines())))
    return max(counts, default=(0, 0))[1]


def _modification_time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
