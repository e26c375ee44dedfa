"""Read and write tensors and arrays as safetensors with a digest of their contents; reading cannot run code."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vc.errors import ConfigError, TrainingError, shorten
from vc.files import reading, replacing

if TYPE_CHECKING:
    import torch

NUMBER_TYPES = {"BOOL", "U8", "I8", "I16", "I32", "I64", "F16", "BF16", "F32", "F64"}  # by safetensors' names
LARGEST_TENSORS = 2 << 30  # bytes of a model, checkpoint, encoder or vocoder
LARGEST_HEADER = 8 << 20  # bytes of the JSON header, which takes thirty times as much memory when parsed


def write_tensors(path: Path, tensors: Mapping[str, "torch.Tensor"], content: Mapping[str, Any]) -> None:
    """Write tensors, and `content` as JSON, to a safetensors file with a digest, atomically.

    Raises
    ------
    TrainingError
        A tensor has values that are not finite, or the tensors are too large to be read again.
    """
    from safetensors.torch import save

    size = sum(tensor.nbytes for tensor in tensors.values())
    if size + LARGEST_HEADER > LARGEST_TENSORS:
        raise TrainingError(f"{path}: {size:,} bytes of tensors are too many to be read again; use a smaller network")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    bad = _first_not_finite(tensors)
    if bad:
        raise TrainingError(f"{path}: tensor {bad} holds values that are not finite; nothing was written")
    text = json.dumps(content)
    with replacing(path) as temporary:  # not save_file, which leaves temporary files behind when killed
        temporary.write_bytes(_sort_metadata(save(tensors, {"vc": text, "sha256": tensors_digest(tensors, text)})))


def _sort_metadata(data: bytes) -> bytes:
    """Sort the metadata, whose order varies in the library, so that equal runs write equal files."""
    start = 8 + int.from_bytes(data[:8], "little")  # layout: length of the header, header, tensors
    header = json.loads(data[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # keeps tensors aligned
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(data)[start:]))


class Damaged(ConfigError):
    """A file is damaged or was not written by this toolkit."""


@contextlib.contextmanager
def tensor_file(path: Path, framework: str = "pt", largest: int = LARGEST_TENSORS) -> Iterator["safe_open"]:  # noqa: F821
    """Open a safetensors file, after checking the sizes of file and header.

    Raises
    ------
    ConfigError
        The file cannot be opened or is too large.
    Damaged
        The file is damaged, or not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with reading(path, largest, pipes=False) as file:
            header = int.from_bytes(file.read(8), "little")
        if header > LARGEST_HEADER:
            raise SafetensorError(f"a header of {header} bytes; at most {LARGEST_HEADER} are allowed")
        with safe_open(path, framework=framework) as tensors:
            yield tensors
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise Damaged(f"{path}: damaged or not safetensors: {shorten(error)}") from error


def read_content(file: "safe_open", path: Path) -> tuple[dict[str, Any], str, str]:  # noqa: F821
    """The content of an open file of `write_tensors`, as a mapping and as JSON text, and the digest in the file."""
    metadata = file.metadata() or {}
    if "vc" not in metadata:
        raise Damaged(f"{path}: safetensors, but not made by this toolkit")
    content = json.loads(metadata["vc"])
    if not isinstance(content, dict):
        raise Damaged(f"{path}: damaged: its description is not a mapping")
    return content, metadata["vc"], metadata.get("sha256", "")


def read_tensors(path: Path, framework: str = "pt") -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    """Read a file of `write_tensors`.

    Parameters
    ----------
    path : Path
        The file.
    framework : str
        `pt` for tensors; `numpy` for arrays, without importing torch.

    Returns
    -------
    dict, dict
        Tensors by name, and the content.

    Raises
    ------
    ConfigError
        The file cannot be opened.
    Damaged
        The file is damaged, or was not written by `write_tensors`.
    """
    with tensor_file(path, framework) as file:
        content, text, digest = read_content(file, path)
        tensors = _all_tensors(file, path)
    if digest != tensors_digest(tensors, text):
        raise Damaged(f"{path}: damaged: its content does not match its digest")
    bad = _first_not_finite(tensors)
    if bad:
        raise Damaged(f"{path}: tensor {bad} holds values that are not finite")
    return tensors, content


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], origin: str) -> None:
    """Write arrays and the digest of the data they were computed from, atomically."""
    from safetensors.numpy import save

    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = {"made_of": origin, "sha256": _arrays_digest(arrays)}
    with replacing(path) as temporary:
        temporary.write_bytes(save(arrays, metadata))


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Read the arrays and the digest in a file of `write_arrays`; ConfigError if it is missing or damaged."""
    with tensor_file(path, "numpy") as file:
        metadata = file.metadata() or {}
        arrays = _all_tensors(file, path)
    if metadata.get("sha256") != _arrays_digest(arrays):
        raise Damaged(f"{path}: damaged: its content does not match its digest")
    return arrays, metadata.get("made_of", "")


def _all_tensors(file: "safe_open", path: Path) -> dict[str, Any]:  # noqa: F821
    """Tensors or arrays of an open file by name, depending on its framework."""
    for name in file.keys():  # noqa: SIM118 - not a mapping
        kind = file.get_slice(name).get_dtype()
        if kind not in NUMBER_TYPES:
            raise Damaged(f"{path}: tensor {name} is of type {kind}, which this toolkit does not read")
    try:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (AttributeError, TypeError) as error:
        raise Damaged(f"{path}: damaged: a number type that NumPy does not support") from error


def _arrays_digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def tensors_digest(tensors: Mapping[str, "torch.Tensor"], text: str = "") -> str:
    """SHA-256 of `text` and each tensor's name, type, shape and bytes, sorted by name; the same for NumPy arrays."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        if isinstance(tensor, np.ndarray):
            kind, data = f"torch.{tensor.dtype}", np.ascontiguousarray(tensor).tobytes()
        else:
            import torch

            kind, data = tensor.dtype, tensor.reshape(-1).view(torch.uint8).numpy().data
        digest.update(f"{name} {kind} {list(tensor.shape)}".encode())
        digest.update(data)
    return digest.hexdigest()


def _first_not_finite(tensors: Mapping[str, "torch.Tensor"]) -> str | None:
    """The name of the first tensor with values that are not finite, or None."""
    for name, tensor in tensors.items():
        if isinstance(tensor, np.ndarray):
            if np.issubdtype(tensor.dtype, np.floating) and not np.isfinite(tensor).all():
                return name
        elif tensor.is_floating_point():
            exact = tensor if tensor.element_size() > 1 else tensor.float()  # torch has no isfinite of eight bits
            if not exact.isfinite().all():
                return name
    return None
