"""How far sets of frames are from each other where no sentence is shared, and how much of the source is left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vc.errors import DataError
from vc.metrics.arrays import takes_lists

Kept = np.ndarray  # indices of the utterances that count
SPAN = 2  # frames on either side, of the regression that gives a frame's movement
NEGLIGIBLE = 1e-3  # sum of the roots of two distances: source and target are the same recordings
FAINTEST = 1e-12  # variance of what does not move


def validate(one: np.ndarray, other: np.ndarray) -> None:
    """Refuse what is not two `(frames, bands)` of equal bands, finite, with more frames than bands."""
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise DataError(f"expected two (frames, bands) of equal bands, got shapes {one.shape} and {other.shape}")
    if min(len(one), len(other)) <= one.shape[1]:
        raise DataError(f"{len(one)} and {len(other)} frames are too few for {one.shape[1]} bands")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise DataError("frames to compare must be finite")


@dataclass(frozen=True)
class Moments:
    """Sums over frames, which add up over utterances: all that normal distributions and linear maps need."""

    count: np.ndarray  # (...,) frames
    total: np.ndarray  # (..., bands)
    products: np.ndarray  # (..., bands, bands)

    @classmethod
    def of(cls, frames: np.ndarray) -> "Moments":
        """From `(frames, bands)`."""
        frames = frames.astype(np.float64)
        return cls(np.array(len(frames)), frames.sum(axis=0), frames.T @ frames)

    @classmethod
    def stack(cls, utterances: Sequence["Moments"]) -> "Moments":
        """One axis more, over utterances, in front."""
        return cls(*(np.stack([getattr(each, name) for each in utterances]) for name in ("count", "total", "products")))

    def pool(self, kept: Kept) -> "Moments":
        """Those of the utterances `kept` taken together."""
        return Moments(self.count[kept].sum(axis=0), self.total[kept].sum(axis=0), self.products[kept].sum(axis=0))

    @property
    def mean(self) -> np.ndarray:
        return self.total / self.count

    @property
    def covariance(self) -> np.ndarray:
        return (self.products - np.outer(self.mean, self.total)) / (self.count - 1)


@takes_lists
def moving(mel_cepstrum: np.ndarray) -> np.ndarray:
    """`(frames, 2 * D)`: c1..D and their movement, the slope over five frames; frames at the ends repeat."""
    static = mel_cepstrum[:, 1:].astype(np.float64)
    padded = np.pad(static, ((SPAN, SPAN), (0, 0)), mode="edge")
    steps = np.arange(1, SPAN + 1)
    slope = sum(
        step * (padded[SPAN + step : SPAN + step + len(static)] - padded[SPAN - step : SPAN - step + len(static)])
        for step in steps
    ) / (2 * np.square(steps).sum())
    return np.concatenate([static, slope], axis=1)


@takes_lists
def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Squared Frechet distance of the normal distributions with the means and covariances of two `(frames, bands)`.

    In the squared unit of the bands; give normalised ones. Dowson and Landau, "The Frechet distance between
    multivariate normal distributions", Journal of Multivariate Analysis 12, 1982.
    """
    validate(one, other)
    return frechet_of_moments(Moments.of(one), Moments.of(other))


def frechet_of_moments(one: Moments, other: Moments, unit: np.ndarray | float = 1.0) -> float:
    """`frechet_distance` of frames that are given by their moments, each band divided by its `unit` before."""
    first, second = (side.covariance / np.outer(unit, unit) for side in (one, other))
    root = _root(first)
    crossed = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    apart = np.square((one.mean - other.mean) / unit).sum()
    return float(max(apart + np.trace(first) + np.trace(second) - 2 * crossed, 0.0))


def approach(to_source: float, to_target: float) -> float:
    """How far converted speech has gone, in 0..1, by its Frechet distances: 0 is at the source, 1 at the target."""
    source, target = np.sqrt(to_source), np.sqrt(to_target)
    return float(source / (source + target)) if source + target > NEGLIGIBLE else float("nan")


@takes_lists
def kernel_distance(one: Sequence[np.ndarray], other: Sequence[np.ndarray], paired: bool) -> float:
    """Squared maximum mean discrepancy of two sets of utterances, each `(frames, bands)`, without unit.

    Unbiased, with the polynomial kernel (x . y / bands + 1)^3, after the kernel inception distance (Binkowski,
    Sutherland, Arbel and Gretton, "Demystifying MMD GANs", ICLR 2018, section 4): 0 on average for two sets of one
    kind, so that small ones fall below 0. Give normalised frames. Frames of one utterance are alike, so that only
    different utterances are compared; with `paired`, utterances of one place say the same and are not compared either.
    """
    every = (np.arange(len(one)), np.arange(len(other)))
    return kernel_distance_over(one, other, paired)(*every)


def kernel_distance_over(
    one: Sequence[np.ndarray], other: Sequence[np.ndarray], paired: bool
) -> Callable[[Kept, Kept], float]:
    """The distance as a function of the utterances that are kept on either side."""
    own, theirs, crossed = (_kernel_means(*sides) for sides in ((one, one), (other, other), (one, other)))

    def distance(kept: Kept, others: Kept) -> float:
        within = _mean_apart(own[np.ix_(kept, kept)]) + _mean_apart(theirs[np.ix_(others, others)])
        across = crossed[np.ix_(kept, others)]
        return float(within - 2 * (_mean_apart(across) if paired else across.mean()))

    return distance


def _kernel_means(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> np.ndarray:
    """`(utterances, utterances)`: mean of the kernel over the pairs of frames of two utterances."""
    ends = np.cumsum([0, *map(len, other)])
    together = np.concatenate(other)
    rows = []
    for frames in one:
        kernel = (frames @ together.T / together.shape[1] + 1) ** 3
        rows.append(np.add.reduceat(kernel.mean(axis=0), ends[:-1]) / np.diff(ends))
    return np.array(rows)


def _mean_apart(square: np.ndarray) -> float:
    """Mean without the diagonal; NaN of a single utterance."""
    count = len(square)
    return (square.sum() - np.trace(square)) / (count * (count - 1)) if count > 1 else np.nan


@takes_lists
def content_lost(converted: np.ndarray, source: np.ndarray) -> float:
    """Share of the variance of `(frames, bands)` that no linear map gives back from the frames made of them.

    0: the source can be told from its conversion, 1: nothing of it is left. Some is always lost on another voice.
    """
    validate(converted, source)
    return content_lost_of_moments(Moments.of(np.column_stack([source, converted])), source.shape[1])


def content_lost_of_moments(together: Moments, bands: int) -> float:
    """`content_lost` by the moments of each source frame, of `bands`, with the frame made of it behind."""
    covariance = together.covariance
    own, made, crossed = covariance[:bands, :bands], covariance[bands:, bands:], covariance[:bands, bands:]
    left = np.diag(own) - np.einsum("sc,cs->s", crossed, np.linalg.pinv(made, hermitian=True) @ crossed.T)
    return float(np.clip(left / np.maximum(np.diag(own), FAINTEST), 0, 1).mean())


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
