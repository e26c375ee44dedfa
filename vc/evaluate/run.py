"""A converted set against the target's recordings: figures beside their anchors, with counts and intervals.

Every system is measured on its waveforms by the same analysis, so that copy-synthesis, the target's own recordings
taken apart and put together again, is the floor that no conversion through the vocoder can be expected to pass.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vc import audio
from vc.errors import ConfigError, DataError
from vc.evaluate.anchors import Direction, copy_synthesis, find_direction, mean_variance
from vc.evaluate.match import Recordings, Side, match, read_side
from vc.evaluate.scoreboard import Evaluation, configuration, to_json
from vc.features import mel_cepstrum, pitch, world
from vc.features.world import F0Range, WorldConfig
from vc.files import write_text
from vc.metrics.scores import Movement, Scores, Track, compare, summarise
from vc.parallel import mapped

SYSTEM_OF = {"converted": "converted", "reference": "reference", "source": "unconverted"}  # side -> system
SYSTEMS = ("converted", "unconverted", "mean_variance", "copy_synthesis")  # the anchors from the second on
log = logging.getLogger(__name__)
NAMED = 5  # left-over recordings that a note spells out


class _Item(NamedTuple):
    """A sentence's work: its recordings by system."""

    sentence: str
    recordings: Recordings


class _Measured(NamedTuple):
    """One recording's figures."""

    figures: dict[str, float]
    movement: Movement
    f0: np.ndarray


@dataclass
class _Run:
    """What the stages share. A sentence that fails in one stage is out of all, so that systems stay comparable."""

    recordings: dict[str, Recordings]  # of each system and of `reference`; grows by the anchors
    jobs: int
    notes: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # sentence -> line

    @property
    def sentences(self) -> list[str]:
        left = [sentence for sentence in self.recordings["reference"] if sentence not in self.failed]
        if not left:
            raise DataError(*self.failed.values())
        return left

    def note(self, text: str) -> None:
        log.warning(text)
        self.notes.append(text)

    def each(self, work: Callable[[_Item], Any], title: str, jobs: int | None = None) -> dict[str, Any]:
        """Sentence -> `work(item)`, without the sentences that fail."""
        systems = self.recordings.items()
        items = [_Item(name, {system: recordings[name] for system, recordings in systems}) for name in self.sentences]
        results = {}
        for item, result in mapped(work, items, jobs or self.jobs, title):
            if isinstance(result, DataError):
                self.failed[item.sentence] = f"{item.sentence}: {result}"
            results[item.sentence] = result
        return {sentence: results[sentence] for sentence in self.sentences}


def evaluate(
    converted: Path, reference: Path, source: Path | None, model: Path | None, output: Path, jobs: int = 1
) -> Evaluation:
    """Measure the recordings of `converted` against `reference`'s; write `output`/metrics.json.

    Each is a folder of recordings or a data directory of one speaker. `source` gives the anchor `unconverted`, and
    `model` with it `mean_variance`. The recordings of anchors that are made go to `output`/anchors.
    """
    if model and not source:
        raise ConfigError("--model needs --source: the anchor mean_variance is made of the source's recordings")
    folders = {"converted": converted, "reference": reference, "source": source}
    sides = {name: read_side(folder, output / "anchors") for name, folder in folders.items() if folder is not None}
    recordings, unmatched = match(sides)
    direction = find_direction(model, *_speakers(sides)) if source and model else None
    systems = {SYSTEM_OF[side]: found for side, found in recordings.items()}
    run = _Run(systems, jobs)
    for note in _missing(source, model) + _left_over(unmatched):
        run.note(note)
    config = _common_config(run, direction)
    ranges = _add_anchors(run, config, direction, output / "anchors")
    measured = run.each(partial(_measure, config=config, ranges=ranges), "metrics")
    evaluation = Evaluation(
        title=_title(sides, direction),
        sentences=list(measured),
        scores=_scores(list(measured.values())),
        recordings=run.recordings,
        f0={system: {name: each[system].f0 for name, each in measured.items()} for system in run.recordings},
        configuration=configuration(config, ranges, folders, direction),
        counts=_counts(sides, unmatched, run),
        unmatched=unmatched,
        failures=list(run.failed.values()),
        notes=run.notes,
    )
    write_text(output / "metrics.json", json.dumps(to_json(evaluation), indent=1, allow_nan=False) + "\n")
    return evaluation


def _speakers(sides: dict[str, Side]) -> tuple[str | None, str | None]:
    """The source's name and the target's, as far as data directories tell them."""
    return (sides["source"].speaker if "source" in sides else None), sides["reference"].speaker


def _title(sides: dict[str, Side], direction: Direction | None) -> str:
    source, target = (direction.source, direction.target) if direction else _speakers(sides)
    if source and target:
        return f"{source} to {target}"
    return f"{sides['converted'].folder} against {target or sides['reference'].folder}"


def _missing(source: Path | None, model: Path | None) -> list[str]:
    if source is None:
        return ["no --source: the anchors unconverted and mean_variance are left out"]
    return [] if model else ["no --model: the anchor mean_variance is left out"]


def _left_over(unmatched: dict[str, list[str]]) -> list[str]:
    notes = []
    for side, names in unmatched.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        if names:
            notes.append(f"{side}: {len(names)} left over without a match: {', '.join(names[:NAMED])}{more}")
    return notes


def _common_config(run: _Run, direction: Direction | None) -> WorldConfig:
    """Analysis at the highest rate that we know and that no recording lies below; the converted ones must agree."""
    rates = run.each(_rates, "sample rates", jobs=1)
    converted = {each["converted"]: sentence for sentence, each in rates.items()}
    if len(converted) > 1:
        found = ", ".join(f"{sentence} has {rate} Hz" for rate, sentence in sorted(converted.items()))
        raise DataError(f"the converted recordings differ in sample rate: {found}")
    everyone = {rate for each in rates.values() for rate in each.values()} | (
        {direction.sample_rate} if direction else set()
    )
    usable = [rate for rate in mel_cepstrum.SETTINGS if rate <= min(everyone)]
    if not usable:
        raise DataError(
            f"a recording at {min(everyone)} Hz is below {min(mel_cepstrum.SETTINGS)} Hz, the lowest measured"
        )
    if max(usable) not in converted:
        run.note(f"measured at {max(usable)} Hz; the converted recordings have {min(converted)} Hz")
    return WorldConfig(max(usable))


def _add_anchors(run: _Run, config: WorldConfig, direction: Direction | None, folder: Path) -> dict[str, F0Range]:
    """Make the anchors' recordings; return every system's F0 search range."""
    ranges = _find_ranges(run, list(run.recordings), config)
    makers = _makers(folder, config, ranges["reference"], direction)
    made = run.each(partial(_make, makers=makers), "anchors")
    run.recordings.update({system: {name: made[name][system] for name in made} for system in makers})
    return ranges | _find_ranges(run, list(makers), config)


def _find_ranges(run: _Run, systems: Sequence[str], config: WorldConfig) -> dict[str, F0Range]:
    """Each system's F0 search range, from its own recordings; a system without a voice is searched widely."""
    voiced = run.each(partial(_voiced, systems=systems, config=config), "F0 ranges")
    ranges = {}
    for system in systems:
        try:
            ranges[system] = pitch.search_range((each[system] for each in voiced.values()), system)
        except DataError as error:
            ranges[system] = pitch.WIDE
            run.note(f"{error}; searched {pitch.WIDE.floor:g} to {pitch.WIDE.ceiling:g} Hz")
    return ranges


def _makers(folder: Path, config: WorldConfig, f0_range: F0Range, direction: Direction | None) -> dict[str, tuple]:
    """Anchor -> the system it is made of, the function that makes it, and the folder for it."""
    copy = partial(copy_synthesis, config=config, f0_range=f0_range)
    makers = {"copy_synthesis": ("reference", copy, folder / "copy_synthesis")}
    if direction:
        move = partial(mean_variance, direction=direction)
        makers["mean_variance"] = ("unconverted", move, folder / "mean_variance")
    for _, _, place in makers.values():
        place.mkdir(parents=True, exist_ok=True)
    return makers


def _rates(item: _Item) -> dict[str, int]:
    return {system: audio.info(utterance.path).sample_rate for system, utterance in item.recordings.items()}


def _voiced(item: _Item, systems: Sequence[str], config: WorldConfig) -> dict[str, np.ndarray]:
    voiced = {}
    for system in systems:
        samples, _ = item.recordings[system].read(config.sample_rate)
        if not samples.any():
            raise DataError(f"{item.recordings[system].path}: nothing but silence")
        voiced[system] = pitch.first_pass(samples, config)
    return voiced


def _make(item: _Item, makers: dict[str, tuple]) -> Recordings:
    return {
        system: make(item.recordings[origin], folder / f"{item.sentence}.wav")
        for system, (origin, make, folder) in makers.items()
    }


def _measure(item: _Item, config: WorldConfig, ranges: dict[str, F0Range]) -> dict[str, _Measured]:
    tracks = {}
    for system, utterance in item.recordings.items():
        samples, _ = utterance.read(config.sample_rate)
        f0, frames = world.extract(samples, config, ranges[system])
        tracks[system] = Track(frames, f0)
    return {
        system: _Measured(compare(track, tracks["reference"]), Movement.of(track, config.frame_rate), track.f0)
        for system, track in tracks.items()
    }


def _scores(measured: list[dict[str, _Measured]]) -> dict[str, Scores]:
    movements = {system: [each[system].movement for each in measured] for system in measured[0]}
    present = [system for system in SYSTEMS if system in movements]
    figures = {system: [each[system].figures for each in measured] for system in present}
    return {system: summarise(figures[system], movements[system], movements["reference"]) for system in present}


def _counts(sides: dict[str, Side], unmatched: dict[str, list[str]], run: _Run) -> dict[str, int]:
    recordings = {name: len(side.recordings) for name, side in sides.items()}
    left_over = sum(map(len, unmatched.values()))
    return {"utterances": len(run.sentences), **recordings, "unmatched": left_over, "failed": len(run.failed)}
