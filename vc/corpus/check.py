"""Check a data directory: report every fault in its lists and recordings, and repair what can be repaired safely."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vc.corpus import audio, data_directory
from vc.corpus.condition import SAMPLE_RATES, Condition, filled_rate, measure_usable
from vc.corpus.data_directory import Utterance
from vc.corpus.lists import Fault, Table
from vc.corpus.names import label
from vc.errors import DataError
from vc.files import make_directory, path_inside, write_bytes

BACKUP = ".backup"  # subfolder of a data directory that keeps the original lists
# Comparisons between speakers: the measure, its format, the largest harmless difference, and the warning.
CONTRASTS = (
    (
        lambda condition: condition.noise - condition.level,
        lambda decibels: f"{-decibels:.0f} dB",
        15.0,
        "{high}'s background noise is {higher} below the voice, {low}'s {lower}: conversions to {high} will contain"
        " noise, by which speaker verification may tell them apart; record both in the same way",
    ),
    (
        lambda condition: condition.level,
        lambda decibels: f"{decibels:.0f} dB of full scale",
        15.0,
        "{high} speaks at {higher}, {low} at {lower}: models of log-mel features learn loudness as part of the voice;"
        " bring both to the same level",
    ),
    (
        lambda condition: condition.pauses,
        lambda share: f"{100 * share:.0f} %",
        0.3,
        "pauses make up {higher} of {high}'s recordings and {lower} of {low}'s, which leaves less speech of {high} to"
        " train on; shorten the pauses",
    ),
)
LISTS = ("wav.scp", "utt2spk", "spk2utt", "segments", "text", data_directory.SPEAKER_NAMES)


@dataclass(frozen=True)
class Findings:
    """Results of a check."""

    faults: list[Fault]
    warnings: list[Fault]  # lower the quality, but do not prevent training


def check(directory: Path) -> Findings:
    """Find every fault in a data directory's lists and recordings, and what may lower the quality of a model.

    Raises
    ------
    DataError
        There is no such directory, or it has none of the lists.
    """
    lists = data_directory.parse(directory)
    utterances, faults, lines = lists.utterances, lists.faults, lists.lines
    utt2spk = directory / "utt2spk"
    conditions: dict[str, list[Condition]] = {}
    for utterance in utterances:
        try:
            condition = usable_condition(utterance)
        except DataError as error:
            faults.append(Fault(utt2spk, lines[utterance.id], f"{utterance.id}: {error}"))
        else:
            speaker = label(utterance.speaker, utterance.speaker_name)
            conditions.setdefault(speaker, []).append(condition)
    by_path = {utterance.path: utterance for utterance in utterances}
    for path, original_path in audio.first_of_each(by_path).items():
        copy, original = by_path[path], by_path[original_path]
        if copy.speaker != original.speaker:  # training on such a pair would be meaningless
            text = f"{copy.id}: the same recording as {original.id}: {path}, {original_path}"
            faults.append(Fault(utt2spk, lines[copy.id], text))
    warnings = [Fault(directory, 0, text) for text in _quality_warnings(conditions)]
    for before, utterance in itertools.pairwise(utterances):
        if utterance.speaker < before.speaker:  # Kaldi's own scripts refuse this
            order = f"speaker {utterance.speaker} comes after {before.speaker}; prepare both with one vc-prepare"
            text = f"{utterance.id}: out of order for Kaldi's scripts: {order}"
            warnings.append(Fault(utt2spk, lines[utterance.id], text))
            break
    return Findings(faults, warnings)


def _quality_warnings(conditions: Mapping[str, Sequence[Condition]]) -> list[str]:
    """Warnings about recording conditions that lower quality, for each speaker and between speakers."""
    remarks, rates = [], {}
    for speaker, recordings in conditions.items():
        counts = Counter(condition.sample_rate for condition in recordings)
        if len(counts) > 1:
            text = ", ".join(f"{count} at {rate} Hz" for rate, count in sorted(counts.items()))
            remarks.append(f"{speaker}: recordings at several sample rates, which vc-extract resamples to one: {text}")
        rates[speaker] = filled_rate(recordings, SAMPLE_RATES)
        claimed = max((rate for rate in SAMPLE_RATES if rate <= min(counts)), default=None)
        if rates[speaker] and rates[speaker] != claimed:
            top = np.median([condition.bandwidth for condition in recordings])
            remarks.append(
                f"{speaker}: nothing above {top / 1000:.1f} kHz in most recordings, though their rate is {min(counts)}"
                f" Hz (upsampled or lossy): train at features.sample_rate={rates[speaker]}, or the model learns an"
                " empty band"
            )
    if len(set(rates.values())) > 1 and None not in rates.values():
        low, high = min(rates, key=rates.get), max(rates, key=rates.get)
        remarks.append(
            f"{low}'s recordings fill only the band of {rates[low]} Hz, {high}'s that of {rates[high]} Hz: at a sample"
            f" rate above {rates[low]} Hz, conversions to {low} sound dull, and those from {low} lack high frequencies"
        )
    for value_of, format_value, largest, warning in CONTRASTS:
        typical = {
            speaker: float(np.median([value_of(condition) for condition in recordings]))
            for speaker, recordings in conditions.items()
        }
        low, high = min(typical, key=typical.get, default=""), max(typical, key=typical.get, default="")
        if typical and typical[high] - typical[low] > largest:
            lower, higher = format_value(typical[low]), format_value(typical[high])
            remarks.append(warning.format(low=low, high=high, lower=lower, higher=higher))
    return remarks


def usable_condition(utterance: Utterance) -> Condition:
    """Measure the condition of an utterance.

    Raises
    ------
    DataError
        It cannot be read, is silent, or is too short to train on.
    """
    return measure_usable(utterance.blocks(), audio.info(utterance.path).sample_rate, utterance.path)


def fix(directory: Path) -> tuple[int, int]:
    """Sort the lists, and remove every utterance that is missing in one of them or cannot be used.

    The original of each list that changes is kept in the folder BACKUP. `check` finds faults that this cannot repair.

    Returns
    -------
    int, int
        Numbers of utterances kept, and of utterances before.

    Raises
    ------
    DataError
        No utterance would be left, or a name cannot be written to a list.
    """
    lists = data_directory.parse(directory)
    tables = {name: Table(directory / name, []) for name in LISTS if (directory / name).exists()}
    usable = []
    for utterance in lists.utterances:
        if "text" not in tables or utterance.id in tables["text"].rows:
            with contextlib.suppress(DataError):
                usable_condition(utterance)
                usable.append(utterance)
    if not usable:
        raise DataError(f"{directory}: no utterance would be left")
    ids = {utterance.id for utterance in usable}
    recordings = {tables["segments"].rows[id].split()[0] for id in ids} if "segments" in tables else ids
    new_lists = data_directory.speaker_lists({utterance.id: utterance.speaker for utterance in usable})
    for name, rows in {"wav.scp": recordings, "segments": ids, "text": ids}.items():
        if name in tables:
            new_lists[name] = [f"{id} {tables[name].rows[id]}" for id in sorted(rows)]
    if data_directory.SPEAKER_NAMES in tables:  # lists only speakers whose names differ from their ids
        names = tables[data_directory.SPEAKER_NAMES].rows
        speakers = sorted({utterance.speaker for utterance in usable} & names.keys())
        new_lists[data_directory.SPEAKER_NAMES] = [f"{id} {names[id]}" for id in speakers]
    for name, lines in new_lists.items():
        content = (directory / name).read_bytes() if (directory / name).exists() else b""
        if lines and content == "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape"):
            continue
        backup = path_inside(directory, BACKUP)
        make_directory(backup)
        if name in tables:
            write_bytes(backup / name, content)
        data_directory.write_lines(directory / name, lines)
    return len(usable), len(lists.lines)
