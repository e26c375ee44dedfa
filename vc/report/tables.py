"""The tables of the page as rows of cells: systems by metric, differences, sentences; terms and what they stand for."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from vc.evaluate.measure import ANCHORS, says_source
from vc.evaluate.scoreboard import Evaluation
from vc.evaluate.statistics import SystemComparison
from vc.metrics.registry import METRICS, Metric
from vc.report.html import name_of, number

UNITS = {"hz": "Hz", "ms": "ms", "db": "dB", "samples": "samples", "frames": "frames"}
# The first that there is ranks sentences
RANKED = ("mcd", "speaker_similarity", "phone_error", "content_distance", "gv_ratio")
# Rows that stand first
FIRST = ("speaker_similarity", "timbre_distance", "phone_error", "content_distance", "distillmos", "mcd", "gv_ratio")
CHANCE = 0.05


class Cell(NamedTuple):
    """What stands in a table, and how it is marked."""

    text: str
    below: str = ""  # in smaller letters
    kind: str = ""
    title: str = ""  # seen when the pointer rests on it


class Table(NamedTuple):
    """Rows of cells, each with a heading in front."""

    heads: list[Cell]
    rows: list[list[Cell]]
    order: str = ""  # of the second column, where headings sort


def figures(evaluation: Evaluation) -> Table:
    """A row a metric and a column a system, with 95 % intervals; runs of one system are summed up behind it."""
    systems = [*evaluation.systems, *(anchor for anchor in ANCHORS if anchor in evaluation.scores)]
    heads = [Cell(""), *(Cell(name_of(system), kind=_kind(system)) for system in systems)]
    heads += [Cell(f"{system}, all runs") for system in evaluation.runs]
    names = [name for name in FIRST if name in evaluation.metrics]
    names += [name for name in evaluation.metrics if name not in names]
    return Table(heads, [_figures_row(evaluation, name, systems) for name in names])


def _figures_row(evaluation: Evaluation, name: str, systems: Sequence[str]) -> list[Cell]:
    metric = METRICS[name]
    below = ", ".join(filter(None, (metric.group, metric.unit, metric.best)))
    cells = [Cell(metric.label, below, title=metric.definition)]
    for system in systems:
        scores = evaluation.scores[system]
        low, high = (number(end, name) for end in scores.intervals[name])
        span = f"{low} to {high}" if "-" not in (low, high) else ""
        cells.append(Cell(number(scores.means[name], name), span, _kind(system)))
    for spread in evaluation.runs.values():
        mean, deviation = number(spread[name].mean, name), number(spread[name].deviation, name)
        cells.append(Cell(mean, f"\u00b1 {deviation}, {spread[name].runs} runs"))
    return cells


def _kind(system: str) -> str:
    return "anchor" if system in ANCHORS else "system"


def differences(evaluation: Evaluation) -> Table:
    """Which differences are more than chance, by the metrics of the page."""
    heads = ("metric", "system", "less", "difference", "p", "the system is")
    compared = [each for each in evaluation.comparisons if each.metric in evaluation.metrics]
    return Table([Cell(text) for text in heads], [_difference(each) for each in compared])


def _difference(each: SystemComparison) -> list[Cell]:
    metric, difference = METRICS[each.metric], each.found.difference
    low, high = (number(end, each.metric) for end in each.found.interval)
    return [
        Cell(metric.label),
        Cell(name_of(each.one)),
        Cell(name_of(each.other)),
        Cell(f"{difference:+.{metric.decimals}f} {metric.unit}", f"{low} to {high}"),
        Cell("< 0.001" if each.p_holm < 0.001 else f"{each.p_holm:.3f}"),
        Cell(_said(metric, difference, each.p_holm)),
    ]


def _said(metric: Metric, difference: float, p: float) -> str:
    if p > CHANCE or difference == 0:
        return "not told apart"
    return "better" if metric.fault(difference) < metric.fault(-difference) else "worse"


def ranked_by(evaluation: Evaluation) -> str:
    """The metric by which sentences are ranked."""
    rows = evaluation.scores[evaluation.systems[0]].rows
    return next(name for name in RANKED if all(math.isfinite(row.get(name, math.nan)) for row in rows))


def sentences(evaluation: Evaluation) -> Table:
    """Every sentence, the first system's worst first. Columns that are empty, or of no metric shown, are left out."""
    first, metric = evaluation.systems[0], ranked_by(evaluation)
    known = {name for row in evaluation.scores[first].rows for name in row}
    own = [metric, *(name for name in evaluation.metrics if name in known and name != metric)]
    columns = {METRICS[name].label: (name, first) for name in own}
    label = METRICS[metric].label
    for system in evaluation.scores:
        if system != first and _comparable(evaluation, system, metric):
            columns[f"{label}, {name_of(system).lower()}"] = metric, system
    shown: dict[str, list[str]] = {}
    for head, (name, system) in columns.items():
        cells = [number(row.get(name, math.nan), name) for row in evaluation.scores[system].rows]
        if set(cells) != {"-"}:
            shown[head] = cells
    fault = METRICS[metric].fault
    values = [row[metric] for row in evaluation.scores[first].rows]
    order = sorted(range(len(values)), key=lambda index: -fault(values[index]))
    names = [evaluation.called[sentence] for sentence in evaluation.sentences]
    return Table(
        [Cell("sentence"), *map(Cell, shown)],
        [[Cell(names[index]), *(Cell(cells[index]) for cells in shown.values())] for index in order],
        "ascending" if fault(2) < fault(1) else "descending",
    )


def _comparable(evaluation: Evaluation, system: str, metric: str) -> bool:
    """Whether a system has the metric of the same sentences."""
    return (evaluation.parallel or says_source(system)) and any(metric in row for row in evaluation.scores[system].rows)


def definitions(evaluation: Evaluation) -> list[tuple[str, str]]:
    """What each figure is, and whose idea it was."""
    told = []
    for name in evaluation.metrics:
        metric = METRICS[name]
        told.append((metric.label, f"{metric.definition}{f' ({metric.source})' if metric.source else ''}"))
    return told


def settings(content: dict[str, Any], verbatim: bool = False) -> list[tuple[str, Any]]:
    """Terms and what they are set to; what stands below a setting has names of its own, kept `verbatim`."""
    return [
        (key if verbatim else _term(key), settings(value, True) if isinstance(value, dict) else _plain(value))
        for key, value in content.items()
        if key not in ("metrics", "sources", "units")  # definitions() tells them
    ]


def _term(key: str) -> str:
    """`sample_rate_hz` becomes `sample rate, Hz`."""
    *words, last = key.split("_")
    return " ".join(words) + f", {UNITS[last]}" if last in UNITS else " ".join([*words, last])


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return (" to " if len(value) == 2 and not isinstance(value[0], str) else ", ").join(map(str, value))
    return "not given" if value is None else str(value)
