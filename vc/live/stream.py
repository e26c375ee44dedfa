"""Online conversion by a linear model, with a fixed delay."""

import math
from itertools import pairwise

import numpy as np

from vc.config import require_known
from vc.convert.level import training_level_gain
from vc.features import mel_cepstrum
from vc.features.f0 import DEFAULT_F0, F0Options, F0Range, map_f0
from vc.live.base import AbstractStream
from vc.live.delay import PERIODS, Delay
from vc.live.f0 import F0Tracker
from vc.live.gate import Gate
from vc.live.linear import LinearModel
from vc.live.power import Power
from vc.live.settings import DELAY, GATE, METHODS
from vc.live.synthesis import (
    LOUDEST,
    Excitation,
    Filter,
    MinimumPhase,
    Overlap,
    Synthesiser,
    filter_size,
    frequency_response,
    pulse_delay,
)

SPANS = {"diff": 2, "world": 1}  # frames to each side over which a frame's filter fades; difference filters vary slowly
POWER_WINDOW = 0.0125  # seconds to each side of a frame over which its power is averaged, as far as available
APERIODICITY_SHIFT = 2  # frames from one estimate of the aperiodicity to the next, while there are pulses


class Stream(AbstractStream):
    """Online conversion by one direction of a linear model, frame by frame.

    Parameters
    ----------
    model : LinearModel
        As from `LinearModel.of`.
    to, source : str, optional
        Speakers, as for `vc.Converter`.
    method : str
        `diff` filters the input and keeps its F0; `world` synthesises.
    delay : float
        Delay from input to output in milliseconds.
    f0_options : F0Options
        Changes to F0, for `world` only.
    gate : float
        Threshold of the noise gate in dB of full scale; -inf: always open.
    f0_range : F0Range, optional
        Search range for F0. Default: the model's for the source.

    Attributes
    ----------
    hurried_frames : int
        Number of frames whose envelope was copied from the previous one because `push` had to hurry.

    Raises
    ------
    ConfigError
        A setting is invalid, or does not fit the model.
    """

    can_hurry = True

    def __init__(
        self,
        model: LinearModel,
        to: str | None = None,
        source: str | None = None,
        *,
        method: str = "diff",
        delay: float = DELAY,
        f0_options: F0Options = DEFAULT_F0,
        gate: float = GATE,
        f0_range: F0Range | None = None,
    ):
        require_known("method", method, METHODS)
        f0_options.check_method(method)
        self._model, self._settings = model, {"method": method, "delay": delay, "gate": gate}
        self.source, self.target = model.model.direction(to, source)
        self.method, self.f0_options, self.muted, self.passthrough = method, f0_options, False, False
        speakers = model.model.speakers
        self._config = config = model.model.features
        self._voices = speakers[self.source].log_f0, speakers[self.target].log_f0
        self._usual_level = speakers[self.source].level
        f0_range = f0_range or speakers[self.source].f0_range
        self._span = SPANS[method]
        pulse = pulse_delay(config.sample_rate) if method == "world" else 0
        self.delay = Delay.of(delay, config, f0_range, span=self._span, pulse=pulse)
        self._hop = config.sample_rate * config.frame_shift / 1000
        self.step = math.ceil(self._hop)
        ahead = self.delay.look_ahead
        self._tracker = F0Tracker(config, f0_range, self.delay.window, ahead)
        self._map = model.frame_map(self.source, self.target, ahead)
        self._power = Power(config)
        self._gate = Gate(gate, config.frame_rate, ahead)
        if method == "diff":
            size = filter_size(config, 2 * self._span * self.step)
            self._overlap, self._response = Overlap(size), MinimumPhase(config, size)
            self._filter = Filter(size, self._overlap)
        else:
            self._synthesiser = Synthesiser(config, self.step)
            self._overlap = self._synthesiser.overlap
        lowest = self._tracker.lowest
        # samples before a frame that its analysis uses, and after one whose F0 is decided
        self._near = max(self._tracker.before, math.ceil(2.5 / lowest * config.sample_rate))
        self._far = min(self.delay.window + int(ahead * self._hop), self._near)
        self._resolved = lowest_resolved_f0(self.delay.window, config.sample_rate)
        self.reset()

    @property
    def sample_rate(self) -> int:  # Hz, both input and output
        return self._config.sample_rate

    def reset(self) -> None:
        self._start(self._near + self._span * math.ceil(self._hop))
        for part in (self._tracker, self._map, self._power, self._gate, self._overlap):
            part.reset()
        if self.method == "world":
            self._synthesiser.reset(self._position(0) - self._position(-1))
        self._frame = 0  # index of the next frame to analyse
        self._mel_cepstrum: np.ndarray | None = None  # of the last frame analysed
        self._excitation: Excitation | None = None  # of the last voiced frame, by `world`
        self._f0 = 0.0  # Hz, of the last frame synthesised
        self.hurried_frames = 0

    def _between_speakers(self, source: str, target: str, f0_range: F0Range | None) -> "Stream":
        return Stream(self._model, target, source, f0_options=self.f0_options, f0_range=f0_range, **self._settings)

    @property
    def _needed(self) -> int:
        return self._position(self._frame) + self.delay.window

    def _position(self, frame: int) -> int:
        """Position of a frame's centre in samples since the start."""
        return round(frame * self._hop)

    def _next(self, hurry: bool) -> np.ndarray:
        """Process the next frame; return the output samples that it completes, none at the start."""
        position = self._position(self._frame)
        available = self._between(position - self._near, position + self.delay.window)
        power_window = round(POWER_WINDOW * self.sample_rate)
        around = self._between(position - power_window, position + min(power_window, self.delay.window))
        is_open = self._gate.push(float(around @ around) / len(around))
        hold = hurry and self._mel_cepstrum is not None
        self.hurried_frames += hold
        f0 = self._f0
        if not hold:
            preliminary_f0, f0 = self._tracker.push(available[self._near - self._tracker.before :])
            self._mel_cepstrum = self._envelope(available, preliminary_f0)
        gain = training_level_gain(self._tracker.level, self._usual_level)
        source, converted = self._map.push(self._mel_cepstrum, gain)
        number = self._frame - self.delay.look_ahead
        self._frame += 1
        if number < 0:
            return np.zeros(0)
        target = self._power.push(converted, source)
        positions = [self._position(number + step) for step in range(-self._span, self._span + 1)]
        if self.method == "diff":
            log_response = self._response.log(target - source)
            np.minimum(log_response.real, LOUDEST, out=log_response.real)
            self._filter.add([self._between(*pair) for pair in pairwise(positions)], frequency_response(log_response))
        else:
            self._synthesise(number, positions, f0, target, hold)
        original = self._between(*positions[:2])
        output = self._overlap.take(len(original))
        if not np.isfinite(output).all():  # overflow in a bad model
            self.not_finite += len(output)
            output = np.zeros(len(output))
            self._overlap.reset()
            if self.method == "world":  # its pulses as well
                self._synthesiser.clear()
        output = self._mix(output, original, is_open)
        self._forget(positions[self._span] - self._near - self._span * math.ceil(self._hop))
        return output if number >= self._span else np.zeros(0)  # positions before the first frame have no samples

    def _envelope(self, samples: np.ndarray, f0: float) -> np.ndarray:
        """Mel-cepstrum `(bands,)` of the frame at index `_near` of `samples`."""
        import pyworld

        config = self._config
        window = config.window_f0(np.array([f0 and max(f0, self._resolved)]))
        time = np.array([self._near / config.sample_rate])
        envelope = pyworld.cheaptrick(samples, window, time, config.sample_rate, fft_size=config.fft_size)
        return mel_cepstrum.from_envelope(envelope, config.order, config.warping)[0]

    def _synthesise(self, number: int, positions: list[int], f0: float, target: np.ndarray, hold: bool) -> None:
        """Add noise and pulses of frame `number` with the mel-cepstrum `target`, from the previous to the next."""
        import pyworld

        rate, config = self.sample_rate, self._config
        start, centre, end = positions
        if not hold:
            before, self._f0 = self._f0, f0
            if f0 > 0:
                around = np.ascontiguousarray(self._between(centre - self._near, centre + self._far))
                tracked, time = np.array([f0]), np.array([self._near / rate])
                refined = pyworld.stonemask(around, tracked, time, rate)
                refined = np.where(refined > 0, refined, tracked)
                self._f0 = float(refined[0])
                if before == 0 or self._excitation.periodic is None or number % APERIODICITY_SHIFT == 0:
                    aperiodicity = pyworld.d4c(around, refined, time, rate, fft_size=config.fft_size)[0]
                    self._excitation = self._synthesiser.excitation(aperiodicity)
        mapped, excitation = 0.0, None
        if self._f0 > 0:
            mapped, excitation = map_f0(np.array([self._f0]), *self._voices, self.f0_options)[0], self._excitation
        self._synthesiser.add(centre - start, end - centre, mapped, target, excitation)


def lowest_resolved_f0(window: int, rate: int) -> float:
    """Lowest F0 in Hz whose analysis window ends within `window` samples after a frame, at `rate` Hz."""
    return PERIODS * rate / (window - 1)
