"""Read and write Kaldi-style data directories: wav.scp, utt2spk, spk2utt, and optionally segments and text.

Every fault in a list is reported with its file and line.
"""

import contextlib
import logging
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vc import phrases
from vc.corpus import audio
from vc.corpus.lists import IDENTIFIER, Fault, Table
from vc.corpus.names import identifier
from vc.errors import DataError, escaped
from vc.files import make_directory, write_text

SPEAKER_NAMES = "spk2name"  # list of the names that differ from the speakers' ids
LATEST = 1e9  # seconds, latest end of a segment
MOST_NAMED = 20  # faults that one message lists
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Utterance:
    """A recording, or the part of it between `start` and `end`."""

    id: str
    speaker: str
    path: Path
    start: float | None = None  # seconds
    end: float | None = None  # seconds
    speaker_name: str = ""  # if it differs from the id

    @property
    def sentence(self) -> str:
        """The id without the speaker prefix: the same for all speakers of the sentence."""
        return self.id.removeprefix(self.speaker).lstrip("-_.") or self.id

    @property
    def span(self) -> tuple[float, float]:
        """Start and end in its recording in seconds; infinity for the recording's own end."""
        return self.start or 0.0, math.inf if self.end is None else self.end

    def read(self, rate: int | None = None) -> tuple[np.ndarray, int]:
        """Read `(samples,)` float32, resampled to `rate` Hz if given, and the sample rate in Hz."""
        with self._id_in_errors():
            return audio.read(self.path, rate, start=self.start or 0.0, end=self.end)

    def blocks(self, rate: int | None = None) -> Iterator[np.ndarray]:
        """Like `read`, but a block at a time, in constant memory."""
        with self._id_in_errors():
            yield from audio.blocks(self.path, rate, start=self.start or 0.0, end=self.end)

    @contextlib.contextmanager
    def _id_in_errors(self) -> Iterator[None]:
        """Add the utterance id to the error if the utterance is only a part of the recording."""
        try:
            yield
        except DataError as error:
            part = "" if self.start is None else f" (utterance {self.id})"
            raise DataError(f"{error}{part}") from error


def write(directory: Path, utterances: Sequence[Utterance], text: Mapping[str, str] | None = None) -> None:
    """Write wav.scp, utt2spk and spk2utt, sorted in the C locale.

    Also writes segments if the utterances are parts of recordings, text if every utterance has a transcript (with a
    warning if they are given, but not for all), and spk2name if a speaker's name differs from the id.

    Parameters
    ----------
    directory : Path
        Created if missing.
    utterances : sequence of Utterance
        Either all whole recordings, or all parts of recordings.
    text : mapping of str to str, optional
        Transcripts by id.

    Raises
    ------
    DataError
        A file name cannot be written to a list.
    OSError
        `directory` cannot be created or written.
    """
    make_directory(directory)
    utterances = sorted(utterances, key=lambda utterance: utterance.id)
    if any(utterance.start is not None for utterance in utterances):
        recordings: dict[Path, str] = {}  # ids made of speaker and file name, numbered to be unique
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
    missing = [utterance.id for utterance in utterances if utterance.id not in (text or {})]
    write_lines(directory / "text", [] if missing else [f"{u.id} {text[u.id]}" for u in utterances])
    if text and missing:
        count = f"{len(missing)} of {phrases.count(len(utterances), 'utterance')}"
        log.warning("%s: no transcripts are written: none for %s, such as %s", escaped(directory), count, missing[0])
    write_lines(directory / "segments", segments)
    write_lines(directory / "wav.scp", scp)
    for name, lines in speaker_lists({utterance.id: utterance.speaker for utterance in utterances}).items():
        write_lines(directory / name, lines)


def speaker_lists(speakers: Mapping[str, str]) -> dict[str, list[str]]:
    """The lines of utt2spk and spk2utt, from a mapping of utterance ids to speakers."""
    ids: dict[str, list[str]] = {}
    for id, speaker in sorted(speakers.items()):
        ids.setdefault(speaker, []).append(id)
    return {
        "utt2spk": [f"{id} {speaker}" for id, speaker in sorted(speakers.items())],
        "spk2utt": [f"{speaker} {' '.join(speaker_ids)}" for speaker, speaker_ids in sorted(ids.items())],
    }


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a list, or delete the file if the list is empty; DataError for a line that a list cannot hold."""
    if not lines:
        path.unlink(missing_ok=True)
        return
    for line in lines:
        if "\n" in line or line.endswith("|"):
            raise DataError(f"{line!r}: this name cannot be written to {path.name}; rename the file")
    write_text(path, "".join(line + "\n" for line in lines))


def read(directory: Path) -> list[Utterance]:
    """Read the utterances of a data directory, sorted by id. The recordings are not opened (see `check`).

    Raises
    ------
    DataError
        There is no such directory, or its lists have faults; each fault is a line of the message.
    """
    lists = parse(directory)
    refuse(lists.faults)
    return lists.utterances


def read_text(directory: Path) -> dict[str, str]:
    """Read the transcripts of a data directory, by utterance id; empty if it has none."""
    path = directory / "text"
    return dict(Table(path, []).rows) if path.exists() else {}


def refuse(faults: list[Fault]) -> None:
    """Raise DataError if there are faults."""
    if faults:
        more = [f"... and {len(faults) - MOST_NAMED} more"] if len(faults) > MOST_NAMED else []
        raise DataError(*map(str, faults[:MOST_NAMED]), *more)


def read_recordings(scp: Path) -> dict[str, Path]:
    """Read a wav.scp on its own: paths by recording id.

    Raises
    ------
    DataError
        The list has faults. A file that does not exist is not a fault here.
    """
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
    """The contents of a data directory's lists."""

    utterances: list[Utterance]  # whose entries are valid, sorted by id
    faults: list[Fault]
    lines: dict[str, int]  # line of each utterance in utt2spk


def parse(directory: Path, outputs: Mapping[str, Path] | None = None) -> Lists:
    """Read the lists of a data directory and collect their faults.

    Parameters
    ----------
    directory : Path
        A data directory.
    outputs : mapping of str to Path, optional
        For recordings whose wav.scp entry is a command, the file that holds its output, by recording id.

    Raises
    ------
    DataError
        There is no such directory, or it has none of the lists.
    """
    if not os.path.isdir(directory):
        raise DataError(f"{directory}: no such data directory")
    if not any((directory / name).exists() for name in ("wav.scp", "utt2spk", "spk2utt")):
        advice = "vc-prepare makes one from folders of recordings"
        raise DataError(f"{directory}: not a data directory, for it has no wav.scp, utt2spk and spk2utt; {advice}")
    faults: list[Fault] = []
    recordings = Table(directory / "wav.scp", faults)
    recordings.rows |= {id: str(path) for id, path in (outputs or {}).items()}
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
    """Report where utt2spk and spk2utt disagree, and utterance ids that do not start with the speaker's."""
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
