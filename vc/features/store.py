"""Features on disk: Kaldi archives (ark and scp), statistics and settings, with a digest of their source.

Reading cannot run code: only float matrices and vectors are supported (kaldiio also follows pipes and unpickles).
"""

import hashlib
import json
import logging
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import yaml

from vc.config import plain, read_yaml
from vc.corpus.data_directory import Utterance
from vc.corpus.lists import LARGEST_LIST, MOST_LINES
from vc.corpus.names import there_are
from vc.errors import ConfigError, DataError
from vc.features.base import FeatureConfig
from vc.features.kinds import build_features
from vc.features.speakers import Speaker, speakers_from_json, speakers_to_json
from vc.files import BLOCK, read_bytes, reading, replacing, write_text

DIGESTS = "utt2digest"  # list of the recordings' digests, in features and in experiment directories
SIGNED = ("speakers.json", "utt2spk", DIGESTS)  # files whose digests are in config.yaml
log = logging.getLogger(__name__)
LARGEST_ARCHIVE = 1 << 40  # bytes; only the requested utterances are read


@dataclass(frozen=True)
class Features:
    """A features directory: settings and statistics; arrays are read on request."""

    directory: Path
    config: FeatureConfig
    digest: str  # of settings, recordings and F0 ranges
    speakers: dict[str, Speaker]
    utterances: dict[str, str]  # id -> speaker
    recordings: dict[str, str] = field(default_factory=dict)  # id -> digest of the samples; empty in old versions
    signed: bool = True  # whether it holds a digest of each array

    @property
    def speaker_names(self) -> dict[str, str]:
        """Speakers' names by id; empty if the same as the id."""
        return {id: speaker.name for id, speaker in self.speakers.items()}

    def require(self, speaker: str) -> None:
        """Raise ConfigError if there are no features of a speaker."""
        if speaker not in self.speakers:
            raise ConfigError(f"{self.directory}: no speaker {speaker!r}; {there_are(self.speaker_names, speaker)}")

    def sentences(self, speaker: str) -> list[str]:
        """Names of a speaker's utterances without the speaker's id, sorted by utterance id.

        Two speakers' utterances with the same name are assumed to be the same sentence.
        """
        return [Utterance(id, speaker, Path()).sentence for id in self._ids(speaker)]

    def _ids(self, speaker: str) -> list[str]:
        return [id for id, speaker_of_id in self.utterances.items() if speaker_of_id == speaker]

    def frames(self, speaker: str) -> list[np.ndarray]:
        """A speaker's `(frames, bands)` arrays, sorted by utterance id."""
        return list(self._arrays(speaker, "frames"))

    def f0(self, speaker: str) -> list[np.ndarray]:
        """A speaker's F0 `(frames,)` in Hz, 0 where unvoiced, in the same order."""
        return list(self._arrays(speaker, "f0"))

    def content(self, speaker: str) -> list[np.ndarray]:
        """A speaker's content `(content frames, dims)`, in the same order."""
        return list(self._arrays(speaker, "content"))

    def check(self) -> None:
        """Read every array, one at a time; raise DataError if one is missing or damaged."""
        for speaker in self.speakers:
            for name in self.config.archives:
                for _ in self._arrays(speaker, name):
                    pass

    def _arrays(self, speaker: str, name: str) -> Iterator[np.ndarray]:
        """A speaker's arrays of one name; each has at least one frame."""
        self.require(speaker)
        archive, shape = self.config.archives[name]
        ids = self._ids(speaker)
        arrays = read_archive(self.directory / f"{archive}.scp", ids, signed=self.signed)
        for id, array in zip(ids, arrays, strict=True):
            if array.shape[1:] != shape or len(array) == 0 or not np.isfinite(array).all():
                expected = ", ".join(map(str, ("frames", *shape)))
                raise DataError(f"{self.directory}/{archive}.ark: {id}: expected finite ({expected})")
            yield array


def write_features(
    directory: Path,
    config: FeatureConfig,
    digest: str,
    speakers: Mapping[str, Speaker],
    utterances: Iterable[tuple[str, str, Mapping[str, np.ndarray | Iterable[np.ndarray]]]],
    recordings: Mapping[str, str] | None = None,
) -> None:
    """Write a features directory; config.yaml comes last, so that incomplete features are not taken for complete.

    Parameters
    ----------
    directory : Path
        An existing folder.
    config : FeatureConfig
        Settings of the analysis.
    digest : str
        Digest of settings, recordings and F0 ranges.
    speakers : mapping of str to Speaker
        Statistics by speaker id.
    utterances : iterable of (str, str, mapping)
        Utterance id, speaker id, and the arrays of `config.archives` by name: `frames` `(frames, bands)`, `f0`
        `(frames,)` in Hz and, if the features have it, `content` `(content frames, dims)`; of any float type, whole or
        in parts along time. They are written as float32.
    recordings : mapping of str to str, optional
        Digests of the utterances' samples by id.
    """
    rows = list(utterances)
    (directory / "config.yaml").unlink(missing_ok=True)
    for name, (archive, _) in config.archives.items():
        write_archive(directory / archive, ((id, arrays[name]) for id, _, arrays in rows))
    write_text(directory / "utt2spk", "".join(f"{id} {speaker}\n" for id, speaker, _ in rows))
    write_digests(directory, recordings or {})
    write_text(directory / "speakers.json", json.dumps(speakers_to_json(dict(speakers)), indent=1) + "\n")
    signed = {name: _list_digest(directory / name) for name in SIGNED}
    content = {"features": plain(config), "digest": digest, "sha256": signed}
    write_text(directory / "config.yaml", yaml.safe_dump(content, sort_keys=False))


def read_features(directory: Path) -> Features:
    """Open a features directory; its arrays are read on request.

    Raises
    ------
    DataError
        It is missing, incomplete or damaged.
    ConfigError
        Its settings or statistics are not valid in this version.
    """
    if not os.path.isfile(directory / "config.yaml"):
        raise DataError(f"{directory}: not a features directory (no config.yaml); vc-extract makes one")
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
        log.warning("%s: features without digests: damage would go unnoticed; extract them again", directory)
    return Features(
        directory, config, str(content.get("digest")), speakers, utterances, recordings, signed=bool(signed)
    )


def _list_digest(path: Path) -> str | None:
    """SHA-256 of a list, or None if it does not exist: features of old versions lack digests of recordings."""
    return hashlib.sha256(read_bytes(path, LARGEST_LIST)).hexdigest() if path.exists() else None


def _pairs(path: Path) -> dict[str, str]:
    """First word of each line -> rest of the line."""
    content = read_bytes(path, LARGEST_LIST)
    if content.count(b"\n") > MOST_LINES:
        raise ValueError(f"{path}: more than {MOST_LINES} lines")
    lines = content.decode("utf-8", "surrogateescape").split("\n")  # as `write_text` wrote them
    return dict(line.split(" ", 1) for line in (lines if lines[-1] else lines[:-1]))


def write_digests(directory: Path, recordings: Mapping[str, str]) -> None:
    """Write the digests of recordings, by utterance id, to a directory of features or an experiment."""
    write_text(directory / DIGESTS, "".join(f"{id} {digest}\n" for id, digest in sorted(recordings.items())))


def read_digests(directory: Path) -> dict[str, str]:
    """Read the digests of recordings by utterance id; empty in directories of old versions.

    Raises
    ------
    DataError
        The list is damaged or cannot be read.
    """
    path = directory / DIGESTS
    try:
        return _pairs(path) if path.exists() else {}
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: damaged: expected an id and a digest on each line") from error


def write_archive(stem: Path, arrays: Iterable[tuple[str, np.ndarray | Iterable[np.ndarray]]]) -> None:
    """Write float32 vectors and matrices to `stem`.ark and `stem`.scp as Kaldi does, and digests to `stem`.sha256.

    An array may come in parts along its first axis, of which only one is held in memory.
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
    """Write one array, whose size is only known after its last part; return its digest."""
    start, rows = file.tell(), 0
    for number, part in enumerate(parts):
        if number == 0:
            shape = part.shape[1:]
            file.write(_header(0, shape))
            begin = file.tell()
        file.write(part.astype("<f4").tobytes())
        rows += len(part)
    file.seek(start)
    file.write(_header(rows, shape))
    file.seek(begin)
    digest = _array_digest(id, (rows, *shape))
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _header(rows: int, shape: tuple[int, ...]) -> bytes:
    """Kaldi's header of a float vector, or of a matrix if `shape` is `(columns,)`."""
    return (b"\0BFM " if shape else b"\0BFV ") + b"".join(struct.pack("<bi", 4, size) for size in (rows, *shape))


def _array_digest(id: str, shape: tuple[int, ...]) -> "hashlib._Hash":
    """SHA-256 of an utterance's id and its array's shape, to be updated with the array's bytes."""
    return hashlib.sha256(f"{id} {shape}".encode())


def read_archive(scp: Path, ids: Iterable[str], *, signed: bool = True) -> Iterator[np.ndarray]:
    """Read arrays one at a time.

    Parameters
    ----------
    scp : Path
        The archive's list; the ark is expected in the same folder, even if that has been moved.
    ids : iterable of str
        Utterance ids.
    signed : bool
        Whether to check each array against its digest.

    Yields
    ------
    np.ndarray
        Float32, shape `(rows, columns)` or `(rows,)`.

    Raises
    ------
    DataError
        An id is not in the list, or a file is missing or damaged.
    """
    try:
        locations, digests = _pairs(scp), _pairs(scp.with_suffix(".sha256")) if signed else {}
        for id in ids:
            array = _read_entry(scp, locations[id])
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


def _read_entry(scp: Path, location: str) -> np.ndarray:
    name, _, offset = location.rpartition(":")
    path = scp.parent / Path(name).name
    with reading(path, LARGEST_ARCHIVE, pipes=False) as file:
        file.seek(int(offset))
        header = file.read(5)
        if header not in (b"\0BFM ", b"\0BFV "):
            raise ValueError(f"{path}: no float matrix or vector at {offset}")
        shape = []
        for _ in range(2 if header == b"\0BFM " else 1):
            width, size = struct.unpack("<bi", file.read(5))
            if width != 4 or size < 0:
                raise ValueError(f"{path}: bad dimension")
            shape.append(size)
        count = int(np.prod(shape))
        data = file.read(4 * count) if count * 4 <= os.fstat(file.fileno()).st_size else b""
    if len(data) != 4 * count:
        raise ValueError(f"{path}: truncated")
    return np.frombuffer(data, "<f4").reshape(shape)
