"""Recordings of the same sentences in several folders."""

import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from vc.corpus import audio, data_directory, discovery
from vc.corpus.data_directory import Utterance
from vc.errors import ConfigError, DataError, escaped

SEPARATORS = "_-."  # one of them begins an ending that is left out of names
Recordings = dict[str, Utterance]  # by sentence
log = logging.getLogger(__name__)


def check_names(systems: Iterable[str], taken: Iterable[str]) -> None:
    """Refuse names of converted systems that cannot be shown, or that mean something else.

    Raises
    ------
    ConfigError
        For a name that is empty, cannot be printed or is in `taken`.
    """
    for name in systems:
        if not name.strip() or not name.isprintable() or name in taken:
            raise ConfigError(f"{name!r} cannot name a converted system; taken are {', '.join(taken)}")


@dataclass(frozen=True)
class Side:
    """The recordings of one folder."""

    folder: Path
    speaker: str | None  # id, from a data directory; None for a plain folder
    recordings: Recordings
    texts: dict[str, str] = field(default_factory=dict)  # utterance id -> transcript, of a data directory that has them

    @property
    def speaker_name(self) -> str:
        """The speaker's name where a data directory has one, otherwise the id, otherwise the folder's name."""
        names = (each.speaker_name for each in self.recordings.values())
        return next(names, "") or self.speaker or self.folder.resolve().name


def read_side(folder: Path, *, exclude: Path | None = None) -> Side:
    """The recordings of a data directory of one speaker, or of a folder and the folders below it.

    A sentence is an utterance's id without the speaker; in a plain folder it is the path without its ending, its parts
    joined by `-` as vc-prepare joins them.

    Parameters
    ----------
    folder : Path
        Data directory, or folder of recordings.
    exclude : Path, optional
        A folder whose recordings are ignored.

    Raises
    ------
    DataError
        If there is no such folder, it holds no recordings or several speakers, or two recordings of one sentence.
    """
    if data_directory.is_data_directory(folder):
        utterances = data_directory.read(folder)
        speakers = sorted({utterance.speaker for utterance in utterances})
        if len(speakers) > 1:
            raise DataError(f"{folder}: holds speakers {', '.join(speakers)}; a side is one speaker's recordings")
        recordings = _by_sentence((utterance.sentence, utterance) for utterance in utterances)
        return Side(folder, speakers[0], recordings, data_directory.read_text(folder))
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    files = discovery.recordings_below(folder, exclude)
    discovery.report(folder, files)
    if not files.recordings:
        raise DataError(f"{folder}: no recordings in it or below that can be read; {audio.KNOWN_ENDINGS}")
    names = ["-".join(path.relative_to(folder).with_suffix("").parts) for path in files.recordings]
    named = ((name, Utterance(name, "", path)) for name, path in zip(names, files.recordings))
    return Side(folder, None, _by_sentence(named))


class Sentence(NamedTuple):
    """A sentence's recordings by system, and its transcript, where that is known."""

    name: str
    recordings: Recordings
    text: str | None = None


@dataclass(frozen=True)
class Matched:
    """Each side's recordings, in one order, of the sentences that all sides have; or all but the reference."""

    recordings: dict[str, Recordings]
    left_over: dict[str, list[str]]  # each side's other names
    parallel: bool  # whether the reference says the same sentences


def match(sides: dict[str, Side], *, other_sentences: bool = False, pattern: str | None = None) -> Matched:
    """Match the sides by sentence.

    A side's names are tried against `reference`'s as they are, then without the prefix of a speaker that one of the
    sides names: what was converted from a data directory is called after the source's utterances. Where none matches,
    one ending that they have more than the reference's, such as `_gen` of `001_gen`, is left out. Where the reference
    shares no sentence with the others, or is not to, those match by themselves and the reference stands for itself.

    Parameters
    ----------
    sides : dict
        Name -> side; one is `reference`, one may be `source`.
    other_sentences : bool
        Whether the reference's sentences are others, whatever they are called.
    pattern : str, optional
        Regular expression for the part of a name that says the sentence: its first group, or all that it matches. A
        name that it does not match stays.

    Raises
    ------
    DataError
        If no sentence is on every side, two recordings of a side are of one sentence, or the transcripts of matched
        recordings differ.
    ConfigError
        If `pattern` is no regular expression.
    """
    if pattern is not None:
        try:
            expression = re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"--match {pattern!r}: no regular expression: {error}") from error

        def part_of(name: str) -> str:
            match = expression.search(name)
            return (match[1 if expression.groups else 0] if match else "") or name

        renamed = {
            name: _by_sentence((part_of(own), utterance) for own, utterance in side.recordings.items())
            for name, side in sides.items()
        }
        sides = {name: replace(side, recordings=renamed[name]) for name, side in sides.items()}
    if not other_sentences:
        matched = _match_names(sides, "reference")
        if any(matched.recordings.values()):
            _refuse_other_texts(sides, matched.recordings)
            return matched
    others = {name: side for name, side in sides.items() if name != "reference"}
    matched = _match_names(others, "source" if "source" in others else next(iter(others)))
    if not any(matched.recordings.values()):
        examples = ", ".join(f"{name} has {next(iter(side.recordings))!r}" for name, side in sides.items())
        raise DataError(f"no sentence has a recording on every side; for example, {examples}")
    reference, taken = sides["reference"], set(next(iter(matched.recordings.values())))
    prefix = f"{reference.speaker or 'reference'}-" if taken & set(reference.recordings) else ""
    named = {f"{prefix}{name}": utterance for name, utterance in sorted(reference.recordings.items())}
    return Matched({**matched.recordings, "reference": named}, {**matched.left_over, "reference": []}, False)


def recording_names(recordings: Recordings, preferred: Iterable[Recordings]) -> dict[str, str]:
    """Sentence -> the name of its recording as people know it.

    The first of the `preferred` that has the sentence names it: converted recordings are often called after ids.
    Where two would have one name, the sentence names itself.
    """
    names = {}
    for sentence, own in recordings.items():
        utterance = next((side[sentence] for side in preferred if sentence in side), own)
        stem = utterance.path.stem
        names[sentence] = stem if utterance.start is None else f"{stem}, {utterance.start:.1f} s on"
    counts = Counter(names.values())
    return {sentence: name if counts[name] == 1 else sentence for sentence, name in names.items()}


def _refuse_other_texts(sides: dict[str, Side], recordings: dict[str, Recordings]) -> None:
    """Names may be alike by accident, which transcripts on two sides reveal; a few may be spelt in two ways."""
    compared, differing = 0, []
    for sentence in next(iter(recordings.values())):
        ids = {name: recordings[name][sentence].id for name in sides}
        texts = {name: side.texts[ids[name]] for name, side in sides.items() if ids[name] in side.texts}
        compared += len(texts) > 1
        if len({"".join(filter(str.isalnum, text.casefold())) for text in texts.values()}) > 1:
            differing.append(
                f"sentence {sentence}: {', '.join(f'{name} says {text!r}' for name, text in texts.items())}"
            )
    if len(differing) > compared / 2:
        raise DataError(f"{differing[0]}; where sentences differ, give --other-sentences")


def _match_names(sides: dict[str, Side], names_of: str) -> Matched:
    speakers = [side.speaker for side in sides.values() if side.speaker]
    targets = sides[names_of].recordings
    renamed = {name: _under_target_names(side, speakers, targets) for name, side in sides.items()}
    shared = sorted(set.intersection(*map(set, renamed.values())))
    matched = {name: {sentence: recordings[sentence] for sentence in shared} for name, recordings in renamed.items()}
    left_over = {name: sorted(set(recordings) - set(shared)) for name, recordings in renamed.items()}
    return Matched(matched, left_over, True)


def _under_target_names(side: Side, speakers: list[str], targets: Iterable[str]) -> Recordings:
    candidates = {
        name: [name, *(Utterance(name, speaker, Path()).sentence for speaker in speakers)] for name in side.recordings
    }
    names = {name: next((each for each in options if each in targets), name) for name, options in candidates.items()}
    if not any(name in targets for name in names.values()):
        names |= _without_ending(side, candidates, targets)
    return _by_sentence((names[name], utterance) for name, utterance in side.recordings.items())


def _without_ending(side: Side, candidates: dict[str, list[str]], targets: Iterable[str]) -> dict[str, str]:
    """Name -> target name, of the names that have one ending more; none where several endings are as frequent."""
    by_ending: dict[str, dict[str, str]] = {}
    for name, options in candidates.items():
        for option in options:
            for index, sign in enumerate(option):
                if sign in SEPARATORS and option[:index] in targets:
                    by_ending.setdefault(option[index:], {})[name] = option[:index]
    counts = sorted(map(len, by_ending.values()), reverse=True)
    if not counts or counts[:1] == counts[1:2]:
        return {}
    ending, names = max(by_ending.items(), key=lambda item: len(item[1]))
    log.info("%s: %r at the end of names is left out", escaped(side.folder), ending)
    return names


def _by_sentence(named: Iterable[tuple[str, Utterance]]) -> Recordings:
    recordings: Recordings = {}
    for sentence, utterance in named:
        other = recordings.setdefault(sentence, utterance)
        if other is not utterance:
            raise DataError(f"{utterance.path} and {other.path} are both of sentence {sentence}; keep one")
    return recordings
