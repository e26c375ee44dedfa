"""A training run of a converter between speakers, or to them, from features to model file."""

import logging
from dataclasses import replace

import torch

from vc import devices, model_file
from vc.convert.converter import Converter
from vc.encoders.features import encoder_of
from vc.errors import ConfigError, DataError
from vc.models import network
from vc.models.base import AbstractConverter
from vc.train.base import Setting
from vc.train.engine import Engine, assembled
from vc.train.experiment import defaults, remember
from vc.train.fit import FITTED, FittedRun
from vc.train.methods import METHODS
from vc.train.ownership import owned
from vc.train.plan import Plan
from vc.train.processes import Processes, joined
from vc.train.request import Request
from vc.train.run import NAME, Run
from vc.train.samples import Samples

log = logging.getLogger(__name__)


def train(request: Request) -> int:
    """Train, or go on with, the run in `request.output`; return the number of its last step.

    Raises ConfigError for what cannot fit, TrainingError for a run that stopped (its `code` is the exit status).
    """
    plan = Plan.of(request)
    experiment = plan.experiment
    for name in experiment.speakers:
        if plan.features.speakers[name].log_f0 is None:
            log.warning("%s has no F0, as in whispering: what is converted to %s will be whispered, too", name, name)
    fitted = bool(METHODS[experiment.method].fit)
    with joined(request.device) as (processes, device):
        # what is fitted at once has no time to save by TF32, and a regression feels it
        devices.set_precision("float32" if fitted else experiment.compute.precision, device)
        with owned(request.output, processes):
            if not fitted:
                run = ConverterRun(request, plan, device, processes)
            elif processes.first:
                run = FittedRun(request, experiment, plan.features, device)
            else:
                return FITTED
            if processes.first:  # and not before: what cannot run leaves no settings behind
                remember(experiment.as_dict(), request.output, defaults(experiment), plan.features.recordings)
            return run.train()


class ConverterRun(Run):
    """The run of a converter: held-out utterances and validation recordings are converted."""

    def __init__(self, request: Request, plan: Plan, device: torch.device, processes: Processes):
        self.experiment, self.features, self.device = plan.experiment, plan.features, device
        speakers, settings = self.experiment.speakers, self.experiment.training
        scoring = METHODS[self.experiment.method].training.held_out
        held_out = scoring.read(request.held_out, self.features, speakers) if request.held_out else None
        self.encoder = encoder_of(self.features.config)  # refused now, not at the first model
        self.start = plan.start
        self.samples = Samples(request.validation, settings.samples, request.output / "samples")
        super().__init__(request.output, settings, make_engine(plan, device, processes), processes, held_out)

    @property
    def title(self) -> str:
        return f"{', '.join(self.experiment.speakers)}, {self.device}"

    def begun(self) -> None:
        if self.held_out and isinstance(self.engine.converter, AbstractConverter):
            anchor = self.held_out.score(self._converter().mean_variance())
            log.info("held out: %s; means and variances alone score %.2f", self.held_out, anchor["score"])

    def scores(self) -> dict[str, float]:
        try:
            return self.held_out.score(self._converter())
        except DataError as error:
            log.warning("step %d: no held-out score: %s", self.state.step, error)
            return {}

    def write_samples(self) -> None:
        self.samples.write(self._converter(), self.log, self.state.step)

    def write_model(self) -> None:
        converter = self._converter()
        model_file.write(self.output / NAME, converter.model, converter.network.state_dict(), converter.encoder)

    def model_step(self) -> int | None:
        try:
            return model_file.read(self.output)[0].step
        except ConfigError:
            return None

    def _model(self) -> model_file.Model:
        """What the model file says; the licence of a model that the run began from goes on."""
        model = self.experiment.model(self.features, self.state.step, self.state.best_scores)
        theirs = self.start.model.licence if self.start else model.licence
        if theirs == model.licence:
            return model
        return replace(model, licence=f"{model.licence} They began from {self.start.path.stem}: {theirs}")

    def _converter(self) -> Converter:
        return Converter(self._model(), self.engine.converter, self.device, encoder=self.encoder)


def make_engine(plan: Plan, device: torch.device, processes: Processes) -> Engine:
    """Networks, players and sampler of an experiment, untrained."""
    experiment, features = plan.experiment, plan.features
    settings, compute = experiment.training, experiment.compute
    torch.manual_seed(settings.seed)
    made = network(experiment.method, experiment.network, features.config, experiment.speakers).to(device)
    if plan.start:
        plan.start.take_up(made)
    setting = Setting(settings.steps, compute.precision, processes, plan.encoder, plan.conversions)
    training = METHODS[experiment.method].training(made, experiment.network, experiment.objective, setting)
    sampler = training.sampler.of(experiment, features, device, processes.share(settings.batch))
    return assembled(training, sampler, settings, compute, processes)
