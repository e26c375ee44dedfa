"""A listening test from folders of recordings: sentences drawn, one rate, one loudness, ids that reveal nothing.

It is written as two files: a page of HTML for listeners, which needs no network, and the key to it.
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
LEVEL = -26.0  # dB of full scale, usual in tests after ITU-T P.800; lower for all if a recording would clip
PEAK = 0.999  # highest, of full scale
FAINTEST = -80.0  # dB of full scale; what lies lower is no speech
DEFAULT_SENTENCES = 12  # of a test, where there are as many
THINKING = 4  # seconds for an answer


@dataclass(frozen=True)
class Folders:
    """Where the recordings are: data directories of one speaker, or folders."""

    systems: dict[str, Path]  # by name
    reference: Path
    source: Path | None

    def __post_init__(self) -> None:
        if not self.systems:
            raise ConfigError("a listening test needs a system at least")
        check_names(self.systems, (REFERENCE, SOURCE))

    @property
    def by_name(self) -> dict[str, Path]:
        return {**self.systems, REFERENCE: self.reference} | ({SOURCE: self.source} if self.source else {})


class Trial(NamedTuple):
    """An item before its sounds have ids."""

    choices: tuple[Sound, ...]  # one to grade, or two to choose from
    x: Sound | None = None

    @property
    def sentence(self) -> str:
        return self.choices[0].sentence

    @property
    def sounds(self) -> list[Sound]:
        """All that are played."""
        return [*self.choices, self.x] if self.x else [*self.choices]


@dataclass(frozen=True)
class Kit:
    """All that page and key consist of."""

    kind: str  # one of formats.KINDS
    seed: int
    rate: int  # Hz
    level: float  # dB of full scale
    duration: str  # that it takes, about
    practice: dict[str, Item]
    items: dict[str, Item]
    sounds: dict[str, Sound]
    contents: dict[str, bytes]  # of the sounds, FLAC

    @property
    def sentences(self) -> int:
        """Number of sentences without practice."""
        return len({self.sounds[item.sounds[0]].sentence for item in self.items.values()})


def from_results(folder: Path) -> Folders:
    """The folders that an evaluation measured.

    Raises
    ------
    DataError
        If the folder's metrics.json does not name them.
    """
    content = read_json(folder / "metrics.json")
    try:
        measured = content["configuration"]["folders"]
        systems = {name: Path(path) for name, path in measured["systems"].items()}
        return Folders(systems, Path(measured["reference"]), Path(measured["source"]) if measured["source"] else None)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / 'metrics.json'}: does not say which folders were measured") from error


def make(kind: str, folders: Folders, *, sentences: int | None, seed: int, pattern: str | None = None) -> Kit:
    """Make a listening test; the same arguments make the same test.

    Parameters
    ----------
    kind : str
        `mos` or `abx`.
    folders : Folders
        Of the recordings.
    sentences : int or None
        How many, beside one for practice. None: DEFAULT_SENTENCES, or as many as there are.
    seed : int
        0 or more.
    pattern : str, optional
        As for `vc.evaluate.match.match`.

    Raises
    ------
    ConfigError
        For a negative seed, too many sentences, or a comparison of a single system without a source.
    DataError
        If the folders share no sentence, or a recording is silent.
    """
    if seed < 0:
        raise ConfigError(f"--seed {seed}: must be 0 or more")
    random = np.random.default_rng(seed)
    names = [*folders.systems]
    if kind == "abx" and len(names) == 1 and folders.source is None:
        raise ConfigError("abx of one system needs --source, for that is what it is compared with")
    pairs = list(combinations(names if len(names) > 1 else [*names, SOURCE], 2))
    matched = match({name: read_side(folder) for name, folder in folders.by_name.items()}, pattern=pattern)
    if not matched.parallel:
        raise DataError(f"{folders.reference}: shares no sentence with what was converted; a listening test needs some")
    recordings = matched.recordings

    shared = list(recordings[REFERENCE])
    count = max(1, min(DEFAULT_SENTENCES, len(shared) - 1)) if sentences is None else sentences
    if len(shared) <= count:
        raise ConfigError(
            f"--sentences {count}: with one for practice that is more than the {len(shared)} sentences that all sides"
            f" share; {len(shared) - 1} at most"
        )
    drawn = [shared[index] for index in random.permutation(len(shared))[: count + 1]]  # the last one is for practice
    if kind == "abx":
        trials = _comparisons(drawn, pairs, random)
    else:
        trials = [Trial((Sound(system, sentence),)) for sentence in drawn for system in recordings]
    trials = _shuffled(trials, random)
    sounds = sorted({sound for trial in trials for sound in trial.sounds})
    samples, rate = _read(sounds, recordings)
    # LEVEL, or the highest below it at which no recording clips
    crests = [20 * np.log10(np.abs(each).max()) - speech_level(each, rate) for each in samples.values()]
    level = min(LEVEL, float(20 * np.log10(PEAK) - max(crests)))
    seconds = sum([len(samples[sound]) / rate for trial in trials for sound in trial.sounds]) + THINKING * len(trials)
    minutes = max(1, round(seconds / 60))
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

    Raises
    ------
    ConfigError
        If the folder holds a key already, for answers may belong to it.
    """
    path = output / "key.json"
    if path.exists():
        raise ConfigError(f"{path}: holds the key of a test already; choose another --output, or remove it")
    content = {  # for the page's script; nothing in it names a system
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
    """Every pair in every sentence, beside the target saying the next one.

    Of the sentences that count, half have a pair's first system on side A; a listener hears all as they are or all
    swapped, so that sides stay balanced without the page revealing which is which.
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


def _shuffled(things: list, random: np.random.Generator) -> list:
    return [things[index] for index in random.permutation(len(things))]


def _read(sounds: list[Sound], recordings: dict[str, Recordings]) -> tuple[dict[Sound, np.ndarray], int]:
    """Samples at the lowest rate of all, for a missing upper band would give a system away; and that rate in Hz."""
    utterances = {sound: recordings[sound.system][sound.sentence] for sound in sounds}
    rate = min(audio.info(utterance.path).sample_rate for utterance in utterances.values())
    samples = {sound: utterance.read(rate)[0] for sound, utterance in utterances.items()}
    for sound, utterance in utterances.items():
        if speech_level(samples[sound], rate) < FAINTEST:
            raise DataError(f"{utterance.path}: nothing but silence")
    return samples, rate


def _flac(samples: np.ndarray, rate: int, level: float) -> bytes:
    gain = 10 ** ((level - speech_level(samples, rate)) / 20)
    return audio.encode(samples * gain, rate, format="FLAC")
