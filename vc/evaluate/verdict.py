"""What the figures say, in words: the ways in which a conversion fails that a single distance does not show.

The bounds were set on real speech: conversions, and recordings that are none (docs/impostors.md). A figure is good or
bad only as far as its 95 % interval allows: what may be either is doubtful, and so is what has no interval, as of one
sentence. What no measure decides is not checked.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from vc.evaluate.cycle import Cycle
from vc.evaluate.statistics import SystemComparison
from vc.metrics.intervals import Interval
from vc.metrics.scores import NOTHING, Scores

GOOD, DOUBTFUL, BAD = "good", "doubtful", "bad"
UNCHECKED = "not checked"  # no measure decides
# Of the way from the source's voice to the target's, by either measure of the speaker: of 720 other voices of VCC2016
# handed in as converted, all but 8 stay below 0.5 by one of them, and one comes to 0.6
NEAR, OTHER = 0.6, 0.5
DISTINCT = 0.05  # of similarity between source and target: with less, there is no way to measure
HALFWAY, NEARER = 0.5, 0.8  # approach; share of sentences
SMOOTH, SMOOTHEST, ROUGH = 0.8, 0.65, 1.25  # of the target's global variance
STILL, STILLEST, RESTLESS = 0.65, 0.45, 1.6  # of the power of the target's movement
ALIKE = 0.8  # of the target's diversity
LOST = 0.85  # share of content, 1 by chance
GARBLED, GARBLED_MOST = 0.25, 0.5  # phone error above the source's
UNLIKE, UNLIKE_MOST = 0.45, 0.6  # content distance; another speaker who says the same has 0.25 to 0.34
FALLEN, FALLEN_MOST = 0.3, 0.8  # points of DNSMOS or DistillMOS below the target's copy-synthesis
GROWN, GROWN_MOST = 3.0, 10.0  # of noise on the way back; a linear map that restores movement has up to 2
CHANCE = 0.05
FEWEST = 6  # sentences: with fewer, no difference can be more than chance
BANDS = {"gv_ratio_low": "c1 to c8", "gv_ratio_middle": "c9 to c24", "gv_ratio_high": "from c25"}
RATES = {"movement_slow": "1 to 8 Hz", "movement_fast": "8 to 25 Hz"}


class Finding(NamedTuple):
    """One question, and its answer."""

    aspect: str
    grade: str  # GOOD, DOUBTFUL, BAD or UNCHECKED
    text: str
    brief: str = ""  # what the headline says, of an aspect that it has no words of its own for
    reached: tuple[int, int] | None = None  # sentences past halfway to the target's voice, of all


class Evidence(NamedTuple):
    """What there is about one system."""

    scores: Scores
    anchors: dict[str, Scores]
    comparisons: list[SystemComparison]  # of this system with anchors
    runs: int = 1  # that the comparisons are a mean of


class Share(NamedTuple):
    """What is graded, and its words: of the way between two voices by one measure, or of the phones mistaken."""

    share: float
    interval: Interval
    text: str


def judge(evidence: Evidence) -> list[Finding]:
    """The findings that the figures allow; what they do not allow is left out, but for voice and words."""
    asked: tuple[Callable[[Evidence], Finding | None], ...] = (
        _voice, _content, _naturalness, _liveliness, _variety, _worth
    )  # fmt: skip
    return [finding for ask in asked if (finding := ask(evidence)) is not None]


def _voice(evidence: Evidence) -> Finding:
    """Identity, on the scale between the source's voice and the target's own: anybody else's is no conversion."""
    if _unheard(evidence):
        return Finding("voice", BAD, "No speech: nothing in the recordings is taken for a voice.")
    ways = [way for way in (_by_embedding(evidence), _by_timbre(evidence)) if way is not None]
    if not ways:
        return _approach(evidence)
    text = "; ".join(way.text for way in ways)
    grade = max((_grade(-way.share, (-way.interval[1], -way.interval[0]), -NEAR, -OTHER) for way in ways), key=WORSE)
    shares = _shares(evidence)
    reached = (sum(share > OTHER for share in shares), len(shares)) if shares else None
    if reached:
        count, total = reached
        text += f"; {count} of {total} sentences are past halfway"
        if unheard := sum(map(math.isnan, shares)):
            text += f", in {unheard} no speech is found"
        if count < NEARER * total:
            grade = BAD if count < HALFWAY * total else max(grade, DOUBTFUL, key=WORSE)
    if len(ways) == 1:
        text += "; by one measure alone"
    said = {GOOD: "Converted", DOUBTFUL: "Not surely converted", BAD: "Not the target's voice"}[grade]
    return Finding("voice", grade, f"{said}: {text}.", reached=reached)


def _scale(evidence: Evidence) -> tuple[float, float] | None:
    """Similarity of the source's recordings to the target, and that of the target's own, through the vocoder."""
    similarity = {name: scores.means["speaker_similarity"] for name, scores in evidence.anchors.items()}
    floor = similarity.get("unconverted", math.nan)
    ceilings = [similarity[name] for name in ("copy_synthesis", "reference") if name in similarity]
    ceiling = next(filter(math.isfinite, ceilings), math.nan)
    return (floor, ceiling) if ceiling - floor >= DISTINCT else None


def _unheard(evidence: Evidence) -> bool:
    """Whether the speaker measure finds speech in the target's recordings, and in none of the system's."""
    own = _figure(evidence, "speaker_similarity")
    return own is None and _scale(evidence) is not None


def _shares(evidence: Evidence) -> list[float]:
    """Of the way between the voices, sentence by sentence, NaN where no speech is found."""
    scale = _scale(evidence)
    if scale is None:
        return []
    floor, ceiling = scale
    values = (row.get("speaker_similarity", math.nan) for row in evidence.scores.rows)
    return [(value - floor) / (ceiling - floor) for value in values]


def _by_embedding(evidence: Evidence) -> Share | None:
    value, scale = _figure(evidence, "speaker_similarity"), _scale(evidence)
    if value is None or scale is None:
        return None
    floor, ceiling = scale
    figures = value, *_interval(evidence, "speaker_similarity")
    share, low, high = ((each - floor) / (ceiling - floor) for each in figures)
    text = f"{share:.0%} of the way to the target by similarity ({value:.2f}; source {floor:.2f}, target {ceiling:.2f})"
    return Share(share, (low, high), text)


def _by_timbre(evidence: Evidence) -> Share | None:
    value, source = _figure(evidence, "timbre_distance"), evidence.anchors.get("unconverted")
    whole = source.means["timbre_distance"] if source else math.nan
    if value is None or not whole > 0:
        return None
    low, high = _interval(evidence, "timbre_distance")
    text = f"{1 - value / whole:.0%} by timbre ({value:.2f} from the target's; source {whole:.2f})"
    return Share(1 - value / whole, (1 - high / whole, 1 - low / whole), text)


def _approach(evidence: Evidence) -> Finding:
    """Without a measure of the speaker: spectra nearer the source's deny a conversion, others do not prove one."""
    approach = _figure(evidence, "approach")
    if approach is None:
        return Finding("voice", UNCHECKED, "No measure tells the source's voice from the target's here.")
    low, high = _interval(evidence, "approach")
    text = f"{approach:.2f} of the way from the source's spectra (0) to the target's (1){_beside(evidence, 'approach')}"
    if _grade(-approach, (-high, -low), -HALFWAY, -HALFWAY) == BAD:
        return Finding("voice", BAD, f"Not converted: {text}.")
    return Finding("voice", UNCHECKED, f"No measure of the speaker decides: {text}.")


def _content(evidence: Evidence) -> Finding:
    """Is what is to be said still there? Phones decide where they are recognised, or else a content encoder."""
    garbled, apart = _garbled(evidence), _figure(evidence, "content_distance")
    told = []
    if garbled is not None:
        told.append(garbled.text)
    if apart is not None:
        beside = _beside(evidence, "content_distance")
        told.append(f"content lies at {apart:.2f} of the distance of another sentence{beside}")
    if garbled is not None:
        grade = _grade(garbled.share, garbled.interval, GARBLED, GARBLED_MOST)
    elif apart is not None:
        grade = _grade(apart, _interval(evidence, "content_distance"), UNLIKE, UNLIKE_MOST)
        told.append("phone errors are not known")
    else:
        return Finding("content", UNCHECKED, "Neither phone errors nor distances of content are known.")
    said = {GOOD: "Kept", DOUBTFUL: "Not surely kept", BAD: "Lost"}[grade]
    return Finding("content", grade, f"{said}: {'; '.join(told)}.")


def _garbled(evidence: Evidence) -> Share | None:
    """Phones mistaken beyond the source's own, or without those beyond the target's own, or else all of them."""
    if (added := _figure(evidence, "phone_error_added")) is not None:
        beside, interval = " than in the source's recordings", _interval(evidence, "phone_error_added")
    elif (error := _figure(evidence, "phone_error")) is not None:
        reference = evidence.anchors.get("reference")
        own = reference.means["phone_error"] if reference else math.nan
        beside, own = (" than in the target's own recordings", own) if math.isfinite(own) else ("", 0.0)
        low, high = _interval(evidence, "phone_error")
        added, interval = error - own, (low - own, high - own)
    else:
        return None
    more = f" {'fewer' if added < 0 else 'more'}" if beside else ""
    return Share(added, interval, f"a recogniser mistakes {abs(added):.0%}{more} of the phones{beside}")


def _naturalness(evidence: Evidence) -> Finding | None:
    """What a listener hears first: predicted quality beside that of the target through the vocoder."""
    told, grades = [], []
    for name, label in (("distillmos", "DistillMOS"), ("dnsmos", "DNSMOS")):
        value, copied = _figure(evidence, name), evidence.anchors.get("copy_synthesis")
        if value is not None and copied is not None and math.isfinite(copied.means[name]):
            best = copied.means[name]
            low, high = _interval(evidence, name)
            told.append(f"{label} {value:.2f}, the target through the vocoder {best:.2f}")
            grades.append(_grade(best - value, (best - high, best - low), FALLEN, FALLEN_MOST))
    if not told:
        return None
    grade = max(grades, key=WORSE)
    said = {GOOD: "As natural as the vocoder lets it be", DOUBTFUL: "Not surely as natural", BAD: "Unnatural"}[grade]
    return Finding("naturalness", grade, f"{said}: {'; '.join(told)}.")


def _liveliness(evidence: Evidence) -> Finding | None:
    """Over-smoothing, and its opposite, in every band of the spectrum and at every rate of its movement."""
    parts = []
    for places, what, bounds in (
        (BANDS, "variance", (SMOOTH, SMOOTHEST, ROUGH)),
        (RATES, "movement", (STILL, STILLEST, RESTLESS)),
    ):
        for name, place in places.items():
            if (value := _figure(evidence, name)) is not None:
                grade, reason = _moving(value, _interval(evidence, name), *bounds)
                low, high = _interval(evidence, name)
                span = f" ({low:.2f} to {high:.2f})" if reason == UNSURE and math.isfinite(low + high) else ""
                parts.append((grade, reason, f"{value:.2f}{span} of the target's {what} in {place}"))
    if not parts:
        return None
    grade = max((grade for grade, _, _ in parts), key=WORSE)
    if grade == GOOD:
        return Finding("liveliness", GOOD, f"As lively as the target: {'; '.join(text for _, _, text in parts)}.")
    told = []
    for reason in (SMOOTHED, OVERDONE, UNSURE):
        texts = [text for each, why, text in parts if (each, why) == (grade, reason)]
        if texts:
            told.append(f"{reason}: {'; '.join(texts)}")
    text = "; ".join(told)
    return Finding("liveliness", grade, f"{text[0].upper()}{text[1:]}.", "over-smoothed" if grade == BAD else "")


SMOOTHED, OVERDONE, UNSURE = "over-smoothed", "overdone", "not sure"


def _moving(value: float, interval: Interval, smooth: float, smoothest: float, rough: float) -> tuple[str, str]:
    """The grade of one band's variance or one rate's power, over the target's, and why it is not good."""
    low, high = interval
    grade = _grade(-value, (-high, -low), -smooth, -smoothest)
    if grade == BAD or value < smooth:
        return grade, SMOOTHED
    if value > rough:  # which is doubtful at most: noise and vocoders do it, too
        return DOUBTFUL, OVERDONE if low > rough else UNSURE
    return grade, UNSURE


def _variety(evidence: Evidence) -> Finding | None:
    """Mode collapse. Smoothing makes sentences more alike, too, but leaves what they say: the source must tell."""
    ratio, apart, lost = (_figure(evidence, name) for name in ("diversity", "content_distance", "content_lost"))
    if ratio is None:
        return None
    text = f"different sentences differ {ratio:.2f} times as much as the target's own"
    if math.isnan(sum(_interval(evidence, "diversity"))):
        return Finding("variety", DOUBTFUL, f"Too few sentences to tell: {text}.")
    gone = apart > UNLIKE_MOST if apart is not None else lost is not None and lost > LOST
    if ratio < ALIKE and gone:
        text = f"Collapsed: {text}; much the same comes out whatever is said."
        return Finding("variety", BAD, text, "much the same whatever is said")
    return Finding(
        "variety", DOUBTFUL if ratio < ALIKE else GOOD, f"{'Monotonous' if ratio < ALIKE else 'Varied'}: {text}."
    )


def _grade(value: float, interval: Interval, doubtful: float, bad: float) -> str:
    """Of what is the worse the larger it is: bad if all of its interval is, good if none of it may be bad."""
    low, high = interval
    if math.isnan(low + high):
        return DOUBTFUL
    if low > bad:
        return BAD
    return DOUBTFUL if value > doubtful or high > bad else GOOD


WORSE = (GOOD, DOUBTFUL, BAD).index  # of two grades the larger


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
    own, before = (scores.means["timbre_distance"] for scores in (evidence.scores, evidence.anchors["mean_variance"]))
    grade = GOOD if gain > 0 else DOUBTFUL if own < before else BAD
    brief = "farther from the target than means and variances alone" if grade == BAD else ""
    return Finding("worth", grade, f"{side.capitalize()} {text} ({_chance(each.p_holm)}).", brief)


def judge_cycle(cycle: Cycle) -> Finding:
    """Does a model's cycle close by what nobody hears?"""
    text = f"small noise on converted features comes back {cycle.gain:.1f} times as large"
    grade = _grade(cycle.gain, (cycle.gain, cycle.gain), GROWN, GROWN_MOST)  # of the model, not of sentences drawn
    if grade == GOOD:
        return Finding("cycle", grade, f"The model's way back needs no hidden details: {text}.")
    return Finding("cycle", grade, f"The model's way back reads what is hidden in details: {text}.")


def _figure(evidence: Evidence, name: str) -> float | None:
    value = evidence.scores.means.get(name, math.nan)
    return value if math.isfinite(value) else None


def _interval(evidence: Evidence, name: str) -> Interval:
    return evidence.scores.intervals.get(name, NOTHING)


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
