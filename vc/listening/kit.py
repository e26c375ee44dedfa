"""A listening test from folders of recordings: sentences drawn, one rate, one loudness, ids that tell nothing."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vc.convert.level import speech_level
from vc.corpus import audio
from vc.errors import ConfigError, DataError
from vc.evaluate.match import Recordings, check_names, match, read_side
from vc.listening.formats import Item, Sound, read_json

REFERENCE, SOURCE = "reference", "source"  # names of the target's recordings and of the source's
LEVEL = -26.0  # dB of full scale, usual in tests after ITU-T P.800; lower for all if a recording would clip
PEAK = 0.999  # highest, of full scale
FAINTEST = -80.0  # dB of full scale; what lies lower is no speech
USUAL = 12  # sentences of a test, where there are as many
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

    sounds: tuple[Sound, ...]
    x: Sound | None = None

    @property
    def sentence(self) -> str:
        return self.sounds[0].sentence

    @property
    def heard(self) -> list[Sound]:
        return [*self.sounds, self.x] if self.x else [*self.sounds]


@dataclass(frozen=True)
class Kit:
    """All that page and key are made of."""

    kind: str
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
        """How many count."""
        return len({self.sounds[item.sounds[0]].sentence for item in self.items.values()})


def from_results(folder: Path) -> Folders:
    """The folders that an evaluation measured."""
    content = read_json(folder / "metrics.json")
    try:
        found = content["configuration"]["folders"]
        systems = {name: Path(path) for name, path in found["systems"].items()}
        return Folders(systems, Path(found["reference"]), Path(found["source"]) if found["source"] else None)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / 'metrics.json'}: does not say which folders were measured") from error


def make(kind: str, folders: Folders, sentences: int | None, seed: int, pattern: str | None = None) -> Kit:
    """A test of `sentences` sentences and one for practice; the same arguments make the same test.

    None: USUAL, or what there is. `pattern` is for `match`.
    """
    if seed < 0:
        raise ConfigError(f"--seed {seed}: must be 0 or more")
    random = np.random.default_rng(seed)
    pairs = _pairs(folders) if kind == "abx" else []
    matched = match({name: read_side(folder) for name, folder in folders.by_name.items()}, pattern=pattern)
    if not matched.parallel:
        raise DataError(f"{folders.reference}: shares no sentence with what was converted; a listening test needs some")
    recordings = matched.recordings
    chosen = _choose(list(recordings[REFERENCE]), sentences, random)
    trials = _mixed(_compared(chosen, pairs, random) if pairs else _graded(chosen, list(recordings)), random)
    sounds = sorted({sound for trial in trials for sound in trial.heard})
    samples, rate = _read(sounds, recordings)
    level = _common_level(samples, rate)
    ids = {sound: f"s{number}" for number, sound in enumerate(_mixed(sounds, random), 1)}
    return Kit(
        kind, seed, rate, level,
        duration=_duration([len(samples[sound]) / rate for trial in trials for sound in trial.heard], len(trials)),
        practice=_items("p", [trial for trial in trials if trial.sentence == chosen[-1]], ids),
        items=_items("i", [trial for trial in trials if trial.sentence != chosen[-1]], ids),
        sounds={id: sound for sound, id in ids.items()},
        contents={id: _encoded(samples[sound], rate, level) for sound, id in ids.items()},
    )  # fmt: skip


def _choose(shared: list[str], count: int | None, random: np.random.Generator) -> list[str]:
    """Sentences of the test, then the one for practice."""
    if count is None:
        count = max(1, min(USUAL, len(shared) - 1))
    if len(shared) <= count:
        raise ConfigError(
            f"--sentences {count}: with one for practice that is more than the {len(shared)} sentences that all sides"
            f" share; {len(shared) - 1} at most"
        )
    return [shared[place] for place in random.permutation(len(shared))[: count + 1]]


def _pairs(folders: Folders) -> list[tuple[str, str]]:
    """Systems to compare with each other, or one with the source."""
    names = [*folders.systems]
    if len(names) == 1 and folders.source is None:
        raise ConfigError("abx of one system needs --source, for that is what it is compared with")
    return list(combinations(names if len(names) > 1 else [*names, SOURCE], 2))


def _graded(chosen: list[str], systems: list[str]) -> list[Trial]:
    return [Trial((Sound(system, sentence),)) for sentence in chosen for system in systems]


def _compared(chosen: list[str], pairs: list[tuple[str, str]], random: np.random.Generator) -> list[Trial]:
    """Every pair in every sentence, beside the target saying the next one.

    Of the sentences that count, half have a pair's first system on side A; a listener hears all as they are or all
    swapped, so that sides stay balanced without the page knowing what is what.
    """
    trials = []
    for pair in pairs:
        turned = [*random.permutation(len(chosen) - 1) % 2, random.integers(2)]
        for sentence, other, turn in zip(chosen, [*chosen[1:], chosen[0]], turned):
            sides = tuple(Sound(system, sentence) for system in (reversed(pair) if turn else pair))
            trials.append(Trial(sides, Sound(REFERENCE, other)))
    return trials


def _items(prefix: str, trials: list[Trial], ids: dict[Sound, str]) -> dict[str, Item]:
    items = [Item([ids[sound] for sound in trial.sounds], ids.get(trial.x)) for trial in trials]
    return {f"{prefix}{number}": item for number, item in enumerate(items, 1)}


def _duration(seconds: list[float], answers: int) -> str:
    minutes = max(1, round((sum(seconds) + THINKING * answers) / 60))
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def _mixed(things: list, random: np.random.Generator) -> list:
    return [things[place] for place in random.permutation(len(things))]


def _read(sounds: list[Sound], recordings: dict[str, Recordings]) -> tuple[dict[Sound, np.ndarray], int]:
    """Samples at the lowest rate of all, for a missing upper band would give a system away; and that rate in Hz."""
    found = {sound: recordings[sound.system][sound.sentence] for sound in sounds}
    rate = min(audio.info(utterance.path).sample_rate for utterance in found.values())
    samples = {sound: utterance.read(rate)[0] for sound, utterance in found.items()}
    for sound, utterance in found.items():
        if speech_level(samples[sound], rate) < FAINTEST:
            raise DataError(f"{utterance.path}: nothing but silence")
    return samples, rate


def _common_level(samples: dict[Sound, np.ndarray], rate: int) -> float:
    """LEVEL, or the highest below it at which no recording clips."""
    peaks = [20 * np.log10(np.abs(each).max()) - speech_level(each, rate) for each in samples.values()]
    return min(LEVEL, float(20 * np.log10(PEAK) - max(peaks)))


def _encoded(samples: np.ndarray, rate: int, level: float) -> bytes:
    gain = 10 ** ((level - speech_level(samples, rate)) / 20)
    return audio.encode(samples * gain, rate, format="FLAC")
