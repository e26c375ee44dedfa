"""A microphone that other programs can choose, on Linux by PulseAudio or PipeWire's pulse server."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

from vc.errors import ConfigError

PATIENCE = 10.0  # seconds for the sound server to answer


@contextlib.contextmanager
def virtual_microphone(name: str) -> Iterator[str]:
    """A source called `name` while the block lasts; it gives what is played to the sink whose name is yielded."""
    if shutil.which("pactl") is None:
        raise ConfigError("a virtual microphone needs pactl; on Debian or Ubuntu: apt install pulseaudio-utils")
    sink = f"{name}_sink"
    modules: list[str] = []
    try:
        modules.append(
            _pactl("load-module", "module-null-sink", f"sink_name={sink}", f"sink_properties=device.description={sink}")
        )
        monitor = (f"master={sink}.monitor", f"source_name={name}", f"source_properties=device.description={name}")
        modules.append(_pactl("load-module", "module-remap-source", *monitor))
        yield sink
    finally:
        for module in reversed(modules):
            _pactl("unload-module", module)


def _pactl(*words: str) -> str:
    try:
        done = subprocess.run(["pactl", *words], capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise ConfigError(f"pactl {words[0]}: no answer from the sound server") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(f"pactl {words[0]} {words[1]}: {reason}")
    return done.stdout.strip()
