"""A training run of a speaker pair, from features to model file."""

import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vc import devices, model_file
from vc.convert import Converter
from vc.errors import ConfigError, TrainingError
from vc.files import remove_leftovers
from vc.models import converter
from vc.segments import PairSampler, Segments
from vc.store import Features, read_features
from vc.train import checkpoint
from vc.train.experiment import TRAININGS, Experiment, remember, resolve
from vc.train.log import RunLog
from vc.train.loop import run
from vc.train.samples import Samples

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What a user asks of a run."""

    features: Path
    source: str
    target: str
    output: Path
    sections: dict[str, Any]  # of the configuration file
    validation: Path | None = None  # data directory of recordings to convert at intervals
    device: str = "auto"


def train(request: Request) -> int:
    """Train, or go on with, the run in `request.output`; return the number of its last step.

    Raises ConfigError for what cannot fit, TrainingError for a run that stopped (its `code` is the exit status).
    """
    features = read_features(request.features)
    pair = (request.source, request.target)
    experiment = resolve(request.sections, features.config, pair, features.digest)
    device = devices.choose(request.device)
    request.output.mkdir(parents=True, exist_ok=True)
    with _locked(request.output), _log_file(request.output):
        remove_leftovers(request.output)
        remember(experiment, request.output)
        return _train(request, experiment, features, device)


def _train(request: Request, experiment: Experiment, features: Features, device: torch.device) -> int:
    settings, output = experiment.training, request.output
    torch.manual_seed(settings.seed)
    network = converter(experiment.method, experiment.network, features.config.bands, experiment.speakers)
    make = TRAININGS[experiment.method][1]
    training = make(network, experiment.network, experiment.objective, settings.steps, device)
    sampler = _sampler(experiment, features, device)
    step = checkpoint.resume(output / "checkpoints", training, sampler)
    if step >= settings.steps:
        if _model_step(output) != step:  # killed between the checkpoint and the model
            model_file.write(output / model_file.NAME, _model(experiment, features, step), network.state_dict())
        log.info("%s: finished at step %d; nothing to do", output, step)
        return step
    log.info("%s: %s, %s, step %d of %d", output, " -> ".join(experiment.speakers), device, step, settings.steps)
    samples = Samples(request.validation, settings.samples, output / "samples")
    run_log = RunLog(output, step)

    def save(step: int) -> None:
        checkpoint.save(output / "checkpoints", training, sampler, step, settings.checkpoints)
        model_file.write(output / model_file.NAME, _model(experiment, features, step), network.state_dict())

    def sample(step: int) -> None:
        samples.write(Converter(_model(experiment, features, step), network, device), run_log, step)
        network.train()

    with contextlib.closing(run_log):
        run(training, sampler, step, settings, run_log, save, sample)
    log.info("%s: finished at step %d: %s", output, settings.steps, output / model_file.NAME)
    return settings.steps


def _sampler(experiment: Experiment, features: Features, device: torch.device) -> PairSampler:
    settings = experiment.training
    segments = []
    for speaker in experiment.speakers:
        mel_cepstra = features.mel_cepstra(speaker)
        normaliser = features.speakers[speaker].normaliser
        found = Segments([normaliser.transform(frames) for frames in mel_cepstra], settings.segment, device, speaker)
        if found.skipped:
            log.warning("%s: %d utterances are shorter than a segment and left out", speaker, found.skipped)
        segments.append(found)
    return PairSampler(*segments, settings.batch, settings.seed)


def _model(experiment: Experiment, features: Features, step: int) -> model_file.Model:
    return model_file.Model(
        method=experiment.method,
        features=experiment.features,
        network=asdict(experiment.network),
        speakers={name: features.speakers[name] for name in experiment.speakers},
        step=step,
        data_digest=experiment.data_digest,
        configuration=experiment.as_dict(),
    )


def _model_step(output: Path) -> int | None:
    try:
        return model_file.read(output)[0].step
    except ConfigError:
        return None


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
    handler = logging.FileHandler(directory / "train.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger("vc")
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
