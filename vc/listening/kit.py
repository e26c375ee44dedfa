"""Making a listening test from folders of recordings: random sentences, one sample rate, one loudness, neutral ids.

A test is two files: a self-contained HTML page for listeners, and the key to it.
"""

import base64
import json
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vc.config import digest, plain, read_json
from vc.convert.level import speech_level
from vc.corpus import audio
from vc.errors import ConfigError, DataError
from vc.evaluate.match import Recordings, check_names, match, read_side
from vc.files import make_directory, write_text
from vc.listening.formats import ANSWERS, GRADES, KEY, TEST, VERSION, Item, Key, Sound
from vc.report.html import render

REFERENCE, SOURCE = "reference", "source"  # names of the target's recordings and of the source's
LEVEL = -26.0  # dBFS, usual in tests after ITU-T P.800; lower for all recordings if one would clip
MAX_PEAK = 0.999  # of full scale
MIN_LEVEL = -80.0  # dBFS; a recording below counts as silent
DEFAULT_SENTENCES = 12
ANSWER_SECONDS = 4  # assumed for an answer in the estimate of the duration


@dataclass(frozen=True)
class Folders:
    """The recordings of a test: data directories of one speaker, or plain folders.

    Raises
    ------
    ConfigError
        If there is no system, or one cannot have its name.
    """

    systems: dict[str, Path]  # by name
    reference: Path
    source: Path | None

    def __post_init__(self) -> None:
        if not self.systems:
            raise ConfigError("a listening test needs at least one system")
        check_names(self.systems, (REFERENCE, SOURCE))

    @property
    def by_name(self) -> dict[str, Path]:
        """The folders of all systems, the target and the source."""
        return {**self.systems, REFERENCE: self.reference} | ({SOURCE: self.source} if self.source else {})


class Trial(NamedTuple):
    """An item before its sounds are given ids."""

    choices: tuple[Sound, ...]  # one to grade, or two to choose from
    x: Sound | None = None

    @property
    def sentence(self) -> str:
        return self.choices[0].sentence

    @property
    def sounds(self) -> list[Sound]:
        """All sounds that are played."""
        return [*self.choices, self.x] if self.x else [*self.choices]


@dataclass(frozen=True)
class Kit:
    """A listening test: the content of page and key."""

    kind: str  # one of formats.KINDS
    seed: int
    rate: int  # Hz
    level: float  # dBFS
    duration: str  # estimate
    practice: dict[str, Item]
    items: dict[str, Item]
    sounds: dict[str, Sound]  # by id
    contents: dict[str, bytes]  # FLAC of the sounds, by id

    @property
    def sentences(self) -> int:
        """Number of sentences, without the one for practice."""
        return len({self.sounds[item.sounds[0]].sentence for item in self.items.values()})


def from_results(folder: Path) -> Folders:
    """The folders that an evaluation measured.

    Parameters
    ----------
    folder : Path
        The evaluation's output.

    Returns
    -------
    Folders

    Raises
    ------
    DataError
        If its metrics.json does not name them, or the reference has other sentences.
    """
    content = read_json(folder / "metrics.json")
    try:
        measured, parallel = content["configuration"]["folders"], content.get("parallel", True)
        systems = {name: Path(path) for name, path in measured["systems"].items()}
        source = Path(measured["source"]) if measured["source"] else None
        folders = Folders(systems, Path(measured["reference"]), source)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / 'metrics.json'}: does not name the measured folders") from error
    if not parallel:  # names may be alike by chance
        raise DataError(f"{folder / 'metrics.json'}: the reference has other sentences; a test requires the same ones")
    return folders


def make(kind: str, folders: Folders, *, sentences: int | None, seed: int, pattern: str | None = None) -> Kit:
    """Make a listening test; the same arguments make the same test.

    Parameters
    ----------
    kind : str
        `mos` or `abx`.
    folders : Folders
        The recordings.
    sentences : int or None
        Number of sentences, not counting the one for practice. None: DEFAULT_SENTENCES, or all there are.
    seed : int
        0 or more.
    pattern : str, optional
        As in `vc.evaluate.match.match`.

    Returns
    -------
    Kit

    Raises
    ------
    ConfigError
        If the seed is negative, there are fewer sentences, or a single system is to be compared without a source.
    DataError
        If the folders share no sentence, or a recording is silent.
    """
    if seed < 0:
        raise ConfigError(f"--seed {seed}: must be 0 or more")
    random = np.random.default_rng(seed)
    names = [*folders.systems]
    if kind == "abx" and len(names) == 1 and folders.source is None:
        raise ConfigError("abx of one system needs --source, with which it is compared")
    pairs = list(combinations(names if len(names) > 1 else [*names, SOURCE], 2))
    matched = match({name: read_side(folder) for name, folder in folders.by_name.items()}, pattern=pattern)
    if not matched.parallel:
        raise DataError(f"{folders.reference}: shares no sentence with the converted recordings, as a test requires")
    recordings = matched.recordings

    shared = list(recordings[REFERENCE])
    count = max(1, min(DEFAULT_SENTENCES, len(shared) - 1)) if sentences is None else sentences
    if len(shared) <= count:
        raise ConfigError(
            f"--sentences {count}: must be at most {len(shared) - 1}, since all sides share {len(shared)} sentences and"
            " one is for practice"
        )
    drawn = [shared[index] for index in random.permutation(len(shared))[: count + 1]]  # the last one is for practice
    if kind == "abx":
        trials = _comparisons(drawn, pairs, random)
    else:
        trials = [Trial((Sound(system, sentence),)) for sentence in drawn for system in recordings]
    trials = _shuffled(trials, random)
    sounds = sorted({sound for trial in trials for sound in trial.sounds})
    samples, rate = _read(sounds, recordings)
    # LEVEL, or the highest level below it at which no recording clips
    crests = [20 * np.log10(np.abs(signal).max()) - speech_level(signal, rate) for signal in samples.values()]
    level = min(LEVEL, float(20 * np.log10(MAX_PEAK) - max(crests)))
    seconds = sum([len(samples[sound]) / rate for trial in trials for sound in trial.sounds])
    minutes = max(1, round((seconds + ANSWER_SECONDS * len(trials)) / 60))
    ids = {sound: f"s{number}" for number, sound in enumerate(_shuffled(sounds, random), 1)}
    return Kit(
        kind,
        seed,
        rate,
        level,
        duration="1 minute" if minutes == 1 else f"{minutes} minutes",
        practice=_items("p", [trial for trial in trials if trial.sentence == drawn[-1]], ids),
        items=_items("i", [trial for trial in trials if trial.sentence != drawn[-1]], ids),
        sounds={id: sound for sound, id in ids.items()},
        contents={id: _flac(samples[sound], rate, level) for sound, id in ids.items()},
    )


def write(kit: Kit, folders: Folders, title: str, output: Path) -> None:
    """Write key.json and test.html into a folder.

    Parameters
    ----------
    kit : Kit
        The test.
    folders : Folders
        Named in the key.
    title : str
        Heading of the page.
    output : Path
        Folder to write.

    Raises
    ------
    ConfigError
        If the folder already has a key, to which answers may belong.
    """
    path = output / "key.json"
    if path.exists():
        raise ConfigError(f"{path}: already exists; choose another --output, or remove it with its test")
    content = {  # for the page's script; it reveals no system's name
        "format": TEST,
        "version": VERSION,
        "kind": kit.kind,
        "grades": GRADES if kit.kind == "mos" else None,
        "practice": [{"id": id, **asdict(item)} for id, item in kit.practice.items()],
        "items": [{"id": id, **asdict(item)} for id, item in kit.items.items()],
        "sounds": {id: base64.b64encode(sound).decode() for id, sound in kit.contents.items()},
    }
    content |= {"answers": ANSWERS, "test": digest(content)}
    key = Key(
        format=KEY,
        version=VERSION,
        test=content["test"],
        kind=kit.kind,
        title=title,
        seed=kit.seed,
        sample_rate_hz=kit.rate,
        level_db=round(kit.level, 2),
        systems={name: str(folder) for name, folder in folders.by_name.items()},
        sounds=kit.sounds,
        items=kit.items,
    )
    length = f"{len(kit.items)} {'recordings' if kit.kind == 'mos' else 'comparisons'}, about {kit.duration}"
    page = render("vc.listening", "test.html", title=title, kind=kit.kind, length=length, content=content)
    make_directory(output)
    write_text(path, json.dumps(plain(key), indent=1) + "\n")
    write_text(output / "test.html", page)


def _comparisons(sentences: list[str], pairs: list[tuple[str, str]], random: np.random.Generator) -> list[Trial]:
    """Every pair in every sentence, with the target's recording of the next sentence as X.

    In half of the sentences that count, a pair's first system is on side A. For a listener, either no sides are swapped
    or all, so that they stay balanced without the page revealing which is which.
    """
    trials = []
    for pair in pairs:
        swapped = [*random.permutation(len(sentences) - 1) % 2, random.integers(2)]
        for sentence, other, swap in zip(sentences, [*sentences[1:], sentences[0]], swapped):
            sides = tuple(Sound(system, sentence) for system in (reversed(pair) if swap else pair))
            trials.append(Trial(sides, Sound(REFERENCE, other)))
    return trials


def _items(prefix: str, trials: list[Trial], ids: dict[Sound, str]) -> dict[str, Item]:
    items = [Item([ids[sound] for sound in trial.choices], ids.get(trial.x)) for trial in trials]
    return {f"{prefix}{number}": item for number, item in enumerate(items, 1)}


def _shuffled(items: list, random: np.random.Generator) -> list:
    return [items[index] for index in random.permutation(len(items))]


def _read(sounds: list[Sound], recordings: dict[str, Recordings]) -> tuple[dict[Sound, np.ndarray], int]:
    """Samples at the lowest rate of all, since a missing upper band would give a system away, and that rate in Hz."""
    utterances = {sound: recordings[sound.system][sound.sentence] for sound in sounds}
    rate = min(audio.info(utterance.path).sample_rate for utterance in utterances.values())
    samples = {sound: utterance.read(rate)[0] for sound, utterance in utterances.items()}
    for sound, utterance in utterances.items():
        if speech_level(samples[sound], rate) < MIN_LEVEL:
            raise DataError(f"{utterance.path}: nothing but silence")
    return samples, rate


def _flac(samples: np.ndarray, rate: int, level: float) -> bytes:
    gain = 10 ** ((level - speech_level(samples, rate)) / 20)
    return audio.encode(samples * gain, rate, format="FLAC")
