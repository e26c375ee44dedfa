"""Loudness of recordings, and the gain that restores it in their conversions."""

from dataclasses import dataclass

import numpy as np

from vc.corpus.limiter import to_full_scale
from vc.features.speech import DYNAMIC_RANGE

FAINTEST_PEAK = 0.1  # smallest usual peak of a recording
USUAL_RANGE = 6.0  # dB, distance of a recording's level from that in training up to which it is converted as it is
LARGEST_GAIN = 1e3  # largest gain; an even quieter conversion is silence
LOWEST_FREQUENCY = 70.0  # Hz; lower frequencies are ignored in loudness
FRAME = 0.02  # seconds


@dataclass
class Level:
    """Accumulated energy of a recording and of its conversion, and the recording's peak."""

    before: float = 0.0  # energy of the recording
    after: float = 0.0  # energy of the conversion
    peak: float = 0.0  # of the recording; full scale is 1

    def add(self, samples: np.ndarray, converted: np.ndarray, rate: int) -> None:
        """Add a piece `(samples,)` at `rate` Hz and its conversion, of the same shape."""
        self.before += speech_energy(samples, rate)
        self.after += speech_energy(converted, rate)
        self.peak = max(self.peak, float(np.abs(samples).max(initial=0)))

    def gain(self, recording: object = None) -> np.float32:
        """Gain that makes the conversion as loud as the recording.

        Keeping c0 is not enough, because spectral envelopes with the same mean logarithm differ in power. Peaks of the
        result are left to the limiter. A recording far above full scale is scaled down to it.

        Parameters
        ----------
        recording : object, optional
            The recording's name in the warning that it is above full scale. Default: no warning.

        Returns
        -------
        np.float32
            Linear gain, 0 or more.
        """
        gain = min(np.sqrt(self.before / self.after), LARGEST_GAIN) if self.after > 0 else 1.0
        return np.float32(gain * to_full_scale(self.peak, recording))


def vocoder_gain(native_rate: int | None, samples: np.ndarray) -> np.float32:
    """Gain before a vocoder, by which its output is to be divided; 1 for WORLD, which has no `native_rate`.

    Neural vocoders have learnt from usual levels only, and their output is within -1..1.
    """
    return np.float32(1) if native_rate is None else usual_level_gain(samples)


def training_level_gain(level: float | None, usual: float | None) -> np.float32:
    """Gain before a model that converts frames: far from the level in training, it would give another voice.

    Parameters
    ----------
    level : float or None
        Level of a recording's speech, as in F0Statistics; None if there is none.
    usual : float or None
        The same of a typical recording in training; None if unknown.

    Returns
    -------
    np.float32
        Linear gain that brings the level to within USUAL_RANGE of the usual one, at most LARGEST_GAIN; 1 for None.
    """
    if level is None or usual is None:
        return np.float32(1)
    excess = level - usual
    return np.float32(min(10 ** ((np.clip(excess, -USUAL_RANGE, USUAL_RANGE) - excess) / 20), LARGEST_GAIN))


def usual_level_gain(samples: np.ndarray) -> np.float32:
    """`usual_peak_gain` of `(samples,)`."""
    return usual_peak_gain(float(np.abs(samples).max(initial=0)))


def usual_peak_gain(peak: float) -> np.float32:
    """Gain for samples whose peak is far from those of recordings in training, which networks do not know.

    Parameters
    ----------
    peak : float
        Largest magnitude of a sample; full scale is 1.

    Returns
    -------
    np.float32
        Linear gain: 1 if the peak is in FAINTEST_PEAK..HOTTEST, else that which gives a peak of 1 (if it was above) or
        FAINTEST_PEAK, at most LARGEST_GAIN; 1 for a peak of 0.
    """
    return np.float32(min(FAINTEST_PEAK / peak, LARGEST_GAIN) if 0 < peak < FAINTEST_PEAK else to_full_scale(peak))


def speech_energy(samples: np.ndarray, rate: int) -> float:
    """Energy of `(samples,)` above LOWEST_FREQUENCY Hz, because synthesis does not reproduce DC offset and rumble."""
    spectrum, length = _spectrum_above_lowest(samples, rate)
    return float(2 * np.square(np.abs(spectrum)).sum() / length)


def speech_level(samples: np.ndarray, rate: int) -> float:
    """Active speech level of `(samples,)` above LOWEST_FREQUENCY Hz in dB of full scale; -inf for silence.

    Pauses are excluded, as in ITU-T P.56.
    """
    spectrum, length = _spectrum_above_lowest(samples, rate)
    frame = max(1, round(FRAME * rate))
    padded = np.pad(np.fft.irfft(spectrum, length)[: len(samples)], (0, -len(samples) % frame))
    powers = np.square(padded).reshape(-1, frame).mean(axis=1)
    loudest = powers.max(initial=0)
    speech = powers[powers >= loudest * 10 ** (-DYNAMIC_RANGE / 10)]
    return float(10 * np.log10(speech.mean())) if loudest > 0 else -np.inf


def _spectrum_above_lowest(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """Spectrum of `(samples,)` without frequencies below LOWEST_FREQUENCY, and the length of the transform."""
    length = 2 ** int(np.ceil(np.log2(max(2, len(samples)))))
    spectrum = np.fft.rfft(samples.astype(np.float64), length)
    spectrum[: 1 + int(LOWEST_FREQUENCY * length / rate)] = 0
    return spectrum, length
