"""What is said, and in which timbre, by the content encoder that the toolkit carries: no package, no transcript.

Two recordings are held against each other by dynamic time warping of their content vectors, which hold little of who
speaks; the timbre by the spectra of frames whose content is alike (`vc.metrics.timbre`). Spectra are log-mel below
7 kHz, so that an analysis at another sample rate, whose filter cuts off above, changes nothing.

What it is worth: sentences of another speaker lie at 0.25 to 0.34 of the distance of different sentences, sentences
played backwards or shifted out of a voice's range at 0.8 and more (docs/impostors.md). Systems that synthesise from
this encoder's content are flattered: they are at 0.13 where a recogniser mistakes as many phones as at 0.3 elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vc.errors import DataError
from vc.features.mel import MelConfig
from vc.features.speech import DECIBELS, DYNAMIC_RANGE, from_first_to_last
from vc.metrics import speech
from vc.metrics.alignment import align

MODULES = ("torch",)
BANDS = slice(2, 74)  # of log-mel: 70 Hz to 7 kHz
COEFFICIENTS = 20  # of the spectrum's cosine transform, without the level
PAIRS = 20  # of different sentences, at most
TINY = 1e-9  # length of a content vector that is none


@dataclass(frozen=True)
class Content:
    """A recording's content frames, from the first audible one to the last."""

    vectors: np.ndarray  # (frames, dims) float32
    cepstra: np.ndarray  # (frames, COEFFICIENTS) float32, in dB
    audible: np.ndarray  # (frames,)


def require() -> None:
    """Nothing is missing: torch and the encoder come with the toolkit."""


def analyse(samples: np.ndarray, rate: int) -> Content:
    """Content and spectra of a recording.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`, full scale 1.
    rate : int
        Sample rate in Hz.

    Raises
    ------
    DataError
        If the recording is too short, silent or not finite.
    """
    import soxr

    from vc.encoders import choice
    from vc.features import mel

    speech.validate(samples, rate)
    encoder = choice.choose(choice.DISTILLED)
    resampled = soxr.resample(samples.astype(np.float32), rate, encoder.sample_rate)
    with speech.one_thread():
        vectors = encoder.encode(resampled)
        log_mel = mel.analyse(resampled, MelConfig())
    per_vector = encoder.frame // MelConfig().hop
    padded = np.pad(log_mel, ((0, max(0, per_vector * len(vectors) - len(log_mel))), (0, 0)), mode="edge")
    bands = padded[: per_vector * len(vectors)].reshape(len(vectors), per_vector, -1).mean(axis=1)[:, BANDS]
    level = 2 * DECIBELS * bands.max(axis=1)
    audible = level > level.max() - DYNAMIC_RANGE
    kept = from_first_to_last(audible)
    cepstra = 2 * DECIBELS * bands @ _cosines(bands.shape[1])
    return Content(vectors[kept], cepstra[kept].astype(np.float32), audible[kept])


def distance(one: Content, other: Content, centre: np.ndarray) -> float:
    """Mean over the cheapest path of 1 less the cosine of content vectors less `centre` (dims,): 0 for the same."""
    vectors = [directions(each.vectors, centre) for each in (one, other)]
    rows, columns = align(*vectors)
    return float(1 - (vectors[0][rows] * vectors[1][columns]).sum(axis=1).mean())


def different_sentences(utterances: Sequence[Content], centre: np.ndarray) -> float:
    """Mean `distance` of each of up to PAIRS utterances to the next: what there is where nothing is kept."""
    count = len(utterances)
    if count < 2:
        raise DataError(f"different sentences are to be compared, got {count}")
    firsts = np.unique(np.linspace(0, count - 1, min(PAIRS, count)).round().astype(int))
    return float(np.mean([distance(utterances[one], utterances[(one + 1) % count], centre) for one in firsts]))


def centre_of(utterances: Sequence[Content]) -> np.ndarray:
    """`(dims,)`: mean of the content vectors of a set."""
    return np.concatenate([each.vectors for each in utterances]).mean(axis=0, dtype=np.float64)


def directions(vectors: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """`(frames, dims)` of length 1, seen from `centre`."""
    moved = vectors - centre
    return moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), TINY)


def _cosines(bands: int) -> np.ndarray:
    """`(bands, COEFFICIENTS)`: orthonormal cosine transform, from the second coefficient on."""
    angles = np.pi / bands * np.outer(np.arange(bands) + 0.5, np.arange(1, COEFFICIENTS + 1))
    return np.sqrt(2 / bands) * np.cos(angles)
