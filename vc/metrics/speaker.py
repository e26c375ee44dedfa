"""Speaker similarity by speaker embeddings.

Wan, Wang, Papir and Lopez Moreno, "Generalized end-to-end loss for speaker verification", ICASSP 2018, as trained in
the package Resemblyzer 0.1.4, which includes the weights. As in the package, recordings are resampled to 16 kHz, raised
to -30 dBFS if they are quieter, and long silences are shortened by WebRTC's voice activity detection. In addition, the
speech is normalised to one level: the network's input is linear power, so that 6 dB less reduce the cosine to 0.95.

Reliability: two recordings of one speaker of VCC2016 have 0.69 to 0.91, of two women 0.49 to 0.69, of two men 0.59 to
0.77. A value means nothing without those of source and target for comparison, and cannot be compared with another
encoder's. Noise and vocoders change it, too (docs/experiments.md).
"""

import warnings
from typing import Any

import numpy as np

from vc.errors import DataError
from vc.metrics.speech_models import PackagedModel, one_thread, prepare

LEVEL = 10 ** (-22 / 20)  # RMS of the speech, -22 dBFS, at which VCC2016's speakers are distinguished best
MODULES = ("resemblyzer", "webrtcvad", "librosa", "scipy")


def _load() -> tuple[Any, Any]:
    """Load the network and the function that prepares recordings for it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s).*scipy\.ndimage\.morphology", DeprecationWarning)  # an old import
        from resemblyzer import VoiceEncoder, preprocess_wav
    return VoiceEncoder("cpu", verbose=False), preprocess_wav


MODEL = PackagedModel("speaker similarity", MODULES, _load)
require = MODEL.require


def embed(samples: np.ndarray, rate: int) -> np.ndarray:
    """Speaker embedding of a recording, averaged over windows of 1.6 s.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`; full scale is 1.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    np.ndarray
        Shape `(256,)`, float32, of norm 1, without negative components.

    Raises
    ------
    DataError
        If the recording is too short, silent or not finite, or contains no speech.
    ConfigError
        If a package is missing.
    """
    samples = prepare(samples, rate)
    encoder, preprocess = MODEL.get()
    speech = preprocess(samples)
    if len(speech) == 0:
        raise DataError("no speech found by voice activity detection")
    speech = speech * np.float32(LEVEL / np.sqrt(np.square(speech, dtype=np.float64).mean()))
    with one_thread():
        return encoder.embed_utterance(speech)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine similarity of two embeddings `(256,)`, in -1..1: 1 for the same voice."""
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def centroid(embeddings: np.ndarray) -> np.ndarray:
    """Embedding of a speaker: the normalised mean over recordings.

    Parameters
    ----------
    embeddings : np.ndarray
        Shape `(recordings, 256)`.

    Returns
    -------
    np.ndarray
        Shape `(256,)`, of norm 1.

    Raises
    ------
    DataError
        If the shape differs, or there is no recording.
    """
    if embeddings.ndim != 2 or len(embeddings) == 0:
        raise DataError(f"expected non-empty (recordings, 256), got shape {embeddings.shape}")
    mean = embeddings.mean(axis=0)
    return mean / np.linalg.norm(mean)


def equal_error_rate(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Equal error rate: the rate at the threshold where false acceptances equal false rejections.

    Rates are interpolated linearly between thresholds.

    Parameters
    ----------
    genuine, impostor : np.ndarray
        Scores `(trials,)`, finite, higher for the same speaker.

    Returns
    -------
    float
        In 0..1: 0 if a threshold separates them, 0.5 if they are indistinguishable, which is best for converted speech
        as impostor.

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
