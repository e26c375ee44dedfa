"""Conversions made by hand in the mel-cepstrum: an ideal one, and ones that are spoilt in a known way.

Each is a list of `(frames, D)`, c1..D of a sentence each, in the time of the source.
"""

import numpy as np
from scipy.ndimage import uniform_filter1d

from vc.metrics import speech_path

Sentences = list[np.ndarray]


def ideal(source: Sentences, target: Sentences) -> Sentences:
    """The target's own frames of the same sentences, of mel-cepstra `(frames, order + 1)`, put in the source's time."""
    made = []
    for own, other in zip(source, target, strict=True):
        rows, columns = speech_path(own, other)
        nearest = columns[np.searchsorted(rows, np.arange(len(own))).clip(max=len(rows) - 1)]
        made.append(other[nearest, 1:])
    return made


def smoothed(good: Sentences) -> Sentences:
    return [own.mean(axis=0) + 0.6 * (uniform_filter1d(own, 15, axis=0) - own.mean(axis=0)) for own in good]


def still(good: Sentences) -> Sentences:
    """The target's mean and nothing else."""
    mean = np.concatenate(good).mean(axis=0)
    return [np.tile(mean, (len(own), 1)) for own in good]


def one_sentence(good: Sentences) -> Sentences:
    """The same lively movement, whatever is said."""
    return [np.resize(good[0], own.shape) for own in good]
