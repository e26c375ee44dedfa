"""What models of speech say of a recording: who speaks, what is said, how good it sounds."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

from vc import __version__
from vc.corpus import audio
from vc.errors import ConfigError, DataError
from vc.metrics import content, mos, phones, quality, speaker, words
from vc.metrics.content import Content

OF_FOLDER = "wer"  # the measure that takes a folder
NOT_NAMED = f"measure {OF_FOLDER} is left out: it takes a recogniser of your own, {OF_FOLDER}=PATH"
MEASURES = {"speaker": speaker, "content": content, "phones": phones, "quality": quality, "mos": mos, OF_FOLDER: words}


class Heard(NamedTuple):
    """None where a measure was not asked for, or can say nothing of the recording."""

    embedding: np.ndarray | None = None  # (256,)
    content: Content | None = None
    phones: list[str] | None = None
    words: str | None = None
    quality: float | None = None
    mos: float | None = None
    remarks: tuple[str, ...] = ()  # why one says nothing


def choose_measures(wanted: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The measures to take, and a note for each that is left out; those `wanted` by name are refused if missing."""
    if wanted is not None:
        chosen = list(dict.fromkeys(wanted))
        for measure in chosen:
            _require(measure)
        absent = [name for name in MEASURES if name not in map(_name, chosen)]
        return chosen, [f"measures not asked for: {', '.join(absent)}"] if absent else []
    chosen, notes = [], []
    for name in MEASURES:
        if name == OF_FOLDER:  # nobody has it but who names it
            notes.append(NOT_NAMED)
            continue
        try:
            _require(name)
            chosen.append(name)
        except ConfigError as error:
            notes.append(f"measure {name} is left out: {error}")
    return chosen, notes


def _require(measure: str) -> None:
    name, given, folder = measure.partition("=")
    if name not in MEASURES:
        raise ConfigError(f"unknown measure {name!r}; known ones are {', '.join(MEASURES)}")
    if name != OF_FOLDER:
        if given:
            raise ConfigError(f"measure {name} takes no folder, got {measure!r}")
        MEASURES[name].require()
    elif not folder:
        raise ConfigError(f"it takes a recogniser of your own, a folder of transformers: {OF_FOLDER}=PATH")
    else:
        words.require(folder)


def _name(measure: str) -> str:
    return measure.partition("=")[0]


def versions(measures: Sequence[str]) -> dict[str, str]:
    """The packages that the measures come from, by name, and the content encoder that the toolkit carries."""
    from vc.encoders.choice import DISTILLED

    found = {}
    for measure in map(_name, measures):
        package = MEASURES[measure].MODULES[0]
        if measure == "content":
            found[f"content encoder {DISTILLED}"] = f"of vc {__version__}"
        else:
            found[package] = version(package)
    return found


def hear(samples: np.ndarray, rate: int, measures: Sequence[str], common_rate: int) -> Heard:
    """Of `(samples,)`, by the models asked for; content and timbre of all recordings at one rate, `common_rate`."""
    remarks: list[str] = []
    functions = {
        "speaker": speaker.embed,
        "content": lambda *recording: content.analyse(audio.resample(*recording, common_rate), common_rate),
        "phones": phones.recognise,
        "quality": lambda *recording: quality.dnsmos(*recording)["overall"],
        "mos": mos.distillmos,
    }
    found = {}
    for measure in measures:
        name, _, folder = measure.partition("=")
        try:
            found[name] = words.transcribe(samples, rate, folder) if folder else functions[name](samples, rate)
        except DataError as error:
            remarks.append(f"measure {name}: {error}")
    fields = {"speaker": "embedding", OF_FOLDER: "words"}
    return Heard(**{fields.get(name, name): value for name, value in found.items()}, remarks=tuple(remarks))


def heard_figures(heard: Heard, phones_expected: Sequence[str] | None, words_expected: str | None) -> dict[str, float]:
    """The figures of an utterance by itself; errors where it is known which phones or words are to be heard."""
    judged = {"dnsmos": heard.quality, "distillmos": heard.mos}
    figures = {name: value for name, value in judged.items() if value is not None}
    if heard.phones is not None and phones_expected:
        figures["phone_error"] = phones.error_rate(heard.phones, phones_expected)
    if heard.words is not None and words_expected:
        said, expected = words.spelt(heard.words), words_expected
        figures["word_error"] = phones.error_rate(said.split(), expected.split())
        figures["character_error"] = phones.error_rate(said, expected)
    return figures
