"""A training run of a speaker pair, from features to model file."""

import contextlib
import logging
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from vc import devices, model_file
from vc.config import require
from vc.convert import Converter
from vc.errors import ConfigError, DataError, TrainingError
from vc.models import converter
from vc.segments import PairSampler, Segments
from vc.store import Features, read_features
from vc.train import checkpoint
from vc.train.average import Average
from vc.train.engine import Engine
from vc.train.experiment import FITS, TRAININGS, Experiment, remember, resolve
from vc.train.fit import FITTED, fit_pair
from vc.train.held_out import HeldOut
from vc.train.log import RunLog
from vc.train.loop import finished, run
from vc.train.ownership import owned
from vc.train.processes import Processes, joined
from vc.train.request import Request
from vc.train.samples import Samples
from vc.train.state import State

log = logging.getLogger(__name__)


def train(request: Request) -> int:
    """Train, or go on with, the run in `request.output`; return the number of its last step.

    Raises ConfigError for what cannot fit, TrainingError for a run that stopped (its `code` is the exit status).
    """
    features, experiment = resolved(request)
    with joined(request.device) as (processes, device):
        devices.set_precision(experiment.compute.precision, device)
        with owned(request.output, processes):
            if processes.first:
                remember(experiment, request.output)
            if experiment.method in FITS:
                return fit_pair(request, experiment, features, device) if processes.first else FITTED
            return PairRun(request, experiment, features, device, processes).train()


def resolved(request: Request) -> tuple[Features, Experiment]:
    """The features that are asked for, and the settings with all defaults."""
    features = read_features(request.features)
    pair = (request.source, request.target)
    return features, resolve(request.sections, features.config, pair, features.digest)


class PairRun:
    """One run, as the loop works with it. Of several processes all take steps, and the first alone writes."""

    def __init__(
        self,
        request: Request,
        experiment: Experiment,
        features: Features,
        device: torch.device,
        processes: Processes,
    ):
        self.experiment, self.settings, self.features = experiment, experiment.training, features
        self.output, self.device, self.processes = request.output, device, processes
        self.held_out = HeldOut.read(request.held_out, features, experiment.speakers) if request.held_out else None
        self.samples = Samples(request.validation, self.settings.samples, self.output / "samples")
        self.engine = make_engine(experiment, features, device, processes)
        self.state, self.log = State(), None
        self.agree = processes.agree

    def train(self) -> int:
        """From where the run is to its end; return the number of its last step."""
        self._restore()
        self._recognise_held_out()
        if finished(self.state, self.settings):
            log.info("%s: finished at step %d; nothing to do", self.output, self.state.step)
            return self.state.step
        if self.state.step == 0:  # a full disk shows now and not hours later, and there is a place to go back to
            self._save_checkpoint()
        where = f"{self.device}, step {self.state.step} of {self.settings.steps}"
        log.info("%s: %s, %s", self.output, " -> ".join(self.experiment.speakers), where)
        if self.held_out and self.processes.first:
            anchor = self.held_out.score(self._converter().mean_variance())
            log.info("held out: %s; means and variances alone score %.2f", self.held_out, anchor["score"])
        with self._logging():
            run(self)
        log.info("%s: finished at step %d: %s", self.output, self.state.step, self.output / model_file.NAME)
        return self.state.step

    def step(self) -> dict[str, Tensor]:
        losses = self.engine.step(self.state.step, self.state.rate_scale)
        self.state.step += 1
        return losses

    def refused(self) -> tuple[int, int]:
        return self.engine.refused.read()

    def astray(self) -> bool:
        return self.engine.refused.row > 0

    def report(self, losses: dict[str, float], steps_per_second: float, refused: int) -> None:
        losses = self.processes.means(losses)
        if refused:
            log.warning("before step %d: losses not finite, %d steps not taken", self.state.step, refused)
        if self.log:
            self.log.report(self.state.step, losses, steps_per_second, refused)

    def retreat(self) -> None:
        where, retreats, scale = self.state.step, self.state.retreats + 1, self.state.rate_scale / 2
        if retreats > self.settings.retreats:
            raise TrainingError(
                f"{self.output}: losses are not finite before step {where}, after going back {retreats - 1} times; the"
                " checkpoints are from before; try lower rates under objective:, in another --output"
            )
        self._restore()
        self.state.retreats, self.state.rate_scale = retreats, scale
        log.warning("losses not finite: from step %d back to %d, all rates times %g", where, self.state.step, scale)
        self._save_checkpoint()
        if self.log:
            self.log.close()
            self.log = RunLog(self.output, self.state.step)

    def score(self) -> None:
        if not self.held_out:
            return
        scores = self._scores() if self.processes.first else {}
        better = scores.get("score", math.inf) < self.state.best_scores.get("score", math.inf)
        if self.processes.agree(better):
            self.state.best_step, self.state.best_scores, self.state.stale = self.state.step, scores, 0
        else:
            self.state.stale += 1
        if self.log and scores:
            self.log.score(self.state.step, scores)
            best = "the best so far" if better else f"the best is that of step {self.state.best_step}"
            log.info("step %d: held-out score %.2f, %s", self.state.step, scores["score"], best)

    def save(self) -> None:
        if not self.state.best_scores:  # until one was scored, the newest is the best
            self.state.best_step = self.state.step
        self._save_checkpoint()
        if self.state.best_step == self.state.step:
            self._write_model()

    def sample(self) -> None:
        if self.log:
            self.samples.write(self._converter(), self.log, self.state.step)

    def _recognise_held_out(self) -> None:
        """What another held-out set said before, or one that is gone, counts no more."""
        digest = self.held_out.digest if self.held_out else ""
        if self.state.held_out != digest:
            self.state.held_out, self.state.best_scores, self.state.stale = digest, {}, 0

    def _scores(self) -> dict[str, float]:
        """Of the held-out set; none where the model makes nothing that can be measured."""
        try:
            return self.held_out.score(self._converter())
        except DataError as error:
            log.warning("step %d: no held-out score: %s", self.state.step, error)
            return {}

    def _restore(self) -> None:
        """From the newest checkpoint, one process after the first, who may set damaged ones aside."""
        for turn in (True, False):
            if self.processes.first is turn:
                self.state = self._newest()
            self.processes.wait()
        if self.state.best_step == self.state.step > 0 and _model_step(self.output) != self.state.step:
            self._write_model()  # killed between the checkpoint and the model

    def _newest(self) -> State:
        state = checkpoint.resume(self.output / "checkpoints", self.engine)
        if state is None and (self.output / model_file.NAME).exists():
            raise TrainingError(f"{self.output}: a model but no checkpoint; remove the folder to start again")
        return state or State()

    def _save_checkpoint(self) -> None:
        if self.processes.first:
            checkpoint.save(self.output / "checkpoints", self.engine, self.state, self.settings.checkpoints)

    def _write_model(self) -> None:
        if self.processes.first:
            weights = self.engine.converter.state_dict()
            model_file.write(self.output / model_file.NAME, self._model(), weights)

    def _model(self) -> model_file.Model:
        return self.experiment.model(self.features, self.state.step, self.state.best_scores)

    def _converter(self) -> Converter:
        return Converter(self._model(), self.engine.converter, self.device)

    @contextlib.contextmanager
    def _logging(self) -> Iterator[None]:
        self.log = RunLog(self.output, self.state.step) if self.processes.first else None
        try:
            yield
        finally:
            if self.log:
                self.log.close()


def make_engine(experiment: Experiment, features: Features, device: torch.device, processes: Processes) -> Engine:
    """Networks, players and sampler of an experiment, untrained."""
    settings, compute = experiment.training, experiment.compute
    torch.manual_seed(settings.seed)
    network = converter(experiment.method, experiment.network, features.config.bands, experiment.speakers).to(device)
    make = TRAININGS[experiment.method][1]
    training = make(network, experiment.network, experiment.objective, settings.steps, compute.precision, processes)
    if compute.channels_last:
        for module in training.modules.values():
            module.to(memory_format=torch.channels_last)
    if compute.compile:
        for network_called in training.called:
            network_called.compile()
    record = compute.record and device.type == "cuda"
    require(not record or processes.size == 1, "compute.record: one process alone can record its steps")
    average = Average(network, settings.average) if settings.average else None
    sampler = _sampler(experiment, features, device, processes.share(settings.batch))
    return Engine(training, sampler, average, record)


def _sampler(experiment: Experiment, features: Features, device: torch.device, share: slice) -> PairSampler:
    settings = experiment.training
    segments = []
    for speaker in experiment.speakers:
        mel_cepstra = features.frames(speaker)
        normaliser = features.speakers[speaker].normaliser
        found = Segments([normaliser.transform(frames) for frames in mel_cepstra], settings.segment, device, speaker)
        if found.skipped:
            log.warning("%s: %d utterances are shorter than a segment and left out", speaker, found.skipped)
        segments.append(found)
    return PairSampler(*segments, settings.batch, settings.seed, share)


def _model_step(output: Path) -> int | None:
    try:
        return model_file.read(output)[0].step
    except ConfigError:
        return None
