"""The results of several evaluations together, as of many pairs of speakers: contents of metrics.json to figures."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from vc.metrics.statistics import crossed_interval

Content = Mapping[str, Any]  # of a metrics.json


def system_scores(content: Content, system: str) -> Mapping[str, Any]:
    """Metric -> figure of a system or an anchor in one evaluation; empty if it is not in it."""
    return content["systems"].get(system) or content["anchors"].get(system) or {}


def sentence_figures(contents: Sequence[Content], system: str, metric: str) -> np.ndarray:
    """Figures of a system or an anchor, `(evaluations, sentences)`; NaN where it has none."""
    by_sentence = [
        {
            row["sentence"]: {**row.get("systems", {}), **row.get("anchors", {})}.get(system, {}).get(metric)
            for row in content.get("utterances", [])
        }
        for content in contents
    ]
    names = list(dict.fromkeys(name for row in by_sentence for name in row))
    table = [[math.nan if row.get(name) is None else row[name] for name in names] for row in by_sentence]
    return np.array(table, dtype=float).reshape(len(by_sentence), len(names))


def evaluation_figures(contents: Sequence[Content], system: str, metric: str) -> list[float]:
    """A system's figure in each evaluation that has one."""
    values = (system_scores(content, system).get(metric) for content in contents)
    return [value for value in values if value is not None]


def half_interval(contents: Sequence[Content], system: str, metric: str) -> float | None:
    """Half of the 95 % interval of a system's mean over evaluations.

    Evaluations and sentences are resampled independently (`vc.metrics.crossed_interval`), since the figure should hold
    for other speakers and for other sentences. Figures of whole sets have no values by sentence: their half interval is
    the mean of the evaluations' half intervals, which leaves out how evaluations differ.
    """
    if len(contents) > 1:
        table = sentence_figures(contents, system, metric)
        known = np.isfinite(table)
        if known.sum() > 1:
            low, high = crossed_interval(table[known.any(1)][:, known.any(0)])
            return (high - low) / 2
    scores = [system_scores(content, system) for content in contents]
    ends = [row["intervals"][metric] for row in scores if row.get(metric) is not None and "intervals" in row]
    halves = [(high - low) / 2 for low, high in ends if None not in (low, high)]
    return fmean(halves) if halves else None
