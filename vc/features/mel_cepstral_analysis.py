"""Mel-cepstrum of windowed samples: the one whose envelope fits the periodogram best, by Newton's method.

Unbiased estimation of the log spectrum on a warped frequency axis: Tokuda, Kobayashi, Masuko and Imai, "Mel-generalized
cepstral analysis - a unified approach to speech spectral estimation", ICSLP 1994; the Newton equations are those of
Fukada, Tokuda, Kobayashi and Imai, "An adaptive algorithm for mel-cepstral analysis of speech", ICASSP 1992. Equals
SPTK's `mcep` with its default ends of the iteration. Where there is an envelope already, as from WORLD, it is
`mel_cepstrum.from_envelope` that makes the mel-cepstrum.
"""

from functools import lru_cache

import numpy as np

from vc.features import mel_cepstrum

ITERATIONS = 30  # at most
ACCURACY = 0.001  # of the zeroth autocorrelation, between two iterations


def hamming(length: int) -> np.ndarray:
    """Hamming window `(length,)` of power 1, as SPTK sets it."""
    window = np.hamming(length)
    return window / np.sqrt(np.square(window).sum())


def analyse(windowed: np.ndarray, order: int, warping: float, floor: float) -> np.ndarray:
    """Mel-cepstra `(frames, order + 1)` of windowed samples `(frames, samples)`; `floor` is added to their power."""
    periodogram = np.square(np.abs(np.fft.rfft(windowed, axis=1))) + floor
    fitted = mel_cepstrum.from_envelope(periodogram, order, warping)
    zeroth = np.fft.irfft(np.log(periodogram), axis=1)[:, 0] / 2
    moving = np.arange(len(windowed))  # frames that have not come to rest
    for iteration in range(ITERATIONS):
        correlation = _whitened(periodogram[moving], fitted[moving], order, warping)
        if iteration > 0:
            at_rest = np.abs(1 - zeroth[moving] / correlation[:, 0]) < ACCURACY
            zeroth[moving] = correlation[:, 0]
            moving, correlation = moving[~at_rest], correlation[~at_rest]
        fitted[moving] += _newton_step(correlation, warping)
    return fitted


def _whitened(periodogram: np.ndarray, fitted: np.ndarray, order: int, warping: float) -> np.ndarray:
    """`(frames, 2 * order + 1)`: warped autocorrelation of what the fitted envelope leaves of the periodogram."""
    bins = periodogram.shape[1]
    return (periodogram / mel_cepstrum.to_envelope(fitted, warping, bins)) @ _correlation(bins, 2 * order, warping)


def _newton_step(correlation: np.ndarray, warping: float) -> np.ndarray:
    """`(frames, order + 1)` to add: a Toeplitz plus a Hankel matrix of the autocorrelation, solved for its slope."""
    order = correlation.shape[1] // 2
    toeplitz, hankel = correlation.copy(), correlation.copy()
    toeplitz[:, ::2] += correlation[:, :1]
    hankel[:, ::2] -= correlation[:, :1]
    rows, columns = np.indices((order + 1, order + 1))
    matrix = toeplitz[:, np.abs(rows - columns)] + hankel[:, rows + columns]
    slope = correlation[:, : order + 1] - (-warping) ** np.arange(order + 1)
    return np.linalg.solve(matrix, slope[:, :, None])[:, :, 0]


@lru_cache(maxsize=4)
def _correlation(bins: int, order: int, warping: float) -> np.ndarray:
    """`(bins, order + 1)`: power spectrum -> autocorrelation -> the same on the warped axis."""
    autocorrelation = np.fft.irfft(np.eye(bins), axis=1)[:, :bins]
    return autocorrelation @ _warp_correlation(bins - 1, order, warping)


def _warp_correlation(order: int, new_order: int, warping: float) -> np.ndarray:
    """`(order + 1, new_order + 1)`: frequency transform of an autocorrelation by an all-pass, as a matrix.

    Row 0 holds the series of 1 / (1 + a z) in z, row n that of (1 - a^2) z / (1 + a z)^2 times the all-pass to the
    power of n - 1.
    """
    matrix = np.zeros((order + 1, new_order + 1))
    matrix[0] = (-warping) ** np.arange(new_order + 1)
    matrix[1, 1:] = (1 - warping**2) * np.arange(1, new_order + 1) * matrix[0, :-1]
    allpass = mel_cepstrum.allpass_series(new_order + 1, warping)
    for n in range(2, order + 1):
        matrix[n] = np.convolve(matrix[n - 1], allpass)[: new_order + 1]
    return matrix
