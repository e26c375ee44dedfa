"""An evaluation in one sentence, for a reader who has five seconds: the voice, the words, the quality."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from vc.evaluate.verdict import BAD, DOUBTFUL, GOOD, UNCHECKED, Finding
from vc.metrics.registry import OPINIONS
from vc.metrics.scores import Scores

VOICE, CONTENT, NATURALNESS = "voice", "content", "naturalness"  # aspects that the sentence always speaks of
OF_VOICE = {GOOD: "sounds like {}", DOUBTFUL: "sounds partly like {}", BAD: "does not sound like {}"}
OF_CONTENT = {GOOD: "words kept", DOUBTFUL: "words not surely kept", BAD: "words lost"}


class Part(NamedTuple):
    """What the sentence says of one question."""

    grade: str  # the finding's, empty where nothing was judged
    text: str


def headline(findings: Sequence[Finding], scores: Scores, *, reference: Scores, target: str) -> list[Part]:
    """The parts of the sentence about one system.

    Parameters
    ----------
    findings : sequence of Finding
        Of the system, by `verdict.judge`. An aspect that is missing was not checked.
    scores, reference : Scores
        The figures of the system and of the target's own recordings.
    target : str
        The target's name.

    Returns
    -------
    list of Part
        Voice, words, quality if it was predicted, and whatever else is bad.
    """
    by_aspect = {finding.aspect: finding for finding in findings if finding.grade != UNCHECKED}
    voice, content, naturalness = map(by_aspect.get, (VOICE, CONTENT, NATURALNESS))
    if voice is None:
        parts = [Part("", f"likeness to {target} {UNCHECKED}")]
    else:
        reached = " in {} of {} sentences".format(*voice.reached) if voice.grade == GOOD and voice.reached else ""
        parts = [Part(voice.grade, OF_VOICE[voice.grade].format(target) + reached)]
    parts.append(Part(content.grade, OF_CONTENT[content.grade]) if content else Part("", f"words {UNCHECKED}"))
    opinions = (name for name in OPINIONS if math.isfinite(scores.means.get(name, math.nan)))
    if (name := next(opinions, None)) is not None:
        own = reference.means.get(name, math.nan)
        beside = f", the target's own {own:.1f}" if math.isfinite(own) else ""
        grade = naturalness.grade if naturalness else ""
        parts.append(Part(grade, f"quality {scores.means[name]:.1f} of 5{beside}"))
    others = (each for each in findings if each.aspect not in (VOICE, CONTENT, NATURALNESS) and each.grade == BAD)
    return parts + [Part(BAD, each.brief) for each in others]


def as_text(parts: Sequence[Part]) -> str:
    """The sentence as plain text."""
    text = "; ".join(part.text for part in parts)
    return f"{text[0].upper()}{text[1:]}."
