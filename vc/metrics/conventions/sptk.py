"""Mel-cepstral analysis of windowed samples: the envelope that fits the periodogram best, by Newton's method.

Unbiased estimation of the log spectrum on a warped frequency axis: Tokuda, Kobayashi, Masuko and Imai, "Mel-generalized
cepstral analysis - a unified approach to speech spectral estimation", ICSLP 1994; the Newton equations are those of
Fukada, Tokuda, Kobayashi and Imai, "An adaptive algorithm for mel-cepstral analysis of speech", ICASSP 1992. Equal to
SPTK's `mcep` with its default stopping criteria. From a known envelope, such as WORLD's,
`mel_cepstrum.from_envelope` computes the mel-cepstrum.
"""

from functools import lru_cache

import numpy as np

from vc.features import mel_cepstrum

MAX_ITERATIONS = 30
ACCURACY = 0.001  # relative change of the zeroth autocorrelation at which the iteration stops


def hamming(length: int) -> np.ndarray:
    """Hamming window `(length,)`, scaled to power 1 as in SPTK."""
    window = np.hamming(length)
    return window / np.sqrt(np.square(window).sum())


def analyse(windowed: np.ndarray, order: int, *, warping: float, floor: float) -> np.ndarray:
    """Mel-cepstra of windowed samples.

    Parameters
    ----------
    windowed : np.ndarray
        Shape `(frames, samples)`.
    order : int
        Highest coefficient.
    warping : float
        All-pass constant.
    floor : float
        Added to the power of the spectra.

    Returns
    -------
    np.ndarray
        Shape `(frames, order + 1)`.
    """
    periodogram = np.square(np.abs(np.fft.rfft(windowed, axis=1))) + floor
    bins = periodogram.shape[1]
    fitted = mel_cepstrum.from_envelope(periodogram, order, warping)
    zeroth = np.fft.irfft(np.log(periodogram), axis=1)[:, 0] / 2
    active = np.arange(len(windowed))  # frames that have not converged
    for iteration in range(MAX_ITERATIONS):
        # Warped autocorrelations (frames, 2 * order + 1) of the periodogram divided by the fitted envelope
        whitened = periodogram[active] / mel_cepstrum.to_envelope(fitted[active], warping, bins)
        correlation = whitened @ _warped_autocorrelation(bins, 2 * order, warping)
        if iteration > 0:
            converged = np.abs(1 - zeroth[active] / correlation[:, 0]) < ACCURACY
            zeroth[active] = correlation[:, 0]
            active, correlation = active[~converged], correlation[~converged]
        fitted[active] += _newton_step(correlation, warping)
    return fitted


def _newton_step(correlation: np.ndarray, warping: float) -> np.ndarray:
    """Newton step `(frames, order + 1)`: solution of a Toeplitz-plus-Hankel system of the autocorrelation."""
    order = correlation.shape[1] // 2
    toeplitz, hankel = correlation.copy(), correlation.copy()
    toeplitz[:, ::2] += correlation[:, :1]
    hankel[:, ::2] -= correlation[:, :1]
    rows, columns = np.indices((order + 1, order + 1))
    matrix = toeplitz[:, np.abs(rows - columns)] + hankel[:, rows + columns]
    gradient = correlation[:, : order + 1] - (-warping) ** np.arange(order + 1)
    return np.linalg.solve(matrix, gradient[:, :, None])[:, :, 0]


@lru_cache(maxsize=4)
def _warped_autocorrelation(bins: int, order: int, warping: float) -> np.ndarray:
    """Matrix `(bins, order + 1)` from a power spectrum to the autocorrelation on the warped frequency axis.

    The frequency transform is by an all-pass with constant a: row 0 is the series of 1 / (1 + a z) in z, row n that of
    (1 - a^2) z / (1 + a z)^2 times the all-pass to the power of n - 1.
    """
    autocorrelation = np.fft.irfft(np.eye(bins), axis=1)[:, :bins]
    transform = np.zeros((bins, order + 1))
    transform[0] = (-warping) ** np.arange(order + 1)
    transform[1, 1:] = (1 - warping**2) * np.arange(1, order + 1) * transform[0, :-1]
    allpass = mel_cepstrum.allpass_series(order + 1, warping)
    for n in range(2, bins):
        transform[n] = np.convolve(transform[n - 1], allpass)[: order + 1]
    return autocorrelation @ transform
