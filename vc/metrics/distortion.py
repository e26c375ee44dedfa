"""Spectral distances between mel-cepstra `(frames, order + 1)`: distortion of the frames, and two of their movement.

Distortion rewards the average: a voice that is smooth and dead lies close to every target. Global variance and
modulation spectrum show what distortion hides.
"""

import numpy as np

from vc.errors import DataError
from vc.features import speech
from vc.features.speech import DECIBELS
from vc.metrics.alignment import align
from vc.metrics.arrays import Pairs, takes_lists

MODULATION_FFT = 4096  # frames
HIGHEST_MODULATION = 50.0  # Hz
FAINTEST = 1e-12  # power of a trajectory that does not move


def validate(mel_cepstrum: np.ndarray) -> None:
    """Refuse what is not a finite `(frames, order + 1)` with at least one frame and c1."""
    if mel_cepstrum.ndim != 2 or len(mel_cepstrum) == 0 or mel_cepstrum.shape[1] < 2:
        raise DataError(f"expected non-empty (frames, order + 1), got shape {mel_cepstrum.shape}")
    if not np.isfinite(mel_cepstrum).all():
        raise DataError("mel-cepstra must be finite")


@takes_lists
def audible(mel_cepstrum: np.ndarray) -> np.ndarray:
    """`(frames,)`, true for a frame whose loudness is within 35 dB of the loudest frame's."""
    validate(mel_cepstrum)
    return speech.audible(mel_cepstrum)


@takes_lists
def speech_path(converted: np.ndarray, reference: np.ndarray) -> Pairs:
    """Pairs of frames of two mel-cepstra: exact DTW on c1..D over the audible frames of each side."""
    kept_converted, kept_reference = np.flatnonzero(audible(converted)), np.flatnonzero(audible(reference))
    rows, columns = align(converted[kept_converted, 1:], reference[kept_reference, 1:])
    return kept_converted[rows], kept_reference[columns]


@takes_lists
def mel_cepstral_distortion(converted: np.ndarray, reference: np.ndarray, path: Pairs | None = None) -> float:
    """Mel-cepstral distortion in dB: the mean over `path` (default: `speech_path`) of each pair of frames'

        (10 / ln 10) * sqrt(2 * sum over d = 1..D of (c_d - c'_d)^2)

    without c0, the level. Kubichek, "Mel-cepstral distance measure for objective speech quality assessment", IEEE
    Pacific Rim Conference, 1993. He has no alignment; figures made by another choice of frames, order or path differ.
    """
    for side in (converted, reference):
        validate(side)
    if converted.shape[1] != reference.shape[1]:
        raise DataError(
            f"expected two (frames, order + 1) of one order, got shapes {converted.shape} and {reference.shape}:"
            " analyse both at one rate, with one order"
        )
    rows, columns = speech_path(converted, reference) if path is None else path
    return mean_distance(converted[rows, 1:], reference[columns, 1:])


def mean_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean over pairs of frames, `(pairs, coefficients)` each, of their distance as mel-cepstra, in dB."""
    return float(DECIBELS * np.sqrt(2 * np.square(one - other).sum(axis=1)).mean())


@takes_lists
def global_variance(mel_cepstrum: np.ndarray) -> np.ndarray:
    """`(D,)`: variance of c1..D over the audible frames of an utterance.

    Toda, Black and Tokuda, "Voice conversion based on maximum-likelihood estimation of spectral parameter trajectory",
    IEEE Trans. ASLP 15, 2007.
    """
    return mel_cepstrum[audible(mel_cepstrum), 1:].var(axis=0)


@takes_lists
def gv_ratio(variance: np.ndarray, reference: np.ndarray) -> float:
    """Mean over c1..D of an utterance's `global_variance` over the mean one of the reference utterances.

    Without unit: 1 is the target's liveliness, below 1 is smoothed. Utterances differ, so that only the mean over
    utterances tells something.
    """
    return float((variance / np.maximum(reference, FAINTEST)).mean())


@takes_lists
def modulation_spectrum(mel_cepstrum: np.ndarray, frame_rate: float) -> np.ndarray:
    """`(D, frequencies)` in dB: power of the movement of each of c1..D, per frame, above 0 and up to 50 Hz.

    From the first audible frame to the last, less its mean; FFT of 4096 frames, filled up with zeros (the powers of a
    longer one's pieces add up). After Takamichi, Toda, Black and Nakamura, "Modulation spectrum-based post-filter for
    GMM-based voice conversion", APSIPA 2014; divided by the number of frames, so that it does not grow with it.
    """
    heard = np.flatnonzero(audible(mel_cepstrum))
    moving = mel_cepstrum[heard[0] : heard[-1] + 1, 1:]
    moving = moving - moving.mean(axis=0)
    padded = np.pad(moving, ((0, -len(moving) % MODULATION_FFT), (0, 0)))
    pieces = padded.reshape(-1, MODULATION_FFT, moving.shape[1])
    power = np.square(np.abs(np.fft.rfft(pieces, axis=1))).sum(axis=0) / len(moving)
    frequencies = np.fft.rfftfreq(MODULATION_FFT, 1 / frame_rate)
    kept = (frequencies > 0) & (frequencies <= HIGHEST_MODULATION)
    return 10 * np.log10(np.maximum(power[kept], FAINTEST)).T


@takes_lists
def modulation_spectra_distance(converted: np.ndarray, reference: np.ndarray) -> float:
    """Root mean square difference in dB of two systems' mean modulation spectra `(D, frequencies)`.

    Average each system's utterances first. After the measure of CycleGAN-VC2 (Kaneko et al., ICASSP 2019), whose FFT
    and averaging we could not take over: do not compare with figures of that paper. It is the noisier the fewer
    utterances there are.
    """
    if converted.shape != reference.shape:
        raise DataError(f"modulation spectra of shapes {converted.shape} and {reference.shape} cannot be compared")
    return float(np.sqrt(np.square(converted - reference).mean()))
