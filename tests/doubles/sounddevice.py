"""In place of the package of this name, where there is no sound card: a microphone that says a vowel, a loudspeaker.

Commands of a test find it by PYTHONPATH.
"""

import threading
import time

import numpy as np

APIS = ({"name": "ALSA"}, {"name": "OSS"})
DEVICES = (
    {"name": "Microphone", "hostapi": 0, "max_input_channels": 1, "max_output_channels": 0},
    {"name": "Loudspeaker", "hostapi": 0, "max_input_channels": 0, "max_output_channels": 2},
    {"name": "--model <b>$(touch x)", "hostapi": 1, "max_input_channels": 2, "max_output_channels": 2},
)


class PortAudioError(Exception):
    """What PortAudio refuses."""


class default:
    device = (0, 1)


def query_devices(number=None):
    devices = [{**device, "default_samplerate": 48000.0} for device in DEVICES]
    return devices if number is None else devices[number]


def query_hostapis(number):
    return APIS[number]


class _Stream:
    """Calls back a block at a time, as fast as it is spoken."""

    latency, kind = 0.01, ""

    def __init__(self, *, samplerate, blocksize, device, callback, **_):
        wanted = default.device[self.kind == "output"] if device is None else device
        names = [f"{each['name']}, {APIS[each['hostapi']]['name']}" for each in DEVICES]
        names = [wanted if number == wanted else name for number, name in enumerate(names)]
        if wanted not in names:
            raise ValueError(f"No {self.kind} device matching {wanted!r}")
        self.device, self.active = names.index(wanted), True
        self._rate, self._block, self._callback = samplerate, blocksize, callback
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.active = False
        self._thread.join()

    def _run(self):
        begin, count = time.monotonic(), 0
        while self.active:
            phase = 2 * np.pi * 120 / self._rate * (count + np.arange(self._block))
            samples = np.float32(0.1 * sum(np.cos(harmonic * phase) / harmonic for harmonic in range(1, 8)))[:, None]
            self._callback(samples, self._block, None, None)
            count += self._block
            time.sleep(max(0.0, begin + count / self._rate - time.monotonic()))


class InputStream(_Stream):
    kind = "input"


class OutputStream(_Stream):
    kind = "output"
