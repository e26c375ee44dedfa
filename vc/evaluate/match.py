"""Recordings of the same sentences in several folders."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vc import audio, corpus
from vc.corpus import Utterance
from vc.errors import DataError

Recordings = dict[str, Utterance]  # by sentence


@dataclass(frozen=True)
class Side:
    """One folder's recordings."""

    folder: Path
    speaker: str | None  # of a data directory; a plain folder does not tell
    recordings: Recordings


def read_side(folder: Path, apart_from: Path | None = None) -> Side:
    """The recordings of a data directory of one speaker, or of a folder and the folders below it.

    A sentence is an utterance's id without the speaker; in a plain folder it is the path without ending, its parts
    joined by `-` as vc-prepare joins them. What lies below `apart_from` is not looked at.
    """
    if corpus.is_data_directory(folder):
        return _data_directory(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    paths = audio.recordings_below(folder, apart_from)
    if not paths:
        raise DataError(f"{folder}: no recordings in it or below; known endings: {' '.join(sorted(audio.SUFFIXES))}")
    names = ["-".join(path.relative_to(folder).with_suffix("").parts) for path in paths]
    named = ((name, Utterance(name, "", path)) for name, path in zip(names, paths))
    return Side(folder, None, _by_sentence(named))


def match(sides: dict[str, Side]) -> tuple[dict[str, Recordings], dict[str, list[str]]]:
    """Each side's recordings of the sentences that all have, in one order, and each side's names that are left over.

    A side's names are tried against `reference`'s as they are, then without the prefix of a speaker that one of the
    sides names: what was converted from a data directory is called after the source's utterances.
    """
    speakers = [side.speaker for side in sides.values() if side.speaker]
    wanted = sides["reference"].recordings
    found = {name: _under_wanted_names(side.recordings, speakers, wanted) for name, side in sides.items()}
    shared = sorted(set.intersection(*map(set, found.values())))
    if not shared:
        examples = ", ".join(f"{name} has {next(iter(recordings))!r}" for name, recordings in found.items())
        raise DataError(f"no sentence has a recording on every side; for example, {examples}")
    kept = {name: {sentence: recordings[sentence] for sentence in shared} for name, recordings in found.items()}
    return kept, {name: sorted(set(recordings) - set(shared)) for name, recordings in found.items()}


def _data_directory(folder: Path) -> Side:
    utterances = corpus.read(folder)
    speakers = sorted({utterance.speaker for utterance in utterances})
    if len(speakers) > 1:
        raise DataError(f"{folder}: holds speakers {', '.join(speakers)}; a side is one speaker's recordings")
    named = ((utterance.sentence, utterance) for utterance in utterances)
    return Side(folder, speakers[0], _by_sentence(named))


def _under_wanted_names(recordings: Recordings, speakers: list[str], wanted: Iterable[str]) -> Recordings:
    return _by_sentence((_wanted_name(name, speakers, wanted), each) for name, each in recordings.items())


def _wanted_name(name: str, speakers: list[str], wanted: Iterable[str]) -> str:
    candidates = [name, *(Utterance(name, speaker, Path()).sentence for speaker in speakers)]
    return next((candidate for candidate in candidates if candidate in wanted), name)


def _by_sentence(named: Iterable[tuple[str, Utterance]]) -> Recordings:
    recordings: Recordings = {}
    for sentence, utterance in named:
        other = recordings.setdefault(sentence, utterance)
        if other is not utterance:
            raise DataError(f"{utterance.path} and {other.path} are both of sentence {sentence}; keep one")
    return recordings
