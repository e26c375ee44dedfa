"""Data directories looked through: every fault of lists and recordings, and what can be mended without a person."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vc.corpus import audio, data_directory
from vc.corpus.condition import SAMPLE_RATES, Condition, filled_rate, measure
from vc.corpus.data_directory import Utterance
from vc.corpus.lists import Fault, Table
from vc.errors import DataError
from vc.files import inside, write_bytes

SHORTEST = 0.3  # seconds, of an utterance that is worth anything
BACKUP = ".backup"  # folder of a data directory that holds its lists as they were
# What differs between speakers: a figure, how it is shown, the largest difference that does no harm, and its cost.
CONTRASTS = (
    (
        lambda one: one.noise - one.level,
        lambda decibels: f"{-decibels:.0f} dB",
        15.0,
        "{high}'s background lies {higher} below the voice, {low}'s {lower}: what is converted to {high} takes on"
        " noise, and recognisers of speakers tell them by it; record both alike",
    ),
    (
        lambda one: one.level,
        lambda decibels: f"{decibels:.0f} dB of full scale",
        15.0,
        "{high} speaks at {higher}, {low} at {lower}: where log-mel is learnt from, loudness becomes part of the voice;"
        " bring both to one level",
    ),
    (
        lambda one: one.pauses,
        lambda share: f"{100 * share:.0f} %",
        0.3,
        "{higher} of {high}'s recordings are pauses, of {low}'s {lower}: so much less of {high} is there to learn from;"
        " cut pauses short",
    ),
)
LISTS = ("wav.scp", "utt2spk", "spk2utt", "segments", "text")


@dataclass(frozen=True)
class Findings:
    """What a check found."""

    faults: list[Fault]
    warnings: list[Fault]  # what can be learnt from all the same


def check(directory: Path) -> Findings:
    """Every fault of a data directory: of its lists, and of each recording that they name; and what costs quality."""
    lists = data_directory.parse(directory)
    utterances, faults, lines = lists.utterances, lists.faults, lists.lines
    conditions: dict[str, list[Condition]] = {}
    for utterance in utterances:
        try:
            condition = _usable(utterance)
        except DataError as error:
            faults.append(Fault(directory / "utt2spk", lines[utterance.id], f"{utterance.id}: {error}"))
        else:
            conditions.setdefault(utterance.speaker, []).append(condition)
    faults.extend(_shared_recordings(directory / "utt2spk", utterances, lines))
    warnings = [Fault(directory, 0, text) for text in _conditions_that_cost(conditions)]
    return Findings(faults, warnings + _unsorted_speakers(directory / "utt2spk", utterances, lines))


def _conditions_that_cost(conditions: Mapping[str, Sequence[Condition]]) -> list[str]:
    """What in the condition of speakers' recordings makes a voice worse, by speaker and between them."""
    said, rates = [], {}
    for speaker, own in conditions.items():
        counts = Counter(one.sample_rate for one in own)
        if len(counts) > 1:
            text = ", ".join(f"{count} at {rate} Hz" for rate, count in sorted(counts.items()))
            said.append(f"{speaker}: recordings of several rates, which vc-extract brings to one: {text}")
        rates[speaker] = filled_rate(own, SAMPLE_RATES)
        claimed = max((rate for rate in SAMPLE_RATES if rate <= min(counts)), default=None)
        if rates[speaker] and rates[speaker] != claimed:
            top = np.median([one.bandwidth for one in own])
            said.append(
                f"{speaker}: nothing above {top / 1000:.1f} kHz in most recordings, though their rate is {min(counts)}"
                f" Hz (upsampled, or coded): learn at features.sample_rate={rates[speaker]}, or an empty band is learnt"
            )
    if len(set(rates.values())) > 1 and None not in rates.values():
        low, high = min(rates, key=rates.get), max(rates, key=rates.get)
        said.append(
            f"{low} fills the band of {rates[low]} Hz alone, {high} that of {rates[high]} Hz: at a higher rate than"
            f" {rates[low]} Hz conversions to {low} are dull, and those from {low} have nothing to make the rest of"
        )
    for figure, unit, most, cost in CONTRASTS:
        typical = {who: float(np.median([figure(one) for one in own])) for who, own in conditions.items()}
        low, high = min(typical, key=typical.get, default=""), max(typical, key=typical.get, default="")
        if typical and typical[high] - typical[low] > most:
            said.append(cost.format(low=low, high=high, lower=unit(typical[low]), higher=unit(typical[high])))
    return said


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


def _usable(utterance: Utterance) -> Condition:
    """The condition of an utterance; DataError if nothing can be learnt from it."""
    rate = audio.info(utterance.path).sample_rate
    found = measure(utterance.blocks(), rate)
    if found.seconds < SHORTEST:
        raise DataError(f"{utterance.path}: {found.seconds:.2f} s, shorter than {SHORTEST} s")
    if found.silent:
        raise DataError(f"{utterance.path}: nothing but silence")
    return found


def _shared_recordings(path: Path, utterances: Iterable[Utterance], lines: dict[str, int]) -> list[Fault]:
    """Recordings, by their samples, that two speakers share: such a pair learns from itself."""
    whole = {utterance.path: utterance for utterance in utterances}
    faults = []
    for copy, original in audio.first_of_each(whole).items():
        own, other = whole[copy], whole[original]
        if own.speaker != other.speaker:
            text = f"{own.id}: the same recording as {other.id}: {copy}, {original}"
            faults.append(Fault(path, lines[own.id], text))
    return faults


def fix(directory: Path) -> tuple[int, int]:
    """Sort the lists, and leave out every utterance that is not whole in all of them or cannot be used.

    Return how many utterances are kept, and how many there were. A list that is changed stays in BACKUP below as it
    was. What cannot be mended so, `check` finds afterwards.
    """
    lists = data_directory.parse(directory)
    tables = {name: Table(directory / name, []) for name in LISTS if (directory / name).exists()}
    whole = [u for u in lists.utterances if "text" not in tables or u.id in tables["text"].rows]
    kept = [utterance for utterance in whole if _is_usable(utterance)]
    if not kept:
        raise DataError(f"{directory}: no utterance would be left")
    for name, lines in _changed(directory, tables, kept).items():
        backup = inside(directory, BACKUP)
        backup.mkdir(exist_ok=True)
        if name in tables:
            write_bytes(backup / name, (directory / name).read_bytes())
        data_directory.write_lines(directory / name, lines)
    return len(kept), len(lists.lines)


def _is_usable(utterance: Utterance) -> bool:
    try:
        _usable(utterance)
    except DataError:
        return False
    return True


def _changed(directory: Path, tables: dict[str, Table], kept: list[Utterance]) -> dict[str, list[str]]:
    """The lists of the utterances that are kept, sorted; without those that are so already."""
    ids = {utterance.id for utterance in kept}
    segments = tables.get("segments")
    wanted = {
        "wav.scp": {segments.rows[id].split()[0] for id in ids} if segments else ids,
        "segments": ids,
        "text": ids,
    }
    lists = data_directory.speaker_lists({utterance.id: utterance.speaker for utterance in kept})
    for name in wanted.keys() & tables.keys():
        lists[name] = [f"{id} {tables[name].rows[id]}" for id in sorted(wanted[name])]
    return {name: lines for name, lines in lists.items() if _content(directory / name) != _encoded(lines)}


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _encoded(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")
