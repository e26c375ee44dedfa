"""The metrics of an evaluation: name, unit, best value, definition and source, and where each is shown."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vc.metrics.conventions import CONVENTIONS
from vc.plugins import Registry

LOWER, HIGHER, ONE, HALF = "lower is better", "higher is better", "1 is the target's", "0.5 is the target's"


class Metric(NamedTuple):
    """How a metric is shown and interpreted."""

    label: str
    unit: str  # empty if dimensionless
    best: str  # LOWER, HIGHER, ONE or HALF
    decimals: int
    definition: str
    source: str = ""
    group: str = "spectrum"
    limits: tuple[float, float] = (0.0, math.inf)  # range of possible values
    # For plug-ins only: from an utterance's samples, those of the target's recording of the sentence (or None), and the
    # rate of both in Hz, to the figure; None if it is undefined.
    figure: Callable[[np.ndarray, np.ndarray | None, int], float | None] | None = None

    def fault(self, value: float) -> float:
        """How far a value is from the best: the larger, the worse."""
        return {LOWER: value, HIGHER: -value, ONE: abs(value - 1), HALF: abs(value - 0.5)}[self.best]


def convention_metric(name: str) -> str:
    """Name of the metric for the distortion by a convention of `vc.metrics.conventions`."""
    return f"mcd_{name.replace('-', '_')}"


ANY, SHARE, CORRELATION = (-math.inf, math.inf), (0.0, 1.0), (-1.0, 1.0)
VOICED_PAIRS = "over the path's pairs that are voiced on both sides"
FRAMES = "of the speech frames' c1..D and their slopes, in the target's standard deviations"
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
        "variance over speech frames divided by the reference set's mean variance, averaged over c1..D",
        "Toda et al. 2007",
    ),
    **{
        name: Metric(
            f"global-variance ratio, {coefficients}", "", ONE, 2, f"the same for {coefficients}: {meaning}",
            "Toda et al. 2007",
        )
        for name, coefficients, meaning in (
            ("gv_ratio_low", "c1 to c8", "the rough shape of the spectrum"),
            ("gv_ratio_middle", "c9 to c24", "its formants"),
            ("gv_ratio_high", "from c25", "its details"),
        )
    },
    **{
        name: Metric(
            f"modulation power, {rates}", "", ONE, 2,
            f"power of the modulation of c1..D at {rates} divided by the reference set's, from means in dB",
            "after Takamichi et al. 2014",
        )
        for name, rates in (("movement_slow", "1 to 8 Hz"), ("movement_fast", "8 to 25 Hz"))
    },
    "log_f0_rmse": Metric(
        "log-F0 error", "natural log", LOWER, 3,
        f"root mean square difference of natural log F0 {VOICED_PAIRS}", group="melody and time",
    ),
    "log_f0_corr": Metric(
        "log-F0 correlation", "", ONE, 2,
        "Pearson's correlation of log F0 over the same pairs", group="melody and time", limits=CORRELATION,
    ),
    "voicing_error": Metric(
        "voicing error", "share", LOWER, 3,
        "share of the path's pairs voiced on one side only", group="melody and time", limits=SHARE,
    ),
    "duration_ratio": Metric(
        "duration ratio", "", ONE, 2, "time from first to last speech frame, divided by the reference's",
        group="melody and time",
    ),
    "frechet_distance": Metric(
        "Frechet distance", "", LOWER, 2,
        f"squared Frechet distance between normal distributions {FRAMES}",
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
        f"squared maximum mean discrepancy, unbiased, with the kernel (x . y / bands + 1)^3, {FRAMES}",
        "after Binkowski et al. 2018", "the whole set", ANY,
    ),
    "approach": Metric(
        "approach to the target", "", ONE, 2,
        "root of the Frechet distance from the source's set, divided by the sum of the roots for source and target",
        group="the whole set", limits=SHARE,
    ),
    "diversity": Metric(
        "diversity", "", ONE, 2,
        "mean mel-cepstral distortion between different sentences, divided by that of the target's recordings",
        group="the whole set",
    ),
    "content_lost": Metric(
        "content lost", "share", LOWER, 3,
        "share of the variance of the source's c1..D that no linear map of the converted frames recovers, divided by"
        " the same for frames of another sentence",
        group="the whole set",
    ),
    "speaker_similarity": Metric(
        "speaker similarity", "cosine", HIGHER, 3,
        "cosine of the speaker embedding (Resemblyzer) with the mean of the target's other sentences",
        "Wan et al. 2018", "voice", CORRELATION,
    ),
    "timbre_distance": Metric(
        "timbre distance", "", LOWER, 2,
        "root mean square over sounds of the mean difference between spectra and the target's of similar content, in"
        " the target's standard deviations",
        group="voice",
    ),
    "nearer_target": Metric(
        "nearer the target", "share", ONE, 2,
        "share of sentences more similar to the mean of the target's other sentences than to that of the source's",
        group="voice", limits=SHARE,
    ),
    "speaker_eer": Metric(
        "equal error rate", "share", HALF, 2,
        "of verifying, by similarity, pairs of the target's recordings against pairs of a converted and a target's one",
        group="voice", limits=SHARE,
    ),
    "phone_error": Metric(
        "phone error", "share", LOWER, 3,
        "Levenshtein distance of the recognised phones from the expected ones, divided by their number",
        group="words",
    ),
    "phone_error_added": Metric(
        "phone error added", "share", LOWER, 3,
        "phone error minus that of the source's recording of the sentence", group="words", limits=ANY,
    ),
    "word_error": Metric(
        "word error", "share", LOWER, 3,
        "Levenshtein distance of the recognised words from the text's (or from those recognised in the source), divided"
        " by their number",
        group="words",
    ),
    "character_error": Metric("character error", "share", LOWER, 3, "the same for characters", group="words"),
    "content_distance": Metric(
        "content distance", "", LOWER, 2,
        "mean distance along the DTW path of a content encoder's vectors from the source's recording (without one, from"
        " the target's), divided by that between different sentences: 1 is another sentence",
        group="words",
    ),
    "dnsmos": Metric(
        "predicted quality", "1..5", HIGHER, 2,
        "overall quality by DNSMOS P.835, a predictor for noise suppression", "Reddy et al. 2022", "quality",
    ),
    "distillmos": Metric(
        "predicted opinion", "1..5", HIGHER, 2,
        "overall quality by DistillMOS, distilled from speech models trained on listeners' ratings",
        "Stahl and Gamper 2025", "quality",
    ),
    "utmos": Metric(
        "predicted opinion by UTMOS", "1..5", HIGHER, 2,
        "overall quality by the strong learner of UTMOS, trained on listeners' ratings of synthetic speech",
        "Saeki et al. 2022", "quality",
    ),
    **{
        convention_metric(name): Metric(
            f"distortion as in {name}", "dB", LOWER, 2, f"mel-cepstral distortion: {convention.description}",
            convention.source, "as in other toolkits",
        )
        for name, convention in CONVENTIONS.items()
    },
}, "vc.metrics", Metric)  # fmt: skip

# Metrics by use, in the order in which they are shown.
SUMMARY = ("speaker_similarity", "timbre_distance", "phone_error", "content_distance", "distillmos", "mcd", "gv_ratio")
# Methods are compared by these.
METHOD_CRITERIA = ("mcd", "gv_ratio", "distillmos", "dnsmos", "phone_error_added", "speaker_similarity")
PAIRED_TEST_METRICS = (  # with a figure for each utterance
    "mcd", "log_f0_rmse", "voicing_error", "speaker_similarity", "content_distance", "phone_error", "word_error",
    "dnsmos", "distillmos", "utmos",
)  # fmt: skip
RANKING = ("mcd", "speaker_similarity", "phone_error", "content_distance", "gv_ratio")  # the first that all have
OPINIONS = ("distillmos", "dnsmos")  # mean opinion scores predicted by speech models, out of 5
