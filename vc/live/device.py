"""From the microphone to the loudspeaker, by PortAudio.

The sound card's callback only copies: from the microphone into one ring, and out of another to the loudspeaker. Between
them one worker converts. The second ring begins with some silence, the time that the worker has; where that is not
enough, what is missing is silence, faded into, and as many samples are left out when they come: the delay stays.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vc import extras
from vc.errors import ConfigError, DataError, shorten

BLOCK = 0.01  # seconds that the sound card takes and gives at once
SLACK = 2  # blocks of silence that wait before the worker's first
FADE = 0.002  # seconds from a sample to silence where nothing has come, and back
CAPACITY = 4.0  # seconds that a ring holds
WARM_UP = 0.5  # seconds of noise that are converted before the first block
SWITCH = 0.0005  # seconds after which Python lets the callback in, in place of 0.005
DRIFT = 2.0  # seconds in which more samples wait than shall, before some are left out
LATE = 0.3  # seconds in which nothing is heard for being late, before the delay grows
SETTLED = 2.5  # seconds of a measurement that do not count: sound servers adjust, and so does a loop after DRIFT
CLICKS = 1.0  # seconds from a click of a measurement to the next


class Converter(Protocol):
    """What a worker calls: a `Stream`, or what stands in its place."""

    sample_rate: int

    def push(self, samples: np.ndarray, hurry: bool = False) -> np.ndarray:
        """As many samples as are taken."""


class Ring:
    """Samples that one thread writes and another one reads, in their order."""

    def __init__(self, capacity: int):
        self._samples = np.zeros(capacity, np.float32)
        self._written = self._read = 0  # so far; each is changed by one side alone

    def __len__(self) -> int:
        return self._written - self._read

    def write(self, samples: np.ndarray) -> int:
        """Take as many of `(samples,)` as there is room for, and say how many."""
        count = min(len(samples), len(self._samples) - len(self))
        places = (self._written + np.arange(count)) % len(self._samples)
        self._samples[places] = samples[:count]
        self._written += count
        return count

    def read(self, count: int) -> np.ndarray:
        """The next samples, `count` at most."""
        count = min(count, len(self))
        samples = self._samples[(self._read + np.arange(count)) % len(self._samples)]
        self._read += count
        return samples


class Loop:
    """Rings, worker and counts between a sound card and a converter; it knows no device.

    Attributes
    ----------
    underruns : int
        Times so far that the loudspeaker had to wait.
    overruns : int
        Samples of the microphone so far that found no room, and were lost.
    held : int
        Times so far that the worker hurried.
    dropped : int
        Samples so far that were left out, because the microphone's clock is quicker than the loudspeaker's.
    late : int
        Samples so far that were awaited in vain, for LATE seconds: where they come after all, the delay has grown.
    levels : tuple of float
        Peaks of what came and of what went, since they were last asked for.
    """

    def __init__(self, converter: Converter, block: int, slack: int = SLACK):
        """`block` is in samples, `slack` in blocks."""
        capacity = round(CAPACITY * converter.sample_rate)
        self.converter, self.block, self.slack = converter, block, slack * block
        self._heard, self._made = Ring(capacity), Ring(capacity)
        self._begun = False  # whether anything has been made
        self._owed_for = 0  # samples given since nothing was owed
        self._owed = 0  # samples that were silence in place of those that come late
        self._last = np.float32(0)
        self._fade = max(1, round(FADE * converter.sample_rate))
        self._broken = False
        self._filled = 0  # samples of silence made in place of those that were lost
        self._due = threading.Event()
        self._stopped = False
        self.underruns = self.overruns = self.held = self.dropped = self.late = 0
        self._lowest, self._counted = float(capacity), 0  # samples that waited at least, and were given, of late
        self.busy = 0.0  # seconds that the worker has worked
        self.fault: Exception | None = None
        self._levels = [0.0, 0.0]

    def take(self, heard: np.ndarray) -> None:
        """The microphone's next samples `(samples,)`; never waits."""
        self.overruns += len(heard) - self._heard.write(heard)  # the worker makes silence of as many
        self._levels[0] = max(self._levels[0], float(np.abs(heard).max(initial=0)))
        self._due.set()

    def give(self, count: int) -> np.ndarray:
        """The loudspeaker's next samples `(count,)`; never waits."""
        if not self._begun:  # the microphone may begin later
            return np.zeros(count, np.float32)
        self._owed_for = self._owed_for + count if self._owed else 0
        if self._owed_for > LATE * self.converter.sample_rate:  # it comes too late for good: better late than never
            self.late += self._owed
            self._owed = self._owed_for = 0
        self._owed -= len(self._made.read(min(self._owed, len(self._made))))
        surplus = self._surplus(count)
        made = self._made.read(count + surplus) if self._owed == 0 else np.zeros(0, np.float32)
        if surplus:
            made = _joined(made[:count], made[surplus:], self._fade)
        if self._broken and len(made):
            ramp = min(self._fade, len(made))
            made[:ramp] *= np.linspace(0, 1, ramp, dtype=np.float32)
            self._broken = False
        missing = count - len(made)
        if missing:
            last = made[-1] if len(made) else self._last
            tail = last * np.clip(1 - np.arange(1, missing + 1) / self._fade, 0, 1)
            made = np.concatenate([made, tail]).astype(np.float32)
            self._owed += missing
            self.underruns += 1
            self._broken = True
        self._last = made[-1] if count else self._last
        self._levels[1] = max(self._levels[1], float(np.abs(made).max(initial=0)))
        return made

    def _surplus(self, count: int) -> int:
        """Samples too many that have waited for some time: two clocks, and the microphone's is the quicker one."""
        self._lowest = min(self._lowest, len(self._made) - count)
        self._counted += count
        if self._counted < DRIFT * self.converter.sample_rate:
            return 0
        surplus = self._lowest - self.slack if self._lowest >= self.slack + self.block else 0
        self._lowest, self._counted = self.slack + CAPACITY * self.converter.sample_rate, 0
        self.dropped += int(surplus)
        return int(surplus)

    def work(self) -> bool:
        """Convert what has come; say whether there was anything."""
        waiting = len(self._heard)
        if waiting == 0:
            return False
        hurry = self._begun and waiting > self.block > len(self._made) - self._owed  # the loudspeaker runs dry
        self.held += hurry
        if not self._begun:
            self._made.write(np.zeros(self.slack, np.float32))
            self._begun = True
        begin = time.thread_time()
        self._made.write(self.converter.push(self._heard.read(self.block), hurry))
        self._filled += self._made.write(np.zeros(self.overruns - self._filled, np.float32))
        self.busy += time.thread_time() - begin
        return True

    def run(self) -> None:
        """Work until stopped: what the worker's thread does."""
        try:
            while not self._stopped:
                if not self.work():
                    self._due.wait(0.1)
                    self._due.clear()
        except Exception as error:  # told by whoever waits for the worker
            self.fault = error

    def stop(self) -> None:
        """Let the worker end."""
        self._stopped = True
        self._due.set()

    @property
    def levels(self) -> tuple[float, float]:
        levels, self._levels = self._levels, [0.0, 0.0]
        return float(levels[0]), float(levels[1])


@dataclass(frozen=True)
class Running:
    """A loop that is connected to a sound card."""

    loop: Loop
    latency: tuple[float, float]  # seconds, of input and output, as PortAudio claims
    devices: tuple[str, str]  # names
    cards: tuple[Any, Any]  # PortAudio's streams

    @property
    def delays(self) -> dict[str, float]:
        """Milliseconds by their cause, the conversion's aside: what PortAudio claims, and the worker's slack."""
        seconds = {
            "input": self.latency[0],
            "output": self.latency[1],
            "slack": self.loop.slack / self.loop.converter.sample_rate,
        }
        return {name: 1000 * value for name, value in seconds.items()}

    def check(self) -> None:
        """Raise what ended the loop, if it has ended."""
        if self.loop.fault is not None:
            raise self.loop.fault
        if not all(card.active for card in self.cards):
            raise DataError("the sound card stopped: another --block or --latency may help")


@dataclass(frozen=True)
class Device:
    """A device as PortAudio numbers and names it; `name, api` names it, too, where several APIs have the name."""

    number: int
    name: str
    api: str
    inputs: int  # channels
    outputs: int  # channels
    sample_rate: float  # Hz, by default
    default_input: bool  # the system's
    default_output: bool

    def __str__(self) -> str:
        mark = f"{'<' if self.default_input else ' '}{'>' if self.default_output else ' '}"
        channels = f"{self.inputs} in, {self.outputs} out"
        return f"{mark} {self.number:3} {self.name} ({self.api}): {channels}, {self.sample_rate:.0f} Hz"


def devices() -> list[Device]:
    """All devices, none left out."""
    sounddevice = _sounddevice()
    default_input, default_output = sounddevice.default.device
    return [
        Device(
            number,
            about["name"],
            sounddevice.query_hostapis(about["hostapi"])["name"],
            about["max_input_channels"],
            about["max_output_channels"],
            about["default_samplerate"],
            number == default_input,
            number == default_output,
        )
        for number, about in enumerate(sounddevice.query_devices())
    ]


@contextlib.contextmanager
def connect(
    converter: Converter,
    *,
    input: str | None = None,
    output: str | None = None,
    block: float = BLOCK,
    slack: int = SLACK,
    latency: float | str = "low",
) -> Iterator[Running]:
    """A sound card's loop while the block lasts.

    Parameters
    ----------
    converter : Converter
        Its rate is the sound card's, too.
    input, output : str, optional
        Numbers or names of devices, as `devices` lists them. Default: those of the system.
    block : float
        Seconds.
    slack : int
        Blocks.
    latency : float or str
        Seconds that are asked of PortAudio for each device, or its `low` or `high`.

    Raises
    ------
    ConfigError
        There is no such device, or it does not take the rate.
    """
    sounddevice, rate = _sounddevice(), converter.sample_rate
    warm_up(converter)
    loop = Loop(converter, max(1, round(block * rate)), slack)

    def hear(heard: np.ndarray, count: int, when: object, status: object) -> None:
        loop.take(heard[:, 0])

    def speak(given: np.ndarray, count: int, when: object, status: object) -> None:
        given[:, 0] = loop.give(count)

    wanted = [int(name) if name and name.isdecimal() else name for name in (input, output)]
    switch = sys.getswitchinterval()
    worker = threading.Thread(target=loop.run, name="vc-live", daemon=True)
    how = {"samplerate": rate, "blocksize": loop.block, "channels": 1, "dtype": "float32", "latency": latency}
    try:
        # Two streams: of one that does both, PortAudio loses the thread where a sound server has two devices.
        with (
            sounddevice.InputStream(device=wanted[0], callback=hear, **how) as microphone,
            sounddevice.OutputStream(device=wanted[1], callback=speak, **how) as loudspeaker,
        ):
            sys.setswitchinterval(SWITCH)
            worker.start()
            cards = microphone, loudspeaker
            names = tuple(sounddevice.query_devices(card.device)["name"] for card in cards)
            yield Running(loop, tuple(card.latency for card in cards), names, cards)
    except (sounddevice.PortAudioError, ValueError) as error:
        raise ConfigError(f"sound card: {shorten(error)}; vc-live --devices lists what there is") from error
    finally:
        sys.setswitchinterval(switch)
        loop.stop()
        if worker.is_alive():
            worker.join()


def _joined(one: np.ndarray, other: np.ndarray, fade: int) -> np.ndarray:
    """`(samples,)` that begin as the one and go on as the other."""
    share = np.clip(np.arange(1, len(one) + 1) / fade, 0, 1).astype(np.float32)
    return one * (1 - share) + other * share


def warm_up(converter: Converter) -> None:
    """Let a stream compute once all that it computes, then forget it."""
    if hasattr(converter, "reset"):
        noise = np.random.default_rng(0).standard_normal(round(WARM_UP * converter.sample_rate))
        converter.push(0.1 * noise)
        converter.reset()


class Clicks:
    """In place of a stream: gives a click now and then, and remembers what comes."""

    def __init__(self, sample_rate: int, seconds: float):
        self.sample_rate, self.every = sample_rate, round(CLICKS * sample_rate)
        self._given, self._heard = 0, np.zeros(round(seconds * sample_rate), np.float32)
        self.full = False

    def push(self, samples: np.ndarray, hurry: bool = False) -> np.ndarray:
        """Silence, and a click at each multiple of `every`."""
        places = self._given + np.arange(len(samples))
        kept = samples[: max(0, len(self._heard) - self._given)]
        self._heard[self._given : self._given + len(kept)] = kept
        self._given += len(samples)
        self.full = self._given >= len(self._heard)
        return np.where(places % self.every == 0, 0.5, 0.0).astype(np.float32)

    def delays(self) -> np.ndarray:
        """Milliseconds from each click, once things have settled, to where it came back; none where nothing did."""
        first = round(SETTLED * self.sample_rate / self.every) + 1
        found = []
        for start in range(first * self.every, len(self._heard) - self.every + 1, self.every):
            part = np.abs(self._heard[start : start + self.every])
            if part.max() > 0.01:
                found.append(1000 * int(part.argmax()) / self.sample_rate)
        return np.array(found)


def measure(sample_rate: int, seconds: float = 8.0, **where: Any) -> tuple[np.ndarray, Running]:
    """How long a click takes from the worker through loudspeaker and microphone back to the worker.

    Parameters
    ----------
    sample_rate : int
        Hz.
    seconds : float
        How long clicks are given.
    where
        As for `connected`.

    Returns
    -------
    np.ndarray
        Milliseconds, of each click. A delay of more than a click's distance to the next is not told from a shorter one.
    Running
        What it was measured with.

    Raises
    ------
    DataError
        No click came back.
    """
    clicks = Clicks(sample_rate, seconds)
    with connect(clicks, **where) as running:
        deadline = time.monotonic() + 2 * seconds + 5
        while not clicks.full and time.monotonic() < deadline:
            running.check()
            time.sleep(0.05)
    delays = clicks.delays()
    if len(delays) == 0:
        raise DataError("no click came back: let the microphone hear the loudspeaker, or connect output and input")
    return delays, running


def _sounddevice() -> Any:
    extras.require("a sound card", "live", "sounddevice")
    try:
        import sounddevice
    except OSError as error:
        raise ConfigError(f"{error}; on Debian or Ubuntu: apt install libportaudio2") from error
    return sounddevice


def say_where(sink: str) -> None:
    """Let PulseAudio, or PipeWire in its place, play what this process gives to a sink; before `connected`."""
    os.environ["PULSE_SINK"] = sink
