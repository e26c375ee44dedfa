"""Metrics of whole sets of utterances, which need not share sentences.

The first half are distances between sets. The second half has the same and other metrics as functions of a subset of
the utterances, as the jackknife needs them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vc.errors import DataError
from vc.metrics.arrays import evenly_spread, takes_lists
from vc.metrics.content import Content
from vc.metrics.distortion import HIGHEST_MODULATION, mel_cepstral_distortion, modulation_spectra_distance
from vc.metrics.sounds import Sounds, score, sums_of_shares
from vc.metrics.speaker import equal_error_rate as error_rate_of_scores
from vc.metrics.statistics import Interval, interval_around, jackknife_variance
from vc.metrics.timbre import Timbre
from vc.metrics.timbre import distance as timbre_distance

SLOPE_SPAN = 2  # frames on either side in the regression of a frame's slope
NEGLIGIBLE = 1e-3  # sum of the roots of two distances below which source and target are the same recordings
MIN_VARIANCE = 1e-12  # floor for constant bands
MAX_PAIRS = 20  # pairs of utterances compared for diversity
KERNEL_FRAMES = 2000  # evenly spread frames of a set compared by the kernel distance
MIN_KERNEL_FRAMES, MAX_KERNEL_FRAMES = 4, 40  # of them in an utterance

Subset = np.ndarray  # indices of utterances
Figure = Callable[[Subset, Subset], float]  # of subsets of a system's utterances and of the reference's


@dataclass(frozen=True)
class Moments:
    """Counts, sums and sums of products over frames, which add up over utterances."""

    count: np.ndarray  # (...,) frames
    total: np.ndarray  # (..., bands)
    products: np.ndarray  # (..., bands, bands)

    @classmethod
    def of(cls, frames: np.ndarray) -> "Moments":
        """Moments of an utterance's frames, `(frames, bands)`."""
        frames = frames.astype(np.float64)
        return cls(np.array(len(frames)), frames.sum(axis=0), frames.T @ frames)

    @classmethod
    def stack(cls, utterances: Sequence["Moments"]) -> "Moments":
        """Stack the moments of utterances along a new first axis."""
        names = ("count", "total", "products")
        return cls(*(np.stack([getattr(utterance, name) for utterance in utterances]) for name in names))

    def pool(self, subset: Subset) -> "Moments":
        """Moments of all frames of a subset of the stacked utterances."""
        return Moments(
            self.count[subset].sum(axis=0), self.total[subset].sum(axis=0), self.products[subset].sum(axis=0)
        )

    @property
    def mean(self) -> np.ndarray:
        """Mean `(bands,)`."""
        return self.total / self.count

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased covariance `(bands, bands)`."""
        return (self.products - np.outer(self.mean, self.total)) / (self.count - 1)


@takes_lists
def moving(mel_cepstrum: np.ndarray) -> np.ndarray:
    """c1..D with their slopes, by regression over five frames; the first and last frames are repeated.

    Parameters
    ----------
    mel_cepstrum : np.ndarray
        Shape `(frames, order + 1)`.

    Returns
    -------
    np.ndarray
        Shape `(frames, 2 * D)`, float64: c1..D, then their slopes per frame.
    """
    static = mel_cepstrum[:, 1:].astype(np.float64)
    padded = np.pad(static, ((SLOPE_SPAN, SLOPE_SPAN), (0, 0)), mode="edge")
    steps, count = np.arange(1, SLOPE_SPAN + 1), len(static)
    slope = sum(
        step * (padded[SLOPE_SPAN + step :][:count] - padded[SLOPE_SPAN - step :][:count]) for step in steps
    ) / (2 * np.square(steps).sum())
    return np.concatenate([static, slope], axis=1)


@takes_lists
def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Squared Frechet distance between normal distributions fitted to two sets of frames.

    Dowson and Landau, "The Frechet distance between multivariate normal distributions", Journal of Multivariate
    Analysis 12, 1982.

    Parameters
    ----------
    one, other : np.ndarray
        Shape `(frames, bands)` each, with more frames than bands; normalise them first.

    Returns
    -------
    float
        In the squared unit of the bands; 0 for the same distribution.

    Raises
    ------
    DataError
        If the bands differ, there are too few frames, or a value is not finite.
    """
    _require_comparable(one, other)
    return frechet_distance_of_moments(Moments.of(one), Moments.of(other))


def frechet_distance_of_moments(one: Moments, other: Moments, unit: np.ndarray | float = 1.0) -> float:
    """`frechet_distance` from two sets' moments, with bands divided by `unit` (bands,) first; NaN for one frame."""
    if min(one.count, other.count) < 2:
        return float("nan")
    first, second = (side.covariance / np.outer(unit, unit) for side in (one, other))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    crossed = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    between_means = np.square((one.mean - other.mean) / unit).sum()
    return float(max(between_means + np.trace(first) + np.trace(second) - 2 * crossed, 0.0))


def approach(to_source: float, to_target: float) -> float:
    """Position of converted speech between source and target.

    Parameters
    ----------
    to_source, to_target : float
        Its Frechet distances from the two sets.

    Returns
    -------
    float
        0 at the source, 1 at the target; NaN if both are the same set.
    """
    source, target = np.sqrt(to_source), np.sqrt(to_target)
    return float(source / (source + target)) if source + target > NEGLIGIBLE else float("nan")


@takes_lists
def kernel_distance(one: Sequence[np.ndarray], other: Sequence[np.ndarray], *, paired: bool) -> float:
    """Unbiased squared maximum mean discrepancy between two sets of utterances.

    With the polynomial kernel (x . y / bands + 1)^3, after the kernel inception distance (Binkowski, Sutherland, Arbel
    and Gretton, "Demystifying MMD GANs", ICLR 2018, section 4). Only frames of different utterances are compared, since
    frames of one utterance are similar.

    Parameters
    ----------
    one, other : sequence of np.ndarray
        Shape `(frames, bands)` each; normalise them first.
    paired : bool
        Whether utterances of the same index have the same sentence; they are then not compared either.

    Returns
    -------
    float
        Dimensionless; 0 on average for two sets of one distribution, so that it can be slightly below 0.
    """
    return kernel(one, other, paired=paired)(np.arange(len(one)), np.arange(len(other)))


@takes_lists
def content_lost(converted: np.ndarray, source: np.ndarray) -> float:
    """Share of the variance of the source's frames that no linear map of the converted frames recovers.

    Parameters
    ----------
    converted, source : np.ndarray
        Shape `(frames, bands)` each, aligned, with more frames than bands.

    Returns
    -------
    float
        In 0..1. 0: the source can be recovered from its conversion; 1: none of it can. Conversion to another voice
        always loses some.

    Raises
    ------
    DataError
        If the bands differ, there are too few frames, or a value is not finite.
    """
    _require_comparable(converted, source)
    return _content_lost_of_moments(Moments.of(np.column_stack([source, converted])), source.shape[1])


def different_sentences(utterances: Sequence[np.ndarray]) -> np.ndarray:
    """Mel-cepstral distortions between utterances of different sentences.

    Up to MAX_PAIRS distinct pairs, evenly spread, each of utterances about half the set apart. Distortion after DTW is
    small between utterances with the same sequence of sounds.

    Parameters
    ----------
    utterances : sequence of np.ndarray
        Shape `(frames, order + 1)` each.

    Returns
    -------
    np.ndarray
        Shape `(pairs,)`, dB.

    Raises
    ------
    DataError
        If there are fewer than two utterances.
    """
    count = len(utterances)
    if count < 2:
        raise DataError(f"expected at least two sentences to compare, got {count}")
    offset = max(1, (count - 1) // 2)  # never half of the count, or every pair would come twice
    firsts = evenly_spread(count, MAX_PAIRS) if count > 2 else [0]
    return np.array([mel_cepstral_distortion(utterances[one], utterances[(one + offset) % count]) for one in firsts])


def diversity(converted: np.ndarray, reference: np.ndarray) -> float:
    """Mean distortion between a system's sentences, divided by that between the target's own.

    0 if all sentences are converted to the same output, the mode collapse of generative adversarial networks
    (Goodfellow, "NIPS 2016 tutorial", section 5.1.1). Over-smoothing lowers it, too.

    Parameters
    ----------
    converted, reference : np.ndarray
        Shape `(pairs,)`, from `different_sentences`.

    Returns
    -------
    float
        Dimensionless, 0 or above; 1 is as diverse as the target. NaN if the target's recordings are copies of one.
    """
    return float(converted.mean() / reference.mean()) if reference.any() else float("nan")


def with_interval(figure: Figure, utterances: int, references: int, *, paired: bool) -> tuple[float, Interval]:
    """Compute a figure over all utterances, with its 95 % jackknife interval.

    Parameters
    ----------
    figure : callable
        From indices of a system's utterances and of the reference's to the figure.
    utterances, references : int
        Size of each set.
    paired : bool
        Whether utterances of the same index have the same sentence; the jackknife then omits them from both sets.

    Returns
    -------
    value : float
    interval : tuple of float
    """
    everything, all_references = np.arange(utterances), np.arange(references)
    if paired:
        variance = jackknife_variance(lambda subset: figure(subset, subset), utterances)
    else:
        variance = jackknife_variance(lambda subset: figure(subset, all_references), utterances)
        variance += jackknife_variance(lambda subset: figure(everything, subset), references)
    value = figure(everything, all_references)
    return value, interval_around(value, variance)


def modulation(converted: np.ndarray, reference: np.ndarray) -> Figure:
    """Modulation-spectra distance between spectra `(utterances, D, frequencies)` in dB."""
    return lambda subset, references: modulation_spectra_distance(
        converted[subset].mean(axis=0), reference[references].mean(axis=0)
    )


def movement(converted: np.ndarray, reference: np.ndarray, *, lowest: float, highest: float) -> Figure:
    """Power at modulation rates of `lowest` to `highest` Hz, divided by the reference's.

    From means in dB of modulation spectra `(utterances, D, frequencies)`.
    """
    count = converted.shape[2]
    rates = HIGHEST_MODULATION * np.arange(1, count + 1) / count
    within = (rates >= lowest) & (rates < highest)
    levels, reference_levels = (side[:, :, within].mean(axis=(1, 2)) for side in (converted, reference))
    return lambda subset, references: float(10 ** ((levels[subset].mean() - reference_levels[references].mean()) / 10))


def timbre(converted: Sequence[Content], reference: Sequence[Content], *, paired: bool) -> Figure:
    """Timbre distance from the whole reference, whichever utterances are chosen."""
    sums, counts = Timbre(reference).deviations(converted, paired=paired)
    return lambda subset, _: timbre_distance(sums, counts, subset)


def frechet(converted: Sequence[np.ndarray], reference: Sequence[np.ndarray], unit: np.ndarray) -> Figure:
    """Frechet distance between utterances' frames `(frames, bands)`, divided by `unit` (bands,)."""
    moments, reference_moments = (
        Moments.stack([Moments.of(frames) for frames in side]) for side in (converted, reference)
    )
    return lambda subset, references: frechet_distance_of_moments(
        moments.pool(subset), reference_moments.pool(references), unit
    )


def sampled_kernel(
    converted: Sequence[np.ndarray], reference: Sequence[np.ndarray], unit: np.ndarray, *, paired: bool
) -> Figure:
    """Kernel distance between utterances' frames `(frames, bands)`, of which about KERNEL_FRAMES a side are compared.

    The reference's mean is subtracted from them, and they are divided by `unit` (bands,).
    """
    centre = np.concatenate(reference).mean(axis=0)
    sides = []
    for side in (converted, reference):
        most = max(MIN_KERNEL_FRAMES, min(MAX_KERNEL_FRAMES, KERNEL_FRAMES // len(side)))
        chosen = [frames[evenly_spread(len(frames), most)] for frames in side]
        sides.append([(frames.astype(np.float64) - centre) / unit for frames in chosen])
    return kernel(*sides, paired=paired)


def sound_score(converted: Sequence[np.ndarray], reference: Sequence[np.ndarray], unit: np.ndarray) -> Figure:
    """Score of the target's sounds, divided by that of its own frames; from c1..D, the first half of a frame's bands.

    Frames are `(frames, bands)` of each utterance, and are divided by `unit` (bands,). The classifier is always that of
    the whole reference, whichever utterances are kept.
    """
    bands = len(unit) // 2
    sides = [[frames[:, :bands] / unit[:bands] for frames in side] for side in (converted, reference)]
    sounds = Sounds(np.concatenate(sides[1]))
    sums, reference_sums = (sums_of_shares(sounds, side) for side in sides)
    return lambda subset, references: score(sums[subset]) / score(reference_sums[references])


def kernel(one: Sequence[np.ndarray], other: Sequence[np.ndarray], *, paired: bool) -> Figure:
    """`kernel_distance` of two sets of utterances `(frames, bands)`, as a function of subsets."""
    within_one, within_other, between = (_kernel_means(*sides) for sides in ((one, one), (other, other), (one, other)))

    def distance(subset: Subset, references: Subset) -> float:
        within = _mean_off_diagonal(within_one[np.ix_(subset, subset)])
        within += _mean_off_diagonal(within_other[np.ix_(references, references)])
        across = between[np.ix_(subset, references)]
        return float(within - 2 * (_mean_off_diagonal(across) if paired else across.mean()))

    return distance


def relative_content_lost(related: Sequence[Moments], unrelated: Sequence[Moments]) -> Figure:
    """Content lost, divided by that of unrelated sentences: 1 is as if another sentence had been said.

    Parameters
    ----------
    related, unrelated : sequence of Moments
        Joint moments of source frames, the first half of the bands, and of frames converted from them or from another
        utterance.

    Returns
    -------
    callable
        From indices of utterances to the figure.
    """
    moments, unrelated_moments = Moments.stack(related), Moments.stack(unrelated)
    bands = moments.total.shape[1] // 2

    def lost(subset: Subset, _: Subset) -> float:
        share, unrelated_share = (
            _content_lost_of_moments(stacked.pool(subset), bands) for stacked in (moments, unrelated_moments)
        )
        return share / unrelated_share if unrelated_share > 0 else float("nan")

    return lost


def approach_by(to_source: Figure, to_target: Figure) -> Figure:
    """Approach to the target, from the Frechet distances to source and target; the source has the system's indices."""
    return lambda subset, references: approach(to_source(subset, subset), to_target(subset, references))


def similarities(embeddings: np.ndarray, others: np.ndarray, *, leave_one_out: bool) -> np.ndarray:
    """Cosine similarities of speaker embeddings with the mean of another set's.

    Parameters
    ----------
    embeddings, others : np.ndarray
        Shape `(utterances, 256)`, NaN where missing.
    leave_one_out : bool
        Whether the utterance of the same index is left out of the mean.

    Returns
    -------
    np.ndarray
        Shape `(utterances,)`, in -1..1; NaN where an embedding is missing.
    """
    centres = np.nansum(others, axis=0) - (np.nan_to_num(others) if leave_one_out else 0) + np.zeros_like(embeddings)
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(centres, axis=1)
    products = (embeddings * centres).sum(axis=1)
    return np.divide(products, lengths, out=np.full(len(embeddings), np.nan), where=lengths > 0)


def equal_error_rate(embeddings: np.ndarray, reference: np.ndarray, *, paired: bool) -> Figure:
    """Equal error rate: pairs of target recordings are genuine, pairs of a converted and a target one are impostors.

    From speaker embeddings `(utterances, 256)`, NaN where missing.
    """
    genuine_trials, impostor_trials = reference @ reference.T, embeddings @ reference.T

    def rate(subset: Subset, references: Subset) -> float:
        genuine = genuine_trials[np.ix_(references, references)][np.triu_indices(len(references), 1)]
        impostor = impostor_trials[np.ix_(subset, references)]
        impostor = impostor[~np.eye(len(subset), dtype=bool)] if paired else impostor.ravel()
        genuine, impostor = (trials[np.isfinite(trials)] for trials in (genuine, impostor))
        return error_rate_of_scores(genuine, impostor) if len(genuine) and len(impostor) else np.nan

    return rate


def _require_comparable(one: np.ndarray, other: np.ndarray) -> None:
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise DataError(
            f"expected two (frames, bands) with an equal number of bands, got shapes {one.shape} and {other.shape}"
        )
    if min(len(one), len(other)) <= one.shape[1]:
        raise DataError(f"{len(one)} and {len(other)} frames are too few for {one.shape[1]} bands")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise DataError("frames to compare must be finite")


def _kernel_means(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> np.ndarray:
    """`(utterances, utterances)`: mean of the kernel over all pairs of frames of two utterances."""
    ends = np.cumsum([0, *map(len, other)])
    together = np.concatenate(other)
    rows = []
    for frames in one:
        products = (frames @ together.T / together.shape[1] + 1) ** 3
        rows.append(np.add.reduceat(products.mean(axis=0), ends[:-1]) / np.diff(ends))
    return np.array(rows)


def _mean_off_diagonal(square: np.ndarray) -> float:
    """Mean of the off-diagonal elements; NaN for a single utterance."""
    count = len(square)
    return (square.sum() - np.trace(square)) / (count * (count - 1)) if count > 1 else np.nan


def _content_lost_of_moments(joint: Moments, bands: int) -> float:
    """`content_lost` from joint moments of source frames, the first `bands`, and converted ones; NaN for one frame."""
    if joint.count < 2:
        return float("nan")
    covariance = joint.covariance
    source, converted, crossed = covariance[:bands, :bands], covariance[bands:, bands:], covariance[:bands, bands:]
    explained = np.einsum("sc,cs->s", crossed, np.linalg.pinv(converted, hermitian=True) @ crossed.T)
    left = np.diag(source) - explained
    return float(np.clip(left / np.maximum(np.diag(source), MIN_VARIANCE), 0, 1).mean())
