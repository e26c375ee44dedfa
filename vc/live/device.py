"""Live conversion from microphone to loudspeaker, through PortAudio.

The sound card's callbacks only copy samples, from the microphone into one ring buffer and from another to the
loudspeaker. In between, a worker thread converts. The output buffer starts with some silence, which is the time that
the worker has. On an underrun the output fades to silence, and the missing samples are dropped when they arrive, so
that the delay stays constant. Where the two clocks differ, a block is left out or repeated now and then.
"""

import contextlib
import itertools
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vc import extras, system
from vc.config import require
from vc.errors import ConfigError, DataError, shorten
from vc.live.settings import BLOCK, LONGEST_SLACK, SLACK

FADE = 0.002  # seconds to fade out on an underrun, and back in
CAPACITY = 2 * LONGEST_SLACK  # seconds, size of a ring buffer
WARM_UP = 0.5  # seconds of noise converted before the first block
SWITCH = 0.0005  # seconds, Python's thread switch interval while running, instead of 0.005
DRIFT = 2.0  # seconds in which there are surplus samples, or too few, before that is corrected
LATE = 0.3  # seconds without output because samples are late, before the delay is allowed to grow
SETTLING_TIME = 4.5  # seconds ignored at the start of a measurement: sound servers adjust, and a loop after 2 * DRIFT
CLICKS = 1.0  # seconds between the clicks of a measurement
CONTROLS = ("muted", "passthrough", "f0_options")  # what keys change in a stream


class SampleStream(Protocol):
    """What a worker calls: an `AbstractStream`, or a stand-in such as `Clicks`."""

    sample_rate: int
    can_hurry: bool

    def push(self, samples: np.ndarray, hurry: bool = False) -> np.ndarray:
        """Take samples `(samples,)` and return as many."""


class Ring:
    """A ring buffer for one writing and one reading thread."""

    def __init__(self, capacity: int):
        self._samples = np.zeros(capacity, np.float32)
        self._written = self._read = 0  # totals; each is modified by one thread only

    def __len__(self) -> int:
        return self._written - self._read

    def write(self, samples: np.ndarray) -> int:
        """Append as many of `(samples,)` as fit, and return how many."""
        count = min(len(samples), len(self._samples) - len(self))
        positions = (self._written + np.arange(count)) % len(self._samples)
        self._samples[positions] = samples[:count]
        self._written += count
        return count

    def read(self, count: int) -> np.ndarray:
        """Remove and return the next samples, at most `count`."""
        samples = self.peek(count)
        self.skip(len(samples))
        return samples

    def peek(self, count: int, offset: int = 0) -> np.ndarray:
        """Samples from `offset` on, at most `count`; below 0, the offset is of samples that have been read."""
        count = min(count, len(self) - offset)
        return self._samples[(self._read + offset + np.arange(count)) % len(self._samples)]

    def skip(self, count: int) -> None:
        """Remove samples that are there; below 0, bring back samples that have been read."""
        self._read += count


class Loop:
    """Ring buffers, worker and counters between a sound card and a converter, independent of the device.

    Parameters
    ----------
    converter : SampleStream
        The conversion.
    block : int
        Block size in samples.
    slack : int
        Blocks of silence that the output starts with.

    Attributes
    ----------
    underruns : int
        Number of times that the loudspeaker ran out of samples.
    hurried : int
        Number of times that the converter hurried, if it can.
    lost : int
        Number of the microphone's samples lost because the buffer was full.
    left_out : int
        Number of samples left out because the microphone's clock is faster than the loudspeaker's, or because the
        loudspeaker took none for so long that there was no room.
    repeated : int
        Number of samples repeated because the microphone's clock is slower than the loudspeaker's.
    late : int
        Number of samples still missing after LATE seconds; if they arrive later, the delay has grown.

    Raises
    ------
    ConfigError
        The slack is longer than half of a ring buffer.
    """

    def __init__(self, converter: SampleStream, block: int, slack: int = SLACK):
        capacity = round(CAPACITY * converter.sample_rate)
        self.converter, self.block, self.slack = converter, block, slack * block
        seconds = self.slack / converter.sample_rate
        require(
            seconds <= LONGEST_SLACK,
            f"the slack must be at most {LONGEST_SLACK:g} s, got {seconds:g} s: {slack} blocks",
        )
        self._input, self._output = Ring(capacity), Ring(capacity)
        self._started = False  # whether anything has been converted
        self._owed = 0  # samples replaced by silence, to be dropped when they arrive
        self._owed_for = 0  # samples output since some have been owed
        self._last = np.float32(0)
        self._fade = max(1, round(FADE * converter.sample_rate))
        self._interrupted = False  # whether the output ended in silence, so that it must fade in
        self._filled = 0  # samples of silence in place of the lost ones
        self._successors: deque[tuple[SampleStream, int]] = deque()  # what `replace` was called with
        self._former: SampleStream | None = None  # which is being replaced
        self._change = 0  # samples since the converter has been heard; below 0, until then
        self._wake = threading.Event()
        self._stopped = False
        self.underruns = self.hurried = self.lost = self.left_out = self.repeated = self.late = 0
        # After recent calls of `give`: the lowest fill of the output, and the most samples in both buffers
        self._lowest, self._highest = math.inf, -math.inf
        self._counted = 0  # samples output by these calls
        self.busy = 0.0  # seconds of computing time of the worker
        self.fault: Exception | None = None
        self._levels = [0.0, 0.0]

    def take(self, samples: np.ndarray) -> None:
        """Take the microphone's next samples `(samples,)`; never blocks."""
        self.lost += len(samples) - self._input.write(samples)  # the worker replaces them by silence
        finite = np.isfinite(samples)
        self._levels[0] = max(self._levels[0], float(np.abs(samples).max(initial=0, where=finite)))
        self._wake.set()

    def give(self, count: int) -> np.ndarray:
        """Return the loudspeaker's next samples `(count,)`; never blocks."""
        if not self._started:  # the microphone may start later
            return np.zeros(count, np.float32)
        self._owed_for = self._owed_for + count if self._owed else 0
        if self._owed_for > LATE * self.converter.sample_rate:  # accept a longer delay rather than lasting silence
            self.late += self._owed
            self._owed = self._owed_for = 0
        self._owed -= len(self._output.read(min(self._owed, len(self._output))))
        surplus = self._surplus(count)
        samples = self._output.peek(count) if self._owed == 0 else np.zeros(0, np.float32)
        if surplus and len(samples) == count:  # a cross-fade leaves out the surplus, or repeats what is missing
            weight = np.clip(np.arange(1, count + 1) / min(self._fade, count), 0, 1).astype(np.float32)
            samples = samples * (1 - weight) + self._output.peek(count, surplus) * weight
            self._output.skip(surplus)
            self.left_out += max(surplus, 0)
            self.repeated += max(-surplus, 0)
        self._output.skip(len(samples))
        if self._interrupted and len(samples):
            ramp = min(self._fade, len(samples))
            samples[:ramp] *= np.linspace(0, 1, ramp, dtype=np.float32)
            self._interrupted = False
        missing = count - len(samples)
        if missing:
            last = samples[-1] if len(samples) else self._last
            tail = last * np.clip(1 - np.arange(1, missing + 1) / self._fade, 0, 1)
            samples = np.concatenate([samples, tail]).astype(np.float32)
            self._owed += missing
            self.underruns += 1
            self._interrupted = True
        self._last = samples[-1] if count else self._last
        self._levels[1] = max(self._levels[1], float(np.abs(samples).max(initial=0)))
        return samples

    def _surplus(self, count: int) -> int:
        """Number of samples that there are too many, or (below 0) too few, because the two clocks differ.

        That is determined every DRIFT seconds. Surplus samples are those that the output never ran below, so that they
        can be left out. Samples are missing if the two buffers together never held enough: a sample that has not been
        converted yet is late, not missing. So neither bursts nor a late worker are taken for clocks that differ.
        """
        fill = len(self._output) - count
        in_flight = fill + len(self._input) - self._owed
        self._lowest, self._highest = min(self._lowest, fill), max(self._highest, in_flight)
        self._counted += count
        if self._counted < DRIFT * self.converter.sample_rate:
            return 0
        lowest, highest = self._lowest, self._highest
        self._lowest, self._highest, self._counted = math.inf, -math.inf, 0
        if lowest >= self.slack + self.block:
            return lowest - self.slack
        return highest - self.slack if highest <= self.slack - self.block else 0

    def work(self) -> bool:
        """Convert the next block of input; return whether there was any."""
        waiting = len(self._input)
        if waiting == 0:
            return False
        is_late = self._started and waiting > self.block > len(self._output) - self._owed  # an underrun is near
        hurry = is_late and self.converter.can_hurry
        self.hurried += hurry
        if not self._started:
            self._output.write(np.zeros(self.slack, np.float32))
            self._started = True
        begin = time.thread_time()
        converted = self._convert(self._input.peek(self.block), hurry)
        self.left_out += len(converted) - self._output.write(converted)
        self._input.skip(len(converted))  # only now, so that `_surplus` sees the block while it is being converted
        self._filled += self._output.write(np.zeros(self.lost - self._filled, np.float32))
        self.busy += time.thread_time() - begin
        return True

    def replace(self, converter: SampleStream, delay: int) -> None:
        """Convert by another stream from the next block on; may be called while the worker works.

        During its delay, in samples, the former one is heard, whose delay must be the same: nothing is lost, and there
        is no gap, if both can be computed in time. A cross-fade follows. Until then, the CONTROLS of the stream that
        was given last apply to all.
        """
        self._successors.append((converter, delay))

    def _convert(self, samples: np.ndarray, hurry: bool) -> np.ndarray:
        """Convert `(samples,)` by the converter, and while it replaces another one, by both."""
        if self._former is None and self._successors:
            self._former, (self.converter, delay) = self.converter, self._successors.popleft()
            self._change = -delay
        if self._former is None:
            return self.converter.push(samples, hurry)
        newest = self._successors[-1][0] if self._successors else self.converter  # on which the keys act
        for stream, name in itertools.product((self._former, self.converter), CONTROLS):
            setattr(stream, name, getattr(newest, name))
        converted = self.converter.push(samples, hurry)
        before = self._former.push(samples, hurry)
        weight = np.clip((self._change + np.arange(1, len(samples) + 1)) / self._fade, 0, 1).astype(np.float32)
        self._change += len(samples)
        if self._change >= self._fade:
            self._former = None
        return before * (1 - weight) + converted * weight

    def run(self) -> None:
        """Work until stopped; the worker thread's main function."""
        try:
            while not self._stopped:
                if not self.work():
                    self._wake.wait(0.1)
                    self._wake.clear()
        except Exception as error:  # raised by `Connection.check`
            self.fault = error

    def stop(self) -> None:
        """Ask the worker to stop."""
        self._stopped = True
        self._wake.set()

    def take_levels(self) -> tuple[float, float]:
        """Peaks of input and output since the last call."""
        levels, self._levels = self._levels, [0.0, 0.0]
        return float(levels[0]), float(levels[1])


@dataclass(frozen=True)
class Connection:
    """A loop that is connected to a sound card."""

    loop: Loop
    latency: tuple[float, float]  # seconds, of input and output, as reported by PortAudio
    devices: tuple[str, str]  # names
    cards: tuple[Any, Any]  # PortAudio's streams

    @property
    def delays(self) -> dict[str, float]:
        """Delays in milliseconds besides the conversion's: input and output as reported by PortAudio, and slack."""
        seconds = {
            "input": self.latency[0],
            "output": self.latency[1],
            "slack": self.loop.slack / self.loop.converter.sample_rate,
        }
        return {name: 1000 * value for name, value in seconds.items()}

    def check(self) -> None:
        """Raise the error that stopped the loop, if it has stopped."""
        if self.loop.fault is not None:
            raise self.loop.fault
        if not all(card.active for card in self.cards):
            raise DataError("the sound card stopped: another --block or --latency may help")


@dataclass(frozen=True)
class Device:
    """A sound device with PortAudio's number and name; `name, api` selects it if several APIs have the same name."""

    number: int
    name: str
    api: str
    inputs: int  # channels
    outputs: int  # channels
    sample_rate: float  # Hz, the device's default
    default_input: bool  # whether it is the system's
    default_output: bool

    def __str__(self) -> str:
        mark = f"{'<' if self.default_input else ' '}{'>' if self.default_output else ' '}"
        channels = f"{self.inputs} in, {self.outputs} out"
        return f"{mark} {self.number:3} {self.name} ({self.api}): {channels}, {self.sample_rate:.0f} Hz"


def devices() -> list[Device]:
    """All sound devices."""
    sounddevice = _sounddevice()
    default_input, default_output = sounddevice.default.device
    return [
        Device(
            number,
            device["name"],
            sounddevice.query_hostapis(device["hostapi"])["name"],
            device["max_input_channels"],
            device["max_output_channels"],
            device["default_samplerate"],
            number == default_input,
            number == default_output,
        )
        for number, device in enumerate(sounddevice.query_devices())
    ]


@contextlib.contextmanager
def connect(
    converter: SampleStream,
    *,
    input: str | None = None,
    output: str | None = None,
    block: float = BLOCK / 1000,
    slack: int = SLACK,
    latency: float | str = "low",
) -> Iterator[Connection]:
    """Connect a converter to a sound card for the duration of the `with` block.

    Parameters
    ----------
    converter : SampleStream
        The conversion; the sound card runs at its sample rate.
    input, output : str, optional
        Numbers or names of devices, as in `devices`. Default: the system's.
    block : float
        Block size in seconds.
    slack : int
        Blocks of silence that the output starts with.
    latency : float or str
        Latency requested of PortAudio for each device: seconds, `low` or `high`.

    Yields
    ------
    Connection

    Raises
    ------
    ConfigError
        There is no such device, it does not support the sample rate, or the slack is too long.
    """
    sounddevice, rate = _sounddevice(), converter.sample_rate
    warm_up(converter)
    loop = Loop(converter, max(1, round(block * rate)), slack)

    def record(samples: np.ndarray, count: int, time: object, status: object) -> None:
        loop.take(samples[:, 0])

    def play(samples: np.ndarray, count: int, time: object, status: object) -> None:
        samples[:, 0] = loop.give(count)

    selected = [int(name) if name and name.isdecimal() else name for name in (input, output)]
    switch = sys.getswitchinterval()
    worker = threading.Thread(target=loop.run, name="vc-live", daemon=True)
    settings = {"samplerate": rate, "blocksize": loop.block, "channels": 1, "dtype": "float32", "latency": latency}
    try:
        with contextlib.ExitStack() as stack:
            with system.realtime_scheduling(2):  # for PortAudio's threads: before the worker, which may take longer
                try:
                    # Two streams, because a duplex stream fails if a sound server has two separate devices.
                    cards = (
                        stack.enter_context(sounddevice.InputStream(device=selected[0], callback=record, **settings)),
                        stack.enter_context(sounddevice.OutputStream(device=selected[1], callback=play, **settings)),
                    )
                    names = tuple(sounddevice.query_devices(card.device)["name"] for card in cards)
                except (sounddevice.PortAudioError, ValueError) as error:
                    hint = f"vc-live --devices lists the devices, which must take {rate} Hz"
                    raise ConfigError(f"sound card: {shorten(error)}; {hint}") from error
            sys.setswitchinterval(SWITCH)
            with system.realtime_scheduling(1):
                worker.start()
            yield Connection(loop, tuple(card.latency for card in cards), names, cards)
    finally:
        sys.setswitchinterval(switch)
        loop.stop()
        if worker.is_alive():
            worker.join()


def warm_up(converter: SampleStream) -> None:
    """Run a stream once on noise, so that nothing is loaded or compiled during conversion, and reset it."""
    if hasattr(converter, "reset"):
        noise = np.random.default_rng(0).standard_normal(round(WARM_UP * converter.sample_rate))
        converter.push(0.1 * noise)
        converter.reset()


class Clicks:
    """A stand-in for a stream that outputs clicks at regular intervals and records the input."""

    can_hurry = False

    def __init__(self, sample_rate: int, seconds: float):
        self.sample_rate, self.interval = sample_rate, round(CLICKS * sample_rate)
        self._count, self._recording = 0, np.zeros(round(seconds * sample_rate), np.float32)
        self.full = False

    def push(self, samples: np.ndarray, hurry: bool = False) -> np.ndarray:
        """Record `(samples,)`; return silence with a click at each multiple of `interval`."""
        positions = self._count + np.arange(len(samples))
        recorded = samples[: max(0, len(self._recording) - self._count)]
        self._recording[self._count : self._count + len(recorded)] = recorded
        self._count += len(samples)
        self.full = self._count >= len(self._recording)
        return np.where(positions % self.interval == 0, 0.5, 0.0).astype(np.float32)

    def delays(self) -> np.ndarray:
        """Delay in milliseconds of each click after SETTLING_TIME that was recorded; empty if there are none."""
        first = round(SETTLING_TIME * self.sample_rate / self.interval) + 1
        delays = []
        for start in range(first * self.interval, len(self._recording) - self.interval + 1, self.interval):
            part = np.abs(self._recording[start : start + self.interval])
            if part.max() > 0.01:
                delays.append(1000 * int(part.argmax()) / self.sample_rate)
        return np.array(delays)


def measure(sample_rate: int, seconds: float = 10.0, **options: Any) -> tuple[np.ndarray, Connection]:
    """Measure the round-trip delay from the worker through loudspeaker and microphone back to the worker.

    Parameters
    ----------
    sample_rate : int
        Hz.
    seconds : float
        Duration of the measurement.
    options
        Keyword arguments of `connect`.

    Returns
    -------
    np.ndarray
        Delay of each click in milliseconds, modulo the interval between clicks.
    Connection
        The connection with which it was measured.

    Raises
    ------
    DataError
        No click came back.
    """
    clicks = Clicks(sample_rate, seconds)
    with connect(clicks, **options) as connection:
        deadline = time.monotonic() + 2 * seconds + 5
        while not clicks.full and time.monotonic() < deadline:
            connection.check()
            time.sleep(0.05)
    delays = clicks.delays()
    if len(delays) == 0:
        raise DataError("no click came back: place the microphone near the loudspeaker, or connect output and input")
    return delays, connection


def _sounddevice() -> Any:
    extras.require("a sound card", "live", "sounddevice")
    try:
        import sounddevice
    except OSError as error:
        raise ConfigError(f"{error}; on Debian or Ubuntu: apt install libportaudio2") from error
    return sounddevice


def play_to_sink(sink: str) -> None:
    """Direct this process's output to a sink of PulseAudio or PipeWire; call it before `connect`."""
    os.environ["PULSE_SINK"] = sink
