"""The verdict in one sentence: it says what the grades say, and that what was not graded was not checked."""

import math

import pytest

from vc.evaluate.headline import CONTENT_TEXTS, VOICE_TEXTS, as_text, headline
from vc.evaluate.verdict import BAD, DOUBTFUL, GOOD, UNCHECKED, Finding
from vc.metrics.registry import METRICS
from vc.metrics.scores import Scores


def scores(**means: float) -> Scores:
    return Scores(dict.fromkeys(METRICS, math.nan) | means, {}, [])


def said(*findings: Finding, own: Scores | None = None, target: Scores | None = None) -> str:
    return as_text(headline(findings, own or scores(), reference=target or scores(), target="rms"))


def test_all_is_said_in_one_sentence():
    findings = Finding("voice", GOOD, "...", reached=(2, 3)), Finding("content", GOOD, "...")
    own, target = scores(distillmos=2.94, dnsmos=1.0), scores(distillmos=3.06)
    sentence = "Sounds like rms in 2 of 3 sentences; words kept; quality 2.9 of 5 (the target's own: 3.1)."
    assert said(*findings, own=own, target=target) == sentence


@pytest.mark.parametrize("grade", [GOOD, DOUBTFUL, BAD])
def test_each_grade_has_words_of_its_own(grade):
    sentence = said(Finding("voice", grade, "", reached=(2, 2)), Finding("content", grade, ""))
    assert VOICE_TEXTS[grade].format("rms") in sentence.lower() and CONTENT_TEXTS[grade] in sentence
    assert ("2 of 2" in sentence) == (grade == GOOD)


def test_what_was_not_graded_was_not_checked():
    findings = Finding("voice", UNCHECKED, "..."), Finding("content", UNCHECKED, "...")
    assert said(*findings) == said() == "Likeness to rms not checked; words not checked."


def test_what_else_is_bad_is_not_kept_back():
    others = (
        Finding("variety", BAD, "Collapsed: ...", "all alike"),
        Finding("liveliness", DOUBTFUL, "Over-smoothed: ..."),
    )
    parts = headline(others, scores(), reference=scores(), target="rms")
    assert [part.text for part in parts[2:]] == ["all alike"] and parts[2].grade == BAD
