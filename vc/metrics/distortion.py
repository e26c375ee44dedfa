"""Metrics of mel-cepstra `(frames, order + 1)`: distortion, global variance and modulation spectrum.

Distortion rewards over-smoothing: an average, lifeless voice is close to every target. Global variance and modulation
spectrum show what distortion hides.
"""

import numpy as np

from vc.errors import DataError
from vc.features import speech
from vc.features.speech import DECIBELS
from vc.metrics.alignment import align
from vc.metrics.arrays import Pairs, takes_lists

MODULATION_FFT = 4096  # frames
HIGHEST_MODULATION = 50.0  # Hz
MIN_POWER = 1e-12  # floor for constant trajectories


@takes_lists
def audible(mel_cepstrum: np.ndarray) -> np.ndarray:
    """Detect speech frames: those with a level within 35 dB of the loudest frame's.

    Parameters
    ----------
    mel_cepstrum : np.ndarray
        Shape `(frames, order + 1)`, finite, with at least one frame and c1.

    Returns
    -------
    np.ndarray
        Shape `(frames,)`, bool.

    Raises
    ------
    DataError
        If the shape differs, or a value is not finite.
    """
    _require_mel_cepstrum(mel_cepstrum)
    return speech.audible(mel_cepstrum)


def _require_mel_cepstrum(mel_cepstrum: np.ndarray) -> None:
    if mel_cepstrum.ndim != 2 or len(mel_cepstrum) == 0 or mel_cepstrum.shape[1] < 2:
        raise DataError(f"expected non-empty (frames, order + 1), got shape {mel_cepstrum.shape}")
    if not np.isfinite(mel_cepstrum).all():
        raise DataError("mel-cepstra must be finite")


@takes_lists
def speech_path(converted: np.ndarray, reference: np.ndarray) -> Pairs:
    """Align two mel-cepstra by exact DTW on c1..D of the audible frames of each side.

    Parameters
    ----------
    converted, reference : np.ndarray
        Shape `(frames, order + 1)`.

    Returns
    -------
    tuple of np.ndarray
        Indices `(path,)` into the frames of each side.

    Raises
    ------
    DataError
        As `audible` and `align`.
    """
    converted_frames, reference_frames = np.flatnonzero(audible(converted)), np.flatnonzero(audible(reference))
    rows, columns = align(converted[converted_frames, 1:], reference[reference_frames, 1:])
    return converted_frames[rows], reference_frames[columns]


@takes_lists
def mel_cepstral_distortion(converted: np.ndarray, reference: np.ndarray, path: Pairs | None = None) -> float:
    """Mel-cepstral distortion: the mean over pairs of frames of

        (10 / ln 10) * sqrt(2 * sum over d = 1..D of (c_d - c'_d)^2)

    without c0, the level. Kubichek, "Mel-cepstral distance measure for objective speech quality assessment", IEEE
    Pacific Rim Conference, 1993, which has no alignment. Values depend on the choice of frames, order and path.

    Parameters
    ----------
    converted, reference : np.ndarray
        Shape `(frames, order + 1)`.
    path : tuple of np.ndarray, optional
        Indices `(path,)` into the frames of each side. Default: `speech_path`.

    Returns
    -------
    float
        dB; 0 for equal frames.

    Raises
    ------
    DataError
        As `audible`, and if the orders differ.
    """
    for side in (converted, reference):
        _require_mel_cepstrum(side)
    if converted.shape[1] != reference.shape[1]:
        raise DataError(
            f"expected two (frames, order + 1) of equal order, got shapes {converted.shape} and {reference.shape}:"
            " analyse both at the same rate, with the same order"
        )
    rows, columns = speech_path(converted, reference) if path is None else path
    return mean_distance(converted[rows, 1:], reference[columns, 1:])


def mean_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean mel-cepstral distance in dB between paired frames, `(pairs, coefficients)` each."""
    return float(DECIBELS * np.sqrt(2 * np.square(one - other).sum(axis=1)).mean())


@takes_lists
def global_variance(mel_cepstrum: np.ndarray) -> np.ndarray:
    """Variance of c1..D over the audible frames of an utterance.

    Toda, Black and Tokuda, "Voice conversion based on maximum-likelihood estimation of spectral parameter trajectory",
    IEEE Trans. ASLP 15, 2007.

    Parameters
    ----------
    mel_cepstrum : np.ndarray
        Shape `(frames, order + 1)`.

    Returns
    -------
    np.ndarray
        Shape `(D,)`.

    Raises
    ------
    DataError
        As `audible`.
    """
    return mel_cepstrum[audible(mel_cepstrum), 1:].var(axis=0)


@takes_lists
def gv_ratio(variance: np.ndarray, reference: np.ndarray) -> float:
    """Ratio of an utterance's global variance to the reference utterances' mean, averaged over c1..D.

    Utterances vary, so that only the mean over utterances is meaningful.

    Parameters
    ----------
    variance, reference : np.ndarray
        Shape `(D,)`, from `global_variance`.

    Returns
    -------
    float
        Dimensionless: 1 is the target's variance, below 1 is over-smoothed.
    """
    return float((variance / np.maximum(reference, MIN_POWER)).mean())


@takes_lists
def modulation_spectrum(mel_cepstrum: np.ndarray, frame_rate: float) -> np.ndarray:
    """Modulation spectrum: power spectrum of the trajectories of c1..D, per frame, above 0 and up to 50 Hz.

    From the first to the last audible frame, minus the mean; zero-padded FFT of 4096 frames (for a longer recording,
    the powers of its pieces are summed). After Takamichi, Toda, Black and Nakamura, "Modulation spectrum-based
    post-filter for GMM-based voice conversion", APSIPA 2014, but divided by the number of frames, so that it does not
    grow with duration.

    Parameters
    ----------
    mel_cepstrum : np.ndarray
        Shape `(frames, order + 1)`.
    frame_rate : float
        Frames per second.

    Returns
    -------
    np.ndarray
        Shape `(D, frequencies)`, dB.

    Raises
    ------
    DataError
        As `audible`.
    """
    frames = np.flatnonzero(audible(mel_cepstrum))
    trajectory = mel_cepstrum[frames[0] : frames[-1] + 1, 1:]
    trajectory = trajectory - trajectory.mean(axis=0)
    padded = np.pad(trajectory, ((0, -len(trajectory) % MODULATION_FFT), (0, 0)))
    pieces = padded.reshape(-1, MODULATION_FFT, trajectory.shape[1])
    power = np.square(np.abs(np.fft.rfft(pieces, axis=1))).sum(axis=0) / len(trajectory)
    frequencies = np.fft.rfftfreq(MODULATION_FFT, 1 / frame_rate)
    within = (frequencies > 0) & (frequencies <= HIGHEST_MODULATION)
    return 10 * np.log10(np.maximum(power[within], MIN_POWER)).T


@takes_lists
def modulation_spectra_distance(converted: np.ndarray, reference: np.ndarray) -> float:
    """Root mean square difference of two systems' mean modulation spectra.

    After the measure in CycleGAN-VC2 (Kaneko et al., ICASSP 2019), whose FFT and averaging could not be reproduced: do
    not compare values with that paper's. The fewer the utterances, the noisier it is.

    Parameters
    ----------
    converted, reference : np.ndarray
        Shape `(D, frequencies)`, dB: means over each system's utterances.

    Returns
    -------
    float
        dB; 0 for equal spectra.

    Raises
    ------
    DataError
        If the shapes differ.
    """
    if converted.shape != reference.shape:
        raise DataError(f"modulation spectra of shapes {converted.shape} and {reference.shape} cannot be compared")
    return float(np.sqrt(np.square(converted - reference).mean()))
