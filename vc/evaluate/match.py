"""Recordings of the same sentences in several folders."""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vc.corpus import audio, data_directory, discovery
from vc.corpus.data_directory import Utterance
from vc.errors import ConfigError, DataError, escaped

SEPARATORS = "_-."  # one of them begins an ending that is left out of names
Recordings = dict[str, Utterance]  # by sentence
log = logging.getLogger(__name__)


def check_names(systems: Iterable[str], taken: Iterable[str]) -> None:
    """Refuse names of converted systems that cannot be shown, or that mean something else."""
    for name in systems:
        if not name.strip() or not name.isprintable() or name in taken:
            raise ConfigError(f"{name!r} cannot name a converted system; taken are {', '.join(taken)}")


@dataclass(frozen=True)
class Side:
    """One folder's recordings."""

    folder: Path
    speaker: str | None  # of a data directory; a plain folder does not tell
    recordings: Recordings
    texts: dict[str, str] = field(default_factory=dict)  # by utterance id, where a data directory tells

    @property
    def called(self) -> str:
        """What people call the speaker: the name where a data directory keeps one, its id, or else the folder's."""
        names = (each.speaker_name for each in self.recordings.values())
        return next(names, "") or self.speaker or self.folder.resolve().name


def read_side(folder: Path, apart_from: Path | None = None) -> Side:
    """The recordings of a data directory of one speaker, or of a folder and the folders below it.

    A sentence is an utterance's id without the speaker; in a plain folder it is the path without ending, its parts
    joined by `-` as vc-prepare joins them. What lies below `apart_from` is not looked at.
    """
    if data_directory.is_data_directory(folder):
        return _data_directory(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found = discovery.recordings_below(folder, apart_from)
    discovery.report(folder, found)
    if not found.recordings:
        raise DataError(f"{folder}: no recordings in it or below that can be read; {audio.KNOWN_ENDINGS}")
    names = ["-".join(path.relative_to(folder).with_suffix("").parts) for path in found.recordings]
    named = ((name, Utterance(name, "", path)) for name, path in zip(names, found.recordings))
    return Side(folder, None, _by_sentence(named))


@dataclass(frozen=True)
class Matched:
    """Each side's recordings, in one order, of the sentences that all sides have; or all but the reference."""

    recordings: dict[str, Recordings]
    left_over: dict[str, list[str]]  # each side's other names
    parallel: bool  # whether the reference says the same sentences


def match(sides: dict[str, Side], other_sentences: bool = False, pattern: str | None = None) -> Matched:
    """Match the sides by sentence; `other_sentences` says that the reference's are others, whatever they are called.

    A side's names are tried against `reference`'s as they are, then without the prefix of a speaker that one of the
    sides names: what was converted from a data directory is called after the source's utterances. Where none matches,
    one ending that they have more than the reference's, such as `_gen` of `001_gen`, is left out. Where the reference
    shares no sentence with the others, or is not to, those match by themselves and the reference stands for itself.

    `pattern` is a regular expression for what of a name says the sentence: its first group, or all that it matches. A
    name in which it finds nothing stays.
    """
    if pattern is not None:
        sides = {name: _renamed(side, pattern) for name, side in sides.items()}
    if not other_sentences:
        matched = _match(sides, "reference")
        if any(matched.recordings.values()):
            _refuse_other_texts(sides, matched.recordings)
            return matched
    apart = {name: side for name, side in sides.items() if name != "reference"}
    matched = _match(apart, "source" if "source" in apart else next(iter(apart)))
    if not any(matched.recordings.values()):
        examples = ", ".join(f"{name} has {next(iter(side.recordings))!r}" for name, side in sides.items())
        raise DataError(f"no sentence has a recording on every side; for example, {examples}")
    taken = set(next(iter(matched.recordings.values())))
    reference = _apart_from(taken, sides["reference"])
    return Matched({**matched.recordings, "reference": reference}, {**matched.left_over, "reference": []}, False)


def _refuse_other_texts(sides: dict[str, Side], recordings: dict[str, Recordings]) -> None:
    """Names that are alike by chance show where two sides tell what is said; a few may be spelt in two ways."""
    told, differing = 0, []
    for sentence in next(iter(recordings.values())):
        ids = {name: recordings[name][sentence].id for name in sides}
        said = {name: side.texts[ids[name]] for name, side in sides.items() if ids[name] in side.texts}
        told += len(said) > 1
        if len({"".join(filter(str.isalnum, text.casefold())) for text in said.values()}) > 1:
            differing.append(
                f"sentence {sentence}: {', '.join(f'{name} says {text!r}' for name, text in said.items())}"
            )
    if len(differing) > told / 2:
        raise DataError(f"{differing[0]}; where sentences differ, give --other-sentences")


def _match(sides: dict[str, Side], names_of: str) -> Matched:
    speakers = [side.speaker for side in sides.values() if side.speaker]
    wanted = sides[names_of].recordings
    found = {name: _under_wanted_names(side, speakers, wanted) for name, side in sides.items()}
    shared = sorted(set.intersection(*map(set, found.values())))
    kept = {name: {sentence: recordings[sentence] for sentence in shared} for name, recordings in found.items()}
    left_over = {name: sorted(set(recordings) - set(shared)) for name, recordings in found.items()}
    return Matched(kept, left_over, True)


def _apart_from(taken: set[str], reference: Side) -> Recordings:
    """The reference's recordings, by names that no other sentence has."""
    if not taken & set(reference.recordings):
        return dict(sorted(reference.recordings.items()))
    owner = reference.speaker or "reference"
    return {f"{owner}-{name}": utterance for name, utterance in sorted(reference.recordings.items())}


def _data_directory(folder: Path) -> Side:
    utterances = data_directory.read(folder)
    speakers = sorted({utterance.speaker for utterance in utterances})
    if len(speakers) > 1:
        raise DataError(f"{folder}: holds speakers {', '.join(speakers)}; a side is one speaker's recordings")
    named = ((utterance.sentence, utterance) for utterance in utterances)
    return Side(folder, speakers[0], _by_sentence(named), data_directory.read_text(folder))


def _renamed(side: Side, pattern: str) -> Side:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"--match {pattern!r}: no regular expression: {error}") from error

    def sentence(name: str) -> str:
        found = expression.search(name)
        return (found[1 if expression.groups else 0] if found else "") or name

    named = ((sentence(name), utterance) for name, utterance in side.recordings.items())
    return replace(side, recordings=_by_sentence(named))


def _under_wanted_names(side: Side, speakers: list[str], wanted: Iterable[str]) -> Recordings:
    candidates = {
        name: [name, *(Utterance(name, speaker, Path()).sentence for speaker in speakers)] for name in side.recordings
    }
    names = {name: next((each for each in meant if each in wanted), name) for name, meant in candidates.items()}
    if not any(name in wanted for name in names.values()):
        names |= _without_ending(side, candidates, wanted)
    return _by_sentence((names[name], utterance) for name, utterance in side.recordings.items())


def _without_ending(side: Side, candidates: dict[str, list[str]], wanted: Iterable[str]) -> dict[str, str]:
    """Name -> wanted name, of the names that have one ending more; none where several endings are as frequent."""
    by_ending: dict[str, dict[str, str]] = {}
    for name, meant in candidates.items():
        for each in meant:
            for place in (place for place, sign in enumerate(each) if sign in SEPARATORS and each[:place] in wanted):
                by_ending.setdefault(each[place:], {})[name] = each[:place]
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
