"""What lies in people's folders: every recording is taken, and what is left out is named with its reason."""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import command, vowel

from vc.corpus import audio, data_directory, discovery, formats, prepare
from vc.errors import DataError

HEADS = {".m4a": b"\0\0\0\x20ftypM4A ", ".wma": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ".aac": b"\xff\xf1\x50\x80"}
needs_ffmpeg = pytest.mark.skipif(not formats.has_ffmpeg(), reason="no ffmpeg on PATH")


def record(path, seed=0, rate=16000, seconds=0.5):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate)), rate)
    return path


@pytest.fixture
def without_ffmpeg(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))


def names(paths, folder):
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def test_what_needs_ffmpeg_is_named_with_what_to_do(tmp_path, without_ffmpeg, caplog):
    record(tmp_path / "in/ann/a.wav")
    for suffix, head in HEADS.items():
        (tmp_path / f"in/ann/b{suffix}").write_bytes(head + bytes(1000))
    with caplog.at_level("INFO"):
        assert [u.id for u in prepare.from_folders(tmp_path / "in")] == ["ann-a"]
    for suffix in HEADS:
        [line] = [message for message in caplog.messages if f"b{suffix}" in message]
        assert "needs ffmpeg, which is not on PATH: install ffmpeg (Debian, Ubuntu: apt install ffmpeg)" in line
        with pytest.raises(DataError, match=rf"b\{suffix}: .* needs ffmpeg, which is not on PATH"):
            audio.read(tmp_path / f"in/ann/b{suffix}")


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["m4a", "mp4", "aac", "wma", "mkv"])
def test_ffmpeg_decodes_what_libsndfile_does_not(suffix, tmp_path):
    samples, path = vowel(1.0, 32000), tmp_path / f"in/ann/-a b:'c%d.{suffix}"
    path.parent.mkdir(parents=True)
    soundfile.write(tmp_path / "a.wav", np.stack([samples, samples], 1), 32000)
    line = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", f"file:{path}"]
    subprocess.run(line, check=True, stdin=subprocess.DEVNULL)
    read, rate = audio.read(path)
    assert rate == 32000 and abs(len(read) - len(samples)) < 6000
    assert read.std() == pytest.approx(samples.std(), rel=0.2)
    assert audio.info(path).channels == 2
    assert [u.path for u in prepare.from_folders(tmp_path / "in")] == [path]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="ffmpeg cannot decode it: "):
        audio.read(path)


def replace_ffmpeg(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a shell script in ffmpeg's place."""
    (folder / "bin").mkdir()
    (folder / "bin/ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin/ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")


@needs_ffmpeg
def test_parts_of_a_recording_are_decoded_once_also_by_threads(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", vowel(3.0, 16000), 16000)
    paths = tmp_path / "a.m4a", tmp_path / "b.m4a"
    for path in paths:
        subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-i", tmp_path / "a.wav", path], check=True)
    real = shutil.which("ffmpeg")
    replace_ffmpeg(f'echo >> {tmp_path}/calls; exec {real} "$@"', tmp_path, monkeypatch)
    whole, before = audio.read(paths[0])[0], len([*Path("/proc/self/fd").iterdir()])
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda n: audio.read(paths[0], start=n / 10, end=(n + 1) / 10)[0], range(30))
        np.testing.assert_array_equal(np.concatenate(list(parts)), whole[: 30 * 1600])
    assert (tmp_path / "calls").read_text() == "\n" and len([*Path("/proc/self/fd").iterdir()]) == before
    for path in paths[::-1]:
        audio.read(path)
    os.utime(paths[0])  # another content, for all that is known
    audio.read(paths[0])
    assert (tmp_path / "calls").read_text() == 4 * "\n"


@needs_ffmpeg
def test_ffmpeg_ends_with_who_asked_for_it(tmp_path, monkeypatch):
    replace_ffmpeg(
        f"echo $$ > {tmp_path}/pid; trap '' TERM; while echo more; do sleep 0.1; done", tmp_path, monkeypatch
    )
    (tmp_path / "a.m4a").write_bytes(HEADS[".m4a"] + bytes(1000))
    code = "import sys; from vc.corpus import audio; audio.read(sys.argv[1])"
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "a.m4a"], cwd=Path(__file__).parents[1])
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    end = time.monotonic() + 20
    while Path("/proc", (tmp_path / "pid").read_text().strip()).exists():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("exec sleep 60", "has not decoded it in 0 s"),
        ("yes nonsense | head -n 100000 >&2; exit 3", "cannot decode it: nonsense$"),
        ("exit 3", "cannot decode it: exit 3"),
        ("head -c 3001 /dev/zero", "more than 3000 bytes once decoded"),
    ],
)
def test_ffmpeg_has_limits_of_time_and_room(said, message, tmp_path, monkeypatch):
    replace_ffmpeg(said, tmp_path, monkeypatch)
    monkeypatch.setattr(formats, "DECODING", (0.3, 1e9))
    monkeypatch.setattr(formats, "LARGEST_STREAM", 3000)
    (tmp_path / "a.m4a").write_bytes(HEADS[".m4a"] + bytes(1000))
    with pytest.raises(DataError, match=message):
        audio.read(tmp_path / "a.m4a")


def test_every_file_of_a_folder_is_taken_or_told(tmp_path, caplog):
    folder = tmp_path / "ann"
    record(folder / "a.wav")
    record(folder / "deep/.b.wav", seed=1)
    record(folder / ".trash/c.wav", seed=2)
    record(folder / "d.wav", seed=3).rename(folder / "d.bak")
    record(folder / "e.flac", seed=4).rename(folder / "e.m4a")
    (folder / "._a.wav").write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X" + bytes(100))
    (folder / "resource.wav").write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X" + bytes(100))
    for number in range(5):
        (folder / f"{number}.txt").write_text("hello")
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.write(folder / "a.wav")
    (folder / "gone.wav").symlink_to(folder / "nothing")
    found = discovery.recordings_below(folder)
    assert names(found.recordings, folder) == ["a.wav", "deep/.b.wav"]
    assert names(found.refused, folder) == ["e.m4a"] and "holds FLAC" in found.refused[folder / "e.m4a"]
    everything = {path for path in folder.rglob("*") if not path.is_dir()} - {folder / ".trash/c.wav"}
    assert everything == {*found.recordings, *found.refused, *found.others} - {folder / ".trash"}
    with caplog.at_level("INFO"):
        discovery.report(folder, found)
    said = "\n".join(caplog.messages)
    for part in (
        "a hidden folder",
        "a zip archive; unpack it",
        "looks like WAV",
        "5 .txt",
        "2 files|._a.wav",
        "gone.wav",
    ):
        assert any(each in said for each in part.split("|")), part
    assert [record.levelname for record in caplog.records].count("WARNING") == 1  # of what is a recording


def test_links_to_folders_are_followed_and_not_round_in_circles(tmp_path):
    record(tmp_path / "elsewhere/deep/a.wav")
    record(tmp_path / "in/ann/b.wav", seed=1)
    (tmp_path / "in/ann/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/deep/back").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/ann/up").symlink_to(tmp_path / "in")
    found = discovery.recordings_below(tmp_path / "in/ann")
    assert names(found.recordings, tmp_path / "in/ann") == ["b.wav", "linked/deep/a.wav"]
    assert found.others[tmp_path / "in/ann/linked/deep/back"] == discovery.ELSEWHERE
    assert [u.id for u in prepare.from_folders(tmp_path / "in")] == ["ann-b", "ann-linked-deep-a"]


def test_a_speaker_of_whom_nothing_can_be_read_is_an_error_and_folders_of_other_things_are_told(tmp_path, caplog):
    record(tmp_path / "in/ann/a.wav")
    (tmp_path / "in/doc").mkdir()
    (tmp_path / "in/doc/read me.txt").write_text("hello")
    record(tmp_path / "in/lonely.wav", seed=3)
    with caplog.at_level("INFO"):
        assert [u.id for u in prepare.from_folders(tmp_path / "in")] == ["ann-a"]
    said = "\n".join(caplog.messages)
    assert "left out: folders without recordings: doc" in said
    assert "left out: 1 recording in no speaker's folder, such as lonely.wav" in said
    done = command("prepare", tmp_path / "in", tmp_path / "data", "--speakers", "ann", "doc", check=1)
    assert "in/doc: no recordings that can be read; known endings: .aif" in done.stderr.decode()
    assert not (tmp_path / "data").exists()
    record(tmp_path / "in/bob/b.flac", seed=1).rename(tmp_path / "in/bob/b.mp4")
    with pytest.raises(DataError, match="in/bob: no recordings that can be read"):
        prepare.from_folders(tmp_path / "in")
    with pytest.raises(DataError, match=r"in/ann: no recordings that match b\* that can be read"):
        prepare.from_folders(tmp_path / "in", ["ann"], include=["b*"])


def test_copies_are_known_by_their_samples_whatever_they_are_called(tmp_path, caplog):
    record(tmp_path / "in/ann/a.wav")
    shutil.copy(tmp_path / "in/ann/a.wav", tmp_path / "in/ann/a (copy).wav")
    record(tmp_path / "in/ann/other.wav", seed=1)
    samples, rate = soundfile.read(tmp_path / "in/ann/a.wav")
    soundfile.write(tmp_path / "in/ann/again.flac", samples, rate)
    (tmp_path / "in/ann/broken.wav").write_bytes(b"RIFF")
    (tmp_path / "in/ann/broken2.wav").write_bytes(b"RIFF")
    found = prepare.from_folders(tmp_path / "in")
    assert [u.id for u in found] == ["ann-a", "ann-broken", "ann-broken2", "ann-other"]
    assert sum("left out: the same recording as" in message for message in caplog.messages) == 2


@pytest.mark.parametrize("output", ["in/data", "in/ann/data"])
def test_a_data_directory_among_the_recordings_is_no_speaker_when_it_is_written_again(output, tmp_path):
    soundfile.write(record(tmp_path / "in/ann/long.wav"), vowel(26.0, 16000), 16000)
    for again in (False, True):
        done = command("prepare", tmp_path / "in", tmp_path / output, "--cut")
        utterances = data_directory.read(tmp_path / output)
        said = f"{tmp_path / output}: left out: the data directory to be written" in done.stderr.decode()
        assert said == (again and output == "in/data")
        assert len(utterances) == 3 and {utterance.speaker for utterance in utterances} == {"ann"}


def test_a_conversion_of_a_folder_fails_for_what_cannot_be_read_and_tells_the_rest(tmp_path, caplog):
    from vc.convert.inputs import plan

    record(tmp_path / "in/a.wav")
    (tmp_path / "in/a.m4a").write_bytes(b"what is this")
    (tmp_path / "in/notes.txt").write_text("hello")
    with caplog.at_level("INFO"):
        jobs = plan([str(tmp_path / "in")], None, str(tmp_path / "out"))
    assert [(job.source.name, bool(job.refusal)) for job in jobs] == [("a.m4a", True), ("a.wav", False)]
    assert any("left out, not recordings: 1 .txt" in message for message in caplog.messages)
    with pytest.raises(DataError, match=r"a\.m4a: of unknown format"):
        jobs[0].require_readable()


# Names


@pytest.mark.parametrize("name", ["Anna Maria", "José", "артём", "安娜", "-x", "'\"$`*", "Łukasz", "é\u0301"])
def test_any_name_of_a_speaker_works_by_name_and_by_id(name, tmp_path):
    record(tmp_path / "in" / name / "a.wav")
    record(tmp_path / "in/bert/a.wav", seed=1)
    data_directory.write(tmp_path / "data", prepare.from_folders(tmp_path / "in"))
    utterances = data_directory.read(tmp_path / "data")
    assert utterances == prepare.from_folders(tmp_path / "in")
    [id] = {u.speaker for u in utterances} - {"bert"}
    assert {u.speaker_name for u in utterances} == {name, ""}
    for given in (name, id):
        assert [u.speaker for u in prepare.from_folders(tmp_path / "in", [given])] == [id]
        assert [u.speaker for u in prepare.choose(utterances, [given])] == [id]


def test_names_that_come_to_the_same_stay_apart(tmp_path):
    for number, name in enumerate(("José", "Jose", "Anna Maria", "Anna_Maria", "ANNA_MARIA", "артём", "ольга")):
        record(tmp_path / "in" / name / "a.wav", seed=number)
    utterances = prepare.from_folders(tmp_path / "in")
    assert len({u.speaker for u in utterances}) == len({u.id.lower() for u in utterances}) == 7
    assert {"Jose", "Anna_Maria", "ANNA_MARIA"} <= {u.speaker for u in utterances}


def test_names_of_recordings_in_any_letters_get_ids_of_their_own(tmp_path):
    for speaker, names_ in {"anna": ["你好", "再见", "дом", "a b", "a_b", "A_b"], "bert": ["你好", "дом"]}.items():
        for number, name in enumerate(names_):
            record(tmp_path / "in" / speaker / f"{name}.wav", seed=number + 10 * len(speaker) * len(names_))
    record(tmp_path / "in/anna/b.wav", seed=98).rename(tmp_path / "in/anna" / os.fsdecode(b"caf\xe9.wav"))
    record(tmp_path / "in/anna/a.wav", seed=96)
    record(tmp_path / "in/anna/a.flac", seed=97)
    utterances = prepare.from_folders(tmp_path / "in")
    assert len({u.id.lower() for u in utterances}) == 11
    data_directory.write(tmp_path / "data", utterances)
    assert data_directory.read(tmp_path / "data") == utterances
    own = {name: {u.path.stem: u for u in utterances if u.speaker == name} for name in ("anna", "bert")}
    assert [own["anna"][name].id for name in ("A_b", "a_b", "a b")] == ["anna-A_b", "anna-a_b-2", "anna-a_b-3"]
    assert own["anna"]["дом"].id == "anna-___"  # as it ever was
    for name in ("你好", "дом"):
        assert own["anna"][name].id.removeprefix("anna") == own["bert"][name].id.removeprefix("bert")
    alone = {u.path.stem: u.id for u in prepare.from_folders(tmp_path / "in", ["bert"])}
    assert alone == {name: u.id for name, u in own["bert"].items()}  # whoever is prepared with them


def test_a_speakers_name_is_taken_from_the_folder_to_the_conversion(tmp_path):
    from conftest import CORPUS

    for name, speaker in (("Anna Maria", "slt"), ("артём", "rms")):
        for path in sorted((CORPUS / "train" / speaker).iterdir())[:3]:
            (tmp_path / "in" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "in" / name / f"{path.stem} ё.flac")
    assert "(артём) 3" in command("prepare", tmp_path / "in", tmp_path / "data").stdout.decode()
    settings = ("--set", "features.sample_rate=16000", "--f0-range", "артём", 60, 200, "--jobs", 1)
    said = command("extract", tmp_path / "data", tmp_path / "dump", *settings).stdout.decode()
    assert "Anna_Maria (Anna Maria): F0 range" in said and "(артём): F0 range 60 to 200 Hz, as given" in said
    pair = ("--source", "Anna Maria", "--target", "артём", "--method", "mean_variance")
    command("train", "--features", tmp_path / "dump", "--output", tmp_path / "exp", *pair)
    recording = tmp_path / "in/артём/041 ё.flac"
    output = ("--output", tmp_path / "out/")
    command("convert", "--model", tmp_path / "exp", "--to", "Anna Maria", tmp_path / "in/артём", *output)
    assert (tmp_path / f"out/{recording.stem}.wav").is_file()
    done = command("convert", "--model", tmp_path / "exp", "--to", "Anna", recording, check=2)
    assert "no speaker 'Anna'; there are: Anna_Maria (Anna Maria), speaker_" in done.stderr.decode()


def test_names_with_line_breaks_are_listed_by_links(tmp_path):
    record(tmp_path / "in/an\nna/a\nb.wav")
    command("prepare", tmp_path / "in", tmp_path / "data")
    [utterance] = data_directory.read(tmp_path / "data")
    assert utterance.id == "an_na-a_b" and utterance.path.parent == tmp_path / "data/recordings"
    assert utterance.path.resolve() == tmp_path / "in/an\nna/a\nb.wav"
    command("prepare", tmp_path / "in", tmp_path / "data")  # may be repeated
