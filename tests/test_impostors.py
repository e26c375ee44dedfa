"""The judge is not fooled: recordings that are no conversion, in small and, slowly, on real speech."""

import sys
from functools import cache

import numpy as np
import pytest
from conftest import CORPUS, UTILS

from vc.cli.common import named_folders
from vc.corpus import audio
from vc.evaluate import Request
from vc.evaluate.verdict import BAD, GOOD, UNCHECKED, Evidence, judge, judge_sentences
from vc.features.f0 import F0Range
from vc.features.world import WorldConfig
from vc.metrics import content, timbre
from vc.metrics.content import Content
from vc.metrics.scores import Observation, Scores, Track, summarise

sys.path.insert(0, str(UTILS))
import impostors

RATE, SENTENCES = 16000, range(101, 105)
CONFIG = WorldConfig(RATE, f0_method="dio")


@cache
def speech(speaker: str) -> tuple[np.ndarray, ...]:
    return tuple(audio.read(CORPUS / f"eval/{speaker}/{sentence}.flac", RATE)[0] for sentence in SENTENCES)


@cache
def spoken(speaker: str) -> list[Content]:
    return [content.analyse(samples, RATE) for samples in speech(speaker)]


def test_content_of_a_sentence_is_its_own_whatever_rate_or_speaker_and_not_another_s():
    source, target = spoken("slt"), spoken("rms")
    centre = content.centre_of(source)
    chance = content.different_sentences(source, centre)
    again = [content.analyse(audio.resample(samples, RATE, 22050), 22050) for samples in speech("slt")]
    for one, other, same in zip(source, target, again):
        assert content.distance(one, one, centre) == pytest.approx(0, abs=1e-6)
        assert content.distance(one, same, centre) < 0.02 * chance
        assert content.distance(one, other, centre) < 0.6 * chance
    assert content.distance(source[0], target[1], centre) > 0.8 * chance


def off(utterances: list[Content], target: list[Content]) -> float:
    sums, counts = timbre.Timbre(target).deviations(utterances, paired=True)
    return timbre.distance(sums, counts, np.arange(len(utterances)))


def test_timbre_is_the_target_s_own_at_any_rate_and_loudness_and_far_from_another_s():
    target = spoken("rms")
    changed = [content.analyse(audio.resample(samples / 3, RATE, 22050), 22050) for samples in speech("rms")]
    far = off(spoken("slt"), target)
    assert off(target, target) < 0.1 * far and off(changed, target) < 0.15 * far and far > 0.3


@pytest.mark.parametrize(
    ("source", "target", "parallel", "said"),
    [
        ("slt", "rms", True, None),
        ("slt", "other", True, "does not say the sentences that the names claim"),
        ("slt", "other", False, "says the same sentences, although the names differ"),
        ("half", "rest", False, None),
        ("copies", "rms", True, None),
    ],
)
def test_whether_sentences_are_the_same_is_found_from_what_is_said(source, target, parallel, said):
    rms = spoken("rms")
    sides = {"slt": spoken("slt"), "rms": rms, "other": [*rms[1:], rms[0]], "half": spoken("slt")[:2], "rest": rms[2:]}
    sides["copies"] = spoken("slt")[:1] * len(rms)
    found = judge_sentences(sides[source], sides[target], parallel=parallel)
    assert found is None if said is None else found.grade == BAD and said in found.text and "--" not in found.text
    assert found is None or found.brief == f"the target says {'other' if parallel else 'the same'} sentences"


def observed(recordings) -> list[Observation]:
    seen = []
    for samples in recordings:
        f0, frames = CONFIG.extract(samples, F0Range(60, 400))
        seen.append(Observation.of(Track(frames, f0), 200, content=content.analyse(samples, RATE)))
    return seen


def scored(recordings) -> Scores:
    reference, source = sides()
    return summarise(observed(recordings), reference, source=source, paired=True)


@cache
def sides() -> tuple[list[Observation], list[Observation]]:
    return observed(speech("rms")), observed(speech("slt"))


@cache
def unconverted() -> Scores:
    return scored(speech("slt"))


def verdict(recordings) -> dict[str, str]:
    """Aspect -> grade, without a model of speakers, phones or quality."""
    return {each.aspect: each.grade for each in judge(Evidence(scored(recordings), {"unconverted": unconverted()}, []))}


MADE = {
    "target": lambda source, target: target,
    "source": lambda source, target: source,
    "brown_noise": lambda source, target: impostors.brown_noise(source),
    "long_term_spectrum": lambda source, target: impostors.with_long_term_spectrum(source, target, RATE),
    "reversed_target": lambda source, target: impostors.reversed_in_time(target),
    "shuffled_target": lambda source, target: impostors.shuffled(target),
    "one_sentence": lambda source, target: impostors.one_sentence(target),
}


@pytest.mark.parametrize(
    ("name", "grades"),
    [
        ("target", {"voice": GOOD, "content": UNCHECKED, "liveliness": GOOD, "variety": GOOD}),
        ("source", {"voice": BAD, "content": UNCHECKED}),
        ("long_term_spectrum", {"voice": BAD, "content": UNCHECKED}),
        ("brown_noise", {"content": BAD, "liveliness": BAD}),
        ("reversed_target", {"content": BAD}),
        ("shuffled_target", {"voice": GOOD, "content": BAD, "liveliness": GOOD}),
        ("one_sentence", {"variety": BAD}),
    ],
)
def test_an_impostor_is_caught_by_the_encoder_alone(name, grades):
    found = verdict(MADE[name](list(speech("slt")), list(speech("rms"))))
    assert {aspect: found[aspect] for aspect in grades} == grades


def test_the_folders_that_are_written_can_be_handed_to_the_evaluation_as_documented(tmp_path, capsys, monkeypatch):
    """Sides stand apart from systems, so that all of the latter can be meant by `made/systems/*`."""
    sides = [
        word for name, who in (("source", "slt"), ("target", "rms")) for word in (f"--{name}", f"{CORPUS}/eval/{who}")
    ]
    monkeypatch.setattr("sys.argv", ["impostors.py", *sides, "--sentences", "101", "103", "--output", str(tmp_path)])
    made = {"over_smoothed": lambda source: source, "shuffled_target": impostors.shuffled}
    monkeypatch.setattr(impostors, "make", lambda source, *_: {name: each(source) for name, each in made.items()})
    assert impostors.main() == 0
    given = [tmp_path / "sides/target", *sorted((tmp_path / "systems").iterdir())]
    systems = named_folders("--converted", ["conversion=x", *map(str, given)])
    assert list(Request(systems, given[0], source=tmp_path / "sides/source").converted) == [
        "conversion",
        "target",
        *made,
    ]
    assert all([path.stem for path in sorted(folder.iterdir())] == ["101", "103"] for folder in given)


@pytest.mark.parametrize(("source", "reason"), [("void", "no recordings"), ("nowhere", "No such file or directory")])
def test_a_source_without_recordings_is_named(tmp_path, capsys, monkeypatch, source, reason):
    (tmp_path / "void").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["impostors.py", "--source", source, "--target", source, "--output", "x"])
    assert impostors.main() == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and source in message and reason in message
