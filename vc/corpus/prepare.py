"""Folders of recordings, or another data directory -> data directory."""

import fnmatch
import itertools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vc.corpus import audio, data_directory, discovery, formats, names, pieces, pipes
from vc.corpus.data_directory import Utterance
from vc.corpus.limiter import limit
from vc.errors import DataError, escaped
from vc.files import inside, make_directory

RECORDINGS = "recordings"  # folder of a data directory: what commands print, and pieces of long recordings
PIECE = 12.0  # seconds of a piece that a long recording is cut into, at most, and two thirds of that at least
SHORTEST_PIECE = 3.0  # seconds
log = logging.getLogger(__name__)


def from_folders(
    folder: Path, speakers: Sequence[str] | None = None, include: Sequence[str] | None = None
) -> list[Utterance]:
    """Every recording of `folder/<speaker>/**`, sorted by id; of recordings with the same samples one.

    An id is the speaker's and the path below the speaker's folder, joined by `-` (vc/corpus/names.py). `speakers` keeps
    only those folders, `include` only the files whose path below the speaker's folder matches one of the globs. What is
    left out is logged.

    Raises
    ------
    DataError
        A speaker who was asked for, or whose folder holds what looks like recordings, has none that can be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    ids = names.speaker_ids(folders)
    called = {id: name for name, id in ids.items()}
    asked = [called.get(names.resolve(name, called), name) for name in speakers or ()]
    missing = sorted(set(asked) - set(folders))
    if missing:
        raise DataError(f"{folder}: no folder of speaker {', '.join(missing)}; there are: {', '.join(folders)}")
    if not asked:
        _report_files_beside(folder)
    recordings, empty, others = {}, [], []
    for name in asked or folders:
        found = discovery.recordings_below(folder / name)
        discovery.report(folder / name, found)
        below = (path.relative_to(folder / name) for path in found.recordings)
        included = [path for path in below if _included(path.as_posix(), include)]
        if included:
            recordings[name] = _without_copies(folder / name, included)
        else:
            (empty if asked or found.refused else others).append(name)
    matching = "" if include is None else f" that match {' '.join(include)}"
    if empty:
        raise DataError(
            *(f"{folder / name}: no recordings{matching} that can be read; {audio.KNOWN}" for name in empty)
        )
    if not recordings:
        raise DataError(f"{folder}: no recordings{matching} in <speaker> folders below it; {audio.KNOWN}")
    if others:
        log.info(
            "%s: left out: folders without recordings%s: %s", escaped(folder), matching, escaped(", ".join(others))
        )
    beside: list[Path] = []
    if not all(str(path).isascii() for paths in recordings.values() for path in paths):
        for name in sorted(set(folders) - set(recordings)):
            beside += (path.relative_to(folder / name) for path in discovery.recordings_below(folder / name).recordings)
    found_ids = names.utterance_ids({ids[name]: paths for name, paths in recordings.items()}, beside)
    utterances = []
    for (speaker, path), id in found_ids.items():
        name = called[speaker]
        other = "" if name == speaker or "\n" in name else name
        utterances.append(Utterance(id, speaker, (folder / name / path).absolute(), speaker_name=other))
    return sorted(utterances, key=lambda utterance: utterance.id)


def _included(name: str, include: Sequence[str] | None) -> bool:
    return include is None or any(fnmatch.fnmatch(name, glob) for glob in include)


def _report_files_beside(folder: Path) -> None:
    """Recordings beside the speakers' folders are nobody's."""
    endings = formats.SUFFIXES | formats.FFMPEG_SUFFIXES
    beside = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in endings and path.is_file())
    if beside:
        where, example = escaped(folder), escaped(beside[0])
        log.warning("%s: left out: %d recordings in no speaker's folder, such as %s", where, len(beside), example)


def _without_copies(folder: Path, paths: Sequence[Path]) -> list[Path]:
    """Paths below a speaker's folder without those that have the samples of another with a shorter name."""
    first = audio.first_of_each(folder / path for path in sorted(paths, key=lambda path: (len(str(path)), path)))
    copies = {path: first[folder / path] for path in paths if first[folder / path] != folder / path}
    for path, original in copies.items():
        log.warning("%s: left out: the same recording as %s", escaped(folder / path), escaped(original))
    return [path for path in paths if path not in copies]


def choose(
    utterances: Iterable[Utterance],
    speakers: Sequence[str] | None = None,
    include: Sequence[str] | None = None,
    first: int | None = None,
) -> list[Utterance]:
    """Utterances of `speakers` whose id matches one of the globs; of each speaker no more than the `first` ones."""
    utterances = sorted(utterances, key=lambda utterance: utterance.id)
    counts = data_directory.count_by_speaker(utterances)
    called = {utterance.speaker: utterance.speaker_name for utterance in utterances}
    asked = {names.resolve(name, called) for name in speakers or counts}
    missing = sorted(asked - set(counts))
    if missing:
        raise DataError(f"no speaker {', '.join(missing)}; there are: {', '.join(sorted(counts))}")
    taken: dict[str, int] = {}
    chosen = []
    for utterance in utterances:
        if utterance.speaker in asked and _included(utterance.id, include):
            taken[utterance.speaker] = taken.get(utterance.speaker, 0) + 1
            if first is None or taken[utterance.speaker] <= first:
                chosen.append(utterance)
    if not chosen:
        raise DataError("no utterance is left")
    empty = sorted(asked - set(taken)) if speakers else []
    if empty:
        raise DataError(f"no utterance of {', '.join(empty)} is left")
    return chosen


def from_data(source: Path, output: Path, allow_pipes: bool = False) -> tuple[list[Utterance], dict[str, str]]:
    """Utterances of the data directory `source`, and what they say, where it tells.

    With `allow_pipes` wav.scp's commands (`ID COMMAND |`) are run once, by a shell, and what they print is kept in
    `output`/recordings; without, a command is a fault as any other.
    """
    scp = source / "wav.scp"
    commands = pipes.commands(scp) if allow_pipes else {}
    lists = data_directory.parse(
        source, dict.fromkeys(commands, scp)
    )  # a file that stands in until all is known to be well
    data_directory.refuse(lists.faults)
    if commands:
        lists = data_directory.parse(source, pipes.printed(scp, commands, inside(output, RECORDINGS)))
    return lists.utterances, data_directory.read_text(source)


def cut(utterances: Iterable[Utterance], output: Path) -> list[Utterance]:
    """Recordings of more than PIECE seconds as pieces that end where it is quiet, written to `output`/recordings.

    A piece's id ends in its first and last hundredth of a second, so that two speakers' pieces are not taken for the
    same sentence. What cannot be read stays as it is, and so do parts of recordings.
    """
    parts, folder = [], inside(output.absolute(), RECORDINGS)
    for utterance in utterances:
        try:
            claimed = audio.info(utterance.path)
            ends = _ends(utterance.path, claimed.sample_rate) if claimed.seconds > PIECE else []
        except DataError:  # which the check will name
            ends = []
        if utterance.start is not None or len(ends) < 2:
            parts.append(utterance)
            continue
        make_directory(folder)
        for start, end in itertools.pairwise([0.0, *ends]):
            id = f"{utterance.id}-{round(100 * start):07d}-{round(100 * end):07d}"
            samples, rate = audio.read(utterance.path, start=start, end=end)
            if np.abs(samples).max() > 1:  # which files of floating-point samples may hold
                samples = limit(samples, rate, id)
            audio.write(folder / f"{id}.wav", samples, rate)
            parts.append(replace(utterance, id=id, path=folder / f"{id}.wav"))
    return parts


def _ends(path: Path, rate: int) -> list[float]:
    """Seconds at which a recording's pieces end; one that would be short is one with the piece before it."""
    lengths = [len(piece.own(piece.samples)) for piece in pieces.split(audio.blocks(path), rate, PIECE)]
    if len(lengths) > 1 and lengths[-1] < SHORTEST_PIECE * rate:
        lengths[-2:] = [sum(lengths[-2:])]
    return [end / rate for end in itertools.accumulate(lengths)]


def linked(utterances: Iterable[Utterance], output: Path) -> list[Utterance]:
    """Recordings whose paths hold line breaks, which no list can hold, by links to them in `output`/recordings."""
    listed = []
    for utterance in utterances:
        if "\n" in str(utterance.path):
            link = inside(output.absolute(), RECORDINGS) / f"{utterance.id}{utterance.path.suffix}"
            make_directory(link.parent)
            link.unlink(missing_ok=True)
            link.symlink_to(utterance.path)
            utterance = replace(utterance, path=link)
        listed.append(utterance)
    return listed


def split(utterances: Sequence[Utterance], count: int) -> list[list[Utterance]]:
    """As many parts of about equal size, in order, so that their union is the whole; a speaker may be cut."""
    if not 1 <= count <= len(utterances):
        raise DataError(f"{len(utterances)} utterances cannot be split into {count} parts")
    bounds = [len(utterances) * part // count for part in range(count + 1)]
    return [list(utterances[start:end]) for start, end in itertools.pairwise(bounds)]
