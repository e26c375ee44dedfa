"""Make a data directory from folders of recordings, or from another data directory."""

import fnmatch
import itertools
import logging
import os
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
from vc.errors import DataError, escaped, suggestion
from vc.files import make_directory, path_inside, replacing

RECORDINGS = "recordings"  # subfolder of a data directory for the output of commands and pieces of long recordings
PIECE = 12.0  # longest piece of a long recording in seconds; the shortest is two thirds of it
SHORTEST_PIECE = 3.0  # seconds; a shorter last piece is joined to the one before
log = logging.getLogger(__name__)


def from_folders(
    folder: Path,
    speakers: Sequence[str] | None = None,
    *,
    include: Sequence[str] | None = None,
    output: Path | None = None,
    siblings: bool = True,
) -> list[Utterance]:
    """Find all recordings in `folder/<speaker>/**`, without duplicates (recordings with the same samples).

    An id is the speaker's id and the path below the speaker's folder, joined by `-` (vc/corpus/names.py). Files that
    are left out are logged.

    Parameters
    ----------
    folder : Path
        A folder with one subfolder for each speaker.
    speakers : sequence of str, optional
        Ids or names of speakers. Default: all.
    include : sequence of str, optional
        Globs; a file's path below the speaker's folder must match one of them. Default: all files.
    output : Path, optional
        The data directory that will be written. It may lie in `folder`; recordings in it are left out.
    siblings : bool
        Whether `folder` is a corpus, in which ids also differ from those of speakers who were not asked for. If false,
        `speakers` must be names of folders, and no other folder in `folder` is looked at.

    Returns
    -------
    list of Utterance
        Sorted by id.

    Raises
    ------
    DataError
        One of `speakers` has no folder, or there are no readable recordings of a speaker who was asked for or whose
        folder holds recordings that cannot be read here.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    output_path = os.path.realpath(output) if output else None
    if siblings:
        subfolders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    else:
        subfolders = [folder / name for name in speakers or ()]
    folders = [path.name for path in subfolders if os.path.realpath(path) != output_path]
    if len(folders) < len(subfolders):
        log.info("%s: left out: the data directory to be written", escaped(output))
    loops = [name for name in folders if folder.resolve().is_relative_to((folder / name).resolve())]
    if loops:
        log.info("%s: left out: links to it or to a folder around it: %s", escaped(folder), escaped(", ".join(loops)))
        folders = [name for name in folders if name not in loops]
    ids = names.speaker_ids(folders)
    folder_of = {id: name for name, id in ids.items()}
    chosen = [folder_of.get(names.resolve(name, folder_of), name) for name in speakers or ()]
    missing = sorted(set(chosen) - set(folders))
    if missing:
        there = f"there are: {', '.join(folders)}" if folders else "there is none (hidden folders are left out)"
        hint = suggestion(folders, *missing)
        raise DataError(f"{folder}: no folder of speaker {', '.join(missing)}; {there}{hint}")
    loose = []
    if not chosen:
        endings = formats.SUFFIXES | formats.FFMPEG_SUFFIXES
        loose = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in endings and path.is_file())
        if loose:
            where, example = escaped(folder), escaped(loose[0])
            number = phrases.count(len(loose), "recording")
            log.warning("%s: left out: %s in no speaker's folder, such as %s", where, number, example)
    recordings, empty, others = {}, [], []
    for name in chosen or folders:
        contents = discovery.recordings_below(folder / name, excluded=output)
        discovery.report(folder / name, contents)
        paths = [path for path in contents.recordings if _matches(path.relative_to(folder / name).as_posix(), include)]
        if not paths:
            (empty if chosen or contents.refused else others).append(name)
            continue
        # Of duplicates, keep the one with the shortest name.
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
    if not recordings and loose and not others:
        raise DataError(f"{folder}: holds recordings itself; give the folder above, which has a folder of each speaker")
    if not recordings:
        raise DataError(f"{folder}: no recordings{matching} in <speaker> folders below it; {audio.KNOWN_ENDINGS}")
    if others:
        log.info(
            "%s: left out: folders without recordings%s: %s", escaped(folder), matching, escaped(", ".join(others))
        )
    reserved: list[Path] = []
    if not all(str(path).isascii() for paths in recordings.values() for path in paths):
        for name in sorted(set(folders) - set(recordings)):
            reserved += (
                path.relative_to(folder / name)
                for path in discovery.recordings_below(folder / name, excluded=output).recordings
            )
    utterances = []
    unique = names.utterance_ids({ids[name]: paths for name, paths in recordings.items()}, reserved)
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
    """Select utterances by speaker, id and number.

    Parameters
    ----------
    utterances : iterable of Utterance
        Utterances of all speakers.
    speakers : sequence of str, optional
        Ids or names of speakers. Default: all.
    include : sequence of str, optional
        Globs; an utterance's id must match one of them. Default: all.
    first : int, optional
        Largest number of utterances of each speaker, the first by id. Default: all.

    Returns
    -------
    list of Utterance
        Sorted by id.

    Raises
    ------
    DataError
        There is no such speaker, or no utterance is left, in all or of one of `speakers`.
    """
    utterances = sorted(utterances, key=lambda utterance: utterance.id)
    speaker_names = {utterance.speaker: utterance.speaker_name for utterance in utterances}
    wanted = {names.resolve(name, speaker_names) for name in speakers or speaker_names}
    missing = sorted(wanted - speaker_names.keys())
    if missing:
        known = names.there_are(dict(sorted(speaker_names.items())), *missing)
        raise DataError(f"no speaker {', '.join(missing)}; {known}")
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
        The data directory that will be written; the output of commands is stored in its folder `recordings`.
    allow_pipes : bool
        Run the commands in wav.scp (`ID COMMAND |`) once, with a shell. Otherwise a command is a fault.

    Returns
    -------
    list of Utterance, dict of str to str
        Utterances, and transcripts by id (empty if the directory has none).

    Raises
    ------
    DataError
        The lists have faults, or a command fails.
    """
    scp = source / "wav.scp"
    commands = {}
    if allow_pipes:
        commands = {id: entry[:-1] for id, entry in Table(scp, []).rows.items() if entry.endswith("|")}
    # Until the lists are known to be free of faults, an existing file takes the place of each command's output.
    lists = data_directory.parse(source, dict.fromkeys(commands, scp))
    data_directory.refuse(lists.faults)
    if commands:
        folder = path_inside(output, RECORDINGS)
        make_directory(folder)
        outputs = {id: folder.absolute() / names.file_name(id, ".wav") for id in commands}
        for id, command in commands.items():
            with replacing(outputs[id]) as temporary, temporary.open("wb") as file:
                process = subprocess.run(["sh", "-c", command], stdout=file, stderr=subprocess.PIPE, check=False)
                if process.returncode:
                    last_line = process.stderr.decode(errors="replace").strip().splitlines()[-1:]
                    fault = f"{scp}: the command of {id} exited {process.returncode}"
                    raise DataError(": ".join([fault, *last_line]))
        lists = data_directory.parse(source, outputs)
    return lists.utterances, data_directory.read_text(source)


def cut(utterances: Iterable[Utterance], output: Path) -> list[Utterance]:
    """Split recordings longer than PIECE at quiet points, and write the pieces to `output`/recordings.

    A piece's id ends in its start and end in hundredths of a second, so that pieces of two speakers do not pass for the
    same sentence. Unreadable recordings and utterances that are parts of recordings are returned unchanged.

    Raises
    ------
    DataError
        A piece cannot be written.
    """
    parts, folder = [], path_inside(output.absolute(), RECORDINGS)
    for utterance in utterances:
        lengths, rate, peak = [], 1, 0.0
        try:
            header = audio.info(utterance.path)
            if utterance.start is None and header.seconds > PIECE:
                rate = header.sample_rate
                for piece in pieces.split(audio.blocks(utterance.path), rate, PIECE):
                    lengths.append(len(piece.without_overlap(piece.samples)))
                    peak = max(peak, float(np.abs(piece.samples).max()))
        except DataError:  # `check` reports it
            lengths = []  # the pieces before the fault are not the recording
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
            if np.abs(samples).max() > 1:  # possible in floating-point files
                samples = limit(samples, rate, id)
            path = folder / names.file_name(id, ".wav")
            audio.write(path, samples, rate)
            parts.append(replace(utterance, id=id, path=path))
    return parts


def link_line_breaks(utterances: Iterable[Utterance], output: Path) -> list[Utterance]:
    """Replace paths that contain line breaks, which a list cannot hold, by links in `output`/recordings."""
    listed = []
    for utterance in utterances:
        if "\n" in str(utterance.path):
            folder = path_inside(output.absolute(), RECORDINGS)
            link = folder / names.file_name(utterance.id, utterance.path.suffix)
            make_directory(folder)
            link.unlink(missing_ok=True)
            link.symlink_to(utterance.path)
            utterance = replace(utterance, path=link)
        listed.append(utterance)
    return listed


def split(utterances: Sequence[Utterance], count: int) -> list[list[Utterance]]:
    """Split utterances in order into `count` parts of about equal size, regardless of speaker.

    Raises
    ------
    DataError
        `count` is below 1 or above the number of utterances.
    """
    if not 1 <= count <= len(utterances):
        raise DataError(f"{phrases.count(len(utterances), 'utterance')} cannot be split into {count} parts")
    bounds = [len(utterances) * part // count for part in range(count + 1)]
    return [list(utterances[start:end]) for start, end in itertools.pairwise(bounds)]
