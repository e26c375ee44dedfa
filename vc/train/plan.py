"""What a user asks of a training run, and what the run is made of, checked before anything is written."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vc.config import flatten, plain, require
from vc.corpus import names
from vc.features.store import Features, read_features
from vc.model_file import Model, read_network
from vc.models import MODELS, build_network, network_config
from vc.tensor_file import tensors_digest
from vc.train import content_encoder
from vc.train.content_encoder import ContentEncoder
from vc.train.experiment import Experiment, resolve
from vc.train.multi_speaker import MultiSpeakerObjective
from vc.train.recognition_synthesis import Conversions, RecognitionSynthesisObjective


@dataclass(frozen=True)
class Request:
    """What a user asks of a training run."""

    features: Path
    speakers: tuple[str, ...]  # of a pair the source first
    _: KW_ONLY
    output: Path
    sections: dict[str, Any]  # of the configuration file
    held_out: Path | None = None  # features directory of utterances that are scored at intervals
    chooses: bool = True  # whether these scores choose the best model; else the newest is kept
    validation: Path | None = None  # data directory of recordings to convert at intervals
    add_to: Path | None = None  # model to which speakers are added, while its own stay as they are
    device: str = "auto"


@dataclass(frozen=True)
class InitialModel:
    """A finished model from whose weights a run begins, for other speakers or to add speakers to its own."""

    path: Path
    model: Model
    weights: Mapping[str, Tensor]
    adds_speakers: bool  # --add-to: what its speakers have, and what all share, stays as it is

    @classmethod
    def read(cls, path: Path, *, adds_speakers: bool) -> "InitialModel":
        model, network, _ = read_network(path)
        return cls(path, model, network.state_dict(), adds_speakers)

    @property
    def digest(self) -> str:
        return tensors_digest(self.weights)

    def check(self, experiment: Experiment, features: Features) -> None:
        """Refuse by name an experiment that cannot begin from this model."""
        method, settings = experiment.method, asdict(experiment.network)
        option, advice = "objective.start", "; --config recognition_synthesis_anew begins anew"
        if self.adds_speakers:
            option, advice = "--add-to", ""
            able = [name for name, (_, network) in MODELS.items() if getattr(network, "extensible", False)]
            require(method in able, f"{option}: {method} cannot take up a speaker; these can: {', '.join(able)}")
        where = f"{option}: {self.path}"
        require(self.model.method == method, f"{where}: of method {self.model.method}, not {method}")
        own = asdict(network_config(method, self.model.network))  # with the defaults of what is newer than the file
        other = [key for key in settings if settings[key] != own[key]]
        require(not other, f"{where}: made with other settings: network.{', network.'.join(other)}")
        before, now = flatten(plain(self.model.features)), flatten(plain(features.config))
        differing = ", ".join(f"features.{key}" for key in before if before[key] != now.get(key))
        same = self.model.features == features.config
        require(same, f"{where}: learnt from features of other settings ({differing}){advice}")
        if not self.adds_speakers:
            return
        present, speakers = tuple(self.model.speakers), experiment.speakers
        first = f"--speakers: first those of {self.path}, {' '.join(present)}, then new ones"
        require(speakers[: len(present)] == present and len(speakers) > len(present), first)
        for name in present:
            same = self.model.speakers[name] == features.speakers[name]
            require(same, f"{name}: the features' statistics are not those of {self.path}: extract the same recordings")

    def initialise(self, network: nn.Module) -> None:
        """Give an untrained `network` the model's weights; where speakers are added, no step changes these."""
        if not self.adds_speakers:
            network.initialise_from(self.weights)
            return
        network.load_state_dict(self.weights, strict=False)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name not in self.weights)


@dataclass(frozen=True)
class Plan:
    """Features to learn from, the settings with all defaults, and the models that the run takes from elsewhere."""

    features: Features
    experiment: Experiment
    initial_model: InitialModel | None = None
    encoder: ContentEncoder | None = None  # that `objective.content` compares by
    conversions: Conversions | None = None  # of recognition-synthesis, where a loss is computed on conversions

    @classmethod
    def from_request(cls, request: Request) -> "Plan":
        """Read what a request names.

        Raises
        ------
        ConfigError, DataError
            For what cannot be read or does not fit, by name.
        """
        features = read_features(request.features)
        chosen = tuple(names.resolve(name, features.speaker_names) for name in request.speakers)
        for name in chosen:
            features.require(name)
        experiment = resolve(request.sections, features.config, chosen, features.digest)
        objective, speakers = experiment.objective, {name: features.speakers[name] for name in chosen}
        initial_model = encoder = conversions = None
        if request.add_to:
            initial_model = InitialModel.read(request.add_to, adds_speakers=True)
        if start := getattr(objective, "start", ""):
            require(not request.add_to, "--add-to: a run takes up one model, and objective.start names another")
            initial_model = InitialModel.read(Path(start), adds_speakers=False)
        if getattr(objective, "content", 0) > 0:
            encoder = content_encoder.read(objective.encoder, speakers, features.config)
        digests = {
            "start": initial_model.digest if initial_model else "",
            "encoder": encoder.digest if encoder else "",
        }
        experiment = replace(experiment, **digests)
        with torch.device("meta"):
            untrained = build_network(experiment.method, experiment.network, features.config, chosen)
        if isinstance(objective, MultiSpeakerObjective):
            objective.check(untrained, experiment.training.steps)
        if initial_model:
            initial_model.check(experiment, features)
        if isinstance(objective, RecognitionSynthesisObjective):
            conversions = objective.conversions(speakers, features.config)
        return cls(features, experiment, initial_model, encoder, conversions)
