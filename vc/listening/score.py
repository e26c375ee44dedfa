"""Scoring listeners' answers: mean opinion scores, or preference shares, with confidence intervals."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vc import __version__
from vc.errors import DataError
from vc.listening.formats import Answers, Key, read_answers
from vc.metrics import statistics

FORMAT, VERSION = "vc-listening-scores", 1


def collect(paths: Sequence[Path], key: Key, *, partial: bool = False) -> tuple[list[Answers], list[str]]:
    """Read the answers of all listeners.

    Parameters
    ----------
    paths : sequence of Path
        Files that listeners sent.
    key : Key
        The key to the test.
    partial : bool
        Whether incomplete answers are accepted.

    Returns
    -------
    answers : list of Answers
        One for each listener.
    failures : list of str
        A line for each file that was rejected.
    """
    by_listener: dict[str, tuple[Answers, Path]] = {}
    failures = []
    for path in paths:
        try:
            answers = read_answers(path, key, partial=partial)
            if answers.listener in by_listener:
                other = by_listener[answers.listener][1]
                raise DataError(f"{path}: listener {answers.listener!r} is in {other} already")
            by_listener[answers.listener] = answers, path
        except DataError as error:
            failures.append(str(error))
    return [answers for answers, _ in by_listener.values()], failures


def score(key: Key, answers: Sequence[Answers], failures: Sequence[str] = ()) -> dict[str, Any]:
    """Score every system, or every pair of systems.

    Parameters
    ----------
    key : Key
        The key to the test.
    answers : sequence of Answers
        One for each listener.
    failures : sequence of str
        A line for each file that was rejected.

    Returns
    -------
    dict
        Ready for JSON; None where there is no answer.
    """
    tables = _tables(key, answers)
    if key.kind == "mos":
        figures = {
            "systems": {
                system: dict(zip(("mos", "interval"), _mean(table))) | _counts(table)
                for (system,), table in tables.items()
            }
        }
    else:
        pairs = []
        for (first, second), table in tables.items():
            (share, interval), (other_share, other_interval) = _mean(table), _mean(1 - table)
            counts, chosen = _counts(table), int(np.nansum(table))
            pairs.append(
                {
                    "systems": [first, second],
                    "chosen": {first: chosen, second: counts["answers"] - chosen},
                    "share": {first: share, second: other_share},
                    "intervals": {first: interval, second: other_interval},
                    "p": binomial_p(chosen, counts["answers"]),  # of a share as far from a half if neither is nearer
                    **counts,
                }
            )
        figures = {"pairs": pairs}
    return {
        "format": FORMAT,
        "version": VERSION,
        "vc_version": __version__,
        "test": key.test,
        "kind": key.kind,
        "title": key.title,
        "listeners": [listener.listener for listener in answers],
        "failures": list(failures),
        "intervals": f"{statistics.CONFIDENCE:.0%}, {statistics.RESAMPLES} resamples of listeners and sentences",
        **figures,
    }


def binomial_p(chosen: int, answers: int) -> float:
    """Two-sided exact binomial p of `chosen` out of `answers` independent choices between two equally likely sides."""
    rarer = min(chosen, answers - chosen)
    return min(1.0, 2 * sum(math.comb(answers, count) for count in range(rarer + 1)) / 2**answers)


def format_table(figures: dict[str, Any]) -> str:
    """Format the result of `score` as text."""
    counts = ("listeners", "sentences", "answers")
    if figures["kind"] == "mos":
        lines = [["", "MOS", "95 % interval", *counts]]
        for system, scores in figures["systems"].items():
            lines.append([system, *_cells(scores["mos"], scores["interval"]), *(str(scores[name]) for name in counts)])
    else:
        lines = [["nearer to the target", "share", "95 % interval", "p", *counts]]
        for pair in figures["pairs"]:
            for system, other in (pair["systems"], pair["systems"][::-1]):
                cells = _cells(pair["share"][system], pair["intervals"][system])
                p = f"{pair['p']:.2g}"
                lines.append([f"{system} than {other}", *cells, p, *(str(pair[name]) for name in counts)])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def _tables(key: Key, answers: Sequence[Answers]) -> dict[tuple[str, ...], np.ndarray]:
    """System, or pair of them -> `(listeners, sentences)`: grades, or 1 where the first was chosen; NaN: no answer."""
    order = list(key.systems).index
    groups = {id: tuple(sorted((sound.system for sound in key.sounds_of(id)), key=order)) for id in key.items}
    sentences = sorted({key.sounds_of(id)[0].sentence for id in key.items})
    empty = np.full((len(answers), len(sentences)), np.nan)
    tables = {group: empty.copy() for group in sorted(set(groups.values()), key=lambda group: [*map(order, group)])}
    for row, listener in enumerate(answers):
        for answer in listener.answers:
            group, column = groups[answer.item], sentences.index(key.sounds_of(answer.item)[0].sentence)
            chosen = key.kind == "abx" and key.sounds[answer.answer].system == group[0]
            tables[group][row, column] = chosen if key.kind == "abx" else float(answer.answer)
    return tables


def _mean(table: np.ndarray) -> tuple[float | None, list[float] | None]:
    """Mean of a table and its interval; None if unknown, as is the interval of a single answer."""
    values = table[np.isfinite(table)]
    interval = [round(end, 4) for end in statistics.crossed_interval(table)] if len(values) > 1 else None
    return round(float(values.mean()), 4) if len(values) else None, interval


def _counts(table: np.ndarray) -> dict[str, int]:
    present = np.isfinite(table)
    return {
        "listeners": int(present.any(1).sum()),
        "sentences": int(present.any(0).sum()),
        "answers": int(present.sum()),
    }


def _cells(mean: float | None, interval: Sequence[float] | None) -> list[str]:
    return ["-" if mean is None else f"{mean:.2f}", f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "-"]
