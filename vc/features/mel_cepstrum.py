"""Conversion between spectral envelopes and mel-cepstra.

The mel-cepstrum is SPTK's: the cepstrum on a frequency axis warped by an all-pass of constant `warping`
(Oppenheim and Johnson, "Discrete representation of signals", Proc. IEEE 60, 1972; Tokuda, Kobayashi, Masuko and
Imai, ICSLP 1994). Both directions are linear in the log envelope, so one matrix product replaces a recursion for every
frame. They are equivalent to SPTK's `sp2mc` and `mc2sp`.
"""

from functools import lru_cache

import numpy as np

from vc.corpus.condition import SAMPLE_RATES

# (order, all-pass constant) at each of SAMPLE_RATES: SPTK's constants, and the orders usual in recipes.
_ORDERS_AND_CONSTANTS = ((16, 0.31), (24, 0.42), (34, 0.455), (34, 0.466), (39, 0.504), (39, 0.544), (39, 0.554))
SETTINGS = dict(zip(SAMPLE_RATES, _ORDERS_AND_CONSTANTS, strict=True))


def from_envelope(envelope: np.ndarray, order: int, warping: float) -> np.ndarray:
    """Power spectral envelope `(frames, bins)`, above 0, to mel-cepstrum `(frames, order + 1)` with c0."""
    return np.log(envelope) @ _analysis(envelope.shape[1], order, warping)


def to_envelope(mel_cepstrum: np.ndarray, warping: float, bins: int) -> np.ndarray:
    """Mel-cepstrum `(frames, order + 1)` to power spectral envelope `(frames, bins)`, float64."""
    return np.exp(mel_cepstrum.astype(np.float64) @ synthesis_matrix(bins, mel_cepstrum.shape[1] - 1, warping))


@lru_cache(maxsize=8)
def _analysis(bins: int, order: int, warping: float) -> np.ndarray:
    """Matrix `(bins, order + 1)`: log power envelope -> cepstrum -> mel-cepstrum."""
    cepstrum = np.fft.irfft(np.eye(bins), axis=1)[:, :bins]  # row: cepstrum of one bin
    cepstrum[:, 0] /= 2  # c0 occurs once in the even cepstrum of the log magnitude, the others twice
    cepstrum[:, -1] /= 2  # the last is its own mirror image
    return cepstrum @ warping_matrix(bins - 1, order, warping)


@lru_cache(maxsize=8)
def synthesis_matrix(bins: int, order: int, warping: float) -> np.ndarray:
    """Matrix `(order + 1, bins)`: mel-cepstrum -> cepstrum -> log power envelope."""
    cepstrum = warping_matrix(order, bins - 1, -warping)
    angles = np.pi * np.outer(np.arange(bins), np.arange(bins)) / (bins - 1)
    return cepstrum @ (2 * np.cos(angles))


def warping_matrix(order: int, new_order: int, warping: float) -> np.ndarray:
    """Matrix `(order + 1, new_order + 1)` of the frequency transform of a cepstrum by an all-pass.

    Row n holds the power series of ((a + z) / (1 + a z))^n in z, the contribution of coefficient n.
    """
    matrix = np.zeros((order + 1, new_order + 1))
    matrix[0, 0] = 1
    allpass = allpass_series(new_order + 1, warping)
    for n in range(1, order + 1):
        matrix[n] = np.convolve(matrix[n - 1], allpass)[: new_order + 1]
    return matrix


def allpass_series(length: int, warping: float) -> np.ndarray:
    """First coefficients of the power series in z of the all-pass (a + z) / (1 + a z), where a is `warping`."""
    powers = (-warping) ** np.arange(length)
    series = warping * powers
    series[1:] += powers[:-1]
    return series
