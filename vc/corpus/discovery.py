"""Find the recordings in a folder tree, and say why each other file is skipped."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vc import phrases
from vc.corpus import formats
from vc.errors import escaped

MOST_NAMED = 3  # files listed for each reason
ELSEWHERE = "a folder that is already searched under another name"
NOT_A_RECORDING = "not a recording"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contents:
    """The files in a folder tree."""

    recordings: list[Path] = field(default_factory=list)  # sorted
    refused: dict[Path, str] = field(default_factory=dict)  # recordings that cannot be read here -> reason
    others: dict[Path, str] = field(default_factory=dict)  # everything else -> reason


def recordings_below(folder: Path, excluded: Path | None = None) -> Contents:
    """Find the recordings in a folder tree, following links to folders.

    A file counts as a recording by its suffix, unless its first bytes show otherwise. Hidden folders (whose names begin
    with a dot) are skipped.

    Parameters
    ----------
    folder : Path
        The folder to search.
    excluded : Path, optional
        A folder inside it to skip.

    Returns
    -------
    Contents
        The recordings, and the other files with reasons.
    """
    contents = Contents()
    excluded_path = os.path.realpath(excluded) if excluded else None
    if excluded_path == os.path.realpath(folder):
        excluded_path = None
    for path in sorted(_files(folder, excluded_path, contents.others)):
        suffix, head = path.suffix.lower(), formats.head_of(path)
        sndfile, ffmpeg, other = formats.sndfile_format(head), formats.ffmpeg_format(head), formats.no_recording(head)
        if other:
            contents.others[path] = other
        elif suffix in formats.SUFFIXES | formats.FFMPEG_SUFFIXES:
            reason = formats.needs_ffmpeg(head)
            if suffix in formats.FFMPEG_SUFFIXES and sndfile and not ffmpeg:
                reason = f"holds {sndfile}, which its ending contradicts: rename it"
            if suffix in formats.FFMPEG_SUFFIXES and not sndfile and not ffmpeg:
                reason = "of unknown format"
            if reason:
                contents.refused[path] = reason
            else:
                contents.recordings.append(path)
        elif sndfile or ffmpeg:
            contents.others[path] = f"looks like {sndfile or ffmpeg[0]}, but its ending is unknown: rename it"
        else:
            contents.others[path] = NOT_A_RECORDING
    return contents


def _files(folder: Path, excluded_path: str | None, left_out: dict[Path, str]) -> Iterator[Path]:
    """Regular files in a folder tree. A folder that has several paths is searched once, preferably by a path without
    links: links could form cycles, and folders linked to each other have exponentially many paths.
    """

    def report_unreadable(error: OSError) -> None:
        left_out[Path(error.filename)] = f"cannot be opened: {error.strerror}"

    starts, searched = [folder], {_identity(folder)}
    for start in starts:
        if start != folder and _identity(start) in searched:
            left_out[start] = ELSEWHERE
            continue
        searched.add(_identity(start))
        for parent, folders, names in os.walk(start, onerror=report_unreadable):
            folders.sort()
            for name in list(folders):
                path = Path(parent, name)
                if name.startswith("."):
                    left_out[path] = "a hidden folder"
                elif os.path.realpath(path) == excluded_path:
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
                    left_out[path] = "a broken link, or not a regular file"


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def report(folder: Path, contents: Contents) -> None:
    """Log the skipped files by reason: unreadable recordings as a warning, other files as information."""
    for reason, paths in _group_by_reason(contents.refused).items():
        log.warning("%s: left out: %s: %s", escaped(folder), _examples(paths, folder), reason)
    for reason, paths in _group_by_reason(contents.others).items():
        if reason != NOT_A_RECORDING:
            log.info("%s: left out: %s: %s", escaped(folder), _examples(paths, folder), reason)
    not_recordings = [path for path, reason in contents.others.items() if reason == NOT_A_RECORDING]
    if not_recordings:
        endings = Counter(path.suffix.lower() or path.name for path in not_recordings)
        counts = [f"{count} {ending}" for ending, count in endings.most_common(MOST_NAMED)]
        more = [phrases.count(len(endings) - MOST_NAMED, "other kind")] if len(endings) > MOST_NAMED else []
        log.info("%s: left out, not recordings: %s", escaped(folder), ", ".join(counts + more))


def _group_by_reason(left_out: Mapping[Path, str]) -> dict[str, list[Path]]:
    reasons: dict[str, list[Path]] = {}
    for path, reason in left_out.items():
        reasons.setdefault(reason, []).append(path)
    return reasons


def _examples(paths: list[Path], folder: Path) -> str:
    names = ", ".join(os.fspath(path.relative_to(folder)) for path in paths[:MOST_NAMED])
    return names if len(paths) <= MOST_NAMED else f"{len(paths)} files, such as {names}"
