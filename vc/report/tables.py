"""The tables of the page: systems by metric, differences, sentences, settings."""

import math
from itertools import groupby
from typing import Any

from vc.evaluate.measure import ANCHORS, says_source
from vc.evaluate.scoreboard import Evaluation
from vc.evaluate.statistics import SystemComparison
from vc.metrics.registry import METRICS, Metric
from vc.report.html import name_of, number, safe

UNITS = {"hz": "Hz", "ms": "ms", "db": "dB", "samples": "samples", "frames": "frames"}
RANKED = ("mcd", "speaker_similarity", "phone_error", "gv_ratio")  # the first that there is ranks sentences
CHANCE = 0.05


def figures(evaluation: Evaluation) -> str:
    """A row a metric and a column a system, with 95 % intervals; runs of one system are summed up behind it."""
    shown = [*evaluation.systems, *(anchor for anchor in ANCHORS if anchor in evaluation.scores)]
    heads = "".join(f"<th scope='col' class='{_kind(system)}'>{safe(name_of(system))}</th>" for system in shown)
    heads += "".join(f"<th scope='col' class='anchor'>{safe(system)}, all runs</th>" for system in evaluation.runs)
    body = ""
    for group, names in groupby(evaluation.metrics, key=lambda name: METRICS[name].group):
        columns = 1 + len(shown) + len(evaluation.runs)
        body += f"<tr class='group'><th scope='colgroup' colspan='{columns}'>{group}</th></tr>"
        body += "".join(_figures_row(evaluation, name, shown) for name in names)
    return f"<table class='figures'><thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _figures_row(evaluation: Evaluation, name: str, shown: list[str]) -> str:
    metric = METRICS[name]
    cells = "".join(_figure(evaluation, name, system) for system in shown)
    for spread in evaluation.runs.values():
        mean, deviation = number(spread[name].mean, name), number(spread[name].deviation, name)
        cells += f"<td>{mean}<small>&plusmn; {deviation}, {spread[name].runs} runs</small></td>"
    return (
        f"<tr><th scope='row'><abbr title='{safe(metric.definition)}'>{metric.label}</abbr>"
        f"<small>{metric.unit}{', ' * bool(metric.unit)}{metric.best}</small></th>{cells}</tr>"
    )


def _figure(evaluation: Evaluation, name: str, system: str) -> str:
    scores = evaluation.scores[system]
    low, high = (number(end, name) for end in scores.intervals[name])
    span = f"<small>{low} to {high}</small>" if "-" not in (low, high) else ""
    return f"<td class='{_kind(system)}'>{number(scores.means[name], name)}{span}</td>"


def _kind(system: str) -> str:
    return "anchor" if system in ANCHORS else "system"


def comparisons(evaluation: Evaluation) -> str:
    """Which differences are more than chance."""
    if not evaluation.comparisons:
        return ""
    rows = "".join(map(_comparison, evaluation.comparisons))
    heads = ("metric", "system", "less", "difference", "p", "the system is")
    head = "".join(f"<th scope='col'>{text}</th>" for text in heads)
    return (
        "<details><summary>Differences that are more than chance</summary><p>Sentence by sentence, with the p of a"
        " randomisation test of signs, corrected for the number of comparisons by each metric (Holm).</p>"
        "<div class='wide' tabindex='0' role='region' aria-label='Differences'>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _comparison(each: SystemComparison) -> str:
    metric, difference = METRICS[each.metric], each.found.difference
    low, high = (number(end, each.metric) for end in each.found.interval)
    cells = (
        safe(name_of(each.one)),
        safe(name_of(each.other)),
        f"{difference:+.{metric.decimals}f} {metric.unit}<small>{low} to {high}</small>",
        _chance(each.p_holm),
        _said(metric, difference, each.p_holm),
    )
    return f"<tr><th scope='row'>{metric.label}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _said(metric: Metric, difference: float, p: float) -> str:
    if p > CHANCE or difference == 0:
        return "not told apart"
    return "better" if metric.fault(difference) < metric.fault(-difference) else "worse"


def _chance(p: float) -> str:
    return "&lt; 0.001" if p < 0.001 else f"{p:.3f}"


def ranked_by(evaluation: Evaluation) -> str:
    """The metric by which sentences are ranked."""
    rows = evaluation.scores[evaluation.systems[0]].rows
    return next(name for name in RANKED if all(math.isfinite(row.get(name, math.nan)) for row in rows))


def sentences(evaluation: Evaluation) -> str:
    """Every sentence, the first system's worst first; a click on a heading sorts."""
    first, metric = evaluation.systems[0], ranked_by(evaluation)
    known = {name for row in evaluation.scores[first].rows for name in row}
    own = [metric, *(name for name in METRICS if name in known and name != metric)]
    others = [name for name in evaluation.scores if name != first and _comparable(evaluation, name, metric)]
    label = METRICS[metric].label
    titles = [
        "sentence",
        *(METRICS[name].label for name in own),
        *(f"{label}, {name_of(name).lower()}" for name in others),
    ]
    heads = "".join(f"<th scope='col'><button type='button'>{safe(title)}</button></th>" for title in titles)
    rows = []
    for index, sentence in enumerate(evaluation.sentences):
        values = [(name, evaluation.scores[first].rows[index].get(name, math.nan)) for name in own]
        values += [(metric, evaluation.scores[name].rows[index].get(metric, math.nan)) for name in others]
        cells = "".join(f"<td>{number(value, name)}</td>" for name, value in values)
        rows.append((METRICS[metric].fault(values[0][1]), f"<tr><th scope='row'>{safe(sentence)}</th>{cells}</tr>"))
    body = "\n".join(row for _, row in sorted(rows, key=lambda row: -row[0]))
    order = "ascending" if METRICS[metric].fault(2) < METRICS[metric].fault(1) else "descending"
    return f"<table class='sortable' data-order='{order}'><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _comparable(evaluation: Evaluation, system: str, metric: str) -> bool:
    """Whether a system has the metric of the same sentences."""
    return (evaluation.parallel or says_source(system)) and any(metric in row for row in evaluation.scores[system].rows)


def definitions(evaluation: Evaluation) -> str:
    """What each figure is, and whose idea it was."""
    items = ""
    for name in evaluation.metrics:
        metric = METRICS[name]
        source = f" ({safe(metric.source)})" if metric.source else ""
        items += f"<dt>{metric.label}<small>{name}</small></dt><dd>{safe(metric.definition)}{source}</dd>"
    return f"<dl>{items}</dl>"


def mapping(content: dict[str, Any], verbatim: bool = False) -> str:
    """Nested settings as nested lists of terms; what stands below a setting has names of its own, kept `verbatim`."""
    items = ""
    for key, value in content.items():
        if key not in ("metrics", "sources", "units"):  # definitions() tells them
            shown = mapping(value, True) if isinstance(value, dict) else safe(_plain(value))
            items += f"<dt>{safe(key if verbatim else _term(key))}</dt><dd>{shown}</dd>"
    return f"<dl>{items}</dl>"


def _term(key: str) -> str:
    """`sample_rate_hz` becomes `sample rate, Hz`."""
    *words, last = key.split("_")
    return " ".join(words) + f", {UNITS[last]}" if last in UNITS else " ".join([*words, last])


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return (" to " if len(value) == 2 and not isinstance(value[0], str) else ", ").join(map(str, value))
    return "not given" if value is None else str(value)
