"""Folders of recordings -> a voice: lists, features, training, and a measurement on recordings that were held out.

What `vc-train FOLDER ... --output EXPERIMENT` does: the other commands' work in a row, by the same functions.
"""

import logging
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vc import devices, phrases
from vc.config import USUAL, digest, plain, read_sections, require
from vc.convert.converter import Converter
from vc.corpus import audio, data_directory, prepare
from vc.corpus.data_directory import Utterance
from vc.corpus.names import label
from vc.errors import DataError, VCError, escaped
from vc.evaluate import Evaluation, evaluate
from vc.evaluate import Request as Measurement
from vc.evaluate.measure import choose_measures
from vc.features.base import FeatureConfig
from vc.features.extract import WHOLE, chosen_config, extract, track_window, window_features, windows_of
from vc.features.f0 import WIDEST_RANGE
from vc.features.kinds import build_features
from vc.features.store import read_features
from vc.files import make_directory, path_inside
from vc.report import write_report
from vc.train.converter import train
from vc.train.estimate import FIT_SECONDS, announce, estimate, quiet
from vc.train.held_out import read_unseen
from vc.train.methods import MANY, METHODS, TARGETS, Method
from vc.train.plan import Request

NARROW = "nearest"  # where no recording has the rate that the usual one wants
MOST_HELD_OUT = 10  # recordings of a speaker, or half of fewer than twice as many
MOST_NAMED = 3  # folders that a warning names
FEWEST_SHARED = 4  # held-out sentences that all say; with fewer in common each speaker's are chosen apart
EXCERPTS, EXCERPT = 4, 2.5  # of each speaker that an estimate is made from, and their seconds
SHORT_TARGET = 120.0  # seconds, below which likeness and words suffer; docs/experiments.md, 2026-11-26
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Voice:
    """What has been made of the folders."""

    model: Path  # experiment directory
    target: str  # id
    failures: list[str] = field(default_factory=list)  # recordings that were left out, one line each
    evaluation: Evaluation | None = None  # of the source's held-out recordings; None without a source
    report: Path | None = None  # its page


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
    """Prepare, extract, train and measure; features and training that are there already are resumed.

    Parameters
    ----------
    folders : sequence of Path
        One speaker's recordings each: the target's, or the source's and then the target's.
    output : Path
        Experiment directory; lists lie in its `data`. Features lie in `features` beside it, for later runs.
    sections : mapping, optional
        Of a configuration. Default: of the one that suits the recordings.
    changes : sequence of str
        Settings `key.sub=value` in place of the default configuration's.
    device : str
        Of the training, as in vc/devices.py.
    jobs : int
        Processes of the extraction and the measurement, threads of the conversion.
    measures : sequence of str, optional
        Models of speech to ask, as vc/evaluate/measure.py names them. Default: those that are installed.

    Raises
    ------
    ConfigError, DataError
        For what cannot be trained, by name.
    """
    chosen, device = sections is None, devices.choose(device).type
    choose_measures(measures)  # refused now, not after the training
    sections, method, recordings, failures = _learnable(folders, output, sections, changes)
    speakers = [own[0].speaker for own in recordings]
    lists = path_inside(output, "data")
    recordings = [prepare.link_line_breaks(prepare.cut(own, lists), lists) for own in recordings]
    learners = recordings[-1:] if method.serves == TARGETS else recordings
    held_out = _held_out(recordings, learners) if len(folders) > 1 else set()
    learnt_from = [u for own in learners for u in own if u.id not in held_out]
    data_directory.write(lists / "train", learnt_from)
    sides = {own[0].speaker: [u for u in own if u.id in held_out] for own in recordings}
    validation = lists / "held_out" / speakers[0] if held_out else None
    for speaker in speakers if held_out else ():
        data_directory.write(lists / "held_out" / speaker, sides[speaker])
    _say_what_is_there(learners, held_out)
    _say_method(str(sections["method"]), recordings[-1], device, chosen=chosen)
    config = chosen_config(sections.get("features", {}), lists / "train", jobs)
    made_of = digest([plain(config), [[u.id, str(u.path)] for u in learnt_from]])
    features = path_inside(output.absolute().parent, "features") / f"{'-'.join(speakers)}-{made_of[:8]}"
    if not features.exists() and (cost := _features_cost(learnt_from, config)):
        length, at_once = phrases.duration(cost.seconds / jobs), phrases.count(jobs, "process", "processes")
        log.info("features will take: %s by %s, %s on disk", length, at_once, phrases.size(cost.disk))
    failures += extract(lists / "train", features, config, jobs).failures
    voice = Voice(output, speakers[-1], failures)
    names = tuple(own[0].speaker for own in learners)
    scored = None
    if held_out and method.training:
        data_directory.write(lists / "scored", [u for name in names for u in sides[name]])
        scored = _held_out_features(lists / "scored", features, jobs)
    request = Request(
        features,
        names,
        output=output,
        sections=dict(sections),
        held_out=scored,
        chooses=False,  # what the voice is measured by has no say in what it becomes
        validation=validation,
        device=device,
    )
    announce(request)
    train(request)
    return _measured(voice, lists, sides, jobs, measures) if held_out else voice


def _learnable(
    folders: Sequence[Path], output: Path, sections: Mapping[str, Any] | None, changes: Sequence[str]
) -> tuple[Mapping[str, Any], Method, list[list[Utterance]], list[str]]:
    """Settings, method, recordings of each folder, a line for each that cannot be read; refuses what does not fit."""
    folders = [(folder if folder.name not in ("", "..") else folder.resolve()).absolute() for folder in folders]
    chosen = sections is None
    sections = read_sections(USUAL, changes) if chosen else sections
    method = _method(sections, folders)
    _check_places(folders, output)
    recordings, failures = _readable(_recordings(folders))
    for folder, own in zip(folders, recordings):
        _warn_of_several(folder, own)
    if chosen and len(folders) == 2:
        wanted = build_features(sections.get("features", {})).lowest_rate
        if all(audio.info(u.path).sample_rate < wanted for u in recordings[-1]):
            sections = read_sections(NARROW, changes)
            method = _method(sections, folders)
    return sections, method, recordings, failures


def _method(sections: Mapping[str, Any], folders: Sequence[Path]) -> Method:
    """The method of a configuration, if these folders are what it learns from."""
    method = METHODS.get(str(sections.get("method")))
    require(method is not None, f"method: {sections.get('method')!r} cannot be trained; vc-train --method lists them")
    require(method.serves != MANY, "one model for many speakers: prepare, extract and train in turn")
    require(len(folders) == 2 or method.serves == TARGETS, "a pair needs two folders: the source's and the target's")
    return method


def _check_places(folders: Sequence[Path], output: Path) -> None:
    """Refuse folders that are one another's, and an output among recordings: a later run would learn from it."""
    require(1 <= len(folders) <= 2, f"{len(folders)} folders: give the target's, or the source's and the target's")
    for folder in folders:
        require(bool(folder.name), f"{folder}: is nobody's folder")
        if not folder.is_dir():
            raise DataError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    real = [Path(os.path.realpath(folder)) for folder in folders]
    require(len({folder.name for folder in folders}) == len(folders), f"both folders are called {folders[0].name!r}")
    for one, other in ((real[0], real[-1]), (real[-1], real[0])) if len(real) > 1 else ():
        require(not one.is_relative_to(other), f"{one}: lies in {other}: give each speaker a folder of their own")
    for folder in real:
        among = Path(os.path.realpath(output)).is_relative_to(folder)
        require(not among, f"{output}: lies in {folder}, among the recordings")


def _recordings(folders: Sequence[Path]) -> list[list[Utterance]]:
    """Of each folder, named after it; of folders side by side with ids that are unique."""
    if len({folder.parent for folder in folders}) == 1:
        found = prepare.from_folders(folders[0].parent, [folder.name for folder in folders])
        return [[u for u in found if u.path.is_relative_to(folder)] for folder in folders]
    apart = [prepare.from_folders(folder.parent, [folder.name]) for folder in folders]
    both = {u.id for u in apart[0]} & {u.id for u in apart[1]}
    require(not both and apart[0][0].speaker != apart[1][0].speaker, "the folders' names make equal ids: rename one")
    return apart


def _warn_of_several(folder: Path, recordings: Sequence[Utterance]) -> None:
    """A folder that holds nothing but folders may hold several speakers."""
    inside = sorted({u.path.relative_to(folder).parts[0] for u in recordings if u.path.parent != folder})
    if len(inside) > 1 and not any(u.path.parent == folder for u in recordings):
        names, more = ", ".join(inside[:MOST_NAMED]), ", ..." if len(inside) > MOST_NAMED else ""
        text = "%s: its folders (%s%s) are taken for one speaker's; if they are several, give one FOLDER each"
        log.warning(text, escaped(folder), escaped(names), more)


def _readable(recordings: Sequence[Sequence[Utterance]]) -> tuple[list[list[Utterance]], list[str]]:
    """Those that can be opened, and a line for each that cannot."""
    kept, failures = [], []
    for own in recordings:
        usable = []
        for utterance in own:
            try:
                audio.info(utterance.path)
                usable.append(utterance)
            except DataError as error:
                failures.append(str(error))
        if not usable:
            raise DataError(*failures)
        kept.append(usable)
    return kept, failures


def _held_out(recordings: Sequence[Sequence[Utterance]], learners: Sequence[Sequence[Utterance]]) -> set[str]:
    """Ids of those that are kept for the measurement, of sentences that all say where there are enough.

    Of those whom nothing learns from as many as are wanted, of the others half at most.
    """
    sentences = [{u.sentence: u.id for u in own} for own in recordings]
    shared = sorted(set.intersection(*map(set, sentences)))
    apart = min(len(shared) // 2, MOST_HELD_OUT) < FEWEST_SHARED
    held_out: set[str] = set()
    for own, ids in zip(recordings, sentences):
        choice = [u.id for u in own] if apart else [ids[sentence] for sentence in shared]
        count = min(MOST_HELD_OUT, len(choice) // 2 if own in learners or not apart else len(choice))
        if count == 0:
            raise DataError(f"{own[0].speaker}: too few recordings to learn from some and measure by others; add some")
        held_out |= {choice[len(choice) * number // count] for number in range(count)}
    return held_out


def _held_out_features(data: Path, training: Path, jobs: int) -> Path | None:
    """Features of held-out recordings beside those of the others; none, with a warning, where they cannot be had."""
    features, recordings = read_features(training), data_directory.read(data)
    made_of = digest([[u.id, str(u.path)] for u in recordings])
    output = training.with_name(f"{training.name}-held-out-{made_of[:8]}")
    ranges = {id: speaker.f0_range for id, speaker in features.speakers.items() if speaker.f0_range}
    try:
        for failure in extract(data, output, features.config, jobs, ranges).failures:
            log.warning("not scored while it learns: %s", failure)
        unseen = read_unseen(output, features)
        for speaker in {u.speaker for u in recordings}:
            unseen.require(speaker)
    except VCError as error:
        log.warning("no score of held-out recordings while it learns: %s", error)
        return None
    return output


@dataclass(frozen=True)
class Estimate:
    """What a voice will take, in seconds, but for its measurement."""

    features: float
    training: float
    kind: str  # of training: its steps, on what
    measured: bool  # whether recordings are converted and measured afterwards

    def __str__(self) -> str:
        parts = f"features {phrases.duration(self.features)}, training {phrases.duration(self.training)} ({self.kind})"
        total = f"{phrases.duration(self.features + self.training)}: {parts}"
        return f"{total}, without the measurement afterwards" if self.measured else total


def estimate_from_folders(
    folders: Sequence[Path],
    output: Path,
    sections: Mapping[str, Any] | None = None,
    changes: Sequence[str] = (),
    *,
    device: str = "auto",
    jobs: int = 1,
) -> Estimate:
    """What `train_from_folders` will take, from a few of the recordings and some steps; it works in a temporary folder.

    Parameters and errors are those of `train_from_folders`.
    """
    device = devices.choose(device).type
    sections, method, recordings, _ = _learnable(folders, output, sections, changes)
    learners = recordings[-1:] if method.serves == TARGETS else recordings
    with quiet(), tempfile.TemporaryDirectory(prefix="vc-estimate-") as name:
        data, features = Path(name) / "data", Path(name) / "features"
        data_directory.write(data, [u for own in learners for u in _excerpts(own)])
        config = chosen_config(sections.get("features", {}), data, jobs)
        cost = _features_cost([u for own in learners for u in own], config)
        length = cost.seconds / jobs if cost else 0.0
        names = tuple(own[0].speaker for own in learners)
        request = Request(features, names, output=Path(name) / "exp", sections=dict(sections), device=device)
        if method.fit:
            hours = max(sum(_seconds(u) for u in own) for own in learners) / 3600
            training, kind = FIT_SECONDS * max(1.0, hours), "at most: it takes no steps"
        else:
            extract(data, features, config, jobs)
            run = estimate(request)
            training, kind = run.steps * run.seconds, f"{run.steps} steps of {run.seconds:.2g} s on {run.device}"
    return Estimate(length, training, kind, measured=len(folders) > 1)


def _excerpts(recordings: Sequence[Utterance]) -> list[Utterance]:
    """EXCERPTS parts of a speaker's recordings, the beginnings of as many as there are first."""
    places = [
        (start, utterance)
        for utterance in recordings
        for start in np.arange(0, max(_seconds(utterance) - EXCERPT / 2, 1e-3), EXCERPT)
    ]
    places = sorted(places, key=lambda place: place[0])[:EXCERPTS]
    return [
        replace(u, id=f"{u.id}-{round(100 * start)}", start=start, end=min(start + EXCERPT, _seconds(u)))
        for start, u in places
    ]


def _seconds(utterance: Utterance) -> float:
    return (utterance.end or audio.info(utterance.path).seconds) - (utterance.start or 0.0)


def _say_what_is_there(learners: Sequence[Sequence[Utterance]], held_out: set[str]) -> None:
    for own in learners:
        seconds = sum(audio.info(u.path).seconds for u in own if u.id not in held_out)
        count, apart = sum(u.id not in held_out for u in own), sum(u.id in held_out for u in own)
        who = label(own[0].speaker, own[0].speaker_name)
        what = phrases.count(count, "recording")
        log.info("%s: %s, %.1f minutes, to learn from; %d held out", who, what, seconds / 60, apart)
        if own is learners[-1] and seconds < SHORT_TARGET:
            log.warning("%s: under %.0f minutes: expect a less similar voice and lost words", who, SHORT_TARGET / 60)


def _say_method(method: str, target: Sequence[Utterance], device: str, *, chosen: bool) -> None:
    """The method and, where nobody named it, why it is this one."""
    others = "vc-train --configs lists others for --config"
    if not chosen:
        log.info("method: %s on %s; %s", method, device, others)
    elif method == USUAL:
        near = "of those measured the nearest to a target's voice"
        log.info("method: %s on %s, %s; --config nearest loses fewer words; %s", method, device, near, others)
    else:
        rate = max(audio.info(u.path).sample_rate for u in target)
        log.info("method: %s on %s, as %d Hz is too low a rate for %s; %s", method, device, rate, USUAL, others)


@dataclass(frozen=True)
class FeaturesCost:
    """What an extraction takes."""

    seconds: float  # of one process
    disk: int  # bytes


def _features_cost(utterances: Sequence[Utterance], config: FeatureConfig) -> FeaturesCost | None:
    """From one recording of at least a second, or the longest; None where it has faults, which extraction will name."""
    lengths = {u: _seconds(u) for u in utterances}
    tried = min((u for u in lengths if lengths[u] >= 1), key=lengths.get, default=max(lengths, key=lengths.get))
    config, window = config.complete(), windows_of(tried)[0]
    try:
        for _ in range(2):  # the first loads what is needed
            began = time.perf_counter()
            track_window(window, config, WIDEST_RANGE)
            arrays = window_features(window, config, WIDEST_RANGE)
            took = time.perf_counter() - began
    except DataError:
        return None
    share = sum(lengths.values()) / min(lengths[tried], WHOLE)
    return FeaturesCost(share * took, round(share * sum(array.nbytes for array in arrays.values())))


def _measured(
    voice: Voice, lists: Path, sides: Mapping[str, Sequence[Utterance]], jobs: int, measures: Sequence[str] | None
) -> Voice:
    """The source's held-out recordings, converted and measured against the target's."""
    source, failures = next(iter(sides)), list(voice.failures)
    converter = Converter.load(voice.model, precision="auto")
    converted, results = path_inside(voice.model, "converted"), path_inside(voice.model, "evaluation")
    make_directory(converted)
    for path in converted.glob("*.wav"):  # of a run before, perhaps of other recordings
        path.unlink()
    for number, utterance in enumerate(sides[source], 1):
        log.info("converting %d of %d: %s", number, len(sides[source]), escaped(utterance.path))
        said_by = None if converter.decodes else source
        try:
            converter.convert_file(utterance.path, converted / f"{utterance.id}.wav", voice.target, said_by, jobs=jobs)
        except DataError as error:
            failures.append(str(error))
    asked = Measurement(
        {"converted": converted},
        lists / "held_out" / voice.target,
        source=lists / "held_out" / source,
        model=None if converter.decodes else voice.model,
        measures=measures,
        to=voice.target,
        source_speaker=source,
    )
    evaluation, page = evaluate(asked, results, jobs=jobs), results / "report.html"
    write_report(evaluation, page)
    return replace(voice, failures=failures + evaluation.failures, evaluation=evaluation, report=page)
