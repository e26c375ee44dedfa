"""Read untrusted torch archives: only tensors, and never more memory than their size on disk."""

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vc.config import require
from vc.errors import ConfigError
from vc.files import reading

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_ARCHIVE = 8 << 30  # bytes
LARGEST_TUPLE = 10_000  # values of a tuple, including those of nested tuples
MOST_STEPS = 2_000_000  # opcodes of an archive's pickle; a model of a thousand tensors has about 50,000
LEGACY_PARTS = 5  # pickles at the start of an archive in the old format
MARK = None  # a mark on the pickle's stack


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
            zipped = zipfile.is_zipfile(file)
            file.seek(0)
            for program in _pickles(file) if zipped else [file] * LEGACY_PARTS:
                _refuse_nested_tuples(program)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except (ConfigError, PermissionError):
        raise
    except Exception as error:  # damage may raise anything; torch's own message recommends running the file's code
        raise ConfigError("not a checkpoint, damaged, or one that holds more than tensors") from error
    require(isinstance(content, dict), "no tensors found")
    return content


def refuse_growth(tensors: dict[str, "Tensor"], path: Path) -> None:
    """Raise ConfigError for tensors larger than their file, which are possible as (expanded) views of each other."""
    claimed, size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()), path.stat().st_size
    require(claimed <= size, f"its tensors have {claimed:,} bytes, the file only {size:,}")


def _pickles(file: BinaryIO) -> Iterator[BinaryIO]:
    """The pickles in an archive of the zip format."""
    with zipfile.ZipFile(file) as archive:
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        require(stored, "an archive with compressed parts, which torch does not write")
        for entry in archive.infolist():
            if entry.filename.endswith(".pkl"):
                with archive.open(entry) as program:
                    yield program


def _refuse_nested_tuples(program: BinaryIO) -> None:
    """Scan a pickle, without running it, and refuse tuples that contain others repeatedly.

    Hashing such a tuple, as torch's own reader does, takes time exponential in the depth of nesting.
    """
    stack: list[int | None] = []  # expanded size of each item; only tuples are hashed and can be large
    memo: dict[int, int] = {}
    for step, (operation, argument, _) in enumerate(pickletools.genops(program)):
        name, before = operation.name, operation.stack_before
        require(step < MOST_STEPS, "its pickle is too long")
        if name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else int(argument)] = stack[-1]
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
            size = 1 + sum(operands) if "TUPLE" in name or name in ("REDUCE", "NEWOBJ") else 1
            require(size <= LARGEST_TUPLE, "a tuple of far more values than a tensor has dimensions")
            stack += [size] * len(operation.stack_after)
