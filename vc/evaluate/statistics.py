"""Which systems differ by more than chance, and how runs of one system scatter."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vc.evaluate.measure import OF_SOURCE
from vc.metrics.comparison import Comparison, compare_paired, holm
from vc.metrics.registry import METRICS
from vc.metrics.scores import Scores

OF_UTTERANCES = (
    "mcd", "log_f0_rmse", "voicing_error", "speaker_similarity", "content_distance", "phone_error", "word_error",
    "dnsmos", "distillmos",
)  # fmt: skip


@dataclass(frozen=True)
class SystemComparison:
    """Two systems by one metric, on the sentences where both have a figure."""

    metric: str
    one: str
    other: str
    found: Comparison
    p_holm: float  # p, corrected for all comparisons by this metric


@dataclass(frozen=True)
class Spread:
    """One system's figure over its runs, from other seeds say."""

    mean: float
    deviation: float  # of the runs, as drawn from more
    runs: int


def system_of(run: str) -> str:
    """`NAME` of the run `NAME#1`."""
    return run.partition("#")[0]


def runs_of(systems: Sequence[str]) -> dict[str, list[str]]:
    """System -> its runs."""
    found: dict[str, list[str]] = {}
    for run in systems:
        found.setdefault(system_of(run), []).append(run)
    return found


def compare_systems(scores: dict[str, Scores], converted: Sequence[str]) -> list[SystemComparison]:
    """Every converted system with every other, and with the anchors made of the source; runs of one are averaged."""
    groups = runs_of(converted)
    anchors = [anchor for anchor in OF_SOURCE if anchor in scores]
    pairs = [*combinations(groups, 2), *((system, anchor) for system in groups for anchor in anchors)]
    found = []
    for metric in OF_UTTERANCES:
        means = {
            name: _averaged([scores[run] for run in groups.get(name, [name])], metric) for name in (*groups, *anchors)
        }
        compared = []
        for one, other in pairs:
            both = np.isfinite(means[one]) & np.isfinite(means[other])
            if both.any():
                compared.append((one, other, compare_paired(means[one][both], means[other][both])))
        corrected = holm([comparison.p for *_, comparison in compared])
        found += [SystemComparison(metric, *each, p) for each, p in zip(compared, corrected, strict=True)]
    return found


def spread_of_runs(scores: dict[str, Scores], converted: Sequence[str]) -> dict[str, dict[str, Spread]]:
    """System -> metric -> spread, of the systems of which there are several runs."""
    return {
        system: {metric: _spread([scores[run].means[metric] for run in runs]) for metric in METRICS}
        for system, runs in runs_of(converted).items()
        if len(runs) > 1
    }


def _averaged(runs: Sequence[Scores], metric: str) -> np.ndarray:
    """`(utterances,)`: mean over the runs; NaN where one of them has no figure."""
    return np.mean([[row.get(metric, np.nan) for row in run.rows] for run in runs], axis=0)


def _spread(figures: Sequence[float]) -> Spread:
    return Spread(float(np.mean(figures)), float(np.std(figures, ddof=1)), len(figures))
