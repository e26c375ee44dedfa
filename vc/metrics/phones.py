"""Intelligibility: how many of the phones that were said a recogniser still finds.

The package hama 1.7.0 carries a recogniser of phones (a small CTC network without a language model of words) and the
letter-to-sound network whose notation it was taught. Both know English best; phones are IPA signs.

What it is worth: good for comparing systems on the same sentences. A recogniser's own errors, some 12 % of the phones
of clean speech against its text, are in every figure; noise and an accent count as lost words do.
"""

import math
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from vc.errors import DataError
from vc.metrics.speech_models import RATE, PackagedModel, prepare

MODULES = ("hama",)
LONGEST = 25.0  # seconds; the recogniser leaves out what comes after 30 s
WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


def _load(name: str) -> Any:
    """A model of hama's: ASRModel or G2PModel."""
    import hama

    return getattr(hama, name)()


MODEL = PackagedModel("phone recognition", MODULES, _load)
require = MODEL.require


def recognise(samples: np.ndarray, rate: int) -> list[str]:
    """The phones of a recording; long ones are cut into equal pieces.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`; full scale is 1.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    list of str
        IPA signs; empty where none is recognised.

    Raises
    ------
    DataError
        If the recording is too short, silent or not finite.
    ConfigError
        If a package is missing.
    """
    samples = prepare(samples, rate)
    pieces = np.array_split(samples, math.ceil(len(samples) / (LONGEST * RATE)))
    return [phone for piece in pieces for phone in _letters(MODEL.get("ASRModel")(piece, RATE).phonemes)]


def from_text(text: str) -> list[str]:
    """The phones of an English transcript, in the recogniser's notation; numbers must be written out.

    Raises
    ------
    DataError
        If the text has no words, or signs of other alphabets.
    ConfigError
        If a package is missing.
    """
    words = text.lower().replace("\u2019", "'")
    unknown = sorted({sign for sign in WORD.sub("", words) if sign.isalnum()})
    if unknown:
        raise DataError(f"{' '.join(unknown)} in {text!r}: phones are known for English words of the letters a to z")
    phones = [phone for word in WORD.findall(words) for phone in _pronunciation(word)]
    if not phones:
        raise DataError(f"no words in {text!r}")
    return phones


def error_rate(recognised: Sequence[str], expected: Sequence[str]) -> float:
    """Levenshtein distance over the length of the expected sequence.

    Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals", Soviet Physics Doklady 10,
    1966.

    Parameters
    ----------
    recognised, expected : sequence of str
        Phones, words or characters.

    Returns
    -------
    float
        Insertions, deletions and substitutions over the number of expected ones; 0 or above.

    Raises
    ------
    DataError
        If nothing is expected.
    """
    if len(expected) == 0:
        raise DataError("no phones are expected: nothing to compare with")
    costs = list(range(len(expected) + 1))
    for row, phone in enumerate(recognised, 1):
        diagonal, costs[0] = costs[0], row
        for column, reference in enumerate(expected, 1):
            cheapest = min(costs[column] + 1, costs[column - 1] + 1, diagonal + (phone != reference))
            diagonal, costs[column] = costs[column], cheapest
    return costs[-1] / len(expected)


@cache
def _pronunciation(word: str) -> tuple[str, ...]:
    return tuple(_letters(sign.phoneme for sign in MODEL.get("G2PModel")(word).alignments))


def _letters(signs: Sequence[str]) -> list[str]:
    """Without ties and marks that stand alone."""
    return [sign for sign in signs if any(map(str.isalpha, sign))]
