"""A training run of a converter, from features to model file: by steps, or fitted directly."""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from vc import model_file
from vc.convert.converter import Converter
from vc.encoders.features import encoder_of
from vc.errors import ConfigError, DataError
from vc.models import build_network
from vc.models.base import AbstractConverter
from vc.train.directory import train_in
from vc.train.engine import Engine, Setup
from vc.train.held_out import AbstractHeldOut, HeldOut, HeldOutResynthesis
from vc.train.log import RunLog
from vc.train.methods import METHODS
from vc.train.plan import Plan, Request
from vc.train.processes import Processes
from vc.train.run import Run
from vc.train.samples import ConversionSamples

FITTED_STEP = 1  # step of a model that is fitted directly
log = logging.getLogger(__name__)


def train(request: Request) -> int:
    """Train a converter, or resume the run in `request.output`.

    Returns
    -------
    int
        Number of the last step.

    Raises
    ------
    ConfigError, DataError
        If something cannot be read or does not fit; nothing is written then.
    TrainingError
        If the run stops; its `code` is the exit status.
    """
    plan = Plan.from_request(request)
    experiment = plan.experiment
    for name in experiment.speakers:
        if plan.features.speakers[name].log_f0 is None:
            log.warning("%s has no F0, as in whispering: what is converted to %s will be whispered, too", name, name)
    fits_directly = bool(METHODS[experiment.method].fit)
    return train_in(
        request.output,
        partial(FittedRun if fits_directly else ConverterRun, request, plan),
        experiment,
        recordings=plan.features.recordings,
        device=request.device,
        # a fit takes seconds, so that TF32 would save no time, and it harms a regression
        precision="float32" if fits_directly else experiment.compute.precision,
    )


def make_engine(plan: Plan, device: torch.device, processes: Processes) -> Engine:
    """Build the untrained networks, optimisers and sampler of an experiment."""
    experiment, features = plan.experiment, plan.features
    settings, compute = experiment.training, experiment.compute
    torch.manual_seed(settings.seed)
    untrained = build_network(experiment.method, experiment.network, features.config, experiment.speakers).to(device)
    if plan.initial_model:
        plan.initial_model.initialise(untrained)
    setup = Setup(
        settings.steps, compute.precision, processes, plan.encoder, plan.conversions, segment=settings.segment
    )
    training = METHODS[experiment.method].training(untrained, experiment.network, experiment.objective, setup)
    sampler = training.sampler.from_features(experiment, features, device, processes.share(settings.batch))
    return Engine(training, sampler, average=settings.average, compute=compute, processes=processes)


class ConverterRun(Run):
    """The run of a converter that is trained by steps; it converts held-out utterances and validation recordings."""

    def __init__(self, request: Request, plan: Plan, device: torch.device, processes: Processes):
        self.experiment, self.features, self.device = plan.experiment, plan.features, device
        speakers, settings = self.experiment.speakers, self.experiment.training
        held_out = METHODS[self.experiment.method].training.held_out
        self.held_out = held_out.read(request.held_out, self.features, speakers) if request.held_out else None
        self.encoder = encoder_of(self.features.config)  # refused now rather than at the first model
        self.initial_model = plan.initial_model
        self.samples = ConversionSamples(request.validation, settings.samples, request.output / "samples")
        digest = self.held_out.digest if self.held_out and request.keep_best else ""
        engine = make_engine(plan, device, processes)
        super().__init__(request.output, settings, engine, processes=processes, held_out=digest)

    @property
    def title(self) -> str:
        return f"{', '.join(self.experiment.speakers)}, {self.device}"

    def log_start(self) -> None:
        if self.held_out and isinstance(self.engine.converter, AbstractConverter):
            anchor = held_out_scores(self.held_out, self.converter().mean_variance(), "means and variances")
            if anchor:
                log.info("held out: %s; means and variances alone score %.2f", self.held_out, anchor["score"])

    def scores(self) -> dict[str, float]:
        return held_out_scores(self.held_out, self.converter(), f"step {self.state.step}") if self.held_out else {}

    def write_samples(self) -> None:
        self.samples.write(self.converter(), self.log, self.state.step)

    def write_model(self, path: Path) -> None:
        converter = self.converter()
        model_file.write(path, converter.model, converter.network.state_dict(), converter.encoder)

    def model_step(self) -> int | None:
        try:
            return model_file.read(self.output)[0].step
        except ConfigError:
            return None

    def converter(self) -> Converter:
        """The current network as a converter; the licence of an initial model is passed on."""
        scores = self.state.best_scores if self.state.best_step == self.state.step else {}
        model = self.experiment.model(self.features, self.state.step, scores)
        if self.initial_model and self.initial_model.model.licence != model.licence:
            origin, licence = self.initial_model.path.stem, self.initial_model.model.licence
            model = replace(model, licence=f"{model.licence} They began from {origin}: {licence}")
        return Converter(model, self.engine.converter, self.device, encoder=self.encoder)


def held_out_scores(held_out: AbstractHeldOut, converter: Converter, name: str) -> dict[str, float]:
    """The scores of a converter; none, with a warning about `name`, if recordings cannot be compared."""
    try:
        return held_out.score(converter)
    except DataError as error:
        log.warning("%s: no held-out score: %s", name, error)
        return {}


class FittedRun:
    """The run of a method that is fitted directly, from all frames of the speakers, rather than by steps.

    It is fitted when it is built, and nothing is written before `train`: a fit that fails leaves no files behind. Of
    several processes, only the first fits.
    """

    def __init__(self, request: Request, plan: Plan, device: torch.device, processes: Processes):
        self.request, self.plan, self.processes = request, plan, processes
        self.path = request.output / model_file.NAME
        if self.path.is_file() or not processes.first:
            return
        experiment, features = plan.experiment, plan.features
        method = METHODS[experiment.method]
        self.encoder = encoder_of(features.config)
        held_out = None
        if request.held_out:
            cls = HeldOut if self.encoder is None else HeldOutResynthesis
            held_out = cls.read(request.held_out, features, experiment.speakers)
        network = build_network(experiment.method, experiment.network, features.config, experiment.speakers).to(device)
        if plan.initial_model:
            plan.initial_model.initialise(network)
        frames = {name: method.frames.read(features, name, device) for name in experiment.speakers}
        method.fit(network, experiment.objective, frames)
        model = experiment.model(features, FITTED_STEP, {})
        self.converter = Converter(model, network, device, encoder=self.encoder)
        self.scores = held_out_scores(held_out, self.converter, experiment.method) if held_out else {}

    def train(self) -> int:
        """Write the model, with scores of the held-out set and samples if there are any; return its step."""
        output, experiment = self.request.output, self.plan.experiment
        if not self.processes.first:
            return FITTED_STEP
        if self.path.is_file():
            log.info("%s: fitted already; nothing to do", output)
            return FITTED_STEP
        run_log = RunLog(output, FITTED_STEP)
        if self.scores:
            run_log.score(FITTED_STEP, self.scores)
            log.info("step %d: held-out score %.2f", FITTED_STEP, self.scores["score"])
        samples = ConversionSamples(self.request.validation, experiment.training.samples, output / "samples")
        samples.write(self.converter, run_log, FITTED_STEP)
        run_log.close()
        model = experiment.model(self.plan.features, FITTED_STEP, self.scores)
        model_file.write(self.path, model, self.converter.network.state_dict(), self.encoder)
        log.info("%s: fitted: %s", output, self.path)
        return FITTED_STEP
