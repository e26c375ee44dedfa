"""A method that is fitted at once, from all frames of the voices, rather than by steps."""

import logging

import torch

from vc import model_file
from vc.convert import Converter
from vc.encoders.features import encoder_of
from vc.features.content import ContentFeatures
from vc.models import network
from vc.store import Features
from vc.train.experiment import Experiment
from vc.train.held_out import HeldOut, HeldOutResynthesis
from vc.train.log import RunLog
from vc.train.methods import METHODS
from vc.train.request import Request
from vc.train.samples import Samples

FITTED = 1  # the step at which such a model is finished
log = logging.getLogger(__name__)


def fit_at_once(request: Request, experiment: Experiment, features: Features, device: torch.device) -> int:
    """Write the model, with the held-out set's scores and samples if asked for; return its step."""
    path = request.output / model_file.NAME
    if path.is_file():
        log.info("%s: fitted already; nothing to do", request.output)
        return FITTED
    method, content = METHODS[experiment.method], isinstance(features.config, ContentFeatures)
    encoder = encoder_of(features.config) if content else None
    scoring = HeldOutResynthesis if content else HeldOut
    held_out = scoring.read(request.held_out, features, experiment.speakers) if request.held_out else None
    fitted = network(experiment.method, experiment.network, features.config, experiment.speakers).to(device)
    voices = {name: method.frames.read(features, name, device) for name in experiment.speakers}
    method.fit(fitted, experiment.objective, voices)
    made = Converter(experiment.model(features, FITTED, {}), fitted, device, encoder=encoder)
    scores = held_out.score(made) if held_out else {}
    _report(request, experiment.training.samples, made, scores)
    model_file.write(path, experiment.model(features, FITTED, scores), fitted.state_dict(), encoder)
    log.info("%s: fitted: %s", request.output, path)
    return FITTED


def _report(request: Request, samples: int, made: Converter, scores: dict[str, float]) -> None:
    run_log = RunLog(request.output, FITTED)
    if scores:
        run_log.score(FITTED, scores)
        log.info("step %d: held-out score %.2f", FITTED, scores["score"])
    Samples(request.validation, samples, request.output / "samples").write(made, run_log, FITTED)
    run_log.close()
