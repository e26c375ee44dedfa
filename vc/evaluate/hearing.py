"""What models of speech say of a recording: who speaks, which phones are heard, how good it sounds."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

from vc.errors import ConfigError, DataError
from vc.metrics import mos, phones, quality, speaker

MEASURES = {"speaker": speaker, "phones": phones, "quality": quality, "mos": mos}


class Heard(NamedTuple):
    """None where a measure was not asked for, or can say nothing of the recording."""

    embedding: np.ndarray | None  # (256,)
    phones: list[str] | None
    quality: float | None
    mos: float | None
    remarks: list[str]  # why one says nothing


def choose_measures(wanted: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The measures to take, and a note for each that is left out; those `wanted` by name are refused if missing."""
    for name in wanted or ():
        if name not in MEASURES:
            raise ConfigError(f"unknown measure {name!r}; known ones are {', '.join(MEASURES)}")
        MEASURES[name].require()
    if wanted is not None:
        return list(dict.fromkeys(wanted)), []
    chosen, notes = [], []
    for name in MEASURES:
        try:
            MEASURES[name].require()
            chosen.append(name)
        except ConfigError as error:
            notes.append(f"measure {name} is left out: {error}")
    return chosen, notes


def versions(measures: Sequence[str]) -> dict[str, str]:
    """The packages that the measures come from, by name."""
    return {name: version(name) for name in (MEASURES[measure].MODULES[0] for measure in measures)}


def hear(samples: np.ndarray, rate: int, measures: Sequence[str]) -> Heard:
    """Of `(samples,)`, by the models asked for."""
    remarks: list[str] = []
    functions = {"speaker": speaker.embed, "phones": phones.recognise, "quality": quality.dnsmos, "mos": mos.distillmos}
    found = {}
    for name in measures:
        try:
            found[name] = functions[name](samples, rate)
        except DataError as error:
            remarks.append(f"measure {name}: {error}")
    overall = found["quality"]["overall"] if "quality" in found else None
    return Heard(found.get("speaker"), found.get("phones"), overall, found.get("mos"), remarks)


def heard_figures(heard: Heard, expected: Sequence[str] | None) -> dict[str, float]:
    """The figures of an utterance by itself; the phone error where it is known which phones are to be heard."""
    judged = {"dnsmos": heard.quality, "distillmos": heard.mos}
    figures = {name: value for name, value in judged.items() if value is not None}
    if heard.phones is not None and expected:
        figures["phone_error"] = phones.error_rate(heard.phones, expected)
    return figures
