"""How far sets of frames are from each other where no sentence is shared, and how much of the source is left."""

import numpy as np

from vc.errors import DataError


def validate(one: np.ndarray, other: np.ndarray) -> None:
    """Refuse what is not two `(frames, bands)` of equal bands, finite, with more frames than bands."""
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise DataError(f"expected two (frames, bands) of equal bands, got shapes {one.shape} and {other.shape}")
    if min(len(one), len(other)) <= one.shape[1]:
        raise DataError(f"{len(one)} and {len(other)} frames are too few for {one.shape[1]} bands")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise DataError("frames to compare must be finite")


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Squared Frechet distance of the normal distributions with the means and covariances of two `(frames, bands)`.

    In the squared unit of the bands; give normalised ones. Dowson and Landau, "The Frechet distance between
    multivariate normal distributions", Journal of Multivariate Analysis 12, 1982.
    """
    validate(one, other)
    covariances = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = _root(covariances[0])
    crossed = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariances[1] @ root), 0)).sum()
    apart = np.square(one.mean(axis=0) - other.mean(axis=0)).sum()
    return float(apart + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * crossed)


def content_lost(converted: np.ndarray, source: np.ndarray) -> float:
    """Share of the variance of `(frames, bands)` that no linear map gives back from the frames made of them.

    0: the source can be told from its conversion, 1: nothing of it is left. Some is always lost on another voice.
    """
    validate(converted, source)
    known = np.column_stack([converted, np.ones(len(converted))])
    source = (source - source.mean(axis=0)) / np.maximum(source.std(axis=0), np.finfo(np.float32).tiny)
    guess = known @ np.linalg.lstsq(known, source, rcond=None)[0]
    return float(np.square(source - guess).mean())


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
