"""Data directories looked through: every fault of lists and recordings, and what can be mended without a person."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vc import corpus
from vc.corpus import Utterance
from vc.errors import DataError
from vc.files import sha256
from vc.lists import Fault, Table

SHORTEST = 0.3  # seconds, of an utterance that is worth anything
BACKUP = ".backup"  # folder of a data directory that holds its lists as they were
LISTS = ("wav.scp", "utt2spk", "spk2utt", "segments", "text")


@dataclass(frozen=True)
class Findings:
    """What a check found."""

    faults: list[Fault]
    warnings: list[Fault]  # what can be learnt from all the same


def check(directory: Path) -> Findings:
    """Every fault of a data directory: of its lists, and of each recording that they name; and what costs quality."""
    lists = corpus.parse(directory)
    utterances, faults, lines = lists.utterances, lists.faults, lists.lines
    rates: dict[int, int] = {}
    for utterance in utterances:
        fault = _audio_fault(utterance, rates)
        if fault:
            faults.append(Fault(directory / "utt2spk", lines[utterance.id], f"{utterance.id}: {fault}"))
    if len(rates) > 1:
        counts = ", ".join(f"{count} at {rate} Hz" for rate, count in sorted(rates.items()))
        faults.append(Fault(directory / "wav.scp", 0, f"recordings of several rates: {counts}"))
    faults.extend(_shared_recordings(directory / "utt2spk", utterances, lines))
    return Findings(faults, _unsorted_speakers(directory / "utt2spk", utterances, lines))


def _unsorted_speakers(path: Path, utterances: Iterable[Utterance], lines: dict[str, int]) -> list[Fault]:
    """Speakers that come in another order than their utterances' ids: Kaldi's own scripts refuse that."""
    warnings, before = [], ""
    for utterance in utterances:
        if utterance.speaker < before:
            order = f"speaker {utterance.speaker} comes after {before}; prepare both by one vc-prepare"
            warnings.append(
                Fault(path, lines[utterance.id], f"{utterance.id}: for Kaldi's scripts out of order: {order}")
            )
            break
        before = utterance.speaker
    return warnings


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


def fix(directory: Path) -> tuple[int, int]:
    """Sort the lists, and leave out every utterance that is not whole in all of them or cannot be used.

    Return how many utterances are kept, and how many there were. A list that is changed stays in BACKUP below as it
    was. What cannot be mended so, `check` finds afterwards.
    """
    lists = corpus.parse(directory)
    rates: dict[int, int] = {}
    tables = {name: Table(directory / name, []) for name in LISTS if (directory / name).exists()}
    whole = [u for u in lists.utterances if "text" not in tables or u.id in tables["text"].rows]
    kept = [utterance for utterance in whole if _audio_fault(utterance, rates) is None]
    if not kept:
        raise DataError(f"{directory}: no utterance would be left")
    for name, lines in _changed(directory, tables, kept).items():
        (directory / BACKUP).mkdir(exist_ok=True)
        if name in tables:
            shutil.copy2(directory / name, directory / BACKUP / name)
        corpus.write_lines(directory / name, lines)
    return len(kept), len(lists.lines)


def _changed(directory: Path, tables: dict[str, Table], kept: list[Utterance]) -> dict[str, list[str]]:
    """The lists of the utterances that are kept, sorted; without those that are so already."""
    ids = {utterance.id for utterance in kept}
    segments = tables.get("segments")
    wanted = {
        "wav.scp": {segments.rows[id].split()[0] for id in ids} if segments else ids,
        "segments": ids,
        "text": ids,
    }
    lists = corpus.speaker_lists({utterance.id: utterance.speaker for utterance in kept})
    for name in wanted.keys() & tables.keys():
        lists[name] = [f"{id} {tables[name].rows[id]}" for id in sorted(wanted[name])]
    return {name: lines for name, lines in lists.items() if _content(directory / name) != _encoded(lines)}


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _encoded(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")
