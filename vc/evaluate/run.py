"""Converted sets against the target's recordings: figures beside their anchors, with counts and intervals.

Every system is measured on its waveforms by the same analysis, so that copy-synthesis, the target's own recordings
taken apart and put together again, is the floor that no conversion through the vocoder can be expected to pass.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

from vc.evaluate.anchors import Direction, find_direction
from vc.evaluate.cycle import Cycle, measure_cycle
from vc.evaluate.hearing import choose_measures
from vc.evaluate.match import Matched, Recordings, Side, match, read_side
from vc.evaluate.measure import ANCHORS, REFERENCE, UNCONVERTED, Measured, Settings, measure, says_source
from vc.evaluate.request import Request
from vc.evaluate.scoreboard import Evaluation, configuration, to_json
from vc.evaluate.stages import Run, add_anchors, common_config
from vc.evaluate.statistics import SystemComparison, compare_systems, spread_of_runs, system_of
from vc.evaluate.verdict import Evidence, Finding, judge
from vc.files import write_text
from vc.metrics.conventions import rate_of
from vc.metrics.scores import Scores, summarise
from vc.train.log import read as read_log

NAMED = 5  # recordings that a note spells out


def evaluate(request: Request, output: Path, jobs: int = 1) -> Evaluation:
    """Measure what is asked for; write `output`/metrics.json, and the recordings of anchors to `output`/anchors."""
    sides = {name: read_side(folder, output / "anchors") for name, folder in request.folders.items()}
    matched = match(sides, request.other_sentences)
    direction = find_direction(request.model, *_speakers(sides)) if request.model else None
    systems = {UNCONVERTED if side == "source" else side: own for side, own in matched.recordings.items()}
    run = Run(systems, jobs, _texts(matched, sides))
    measures, left_out = choose_measures(request.measures)
    run.note(*_missing(request), *left_out, *_not_parallel(matched, request), *_left_over(matched.left_over))
    config = common_config(run, list(request.converted), direction)
    ranges = add_anchors(run, config, direction, output / "anchors")
    conventions = {name: rate_of(name, config.sample_rate) for name in request.conventions}
    settings = Settings(config, ranges, measures, conventions)
    measured = run.each(partial(measure, settings=settings), "metrics")
    left = run.left()
    run.note(*_remarks(left, measured))
    evaluation = Evaluation(
        title=_title(request, sides, direction),
        systems=list(request.converted),
        parallel=matched.parallel,
        **_findings(left, measured, list(request.converted), direction, matched.parallel),
        training=read_log(request.model) if request.model else [],
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


def _findings(
    recordings: dict[str, Recordings],
    measured: dict[str, dict[str, Measured]],
    systems: list[str],
    direction: Direction | None,
    parallel: bool,
) -> dict[str, Any]:
    """What an Evaluation holds of figures, and of what they say."""
    scores = _scores(recordings, measured, parallel)
    comparisons = compare_systems(scores, systems)
    cycle = measure_cycle(list(recordings[UNCONVERTED].values()), direction) if direction else None
    return {
        "scores": scores,
        "comparisons": comparisons,
        "runs": spread_of_runs(scores, systems),
        "cycle": cycle,
        "verdicts": _verdicts(scores, systems, comparisons, cycle),
    }


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


def _title(request: Request, sides: dict[str, Side], direction: Direction | None) -> str:
    source, target = (direction.source, direction.target) if direction else _speakers(sides)
    if source and target:
        return f"{source} to {target}"
    return f"{next(iter(request.converted.values()))} against {target or request.reference}"


def _missing(request: Request) -> list[str]:
    if request.source is None:
        return ["no --source: the anchors unconverted and mean_variance are left out, and what needs the source"]
    return [] if request.model else ["no --model: the anchor mean_variance is left out"]


def _not_parallel(matched: Matched, request: Request) -> list[str]:
    if matched.parallel:
        return []
    names = [next(iter(matched.recordings[side])) for side in (next(iter(request.converted)), REFERENCE)]
    return [
        f"the reference says other sentences ({names[1]!r}, not {names[0]!r}): what compares sentences is left out,"
        " distances between the sets are measured"
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
    scores: dict[str, Scores], systems: list[str], comparisons: list[SystemComparison], cycle: Cycle | None
) -> dict[str, list[Finding]]:
    """System -> findings. The cycle is that of `model`, which is taken for the first system's."""
    anchors = {name: scores[name] for name in scores if name in ANCHORS}
    verdicts = {}
    for system in systems:
        own = [each for each in comparisons if each.one == system_of(system) and each.other in anchors]
        evidence = Evidence(scores[system].means, anchors, own, cycle if system == systems[0] else None)
        verdicts[system] = judge(evidence)
    return verdicts


def _counts(sides: dict[str, Side], matched: Matched, run: Run) -> dict[str, int]:
    recordings = {name: len(side.recordings) for name, side in sides.items()}
    left_over = sum(map(len, matched.left_over.values()))
    utterances = len(next(iter(run.left().values())))
    return {"utterances": utterances, **recordings, "unmatched": left_over, "failed": len(run.failed)}
