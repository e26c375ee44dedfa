"""The tables of the report as rows of cells: metrics by system, differences, sentences; settings as a list."""

import math
from typing import Any, NamedTuple

from vc.evaluate.anchors import ANCHORS, says_source
from vc.evaluate.results import Evaluation
from vc.evaluate.verdict import SIGNIFICANCE
from vc.metrics.registry import METRICS, RANKING, SUMMARY
from vc.report.html import NAMES, as_number, name_of

UNITS = {"hz": "Hz", "ms": "ms", "db": "dB", "samples": "samples", "frames": "frames"}


class Cell(NamedTuple):
    """A cell of a table."""

    text: str
    below: str = ""  # second line, in smaller print
    kind: str = ""  # CSS class
    title: str = ""  # tooltip


class Table(NamedTuple):
    """Rows of cells; the first cell of a row is its heading."""

    heads: list[Cell]
    rows: list[list[Cell]]
    order: str = ""  # initial order of the second column in a sortable table


def figures(evaluation: Evaluation) -> Table:
    """A row per metric and a column per system, with 95 % intervals, then means over the runs of each system."""
    systems = [*evaluation.systems, *(anchor for anchor in ANCHORS if anchor in evaluation.scores)]
    kinds = {system: "anchor" if system in ANCHORS else "system" for system in systems}
    heads = [Cell(""), *(Cell(name_of(system), kind=kinds[system]) for system in systems)]
    heads += [Cell(f"{system}, all runs") for system in evaluation.runs]
    names = [name for name in SUMMARY if name in evaluation.metrics]
    names += [name for name in evaluation.metrics if name not in names]
    rows = []
    for name in names:
        metric = METRICS[name]
        below = ", ".join(filter(None, (metric.group, metric.unit, metric.best)))
        cells = [Cell(metric.label, below, title=metric.definition)]
        for system in systems:
            scores = evaluation.scores[system]
            low, high = (as_number(end, name) for end in scores.intervals[name])
            span = f"{low} to {high}" if "-" not in (low, high) else ""
            cells.append(Cell(as_number(scores.means[name], name), span, kinds[system]))
        for spread in evaluation.runs.values():
            mean, deviation = as_number(spread[name].mean, name), as_number(spread[name].deviation, name)
            cells.append(Cell(mean, f"\u00b1 {deviation}, {spread[name].runs} runs"))
        rows.append(cells)
    return Table(heads, rows)


def differences(evaluation: Evaluation) -> Table:
    """The differences between systems and their significance, by the metrics of the page."""
    heads = ("metric", "system", "minus", "difference", "p", "the system is")
    compared = [comparison for comparison in evaluation.comparisons if comparison.metric in evaluation.metrics]
    rows = []
    for comparison in compared:
        metric, difference, p = METRICS[comparison.metric], comparison.result.difference, comparison.p_holm
        low, high = (as_number(end, comparison.metric) for end in comparison.result.interval)
        if p > SIGNIFICANCE or difference == 0:
            outcome = "not significantly different"
        else:
            outcome = "better" if metric.fault(difference) < metric.fault(-difference) else "worse"
        rows.append(
            [
                Cell(metric.label),
                Cell(name_of(comparison.one)),
                Cell(name_of(comparison.other)),
                Cell(f"{difference:+.{metric.decimals}f} {metric.unit}", f"{low} to {high}"),
                Cell("< 0.001" if p < 0.001 else f"{p:.3f}"),
                Cell(outcome),
            ]
        )
    return Table([Cell(text) for text in heads], rows)


def ranking_metric(evaluation: Evaluation) -> str:
    """The metric by which sentences are ranked: the first of RANKING that all the first system's sentences have."""
    rows = evaluation.scores[evaluation.systems[0]].rows
    return next(name for name in RANKING if all(math.isfinite(row.get(name, math.nan)) for row in rows))


def sentences(evaluation: Evaluation) -> Table:
    """A row per sentence, the first system's worst first, without empty columns."""
    first, metric = evaluation.systems[0], ranking_metric(evaluation)
    present = {name for row in evaluation.scores[first].rows for name in row}
    names = [metric, *(name for name in evaluation.metrics if name in present and name != metric)]
    columns = {(name, first): METRICS[name].label for name in names}
    for system, scores in evaluation.scores.items():
        same_sentences = evaluation.parallel or says_source(system)
        if system != first and same_sentences and any(metric in row for row in scores.rows):
            shown = name_of(system).lower() if system in NAMES else name_of(system)
            columns[metric, system] = f"{METRICS[metric].label}, {shown}"
    heads, texts = [], []
    for (name, system), head in columns.items():
        cells = [as_number(row.get(name, math.nan), name) for row in evaluation.scores[system].rows]
        if set(cells) != {"-"}:
            heads.append(Cell(head))
            texts.append(cells)
    fault = METRICS[metric].fault
    values = [row[metric] for row in evaluation.scores[first].rows]
    order = sorted(range(len(values)), key=lambda index: -fault(values[index]))
    names = [evaluation.recording_names[sentence] for sentence in evaluation.sentences]
    return Table(
        [Cell("sentence"), *heads],
        [[Cell(names[index]), *(Cell(cells[index]) for cells in texts)] for index in order],
        "ascending" if fault(2) < fault(1) else "descending",
    )


def definitions(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Each metric's label, and its definition with the source."""
    metrics = [METRICS[name] for name in evaluation.metrics]
    return [
        (metric.label, f"{metric.definition}{f' ({metric.source})' if metric.source else ''}") for metric in metrics
    ]


def settings(content: dict[str, Any], *, verbatim: bool = False) -> list[tuple[str, Any]]:
    """Settings as terms and values, `sample_rate_hz` as `sample rate, Hz`; nested names are kept `verbatim`."""
    terms = []
    for key, value in content.items():
        if key in ("metrics", "sources", "units"):  # shown by definitions()
            continue
        if not verbatim:
            *words, last = key.split("_")
            key = " ".join(words) + f", {UNITS[last]}" if last in UNITS else " ".join([*words, last])
        if isinstance(value, dict):
            value = settings(value, verbatim=True) or "none"
        elif isinstance(value, list):
            between = " to " if len(value) == 2 and not isinstance(value[0], str) else ", "
            value = between.join(map(str, value)) or "none"
        else:
            value = "not given" if value is None else str(value)
        terms.append((key, value))
    return terms
