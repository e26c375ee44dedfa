"""The corpus of egs/mini is what its manifest says, and the two speakers share no training sentence."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "egs" / "mini" / "corpus"
SENTENCES = ROOT / "egs" / "mini" / "sentences.tsv"
SCRIPT = ROOT / "tools" / "make_mini_corpus.py"
COUNTS = {("train", "slt"): 40, ("train", "rms"): 40, ("eval", "slt"): 10, ("eval", "rms"): 10}

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def texts(part: str, speaker: str) -> dict[str, str]:
    """Id -> text of one set of one speaker."""
    rows = read_table(CORPUS / "manifest.tsv")
    return {row["id"]: row["text"] for row in rows if (row["set"], row["speaker"]) == (part, speaker)}


def plain(text: str) -> str:
    """Text without case and punctuation, so that a comma does not make two sentences of one."""
    return " ".join("".join(sign for sign in text.lower() if sign.isalpha() or sign == " ").split())


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture
def two_sentences(tmp_path: Path) -> Path:
    path = tmp_path / "sentences.tsv"
    path.write_text(
        "set\tid\ttext\ntrain_slt\t001\tA short walk.\neval\t101\tThe rain has stopped.\n", encoding="utf-8"
    )
    return path


def test_manifest_names_every_audio_file_and_no_other():
    named = [row["path"] for row in read_table(CORPUS / "manifest.tsv")]
    found = [path.relative_to(CORPUS).as_posix() for path in CORPUS.glob("**/*.flac")]
    assert sorted(found) == named


def test_manifest_tells_the_truth():
    for row in read_table(CORPUS / "manifest.tsv"):
        path = CORPUS / row["path"]
        assert row["path"] == f"{row['set']}/{row['speaker']}/{row['id']}.flac"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"], row["path"]
        info = soundfile.info(path)
        assert info.frames / info.samplerate == pytest.approx(float(row["seconds"]), abs=0.0005), row["path"]


def test_manifest_has_the_sentences_of_the_table():
    table = {row["id"]: row["text"] for row in read_table(SENTENCES)}
    rows = read_table(CORPUS / "manifest.tsv")
    assert {row["id"]: row["text"] for row in rows} == table


def test_counts():
    rows = read_table(CORPUS / "manifest.tsv")
    assert Counter((row["set"], row["speaker"]) for row in rows) == COUNTS


def test_format_is_16_khz_mono_16_bit_flac():
    for path in CORPUS.glob("**/*.flac"):
        info = soundfile.info(path)
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 16000, 1), path


def test_no_sentence_is_shared_but_those_of_evaluation():
    slt, rms = texts("train", "slt"), texts("train", "rms")
    evaluation = texts("eval", "slt")
    assert evaluation == texts("eval", "rms")
    said = [plain(text) for table in (slt, rms, evaluation) for text in table.values()]
    assert len(set(said)) == len(said) == 90


def test_size_is_under_6_mb():
    assert sum(path.stat().st_size for path in CORPUS.glob("**/*") if path.is_file()) < 6_000_000


def test_level_and_length_are_sane():
    for path in CORPUS.glob("**/*.flac"):
        samples, rate = soundfile.read(path, dtype="float32")
        assert 0.1 < np.abs(samples).max() < 1, path
        assert np.sqrt(np.mean(samples**2)) > 0.02, path
        assert 2 <= len(samples) / rate <= 4, path


def test_script_without_flite_names_the_package(tmp_path: Path):
    done = run("--output", str(tmp_path / "corpus"), PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "apt-get install flite" in done.stderr
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("", "header"),
        ("set\ttext\tid\n", "header"),
        ("set\tid\ttext\ntrain_kal\t001\tA walk.\n", "train_kal"),
        ("set\tid\ttext\ntrain_slt\t001\t\n", "expected a set, an id and a text"),
        ("set\tid\ttext\neval\t101\tA walk.\neval\t101\tA run.\n", "twice"),
    ],
)
def test_script_refuses_a_bad_table(tmp_path: Path, table: str, complaint: str):
    path = tmp_path / "sentences.tsv"
    path.write_text(table, encoding="utf-8")
    done = run("--sentences", str(path), "--output", str(tmp_path / "corpus"))
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


@needs_flite
def test_script_makes_the_same_bytes_twice(tmp_path: Path, two_sentences: Path):
    made = []
    for name in ("one", "two"):
        done = run("--sentences", str(two_sentences), "--output", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        files = sorted(path for path in (tmp_path / name).glob("**/*") if path.is_file())
        made.append([path.read_bytes() for path in files])
    assert made[0] == made[1]
    paths = [row["path"] for row in read_table(tmp_path / "one" / "manifest.tsv")]
    assert paths == ["eval/rms/101.flac", "eval/slt/101.flac", "train/slt/001.flac"]


@needs_flite
def test_script_refuses_a_folder_with_other_audio(tmp_path: Path, two_sentences: Path):
    stray = tmp_path / "corpus" / "train" / "slt" / "999.flac"
    stray.parent.mkdir(parents=True)
    stray.touch()
    done = run("--sentences", str(two_sentences), "--output", str(tmp_path / "corpus"))
    assert done.returncode == 1
    assert "999.flac" in done.stderr
    assert [path.name for path in (tmp_path / "corpus").glob("**/*.flac")] == ["999.flac"]
