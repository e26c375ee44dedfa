"""Tensors and arrays on disk as safetensors, with a digest of what they hold; nothing in a file can run code."""

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

LARGEST_TENSORS = 2 << 30  # bytes of a model, a checkpoint, an encoder, a vocoder
LARGEST_HEADER = 8 << 20  # bytes of safetensors' JSON, which takes thirty times as many when it is parsed


def write_tensors(path: Path, tensors: Mapping[str, "torch.Tensor"], content: Mapping[str, Any]) -> None:
    """Write tensors and the JSON text of `content` as safetensors with a digest, whole or not at all.

    A tensor of floats that is not finite is refused by name: such a file is never written.
    """
    from safetensors.torch import save

    size = sum(tensor.nbytes for tensor in tensors.values())
    if size + LARGEST_HEADER > LARGEST_TENSORS:
        raise TrainingError(f"{path}: {size:,} bytes of tensors, too many to be read again; take a smaller network")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    bad = _not_finite(tensors)
    if bad:
        raise TrainingError(f"{path}: tensor {bad} holds values that are not finite; nothing was written")
    text = json.dumps(content)
    with replacing(path) as temporary:  # not save_file, which leaves files of its own behind when it is killed
        temporary.write_bytes(_ordered(save(tensors, {"vc": text, "sha256": tensors_digest(tensors, text)})))


def _ordered(data: bytes) -> bytes:
    """Safetensors with sorted metadata: the library's order varies, and the same run shall make the same file."""
    start = 8 + int.from_bytes(data[:8], "little")  # the header's length, the header, the tensors
    header = json.loads(data[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors stay aligned
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(data)[start:]))


class Damaged(ConfigError):
    """A file that is not what was written."""


@contextlib.contextmanager
def tensor_file(path: Path, framework: str = "pt", largest: int = LARGEST_TENSORS) -> Iterator["safe_open"]:  # noqa: F821
    """Open safetensors, of which nothing is read before the sizes of file and header are found to be sane.

    Raises ConfigError, and of a damaged file Damaged, by name.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with reading(path, largest, pipes=False) as file:
            header = int.from_bytes(file.read(8), "little")
        if header > LARGEST_HEADER:
            raise SafetensorError(f"a header of {header} bytes; {LARGEST_HEADER} are the most")
        with safe_open(path, framework=framework) as tensors:
            yield tensors
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise Damaged(f"{path}: damaged or not safetensors: {shorten(error)}") from error


def read_content(file: "safe_open", path: Path) -> tuple[dict[str, Any], str, str]:  # noqa: F821
    """The content of an open file of `write_tensors`, as mapping and as JSON text, and the digest in the file."""
    metadata = file.metadata() or {}
    if "vc" not in metadata:
        raise Damaged(f"{path}: safetensors, but not made by this toolkit")
    content = json.loads(metadata["vc"])
    if not isinstance(content, dict):
        raise Damaged(f"{path}: damaged: its description is no mapping")
    return content, metadata["vc"], metadata.get("sha256", "")


def read_tensors(path: Path, framework: str = "pt") -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    """Tensors and content of a file of `write_tensors`; raises ConfigError, or Damaged, for another one, by name.

    With the framework `numpy` the tensors are arrays, and torch is not imported.
    """
    with tensor_file(path, framework) as file:
        content, text, digest = read_content(file, path)
        tensors = _all_tensors(file, path)
    if digest != tensors_digest(tensors, text):
        raise Damaged(f"{path}: damaged: its content does not match its digest")
    bad = _not_finite(tensors)
    if bad:
        raise Damaged(f"{path}: tensor {bad} holds values that are not finite")
    return tensors, content


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], origin: str) -> None:
    """Write arrays and the digest of what they were computed from, whole or not at all."""
    from safetensors.numpy import save

    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = {"made_of": origin, "sha256": _arrays_digest(arrays)}
    with replacing(path) as temporary:
        temporary.write_bytes(save(arrays, metadata))


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Arrays and digest of a file of `write_arrays`; raises ConfigError if it is not as it was written."""
    with tensor_file(path, "numpy") as file:
        metadata = file.metadata() or {}
        arrays = _all_tensors(file, path)
    if metadata.get("sha256") != _arrays_digest(arrays):
        raise Damaged(f"{path}: damaged: its content does not match its digest")
    return arrays, metadata.get("made_of", "")


def _all_tensors(file: "safe_open", path: Path) -> dict[str, Any]:  # noqa: F821
    """Tensors or arrays of an open file by name, as its framework has them."""
    try:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (AttributeError, TypeError) as error:
        raise Damaged(f"{path}: damaged: numbers of a type that NumPy does not have") from error


def _arrays_digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def tensors_digest(tensors: Mapping[str, "torch.Tensor"], text: str = "") -> str:
    """SHA-256 over the text, and each tensor's name, type, shape and bytes, by name; the same of tensors as arrays."""
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


def _not_finite(tensors: Mapping[str, "torch.Tensor"]) -> str | None:
    """The name of the first tensor that holds something else than finite numbers."""
    for name, tensor in tensors.items():
        if isinstance(tensor, np.ndarray):
            if np.issubdtype(tensor.dtype, np.floating) and not np.isfinite(tensor).all():
                return name
        elif tensor.is_floating_point():
            exact = tensor if tensor.element_size() > 1 else tensor.float()  # torch has no isfinite of eight bits
            if not exact.isfinite().all():
                return name
    return None
