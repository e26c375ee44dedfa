"""Read the tensors of CTranslate2's model.bin, the format of faster-whisper's models.

Version 6 of the format, as CTranslate2's model_spec.py writes it. Numbers are little-endian; a string is its length in
16 bits and its characters, including a final NUL. The file holds the format version, the network's name and revision,
the number of tensors, and for each its name, rank, dimensions, type, number of bytes, and the bytes.
"""

import math
import struct
from collections.abc import Iterator

import numpy as np

from vc.config import require

VERSION = 6
MAGIC = struct.pack("<I", VERSION)  # first bytes of a file
NETWORK = "WhisperSpec"
TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2", 5: "<u2"}  # 5 is bfloat16, read as raw bits
HIGHEST_RANK = 8


def tensors(data: memoryview) -> Iterator[tuple[str, np.ndarray]]:
    """Iterate over the tensors without copying, so that a forged size cannot exhaust memory.

    Parameters
    ----------
    data : memoryview
        Contents of the file.

    Yields
    ------
    str, np.ndarray
        Name and array, a view of `data`.

    Raises
    ------
    ConfigError
        The file is damaged, or is not a Whisper model in this format.
    """
    reader = _Reader(data)
    version, name = reader.number("I"), reader.text()
    require(version == VERSION, f"format {version} of CTranslate2; this version reads {VERSION}")
    require(name == NETWORK, f"a network {name!r} of CTranslate2, not {NETWORK}")
    reader.number("I")  # the network's revision
    for _ in range(reader.number("I")):
        name = reader.text()
        rank = reader.number("B")
        require(rank <= HIGHEST_RANK, f"tensor {name}: {rank} dimensions")
        shape = [reader.number("I") for _ in range(rank)]
        kind, size = reader.number("B"), reader.number("I")
        require(kind in TYPES, f"tensor {name}: unknown type {kind}")
        matches = all(shape) and math.prod(shape) * np.dtype(TYPES[kind]).itemsize == size
        require(matches, f"tensor {name}: {size} bytes are not {shape} of {np.dtype(TYPES[kind]).name}")
        yield name, np.frombuffer(reader.take(size), TYPES[kind]).reshape(shape)


class _Reader:
    """Sequential reader that refuses to read past the end."""

    def __init__(self, data: memoryview):
        self.data, self.position = data, 0

    def take(self, size: int) -> memoryview:
        remaining = len(self.data) - self.position
        require(size <= remaining, f"truncated: {size} bytes expected where {remaining} are left")
        self.position += size
        return self.data[self.position - size : self.position]

    def number(self, code: str) -> int:
        return struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))[0]

    def text(self) -> str:
        raw = bytes(self.take(self.number("H"))).rstrip(b"\0")
        require(raw.isascii(), f"a name is not ASCII: {raw[:40]!r}")
        return raw.decode("ascii")
