"""vc-train on folders of recordings: all in a row, nothing learnt from what is measured, and gone on with."""

import shutil

import pytest
from conftest import CORPUS, command

from vc import corpus
from vc.store import read_features


@pytest.fixture
def recordings(tmp_path):
    """Eight recordings of each of two speakers, of other sentences."""
    for who, name in {"slt": "anna", "rms": "bert"}.items():
        (tmp_path / "recordings" / name).mkdir(parents=True)
        for path in sorted((CORPUS / "train" / who).iterdir())[:8]:
            shutil.copy(path, tmp_path / "recordings" / name)
    return tmp_path / "recordings"


def train(recordings, *words, **more):
    return command("train", *words, "--jobs", "1", "--measures", "none", cwd=recordings.parent, **more)


def test_two_folders_become_a_measured_voice(recordings):
    words = ("recordings/anna", "recordings/bert", "--output", "exp/anna-bert", "--config", "nearest")
    done = train(recordings, *words)
    *_, sentence, listen, following = done.stdout.decode().splitlines()
    assert sentence == "Likeness to bert not checked; words not checked."
    page = recordings.parent / "exp/anna-bert/evaluation/report.html"
    assert listen == f"listen: {page.as_uri()}" and page.is_file()
    assert following == "next: vc-convert --model exp/anna-bert --to bert RECORDING ..."
    work = recordings.parent / "exp/data/anna-bert"
    learnt = read_features(work / "world").utterances
    held_out = {u.id for who in ("anna", "bert") for u in corpus.read(work / "held_out" / who)}
    assert len(learnt) == len(held_out) == 8 and not held_out & set(learnt)
    converted = {path.stem for path in (recordings.parent / "exp/anna-bert/converted").iterdir()}
    assert converted == {id for id in held_out if id.startswith("anna")}
    again = train(recordings, *words)
    assert "fitted already" in again.stderr.decode() and again.stdout.decode().splitlines()[-1] == following


def test_sentences_that_both_say_are_held_out_of_both(recordings):
    from vc.from_folders import _held_out, _recordings

    for path in (recordings / "anna").iterdir():
        path.rename(path.with_name(f"a{path.name}"))
    for number, path in enumerate(sorted((recordings / "bert").iterdir())):
        path.rename(path.with_name(sorted(each.name for each in (recordings / "anna").iterdir())[number]))
    own = [_recordings(recordings / name) for name in ("anna", "bert")]
    held = _held_out(own)
    sentences = [{u.sentence for u in each if u.id in held} for each in own]
    assert sentences[0] == sentences[1] and len(sentences[0]) == 4


def test_one_folder_becomes_a_voice_for_whoever_speaks(recordings):
    done = train(recordings, "recordings/bert", "--output", "exp/bert", "--set", "training.steps=2")
    assert done.stdout.decode().splitlines() == ["next: vc-convert --model exp/bert --to bert RECORDING ..."]
    assert (recordings.parent / "exp/bert/model.safetensors").is_file()
    assert not (recordings.parent / "exp/bert/evaluation").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("recordings/bert", "--config", "nearest"), "a pair needs two folders"),
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


def test_missing_and_too_few_recordings_are_refused(recordings):
    for path in sorted((recordings / "bert").iterdir())[1:]:
        path.unlink()
    for name, said in {"bert": "bert: too few recordings", "nobody": "recordings/nobody: no such folder"}.items():
        done = train(recordings, f"recordings/{name}", "--output", "exp/x", check=1)
        assert said in done.stderr.decode()


def test_the_package_lists_its_configurations():
    said = command("train", "--configs").stdout.decode()
    assert "recognition_synthesis" in said and "nearest" in said
