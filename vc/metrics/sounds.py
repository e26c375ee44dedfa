"""How many of the target's sounds occur in a set of frames, each of them clearly, by a classifier's entropies.

The inception score (Salimans et al., "Improved techniques for training GANs", NIPS 2016, sec. 4) with sounds in place
of objects: classes are clusters of the target's own speech frames, and the classifier is a linear discriminant, so that
no other data are needed. A generator that collapses to a few sounds has a low score, and so has one whose frames lie
between all sounds. The score ignores sentences: the sounds may be those of other words.
"""

from collections.abc import Sequence

import numpy as np

from vc.metrics.arrays import evenly_spread

CLUSTERS = 24  # clusters of the target's frames
ROUNDS = 10  # of k-means
FRAMES = 4000  # of the target, spread evenly, used to find the clusters
SMALLEST = 1e-6  # share of the variance, added to that within clusters


class Sounds:
    """A classifier of a voice's sounds, for frames divided by the voice's standard deviations.

    Parameters
    ----------
    frames : np.ndarray
        Frames of the target, shape `(frames, bands)`.
    """

    def __init__(self, frames: np.ndarray):
        frames = frames[np.lexsort(frames.T[::-1])]  # the order of the utterances must not matter
        frames = frames[evenly_spread(len(frames), FRAMES)]
        centres = k_means(frames, frames[evenly_spread(len(frames), CLUSTERS)], ROUNDS)
        nearest = nearest_centre(frames, centres)
        counts = np.bincount(nearest, minlength=len(centres))
        within = frames - centres[nearest]
        covariance = within.T @ within / len(frames) + SMALLEST * np.eye(frames.shape[1])
        self.weights = np.linalg.solve(covariance, centres.T)  # (bands, sounds)
        self.biases = np.log(np.maximum(counts, 1) / len(frames)) - (centres.T * self.weights).sum(0) / 2

    def classify(self, frames: np.ndarray) -> np.ndarray:
        """Probabilities of the sounds `(frames, sounds)`, which add up to 1, for frames `(frames, bands)`."""
        logits = frames @ self.weights + self.biases
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)


def k_means(frames: np.ndarray, centres: np.ndarray, rounds: int) -> np.ndarray:
    """Centres `(clusters, bands)` after some rounds of Lloyd's algorithm; an empty cluster keeps its centre.

    Not SciPy's, which a plain install does not have.
    """
    for _ in range(rounds):
        nearest = nearest_centre(frames, centres)
        clusters = [frames[nearest == number] for number in range(len(centres))]
        means = [cluster.mean(axis=0) if len(cluster) else old for cluster, old in zip(clusters, centres)]
        centres = np.array(means)
    return centres


def nearest_centre(frames: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """For each frame the number of the centre with the least Euclidean distance, `(frames,)`."""
    return (np.square(centres).sum(axis=1) / 2 - frames @ centres.T).argmin(axis=1)


def sums_of_shares(sounds: Sounds, utterances: Sequence[np.ndarray]) -> np.ndarray:
    """Sums over each utterance's frames of probabilities, entropies in nats, and 1: `(utterances, sounds + 2)`."""
    rows = []
    for frames in utterances:
        shares = sounds.classify(frames)
        rows.append([*shares.sum(axis=0), entropy(shares).sum(), len(frames)])
    return np.array(rows)


def score(sums: np.ndarray) -> float:
    """Score by `sums_of_shares` of some utterances `(utterances, sounds + 2)`.

    From 1 (one sound, or none clearly) to the number of sounds.
    """
    *shares, entropies, count = sums.sum(axis=0)
    return float(np.exp(entropy(np.array(shares) / count) - entropies / count))


def entropy(shares: np.ndarray) -> np.ndarray:
    """Entropy in nats of probabilities `(..., sounds)`, along the last axis."""
    return -(shares * np.log(np.maximum(shares, np.finfo(float).tiny))).sum(axis=-1)
