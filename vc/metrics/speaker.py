"""Speaker similarity: how alike a neural network finds two voices.

Wan, Wang, Papir and Lopez Moreno, "Generalized end-to-end loss for speaker verification", ICASSP 2018, as trained by
the package Resemblyzer 0.1.4, which carries its weights. As there, recordings are brought to 16 kHz, raised to -30 dBFS
if they are quieter, and their long silences shortened by WebRTC's voice activity detection. Unlike there, what is left
is brought to one level: the network sees power, not its logarithm, and takes 6 dB less for another voice (0.95).

What it is worth: two recordings of one speaker of VCC2016 have 0.69 to 0.91, of two women 0.49 to 0.69, of two men 0.59
to 0.77. A figure says nothing without those of source and target beside it, and cannot be compared with another
encoder's. Noise and vocoders change it, too (docs/experiments.md).
"""

import warnings
from typing import Any

import numpy as np

from vc.errors import DataError
from vc.metrics.speech_models import PackagedModel, one_thread, prepare

LEVEL = 10 ** (-22 / 20)  # root mean square of the speech, -22 dBFS, at which it tells VCC2016's speakers apart best
MODULES = ("resemblyzer", "webrtcvad", "librosa", "scipy")


def _load() -> tuple[Any, Any]:
    """The network and the function that prepares recordings for it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s).*scipy\.ndimage\.morphology", DeprecationWarning)  # an old import
        from resemblyzer import VoiceEncoder, preprocess_wav
    return VoiceEncoder("cpu", verbose=False), preprocess_wav


MODEL = PackagedModel("speaker similarity", MODULES, _load)
require = MODEL.require


def embed(samples: np.ndarray, rate: int) -> np.ndarray:
    """Speaker embedding of a recording; pieces of 1.6 s are averaged.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`; full scale is 1.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    np.ndarray
        Shape `(256,)`, float32, of length 1, no component below 0.

    Raises
    ------
    DataError
        If the recording is too short, silent, not finite, or holds no speech.
    ConfigError
        If a package is missing.
    """
    samples = prepare(samples, rate)
    encoder, preprocess = MODEL.get()
    speech = preprocess(samples)
    if len(speech) == 0:
        raise DataError("no speech found: voice activity detection keeps nothing")
    speech = speech * np.float32(LEVEL / np.sqrt(np.square(speech, dtype=np.float64).mean()))
    with one_thread():
        return encoder.embed_utterance(speech)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine of two embeddings `(256,)`, in -1..1: 1 for the same voice."""
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def centroid(embeddings: np.ndarray) -> np.ndarray:
    """A speaker's embedding `(256,)`, of length 1, from those of recordings `(recordings, 256)`.

    Raises
    ------
    DataError
        For another shape, or no recording.
    """
    if embeddings.ndim != 2 or len(embeddings) == 0:
        raise DataError(f"expected non-empty (recordings, 256), got shape {embeddings.shape}")
    mean = embeddings.mean(axis=0)
    return mean / np.linalg.norm(mean)


def equal_error_rate(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Share of errors at the threshold that accepts as many impostors as it rejects genuine trials.

    Between two thresholds the shares are interpolated linearly.

    Parameters
    ----------
    genuine, impostor : np.ndarray
        Scores `(trials,)`, finite, higher for the same speaker.

    Returns
    -------
    float
        In 0..1: 0 if a threshold separates them, 0.5 if they are alike. With converted speech as impostor, 0.5 is best.

    Raises
    ------
    DataError
        If there are no trials, or a score is not finite.
    """
    for name, scores in (("genuine", genuine), ("impostor", impostor)):
        if scores.ndim != 1 or len(scores) == 0 or not np.isfinite(scores).all():
            raise DataError(f"{name} scores must be (trials,), at least one and all finite, got shape {scores.shape}")
    thresholds = np.append(np.unique(np.concatenate([genuine, impostor])), np.inf)
    rejected = np.searchsorted(np.sort(genuine), thresholds) / len(genuine)
    accepted = 1 - np.searchsorted(np.sort(impostor), thresholds) / len(impostor)
    gap = accepted - rejected  # from 1 down to -1
    after = int(np.argmax(gap <= 0))
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(rejected[after - 1] + share * (rejected[after] - rejected[after - 1]))
