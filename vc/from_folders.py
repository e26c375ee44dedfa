"""Train a model on folders of recordings: data directory, features, training, and evaluation on held-out recordings.

This is `vc-train FOLDER ... --output EXPERIMENT`, which runs the stages of the other commands in one go.
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vc import devices, phrases
from vc.config import DEFAULT_CONFIG, configuration_names, digest, plain, read_sections, require, require_known
from vc.convert.converter import Converter
from vc.corpus import audio, data_directory, prepare
from vc.corpus.check import usable_condition
from vc.corpus.data_directory import Utterance
from vc.corpus.names import label
from vc.errors import DataError, VCError, escaped
from vc.evaluate import Evaluation, evaluate
from vc.evaluate import Request as Measurement
from vc.evaluate.measure import choose_measures
from vc.features.base import FeatureConfig
from vc.features.extract import LONGEST_WHOLE, chosen_config, extract, track_window, window_features, windows_of
from vc.features.f0 import WIDEST_RANGE
from vc.features.kinds import build_features
from vc.features.store import read_features
from vc.files import make_directory, path_inside
from vc.messages import errors_only
from vc.report import write_report
from vc.train.converter import train
from vc.train.estimate import FIT_SECONDS, announce, estimate
from vc.train.experiment import build_settings
from vc.train.held_out import read_held_out
from vc.train.methods import MANY_SPEAKERS, METHODS, Method
from vc.train.plan import Request

LOW_RATE_CONFIG = "nearest"  # configuration for recordings of which none has the sample rate that DEFAULT_CONFIG needs
MAX_HELD_OUT = 10  # held-out recordings per speaker, but at most half of them
MAX_NAMED = 3  # folders named in a warning
MIN_SHARED = 4  # held-out sentences common to all; with fewer, each speaker's are chosen separately
EXCERPTS = 4  # per speaker, for an estimate
EXCERPT_SECONDS = 2.5  # of each
SHORT_SECONDS = 120.0  # of a target, below which similarity and intelligibility suffer; docs/experiments.md, 2026-11-26
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Voice:
    """A trained model and its evaluation."""

    model: Path  # experiment directory
    target: str  # speaker id
    failures: list[str] = field(default_factory=list)  # a line for each recording that was left out
    evaluation: Evaluation | None = None  # on the source's held-out recordings; None without a source
    report: Path | None = None  # HTML page of the evaluation


def train_from_folders(
    folders: Sequence[Path],
    output: Path,
    sections: Mapping[str, Any] | None = None,
    changes: Sequence[str] = (),
    *,
    device: str = "auto",
    jobs: int = 1,
    measures: Sequence[str] | None = None,
) -> Voice:
    """Prepare data, extract features, train and evaluate; existing features and checkpoints are resumed.

    Parameters
    ----------
    folders : sequence of Path
        Folders with one speaker's recordings each: the target's, or the source's and then the target's.
    output : Path
        Experiment directory; data directories are in its `data`. Features are in `features` next to it, for later runs.
    sections : mapping, optional
        Sections of a configuration. Default: those of a configuration that suits the recordings.
    changes : sequence of str
        Settings `key.sub=value` that override the default configuration's.
    device : str
        Training device, as in vc/devices.py.
    jobs : int
        Number of processes for extraction and evaluation, and of threads for conversion.
    measures : sequence of str, optional
        Speech models to evaluate with, as named in vc/evaluate/measure.py. Default: those that are installed.

    Returns
    -------
    Voice

    Raises
    ------
    ConfigError, DataError
        The model cannot be trained.
    """
    automatic, device = sections is None, devices.choose(device).type
    choose_measures(measures)  # raises errors now, not after the training
    sections, method, recordings, unreadable = _training_inputs(folders, output, sections, changes)
    recordings, unusable = _usable(recordings, usable_condition)
    failures = unreadable + unusable
    speakers = [utterances[0].speaker for utterances in recordings]
    lists = path_inside(output, "data")
    recordings = [prepare.link_line_breaks(prepare.cut(utterances, lists), lists) for utterances in recordings]
    training_sets = recordings[-1:] if method.any_source else recordings
    held_out = _held_out(recordings, training_sets) if len(folders) > 1 else set()
    training = [u for utterances in training_sets for u in utterances if u.id not in held_out]
    data_directory.write(lists / "train", training)
    held_out_by_speaker = {us[0].speaker: [u for u in us if u.id in held_out] for us in recordings}
    validation = lists / "held_out" / speakers[0] if held_out else None
    for speaker in speakers if held_out else ():
        data_directory.write(lists / "held_out" / speaker, held_out_by_speaker[speaker])
    _log_recordings(training_sets, held_out)
    _log_method(str(sections["method"]), recordings[-1], device, automatic=automatic)
    config = chosen_config(sections.get("features", {}), lists / "train", jobs)
    identity = digest([plain(config), [[u.id, str(u.path)] for u in training]])
    features = path_inside(output.absolute().parent, "features") / f"{'-'.join(speakers)}-{identity[:8]}"
    if not features.exists() and (cost := _features_cost(training, config)):
        length, processes = phrases.duration(cost.seconds / jobs), phrases.count(jobs, "process", "processes")
        log.info("features will take: %s with %s, %s on disk", length, processes, phrases.size(cost.disk))
    failures += extract(lists / "train", features, config, jobs).failures
    voice = Voice(output, speakers[-1], failures)
    names = tuple(speakers[-len(training_sets) :])
    scored = None
    if held_out and method.training:
        data_directory.write(lists / "scored", [u for name in names for u in held_out_by_speaker[name]])
        scored = _held_out_features(lists / "scored", features, jobs)
    request = Request(
        features,
        names,
        output=output,
        sections=dict(sections),
        held_out=scored,
        keep_best=False,  # the recordings used for evaluation must not influence the model
        validation=validation,
        device=device,
    )
    announce(request)
    train(request)
    return _evaluate_voice(voice, lists, held_out_by_speaker, jobs, measures) if held_out else voice


def _training_inputs(
    folders: Sequence[Path], output: Path, sections: Mapping[str, Any] | None, changes: Sequence[str]
) -> tuple[Mapping[str, Any], Method, list[list[Utterance]], list[str]]:
    """Check the arguments; return sections, method, usable recordings by folder, and errors of the other recordings."""
    folders = [(folder if folder.name not in ("", "..") else folder.resolve()).absolute() for folder in folders]
    automatic = sections is None
    sections = read_sections(DEFAULT_CONFIG, changes) if automatic else sections
    method = _method(sections, folders)
    _check_folders(folders, output)
    recordings, failures = _usable(_recordings(folders), lambda utterance: audio.info(utterance.path))
    for folder, utterances in zip(folders, recordings):
        _warn_of_several(folder, utterances)
    if automatic and len(folders) == 2:
        lowest_rate = build_features(sections.get("features", {})).lowest_rate
        if all(audio.info(u.path).sample_rate < lowest_rate for u in recordings[-1]):
            sections = read_sections(LOW_RATE_CONFIG, changes)
            method = _method(sections, folders)
    build_settings(str(sections["method"]), sections)  # raises errors now, not after the extraction
    return sections, method, recordings, failures


def _method(sections: Mapping[str, Any], folders: Sequence[Path]) -> Method:
    """The method of a configuration; ConfigError if it cannot be trained on these folders."""
    require_known("method", sections.get("method"), METHODS)
    method = METHODS[sections["method"]]
    require(method.serves != MANY_SPEAKERS, "one model for many speakers: prepare, extract and train in turn")
    kind, name = build_features(sections.get("features") or {}).kind, sections["method"]
    advice = f"; give --config {name}" if name in configuration_names() else ""
    require(kind in method.kinds, f"method {name} does not learn from features of kind {kind}{advice}")
    if not method.any_source:
        more = "; for more speakers, see docs/training.md: vc-prepare, vc-extract, vc-train --speakers"
        more = more if len(folders) > 2 else ""
        require(len(folders) == 2, f"a pair needs two folders: the source's and the target's{more}")
    return method


def _check_folders(folders: Sequence[Path], output: Path) -> None:
    """Refuse missing folders, folders of one name or inside one another, and an output inside them.

    A later run would take the output for recordings. Raises ConfigError, or DataError for a missing folder.
    """
    require(1 <= len(folders) <= 2, f"{len(folders)} folders: give the target's, or the source's and the target's")
    for folder in folders:
        require(bool(folder.name), f"{folder}: not a speaker's folder")
        if not folder.is_dir():
            raise DataError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    real = [Path(os.path.realpath(folder)) for folder in folders]
    require(len({folder.name for folder in folders}) == len(folders), f"both folders are called {folders[0].name!r}")
    for one, other in ((real[0], real[-1]), (real[-1], real[0])) if len(real) > 1 else ():
        require(not one.is_relative_to(other), f"{one}: is inside {other}; give each speaker a separate folder")
    for folder in real:
        inside = Path(os.path.realpath(output)).is_relative_to(folder)
        require(not inside, f"{output}: is inside {folder}, among the recordings")


def _recordings(folders: Sequence[Path]) -> list[list[Utterance]]:
    """The utterances of each folder, whose name is the speaker's; ids are unique across folders."""
    if len({folder.parent for folder in folders}) == 1:
        utterances = prepare.from_folders(folders[0].parent, [folder.name for folder in folders], siblings=False)
        return [[u for u in utterances if u.path.is_relative_to(folder)] for folder in folders]
    source, target = (prepare.from_folders(folder.parent, [folder.name], siblings=False) for folder in folders)
    unique = not {u.id for u in source} & {u.id for u in target} and source[0].speaker != target[0].speaker
    require(unique, "the folders' names give the same ids; rename one")
    return [source, target]


def _usable(
    recordings: Sequence[Sequence[Utterance]], check: Callable[[Utterance], object]
) -> tuple[list[list[Utterance]], list[str]]:
    """The recordings for which `check` raises no DataError, and the messages of the others.

    Raises DataError if a speaker has no recording left.
    """
    usable: list[list[Utterance]] = []
    failures: list[str] = []
    for utterances in recordings:
        usable.append([])
        for utterance in utterances:
            try:
                check(utterance)
                usable[-1].append(utterance)
            except DataError as error:
                failures.append(str(error))
        if not usable[-1]:
            raise DataError(*failures)
    return usable, failures


def _warn_of_several(folder: Path, recordings: Sequence[Utterance]) -> None:
    """Warn if a folder contains nothing but several folders, which may be several speakers."""
    inside = sorted({u.path.relative_to(folder).parts[0] for u in recordings if u.path.parent != folder})
    if len(inside) > 1 and not any(u.path.parent == folder for u in recordings):
        names, more = ", ".join(inside[:MAX_NAMED]), ", ..." if len(inside) > MAX_NAMED else ""
        text = "%s: its folders (%s%s) are taken for one speaker's; if they are several, give one FOLDER each"
        log.warning(text, escaped(folder), escaped(names), more)


def _held_out(recordings: Sequence[Sequence[Utterance]], training_sets: Sequence[Sequence[Utterance]]) -> set[str]:
    """Ids of the held-out utterances: sentences common to all speakers if there are enough.

    At most half of the utterances of speakers who are trained on are held out.
    """
    sentences = [{u.sentence: u.id for u in utterances} for utterances in recordings]
    shared = sorted(set.intersection(*map(set, sentences)))
    separate = min(len(shared) // 2, MAX_HELD_OUT) < MIN_SHARED
    held_out: set[str] = set()
    for utterances, ids in zip(recordings, sentences):
        candidates = [u.id for u in utterances] if separate else [ids[sentence] for sentence in shared]
        half = utterances in training_sets or not separate
        count = min(MAX_HELD_OUT, len(candidates) // 2 if half else len(candidates))
        if count == 0:
            raise DataError(f"{utterances[0].speaker}: too few recordings to train and evaluate; add more")
        held_out |= {candidates[len(candidates) * number // count] for number in range(count)}
    return held_out


def _held_out_features(data: Path, training: Path, jobs: int) -> Path | None:
    """Extract features of held-out recordings next to the `training` features; None, with a warning, if that fails."""
    features, recordings = read_features(training), data_directory.read(data)
    identity = digest([[u.id, str(u.path)] for u in recordings])
    output = training.with_name(f"{training.name}-held-out-{identity[:8]}")
    ranges = {id: speaker.f0_range for id, speaker in features.speakers.items() if speaker.f0_range}
    try:
        for failure in extract(data, output, features.config, jobs, ranges).failures:
            log.warning("not scored during training: %s", failure)
        unseen = read_held_out(output, features)
        for speaker in {u.speaker for u in recordings}:
            unseen.require(speaker)
    except VCError as error:
        log.warning("held-out recordings are not scored during training: %s", error)
        return None
    return output


@dataclass(frozen=True)
class FoldersEstimate:
    """Estimated duration of `train_from_folders` in seconds, without the evaluation."""

    features: float | None  # None if the example, one recording of them, cannot be analysed
    training: float
    kind: str  # of training: number of steps and device
    evaluates: bool  # whether an evaluation follows

    def __str__(self) -> str:
        features = "of unknown length" if self.features is None else phrases.duration(self.features)
        parts = f"features {features}, training {phrases.duration(self.training)} ({self.kind})"
        total = f"{phrases.duration((self.features or 0.0) + self.training)}: {parts}"
        return f"{total}, without the measurement afterwards" if self.evaluates else total


def estimate_from_folders(
    folders: Sequence[Path],
    output: Path,
    sections: Mapping[str, Any] | None = None,
    changes: Sequence[str] = (),
    *,
    device: str = "auto",
    jobs: int = 1,
) -> FoldersEstimate:
    """Estimate the duration of `train_from_folders` from excerpts and a few training steps, in a temporary folder.

    Parameters are those of `train_from_folders` without `measures`, and errors those on its arguments and recordings;
    whether enough recordings can be held out is not tried.
    """
    device = devices.choose(device).type
    sections, method, recordings, _ = _training_inputs(folders, output, sections, changes)
    training_sets = recordings[-1:] if method.any_source else recordings
    with errors_only(), tempfile.TemporaryDirectory(prefix="vc-estimate-") as name:
        data, features = Path(name) / "data", Path(name) / "features"
        excerpts = [u for utterances in training_sets for u in _excerpts(utterances)]
        data_directory.write(data, prepare.link_line_breaks(excerpts, data))
        config = chosen_config(sections.get("features", {}), data, jobs)
        cost = _features_cost([u for utterances in training_sets for u in utterances], config)
        length = cost.seconds / jobs if cost else None
        names = tuple(utterances[0].speaker for utterances in training_sets)
        request = Request(features, names, output=Path(name) / "exp", sections=dict(sections), device=device)
        if method.fit:
            hours = max(sum(_seconds(u) for u in utterances) for utterances in training_sets) / 3600
            training, kind = FIT_SECONDS * max(1.0, hours), "at most: it takes no steps"
        else:
            extract(data, features, config, jobs)
            run = estimate(request)
            training, kind = run.steps * run.seconds, f"{run.steps} steps of {run.seconds:.2g} s on {run.device}"
    return FoldersEstimate(length, training, kind, evaluates=len(folders) > 1)


def _excerpts(recordings: Sequence[Utterance]) -> list[Utterance]:
    """EXCERPTS excerpts of a speaker's recordings, or fewer if they are short; the earliest of each recording first."""
    candidates = [
        (start, utterance)
        for utterance in recordings
        for start in np.arange(0, max(_seconds(utterance) - EXCERPT_SECONDS / 2, 1e-3), EXCERPT_SECONDS)
    ]
    earliest = sorted(candidates, key=lambda candidate: candidate[0])[:EXCERPTS]
    return [
        replace(u, id=f"{u.id}-{round(100 * start)}", start=start, end=min(start + EXCERPT_SECONDS, _seconds(u)))
        for start, u in earliest
    ]


def _seconds(utterance: Utterance) -> float:
    """Length of an utterance."""
    return (utterance.end or audio.info(utterance.path).seconds) - (utterance.start or 0.0)


def _log_recordings(training_sets: Sequence[Sequence[Utterance]], held_out: set[str]) -> None:
    """Log how much of each speaker's speech is trained on and held out; warn if the target's is short."""
    for utterances in training_sets:
        training = [u for u in utterances if u.id not in held_out]
        seconds = sum(audio.info(u.path).seconds for u in training)
        speaker = label(utterances[0].speaker, utterances[0].speaker_name)
        count = phrases.count(len(training), "recording")
        held_out_count = len(utterances) - len(training)
        log.info("%s: %s, %.1f minutes, to train on; %d held out", speaker, count, seconds / 60, held_out_count)
        if utterances is training_sets[-1] and seconds < SHORT_SECONDS:
            warning = "%s: under %.0f minutes: expect a less similar voice and lost words"
            log.warning(warning, speaker, SHORT_SECONDS / 60)


def _log_method(method: str, target: Sequence[Utterance], device: str, *, automatic: bool) -> None:
    """Log the method and, if the user has not chosen it, why."""
    others = "vc-train --configs lists others for --config"
    if not automatic:
        log.info("method: %s on %s; %s", method, device, others)
    elif method == DEFAULT_CONFIG:
        reason = "the most similar to a target's voice in our measurements"
        log.info("method: %s on %s, %s; --config nearest loses fewer words; %s", method, device, reason, others)
    else:
        rate = max(audio.info(u.path).sample_rate for u in target)
        log.info("method: %s on %s, because %d Hz is too low for %s; %s", method, device, rate, DEFAULT_CONFIG, others)


@dataclass(frozen=True)
class FeaturesCost:
    """What an extraction takes."""

    seconds: float  # with one process
    disk: int  # bytes


def _features_cost(utterances: Sequence[Utterance], config: FeatureConfig) -> FeaturesCost | None:
    """Estimate time and disk space from the shortest recording of at least a second, or the longest.

    None if that recording is unusable, which the extraction will report.
    """
    lengths = {u: _seconds(u) for u in utterances}
    example = min((u for u in lengths if lengths[u] >= 1), key=lengths.get, default=max(lengths, key=lengths.get))
    config, window = config.complete(), windows_of(example)[0]
    try:
        for _ in range(2):  # the first run includes imports and loading
            start = time.perf_counter()
            track_window(window, config, WIDEST_RANGE)
            arrays = window_features(window, config, WIDEST_RANGE)
            seconds = time.perf_counter() - start
    except DataError:
        return None
    ratio = sum(lengths.values()) / min(lengths[example], LONGEST_WHOLE)
    return FeaturesCost(ratio * seconds, round(ratio * sum(array.nbytes for array in arrays.values())))


def _evaluate_voice(
    voice: Voice,
    lists: Path,
    held_out_by_speaker: Mapping[str, Sequence[Utterance]],
    jobs: int,
    measures: Sequence[str] | None,
) -> Voice:
    """Convert the source's held-out recordings and evaluate them against the target's.

    `held_out_by_speaker` has the source first; `lists` is the folder of the data directories.
    """
    source, failures = next(iter(held_out_by_speaker)), list(voice.failures)
    converter = Converter.load(voice.model, precision="auto")
    converted, results = path_inside(voice.model, "converted"), path_inside(voice.model, "evaluation")
    make_directory(converted)
    for path in converted.glob("*.wav"):  # of an earlier run, perhaps of other recordings
        path.unlink()
    for number, utterance in enumerate(held_out_by_speaker[source], 1):
        log.info("converting %d of %d: %s", number, len(held_out_by_speaker[source]), escaped(utterance.path))
        speaker = None if converter.decodes else source
        try:
            converter.convert_file(utterance.path, converted / f"{utterance.id}.wav", voice.target, speaker, jobs=jobs)
        except DataError as error:
            failures.append(str(error))
    if not any(converted.glob("*.wav")):
        raise DataError(*failures, f"{voice.model} is trained, but none of the held-out recordings could be converted")
    request = Measurement(
        {"converted": converted},
        lists / "held_out" / voice.target,
        source=lists / "held_out" / source,
        model=None if converter.decodes else voice.model,
        measures=measures,
        to=voice.target,
        source_speaker=source,
    )
    evaluation, page = evaluate(request, results, jobs=jobs), results / "report.html"
    write_report(evaluation, page)
    return replace(voice, failures=failures + evaluation.failures, evaluation=evaluation, report=page)
