"""Tensors of CTranslate2's model.bin, the format of faster-whisper's models.

Version 6 of the format, as CTranslate2's model_spec.py writes it. Numbers are little-endian; a text is its length in 16
bits and its characters, a NUL at the end. The file holds the version of the format, name and revision of the network,
the number of tensors, and for each its name, rank, dimensions, type, number of bytes, and the bytes.
"""

import math
import struct
from collections.abc import Iterator

import numpy as np

from vc.config import require

VERSION = 6
MAGIC = struct.pack("<I", VERSION)  # how a file begins
NETWORK = "WhisperSpec"
TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2", 5: "<u2"}  # 5 is bfloat16, as its bits
HIGHEST_RANK = 8


def tensors(data: memoryview) -> Iterator[tuple[str, np.ndarray]]:
    """Name and array of each tensor, a view of `data`: nothing is copied, whatever sizes are claimed.

    Raises ConfigError for anything that is not a Whisper in this format.
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
        whole = all(shape) and math.prod(shape) * np.dtype(TYPES[kind]).itemsize == size
        require(whole, f"tensor {name}: {size} bytes are not {shape} of {np.dtype(TYPES[kind]).name}")
        yield name, np.frombuffer(reader.take(size), TYPES[kind]).reshape(shape)


class _Reader:
    """Reads bytes in order, never beyond their end."""

    def __init__(self, data: memoryview):
        self.data, self.position = data, 0

    def take(self, size: int) -> memoryview:
        left = len(self.data) - self.position
        require(size <= left, f"cut short: {size} bytes are announced where {left} are left")
        self.position += size
        return self.data[self.position - size : self.position]

    def number(self, form: str) -> int:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0]

    def text(self) -> str:
        raw = bytes(self.take(self.number("H"))).rstrip(b"\0")
        require(raw.isascii(), f"a name that is not ASCII: {raw[:40]!r}")
        return raw.decode("ascii")
