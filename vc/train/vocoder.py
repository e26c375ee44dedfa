"""A training run of a neural vocoder, from recordings to model file; also fine-tuning of published weights."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vc import files, phrases
from vc.config import build, digest, plain, require
from vc.corpus import audio, data_directory
from vc.corpus.data_directory import Utterance
from vc.corpus.limiter import to_full_scale
from vc.errors import ConfigError
from vc.features.mel import MelConfig, log_mel
from vc.layers import apply_weight_norm, fold_weight_norm
from vc.metrics.arrays import evenly_spread
from vc.parallel import progress
from vc.tensor_file import tensors_digest
from vc.train.directory import train_in
from vc.train.engine import ComputeConfig, Engine
from vc.train.held_out import MAX_SCORED
from vc.train.log_mel_decoder import LogMelDecoder
from vc.train.processes import Processes
from vc.train.run import Run, TrainingConfig
from vc.train.samples import CopySamples
from vc.train.sampling import DecodedWaveSampler, WaveSampler
from vc.train.vocoder_gan import VocoderObjective, VocoderTraining
from vc.vocoders import vocoder_file
from vc.vocoders.neural import NeuralVocoder
from vc.vocoders.vocoder_file import StoredVocoder, VocoderModel, generator, load_generator, network_config

WEIGHT_NORMALISED = ("hifigan",)  # generators trained with weight normalisation, as in their papers
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VocoderRequest:
    """A user's request for a vocoder's training run."""

    data: Path  # data directory of the training recordings
    _: KW_ONLY
    output: Path
    sections: dict[str, Any]  # of the configuration file
    held_out: Path | None = None  # data directory of recordings that choose the best model
    validation: Path | None = None  # data directory of recordings to copy at intervals
    start: StoredVocoder | None = None  # vocoder with whose weights to start
    decoder: LogMelDecoder | None = None  # decodes the log-mel to learn from; default: that of the recordings
    device: str = "auto"


@dataclass(frozen=True)
class VocoderExperiment:
    """The configuration of one run: generator, settings and training data."""

    method: str
    mel: MelConfig
    network: Any
    objective: VocoderObjective
    training: TrainingConfig
    compute: ComputeConfig
    data_digest: str
    start: str = ""  # digest of the initial weights; empty: none
    decoder: str = ""  # digest of the model whose log-mel is learnt from; empty: that of the recordings

    def as_dict(self) -> dict[str, Any]:
        return plain(self)


def train_vocoder(request: VocoderRequest) -> int:
    """Train a vocoder, or resume the run in `request.output`.

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
    utterances, data_digest, digests = read_data_directory(request.data)
    experiment = resolve(request.sections, data_digest, request.start, request.decoder)
    if request.decoder:
        request.decoder.check_speakers(utterances, request.data)
        for directory in (request.held_out, request.validation):
            if directory:
                request.decoder.check_speakers(data_directory.read(directory), directory)
    return train_in(
        request.output,
        partial(VocoderRun, request, experiment, utterances, digests),
        experiment,
        recordings=digests,
        device=request.device,
        precision=experiment.compute.precision,
    )


def resolve(
    sections: dict[str, Any],
    data_digest: str,
    start: StoredVocoder | None = None,
    decoder: LogMelDecoder | None = None,
) -> VocoderExperiment:
    """Build an experiment from the sections of a configuration file, with all defaults.

    Parameters
    ----------
    sections : dict
        The file's sections by name.
    data_digest : str
        Digest of the recordings.
    start : StoredVocoder, optional
        Vocoder with whose weights to start; it determines method, mel and network.
    decoder : LogMelDecoder, optional
        Decodes the log-mel to learn from. Default: that of the recordings.

    Returns
    -------
    VocoderExperiment

    Raises
    ------
    ConfigError
        Names the setting that is unknown, out of range or contradicts `start` or `decoder`.
    """
    training = build(TrainingConfig, sections.get("training", {}), "training")
    compute = build(ComputeConfig, sections.get("compute", {}), "compute")
    require(not compute.record, "compute.record must be false for a vocoder, got true")
    objective = build(VocoderObjective, sections.get("objective", {}), "objective")
    start_method, start_digest, fixed = "hifigan", "", {}
    if start is not None:
        model, start_digest = start.model, tensors_digest(start.weights)
        start_method, network = model.method, plain(network_config(model.method, model.network))
        fixed = {"mel": plain(model.mel), "network": network}

    def section(name: str) -> Any:
        """A section of the file, with the settings that the initial weights determine."""
        content = sections.get(name, {})
        if name not in fixed or not isinstance(content, Mapping):
            return content
        for key, value in content.items():
            if key in fixed[name] and value != fixed[name][key]:
                raise ConfigError(
                    f"{name}.{key} is {value}, but the weights to start from were made with {fixed[name][key]}"
                )
        return {**content, **fixed[name]}

    method = sections.get("method", start_method)
    matches = start is None or method == start_method
    require(matches, f"method is {method!r}, but the weights to start from are of {start_method!r}")
    require(isinstance(method, str), f"method: {method!r} is not a name")
    mel = build(MelConfig, section("mel"), "mel")
    longest, samples = objective.reflection(mel), training.segment * mel.hop
    require(samples > longest, f"training.segment: {samples} samples are too few, the losses take more than {longest}")
    network = network_config(method, section("network"))
    if decoder:
        decoder.check_mel(mel)
    return VocoderExperiment(
        method,
        mel,
        network,
        objective,
        training,
        compute,
        data_digest,
        start=start_digest,
        decoder=decoder.digest if decoder else "",
    )


def make_engine(
    experiment: VocoderExperiment,
    utterances: list[Utterance],
    start: StoredVocoder | None,
    decoder: LogMelDecoder | None = None,
    *,
    device: torch.device,
    processes: Processes,
) -> Engine:
    """Build the networks, optimisers and sampler of an experiment; the generator has its initial weights."""
    settings, compute, mel = experiment.training, experiment.compute, experiment.mel
    torch.manual_seed(settings.seed)
    if start is None:
        network = generator(experiment.method, experiment.network, mel)
    else:
        weights = {name: tensor.clone() for name, tensor in start.weights.items()}
        network = load_generator(experiment.method, experiment.network, mel, weights)
    if experiment.method in WEIGHT_NORMALISED:
        network = apply_weight_norm(network)
    objective, precision = experiment.objective, compute.precision
    training = VocoderTraining(network.to(device), mel, objective, precision=precision, processes=processes)
    recordings = read_recordings(utterances, mel.sample_rate)
    options = {
        "frames": settings.segment,
        "batch": settings.batch,
        "seed": settings.seed,
        "share": processes.share(settings.batch),
    }
    if decoder is None:
        sampler = WaveSampler(recordings, mel, device, **options)
    else:
        log_mels = decoder.decode_all(recordings, utterances)
        sampler = DecodedWaveSampler(recordings, log_mels, mel.hop, device, **options)
    return Engine(training, sampler, average=settings.average, compute=compute, processes=processes)


class VocoderRun(Run):
    """The run of a vocoder, which is scored and heard by its copies of recordings."""

    score_digits = 4

    def __init__(
        self,
        request: VocoderRequest,
        experiment: VocoderExperiment,
        utterances: list[Utterance],
        digests: Mapping[str, str],
        device: torch.device,
        processes: Processes,
    ):
        self.experiment, self.device, self.origin = experiment, device, ""
        if request.start:
            model = request.start.model
            name = model.origin or f"{model.method} of step {model.step}, data {model.data_digest[:12]}"
            self.origin = f"trained on from {name}"
        rate = experiment.mel.sample_rate
        self.held_out = None
        if request.held_out:
            self.held_out = HeldOutRecordings.read(request.held_out, utterances, rate, digests, request.decoder)
        self.samples = CopySamples(
            request.validation, experiment.training.samples, request.output / "samples", request.decoder
        )
        engine = make_engine(experiment, utterances, request.start, request.decoder, device=device, processes=processes)
        digest = self.held_out.digest if self.held_out else ""
        super().__init__(request.output, experiment.training, engine, processes=processes, held_out=digest)

    @property
    def title(self) -> str:
        return f"{self.experiment.method}, {self.device}"

    def log_start(self) -> None:
        if self.held_out and self.state.step == 0:
            score, count = self.held_out.score(self.vocoder())["score"], len(self.held_out.recordings)
            log.info("held out: %s; score before the first step: %.4f", phrases.count(count, "recording"), score)

    def score(self) -> None:
        """Score the model; a best model from before the adversarial losses, which sounds poor, no longer counts."""
        if self.state.best_step <= self.experiment.objective.adversarial_from < self.state.step:
            self.state.best_scores, self.state.stale = {}, 0
        super().score()

    def scores(self) -> dict[str, float]:
        if self.held_out is None:
            return {}
        scores = self.held_out.score(self.vocoder())
        if math.isfinite(scores["score"]):
            return scores
        log.warning("step %d: no held-out score: copies are not finite", self.state.step)
        return {}

    def write_samples(self) -> None:
        self.samples.write(self.vocoder(), self.log, self.state.step)

    def write_model(self, path: Path) -> None:
        model = VocoderModel(
            method=self.experiment.method,
            mel=self.experiment.mel,
            network=plain(self.experiment.network),
            step=self.state.step,
            data_digest=self.experiment.data_digest,
            origin=self.origin,
            configuration=self.experiment.as_dict(),
            metrics=self.state.best_scores if self.state.best_step == self.state.step else {},
        )
        vocoder_file.write(path, model, fold_weight_norm(self.engine.converter))

    def model_step(self) -> int | None:
        try:
            return vocoder_file.read(self.output)[0].step
        except ConfigError:
            return None

    def vocoder(self) -> NeuralVocoder:
        """The current network as a vocoder."""
        return NeuralVocoder(self.engine.converter, self.experiment.mel, self.device)


@dataclass(frozen=True)
class HeldOutRecordings:
    """Recordings held out of training, at the vocoder's rate: their copies decide which model is kept."""

    recordings: list[np.ndarray]  # (samples,) each
    digest: str  # of the data directory's recordings
    log_mels: list[np.ndarray] | None = None  # (frames, bands) of each, decoded; None: the recordings' own

    @classmethod
    def read(
        cls,
        directory: Path,
        training: Iterable[Utterance],
        rate: int,
        training_digests: Mapping[str, str],
        decoder: LogMelDecoder | None = None,
    ) -> "HeldOutRecordings":
        """Read held-out recordings from a data directory.

        Parameters
        ----------
        directory : Path
        training : iterable of Utterance
            The training set.
        rate : int
            The vocoder's sample rate in Hz.
        training_digests : mapping of str to str
            Digests of the training set's recordings by id.
        decoder : LogMelDecoder, optional
            Decodes the log-mel that is to be synthesised. Default: that of the recordings.

        Raises
        ------
        ConfigError
            If it has one of the training utterances, part of one, or a copy of one.
        """
        utterances, digest, digests = read_data_directory(directory)
        ids, spans, known = set(), {}, set(training_digests.values())
        for utterance in training:
            ids.add(utterance.id)
            spans.setdefault(utterance.path.resolve(), []).append(utterance.span)
        for utterance in utterances:
            start, end = utterance.span
            shared = any(start < last and first < end for first, last in spans.get(utterance.path.resolve(), ()))
            if utterance.id in ids or shared or digests[utterance.id] in known:
                raise ConfigError(f"{directory}: training learns from {utterance.id} too; hold out other utterances")
        scored = [utterances[index] for index in evenly_spread(len(utterances), MAX_SCORED)]
        recordings = read_recordings(scored, rate)
        if decoder is None:
            return cls(recordings, digest)
        return cls(recordings, digest, decoder.decode_all(recordings, scored))

    @torch.inference_mode()
    def score(self, vocoder: NeuralVocoder) -> dict[str, float]:
        """Score a vocoder by `mel`, the mean L1 distance of full-band log-mel of copies from that of the recordings.

        `score` is the same; lower is better.
        """
        full_band, distances = replace(vocoder.mel, highest=vocoder.mel.sample_rate / 2), []
        log_mels = self.log_mels or [None] * len(self.recordings)
        for samples, decoded in zip(self.recordings, log_mels, strict=True):
            samples = audio.fit_length(samples, max(len(samples), full_band.fft_size))  # one window at least
            copied = audio.fit_length(vocoder.resynthesise(samples, decoded), len(samples))
            pair = torch.from_numpy(np.stack([samples, copied])).to(vocoder.device)
            real, copy = log_mel(pair, full_band)
            distances.append(float((real - copy).abs().mean()))
        mean = float(np.mean(distances))
        return {"score": mean, "mel": mean}


def read_data_directory(directory: Path) -> tuple[list[Utterance], str, dict[str, str]]:
    """Read a data directory: its utterances, a digest of all recordings, and one of each utterance by id."""
    utterances = data_directory.read(directory)
    checksums: dict[Path, str] = {}
    for utterance in utterances:
        if utterance.path not in checksums:  # a file may have many utterances
            checksums[utterance.path] = files.sha256(utterance.path)
    rows = [[u.id, u.speaker, checksums[u.path], u.start, u.end] for u in utterances]
    return utterances, digest(rows), {u.id: digest(row[2:]) for u, row in zip(utterances, rows)}


def read_recordings(utterances: Sequence[Utterance], rate: int) -> list[np.ndarray]:
    """Read `(samples,)` of each utterance at `rate` Hz; recordings of another scale are scaled to full scale."""
    narrowband = [utterance for utterance in utterances if audio.info(utterance.path).sample_rate < rate]
    if narrowband:
        log.warning(
            "%d of %d recordings are below mel.sample_rate, such as %s: nothing above their bands can be learnt there",
            len(narrowband),
            len(utterances),
            narrowband[0].path,
        )
    recordings = []
    with progress(len(utterances), "reading") as bar:
        for utterance in utterances:
            samples = utterance.read(rate)[0]
            gain = to_full_scale(float(np.abs(samples).max()), utterance.path)  # as vocoders are given them
            recordings.append(samples * np.float32(gain) if gain != 1 else samples)
            bar.update()
    return recordings
