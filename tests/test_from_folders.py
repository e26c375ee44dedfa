"""vc-train on folders of recordings: all in a row, nothing learnt from what is measured, and gone on with."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import CORPUS, beginning, command

from vc.config import configuration_names
from vc.corpus import data_directory
from vc.corpus.data_directory import Utterance
from vc.errors import DataError
from vc.features.store import read_features
from vc.from_folders import _excerpts, _held_out, _recordings, _warn_of_several, train_from_folders
from vc.train.held_out import HeldOutResynthesis
from vc.train.plan import Request


@pytest.fixture
def recordings(tmp_path):
    """Five recordings of each of two speakers, of other sentences."""
    for who, name in {"slt": "anna", "rms": "bert"}.items():
        (tmp_path / "recordings" / name).mkdir(parents=True)
        for path in sorted((CORPUS / "train" / who).iterdir())[:5]:
            beginning(path, tmp_path / "recordings" / name / path.name)
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
    assert (len(learnt), len(held_out)) == (6, 4) and not held_out & set(learnt)
    converted = {path.stem for path in (recordings.parent / "exp/anna-bert/converted").iterdir()}
    assert converted == {id for id in held_out if id.startswith("anna")}
    heard = {path.name.split("-to-")[0] for path in (recordings.parent / "exp/anna-bert/samples").glob("*.wav")}
    assert len(heard) == 2 and heard <= converted
    again = train(recordings, *words)
    assert "fitted already" in again.stderr.decode() and again.stdout.decode().splitlines()[-1] == following


@pytest.fixture
def request_for_training(recordings, monkeypatch) -> Callable[..., Request]:
    """What a training from two folders of four recordings would be asked, without it."""
    for speaker in ("anna", "bert"):
        for path in sorted((recordings / speaker).iterdir())[4:]:
            path.unlink()

    def ask() -> Request:
        asked = []
        monkeypatch.setattr("vc.from_folders.announce", lambda _: None)
        monkeypatch.setattr("vc.from_folders.train", lambda request: asked.append(request) or 1 / 0)
        folders = [recordings / name for name in ("anna", "bert")]
        with pytest.raises(ZeroDivisionError):
            train_from_folders(folders, recordings.parent / "exp/x", device="cpu", measures=())
        return asked[0]

    return ask


def test_what_is_held_out_is_scored_while_it_learns_and_chooses_nothing(
    request_for_training, recordings, caplog, monkeypatch
):
    def refuse(*_):
        raise DataError("damaged")

    request = request_for_training()
    assert not request.keep_best
    features = read_features(request.features)
    scored = HeldOutResynthesis.read(request.held_out, features, request.speakers)
    listed = data_directory.read(recordings.parent / "exp/x/data/held_out/bert")
    assert set(read_features(request.held_out).utterances) == {u.id for u in listed}
    assert len(scored.recordings["bert"]) == 2 and not set(features.utterances) & {u.id for u in listed}
    monkeypatch.setattr("vc.from_folders.read_held_out", refuse)
    assert request_for_training().held_out is None and "held-out recordings are not scored" in caplog.text


@pytest.mark.parametrize("lengths", [(12.0,), (1.0, 1.5), (0.4,), (3.0,) * 9])
def test_excerpts_are_parts_of_what_is_there(lengths, tmp_path):
    utterances = []
    for number, seconds in enumerate(lengths):
        soundfile.write(tmp_path / f"{number}.wav", np.zeros(round(16000 * seconds)), 16000)
        utterances.append(Utterance(f"ann-{number}", "ann", tmp_path / f"{number}.wav"))
    excerpts = _excerpts(utterances)
    assert len({u.id for u in excerpts}) == len(excerpts) == min(4, sum(max(1, round(s / 2.5)) for s in lengths))
    assert all(0 <= u.start < u.end <= lengths[int(u.path.stem)] for u in excerpts)
    assert all(u.end - u.start >= min(1.25, min(lengths)) for u in excerpts)


def test_how_long_it_takes_is_told_and_nothing_is_written(recordings):
    words = ("recordings/anna", "recordings/bert", "--config", "nearest", "--output", "exp/x", "--estimate")
    said = train(recordings, *words).stdout.decode()
    parts = r"features \d+ (s|min), training 1 min \(at most: it takes no steps\)"
    assert re.fullmatch(rf"\d+ min: {parts}, without the measurement afterwards\n", said)
    assert [path.name for path in recordings.parent.iterdir()] == ["recordings"]


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
    assert len(read_features(features).utterances) == 5  # all: nothing is measured
    assert not (recordings.parent / "exp/bert/evaluation").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("recordings/bert", "--config", "nearest"), "a pair needs two folders"),
        (("recordings/bert", "--method", "nearest"), "a pair needs two folders"),
        (("recordings/bert", "--method", "unit_selection"), "features of kind world; give --config unit_selection"),
        (("recordings", "recordings/bert"), "is inside"),
        (("recordings/bert", "recordings/bert"), "both folders are called 'bert'"),
        (("recordings/bert", "--features", "dump"), "give FOLDERs of recordings, or --features"),
        (("recordings/bert", "--target", "bert"), "--target: only with --features"),
        (
            ("recordings/bert", "--config", "nowhere"),
            "nowhere: no such file, nor a configuration of the package: cycle",
        ),
        (("recordings/anna", "recordings/bert", "--config", "stargan_vc2_narrow"), "one model for many speakers"),
        (("recordings/bert", "--set", "training.stpes=3"), "training: unknown key stpes; known: steps, "),
        (("recordings/bert", "--set", "training.steps=0"), "training.steps must be "),
        (("recordings/bert", "--set", "network.widht=8"), "network: unknown key widht"),
        (("recordings/anna", "recordings/bert", "--method", "nearest", "--set", "objective.x=1"), "objective: unknown"),
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


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        (["anna/1.wav", "anna/2.wav", "bert/day/1.wav"], "anna, bert"),
        (["a/1.wav", "b/1.wav", "c/1.wav", "d/1.wav"], "a, b, c, ..."),
        (["1.wav", "anna/1.wav", "bert/1.wav"], None),  # a speaker's own folder, sorted further
        (["day/1.wav", "day/2.wav"], None),
    ],
)
def test_a_folder_of_folders_is_one_speakers_with_a_warning(paths, named, caplog):
    """What holds several speakers' folders is easily given by mistake."""
    _warn_of_several(Path("/all"), [Utterance("x", "all", Path("/all", path)) for path in paths])
    said = f"/all: its folders ({named}) are taken for one speaker's; if they are several, give one FOLDER each"
    assert caplog.messages == ([said] if named else [])


def test_a_missing_folder_is_refused(recordings):
    done = train(recordings, "recordings/nobody", "--output", "exp/x", check=1)
    assert "recordings/nobody: no such folder" in done.stderr.decode()


def test_an_output_among_the_recordings_is_refused(recordings):
    before = sorted((recordings / "bert").iterdir())
    for output in ("recordings/bert/exp", "recordings/bert"):
        done = train(recordings, "recordings/bert", "--output", output, check=2)
        assert "among the recordings" in done.stderr.decode() and sorted((recordings / "bert").iterdir()) == before
    done = train(recordings, "recordings", "--output", "voice", check=2, measures="nothing")
    assert "measure: unknown 'nothing'" in done.stderr.decode()


def test_ids_are_unique_over_both_folders(recordings):
    for folder, name in {"a": "b-1.flac", "a-b": "1.flac"}.items():
        (recordings / folder).mkdir()
        shutil.copy(next((recordings / "anna").iterdir()), recordings / folder / name)
    found = _recordings([recordings / "a", recordings / "a-b"])
    assert len({u.id for own in found for u in own}) == 2


@pytest.mark.parametrize("second", ["bert", "deep/bert"])
def test_ids_do_not_depend_on_other_folders_beside_those_given(second, tmp_path, monkeypatch):
    folders = [tmp_path / "anna", tmp_path / second]
    for folder in folders:
        folder.mkdir(parents=True)
        shutil.copy(CORPUS / "train/slt/001.flac", folder / "дом.flac")
    before = _recordings(folders)
    (tmp_path / "музыка").mkdir()
    shutil.copy(CORPUS / "train/rms/041.flac", tmp_path / "музыка/кот.flac")
    monkeypatch.setattr(Path, "iterdir", lambda path: pytest.fail(f"{path} is listed"))
    assert _recordings(folders) == before


def test_a_damaged_recording_is_named_and_the_rest_is_done(recordings):
    (recordings / "bert/zz.wav").write_bytes(b"RIFF\x10\0\0\0WAVEfmt ")
    done = train(recordings, "recordings/bert", "--output", "exp/bert", "--set", "training.steps=1", check=1)
    assert "zz.wav" in done.stderr.decode() and (recordings.parent / "exp/bert/model.safetensors").is_file()


def test_why_no_held_out_recording_was_converted_is_said(recordings):
    """Names of 247 bytes are ids of 252, too long for a file `ID.wav`."""
    for folder in ("anna", "bert"):
        for path in sorted((recordings / folder).iterdir()):
            path.rename(path.with_stem(path.stem.ljust(247, "x")))
    words = ("recordings/anna", "recordings/bert", "--output", "exp", "--method", "mean_variance")
    errors = [line for line in train(recordings, *words, check=1).stderr.decode().splitlines() if "error: " in line]
    *reasons, last = errors
    assert len(reasons) == 2 and all(line.endswith(".wav: File name too long") for line in reasons)
    assert last.endswith("exp is trained, but none of the held-out recordings could be converted")


def test_no_unusable_recording_is_held_out_or_trained_on(recordings):
    lengths = {"truncated": 1.0, "short": 0.1, "silent": 1.0}  # seconds
    for name, seconds in lengths.items():
        noise = np.random.default_rng(0).normal(0, 0.0 if name == "silent" else 0.1, int(16000 * seconds))
        soundfile.write(recordings / f"anna/{name}.flac", noise, 16000)
    content = (recordings / "anna/truncated.flac").read_bytes()
    (recordings / "anna/truncated.flac").write_bytes(content[: len(content) // 2])
    words = ("recordings/anna", "recordings/bert", "--output", "exp/x", "--method", "mean_variance")
    errors = [line for line in train(recordings, *words, check=1).stderr.decode().splitlines() if "error:" in line]
    assert [sum(f"{name}.flac" in line for line in errors) for name in lengths] == [1, 1, 1] and len(errors) == 3
    sets = [recordings.parent / "exp/x/data" / name for name in ("train", "held_out/anna", "held_out/bert")]
    assert not {u.path.stem for data in sets for u in data_directory.read(data)} & set(lengths)


def test_the_package_lists_its_configurations():
    lines = command("train", "--configs").stdout.decode().splitlines()
    assert "\n  --configs " in command("train", "--help").stdout.decode()
    refused = command("train", "--config", "nearest", "--configs", check=2)
    assert b"--configs stands by itself" in refused.stderr
    told = dict(line.split(maxsplit=1) for line in lines)
    assert told.keys() == set(configuration_names()) and len(set(told.values())) == len(told)
