"""Make ids of speakers and utterances from the names of folders and files.

An id consists of ASCII letters, digits, `.`, `_` and `-`. A name that is a valid id is used as it is; any other name is
stored along with its id and accepted wherever an id is.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vc.corpus.lists import IDENTIFIER
from vc.errors import suggestion

LONGEST_FILE_NAME = 255  # bytes, on most file systems
DIGITS = 8  # hexadecimal digits of a digest that distinguish names in other scripts


def identifier(speaker: str, path: Path, separator: str = "-") -> str:
    """An utterance id that starts with its speaker's; characters that are not allowed in an id become `_`."""
    return f"{speaker}{separator}{_safe(_stem(path))}"


def speaker_ids(names: Iterable[str]) -> dict[str, str]:
    """An id for each speaker's folder: its name, if need be without accents and with `_` for other characters.

    If the result is empty, not unique or has lost letters, digits of the name's digest are added.
    """
    names = sorted(names)
    ids = {name: name for name in names if IDENTIFIER.fullmatch(name)}
    for name in names:
        if name in ids:
            continue
        letters = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
        id = _safe(letters).lstrip("._-")
        if not id or not letters.isascii() or id in ids.values():
            id = f"{id.strip('_') or 'speaker'}_{_digits(name)}"
        ids[name] = id
    return ids


def utterance_ids(
    recordings: Mapping[str, Sequence[Path]], reserved: Iterable[Path] = ()
) -> dict[tuple[str, Path], str]:
    """An id for each recording of each speaker, unique even on case-insensitive file systems.

    Names in other scripts whose ids would collide get digits of the name's digest, so that the same name gives the same
    sentence for every speaker; other collisions are numbered.

    Parameters
    ----------
    recordings : mapping of str to sequence of Path
        Paths relative to the speaker's folder, by speaker id.
    reserved : iterable of Path
        Paths of further recordings that get no id here but must not collide with these.

    Returns
    -------
    dict of (str, Path) to str
        Ids by speaker and path.
    """
    stems: dict[str, set[str]] = {}  # by their ids
    for path in {*reserved, *(path for paths in recordings.values() for path in paths)}:
        stems.setdefault(_safe(_stem(path)), set()).add(_stem(path))
    plain = {}
    for speaker, paths in recordings.items():
        longer = any(other.startswith(f"{speaker}-") for other in recordings)
        for path in sorted(paths, key=lambda path: (_safe(_stem(path)) != _stem(path), path)):  # unchanged first
            id, stem = identifier(speaker, path, "--" if longer else "-"), _stem(path)  # anna--x sorts before anna-2-x
            unclear = not stem.isascii() and len(stems[_safe(stem)]) > 1
            plain[speaker, path] = f"{id}-{_digits(stem)}" if unclear else id
    ids: dict[tuple[str, Path], str] = {}
    first = {id.lower(): key for key, id in reversed(plain.items())}
    used = set(first)
    for key, id in plain.items():
        number = 1
        while first[id.lower()] != key and (number == 1 or f"{id}-{number}".lower() in used):
            number += 1
        ids[key] = id if number == 1 else f"{id}-{number}"
        used.add(ids[key].lower())
    return ids


def resolve(name: str, speaker_names: Mapping[str, str]) -> str:
    """Look up a speaker's id by id or by name.

    Parameters
    ----------
    name : str
        An id or a name.
    speaker_names : mapping of str to str
        Speakers' names by id; empty if the same as the id.

    Returns
    -------
    str
        The id; `name` itself if it matches no speaker or several, for the caller to refuse.
    """
    normalised = unicodedata.normalize("NFC", name)
    ids = [id for id, other in speaker_names.items() if unicodedata.normalize("NFC", other) == normalised]
    return ids[0] if name not in speaker_names and len(ids) == 1 else name


def is_line(name: str) -> bool:
    """Whether a name is one line of valid Unicode; names of folders that are not UTF-8 hold surrogates."""
    return not any(character == "\n" or "\ud800" <= character <= "\udfff" for character in name)


def label(id: str, name: str) -> str:
    """A speaker's id, followed by the name if it differs."""
    return f"{id} ({name})" if name and name != id else id


def there_are(speaker_names: Mapping[str, str], *unknown: str) -> str:
    """The speakers' ids and names, and those most like the `unknown` ones, for a message that refuses these."""
    known = ", ".join(label(*both) for both in speaker_names.items())
    return f"there are: {known}{suggestion([*speaker_names, *filter(None, speaker_names.values())], *unknown)}"


def file_name(id: str, ending: str) -> str:
    """The name of an id's file: the id or, where that would be too long, its digest, and `ending`."""
    if len(id) + len(ending) > LONGEST_FILE_NAME:
        id = hashlib.sha256(id.encode()).hexdigest()
    return f"{id}{ending}"


def _stem(path: Path) -> str:
    return "-".join(path.with_suffix("").parts)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def _digits(name: str) -> str:
    return hashlib.sha256(os.fsencode(unicodedata.normalize("NFC", name))).hexdigest()[:DIGITS]
