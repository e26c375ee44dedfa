"""A method that is fitted at once, from all frames of the voices, rather than by steps."""

import logging

import torch

from vc import model_file
from vc.convert.converter import Converter
from vc.encoders.features import encoder_of
from vc.features.store import Features
from vc.models import network
from vc.train.experiment import Experiment
from vc.train.held_out import HeldOut, HeldOutResynthesis
from vc.train.log import RunLog
from vc.train.methods import METHODS
from vc.train.request import Request
from vc.train.samples import Samples

FITTED = 1  # the step at which such a model is finished
log = logging.getLogger(__name__)


class FittedRun:
    """Fits when it is made, and writes nothing before `train`: what cannot be fitted leaves nothing behind."""

    def __init__(self, request: Request, experiment: Experiment, features: Features, device: torch.device):
        self.request, self.experiment, self.features = request, experiment, features
        self.path = request.output / model_file.NAME
        if self.path.is_file():
            return
        method = METHODS[experiment.method]
        self.encoder = encoder_of(features.config)
        scoring = HeldOut if self.encoder is None else HeldOutResynthesis
        held_out = scoring.read(request.held_out, features, experiment.speakers) if request.held_out else None
        fitted = network(experiment.method, experiment.network, features.config, experiment.speakers).to(device)
        voices = {name: method.frames.read(features, name, device) for name in experiment.speakers}
        method.fit(fitted, experiment.objective, voices)
        self.made = Converter(experiment.model(features, FITTED, {}), fitted, device, encoder=self.encoder)
        self.scores = held_out.score(self.made) if held_out else {}

    def train(self) -> int:
        """Write the model, with the held-out set's scores and samples if asked for; return its step."""
        if self.path.is_file():
            log.info("%s: fitted already; nothing to do", self.request.output)
            return FITTED
        run_log = RunLog(self.request.output, FITTED)
        if self.scores:
            run_log.score(FITTED, self.scores)
            log.info("step %d: held-out score %.2f", FITTED, self.scores["score"])
        samples = Samples(self.request.validation, self.experiment.training.samples, self.request.output / "samples")
        samples.write(self.made, run_log, FITTED)
        run_log.close()
        model = self.experiment.model(self.features, FITTED, self.scores)
        model_file.write(self.path, model, self.made.network.state_dict(), self.encoder)
        log.info("%s: fitted: %s", self.request.output, self.path)
        return FITTED
