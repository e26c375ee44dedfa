"""Checks of data directories: every fault of lists and recordings, and repair of what needs no person."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vc.corpus import audio, data_directory
from vc.corpus.condition import SAMPLE_RATES, Condition, filled_rate, measure
from vc.corpus.data_directory import Utterance
from vc.corpus.lists import Fault, Table
from vc.errors import DataError
from vc.files import path_inside, write_bytes

SHORTEST = 0.3  # seconds, of an utterance that is worth anything
BACKUP = ".backup"  # folder of a data directory that holds its lists as they were
# What differs between speakers: a figure, how it is shown, the largest difference that does no harm, and its cost.
CONTRASTS = (
    (
        lambda one: one.noise - one.level,
        lambda decibels: f"{-decibels:.0f} dB",
        15.0,
        "{high}'s background lies {higher} below the voice, {low}'s {lower}: conversions to {high} take on noise, by"
        " which speaker recognition may distinguish them; record both in the same way",
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
    """Every fault of a data directory: of its lists, and of each recording that they name; and what costs quality.

    Raises DataError where there is no such directory.
    """
    lists = data_directory.parse(directory)
    utterances, faults, lines = lists.utterances, lists.faults, lists.lines
    utt2spk = directory / "utt2spk"
    conditions: dict[str, list[Condition]] = {}
    for utterance in utterances:
        try:
            condition = _usable(utterance)
        except DataError as error:
            faults.append(Fault(utt2spk, lines[utterance.id], f"{utterance.id}: {error}"))
        else:
            conditions.setdefault(utterance.speaker, []).append(condition)
    by_path = {utterance.path: utterance for utterance in utterances}
    for path, original_path in audio.first_of_each(by_path).items():
        copy, original = by_path[path], by_path[original_path]
        if copy.speaker != original.speaker:  # such a pair learns from itself
            text = f"{copy.id}: the same recording as {original.id}: {path}, {original_path}"
            faults.append(Fault(utt2spk, lines[copy.id], text))
    warnings = [Fault(directory, 0, text) for text in _conditions_that_cost(conditions)]
    for before, utterance in itertools.pairwise(utterances):
        if utterance.speaker < before.speaker:  # which Kaldi's own scripts refuse
            order = f"speaker {utterance.speaker} comes after {before.speaker}; prepare both by one vc-prepare"
            text = f"{utterance.id}: for Kaldi's scripts out of order: {order}"
            warnings.append(Fault(utt2spk, lines[utterance.id], text))
            break
    return Findings(faults, warnings)


def _conditions_that_cost(conditions: Mapping[str, Sequence[Condition]]) -> list[str]:
    """What in the condition of speakers' recordings makes a voice worse, by speaker and between them."""
    remarks, rates = [], {}
    for speaker, recordings in conditions.items():
        counts = Counter(condition.sample_rate for condition in recordings)
        if len(counts) > 1:
            text = ", ".join(f"{count} at {rate} Hz" for rate, count in sorted(counts.items()))
            remarks.append(f"{speaker}: recordings of several rates, which vc-extract brings to one: {text}")
        rates[speaker] = filled_rate(recordings, SAMPLE_RATES)
        claimed = max((rate for rate in SAMPLE_RATES if rate <= min(counts)), default=None)
        if rates[speaker] and rates[speaker] != claimed:
            top = np.median([condition.bandwidth for condition in recordings])
            remarks.append(
                f"{speaker}: nothing above {top / 1000:.1f} kHz in most recordings, though their rate is {min(counts)}"
                f" Hz (upsampled, or coded): learn at features.sample_rate={rates[speaker]}, or an empty band is learnt"
            )
    if len(set(rates.values())) > 1 and None not in rates.values():
        low, high = min(rates, key=rates.get), max(rates, key=rates.get)
        remarks.append(
            f"{low} fills the band of {rates[low]} Hz alone, {high} that of {rates[high]} Hz: at a higher rate than"
            f" {rates[low]} Hz conversions to {low} are dull, and those from {low} have nothing to make the rest of"
        )
    for figure, unit, largest, cost in CONTRASTS:
        typical = {
            speaker: float(np.median([figure(condition) for condition in recordings]))
            for speaker, recordings in conditions.items()
        }
        low, high = min(typical, key=typical.get, default=""), max(typical, key=typical.get, default="")
        if typical and typical[high] - typical[low] > largest:
            remarks.append(cost.format(low=low, high=high, lower=unit(typical[low]), higher=unit(typical[high])))
    return remarks


def _usable(utterance: Utterance) -> Condition:
    """The condition of an utterance; DataError if nothing can be learnt from it."""
    condition = measure(utterance.blocks(), audio.info(utterance.path).sample_rate)
    if condition.seconds < SHORTEST:
        raise DataError(f"{utterance.path}: {condition.seconds:.2f} s, shorter than {SHORTEST} s")
    if condition.silent:
        raise DataError(f"{utterance.path}: nothing but silence")
    return condition


def fix(directory: Path) -> tuple[int, int]:
    """Sort the lists, and leave out every utterance that is not whole in all of them or cannot be used.

    The folder BACKUP keeps each list that is changed as it was. `check` finds what this cannot repair.

    Returns
    -------
    int, int
        How many utterances are kept, and how many there were.

    Raises
    ------
    DataError
        No utterance would be left, or a name cannot stand in a list.
    """
    lists = data_directory.parse(directory)
    tables = {name: Table(directory / name, []) for name in LISTS if (directory / name).exists()}
    usable = []
    for utterance in lists.utterances:
        if "text" not in tables or utterance.id in tables["text"].rows:
            with contextlib.suppress(DataError):
                _usable(utterance)
                usable.append(utterance)
    if not usable:
        raise DataError(f"{directory}: no utterance would be left")
    ids = {utterance.id for utterance in usable}
    recordings = {tables["segments"].rows[id].split()[0] for id in ids} if "segments" in tables else ids
    new_lists = data_directory.speaker_lists({utterance.id: utterance.speaker for utterance in usable})
    for name, rows in {"wav.scp": recordings, "segments": ids, "text": ids}.items():
        if name in tables:
            new_lists[name] = [f"{id} {tables[name].rows[id]}" for id in sorted(rows)]
    for name, lines in new_lists.items():
        content = (directory / name).read_bytes() if (directory / name).exists() else b""
        if content == "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape"):
            continue
        backup = path_inside(directory, BACKUP)
        backup.mkdir(exist_ok=True)
        if name in tables:
            write_bytes(backup / name, content)
        data_directory.write_lines(directory / name, lines)
    return len(usable), len(lists.lines)
