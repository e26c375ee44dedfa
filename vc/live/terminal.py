"""Keys and meters while one speaks, for people at a terminal and for programs at pipes."""

import contextlib
import json
import os
import select
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from vc import system
from vc.errors import ConfigError
from vc.live.device import Loop, Running
from vc.live.stream import Stream

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = tty = None

QUIT = "q"
SILENCE = 1e-6  # of full scale; what is fainter is shown as this
FLOOR = -60.0  # dB, of an empty meter
WIDTH = 20  # signs of a meter
HELP = "keys: p passthrough, m mute, + - F0 by a semitone, t other direction, q quit"


@contextlib.contextmanager
def keyboard(*, pipe: bool = False) -> Iterator[bool]:
    """Keys come one by one while the block lasts; whether there is a keyboard, or a `pipe` in place of one."""
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
    """The next key, if there is one within so many seconds, or an empty text; QUIT when no more can come."""
    if not system.ready(sys.stdin.fileno(), seconds):
        return ""
    pressed = os.read(sys.stdin.fileno(), 1)
    return pressed.decode(errors="replace") if pressed else QUIT


def obey(pressed: str, stream: Stream) -> str:
    """Do what a key says; say what was done."""
    if pressed == "p":
        stream.passthrough = not stream.passthrough
        return "passthrough" if stream.passthrough else "converting"
    if pressed == "m":
        stream.muted = not stream.muted
        return "muted" if stream.muted else "heard"
    if pressed and pressed in "+-=_":
        if stream.method != "world":
            return "method diff keeps F0; world can shift it"
        try:
            semitones = 1 if pressed in "+=" else -1
            stream.f0_options = replace(stream.f0_options, shift=stream.f0_options.shift + semitones)
        except ConfigError as error:
            return str(error)
        return f"F0 {stream.f0_options.shift:+g} semitones"
    return HELP if pressed else ""


def decibels(peak: float) -> float:
    """A peak in dB of full scale."""
    return float(20 * np.log10(max(peak, SILENCE)))


def meter(peak: float) -> str:
    """A peak as a bar and in dB of full scale."""
    level = decibels(peak)
    filled = round(WIDTH * min(max(1 - level / FLOOR, 0.0), 1.0))
    return f"{'#' * filled}{'.' * (WIDTH - filled)} {level:4.0f} dB"


def status(loop: Loop, seconds: float) -> str:
    """One line on how it goes, after so many seconds."""
    levels = loop.levels
    load = 100 * loop.busy / seconds if seconds > 0 else 0.0
    counts = f"underruns {loop.underruns}, hurried {loop.held}, lost {loop.overruns}, late {loop.late}"
    return f"in {meter(levels[0])}  out {meter(levels[1])}  {load:3.0f} % of a core, {counts}"


def as_json(running: Running, stream: Stream, seconds: float) -> str:
    """The same for programs, after so many seconds: docs/live.md says what each name means."""
    loop = running.loop
    level_in, level_out = (round(decibels(peak), 1) for peak in loop.levels)
    delays = {"conversion": stream.delay.milliseconds, **running.delays}
    about = {
        "seconds": round(seconds, 1),
        "source": stream.source,
        "target": stream.target,
        "sample_rate": stream.sample_rate,
        "input_device": running.devices[0],
        "output_device": running.devices[1],
        "delay": {name: round(milliseconds, 1) for name, milliseconds in delays.items()},
        "level_in": level_in,
        "level_out": level_out,
        "load": round(loop.busy / seconds, 3) if seconds > 0 else 0.0,
        "underruns": loop.underruns,
        "hurried": loop.held,
        "lost": loop.overruns,
        "left_out": loop.dropped,
        "late": round(1000 * loop.late / stream.sample_rate, 1),
        "not_finite": stream.mended,
        "muted": stream.muted,
        "passthrough": stream.passthrough,
        "f0_shift": stream.f0_options.shift,
    }
    return json.dumps(about)
