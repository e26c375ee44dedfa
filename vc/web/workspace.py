"""The folder that the page works in: what it contains, and how uploads get there.

recordings/SPEAKER/     recordings that vc-train learns from
sources/                recordings to convert
converted/MODEL--TO/    output of vc-convert
exp/NAME/               output of vc-train
tests/NAME/             output of vc-listen
jobs/                   jobs, and the output of their commands
"""

import contextlib
import math
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

from vc.corpus.audio import KNOWN_ENDINGS
from vc.corpus.condition import Condition
from vc.corpus.lists import IDENTIFIER
from vc.corpus.names import speaker_ids
from vc.errors import ConfigError, DataError
from vc.features.kinds import CONTENT_KINDS
from vc.features.speakers import speakers_from_json
from vc.files import path_inside
from vc.live.settings import DECODER_METHODS, LINEAR_METHODS
from vc.model_file import BUNDLED_MODELS, NAME
from vc.tensor_file import read_content, tensor_file
from vc.web import recordings

RECORDINGS, SOURCES, CONVERTED = "recordings", "sources", "converted"
EXPERIMENTS, TESTS, JOBS = "exp", "tests", "jobs"
FEATURES = "features"  # in EXPERIMENTS, but not an experiment
INCOMING = ".incoming"  # uploads that are incomplete or not yet examined, and temporary files
CONSENT = "consent.txt"
LINEAR, DECODER, WORLD_DECODER = "linear", "decoder", "decoder_world"  # how vc/live converts
LARGEST_ANSWERS = 1 << 20  # bytes
RESERVE = 1 << 29  # bytes of the disk that uploads leave free
LONGEST_NAME = 80  # characters of a file's name without its extension
MOST_FILES = 5000  # in one folder


class Missing(DataError):
    """Nothing of that name exists."""


class TooLarge(DataError):
    """An upload or request has more bytes than are accepted."""


@dataclass(frozen=True)
class Voice:
    """A speaker whom a model can convert to."""

    model: str  # name of an experiment or of a bundled model
    to: str  # id in the model
    name: str  # name for people
    source: str  # id of the source of a pair; empty if the model converts any speaker
    live: str  # how vc-live converts to it: LINEAR, DECODER or WORLD_DECODER; empty if it cannot

    @property
    def id(self) -> str:
        return f"{self.model}--{self.to}"


class Workspace:
    """The folder, created if missing.

    Parameters
    ----------
    root : Path

    Raises
    ------
    OSError
        The folder cannot be created, or one of its subfolders is a link that leads outside it.
    """

    def __init__(self, root: Path):
        self.root = root.absolute()
        self._naming = threading.Lock()  # held from the choice of a free name until a file has it
        for name in (RECORDINGS, SOURCES, CONVERTED, EXPERIMENTS, TESTS, JOBS, INCOMING):
            path_inside(self.root, name).mkdir(parents=True, exist_ok=True)

    def clean(self) -> None:
        """Remove the unfinished uploads of a server that was killed."""
        for path in self.folder(INCOMING).iterdir():
            path.unlink()

    def folder(self, *names: str) -> Path:
        """An existing folder by the names that lead to it, each of which `child` looks up; otherwise Missing."""
        path = self.root / names[0]
        for name in names[1:]:
            path = child(path, name)
        if not path.is_dir():
            raise Missing(f"{'/'.join(names)}: no such folder")
        return path

    def file(self, *names: str) -> Path:
        """An existing file, likewise."""
        path = child(self.folder(*names[:-1]), names[-1])
        if not path.is_file():
            raise Missing(f"{'/'.join(names)}: no such file")
        return path

    def output(self, *names: str) -> Path:
        """A path to write to, of trusted names; OSError if a link leads outside the folder."""
        return path_inside(self.root, "/".join(names))

    # Contents

    @property
    def has_consent(self) -> bool:
        return (self.root / CONSENT).is_file()

    def speakers(self) -> list[str]:
        """Sorted names of the speakers with a folder of recordings."""
        return _subfolders(self.root / RECORDINGS)

    def experiments(self) -> list[str]:
        """Names of experiments, the newest first; folders whose names are not identifiers are left out."""
        names = [name for name in _subfolders(self.root / EXPERIMENTS) if _is_identifier(name) and name != FEATURES]
        return sorted(names, key=lambda name: (self.root / EXPERIMENTS / name).stat().st_mtime, reverse=True)

    def tests(self) -> list[str]:
        """Sorted names of complete listening tests."""
        names = [name for name in _subfolders(self.root / TESTS) if _is_identifier(name)]
        return [name for name in names if (self.root / TESTS / name / "test.html").is_file()]

    def voices(self) -> tuple[list[Voice], dict[str, str]]:
        """Find all voices.

        Returns
        -------
        list of Voice
            Those of the experiments first, then the bundled ones.
        dict
            Why a model cannot be used, by experiment.
        """
        voices, faults = [], {}
        for name in self.experiments():
            path = self.root / EXPERIMENTS / name / NAME
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            except OSError as error:  # such as a link to itself
                faults[name] = f"{path}: {error.strerror}"
                continue
            speakers = _speakers(path, status.st_mtime_ns, status.st_size)
            if isinstance(speakers, str):
                faults[name] = speakers
            else:
                voices += [Voice(name, *speaker) for speaker in speakers]
        for name, path in BUNDLED_MODELS.items():
            if not isinstance(speakers := _speakers(path, 0, 0), str):
                voices += [Voice(name, *speaker) for speaker in speakers]
        return voices, faults

    def voice(self, id: str) -> Voice:
        """The voice of an id; otherwise Missing."""
        for voice in self.voices()[0]:
            if voice.id == id:
                return voice
        raise Missing(f"{id}: no such voice")

    def model(self, voice: Voice) -> str:
        """Value of `--model` for a voice; an experiment takes precedence over a bundled model of the same name."""
        bundled = voice.model in BUNDLED_MODELS and voice.model not in self.experiments()
        return voice.model if bundled else str(self.root / EXPERIMENTS / voice.model)

    def conversion(self, voice: Voice, source: str) -> Path:
        """Path of a recording's conversion, which need not exist."""
        return self.root / CONVERTED / voice.id / f"{Path(source).stem}.wav"

    def conversion_time(self, voice: Voice, source: str) -> int:
        """Time of a recording's conversion; 0 if it is missing, or older than the recording or the model."""
        time = modification_time(self.conversion(voice, source))
        changed = modification_time(self.root / SOURCES / source)
        trained = modification_time(self.root / EXPERIMENTS / voice.model / NAME)  # 0 for a bundled model
        return time if time >= max(changed, trained) else 0

    # Uploads

    async def receive(self, stream: AsyncIterator[bytes], declared_size: int | None, largest: int) -> Path:
        """Write an upload to a temporary file as it arrives.

        Parameters
        ----------
        stream : async iterator of bytes
            Content of the upload.
        declared_size : int, optional
            Its size in bytes according to the browser.
        largest : int
            Largest accepted size in bytes.

        Returns
        -------
        Path
            File in INCOMING, which the caller moves or removes.

        Raises
        ------
        TooLarge
            The upload is larger than `largest`, as declared or as received.
        DataError
            The disk has no room for it, or it was cut short.
        """
        if declared_size is not None and declared_size > largest:
            size = math.ceil(declared_size / 2**20)  # never rounded to the limit itself
            raise TooLarge(f"{size} MiB; at most {largest / 2**20:.0f} MiB are accepted")
        if shutil.disk_usage(self.root).free < (declared_size or 0) + RESERVE:
            raise DataError(f"{self.root}: not enough space on the disk; remove something, and try again")
        descriptor, name = tempfile.mkstemp(dir=self.root / INCOMING)
        path, size = Path(name), 0
        try:
            with os.fdopen(descriptor, "wb") as file:
                async for chunk in stream:
                    size += len(chunk)
                    if size > largest:
                        raise TooLarge(f"more than {largest / 2**20:.0f} MiB")
                    file.write(chunk)
            if declared_size is not None and size != declared_size:
                raise DataError(f"{size} of {declared_size} bytes arrived; try again")
        except BaseException:
            path.unlink()
            raise
        return path

    def add_recording(self, upload: Path, folder: Path, name: str) -> tuple[str, Condition]:
        """Move an uploaded recording into a folder if it can be decoded.

        Parameters
        ----------
        upload : Path
            The uploaded file.
        folder : Path
            SOURCES, or the folder of a speaker.
        name : str
            Name of the file on the browser's side, of which a free identifier is made.

        Returns
        -------
        str
            The recording's new name.
        Condition

        Raises
        ------
        DataError
            The extension is unknown, or `recordings.examine` refuses the recording; the message contains `name`.
        """
        suffix = Path(name).suffix.lower()
        if suffix not in recordings.EXTENSIONS:
            raise DataError(f"{name}: unknown file extension; {KNOWN_ENDINGS}")
        try:
            condition = recordings.examine(upload)
        except DataError as error:
            raise DataError(*(str(line).replace(str(upload), name) for line in error.args)) from error
        return self._move(upload, folder, Path(name).stem, suffix).name, condition

    def add_model(self, upload: Path, name: str) -> str:
        """Move an uploaded model into a new experiment, and return the experiment's name.

        Raises
        ------
        DataError
            The file is not a model that the page can use.
        """
        speakers = _speakers(upload, upload.stat().st_mtime_ns, upload.stat().st_size)
        if isinstance(speakers, str):
            raise DataError(speakers.replace(str(upload), name))
        with self._naming:
            experiment = _free_name(self.root / EXPERIMENTS, Path(name).stem, reserved=FEATURES)
            folder = path_inside(self.root / EXPERIMENTS, experiment)
            folder.mkdir()
            upload.rename(folder / NAME)
        return folder.name

    def add_answers(self, upload: Path, test: str) -> None:
        """Move a listener's answers into the folder of their test."""
        self._move(upload, self.folder(TESTS, test), "answers", ".json")

    def _move(self, upload: Path, folder: Path, stem: str, suffix: str) -> Path:
        destination = path_inside(self.root, str(folder.relative_to(self.root)))
        with self._naming:
            path = destination / f"{_free_name(destination, stem)}{suffix}"
            upload.chmod(0o644)  # temporary files are private
            upload.rename(path)
        return path

    def new_speaker(self, name: str) -> Path:
        """The folder of a speaker, created if missing; its name is an identifier made of the speaker's."""
        if name in self.speakers():
            return path_inside(self.root, f"{RECORDINGS}/{name}")
        if not name.strip() or len(name) > LONGEST_NAME:
            raise DataError(f"a speaker's name must have 1 to {LONGEST_NAME} characters")
        folder = path_inside(self.root, f"{RECORDINGS}/{identifier(name)}")
        folder.mkdir(exist_ok=True)
        return folder

    def remove(self, *names: str) -> None:
        """Remove a file, or a folder with its contents; of a link, only the link itself."""
        path = child(self.folder(*names[:-1]), names[-1])
        if path_inside(self.root, str(path.relative_to(self.root))).is_symlink():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def child(folder: Path, name: str) -> Path:
    """The entry of a folder with an untrusted name.

    The name is only compared with those of the entries, and so cannot lead elsewhere. Hidden entries do not count.

    Raises
    ------
    Missing
        There is no such entry.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        if any(entry.name == name and not name.startswith(".") for entry in entries):
            return folder / name
    raise Missing(f"{name}: nothing of that name")


def modification_time(path: Path) -> int:
    """Modification time of a file in milliseconds since the epoch; 0 if it does not exist."""
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0


def identifier(name: str) -> str:
    """An identifier, safe in paths, made of any name as in vc/corpus/names.py."""
    return speaker_ids([name[:LONGEST_NAME] or "recording"]).popitem()[1]


def _free_name(folder: Path, stem: str, reserved: str = "") -> str:
    """An identifier made of `stem` that no entry of a folder has, regardless of extension and case, nor `reserved`."""
    present = [path.name for path in folder.iterdir()]
    if len(present) >= MOST_FILES:
        raise DataError(f"{folder.name}: at most {MOST_FILES} files are accepted")
    names = {Path(name).stem.lower() for name in present} | {name.lower() for name in present} | {reserved}
    first = identifier(stem)
    numbered = (f"{first}-{number}" for number in range(2, MOST_FILES + 3))
    return next(name for name in chain([first], numbered) if name.lower() not in names)


def _subfolders(folder: Path) -> list[str]:
    names = (path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(name for name in names if recordings.is_text(name))


def _is_identifier(name: str) -> bool:
    return IDENTIFIER.fullmatch(name) is not None and len(name) <= 2 * LONGEST_NAME


@lru_cache(256)
def _speakers(path: Path, modified: int, size: int) -> list[tuple[str, str, str, str]] | str:
    """Fields of `Voice` other than `model`, for each speaker that a model converts to; or why it cannot be used."""
    try:
        with tensor_file(path, "numpy") as file:
            content = read_content(file, path)[0]
        if "speakers" not in content or "features" not in content:
            raise ConfigError(f"{path}: a vocoder or an encoder, not a model of a voice")
        names = {id: speaker.name or id for id, speaker in speakers_from_json(content["speakers"]).items()}
        features = content["features"]
        kind = features.get("kind", "world") if isinstance(features, dict) else None
        method = content.get("method")
        live = ""
        if method in LINEAR_METHODS and kind == "world":
            live = LINEAR
        elif method in DECODER_METHODS:
            live = WORLD_DECODER if kind == "content_world" else DECODER
    except ConfigError as error:
        return str(error)
    if kind in CONTENT_KINDS:
        return [(id, name, "", live) for id, name in names.items()]
    if len(names) != 2:
        return f"{path}: a model of {len(names)} speakers, of whom source and target must be given: use vc-convert"
    return [(id, name, next(other for other in names if other != id), live) for id, name in reversed(names.items())]
