"""One page for several evaluations, for example of many speaker pairs: results, and links to the reports."""

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple
from urllib.parse import quote

from vc import phrases
from vc.config import read_json
from vc.errors import ConfigError, DataError
from vc.evaluate.headline import CONTENT, VOICE
from vc.evaluate.several import Content, evaluation_figures, half_interval, sentence_figures
from vc.evaluate.verdict import GOOD, UNCHECKED
from vc.files import make_directory, write_text
from vc.metrics.registry import METRICS, SUMMARY
from vc.report.html import as_number, name_of, render

INTERVAL = "\N{PLUS-MINUS SIGN} half of the 95 % interval over pairs and sentences; timbre: over sentences alone"


class Row(NamedTuple):
    """One system of one evaluation."""

    name: str
    report: str  # relative URL of the evaluation's page; empty for a mean
    headline: str
    grades: dict[str, str]  # by aspect
    figures: dict[str, str]  # by metric, formatted


def write_pairs(results: Sequence[Path], path: Path) -> str:
    """Write one page for several evaluations.

    Parameters
    ----------
    results : sequence of Path
        Output folders of evaluations.
    path : Path
        The page.

    Returns
    -------
    str
        The page's headline.

    Raises
    ------
    DataError
        If a folder has no metrics.json, or one of an incompatible version.
    ConfigError
        If the page would overwrite an evaluation's own.
    """
    for folder in results:
        if folder.resolve() == path.parent.resolve():
            raise ConfigError(f"{path}: would overwrite the report of one evaluation; choose another --output")
    contents, rows = [], []
    for folder in results:
        content, rows_of_one = _read(folder, path.parent)
        contents.append(content)
        rows += rows_of_one
    counts = []
    for aspect, claim in ((VOICE, "sound like their target"), (CONTENT, "keep the words")):
        grades = [row.grades.get(aspect, UNCHECKED) for row in rows]
        unchecked = grades.count(UNCHECKED)
        count = f"{grades.count(GOOD)} of {len(grades) - unchecked}"
        counts.append(f"{count} checked {claim} ({unchecked} {UNCHECKED})" if unchecked else f"{count} {claim}")
    headline = f"{phrases.count(len(rows), 'conversion')}: {'; '.join(counts)}."
    metrics = [name for name in SUMMARY if any(row.figures[name] != "-" for row in rows)]
    content = {
        "title": "Voice conversion, many pairs",
        "headline": headline,
        "aspects": list(dict.fromkeys(aspect for row in rows for aspect in row.grades)),
        "metrics": {name: METRICS[name] for name in metrics},
        "rows": [*_means(contents, metrics), *rows],
    }
    make_directory(path.parent)
    write_text(path, render("vc.report", "pairs.html", **content))
    return headline


def _means(contents: Sequence[Content], metrics: Sequence[str]) -> list[Row]:
    """For each system of two or more evaluations, the means over them with their intervals."""
    counts = Counter(system for content in contents for system in content["systems"])
    rows = []
    for system, count in counts.items():
        if count == 1:
            continue
        figures = {}
        for metric in metrics:
            values = evaluation_figures(contents, system, metric)
            half = half_interval(contents, system, metric) if values else None
            spread = "" if half is None else f" \N{PLUS-MINUS SIGN} {as_number(half, metric)}"
            shortage = f" (of {len(values)})" if len(values) < count else ""
            figures[metric] = as_number(fmean(values), metric) + spread + shortage if values else "-"
        rows.append(Row(f"Mean of {count}, {name_of(system)}", "", INTERVAL, {}, figures))
    return rows


def _read(folder: Path, page_folder: Path) -> tuple[Content, list[Row]]:
    """An evaluation's metrics.json, and a row for each of its systems."""
    path = folder / "metrics.json"
    report = quote(os.fsencode(os.path.relpath(folder / "report.html", page_folder)))
    try:
        content = read_json(path)
        several = len(content["headlines"]) > 1
        rows = []
        for system, sentence in content["headlines"].items():
            name = f"{content['title']}{f', {name_of(system)}' if several else ''}"
            grades = {finding["aspect"]: finding["grade"] for finding in content["verdicts"][system]}
            values = {metric: content["systems"][system][metric] for metric in SUMMARY}
            figures = {metric: "-" if value is None else as_number(value, metric) for metric, value in values.items()}
            rows.append(Row(name, report, sentence, grades, figures))
        content = {part: content[part] for part in ("systems", "anchors", "utterances")}
        for metric, system in itertools.product(SUMMARY, content["systems"]):  # what `_means` reads, to name the file
            half_interval([content], system, metric)
            sentence_figures([content], system, metric)
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not an evaluation of this version ({error}); run vc-evaluate again") from error
    return content, rows
