"""The folder that the page works in: what lies where, and how what a browser sends gets there.

recordings/SPEAKER/     what vc-train learns from
sources/                recordings to convert
converted/MODEL--TO/    what vc-convert made of them
exp/NAME/               what vc-train made
tests/NAME/             what vc-listen made
jobs/                   what was asked for, and what the commands said
"""

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np

from vc.convert.level import speech_level
from vc.corpus import audio
from vc.corpus.condition import Condition, measure
from vc.corpus.formats import FFMPEG_SUFFIXES, SUFFIXES
from vc.corpus.limiter import to_full_scale
from vc.corpus.lists import IDENTIFIER
from vc.corpus.names import speaker_ids
from vc.errors import ConfigError, DataError
from vc.features.speakers import speakers_from_json
from vc.files import path_inside
from vc.live.linear import METHODS as LIVE_METHODS
from vc.model_file import CARRIED, NAME
from vc.tensor_file import read_content, tensor_file

RECORDINGS, SOURCES, CONVERTED = "recordings", "sources", "converted"
EXPERIMENTS, TESTS, JOBS = "exp", "tests", "jobs"
FEATURES = "features"  # beside experiments, and none
INCOMING = ".incoming"  # what is not there as a whole, or has not been looked at
CONSENT = "consent.txt"
LARGEST_RECORDING = 1 << 30  # bytes
LARGEST_ANSWERS = 1 << 20  # bytes
SPARE = 1 << 29  # bytes of the disk that stay free
LONGEST_RECORDING = 4 * 3600.0  # seconds
SHORTEST_RECORDING = 0.3  # seconds
MOST_CHANNELS = 8
LONGEST_NAME = 80  # signs of a file's name, its ending apart
MOST_FILES = 5000  # in one folder
LONGEST_PLAYBACK = 300.0  # seconds of a recording that the page plays
HIGHEST_PLAYBACK_RATE = 48000  # Hz


class Missing(DataError):
    """Nothing of that name."""


class TooLarge(DataError):
    """More bytes than are taken."""


@dataclass(frozen=True)
class Voice:
    """Whom a model can speak as."""

    model: str  # an experiment's name, or that of a carried model
    to: str
    name: str  # what people call the speaker
    source: str  # of a pair; empty: whoever speaks
    live: bool  # whether vc-live can convert to it

    @property
    def id(self) -> str:
        return f"{self.model}--{self.to}"


class Workspace:
    """The folder, made if missing."""

    def __init__(self, root: Path):
        self.root = root.absolute()
        self._naming = threading.Lock()  # between the choice of a name and the file of that name
        for name in (RECORDINGS, SOURCES, CONVERTED, EXPERIMENTS, TESTS, JOBS, INCOMING):
            path_inside(self.root, name).mkdir(parents=True, exist_ok=True)

    def clean(self) -> None:
        """Remove what a server that was killed had not taken to its end."""
        for path in self.folder(INCOMING).iterdir():
            path.unlink()

    def folder(self, *names: str) -> Path:
        """A folder that is there, by the names that lead to it; names are compared with what lies there."""
        path = self.root / names[0]
        for name in names[1:]:
            path = child(path, name)
        if not path.is_dir():
            raise Missing(f"{'/'.join(names)}: no such folder")
        return path

    def file(self, *names: str) -> Path:
        """A file that is there, likewise."""
        path = child(self.folder(*names[:-1]), names[-1])
        if not path.is_file():
            raise Missing(f"{'/'.join(names)}: no such file")
        return path

    def output(self, *names: str) -> Path:
        """A place to write at, by identifiers; a link that leads out of the folder is refused."""
        return path_inside(self.root, "/".join(names))

    # What lies there

    @property
    def has_consent(self) -> bool:
        return (self.root / CONSENT).is_file()

    def speakers(self) -> list[str]:
        return _folders(self.root / RECORDINGS)

    def experiments(self) -> list[str]:
        """Those with identifiers for names, the newest first."""
        names = [name for name in _folders(self.root / EXPERIMENTS) if _is_name(name) and name != FEATURES]
        return sorted(names, key=lambda name: (self.root / EXPERIMENTS / name).stat().st_mtime, reverse=True)

    def tests(self) -> list[str]:
        names = [name for name in _folders(self.root / TESTS) if _is_name(name)]
        return [name for name in names if (self.root / TESTS / name / "test.html").is_file()]

    def voices(self) -> tuple[list[Voice], dict[str, str]]:
        """Whom the models can speak as, one's own first, and by experiment why a model cannot be used."""
        voices, faults = [], {}
        for name in self.experiments():
            path = self.root / EXPERIMENTS / name / NAME
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                speakers = _speakers(path, status.st_mtime_ns, status.st_size)
                if isinstance(speakers, str):
                    faults[name] = speakers
                else:
                    voices += [Voice(name, *each) for each in speakers]
        for name, path in CARRIED.items():
            if not isinstance(speakers := _speakers(path, 0, 0), str):
                voices += [Voice(name, *each) for each in speakers]
        return voices, faults

    def voice(self, id: str) -> Voice:
        for voice in self.voices()[0]:
            if voice.id == id:
                return voice
        raise Missing(f"{id}: no such voice")

    def model(self, voice: Voice) -> str:
        """What `--model` takes for a voice."""
        carried = voice.model in CARRIED and voice.model not in self.experiments()
        return voice.model if carried else str(self.root / EXPERIMENTS / voice.model)

    def conversion(self, voice: Voice, source: str) -> Path:
        """Where a recording's conversion lies, or will."""
        return self.root / CONVERTED / voice.id / f"{Path(source).stem}.wav"

    # What comes in

    async def receive(self, stream: AsyncIterator[bytes], declared_size: int | None, largest: int) -> Path:
        """Write what a browser sends to disk as it comes; refuse more bytes than `largest` or the disk has."""
        if declared_size is not None and declared_size > largest:
            raise TooLarge(f"{declared_size} bytes; {largest} are the most")
        if shutil.disk_usage(self.root).free < (declared_size or 0) + SPARE:
            raise DataError(f"{self.root}: not enough room on the disk")
        descriptor, name = tempfile.mkstemp(dir=self.root / INCOMING)
        path, size = Path(name), 0
        try:
            with os.fdopen(descriptor, "wb") as file:
                async for chunk in stream:
                    size += len(chunk)
                    if size > largest:
                        raise TooLarge(f"more than {largest} bytes")
                    file.write(chunk)
            if declared_size is not None and size != declared_size:
                raise DataError(f"{size} of {declared_size} bytes came")
        except BaseException:
            path.unlink()
            raise
        return path

    def add_recording(self, upload: Path, folder: Path, name: str) -> tuple[str, Condition]:
        """Keep a recording that can be decoded, under a name made of the one that it had; its name and condition."""
        suffix = Path(name).suffix.lower()
        if suffix not in SUFFIXES | FFMPEG_SUFFIXES:
            raise DataError(f"{name}: not a kind of recording that is known by its ending; {audio.KNOWN_ENDINGS}")
        try:
            condition = examine(upload)
        except DataError as error:
            raise DataError(*(str(line).replace(str(upload), name) for line in error.args)) from error
        return self._keep(upload, folder, Path(name).stem, suffix).name, condition

    def add_model(self, upload: Path, name: str) -> str:
        """Keep a model in a new experiment's folder, if it says whom it can speak as."""
        speakers = _speakers(upload, upload.stat().st_mtime_ns, upload.stat().st_size)
        if isinstance(speakers, str):
            raise DataError(speakers.replace(str(upload), name))
        with self._naming:
            folder = path_inside(self.root / EXPERIMENTS, _free_name(self.root / EXPERIMENTS, Path(name).stem))
            folder.mkdir()
            upload.rename(folder / NAME)
        return folder.name

    def add_answers(self, upload: Path, test: str) -> None:
        """Keep a listener's answers beside their test."""
        self._keep(upload, self.folder(TESTS, test), "answers", ".json")

    def _keep(self, upload: Path, folder: Path, stem: str, suffix: str) -> Path:
        place = path_inside(self.root, str(folder.relative_to(self.root)))
        with self._naming:
            path = place / f"{_free_name(place, stem)}{suffix}"
            upload.chmod(0o644)
            upload.rename(path)
        return path

    def new_speaker(self, name: str) -> Path:
        """The folder of a speaker, made if missing, under an identifier made of the name."""
        if name in self.speakers():
            return path_inside(self.root, f"{RECORDINGS}/{name}")
        if not name.strip() or len(name) > LONGEST_NAME:
            raise DataError(f"a speaker's name has 1 to {LONGEST_NAME} signs")
        folder = path_inside(self.root, f"{RECORDINGS}/{identifier(name)}")
        folder.mkdir(exist_ok=True)
        return folder

    def remove(self, *names: str) -> None:
        """Remove one file, or the folder of one experiment, test, speaker or voice with all that is in it."""
        path = child(self.folder(*names[:-1]), names[-1])
        if path_inside(self.root, str(path.relative_to(self.root))).is_symlink():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def child(folder: Path, name: str) -> Path:
    """What lies in a folder under a name, which is compared and never made a path of; hidden things are not there."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        if any(entry.name == name and not name.startswith(".") for entry in entries):
            return folder / name
    raise Missing(f"{name}: nothing of that name")


def recordings_in(folder: Path) -> list[str]:
    """Names of recordings in a folder, which can be sent to a browser."""
    names = (path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES | FFMPEG_SUFFIXES)
    return sorted(name for name in names if not name.startswith(".") and _is_text(name))


def seconds(path: Path) -> float | None:
    """What a recording's header says of its length; None of one that cannot be read."""
    try:
        status = path.stat()
        return _seconds(path, status.st_mtime_ns, status.st_size)
    except (OSError, DataError):
        return None


def condition(path: Path) -> Condition | None:
    """In what condition a recording is; None of one that cannot be read."""
    try:
        status = path.stat()
        return _condition(path, status.st_mtime_ns, status.st_size)
    except (OSError, DataError):
        return None


def examine(path: Path) -> Condition:
    """The same of a stranger's recording, which is refused if it is too long, too short or silent."""
    about = audio.info(path)
    if about.channels > MOST_CHANNELS:
        raise DataError(f"{path}: {about.channels} channels; {MOST_CHANNELS} are the most")
    if about.seconds > LONGEST_RECORDING:
        raise DataError(f"{path}: {about.seconds / 3600:.1f} hours; {LONGEST_RECORDING / 3600:.0f} are the most here")
    condition = measure(_bounded_blocks(audio.blocks(path), about.sample_rate, path), about.sample_rate)
    if condition.seconds < SHORTEST_RECORDING:
        raise DataError(f"{path}: {condition.seconds:.2f} s, shorter than {SHORTEST_RECORDING} s")
    if condition.silent:
        raise DataError(f"{path}: nothing but silence")
    return condition


def playback(path: Path) -> tuple[bytes, float]:
    """The beginning of a recording as FLAC, with its peak within full scale, and the level of its speech in dB."""
    samples, rate = audio.read(path, min(audio.info(path).sample_rate, HIGHEST_PLAYBACK_RATE), end=LONGEST_PLAYBACK)
    samples = samples * to_full_scale(float(np.abs(samples).max(initial=0)))
    samples = samples / max(1.0, float(np.abs(samples).max(initial=0)))
    return audio.encode(samples, rate, format="FLAC"), speech_level(samples, rate)


def identifier(name: str) -> str:
    """A name that is safe in a path, made of any: vc/corpus/names.py."""
    return speaker_ids([name[:LONGEST_NAME] or "recording"]).popitem()[1]


def _free_name(folder: Path, stem: str) -> str:
    """An identifier made of a name, which nothing in a folder has, whatever its ending or case."""
    present = [path.name for path in folder.iterdir()]
    if len(present) >= MOST_FILES:
        raise DataError(f"{folder.name}: {MOST_FILES} files are the most here")
    names = {Path(name).stem.lower() for name in present} | {name.lower() for name in present}
    first = identifier(stem)
    later = (f"{first}-{number}" for number in range(2, MOST_FILES + 3))
    return next(name for name in chain([first], later) if name.lower() not in names)


def _bounded_blocks(blocks: Iterator[np.ndarray], rate: int, path: Path) -> Iterator[np.ndarray]:
    left = LONGEST_RECORDING * rate
    for block in blocks:
        left -= len(block)
        if left < 0:
            raise DataError(f"{path}: more than {LONGEST_RECORDING / 3600:.0f} hours")
        yield block


def _folders(folder: Path) -> list[str]:
    names = (path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(name for name in names if _is_text(name))


def _is_name(name: str) -> bool:
    return IDENTIFIER.fullmatch(name) is not None and len(name) <= 2 * LONGEST_NAME


def _is_text(name: str) -> bool:
    """Whether a browser can name it: bytes that are not UTF-8 cannot be sent there and back."""
    return name.isprintable() and not any("\ud800" <= sign <= "\udfff" for sign in name)


@lru_cache(4096)
def _seconds(path: Path, changed: int, size: int) -> float:
    return round(audio.info(path).seconds, 2)


@lru_cache(4096)
def _condition(path: Path, changed: int, size: int) -> Condition:
    return examine(path)


@lru_cache(256)
def _speakers(path: Path, changed: int, size: int) -> list[tuple[str, str, str, bool]] | str:
    """What a Voice has beside its model, of each speaker whom a model can speak as; or why it cannot be used."""
    try:
        with tensor_file(path, "numpy") as file:
            content = read_content(file, path)[0]
        if "speakers" not in content or "features" not in content:
            raise ConfigError(f"{path}: a vocoder or an encoder, and no model of a voice")
        ids = {id: known.name or id for id, known in speakers_from_json(content["speakers"]).items()}
        features = content["features"]
        kind = features.get("kind", "world") if isinstance(features, dict) else None
        live = content.get("method") in LIVE_METHODS and kind == "world"
    except ConfigError as error:
        return str(error)
    if kind == "content":
        return [(id, name, "", live) for id, name in ids.items()]
    if len(ids) != 2:
        return f"{path}: serves {len(ids)} speakers, of whom each has to be named: use vc-convert"
    return [(id, name, next(other for other in ids if other != id), live) for id, name in reversed(ids.items())]
