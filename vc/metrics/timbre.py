"""Timbre distance: the difference between spectra of a voice and of the target in frames with similar content.

A second speaker metric beside the embeddings'. It knows no other speakers, depends on spectra alone, and compares each
sound with the target's own, so that it cannot be fooled by a filter that gives a recording the target's long-term
spectrum.
"""

from collections.abc import Sequence

import numpy as np

from vc.metrics.arrays import evenly_spread
from vc.metrics.content import Content, centre_of, directions

NEIGHBOURS = 8  # target frames nearest in content, whose mean is the reference for a frame
SOUNDS = 24  # classes of frames by content
MIN_DEVIATION = 1e-12  # floor for constant coefficients


class Timbre:
    """The target's recordings, as the reference of the timbre distance.

    Parameters
    ----------
    target : sequence of Content
        The target's utterances.
    """

    def __init__(self, target: Sequence[Content]):
        self.centre = centre_of(target)
        self.vectors = [directions(utterance.vectors[utterance.audible], self.centre) for utterance in target]
        self.cepstra = [utterance.cepstra[utterance.audible] for utterance in target]
        vectors = np.concatenate(self.vectors)
        self.landmarks = vectors[evenly_spread(len(vectors), SOUNDS)]
        self.unit = np.maximum(np.concatenate(self.cepstra).std(axis=0), MIN_DEVIATION)

    def deviations(self, utterances: Sequence[Content], *, paired: bool) -> tuple[np.ndarray, np.ndarray]:
        """Deviations of utterances from the target, by sound.

        Parameters
        ----------
        utterances : sequence of Content
            Of a system.
        paired : bool
            Whether the target's utterance of the same index has the same sentence. It is then left out, because it
            would be nearer than other sentences of any voice.

        Returns
        -------
        sums : np.ndarray
            Shape `(utterances, SOUNDS, COEFFICIENTS)`: sums over frames, in the target's standard deviations.
        counts : np.ndarray
            Shape `(utterances, SOUNDS)`: numbers of frames.
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
    """Timbre distance: root mean square over sounds of the mean deviation from the target.

    Squares are estimated by products of deviations in different utterances, so that random parts cancel; a negative
    mean is replaced by 0.

    Parameters
    ----------
    sums, counts : np.ndarray
        From `Timbre.deviations`.
    subset : np.ndarray
        Indices of the utterances.

    Returns
    -------
    float
        In the target's standard deviations; 0 for the target's own voice, NaN if no sound occurs in two utterances.
    """
    total, frames = sums[subset].sum(axis=0), counts[subset].sum(axis=0)
    products = (np.square(total) - np.square(sums[subset]).sum(axis=0)).mean(axis=1)
    pairs = np.square(frames) - np.square(counts[subset]).sum(axis=0)
    present = pairs > 0
    if not present.any():
        return float("nan")
    square = (frames[present] * products[present] / pairs[present]).sum() / frames[present].sum()
    return float(np.sqrt(max(square, 0.0)))
