"""Grades of an evaluation's figures, with an explanation: failures of a conversion that one distance does not show.

The thresholds were set on real speech, on conversions and on recordings that are not conversions (docs/impostors.md). A
grade is good or bad only if the figure's 95 % interval allows no other: otherwise it is doubtful, as it is without an
interval (a single sentence). Without a measure that can decide, it is "not checked".
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
MODEL = "model"  # the model's key among the verdicts
# Thresholds, the doubtful one first where there are two. Positions between the source's voice (0) and the target's (1),
# by either speaker measure: of 720 other voices of VCC2016 evaluated as conversions, all but 8 stay below 0.5 by one of
# the measures, and one comes to 0.6.
NEAR, OTHER = 0.6, 0.5
DISTINCT = 0.05  # similarity between source and target: voices that differ by less are too alike for this measure
HALFWAY, NEARER = 0.5, 0.8  # approach; share of sentences
SMOOTH, SMOOTHEST, ROUGH = 0.8, 0.65, 1.25  # ratio to the target's global variance
STILL, STILLEST, RESTLESS = 0.65, 0.45, 1.6  # ratio to the target's modulation power
ALIKE = 0.8  # ratio to the target's diversity
LOST = 0.85  # share of content lost, 1 for unrelated sentences
GARBLED, VERY_GARBLED = 0.25, 0.5  # phone error above the source's
UNLIKE = 0.6  # content distance that is lost words; the same sentence by another speaker has 0.25 to 0.34
WORSE, MUCH_WORSE = 0.3, 0.8  # points of DNSMOS or DistillMOS below the target's copy-synthesis
# Noise gain of the conversion back; a linear map restoring modulation has up to 2
AMPLIFIED, VERY_AMPLIFIED = 3.0, 10.0
SIGNIFICANCE = 0.05
MIN_SENTENCES = 6  # with fewer, no difference can be significant
SAME_SENTENCE = 0.6  # content distance between two speakers: 0.25 to 0.34 in the same sentence, 0.9 and more in others
SAME_SHARE = 0.5  # of the sentences
MAX_SOURCES, MAX_TARGETS = 8, 40  # sentences of the source, and of the target for each of them to be compared with
BANDS = {"gv_ratio_low": "c1 to c8", "gv_ratio_middle": "c9 to c24", "gv_ratio_high": "from c25"}
RATES = {"movement_slow": "1 to 8 Hz", "movement_fast": "8 to 25 Hz"}
SMOOTHED, OVERDONE, UNCERTAIN = "over-smoothed", "exaggerated", "uncertain"
SEVERITY = (GOOD, DOUBTFUL, BAD).index  # larger for the worse grade


class Finding(NamedTuple):
    """The grade of one aspect, explained."""

    aspect: str
    grade: str  # GOOD, DOUBTFUL, BAD or UNCHECKED
    text: str
    brief: str = ""  # for the headline, if the aspect has no fixed text there
    reached: tuple[int, int] | None = None  # sentences past halfway to the target's voice, and all


class Evidence(NamedTuple):
    """The figures of one system, and those to compare them with."""

    scores: Scores
    anchors: Mapping[str, Scores]
    comparisons: Sequence[SystemComparison]  # of this system with anchors
    runs: int = 1  # over which the comparisons are averaged

    def figure(self, metric: str) -> float | None:
        """The system's figure; None if unknown."""
        value = self.scores.means.get(metric, math.nan)
        return value if math.isfinite(value) else None

    def interval(self, metric: str) -> Interval:
        """The 95 % interval of the system's figure; NaN if unknown."""
        return self.scores.intervals.get(metric, UNKNOWN)

    def anchor_figure(self, anchor: str, metric: str) -> float:
        """An anchor's figure; NaN if unknown."""
        return self.anchors[anchor].means[metric] if anchor in self.anchors else math.nan


class Share(NamedTuple):
    """A share with its interval and an explanation."""

    value: float
    interval: Interval
    text: str


def judge_systems(
    scores: Mapping[str, Scores], converted: Sequence[str], comparisons: Sequence[SystemComparison]
) -> dict[str, list[Finding]]:
    """Grade the converted systems.

    Parameters
    ----------
    scores : dict
        System or anchor -> its scores.
    converted : sequence of str
        Names of the converted systems.
    comparisons : sequence of SystemComparison
        From `compare_systems`.

    Returns
    -------
    dict
        Converted system -> findings.
    """
    anchors, groups = {name: scores[name] for name in scores if name in ANCHORS}, runs_of(converted)
    verdicts = {}
    for system in converted:
        group = system_of(system)
        with_anchors = [pair for pair in comparisons if pair.one == group and pair.other in anchors]
        verdicts[system] = judge(Evidence(scores[system], anchors, with_anchors, len(groups[group])))
    return verdicts


def judge(evidence: Evidence) -> list[Finding]:
    """Grade one system in every aspect that its figures allow; voice and content are always included."""
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
    """Grade the speaker's identity, by the position between the source's voice and the target's own."""
    similarity, metric = evidence.figure("speaker_similarity"), "speaker_similarity"
    source = evidence.anchor_figure(UNCONVERTED, metric)
    ceilings = (evidence.anchor_figure(name, metric) for name in (COPY_SYNTHESIS, REFERENCE))  # first the vocoder's
    target = next(filter(math.isfinite, ceilings), math.nan)
    distinct = target - source >= DISTINCT
    if distinct and similarity is None:
        return Finding("voice", BAD, "No speech: no voice was found in the recordings.")

    def position(value: float) -> float:
        return (value - source) / (target - source)

    measures = []
    if distinct:
        share, interval = position(similarity), tuple(map(position, evidence.interval(metric)))
        text = f"{share:.0%} of the way to the target by similarity"
        text += f" ({similarity:.2f}; source {source:.2f}, target {target:.2f})"
        measures.append(Share(share, interval, text))
    distance, whole = evidence.figure("timbre_distance"), evidence.anchor_figure(UNCONVERTED, "timbre_distance")
    if distance is not None and whole > 0:
        low, high = evidence.interval("timbre_distance")
        text = f"{1 - distance / whole:.0%} by timbre ({distance:.2f} from the target's; source {whole:.2f})"
        measures.append(Share(1 - distance / whole, (1 - high / whole, 1 - low / whole), text))
    if not measures:
        return _judge_approach(evidence)

    grades = [_grade_of_share(share.value, share.interval, NEAR, OTHER) for share in measures]
    grade, texts = max(grades, key=SEVERITY), [share.text for share in measures]
    for number, (share, own_grade) in enumerate(zip(measures, grades)):
        low, high = share.interval
        if own_grade == DOUBTFUL and share.value >= NEAR and math.isfinite(high - low):  # the reason for the doubt
            texts[number] += f", 95% interval {low:.0%} to {high:.0%}"
    text = "; ".join(texts)
    reached = None
    if distinct and evidence.scores.rows:
        shares = [position(row.get(metric, math.nan)) for row in evidence.scores.rows]  # NaN where no speech is found
        count, total = reached = sum(share > OTHER for share in shares), len(shares)
        text += f"; {count} of {total} sentences are past halfway"
        if speechless := sum(map(math.isnan, shares)):
            text += f", {speechless} contain no speech"
        if count < NEARER * total:
            grade = BAD if count < HALFWAY * total else max(grade, DOUBTFUL, key=SEVERITY)
    if len(measures) == 1:
        text += "; by one measure only"
    summary = {GOOD: "Converted", DOUBTFUL: "Not clearly converted", BAD: "Not the target's voice"}[grade]
    return Finding("voice", grade, f"{summary}: {text}.", reached=reached)


def _judge_approach(evidence: Evidence) -> Finding:
    """Without a speaker measure: spectra nearer the source's rule out a conversion, others do not prove one."""
    approach = evidence.figure("approach")
    if approach is None:
        return Finding("voice", UNCHECKED, "No measure here distinguishes the source's voice from the target's.")
    anchors = _anchors_in_brackets(evidence, "approach")
    text = f"{approach:.2f} of the way from the source's spectra (0) to the target's (1){anchors}"
    if _grade_of_share(approach, evidence.interval("approach"), HALFWAY, HALFWAY) == BAD:
        return Finding("voice", BAD, f"Not converted: {text}.")
    return Finding("voice", UNCHECKED, f"No speaker measure is available: {text}.")


def judge_content(evidence: Evidence) -> Finding:
    """Grade whether the words are kept: by phone errors; without them, content distance can only find them lost."""
    errors, distance = _phone_errors(evidence), evidence.figure("content_distance")
    parts = []
    if errors is not None:
        parts.append(errors.text)
    if distance is not None:
        anchors = _anchors_in_brackets(evidence, "content_distance")
        parts.append(f"content distance is {distance:.2f} of that of another sentence{anchors}")
    if errors is not None:
        grade = _grade(errors.value, errors.interval, GARBLED, VERY_GARBLED)
    elif distance is not None:
        low, _ = evidence.interval("content_distance")
        if not low > UNLIKE:  # a smaller distance says too little of words
            return Finding("content", UNCHECKED, f"Words were not checked by a recogniser: {parts[0]}.")
        grade = BAD
        parts.append("phone errors were not measured")
    else:
        return Finding("content", UNCHECKED, "Neither phone errors nor content distances were measured.")
    summary = {GOOD: "Kept", DOUBTFUL: "Not clearly kept", BAD: "Lost"}[grade]
    return Finding("content", grade, f"{summary}: {'; '.join(parts)}.")


def _phone_errors(evidence: Evidence) -> Share | None:
    """The phone error rate beyond the source's or, without a source, the target's own; else the whole rate."""
    if (added := evidence.figure("phone_error_added")) is not None:
        baseline, interval = " than in the source's recordings", evidence.interval("phone_error_added")
    elif (error := evidence.figure("phone_error")) is not None:
        target = evidence.anchor_figure(REFERENCE, "phone_error")
        baseline, target = (" than in the target's own recordings", target) if math.isfinite(target) else ("", 0.0)
        low, high = evidence.interval("phone_error")
        added, interval = error - target, (low - target, high - target)
    else:
        return None
    more = f" {'fewer' if added < 0 else 'more'}" if baseline else ""
    return Share(added, interval, f"a recogniser gets {abs(added):.0%}{more} of the phones wrong{baseline}")


def judge_naturalness(evidence: Evidence) -> Finding | None:
    """Grade predicted quality relative to the target's copy-synthesis."""
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
    summary = {GOOD: "As natural as the vocoder allows", DOUBTFUL: "Not clearly as natural", BAD: "Unnatural"}[grade]
    return Finding("naturalness", grade, f"{summary}: {'; '.join(parts)}.")


def judge_liveliness(evidence: Evidence) -> Finding | None:
    """Grade over-smoothing, and its opposite, in every band of the spectrum and at every modulation rate."""
    parts = []  # grade, reason, text
    for ranges, quantity, (smooth, smoothest, rough) in (
        (BANDS, "variance", (SMOOTH, SMOOTHEST, ROUGH)),
        (RATES, "modulation power", (STILL, STILLEST, RESTLESS)),
    ):
        for metric, name in ranges.items():
            value, (low, high) = evidence.figure(metric), evidence.interval(metric)
            if value is None:
                continue
            grade, reason = _grade_of_share(value, (low, high), smooth, smoothest), UNCERTAIN
            if grade == BAD or value < smooth:
                reason = SMOOTHED
            elif value > rough:  # doubtful at most, since noise and vocoders raise it, too
                grade, reason = DOUBTFUL, OVERDONE if low > rough else UNCERTAIN
            span = f" ({low:.2f} to {high:.2f})" if reason == UNCERTAIN and math.isfinite(low + high) else ""
            parts.append((grade, reason, f"{value:.2f}{span} of the target's {quantity} in {name}"))
    if not parts:
        return None
    grade = max((grade for grade, _, _ in parts), key=SEVERITY)
    if grade == GOOD:
        return Finding("liveliness", GOOD, f"As lively as the target: {'; '.join(text for _, _, text in parts)}.")
    texts = {
        reason: "; ".join(text for *key, text in parts if key == [grade, reason])
        for reason in (SMOOTHED, OVERDONE, UNCERTAIN)
    }
    text = "; ".join(f"{reason}: {figures}" for reason, figures in texts.items() if figures)
    return Finding("liveliness", grade, f"{text[0].upper()}{text[1:]}.", "over-smoothed" if grade == BAD else "")


def judge_variety(evidence: Evidence) -> Finding | None:
    """Grade mode collapse, which, unlike smoothing, makes sentences alike and also loses the source's content."""
    ratio, distance, lost = (evidence.figure(name) for name in ("diversity", "content_distance", "content_lost"))
    if ratio is None:
        return None
    text = f"different sentences differ {ratio:.2f} times as much as the target's own"
    if math.isnan(sum(evidence.interval("diversity"))):
        return Finding("variety", DOUBTFUL, f"Too few sentences to tell: {text}.")
    content_is_lost = distance > UNLIKE if distance is not None else lost is not None and lost > LOST
    if ratio < ALIKE and content_is_lost:
        text = f"Collapsed: {text}; the output is much the same whatever the source says."
        return Finding("variety", BAD, text, "much the same whatever the source says")
    grade, summary = (DOUBTFUL, "Monotonous") if ratio < ALIKE else (GOOD, "Varied")
    return Finding("variety", grade, f"{summary}: {text}.")


def judge_worth(evidence: Evidence) -> Finding | None:
    """Grade the gain over the mean-variance anchor; higher distortion is not bad if the timbre is nearer the target."""
    comparisons = (pair for pair in evidence.comparisons if (pair.metric, pair.other) == ("mcd", MEAN_VARIANCE))
    if (comparison := next(comparisons, None)) is None:
        return None
    gain, runs = -comparison.result.difference, ", mean of all runs" if evidence.runs > 1 else ""
    text = f"than means and variances alone by {abs(gain):.2f} dB of mel-cepstral distortion{runs}"
    side, p = "nearer" if gain > 0 else "farther", comparison.p_holm
    if comparison.result.utterances < MIN_SENTENCES:
        return Finding("worth", DOUBTFUL, f"Too few sentences to tell: {side} {text}.")
    probability = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    if p > SIGNIFICANCE:
        return Finding("worth", DOUBTFUL, f"Not significantly {side} {text} ({probability}).")
    distance = evidence.scores.means["timbre_distance"]
    baseline = evidence.anchors[MEAN_VARIANCE].means["timbre_distance"]
    grade = GOOD if gain > 0 else DOUBTFUL if distance < baseline else BAD
    brief = "farther from the target than means and variances alone" if grade == BAD else ""
    return Finding("worth", grade, f"{side.capitalize()} {text} ({probability}).", brief)


def judge_cycle(cycle: Cycle) -> Finding:
    """Grade whether a model's cycle consistency relies on inaudible details."""
    text = f"it amplifies small noise in the converted features {cycle.gain:.1f} times"
    # The gain is a property of the model, not an estimate from a sample: it has no interval
    grade = _grade(cycle.gain, (cycle.gain, cycle.gain), AMPLIFIED, VERY_AMPLIFIED)
    if grade == GOOD:
        return Finding("cycle", grade, f"The model's conversion back needs no hidden details: {text}.")
    return Finding("cycle", grade, f"The model's conversion back relies on hidden details: {text}.")


def judge_sentences(source: Sequence[Content], target: Sequence[Content], *, parallel: bool) -> Finding | None:
    """Check by content whether source and target say the same sentences, as their names claim.

    Parameters
    ----------
    source, target : sequence of Content
        By sentence, in the same order if `parallel`.
    parallel : bool
        Whether sentences of the same index are the same according to their names.

    Returns
    -------
    Finding or None
        None if names and content agree, or if there is too little to compare.
    """
    if len(source) < 2 or not target:
        return None
    centre = content.centre_of(source)
    unrelated = content.different_sentences(source, centre)
    if unrelated <= content.COPIES:
        return None
    same = SAME_SENTENCE * unrelated
    if parallel:
        alike = sum(content.distance(one, other, centre) < same for one, other in zip(source, target, strict=True))
        if alike >= SAME_SHARE * len(source):
            return None
        text = (
            f"The target does not say the sentences that the names claim: {len(source) - alike} of {len(source)} pairs"
            " differ in content, so that figures comparing them are meaningless."
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
        f"The target says the same sentences, although the names differ: {alike} of {len(indices)} were found, and the"
        " target's recording of the same sentence is compared as if it were another one."
    )
    return Finding("sentences", BAD, text, "the target says the same sentences")


def _grade(value: float, interval: Interval, doubtful: float, bad: float) -> str:
    """Grade a figure for which lower is better: bad if its whole interval is bad, good if none of it is."""
    low, high = interval
    if math.isnan(low + high):
        return DOUBTFUL
    if low > bad:
        return BAD
    return DOUBTFUL if value > doubtful or high > bad else GOOD


def _grade_of_share(value: float, interval: Interval, doubtful: float, bad: float) -> str:
    """Grade a figure for which higher is better."""
    low, high = interval
    return _grade(-value, (-high, -low), -doubtful, -bad)


def _anchors_in_brackets(evidence: Evidence, metric: str) -> str:
    """The anchors' figures as text, empty if there are none."""
    names = {MEAN_VARIANCE: "means and variances alone", COPY_SYNTHESIS: "the target through the vocoder"}
    figures = {name: evidence.anchor_figure(anchor, metric) for anchor, name in names.items()}
    texts = [f"{name} {value:.2f}" for name, value in figures.items() if math.isfinite(value)]
    return f" ({', '.join(texts)})" if texts else ""
