"""Data directories in Kaldi's manner: wav.scp, utt2spk, spk2utt, optional segments and text.

A directory is read into utterances and written from them; every fault of its lists is named with file and line.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vc.corpus import audio
from vc.corpus.lists import IDENTIFIER, Fault, Table
from vc.corpus.names import identifier
from vc.errors import DataError
from vc.files import write_text

SPEAKER_NAMES = "spk2name"  # list of speakers' names that are no ids
LATEST = 1e9  # seconds, of a segment's end
MOST_NAMED = 20  # faults that are spelled out in one message


@dataclass(frozen=True)
class Utterance:
    """One recording, or the part of it between `start` and `end` seconds."""

    id: str
    speaker: str
    path: Path
    start: float | None = None  # seconds
    end: float | None = None  # seconds
    speaker_name: str = ""  # where it is not the id

    @property
    def sentence(self) -> str:
        """The id without the speaker's prefix: equal for two speakers who say the same sentence."""
        return self.id.removeprefix(self.speaker).lstrip("-_.") or self.id

    def read(self, rate: int | None = None) -> tuple[np.ndarray, int]:
        """The utterance as `(samples,)` float32 and its rate in Hz, resampled to `rate` if that is given."""
        with self._named():
            return audio.read(self.path, rate, start=self.start or 0.0, end=self.end)

    def blocks(self, rate: int | None = None) -> Iterator[np.ndarray]:
        """`read` a block at a time, so that memory does not follow the length."""
        with self._named():
            yield from audio.blocks(self.path, rate, start=self.start or 0.0, end=self.end)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """A fault of a part of a recording names the part."""
        try:
            yield
        except DataError as error:
            part = "" if self.start is None else f" (utterance {self.id})"
            raise DataError(f"{error}{part}") from error


def write(directory: Path, utterances: Sequence[Utterance], text: Mapping[str, str] | None = None) -> None:
    """Write wav.scp, utt2spk and spk2utt, sorted in the C locale.

    And segments, if utterances are parts of recordings, text, if every utterance has one, and spk2name, if speakers
    have names that are no ids.

    Parameters
    ----------
    directory : Path
        Made if missing.
    utterances : sequence of Utterance
        Either whole recordings or, all of them, parts.
    text : mapping of str to str, optional
        Transcripts by id.

    Raises
    ------
    DataError
        A file's name cannot stand in a list.
    """
    directory.mkdir(parents=True, exist_ok=True)
    utterances = sorted(utterances, key=lambda utterance: utterance.id)
    if any(utterance.start is not None for utterance in utterances):
        recordings: dict[Path, str] = {}  # ids, from the speaker and the file's name; equal ones are numbered
        for utterance in utterances:
            if utterance.path not in recordings:
                plain, number = identifier(utterance.speaker, Path(utterance.path.name)), 1
                id = plain
                while id in recordings.values():
                    number += 1
                    id = f"{plain}-{number}"
                recordings[utterance.path] = id
        segments = [f"{u.id} {recordings[u.path]} {u.start:.4f} {u.end:.4f}" for u in utterances]
        scp = sorted(f"{id} {path}" for path, id in recordings.items())
    else:
        segments, scp = [], [f"{utterance.id} {utterance.path}" for utterance in utterances]
    speaker_names = {u.speaker: u.speaker_name for u in utterances if u.speaker_name}
    write_lines(directory / SPEAKER_NAMES, [f"{id} {name}" for id, name in sorted(speaker_names.items())])
    complete = text is not None and all(utterance.id in text for utterance in utterances)
    write_lines(directory / "text", [f"{u.id} {text[u.id]}" for u in utterances] if complete else [])
    write_lines(directory / "segments", segments)
    write_lines(directory / "wav.scp", scp)
    for name, lines in speaker_lists({utterance.id: utterance.speaker for utterance in utterances}).items():
        write_lines(directory / name, lines)


def speaker_lists(speakers: Mapping[str, str]) -> dict[str, list[str]]:
    """Lines of utt2spk and spk2utt, of utterance ids and their speakers."""
    ids: dict[str, list[str]] = {}
    for id, speaker in sorted(speakers.items()):
        ids.setdefault(speaker, []).append(id)
    return {
        "utt2spk": [f"{id} {speaker}" for id, speaker in sorted(speakers.items())],
        "spk2utt": [f"{speaker} {' '.join(of_speaker)}" for speaker, of_speaker in sorted(ids.items())],
    }


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a list; an empty one is no file."""
    if not lines:
        path.unlink(missing_ok=True)
        return
    for line in lines:
        if "\n" in line or line.endswith("|"):
            raise DataError(f"{line!r}: such a name cannot stand in {path.name}; rename the file")
    write_text(path, "".join(line + "\n" for line in lines))


def read(directory: Path) -> list[Utterance]:
    """Utterances of a data directory, sorted by id; `check` also opens the recordings.

    Raises
    ------
    DataError
        With a line for every fault of its lists, or where there is no such directory.
    """
    lists = parse(directory)
    refuse(lists.faults)
    return lists.utterances


def read_text(directory: Path) -> dict[str, str]:
    """Transcripts of a data directory's utterances by id; empty where there is no text."""
    path = directory / "text"
    return dict(Table(path, []).rows) if path.exists() else {}


def refuse(faults: list[Fault]) -> None:
    """Raise DataError if there are faults."""
    if faults:
        more = [f"... and {len(faults) - MOST_NAMED} more"] if len(faults) > MOST_NAMED else []
        raise DataError(*map(str, faults[:MOST_NAMED]), *more)


def read_recordings(scp: Path) -> dict[str, Path]:
    """Recordings by id of a wav.scp alone, whether or not the files are there; refuses any other fault."""
    faults: list[Fault] = []
    table = Table(scp, faults)
    for id, entry in table.rows.items():
        if entry.endswith("|"):
            table.fault(table.lines[id], f"{id} is a command; list a file instead")
        elif os.path.exists(entry) and not os.path.isfile(entry):
            table.fault(table.lines[id], f"no file: {entry}")
    refuse(faults)
    return {id: Path(entry) for id, entry in table.rows.items()}


def count_by_speaker(utterances: Iterable[Utterance]) -> dict[str, int]:
    return dict(Counter(utterance.speaker for utterance in utterances))


def is_data_directory(directory: Path) -> bool:
    return (directory / "wav.scp").is_file()


@dataclass(frozen=True)
class Lists:
    """A data directory's lists."""

    utterances: list[Utterance]  # without faults in their lines, sorted by id
    faults: list[Fault]
    lines: dict[str, int]  # of utterances in utt2spk


def parse(directory: Path, printed: Mapping[str, Path] | None = None) -> Lists:
    """The lists of a data directory, faults and all.

    Parameters
    ----------
    directory : Path
        A data directory.
    printed : mapping of str to Path, optional
        By id of a recording, the file that stands for an entry of wav.scp that is a command.

    Raises
    ------
    DataError
        There is no such directory.
    """
    if not os.path.isdir(directory):
        raise DataError(f"{directory}: no such data directory")
    faults: list[Fault] = []
    recordings = Table(directory / "wav.scp", faults)
    recordings.rows |= {id: str(path) for id, path in (printed or {}).items()}
    speakers = Table(directory / "utt2spk", faults)
    spk2utt = Table(directory / "spk2utt", faults)
    segmented = (directory / "segments").exists()
    segments = Table(directory / "segments", faults, columns=4) if segmented else recordings
    _compare(speakers, segments)
    if (directory / "text").exists():
        _compare(speakers, Table(directory / "text", faults))
    _compare_speakers(speakers, spk2utt)
    names = Table(directory / SPEAKER_NAMES, faults).rows if (directory / SPEAKER_NAMES).exists() else {}
    utterances = []
    for id in sorted(set(speakers.rows) & set(segments.rows)):
        recording, start, end = id, None, None
        if segmented:
            line = segments.lines[id]
            recording, *times = segments.rows[id].split()
            if recording not in recordings.rows:
                segments.fault(line, f"recording {recording} is missing in wav.scp")
                continue
            try:
                start, end = (float(time) for time in times)
            except ValueError:
                segments.fault(line, f"expected start and end in seconds, found {' '.join(times)!r}")
                continue
            if not 0 <= start < end < LATEST:
                segments.fault(line, f"expected 0 <= start < end < {LATEST:g} s, found {start} and {end}")
                continue
        entry, speaker = recordings.rows[recording], speakers.rows[id]
        path = Path(entry)
        if entry.endswith("|"):
            recordings.fault(recordings.lines[recording], f"{recording} is a command; list a file instead")
        elif not os.path.isfile(path):
            recordings.fault(recordings.lines[recording], f"no such file: {entry}")
        else:
            utterances.append(Utterance(id, speaker, path, start, end, names.get(speaker, "")))
    if segmented:
        used = {row.split()[0] for row in segments.rows.values()}
        for id in sorted(recordings.rows.keys() - used):
            recordings.fault(recordings.lines[id], f"{id} has no segment")
    return Lists(utterances, faults, speakers.lines)


def _compare(one: Table, other: Table) -> None:
    for id in sorted(set(one.rows) - set(other.rows)):
        one.fault(one.lines[id], f"{id} is missing in {other.path.name}")
    for id in sorted(set(other.rows) - set(one.rows)):
        other.fault(other.lines[id], f"{id} is missing in {one.path.name}")


def _compare_speakers(speakers: Table, spk2utt: Table) -> None:
    """utt2spk and spk2utt must say the same, and ids start with their speakers'."""
    for id, speaker in speakers.rows.items():
        if not IDENTIFIER.fullmatch(speaker):
            speakers.fault(
                speakers.lines[id], f"speaker {speaker!r} must be one word of letters, digits, '.', '_', '-'"
            )
        elif not id.startswith(speaker):
            speakers.fault(speakers.lines[id], f"{id} does not start with its speaker {speaker}")
        if id not in spk2utt.rows.get(speaker, "").split():
            speakers.fault(speakers.lines[id], f"spk2utt does not list {id} under {speaker}")
    for speaker, ids in spk2utt.rows.items():
        for id in ids.split():
            if speakers.rows.get(id) != speaker:
                spk2utt.fault(spk2utt.lines[speaker], f"utt2spk does not give {id} to {speaker}")
