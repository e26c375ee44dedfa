"""Matching the recordings of the same sentences across folders."""

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

RESULTS, ANCHORS_FOLDER = "metrics.json", "anchors"  # what an evaluation writes
SEPARATORS = "_-."  # signs with which a common ending of names may begin
Recordings = dict[str, Utterance]  # sentence -> recording
log = logging.getLogger(__name__)


def check_names(systems: Iterable[str], reserved: Iterable[str]) -> None:
    """Check the names of converted systems.

    Parameters
    ----------
    systems : iterable of str
        The names.
    reserved : iterable of str
        Names that have another meaning.

    Raises
    ------
    ConfigError
        If a name is empty, unprintable or reserved.
    """
    for name in systems:
        if not name.strip() or not name.isprintable() or name in reserved:
            raise ConfigError(f"{name!r} cannot name a converted system; reserved names are {', '.join(reserved)}")


@dataclass(frozen=True)
class Side:
    """The recordings of one folder."""

    folder: Path
    speaker: str | None  # id in the data directory; None for a plain folder
    recordings: Recordings
    texts: dict[str, str] = field(default_factory=dict)  # utterance id -> transcript, if the data directory has any

    @property
    def speaker_name(self) -> str:
        """The speaker's name in the data directory, else the id, else the folder's name."""
        names = (utterance.speaker_name for utterance in self.recordings.values())
        return next(names, "") or self.speaker or self.folder.resolve().name


def read_side(folder: Path, *, exclude: Path | None = None) -> Side:
    """Read one side: a data directory of one speaker, or a folder of recordings with its subfolders.

    A sentence is named by the utterance id without the speaker or, in a plain folder, by the relative path without its
    suffix, joined by `-` as vc-prepare does.

    Parameters
    ----------
    folder : Path
        Data directory, or folder of recordings.
    exclude : Path, optional
        A folder whose recordings are ignored.

    Returns
    -------
    Side

    Raises
    ------
    DataError
        If the folder does not exist, or has no recordings, several speakers, or two recordings of one sentence.
    """
    if data_directory.is_data_directory(folder):
        utterances = data_directory.read(folder)
        speakers = sorted({utterance.speaker for utterance in utterances})
        if len(speakers) > 1:
            raise DataError(f"{folder}: holds speakers {', '.join(speakers)}; expected a single speaker")
        recordings = _by_sentence((utterance.sentence, utterance) for utterance in utterances)
        return Side(folder, speakers[0], recordings, data_directory.read_text(folder))
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    files = discovery.recordings_below(folder, exclude)
    discovery.report(folder, files)
    recordings = [path for path in files.recordings if not _is_anchor(path.relative_to(folder), folder)]
    if len(recordings) < len(files.recordings):
        log.warning("%s: left out: anchors of another evaluation, which lies in this folder", escaped(folder))
    if not recordings:
        raise DataError(f"{folder}: no readable recordings in it or its subfolders; {audio.KNOWN_ENDINGS}")
    names = ["-".join(path.relative_to(folder).with_suffix("").parts) for path in recordings]
    named = ((name, Utterance(name, "", path)) for name, path in zip(names, recordings))
    return Side(folder, None, _by_sentence(named))


def _is_anchor(path: Path, folder: Path) -> bool:
    """Whether a recording, relative to `folder`, is one that an evaluation has made beside its results."""
    return any(each.name == ANCHORS_FOLDER and (folder / each.parent / RESULTS).is_file() for each in path.parents)


class Sentence(NamedTuple):
    """A sentence's recordings by system, and its transcript if known."""

    name: str
    recordings: Recordings
    text: str | None = None


@dataclass(frozen=True)
class Match:
    """The recordings of the sentences that all sides share, or all but the reference, in one order."""

    recordings: dict[str, Recordings]  # by side
    left_over: dict[str, list[str]]  # side -> names without a match
    parallel: bool  # whether the reference has the same sentences


def match(sides: dict[str, Side], *, other_sentences: bool = False, pattern: str | None = None) -> Match:
    """Match the sides by sentence.

    Names are compared with the reference's as they are, then without the prefix of any side's speaker, since recordings
    converted from a data directory are named after the source's utterances. If none of a side's names matches, a common
    ending such as `_gen` in `001_gen` is ignored. If the reference shares no sentence with the other sides, or with
    `other_sentences`, the other sides are matched among themselves and the reference keeps all its recordings.

    Parameters
    ----------
    sides : dict
        Name -> side; `reference` is one of them, `source` may be.
    other_sentences : bool
        Whether the reference has other sentences, whatever their names.
    pattern : str, optional
        Regular expression for the part of a name that identifies the sentence: its first group or, without a group, the
        whole match. Names that it does not match are left as they are.

    Returns
    -------
    Match

    Raises
    ------
    DataError
        If no sentence is on every side, a side has two recordings of a sentence, or the transcripts of matched
        recordings differ.
    ConfigError
        If `pattern` is not a valid regular expression.
    """
    if pattern is not None:
        try:
            expression = re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"--match {pattern!r}: not a regular expression: {error}") from error

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
            _check_texts(sides, matched.recordings)
            return matched
    others = {name: side for name, side in sides.items() if name != "reference"}
    matched = _match_names(others, "source" if "source" in others else next(iter(others)))
    if not any(matched.recordings.values()):
        examples = ", ".join(f"{name} has {next(iter(side.recordings))!r}" for name, side in sides.items())
        raise DataError(f"no sentence has a recording on every side; for example, {examples}")
    reference, taken = sides["reference"], set(next(iter(matched.recordings.values())))
    prefix = f"{reference.speaker or 'reference'}-" if taken & set(reference.recordings) else ""
    named = {f"{prefix}{name}": utterance for name, utterance in sorted(reference.recordings.items())}
    return Match({**matched.recordings, "reference": named}, {**matched.left_over, "reference": []}, False)


def recording_names(recordings: Recordings, preferred: Iterable[Recordings]) -> dict[str, str]:
    """Names of the sentences' recordings, for display.

    Parameters
    ----------
    recordings : dict
        Sentence -> recording.
    preferred : iterable of dict
        Sides whose file names are taken first, since converted recordings are often named after ids.

    Returns
    -------
    dict
        Sentence -> file name without its suffix; the sentence's own name where two would be equal.
    """
    names = {}
    for sentence, recording in recordings.items():
        utterance = next((side[sentence] for side in preferred if sentence in side), recording)
        stem = utterance.path.stem
        names[sentence] = stem if utterance.start is None else f"{stem}, {utterance.start:.1f} s on"
    counts = Counter(names.values())
    return {sentence: name if counts[name] == 1 else sentence for sentence, name in names.items()}


def _check_texts(sides: dict[str, Side], recordings: dict[str, Recordings]) -> None:
    """Raise DataError if most transcripts of matched recordings differ; a few may be spelt differently."""
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


def _match_names(sides: dict[str, Side], names_of: str) -> Match:
    speakers = [side.speaker for side in sides.values() if side.speaker]
    targets = sides[names_of].recordings
    renamed = {}
    for side_name, side in sides.items():
        candidates = {
            name: [name, *(Utterance(name, speaker, Path()).sentence for speaker in speakers)]
            for name in side.recordings
        }
        names = {name: next(filter(targets.__contains__, options), name) for name, options in candidates.items()}
        if not any(name in targets for name in names.values()):
            names |= _without_ending(side, candidates, targets)
        renamed[side_name] = _by_sentence((names[name], utterance) for name, utterance in side.recordings.items())
    shared = sorted(set.intersection(*map(set, renamed.values())))
    matched = {name: {sentence: recordings[sentence] for sentence in shared} for name, recordings in renamed.items()}
    left_over = {name: sorted(set(recordings) - set(shared)) for name, recordings in renamed.items()}
    return Match(matched, left_over, True)


def _without_ending(side: Side, candidates: dict[str, list[str]], targets: Iterable[str]) -> dict[str, str]:
    """Name -> target name, for names with the most frequent extra ending; empty if several are equally frequent."""
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
    log.info("%s: the ending %r of names is ignored", escaped(side.folder), ending)
    return names


def _by_sentence(named: Iterable[tuple[str, Utterance]]) -> Recordings:
    recordings: Recordings = {}
    for sentence, utterance in named:
        other = recordings.setdefault(sentence, utterance)
        if other is not utterance:
            raise DataError(f"{utterance.path} and {other.path} are both of sentence {sentence}; remove one")
    return recordings
