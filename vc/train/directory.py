"""An experiment directory: one run at a time, its log, and the settings that a resumed run must share."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from vc import devices, phrases
from vc.config import earlier_defaults, flatten, read_yaml
from vc.errors import ConfigError
from vc.features.store import read_digests, write_digests
from vc.files import locked, make_directory, open_in_place, path_inside, remove_leftovers, write_text
from vc.train.processes import Processes, join_processes

FOLDERS = ("checkpoints", "samples", "tensorboard")
DATA_DIGEST = "data_digest"  # setting: digest of what a run learns from
MAX_NAMED = 3  # recordings of a kind that a message names
CHANGEABLE_SETTINGS = {  # settings under `training` that may be others when a run is resumed
    "steps",
    "log_every",
    "checkpoint_every",
    "save_minutes",
    "checkpoints",
    "patience",
    "refused_steps",
    "retreats",
    "sample_every",
    "samples",
}


def train_in(
    output: Path,
    make_run: Callable[[torch.device, Processes], Any],
    experiment: Any,
    *,
    recordings: Mapping[str, str],
    device: str,
    precision: str,
) -> int:
    """Train in an experiment directory, in this process or in those that torchrun has started.

    Parameters
    ----------
    output : Path
        Experiment directory.
    make_run : callable
        Makes, of the device and the processes, what has `train`. Where it refuses to, no settings are left behind.
    experiment : Any
        The whole configuration: `as_dict` gives the settings of the run.
    recordings : mapping of str to str
        Digests by id of what the run learns from.
    device : str
        Name of the device.
    precision : str
        One of devices.PRECISIONS.

    Returns
    -------
    int
        What `train` does: the number of the last step.
    """
    with join_processes(device) as (processes, chosen):
        devices.set_precision(precision, chosen)
        with locked_directory(output, processes):
            run = make_run(chosen, processes)
            if processes.first:
                write_settings(output, experiment.as_dict(), defaults=defaults(experiment), recordings=recordings)
            return run.train()


@contextlib.contextmanager
def locked_directory(output: Path, processes: Processes) -> Iterator[None]:
    """Hold an experiment directory for this run alone, and copy the package's log to its train.log.

    Of several processes the first holds it and writes; the others log errors only.

    Raises
    ------
    DataError
        If another run holds it.
    OSError
        If it cannot be written, or a folder in it leads elsewhere.
    """
    if not processes.first:
        logging.getLogger("vc").setLevel(logging.ERROR)
        processes.wait()
        yield
        return
    make_directory(output)
    for name in FOLDERS:
        path_inside(output, name)  # refused before anything is written
    with locked(output), _log_file(output / "train.log"):
        for directory in (output, output / "samples"):
            remove_leftovers(directory)
        processes.wait()
        yield


@contextlib.contextmanager
def _log_file(path: Path) -> Iterator[None]:
    with open_in_place(path) as file, io.TextIOWrapper(file, "utf-8", "backslashreplace") as text:
        handler = _SilentHandler(text)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        root = logging.getLogger("vc")
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)


class _SilentHandler(logging.StreamHandler):
    """Loses lines where the disk is full, without a word: the next checkpoint will report it."""

    def handleError(self, _: logging.LogRecord) -> None:
        pass


def write_settings(
    directory: Path,
    settings: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any] | None = None,
    recordings: Mapping[str, str] | None = None,
) -> None:
    """Write config.yaml; if there is one, first compare it with the settings of the resumed run.

    Parameters
    ----------
    directory : Path
        Experiment directory.
    settings : mapping
        All settings of the run.
    defaults : mapping, optional
        Of settings: one that the run began without, because it is newer than the run, was its default.
    recordings : mapping of str to str, optional
        Digests by id of what the run learns from. Where they have changed, the message names them.

    Raises
    ------
    ConfigError
        Names the settings that differ and must not.
    """
    path, recordings = directory / "config.yaml", recordings or {}
    if path.is_file():

        def is_fixed(key: str) -> bool:
            is_path = key in ("objective.encoder", "objective.start")  # whose digest is a setting of its own
            return not (is_path or key.startswith("compute.") or key.removeprefix("training.") in CHANGEABLE_SETTINGS)

        before, now = flatten(defaults or {}) | flatten(read_yaml(path)), flatten(settings)
        changed = {
            key: f"{key} ({before.get(key)} -> {now.get(key)})"
            for key in sorted({**before, **now})
            if before.get(key) != now.get(key) and is_fixed(key)
        }
        if DATA_DIGEST in changed:
            differences = _differences(read_digests(directory), recordings)
            others = [text for key, text in changed.items() if key != DATA_DIGEST]
            others = f"; and other settings: {', '.join(others)}" if others else ""
            raise ConfigError(
                f"{directory}: what it learns from has changed since this run began: {differences}{others}; take"
                " another --output, or bring back what was there"
            )
        if changed:
            listed = ", ".join(changed.values())
            raise ConfigError(f"{directory}: begun with other settings: {listed}; take another --output")
    write_text(path, yaml.safe_dump(settings, sort_keys=False))
    write_digests(directory, recordings)


def defaults(experiment: Any) -> dict[str, Any]:
    """Settings of a run that began before there were some: of each part what it was without them.

    Without features or mel, which are always given.
    """
    parts = ("network", "objective", "training", "compute")
    digests = {name: "" for name in ("start", "encoder") if hasattr(experiment, name)}
    return digests | {name: earlier_defaults(type(getattr(experiment, name))) for name in parts}


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Which recordings have changed, in words."""
    if not before or not now:
        return "the run kept no list of its recordings"
    kinds = {
        "more": sorted(set(now) - set(before)),
        "fewer": sorted(set(before) - set(now)),
        "changed": sorted(id for id in set(now) & set(before) if now[id] != before[id]),
    }
    listed = [
        f"{phrases.count(len(ids), 'recording')} {kind}"
        f" ({', '.join(ids[:MAX_NAMED])}{', ...' if len(ids) > MAX_NAMED else ''})"
        for kind, ids in kinds.items()
        if ids
    ]
    return ", ".join(listed) or (
        "the same recordings were extracted otherwise: other F0 ranges, or another version of vc"
    )
