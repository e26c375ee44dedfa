"""Features on disk (Kaldi ark and scp) and tensors on disk (safetensors), each with the digest of what made them.

Nothing here can run code: Kaldi archives are read by a reader that knows float matrices and vectors alone (kaldiio's
would also follow pipes and unpickle), tensors by safetensors.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import yaml

from vc.config import plain, read_yaml
from vc.errors import ConfigError, DataError, TrainingError
from vc.features.kinds import FeatureConfig, build_features
from vc.files import replacing, write_text
from vc.names import shown
from vc.normalise import Speaker, speakers_from_json, speakers_to_json

if TYPE_CHECKING:
    import torch

CONTENT = "content"  # the archive of content vectors
DIGESTS = "utt2digest"  # list of the recordings' digests, of features and of a run that learns from them


@dataclass(frozen=True)
class Features:
    """A features directory: settings, statistics, and where each utterance's arrays lie."""

    directory: Path
    config: FeatureConfig
    digest: str  # of settings, recordings and F0 ranges
    speakers: dict[str, Speaker]
    utterances: dict[str, str]  # id -> speaker
    recordings: dict[str, str] = field(default_factory=dict)  # id -> digest of the samples; empty of older features

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
        return self._arrays(speaker, self.config.archive, (self.config.bands,))

    def f0(self, speaker: str) -> list[np.ndarray]:
        """A speaker's F0 `(frames,)` in Hz, 0 where unvoiced, in the same order."""
        return self._arrays(speaker, "f0", ())

    def content(self, speaker: str) -> list[np.ndarray]:
        """A speaker's content `(content frames, dims)`, in the same order."""
        return self._arrays(speaker, CONTENT, (self.config.content.dims,))

    def _arrays(self, speaker: str, name: str, shape: tuple[int, ...]) -> list[np.ndarray]:
        """Of an archive, each of `(frames, *shape)`, one frame at least."""
        self.require(speaker)
        ids = [id for id, owner in self.utterances.items() if owner == speaker]
        arrays = read_archive(self.directory / f"{name}.scp", ids)
        for id, frames in zip(ids, arrays):
            if frames.shape[1:] != shape or len(frames) == 0 or not np.isfinite(frames).all():
                expected = ", ".join(map(str, ("frames", *shape)))
                raise DataError(f"{self.directory}/{name}.ark: {id}: expected finite ({expected})")
        return arrays


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
    content = {"features": plain(config), "digest": digest}
    write_text(directory / "config.yaml", yaml.safe_dump(content, sort_keys=False))


def read_features(directory: Path) -> Features:
    """Open a features directory; refuses one that is missing or not finished."""
    if not os.path.isfile(directory / "config.yaml"):
        raise DataError(f"{directory}: no features there (no config.yaml); make them with vc-extract")
    content = read_yaml(directory / "config.yaml")
    try:
        config = build_features(content.get("features"), "config.yaml: features")
        speakers = speakers_from_json(json.loads((directory / "speakers.json").read_text()))
        lines = (directory / "utt2spk").read_text().splitlines()
        utterances = dict(line.split(" ", 1) for line in lines)
        recordings = read_digests(directory)
    except ConfigError as error:
        raise ConfigError(f"{directory}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{directory}: features are damaged, extract them again: {error}") from error
    return Features(directory, config, str(content.get("digest")), speakers, utterances, recordings)


def write_digests(directory: Path, recordings: Mapping[str, str]) -> None:
    """Digests of recordings by id, beside what was made of them."""
    write_text(directory / DIGESTS, "".join(f"{id} {digest}\n" for id, digest in sorted(recordings.items())))


def read_digests(directory: Path) -> dict[str, str]:
    """The same back; empty where there are none, as older versions wrote none."""
    path = directory / DIGESTS
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    return dict(line.partition(" ")[::2] for line in lines)


def write_archive(stem: Path, arrays: Iterable[tuple[str, np.ndarray | Iterable[np.ndarray]]]) -> None:
    """Write `stem`.ark and `stem`.scp of float32 vectors and matrices as Kaldi does.

    An array may come in parts, one after the other along its first axis, so that no more than one is held.
    """
    ark, scp = (stem.parent / f"{stem.name}.{kind}" for kind in ("ark", "scp"))
    lines = []
    with replacing(ark) as temporary, temporary.open("wb") as file:
        for id, array in arrays:
            file.write(f"{id} ".encode())
            lines.append(f"{id} {ark}:{file.tell()}\n")
            _write_entry(file, [array] if isinstance(array, np.ndarray) else array)
    write_text(scp, "".join(lines))


def _write_entry(file: BinaryIO, parts: Iterable[np.ndarray]) -> None:
    place, rows = file.tell(), 0
    for part in parts:
        shape = part.shape[1:]
        if not rows:
            file.write(_header(0, shape))
        file.write(part.astype("<f4").tobytes())
        rows += len(part)
    end = file.seek(0, os.SEEK_END)
    file.seek(place)
    file.write(_header(rows, shape))
    file.seek(end)


def _header(rows: int, shape: tuple[int, ...]) -> bytes:
    """Of a vector, or of a matrix of that many columns."""
    return (b"\0BFM " if shape else b"\0BFV ") + b"".join(struct.pack("<bi", 4, size) for size in (rows, *shape))


def read_archive(scp: Path, ids: Iterable[str]) -> list[np.ndarray]:
    """Arrays of `ids` by their scp; a moved directory is found again, for an ark lies beside its scp."""
    try:
        places = dict(line.split(" ", 1) for line in scp.read_text().splitlines())
        return [_read_entry(scp, places[id]) for id in ids]
    except KeyError as error:
        raise DataError(f"{scp}: no entry {error}") from error
    except (OSError, ValueError, struct.error) as error:
        raise DataError(f"{scp}: damaged, extract the features again: {error}") from error


def _read_entry(scp: Path, place: str) -> np.ndarray:
    name, _, offset = place.rpartition(":")
    path = scp.parent / Path(name).name
    with path.open("rb") as file:
        file.seek(int(offset))
        header = file.read(5)
        if header not in (b"\0BFM ", b"\0BFV "):
            raise ValueError(f"{path}: no float matrix or vector at {offset}")
        shape = [_dimension(file) for _ in range(2 if header == b"\0BFM " else 1)]
        count = int(np.prod(shape))
        data = file.read(4 * count) if count * 4 <= path.stat().st_size else b""
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


def read_tensors(path: Path) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    """Tensors and content of a file that `write_tensors` made; refuses a damaged or a foreign one by name."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        content = json.loads(metadata["vc"])
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: damaged or not safetensors: {error}") from error
    except KeyError as error:
        raise ConfigError(f"{path}: safetensors, but not made by this toolkit") from error
    if not isinstance(content, dict) or metadata.get("sha256") != tensors_digest(tensors, metadata["vc"]):
        raise ConfigError(f"{path}: damaged: its content does not match its digest")
    bad = _not_finite(tensors)
    if bad:
        raise ConfigError(f"{path}: tensor {bad} holds values that are not finite")
    return tensors, content


def tensors_digest(tensors: Mapping[str, "torch.Tensor"], text: str = "") -> str:
    """SHA-256 over the text, and each tensor's name, type, shape and bytes, by name."""
    import torch

    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _not_finite(tensors: Mapping[str, "torch.Tensor"]) -> str | None:
    """The first tensor that holds something else than finite numbers."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            exact = tensor if tensor.element_size() > 1 else tensor.float()  # torch cannot tell it of eight bits
            if not exact.isfinite().all():
                return name
    return None
