"""Intelligibility by phone error rate.

The package hama 1.7.0 includes a phone recogniser (a small CTC network without a word language model) and the
grapheme-to-phoneme network whose notation it was trained on. Both know English best; phones are IPA symbols.

Reliability: good for comparing systems on the same sentences. The recogniser's own errors, some 12 % of the phones of
clean speech against its text, are part of every figure; noise and accents raise it as lost words do.
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
LONGEST = 25.0  # seconds; the recogniser ignores everything after 30 s
WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


def _load(name: str) -> Any:
    """Load one of hama's models, ASRModel or G2PModel."""
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
        IPA symbols; empty if none is recognised.

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
    """The phones of an English transcript, in the recogniser's notation.

    Parameters
    ----------
    text : str
        Words of the letters a to z; numbers must be spelt out.

    Returns
    -------
    list of str
        IPA symbols.

    Raises
    ------
    DataError
        If the text has no words, or letters of other alphabets.
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
    """Error rate: Levenshtein distance divided by the length of the expected sequence.

    Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals", Soviet Physics Doklady 10,
    1966.

    Parameters
    ----------
    recognised, expected : sequence of str
        Phones, words or characters.

    Returns
    -------
    float
        Insertions, deletions and substitutions per expected symbol; 0 or above.

    Raises
    ------
    DataError
        If the expected sequence is empty.
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
    """Drop signs without a letter, such as ties and stress marks."""
    return [sign for sign in signs if any(map(str.isalpha, sign))]
