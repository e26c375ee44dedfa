"""What speech models say of a recording, kept for later evaluations.

Most of an evaluation's time goes to speech models, and most of its recordings are the source's, the target's, and the
target's through the vocoder, which every other conversion between the two is measured against as well.
"""

import hashlib
import json
import math
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vc import __version__
from vc.config import read_json
from vc.errors import ConfigError, DataError
from vc.files import make_directory, path_inside, write_text
from vc.metrics.scores import EMBEDDING

FORMAT = 1  # to be raised when one of the functions computes something else with the same package
LARGEST = 1 << 20  # bytes of a file
MOST_PHONES = 50  # a second of a recording


class Kind(NamedTuple):
    """How a measure's result is written as JSON and read back; `read` raises an error for what is no such result."""

    packages: tuple[str, ...]  # distributions whose versions a result depends on
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _read_embedding(values: Any) -> np.ndarray:
    if not isinstance(values, list) or not all(isinstance(value, float) for value in values):
        raise ValueError("no list of numbers")
    if len(values) != EMBEDDING or not abs(math.hypot(*values) - 1) < 1e-3:
        raise ValueError("no embedding")
    return np.array(values, dtype=np.float32)


def _read_phones(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("no list of phones")
    return values


def _read_opinion(value: Any) -> float:
    if not isinstance(value, float) or not 0 <= value <= 6:
        raise ValueError("no mean opinion score")
    return value


KINDS = {
    "speaker": Kind(("resemblyzer", "librosa", "scipy", "webrtcvad-wheels"), np.ndarray.tolist, _read_embedding),
    "phones": Kind(("hama",), list, _read_phones),
    "quality": Kind(("speechmos", "onnxruntime", "librosa"), float, _read_opinion),
    "mos": Kind(("distillmos", "torchaudio"), float, _read_opinion),
}
RESAMPLING = ("torch", "soxr")  # what every measure depends on


class ScoreCache:
    """The results for one recording: a JSON file named by the SHA-256 of its samples and sample rate.

    Parameters
    ----------
    folder : Path
        Made when the first result is written. Several processes may use it at once.
    samples : np.ndarray
        Shape `(samples,)`.
    rate : int
        Sample rate in Hz.
    """

    def __init__(self, folder: Path, samples: np.ndarray, rate: int):
        digest = hashlib.sha256(f"{rate} {samples.dtype} {samples.shape} ".encode())
        digest.update(np.ascontiguousarray(samples).data)
        self._folder, self._name = folder, f"{digest.hexdigest()}.json"
        self._seconds = len(samples) / rate
        self._results = self._read()
        self._new: dict[str, Any] = {}

    def _read(self) -> dict[str, Any]:
        """The file's content; nothing if it cannot be read, since all can be computed anew."""
        try:
            content = read_json(self._folder / self._name, LARGEST, pipes=False)
        except (ConfigError, DataError):
            return {}
        return content if isinstance(content, dict) else {}

    def get(self, measure: str, compute: Callable[[], Any]) -> Any:
        """The result of a measure: from the file if it is there for the installed packages, else computed."""
        if measure not in KINDS:
            return compute()
        kind = KINDS[measure]
        versions = []
        for package in (*kind.packages, *RESAMPLING):
            try:
                versions.append(f"{package} {version(package)}")
            except PackageNotFoundError:
                versions.append(f"{package} absent")
        key = ", ".join([measure, f"vc {__version__}", *versions, f"format {FORMAT}"])
        try:
            result = kind.read(self._results[key])
            if isinstance(result, list) and len(result) > MOST_PHONES * max(1.0, self._seconds):
                raise ValueError("too many phones")
        except (KeyError, OverflowError, TypeError, ValueError):
            result = compute()
            self._new[key] = kind.write(result)
        return result

    def write(self) -> None:
        """Add new results to the file; OSError if that is not possible."""
        if self._new:
            make_directory(self._folder)
            content = self._read() | self._new  # another process may have written since
            write_text(path_inside(self._folder, self._name), json.dumps(content) + "\n")
