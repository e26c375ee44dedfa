"""How many of the target's sounds a set of frames has, each of them clearly: a classifier's entropies.

The inception score (Salimans et al., "Improved techniques for training GANs", NIPS 2016, sec. 4) with sounds in place
of objects: classes are clusters of the target's own speech frames, and the classifier is a linear discriminant, so that
nothing has to be learnt elsewhere. A generator that collapses into a few sounds has a low score, and so has one whose
frames lie between all sounds. It knows nothing of sentences: the sounds may be those of other words.
"""

from collections.abc import Sequence

import numpy as np

SOUNDS = 24  # clusters of the target's frames
ROUNDS = 10  # of k-means
FRAMES = 4000  # of the target, spread evenly, that clusters are found in
SMALLEST = 1e-6  # of a share of variance, added to the clusters' own


class Sounds:
    """A classifier of a voice's sounds, of frames that are divided by its deviations.

    Parameters
    ----------
    frames : np.ndarray
        Shape `(frames, bands)`, of the target.
    """

    def __init__(self, frames: np.ndarray):
        frames = frames[np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(int)]
        centres = frames[np.linspace(0, len(frames) - 1, min(SOUNDS, len(frames))).round().astype(int)]
        for _ in range(ROUNDS):
            nearest = np.square(frames[:, None] - centres).sum(-1).argmin(1)
            counts = np.bincount(nearest, minlength=len(centres))
            sums = np.zeros_like(centres)
            np.add.at(sums, nearest, frames)
            centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
        within = frames - centres[nearest]
        covariance = within.T @ within / len(frames) + SMALLEST * np.eye(frames.shape[1])
        self.weights = np.linalg.solve(covariance, centres.T)  # (bands, sounds)
        self.biases = np.log(np.maximum(counts, 1) / len(frames)) - (centres.T * self.weights).sum(0) / 2

    def classify(self, frames: np.ndarray) -> np.ndarray:
        """`(frames, sounds)`: shares of each frame, which add up to 1, by `(frames, bands)`."""
        logits = frames @ self.weights + self.biases
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)


def sums_of_shares(sounds: Sounds, utterances: Sequence[np.ndarray]) -> np.ndarray:
    """`(utterances, sounds + 2)`: of an utterance's frames the sums of shares, of their entropies in nats, and of 1."""
    rows = []
    for frames in utterances:
        shares = sounds.classify(frames)
        rows.append([*shares.sum(axis=0), entropy(shares).sum(), len(frames)])
    return np.array(rows)


def score(sums: np.ndarray) -> float:
    """From `sums_of_shares` of some utterances: 1 (one sound, or none clearly) to the number of sounds."""
    *shares, entropies, count = sums.sum(axis=0)
    return float(np.exp(entropy(np.array(shares) / count) - entropies / count))


def entropy(shares: np.ndarray) -> np.ndarray:
    """In nats, along the last axis."""
    return -(shares * np.log(np.maximum(shares, np.finfo(float).tiny))).sum(axis=-1)
