"""Archives of torch's that others made: read as tensors alone, and no larger in memory than on disk."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vc.config import require
from vc.errors import ConfigError
from vc.files import reading

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 8 << 30  # bytes


def read(path: Path) -> dict[Any, Any]:
    """The mapping in a torch archive of either format; nothing in it is run.

    Numbers of the newer format stay in the file until they are looked at. Raises ConfigError, without the file's name.
    """
    import torch

    try:
        with reading(path, LARGEST, pipes=False) as file:
            zipped = zipfile.is_zipfile(file)
            if zipped:
                with zipfile.ZipFile(file) as archive:
                    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
                require(stored, "an archive with compressed parts, which torch does not write")
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
