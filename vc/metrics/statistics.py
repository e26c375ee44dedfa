"""Confidence intervals of figures, and tests of the differences between systems."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from vc.errors import DataError
from vc.metrics.arrays import takes_lists

RESAMPLES = 1000  # of the bootstrap
SEED = 0
CONFIDENCE = 0.95  # share of the resamples that an interval holds
DEVIATIONS = 1.96  # of a normal distribution, on either side of the mean, that hold as much
MAX_GROUPS = 40  # of utterances left out in turn by the jackknife
MAX_EXACT = 12  # utterances up to which every change of signs is tried
SIGN_DRAWS = 9999  # changes of signs drawn beyond

Interval = tuple[float, float]
UNKNOWN = (float("nan"), float("nan"))  # interval of a figure that has none


@takes_lists
def mean_interval(values: np.ndarray) -> Interval:
    """95 % interval of a mean over utterances: percentiles of bootstrap resamples.

    Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979.

    Parameters
    ----------
    values : np.ndarray
        Shape `(utterances,)`, finite.

    Returns
    -------
    tuple of float
        Low and high end, in the unit of `values`.

    Raises
    ------
    DataError
        If `values` is empty, has another shape or is not finite.
    """
    _require_utterances(values)
    return _percentiles(_bootstrap_weights(len(values), SEED) @ values)


@takes_lists
def crossed_interval(values: np.ndarray) -> Interval:
    """95 % interval of a mean over listeners and sentences, or over any two crossed factors.

    Rows and columns are resampled independently: the pigeonhole bootstrap (Owen, Annals of Applied Statistics 1,
    2007). A factor with a single level is not resampled.

    Parameters
    ----------
    values : np.ndarray
        Shape `(listeners, sentences)`, NaN where there is no value.

    Returns
    -------
    tuple of float
        Low and high end, in the unit of `values`.

    Raises
    ------
    DataError
        If there is no finite value.
    """
    present = np.isfinite(values)
    _require_utterances(values[present])
    listeners, sentences = (_bootstrap_weights(count, SEED + axis) for axis, count in enumerate(values.shape))
    weights, sums = (
        np.einsum("rl,ls,rs->r", listeners, table, sentences) for table in (present, np.where(present, values, 0))
    )
    return _percentiles(sums[weights > 0] / weights[weights > 0])


def jackknife_variance(figure: Callable[[np.ndarray], float], utterances: int) -> float:
    """Variance of a figure of a whole set of utterances, by the jackknife.

    Up to MAX_GROUPS groups of utterances are left out in turn (Tukey, "Bias and confidence in not-quite large samples",
    Annals of Mathematical Statistics 29, 1958). Bootstrap resamples repeat utterances, which would bias distances
    between sets.

    Parameters
    ----------
    figure : callable
        From the indices of some utterances to their figure.
    utterances : int
        Size of the set.

    Returns
    -------
    float
        In the squared unit of the figure; NaN for fewer than two utterances.
    """
    if utterances < 2:
        return float("nan")
    groups = min(utterances, MAX_GROUPS)
    member = np.arange(utterances) % groups
    without = np.array([figure(np.flatnonzero(member != group)) for group in range(groups)])
    return float((groups - 1) * without.var())


def interval_around(value: float, variance: float) -> Interval:
    """95 % interval of a normal distribution with this mean and variance."""
    half = DEVIATIONS * float(np.sqrt(variance))
    return value - half, value + half


def clip(interval: Interval, limits: Interval) -> Interval:
    """The part of an interval that lies within the `limits` of its figure."""
    return max(interval[0], limits[0]), min(interval[1], limits[1])


@dataclass(frozen=True)
class Comparison:
    """The mean of one system's figures minus the other's, utterance by utterance."""

    difference: float
    interval: Interval  # 95 %
    p: float  # two-sided: of a difference at least so large between systems that do not differ
    utterances: int


@takes_lists
def compare_paired(one: np.ndarray, other: np.ndarray) -> Comparison:
    """Compare two systems by their figures of the same utterances.

    Fisher's randomisation test (The Design of Experiments, 1935, section 21): if the systems were alike, each
    utterance's difference could as well have the other sign. Up to MAX_EXACT utterances all signs are tried.

    Parameters
    ----------
    one, other : np.ndarray
        Shape `(utterances,)`, finite, in the same order.

    Raises
    ------
    DataError
        If the shapes differ, or a value is not finite.
    """
    if one.ndim != 1 or one.shape != other.shape or len(one) == 0:
        raise DataError(f"expected two (utterances,) of one length, got shapes {one.shape} and {other.shape}")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise DataError("figures to compare must be finite")
    differences = one - other
    count, exact = len(differences), len(differences) <= MAX_EXACT
    if exact:
        signs = np.array(list(product((-1, 1), repeat=count)))
    else:
        signs = np.random.default_rng(SEED).choice((-1.0, 1.0), size=(SIGN_DRAWS, count))
    # Equal sums may differ in their last digits, by the order of adding
    extreme = np.abs(signs @ differences) >= abs(differences.sum()) * (1 - 1e-12)
    observed = 0 if exact else 1  # the observed signs are one more draw
    p = float((extreme.sum() + observed) / (len(signs) + observed))
    return Comparison(float(differences.mean()), mean_interval(differences), p, count)


def holm(values: Sequence[float]) -> list[float]:
    """p values of several tests, corrected so that all of them hold together.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.

    Parameters
    ----------
    values : sequence of float
        p of each test, in 0..1.

    Returns
    -------
    list of float
        Corrected p, in the same order; none is smaller than before.
    """
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(values, float)[order] * factors), 1.0)
    return corrected.tolist()


def _require_utterances(values: np.ndarray) -> None:
    if values.ndim != 1 or len(values) == 0:
        raise DataError(f"an interval needs (utterances,), got shape {values.shape}")
    if not np.isfinite(values).all():
        raise DataError("an interval needs finite values")


def _bootstrap_weights(utterances: int, seed: int) -> np.ndarray:
    """`(RESAMPLES, utterances)`: each utterance's share of a resample drawn with replacement."""
    counts = np.random.default_rng(seed).multinomial(utterances, np.full(utterances, 1 / utterances), size=RESAMPLES)
    return counts / utterances


def _percentiles(values: np.ndarray) -> Interval:
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
