"""Significance of the differences between systems, and the spread over a system's runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vc.evaluate.anchors import SOURCE_ANCHORS
from vc.metrics.registry import METRICS, PAIRED_TEST_METRICS
from vc.metrics.scores import Scores
from vc.metrics.statistics import Comparison, compare_paired, holm


@dataclass(frozen=True)
class SystemComparison:
    """Two systems compared by one metric, over the sentences for which both have a figure."""

    metric: str
    one: str
    other: str
    result: Comparison
    p_holm: float  # p after Holm's correction for all comparisons by this metric


@dataclass(frozen=True)
class Spread:
    """A system's figure over its runs, with different seeds for example."""

    mean: float
    deviation: float  # sample standard deviation
    runs: int


def system_of(run: str) -> str:
    """Name of the system of a run: `NAME` for `NAME#1`."""
    return run.partition("#")[0]


def runs_of(systems: Sequence[str]) -> dict[str, list[str]]:
    """System -> its runs."""
    runs: dict[str, list[str]] = {}
    for run in systems:
        runs.setdefault(system_of(run), []).append(run)
    return runs


def compare_systems(scores: Mapping[str, Scores], converted: Sequence[str]) -> list[SystemComparison]:
    """Compare every converted system with every other and with the source's anchors; a system's runs are averaged.

    Parameters
    ----------
    scores : dict
        System or anchor -> its scores.
    converted : sequence of str
        Names of the converted systems.

    Returns
    -------
    list of SystemComparison
        By each metric of PAIRED_TEST_METRICS, for every pair with a sentence in common.
    """
    groups = runs_of(converted)
    anchors = [anchor for anchor in SOURCE_ANCHORS if anchor in scores]
    pairs = [*combinations(groups, 2), *((system, anchor) for system in groups for anchor in anchors)]
    comparisons = []
    for metric in PAIRED_TEST_METRICS:
        means = {  # over a system's runs, (utterances,); NaN where a run has no figure
            name: np.mean(
                [[row.get(metric, np.nan) for row in scores[run].rows] for run in groups.get(name, [name])], axis=0
            )
            for name in (*groups, *anchors)
        }
        results = []
        for one, other in pairs:
            both = np.isfinite(means[one]) & np.isfinite(means[other])
            if both.any():
                results.append((one, other, compare_paired(means[one][both], means[other][both])))
        corrected = holm([result.p for *_, result in results])
        comparisons += [SystemComparison(metric, *result, p) for result, p in zip(results, corrected, strict=True)]
    return comparisons


def spread_of_runs(scores: Mapping[str, Scores], converted: Sequence[str]) -> dict[str, dict[str, Spread]]:
    """System -> metric -> spread, for the systems with several runs."""
    spreads = {}
    for system, runs in runs_of(converted).items():
        if len(runs) > 1:
            figures = {metric: [scores[run].means[metric] for run in runs] for metric in METRICS}
            spreads[system] = {
                metric: Spread(float(np.mean(values)), float(np.std(values, ddof=1)), len(values))
                for metric, values in figures.items()
            }
    return spreads
