"""How far a voice's timbre is from the target's where both say the same: spectra of frames of like content.

A second measure of the speaker beside the embedding's: it knows nothing of other speakers, looks at spectra alone, and
compares a sound with the target's own of that sound, so that a filter which gives a recording the target's long-term
spectrum does not deceive it.
"""

from collections.abc import Sequence

import numpy as np

from vc.metrics.content import Content, centre_of, directions
from vc.metrics.distribution import FAINTEST, Kept

NEIGHBOURS = 8  # of the target's frames, nearest in content, whose mean stands for the target's sound
SOUNDS = 24  # into which frames are sorted by content


class Timbre:
    """The target's recordings, to which others are compared."""

    def __init__(self, target: Sequence[Content]):
        self.centre = centre_of(target)
        self.vectors = [directions(each.vectors[each.audible], self.centre) for each in target]
        self.cepstra = [each.cepstra[each.audible] for each in target]
        every = np.concatenate(self.vectors)
        self.landmarks = every[np.linspace(0, len(every) - 1, SOUNDS).round().astype(int)]
        self.unit = np.maximum(np.concatenate(self.cepstra).std(axis=0), FAINTEST)

    def deviations(self, utterances: Sequence[Content], paired: bool) -> tuple[np.ndarray, np.ndarray]:
        """What each utterance's sounds are off the target's.

        Parameters
        ----------
        utterances : sequence of Content
            Of a system; with `paired`, the target's utterance of the same place says the same, and is left out: a
            sentence's own recording would be nearer than any voice's other sentences.

        Returns
        -------
        np.ndarray
            Shape `(utterances, SOUNDS, COEFFICIENTS)`: sums over frames, in the target's deviations.
        np.ndarray
            Shape `(utterances, SOUNDS)`: the number of frames.
        """
        sums = np.zeros((len(utterances), SOUNDS, len(self.unit)))
        counts = np.zeros((len(utterances), SOUNDS))
        for index, each in enumerate(utterances):
            others = [place for place in range(len(self.vectors)) if not (paired and place == index)]
            vectors = np.concatenate([self.vectors[place] for place in others])
            cepstra = np.concatenate([self.cepstra[place] for place in others])
            own = directions(each.vectors[each.audible], self.centre)
            nearest = np.argpartition(-own @ vectors.T, min(NEIGHBOURS, len(vectors)) - 1, axis=1)[:, :NEIGHBOURS]
            off = (each.cepstra[each.audible] - cepstra[nearest].mean(axis=1)) / self.unit
            sound = (own @ self.landmarks.T).argmax(axis=1)
            np.add.at(sums[index], sound, off)
            np.add.at(counts[index], sound, 1)
        return sums, counts


def distance(sums: np.ndarray, counts: np.ndarray, kept: Kept) -> float:
    """Root mean square over sounds of the mean deviation of the utterances `kept`; 0 for the target's own.

    Squares are products of different utterances' deviations, whose chance parts cancel; what falls below 0 is 0.
    """
    total, frames = sums[kept].sum(axis=0), counts[kept].sum(axis=0)
    products = (np.square(total) - np.square(sums[kept]).sum(axis=0)).mean(axis=1)
    pairs = np.square(frames) - np.square(counts[kept]).sum(axis=0)
    heard = pairs > 0
    if not heard.any():
        return float("nan")
    square = (frames[heard] * products[heard] / pairs[heard]).sum() / frames[heard].sum()
    return float(np.sqrt(max(square, 0.0)))
