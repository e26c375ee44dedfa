"""Every figure of an evaluation: its name, unit, aim, definition and source, and which of them stand where."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vc.metrics.conventions import CONVENTIONS
from vc.plugins import Registry

LOWER, HIGHER, ONE, HALF = "lower is better", "higher is better", "1 is the target's", "0.5 is the target's"


class Metric(NamedTuple):
    """How a figure is shown and read."""

    label: str
    unit: str  # empty: a plain number
    best: str  # LOWER, HIGHER, ONE or HALF
    decimals: int
    definition: str
    source: str = ""
    group: str = "spectrum"
    limits: tuple[float, float] = (0.0, math.inf)  # between which every figure lies
    # Of a plug-in alone: the figure of an utterance from its samples, the target's of the same sentence (None where
    # there is none), and the rate of both in Hz; None where it can say nothing.
    figure: Callable[[np.ndarray, np.ndarray | None, int], float | None] | None = None

    def fault(self, value: float) -> float:
        """Distance of a figure from the best: the larger, the worse."""
        return {LOWER: value, HIGHER: -value, ONE: abs(value - 1), HALF: abs(value - 0.5)}[self.best]


def convention_metric(name: str) -> str:
    """The metric's name of the distortion by a convention of `vc.metrics.conventions`."""
    return f"mcd_{name.replace('-', '_')}"


ANY, SHARE, CORRELATION = (-math.inf, math.inf), (0.0, 1.0), (-1.0, 1.0)
VOICED_PAIRS = "pairs of the path that are voiced on both sides"
FRAMES = "speech frames' c1..D and their slopes, in the target's deviations"
METRICS = Registry({
    "mcd": Metric(
        "mel-cepstral distortion", "dB", LOWER, 2,
        "(10 / ln 10) * sqrt(2 * sum over c1..D of squared differences), mean over the path",
        "Kubichek 1993",
    ),
    "msd": Metric(
        "modulation-spectra distance", "dB", LOWER, 2,
        "root mean square over c1..D and modulation frequencies of the two sets' mean modulation spectra",
        "after Takamichi et al. 2014",
    ),
    "gv_ratio": Metric(
        "global-variance ratio", "", ONE, 2,
        "variance in speech over the reference set's mean variance, mean over c1..D",
        "Toda et al. 2007",
    ),
    **{
        name: Metric(
            f"global-variance ratio, {coefficients}", "", ONE, 2, f"the same, of {coefficients}: {what}",
            "Toda et al. 2007",
        )
        for name, coefficients, what in (
            ("gv_ratio_low", "c1 to c8", "the rough shape of the spectrum"),
            ("gv_ratio_middle", "c9 to c24", "its formants"),
            ("gv_ratio_high", "from c25", "its details"),
        )
    },
    **{
        name: Metric(
            f"movement, {rates}", "", ONE, 2,
            f"power of the movement of c1..D at {rates}, over the reference set's, from the mean in dB",
            "after Takamichi et al. 2014",
        )
        for name, rates in (("movement_slow", "1 to 8 Hz"), ("movement_fast", "8 to 25 Hz"))
    },
    "log_f0_rmse": Metric(
        "log-F0 error", "natural log", LOWER, 3,
        f"root mean square difference of natural log F0, {VOICED_PAIRS}", group="melody and time",
    ),
    "log_f0_corr": Metric(
        "log-F0 correlation", "", ONE, 2,
        "Pearson's correlation of log F0 over the same pairs", group="melody and time", limits=CORRELATION,
    ),
    "voicing_error": Metric(
        "voicing error", "share", LOWER, 3,
        "share of the path's pairs that are voiced on one side only", group="melody and time", limits=SHARE,
    ),
    "duration_ratio": Metric(
        "duration ratio", "", ONE, 2, "first to last speech frame, over the reference's", group="melody and time"
    ),
    "frechet_distance": Metric(
        "Frechet distance", "", LOWER, 2,
        f"squared Frechet distance of normal distributions, {FRAMES}",
        "Dowson and Landau 1982", "the whole set",
    ),
    "sound_score": Metric(
        "score of sounds", "", ONE, 2,
        "exponential of the entropy of all speech frames' mean class, less the frames' own mean entropy, over that of"
        " the target's frames; classes are 24 clusters of the target's c1..D, the classifier a linear discriminant",
        "after Salimans et al. 2016", "the whole set",
    ),
    "kernel_distance": Metric(
        "kernel distance", "", LOWER, 3,
        f"squared maximum mean discrepancy, unbiased, kernel (x . y / bands + 1)^3, {FRAMES}",
        "after Binkowski et al. 2018", "the whole set", ANY,
    ),
    "approach": Metric(
        "approach to the target", "", ONE, 2,
        "root of the Frechet distance to the source's set, over the sum of the roots to the source's and the target's",
        group="the whole set", limits=SHARE,
    ),
    "diversity": Metric(
        "diversity", "", ONE, 2,
        "mean mel-cepstral distortion between different sentences, over that of the target's recordings",
        group="the whole set",
    ),
    "content_lost": Metric(
        "content lost", "share", LOWER, 3,
        "share of the variance of the source's c1..D that no linear map of the converted frame gives back, over the"
        " same of another sentence's frames",
        group="the whole set",
    ),
    "speaker_similarity": Metric(
        "speaker similarity", "cosine", HIGHER, 3,
        "of speaker embeddings (Resemblyzer), to the mean of the target's other sentences",
        "Wan et al. 2018", "voice", CORRELATION,
    ),
    "timbre_distance": Metric(
        "timbre distance", "", LOWER, 2,
        "root mean square over sounds of the mean difference of the spectra to the target's of like content, in the"
        " target's deviations",
        group="voice",
    ),
    "nearer_target": Metric(
        "nearer the target", "share", ONE, 2,
        "share of sentences more similar to the mean of the target's other sentences than of the source's",
        group="voice", limits=SHARE,
    ),
    "speaker_eer": Metric(
        "equal error rate", "share", HALF, 2,
        "of telling two recordings of the target from a converted one and the target's, by similarity",
        group="voice", limits=SHARE,
    ),
    "phone_error": Metric(
        "phone error", "share", LOWER, 3,
        "Levenshtein distance of the recognised phones to the expected ones, over their number",
        group="words",
    ),
    "phone_error_added": Metric(
        "phone error added", "share", LOWER, 3,
        "phone error less that of the source's recording of the sentence", group="words", limits=ANY,
    ),
    "word_error": Metric(
        "word error", "share", LOWER, 3,
        "Levenshtein distance of the words heard by the recogniser given to the text's (or those heard in the source),"
        " over their number",
        group="words",
    ),
    "character_error": Metric("character error", "share", LOWER, 3, "the same of their characters", group="words"),
    "content_distance": Metric(
        "content distance", "", LOWER, 2,
        "along the cheapest path, of vectors of a content encoder, to the source's recording (or without one to the"
        " target's), over that of different sentences: 1 is another sentence",
        group="words",
    ),
    "dnsmos": Metric(
        "predicted quality", "1..5", HIGHER, 2,
        "overall quality by DNSMOS P.835, a predictor made for noise suppression", "Reddy et al. 2022", "quality",
    ),
    "distillmos": Metric(
        "predicted opinion", "1..5", HIGHER, 2,
        "overall quality by DistillMOS, distilled from models of speech that learnt from listeners",
        "Stahl and Gamper 2025", "quality",
    ),
    **{
        convention_metric(name): Metric(
            f"distortion as by {name}", "dB", LOWER, 2, f"mel-cepstral distortion: {convention.description}",
            convention.source, "as other toolkits measure",
        )
        for name, convention in CONVENTIONS.items()
    },
}, "vc.metrics")  # fmt: skip

# Metrics by where they stand, in the order in which they are shown there.
SUMMARY = ("speaker_similarity", "timbre_distance", "phone_error", "content_distance", "distillmos", "mcd", "gv_ratio")
DECIDING = ("mcd", "gv_ratio", "distillmos", "dnsmos", "phone_error_added", "speaker_similarity")  # between methods
COMPARED = (  # by paired tests: utterances have them by themselves
    "mcd", "log_f0_rmse", "voicing_error", "speaker_similarity", "content_distance", "phone_error", "word_error",
    "dnsmos", "distillmos",
)  # fmt: skip
RANKING = ("mcd", "speaker_similarity", "phone_error", "content_distance", "gv_ratio")  # the first known one ranks
OPINIONS = ("distillmos", "dnsmos")  # predicted by speech models, out of 5
