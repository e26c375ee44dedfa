"""What the figures say, in words: the ways in which a conversion fails that a single distance does not show.

The bounds were set on real speech: conversions, and recordings that are none (docs/impostors.md). A figure is good or
bad only as far as its 95 % interval allows: what may be either is doubtful, and so is what has no interval, as of one
sentence. What no measure decides is not checked.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vc.evaluate.anchors import ANCHORS, COPY_SYNTHESIS, MEAN_VARIANCE, REFERENCE, UNCONVERTED, Cycle
from vc.evaluate.compare import SystemComparison, runs_of, system_of
from vc.metrics import content
from vc.metrics.arrays import evenly_spread
from vc.metrics.content import Content
from vc.metrics.registry import OPINIONS
from vc.metrics.scores import Scores
from vc.metrics.statistics import UNKNOWN, Interval

GOOD, DOUBTFUL, BAD = "good", "doubtful", "bad"
UNCHECKED = "not checked"  # no measure decides
MODEL = "model"  # stands for it among the verdicts
# Of the way from the source's voice to the target's, by either measure of the speaker: of 720 other voices of VCC2016
# handed in as converted, all but 8 stay below 0.5 by one of them, and one comes to 0.6
NEAR, OTHER = 0.6, 0.5
DISTINCT = 0.05  # of similarity between source and target: with less, voices are too alike to measure by
HALFWAY, NEARER = 0.5, 0.8  # approach; share of sentences
SMOOTH, SMOOTHEST, ROUGH = 0.8, 0.65, 1.25  # of the target's global variance
STILL, STILLEST, RESTLESS = 0.65, 0.45, 1.6  # of the power of the target's movement
ALIKE = 0.8  # of the target's diversity
LOST = 0.85  # share of content, 1 for unrelated sentences
GARBLED, VERY_GARBLED = 0.25, 0.5  # phone error above the source's
UNLIKE, VERY_UNLIKE = 0.45, 0.6  # content distance; another speaker who says the same has 0.25 to 0.34
WORSE, MUCH_WORSE = 0.3, 0.8  # points of DNSMOS or DistillMOS below the target's copy-synthesis
AMPLIFIED, VERY_AMPLIFIED = (
    3.0,
    10.0,
)  # gain of noise on the conversion back; a linear map that restores movement has up to 2
SIGNIFICANCE = 0.05
MIN_SENTENCES = 6  # with fewer, no difference can be significant
SAME_SENTENCE = (
    0.6  # content distance: two speakers of VCC2016 have 0.25 to 0.34 in one sentence, 0.9 and more in others
)
SAME_SHARE = 0.5  # of the sentences
MAX_SOURCES, MAX_TARGETS = 8, 40  # of the source's sentences, each compared with so many of the target's
BANDS = {"gv_ratio_low": "c1 to c8", "gv_ratio_middle": "c9 to c24", "gv_ratio_high": "from c25"}
RATES = {"movement_slow": "1 to 8 Hz", "movement_fast": "8 to 25 Hz"}
SMOOTHED, OVERDONE, UNSURE = "over-smoothed", "overdone", "not sure"
SEVERITY = (GOOD, DOUBTFUL, BAD).index  # of two grades the worse has the larger


class Finding(NamedTuple):
    """One question, and its answer."""

    aspect: str
    grade: str  # GOOD, DOUBTFUL, BAD or UNCHECKED
    text: str
    brief: str = ""  # what the headline says, of an aspect that it has no words of its own for
    reached: tuple[int, int] | None = None  # sentences past halfway to the target's voice, of all


class Evidence(NamedTuple):
    """The figures of one system, and those to compare them with."""

    scores: Scores
    anchors: Mapping[str, Scores]
    comparisons: Sequence[SystemComparison]  # of this system with anchors
    runs: int = 1  # that the comparisons are a mean of

    def figure(self, metric: str) -> float | None:
        """The system's; None if it is unknown."""
        value = self.scores.means.get(metric, math.nan)
        return value if math.isfinite(value) else None

    def interval(self, metric: str) -> Interval:
        return self.scores.intervals.get(metric, UNKNOWN)

    def anchor_figure(self, anchor: str, metric: str) -> float:
        """NaN if it is unknown."""
        return self.anchors[anchor].means[metric] if anchor in self.anchors else math.nan


class Graded(NamedTuple):
    """A share with its interval, and what is said of it."""

    share: float
    interval: Interval
    text: str


def judge_systems(
    scores: Mapping[str, Scores], converted: Sequence[str], comparisons: Sequence[SystemComparison]
) -> dict[str, list[Finding]]:
    """Converted system -> findings.

    Parameters
    ----------
    scores : dict
        System -> its figures, of the anchors too.
    converted : sequence of str
        Names of the converted systems.
    comparisons : sequence of SystemComparison
        As `compare_systems` gives them.
    """
    anchors, groups = {name: scores[name] for name in scores if name in ANCHORS}, runs_of(converted)
    verdicts = {}
    for system in converted:
        group = system_of(system)
        own = [each for each in comparisons if each.one == group and each.other in anchors]
        verdicts[system] = judge(Evidence(scores[system], anchors, own, len(groups[group])))
    return verdicts


def judge(evidence: Evidence) -> list[Finding]:
    """The findings that the figures of one system allow; voice and content are always among them."""
    findings = (
        judge_voice(evidence),
        judge_content(evidence),
        judge_naturalness(evidence),
        judge_liveliness(evidence),
        judge_variety(evidence),
        judge_worth(evidence),
    )
    return [finding for finding in findings if finding is not None]


def judge_voice(evidence: Evidence) -> Finding:
    """Identity, on the scale between the source's voice and the target's own: anybody else's is no conversion."""
    similarity, metric = evidence.figure("speaker_similarity"), "speaker_similarity"
    source = evidence.anchor_figure(UNCONVERTED, metric)
    ceilings = (evidence.anchor_figure(name, metric) for name in (COPY_SYNTHESIS, REFERENCE))  # first the vocoder's
    target = next(filter(math.isfinite, ceilings), math.nan)
    distinct = target - source >= DISTINCT
    if distinct and similarity is None:
        return Finding("voice", BAD, "No speech: nothing in the recordings is taken for a voice.")

    def position(value: float) -> float:
        return (value - source) / (target - source)

    measures = []
    if distinct:
        share, interval = position(similarity), tuple(map(position, evidence.interval(metric)))
        text = f"{share:.0%} of the way to the target by similarity"
        text += f" ({similarity:.2f}; source {source:.2f}, target {target:.2f})"
        measures.append(Graded(share, interval, text))
    distance, whole = evidence.figure("timbre_distance"), evidence.anchor_figure(UNCONVERTED, "timbre_distance")
    if distance is not None and whole > 0:
        low, high = evidence.interval("timbre_distance")
        text = f"{1 - distance / whole:.0%} by timbre ({distance:.2f} from the target's; source {whole:.2f})"
        measures.append(Graded(1 - distance / whole, (1 - high / whole, 1 - low / whole), text))
    if not measures:
        return _judge_approach(evidence)

    text = "; ".join(each.text for each in measures)
    grade = max((_grade_of_share(each.share, each.interval, NEAR, OTHER) for each in measures), key=SEVERITY)
    reached = None
    if distinct and evidence.scores.rows:
        shares = [position(row.get(metric, math.nan)) for row in evidence.scores.rows]  # NaN where no speech is found
        count, total = reached = sum(share > OTHER for share in shares), len(shares)
        text += f"; {count} of {total} sentences are past halfway"
        if speechless := sum(map(math.isnan, shares)):
            text += f", in {speechless} no speech is found"
        if count < NEARER * total:
            grade = BAD if count < HALFWAY * total else max(grade, DOUBTFUL, key=SEVERITY)
    if len(measures) == 1:
        text += "; by one measure alone"
    summary = {GOOD: "Converted", DOUBTFUL: "Not surely converted", BAD: "Not the target's voice"}[grade]
    return Finding("voice", grade, f"{summary}: {text}.", reached=reached)


def _judge_approach(evidence: Evidence) -> Finding:
    """Without a measure of the speaker: spectra nearer the source's deny a conversion, others do not prove one."""
    approach = evidence.figure("approach")
    if approach is None:
        return Finding("voice", UNCHECKED, "No measure tells the source's voice from the target's here.")
    beside = _anchors_beside(evidence, "approach")
    text = f"{approach:.2f} of the way from the source's spectra (0) to the target's (1){beside}"
    if _grade_of_share(approach, evidence.interval("approach"), HALFWAY, HALFWAY) == BAD:
        return Finding("voice", BAD, f"Not converted: {text}.")
    return Finding("voice", UNCHECKED, f"No measure of the speaker decides: {text}.")


def judge_content(evidence: Evidence) -> Finding:
    """Are the words still there? Phones decide where they are recognised, or else a content encoder."""
    mistaken, distance = _phones_mistaken(evidence), evidence.figure("content_distance")
    parts = []
    if mistaken is not None:
        parts.append(mistaken.text)
    if distance is not None:
        beside = _anchors_beside(evidence, "content_distance")
        parts.append(f"content lies at {distance:.2f} of the distance of another sentence{beside}")
    if mistaken is not None:
        grade = _grade(mistaken.share, mistaken.interval, GARBLED, VERY_GARBLED)
    elif distance is not None:
        grade = _grade(distance, evidence.interval("content_distance"), UNLIKE, VERY_UNLIKE)
        parts.append("phone errors are not known")
    else:
        return Finding("content", UNCHECKED, "Neither phone errors nor distances of content are known.")
    summary = {GOOD: "Kept", DOUBTFUL: "Not surely kept", BAD: "Lost"}[grade]
    return Finding("content", grade, f"{summary}: {'; '.join(parts)}.")


def _phones_mistaken(evidence: Evidence) -> Graded | None:
    """Phone errors beyond the source's own, or without those beyond the target's own, or else all of them."""
    if (added := evidence.figure("phone_error_added")) is not None:
        beside, interval = " than in the source's recordings", evidence.interval("phone_error_added")
    elif (error := evidence.figure("phone_error")) is not None:
        own = evidence.anchor_figure(REFERENCE, "phone_error")
        beside, own = (" than in the target's own recordings", own) if math.isfinite(own) else ("", 0.0)
        low, high = evidence.interval("phone_error")
        added, interval = error - own, (low - own, high - own)
    else:
        return None
    more = f" {'fewer' if added < 0 else 'more'}" if beside else ""
    return Graded(added, interval, f"a recogniser mistakes {abs(added):.0%}{more} of the phones{beside}")


def judge_naturalness(evidence: Evidence) -> Finding | None:
    """Predicted quality beside that of the target through the vocoder."""
    parts, grades = [], []
    for metric, label in zip(OPINIONS, ("DistillMOS", "DNSMOS"), strict=True):
        value, best = evidence.figure(metric), evidence.anchor_figure(COPY_SYNTHESIS, metric)
        if value is not None and math.isfinite(best):
            low, high = evidence.interval(metric)
            parts.append(f"{label} {value:.2f}, the target through the vocoder {best:.2f}")
            grades.append(_grade(best - value, (best - high, best - low), WORSE, MUCH_WORSE))
    if not parts:
        return None
    grade = max(grades, key=SEVERITY)
    summary = {GOOD: "As natural as the vocoder lets it be", DOUBTFUL: "Not surely as natural", BAD: "Unnatural"}[grade]
    return Finding("naturalness", grade, f"{summary}: {'; '.join(parts)}.")


def judge_liveliness(evidence: Evidence) -> Finding | None:
    """Over-smoothing, and its opposite, in every band of the spectrum and at every rate of its movement."""
    parts = []  # grade, reason, text
    for ranges, quantity, (smooth, smoothest, rough) in (
        (BANDS, "variance", (SMOOTH, SMOOTHEST, ROUGH)),
        (RATES, "movement", (STILL, STILLEST, RESTLESS)),
    ):
        for metric, name in ranges.items():
            value, (low, high) = evidence.figure(metric), evidence.interval(metric)
            if value is None:
                continue
            grade, reason = _grade_of_share(value, (low, high), smooth, smoothest), UNSURE
            if grade == BAD or value < smooth:
                reason = SMOOTHED
            elif value > rough:  # which is doubtful at most: noise and vocoders do it, too
                grade, reason = DOUBTFUL, OVERDONE if low > rough else UNSURE
            span = f" ({low:.2f} to {high:.2f})" if reason == UNSURE and math.isfinite(low + high) else ""
            parts.append((grade, reason, f"{value:.2f}{span} of the target's {quantity} in {name}"))
    if not parts:
        return None
    grade = max((grade for grade, _, _ in parts), key=SEVERITY)
    if grade == GOOD:
        return Finding("liveliness", GOOD, f"As lively as the target: {'; '.join(text for _, _, text in parts)}.")
    texts = {
        reason: "; ".join(text for *key, text in parts if key == [grade, reason])
        for reason in (SMOOTHED, OVERDONE, UNSURE)
    }
    text = "; ".join(f"{reason}: {of_reason}" for reason, of_reason in texts.items() if of_reason)
    return Finding("liveliness", grade, f"{text[0].upper()}{text[1:]}.", "over-smoothed" if grade == BAD else "")


def judge_variety(evidence: Evidence) -> Finding | None:
    """Mode collapse. Smoothing makes sentences more alike, too, but keeps their content: the source must tell."""
    ratio, distance, lost = (evidence.figure(name) for name in ("diversity", "content_distance", "content_lost"))
    if ratio is None:
        return None
    text = f"different sentences differ {ratio:.2f} times as much as the target's own"
    if math.isnan(sum(evidence.interval("diversity"))):
        return Finding("variety", DOUBTFUL, f"Too few sentences to tell: {text}.")
    gone = distance > VERY_UNLIKE if distance is not None else lost is not None and lost > LOST
    if ratio < ALIKE and gone:
        text = f"Collapsed: {text}; much the same comes out whatever is said."
        return Finding("variety", BAD, text, "much the same whatever is said")
    grade, summary = (DOUBTFUL, "Monotonous") if ratio < ALIKE else (GOOD, "Varied")
    return Finding("variety", grade, f"{summary}: {text}.")


def judge_worth(evidence: Evidence) -> Finding | None:
    """Is it better than no method at all? Distortion alone does not condemn what comes nearer as a set."""
    comparisons = (each for each in evidence.comparisons if (each.metric, each.other) == ("mcd", MEAN_VARIANCE))
    if (comparison := next(comparisons, None)) is None:
        return None
    gain, runs = -comparison.result.difference, ", mean of all runs" if evidence.runs > 1 else ""
    text = f"than means and variances alone by {abs(gain):.2f} dB of mel-cepstral distortion{runs}"
    side, p = "nearer" if gain > 0 else "farther", comparison.p_holm
    if comparison.result.utterances < MIN_SENTENCES:
        return Finding("worth", DOUBTFUL, f"Too few sentences to tell: {side} {text}.")
    probability = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    if p > SIGNIFICANCE:
        return Finding("worth", DOUBTFUL, f"Not surely {side} {text} ({probability}).")
    distance = evidence.scores.means["timbre_distance"]
    baseline = evidence.anchors[MEAN_VARIANCE].means["timbre_distance"]
    grade = GOOD if gain > 0 else DOUBTFUL if distance < baseline else BAD
    brief = "farther from the target than means and variances alone" if grade == BAD else ""
    return Finding("worth", grade, f"{side.capitalize()} {text} ({probability}).", brief)


def judge_cycle(cycle: Cycle) -> Finding:
    """Does a model's cycle close by details that cannot be heard?"""
    text = f"small noise on converted features comes back {cycle.gain:.1f} times as large"
    # The gain is of the model, not of a sample of sentences, and exact
    grade = _grade(cycle.gain, (cycle.gain, cycle.gain), AMPLIFIED, VERY_AMPLIFIED)
    if grade == GOOD:
        return Finding("cycle", grade, f"The model's way back needs no hidden details: {text}.")
    return Finding("cycle", grade, f"The model's way back reads what is hidden in details: {text}.")


def judge_sentences(source: Sequence[Content], target: Sequence[Content], *, parallel: bool) -> Finding | None:
    """Whether the target says the source's sentences: by content, beside what the names claim.

    Parameters
    ----------
    source, target : sequence of Content
        By sentence, in one order if they are `parallel`.
    parallel : bool
        Whether the names say that sentences of one index are the same.

    Returns
    -------
    Finding or None
        None where names and content agree, or there is too little to compare.
    """
    if len(source) < 2 or not target:
        return None
    centre = content.centre_of(source)
    same = SAME_SENTENCE * content.different_sentences(source, centre)
    if parallel:
        alike = sum(content.distance(one, other, centre) < same for one, other in zip(source, target, strict=True))
        if alike >= SAME_SHARE * len(source):
            return None
        text = (
            f"The target says other sentences than the names claim: {len(source) - alike} of {len(source)} pairs differ"
            " in content, and figures that compare them say nothing."
        )
        return Finding("sentences", BAD, text, "the target says other sentences")
    indices = evenly_spread(len(source), MAX_SOURCES)
    alike = sum(
        any(content.distance(source[index], other, centre) < same for other in target[:MAX_TARGETS])
        for index in indices
    )
    if alike < SAME_SHARE * len(indices):
        return None
    text = (
        f"The target says the same sentences, which are taken for others: {alike} of {len(indices)} were found, and its"
        " own recording of a sentence counts as another one."
    )
    return Finding("sentences", BAD, text, "the target says the same sentences")


def _grade(value: float, interval: Interval, doubtful: float, bad: float) -> str:
    """Of what is the worse the larger it is: bad if all of its interval is, good if none of it may be bad."""
    low, high = interval
    if math.isnan(low + high):
        return DOUBTFUL
    if low > bad:
        return BAD
    return DOUBTFUL if value > doubtful or high > bad else GOOD


def _grade_of_share(value: float, interval: Interval, doubtful: float, bad: float) -> str:
    """The same of what is the worse the smaller it is."""
    low, high = interval
    return _grade(-value, (-high, -low), -doubtful, -bad)


def _anchors_beside(evidence: Evidence, metric: str) -> str:
    """The anchors' figures, in brackets."""
    names = {MEAN_VARIANCE: "means and variances alone", COPY_SYNTHESIS: "the target through the vocoder"}
    figures = {name: evidence.anchor_figure(anchor, metric) for anchor, name in names.items()}
    texts = [f"{name} {value:.2f}" for name, value in figures.items() if math.isfinite(value)]
    return f" ({', '.join(texts)})" if texts else ""
