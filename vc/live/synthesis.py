"""Samples of frames, as they come: a filter for each frame over a signal, and pulses at the F0 in time.

`diff` filters what is said by the difference of two mel-cepstra, as vc/vocoders/differential.py does. `world` filters
noise by the aperiodic part of the spectral envelope and sets a response of the periodic part at each period: WORLD's
synthesis (Morise, Yokomori and Ozawa, IEICE E99-D, 2016), of which pyworld has the offline form alone. Differs from it:
noise is continuous instead of drawn anew at each pulse, and the mel-cepstrum is interpolated instead of the envelope.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from vc.features import mel_cepstrum
from vc.features.world import WorldConfig

LOUDEST = 4.6  # natural log of amplitude, 40 dB: no filter raises a frequency by more
AHEAD = 0.001  # seconds before a pulse in which it rings, for it lies between two samples
FAINTEST = 1e-6  # of the power that is periodic: below, no pulse is heard


class MinimumPhase:
    """Mel-cepstra `(bands,)` to the complex responses `(size / 2 + 1,)` of their minimum-phase filters.

    The cepstrum of a minimum-phase response is causal, and the transform of the mel-cepstrum to it is linear: one
    matrix product and an exponential.
    """

    def __init__(self, config: WorldConfig, size: int):
        cepstrum = mel_cepstrum.warping_matrix(config.order, config.bins - 1, -config.warping)
        cepstrum = np.pad(cepstrum, ((0, 0), (0, max(0, size - config.bins))))[:, :size]
        self._matrix = np.fft.rfft(cepstrum, axis=1)

    def __call__(self, mel_cepstrum: np.ndarray) -> np.ndarray:
        return np.exp(self.log(mel_cepstrum))

    def log(self, mel_cepstrum: np.ndarray) -> np.ndarray:
        """Its natural logarithm: amplitude in the real part, phase in the imaginary one."""
        return mel_cepstrum @ self._matrix


def minimum_phase_log(log_amplitude: np.ndarray, size: int) -> np.ndarray:
    """`(bins,)` natural logs of amplitudes to the complex ones `(size / 2 + 1,)` of the minimum-phase response."""
    half = len(log_amplitude) - 1
    cepstrum = np.fft.irfft(log_amplitude)
    cepstrum[1:half] *= 2
    return np.fft.rfft(cepstrum[: half + 1], size)


class Overlap:
    """Samples to come, to which parts are added before they are taken."""

    def __init__(self, length: int):
        """`length` is the most samples that are not taken yet."""
        self._length = length
        self.reset()

    def reset(self) -> None:
        """Nothing is there yet."""
        self._samples = np.zeros(self._length)

    def add(self, place: int, samples: np.ndarray) -> None:
        """Add `(samples,)` from a place after the next sample to be taken on."""
        self._samples[place : place + len(samples)] += samples

    def take(self, count: int) -> np.ndarray:
        """The next samples `(count,)`, to which nothing will be added."""
        taken = self._samples[:count].copy()
        self._samples[:-count] = self._samples[count:]
        self._samples[-count:] = 0
        return taken


@lru_cache(maxsize=64)
def fading(lengths: tuple[int, ...]) -> np.ndarray:
    """Weights over the samples around a frame, of which so many lie from one frame to the next; all add up to 1."""
    span = len(lengths) // 2
    frames = np.concatenate([step - span + np.arange(length) / length for step, length in enumerate(lengths)])
    return (1 + np.cos(np.pi * frames / span)) / (2 * span)


def filter_size(config: WorldConfig, window: int) -> int:
    """Samples that a frame's filter takes in its transform, where its window has so many at most."""
    return 2 ** int(np.ceil(np.log2(window + config.fft_size)))


def pulse_delay(rate: int) -> int:
    """Samples by which `world` comes late, at `rate` Hz."""
    return round(AHEAD * rate)


class Filter:
    """A signal through one filter a frame; windows reach over some frames to each side, and add up to 1."""

    def __init__(self, size: int, overlap: Overlap):
        self.size, self._overlap = size, overlap

    def add(self, parts: Sequence[np.ndarray], response: np.ndarray, late: int = 0) -> None:
        """The samples around a frame, from frame to frame, through the frame's response `(size / 2 + 1,)`.

        They come `late` by so many samples.
        """
        windowed = np.concatenate(parts) * fading(tuple(map(len, parts)))
        self._overlap.add(late, np.fft.irfft(np.fft.rfft(windowed, self.size) * response, self.size))


class Pulses:
    """Responses of the periodic part, one a period, whose phase goes on from frame to frame.

    They come `late` by so many samples, in which a pulse begins to ring.
    """

    def __init__(self, config: WorldConfig, overlap: Overlap):
        self.late = pulse_delay(config.sample_rate)
        self.rate, self.size, self._overlap = config.sample_rate, config.fft_size, overlap
        self._response = MinimumPhase(config, self.size)
        self._turns = -2j * np.pi * np.arange(config.bins) / self.size
        self.reset()

    def reset(self) -> None:
        """Nothing has been voiced yet."""
        self._f0, self._phase = 0.0, 0.0
        self._mel_cepstrum: np.ndarray | None = None
        self._periodic: np.ndarray | None = None  # log response of the share of the spectrum that is periodic

    def add(self, count: int, f0: float, mel_cepstrum: np.ndarray, aperiodicity: np.ndarray) -> None:
        """What lies in the `count` samples between the frame before and this one.

        Where one of the two is unvoiced, the half next to the other is voiced, as WORLD has it.
        """
        periodic = None
        if f0 > 0 and (share := 1 - np.square(aperiodicity)).max() > FAINTEST:
            periodic = minimum_phase_log(np.log(np.maximum(share, FAINTEST)) / 2, self.size)
        before = self._f0 if self._periodic is not None else 0.0
        after = f0 if periodic is not None else 0.0
        if before > 0 or after > 0:
            along = (np.arange(count) + 1) / count
            track = (before or after) + along * ((after or before) - (before or after))
            track[along > 0.5 if after == 0 else (along <= 0.5 if before == 0 else np.zeros(count, bool))] = 0
            if before == 0:
                self._phase = 1 - track.max() / self.rate / 2  # the first pulse comes at once
            phase = self._phase + np.cumsum(track) / self.rate
            turns = np.floor(phase)
            for place in np.flatnonzero(np.diff(turns, prepend=np.floor(self._phase))):
                late = (phase[place] - turns[place]) * self.rate / track[place]  # samples since the period ended
                self._add_pulse(place - late, count, track[place], mel_cepstrum, periodic)
            self._phase = phase[-1] % 1
        self._f0, self._mel_cepstrum, self._periodic = f0, mel_cepstrum, periodic

    def _add_pulse(
        self, time: float, count: int, f0: float, mel_cepstrum: np.ndarray, periodic: np.ndarray | None
    ) -> None:
        """A pulse `time` samples after the frame before, by an envelope between the two frames'."""
        along = min(max((time + 1) / count, 0.0), 1.0)
        before = mel_cepstrum if self._mel_cepstrum is None else self._mel_cepstrum
        log_response = self._response.log(before + along * (mel_cepstrum - before))
        if self._periodic is None or periodic is None:
            log_response = log_response + (periodic if self._periodic is None else self._periodic)
        else:
            log_response = log_response + self._periodic + along * (periodic - self._periodic)
        place = int(np.floor(time))
        response = np.exp(log_response + (self.late + time - place) * self._turns)
        response[0] = 0  # speech has no offset
        samples = np.fft.irfft(response, self.size) * np.sqrt(self.rate / f0)
        self._overlap.add(max(place, 0), samples)
