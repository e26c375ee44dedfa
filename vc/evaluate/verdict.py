"""What the figures say, in words: the ways in which a conversion fails that a single distance does not show.

The bounds were set on real speech: good conversions, and ones that were spoilt on purpose in each of these ways
(recipes/EXPERIMENTS.md, "What the verdict catches").
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from vc.evaluate.cycle import Cycle
from vc.evaluate.statistics import SystemComparison
from vc.metrics.scores import Scores

GOOD, DOUBTFUL, BAD = "good", "doubtful", "bad"
HALFWAY, NEARER = 0.5, 0.95  # approach; share of sentences
SMOOTH, SMOOTHEST, ROUGH = 0.8, 0.65, 1.25  # of the target's global variance
ALIKE = 0.8  # of the target's diversity
LOST, LOST_MOST = 0.85, 0.93  # share of content, 1 by chance
GARBLED, GARBLED_MOST = 0.25, 0.5  # phone error above the source's
GROWN, GROWN_MOST = 3.0, 10.0  # of noise on the way back; a linear map that restores movement has up to 2
CHANCE = 0.05
FEWEST = 6  # sentences: with fewer, no difference can be more than chance


class Finding(NamedTuple):
    """One question, and its answer."""

    aspect: str
    grade: str  # GOOD, DOUBTFUL or BAD
    text: str


class Evidence(NamedTuple):
    """What there is about one system."""

    figures: dict[str, float]
    anchors: dict[str, Scores]
    comparisons: list[SystemComparison]  # of this system with anchors
    runs: int = 1  # that the comparisons are a mean of


def judge(evidence: Evidence) -> list[Finding]:
    """The findings that the figures allow; what they do not allow is left out."""
    asked: tuple[Callable[[Evidence], Finding | None], ...] = (_voice, _liveliness, _variety, _content, _worth)
    return [finding for ask in asked if (finding := ask(evidence)) is not None]


def _voice(evidence: Evidence) -> Finding | None:
    """Identity: is it still the source?"""
    approach, nearer = (_figure(evidence, name) for name in ("approach", "nearer_target"))
    if approach is None:
        return None
    text = f"{approach:.2f} of the way from the source's spectra (0) to the target's (1){_beside(evidence, 'approach')}"
    if nearer is not None:
        text += f"; {nearer:.0%} of sentences are more like the target's voice than the source's"
    if approach < HALFWAY or (nearer is not None and nearer < HALFWAY):
        return Finding("voice", BAD, f"Not converted: {text}.")
    if nearer is not None and nearer < NEARER:
        return Finding("voice", DOUBTFUL, f"Not converted everywhere: {text}.")
    return Finding("voice", GOOD, f"Converted: {text}.")


def _liveliness(evidence: Evidence) -> Finding | None:
    """Over-smoothing, and its opposite."""
    ratio = _figure(evidence, "gv_ratio")
    if ratio is None:
        return None
    text = f"the spectrum moves with {ratio:.2f} times the target's variance{_beside(evidence, 'gv_ratio')}"
    if ratio < SMOOTH:
        return Finding("liveliness", BAD if ratio < SMOOTHEST else DOUBTFUL, f"Over-smoothed: {text}.")
    if ratio > ROUGH:
        return Finding("liveliness", DOUBTFUL, f"Overdone: {text}.")
    return Finding("liveliness", GOOD, f"As lively as the target: {text}.")


def _variety(evidence: Evidence) -> Finding | None:
    """Mode collapse. Smoothing makes sentences more alike, too, but leaves what they say: the source must tell."""
    ratio, lost = (_figure(evidence, name) for name in ("diversity", "content_lost"))
    if ratio is None:
        return None
    text = f"different sentences differ {ratio:.2f} times as much as the target's own"
    if ratio < ALIKE and lost is not None and lost > LOST:
        return Finding("variety", BAD, f"Collapsed: {text}; much the same comes out whatever is said.")
    return Finding(
        "variety", DOUBTFUL if ratio < ALIKE else GOOD, f"{'Monotonous' if ratio < ALIKE else 'Varied'}: {text}."
    )


def _content(evidence: Evidence) -> Finding | None:
    """Is what the source says still there? Phones, where they are recognised, tell more than frames."""
    lost, garbled = (_figure(evidence, name) for name in ("content_lost", "phone_error_added"))
    if lost is None and garbled is None:
        return None
    told, grade = [], GOOD
    if lost is not None:
        beside = _beside(evidence, "content_lost")
        told.append(f"{lost:.2f} of how the source moves is lost, where 1 is another sentence{beside}")
        grade = _grade(lost, LOST, LOST_MOST)
    if garbled is not None:
        more = f"{abs(garbled):.0%} {'fewer' if garbled < 0 else 'more'} of the phones"
        told.append(f"a recogniser mistakes {more} than in the source's recordings")
        grade = _grade(garbled, GARBLED, GARBLED_MOST)
    said = {GOOD: "Kept", DOUBTFUL: "Partly lost", BAD: "Lost"}[grade]
    return Finding("content", grade, f"{said}: {'; '.join(told)}.")


def _grade(value: float, doubtful: float, bad: float) -> str:
    return BAD if value > bad else DOUBTFUL if value > doubtful else GOOD


def _worth(evidence: Evidence) -> Finding | None:
    """Is it better than no method at all? Distortion alone does not condemn what comes nearer as a set."""
    compared = (each for each in evidence.comparisons if (each.metric, each.other) == ("mcd", "mean_variance"))
    if (each := next(compared, None)) is None:
        return None
    gain, runs = -each.found.difference, ", mean of all runs" if evidence.runs > 1 else ""
    text = f"than means and variances alone by {abs(gain):.2f} dB of mel-cepstral distortion{runs}"
    side = "nearer" if gain > 0 else "farther"
    if each.found.utterances < FEWEST:
        return Finding("worth", DOUBTFUL, f"Too few sentences to tell: {side} {text}.")
    if each.p_holm > CHANCE:
        return Finding("worth", DOUBTFUL, f"Not surely {side} {text} ({_chance(each.p_holm)}).")
    approach, before = _figure(evidence, "approach"), evidence.anchors["mean_variance"].means["approach"]
    grade = GOOD if gain > 0 else DOUBTFUL if approach is not None and approach > before else BAD
    return Finding("worth", grade, f"{side.capitalize()} {text} ({_chance(each.p_holm)}).")


def judge_cycle(cycle: Cycle) -> Finding:
    """Does a model's cycle close by what nobody hears?"""
    text = f"small noise on converted features comes back {cycle.gain:.1f} times as large"
    grade = _grade(cycle.gain, GROWN, GROWN_MOST)
    if grade == GOOD:
        return Finding("cycle", grade, f"The model's way back needs no hidden details: {text}.")
    return Finding("cycle", grade, f"The model's way back reads what is hidden in details: {text}.")


def _figure(evidence: Evidence, name: str) -> float | None:
    value = evidence.figures.get(name, math.nan)
    return value if math.isfinite(value) else None


def _beside(evidence: Evidence, name: str) -> str:
    """The anchors' figures, in brackets."""
    told = {"mean_variance": "means and variances alone", "copy_synthesis": "the target through the vocoder"}
    known = {
        words: evidence.anchors[anchor].means[name] for anchor, words in told.items() if anchor in evidence.anchors
    }
    shown = [f"{words} {value:.2f}" for words, value in known.items() if math.isfinite(value)]
    return f" ({', '.join(shown)})" if shown else ""


def _chance(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
