"""Keyboard control and level meters during live conversion, for people at a terminal and for programs at pipes."""

import contextlib
import json
import os
import select
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from vc import system
from vc.errors import ConfigError
from vc.live.base import AbstractStream
from vc.live.device import Connection, Loop
from vc.live.settings import METER_FLOOR

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = tty = None

QUIT = "q"
SILENCE = 1e-6  # of full scale; the lowest peak that is shown
WIDTH = 20  # characters of a meter
HELP = "keys: p passthrough, m mute, + - F0 by a semitone, t other direction, q quit"


@contextlib.contextmanager
def keyboard(*, pipe: bool = False) -> Iterator[bool]:
    """Read keys without waiting for Enter during the `with` block; yields whether there is a keyboard.

    With `pipe`, a pipe as stdin is accepted in place of a keyboard.
    """
    if pipe and not (sys.stdin and sys.stdin.isatty()):
        yield sys.stdin is not None and hasattr(select, "poll")
        return
    if termios is None or not (sys.stdin and sys.stdin.isatty()):
        yield False
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin.fileno())
        yield True
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def key(seconds: float) -> str:
    """The next key pressed within `seconds`, or an empty string; QUIT at the end of stdin."""
    if not system.ready(sys.stdin.fileno(), seconds):
        return ""
    pressed = os.read(sys.stdin.fileno(), 1)
    return pressed.decode(errors="replace") if pressed else QUIT


def obey(pressed: str, stream: AbstractStream) -> str:
    """Execute a key's command; return a message for the user."""
    if pressed == "p":
        stream.passthrough = not stream.passthrough
        return "passthrough" if stream.passthrough else "converting"
    if pressed == "m":
        stream.muted = not stream.muted
        return "muted" if stream.muted else "unmuted"
    if pressed and pressed in "+-=_":
        if stream.method == "diff":
            return "method diff keeps F0; world can shift it"
        try:
            semitones = 1 if pressed in "+=" else -1
            stream.f0_options = replace(stream.f0_options, shift=stream.f0_options.shift + semitones)
        except ConfigError as error:
            return str(error)
        return f"F0 {stream.f0_options.shift:+g} semitones"
    return HELP if pressed else ""


def decibels(peak: float) -> float:
    """A peak (full scale 1) in dB of full scale."""
    return float(20 * np.log10(max(peak, SILENCE)))


def meter(peak: float) -> str:
    """A peak (full scale 1) as a bar and in dB of full scale."""
    level = decibels(peak)
    filled = round(WIDTH * min(max(1 - level / METER_FLOOR, 0.0), 1.0))
    return f"{'#' * filled}{'.' * (WIDTH - filled)} {level:4.0f} dB"


def counts(loop: Loop, stream: AbstractStream) -> dict[str, float]:
    """Counts of what went wrong, by names that docs/live.md explains; `late` is in milliseconds."""
    return {
        "underruns": loop.underruns,
        "hurried": loop.hurried,
        "lost": loop.lost,
        "left_out": loop.left_out,
        "repeated": loop.repeated,
        "late": round(1000 * loop.late / stream.sample_rate, 1),
        "not_finite": stream.not_finite,
    }


def counts_text(counts: Mapping[str, float]) -> str:
    """Counts as a line for people."""
    units = {"late": " ms"}
    return ", ".join(f"{name.replace('_', ' ')} {count:.0f}{units.get(name, '')}" for name, count in counts.items())


def status(loop: Loop, stream: AbstractStream, seconds: float) -> str:
    """A status line with levels, CPU load over `seconds` of running time, and the counts that are not 0."""
    peak_in, peak_out = loop.take_levels()
    load = 100 * loop.busy / seconds if seconds > 0 else 0.0
    faults = counts_text({name: count for name, count in counts(loop, stream).items() if count})
    return f"in {meter(peak_in)}  out {meter(peak_out)}  {load:3.0f} % of a core  {faults}"


def as_json(connection: Connection, stream: AbstractStream, seconds: float) -> str:
    """The status as a line of JSON, after `seconds` of running time; docs/live.md explains each name."""
    loop = connection.loop
    level_in, level_out = (round(decibels(peak), 1) for peak in loop.take_levels())
    delays = {"conversion": stream.delay.milliseconds, **connection.delays}
    fields = {
        "seconds": round(seconds, 1),
        "source": stream.source,
        "target": stream.target,
        "sample_rate": stream.sample_rate,
        "input_device": connection.devices[0],
        "output_device": connection.devices[1],
        "delay": {name: round(milliseconds, 1) for name, milliseconds in delays.items()},
        "level_in": level_in,
        "level_out": level_out,
        "load": round(loop.busy / seconds, 3) if seconds > 0 else 0.0,
        **counts(loop, stream),
        "muted": stream.muted,
        "passthrough": stream.passthrough,
        "f0_shift": stream.f0_options.shift,
    }
    return json.dumps(fields)
