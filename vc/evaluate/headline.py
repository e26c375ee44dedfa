"""An evaluation in one sentence: the voice, the words, the quality."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from vc.evaluate.verdict import BAD, DOUBTFUL, GOOD, UNCHECKED, Finding
from vc.metrics.registry import OPINIONS
from vc.metrics.scores import Scores

VOICE, CONTENT, NATURALNESS = "voice", "content", "naturalness"  # aspects that every headline covers
VOICE_TEXTS = {GOOD: "sounds like {}", DOUBTFUL: "sounds partly like {}", BAD: "does not sound like {}"}
CONTENT_TEXTS = {GOOD: "words kept", DOUBTFUL: "some words may be lost", BAD: "words lost"}


class Part(NamedTuple):
    """One aspect in the headline."""

    grade: str  # the finding's; empty if there is none
    text: str


def headline(findings: Sequence[Finding], scores: Scores, *, reference: Scores, target: str) -> list[Part]:
    """The parts of the headline of one system.

    Parameters
    ----------
    findings : sequence of Finding
        The system's, from `verdict.judge`. A missing aspect was not checked.
    scores, reference : Scores
        Scores of the system and of the target's own recordings.
    target : str
        The target's name.

    Returns
    -------
    list of Part
        Voice, words, quality if it was predicted, and all other bad aspects.
    """
    by_aspect = {finding.aspect: finding for finding in findings if finding.grade != UNCHECKED}
    voice, content, naturalness = map(by_aspect.get, (VOICE, CONTENT, NATURALNESS))
    if voice is None:
        parts = [Part("", f"likeness to {target} {UNCHECKED}")]
    else:
        reached = " in {} of {} sentences".format(*voice.reached) if voice.grade == GOOD and voice.reached else ""
        parts = [Part(voice.grade, VOICE_TEXTS[voice.grade].format(target) + reached)]
    parts.append(Part(content.grade, CONTENT_TEXTS[content.grade]) if content else Part("", f"words {UNCHECKED}"))
    opinions = (name for name in OPINIONS if math.isfinite(scores.means.get(name, math.nan)))
    if (name := next(opinions, None)) is not None:
        best = reference.means.get(name, math.nan)
        comparison = f" (the target's own: {best:.1f})" if math.isfinite(best) else ""
        grade = naturalness.grade if naturalness else ""
        parts.append(Part(grade, f"quality {scores.means[name]:.1f} of 5{comparison}"))
    others = (finding for finding in findings if finding.aspect not in (VOICE, CONTENT, NATURALNESS))
    return parts + [Part(BAD, finding.brief) for finding in others if finding.grade == BAD]


def as_text(parts: Sequence[Part]) -> str:
    """The headline as plain text."""
    text = "; ".join(part.text for part in parts)
    return f"{text[0].upper()}{text[1:]}."
