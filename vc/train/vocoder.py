"""A training run of a neural vocoder, from recordings to model file; also one that goes on from published weights."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vc import devices
from vc.config import build, plain, require
from vc.corpus.data_directory import Utterance
from vc.errors import ConfigError
from vc.features.mel import MelConfig
from vc.layers import folded, normalise
from vc.tensor_file import tensors_digest
from vc.train.copies import Copies, HeldOutRecordings
from vc.train.engine import Engine, assembled
from vc.train.experiment import ComputeConfig, TrainingConfig, defaults, remember
from vc.train.ownership import owned
from vc.train.processes import Processes, joined
from vc.train.run import NAME, Run
from vc.train.vocoder_gan import VocoderObjective, VocoderTraining
from vc.train.waveforms import WaveSampler, read_all, read_list
from vc.vocoders import vocoder_file
from vc.vocoders.neural import NeuralVocoder
from vc.vocoders.vocoder_file import VocoderModel, generator, loaded, network_config

NORMALISED = ("hifigan",)  # generators that learn with weight normalisation, as their papers have it
Start = tuple[VocoderModel, Mapping[str, Tensor]]  # as vocoder_file.read gives it
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VocoderRequest:
    """What a user asks of a vocoder's run."""

    data: Path  # data directory to learn from
    output: Path
    sections: dict[str, Any]  # of the configuration file
    held_out: Path | None = None  # data directory of recordings that choose the best model
    validation: Path | None = None  # data directory of recordings to copy at intervals
    start: Start | None = None  # weights to go on from, and what they are
    device: str = "auto"


@dataclass(frozen=True)
class VocoderExperiment:
    """One run: a generator, its parts' settings and what it learns from."""

    method: str
    mel: MelConfig
    network: Any
    objective: VocoderObjective
    training: TrainingConfig
    compute: ComputeConfig
    data_digest: str
    start: str  # digest of the weights that it goes on from; empty: none

    def as_dict(self) -> dict[str, Any]:
        return plain(self)


def train_vocoder(request: VocoderRequest) -> int:
    """Train, or go on with, the run in `request.output`; return the number of its last step.

    Raises ConfigError for what cannot fit, TrainingError for a run that stopped (its `code` is the exit status).
    """
    utterances, digest, recordings = read_list(request.data)
    experiment = resolve(request.sections, digest, request.start)
    with joined(request.device) as (processes, device):
        devices.set_precision(experiment.compute.precision, device)
        with owned(request.output, processes):
            run = VocoderRun(request, experiment, utterances, device, processes)
            if processes.first:  # and not before: what cannot run leaves no settings behind
                remember(experiment.as_dict(), request.output, defaults(experiment), recordings)
            return run.train()


def resolve(sections: dict[str, Any], data_digest: str, start: Start | None = None) -> VocoderExperiment:
    """Fill in every default; what the weights to start from fix must not be given otherwise."""
    training = build(TrainingConfig, sections.get("training", {}), "training")
    compute = build(ComputeConfig, sections.get("compute", {}), "compute")
    require(not compute.record, "compute.record must be false for a vocoder, got true")
    objective = build(VocoderObjective, sections.get("objective", {}), "objective")
    if start is None:
        method, known, weights = "hifigan", {}, ""
    else:
        model, weights = start[0], tensors_digest(start[1])
        method, network = model.method, plain(network_config(model.method, model.network))
        known = {"mel": plain(model.mel), "network": network}
    given = sections.get("method", method)
    require(start is None or given == method, f"method is {given!r}, but the weights to start from are of {method!r}")
    require(isinstance(given, str), f"method: {given!r} is no name")
    mel = build(MelConfig, _agreed(sections, known, "mel"), "mel")
    longest, samples = objective.reflected(mel), training.segment * mel.hop
    require(samples > longest, f"training.segment: {samples} samples are too few, the losses take more than {longest}")
    network = network_config(given, _agreed(sections, known, "network"))
    return VocoderExperiment(given, mel, network, objective, training, compute, data_digest, weights)


def _agreed(sections: dict[str, Any], known: dict[str, dict[str, Any]], name: str) -> Any:
    """A section as it is given; if something is known of it, that, which what is given must not contradict."""
    given = sections.get(name, {})
    if name not in known or not isinstance(given, Mapping):
        return given
    for key, value in given.items():
        if key in known[name] and value != known[name][key]:
            raise ConfigError(
                f"{name}.{key} is {value}, but the weights to start from were made with {known[name][key]}"
            )
    return {**given, **known[name]}


class VocoderRun(Run):
    """The run of a vocoder: recordings are said again to score and to listen to."""

    digits = 4

    def __init__(
        self,
        request: VocoderRequest,
        experiment: VocoderExperiment,
        utterances: list[Utterance],
        device: torch.device,
        processes: Processes,
    ):
        self.experiment, self.device = experiment, device
        self.origin = f"trained on from {_said(request.start[0])}" if request.start else ""
        rate = experiment.mel.sample_rate
        held_out = HeldOutRecordings.read(request.held_out, utterances, rate) if request.held_out else None
        self.copies = Copies(request.validation, experiment.training.samples, request.output / "samples")
        engine = make_engine(experiment, utterances, request.start, device, processes)
        super().__init__(request.output, experiment.training, engine, processes, held_out)

    @property
    def title(self) -> str:
        return f"{self.experiment.method}, {self.device}"

    def begun(self) -> None:
        if self.held_out and self.state.step == 0:
            score = self.held_out.score(self._vocoder())["score"]
            log.info(
                "held out: %d recordings; before the first step they score %.4f", len(self.held_out.recordings), score
            )

    def score(self) -> None:
        """A model of the mel loss alone is nearest in mel and sounds worst: it does not count beside later ones."""
        if self.state.best_step <= self.experiment.objective.adversarial_from < self.state.step:
            self.state.best_scores, self.state.stale = {}, 0
        super().score()

    def scores(self) -> dict[str, float]:
        scores = self.held_out.score(self._vocoder())
        if math.isfinite(scores["score"]):
            return scores
        log.warning("step %d: no held-out score: copies are not finite", self.state.step)
        return {}

    def write_samples(self) -> None:
        self.copies.write(self._vocoder(), self.log, self.state.step)

    def write_model(self) -> None:
        made = VocoderModel(
            method=self.experiment.method,
            mel=self.experiment.mel,
            network=plain(self.experiment.network),
            step=self.state.step,
            data_digest=self.experiment.data_digest,
            origin=self.origin,
            configuration=self.experiment.as_dict(),
            metrics=self.state.best_scores,
        )
        vocoder_file.write(self.output / NAME, made, folded(self.engine.converter))

    def model_step(self) -> int | None:
        try:
            return vocoder_file.read(self.output)[0].step
        except ConfigError:
            return None

    def _vocoder(self) -> NeuralVocoder:
        return NeuralVocoder(self.engine.converter, self.experiment.mel, self.device)


def _said(model: VocoderModel) -> str:
    return model.origin or f"{model.method} of step {model.step}, data {model.data_digest[:12]}"


def make_engine(
    experiment: VocoderExperiment,
    utterances: list[Utterance],
    start: Start | None,
    device: torch.device,
    processes: Processes,
) -> Engine:
    """Networks, players and sampler of an experiment; the generator as it starts."""
    settings, compute, mel = experiment.training, experiment.compute, experiment.mel
    torch.manual_seed(settings.seed)
    network = _begun(experiment, start).to(device)
    training = VocoderTraining(network, mel, experiment.objective, compute.precision, processes)
    share = processes.share(settings.batch)
    recordings = read_all(utterances, mel.sample_rate)
    sampler = WaveSampler(recordings, mel, settings.segment, settings.batch, settings.seed, device, share)
    return assembled(training, sampler, settings, compute, processes)


def _begun(experiment: VocoderExperiment, start: Start | None) -> nn.Module:
    method, config, mel = experiment.method, experiment.network, experiment.mel
    if start is None:
        network = generator(method, config, mel)
    else:
        network = loaded(method, config, mel, {name: tensor.clone() for name, tensor in start[1].items()})
    return normalise(network) if method in NORMALISED else network
