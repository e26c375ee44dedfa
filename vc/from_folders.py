"""Folders of recordings -> a voice: lists, features, training, and a measurement on recordings that nobody learnt from.

What `vc-train FOLDER ... --output EXPERIMENT` does: the commands' work in a row, by the same functions.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vc import audio, corpus, prepare
from vc.config import read_sections, require
from vc.convert import Converter
from vc.corpus import Utterance
from vc.errors import DataError, escaped
from vc.evaluate import Evaluation, evaluate
from vc.evaluate import Request as Measurement
from vc.extract import chosen_config, extract
from vc.files import inside, make_directory
from vc.names import shown
from vc.report import write_report
from vc.train.converter import train
from vc.train.methods import ANY, METHODS, PAIR, TARGETS
from vc.train.request import Request

USUAL = "recognition_synthesis"  # what measures best of what a minute of a CPU core can learn; docs/figures.md
HELD_OUT = 10  # recordings of each speaker, or half of fewer than twice as many
LITTLE = 120.0  # seconds of a target with less than which much is lost; recipes/EXPERIMENTS.md, 2026-11-26
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Voice:
    """What has been made of the folders."""

    model: Path  # experiment directory
    target: str  # id
    step: int
    measured: Evaluation | None = None  # of the source's held-out recordings; none without a source
    report: Path | None = None


def train_from_folders(
    folders: Sequence[Path],
    output: Path,
    sections: Mapping[str, Any] | None = None,
    device: str = "auto",
    jobs: int = 1,
    measures: Sequence[str] | None = None,
) -> Voice:
    """Prepare, extract, train and measure; what is there already is gone on with.

    Parameters
    ----------
    folders : sequence of Path
        One speaker's recordings each: the target's, or the source's and then the target's.
    output : Path
        Experiment directory. Lists and features lie in `data` beside it, under the speakers' names, for later runs.
    sections : mapping, optional
        Of a configuration. Default: that of USUAL.
    device : str
        Of the training, as in vc/devices.py.
    jobs : int
        Processes of the extraction, the conversion and the measurement.
    measures : sequence of str, optional
        Models of speech to ask, as vc/evaluate/hearing.py names them. Default: those that are installed.

    Raises
    ------
    ConfigError, DataError
        For what cannot be trained, by name.
    """
    sections = {"method": "cyclegan_vc2", **(sections or read_sections(USUAL))}
    require(1 <= len(folders) <= 2, f"{len(folders)} folders: give the target's, or the source's and the target's")
    method = METHODS.get(str(sections["method"]))
    require(method is not None, f"method: {sections['method']!r} cannot be trained; vc-train --method lists them")
    require(method.serves in (PAIR, TARGETS, ANY), "one model for many speakers: prepare, extract and train in turn")
    require(len(folders) == 2 or method.serves == TARGETS, "a pair needs two folders: the source's and the target's")
    recordings = [_recordings(folder) for folder in folders]
    speakers = [own[0].speaker for own in recordings]
    require(len(set(speakers)) == len(speakers), f"both folders are called {speakers[0]!r}: rename one")
    beside = output.absolute().parent
    make_directory(beside)
    work = inside(beside, "data") / "-".join(speakers)
    recordings = [prepare.linked(prepare.cut(own, work), work) for own in recordings]
    held_out = _held_out(recordings)
    learners = recordings[-1:] if method.serves == TARGETS else recordings
    corpus.write(work / "train", [u for own in learners for u in own if u.id not in held_out])
    for own in recordings:
        corpus.write(work / "held_out" / own[0].speaker, [u for u in own if u.id in held_out])
    _say_what_is_there(recordings, held_out)
    log.info("method: %s; vc-train --configs lists others for --config", sections["method"])
    config = chosen_config(sections.get("features", {}), work / "train", jobs)
    features = work / config.kind
    report = extract(work / "train", features, config, jobs)
    for failure in report.failures:
        log.warning("left out: %s", failure)
    target = speakers[-1]
    learnt = (target,) if method.serves == TARGETS else tuple(speakers)
    step = train(Request(features, learnt, output, sections, device=device))
    if len(folders) == 1:
        return Voice(output, target, step)
    return _measured(Voice(output, target, step), work, speakers[0], jobs, measures)


def _recordings(folder: Path) -> list[Utterance]:
    """A speaker's, named after the folder."""
    folder = folder.absolute()
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    return prepare.from_folders(folder.parent, [folder.name])


def _held_out(recordings: Sequence[Sequence[Utterance]]) -> set[str]:
    """Ids of those that are kept for the measurement: of the sentences that all say, if there are any, else of each."""
    names = [{u.sentence: u.id for u in own} for own in recordings]
    shared = sorted(set.intersection(*(set(own) for own in names))) if len(names) > 1 else []
    held = set()
    for own, named in zip(recordings, names):
        choice = [named[sentence] for sentence in shared] or [u.id for u in own]
        count = max(1, min(HELD_OUT, len(choice) // 2))
        held |= {choice[len(choice) * number // count] for number in range(count)}
        if all(u.id in held for u in own):
            raise DataError(f"{own[0].speaker}: too few recordings: one is held out, and none is left; add some")
    return held


def _say_what_is_there(recordings: Sequence[Sequence[Utterance]], held_out: set[str]) -> None:
    for own in recordings:
        left = [u for u in own if u.id not in held_out]
        seconds = sum(audio.info(u.path).seconds for u in left)
        who = shown(own[0].speaker, own[0].speaker_name)
        log.info("%s: %d recordings, %.1f minutes, and %d held out", who, len(left), seconds / 60, len(own) - len(left))
    if seconds < LITTLE:
        log.warning("%s: under %.0f minutes of the target: likeness and words are lost", who, LITTLE / 60)


def _measured(voice: Voice, work: Path, source: str, jobs: int, measures: Sequence[str] | None) -> Voice:
    """Convert the source's held-out recordings and measure them against the target's."""
    converter = Converter.load(voice.model, precision="auto")
    said_by = None if converter.decodes else source
    folder = inside(voice.model, "converted")
    make_directory(folder)
    held_out = corpus.read(work / "held_out" / source)
    for number, utterance in enumerate(held_out, 1):
        log.info("converting %d of %d: %s", number, len(held_out), escaped(utterance.path))
        converter.convert_file(utterance.path, folder / f"{utterance.id}.wav", voice.target, said_by, jobs=jobs)
    asked = Measurement(
        {"converted": folder},
        work / "held_out" / voice.target,
        work / "held_out" / source,
        None if converter.decodes else voice.model,
        measures=measures,
        to=voice.target,
        source_speaker=source,
    )
    results = inside(voice.model, "evaluation")
    evaluation, page = evaluate(asked, results, jobs), results / "report.html"
    write_report(evaluation, page)
    return Voice(voice.model, voice.target, voice.step, evaluation, page)
