"""What a run is made of, read and found to fit before anything of it is written down."""

from dataclasses import dataclass, replace

import torch

from vc import names
from vc.models import network
from vc.store import Features, read_features
from vc.train import content
from vc.train.content import ContentEncoder
from vc.train.experiment import Experiment, resolve
from vc.train.growth import Start
from vc.train.many import ManyObjective
from vc.train.request import Request


@dataclass(frozen=True)
class Plan:
    """Features to learn from, the settings with all defaults, and the models that the run takes from elsewhere."""

    features: Features
    experiment: Experiment
    start: Start | None = None  # a model whose speakers stay as they are
    encoder: ContentEncoder | None = None  # that `objective.content` compares by

    @classmethod
    def of(cls, request: Request) -> "Plan":
        """What a request asks for; refuses by name what cannot fit."""
        features, start = read_features(request.features), request.add_to and Start.read(request.add_to)
        speakers = tuple(names.resolve(name, features.speaker_names) for name in request.speakers)
        for name in speakers:
            features.require(name)
        experiment = resolve(request.sections, features.config, speakers, features.digest)
        encoder = None
        if getattr(experiment.objective, "content", 0) > 0:
            speakers = {name: features.speakers[name] for name in experiment.speakers}
            encoder = content.read(experiment.objective.encoder, speakers, features.config)
        others = {"start": start.digest if start else "", "encoder": encoder.digest if encoder else ""}
        experiment = replace(experiment, **others)
        with torch.device("meta"):
            untrained = network(experiment.method, experiment.network, features.config, experiment.speakers)
        if isinstance(experiment.objective, ManyObjective):
            experiment.objective.check(untrained, experiment.training.steps)
        if start:
            start.check(experiment, features)
        return cls(features, experiment, start, encoder)
