"""Systems that are spoilt on purpose are each caught by the verdict, and a good one is not."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import spoilt
from conftest import CORPUS
from spoilt import Sentences

from vc.corpus import audio
from vc.evaluate.anchors import Cycle, Direction, measure_cycle
from vc.evaluate.compare import SystemComparison, compare_systems, runs_of, spread_of_runs
from vc.evaluate.headline import headline
from vc.evaluate.verdict import BAD, DOUBTFUL, GOOD, UNCHECKED, Evidence, Finding, judge, judge_cycle
from vc.features.f0 import F0Range
from vc.features.world import WorldConfig
from vc.metrics.registry import METRICS
from vc.metrics.scores import Observation, Scores, Track, summarise
from vc.metrics.statistics import Comparison

CONFIG = WorldConfig(16000, f0_method="dio")
SENTENCES = range(101, 107)


@cache
def speech(speaker: str) -> list[Track]:
    paths = [CORPUS / f"eval/{speaker}/{sentence}.flac" for sentence in SENTENCES]
    found = [CONFIG.extract(audio.read(path, 16000)[0], F0Range()) for path in paths]
    return [Track(frames, f0) for f0, frames in found]


def of_source(frames: Sentences) -> list[Track]:
    """Converted speech has the source's loudness, time and, here, melody."""
    return [
        Track(np.column_stack([source.mel_cepstrum[:, 0], own]), source.f0)
        for source, own in zip(speech("slt"), frames)
    ]


@cache
def ideal() -> Sentences:
    source, target = ([track.mel_cepstrum for track in speech(speaker)] for speaker in ("slt", "rms"))
    return spoilt.ideal(source, target)


def unconverted() -> Sentences:
    return [track.mel_cepstrum[:, 1:] for track in speech("slt")]


def scores_of(tracks: list[Track]) -> Scores:
    reference, source = speech("rms"), speech("slt")
    converted = [
        Observation.of(track, 200, reference=target, source=origin)
        for track, target, origin in zip(tracks, reference, source)
    ]
    target, origin = ([Observation.of(track, 200) for track in side] for side in (reference, source))
    return summarise(converted, target, source=origin, paired=True)


def verdict(frames: Sentences) -> dict[str, Finding]:
    return findings(scores_of(of_source(frames)))


def findings(scores: Scores, **anchors: Scores) -> dict[str, Finding]:
    return {each.aspect: each for each in judge(Evidence(scores, anchors, []))}


def only(rows: list | None = None, intervals: dict | None = None, **means: float) -> Scores:
    """A system of which these figures alone are known, exactly unless there are other `intervals`."""
    exact = {name: (value, value) for name, value in means.items()}
    return Scores({**dict.fromkeys(METRICS, np.nan), **means}, {**exact, **(intervals or {})}, rows or [])


def test_a_good_conversion_is_found_good_as_far_as_it_was_measured():
    found = verdict(ideal())
    assert found.pop("content").grade == UNCHECKED
    voice = found.pop("voice")
    assert voice.grade == UNCHECKED and voice.text.startswith("No speaker measure is available: 0.")
    assert {finding.grade for finding in found.values()} == {GOOD}


@pytest.mark.parametrize(
    ("make", "aspect", "said"),
    [
        (lambda good: unconverted(), "voice", "Not converted"),
        (spoilt.smoothed, "liveliness", "Over-smoothed"),
        (spoilt.still, "variety", "Collapsed"),
        (spoilt.one_sentence, "variety", "Collapsed"),
    ],
)
def test_a_spoilt_conversion_is_caught(make, aspect, said):
    found = verdict(make(ideal()))[aspect]
    assert found.grade == BAD and found.text.startswith(said)
    assert aspect == "voice" or found.brief  # which the headline says


def test_smoothing_is_not_taken_for_collapse():
    assert verdict(spoilt.smoothed(ideal()))["variety"].grade == DOUBTFUL


VOICES = {
    "unconverted": only(speaker_similarity=0.6, timbre_distance=0.8),
    "copy_synthesis": only(speaker_similarity=0.9),
}


@pytest.mark.parametrize(
    ("similarity", "timbre", "grade"),
    [(0.88, 0.2, GOOD), (0.7, 0.2, BAD), (0.88, 0.5, BAD), (0.77, 0.2, DOUBTFUL), (0.6, 0.8, BAD), (0.5, 1.6, BAD)],
)
def test_both_measures_of_the_speaker_must_be_near_the_target_s_own(similarity, timbre, grade):
    found = findings(only(speaker_similarity=similarity, timbre_distance=timbre), **VOICES)["voice"]
    assert found.grade == grade and f"({similarity:.2f}; source 0.60, target 0.90)" in found.text


@pytest.mark.parametrize(("interval", "grade", "said"), [((0.05, 0.15), GOOD, False), ((0.0, 0.6), DOUBTFUL, True)])
def test_a_voice_that_is_doubtful_for_its_interval_alone_says_so(interval, grade, said):
    scores = only(speaker_similarity=0.88, timbre_distance=0.1, intervals={"timbre_distance": interval})
    found = findings(scores, **VOICES)["voice"]
    assert found.grade == grade and ("95% interval 25% to 100%" in found.text) is said


def test_nearer_the_target_than_the_source_says_nothing_by_itself():
    assert findings(only(nearer_target=1.0))["voice"].grade == UNCHECKED
    noise = only(nearer_target=0.75, timbre_distance=0.3)  # in which nothing is taken for speech
    assert findings(noise, **VOICES)["voice"].text.startswith("No speech")


def test_sentences_that_stay_the_source_s_are_counted():
    rows = [{"speaker_similarity": value} for value in (0.9, 0.6, 0.9, 0.6)]
    for sentences, grade in ((rows[:1], GOOD), (rows, DOUBTFUL), (rows[1:2] * 2 + rows[:1], BAD)):
        scores = only(sentences, speaker_similarity=0.85, timbre_distance=0.1)
        found = findings(scores, **VOICES)["voice"]
        assert found.grade == grade and found.reached == (sum(row in rows[:1] for row in sentences), len(sentences))
        assert "{} of {} sentences are past halfway".format(*found.reached) in found.text


def test_sentences_without_speech_have_not_reached_the_target():
    """Half noise, half the target itself."""
    rows = [{"speaker_similarity": 0.9}, {}, {"speaker_similarity": 0.9}, {}]
    found = findings(only(rows, speaker_similarity=0.9, timbre_distance=0.1), **VOICES)["voice"]
    assert found.grade != GOOD and found.reached == (2, 4) and ", 2 contain no speech" in found.text


def test_the_headline_counts_the_sentences_that_the_verdict_counts():
    """Those past halfway, of which one is no nearer to the target than to the source."""
    rows = [{"speaker_similarity": value, "nearer_target": value > 0.8} for value in (0.9, 0.78, 0.9, 0.9, 0.6)]
    scores = only(rows, speaker_similarity=0.9, timbre_distance=0.1)
    found = findings(scores, **VOICES)
    assert found["voice"].grade == GOOD and found["voice"].reached == (4, 5)
    assert (
        headline([*found.values()], scores, reference=only(), target="B")[0].text == "sounds like B in 4 of 5 sentences"
    )


def test_voices_that_are_alike_from_the_start_are_told_by_the_other_measure_alone():
    anchors = {**VOICES, "unconverted": only(speaker_similarity=0.88, timbre_distance=0.8)}
    found = findings(only(speaker_similarity=0.89, timbre_distance=0.1), **anchors)["voice"]
    assert "by one measure only" in found.text and "similarity" not in found.text


@pytest.mark.parametrize(
    ("interval", "grade"), [((0.6, 0.7), BAD), ((0.4, 0.7), DOUBTFUL), ((0.1, 0.2), GOOD), ((0.1, 0.55), DOUBTFUL)]
)
def test_a_grade_goes_no_farther_than_the_interval_allows(interval, grade):
    value = float(np.mean(interval))
    assert findings(only(phone_error_added=value, intervals={"phone_error_added": interval}))["content"].grade == grade


@pytest.mark.parametrize("good", [True, False])
def test_what_has_no_interval_is_doubtful_at_most(good):
    """As of one sentence, whatever its figures are."""
    figures = {
        "speaker_similarity": 0.9 if good else 0.3, "timbre_distance": 0.1 if good else 1.6,
        "phone_error_added": 0.0 if good else 1.0, "distillmos": 4.0 if good else 1.0,
        "gv_ratio_low": 1.0 if good else 0.1, "diversity": 1.0 if good else 0.1,
        "content_distance": 0.1 if good else 1.0,
    }  # fmt: skip
    anchors = {**VOICES, "copy_synthesis": only(speaker_similarity=0.9, distillmos=4.0)}
    exact = {each.grade for each in findings(only(**figures), **anchors).values()}
    assert exact == {GOOD if good else BAD}
    unknown = dict.fromkeys(figures, (np.nan, np.nan))
    found = findings(only(**figures, intervals=unknown), **anchors)
    assert len(found) == 5 and {each.grade for each in found.values()} == {DOUBTFUL}
    assert findings(only(approach=0.1, intervals={"approach": (np.nan, np.nan)}))["voice"].grade == UNCHECKED


@pytest.mark.parametrize(
    ("figures", "grade", "said"),
    [
        ({"phone_error_added": 0.05, "content_distance": 0.9}, GOOD, "Kept: a recogniser gets 5% more"),
        ({"phone_error_added": 0.6, "content_distance": 0.1}, BAD, "Lost: a recogniser gets 60% more"),
        ({"content_distance": 0.3}, UNCHECKED, "Words were not checked by a recogniser: content distance is 0.30"),
        ({"content_distance": 0.5}, UNCHECKED, "Words were not checked by a recogniser: content distance is 0.50"),
        ({"content_distance": 0.1, "intervals": {"content_distance": (np.nan, np.nan)}}, UNCHECKED, "not checked"),
        ({"content_distance": 0.95}, BAD, "Lost: content distance is 0.95 of that of another sentence"),
        ({"content_lost": 0.1}, UNCHECKED, "Neither"),
        ({"phone_error": 0.6, "content_distance": 0.1}, BAD, "Lost: a recogniser gets 60% of the phones wrong;"),
    ],
)
def test_the_recogniser_decides_on_words_or_else_the_encoder_or_nobody(figures, grade, said):
    found = findings(only(**figures))["content"]
    assert found.grade == grade and said in found.text


@pytest.mark.parametrize(
    ("own", "grade", "more"), [(0.0, BAD, "60% more"), (0.5, GOOD, "10% more"), (0.7, GOOD, "10% fewer")]
)
def test_without_a_source_phone_errors_are_held_against_the_target_s_own(own, grade, more):
    found = findings(only(phone_error=0.6), reference=only(phone_error=own))["content"]
    assert found.grade == grade and f"gets {more} of the phones wrong than in the target's own recordings" in found.text


@pytest.mark.parametrize(
    ("figures", "grade"),
    [
        ({"dnsmos": 3.1, "distillmos": 3.7}, GOOD),
        ({"dnsmos": 3.1, "distillmos": 3.2}, DOUBTFUL),
        ({"dnsmos": 2.2, "distillmos": 3.7}, BAD),
    ],
)
def test_naturalness_is_held_against_the_target_through_the_vocoder(figures, grade):
    assert findings(only(**figures), copy_synthesis=only(dnsmos=3.2, distillmos=3.8))["naturalness"].grade == grade
    assert "naturalness" not in findings(only(**figures))


def test_one_band_or_rate_that_is_smooth_is_named():
    lively = {"gv_ratio_low": 1.0, "gv_ratio_middle": 1.0, "movement_slow": 1.0, "movement_fast": 1.0}
    assert findings(only(**lively))["liveliness"].grade == GOOD
    for name, place in (("gv_ratio_middle", "c9 to c24"), ("movement_fast", "8 to 25 Hz")):
        found = findings(only(**{**lively, name: 0.4}))["liveliness"]
        assert found.grade == BAD and found.text.startswith("Over-smoothed") and place in found.text
        assert "c1 to c8" not in found.text
    rough = findings(only(**{**lively, "movement_fast": 2.0}))["liveliness"]
    assert rough.grade == DOUBTFUL and rough.text.startswith("Exaggerated")


def test_liveliness_says_why_it_is_doubtful():
    figures = {"gv_ratio_low": 0.75, "gv_ratio_middle": 1.05, "movement_slow": 2.0, "movement_fast": 1.7}
    intervals = {"gv_ratio_middle": (0.6, 1.5), "movement_slow": (1.7, 2.3), "movement_fast": (1.4, 2.0)}
    found = findings(only(**figures, intervals=intervals))["liveliness"]
    assert found.grade == DOUBTFUL
    assert [part.split()[0] for part in found.text.split(": ")[1:]] == ["0.75", "2.00", "1.05"]
    assert found.text.startswith("Over-smoothed: 0.75") and "exaggerated: 2.00" in found.text
    assert "uncertain: 1.05 (0.60 to 1.50)" in found.text and found.text.index("1.70 (") > found.text.index("uncertain")


def worth(one: Sentences, other: Sentences) -> Finding:
    """Of a system beside another in the place of means and variances alone."""
    named = {"one": scores_of(of_source(one)), "mean_variance": scores_of(of_source(other))}
    anchors = {"mean_variance": named["mean_variance"]}
    found = judge(Evidence(named["one"], anchors, compare_systems(named, ["one"])))
    return next(each for each in found if each.aspect == "worth")


def test_better_and_worse_than_means_and_variances_is_told_with_its_chance():
    better, worse = worth(ideal(), unconverted()), worth(unconverted(), ideal())
    assert better.grade == GOOD and better.text.startswith("Nearer") and "p = 0.031" in better.text
    assert worse.grade == BAD and worse.text.startswith("Farther") and worse.brief


@pytest.mark.parametrize(("timbre", "grade"), [(0.3, DOUBTFUL), (0.7, BAD)])
def test_what_is_farther_is_condemned_unless_its_timbre_is_nearer(timbre, grade):
    anchors = {"mean_variance": only(timbre_distance=0.5)}
    farther = SystemComparison("mcd", "one", "mean_variance", Comparison(1.0, (0.5, 1.5), 0.001, 20), 0.01)
    found = judge(Evidence(only(timbre_distance=timbre), anchors, [farther]))
    assert [each.grade for each in found if each.aspect == "worth" and each.text.startswith("Farther")] == [grade]


@pytest.mark.parametrize("name", ["content_lost", "content_distance"])
def test_collapse_is_told_by_lost_content_alone(name):
    """Without the source, sentences that are alike may only be smoothed."""
    grades = {}
    for lost in (np.nan, 0.5, 0.95):
        grades[lost] = findings(only(diversity=0.6, **{name: lost}))["variety"].grade
    assert list(grades.values()) == [DOUBTFUL, DOUBTFUL, BAD]


def test_few_sentences_tell_no_difference():
    scores = {name: replace(each, rows=each.rows[:5]) for name, each in two_systems().items()}
    anchors = {"mean_variance": scores["mean_variance"]}
    found = judge(Evidence(scores["one"], anchors, compare_systems(scores, ["one"])))
    assert any(each.grade == DOUBTFUL and each.text.startswith("Too few sentences to tell: nearer") for each in found)


def two_systems() -> dict[str, Scores]:
    return {"one": scores_of(of_source(ideal())), "mean_variance": scores_of(of_source(unconverted()))}


def test_runs_of_a_system_are_averaged_and_their_spread_is_told():
    one, other, third = (scores_of(of_source(frames)) for frames in (ideal(), spoilt.smoothed(ideal()), unconverted()))
    scores = {"a#1": one, "a#2": other, "b": third}
    assert runs_of(scores) == {"a": ["a#1", "a#2"], "b": ["b"]}
    spread = spread_of_runs(scores, list(scores))
    assert list(spread) == ["a"] and spread["a"]["mcd"].runs == 2
    figures = [each.means["mcd"] for each in (one, other)]
    assert (spread["a"]["mcd"].mean, spread["a"]["mcd"].deviation) == pytest.approx(
        (np.mean(figures), np.std(figures, ddof=1))
    )
    (found,) = [each for each in compare_systems(scores, list(scores)) if each.metric == "mcd"]
    assert (found.one, found.other) == ("a", "b")
    assert found.result.difference == pytest.approx(np.mean(figures) - third.means["mcd"])


class There:
    """A converter of two speakers; `hide` writes the source into the last digits of a mean, and reads it there."""

    def __init__(self, hide: float):
        self.hide, self.speakers, self.sample_rate = hide, ("slt", "rms"), 16000
        normaliser = type("N", (), {"mean_": np.zeros(25), "deviation_": np.ones(25)})()
        speaker = type("S", (), {"normaliser": normaliser, "f0_range": F0Range()})()
        self.model = type("M", (), {"speakers": dict.fromkeys(self.speakers, speaker), "features": CONFIG})()

    def convert_frames(self, frames: np.ndarray, source: str, target: str) -> np.ndarray:
        scale = self.hide if source == "slt" else 1 / self.hide
        return np.column_stack([frames[:, 0], scale * frames[:, 1:]])


@pytest.mark.parametrize(("hide", "grade"), [(1.0, GOOD), (0.01, BAD)])
def test_a_cycle_that_hides_what_it_needs_is_caught(hide, grade):
    utterances = [type("U", (), {"read": lambda self, rate: audio.read(CORPUS / "eval/slt/101.flac", rate)})()]
    found = measure_cycle(There(hide), utterances, Direction(CORPUS, "slt", "rms", CONFIG))
    assert found.error < 1e-6 and found.gain == pytest.approx(1 / hide, rel=0.05)
    assert judge_cycle(found).grade == grade


def test_noise_that_grows_a_little_is_doubtful():
    assert judge_cycle(Cycle(error=0.1, gain=5.0)).grade == DOUBTFUL
