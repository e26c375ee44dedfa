"""An evaluation in one sentence, for a reader who has five seconds: the voice, the words, the quality."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from vc.evaluate.verdict import BAD, DOUBTFUL, GOOD, UNCHECKED, Finding
from vc.metrics.scores import Scores

VOICE, CONTENT, NATURALNESS = "voice", "content", "naturalness"  # aspects that the sentence always speaks of
PREDICTED = ("distillmos", "dnsmos")  # quality out of 5: the first that was measured is told
OF_VOICE = {GOOD: "sounds like {}", DOUBTFUL: "sounds partly like {}", BAD: "does not sound like {}"}
OF_CONTENT = {GOOD: "words kept", DOUBTFUL: "words not surely kept", BAD: "words lost"}


class Part(NamedTuple):
    """What the sentence says of one question."""

    grade: str  # the finding's, empty where nothing was judged
    text: str


def headline(findings: Sequence[Finding], scores: Scores, reference: Scores, target: str) -> list[Part]:
    """The parts of the sentence about one system.

    Parameters
    ----------
    findings
        What `verdict.judge` says of the system. Grades are taken as they are; what is missing was not checked.
    scores, reference
        The figures of the system and of the target's own recordings.
    target
        What people call the target.
    """
    by_aspect = {finding.aspect: finding for finding in findings if finding.grade != UNCHECKED}
    parts = [_voice(by_aspect.get(VOICE), target), _content(by_aspect.get(CONTENT))]
    parts += _quality(by_aspect.get(NATURALNESS), scores, reference)
    others = (each for each in findings if each.aspect not in (VOICE, CONTENT, NATURALNESS) and each.grade == BAD)
    return parts + [Part(BAD, each.brief) for each in others]


def written(parts: Sequence[Part]) -> str:
    """The sentence as plain text."""
    text = "; ".join(part.text for part in parts)
    return f"{text[0].upper()}{text[1:]}."


def _voice(finding: Finding | None, target: str) -> Part:
    if finding is None:
        return Part("", f"likeness to {target} {UNCHECKED}")
    text = OF_VOICE[finding.grade].format(target)
    if finding.grade == GOOD and finding.reached:
        text += " in {} of {} sentences".format(*finding.reached)
    return Part(finding.grade, text)


def _content(finding: Finding | None) -> Part:
    if finding is None:
        return Part("", f"words {UNCHECKED}")
    return Part(finding.grade, OF_CONTENT[finding.grade])


def _quality(finding: Finding | None, scores: Scores, reference: Scores) -> list[Part]:
    """As predicted, beside the target's own; nothing where no predictor was asked."""
    for name in PREDICTED:
        if math.isfinite(value := scores.means.get(name, math.nan)):
            own = reference.means.get(name, math.nan)
            beside = f", the target's own {own:.1f}" if math.isfinite(own) else ""
            return [Part(finding.grade if finding else "", f"quality {value:.1f} of 5{beside}")]
    return []
