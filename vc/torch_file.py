"""torch archives from elsewhere: read as tensors alone, and no larger in memory than on disk."""

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

LARGEST = 8 << 30  # bytes
LARGEST_TUPLE = 10_000  # values of one, with all that it names again
MOST_STEPS = 2_000_000  # of the program that names an archive's tensors; a model of a thousand has some 50,000
LEGACY_PARTS = 5  # pickles at the head of an archive of the older format
MARK = None  # on the stack


def read(path: Path) -> dict[Any, Any]:
    """The mapping in a torch archive of either format; nothing in it is run.

    Numbers of the newer format stay in the file until they are looked at. Raises ConfigError, without the file's name.
    """
    import torch

    try:
        with reading(path, LARGEST, pipes=False) as file:
            zipped = zipfile.is_zipfile(file)
            file.seek(0)
            for program in _programs(file) if zipped else [file] * LEGACY_PARTS:
                _refuse_growth(program)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except (ConfigError, PermissionError):
        raise
    except Exception as error:  # damage has any effect; torch's own text recommends to run what is in the file
        raise ConfigError("not a checkpoint, damaged, or one that holds more than tensors") from error
    require(isinstance(content, dict), "no tensors in it")
    return content


def refuse_growth(tensors: dict[str, "Tensor"], path: Path) -> None:
    """Refuse tensors that are larger than their file: they may be views of one another, and of one number."""
    claimed, size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()), path.stat().st_size
    require(claimed <= size, f"its tensors are of {claimed:,} bytes, the file of {size:,}")


def _programs(file: BinaryIO) -> Iterator[BinaryIO]:
    """Those of an archive of the newer format."""
    with zipfile.ZipFile(file) as archive:
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        require(stored, "an archive with compressed parts, which torch does not write")
        for entry in archive.infolist():
            if entry.filename.endswith(".pkl"):
                with archive.open(entry) as program:
                    yield program


def _refuse_growth(program: BinaryIO) -> None:
    """Refuse a pickle, which is looked at and not run, with a tuple that holds itself or others over and over.

    To look a tuple up in a dictionary takes a time that doubles with each such level, torch's own reader included.
    """
    stack: list[int | None] = []  # how many values each item stands for; only tuples can be large and looked up
    memo: dict[int, int] = {}
    for step, (operation, argument, _) in enumerate(pickletools.genops(program)):
        name, before = operation.name, operation.stack_before
        require(step < MOST_STEPS, "its names are a program without end")
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
