"""Ids of speakers and utterances, from the names of folders and files.

An id is letters, digits, `.`, `_` and `-`. A name that is an id already stays; another name is kept beside its id, and
accepted wherever an id is.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vc.corpus.lists import IDENTIFIER

DIGITS = 8  # hexadecimal, which distinguish names in other scripts


def identifier(speaker: str, path: Path, separator: str = "-") -> str:
    """An id that sorts with its speaker; characters that are not safe in a file name become `_`."""
    return f"{speaker}{separator}{_safe(_stem(path))}"


def speaker_ids(names: Iterable[str]) -> dict[str, str]:
    """An id for each speaker's folder: its name, or what its name comes to without accents and with `_` for spaces.

    Names that this leaves empty or equal, or that lose letters by it, are distinguished by digits of their digest.
    """
    names = sorted(names)
    ids = {name: name for name in names if IDENTIFIER.fullmatch(name)}
    for name in names:
        if name in ids:
            continue
        letters = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
        id = _safe(letters).lstrip("._-")
        if not id or not letters.isascii() or id in ids.values():
            id = f"{id.strip('_') or 'speaker'}_{_digits(name)}"
        ids[name] = id
    return ids


def utterance_ids(recordings: Mapping[str, Sequence[Path]], beside: Iterable[Path] = ()) -> dict[tuple[str, Path], str]:
    """An id for each recording of each speaker, unique on file systems that ignore case, too.

    Names in other scripts that come to the same id are distinguished by digits of the name's digest, so that one name
    gives one sentence with every speaker; other names that come to the same are numbered.

    Parameters
    ----------
    recordings : mapping of str to sequence of Path
        By speaker's id, paths below the speaker's folder.
    beside : iterable of Path
        Paths of further recordings, which get no id, but from which the ids are to differ.

    Returns
    -------
    dict of (str, Path) to str
        By speaker and path.
    """
    stems: dict[str, set[str]] = {}  # by the id that they come to
    for path in {*beside, *(path for paths in recordings.values() for path in paths)}:
        stems.setdefault(_safe(_stem(path)), set()).add(_stem(path))
    plain = {}
    for speaker, paths in recordings.items():
        longer = any(other.startswith(f"{speaker}-") for other in recordings)
        for path in sorted(paths, key=lambda path: (_safe(_stem(path)) != _stem(path), path)):  # what stays comes first
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
    """The id of a speaker whom a user calls by id or by name.

    Parameters
    ----------
    name : str
        An id or a name.
    speaker_names : mapping of str to str
        Speakers' names by id; empty where the id is the name.

    Returns
    -------
    str
        The id; `name` as it is where it is nobody's or several speakers', for callers to refuse.
    """
    normalised = unicodedata.normalize("NFC", name)
    ids = [id for id, other in speaker_names.items() if unicodedata.normalize("NFC", other) == normalised]
    return ids[0] if name not in speaker_names and len(ids) == 1 else name


def label(id: str, name: str) -> str:
    """A speaker's id, and the name where that is another."""
    return f"{id} ({name})" if name and name != id else id


def _stem(path: Path) -> str:
    return "-".join(path.with_suffix("").parts)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def _digits(name: str) -> str:
    return hashlib.sha256(os.fsencode(unicodedata.normalize("NFC", name))).hexdigest()[:DIGITS]
