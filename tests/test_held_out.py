"""Which model is kept: scores on utterances that training does not see."""

import json

import numpy as np
import pytest
from conftest import command, trained, training

from vc import metrics, model_file
from vc.convert.converter import Converter
from vc.corpus import data_directory
from vc.errors import ConfigError, DataError
from vc.features.store import read_features
from vc.metrics import alignment
from vc.metrics.arrays import evenly_spread
from vc.tensor_file import read_tensors
from vc.train.converter import held_out_scores
from vc.train.held_out import MAX_SCORED, HeldOut


def held_out(mini, **kept) -> HeldOut:
    """The evaluation sentences; of a speaker named, those alone whose places are given."""
    made = HeldOut.read(mini / "dump/eval", read_features(mini / "dump/train"), ("slt", "rms"))
    own = made.utterances
    return HeldOut({name: dict(list(own[name].items())[kept.get(name, slice(None))]) for name in own})


def scores(output) -> dict[int, float]:
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["held_out"]["score"] for line in lines if "held_out" in line}


def test_the_best_model_is_kept_with_its_scores(mini, held_out_dump, tmp_path):
    changes = ("--set", "training.steps=20", "--set", "training.checkpoint_every=5", "--set", "training.keep_every=10")
    output = trained(mini, tmp_path, "--held-out", held_out_dump, *changes)
    by_step, model = scores(output), model_file.read(output)[0]
    assert list(by_step) == [5, 10, 15, 20]
    assert model.step == min(by_step, key=by_step.get) and model.metrics["score"] == min(by_step.values())
    measured = HeldOut.read(held_out_dump, read_features(mini / "dump/train"), ("slt", "rms"))
    assert measured.score(Converter.load(output)) == pytest.approx(model.metrics)
    kept = [model_file.read(path)[0] for path in sorted((output / "models").iterdir())]
    assert [(other.step, other.metrics) for other in kept] == [(10, {}), (20, {})]
    of_step = f", of step {model.step}" * (model.step != 20)
    assert (output / "train.log").read_text().endswith(f"model.safetensors{of_step}\n")


def test_recordings_too_long_to_compare_give_no_score_and_end_no_run(mini, model, monkeypatch, caplog):
    monkeypatch.setattr(alignment, "MAX_PAIRS", 1000)
    with caplog.at_level("WARNING"):
        assert held_out_scores(held_out(mini), Converter.load(model).mean_variance(), "step 5") == {}
    assert "step 5: no held-out score: " in caplog.text and "too long" in caplog.text


def test_a_run_whose_model_no_longer_improves_ends_and_stays_ended(mini, held_out_dump, tmp_path):
    changes = ("--set", "training.checkpoint_every=1", "--set", "training.patience=1", "--set", "training.steps=500")
    output = trained(mini, tmp_path, "--held-out", held_out_dump, *changes)
    by_step = scores(output)
    last = max(by_step)
    assert last < 500 and min(by_step, key=by_step.get) == last - 1 == model_file.read(output)[0].step
    done = command(*training(mini, output, "--held-out", held_out_dump, *changes))
    assert f"finished at step {last}; nothing to do" in done.stderr.decode() and scores(output) == by_step


def test_scores_tell_a_conversion_from_none_and_from_a_constant(mini, model):
    converter = Converter.load(model).mean_variance()
    for held in (held_out(mini), held_out(mini, slt=slice(0, 5), rms=slice(5, 10))):
        moved = held.score(converter)["score"]
        untouched, constant = (held.score(_Instead(converter, change))["score"] for change in (np.array, dull))
        assert moved < untouched < constant


class _Instead:
    """A converter that does something else with the frames."""

    def __init__(self, converter, change):
        self.model, self.change = converter.model, change

    def convert_frames(self, mel_cepstrum, source, target):
        return self.change(mel_cepstrum)


def dull(frames: np.ndarray) -> np.ndarray:
    """The utterance's mean throughout, with a little noise."""
    flat = frames.mean(axis=0) + 0.01 * np.random.default_rng(0).standard_normal(frames.shape)
    flat[:, 0] = frames[:, 0]
    return flat


def test_shared_sentences_give_a_distortion_and_others_do_without(mini, model):
    converter = Converter.load(model)
    assert "mcd" in held_out(mini).score(converter)
    assert "mcd" not in held_out(mini, slt=slice(0, 5), rms=slice(5, 10)).score(converter)


def test_a_distortion_is_that_of_the_metrics(mini, model):
    held, converter = held_out(mini), Converter.load(model)
    one, other = held.utterances.values()
    found = [
        metrics.mel_cepstral_distortion(converter.convert_frames(a[name], *names), b[name])
        for a, b, names in ((one, other, ("slt", "rms")), (other, one, ("rms", "slt")))
        for name in one
    ]
    assert held.score(converter)["mcd"] == pytest.approx(np.mean(found)) and len(found) == 2 * len(held.parallel)


def test_utterances_that_training_sees_and_other_settings_are_refused(mini, tmp_path):
    learnt = read_features(mini / "dump/train")
    with pytest.raises(ConfigError, match=r"training learns from .* too; hold out other utterances"):
        HeldOut.read(mini / "dump/train", learnt, ("slt", "rms"))
    done = command(*training(mini, tmp_path, "--held-out", mini / "dump/none"), check=1)
    assert b"vc-extract makes one" in done.stderr
    other = tmp_path / "other"
    settings = ("--set", "features.sample_rate=16000", "--set", "features.order=20", "--set", "features.f0_method=dio")
    two = [data_directory.read(mini / "data/eval" / speaker)[0] for speaker in ("rms", "slt")]
    data_directory.write(tmp_path / "two", two)
    command("extract", tmp_path / "two", other, *settings, "--jobs", 1)
    done = command(*training(mini, tmp_path / "exp", "--held-out", other), check=2)
    assert b"extracted with other settings than" in done.stderr


def test_no_more_than_some_utterances_are_scored():
    chosen = evenly_spread(99, MAX_SCORED)
    assert len(chosen) == MAX_SCORED and chosen[0] == 0 and chosen[-1] == 98 and set(np.diff(chosen)) <= {5, 6}
    assert evenly_spread(1, MAX_SCORED) == [0] and evenly_spread(3, MAX_SCORED) == [0, 1, 2]


def test_too_few_frames_are_refused(random):
    with pytest.raises(DataError, match="5 and 9 frames are too few for 6 bands"):
        metrics.frechet_distance(random.standard_normal((5, 6)), random.standard_normal((9, 6)))


def test_scores_of_another_held_out_set_count_no_more(mini, held_out_dump, tmp_path):
    held_out = ("--held-out", held_out_dump)
    every = ("--set", "training.checkpoint_every=5", "--set", "training.steps=10", "--set", "objective.decay_from=5")
    trained(mini, tmp_path, *held_out, *every)
    assert model_file.read(tmp_path)[0].metrics
    longer = (*every[:2], "--set", "training.steps=15", *every[4:])
    trained(mini, tmp_path, *longer)  # without: the newest is the model, and nobody has scored it
    model = model_file.read(tmp_path)[0]
    assert model.step == 15 and not model.metrics


def test_a_checkpoint_knows_which_set_scored(mini, held_out_dump, tmp_path):
    held_out = ("--held-out", held_out_dump, "--set", "training.checkpoint_every=5")
    command(*training(mini, tmp_path, *held_out))
    newest = max((tmp_path / "checkpoints").iterdir())
    state = read_tensors(newest)[1]["state"]
    assert state["held_out"] == read_features(held_out_dump).digest and state["best_scores"]
