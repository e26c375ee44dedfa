"""Read untrusted torch archives: only tensors, and never more memory than their size on disk."""

import math
import os
import pickletools
import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from vc.config import require
from vc.errors import ConfigError
from vc.files import reading

if TYPE_CHECKING:
    from torch import Tensor

REFUSED = "not a checkpoint, damaged, or one that holds more than tensors"
LARGEST_ARCHIVE = 8 << 30  # bytes
LARGEST_TUPLE = 10_000  # values of a tuple, including those of nested tuples
MOST_STEPS = 2_000_000  # opcodes and values of calls in a pickle; a model of a thousand tensors has about 80,000
LEGACY_PARTS = 5  # pickles at the start of an archive in the old format
MARK = None  # a mark on the pickle's stack
ORDERED = "collections OrderedDict"
CALLED = re.compile(ORDERED + r"|torch\._utils _rebuild_(tensor(_v[23])?|parameter)")  # what a pickle may call
TYPES = re.compile(r"torch (\w+Storage|bool|b?float\d\w*|u?int\d+|complex\d+)|torch\.storage UntypedStorage")
ENDS = struct.Struct("<4s44xQ 4s4xQ4x 4s12xLH")  # the end record of the 64-bit format, its locator, the end record


class _Item(NamedTuple):
    """A value on the pickle's stack."""

    origin: str  # the global's name, with () if it is what a call gave, or the opcode; "" for other values of the memo
    size: float = 1  # values of a tuple, including those of nested tuples; infinite if lists or dictionaries are in it


def read(path: Path) -> dict[Any, Any]:
    """Read the mapping in a torch archive, in the zip or the old format, without running its code.

    The zip format is memory-mapped.

    Raises
    ------
    ConfigError
        The file is damaged, or contains more than tensors; the message does not include its name.
    """
    import torch

    try:
        with reading(path, LARGEST_ARCHIVE, pipes=False) as file:
            zipped = file.read(4) == b"PK\3\4"  # as torch tells the formats apart
            file.seek(0)
            for program in _pickles(file) if zipped else [file] * LEGACY_PARTS:
                _scan(program)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except (ConfigError, PermissionError):
        raise
    except Exception as error:  # damage may raise anything; torch's own message recommends running the file's code
        raise ConfigError(REFUSED) from error
    require(isinstance(content, dict), "no tensors found")
    return content


def refuse_growth(tensors: dict[str, "Tensor"], path: Path) -> None:
    """Raise ConfigError for tensors larger than their file, which are possible as (expanded) views of each other."""
    claimed, size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()), path.stat().st_size
    require(claimed <= size, f"its tensors have {claimed:,} bytes, the file only {size:,}")


def _pickles(file: BinaryIO) -> Iterator[BinaryIO]:
    """The pickles in an archive of the zip format, which torch must find in the same places as Python does."""
    with zipfile.ZipFile(file) as archive:
        size = file.seek(-ENDS.size, os.SEEK_END) + ENDS.size
        signature64, start64, locator, place64, signature, start, comment = ENDS.unpack(file.read())
        one = signature == b"PK\5\6" and comment == 0
        if locator == b"PK\6\7":
            one &= signature64 == b"PK\6\6" and place64 == size - ENDS.size and start == min(start64, 0xFFFFFFFF)
            start = start64
        # Python looks for the directory directly before the end records, torch where they say that it is.
        require(one and archive.start_dir == start, "an archive with more than one directory")
        entries = archive.infolist()
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        require(stored, "an archive with compressed parts, which torch does not write")
        require(not any("\0" in entry.orig_filename for entry in entries), "an archive with a zero byte in a name")
        for entry in entries:
            if entry.filename.lower().endswith(".pkl"):  # torch finds its parts in any case
                with archive.open(entry) as program:
                    yield program


def _scan(program: BinaryIO) -> None:
    """Scan a pickle, without running it, and refuse what takes torch's own reader more time or memory than its size.

    Refused are tuples nested so that hashing them takes time exponential in the depth; calls of anything but known
    globals, as torch's message would print what is called, with the same growth; calls of globals that allocate memory;
    and calls that repeat large arguments so often that they outgrow the file.
    """
    stack: list[_Item | None] = []
    memo: dict[int, _Item] = {}
    copied = 0  # values that calls may copy
    for step, (opcode, argument, _) in enumerate(pickletools.genops(program)):
        name, before = opcode.name, opcode.stack_before
        require(step + copied < MOST_STEPS, "its pickle is too long")
        if name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            item = stack[-1]
            known = CALLED.fullmatch(item.origin)
            memo[len(memo) if argument is None else int(argument)] = item if known else item._replace(origin="")
        elif name == "MARK":
            stack.append(MARK)
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            operands = []
            if pickletools.markobject in before:
                while (item := stack.pop()) is not MARK:
                    operands.append(item)
                before = before[: before.index(pickletools.markobject)]
            operands += [stack.pop() for _ in before]
            result = _Item(name)
            if name == "GLOBAL":
                require(bool(CALLED.fullmatch(argument) or TYPES.fullmatch(argument)), REFUSED)
                result = _Item(argument)
            elif name in ("REDUCE", "NEWOBJ"):
                values, function = operands
                plain = values.origin == "EMPTY_TUPLE" if function.origin == ORDERED else values.size < math.inf
                called = name == "REDUCE" and CALLED.fullmatch(function.origin) and "TUPLE" in values.origin
                require(bool(plain and called), REFUSED)
                copied += values.size
                result = _Item(f"{function.origin}()")
            elif name == "BUILD":  # the attributes of a state_dict
                attributes, result = operands
                known = result.origin == f"{ORDERED}()" and attributes.origin == "EMPTY_DICT"
                require(known, REFUSED)
            elif name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS"):
                result = operands[-1]
            elif "LIST" in name or "DICT" in name or "SET" in name:
                result = _Item(name, math.inf)
            elif "TUPLE" in name:
                result = _Item(name, 1 + sum(item.size for item in operands))
                short = result.size <= LARGEST_TUPLE or result.size == math.inf
                require(short, "a tuple of far more values than a tensor has dimensions")
            stack += [result] * len(opcode.stack_after)
