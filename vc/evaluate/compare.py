"""Which systems differ significantly, and how the runs of one system scatter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vc.evaluate.anchors import OF_SOURCE
from vc.metrics.registry import COMPARED, METRICS
from vc.metrics.scores import Scores
from vc.metrics.statistics import Comparison, compare_paired, holm


@dataclass(frozen=True)
class SystemComparison:
    """Two systems by one metric, on the sentences where both have a figure."""

    metric: str
    one: str
    other: str
    result: Comparison
    p_holm: float  # p, corrected for all comparisons by this metric


@dataclass(frozen=True)
class Spread:
    """One system's figure over its runs, of different seeds for example."""

    mean: float
    deviation: float  # of the runs, as a sample
    runs: int


def system_of(run: str) -> str:
    """`NAME` of the run `NAME#1`."""
    return run.partition("#")[0]


def runs_of(systems: Sequence[str]) -> dict[str, list[str]]:
    """System -> its runs."""
    runs: dict[str, list[str]] = {}
    for run in systems:
        runs.setdefault(system_of(run), []).append(run)
    return runs


def compare_systems(scores: Mapping[str, Scores], converted: Sequence[str]) -> list[SystemComparison]:
    """Every converted system with every other, and with the anchors of the source; runs of one system are averaged.

    Parameters
    ----------
    scores : dict
        System -> its figures, of the anchors too.
    converted : sequence of str
        Names of the converted systems.
    """
    groups = runs_of(converted)
    anchors = [anchor for anchor in OF_SOURCE if anchor in scores]
    pairs = [*combinations(groups, 2), *((system, anchor) for system in groups for anchor in anchors)]
    comparisons = []
    for metric in COMPARED:
        means = {  # over the runs, (utterances,); NaN where one of them has no figure
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
        comparisons += [SystemComparison(metric, *each, p) for each, p in zip(results, corrected, strict=True)]
    return comparisons


def spread_of_runs(scores: Mapping[str, Scores], converted: Sequence[str]) -> dict[str, dict[str, Spread]]:
    """System -> metric -> spread, of the systems of which there are several runs."""
    spreads = {}
    for system, runs in runs_of(converted).items():
        if len(runs) > 1:
            figures = {metric: [scores[run].means[metric] for run in runs] for metric in METRICS}
            spreads[system] = {
                metric: Spread(float(np.mean(values)), float(np.std(values, ddof=1)), len(values))
                for metric, values in figures.items()
            }
    return spreads
