"""Features on disk (Kaldi ark and scp) and tensors on disk (safetensors), each with the digest of what made them.

Nothing here can run code: Kaldi archives are read by a reader that knows float matrices and vectors alone (kaldiio's
would also follow pipes and unpickle), tensors by safetensors.
"""

import contextlib
import hashlib
import json
import logging
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import yaml

from vc.config import plain, read_yaml
from vc.errors import ConfigError, DataError, TrainingError, shortened
from vc.features.kinds import FeatureConfig, build_features
from vc.files import BLOCK, read_bytes, reading, replacing, write_text
from vc.lists import MOST_LINES
from vc.names import shown
from vc.normalise import Speaker, speakers_from_json, speakers_to_json

if TYPE_CHECKING:
    import torch

CONTENT = "content"  # the archive of content vectors
DIGESTS = "utt2digest"  # list of the recordings' digests, of features and of a run that learns from them
SIGNED = ("speakers.json", "utt2spk", DIGESTS)  # whose digests config.yaml has
log = logging.getLogger(__name__)
LARGEST_LIST = 64 << 20  # bytes of a list of utterances
LARGEST_ARCHIVE = 1 << 40  # bytes; of it no more is read than the utterances asked for
LARGEST_TENSORS = 2 << 30  # bytes of a model, a checkpoint, an encoder, a vocoder
LARGEST_HEADER = 8 << 20  # bytes of safetensors' JSON, which takes thirty times as many when it is parsed


@dataclass(frozen=True)
class Features:
    """A features directory: settings, statistics, and where each utterance's arrays lie."""

    directory: Path
    config: FeatureConfig
    digest: str  # of settings, recordings and F0 ranges
    speakers: dict[str, Speaker]
    utterances: dict[str, str]  # id -> speaker
    recordings: dict[str, str] = field(default_factory=dict)  # id -> digest of the samples; empty of older features
    signed: bool = True  # whether it says the digest of each array

    @property
    def speaker_names(self) -> dict[str, str]:
        """What people call the speakers, by id; empty where that is the id."""
        return {id: speaker.name for id, speaker in self.speakers.items()}

    def require(self, speaker: str) -> None:
        """Refuse a speaker of whom there is nothing."""
        if speaker not in self.speakers:
            known = ", ".join(map(shown, self.speaker_names, self.speaker_names.values()))
            raise ConfigError(f"{self.directory}: no speaker {speaker!r}; there are: {known}")

    def frames(self, speaker: str) -> list[np.ndarray]:
        """A speaker's `(frames, bands)` arrays, sorted by utterance id."""
        return list(self._arrays(speaker, self.config.archive))

    def f0(self, speaker: str) -> list[np.ndarray]:
        """A speaker's F0 `(frames,)` in Hz, 0 where unvoiced, in the same order."""
        return list(self._arrays(speaker, "f0"))

    def content(self, speaker: str) -> list[np.ndarray]:
        """A speaker's content `(content frames, dims)`, in the same order."""
        return list(self._arrays(speaker, CONTENT))

    def check(self) -> None:
        """Read every array, one at a time; refuse one that is missing or damaged."""
        for speaker in self.speakers:
            for name in self._shapes:
                for _ in self._arrays(speaker, name):
                    pass

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the arrays of each archive, beside the number of frames."""
        content = {CONTENT: (self.config.content.dims,)} if self.config.kind == CONTENT else {}
        return {self.config.archive: (self.config.bands,), "f0": ()} | content

    def _arrays(self, speaker: str, name: str) -> Iterator[np.ndarray]:
        """A speaker's, of an archive, of one frame at least."""
        self.require(speaker)
        ids = [id for id, owner in self.utterances.items() if owner == speaker]
        for id, array in zip(ids, archived(self.directory / f"{name}.scp", ids, self.signed), strict=True):
            shape = self._shapes[name]
            if array.shape[1:] != shape or len(array) == 0 or not np.isfinite(array).all():
                expected = ", ".join(map(str, ("frames", *shape)))
                raise DataError(f"{self.directory}/{name}.ark: {id}: expected finite ({expected})")
            yield array


def write_features(
    directory: Path,
    config: FeatureConfig,
    digest: str,
    speakers: Mapping[str, Speaker],
    utterances: Iterable[tuple[str, str, Mapping[str, np.ndarray | Iterable[np.ndarray]]]],
    recordings: Mapping[str, str] | None = None,
) -> None:
    """Write rows of id, speaker and arrays, as float32: `frames` `(frames, bands)`, `f0` `(frames,)` in Hz and, where
    the features have it, `content` `(content frames, dims)`.

    `recordings` has digests of their samples by id. config.yaml comes last, so that a cut write is seen as none.
    """
    rows = list(utterances)
    (directory / "config.yaml").unlink(missing_ok=True)
    names = {"frames": config.archive, "f0": "f0"} | ({CONTENT: CONTENT} if config.kind == "content" else {})
    for array, name in names.items():
        write_archive(directory / name, ((id, arrays[array]) for id, _, arrays in rows))
    write_text(directory / "utt2spk", "".join(f"{id} {speaker}\n" for id, speaker, _ in rows))
    write_digests(directory, recordings or {})
    write_text(directory / "speakers.json", json.dumps(speakers_to_json(dict(speakers)), indent=1) + "\n")
    signed = {name: _list_digest(directory / name) for name in SIGNED}
    content = {"features": plain(config), "digest": digest, "sha256": signed}
    write_text(directory / "config.yaml", yaml.safe_dump(content, sort_keys=False))


def read_features(directory: Path) -> Features:
    """Open a features directory; refuses one that is missing or not finished."""
    if not os.path.isfile(directory / "config.yaml"):
        raise DataError(f"{directory}: no features there (no config.yaml); make them with vc-extract")
    content = read_yaml(directory / "config.yaml")
    try:
        config = build_features(content.get("features"), "config.yaml: features")
        speakers = speakers_from_json(json.loads(read_bytes(directory / "speakers.json", LARGEST_LIST)))
        utterances, recordings = _pairs(directory / "utt2spk"), read_digests(directory)
        signed = content.get("sha256", {})
        for name in SIGNED if signed else ():
            if not isinstance(signed, dict) or signed.get(name) != _list_digest(directory / name):
                raise ValueError(f"{name} does not match its digest")
    except ConfigError as error:
        raise ConfigError(f"{directory}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{directory}: features are damaged, extract them again: {error}") from error
    if not signed:
        log.warning("%s: features without digests: damage would not be noticed; extract them again", directory)
    return Features(
        directory, config, str(content.get("digest")), speakers, utterances, recordings, signed=bool(signed)
    )


def _list_digest(path: Path) -> str | None:
    """None of a list that is not there: older features have none of the recordings' digests."""
    return hashlib.sha256(read_bytes(path, LARGEST_LIST)).hexdigest() if path.exists() else None


def _pairs(path: Path) -> dict[str, str]:
    """The first word of each line, and the rest."""
    content = read_bytes(path, LARGEST_LIST)
    if content.count(b"\n") > MOST_LINES:
        raise ValueError(f"{path}: more than {MOST_LINES} lines")
    return dict(line.split(" ", 1) for line in content.decode().splitlines())


def write_digests(directory: Path, recordings: Mapping[str, str]) -> None:
    """Digests of recordings by id, beside what was made of them."""
    write_text(directory / DIGESTS, "".join(f"{id} {digest}\n" for id, digest in sorted(recordings.items())))


def read_digests(directory: Path) -> dict[str, str]:
    """The same back; empty where there are none, as older versions wrote none."""
    path = directory / DIGESTS
    try:
        return _pairs(path) if path.exists() else {}
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: damaged: expected an id and a digest on each line") from error


def write_archive(stem: Path, arrays: Iterable[tuple[str, np.ndarray | Iterable[np.ndarray]]]) -> None:
    """Write `stem`.ark and `stem`.scp of float32 vectors and matrices as Kaldi does, and `stem`.sha256 of each.

    An array may come in parts, one after the other along its first axis, so that no more than one is held.
    """
    ark, scp, sums = (stem.parent / f"{stem.name}.{kind}" for kind in ("ark", "scp", "sha256"))
    lines, digests = [], []
    with replacing(ark) as temporary, temporary.open("w+b") as file:
        for id, array in arrays:
            file.write(f"{id} ".encode())
            lines.append(f"{id} {ark}:{file.tell()}\n")
            digests.append(f"{id} {_write_entry(file, id, [array] if isinstance(array, np.ndarray) else array)}\n")
    write_text(scp, "".join(lines))
    write_text(sums, "".join(digests))


def _write_entry(file: BinaryIO, id: str, parts: Iterable[np.ndarray]) -> str:
    """Write one array, whose size is known after its last part, and give its digest."""
    place, rows = file.tell(), 0
    for number, part in enumerate(parts):
        if number == 0:
            shape = part.shape[1:]
            file.write(_header(0, shape))
            begin = file.tell()
        file.write(part.astype("<f4").tobytes())
        rows += len(part)
    file.seek(place)
    file.write(_header(rows, shape))
    file.seek(begin)
    digest = _array_digest(id, (rows, *shape))
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _header(rows: int, shape: tuple[int, ...]) -> bytes:
    """Of a vector, or of a matrix of that many columns."""
    return (b"\0BFM " if shape else b"\0BFV ") + b"".join(struct.pack("<bi", 4, size) for size in (rows, *shape))


def _array_digest(id: str, shape: tuple[int, ...]) -> "hashlib._Hash":
    """SHA-256 of an utterance's id and its array's shape, to which the array's bytes are to be added."""
    return hashlib.sha256(f"{id} {shape}".encode())


def read_archive(scp: Path, ids: Iterable[str], signed: bool = True) -> list[np.ndarray]:
    """Arrays of `ids` by their scp; a moved directory is found again, for an ark lies beside its scp.

    If they are `signed`, each must match its digest.
    """
    return list(archived(scp, ids, signed))


def archived(scp: Path, ids: Iterable[str], signed: bool = True) -> Iterator[np.ndarray]:
    """The same one after the other, so that no more than one is held."""
    try:
        places, digests = _pairs(scp), _pairs(scp.with_suffix(".sha256")) if signed else {}
        for id in ids:
            array = _read_entry(scp, places[id])
            if signed:
                digest = _array_digest(id, array.shape)
                digest.update(array.tobytes())
                if digest.hexdigest() != digests[id]:
                    raise ValueError(f"{id} does not match its digest")
            yield array
    except KeyError as error:
        raise DataError(f"{scp}: no entry {error}") from error
    except (OSError, ValueError, struct.error) as error:
        raise DataError(f"{scp}: damaged, extract the features again: {error}") from error


def _read_entry(scp: Path, place: str) -> np.ndarray:
    name, _, offset = place.rpartition(":")
    path = scp.parent / Path(name).name
    with reading(path, LARGEST_ARCHIVE, pipes=False) as file:
        file.seek(int(offset))
        header = file.read(5)
        if header not in (b"\0BFM ", b"\0BFV "):
            raise ValueError(f"{path}: no float matrix or vector at {offset}")
        shape = [_dimension(file) for _ in range(2 if header == b"\0BFM " else 1)]
        count = int(np.prod(shape))
        data = file.read(4 * count) if count * 4 <= os.fstat(file.fileno()).st_size else b""
    if len(data) != 4 * count:
        raise ValueError(f"{path}: cut short")
    return np.frombuffer(data, "<f4").reshape(shape)


def _dimension(file) -> int:
    size, value = struct.unpack("<bi", file.read(5))
    if size != 4 or value < 0:
        raise ValueError(f"{file.name}: bad dimension")
    return value


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
    with replacing(path) as temporary:  # by ourselves: save_file leaves files of its own behind when it is killed
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
        raise Damaged(f"{path}: damaged or not safetensors: {shortened(error)}") from error


def read_content(file: "safe_open", path: Path) -> tuple[dict[str, Any], str, str]:  # noqa: F821
    """What an open file that `write_tensors` made says of itself, as mapping and text, and its digest."""
    metadata = file.metadata() or {}
    if "vc" not in metadata:
        raise Damaged(f"{path}: safetensors, but not made by this toolkit")
    content = json.loads(metadata["vc"])
    if not isinstance(content, dict):
        raise Damaged(f"{path}: damaged: it says nothing of itself")
    return content, metadata["vc"], metadata.get("sha256", "")


def read_tensors(path: Path, framework: str = "pt") -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    """Tensors and content of a file that `write_tensors` made; refuses a damaged or a foreign one by name.

    With the framework `numpy` they are arrays, and torch is not imported.
    """
    with tensor_file(path, framework) as file:
        content, text, digest = read_content(file, path)
        try:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        except (AttributeError, TypeError) as error:
            raise Damaged(f"{path}: numbers of a type that NumPy does not have") from error
    if digest != tensors_digest(tensors, text):
        raise Damaged(f"{path}: damaged: its content does not match its digest")
    bad = _not_finite(tensors)
    if bad:
        raise Damaged(f"{path}: tensor {bad} holds values that are not finite")
    return tensors, content


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], made_of: str) -> None:
    """Write arrays and the digest of what they were made of, whole or not at all."""
    from safetensors.numpy import save

    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = {"made_of": made_of, "sha256": _arrays_digest(arrays)}
    with replacing(path) as temporary:
        temporary.write_bytes(save(arrays, metadata))


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """What `write_arrays` wrote; raises ConfigError if it is not that any more."""
    with tensor_file(path, "numpy") as file:
        metadata = file.metadata() or {}
        try:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        except (AttributeError, TypeError) as error:
            raise Damaged(f"{path}: damaged: numbers of a type that NumPy does not have") from error
    if metadata.get("sha256") != _arrays_digest(arrays):
        raise Damaged(f"{path}: damaged: its content does not match its digest")
    return arrays, metadata.get("made_of", "")


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
    """The first tensor that holds something else than finite numbers."""
    for name, tensor in tensors.items():
        if isinstance(tensor, np.ndarray):
            if np.issubdtype(tensor.dtype, np.floating) and not np.isfinite(tensor).all():
                return name
        elif tensor.is_floating_point():
            exact = tensor if tensor.element_size() > 1 else tensor.float()  # torch cannot tell it of eight bits
            if not exact.isfinite().all():
                return name
    return None
