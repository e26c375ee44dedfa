"""Folders of recordings, or another data directory -> data directory."""

import fnmatch
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from vc import audio, corpus, pipes
from vc.corpus import Utterance
from vc.errors import DataError
from vc.files import inside
from vc.lists import IDENTIFIER

RECORDINGS = "recordings"  # folder of a data directory that holds what commands print


def from_folders(
    folder: Path, speakers: Sequence[str] | None = None, include: Sequence[str] | None = None
) -> list[Utterance]:
    """Every recording of `folder/<speaker>/**`, sorted by id.

    An id is the speaker and the path below his folder, joined by `-`. `speakers` keeps only those folders, `include`
    only the files whose path below the speaker's folder matches one of the globs.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    missing = sorted(set(speakers or ()) - set(found))
    if missing:
        raise DataError(f"{folder}: no folder of speaker {', '.join(missing)}; there are: {', '.join(found)}")
    for speaker in speakers or found:
        if not IDENTIFIER.fullmatch(speaker):
            raise DataError(f"{folder / speaker}: a speaker's name is his folder's: letters, digits, '.', '_' and '-'")
    utterances = [
        Utterance(corpus.identifier(speaker, path.relative_to(folder / speaker)), speaker, path.absolute())
        for speaker in (speakers or found)
        for path in audio.recordings_below(folder / speaker)
        if _included(path.relative_to(folder / speaker).as_posix(), include)
    ]
    if not utterances:
        known = " ".join(sorted(audio.SUFFIXES))
        raise DataError(f"{folder}: no recordings in <speaker> folders below it; known endings: {known}")
    _refuse_same_ids(utterances)
    return sorted(utterances, key=lambda utterance: utterance.id)


def _included(name: str, include: Sequence[str] | None) -> bool:
    return include is None or any(fnmatch.fnmatch(name, glob) for glob in include)


def _refuse_same_ids(utterances: Iterable[Utterance]) -> None:
    seen: dict[str, Path] = {}
    for utterance in utterances:
        other = seen.setdefault(utterance.id.lower(), utterance.path)
        if other != utterance.path:
            raise DataError(f"{utterance.path}: would get the same id as {other}: {utterance.id}; rename one")


def choose(
    utterances: Iterable[Utterance],
    speakers: Sequence[str] | None = None,
    include: Sequence[str] | None = None,
    first: int | None = None,
) -> list[Utterance]:
    """Utterances of `speakers` whose id matches one of the globs; of each speaker no more than the `first` ones."""
    utterances = sorted(utterances, key=lambda utterance: utterance.id)
    counts = corpus.count_by_speaker(utterances)
    missing = sorted(set(speakers or ()) - set(counts))
    if missing:
        raise DataError(f"no speaker {', '.join(missing)}; there are: {', '.join(sorted(counts))}")
    taken: dict[str, int] = {}
    chosen = []
    for utterance in utterances:
        wanted = speakers is None or utterance.speaker in speakers
        if wanted and _included(utterance.id, include):
            taken[utterance.speaker] = taken.get(utterance.speaker, 0) + 1
            if first is None or taken[utterance.speaker] <= first:
                chosen.append(utterance)
    if not chosen:
        raise DataError("no utterance is left")
    return chosen


def from_data(source: Path, output: Path, allow_pipes: bool = False) -> tuple[list[Utterance], dict[str, str]]:
    """Utterances of the data directory `source`, and what they say, where it tells.

    With `allow_pipes` wav.scp's commands (`ID COMMAND |`) are run once, by a shell, and what they print is kept in
    `output`/recordings; without, a command is a fault as any other.
    """
    scp = source / "wav.scp"
    commands = pipes.commands(scp) if allow_pipes else {}
    lists = corpus.parse(source, dict.fromkeys(commands, scp))  # a file that stands in until all is known to be well
    corpus.refuse(lists.faults)
    if commands:
        lists = corpus.parse(source, pipes.printed(scp, commands, inside(output, RECORDINGS)))
    return lists.utterances, corpus.read_text(source)


def split(utterances: Sequence[Utterance], count: int) -> list[list[Utterance]]:
    """As many parts of about equal size, in order, so that their union is the whole; a speaker may be cut."""
    if not 1 <= count <= len(utterances):
        raise DataError(f"{len(utterances)} utterances cannot be split into {count} parts")
    bounds = [len(utterances) * part // count for part in range(count + 1)]
    return [list(utterances[start:end]) for start, end in itertools.pairwise(bounds)]
