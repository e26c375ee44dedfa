"""The request for a training run, and its plan: features, settings and models, checked before anything is written."""

import logging
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vc.config import difference, require
from vc.corpus import names
from vc.features.store import Features, read_features
from vc.model_file import Model, read_network
from vc.models import MODELS, build_network, network_config
from vc.tensor_file import tensors_digest
from vc.train import content_encoder
from vc.train.content_encoder import ContentEncoder, NaturalScaleEncoder
from vc.train.experiment import Experiment, resolve
from vc.train.multi_speaker import MultiSpeakerObjective
from vc.train.recognition_synthesis import Conversions, RecognitionSynthesisObjective


@dataclass(frozen=True)
class Request:
    """A user's request for a training run."""

    features: Path
    speakers: tuple[str, ...]  # for a pair, the source first
    _: KW_ONLY
    output: Path
    sections: dict[str, Any]  # of the configuration file
    held_out: Path | None = None  # features directory of utterances to score at intervals
    keep_best: bool = True  # whether the model of the best of these scores is kept; else the newest
    validation: Path | None = None  # data directory of recordings to convert at intervals
    add_to: Path | None = None  # model to which speakers are added, leaving its own unchanged
    device: str = "auto"


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InitialModel:
    """A finished model with whose weights a run starts, for other speakers or to add speakers to its own."""

    path: Path
    model: Model
    weights: Mapping[str, Tensor]
    adds_speakers: bool  # --add-to: its speakers' parts, and what all share, stay unchanged

    @classmethod
    def read(cls, path: Path, *, adds_speakers: bool) -> "InitialModel":
        model, network, _ = read_network(path)
        return cls(path, model, network.state_dict(), adds_speakers)

    @property
    def digest(self) -> str:
        return tensors_digest(self.weights)

    def check(self, experiment: Experiment, features: Features) -> None:
        """Raise ConfigError for an experiment that cannot start from this model."""
        method = experiment.method
        option, advice = "objective.start", "; --config recognition_synthesis_anew begins anew"
        if self.adds_speakers:
            option, advice = "--add-to", ""
            extensible = [name for name, (_, network) in MODELS.items() if network.extensible]
            names = ", ".join(extensible)
            require(method in extensible, f"{option}: {method} cannot add a speaker; these can: {names}")
        where = f"{option}: {self.path}"
        require(self.model.method == method, f"{where}: of method {self.model.method}, not {method}")
        network = network_config(method, self.model.network)  # complete, even of an older file
        trained_on, content = self.model.features, features.config.content
        if not self.adds_speakers:
            network = replace(network, **{name: getattr(experiment.network, name) for name in network.WITHOUT_WEIGHTS})
        same_size = trained_on.content and content and trained_on.content.dims == content.dims
        if same_size and self.adds_speakers and replace(trained_on, content=content) == features.config:
            advice = f"; extract the features with --set features.content.encoder={trained_on.content.encoder}"
        elif same_size and not self.adds_speakers:
            # Vectors of another encoder, but of the same size, may mean the same: those of its teacher do.
            if trained_on.content != content:
                message = "%s: it learnt from another content encoder; if their vectors are not alike, try %s"
                log.info(message, where, "--config recognition_synthesis_anew")
            trained_on = replace(trained_on, content=content)
            if trained_on.kind != features.config.kind:
                # The other kind of log-mel is alike. If its frames are closer together, dilations make up for that.
                scale = trained_on.hop / features.config.hop
                network = replace(
                    network, dilations=[max(1, round(scale * dilation)) for dilation in network.dilations]
                )
                others = {name: value for name, value in vars(trained_on).items() if name not in ("kind", "hop")}
                trained_on = replace(features.config, **others)
        different = difference(network, experiment.network, "network.")
        require(not different, f"{where}: made with other settings: {different}")
        different = difference(trained_on, features.config, "features.")
        require(trained_on == features.config, f"{where}: trained on features of other settings: {different}{advice}")
        if not self.adds_speakers:
            return
        model_speakers, speakers = tuple(self.model.speakers), experiment.speakers
        order = f"--speakers: first those of {self.path}, {' '.join(model_speakers)}, then new ones"
        require(speakers[: len(model_speakers)] == model_speakers and len(speakers) > len(model_speakers), order)
        for name in model_speakers:
            equal = self.model.speakers[name] == features.speakers[name]
            require(
                equal, f"{name}: the features' statistics are not those of {self.path}: extract the same recordings"
            )

    def initialise(self, network: nn.Module) -> None:
        """Load the model's weights into an untrained `network`; if speakers are added, these weights are frozen."""
        if not self.adds_speakers:
            network.initialise_from(self.weights)
            return
        network.load_state_dict(self.weights, strict=False)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name not in self.weights)


@dataclass(frozen=True)
class Plan:
    """Training features, settings with all defaults, and the models that the run loads."""

    features: Features
    experiment: Experiment
    initial_model: InitialModel | None = None
    encoder: ContentEncoder | None = None  # of the loss `objective.content`
    conversions: Conversions | None = None  # of recognition-synthesis, if a loss is computed on conversions

    @classmethod
    def from_request(cls, request: Request) -> "Plan":
        """Read everything that a request names.

        Raises
        ------
        ConfigError, DataError
            If something cannot be read or does not fit.
        """
        features = read_features(request.features)
        speaker_names = tuple(names.resolve(name, features.speaker_names) for name in request.speakers)
        for name in speaker_names:
            features.require(name)
        experiment = resolve(request.sections, features.config, speaker_names, features.digest)
        objective, speakers = experiment.objective, {name: features.speakers[name] for name in speaker_names}
        initial_model = encoder = conversions = None
        if request.add_to:
            initial_model = InitialModel.read(request.add_to, adds_speakers=True)
        if start := getattr(objective, "start", ""):
            require(not request.add_to, "--add-to: a run starts from one model, and objective.start names another")
            initial_model = InitialModel.read(Path(start), adds_speakers=False)
        if getattr(objective, "content", 0) > 0:
            encoder = content_encoder.read(objective.encoder, speakers, features.config)
            suits = isinstance(encoder, NaturalScaleEncoder) or not isinstance(objective, MultiSpeakerObjective)
            advice = "name a content encoder, or none for the bundled one, distilled"
            limit = "is a model's code, which only methods of a pair can use"
            require(suits, f"objective.encoder: {objective.encoder} {limit}; {advice}")
        digests = {
            "start": initial_model.digest if initial_model else "",
            "encoder": encoder.digest if encoder else "",
        }
        experiment = replace(experiment, **digests)
        with torch.device("meta"):
            untrained = build_network(experiment.method, experiment.network, features.config, speaker_names)
        if isinstance(objective, MultiSpeakerObjective):
            objective.check(untrained, experiment.training.steps)
        if initial_model:
            initial_model.check(experiment, features)
        if isinstance(objective, RecognitionSynthesisObjective):
            conversions = objective.conversions(speakers, features.config)
        return cls(features, experiment, initial_model, encoder, conversions)
