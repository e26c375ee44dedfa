"""The files of a listening test: what the organiser keeps, and what a listener sends back."""

import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vc.config import build, read_json
from vc.errors import ConfigError, DataError

VERSION = 1  # of all three
TEST, KEY, ANSWERS = "vc-listening-test", "vc-listening-key", "vc-listening-answers"
GRADES = {"5": "Excellent", "4": "Good", "3": "Fair", "2": "Poor", "1": "Bad"}  # ITU-T P.800, annex B
KINDS = ("mos", "abx")
T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Sound:
    """A recording that is played."""

    system: str
    sentence: str


@dataclass(frozen=True)
class Item:
    """What a listener gives one answer to, by ids of sounds."""

    sounds: list[str]  # one to grade, or two to choose from
    x: str | None  # that the two are compared with


@dataclass(frozen=True)
class Key:
    """Which item is which: key.json."""

    format: str
    version: int
    test: str  # digest of what the page holds
    kind: str
    title: str
    seed: int
    sample_rate_hz: int
    level_db: float  # of full scale
    systems: dict[str, str]  # name -> folder
    sounds: dict[str, Sound]
    items: dict[str, Item]

    def choices(self, item: str) -> list[str]:
        """Answers that an item takes."""
        return self.items[item].sounds if self.kind == "abx" else list(GRADES)

    def sounds_of(self, item: str) -> list[Sound]:
        """Recordings to grade or to choose from."""
        return [self.sounds[id] for id in self.items[item].sounds]


@dataclass(frozen=True)
class Answer:
    """A grade, or the sound that was chosen."""

    item: str
    answer: str


@dataclass(frozen=True)
class Answers:
    """What one listener sends back, in the order in which it was answered."""

    format: str
    version: int
    test: str
    listener: str
    answers: list[Answer]


def read_key(path: Path) -> Key:
    """The organiser's key.

    Raises
    ------
    ConfigError
        If the file is no key, or not consistent: without a key nothing can be scored.
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
        raise ConfigError(f"{path}: names sounds or systems that it does not hold: {', '.join(sorted(unknown))}")
    return key


def read_answers(path: Path, key: Key, *, partial: bool = False) -> Answers:
    """A listener's answers to a test.

    Parameters
    ----------
    path : Path
        Of the file.
    key : Key
        Of the test.
    partial : bool
        Whether incomplete answers are taken.

    Raises
    ------
    DataError
        If the file holds no answers to this test, or too few.
    """
    answers = _read(Answers, ANSWERS, path)
    if answers.test != key.test:
        raise DataError(f"{path}: answers of another test, {answers.test[:8]}...; the key is of {key.test[:8]}...")
    answered = set()
    for each in answers.answers:
        if each.item not in key.items or each.item in answered:
            raise DataError(
                f"{path}: item {each.item!r} {'is answered twice' if each.item in answered else 'is unknown'}"
            )
        if each.answer not in key.choices(each.item):
            known = ", ".join(key.choices(each.item))
            raise DataError(f"{path}: item {each.item}: answer {each.answer!r} is none of {known}")
        answered.add(each.item)
    missing = len(key.items) - len(answered)
    if (missing and not partial) or not answered:
        raise DataError(f"{path}: {missing} of {len(key.items)} items are not answered; --partial takes what is there")
    return answers


def _read(cls: type[T], format: str, path: Path) -> T:
    """A dataclass from a file that says its format and version."""
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
