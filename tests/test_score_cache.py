"""Results of speech models that are kept: the same as computed ones, of the same samples and package, or none."""

import json

import numpy as np
import pytest

from vc.evaluate import measure, score_cache
from vc.evaluate.measure import speech_model_scores
from vc.evaluate.score_cache import ScoreCache
from vc.metrics import mos, phones, quality, speaker
from vc.metrics.scores import EMBEDDING

MEASURES = ("speaker", "phones", "quality", "mos")
RATE = 16000


@pytest.fixture
def calls(monkeypatch, random):
    """The speech models in the place of which random results come, by name."""
    calls = []

    def model(name, result):
        def run(samples, rate):
            calls.append(name)
            return result(samples)

        return run

    embedding = random.random(EMBEDDING).astype(np.float32)
    embedding /= np.linalg.norm(embedding)
    monkeypatch.setattr(speaker, "embed", model("speaker", lambda samples: np.roll(embedding, len(samples))))
    monkeypatch.setattr(phones, "recognise", model("phones", lambda _: ["a\u02d0", "b"]))
    monkeypatch.setattr(quality, "dnsmos", model("quality", lambda _: {"overall": 0.1 + 0.2}))
    monkeypatch.setattr(mos, "distillmos", model("mos", lambda _: 1 / 3))
    monkeypatch.setattr(score_cache, "version", lambda package: f"1.0 of {package}")
    return calls


def scores(samples, cache, rate=RATE, measures=MEASURES):
    return speech_model_scores(samples, rate, measures, common_rate=RATE, cache=cache)


def same(one, other):
    assert one.embedding.dtype == other.embedding.dtype and (one.embedding == other.embedding).all()
    assert one._replace(embedding=None) == other._replace(embedding=None)
    return True


def test_a_kept_result_is_the_computed_one_and_costs_no_model(calls, random, tmp_path):
    samples = random.random(100)
    computed, first = scores(samples, None), scores(samples, tmp_path / "a/b")
    assert calls == [*MEASURES] * 2
    assert same(scores(samples, tmp_path / "a/b"), computed) and same(first, computed) and len(calls) == 8
    others = (samples * 2, RATE), (samples, 8000), (samples.astype(np.float32), RATE), (samples[:-1], RATE)
    for number, (other, rate) in enumerate(others):
        scores(other, tmp_path / "a/b", rate)
        assert len(calls) == 12 + 4 * number and len(list((tmp_path / "a/b").iterdir())) == 2 + number


def test_a_result_is_of_its_package_and_measures_are_added(calls, random, tmp_path, monkeypatch):
    samples = random.random(100)
    scores(samples, tmp_path, measures=("mos",))
    scores(samples, tmp_path)
    assert calls == ["mos", "speaker", "phones", "quality"]
    monkeypatch.setattr(score_cache, "version", lambda package: f"2.0 of {package}")
    scores(samples, tmp_path)
    assert calls[4:] == [*MEASURES]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", "null", "9" * 5000, '{"a": NaN}', "x" * (score_cache.LARGEST + 1)],
    ids=["empty", "list", "cut", "null", "long", "nan", "large"],
)
def test_a_damaged_file_is_computed_anew(content, calls, random, tmp_path):
    samples = random.random(100)
    computed = scores(samples, tmp_path)
    [path] = tmp_path.iterdir()
    path.write_text(content)
    assert same(scores(samples, tmp_path), computed) and len(calls) == 8
    assert same(scores(samples, tmp_path), computed) and len(calls) == 8


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        [1, "b"],
        {},
        1e999,
        [[1.0]],
        [0.5] * 255,
        [0.0] * 256,
        [1e300] * 256,
        [10**400] * 256,
        10**400,
        True,
        1e308,
        ["a"] * 99,
    ],
)
def test_a_wrong_value_is_computed_anew(value, calls, random, tmp_path):
    samples = random.random(100)
    computed = scores(samples, tmp_path)
    [path] = tmp_path.iterdir()
    path.write_text(json.dumps(dict.fromkeys(json.loads(path.read_text()), value)).replace("Infinity", "1e999"))
    assert same(scores(samples, tmp_path), computed)


def test_a_folder_that_cannot_be_written_is_a_remark(calls, random, tmp_path):
    (tmp_path / "file").touch()
    result = scores(random.random(100), tmp_path / "file")
    assert result.mos == 1 / 3 and len(result.remarks) == 1
    assert result.remarks[0].startswith(f"results of speech models are not kept: {tmp_path / 'file'}: ")


def test_nothing_is_written_through_a_link(calls, random, tmp_path):
    samples, folder, victim = random.random(100), tmp_path / "cache", tmp_path / "victim"
    scores(samples, folder)
    [path] = folder.iterdir()
    path.unlink()
    path.symlink_to(victim)
    assert "leads outside" in scores(samples, folder).remarks[0] and not victim.exists()


def test_content_and_words_are_not_kept(tmp_path):
    kept = ScoreCache(tmp_path, np.zeros(3), RATE)
    assert kept.get("content", lambda: 1) == 1 and kept.get("content", lambda: 2) == 2
    kept.write()
    assert not list(tmp_path.iterdir()) and {*measure.MEASURES} - {*score_cache.KINDS} == {"content", "utmos", "wer"}
