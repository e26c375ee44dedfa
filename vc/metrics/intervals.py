"""How far a figure would move with other utterances: bootstrap intervals (Efron, Annals of Statistics 7, 1979)."""

import numpy as np

from vc.errors import DataError

RESAMPLES = 1000
SEED = 0
CONFIDENCE = 0.95  # share of the resamples that an interval holds


def validate(values: np.ndarray, dimensions: int) -> None:
    """Refuse what has not the dimensions asked for, utterances first, or is not finite."""
    if values.ndim != dimensions or len(values) == 0:
        raise DataError(f"expected {dimensions} dimensions with utterances first, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise DataError("an interval needs finite values")


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Low and high end of the 95 % interval of the mean of `(utterances,)`, by percentiles."""
    validate(values, 1)
    return _percentiles(_shares(len(values)) @ values)


def distance_interval(differences: np.ndarray) -> tuple[float, float]:
    """Low and high end of the 95 % interval of the root mean square of a mean over utterances.

    `differences` is `(utterances, D, frequencies)`: each utterance's modulation spectrum less its reference's. The
    square of a resample's mean holds the noise of drawing twice; the squares are moved so that their mean is the
    square that was measured.
    """
    validate(differences, 3)
    flat = differences.reshape(len(differences), -1).astype(np.float64)
    products = flat @ flat.T / flat.shape[1]  # a weighted mean's square needs no more than these
    shares = _shares(len(flat))
    squares = np.einsum("ri,ij,rj->r", shares, products, shares)
    return _percentiles(np.sqrt(np.maximum(squares - squares.mean() + products.mean(), 0)))


def _shares(utterances: int) -> np.ndarray:
    """`(resamples, utterances)`: each utterance's share of a resample drawn with replacement."""
    drawn = np.random.default_rng(SEED).multinomial(utterances, np.full(utterances, 1 / utterances), size=RESAMPLES)
    return drawn / utterances


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
