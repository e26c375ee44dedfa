"""Whose voice a recording has: what comes before speech, or around it, does not decide how it is converted."""

import numpy as np
import pytest
from conftest import CORPUS, vowel

from vc.convert.source import MEMORY, SourceVoice, VoicedSpeech
from vc.corpus import audio, pieces
from vc.features.base import Frames
from vc.features.f0 import WHISPER, F0Range, F0Statistics, LogF0, f0_statistics
from vc.features.world import WorldConfig
from vc.vocoders.world import WORLD

CONFIG, RATE = WorldConfig(16000), 16000
SLT = F0Statistics(F0Range(118, 244), LogF0(np.log(173), 0.06))  # a woman


def said(speaker: str, *numbers: int) -> np.ndarray:
    return np.concatenate([audio.read(CORPUS / f"eval/{speaker}/{number}.flac")[0] for number in numbers])


def hum(seconds: float, level: float) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return level * sum(np.sin(2 * np.pi * 50 * k * times + k) / k for k in range(1, 8)).astype(np.float32)


def whispered(samples: np.ndarray) -> np.ndarray:
    frames = CONFIG.analyse(samples, F0Range(60, 400))
    return WORLD.synthesise(
        Frames(np.zeros_like(frames.f0), frames.spectrum, np.ones_like(frames.aperiodicity)), CONFIG
    )


def voices(samples: np.ndarray, longest: float = pieces.LONGEST, **more) -> list[tuple[float, F0Statistics]]:
    """Seconds of a recording and the voice that they are given, in turn."""
    source = SourceVoice(SLT, CONFIG, name="slt", **more)
    cut = pieces.split(np.array_split(samples.astype(np.float32), 40), RATE, longest)
    return [(len(piece.without_overlap(piece.samples)) / RATE, voice) for piece, voice in source.with_voices(cut)]


@pytest.mark.parametrize("longest", [30.0, 2.0])
@pytest.mark.parametrize("level", [3e-4, 3e-3])
def test_hum_before_speech_does_not_decide(level, longest):
    lead = hum(35, level) if longest == 30 else hum(3, level)
    assert voices(np.concatenate([lead, said("slt", 101)]), longest)[-1][1] == SLT


def test_voiced_speech_is_remembered_for_a_minute_and_told_apart_by_its_median():
    speech, minute = VoicedSpeech(CONFIG), round(MEMORY * CONFIG.frame_rate)
    speech.add(np.full(minute, 240.0))
    speech.add(np.full(minute // 3, 100.0))
    assert len(speech.f0) == minute
    assert len(speech.of_voice(100.0)) == minute // 3 and len(speech.of_voice(235.0)) == minute - minute // 3


def test_noise_and_silence_before_speech_do_not_decide(random):
    for lead in (np.zeros(35 * RATE), 1e-4 * random.standard_normal(35 * RATE)):
        assert {voice for _, voice in voices(np.concatenate([lead, said("slt", 101)]))} == {SLT}


@pytest.mark.parametrize("kind", ["noise", "hum"])
def test_what_sounds_in_a_pause_is_no_voice_and_no_whisper(kind, random, caplog):
    pause = 3e-3 * random.standard_normal(6 * RATE) if kind == "noise" else hum(6, 6e-3)
    recording = np.concatenate([said("slt", 101, 102), pause, said("slt", 103)])
    assert {voice for _, voice in voices(recording, 2.0)} == {SLT} and not caplog.messages


def test_noise_as_loud_as_the_voice_is_no_whispering(random):
    samples = said("slt", 101, 102)
    spectrum = np.fft.rfft(random.standard_normal(len(samples))) / np.sqrt(np.arange(1, len(samples) // 2 + 2))
    pink = np.fft.irfft(spectrum, len(samples))
    noisy = samples + pink * np.sqrt(np.square(samples).mean() / np.square(pink).mean())
    assert {voice for _, voice in voices(noisy)} == {SLT}


@pytest.mark.parametrize("longest", [30.0, 2.0])
def test_voices_change_where_the_speakers_do(longest, caplog):
    parts = [said("slt", 101, 102), said("rms", 101, 102, 103), said("slt", 104)]
    found = voices(np.concatenate(parts), longest)
    others = [seconds for seconds, voice in found if voice != SLT]
    assert found[0][1] == found[-1][1] == SLT and sum(others) == pytest.approx(len(parts[1]) / RATE, abs=2.0)
    assert [voice.f0_range.ceiling < 200 for _, voice in found if voice != SLT][-1]
    assert caplog.text.count("its own F0 is used") == 1


def test_what_is_heard_of_somebody_else_goes_on_counting():
    (first, *_, last) = voices(said("rms", 101, 102, 103, 104, 105), 2.0)
    alone = f0_statistics([CONFIG.track_f0(said("rms", 101, 102, 103, 104, 105))], CONFIG.frame_rate, "rms")
    assert last[1].log_f0.mean == pytest.approx(alone.log_f0.mean, abs=0.03)
    assert last[1].log_f0.deviation == pytest.approx(alone.log_f0.deviation, rel=0.2) and last != first


def test_a_word_in_another_pitch_is_no_other_voice():
    low = vowel(0.25, RATE, f0=90.0)
    samples = np.concatenate([said("slt", 101), low, said("slt", 102)])
    assert {voice for _, voice in voices(samples)} == {SLT}


def test_whispering_gets_no_melody_and_says_nothing_of_who_speaks(caplog):
    found = voices(
        np.concatenate([said("slt", 101, 102), whispered(said("slt", 103, 104, 105)), said("slt", 101)]), 5.0
    )
    assert WHISPER in {voice for _, voice in found} and found[0][1] == found[-1][1] == SLT
    assert caplog.text.count("no F0 found") == 1
    (alone,) = voices(whispered(said("slt", 101)))
    assert alone[1] == WHISPER


def test_a_range_that_was_given_wins():
    given = F0Range(60, 130)
    for samples in (said("slt", 101), said("rms", 101)):
        assert {voice.f0_range for _, voice in voices(samples, search=given)} == {given}


def test_without_a_known_voice_a_recording_has_its_own():
    source = SourceVoice(None, CONFIG)
    ((start, voice),) = source.spans(said("rms", 101))
    assert start == 0 and voice.f0_range.ceiling < 200


@pytest.mark.parametrize(
    ("places", "last"),
    [
        ([], 0),
        ([8000], 1),
        ([100, 20_000], 2),
        ([13_000, 15_000], 2),
        ([13_000, 15_000, 24_000], 3),
        ([15_000, 31_900], 1),
    ],
)
def test_parts_of_a_piece_joined_are_the_piece(places, last, random):
    whole = pieces.Piece(random.standard_normal(32_000).astype(np.float32), before=3200, after=0)
    parts = pieces.cut_at(whole, places, RATE)
    own = np.concatenate([part.without_overlap(part.samples) for part, _ in parts])
    np.testing.assert_array_equal(own, whole.without_overlap(whole.samples))
    numbers = [number for _, number in parts]
    assert numbers == sorted(set(numbers)) and numbers[-1] == last
    joined = np.concatenate(list(pieces.join(((part, part.samples.copy()) for part, _ in parts), RATE)))
    np.testing.assert_allclose(joined[160:], whole.without_overlap(whole.samples), atol=1e-6)
