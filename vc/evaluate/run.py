"""Converted sets against the target's recordings: figures beside their anchors, with counts and intervals.

Every system is measured on its waveforms by the same analysis, so that copy-synthesis, the target's own recordings
taken apart and put together again, is the floor that no conversion through the vocoder can be expected to pass.
"""

import json
import logging
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from vc.errors import ConfigError
from vc.evaluate.anchors import Direction, find_direction
from vc.evaluate.cycle import measure_cycle
from vc.evaluate.hearing import NOT_NAMED, choose_measures
from vc.evaluate.match import Matched, Recordings, Side, match, read_side
from vc.evaluate.measure import ANCHORS, MODEL, REFERENCE, UNCONVERTED, Measured, Settings, measure, says_source
from vc.evaluate.request import Request
from vc.evaluate.scoreboard import Evaluation, configuration, to_json
from vc.evaluate.sentences import check_sentences
from vc.evaluate.stages import Run, add_anchors, common_config
from vc.evaluate.statistics import SystemComparison, compare_systems, runs_of, spread_of_runs, system_of
from vc.evaluate.verdict import Evidence, Finding, judge, judge_cycle
from vc.files import write_text
from vc.metrics.conventions import rate_of
from vc.metrics.scores import Scores, summarise
from vc.train.log import read as read_log

NAMED = 5  # recordings that a note spells out
ENOUGH = 10  # sentences; with fewer, a note warns
log = logging.getLogger(__name__)


def evaluate(request: Request, output: Path, jobs: int = 1) -> Evaluation:
    """Measure what is asked for; write `output`/metrics.json, and the recordings of anchors to `output`/anchors."""
    sides = _read_sides(request, output / "anchors")
    matched = match(sides, request.other_sentences, request.match)
    direction = _direction(request, sides) if request.model else None
    systems = {UNCONVERTED if side == "source" else side: own for side, own in matched.recordings.items()}
    run = Run(systems, jobs, _texts(matched, sides))
    measures, left_out = choose_measures(request.measures)
    run.note(
        *_few(matched),
        *_missing(request),
        *_unsure(request, sides, direction),
        *(line for line in left_out if line != NOT_NAMED),
        *_not_parallel(matched, request),
        *_left_over(matched.left_over),
    )
    run.notes += [line for line in left_out if line == NOT_NAMED]  # no warning: nothing is missing
    config = common_config(run, list(request.converted), direction)
    ranges = add_anchors(run, config, direction, output / "anchors")
    conventions = {name: rate_of(name, config.sample_rate) for name in request.conventions}
    run.note(*_resampled(conventions, config.sample_rate))
    settings = Settings(config, ranges, measures, conventions, run.mixed_rates)
    models = f", asking models of speech: {', '.join(measures)}" if measures else ""
    measured = run.each(partial(measure, settings=settings), f"measuring{models}")
    left = run.left()
    source, target = _people(sides, direction)
    run.note(*_remarks(left, measured))
    evaluation = Evaluation(
        title=f"{source} to {target}" if source else f"to {target}",
        source=source,
        target=target,
        called=_called(left),
        texts=run.texts,
        systems=list(request.converted),
        parallel=matched.parallel,
        **_findings(left, measured, list(request.converted), direction, matched.parallel),
        training=read_log(_experiment(request.model)) if request.model else [],
        recordings=left,
        f0={system: {name: measured[name][system].f0 for name in own} for system, own in left.items()},
        configuration=configuration(settings, request, direction, bool(run.texts)),
        counts=_counts(sides, matched, run),
        unmatched=matched.left_over,
        failures=list(run.failed.values()),
        notes=run.notes,
    )
    write_text(output / "metrics.json", json.dumps(to_json(evaluation), indent=1, allow_nan=False) + "\n")
    return evaluation


def _read_sides(request: Request, made: Path) -> dict[str, Side]:
    """The recordings of every side; those in `made` are anchors, which are written anew."""
    for folder in request.folders.values():
        if folder.resolve().is_relative_to(made.resolve()):
            raise ConfigError(f"{folder}: lies in {made}, which is written anew; choose another --output")
    return {name: read_side(folder, made) for name, folder in request.folders.items()}


def _findings(
    recordings: dict[str, Recordings],
    measured: dict[str, dict[str, Measured]],
    systems: list[str],
    direction: Direction | None,
    parallel: bool,
) -> dict[str, Any]:
    """What an Evaluation holds of figures, and of what they say."""
    log.info("comparing the sets")
    scores = _scores(recordings, measured, parallel)
    comparisons = compare_systems(scores, systems)
    cycle = measure_cycle(list(recordings[UNCONVERTED].values()), direction) if direction else None
    judged = _verdicts(scores, systems, comparisons)
    sentences = _sentences(recordings, measured, parallel)
    judged = {system: [*filter(None, [sentences]), *found] for system, found in judged.items()}
    return {
        "scores": scores,
        "comparisons": comparisons,
        "runs": spread_of_runs(scores, systems),
        "cycle": cycle,
        "verdicts": judged | ({MODEL: [judge_cycle(cycle)]} if cycle else {}),
    }


def _sentences(
    recordings: dict[str, Recordings], measured: dict[str, dict[str, Measured]], parallel: bool
) -> Finding | None:
    """Where names and data disagree on what the target says."""
    sides = [
        [measured[name][side].observation.spoken for name in recordings.get(side, ())]
        for side in (UNCONVERTED, REFERENCE)
    ]
    return check_sentences(*sides, parallel) if all(map(all, sides)) else None


def _texts(matched: Matched, sides: dict[str, Side]) -> dict[str, str]:
    """Sentence -> what it says, from the first side that tells."""
    found: dict[str, str] = {}
    for name, own in matched.recordings.items():
        texts = sides[name].texts
        found = {sentence: texts[each.id] for sentence, each in own.items() if each.id in texts} | found
    return found


def _remarks(recordings: dict[str, Recordings], measured: dict[str, dict[str, Measured]]) -> list[str]:
    """A note for each reason why recordings of a system have no figure by a measure."""
    named: dict[tuple[str, str], list[str]] = {}
    for system, own in recordings.items():
        for sentence in own:
            for remark in measured[sentence][system].remarks:
                named.setdefault((system, remark), []).append(sentence)
    return [f"{system}: {remark} ({_some(sentences)})" for (system, remark), sentences in named.items()]


def _speakers(sides: dict[str, Side]) -> tuple[str | None, str | None]:
    """The source's name and the target's, as far as data directories tell them."""
    return (sides["source"].speaker if "source" in sides else None), sides[REFERENCE].speaker


def _people(sides: dict[str, Side], direction: Direction | None) -> tuple[str, str]:
    """What people call the source, empty where nothing tells, and the target."""
    meant = {"source": direction.source, REFERENCE: direction.target} if direction else {}

    def called(name: str) -> str:
        return (sides[name].speaker is None and meant.get(name)) or sides[name].called

    return called("source") if "source" in sides else "", called(REFERENCE)


def _called(recordings: dict[str, Recordings]) -> dict[str, str]:
    """Sentence -> the name of its recording as people know it; the sentence itself where two would be called alike.

    The source's tells, or else the target's where it says the sentence: converted ones are often called after ids.
    """
    first = next(iter(recordings.values()))
    names = {}
    for sentence in first:
        sides = (recordings[side] for side in (UNCONVERTED, REFERENCE) if side in recordings)
        known = next((side[sentence] for side in sides if sentence in side), first[sentence])
        names[sentence] = known.path.stem if known.start is None else f"{known.path.stem}, {known.start:.1f} s on"
    counts = Counter(names.values())
    return {sentence: name if counts[name] == 1 else sentence for sentence, name in names.items()}


def _direction(request: Request, sides: dict[str, Side]) -> Direction:
    """Who is converted to whom: as the request says, else as data directories tell, else the model's own way."""
    source, target = _speakers(sides)
    return find_direction(request.model, request.source_speaker or source, request.to or target)


def _unsure(request: Request, sides: dict[str, Side], direction: Direction | None) -> list[str]:
    if direction is None or request.to or request.source_speaker or any(_speakers(sides)):
        return []
    way = f"{direction.source or 'anyone'} to {direction.target}"
    return [f"taken for {way}, the model's first way, for neither speaker's name is given"]


def _experiment(model: Path) -> Path:
    """The directory of a model."""
    return model if model.is_dir() else model.parent


def _few(matched: Matched) -> list[str]:
    count = len(next(iter(matched.recordings.values())))
    few = f"only {count} sentence{'s' * (count > 1)}: figures, intervals and verdicts are rough"
    return [few] if count < ENOUGH else []


def _missing(request: Request) -> list[str]:
    if request.source is None:
        return ["no source was given: figures that need it, and the source as it is, are left out"]
    return [] if request.model else ["no model is given: how good means and variances alone would be is left out"]


def _not_parallel(matched: Matched, request: Request) -> list[str]:
    if matched.parallel:
        return []
    names = [next(iter(matched.recordings[side])) for side in (next(iter(request.converted)), REFERENCE)]
    return [
        f"the reference says other sentences ({names[1]!r}, not {names[0]!r}): what compares sentences is left out,"
        " distances between the sets are measured"
    ]


def _resampled(conventions: dict[str, int], rate: int) -> list[str]:
    return [
        f"{name} compares at {own} Hz or more: recordings at {rate} Hz were brought to that, and have nothing above"
        for name, own in conventions.items()
        if own > rate
    ]


def _left_over(left_over: dict[str, list[str]]) -> list[str]:
    return [
        f"{side}: {len(names)} left over without a match: {_some(names)}" for side, names in left_over.items() if names
    ]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _scores(
    recordings: dict[str, Recordings], measured: dict[str, dict[str, Measured]], parallel: bool
) -> dict[str, Scores]:
    observed = {system: [measured[name][system].observation for name in own] for system, own in recordings.items()}
    source = observed.get(UNCONVERTED)
    return {
        system: summarise(
            own,
            observed[REFERENCE],
            source if parallel or says_source(system) else None,
            parallel or not says_source(system),
        )
        for system, own in observed.items()
    }


def _verdicts(
    scores: dict[str, Scores], systems: list[str], comparisons: list[SystemComparison]
) -> dict[str, list[Finding]]:
    """System -> findings."""
    anchors, groups = {name: scores[name] for name in scores if name in ANCHORS}, runs_of(systems)
    verdicts = {}
    for system in systems:
        group = system_of(system)
        own = [each for each in comparisons if each.one == group and each.other in anchors]
        verdicts[system] = judge(Evidence(scores[system], anchors, own, len(groups[group])))
    return verdicts


def _counts(sides: dict[str, Side], matched: Matched, run: Run) -> dict[str, int]:
    recordings = {name: len(side.recordings) for name, side in sides.items()}
    left_over = sum(map(len, matched.left_over.values()))
    utterances = len(next(iter(run.left().values())))
    return {"utterances": utterances, **recordings, "unmatched": left_over, "failed": len(run.failed)}
