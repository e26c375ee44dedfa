"""How far a voice's timbre is from the target's where both say the same: spectra of frames of like content.

A second measure of the speaker beside the embedding's: it knows nothing of other speakers, looks at spectra alone, and
compares a sound with the target's own of that sound, so that a filter which gives a recording the target's long-term
spectrum does not deceive it.
"""

from collections.abc import Sequence

import numpy as np

from vc.metrics.content import Content, centre_of, directions

NEIGHBOURS = 8  # of the target's frames, nearest in content, whose mean stands for the target's sound
SOUNDS = 24  # into which frames are sorted by content
MIN_DEVIATION = 1e-12  # of a coefficient that never changes


class Timbre:
    """The target's recordings, to which others are compared."""

    def __init__(self, target: Sequence[Content]):
        self.centre = centre_of(target)
        self.vectors = [directions(each.vectors[each.audible], self.centre) for each in target]
        self.cepstra = [each.cepstra[each.audible] for each in target]
        vectors = np.concatenate(self.vectors)
        self.landmarks = vectors[np.linspace(0, len(vectors) - 1, SOUNDS).round().astype(int)]
        self.unit = np.maximum(np.concatenate(self.cepstra).std(axis=0), MIN_DEVIATION)

    def deviations(self, utterances: Sequence[Content], *, paired: bool) -> tuple[np.ndarray, np.ndarray]:
        """How each utterance's sounds differ from the target's.

        Parameters
        ----------
        utterances : sequence of Content
            Of a system.
        paired : bool
            Whether the target's utterance of the same index says the same. It is then left out: a sentence's own
            recording would be nearer than any voice's other sentences.

        Returns
        -------
        np.ndarray
            Shape `(utterances, SOUNDS, COEFFICIENTS)`: sums over frames, in the target's deviations.
        np.ndarray
            Shape `(utterances, SOUNDS)`: the number of frames.
        """
        sums = np.zeros((len(utterances), SOUNDS, len(self.unit)))
        counts = np.zeros((len(utterances), SOUNDS))
        for index, utterance in enumerate(utterances):
            others = [number for number in range(len(self.vectors)) if not (paired and number == index)]
            vectors = np.concatenate([self.vectors[number] for number in others])
            cepstra = np.concatenate([self.cepstra[number] for number in others])
            content = directions(utterance.vectors[utterance.audible], self.centre)
            nearest = np.argpartition(-content @ vectors.T, min(NEIGHBOURS, len(vectors)) - 1, axis=1)[:, :NEIGHBOURS]
            difference = (utterance.cepstra[utterance.audible] - cepstra[nearest].mean(axis=1)) / self.unit
            sound = (content @ self.landmarks.T).argmax(axis=1)
            np.add.at(sums[index], sound, difference)
            np.add.at(counts[index], sound, 1)
        return sums, counts


def distance(sums: np.ndarray, counts: np.ndarray, subset: np.ndarray) -> float:
    """Root mean square over sounds of the mean deviation of some utterances from the target's timbre.

    Squares are products of different utterances' deviations, whose random parts cancel; what falls below 0 is 0.

    Parameters
    ----------
    sums, counts : np.ndarray
        As `Timbre.deviations` gives them.
    subset : np.ndarray
        Indices of the utterances.

    Returns
    -------
    float
        In the target's deviations; 0 for the target's own voice, NaN where no sound occurs in two utterances.
    """
    total, frames = sums[subset].sum(axis=0), counts[subset].sum(axis=0)
    products = (np.square(total) - np.square(sums[subset]).sum(axis=0)).mean(axis=1)
    pairs = np.square(frames) - np.square(counts[subset]).sum(axis=0)
    present = pairs > 0
    if not present.any():
        return float("nan")
    square = (frames[present] * products[present] / pairs[present]).sum() / frames[present].sum()
    return float(np.sqrt(max(square, 0.0)))
