"""No vocoder: a recording filtered by the difference of two mel-cepstra; its F0 and its noise stay as they are.

After Kobayashi, Toda, Neubig, Sakti and Nakamura, "Statistical singing voice conversion with direct waveform
modification based on the spectrum differential", Interspeech 2014, with short-time spectra for their MLSA filter.
"""

import numpy as np

from vc.features import mel_cepstrum
from vc.features.world import WorldConfig

BLOCK = 2000  # frames filtered at once: their spectra take memory


def filtered(samples: np.ndarray, difference: np.ndarray, config: WorldConfig) -> np.ndarray:
    """`(samples,)` through the minimum-phase filters of `difference` `(frames, order + 1)`, one every frame shift.

    Frames are windowed so that the windows add up to 1: no difference, no change.
    """
    hop = round(config.sample_rate * config.frame_shift / 1000)
    length = 4 * hop
    window = 0.5 * np.hanning(length + 1)[:-1]  # four of them overlap
    size = 2 ** int(np.ceil(np.log2(length + config.fft_size)))
    frames = len(samples) // hop + 4  # the first is centred a hop before the first sample
    nearest = np.rint((np.arange(frames) - 1) * hop * config.frame_rate / config.sample_rate).astype(int)
    nearest = np.clip(nearest, 0, len(difference) - 1)  # a hop is whole samples, a frame shift need not be
    padded = np.pad(samples.astype(np.float64), (length // 2 + hop, frames * hop + length - len(samples)))
    made = np.zeros(frames * hop + size)
    for first in range(0, frames, BLOCK):
        numbers = np.arange(first, min(first + BLOCK, frames))
        cut = padded[numbers[:, None] * hop + np.arange(length)] * window
        response = _minimum_phase(difference[nearest[numbers]], config, size)
        for number, frame in zip(numbers, np.fft.irfft(np.fft.rfft(cut, size) * response, axis=1)):
            made[number * hop : number * hop + size] += frame
    return made[length // 2 + hop :][: len(samples)]


def _minimum_phase(difference: np.ndarray, config: WorldConfig, size: int) -> np.ndarray:
    """`(frames, size / 2 + 1)`: the complex responses of mel-cepstra, causal and stable."""
    log_magnitude = np.log(mel_cepstrum.to_envelope(difference, config.warping, size // 2 + 1)) / 2
    cepstrum = np.fft.irfft(log_magnitude, axis=1)
    cepstrum[:, 1 : size // 2] *= 2
    cepstrum[:, size // 2 + 1 :] = 0
    return np.exp(np.fft.rfft(cepstrum, axis=1))
