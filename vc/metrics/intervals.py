"""How far a figure would move with other utterances."""

from collections.abc import Callable

import numpy as np

from vc.errors import DataError
from vc.metrics.arrays import takes_lists

RESAMPLES = 1000
SEED = 0
CONFIDENCE = 0.95  # share of the resamples that an interval holds
DEVIATIONS = 1.96  # of a normal distribution, on either side of the mean, that hold as much
GROUPS = 40  # of utterances left out in turn, at most

Interval = tuple[float, float]


def validate(values: np.ndarray) -> None:
    """Refuse what is not `(utterances,)`, non-empty and finite."""
    if values.ndim != 1 or len(values) == 0:
        raise DataError(f"an interval needs (utterances,), got shape {values.shape}")
    if not np.isfinite(values).all():
        raise DataError("an interval needs finite values")


@takes_lists
def mean_interval(values: np.ndarray) -> Interval:
    """Low and high end of the 95 % interval of the mean of `(utterances,)`: percentiles of bootstrap resamples.

    Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979.
    """
    validate(values)
    return _percentiles(_shares(len(values)) @ values)


@takes_lists
def crossed_interval(values: np.ndarray) -> Interval:
    """Low and high end of the 95 % interval of the mean of `(listeners, sentences)`, NaN where there is no value.

    Listeners and sentences are drawn anew, each by themselves: the pigeonhole bootstrap (Owen, Annals of Applied
    Statistics 1, 2007). Where there is one of a kind, only the others are.
    """
    known = np.isfinite(values)
    validate(values[known])
    listeners, sentences = (_shares(count, SEED + axis) for axis, count in enumerate(values.shape))
    weights, sums = (
        np.einsum("rl,ls,rs->r", listeners, table, sentences) for table in (known, np.where(known, values, 0))
    )
    return _percentiles(sums[weights > 0] / weights[weights > 0])


def jackknife_variance(figure: Callable[[np.ndarray], float], utterances: int) -> float:
    """Variance of a figure of a set: `figure` tells it of the utterances with the indices that it is given.

    Up to GROUPS groups of utterances are left out in turn (Tukey, "Bias and confidence in not-quite large samples",
    Annals of Mathematical Statistics 29, 1958). Resamples that repeat an utterance would bias distances of sets.
    """
    if utterances < 2:
        return float("nan")
    groups = min(utterances, GROUPS)
    member = np.arange(utterances) % groups
    without = np.array([figure(np.flatnonzero(member != group)) for group in range(groups)])
    return float((groups - 1) * without.var())


def interval_around(value: float, variance: float) -> Interval:
    """The 95 % interval of a normal distribution."""
    half = DEVIATIONS * float(np.sqrt(variance))
    return value - half, value + half


def within(interval: Interval, limits: Interval) -> Interval:
    """What of an interval is possible for a figure with these `limits`."""
    return max(interval[0], limits[0]), min(interval[1], limits[1])


def _shares(utterances: int, seed: int = SEED) -> np.ndarray:
    """`(resamples, utterances)`: each utterance's share of a resample drawn with replacement."""
    drawn = np.random.default_rng(seed).multinomial(utterances, np.full(utterances, 1 / utterances), size=RESAMPLES)
    return drawn / utterances


def _percentiles(values: np.ndarray) -> Interval:
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
