"""How loud a recording is, and the gain that makes its conversion as loud."""

import logging
from dataclasses import dataclass

import numpy as np

from vc.errors import escaped

LOWEST = 70.0  # Hz, from which on loudness is measured
FRAME = 0.02  # seconds
PAUSE = 35.0  # dB below the loudest frame, and lower
log = logging.getLogger(__name__)


@dataclass
class Level:
    """Energy and peak of a recording and of its conversion, summed over their pieces."""

    before: float = 0.0
    after: float = 0.0
    peak: float = 0.0

    def add(self, samples: np.ndarray, converted: np.ndarray, rate: int) -> None:
        self.before += speech_energy(samples, rate)
        self.after += speech_energy(converted, rate)
        self.peak = max(self.peak, float(np.abs(converted).max(initial=0)))

    def gain(self, who: object = None) -> np.float32:
        """Factor that makes the conversion as loud as the recording, or as loud as it can be without clipping.

        The latter is said in a warning that names `who`, if anybody is named.

        c0 alone does not keep the loudness: another spectral envelope with the same mean logarithm has another power.
        """
        gain = np.sqrt(self.before / self.after) if self.after > 0 else 1.0
        if gain * self.peak > 1:
            if who is not None:
                log.warning(
                    "%s: scaled down by %.1f dB, for it would clip", escaped(who), 20 * np.log10(gain * self.peak)
                )
            gain = (1 - 1e-6) / self.peak  # the last bit must not round above 1
        return np.float32(gain)


def speech_energy(samples: np.ndarray, rate: int) -> float:
    """Sum of squares of `(samples,)` above LOWEST Hz: synthesis keeps neither an offset nor rumble."""
    spectrum, length = _above_lowest(samples, rate)
    return float(2 * np.square(np.abs(spectrum)).sum() / length)


def speech_level(samples: np.ndarray, rate: int) -> float:
    """Mean power of `(samples,)` above LOWEST Hz in dB of full scale, -inf for silence.

    Over speech alone, as ITU-T P.56 has it: a recording with longer pauses is not a quieter one.
    """
    spectrum, length = _above_lowest(samples, rate)
    frame = max(1, round(FRAME * rate))
    padded = np.pad(np.fft.irfft(spectrum, length)[: len(samples)], (0, -len(samples) % frame))
    powers = np.square(padded).reshape(-1, frame).mean(axis=1)
    loudest = powers.max(initial=0)
    return float(10 * np.log10(powers[powers >= loudest * 10 ** (-PAUSE / 10)].mean())) if loudest > 0 else -np.inf


def _above_lowest(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """Spectrum of `(samples,)` from LOWEST Hz on, and the length of its transform."""
    length = 2 ** int(np.ceil(np.log2(max(2, len(samples)))))
    spectrum = np.fft.rfft(samples.astype(np.float64), length)
    spectrum[: 1 + int(LOWEST * length / rate)] = 0
    return spectrum, length
