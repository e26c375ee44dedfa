"""What is measured of a recording's condition follows what was done to it, whatever else it holds."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from conftest import CORPUS

from vc.corpus import audio, check, data_directory, prepare
from vc.corpus.condition import Condition, filled_rate, measure

SPEECH = audio.read(CORPUS / "eval/slt/101.flac")[0]
RATES = (8000, 16000, 22050, 48000)


@pytest.mark.parametrize(
    ("rate", "filled"), [(8000, 8000), (16000, 8000), (16000, 16000), (44100, 8000), (48000, 16000)]
)
@pytest.mark.parametrize("gain", [1.0, 0.05])
def test_the_band_is_measured_not_read_from_a_header(rate, filled, gain):
    samples = gain * audio.resample(audio.resample(SPEECH, 16000, filled), filled, rate)
    rounded = np.round(samples * 2**15) / 2**15
    found = measure([rounded], rate)
    assert found.sample_rate == rate and found.fills(filled)
    assert not any(found.fills(higher) for higher in RATES if higher > filled)
    assert filled_rate([found], RATES) == filled


def test_a_whistle_above_speech_is_no_band():
    times = np.arange(len(SPEECH) * 3) / 48000
    found = measure([audio.resample(SPEECH, 16000, 48000) + 0.01 * np.sin(2 * np.pi * 15734 * times)], 48000)
    assert filled_rate([found], RATES) == 16000


def test_level_noise_and_pauses_follow_what_is_done(random):
    first = measure([SPEECH], 16000)
    halved = measure(np.array_split(0.5 * SPEECH, 7), 16000)
    assert halved.level == pytest.approx(first.level - 6.02, abs=0.01)
    assert halved.noise == pytest.approx(first.noise - 6.02, abs=0.01) and halved.pauses == pytest.approx(first.pauses)
    hiss = 0.001 * random.standard_normal(16000 * 10)
    padded = measure([np.concatenate([hiss, SPEECH])], 16000)
    assert padded.level == pytest.approx(first.level, abs=0.5) and padded.noise == pytest.approx(-60, abs=0.5)
    assert padded.pauses == pytest.approx(10 / (10 + len(SPEECH) / 16000), abs=0.1)
    assert padded.seconds == pytest.approx(first.seconds + 10)


def test_silence_has_no_level_and_fills_nothing():
    silent = measure([np.zeros(16000)], 16000)
    assert silent.silent and silent.bandwidth == 0 and silent.pauses == 1
    assert measure([np.full(10, 0.1)], 16000).seconds == 10 / 16000  # shorter than a frame


def test_one_recording_in_ten_may_hold_less_but_not_at_a_lower_rate():
    wide = Condition(3.0, 22050, -20, -60, 0.1, 11000.0)
    narrow, short = replace(wide, bandwidth=4000.0), replace(wide, bandwidth=3000.0, seconds=0.5)
    assert filled_rate([wide] * 9 + [narrow] + [short] * 5, RATES) == 22050
    assert filled_rate([wide] * 8 + [narrow], RATES) == 8000
    assert filled_rate([wide] * 20 + [replace(wide, sample_rate=16000)], RATES) == 16000
    assert filled_rate([replace(wide, sample_rate=4000)], RATES) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda samples: samples, ""),
        (lambda samples: samples + 0.02 * np.random.default_rng(0).standard_normal(len(samples)), "will contain noise"),
        (lambda samples: 0.01 * samples, "learn loudness as part of the voice"),
        (lambda samples: np.concatenate([samples, np.zeros(10 * 16000)]), "pauses make up"),
        (
            lambda samples: audio.resample(audio.resample(samples, 16000, 8000), 8000, 16000),
            "fill only the band of 8000 Hz",
        ),
    ],
    ids=["nothing", "noise", "level", "pauses", "bandwidth"],
)
def test_what_differs_between_speakers_is_said_with_its_cost(change, words, tmp_path):
    for who, number in (("ann", 101), ("bob", 102)):
        (tmp_path / "in" / who).mkdir(parents=True)
        samples, rate = audio.read(CORPUS / f"eval/slt/{number}.flac")
        soundfile.write(tmp_path / f"in/{who}/a.wav", change(samples) if who == "bob" else samples, rate)
    data_directory.write(tmp_path / "data", prepare.from_folders(tmp_path / "in"))
    findings = check.check(tmp_path / "data")
    said = "\n".join(map(str, findings.warnings))
    assert not findings.faults and words in said and bool(said) == bool(words)


def test_warnings_give_the_name_of_a_speaker_beside_the_id(tmp_path):
    for name, samples in (("Ánn", SPEECH), ("bob", 0.01 * SPEECH)):
        (tmp_path / "in" / name).mkdir(parents=True)
        soundfile.write(tmp_path / f"in/{name}/1.wav", samples, 16000)
    data_directory.write(tmp_path / "data", prepare.from_folders(tmp_path / "in"))
    [warning] = check.check(tmp_path / "data").warnings
    assert "Ann (Ánn) speaks at" in str(warning) and ", bob at" in str(warning)


def test_a_speaker_of_whom_nothing_is_usable_is_a_fault_and_no_traceback(tmp_path):
    for speaker, samples in (("ann", np.zeros(16000)), ("bob", SPEECH)):
        (tmp_path / "in" / speaker).mkdir(parents=True)
        soundfile.write(tmp_path / f"in/{speaker}/1.wav", samples, 16000)
    data_directory.write(tmp_path / "data", prepare.from_folders(tmp_path / "in"))
    [fault] = check.check(tmp_path / "data").faults
    assert "ann-1" in str(fault) and "nothing but silence" in str(fault)
