"""What a run is made of, read and found to fit before anything of it is written down."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vc.config import require
from vc.corpus import names
from vc.features.store import Features, read_features
from vc.models import network
from vc.train import content_encoder
from vc.train.content_encoder import ContentEncoder
from vc.train.conversions import Conversions
from vc.train.experiment import Experiment, resolve
from vc.train.multi_speaker import ManyObjective
from vc.train.recognition_synthesis import RecognitionSynthesisObjective
from vc.train.request import Request
from vc.train.start import Growth, Start


@dataclass(frozen=True)
class Plan:
    """Features to learn from, the settings with all defaults, and the models that the run takes from elsewhere."""

    features: Features
    experiment: Experiment
    start: Start | None = None  # a model that the run begins from
    encoder: ContentEncoder | None = None  # that `objective.content` compares by
    conversions: Conversions | None = None  # of recognition-synthesis, where a loss is of them

    @classmethod
    def of(cls, request: Request) -> "Plan":
        """What a request asks for; refuses by name what cannot fit."""
        features = read_features(request.features)
        chosen = tuple(names.resolve(name, features.speaker_names) for name in request.speakers)
        for name in chosen:
            features.require(name)
        experiment = resolve(request.sections, features.config, chosen, features.digest)
        start, encoder = request.add_to and Growth.read(request.add_to), None
        if begun_from := getattr(experiment.objective, "start", ""):
            require(start is None, "--add-to: a run takes up one model, and objective.start names another")
            start = Start.read(Path(begun_from))
        speakers = {name: features.speakers[name] for name in experiment.speakers}
        if getattr(experiment.objective, "content", 0) > 0:
            encoder = content_encoder.read(experiment.objective.encoder, speakers, features.config)
        others = {"start": start.digest if start else "", "encoder": encoder.digest if encoder else ""}
        experiment = replace(experiment, **others)
        with torch.device("meta"):
            untrained = network(experiment.method, experiment.network, features.config, experiment.speakers)
        if isinstance(experiment.objective, ManyObjective):
            experiment.objective.check(untrained, experiment.training.steps)
        if start:
            start.check(experiment, features)
        conversions = None
        if isinstance(experiment.objective, RecognitionSynthesisObjective):
            conversions = experiment.objective.conversions(speakers, features.config)
        return cls(features, experiment, start, encoder, conversions)
