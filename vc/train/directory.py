"""An experiment directory: one run at a time, its log, and the settings that a resumed run must keep."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from vc import devices, phrases
from vc.config import changes, earlier_defaults, flatten, read_yaml
from vc.errors import ConfigError
from vc.features.store import read_digests, write_digests
from vc.files import locked, make_directory, open_in_place, path_inside, remove_leftovers, write_text
from vc.train.processes import Processes, join_processes

FOLDERS = ("checkpoints", "models", "samples", "tensorboard")
DATA_DIGEST = "data_digest"  # the setting that holds the digest of the training data
MODELS = {  # settings that hold digests of models -> what a message calls them
    "start": "the model that it starts from",
    "encoder": "the weights of objective.encoder",
    "decoder": "the decoder of --model",
}
MAX_NAMED = 3  # recordings of a kind that a message names
CHANGEABLE_SETTINGS = {  # settings under `training` that may change when a run is resumed
    "steps",
    "log_every",
    "checkpoint_every",
    "save_minutes",
    "checkpoints",
    "keep_every",
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
        Builds the run, an object with `train`, from device and processes. If it raises, no settings are written.
    experiment : Any
        The whole configuration, whose `as_dict` gives the settings of the run.
    recordings : mapping of str to str
        Digests of the training recordings by id.
    device : str
        Name of the device.
    precision : str
        One of devices.PRECISIONS.

    Returns
    -------
    int
        Number of the last step, as `train` returns it.
    """
    with join_processes(device) as (processes, own_device):
        devices.set_precision(precision, own_device)
        with locked_directory(output, processes):
            settings = experiment.as_dict()
            if processes.first:
                check_settings(output, settings, earlier=earlier_settings(experiment), recordings=recordings)
            run = make_run(own_device, processes)
            if processes.first:
                write_settings(output, settings, recordings)
            return run.train()


@contextlib.contextmanager
def locked_directory(output: Path, processes: Processes) -> Iterator[None]:
    """Lock an experiment directory for this run, and copy the package's log to its train.log.

    Of several processes, the first locks it and writes; the others log errors only.

    Raises
    ------
    DataError
        If another run has locked it.
    OSError
        If it cannot be written, or a folder in it is a link out of it.
    """
    if not processes.first:
        logging.getLogger("vc").setLevel(logging.ERROR)
        processes.wait()
        yield
        return
    make_directory(output)
    for name in FOLDERS:
        path_inside(output, name)  # refused before anything is written
    with (
        locked(output),
        open_in_place(output / "train.log") as file,
        io.TextIOWrapper(file, "utf-8", "backslashreplace") as text,
    ):
        handler = _SilentHandler(text)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logging.getLogger("vc").addHandler(handler)
        try:
            for directory in (output, output / "models", output / "samples"):
                remove_leftovers(directory)
            processes.wait()
            yield
        finally:
            logging.getLogger("vc").removeHandler(handler)


class _SilentHandler(logging.StreamHandler):
    """Silently loses lines if the disk is full: the next checkpoint will report it."""

    def handleError(self, _: logging.LogRecord) -> None:
        pass


def check_settings(
    directory: Path,
    settings: Mapping[str, Any],
    *,
    earlier: Mapping[str, Any] | None = None,
    recordings: Mapping[str, str] | None = None,
) -> None:
    """Compare config.yaml, if there is one, with the settings of the run that is to be resumed.

    Parameters
    ----------
    directory : Path
        Experiment directory.
    settings : mapping
        All settings of the run.
    earlier : mapping, optional
        Values of the settings that an older run's config.yaml lacks.
    recordings : mapping of str to str, optional
        Digests of the training recordings by id. If they have changed, the message names them.

    Raises
    ------
    ConfigError
        Names the settings that differ and must not.
    """
    path, recordings = directory / "config.yaml", recordings or {}
    if path.is_file():

        def is_fixed(key: str) -> bool:
            is_path = key in ("objective.encoder", "objective.start")  # its digest is a setting of its own
            return not (is_path or key.startswith("compute.") or key.removeprefix("training.") in CHANGEABLE_SETTINGS)

        previous, current = flatten(earlier or {}) | flatten(read_yaml(path)), flatten(settings)
        changed = {key: text for key, text in sorted(changes(previous, current).items()) if is_fixed(key)}
        if DATA_DIGEST in changed:
            differences = _differences(read_digests(directory), recordings)
            others = [text for key, text in changed.items() if key != DATA_DIGEST]
            others = f"; and other settings: {', '.join(others)}" if others else ""
            raise ConfigError(
                f"{directory}: the training data has changed since this run started: {differences}{others}; use"
                " another --output, or restore the data"
            )
        if changed:
            listed = ", ".join(MODELS.get(key, text) for key, text in changed.items())
            raise ConfigError(f"{directory}: started with other settings: {listed}; use another --output")


def write_settings(directory: Path, settings: Mapping[str, Any], recordings: Mapping[str, str]) -> None:
    """Write config.yaml, and the digests of the training recordings by id."""
    write_text(directory / "config.yaml", yaml.safe_dump(settings, sort_keys=False))
    write_digests(directory, recordings)


def earlier_settings(experiment: Any) -> dict[str, Any]:
    """Settings with the values that they have in a run whose config.yaml is from before they existed.

    Those of features and mel are left out: every config.yaml has them.
    """
    parts = ("network", "objective", "training", "compute")
    digests = {name: "" for name in MODELS if hasattr(experiment, name)}
    return digests | {name: earlier_defaults(type(getattr(experiment, name))) for name in parts}


def _differences(previous: Mapping[str, str], current: Mapping[str, str]) -> str:
    """Describe which recordings have changed."""
    if not previous or not current:
        return "the run has no list of its recordings"
    kinds = {
        "more": sorted(set(current) - set(previous)),
        "fewer": sorted(set(previous) - set(current)),
        "changed": sorted(id for id in set(current) & set(previous) if current[id] != previous[id]),
    }
    listed = [
        f"{phrases.count(len(ids), 'recording')} {kind}"
        f" ({', '.join(ids[:MAX_NAMED])}{', ...' if len(ids) > MAX_NAMED else ''})"
        for kind, ids in kinds.items()
        if ids
    ]
    return ", ".join(listed) or (
        "the same recordings were extracted differently: other F0 ranges, or another version of vc"
    )
