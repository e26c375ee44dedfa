"""Extraction through its command: resumable, one bad file never stops the rest, settings never mixed."""

import json
import shutil

import numpy as np
import pytest
import soundfile
import yaml
from conftest import CORPUS, beginning, command

from vc import tensor_file
from vc.corpus import audio, data_directory
from vc.corpus.data_directory import Utterance
from vc.features.base import Frames
from vc.features.extract import automatic_rate, extract
from vc.features.f0 import F0Range
from vc.features.speech import speech
from vc.features.store import read_features
from vc.features.world import WorldConfig
from vc.vocoders.world import WORLD

SETTINGS = ("--set", "features.sample_rate=16000", "--set", "features.f0_method=dio", "--jobs", 1)


@pytest.fixture
def data(tmp_path):
    """Three recordings of each voice."""
    for speaker in ("slt", "rms"):
        (tmp_path / "in" / speaker).mkdir(parents=True)
        for path in sorted((CORPUS / "eval" / speaker).glob("*.flac"))[:3]:
            beginning(path, tmp_path / "in" / speaker / path.name)
    command("prepare", tmp_path / "in", tmp_path / "data")
    return tmp_path / "data"


def test_features_hold_what_training_needs(data, tmp_path):
    done = command("extract", data, tmp_path / "dump", *SETTINGS).stdout.decode()
    features = read_features(tmp_path / "dump")
    assert set(features.speakers) == {"slt", "rms"} and len(features.utterances) == 6
    assert "slt: F0 range" in done and "6 utterances, 0 failed" in done
    for speaker, statistics in features.speakers.items():
        mel_cepstra = features.frames(speaker)
        f0 = features.f0(speaker)
        assert [len(frames) for frames in mel_cepstra] == [len(track) for track in f0]
        assert mel_cepstra[0].dtype == np.float32 and mel_cepstra[0].shape[1] == 25
        joined, tracks, heard = map(np.concatenate, (mel_cepstra, f0, speech(mel_cepstra)))
        np.testing.assert_allclose(joined[heard].mean(axis=0), statistics.mel_cepstrum_mean, atol=1e-4)
        np.testing.assert_allclose(np.log(tracks[tracks > 0]).mean(), statistics.log_f0_mean, atol=0.05)
        assert statistics.frames == len(joined) and statistics.utterances == 3
    assert not (tmp_path / "dump/.work").exists()


def test_the_same_again_does_nothing_and_other_settings_do(data, tmp_path):
    command("extract", data, tmp_path / "dump", *SETTINGS)
    before = (tmp_path / "dump/mcep.ark").stat().st_mtime_ns
    assert b"nothing to do" in command("extract", data, tmp_path / "dump", *SETTINGS).stdout
    assert (tmp_path / "dump/mcep.ark").stat().st_mtime_ns == before
    done = command("extract", data, tmp_path / "dump", *SETTINGS, "--set", "features.order=20")
    said = f"vc-extract: warning: {tmp_path}/dump: replaces features of other settings: features.order (24 -> 20)"
    assert said in done.stderr.decode()
    assert read_features(tmp_path / "dump").config.order == 20
    assert yaml.safe_load((tmp_path / "dump/config.yaml").read_text())["features"]["order"] == 20


def test_features_that_are_dropped_are_told(data, tmp_path):
    command("extract", data, tmp_path / "dump", *SETTINGS)
    everything = read_features(tmp_path / "dump").utterances
    command("prepare", data, tmp_path / "fewer", "--speakers", "rms")
    done = command("extract", tmp_path / "fewer", tmp_path / "dump", *SETTINGS).stderr.decode()
    gone = [id for id, speaker in everything.items() if speaker == "slt"]
    number = f"drops {len(gone)} utterance{'s' * (len(gone) > 1)} that this data directory does not have"
    assert f"{tmp_path}/dump: {number}, such as {gone[0]}" in done
    done = command("extract", data, tmp_path / "dump", *SETTINGS).stderr.decode()
    assert "warning" not in done and read_features(tmp_path / "dump").utterances == everything
    assert b"is the data directory" in command("extract", data, data, *SETTINGS, check=2).stderr


def test_jobs_do_not_change_a_byte(data, tmp_path):
    command("extract", data, tmp_path / "two", *SETTINGS[:-1], 2)
    command("extract", data, tmp_path / "one", *SETTINGS)
    for name in ("mcep.ark", "f0.ark", "speakers.json", "config.yaml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_bad_recording_is_named_and_the_rest_is_done(data, tmp_path):
    (tmp_path / "in/slt/101.flac").write_text("not a recording")
    done = command("extract", data, tmp_path / "dump", *SETTINGS, check=1)
    assert done.stderr.decode().count("vc-extract: error: ") == 1 and b"in/slt/101.flac" in done.stderr
    assert b"5 utterances, 1 failed" in done.stdout and len(read_features(tmp_path / "dump").utterances) == 5
    shutil.copy(CORPUS / "eval/slt/101.flac", tmp_path / "in/slt")
    assert b"6 utterances, 0 failed" in command("extract", data, tmp_path / "dump", *SETTINGS).stdout


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_warning_of_a_recording_is_given_once_whatever_the_jobs(jobs, data, tmp_path):
    samples, rate = audio.read(tmp_path / "in/slt/101.flac")
    soundfile.write(tmp_path / "in/slt/101.flac", np.stack([samples, 0 * samples], axis=1), rate)
    done = command("extract", data, tmp_path / "dump", *SETTINGS[:-1], jobs)
    [said] = done.stderr.decode().splitlines()
    assert said.startswith("vc-extract: warning: ") and said.endswith("101.flac: left out: silent channels, 1 of 2")


def test_an_interrupted_extraction_goes_on(data, tmp_path, monkeypatch):
    """What was analysed before the interruption is taken as it is, if it is of the same settings and whole."""
    config, dump = WorldConfig(16000, f0_method="dio"), tmp_path / "dump"
    ranges = {"slt": F0Range(90.0, 300.0), "rms": F0Range(60.0, 200.0)}

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("vc.features.store.write_features", interrupt)
        extract(data, dump, config, ranges=ranges)
    file = dump / ".work/slt-101.0.safetensors"
    arrays, origin = tensor_file.read_arrays(file)
    marked = {**arrays, "frames": arrays["frames"].copy()}
    marked["frames"][0, 0] = 123.0
    tensor_file.write_arrays(file, marked, origin)
    (dump / ".work/slt-102.0.safetensors").write_bytes(b"damaged")
    options = [word for name, limits in ranges.items() for word in ("--f0-range", name, limits.floor, limits.ceiling)]
    done = command("extract", data, dump, *SETTINGS, *options)
    assert read_features(dump).frames("slt")[0][0, 0] == 123.0 and len(read_features(dump).utterances) == 6
    assert "slt: F0 range 90 to 300 Hz, as given" in done.stdout.decode()
    command("extract", data, dump, *SETTINGS, *options, "--set", "features.order=20")
    assert read_features(dump).frames("slt")[0][0, 0] != 123.0


def test_hum_does_not_move_a_range_and_whispering_is_said(tmp_path):
    times = np.arange(10 * 16000) / 16000
    hum = sum(np.sin(2 * np.pi * 60 * k * times) / k for k in range(1, 8))
    for number in (101, 102, 103):
        samples, rate = soundfile.read(CORPUS / f"eval/slt/{number}.flac")
        more = hum[: len(samples)] * np.sqrt(np.square(samples).mean() / np.square(hum).mean()) * 10 ** (-32 / 20)
        frames = WorldConfig(rate).analyse(samples, F0Range(100, 300))
        nothing = Frames(0 * frames.f0, frames.spectrum, np.ones_like(frames.aperiodicity))
        made = {"clean": samples, "hum": samples + more, "whisper": WORLD.synthesise(nothing, WorldConfig(rate))}
        for name, recording in made.items():
            (tmp_path / "in" / name).mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / f"in/{name}/{number}.wav", recording, rate)
    command("prepare", tmp_path / "in", tmp_path / "data")
    done = command("extract", tmp_path / "data", tmp_path / "dump", *SETTINGS)
    speakers = read_features(tmp_path / "dump").speakers
    clean, hummed = speakers["clean"], speakers["hum"]
    assert hummed.f0_floor == pytest.approx(clean.f0_floor, rel=0.05)
    assert hummed.log_f0_mean == pytest.approx(clean.log_f0_mean, abs=0.01)
    assert "whisper: no F0" in done.stdout.decode() and speakers["whisper"].log_f0_mean is None
    again = command("extract", tmp_path / "data", tmp_path / "dump", *SETTINGS).stdout.decode()
    assert "whisper: no F0" in again and "nothing to do" in again


def test_a_rate_above_a_speakers_recordings_is_refused_before_work(data, tmp_path):
    done = command("extract", data, tmp_path / "dump", "--set", "features.sample_rate=22050", check=2)
    said = done.stderr.decode().splitlines()
    assert len(said) == 1 and "features.sample_rate 22050 is above the rate of 6 of 6 recordings, such as " in said[0]
    assert said[0].endswith("101.flac at 16000 Hz; --set features.sample_rate=16000 takes all")
    assert not (tmp_path / "dump").exists()


@pytest.mark.parametrize(
    ("rate", "advice"), [(8000, "--set features.sample_rate=8000 takes all"), (4000, "none below 8000 Hz can be used")]
)
def test_recordings_of_too_low_a_rate_are_left_out_in_one_line_and_counted(rate, advice, data, tmp_path):
    for number in (101, 102):
        path = tmp_path / f"in/slt/{number}.flac"
        soundfile.write(path, audio.read(path, rate)[0], rate)
    done = command("extract", data, tmp_path / "dump", *SETTINGS, check=1)
    [said] = done.stderr.decode().splitlines()
    assert "is above the rate of 2 of 6 recordings" in said and said.endswith(advice)
    assert b"4 utterances, 2 failed" in done.stdout


@pytest.mark.parametrize(
    ("claimed", "filled", "chosen"), [(16000, 16000, 16000), (48000, 16000, 16000), (16000, 8000, 8000)]
)
def test_without_a_rate_the_highest_is_taken_that_is_really_filled(claimed, filled, chosen, data, tmp_path, caplog):
    for path in sorted((tmp_path / "in/slt").iterdir()):
        samples, rate = audio.read(path)
        soundfile.write(path, audio.resample(audio.resample(samples, rate, filled), filled, claimed), claimed)
    with caplog.at_level("INFO"):
        assert automatic_rate(data, WorldConfig.automatic_rates) == chosen
    assert f"features.sample_rate {chosen}, the highest up to 22050 Hz" in caplog.text
    if filled == 8000:
        assert "too narrow for 16000 Hz: 3 of 6, such as " in caplog.text and "filled up to 4.0 kHz" in caplog.text


def test_a_rate_is_found_or_given_through_the_command(data, tmp_path):
    said = command("extract", data, tmp_path / "dump", "--set", "features.f0_method=dio", "--jobs", 1).stderr.decode()
    assert "features.sample_rate 16000" in said and read_features(tmp_path / "dump").config == WorldConfig(
        16000, f0_method="dio"
    )


def test_what_is_held_out_has_the_settings_of_what_is_learnt_from(data, tmp_path):
    narrow, settings = tmp_path / "narrow", ["--set", "features.f0_method=dio", "--set", "features.order=20"]
    shutil.copytree(tmp_path / "in", narrow)
    for path in narrow.glob("*/*"):
        samples, rate = audio.read(path)
        soundfile.write(path, audio.resample(audio.resample(samples, rate, 8000), 8000, rate), rate)
    command("prepare", narrow, tmp_path / "data_narrow")
    command("extract", data, tmp_path / "dump", *settings)
    command("extract", tmp_path / "data_narrow", tmp_path / "like", "--like", tmp_path / "dump")
    command("extract", tmp_path / "data_narrow", tmp_path / "alone", *settings)
    learnt, like, alone = (read_features(tmp_path / name).config for name in ("dump", "like", "alone"))
    assert like == learnt and alone.sample_rate == 8000 < learnt.sample_rate
    said = command("extract", data, tmp_path / "other", "--like", tmp_path / "dump", *settings, check=2).stderr.decode()
    assert "--like provides all settings" in said and not (tmp_path / "other").exists()


def test_recordings_at_a_higher_rate_are_resampled(data, tmp_path):
    samples, rate = audio.read(tmp_path / "in/slt/101.flac")
    soundfile.write(tmp_path / "in/slt/101.flac", audio.resample(samples, rate, 48000), 48000)
    command("extract", data, tmp_path / "dump", *SETTINGS)
    high = read_features(tmp_path / "dump").frames("slt")[0]
    beginning(CORPUS / "eval/slt/101.flac", tmp_path / "in/slt/101.flac")
    command("extract", data, tmp_path / "again", *SETTINGS)
    low = read_features(tmp_path / "again").frames("slt")[0]
    assert high.shape == low.shape and np.abs(high - low)[:, 1:13].mean() < 0.1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--set", "features.f0_methd=dio"), 2, "features: unknown key f0_methd"),
        (("--set", "feature.order=3"), 2, "unknown section feature"),
        (("--f0-range", "nobody", 60, 300), 1, "no speaker nobody, for whom an F0 range is given; there are: rms, slt"),
        (("--f0-range", "slt", "low", 300), 2, "expected two numbers in Hz"),
    ],
)
def test_wrong_settings_are_refused_by_name(arguments, code, message, data, tmp_path):
    done = command("extract", data, tmp_path / "dump", *SETTINGS, *arguments, check=code)
    assert message in done.stderr.decode()


def test_a_bad_segment_leaves_the_others_of_its_recording(tmp_path):
    path = tmp_path / "in: put/slt.flac"  # a colon and a space, as in a line of an error
    path.parent.mkdir()
    shutil.copy(CORPUS / "eval/slt/101.flac", path)
    parts = [Utterance(f"slt-{a}", "slt", path, a, b) for a, b in ((0.0, 1.2), (1.2, 2.4), (90.0, 91.0))]
    data_directory.write(tmp_path / "data", parts)
    done = command("extract", tmp_path / "data", tmp_path / "dump", *SETTINGS, check=1)
    assert "utterance slt-90.0" in done.stderr.decode() and b"2 utterances, 1 failed" in done.stdout
    assert list(read_features(tmp_path / "dump").utterances) == ["slt-0.0", "slt-1.2"]


def test_other_recordings_give_another_digest_even_if_some_failed(data, tmp_path):
    (tmp_path / "in/rms/101.flac").write_text("not a recording")
    digests = []
    for number in (102, 103):
        shutil.copy(CORPUS / f"eval/slt/{number}.flac", tmp_path / "in/slt/101.flac")
        command("extract", data, tmp_path / "dump", *SETTINGS, check=1)
        digests.append(read_features(tmp_path / "dump").digest)
    assert digests[0] != digests[1]


def test_damaged_features_and_leftovers_are_made_again(data, tmp_path):
    command("extract", data, tmp_path / "dump", *SETTINGS)
    whole = (tmp_path / "dump/mcep.ark").read_bytes()
    (tmp_path / "dump/speakers.json").write_text("{")
    (tmp_path / "dump/.work").mkdir()
    (tmp_path / "dump/.work/slt-101.0.safetensors").write_bytes(b"")
    (tmp_path / "dump/.work/slt-102.0.safetensors").write_bytes(b"damaged")
    command("extract", data, tmp_path / "dump", *SETTINGS)
    assert (tmp_path / "dump/mcep.ark").read_bytes() == whole and read_features(tmp_path / "dump").speakers


def test_features_of_mp3s_that_an_earlier_reader_decoded_are_extracted_again(data, tmp_path, monkeypatch):
    """That reader decoded them with glitches."""
    config, utterances = WorldConfig(16000, f0_method="dio"), data_directory.read(data)
    samples, rate = audio.read(utterances[0].path)
    soundfile.write(tmp_path / "first.mp3", samples, rate)
    first = Utterance(utterances[0].id, utterances[0].speaker, tmp_path / "first.mp3")
    data_directory.write(tmp_path / "other", [first, *utterances[1:]])
    sets = [(tmp_path / "other", tmp_path / "mp3"), (data, tmp_path / "flac")]
    with monkeypatch.context() as patch:
        patch.setattr("vc.features.extract._reading", lambda *_: [])
        assert [extract(*each, config).up_to_date for each in sets] == [False, False]
    assert [extract(*each, config).up_to_date for each in sets] == [False, True]
    assert [extract(*each, config).up_to_date for each in sets] == [True, True]


def test_damaged_statistics_are_named(data, tmp_path):
    command("extract", data, tmp_path / "dump", *SETTINGS)
    content = json.loads((tmp_path / "dump/speakers.json").read_text())
    content["slt"]["frames"] = "many"
    (tmp_path / "dump/speakers.json").write_text(json.dumps(content))
    pair = ("--source", "slt", "--target", "rms", "--output", tmp_path / "exp")
    config = CORPUS.parents[2] / "recipes/pair/conf/tiny.yaml"
    done = command("train", "--config", config, "--features", tmp_path / "dump", *pair, check=2)
    assert b"speakers.slt.frames: expected int" in done.stderr
