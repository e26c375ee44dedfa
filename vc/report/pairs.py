"""Several evaluations, of many pairs of speakers for example, as one page: results, and links to the reports."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from vc import phrases
from vc.config import read_json
from vc.errors import ConfigError, DataError
from vc.evaluate.headline import CONTENT, VOICE
from vc.evaluate.verdict import GOOD, UNCHECKED
from vc.files import make_directory, write_text
from vc.metrics.registry import METRICS, SUMMARY
from vc.report.html import as_number, name_of, render


class Row(NamedTuple):
    """One system of one evaluation."""

    name: str
    report: str  # address of the evaluation's page
    sentence: str
    grades: dict[str, str]  # by aspect
    figures: dict[str, str]  # by metric, as they are shown


def write_pairs(results: Sequence[Path], path: Path) -> str:
    """Write a page about several evaluations.

    Parameters
    ----------
    results : sequence of Path
        Folders that evaluations wrote.
    path : Path
        The page.

    Returns
    -------
    str
        The page's headline.

    Raises
    ------
    DataError
        If a folder holds no metrics.json, or one of another version.
    ConfigError
        If the page would take the place of an evaluation's own.
    """
    for folder in results:
        if folder.resolve() == path.parent.resolve():
            raise ConfigError(f"{path}: is the report of an evaluation that the page is about; choose another --output")
    rows = [row for folder in results for row in _rows(folder, path.parent)]
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
        "rows": rows,
    }
    make_directory(path.parent)
    write_text(path, render("vc.report", "pairs.html", **content))
    return headline


def _rows(folder: Path, page_folder: Path) -> list[Row]:
    path = folder / "metrics.json"
    report = quote(os.fsencode(os.path.relpath(folder / "report.html", page_folder)))
    try:
        content = read_json(path)
        several = len(content["headlines"]) > 1
        rows = []
        for system, sentence in content["headlines"].items():
            name = f"{content['title']}{f', {name_of(system)}' if several else ''}"
            grades = {each["aspect"]: each["grade"] for each in content["verdicts"][system]}
            values = {metric: content["systems"][system][metric] for metric in SUMMARY}
            figures = {metric: "-" if value is None else as_number(value, metric) for metric, value in values.items()}
            rows.append(Row(name, report, sentence, grades, figures))
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no evaluation that can be read here ({error}); run vc-evaluate again") from error
    return rows
