"""Figures that only a whole set of utterances has, each as a function of the utterances that are kept."""

from collections.abc import Callable, Sequence

import numpy as np

from vc.metrics import distortion, distribution, speaker
from vc.metrics.content import Content
from vc.metrics.distribution import Kept, Moments
from vc.metrics.intervals import Interval, interval_around, jackknife_variance
from vc.metrics.timbre import Timbre
from vc.metrics.timbre import distance as timbre_distance

SAMPLED = 2000  # frames of a set, evenly, that the kernel distance looks at
FEWEST, MOST = 4, 40  # of them in an utterance
Figure = Callable[[Kept, Kept], float]  # of the utterances kept of a system and of the reference


def modulation(own: np.ndarray, reference: np.ndarray) -> Figure:
    """Modulation-spectra distance, from spectra `(utterances, D, frequencies)`."""
    return lambda kept, others: distortion.modulation_spectra_distance(
        own[kept].mean(axis=0), reference[others].mean(axis=0)
    )


def movement(own: np.ndarray, reference: np.ndarray, lowest: float, highest: float) -> Figure:
    """Power of the movement at modulation rates of `lowest` to `highest` Hz, over the reference's.

    From the means in dB of spectra `(utterances, D, frequencies)`.
    """
    count = own.shape[2]
    rates = distortion.HIGHEST_MODULATION * np.arange(1, count + 1) / count
    counted = (rates >= lowest) & (rates < highest)
    means, wanted = (side[:, :, counted].mean(axis=(1, 2)) for side in (own, reference))
    return lambda kept, others: float(10 ** ((means[kept].mean() - wanted[others].mean()) / 10))


def timbre(own: Sequence[Content], reference: Sequence[Content], paired: bool) -> Figure:
    """Distance of the timbre; the reference stays whole whichever utterances are kept."""
    sums, counts = Timbre(reference).deviations(own, paired)
    return lambda kept, _: timbre_distance(sums, counts, kept)


def frechet(own: Sequence[np.ndarray], reference: Sequence[np.ndarray], unit: np.ndarray) -> Figure:
    """Frechet distance, from frames `(frames, bands)` of utterances that are divided by `unit` (bands,)."""
    moments, wanted = (Moments.stack([Moments.of(frames) for frames in side]) for side in (own, reference))
    return lambda kept, others: distribution.frechet_of_moments(moments.pool(kept), wanted.pool(others), unit)


def kernel(own: Sequence[np.ndarray], reference: Sequence[np.ndarray], unit: np.ndarray, paired: bool) -> Figure:
    """Kernel distance, as `frechet`; of `paired` sets, utterances of one place say the same."""
    centre = np.concatenate(reference).mean(axis=0)
    sides = ([(_evenly(frames, len(side)) - centre) / unit for frames in side] for side in (own, reference))
    return distribution.kernel_distance_over(*sides, paired)


def content(together: Sequence[Moments], by_chance: Sequence[Moments]) -> Figure:
    """Content lost, over that of unrelated sentences: 1 is as if another sentence had been said.

    From each utterance's moments of source frames with converted ones behind: its own, and another utterance's.
    """
    moments, unrelated = Moments.stack(together), Moments.stack(by_chance)
    bands = moments.total.shape[1] // 2

    def lost(kept: Kept, _: Kept) -> float:
        own, other = (distribution.content_lost_of_moments(each.pool(kept), bands) for each in (moments, unrelated))
        return own / other if other > 0 else float("nan")

    return lost


def approach(to_source: Figure, to_target: Figure) -> Figure:
    """Approach to the target, by both Frechet distances; the source's utterances are those of the system."""
    return lambda kept, others: distribution.approach(to_source(kept, kept), to_target(kept, others))


def likeness(own: np.ndarray, others: np.ndarray, apart: bool) -> np.ndarray:
    """`(utterances,)` cosines of speaker embeddings `(utterances, 256)` to the mean of another set's.

    `apart` leaves the utterance of the same place out of the mean. NaN where an embedding is.
    """
    centres = np.nansum(others, axis=0) - (np.nan_to_num(others) if apart else 0) + np.zeros_like(own)
    lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(centres, axis=1)
    return np.divide((own * centres).sum(axis=1), lengths, out=np.full(len(own), np.nan), where=lengths > 0)


def equal_error_rate(own: np.ndarray, reference: np.ndarray, paired: bool) -> Figure:
    """Of telling pairs of the target's recordings from pairs of a converted one and the target's, by embeddings."""
    genuine, trials = reference @ reference.T, own @ reference.T

    def rate(kept: Kept, others: Kept) -> float:
        same = genuine[np.ix_(others, others)][np.triu_indices(len(others), 1)]
        crossed = trials[np.ix_(kept, others)]
        crossed = crossed[~np.eye(len(kept), dtype=bool)] if paired else crossed.ravel()
        same, crossed = (scores[np.isfinite(scores)] for scores in (same, crossed))
        return speaker.equal_error_rate(same, crossed) if len(same) and len(crossed) else np.nan

    return rate


def told(figure: Figure, own: int, reference: int, paired: bool) -> tuple[float, Interval]:
    """A figure of all utterances and its 95 % interval; of `paired` sets, both lose an utterance together."""
    every, others = np.arange(own), np.arange(reference)
    if paired:
        variance = jackknife_variance(lambda kept: figure(kept, kept), own)
    else:
        variance = jackknife_variance(lambda kept: figure(kept, others), own)
        variance += jackknife_variance(lambda kept: figure(every, kept), reference)
    value = figure(every, others)
    return value, interval_around(value, variance)


def _evenly(frames: np.ndarray, utterances: int) -> np.ndarray:
    wanted = min(len(frames), max(FEWEST, min(MOST, SAMPLED // utterances)))
    return frames[np.linspace(0, len(frames) - 1, wanted).round().astype(int)].astype(np.float64)
