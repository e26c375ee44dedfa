"""vc-train on folders of recordings: all in a row, nothing learnt from what is measured, and gone on with."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import CORPUS, command

from vc.config import configuration_names
from vc.corpus import data_directory
from vc.corpus.data_directory import Utterance
from vc.errors import DataError
from vc.features.store import read_features
from vc.from_folders import _held_out, _recordings, train_from_folders


@pytest.fixture
def recordings(tmp_path):
    """Eight recordings of each of two speakers, of other sentences."""
    for who, name in {"slt": "anna", "rms": "bert"}.items():
        (tmp_path / "recordings" / name).mkdir(parents=True)
        for path in sorted((CORPUS / "train" / who).iterdir())[:8]:
            shutil.copy(path, tmp_path / "recordings" / name)
    return tmp_path / "recordings"


def train(recordings, *words, measures="none", **more):
    return command("train", *words, "--jobs", "1", "--measures", measures, cwd=recordings.parent, **more)


def test_two_folders_become_a_measured_voice(recordings):
    words = ("recordings/anna", "recordings/bert", "--output", "exp/anna-bert", "--method", "mean_variance")
    done = train(recordings, *words)
    model, sentence, listen, following = done.stdout.decode().splitlines()
    assert re.fullmatch(r"exp/anna-bert/model.safetensors: the voice of bert, after \d+ (s|min)", model)
    assert "bert" in sentence and "words not checked" in sentence
    page = recordings.parent / "exp/anna-bert/evaluation/report.html"
    assert listen == f"listen: {page.as_uri()}" and page.is_file()
    assert following == "next: vc-convert --model exp/anna-bert --to bert RECORDING ..."
    [features] = (recordings.parent / "exp/features").glob("anna-bert-*")
    learnt = read_features(features).utterances
    held_out = {u.id for who in ("anna", "bert") for u in data_directory.read(page.parents[1] / "data/held_out" / who)}
    assert len(learnt) == len(held_out) == 8 and not held_out & set(learnt)
    converted = {path.stem for path in (recordings.parent / "exp/anna-bert/converted").iterdir()}
    assert converted == {id for id in held_out if id.startswith("anna")}
    heard = {path.name.split("-to-")[0] for path in (recordings.parent / "exp/anna-bert/samples").glob("*.wav")}
    assert len(heard) == 2 and heard <= converted
    again = train(recordings, *words)
    assert "fitted already" in again.stderr.decode() and again.stdout.decode().splitlines()[-1] == following


def said(speaker, *sentences):
    return [Utterance(f"{speaker}-{sentence}", speaker, Path(f"{sentence}.wav")) for sentence in sentences]


def test_sentences_that_both_say_are_held_out_of_both():
    both = [said(who, *"abcdefghij") for who in ("ann", "bob")]
    held = _held_out(both, both)
    sentences = [{u.sentence for u in own if u.id in held} for own in both]
    assert sentences[0] == sentences[1] and len(sentences[0]) == 5


def test_a_name_that_both_have_by_chance_is_no_shared_sentence():
    both = [said("ann", "intro", *"abcdefghi"), said("bob", "intro", *"klmnopqrs")]
    assert len(_held_out(both, both)) == 10


def test_all_that_nothing_learns_from_may_be_held_out():
    source, target = said("ann", "a"), said("bob", *"klmn")
    assert _held_out([source, target], [target]) == {"ann-a", "bob-k", "bob-m"}
    with pytest.raises(DataError, match="ann: too few recordings"):
        _held_out([source, target], [source, target])


def test_one_folder_becomes_a_voice_for_whoever_speaks(recordings):
    done = train(recordings, "--output", "exp/bert", "--set", "training.steps=2", "recordings/bert")
    model, following = done.stdout.decode().splitlines()
    assert model.startswith("exp/bert/model.safetensors: the voice of bert, after ")
    assert following == "next: vc-convert --model exp/bert --to bert RECORDING ..."
    said = done.stderr.decode()
    assert "method: recognition_synthesis on cpu, " in said and "--config nearest loses fewer words" in said
    assert re.search(r"features will take: \d+ s with 1 process, \d+ MB on disk\n", said)
    assert (recordings.parent / "exp/bert/model.safetensors").is_file()
    [features] = (recordings.parent / "exp/features").glob("bert-*")
    assert len(read_features(features).utterances) == 8  # all: nothing is measured
    assert not (recordings.parent / "exp/bert/evaluation").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("recordings/bert", "--config", "nearest"), "a pair needs two folders"),
        (("recordings/bert", "--method", "nearest"), "a pair needs two folders"),
        (("recordings", "recordings/bert"), "is inside"),
        (("recordings/bert", "recordings/bert"), "both folders are called 'bert'"),
        (("recordings/bert", "--features", "dump"), "give FOLDERs of recordings, or --features"),
        (("recordings/bert", "--target", "bert"), "--target: only with --features"),
        (
            ("recordings/bert", "--config", "nowhere"),
            "nowhere: no such file, nor a configuration of the package: cycle",
        ),
        (("recordings/anna", "recordings/bert", "--config", "stargan_vc2_narrow"), "one model for many speakers"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(recordings, words, said):
    done = train(recordings, *words, "--output", "exp/x", check=2)
    assert said in done.stderr.decode() and not (recordings.parent / "exp/x").exists()


@pytest.mark.parametrize(
    ("rate", "kind", "said"),
    [
        (8000, "world", "method: nearest on cpu, because 8000 Hz is too low for recognition_synthesis"),
        (16000, "content", "method: recognition_synthesis on cpu"),
    ],
)
def test_the_method_is_chosen_by_the_rate_of_the_recordings(rate, kind, said, tmp_path, monkeypatch, caplog):
    def stop(settings, *_):
        raise DataError(f"features of kind {settings.get('kind', 'world')}")

    monkeypatch.setattr("vc.from_folders.chosen_config", stop)
    random = np.random.default_rng(0)
    for name in ("anna", "bert"):
        (tmp_path / name).mkdir()
        for number in range(4):
            samples = 0.1 * random.standard_normal(rate)
            soundfile.write(tmp_path / name / f"{name}{number}.wav", samples, rate if name == "bert" else 16000)
    caplog.set_level("INFO", "vc")
    with pytest.raises(DataError, match=f"features of kind {kind}"):
        train_from_folders([tmp_path / "anna", tmp_path / "bert"], tmp_path / "exp", device="cpu", measures=())
    assert said in caplog.text


def test_a_missing_folder_is_refused(recordings):
    done = train(recordings, "recordings/nobody", "--output", "exp/x", check=1)
    assert "recordings/nobody: no such folder" in done.stderr.decode()


def test_an_output_among_the_recordings_is_refused(recordings):
    before = sorted((recordings / "bert").iterdir())
    for output in ("recordings/bert/exp", "recordings/bert"):
        done = train(recordings, "recordings/bert", "--output", output, check=2)
        assert "among the recordings" in done.stderr.decode() and sorted((recordings / "bert").iterdir()) == before
    done = train(recordings, "recordings", "--output", "voice", check=2, measures="nothing")
    assert "unknown measure 'nothing'" in done.stderr.decode()


def test_ids_are_unique_over_both_folders(recordings):
    for folder, name in {"a": "b-1.flac", "a-b": "1.flac"}.items():
        (recordings / folder).mkdir()
        shutil.copy(next((recordings / "anna").iterdir()), recordings / folder / name)
    found = _recordings([recordings / "a", recordings / "a-b"])
    assert len({u.id for own in found for u in own}) == 2


def test_a_damaged_recording_is_named_and_the_rest_is_done(recordings):
    (recordings / "bert/zz.wav").write_bytes(b"RIFF\x10\0\0\0WAVEfmt ")
    done = train(recordings, "recordings/bert", "--output", "exp/bert", "--set", "training.steps=1", check=1)
    assert "zz.wav" in done.stderr.decode() and (recordings.parent / "exp/bert/model.safetensors").is_file()


def test_the_package_lists_its_configurations():
    lines = command("train", "--configs").stdout.decode().splitlines()
    told = dict(line.split(maxsplit=1) for line in lines)
    assert told.keys() == set(configuration_names()) and len(set(told.values())) == len(told)
