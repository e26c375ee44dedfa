"""A virtual microphone for other programs, on Linux with PulseAudio or PipeWire's PulseAudio server."""

import contextlib
import logging
import shutil
import subprocess
from collections.abc import Iterator

from vc.errors import ConfigError

log = logging.getLogger(__name__)
PATIENCE = 10.0  # seconds for the sound server to answer


@contextlib.contextmanager
def virtual_microphone(name: str) -> Iterator[str]:
    """Create a source called `name` for the duration of the `with` block.

    Parameters
    ----------
    name : str
        Name of the source.

    Yields
    ------
    str
        Name of the sink that feeds it.

    Raises
    ------
    ConfigError
        pactl is missing, or the sound server fails.
    """
    if shutil.which("pactl") is None:
        raise ConfigError("a virtual microphone needs pactl; on Debian or Ubuntu: apt install pulseaudio-utils")
    sink = f"{name}_sink"
    monitor = (f"master={sink}.monitor", f"source_name={name}", f"source_properties=device.description={name}")
    with (
        _module("module-null-sink", f"sink_name={sink}", f"sink_properties=device.description={sink}"),
        _module("module-remap-source", *monitor),
    ):
        yield sink


@contextlib.contextmanager
def _module(*words: str) -> Iterator[None]:
    """A module of the sound server; a failure to unload it is logged, so that what ended the block is not hidden."""
    module = _pactl("load-module", *words)
    try:
        yield
    finally:
        try:
            _pactl("unload-module", module)
        except ConfigError as error:
            log.warning("%s: the sound server keeps %s", error, words[0])


def _pactl(*words: str) -> str:
    try:
        process = subprocess.run(["pactl", *words], capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise ConfigError(f"pactl {words[0]}: no answer from the sound server") from None
    if process.returncode:
        reason = (process.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(f"pactl {words[0]} {words[1]}: {reason}")
    return process.stdout.strip()
