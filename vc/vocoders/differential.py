"""Conversion without a vocoder: a recording filtered by the difference of two mel-cepstra; F0 and noise stay.

After Kobayashi, Toda, Neubig, Sakti and Nakamura, "Statistical singing voice conversion with direct waveform
modification based on the spectrum differential", Interspeech 2014, with short-time spectra for their MLSA filter.
"""

import numpy as np

from vc.features import mel_cepstrum
from vc.features.world import WorldConfig

BLOCK = 2000  # frames filtered at once, to bound the memory of their spectra


def filter_samples(samples: np.ndarray, difference: np.ndarray, config: WorldConfig) -> np.ndarray:
    """Filter a waveform by a minimum-phase filter for each frame.

    The windows of overlapping frames add up to 1, so that no difference is no change.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`, at `config.sample_rate`.
    difference : np.ndarray
        Shape `(frames, order + 1)`: the filters' mel-cepstra, one every frame shift.
    config : WorldConfig
        Settings of the mel-cepstra.

    Returns
    -------
    np.ndarray
        Shape `(samples,)`, float64.
    """
    hop = round(config.sample_rate * config.frame_shift / 1000)
    length = 4 * hop
    window = 0.5 * np.hanning(length + 1)[:-1]  # four of them overlap
    size = 2 ** int(np.ceil(np.log2(length + config.fft_size)))
    frames = len(samples) // hop + 4  # the first is centred a hop before the first sample
    nearest = np.rint((np.arange(frames) - 1) * hop * config.frame_rate / config.sample_rate).astype(int)
    nearest = np.clip(nearest, 0, len(difference) - 1)  # a hop is whole samples, a frame shift need not be
    padded = np.pad(samples.astype(np.float64), (length // 2 + hop, frames * hop + length - len(samples)))
    output = np.zeros(frames * hop + size)
    for first in range(0, frames, BLOCK):
        numbers = np.arange(first, min(first + BLOCK, frames))
        windowed = padded[numbers[:, None] * hop + np.arange(length)] * window
        response = _minimum_phase(difference[nearest[numbers]], config, size)
        for number, frame in zip(numbers, np.fft.irfft(np.fft.rfft(windowed, size) * response, axis=1)):
            output[number * hop : number * hop + size] += frame
    return output[length // 2 + hop :][: len(samples)]


def _minimum_phase(difference: np.ndarray, config: WorldConfig, size: int) -> np.ndarray:
    """Complex responses `(frames, size / 2 + 1)` of the causal and stable filters of mel-cepstra."""
    log_magnitude = np.log(mel_cepstrum.to_envelope(difference, config.warping, size // 2 + 1)) / 2
    cepstrum = np.fft.irfft(log_magnitude, axis=1)
    cepstrum[:, 1 : size // 2] *= 2
    cepstrum[:, size // 2 + 1 :] = 0
    return np.exp(np.fft.rfft(cepstrum, axis=1))
