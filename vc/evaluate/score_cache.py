"""What speech models say of a recording, kept for later evaluations.

Most of an evaluation's time goes to speech models, and most of its recordings are the source's, the target's, and the
target's through the vocoder, which every other conversion between the two is measured against as well.
"""

import hashlib
import json
import math
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vc.config import read_json
from vc.errors import ConfigError
from vc.files import make_directory, path_inside, write_text
from vc.metrics import mos, phones, quality, speaker

FORMAT = 1  # to be raised when one of the functions computes something else with the same package
LARGEST = 1 << 20  # bytes of a file


class Kind(NamedTuple):
    """How a measure's result is written as JSON and read back; reading raises ValueError or TypeError."""

    package: str  # whose version a result is of
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _embedding(values: Any) -> np.ndarray:
    embedding = np.asarray(values, dtype=np.float32)
    if embedding.shape != (speaker.CHANNELS,) or not np.isfinite(embedding).all():
        raise ValueError(f"no embedding of {speaker.CHANNELS} numbers")
    return embedding


def _phones(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("no list of phones")
    return values


def _number(value: Any) -> float:
    if not math.isfinite(value):
        raise ValueError("not finite")
    return float(value)


KINDS = {
    "speaker": Kind(speaker.MODULES[0], np.ndarray.tolist, _embedding),
    "phones": Kind(phones.MODULES[0], list, _phones),
    "quality": Kind(quality.MODULES[0], float, _number),
    "mos": Kind(mos.MODULES[0], float, _number),
}


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
        self._results = self._read()
        self._new: dict[str, Any] = {}

    def _read(self) -> dict[str, Any]:
        """The file's content; nothing where there is none that can be read, since all can be computed anew."""
        try:
            content = read_json(self._folder / self._name, LARGEST)
        except ConfigError:
            return {}
        return content if isinstance(content, dict) else {}

    def get(self, measure: str, compute: Callable[[], Any]) -> Any:
        """The result of a measure: from the file if it is there and of the installed package, else computed."""
        if measure not in KINDS:
            return compute()
        kind = KINDS[measure]
        key = f"{measure}, {kind.package} {version(kind.package)}, {FORMAT}"
        try:
            return kind.read(self._results[key])
        except (KeyError, TypeError, ValueError):
            result = compute()
            self._new[key] = kind.write(result)
            return result

    def write(self) -> None:
        """Add new results to the file; OSError if that is not possible."""
        if self._new:
            make_directory(self._folder)
            content = self._read() | self._new  # another process may have written since
            write_text(path_inside(self._folder, self._name), json.dumps(content, indent=1) + "\n")
