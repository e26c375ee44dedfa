"""Folders of recordings, or another data directory -> data directory."""

import contextlib
import fnmatch
import itertools
import logging
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vc import phrases
from vc.corpus import audio, data_directory, discovery, formats, names, pieces
from vc.corpus.data_directory import Utterance
from vc.corpus.limiter import limit, to_full_scale
from vc.corpus.lists import Table
from vc.errors import DataError, escaped
from vc.files import make_directory, path_inside, replacing

RECORDINGS = "recordings"  # folder of a data directory: what commands print, and pieces of long recordings
PIECE = 12.0  # seconds of a piece that a long recording is cut into, at most, and two thirds of that at least
SHORTEST_PIECE = 3.0  # seconds
log = logging.getLogger(__name__)


def from_folders(
    folder: Path, speakers: Sequence[str] | None = None, *, include: Sequence[str] | None = None
) -> list[Utterance]:
    """Every recording of `folder/<speaker>/**`; of recordings with the same samples one.

    An id is the speaker's and the path below the speaker's folder, joined by `-` (vc/corpus/names.py). What is left out
    is logged.

    Parameters
    ----------
    folder : Path
        Has a folder for each speaker.
    speakers : sequence of str, optional
        Ids or names of the speakers to take. Default: all.
    include : sequence of str, optional
        Globs, of which a file's path below the speaker's folder has to match one. Default: all files.

    Returns
    -------
    list of Utterance
        Sorted by id.

    Raises
    ------
    DataError
        One of `speakers` has no folder, or a speaker who was chosen, or whose folder holds what looks like recordings,
        has none that can be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    ids = names.speaker_ids(folders)
    folder_of = {id: name for name, id in ids.items()}
    chosen = [folder_of.get(names.resolve(name, folder_of), name) for name in speakers or ()]
    missing = sorted(set(chosen) - set(folders))
    if missing:
        raise DataError(f"{folder}: no folder of speaker {', '.join(missing)}; there are: {', '.join(folders)}")
    if not chosen:
        endings = formats.SUFFIXES | formats.FFMPEG_SUFFIXES
        loose = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in endings and path.is_file())
        if loose:
            where, example = escaped(folder), escaped(loose[0])
            number = phrases.count(len(loose), "recording")
            log.warning("%s: left out: %s in no speaker's folder, such as %s", where, number, example)
    recordings, empty, others = {}, [], []
    for name in chosen or folders:
        contents = discovery.recordings_below(folder / name)
        discovery.report(folder / name, contents)
        paths = [path for path in contents.recordings if _matches(path.relative_to(folder / name).as_posix(), include)]
        if not paths:
            (empty if chosen or contents.refused else others).append(name)
            continue
        # Of recordings with the same samples the one with the shortest name is kept.
        first = audio.first_of_each(sorted(paths, key=lambda path: (len(str(path)), path)))
        for path in paths:
            if first[path] == path:
                recordings.setdefault(name, []).append(path.relative_to(folder / name))
            else:
                original = first[path].relative_to(folder / name)
                log.warning("%s: left out: the same recording as %s", escaped(path), escaped(original))
    matching = "" if include is None else f" that match {' '.join(include)}"
    if empty:
        raise DataError(
            *(f"{folder / name}: no recordings{matching} that can be read; {audio.KNOWN_ENDINGS}" for name in empty)
        )
    if not recordings:
        raise DataError(f"{folder}: no recordings{matching} in <speaker> folders below it; {audio.KNOWN_ENDINGS}")
    if others:
        log.info(
            "%s: left out: folders without recordings%s: %s", escaped(folder), matching, escaped(", ".join(others))
        )
    beside: list[Path] = []
    if not all(str(path).isascii() for paths in recordings.values() for path in paths):
        for name in sorted(set(folders) - set(recordings)):
            beside += (path.relative_to(folder / name) for path in discovery.recordings_below(folder / name).recordings)
    utterances = []
    unique = names.utterance_ids({ids[name]: paths for name, paths in recordings.items()}, beside)
    for (speaker, path), id in unique.items():
        name = folder_of[speaker]
        speaker_name = "" if name == speaker or "\n" in name else name
        utterances.append(Utterance(id, speaker, (folder / name / path).absolute(), speaker_name=speaker_name))
    return sorted(utterances, key=lambda utterance: utterance.id)


def _matches(name: str, include: Sequence[str] | None) -> bool:
    return include is None or any(fnmatch.fnmatch(name, glob) for glob in include)


def choose(
    utterances: Iterable[Utterance],
    speakers: Sequence[str] | None = None,
    *,
    include: Sequence[str] | None = None,
    first: int | None = None,
) -> list[Utterance]:
    """Some of these utterances.

    Parameters
    ----------
    utterances : iterable of Utterance
        Of all speakers.
    speakers : sequence of str, optional
        Ids or names of those to take. Default: all.
    include : sequence of str, optional
        Globs, of which an utterance's id has to match one. Default: all.
    first : int, optional
        So many of each speaker, the first by id. Default: all.

    Returns
    -------
    list of Utterance
        Sorted by id.

    Raises
    ------
    DataError
        A speaker is not there, or nothing is left, of all or of one of `speakers`.
    """
    utterances = sorted(utterances, key=lambda utterance: utterance.id)
    speaker_names = {utterance.speaker: utterance.speaker_name for utterance in utterances}
    wanted = {names.resolve(name, speaker_names) for name in speakers or speaker_names}
    missing = sorted(wanted - speaker_names.keys())
    if missing:
        raise DataError(f"no speaker {', '.join(missing)}; there are: {', '.join(sorted(speaker_names))}")
    counts: Counter[str] = Counter()
    chosen = []
    for utterance in utterances:
        if utterance.speaker in wanted and _matches(utterance.id, include):
            counts[utterance.speaker] += 1
            if first is None or counts[utterance.speaker] <= first:
                chosen.append(utterance)
    if not chosen:
        raise DataError("no utterance is left")
    empty = sorted(wanted - counts.keys()) if speakers else []
    if empty:
        raise DataError(f"no utterance of {', '.join(empty)} is left")
    return chosen


def from_data(source: Path, output: Path, *, allow_pipes: bool = False) -> tuple[list[Utterance], dict[str, str]]:
    """Read another data directory.

    Parameters
    ----------
    source : Path
        A data directory.
    output : Path
        The data directory to be written, which keeps what commands print in its folder `recordings`.
    allow_pipes : bool
        Run wav.scp's commands (`ID COMMAND |`) once, by a shell. Without it a command is a fault as any other.

    Returns
    -------
    list of Utterance, dict of str to str
        And transcripts by id, if the directory has a text.

    Raises
    ------
    DataError
        For every fault of the lists, and for a command that fails.
    """
    scp = source / "wav.scp"
    commands = {}
    if allow_pipes:
        commands = {id: entry[:-1] for id, entry in Table(scp, []).rows.items() if entry.endswith("|")}
    # A file that is there stands for what a command prints until all lists are known to be well.
    lists = data_directory.parse(source, dict.fromkeys(commands, scp))
    data_directory.refuse(lists.faults)
    if commands:
        folder = path_inside(output, RECORDINGS)
        make_directory(folder)
        printed = {id: folder.absolute() / f"{id}.wav" for id in commands}
        for id, command in commands.items():
            with replacing(printed[id]) as temporary, temporary.open("wb") as file:
                done = subprocess.run(["sh", "-c", command], stdout=file, stderr=subprocess.PIPE, check=False)
                if done.returncode:
                    last_line = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
                    fault = f"{scp}: the command of {id} exited {done.returncode}"
                    raise DataError(": ".join([fault, *last_line]))
        lists = data_directory.parse(source, printed)
    return lists.utterances, data_directory.read_text(source)


def cut(utterances: Iterable[Utterance], output: Path) -> list[Utterance]:
    """Recordings of more than PIECE seconds as pieces that end where it is quiet, written to `output`/recordings.

    A piece's id ends in its start and end in hundredths of a second, so that two speakers' pieces are not taken for the
    same sentence. What cannot be read stays as it is, and so do parts of recordings.
    """
    parts, folder = [], path_inside(output.absolute(), RECORDINGS)
    for utterance in utterances:
        lengths, rate, peak = [], 1, 0.0
        with contextlib.suppress(DataError):  # which the check will name
            header = audio.info(utterance.path)
            if utterance.start is None and header.seconds > PIECE:
                rate = header.sample_rate
                for piece in pieces.split(audio.blocks(utterance.path), rate, PIECE):
                    lengths.append(len(piece.without_overlap(piece.samples)))
                    peak = max(peak, float(np.abs(piece.samples).max()))
        if len(lengths) > 1 and lengths[-1] < SHORTEST_PIECE * rate:
            lengths[-2:] = [sum(lengths[-2:])]
        if len(lengths) < 2:
            parts.append(utterance)
            continue
        make_directory(folder)
        scale = to_full_scale(peak, utterance.id)
        ends = [end / rate for end in itertools.accumulate(lengths)]
        for start, end in itertools.pairwise([0.0, *ends]):
            id = f"{utterance.id}-{round(100 * start):07d}-{round(100 * end):07d}"
            samples, rate = audio.read(utterance.path, start=start, end=end)
            samples = np.float32(scale * samples.astype(float))
            if np.abs(samples).max() > 1:  # which files of floating-point samples may hold
                samples = limit(samples, rate, id)
            audio.write(folder / f"{id}.wav", samples, rate)
            parts.append(replace(utterance, id=id, path=folder / f"{id}.wav"))
    return parts


def link_line_breaks(utterances: Iterable[Utterance], output: Path) -> list[Utterance]:
    """Utterances with links in `output`/recordings where paths hold line breaks, which no list can hold."""
    listed = []
    for utterance in utterances:
        if "\n" in str(utterance.path):
            link = path_inside(output.absolute(), RECORDINGS) / f"{utterance.id}{utterance.path.suffix}"
            make_directory(link.parent)
            link.unlink(missing_ok=True)
            link.symlink_to(utterance.path)
            utterance = replace(utterance, path=link)
        listed.append(utterance)
    return listed


def split(utterances: Sequence[Utterance], count: int) -> list[list[Utterance]]:
    """As many parts of about equal size, in order, so that their union is the whole; a speaker may be cut."""
    if not 1 <= count <= len(utterances):
        raise DataError(f"{phrases.count(len(utterances), 'utterance')} cannot be split into {count} parts")
    bounds = [len(utterances) * part // count for part in range(count + 1)]
    return [list(utterances[start:end]) for start, end in itertools.pairwise(bounds)]
