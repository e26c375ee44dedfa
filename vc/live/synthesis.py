"""Online synthesis: time-varying filtering by overlap-add, and pulses at the F0.

`diff` filters the input by the difference of two mel-cepstra, as vc/vocoders/differential.py does. `world` filters
noise by the aperiodic part of the spectral envelope and adds a response of the periodic part in each period: WORLD's
synthesis (Morise, Yokomori and Ozawa, IEICE E99-D, 2016), which pyworld only offers offline. Differs from it: noise is
continuous instead of drawn anew for each pulse, and mel-cepstra are interpolated instead of envelopes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vc.features import mel_cepstrum
from vc.features.f0 import HIGHEST_F0, LOWEST_F0
from vc.features.world import WorldConfig

LOUDEST = 4.6  # largest gain of a filter, natural log of amplitude (40 dB)
AHEAD = 0.001  # seconds that a pulse rings before its position, because that lies between two samples
FAINTEST = 1e-6  # smallest periodic fraction of the power with a pulse
SEED = 0  # of the noise


class MinimumPhase:
    """Converts a mel-cepstrum `(bands,)` to the complex frequency response `(size / 2 + 1,)` of a minimum-phase filter.

    The cepstrum of a minimum-phase response is causal and linear in the mel-cepstrum, so this takes one matrix product
    and an exponential.
    """

    def __init__(self, config: WorldConfig, size: int):
        cepstrum = mel_cepstrum.warping_matrix(config.order, config.bins - 1, -config.warping)
        cepstrum = np.pad(cepstrum, ((0, 0), (0, max(0, size - config.bins))))[:, :size]
        # float32 halves the memory that the product reads, which limits its speed
        self._matrix = np.fft.rfft(cepstrum, axis=1).astype(np.complex64).view(np.float32)

    def __call__(self, mel_cepstrum: np.ndarray) -> np.ndarray:
        return frequency_response(self.log(mel_cepstrum))

    def log(self, mel_cepstrum: np.ndarray) -> np.ndarray:
        """Natural logarithm of the response: log amplitude in the real part, phase in the imaginary part."""
        return (mel_cepstrum.astype(np.float32) @ self._matrix).view(np.complex64)


def frequency_response(log_response: np.ndarray) -> np.ndarray:
    """Exponential of a complex log response, of its shape and type; faster than `np.exp`, which does not vectorise."""
    amplitude, phase = np.exp(log_response.real), log_response.imag
    exponential = np.empty_like(log_response)
    np.multiply(amplitude, np.cos(phase), out=exponential.real)
    np.multiply(amplitude, np.sin(phase), out=exponential.imag)
    return exponential


def minimum_phase_log(log_amplitude: np.ndarray, size: int) -> np.ndarray:
    """Natural log amplitudes `(bins,)` to the log response `(size / 2 + 1,)` of the minimum-phase filter, complex64."""
    half = len(log_amplitude) - 1
    cepstrum = np.fft.irfft(log_amplitude)
    cepstrum[1:half] *= 2
    return np.fft.rfft(cepstrum[: half + 1], size).astype(np.complex64)


@dataclass(frozen=True)
class Excitation:
    """How the spectrum of a voiced frame divides into noise and pulses: complex log responses of both."""

    aperiodic: np.ndarray  # (filter size / 2 + 1,)
    periodic: np.ndarray | None  # (pulse size / 2 + 1,); None without pulses

    @classmethod
    def of(cls, aperiodicity: np.ndarray, filter_size: int, pulse_size: int) -> "Excitation":
        """From `(bins,)`, the aperiodic fraction of the amplitude, 0..1."""
        aperiodic = minimum_phase_log(np.log(aperiodicity), filter_size)
        fraction = 1 - np.square(aperiodicity)
        if not fraction.max() > FAINTEST:  # not a number either
            return cls(aperiodic, None)
        return cls(aperiodic, minimum_phase_log(np.log(np.maximum(fraction, FAINTEST)) / 2, pulse_size))


class Overlap:
    """Overlap-add buffer of at most `length` future samples."""

    def __init__(self, length: int):
        self._length = length
        self.reset()

    def reset(self) -> None:
        """Clear the buffer."""
        self._samples = np.zeros(self._length)

    def add(self, offset: int, samples: np.ndarray) -> None:
        """Add `(samples,)` at an offset from the next sample to be taken."""
        self._samples[offset : offset + len(samples)] += samples

    def take(self, count: int) -> np.ndarray:
        """Remove and return the next samples `(count,)`, to which nothing more will be added."""
        taken = self._samples[:count].copy()
        self._samples[:-count] = self._samples[count:]
        self._samples[-count:] = 0
        return taken


@lru_cache(maxsize=64)
def fading(lengths: tuple[int, ...]) -> np.ndarray:
    """Window over the samples around a frame, given the distances between frames; overlapping windows sum to 1."""
    span = len(lengths) // 2
    frames = np.concatenate([step - span + np.arange(length) / length for step, length in enumerate(lengths)])
    return (1 + np.cos(np.pi * frames / span)) / (2 * span)


def filter_size(config: WorldConfig, window: int) -> int:
    """FFT size of a frame's filter for a window of at most `window` samples."""
    return 2 ** int(np.ceil(np.log2(window + config.fft_size)))


def pulse_delay(rate: int) -> int:
    """Delay in samples at `rate` Hz that pulses add to `world`."""
    return round(AHEAD * rate)


class Filter:
    """Time-varying filter: one response per frame, by FFTs of `size` samples and overlap-add."""

    def __init__(self, size: int, overlap: Overlap):
        self.size, self._overlap = size, overlap

    def add(self, parts: Sequence[np.ndarray], response: np.ndarray, delay: int = 0) -> None:
        """Filter the samples around a frame.

        Parameters
        ----------
        parts : sequence of np.ndarray
            Samples `(samples,)` between each frame and the next.
        response : np.ndarray
            The frame's frequency response, shape `(size / 2 + 1,)`.
        delay : int
            Delay of the output in samples.
        """
        windowed = np.concatenate(parts) * fading(tuple(map(len, parts)))
        self._overlap.add(delay, np.fft.irfft(np.fft.rfft(windowed, self.size) * response, self.size))


class Pulses:
    """The periodic part: one minimum-phase response per period, with continuous phase, `delay` samples late."""

    def __init__(self, config: WorldConfig, overlap: Overlap):
        self.delay = pulse_delay(config.sample_rate)
        self.rate, self.size, self._overlap = config.sample_rate, config.fft_size, overlap
        self._response = MinimumPhase(config, self.size)
        self._phase_per_sample = (-2 * np.pi * np.arange(config.bins) / self.size).astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Start over with an unvoiced frame."""
        self._f0, self._phase = 0.0, 0.0
        self._mel_cepstrum: np.ndarray | None = None
        self._periodic: np.ndarray | None = None  # log response of the periodic fraction of the spectrum

    def add(self, count: int, f0: float, mel_cepstrum: np.ndarray, periodic: np.ndarray | None) -> None:
        """Add the pulses between the previous frame and this one.

        If one of the two is unvoiced, only the half next to the voiced one has pulses, as in WORLD.

        Parameters
        ----------
        count : int
            Samples between the two frames.
        f0 : float
            F0 of this frame in Hz, 0 if unvoiced.
        mel_cepstrum : np.ndarray
            Shape `(order + 1,)`.
        periodic : np.ndarray or None
            As in `Excitation`; None without pulses.
        """
        before = self._f0 if self._periodic is not None else 0.0
        after = f0 if periodic is not None else 0.0
        if before > 0 or after > 0:
            weight = (np.arange(count) + 1) / count
            track = (before or after) + weight * ((after or before) - (before or after))
            track[weight > 0.5 if after == 0 else (weight <= 0.5 if before == 0 else np.zeros(count, bool))] = 0
            if before == 0:
                self._phase = 1 - track.max() / self.rate / 2  # the first pulse follows at once
            phase = self._phase + np.cumsum(track) / self.rate
            periods = np.floor(phase)  # as many have ended since the previous frame, whose phase is in 0..1
            for sample in np.flatnonzero(periods != np.concatenate([[0.0], periods[:-1]])):
                since = (phase[sample] - periods[sample]) * self.rate / track[sample]  # samples since the period ended
                self._add_pulse(sample - since, count, track[sample], mel_cepstrum, periodic)
            self._phase = phase[-1] % 1
        self._f0, self._mel_cepstrum, self._periodic = f0, mel_cepstrum, periodic

    def _add_pulse(
        self, time: float, count: int, f0: float, mel_cepstrum: np.ndarray, periodic: np.ndarray | None
    ) -> None:
        """Add a pulse `time` samples after the previous frame, with an envelope interpolated between the frames."""
        weight = min(max((time + 1) / count, 0.0), 1.0)
        before = mel_cepstrum if self._mel_cepstrum is None else self._mel_cepstrum
        log_response = self._response.log(before + weight * (mel_cepstrum - before))
        if self._periodic is None or periodic is None:
            log_response += periodic if self._periodic is None else self._periodic
        else:
            log_response += self._periodic + np.float32(weight) * (periodic - self._periodic)
        offset = int(np.floor(time))
        log_response.imag += np.float32(self.delay + time - offset) * self._phase_per_sample
        spectrum = frequency_response(log_response)
        spectrum[0] = 0  # speech has no DC offset
        samples = np.fft.irfft(spectrum, self.size) * np.sqrt(self.rate / f0)
        self._overlap.add(max(offset, 0), samples)


class Synthesiser:
    """WORLD's synthesis, frame by frame, `delay` samples late: noise and pulses are added to the overlap.

    Parameters
    ----------
    config : WorldConfig
        Settings of the mel-cepstra.
    hop : int
        Largest number of samples from a frame to the next.

    Attributes
    ----------
    overlap : Overlap
        From which finished samples are to be taken.
    """

    def __init__(self, config: WorldConfig, hop: int):
        size = filter_size(config, 2 * hop)
        self.overlap = Overlap(size + pulse_delay(config.sample_rate))
        self._response, self._filter = MinimumPhase(config, size), Filter(size, self.overlap)
        self._pulses = Pulses(config, self.overlap)
        self.delay = self._pulses.delay
        self.reset(hop)

    def reset(self, before: int) -> None:
        """Start over, `before` samples before the first frame."""
        self._random = np.random.default_rng(SEED)
        self._noise = self._random.standard_normal(before)  # up to the next frame
        self.clear()

    def clear(self) -> None:
        """Forget earlier frames."""
        self.overlap.reset()
        self._pulses.reset()

    def excitation(self, aperiodicity: np.ndarray) -> Excitation:
        """A frame's excitation from its aperiodicity `(bins,)`."""
        return Excitation.of(aperiodicity, self._filter.size, self._pulses.size)

    def add(
        self, before: int, after: int, f0: float, mel_cepstrum: np.ndarray, excitation: Excitation | None = None
    ) -> None:
        """Add a frame.

        Parameters
        ----------
        before, after : int
            Samples from the previous frame, and to the next.
        f0 : float
            Hz, 0 if unvoiced.
        mel_cepstrum : np.ndarray
            Shape `(order + 1,)`.
        excitation : Excitation, optional
            Of a frame that is not noise alone.
        """
        log_response = self._response.log(mel_cepstrum)
        if excitation is not None:
            log_response += excitation.aperiodic
        f0 = float(f0) and min(max(float(f0), LOWEST_F0), HIGHEST_F0)
        self._pulses.add(before, f0, mel_cepstrum, excitation.periodic if excitation is not None and f0 > 0 else None)
        noise, self._noise = self._noise, self._random.standard_normal(after)
        self._filter.add([noise, self._noise], frequency_response(log_response), self.delay)
