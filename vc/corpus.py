"""Data directories in Kaldi's manner: wav.scp, utt2spk, spk2utt, optional segments and text.

A directory is read into utterances, written from them, and validated; every fault is named with file and line.
"""

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vc import audio
from vc.errors import DataError
from vc.files import sha256, write_text
from vc.lists import IDENTIFIER, Fault, Table

LATEST = 1e9  # seconds, of a segment's end
SHORTEST = 0.3  # seconds, of an utterance that is worth anything
NAMED_FAULTS = 20  # so many are spelled out in one message


@dataclass(frozen=True)
class Utterance:
    """One recording, or the part of it between `start` and `end` seconds."""

    id: str
    speaker: str
    path: Path
    start: float | None = None  # seconds
    end: float | None = None  # seconds

    @property
    def sentence(self) -> str:
        """The id without the speaker's prefix: equal for two speakers who say the same sentence."""
        return self.id.removeprefix(self.speaker).lstrip("-_.") or self.id

    def read(self, rate: int | None = None) -> tuple[np.ndarray, int]:
        """The utterance as `(samples,)` float32 and its rate in Hz, resampled to `rate` if that is given."""
        samples, rate = audio.read(self.path, rate)
        if self.start is None:
            return samples, rate
        part = samples[round(self.start * rate) : round(self.end * rate)]
        if len(part) == 0:
            raise DataError(f"{self.path}: nothing between {self.start} s and {self.end} s (utterance {self.id})")
        return part, rate


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
        Utterance(_identifier(speaker, path.relative_to(folder / speaker)), speaker, path.absolute())
        for speaker in (speakers or found)
        for path in audio.recordings_below(folder / speaker)
        if _included(path.relative_to(folder / speaker), include)
    ]
    if not utterances:
        known = " ".join(sorted(audio.SUFFIXES))
        raise DataError(f"{folder}: no recordings in <speaker> folders below it; known endings: {known}")
    _refuse_same_ids(utterances)
    return sorted(utterances, key=lambda utterance: utterance.id)


def _included(path: Path, include: Sequence[str] | None) -> bool:
    return include is None or any(fnmatch.fnmatch(path.as_posix(), glob) for glob in include)


def _identifier(speaker: str, path: Path) -> str:
    """An id that sorts with its speaker; signs that are not safe in a file name become `_`."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", "-".join([speaker, *path.with_suffix("").parts]))


def _refuse_same_ids(utterances: Iterable[Utterance]) -> None:
    seen: dict[str, Path] = {}
    for utterance in utterances:
        other = seen.setdefault(utterance.id.lower(), utterance.path)
        if other != utterance.path:
            raise DataError(f"{utterance.path}: would get the same id as {other}: {utterance.id}; rename one")


def write(directory: Path, utterances: Sequence[Utterance]) -> None:
    """Write wav.scp, utt2spk and spk2utt (and segments, if utterances are parts), sorted in the C locale."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "text").unlink(missing_ok=True)  # of other utterances
    utterances = sorted(utterances, key=lambda utterance: utterance.id)
    parts = any(utterance.start is not None for utterance in utterances)
    if parts:
        recordings = {_recording(utterance): utterance.path for utterance in utterances}
        lines = [f"{u.id} {_recording(u)} {u.start:.4f} {u.end:.4f}" for u in utterances]
        _write_lines(directory / "segments", lines)
    else:
        (directory / "segments").unlink(missing_ok=True)
        recordings = {utterance.id: utterance.path for utterance in utterances}
    speakers: dict[str, list[str]] = {}
    for utterance in utterances:
        speakers.setdefault(utterance.speaker, []).append(utterance.id)
    _write_lines(directory / "wav.scp", [f"{id} {path}" for id, path in sorted(recordings.items())])
    _write_lines(directory / "utt2spk", [f"{utterance.id} {utterance.speaker}" for utterance in utterances])
    _write_lines(directory / "spk2utt", [f"{name} {' '.join(ids)}" for name, ids in sorted(speakers.items())])


def _recording(utterance: Utterance) -> str:
    return _identifier(utterance.speaker, Path(utterance.path.name))


def _write_lines(path: Path, lines: list[str]) -> None:
    for line in lines:
        if "\n" in line or line.endswith("|"):
            raise DataError(f"{line!r}: such a name cannot stand in {path.name}; rename the file")
    write_text(path, "".join(line + "\n" for line in lines))


def read(directory: Path) -> list[Utterance]:
    """Read a data directory; any fault of its lists refuses it (`check` also opens the recordings)."""
    utterances, faults, _ = _parse(directory)
    _refuse(faults)
    return utterances


def _refuse(faults: list[Fault]) -> None:
    if faults:
        more = [f"... and {len(faults) - NAMED_FAULTS} more"] if len(faults) > NAMED_FAULTS else []
        raise DataError(*map(str, faults[:NAMED_FAULTS]), *more)


def read_recordings(scp: Path) -> dict[str, Path]:
    """Recordings by id of a wav.scp alone, whether or not the files are there; refuses any other fault."""
    faults: list[Fault] = []
    table = Table(scp, faults)
    for id, entry in table.rows.items():
        if entry.endswith("|"):
            table.fault(table.lines[id], f"{id} is a command; list a file instead")
    _refuse(faults)
    return {id: Path(entry) for id, entry in table.rows.items()}


def count_by_speaker(utterances: Iterable[Utterance]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for utterance in utterances:
        counts[utterance.speaker] = counts.get(utterance.speaker, 0) + 1
    return counts


def is_data_directory(directory: Path) -> bool:
    return (directory / "wav.scp").is_file()


def check(directory: Path) -> list[Fault]:
    """Every fault of a data directory: of its lists, and of each recording that they name."""
    utterances, faults, lines = _parse(directory)
    rates: dict[int, int] = {}
    for utterance in utterances:
        fault = _audio_fault(utterance, rates)
        if fault:
            faults.append(Fault(directory / "utt2spk", lines[utterance.id], f"{utterance.id}: {fault}"))
    if len(rates) > 1:
        counts = ", ".join(f"{count} at {rate} Hz" for rate, count in sorted(rates.items()))
        faults.append(Fault(directory / "wav.scp", 0, f"recordings of several rates: {counts}"))
    faults.extend(_shared_recordings(directory / "utt2spk", utterances, lines))
    return faults


def _audio_fault(utterance: Utterance, rates: dict[int, int]) -> str | None:
    try:
        samples, rate = utterance.read()
    except DataError as error:
        return str(error)
    rates[rate] = rates.get(rate, 0) + 1
    if len(samples) < SHORTEST * rate:
        return f"{utterance.path}: {len(samples) / rate:.2f} s, shorter than {SHORTEST} s"
    if not samples.any():
        return f"{utterance.path}: nothing but silence"
    return None


def _shared_recordings(path: Path, utterances: Iterable[Utterance], lines: dict[str, int]) -> list[Fault]:
    """Recordings, by content, that two speakers share: such a pair learns from itself."""
    owners: dict[str, Utterance] = {}
    faults = []
    for utterance in utterances:
        if utterance.start is None:
            other = owners.setdefault(sha256(utterance.path), utterance)
            if other.speaker != utterance.speaker:
                text = f"{utterance.id}: the same recording as {other.id}: {utterance.path}, {other.path}"
                faults.append(Fault(path, lines[utterance.id], text))
    return faults


def _parse(directory: Path) -> tuple[list[Utterance], list[Fault], dict[str, int]]:
    """Utterances that can be made of the lists, every fault of the lists, and each utterance's line in utt2spk."""
    if not os.path.isdir(directory):
        raise DataError(f"{directory}: no such data directory")
    faults: list[Fault] = []
    recordings = Table(directory / "wav.scp", faults)
    speakers = Table(directory / "utt2spk", faults)
    listed = Table(directory / "spk2utt", faults)
    segmented = (directory / "segments").exists()
    segments = Table(directory / "segments", faults, columns=4) if segmented else recordings
    _compare(speakers, segments)
    if (directory / "text").exists():
        _compare(speakers, Table(directory / "text", faults))
    _compare_speakers(speakers, listed)
    utterances = []
    for id in sorted(set(speakers.rows) & set(segments.rows)):
        make = _segment if segmented else _whole
        utterance = make(id, speakers, segments, recordings)
        if utterance is not None:
            utterances.append(utterance)
    return utterances, faults, speakers.lines


def _compare(one: Table, other: Table) -> None:
    for id in sorted(set(one.rows) - set(other.rows)):
        one.fault(one.lines[id], f"{id} is missing in {other.path.name}")
    for id in sorted(set(other.rows) - set(one.rows)):
        other.fault(other.lines[id], f"{id} is missing in {one.path.name}")


def _compare_speakers(speakers: Table, listed: Table) -> None:
    """utt2spk and spk2utt must say the same, and an utterance's id must start with its speaker's."""
    for id, speaker in speakers.rows.items():
        if not IDENTIFIER.fullmatch(speaker):
            speakers.fault(
                speakers.lines[id], f"speaker {speaker!r} must be one word of letters, digits, '.', '_', '-'"
            )
        elif not id.startswith(speaker):
            speakers.fault(speakers.lines[id], f"{id} does not start with its speaker {speaker}")
        if id not in listed.rows.get(speaker, "").split():
            speakers.fault(speakers.lines[id], f"spk2utt does not list {id} under {speaker}")
    for speaker, ids in listed.rows.items():
        for id in ids.split():
            if speakers.rows.get(id) != speaker:
                listed.fault(listed.lines[speaker], f"utt2spk does not give {id} to {speaker}")


def _whole(id: str, speakers: Table, segments: Table, recordings: Table) -> Utterance | None:
    path = _recording_path(id, recordings)
    return None if path is None else Utterance(id, speakers.rows[id], path)


def _segment(id: str, speakers: Table, segments: Table, recordings: Table) -> Utterance | None:
    line = segments.lines[id]
    recording, *times = segments.rows[id].split()
    if recording not in recordings.rows:
        segments.fault(line, f"recording {recording} is missing in wav.scp")
        return None
    try:
        start, end = (float(time) for time in times)
    except ValueError:
        segments.fault(line, f"expected start and end in seconds, found {' '.join(times)!r}")
        return None
    if not 0 <= start < end < LATEST:
        segments.fault(line, f"expected 0 <= start < end < {LATEST:g} s, found {start} and {end}")
        return None
    path = _recording_path(recording, recordings)
    return None if path is None else Utterance(id, speakers.rows[id], path, start, end)


def _recording_path(id: str, recordings: Table) -> Path | None:
    entry = recordings.rows[id]
    if entry.endswith("|"):
        recordings.fault(recordings.lines[id], f"{id} is a command; list a file instead")
        return None
    path = Path(entry)
    if not os.path.isfile(path):
        recordings.fault(recordings.lines[id], f"no such file: {entry}")
        return None
    return path
