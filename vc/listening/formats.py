"""The files of a listening test: the organiser's key, and the answers of a listener."""

import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vc.config import build, read_json
from vc.errors import ConfigError, DataError

VERSION = 1  # of all three formats
TEST, KEY, ANSWERS = "vc-listening-test", "vc-listening-key", "vc-listening-answers"
GRADES = {"5": "Excellent", "4": "Good", "3": "Fair", "2": "Poor", "1": "Bad"}  # ITU-T P.800, annex B
KINDS = ("mos", "abx")
T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Sound:
    """A recording in the test."""

    system: str
    sentence: str


@dataclass(frozen=True)
class Item:
    """One question of the test, by the ids of its sounds."""

    sounds: list[str]  # one to grade, or two to choose from
    x: str | None  # the sound with which the two are compared


@dataclass(frozen=True)
class Key:
    """The key to a test, key.json: which sound is which recording."""

    format: str
    version: int
    test: str  # digest of the page's content
    kind: str
    title: str
    seed: int
    sample_rate_hz: int
    level_db: float  # dB relative to full scale
    systems: dict[str, str]  # name -> folder
    sounds: dict[str, Sound]
    items: dict[str, Item]

    def choices(self, item: str) -> list[str]:
        """The possible answers to an item."""
        return self.items[item].sounds if self.kind == "abx" else list(GRADES)

    def sounds_of(self, item: str) -> list[Sound]:
        """The recordings of an item to grade or to choose from."""
        return [self.sounds[id] for id in self.items[item].sounds]


@dataclass(frozen=True)
class Answer:
    """The answer to an item: a grade, or the chosen sound."""

    item: str
    answer: str


@dataclass(frozen=True)
class Answers:
    """The answers of one listener, in the order in which they were given."""

    format: str
    version: int
    test: str
    listener: str
    answers: list[Answer]


def read_key(path: Path) -> Key:
    """Read the key to a test.

    Parameters
    ----------
    path : Path
        key.json.

    Returns
    -------
    Key

    Raises
    ------
    ConfigError
        If the file is not a key, or is inconsistent.
    """
    try:
        key = _read(Key, KEY, path)
    except DataError as error:
        raise ConfigError(*error.args) from error
    count = {"mos": 1, "abx": 2}.get(key.kind)
    if not key.items or any(len(item.sounds) != count for item in key.items.values()):
        raise ConfigError(
            f"{path}: expected items of kind {' or '.join(KINDS)}, found {len(key.items)} of {key.kind!r}"
        )
    unknown = {id for item in key.items.values() for id in item.sounds} - set(key.sounds)
    unknown |= {sound.system for sound in key.sounds.values()} - set(key.systems)
    if unknown:
        raise ConfigError(f"{path}: refers to undefined sounds or systems: {', '.join(sorted(unknown))}")
    return key


def read_answers(path: Path, key: Key, *, partial: bool = False) -> Answers:
    """Read a listener's answers to a test.

    Parameters
    ----------
    path : Path
        Their file.
    key : Key
        The key to the test.
    partial : bool
        Whether incomplete answers are accepted.

    Returns
    -------
    Answers

    Raises
    ------
    DataError
        If the file does not contain valid answers to this test, or too few.
    """
    answers = _read(Answers, ANSWERS, path)
    if answers.test != key.test:
        raise DataError(f"{path}: answers to another test, {answers.test[:8]}...; the key is to {key.test[:8]}...")
    items = set()
    for answer in answers.answers:
        if answer.item not in key.items or answer.item in items:
            raise DataError(
                f"{path}: item {answer.item!r} {'is answered twice' if answer.item in items else 'is unknown'}"
            )
        if answer.answer not in key.choices(answer.item):
            choices = ", ".join(key.choices(answer.item))
            raise DataError(f"{path}: item {answer.item}: answer {answer.answer!r} is none of {choices}")
        items.add(answer.item)
    missing = len(key.items) - len(items)
    if (missing and not partial) or not items:
        raise DataError(f"{path}: {missing} of {len(key.items)} items are not answered; --partial accepts the others")
    return answers


def _read(cls: type[T], format: str, path: Path) -> T:
    """Build a dataclass from a JSON file of the given format."""
    try:
        content = read_json(path)
    except ConfigError as error:
        raise DataError(*error.args) from error
    header = [content.get(name) for name in ("format", "version")] if isinstance(content, dict) else content
    if header != [format, VERSION]:
        raise DataError(f"{path}: expected {format}, version {VERSION}, found {reprlib.repr(header)}")
    try:
        return build(cls, content, cls.__name__)
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error
