"""Intelligibility: how many of the phones that were said a recogniser still hears.

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

from vc import extras
from vc.errors import DataError
from vc.metrics import speech

MODULES = ("hama",)
LONGEST = 25.0  # seconds; the recogniser leaves out what comes after 30 s
WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


def require() -> None:
    """Refuse if a package is missing."""
    extras.require("phone recognition", "eval", *MODULES)


def recognise(samples: np.ndarray, rate: int) -> list[str]:
    """The phones heard in `(samples,)`; none is a result, too. Long recordings are cut into equal pieces."""
    samples = speech.prepare(samples, rate)
    pieces = np.array_split(samples, math.ceil(len(samples) / (LONGEST * speech.RATE)))
    return [phone for piece in pieces for phone in _spoken(_recogniser()(piece, speech.RATE).phonemes)]


def from_text(text: str) -> list[str]:
    """The phones of an English transcript, in the recogniser's notation; numbers must be written out."""
    words = text.lower().replace("\u2019", "'")
    unknown = sorted({sign for sign in WORD.sub("", words) if sign.isalnum()})
    if unknown:
        raise DataError(f"{' '.join(unknown)} in {text!r}: phones are known for English words of the letters a to z")
    found = [phone for word in WORD.findall(words) for phone in _pronounced(word)]
    if not found:
        raise DataError(f"no words in {text!r}")
    return found


def error_rate(found: Sequence[str], expected: Sequence[str]) -> float:
    """Fewest insertions, deletions and substitutions that make `expected` of `found`, over its length; 0 or above.

    Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals", Soviet Physics Doklady 10,
    1966.
    """
    if len(expected) == 0:
        raise DataError("no phones are expected: nothing to compare with")
    costs = list(range(len(expected) + 1))
    for row, phone in enumerate(found, 1):
        diagonal, costs[0] = costs[0], row
        for column, wanted in enumerate(expected, 1):
            cheapest = min(costs[column] + 1, costs[column - 1] + 1, diagonal + (phone != wanted))
            diagonal, costs[column] = costs[column], cheapest
    return costs[-1] / len(expected)


@cache
def _recogniser() -> Any:
    require()
    import hama

    return hama.ASRModel()


@cache
def _speller() -> Any:
    require()
    import hama

    return hama.G2PModel()


@cache
def _pronounced(word: str) -> tuple[str, ...]:
    return tuple(_spoken(sign.phoneme for sign in _speller()(word).alignments))


def _spoken(signs: Sequence[str]) -> list[str]:
    """Without ties and marks that stand alone."""
    return [sign for sign in signs if any(map(str.isalpha, sign))]
