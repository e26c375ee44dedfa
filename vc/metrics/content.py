"""Content distance, by the encoder `distilled`, and the frames that timbre distance needs; no transcripts.

Recordings are compared by dynamic time warping of their content vectors, which contain little about the speaker, and in
timbre by the spectra of frames with similar content (`vc.metrics.timbre`). Spectra are log-mel below 7 kHz, so that
the filter of an analysis at another sample rate, which cuts off above, has no influence.

Reliability: the same sentence by another speaker has 0.25 to 0.34 of the distance between different sentences, and
sentences played backwards or shifted out of a voice's range 0.8 and more (docs/impostors.md). Systems that synthesise
from this encoder's content are favoured: at 0.13 they have as many phone errors as others at 0.3. Those that synthesise
from `quantised`, whose vectors it imitates, may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vc.errors import DataError
from vc.features.mel import MelConfig
from vc.features.speech import DECIBELS, DYNAMIC_RANGE, from_first_to_last
from vc.metrics.alignment import align
from vc.metrics.arrays import evenly_spread
from vc.metrics.speech_models import one_thread, require_speech

MODULES = ("torch",)
BANDS = slice(2, 74)  # of log-mel: 70 Hz to 7 kHz
COEFFICIENTS = 20  # of the spectrum's cosine transform, without the zeroth
MAX_PAIRS = 20  # of different sentences
COPIES = 1e-6  # distance up to which recordings are copies of one another
MIN_LENGTH = 1e-9  # of a content vector, so that a zero vector can be normalised


@dataclass(frozen=True)
class Content:
    """Content and spectra of a recording's frames, from the first to the last audible one."""

    vectors: np.ndarray  # (frames, dims) float32
    cepstra: np.ndarray  # (frames, COEFFICIENTS) float32, in dB
    audible: np.ndarray  # (frames,) bool


def require() -> None:
    """Do nothing: torch and the encoder come with the toolkit."""


def analyse(samples: np.ndarray, rate: int) -> Content:
    """Analyse content and spectra of a recording.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`; full scale is 1.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    Content

    Raises
    ------
    DataError
        If the recording is too short, silent or not finite, or its rate too low.
    """
    import soxr

    from vc.encoders import choice
    from vc.features import mel

    require_speech(samples, rate)
    encoder = choice.choose(choice.DISTILLED)
    resampled = soxr.resample(samples.astype(np.float32), rate, encoder.sample_rate)
    with one_thread():
        vectors = encoder.encode(resampled)
        log_mel = mel.analyse(resampled, MelConfig())
    per_vector = encoder.frame // MelConfig().hop
    padded = np.pad(log_mel, ((0, max(0, per_vector * len(vectors) - len(log_mel))), (0, 0)), mode="edge")
    bands = padded[: per_vector * len(vectors)].reshape(len(vectors), per_vector, -1).mean(axis=1)[:, BANDS]
    level = 2 * DECIBELS * bands.max(axis=1)
    audible = level > level.max() - DYNAMIC_RANGE
    # Orthonormal cosine transform without the zeroth coefficient
    count = bands.shape[1]
    angles = np.pi / count * np.outer(np.arange(count) + 0.5, np.arange(1, COEFFICIENTS + 1))
    cepstra = 2 * DECIBELS * bands @ (np.sqrt(2 / count) * np.cos(angles))
    speech = from_first_to_last(audible)
    return Content(vectors[speech], cepstra[speech].astype(np.float32), audible[speech])


def distance(one: Content, other: Content, centre: np.ndarray) -> float:
    """Content distance of two recordings: the mean cosine distance of content vectors over the DTW path.

    Parameters
    ----------
    one, other : Content
        Of the recordings.
    centre : np.ndarray
        Shape `(dims,)`, subtracted from the vectors first; from `centre_of`.

    Returns
    -------
    float
        In 0..2; 0 for the same recording.
    """
    vectors = [directions(each.vectors, centre) for each in (one, other)]
    rows, columns = align(*vectors)
    return float(1 - (vectors[0][rows] * vectors[1][columns]).sum(axis=1).mean())


def different_sentences(utterances: Sequence[Content], centre: np.ndarray) -> float:
    """Mean `distance` between different sentences, as a reference for lost content.

    Parameters
    ----------
    utterances : sequence of Content
        Up to MAX_PAIRS of them are compared with the next one each.
    centre : np.ndarray
        Shape `(dims,)`, as in `distance`.

    Returns
    -------
    float
        In 0..2; at most COPIES if the utterances are copies of one recording, and then no reference.

    Raises
    ------
    DataError
        If there are fewer than two utterances.
    """
    count = len(utterances)
    if count < 2:
        raise DataError(f"expected at least two sentences to compare, got {count}")
    firsts = evenly_spread(count, MAX_PAIRS)
    return float(np.mean([distance(utterances[one], utterances[(one + 1) % count], centre) for one in firsts]))


def centre_of(utterances: Sequence[Content]) -> np.ndarray:
    """Mean of a set's content vectors, `(dims,)`."""
    return np.concatenate([utterance.vectors for utterance in utterances]).mean(axis=0, dtype=np.float64)


def directions(vectors: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Content vectors `(frames, dims)` minus `centre` (dims,), scaled to length 1."""
    centred = vectors - centre
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), MIN_LENGTH)
