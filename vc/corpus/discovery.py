"""Recordings below a folder, and every file there that is left out, with its reason."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vc import phrases
from vc.corpus import formats
from vc.errors import escaped

MOST_NAMED = 3  # files of one reason that are named
ELSEWHERE = "a folder that is searched under another name"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contents:
    """What lies below a folder."""

    recordings: list[Path] = field(default_factory=list)  # sorted
    refused: dict[Path, str] = field(default_factory=dict)  # recordings that cannot be read here, and why
    others: dict[Path, str] = field(default_factory=dict)  # what is taken for no recording, and why


def recordings_below(folder: Path, apart_from: Path | None = None) -> Contents:
    """Recordings below a folder, in links to folders too, and why other files are left out.

    A file is taken for a recording by its name's ending, unless its first bytes show that it is none. Hidden folders,
    whose names begin with a dot, are left out as a whole.

    Parameters
    ----------
    folder : Path
        To search.
    apart_from : Path, optional
        A folder below it that is not searched.

    Returns
    -------
    Contents
        Of what is below.
    """
    contents = Contents()
    apart = os.path.realpath(apart_from or folder)
    for path in sorted(_files(folder, apart if apart != os.path.realpath(folder) else None, contents.others)):
        suffix, head = path.suffix.lower(), formats.head_of(path)
        sndfile, ffmpeg, other = formats.sndfile_format(head), formats.ffmpeg_format(head), formats.no_recording(head)
        if other:
            contents.others[path] = other
        elif suffix in formats.SUFFIXES | formats.FFMPEG_SUFFIXES:
            reason = formats.needs_ffmpeg(head)
            if suffix in formats.FFMPEG_SUFFIXES and sndfile and not ffmpeg:
                reason = f"holds {sndfile}, which its ending denies: rename it"
            if suffix in formats.FFMPEG_SUFFIXES and not sndfile and not ffmpeg:
                reason = "holds no format that is known"
            if reason:
                contents.refused[path] = reason
            else:
                contents.recordings.append(path)
        elif sndfile or ffmpeg:
            contents.others[path] = f"looks like {sndfile or ffmpeg[0]}, but its ending is unknown: rename it"
        else:
            contents.others[path] = "no recording"
    return contents


def _files(folder: Path, apart: str | None, left_out: dict[Path, str]) -> Iterator[Path]:
    """Regular files below a folder. A folder with several paths to it is searched once, by one without links if any.

    Links back would lead round in circles, and a few folders of links to each other to more paths than memory holds.
    """

    def not_opened(error: OSError) -> None:
        left_out[Path(error.filename)] = f"cannot be opened: {error.strerror}"

    starts, searched = [folder], {_identity(folder)}
    for start in starts:
        if start != folder and _identity(start) in searched:
            left_out[start] = ELSEWHERE
            continue
        searched.add(_identity(start))
        for parent, folders, names in os.walk(start, onerror=not_opened):
            folders.sort()
            for name in list(folders):
                path = Path(parent, name)
                if name.startswith("."):
                    left_out[path] = "a hidden folder"
                elif os.path.realpath(path) == apart:
                    pass
                elif path.is_symlink():
                    starts.append(path)
                    continue
                elif _identity(path) in searched:
                    left_out[path] = ELSEWHERE
                else:
                    searched.add(_identity(path))
                    continue
                folders.remove(name)
            for path in (Path(parent, name) for name in names):
                if os.path.isfile(path):
                    yield path
                else:
                    left_out[path] = "a link to nothing, or no file"


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def report(folder: Path, contents: Contents) -> None:
    """Log what is left out of a folder, counted by reason: recordings in a warning, other files as information."""
    for reason, paths in _by_reason(contents.refused).items():
        log.warning("%s: left out: %s: %s", escaped(folder), _named(paths, folder), reason)
    no_recordings = [path for path, reason in contents.others.items() if reason == "no recording"]
    for reason, paths in _by_reason(contents.others).items():
        if reason != "no recording":
            log.info("%s: left out: %s: %s", escaped(folder), _named(paths, folder), reason)
    if no_recordings:
        endings = Counter(path.suffix.lower() or path.name for path in no_recordings)
        counts = [f"{count} {ending}" for ending, count in endings.most_common(MOST_NAMED)]
        more = [phrases.count(len(endings) - MOST_NAMED, "other kind")] if len(endings) > MOST_NAMED else []
        log.info("%s: left out, for they are no recordings: %s", escaped(folder), ", ".join(counts + more))


def _by_reason(left_out: Mapping[Path, str]) -> dict[str, list[Path]]:
    reasons: dict[str, list[Path]] = {}
    for path, reason in left_out.items():
        reasons.setdefault(reason, []).append(path)
    return reasons


def _named(paths: list[Path], folder: Path) -> str:
    names = ", ".join(os.fspath(path.relative_to(folder)) for path in paths[:MOST_NAMED])
    return names if len(paths) <= MOST_NAMED else f"{len(paths)} files, such as {names}"
