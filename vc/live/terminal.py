"""Keyboard control and level meters during live conversion."""

import contextlib
import os
import select
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from vc.errors import ConfigError
from vc.live.device import Loop
from vc.live.stream import Stream

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = tty = None

FLOOR = -60.0  # dB, level of an empty meter
WIDTH = 20  # characters of a meter
HELP = "keys: p passthrough, m mute, + - F0 by a semitone, t other direction, q quit"


@contextlib.contextmanager
def keyboard() -> Iterator[bool]:
    """Read keys without waiting for Enter during the `with` block; yields whether there is a keyboard."""
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
    """The next key pressed within `seconds`, or an empty string."""
    if select.select([sys.stdin], [], [], seconds)[0]:
        return os.read(sys.stdin.fileno(), 1).decode(errors="replace")
    return ""


def obey(pressed: str, stream: Stream) -> str:
    """Execute a key's command; return a message for the user."""
    if pressed == "p":
        stream.passthrough = not stream.passthrough
        return "passthrough" if stream.passthrough else "converting"
    if pressed == "m":
        stream.muted = not stream.muted
        return "muted" if stream.muted else "unmuted"
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


def meter(peak: float) -> str:
    """A peak (full scale 1) as a bar and in dB of full scale."""
    level = 20 * np.log10(max(peak, 1e-6))
    filled = round(WIDTH * min(max(1 - level / FLOOR, 0.0), 1.0))
    return f"{'#' * filled}{'.' * (WIDTH - filled)} {level:4.0f} dB"


def status(loop: Loop, seconds: float) -> str:
    """A status line with levels, CPU load over `seconds` of running time, and counters."""
    peak_in, peak_out = loop.levels
    load = 100 * loop.busy / seconds if seconds > 0 else 0.0
    counts = f"underruns {loop.underruns}, hurried {loop.held}, lost {loop.overruns}, late {loop.late}"
    return f"in {meter(peak_in)}  out {meter(peak_out)}  {load:3.0f} % of a core, {counts}"
