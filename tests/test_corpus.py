"""Data directories: round trip, and every fault named with file and line."""

import os
from itertools import chain

import numpy as np
import pytest
import soundfile
from conftest import CORPUS, command

from vc.corpus import audio, check, data_directory, prepare
from vc.corpus.data_directory import Utterance
from vc.errors import DataError


def record(path, seconds=0.5, rate=16000, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    soundfile.write(path, samples, rate)
    return path


@pytest.fixture
def folder(tmp_path):
    """Two speakers, two recordings each, one of them nested, of two formats."""
    for number, name in enumerate(("bob/a.wav", "bob/deep/b.flac", "ann/a.wav", "ann/c.wav")):
        record(tmp_path / "in" / name, seed=number)
    return tmp_path / "in"


@pytest.fixture
def data(folder, tmp_path):
    data_directory.write(tmp_path / "data", prepare.from_folders(folder))
    return tmp_path / "data"


def test_folders_become_a_directory_and_come_back(folder, data):
    utterances = data_directory.read(data)
    assert [u.id for u in utterances] == ["ann-a", "ann-c", "bob-a", "bob-deep-b"]
    assert utterances == prepare.from_folders(folder)
    assert not check.check(data).faults
    assert (data / "spk2utt").read_text() == "ann ann-a ann-c\nbob bob-a bob-deep-b\n"
    assert [u.sentence for u in utterances] == ["a", "c", "a", "deep-b"]


def test_lists_are_sorted_as_bytes(data):
    for name in ("wav.scp", "utt2spk", "spk2utt"):
        lines = (data / name).read_bytes().splitlines()
        assert lines == sorted(lines)


def test_segments_round_trip(folder, tmp_path):
    path = folder / "bob/a.wav"
    parts = [Utterance("bob-a-1", "bob", path, 0.0, 0.3), Utterance("bob-a-2", "bob", path, 0.2, 0.5)]
    data_directory.write(tmp_path / "parts", parts)
    assert data_directory.read(tmp_path / "parts") == parts
    whole, rate = Utterance("bob", "bob", path).read()
    samples, _ = parts[1].read()
    np.testing.assert_array_equal(samples, whole[round(0.2 * rate) : round(0.5 * rate)])


def test_speakers_and_globs_choose(folder):
    assert [u.id for u in prepare.from_folders(folder, ["bob"])] == ["bob-a", "bob-deep-b"]
    assert [u.id for u in prepare.from_folders(folder, include=["deep/*"])] == ["bob-deep-b"]
    with pytest.raises(DataError, match="no folder of speaker carl; there are: ann, bob"):
        prepare.from_folders(folder, ["carl"])


def test_what_is_written_is_as_kaldis_own_validation_wants_it(folder, tmp_path):
    """Each list sorted by its ids as bytes, utt2spk by speakers too, and spk2utt naming the same in the same order."""
    record(folder / "ann_b/a.wav", seed=5)
    data_directory.write(tmp_path / "data", prepare.from_folders(folder))
    lines = {name: (tmp_path / "data" / name).read_bytes().splitlines() for name in ("wav.scp", "utt2spk", "spk2utt")}
    for rows in lines.values():
        ids = [row.split()[0] for row in rows]
        assert ids == sorted(set(ids))
    assert lines["utt2spk"] == sorted(lines["utt2spk"], key=lambda row: row.split()[::-1])
    listed = [b"%s %s" % (id, row.split()[0]) for row in lines["spk2utt"] for id in row.split()[1:]]
    assert listed == lines["utt2spk"]


def test_a_recording_without_a_segment_is_a_fault(folder, tmp_path):
    data_directory.write(tmp_path, [Utterance("bob-1", "bob", folder / "bob/a.wav", 0.0, 0.4)])
    with (tmp_path / "wav.scp").open("a") as file:
        file.write(f"bob-z {folder / 'bob/deep/b.flac'}\n")
    assert "wav.scp:2: bob-z has no segment" in str(check.check(tmp_path).faults[0])


def test_a_file_in_place_of_the_data_directory_is_named(folder, tmp_path):
    (tmp_path / "taken").touch()
    done = command("prepare", folder, tmp_path / "taken", check=1)
    assert done.stderr.decode() == f"vc-prepare: error: {tmp_path / 'taken'}: exists and is not a folder\n"


def test_odd_names_become_safe_ids(tmp_path):
    record(tmp_path / "in/ann/a b'c.wav")
    [utterance] = prepare.from_folders(tmp_path / "in")
    assert utterance.id == "ann-a_b_c"
    data_directory.write(tmp_path / "data", [utterance])
    assert data_directory.read(tmp_path / "data") == [utterance]


def test_a_stale_list_of_sentences_goes(data, folder):
    (data / "text").write_text("old hello\n")
    data_directory.write(data, prepare.from_folders(folder))
    assert not check.check(data).faults


def test_no_recordings_are_refused(tmp_path):
    (tmp_path / "in/ann").mkdir(parents=True)
    with pytest.raises(DataError, match="no recordings in <speaker> folders"):
        prepare.from_folders(tmp_path / "in")


def replace(path, old, new):
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new, 1))


FAULTS = {
    "unsorted": ("utt2spk", b"ann-a ann\nann-c ann\n", b"ann-c ann\nann-a ann\n", r"utt2spk:2: ann-a is out of order"),
    "duplicate": ("utt2spk", b"ann-c ann\n", b"ann-a ann\n", r"utt2spk:2: ann-a is already on line 1"),
    "missing": ("utt2spk", b"ann-c ann\n", b"", r"wav\.scp:2: ann-c is missing in utt2spk"),
    "no speaker": ("utt2spk", b"ann-c ann\n", b"ann-c\n", r"utt2spk:2: expected 2 columns"),
    "prefix": ("utt2spk", b"ann-c ann\n", b"ann-c bob\n", r"utt2spk:2: ann-c does not start with its speaker bob"),
    "spk2utt": ("spk2utt", b"ann ann-a ann-c", b"ann ann-a", r"utt2spk:2: spk2utt does not list ann-c under ann"),
    "stranger": ("spk2utt", b"ann-a ann-c", b"ann-a ann-c ann-d", r"spk2utt:1: utt2spk does not give ann-d to ann"),
    "carriage return": ("wav.scp", b".wav\n", b".wav\r\n", r"wav\.scp:1: ends in CR LF"),
    "byte order mark": ("wav.scp", b"ann-a", b"\xef\xbb\xbfann-a", r"wav\.scp:1: starts with a byte order mark"),
    "no newline": ("utt2spk", b"bob-deep-b bob\n", b"bob-deep-b bob", r"utt2spk:4: last line does not end"),
    "nul": ("wav.scp", b"ann-c ", b"ann-c \0", r"wav\.scp:2: holds a NUL byte"),
    "bad id": ("wav.scp", b"ann-a ", b"../ann-a ", r"wav\.scp:1: id '\.\./ann-a' must be letters"),
    "option id": ("wav.scp", b"ann-a ", b"-rf ", r"wav\.scp:1: id '-rf' must be letters"),
    "no file": ("wav.scp", b"/ann/a.wav", b"/ann/z.wav", r"wav\.scp:1: no such file"),
    "command": ("wav.scp", b"/ann/a.wav\n", b"/ann/a.wav |\n", r"wav\.scp:1: ann-a is a command"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_the_lists_is_named_with_file_and_line(fault, data):
    name, old, new, message = FAULTS[fault]
    replace(data / name, old, new)
    with pytest.raises(DataError, match=message):
        data_directory.read(data)
    done = command("prepare", "--check", data, check=1)
    assert b"vc-prepare: error: " in done.stderr and b"Traceback" not in done.stderr


def test_a_command_in_a_list_is_never_run(data, tmp_path):
    replace(data / "wav.scp", b"/ann/a.wav\n", b"/ann/a.wav; touch " + os.fsencode(tmp_path / "PWNED") + b" |\n")
    command("prepare", "--check", data, check=1)
    command("extract", data, tmp_path / "dump", check=1)
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bob-a x 0.4 0.2", "expected 0 <= start < end"),
        ("bob-a x zero one", "expected start and end in seconds"),
        ("bob-a y 0.0 0.2", "recording y is missing in wav.scp"),
    ],
)
def test_faults_of_segments_are_named(line, message, folder, tmp_path):
    data_directory.write(tmp_path, [Utterance("bob-a", "bob", folder / "bob/a.wav")])
    (tmp_path / "wav.scp").write_text(f"x {folder / 'bob/a.wav'}\n")
    (tmp_path / "segments").write_text(line + "\n")
    with pytest.raises(DataError, match=f"segments:1: .*{message}"):
        data_directory.read(tmp_path)


def test_every_fault_of_the_recordings_is_named(folder, tmp_path):
    record(folder / "ann/short.wav", seconds=0.1)
    record(folder / "ann/rate.wav", rate=8000)
    soundfile.write(folder / "ann/silent.wav", np.zeros(16000), 16000)
    (folder / "ann/text.wav").write_text("hello")
    os.link(folder / "bob/a.wav", folder / "ann/shared.wav")
    data_directory.write(tmp_path / "data", prepare.from_folders(folder))
    faults = "\n".join(map(str, check.check(tmp_path / "data").faults))
    assert "ann-short: " in faults and "shorter than 0.3 s" in faults
    assert "ann-silent: " in faults and "nothing but silence" in faults
    assert "utt2spk:8: ann-text: " in faults or ("ann-text: " in faults and "not a recording" in faults)
    warnings = "\n".join(map(str, check.check(tmp_path / "data").warnings))
    assert "ann: recordings at several sample rates, which vc-extract resamples to one: 1 at 8000 Hz" in warnings
    assert "bob-a: the same recording as ann-shared" in faults


def test_the_mini_corpus_is_prepared_and_valid(tmp_path):
    done = command("prepare", CORPUS / "eval", tmp_path / "data")
    assert done.stdout.decode().strip().endswith("20 utterances, rms 10, slt 10")
    command("prepare", "--check", tmp_path / "data")


@pytest.mark.parametrize("arguments", [("data",), ("--check", "in", "data"), ("--chek", "data")])
def test_wrong_usage_exits_2(arguments, tmp_path):
    assert command("prepare", *arguments, check=2, cwd=tmp_path).stderr


# One data directory from another


def test_some_speakers_some_ids_and_the_first_ones(data, tmp_path):
    (data / "text").write_text("ann-a hello\nann-c there\nbob-a hello\nbob-deep-b you\n")
    command("prepare", data, tmp_path / "few", "--speakers", "bob", "--include", "*-b", "bob-a*")
    assert data_directory.read(tmp_path / "few") == [u for u in data_directory.read(data) if u.speaker == "bob"]
    assert (tmp_path / "few/text").read_text() == "bob-a hello\nbob-deep-b you\n"
    done = command("prepare", data, tmp_path / "one", "--first", 1)
    assert done.stdout.decode() == f"{tmp_path}/one: 2 utterances, ann 1, bob 1\n"
    done = command("prepare", data, tmp_path / "none", "--speakers", "carl", check=1)
    assert b"no speaker carl; there are: ann, bob" in done.stderr and not (tmp_path / "none").exists()
    assert b"would overwrite itself" in command("prepare", data, data, check=2).stderr


@pytest.mark.parametrize("count", [1, 3, 4])
def test_parts_are_the_whole_in_order(count, data, tmp_path):
    command("prepare", data, tmp_path / "split", "--split", count)
    parts = [data_directory.read(tmp_path / "split" / str(number)) for number in range(1, count + 1)]
    assert list(chain(*parts)) == data_directory.read(data) and max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("mode", ["--check", "--fix"])
@pytest.mark.parametrize("option", [("--first", 1), ("--split", 2), ("--include", "a*"), ("--allow-pipes",)])
def test_options_that_would_do_nothing_are_refused(mode, option, data):
    done = command("prepare", mode, data, *option, check=2)
    assert f"{option[0]}: only with FOLDER and DATA" in done.stderr.decode()


def test_folders_of_recordings_have_no_commands(folder, tmp_path):
    done = command("prepare", folder, tmp_path / "data", "--allow-pipes", check=2)
    assert b"is not a data directory" in done.stderr and not (tmp_path / "data").exists()


def test_more_parts_than_utterances_are_refused(data, tmp_path):
    done = command("prepare", data, tmp_path / "split", "--split", 5, check=1)
    assert b"4 utterances cannot be split into 5 parts" in done.stderr


def test_segments_of_recordings_with_one_name_stay_apart(folder, tmp_path):
    record(folder / "bob/deep/a.wav", seed=9)
    parts = [Utterance(f"bob-{n}", "bob", folder / f"bob/{n}a.wav", 0.0, 0.4) for n in ("", "deep/")]
    parts = [Utterance(u.id.replace("/", "-"), *list(vars(u).values())[1:]) for u in parts]
    data_directory.write(tmp_path / "data", parts)
    assert data_directory.read(tmp_path / "data") == parts


def test_commands_are_run_where_that_is_allowed(data, tmp_path):
    path = data_directory.read(data)[0].path
    replace(data / "wav.scp", f" {path}\n".encode(), f" cat '{path}' |\n".encode())
    assert b"ann-a is a command" in command("prepare", data, tmp_path / "no", check=1).stderr
    command("prepare", data, tmp_path / "yes", "--allow-pipes")
    [utterance, *_] = data_directory.read(tmp_path / "yes")
    assert utterance.path == tmp_path / "yes/recordings/ann-a.wav"
    assert utterance.path.read_bytes() == path.read_bytes()
    (data / "utt2spk").rename(data / "gone")
    assert b"utt2spk: missing" in command("prepare", data, tmp_path / "faulty", "--allow-pipes", check=1).stderr
    assert not (tmp_path / "faulty").exists()  # no command is run before the lists are known to be well
    (data / "gone").rename(data / "utt2spk")
    replace(data / "wav.scp", b" |\n", b"x |\n")
    done = command("prepare", data, tmp_path / "bad", "--allow-pipes", check=1)
    assert b"wav.scp: the command of ann-a exited 1: cat: " in done.stderr and not list(
        (tmp_path / "bad/recordings").iterdir()
    )


# Mending


def test_mending_keeps_what_is_whole_and_a_copy_of_what_was(data):
    before = {name: (data / name).read_bytes() for name in ("wav.scp", "utt2spk", "spk2utt")}
    (data / "utt2spk").write_bytes(b"bob-deep-b bob\r\nbob-a bob\nann-c ann\nghost-1 ghost\nbob-a bob")
    (data / "spk2utt").unlink()
    (data / "text").write_text("ann-c there\nbob-a hello\n")
    messed = (data / "utt2spk").read_bytes()
    done = command("prepare", "--fix", data)
    assert done.stdout.decode() == f"{data}: 2 of 4 utterances kept\n{data}: 2 utterances, ann 1, bob 1\n"
    assert [u.id for u in data_directory.read(data)] == ["ann-c", "bob-a"]
    assert (data / ".backup/utt2spk").read_bytes() == messed and (data / ".backup/wav.scp").read_bytes() == before[
        "wav.scp"
    ]
    after = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()}
    command("prepare", "--fix", data)
    assert {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()} == after
    assert (data / ".backup/utt2spk").read_bytes() == messed  # a second time changes nothing


def test_a_check_that_finds_faults_names_the_option_that_repairs(data):
    with (data / "utt2spk").open("ab") as file:
        file.write(b"zoe-a zoe\n")
    done = command("prepare", "--check", data, check=1)
    assert done.stdout.decode().endswith(f"; vc-prepare --fix {data} drops unusable utterances\n")
    command("prepare", "--fix", data)
    command("prepare", "--check", data)


@pytest.mark.parametrize("words", [("prepare", "--check"), ("extract",)])
def test_a_folder_of_recordings_is_no_data_directory(words, folder, tmp_path):
    output = () if "--check" in words else (tmp_path / "out",)
    [line] = command(*words, folder, *output, check=1).stderr.decode().splitlines()
    assert "not a data directory" in line and "vc-prepare makes one" in line


def test_mending_segments_keeps_the_names_of_recordings(folder, tmp_path):
    path = folder / "bob/a.wav"
    data_directory.write(
        tmp_path, [Utterance("bob-1", "bob", path, 0.0, 0.4), Utterance("bob-2", "bob", path, 0.1, 0.5)]
    )
    (tmp_path / "wav.scp").write_text(f"tape {path}\n")
    (tmp_path / "segments").write_text("bob-2 tape 0.1 0.5\nbob-1 tape 0.0 0.4\nbob-3 tape 0.4 0.3\n")
    command("prepare", "--fix", tmp_path)
    assert (tmp_path / "segments").read_text() == "bob-1 tape 0.0 0.4\nbob-2 tape 0.1 0.5\n"
    assert (tmp_path / "wav.scp").read_text() == f"tape {path}\n"


@pytest.mark.parametrize(
    ("content", "mended"),
    [
        ("bob Bö\nann Anna B\nbob B\n", "ann Anna B\nbob Bö\n"),
        ("ann Anna\r\nbob", "ann Anna\n"),
        ("carl Karl\nbob B", "bob B\n"),
        ("", None),
        ("carl Karl\nbob\n", None),
    ],
)
def test_mending_the_names_of_speakers(content, mended, data):
    path = data / "spk2name"
    path.write_bytes(content.encode())
    before = data_directory.parse(data).utterances
    check.fix(data)
    assert (path.read_text() if path.exists() else None) == mended
    assert data_directory.read(data) == before and (data / ".backup/spk2name").read_bytes() == content.encode()


def test_what_cannot_be_mended_is_still_said(data, folder):
    os.link(folder / "ann/a.wav", folder / "bob/same.wav")
    data_directory.write(data, prepare.from_folders(folder))
    done = command("prepare", "--fix", data, check=1)
    assert b"bob-same: the same recording as ann-a" in done.stderr


def test_nothing_is_mended_where_nothing_would_be_left(data):
    for path in {utterance.path for utterance in data_directory.read(data)}:
        path.unlink()
    before = (data / "wav.scp").read_bytes()
    assert b"no utterance would be left" in command("prepare", "--fix", data, check=1).stderr
    assert (data / "wav.scp").read_bytes() == before and not (data / ".backup").exists()


def test_speakers_of_whom_one_begins_as_another_are_in_order_and_else_that_is_said(folder, tmp_path):
    record(folder / "ann-b/a.wav", seed=7)
    data_directory.write(tmp_path / "data", prepare.from_folders(folder))
    assert [u.id for u in data_directory.read(tmp_path / "data")][:3] == ["ann--a", "ann--c", "ann-b-a"]
    assert [u.sentence for u in data_directory.read(tmp_path / "data")][:3] == ["a", "c", "a"]
    assert not check.check(tmp_path / "data").warnings
    apart = [u for name in ("ann", "ann-b") for u in prepare.from_folders(folder, [name])]
    data_directory.write(tmp_path / "apart", apart)
    assert [u.id for u in data_directory.read(tmp_path / "apart")] == ["ann-a", "ann-b-a", "ann-c"]
    [warning] = check.check(tmp_path / "apart").warnings
    assert "utt2spk:3: ann-c: out of order for Kaldi's scripts: speaker ann comes after ann-b" in str(warning)


# Cutting


def test_pieces_of_a_long_recording_are_all_of_it_cut_where_it_is_quiet(tmp_path, random):
    rate = 8000
    samples = 0.1 * random.standard_normal(50 * rate)
    pauses = [(start, start + 0.4) for start in (9.0, 19.5, 30.0, 40.2)]
    for start, end in pauses:
        samples[round(start * rate) : round(end * rate)] = 0
    (tmp_path / "in/ann").mkdir(parents=True)
    soundfile.write(tmp_path / "in/ann/long.wav", samples, rate)
    record(tmp_path / "in/ann/short.wav")
    command("prepare", tmp_path / "in", tmp_path / "data", "--cut")
    *parts, short = data_directory.read(tmp_path / "data")
    assert short == Utterance("ann-short", "ann", tmp_path / "in/ann/short.wav")
    whole = audio.read(tmp_path / "in/ann/long.wav")[0]
    np.testing.assert_allclose(np.concatenate([u.read()[0] for u in parts]), whole, atol=2**-15)
    ends = np.cumsum([audio.info(u.path).seconds for u in parts])
    assert len(parts) == 5 and [int(u.id.split("-")[-1]) for u in parts] == [round(100 * end) for end in ends]
    for cut, (start, end) in zip(ends, pauses):
        assert start <= cut <= end
    command("prepare", "--check", tmp_path / "data")


def test_pieces_of_a_recording_of_integers_are_those_of_the_same_at_full_scale(tmp_path, random):
    """As vc-convert takes it: files of floating-point samples may hold 16-bit integers."""
    samples, rate = 0.3 * random.standard_normal(30 * 8000), 8000
    samples[:rate] /= 10  # another level in the first piece
    samples /= np.abs(samples).max()
    for scale, folder in ((1, "one"), (2**15, "other")):
        (tmp_path / folder / "ann").mkdir(parents=True)
        soundfile.write(tmp_path / folder / "ann/long.wav", scale * samples, rate, subtype="FLOAT")
        done = command("prepare", tmp_path / folder, tmp_path / f"{folder} data", "--cut")
        assert (b"ann-long: 90.3 dB above full scale; scaled down" in done.stderr) == (scale > 1)
    one, other = (data_directory.read(tmp_path / f"{folder} data") for folder in ("one", "other"))
    assert [u.id for u in one] == [u.id for u in other] and len(one) == 3
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(theirs.read()[0], ours.read()[0], atol=2**-15)
    assert max(np.abs(u.read()[0]).max() for u in other) > 0.999  # nothing was limited


def test_transcripts_that_are_lost_by_cutting_are_told(folder, data, tmp_path, caplog):
    text = {utterance.id: "words" for utterance in data_directory.read(data)}
    data_directory.write(tmp_path / "whole", data_directory.read(data), text)
    assert data_directory.read_text(tmp_path / "whole") == text and not caplog.text
    record(folder / "ann/c.wav", seconds=20, rate=8000)
    done = command("prepare", tmp_path / "whole", tmp_path / "cut", "--cut").stderr.decode()
    assert f"{tmp_path}/cut: no transcripts are written: none for 2 of 5 utterances, such as ann-c-0000000-000" in done
    assert not (tmp_path / "cut/text").exists()


def test_a_link_to_the_corpus_itself_is_no_speaker(folder, tmp_path):
    before = [utterance.id for utterance in prepare.from_folders(folder)]
    (folder / "loop").symlink_to(".")
    (folder / "up").symlink_to("..")
    assert [utterance.id for utterance in prepare.from_folders(folder)] == before


def test_a_speakers_folder_in_place_of_the_corpus_is_told(folder, tmp_path):
    done = command("prepare", folder / "ann", tmp_path / "data", check=1).stderr.decode()
    assert f"{folder}/ann: holds recordings itself; give the folder above" in done and not (tmp_path / "data").exists()
    record(folder / "lonely.wav", seed=3)
    done = command("prepare", folder, tmp_path / "data", "--include", "none*", check=1).stderr.decode()
    assert f"{folder}: no recordings that match none* in <speaker> folders below it" in done


def test_what_cannot_be_read_is_named_when_it_is_cut(tmp_path, random):
    record(tmp_path / "in/ann/a.wav")
    (tmp_path / "in/ann/b.wav").write_text("hello")
    late = 0.1 * random.standard_normal(40 * 8000)
    late[30 * 8000] = np.nan
    soundfile.write(tmp_path / "in/ann/c.wav", late, 8000, subtype="FLOAT")
    done = command("prepare", tmp_path / "in", tmp_path / "data", "--cut", check=1)
    assert b"b.wav: not a recording that can be read" in done.stderr and b"c.wav: " in done.stderr
    assert not any("ann-c" in path.name for path in (tmp_path / "data").rglob("*"))
    assert b"--cut: only with FOLDER and DATA" in command("prepare", "--check", "x", "--cut", check=2).stderr
