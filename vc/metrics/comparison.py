"""Whether two systems differ on the same utterances by more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from vc.errors import DataError
from vc.metrics.arrays import takes_lists
from vc.metrics.intervals import SEED, Interval, mean_interval

EXACT = 12  # utterances up to which every change of signs is tried
RESAMPLES = 9999  # changes of signs drawn beyond


@dataclass(frozen=True)
class Comparison:
    """The mean of one system's figures less the other's, utterance by utterance."""

    difference: float
    interval: Interval  # 95 %
    p: float  # of a difference at least so large, either way, between systems that do not differ
    utterances: int


def validate(one: np.ndarray, other: np.ndarray) -> None:
    """Refuse what is not two `(utterances,)` of one length, non-empty and finite."""
    if one.ndim != 1 or one.shape != other.shape or len(one) == 0:
        raise DataError(f"expected two (utterances,) of one length, got shapes {one.shape} and {other.shape}")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise DataError("figures to compare must be finite")


@takes_lists
def compare_paired(one: np.ndarray, other: np.ndarray) -> Comparison:
    """Compare two systems' figures `(utterances,)` of the same utterances.

    By Fisher's randomisation test (The Design of Experiments, 1935, section 21): were the systems alike, each
    utterance's difference could as well have the other sign. Up to EXACT utterances all signs are tried.
    """
    validate(one, other)
    differences = one - other
    return Comparison(float(differences.mean()), mean_interval(differences), _p(differences), len(differences))


def holm(values: Sequence[float]) -> list[float]:
    """The p values of several tests, made larger so that all may be believed together.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    larger = np.minimum(np.maximum.accumulate(np.asarray(values, float)[order] * factors), 1.0)
    corrected = np.empty(len(values))
    corrected[order] = larger
    return corrected.tolist()


def _p(differences: np.ndarray) -> float:
    count, found = len(differences), abs(differences.sum())
    if count <= EXACT:
        signs = np.array(list(product((-1, 1), repeat=count)))
    else:
        signs = np.random.default_rng(SEED).choice((-1.0, 1.0), size=(RESAMPLES, count))
    reached = np.abs(signs @ differences) >= found * (1 - 1e-12)  # equal sums in another order of adding
    drawn = count > EXACT  # the observed signs are one more draw
    return float((reached.sum() + drawn) / (len(signs) + drawn))
