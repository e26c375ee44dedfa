"""The loudness of a recording, and the gain that gives it to its conversion."""

from dataclasses import dataclass

import numpy as np

from vc.corpus.limiter import to_full_scale

FAINTEST = 0.1  # smallest usual peak of a recording
MOST = 1e3  # largest gain; a conversion that is quieter still is silence
LOWEST = 70.0  # Hz, above which loudness is measured
FRAME = 0.02  # seconds
PAUSE = 35.0  # dB below the loudest frame, from which on a frame is a pause


@dataclass
class Level:
    """Energies of a recording and of its conversion, summed over their pieces, and the recording's peak."""

    before: float = 0.0
    after: float = 0.0
    peak: float = 0.0  # of the recording; full scale is 1

    def add(self, samples: np.ndarray, converted: np.ndarray, rate: int) -> None:
        """Add a piece: `(samples,)` at `rate` Hz, and its conversion of the same shape."""
        self.before += speech_energy(samples, rate)
        self.after += speech_energy(converted, rate)
        self.peak = max(self.peak, float(np.abs(samples).max(initial=0)))

    def gain(self, recording: object = None) -> np.float32:
        """Factor that makes the conversion as loud as the recording.

        c0 alone does not keep the loudness: another spectral envelope with the same mean logarithm has another power.
        Peaks of the product are left to the limiter. A recording of another scale is first brought to full scale.

        Parameters
        ----------
        recording : object, optional
            Its name, for a warning if it is of another scale. Default: no warning.

        Returns
        -------
        np.float32
            Factor, 0 or more.
        """
        gain = min(np.sqrt(self.before / self.after), MOST) if self.after > 0 else 1.0
        return np.float32(gain * to_full_scale(self.peak, recording))


def to_usual_level(samples: np.ndarray) -> np.ndarray:
    """`(samples,)`, scaled if their peak is far from that of a recording, as networks know it from training.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`; full scale is 1.

    Returns
    -------
    np.ndarray
        The same shape: unchanged with a peak of FAINTEST to HOTTEST; a higher one becomes 1, a lower one FAINTEST.
    """
    peak = float(np.abs(samples).max(initial=0))
    gain = min(FAINTEST / peak, MOST) if 0 < peak < FAINTEST else to_full_scale(peak)
    return samples if gain == 1 else np.float32(gain) * samples


def speech_energy(samples: np.ndarray, rate: int) -> float:
    """Sum of squares of `(samples,)` above LOWEST Hz, because synthesis keeps neither an offset nor rumble."""
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
