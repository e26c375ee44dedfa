"""Samples in, as many converted samples out, while they come."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np

from vc.config import require
from vc.corpus.limiter import HOTTEST, Limiter
from vc.features import mel_cepstrum
from vc.features.f0 import DEFAULT_F0, HIGHEST_F0, LOWEST_F0, F0Options, F0Range, map_f0
from vc.live.delay import PERIODS, Delay
from vc.live.f0 import F0Tracker
from vc.live.gate import Gate
from vc.live.linear import LinearModel
from vc.live.power import Power
from vc.live.synthesis import (
    LOUDEST,
    Filter,
    MinimumPhase,
    Overlap,
    Pulses,
    filter_size,
    minimum_phase_log,
    pulse_delay,
)

METHODS = ("diff", "world")
SPANS = {"diff": 2, "world": 1}  # frames to each side over which a frame's filter fades: what is said changes slowly
DELAY = 50.0  # milliseconds
GATE = -60.0  # dB of full scale
POWER_WINDOW = 0.0125  # seconds to each side of a frame over which its power is taken, as far as they are there
SEED = 0  # of the noise that unvoiced sounds are made of


class Stream:
    """The conversion of one direction of a linear model, with all that it remembers of what it has heard.

    What is given depends on the samples alone, never on how they are cut into blocks, nor on any that come more than
    `delay` later. Memory does not grow.

    Parameters
    ----------
    model : LinearModel
        As `LinearModel.read` reads it.
    to, source : str, optional
        Speakers, as for `vc.Converter`.
    method : str
        `diff` filters what is said, and leaves F0 as it is; `world` synthesises.
    delay : float
        Milliseconds from an input sample to the output sample that it is converted to.
    f0_options : F0Options
        What to do with F0; `diff` leaves it.
    gate : float
        dB of full scale: what is fainter is silence; -inf: nothing is.
    f0_range : F0Range, optional
        Where to look for F0, if that is known better than from the model.

    Attributes
    ----------
    f0_options : F0Options
        May be set while one speaks, and so may
    muted, passthrough : bool
        silence, or what was said as it was, at the same delay.
    held : int
        Frames so far whose envelope was that of the frame before, because `push` was told to hurry.
    mended : int
        Samples so far that were no finite numbers, and became 0, in what was heard or in what was made.
    """

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
        require(method in METHODS, f"method must be one of {', '.join(METHODS)}, got {method!r}")
        f0_options.check_method(method)
        require(not math.isnan(gate) and gate < 0, f"the gate must be below 0 dB of full scale, got {gate:g}")
        self.source, self.target = model.model.direction(to, source)
        self.method, self.f0_options, self.muted, self.passthrough = method, f0_options, False, False
        speakers = model.model.speakers
        self._config = config = model.model.features
        self._voices = speakers[self.source].log_f0, speakers[self.target].log_f0
        f0_range = f0_range or speakers[self.source].f0_range
        self._span = SPANS[method]
        late = pulse_delay(config.sample_rate) if method == "world" else 0
        self.delay = Delay.of(delay, config, f0_range, span=self._span, pulse=late)
        self._hop = config.sample_rate * config.frame_shift / 1000
        ahead = self.delay.look_ahead
        self._tracker = F0Tracker(config, f0_range, self.delay.window, ahead)
        self._map = model.frame_map(self.source, self.target, ahead)
        self._power = Power(config)
        self._gate = Gate(gate, config.frame_rate, ahead)
        size = filter_size(config, 2 * self._span * math.ceil(self._hop))
        self._overlap = Overlap(size + late)
        self._filter = Filter(size, self._overlap)
        self._pulses = Pulses(config, self._overlap)
        self._response = MinimumPhase(config, self._filter.size)
        lowest = self._tracker.lowest
        self._near = max(self._tracker.before, math.ceil(2.5 / lowest * config.sample_rate))  # samples before a frame
        self._far = min(self.delay.window + int(ahead * self._hop), self._near)  # after one that is decided
        self._resolved = lowest_resolved_f0(self.delay.window, config.sample_rate)
        self.reset()

    @classmethod
    def load(cls, path: str | Path, to: str | None = None, source: str | None = None, **settings: object) -> "Stream":
        """From a model file or an experiment directory; other arguments as for `Stream`."""
        return cls(LinearModel.read(path), to, source, **settings)

    @property
    def sample_rate(self) -> int:  # Hz, of input and output
        return self._config.sample_rate

    def reset(self) -> None:
        """Forget all that was heard: what comes next is as at the start."""
        for part in (self._tracker, self._map, self._power, self._gate, self._overlap, self._pulses):
            part.reset()
        self._limiter = Limiter(self.sample_rate)
        self._noise = np.random.default_rng(SEED)
        self._excitation = self._noise.standard_normal(self._place(0) - self._place(-1))  # up to the next frame
        self._frame = 0  # number of the next to be analysed
        self._begin = -self._near - self._span * math.ceil(self._hop)  # place of the first sample below
        self._heard = np.zeros(-self._begin)  # samples that are needed still
        self._ready = np.zeros(self.delay.samples - self._limiter.delay, np.float32)
        self._mel_cepstrum: np.ndarray | None = None  # of the frame last analysed
        self._aperiodicity = np.ones(self._config.bins)
        self._f0 = 0.0  # Hz, of the frame last synthesised
        self._gains = np.zeros(2)  # of the converted and of the input, at the frame last synthesised
        self.held = self.mended = 0

    def push(self, samples: np.ndarray, hurry: bool = False) -> np.ndarray:
        """Take `(samples,)` at `sample_rate`, full scale 1, and give as many, float32.

        Who cannot keep up may tell it to `hurry`: the last envelope is held for the frames that come due, and what
        costs most is left out.
        """
        samples = np.asarray(samples, np.float64)
        finite = np.isfinite(samples)
        if not finite.all():
            self.mended += len(samples) - int(finite.sum())
            samples = np.where(finite, samples, 0.0)
        self._heard = np.concatenate([self._heard, np.clip(samples, -HOTTEST, HOTTEST)])
        parts = [self._ready]
        while self._place(self._frame) + self.delay.window <= self._begin + len(self._heard):
            with np.errstate(all="ignore"):  # of a model that is out of its mind; what is not finite is seen below
                parts.append(self._limiter.push(self._next(hurry)))
        ready = np.concatenate(parts)
        given, self._ready = ready[: len(samples)], ready[len(samples) :]
        return given

    def convert(self, samples: np.ndarray) -> np.ndarray:
        """A whole recording `(samples,)` as it would be converted live, without the delay; forgets what was heard."""
        self.reset()
        rest = np.zeros(self.delay.samples)
        return np.concatenate([self.push(samples), self.push(rest)])[self.delay.samples :]

    def _place(self, frame: int) -> int:
        """Of a frame's centre among the samples since the start."""
        return round(frame * self._hop)

    def _between(self, first: int, last: int) -> np.ndarray:
        """Samples by their places."""
        return self._heard[first - self._begin : last - self._begin]

    def _next(self, hurry: bool) -> np.ndarray:
        """Analyse the next frame; give the samples that it makes final, none at the start."""
        place = self._place(self._frame)
        seen = self._between(place - self._near, place + self.delay.window)
        power_window = round(POWER_WINDOW * self.sample_rate)
        around = self._between(place - power_window, place + min(power_window, self.delay.window))
        is_open = self._gate.push(float(np.square(around).mean()))
        hold = hurry and self._mel_cepstrum is not None
        self.held += hold
        f0 = self._f0
        if not hold:
            now, f0 = self._tracker.push(seen[self._near - self._tracker.before :])
            self._mel_cepstrum = self._envelope(seen, now)
        source, converted = self._map.push(self._mel_cepstrum)
        number = self._frame - self.delay.look_ahead
        self._frame += 1
        if number < 0:
            return np.zeros(0)
        wanted = self._power.push(converted, source)
        places = [self._place(number + step) for step in range(-self._span, self._span + 1)]
        if self.method == "diff":
            log_response = self._response.log(wanted - source)
            response = np.exp(np.minimum(log_response.real, LOUDEST) + 1j * log_response.imag)
            self._filter.add([self._between(*pair) for pair in pairwise(places)], response)
        else:
            self._synthesise(places, f0, wanted, hold)
        final = self._between(*places[:2])
        made = self._overlap.take(len(final))
        if not np.isfinite(made).all():  # a model that is out of its mind
            self.mended += len(made)
            made = np.zeros(len(made))
            self._overlap.reset()
            self._pulses.reset()
        # Gains move from one frame to the next by straight lines
        gains = np.array([not self.passthrough, self.passthrough]) * float(is_open and not self.muted)
        along = (np.arange(len(made)) + 1) / len(made)
        converted_gain, original_gain = self._gains[:, None] + (gains - self._gains)[:, None] * along
        self._gains = gains
        made = converted_gain * made + original_gain * final
        oldest = places[self._span] - self._near - self._span * math.ceil(self._hop)
        if oldest > self._begin:
            self._heard, self._begin = self._heard[oldest - self._begin :], oldest
        return made if number >= self._span else np.zeros(0)  # what lies before the first frame is no sample

    def _envelope(self, seen: np.ndarray, f0: float) -> np.ndarray:
        """Mel-cepstrum `(bands,)` of the frame at `near` among its samples."""
        import pyworld

        config = self._config
        window = config.window_f0(np.array([f0 and max(f0, self._resolved)]))
        place = np.array([self._near / config.sample_rate])
        envelope = pyworld.cheaptrick(seen, window, place, config.sample_rate, fft_size=config.fft_size)
        return mel_cepstrum.from_envelope(envelope, config.order, config.warping)[0]

    def _synthesise(self, places: list[int], f0: float, wanted: np.ndarray, hold: bool) -> None:
        """Add noise and pulses of a frame whose F0 is decided; `places` are its own and its neighbours'."""
        import pyworld

        rate, config = self.sample_rate, self._config
        start, place, end = places
        if not hold:
            self._f0, self._aperiodicity = f0, np.ones(config.bins)
            if f0 > 0:
                around = np.ascontiguousarray(self._between(place - self._near, place + self._far))
                found, at = np.array([f0]), np.array([self._near / rate])
                refined = pyworld.stonemask(around, found, at, rate)
                found = np.where(refined > 0, refined, found)
                self._aperiodicity = pyworld.d4c(around, found, at, rate, fft_size=config.fft_size)[0]
                self._f0 = float(found[0])
        mapped = float(map_f0(np.array([self._f0]), *self._voices, self.f0_options)[0])
        mapped = mapped and min(max(mapped, LOWEST_F0), HIGHEST_F0)
        self._pulses.add(place - start, mapped, wanted, self._aperiodicity)
        before, self._excitation = self._excitation, self._noise.standard_normal(end - place)
        log_response = self._response.log(wanted)
        if self._f0 > 0:
            log_response = log_response + minimum_phase_log(np.log(self._aperiodicity), self._filter.size)
        self._filter.add([before, self._excitation], np.exp(log_response), self._pulses.late)


def lowest_resolved_f0(window: int, rate: int) -> float:
    """Hz, of the lowest F0 whose analysis window ends within `window` samples after a frame."""
    return PERIODS * rate / (window - 1)
