"""Systems that are spoilt on purpose are each caught by the verdict, and a good one is not."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import spoilt
from conftest import CORPUS
from spoilt import Sentences

from vc import audio
from vc.evaluate.anchors import Direction
from vc.evaluate.cycle import Cycle, measure_cycle
from vc.evaluate.statistics import SystemComparison, compare_systems, runs_of, spread_of_runs
from vc.evaluate.verdict import BAD, DOUBTFUL, GOOD, Evidence, Finding, judge, judge_cycle
from vc.features import world
from vc.features.world import F0Range, WorldConfig
from vc.metrics.comparison import Comparison
from vc.metrics.registry import METRICS
from vc.metrics.scores import Observation, Scores, Track, summarise

CONFIG = WorldConfig(16000, f0_method="dio")
SENTENCES = range(101, 107)


@cache
def speech(speaker: str) -> list[Track]:
    paths = [CORPUS / f"eval/{speaker}/{sentence}.flac" for sentence in SENTENCES]
    found = [world.extract(audio.read(path, 16000)[0], CONFIG, F0Range()) for path in paths]
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
    seen = [Observation.of(*each[:1], 200, *each[1:]) for each in zip(tracks, reference, source)]
    theirs = [Observation.of(track, 200) for track in reference]
    return summarise(seen, theirs, [Observation.of(track, 200) for track in source], True)


def verdict(frames: Sentences) -> dict[str, Finding]:
    found = judge(Evidence(scores_of(of_source(frames)).means, {}, []))
    return {each.aspect: each for each in found}


def test_a_good_conversion_is_found_good():
    assert {finding.grade for finding in verdict(ideal()).values()} == {GOOD}


@pytest.mark.parametrize(
    ("make", "aspect", "said"),
    [
        (lambda good: unconverted(), "voice", "Not converted"),
        (spoilt.smoothed, "liveliness", "Over-smoothed"),
        (spoilt.still, "variety", "Collapsed"),
        (spoilt.one_sentence, "variety", "Collapsed"),
        (spoilt.other_sentence, "content", "Lost"),
    ],
)
def test_a_spoilt_conversion_is_caught(make, aspect, said):
    found = verdict(make(ideal()))[aspect]
    assert found.grade == BAD and found.text.startswith(said)


def test_smoothing_is_not_taken_for_collapse_nor_another_sentence_for_an_unconverted_voice():
    smooth, other = verdict(spoilt.smoothed(ideal())), verdict(spoilt.other_sentence(ideal()))
    assert smooth["variety"].grade != BAD and smooth["voice"].grade == GOOD
    assert other["voice"].grade == GOOD and other["variety"].grade == GOOD


def test_models_of_speech_are_heard():
    figures = scores_of(of_source(ideal())).means
    grades = {}
    for nearer, garbled in ((1.0, 0.05), (0.9, 0.3), (0.4, 0.6)):
        more = {**figures, "nearer_target": nearer, "phone_error_added": garbled}
        found = {each.aspect: each for each in judge(Evidence(more, {}, []))}
        grades[nearer] = found["voice"].grade, found["content"].grade
        assert f"{nearer:.0%} of sentences" in found["voice"].text
    assert grades == {1.0: (GOOD, GOOD), 0.9: (DOUBTFUL, DOUBTFUL), 0.4: (BAD, BAD)}


def worth(one: Sentences, other: Sentences) -> Finding:
    """Of a system beside another in the place of means and variances alone."""
    named = {"one": scores_of(of_source(one)), "mean_variance": scores_of(of_source(other))}
    anchors = {"mean_variance": named["mean_variance"]}
    found = judge(Evidence(named["one"].means, anchors, compare_systems(named, ["one"])))
    return next(each for each in found if each.aspect == "worth")


def test_better_and_worse_than_means_and_variances_is_told_with_its_chance():
    better, worse = worth(ideal(), unconverted()), worth(unconverted(), ideal())
    assert better.grade == GOOD and better.text.startswith("Nearer") and "p = 0.031" in better.text
    assert worse.grade == BAD and worse.text.startswith("Farther")


@pytest.mark.parametrize(("approach", "grade"), [(0.7, DOUBTFUL), (0.3, BAD)])
def test_what_is_farther_is_condemned_unless_it_is_nearer_as_a_set(approach, grade):
    anchors = {"mean_variance": Scores({**dict.fromkeys(METRICS, np.nan), "approach": 0.4}, {}, [])}
    farther = SystemComparison("mcd", "one", "mean_variance", Comparison(1.0, (0.5, 1.5), 0.001, 20), 0.01)
    (found,) = [each for each in judge(Evidence({"approach": approach}, anchors, [farther])) if each.aspect == "worth"]
    assert found.grade == grade and found.text.startswith("Farther")


def test_collapse_is_told_by_lost_content_alone():
    """Without the source, sentences that are alike may only be smoothed."""
    grades = {}
    for lost in (np.nan, 0.5, 0.95):
        figures = {"diversity": 0.6, "content_lost": lost}
        grades[lost] = next(each.grade for each in judge(Evidence(figures, {}, [])) if each.aspect == "variety")
    assert list(grades.values()) == [DOUBTFUL, DOUBTFUL, BAD]


def test_few_sentences_tell_no_difference():
    scores = {name: replace(each, rows=each.rows[:5]) for name, each in two_systems().items()}
    anchors = {"mean_variance": scores["mean_variance"]}
    found = judge(Evidence(scores["one"].means, anchors, compare_systems(scores, ["one"])))
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
    assert found.found.difference == pytest.approx(np.mean(figures) - third.means["mcd"])


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
def test_a_cycle_that_hides_what_it_needs_is_caught(hide, grade, monkeypatch):
    monkeypatch.setattr("vc.convert.Converter.load", lambda path, **_: There(hide))
    utterances = [type("U", (), {"read": lambda self, rate: audio.read(CORPUS / "eval/slt/101.flac", rate)})()]
    found = measure_cycle(utterances, Direction(CORPUS, "slt", "rms", CONFIG))
    assert found.error < 1e-6 and found.gain == pytest.approx(1 / hide, rel=0.05)
    assert judge_cycle(found).grade == grade


def test_noise_that_grows_a_little_is_doubtful():
    assert judge_cycle(Cycle(error=0.1, gain=5.0)).grade == DOUBTFUL
