"""Laws of live conversion: blocks and the future change nothing, silence stays silent, and it equals torch's maps."""

import contextlib
import itertools
import json
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import CORPUS, ROOT, command, run, two_speakers, vowel
from hypothesis import given, settings
from hypothesis import strategies as st

from vc import model_file, system
from vc.cli import live as cli
from vc.corpus import audio
from vc.errors import ConfigError
from vc.features import mel_cepstrum
from vc.features.f0 import F0Options, F0Range, track_f0
from vc.features.speakers import Speaker
from vc.features.world import WorldConfig
from vc.live import choice, terminal
from vc.live import f0 as live_f0
from vc.live.delay import Delay
from vc.live.device import CAPACITY, DRIFT, Clicks, Loop, connect
from vc.live.f0 import F0Tracker
from vc.live.gate import HOLD, Gate
from vc.live.linear import FARTHEST, LinearModel
from vc.live.power import Power
from vc.live.stream import METHODS, Stream
from vc.live.synthesis import MinimumPhase, frequency_response, minimum_phase_log
from vc.live.virtual_microphone import virtual_microphone
from vc.vocoders import differential

PAIR = ROOT / "egs/mini/model.safetensors"  # `nearest`, slt to rms, 16 kHz
RATES = (16000, 22050, 48000)
REACH = 4  # frames to each side that its filters see


def linear_model(rate: int) -> LinearModel:
    """A pair's model at a rate, whose maps are near the identity and look four frames ahead, and four more."""
    random, features = np.random.default_rng(0), WorldConfig(rate, unvoiced_f0=150.0)
    bands = features.bands
    weights = {}
    for direction in ("to_target", "to_source"):
        for name, outputs, length in (("regression", bands, 9), ("movement", 1, 2 * REACH + 1), ("warp", bands, 1)):
            weights[f"maps.{direction}.{name}.weight"] = 0.01 * random.standard_normal((bands, outputs, length))
        weights[f"maps.{direction}.regression.weight"][:, :, 4] += np.eye(bands)
        weights[f"maps.{direction}.movement.weight"][:, 0, REACH] += 1
        weights[f"maps.{direction}.detail.weight"] = 0.1 * random.standard_normal((bands, 1, 2 * REACH + 1))
        weights[f"maps.{direction}.regression.bias"] = 0.1 * random.standard_normal(bands)
    spread = 1 / (1 + np.arange(bands))
    speakers = {
        name: Speaker((spread * (c0 * (np.arange(bands) == 0))).tolist(), spread.tolist(), f0, 0.2, 80.0, 300.0, 1, 100)
        for name, c0, f0 in (("ann", -4.0, 4.8), ("bob", -4.0, 5.0))
    }
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    model = model_file.Model("nearest", features, {"reach": REACH}, speakers, 1, "digest")
    return LinearModel(model, weights)


def spoken(rate: int, seconds: float = 0.5, seed: int = 0) -> np.ndarray:
    """A vowel with silence before it and a hiss behind it."""
    random = np.random.default_rng(seed)
    hiss = 0.05 * random.standard_normal(round(0.1 * rate))
    return np.concatenate([np.zeros(round(0.1 * rate)), vowel(seconds, rate, seed=seed), hiss]).astype(np.float32)


def cut(samples: np.ndarray, lengths) -> list[np.ndarray]:
    """`samples` in blocks of the lengths given, over and over."""
    blocks, place, lengths = [], 0, itertools.cycle(lengths)
    while place < len(samples):
        blocks.append(samples[place : place + next(lengths)])
        place += len(blocks[-1])
    return blocks


def pushed(stream: Stream, blocks) -> np.ndarray:
    made = [stream.push(block) for block in blocks]
    assert [len(each) for each in made] == [len(block) for block in blocks]
    return np.concatenate(made)


@pytest.fixture(scope="module")
def streams() -> dict:
    models = {rate: linear_model(rate) for rate in RATES}
    return {(rate, method): Stream(models[rate], method=method) for rate in RATES for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("lengths", [(1,), (80,), (4800,), (1, 4000, 7), (0, 333)])
def test_blocks_of_any_length_give_the_same_samples(rate, method, lengths, streams):
    stream, samples = streams[rate, method], spoken(rate, 0.15)
    stream.reset()
    whole = stream.push(samples)
    stream.reset()
    assert np.array_equal(pushed(stream, cut(samples, lengths)), whole)
    assert np.abs(whole).max() > 0.01 and whole.dtype == np.float32


def test_a_frame_is_converted_as_if_it_were_louder(random):
    model = linear_model(16000)
    frames = random.standard_normal((20, model.model.features.bands))
    fainter = frames - np.log(10) * (np.arange(frames.shape[1]) == 0)
    usual, louder = (model.frame_map("ann", "bob", 3) for _ in range(2))
    for frame, faint in zip(frames, fainter):
        source, converted = usual.push(frame)
        faint_source, as_usual = louder.push(faint, 10.0)
        np.testing.assert_allclose(as_usual[1:], converted[1:], rtol=1e-5, atol=1e-6)
        assert as_usual[0] == faint_source[0] == pytest.approx(source[0] - np.log(10))


@pytest.mark.parametrize("gain", [1.0, 0.1])
def test_the_level_of_the_voice_is_followed(gain):
    tracker = F0Tracker(WorldConfig(16000), F0Range(80, 300), 800, 5)
    samples = gain * np.concatenate([np.zeros(8000), vowel(1.0, 16000), np.zeros(8000)])
    for place in range(tracker.before, len(samples) - 800, 80):
        assert place > 8000 or tracker.level is None
        tracker.push(samples[place - tracker.before : place + 801])
    voiced = samples[8000:-8000]
    assert tracker.level == pytest.approx(10 * np.log10(np.mean(voiced**2)), abs=2)


def test_a_voice_that_begins_after_a_buzz_has_its_own_level_at_once():
    tracker, rate = F0Tracker(WorldConfig(16000), F0Range(80, 300), 800, 5), 16000
    buzz = 0.05 * vowel(6.0, rate, seed=1)
    samples = np.concatenate([buzz, vowel(1.0, rate), buzz])
    levels = []
    for place in range(tracker.before, len(samples) - 800, 80):
        tracker.push(samples[place - tracker.before : place + 801])
        levels.append(tracker.level)
    speech = (6 * rate - tracker.before) // 80  # the first frame of the vowel
    usual = 10 * np.log10(np.mean(vowel(1.0, rate) ** 2))
    assert levels[speech - 20] == pytest.approx(usual - 26, abs=3)
    assert min(levels[speech + 20 :]) > usual - 6 and levels[-1] == pytest.approx(usual, abs=3)


@pytest.mark.parametrize("method", METHODS)
def test_fainter_voices_are_converted_alike(method):
    """From 6 dB below the level in training on, a factor changes nothing but the loudness."""
    model, weights = model_file.read(PAIR, "numpy")
    samples, rate = audio.read(CORPUS / "eval/slt/101.flac")

    def difference(level: float | None) -> float:
        slt = replace(model.speakers["slt"], level=level)
        pair = LinearModel.of(replace(model, speakers={**model.speakers, "slt": slt}), weights, PAIR)
        stream = Stream(pair, method=method, gate=-math.inf)
        one, other = (stream.convert(factor * samples)[rate:] / factor for factor in (0.5, 0.2))
        return np.linalg.norm(one - other) / np.linalg.norm(one)

    assert difference(0.0) < 0.05 < 0.1 < difference(None)


@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=20), method=st.sampled_from(METHODS))
def test_random_blocks_give_the_same_samples(lengths, method, streams):
    stream, samples = streams[16000, method], spoken(16000, 0.1)
    stream.reset()
    whole = stream.push(samples)
    stream.reset()
    assert np.array_equal(pushed(stream, cut(samples, lengths)), whole)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rate", RATES)
def test_nothing_depends_on_samples_that_come_later_than_the_delay(rate, method, streams):
    stream, samples = streams[rate, method], spoken(rate)
    place = len(samples) // 2
    other = samples.copy()
    other[place:] = np.random.default_rng(1).standard_normal(len(samples) - place)
    made = []
    for each in (samples, other):
        stream.reset()
        made.append(stream.push(each))
    same = np.flatnonzero(made[0] != made[1])[0]
    assert same >= place  # what is given at a time depends on what was taken before it,
    assert same < place + stream.delay.samples  # and the delay is no longer than it needs to be


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("milliseconds", [50, 73.7, 200])
def test_the_delay_is_that_which_was_asked_for(rate, method, milliseconds):
    stream = Stream(linear_model(rate), method=method, delay=milliseconds, gate=-np.inf)
    assert stream.delay.samples == round(milliseconds * rate / 1000)
    stream.passthrough = True
    samples = spoken(rate)
    assert np.allclose(stream.convert(samples)[round(0.01 * rate) :], samples[round(0.01 * rate) :], atol=1e-6)


def test_a_click_through_the_filter_comes_after_the_delay():
    model = linear_model(16000)
    same = {name: np.zeros_like(array) for name, array in model.weights.items()}
    for direction in ("to_target", "to_source"):
        same[f"maps.{direction}.regression.weight"][:, :, 4] = np.eye(model.model.features.bands)
        same[f"maps.{direction}.movement.weight"][:, 0, REACH] = 1
    stream = Stream(LinearModel(model.model, same), gate=-np.inf)  # converts a voice to the same
    click = np.zeros(4000)
    click[2000] = 0.5
    assert np.argmax(np.abs(stream.push(click))) == 2000 + stream.delay.samples


def test_a_delay_that_is_too_short_is_refused():
    with pytest.raises(ConfigError, match=r"a delay must be in 23\.\.1000 ms for this voice, got 20"):
        Delay.of(20, WorldConfig(16000), F0Range(80, 300))
    with pytest.raises(ConfigError, match="got nan"):
        Delay.of(float("nan"), WorldConfig(16000), F0Range(80, 300))


@pytest.mark.parametrize("method", METHODS)
def test_reset_is_a_fresh_start(method, streams):
    stream, samples = streams[16000, method], spoken(16000)
    fresh = Stream(linear_model(16000), method=method).push(samples)
    stream.push(np.random.default_rng(3).standard_normal(5000))
    stream.reset()
    assert np.array_equal(stream.push(samples), fresh)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("before", ["hum", "noise", "silence", "music", "another voice"])
def test_what_came_before_is_forgotten(method, before, monkeypatch):
    rate = 16000
    monkeypatch.setattr(live_f0, "MEMORY", 0.5)
    stream, samples = Stream(linear_model(rate), method=method), spoken(rate, 0.4)
    seconds = np.arange(rate // 2) / rate
    sounds = {
        "hum": 0.1 * np.sin(2 * np.pi * 50 * seconds),
        "noise": 0.1 * np.random.default_rng(0).standard_normal(rate // 2),
        "silence": np.zeros(rate // 2),
        "music": 0.2 * sum(np.sin(2 * np.pi * f * seconds) for f in (220, 277, 330)),
        "another voice": vowel(0.5, rate, 240.0, seed=5),
    }
    alone = stream.convert(samples)
    quiet = np.zeros(round(1.1 * rate))
    lead = np.concatenate([sounds[before], quiet])
    lead = lead[: len(lead) // 80 * 80]
    behind = stream.convert(np.concatenate([lead, samples]))[len(lead) :]
    if method == "diff":  # it draws no noise
        assert np.allclose(behind, alone, atol=1e-6)
    else:
        powers = [np.square(each[: len(each) // 400 * 400].reshape(-1, 400)).mean(axis=1) for each in (alone, behind)]
        heard = powers[0] > 6e-3  # the vowel: what hisses is drawn anew
        assert np.abs(10 * np.log10(powers[0][heard] / powers[1][heard])).max() < 1


@pytest.mark.parametrize("method", METHODS)
def test_silence_stays_silent_and_the_gate_opens_for_speech(method, streams):
    stream, rate = streams[16000, method], 16000
    hiss = 10 ** (-70 / 20) * np.random.default_rng(0).standard_normal(rate)
    assert not stream.convert(np.zeros(rate)).any() and not stream.convert(hiss).any()
    samples = np.concatenate([hiss, vowel(0.5, rate), hiss])
    made = stream.convert(samples)
    assert not made[: rate - 2000].any() and not made[-rate // 2 :].any()
    inside = made[rate + 400 : rate + 8000]
    assert np.square(inside).mean() > 0.1 * np.square(samples[rate + 400 : rate + 8000]).mean()


def test_a_gate_has_two_thresholds_and_holds():
    gate = Gate(-40.0, 100.0, look_ahead=2)
    assert [gate.push(10 ** (level / 10)) for level in (-50, -43, -39, -43, -45, -50)] == [False] * 2 + [True] * 4
    held = round(HOLD * 100)
    open_for = [gate.push(1e-5) for _ in range(held + 5)]
    assert open_for.index(False) == held + 1  # two frames of look-ahead, and one of them was quiet already


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -3e38])
def test_nothing_that_is_not_finite_or_too_loud_gets_out(method, bad, streams):
    stream, samples = streams[16000, method], spoken(16000).astype(np.float64)
    samples[3000:3100] = bad
    stream.reset()
    made = stream.push(samples)
    assert np.isfinite(made).all() and np.abs(made).max() <= 1
    assert stream.not_finite == (0 if np.isfinite(bad) else 100)


def test_a_model_out_of_its_mind_gives_silence():
    model = linear_model(16000)
    name = "maps.to_target.regression.weight"
    wild = LinearModel(model.model, {**model.weights, name: 1e30 * model.weights[name]})
    for method in METHODS:
        stream = Stream(wild, method=method)
        made = stream.push(spoken(16000))
        assert np.isfinite(made).all() and np.abs(made).max() <= 1 and stream.not_finite > 0


@pytest.mark.parametrize("look_ahead", [0, 3, 12])
@pytest.mark.parametrize("method", ["nearest", "parallel", "warp", "mean_variance"])
def test_a_frame_is_what_torch_gives_of_the_recording_up_to_there(method, look_ahead, random):
    torch = pytest.importorskip("torch")
    from vc.models import build_network, network_config
    from vc.models.base import FrameMap

    speakers, features = two_speakers(), WorldConfig(16000)
    sizes = {"context": 2, "reach": REACH} if method in ("nearest", "parallel") else {}
    converter = build_network(method, network_config(method, sizes), features, tuple(speakers))
    for weights in converter.parameters():
        torch.nn.init.normal_(weights, std=0.05)
    model = model_file.Model(method, features, {}, speakers, 1, "digest")
    weights = {name: tensor.numpy() for name, tensor in converter.state_dict().items()}
    frames = np.clip(np.cumsum(0.3 * random.standard_normal((30, features.bands)), axis=0), -FARTHEST, FARTHEST)
    for pair in (("ann", "bob"), ("bob", "ann")):
        whole = FrameMap(converter, pair, tuple(speakers[name].normaliser for name in pair), torch.device("cpu"))
        live = LinearModel(model, weights).frame_map(*pair, look_ahead)
        for number in range(len(frames)):
            source, converted = live.push(frames[number])
            place = number - look_ahead
            if place > 2 * REACH:  # at the beginning the map holds what it has made of frames, not the frames
                with torch.inference_mode():
                    wanted = whole(torch.from_numpy(frames[: number + 1]))[place].numpy()
                assert np.array_equal(source, frames[place])
                assert np.allclose(converted, wanted, atol=1e-5)


def test_f0_is_that_of_the_whole_recording(random):
    rate, f0_range = 16000, F0Range(70, 300)
    glide = 120 * 2 ** (0.4 * np.sin(np.arange(2 * rate) / rate * 4))
    phase = np.cumsum(glide) / rate
    samples = sum(np.cos(2 * np.pi * k * phase) / k for k in range(1, 12)) * 0.1 + 1e-4 * random.standard_normal(
        2 * rate
    )
    config = WorldConfig(rate)
    wanted = track_f0(samples, rate, F0Range(70, 300), 5.0).f0
    after = round(0.0215 * rate)
    tracker = F0Tracker(config, f0_range, after, wait=4)
    padded = np.pad(samples, (tracker.before, rate))
    found = [tracker.push(padded[place * 80 :][: tracker.before + after]) for place in range(len(wanted))]
    now, decided = np.array(found).T
    inside = slice(10, -10)
    for one, other in ((now, wanted), (decided[4:], wanted[:-4])):
        assert (np.abs(np.log2(one[inside] / other[inside])) < 0.02).mean() > 0.99


def test_a_response_of_minimum_phase_is_that_of_the_offline_filter(random):
    config = WorldConfig(22050)
    frame = random.standard_normal(config.bands) / (1 + np.arange(config.bands))
    for size in (config.fft_size, 2 * config.fft_size):
        response = MinimumPhase(config, size)(frame)
        assert np.allclose(response, differential._minimum_phase(frame[None], config, size)[0], rtol=1e-4)
    amplitude = np.sqrt(mel_cepstrum.to_envelope(frame[None], config.warping, config.bins)[0])
    assert np.allclose(
        np.exp(minimum_phase_log(np.log(amplitude), config.fft_size)), MinimumPhase(config, config.fft_size)(frame)
    )


def test_a_frequency_response_is_the_exponential_of_its_logarithm(random):
    log_response = (random.standard_normal(513) + 10j * random.standard_normal(513)).astype(np.complex64)
    assert np.allclose(frequency_response(log_response), np.exp(log_response), rtol=1e-5, atol=1e-6)


def test_extremes_are_of_the_last_seconds(random):
    rate = 100.0
    extremes, values = live_f0.Extremes(rate), np.cumsum(random.standard_normal(1000))
    part = round(live_f0.MEMORY * rate / live_f0.PARTS)
    for number, value in enumerate(values):
        recent = values[max(0, number // part - live_f0.PARTS) * part : number + 1]
        assert extremes.push(value) == (recent.min(), recent.max())


def test_power_is_restored_as_offline_from_the_past(random):
    config = WorldConfig(16000)
    source = np.tile(0.1 * random.standard_normal(config.bands), (80, 1))
    converted = source + 0.1  # a constant gap needs no future
    power = Power(config)
    live = np.array([power.push(*frames) for frames in zip(converted, source)])
    assert np.allclose(live[40:60], config.restore_power(converted, source)[40:60], atol=1e-9)


@pytest.mark.parametrize("f0_shift", [0.0, 7.0])
def test_pulses_follow_the_f0_that_is_wanted(f0_shift):
    stream = Stream(linear_model(16000), method="world", f0_options=F0Options(keep=True, shift=f0_shift))
    made = stream.convert(vowel(1.0, 16000, 130.0))
    found = track_f0(made, 16000, F0Range(60, 400), 5.0).f0
    assert np.median(found[40:160]) == pytest.approx(130 * 2 ** (f0_shift / 12), rel=0.01)


def test_who_hurries_holds_the_last_envelope():
    stream, samples = Stream(linear_model(16000)), spoken(16000)
    half = len(samples) // 2
    whole = Stream(linear_model(16000)).push(samples)
    made = np.concatenate([stream.push(samples[:half]), stream.push(samples[half:], hurry=True)])
    assert np.array_equal(made[:half], whole[:half]) and np.isfinite(made).all()
    assert stream.hurried_frames == pytest.approx(half / 80, abs=2)
    later = slice(half + 800, half + 3200)
    assert np.square(made[later]).mean() == pytest.approx(np.square(whole[later]).mean(), rel=0.5)


def test_a_muted_stream_is_silent_and_its_delay_goes_on():
    stream, samples = Stream(linear_model(16000)), spoken(16000, 1.0)
    whole = stream.push(samples)
    stream.reset()
    parts = []
    for number, block in enumerate(cut(samples, (160,))):
        stream.muted = 30 <= number < 60
        parts.append(stream.push(block))
    made = np.concatenate(parts)
    assert not made[33 * 160 : 60 * 160].any()
    assert np.array_equal(made[: 30 * 160], whole[: 30 * 160]) and np.allclose(made[70 * 160 :], whole[70 * 160 :])


def test_state_is_of_constant_size(streams):
    def size(value: object) -> int:
        if isinstance(value, np.ndarray):
            return value.nbytes
        if isinstance(value, (list, tuple)) or hasattr(value, "maxlen"):
            return sum(map(size, value)) + len(value)
        return sum(map(size, vars(value).values())) if type(value).__module__.startswith("vc.live") else 0

    for method in METHODS:
        stream, sizes = streams[16000, method], []
        stream.reset()
        for seconds in (0.3, 3.0, 0.3, 0.4):
            stream.push(vowel(seconds, 16000)[: round(seconds * 200) * 80])
            sizes.append(size(stream))
        assert len(set(sizes[1:])) == 1


def test_the_command_converts_a_file_as_the_stream_does(tmp_path):
    path = CORPUS / "eval/slt/101.flac"
    done = command("live", "--model", PAIR, "--input", path, "--output", tmp_path / "new/one.wav", "--delay", 80)
    assert "slt to rms, diff, 16000 Hz" in done.stderr.decode() and "delay: 80.0 ms (" in done.stderr.decode()
    samples = np.concatenate(list(audio.blocks(path, 16000)))
    audio.write(tmp_path / "two.wav", choice.load(PAIR, delay=80.0).convert(samples), 16000)
    assert (tmp_path / "new/one.wav").read_bytes() == (tmp_path / "two.wav").read_bytes()


def test_raw_samples_pass_with_the_delay(tmp_path):
    samples = (32767 * spoken(16000)).astype("<i2")
    words = ("--model", PAIR, "--input", "-", "--output", "-", "--method", "world")
    done = command("live", *words, input=samples.tobytes())
    made = np.frombuffer(done.stdout, "<i2")
    wanted = choice.load(PAIR, method="world").push(samples / 32768)
    assert len(made) == len(samples) and np.abs(made / 32768 - wanted).max() < 1 / 32768


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--input", "a.wav", "--output", "b.wav"], "give --model"),
        (["--model", PAIR, "--input", "a.wav"], "--input and --output go together"),
        (["--model", PAIR, "--input", "-", "--output", "b.wav"], "raw samples (-) go from --input - to --output -"),
        (["--model", PAIR, "--to", "nobody", "--input", "a.wav", "--output", "b.wav"], "no speaker 'nobody'"),
        (["--model", PAIR, "--delay", 10, "--input", "a.wav", "--output", "b.wav"], "a delay must be in"),
        (["--model", PAIR, "--f0-shift", 1, "--input", "a", "--output", "b"], "method diff cannot change F0"),
        (["--model", PAIR, "--slack", 101], "--slack must be in 1..100 blocks, got 101"),
        (["--model", PAIR, "--block", 201], "--block must be in 1..200 ms, got 201"),
        (["--model", PAIR, "--latency", "nan"], "--latency must be 0 ms or more, and finite, got nan"),
        (["--model", PAIR, "--latency", -1], "--latency must be 0 ms or more, and finite, got -1"),
        (["--model", PAIR, "--seconds", "nan"], "--seconds must be above 0, got nan"),
        (["--model", PAIR, "--input", "a.wav", "--output", "b.mp3"], "b.mp3: the output is a WAV file"),
        (["--model", PAIR, "--input", "a.wav", "--output", "./a.wav"], "./a.wav: is also an input"),
        (["--model", PAIR, "--input", ".", "--output", "b.wav"], "--input .: is a folder; vc-convert converts folders"),
        (["--model", PAIR, "--realtime"], "--realtime: only with --input"),
        (["--model", PAIR, "--gate", 3, "--input", "a", "--output", "b"], "the gate must be below 0 dB"),
    ],
)
def test_wrong_usage_is_one_line(words, said, tmp_path):
    done = command("live", *words, cwd=tmp_path, check=2)
    assert said in done.stderr.decode() and done.stderr.decode().startswith("vc-live: error: ")
    assert not list(tmp_path.iterdir())


def test_a_missing_recording_is_one_line_and_leaves_nothing(tmp_path):
    done = command("live", "--model", PAIR, "--input", "none.wav", "--output", "b.wav", cwd=tmp_path, check=1)
    assert done.stderr.decode().splitlines()[-1].startswith("vc-live: error: none.wav: ")
    assert not list(tmp_path.iterdir())


def test_weights_of_other_shapes_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    model, weights = model_file.read(PAIR)
    for name, other in (
        ("maps.to_target.regression.weight", torch.zeros(50, 50, 8)),
        ("maps.to_source.movement.weight", torch.zeros(49, 1, 129)),
        ("maps.to_source.regression.bias", torch.zeros(1)),
    ):
        model_file.write(tmp_path / "m.safetensors", model, {**weights, name: other})
        with pytest.raises(ConfigError, match=r"m\.safetensors: weights do not fit nearest"):
            choice.load(tmp_path / "m.safetensors")


def test_live_conversion_starts_without_torch(tmp_path):
    heavy = {"torch", "scipy", "librosa", "matplotlib", "soundfile", "soxr"}
    code = (
        "import sys, numpy; from vc.live import choice\n"
        f"choice.load({str(PAIR)!r}).push(numpy.zeros(1600)); print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = run(sys.executable, "-c", code, PYTHONPATH=str(ROOT))
    assert done.stdout.strip() == "[]", done.stderr


def test_mean_and_variance_of_several_speakers_are_live(random):
    speakers = {**two_speakers(), "cleo": two_speakers()["ann"]}
    model = LinearModel(model_file.Model("mean_variance", WorldConfig(16000), {}, speakers, 0, "digest"), {})
    assert Stream(model, "cleo", "bob").target == "cleo"
    with pytest.raises(ConfigError, match="several speakers"):
        Stream(model)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --sources"),
        (("--sources", "../a", "--targets", "b"), "speaker: '../a' is no name"),
        (("--sources", "a", "--targets", "b", "--systems", "diff_50 ../x"), "--systems: '../x' is no name"),
        (("--sources", "a", "--targets", "b", "--sentences", "0"), "--sentences takes a whole number"),
    ],
)
def test_the_recipe_refuses_by_name(words, said, tmp_path):
    done = run(ROOT / "recipes/live/run.sh", "--work", tmp_path / "work", *words)
    assert done.returncode == 1 and said in done.stderr and not list(tmp_path.iterdir())


class Doubled:
    """In place of a stream: twice what comes, at once."""

    sample_rate, can_hurry = 16000, True

    def push(self, samples: np.ndarray, hurry: bool = False) -> np.ndarray:
        return 2 * samples


def exchanged(loop: Loop, heard: np.ndarray, turns: list[int]) -> np.ndarray:
    """What the loudspeaker gets, a block at a time, if after each the worker works as often as the turns say."""
    given = []
    for block, turn in zip(cut(heard, (loop.block,)), turns, strict=True):
        loop.take(block)
        for _ in range(turn):
            loop.work()
        given.append(loop.give(len(block)))
    return np.concatenate(given)


def test_a_loop_gives_what_its_worker_makes_after_the_slack(random):
    loop, heard = Loop(Doubled(), block=100, slack=3), random.standard_normal(2000).astype(np.float32)
    given = exchanged(loop, heard, [1] * 20)
    assert not given[:300].any() and np.array_equal(given[300:], 2 * heard[:-300]) and loop.underruns == 0


def test_slack_that_the_rings_cannot_hold_is_refused():
    with pytest.raises(ConfigError, match=r"the slack must be at most 2 s, got 2\.1 s: 21 blocks"):
        Loop(Doubled(), block=1600, slack=21)


def test_what_comes_late_is_silence_and_the_delay_stays(random):
    loop, heard = Loop(Doubled(), block=100, slack=1), random.standard_normal(3000).astype(np.float32)
    given = exchanged(loop, heard, [1] * 10 + [0] * 4 + [5] + [1] * 15)
    assert loop.underruns == 3 and loop.late == 0 and loop.hurried == 4
    assert np.array_equal(given[100:1100], 2 * heard[:1000])
    assert not given[1100 + 32 : 1400].any()  # after 2 ms
    assert np.array_equal(given[1400 + 32 :], 2 * heard[1300 + 32 : -100])


def test_who_is_late_for_good_is_heard_later(random):
    loop, heard = Loop(Doubled(), block=100, slack=1), random.standard_normal(16000).astype(np.float32)
    given = exchanged(loop, heard, [1] * 5 + [0] * 3 + [1] * 152)
    assert 100 <= loop.late <= 300 and loop.underruns > 3
    behind = 100 + loop.late
    assert np.array_equal(given[-4000:], 2 * heard[-4000 - behind : -behind])


def test_what_the_rings_cannot_hold_is_lost_and_the_delay_stays(random):
    loop = Loop(Doubled(), block=100, slack=1)
    long = random.standard_normal(5 * 16000).astype(np.float32)
    loop.take(long)
    assert loop.lost == len(long) - round(CAPACITY * 16000)
    while loop.work():
        loop.give(0)
    assert len(loop._output) == round(CAPACITY * 16000)


def test_a_quicker_microphone_does_not_make_the_delay_grow(random):
    loop, most = Loop(Doubled(), block=100, slack=2), 0
    for _ in range(2000):
        loop.take(random.standard_normal(101).astype(np.float32))
        loop.work()
        loop.work()
        loop.give(100)
        most = max(most, len(loop._output))
    assert loop.left_out > 1000 and loop.underruns == 0 and most < 200 + DRIFT * 160 * 3


@pytest.mark.parametrize("tardiness", [0, 3])  # blocks for which the worker waits, at times
def test_a_slower_microphone_leaves_no_gap(tardiness, random):
    """One in 500 of its blocks never comes; before, the output fell silent for 0.3 s at a time."""
    loop, samples, outputs = Loop(Doubled(), block=100, slack=5), random.uniform(0.5, 1, 800000).astype(np.float32), []
    for number, block in enumerate(cut(samples, (100,))):
        if number % 500 != 250:
            loop.take(block)
        if number % 40 < 40 - tardiness:
            while loop.work():
                pass
        outputs.append(loop.give(100))
    assert loop.underruns == loop.late == loop.left_out == 0
    in_flight = len(loop._input) + len(loop._output)
    assert loop.repeated == pytest.approx(16 * 100, abs=200) and in_flight == pytest.approx(500, abs=200)
    assert np.concatenate(outputs)[500:].min() > 0.99  # neither silence nor a fade


class Interrupted(Doubled):
    """The loudspeaker takes its samples while a block is converted."""

    def __init__(self, give: Callable[[], None]):
        self.give = give

    def push(self, samples: np.ndarray, hurry: bool = False) -> np.ndarray:
        self.give()
        return super().push(samples, hurry)


@pytest.mark.parametrize("slack", [1, 2, 4])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("take work give", "take work give"),
        ("take work give", "take give work"),
        ("take work give", "take interrupted-work"),
        ("take interrupted-work", "take interrupted-work"),
        ("take interrupted-work", "take give work"),
        ("take interrupted-work", "take work give"),
        ("take give work", "take give work"),
        ("give take work", "give take work"),
    ],
)
def test_with_equal_clocks_nothing_is_repeated_and_the_delay_is_constant(first, then, slack, random):
    """Before, a worker that regularly ended after the loudspeaker's turn was taken for a slower microphone."""
    heard, outputs, loop = random.standard_normal(8 * 16000).astype(np.float32), [], Loop(Doubled(), 100, slack)
    interrupted = Interrupted(lambda: outputs.append(loop.give(100)))
    for number, block in enumerate(cut(heard, (100,))):
        for turn in (then if number else first).split():
            if turn == "take":
                loop.take(block)
            elif turn == "give":
                outputs.append(loop.give(100))
            else:
                loop.converter = interrupted if turn == "interrupted-work" else Doubled()
                loop.work()
    assert loop.repeated == loop.left_out == loop.late == loop.underruns == 0
    delay = 100 * (slack + first.endswith("give work") + first.startswith("give"))  # the first turn is silence
    assert np.array_equal(np.concatenate(outputs)[delay:], 2 * heard[:-delay])


@pytest.mark.parametrize("block", [16, 100])  # shorter than a cross-fade, and longer
@pytest.mark.parametrize(("more", "count"), [(1, "left_out"), (-1, "repeated")])
def test_a_correction_is_a_cross_fade_within_a_block(block, more, count):
    """Of a ramp, whose slope shows that no two samples are farther apart than the fade makes them."""
    loop, position, outputs = Loop(Doubled(), block=block, slack=8), 0, []
    for number in range(8 * 16000 // block):
        taken = block + more * (number % (25600 // block**2) == 0)  # more than a block in DRIFT seconds
        loop.take(np.arange(position, position + taken, dtype=np.float32) / 2**20)
        position += taken
        while loop.work():
            pass
        outputs.append(loop.give(block) * 2**19)
    assert getattr(loop, count) >= block and loop.underruns == 0
    steps = np.diff(np.concatenate(outputs)[9 * block :])
    assert 0.5 < np.abs(steps - 1).max() < 2 * block / min(block, 32)


def test_a_loudspeaker_that_takes_nothing_loses_no_count_of_what_it_missed(random):
    loop, seconds = Loop(Doubled(), block=100, slack=1), 10
    for block in cut(random.standard_normal(seconds * 16000).astype(np.float32), (100,)):
        loop.take(block)
        loop.work()
    assert loop.lost == 0 and loop.left_out == 100 + seconds * 16000 - round(CAPACITY * 16000)


def test_levels_of_samples_that_are_not_finite_are_of_the_others():
    loop = Loop(Doubled(), block=100)
    loop.take(np.array([np.nan, 0.5, np.inf, -np.inf], np.float32))
    assert loop.take_levels() == (0.5, 0.0)
    loop.take(np.full(4, np.inf, np.float32))
    assert loop.take_levels() == (0.0, 0.0)


def test_clicks_tell_the_delay(random):
    clicks = Clicks(16000, 8.0)
    loop = Loop(clicks, block=160, slack=2)
    room = np.zeros(800, np.float32)  # between loudspeaker and microphone
    while not clicks.full:
        loop.take(room[:160])
        loop.work()
        room = np.concatenate([room[160:], 0.3 * loop.give(160)])
    assert np.allclose(clicks.delays(), 1000 * (800 + 320) / 16000) and len(clicks.delays()) == 3


@pytest.mark.parametrize(
    ("pressed", "said", "state"),
    [
        ("p", "passthrough", {"passthrough": True}),
        ("m", "muted", {"muted": True}),
        ("+", "F0 +1 semitones", {"f0_options": F0Options(shift=1.0)}),
        ("-", "F0 -1 semitones", {"f0_options": F0Options(shift=-1.0)}),
        ("x", terminal.HELP, {}),
        ("", "", {}),
    ],
)
def test_keys_do_what_they_say(pressed, said, state):
    stream = Stream(linear_model(16000), method="world")
    assert terminal.obey(pressed, stream) == said
    assert {name: getattr(stream, name) for name in state} == state


def test_f0_is_not_shifted_beyond_its_bounds():
    stream = Stream(linear_model(16000), method="world", f0_options=F0Options(shift=48.0))
    assert terminal.obey("+", stream).startswith("an F0 shift must be within 48") and stream.f0_options.shift == 48
    assert terminal.obey("+", Stream(linear_model(16000))) == "method diff keeps F0; world can shift it"


@pytest.mark.parametrize(("peak", "shown"), [(1.0, "#" * 20 + "    0 dB"), (0.0, "." * 20 + " -120 dB")])
def test_a_meter_shows_a_peak(peak, shown):
    assert terminal.meter(peak) == shown


@pytest.fixture
def sound_card(monkeypatch) -> Callable[..., int]:
    """`vc-live` where a test double has the devices; it reads keys, and its end, from a pipe."""
    monkeypatch.syspath_prepend(ROOT / "tests/doubles")
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def main(*words: object, keys: bytes = b"") -> int:
        end, other = os.pipe()
        os.write(other, keys)
        os.close(other)
        with os.fdopen(end) as pipe:
            monkeypatch.setattr(sys, "stdin", pipe)
            return cli.main([str(word) for word in words])

    yield main
    monkeypatch.undo()
    sys.modules.pop("sounddevice", None)


def test_devices_are_listed_for_people_and_for_programs(sound_card, capsys):
    assert sound_card("--devices", "--json") == 0
    devices = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["name"] for each in devices] == ["Microphone", "Loudspeaker", "--model <b>$(touch x)"]
    assert [each["default_input"] for each in devices] == [True, False, False]
    assert sound_card("--devices") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "<    0 Microphone (ALSA): 1 in, 0 out, 48000 Hz" and len(lines) == 3


def test_how_it_goes_is_told_to_programs_and_keys_come_by_a_pipe(sound_card, capsys):
    device = "--model <b>$(touch x), OSS"
    words = ("--model", PAIR, "--method", "world", "--json", f"--input-device={device}", "--slack", 3)
    assert sound_card(*words, keys=b"mp+x") == 0
    states = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["muted"] for each in states[:4]] == [True] * 4
    assert [each["passthrough"] for each in states[:4]] == [False, True, True, True]
    assert [each["f0_shift"] for each in states[:4]] == [0, 0, 1, 1]
    last = states[-1]
    assert (last["source"], last["target"], last["sample_rate"]) == ("slt", "rms", 16000)
    assert (last["input_device"], last["output_device"]) == (device.removesuffix(", OSS"), "Loudspeaker")
    assert last["delay"] == {"conversion": 50.0, "input": 10.0, "output": 10.0, "slack": 30.0}


def test_counts_have_the_same_names_everywhere(sound_card, capsys):
    """As attributes, in lines of JSON, in their documentation and in the line for people."""
    assert sound_card("--model", PAIR, "--json") == 0
    state = json.loads(capsys.readouterr().out.splitlines()[-1])
    table = (ROOT / "docs/live.md").read_text().split("## For programs")[1].split("\n\n")[2]
    assert set(state) == {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    loop, stream = Loop(Doubled(), block=100), Stream(linear_model(16000))
    counts = {name: number for number, name in enumerate(terminal.counts(loop, stream), 1)}
    for name, number in counts.items():
        setattr(stream if name == "not_finite" else loop, name, 16 * number if name == "late" else number)
    assert terminal.counts(loop, stream) == counts and set(counts) < set(state)
    words = "underruns 1, hurried 2, lost 3, left out 4, repeated 5, late 6 ms, not finite 7"
    assert terminal.counts_text(counts) == words and words in terminal.status(loop, stream, 1.0)
    loop.hurried = loop.lost = loop.left_out = loop.repeated = loop.late = stream.not_finite = 0
    line = terminal.status(loop, stream, 1.0)
    assert "underruns 1" in line and "hurried" not in line and "late" not in line


def test_the_other_direction_keeps_what_keys_have_set(sound_card, capsys):
    assert sound_card("--model", PAIR, "--method", "world", "--json", keys=b"mp+t") == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["source"], last["target"]) == ("rms", "slt")
    assert (last["muted"], last["passthrough"], last["f0_shift"]) == (True, True, 1)


@pytest.mark.parametrize(("keys", "ranges"), [(b"t", [None]), (b"tt", [None, F0Range(90, 300)])])
def test_an_f0_range_is_that_of_the_first_source(sound_card, monkeypatch, keys, ranges):
    searched, other_direction = [], Stream.other_direction

    def record(stream: Stream, f0_range: F0Range | None) -> Stream:
        searched.append(f0_range)
        return other_direction(stream, f0_range)

    monkeypatch.setattr(Stream, "other_direction", record)
    assert sound_card("--model", PAIR, "--json", "--f0-range", 90, 300, keys=keys) == 0
    assert searched == ranges


@pytest.mark.parametrize("method", METHODS)
def test_the_other_direction_is_of_the_same_model_and_settings(method, monkeypatch):
    model, samples, settings = linear_model(22050), spoken(22050), {"method": method, "delay": 73.7, "gate": -50.0}
    stream = Stream(model, **settings)
    stream.muted, stream.passthrough, stream.not_finite = True, True, 3
    other = stream.other_direction(F0Range(90, 310))
    assert (other.source, other.target) == (stream.target, stream.source) == ("bob", "ann")
    assert (other.muted, other.passthrough, other.not_finite) == (True, True, 3) and other.delay == stream.delay
    other.muted = other.passthrough = False
    expected = Stream(model, "ann", "bob", f0_range=F0Range(90, 310), **settings)
    assert np.array_equal(other.push(samples), expected.push(samples))


def test_a_converter_that_is_replaced_is_heard_to_its_end():
    """What was said before comes from it, what was said after from the other, and no sample is missing."""
    streams, expected = ([Stream(linear_model(16000), to) for to in ("bob", "ann")] for _ in range(2))
    samples, place, fade = vowel(1.0, 16000).astype(np.float32), 50 * 160, 32
    loop, converted = Loop(streams[0], block=160), []
    for block in cut(samples, (160,)):
        if sum(map(len, converted)) == place:
            loop.replace(streams[1], streams[1].delay.samples)
        converted.append(loop._convert(block, hurry=False))
    converted, change = np.concatenate(converted), place + streams[0].delay.samples
    first, second = expected[0].push(samples), expected[1].push(samples[place:])
    assert np.array_equal(converted[:change], first[:change])
    assert np.array_equal(converted[change + fade :], second[change + fade - place :])
    weight = np.arange(1, fade + 1) / fade
    faded = (1 - weight) * first[change:][:fade] + weight * second[change - place :][:fade]
    assert np.allclose(converted[change:][:fade], faded, atol=1e-6)


def test_converters_that_are_replaced_twice_at_once_follow_each_other():
    streams = [Stream(linear_model(16000), to) for to in ("bob", "ann", "bob")]
    loop, block, delay = Loop(streams[0], block=160), vowel(0.01, 16000).astype(np.float32), streams[0].delay.samples
    for stream in streams[1:]:
        loop.replace(stream, delay)
    used = []
    for _ in range(20):
        loop.take(block)
        loop.work()
        used.append(streams.index(loop.converter))
    assert used == sorted(used) and used.count(1) == math.ceil((delay + 32) / 160) and loop._former is None


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", ["muted", "passthrough"])
def test_keys_act_at_once_on_what_is_replaced(name, count):
    """Before, the former stream, which is heard for the length of the delay, was deaf to them."""
    streams, expected = ([Stream(linear_model(16000), to) for to in ("bob", "ann", "bob")] for _ in range(2))
    samples, loop = cut(vowel(1.0, 16000).astype(np.float32), (160,)), Loop(streams[0], block=160)
    for block in samples[:50]:
        assert np.array_equal(loop._convert(block, hurry=False), expected[0].push(block))
    for stream in streams[1 : count + 1]:
        loop.replace(stream, stream.delay.samples)
    loop._convert(samples[50], hurry=False)
    expected[0].push(samples[50])
    setattr(streams[count], name, True)
    setattr(expected[0], name, True)
    for block in samples[51:54]:  # within the delay
        assert np.array_equal(loop._convert(block, hurry=False), expected[0].push(block))


def test_f0_is_shifted_at_once_in_what_is_replaced():
    former, other = (Stream(linear_model(16000), to, method="world") for to in ("bob", "ann"))
    loop = Loop(former, block=160)
    loop.replace(other, other.delay.samples)
    other.f0_options = F0Options(shift=3)
    loop._convert(np.zeros(160, np.float32), hurry=False)
    assert former.f0_options.shift == 3


def test_a_delay_that_is_too_short_for_the_other_voice_keeps_the_direction(sound_card, monkeypatch, capsys):
    speakers = {name: replace(two_speakers()[name], f0_floor=floor) for name, floor in (("ann", 150.0), ("bob", 80.0))}
    model = LinearModel(model_file.Model("mean_variance", WorldConfig(16000), {}, speakers, 0, "digest"), {})
    monkeypatch.setattr(model_file, "read_description", lambda _: model.model)
    monkeypatch.setattr(model_file, "read", lambda *_: (model.model, model.weights))
    words = ("--model", "pair", "--to", "bob", "--delay", 26)
    assert sound_card(*words, "--json", keys=b"mt") == 0
    shown = capsys.readouterr()
    last = json.loads(shown.out.splitlines()[-1])
    assert (last["source"], last["target"], last["muted"]) == ("ann", "bob", True)
    message = "ann to bob as before: a delay must be in 28..1000 ms for this voice, got 26"
    assert f"vc-live: warning: {message}" in shown.err.splitlines()
    pressed = iter("tq")
    monkeypatch.setattr(terminal, "keyboard", lambda pipe: contextlib.nullcontext(True))
    monkeypatch.setattr(terminal, "key", lambda _: next(pressed))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert sound_card(*words) == 0
    assert f"\r{message}\x1b[K\n" in capsys.readouterr().err  # a line of its own, which stays


def test_samples_that_are_not_finite_are_counted_in_both_directions(sound_card, monkeypatch, capsys):
    push = Stream.push

    def key(seconds: float) -> str:
        time.sleep(seconds)
        return next(pressed)

    pressed = iter(["", "", "", "t", "q"])
    monkeypatch.setattr(terminal, "key", key)
    monkeypatch.setattr(Stream, "push", lambda self, samples, hurry=False: push(self, samples * np.nan, hurry))
    assert sound_card("--model", PAIR, "--json") == 0
    counts = [json.loads(line)["not_finite"] for line in capsys.readouterr().out.splitlines()]
    assert counts == sorted(counts) and counts[-1] > 0


class Broken(Doubled):
    """In place of a stream: fails at once."""

    def push(self, samples: np.ndarray, hurry: bool = False) -> np.ndarray:
        raise ValueError("of the conversion")


def test_a_fault_of_the_conversion_is_not_blamed_on_the_sound_card(sound_card):
    with pytest.raises(ValueError, match="of the conversion"), connect(Broken()) as connection:
        for _ in range(500):
            connection.check()
            time.sleep(0.01)
    message = r"sound card: No input device.* must take 16000 Hz"
    with pytest.raises(ConfigError, match=message), connect(Broken(), input="none"):
        pass


def test_the_sound_cards_threads_run_before_the_worker(sound_card, monkeypatch):
    """Which would keep them waiting for as long as it computes."""
    priorities, started, start = [0], {}, threading.Thread.start

    @contextlib.contextmanager
    def scheduling(priority: int) -> Iterator[None]:
        priorities.append(priority)
        yield
        priorities.pop()

    def record(thread: threading.Thread) -> None:
        started[thread.name] = priorities[-1]
        start(thread)

    monkeypatch.setattr(system, "realtime_scheduling", scheduling)
    monkeypatch.setattr(threading.Thread, "start", record)
    with connect(Doubled()):
        pass
    worker = started.pop("vc-live")
    assert len(started) == 2 and 0 < worker < min(started.values())


def test_levels_are_of_what_comes_and_of_what_goes(sound_card, capsys):
    assert sound_card("--model", PAIR, "--json", "--seconds", 0.5, keys=b"p" * 5) == 0
    assert max(json.loads(line)["level_in"] for line in capsys.readouterr().out.splitlines()) > -15


SESSION = (["--json"], ["--virtual-mic", "a"], ["--seconds", "1"])  # options of a session with a sound card
DEVICES = (["--input-device", "0"], ["--output-device", "0"], ["--block", "20"], ["--latency", "0"], ["--slack", "3"])


@pytest.mark.parametrize("words", [*SESSION, *DEVICES, ["--measure"]], ids=" ".join)
def test_options_of_the_sound_card_are_refused_without_one(words, capsys):
    assert cli.main(["--model", str(PAIR), "--input", "a.wav", "--output", "b.wav", *words]) == 2
    assert capsys.readouterr().err == f"vc-live: error: {words[0]}: not with --input\n"


@pytest.mark.parametrize("words", SESSION, ids=" ".join)
def test_options_of_a_session_are_refused_where_delays_are_measured(words, capsys):
    assert cli.main(["--model", str(PAIR), "--measure", *words]) == 2
    assert capsys.readouterr().err == f"vc-live: error: {words[0]}: not with --measure\n"


@pytest.fixture
def sound_server(tmp_path, monkeypatch) -> Iterator[None]:
    """PulseAudio with one sink, whose monitor is the microphone."""
    pytest.importorskip("sounddevice", exc_type=(ImportError, OSError), reason="no sounddevice, or no PortAudio")
    if missing := [name for name in ("pulseaudio", "pactl") if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    socket = tmp_path / "socket"
    (tmp_path / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
    for name, value in (("HOME", tmp_path), ("XDG_RUNTIME_DIR", tmp_path), ("PULSE_SERVER", f"unix:{socket}")):
        monkeypatch.setenv(name, str(value))
    modules = (f"module-native-protocol-unix socket={socket} auth-anonymous=1", "module-null-sink sink_name=room")
    words = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
    with subprocess.Popen([*words, *(f"--load={module}" for module in modules)], stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(100):
                if subprocess.run(["pactl", "set-default-source", "room.monitor"], capture_output=True).returncode == 0:
                    break
                time.sleep(0.1)
            yield
        finally:
            server.terminate()


def live(*words: object) -> subprocess.CompletedProcess:
    """`vc-live` as its users start it: PortAudio does not outlive a fork."""
    line = [sys.executable, "-m", "vc", "live", "--model", PAIR, "--latency", 100, "--slack", 20, *words]
    return subprocess.run([str(word) for word in line], capture_output=True, text=True, cwd=ROOT, timeout=120)


def resident() -> int:
    """Memory that this process has now, in KB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


@pytest.mark.slow
@pytest.mark.timeout(0)  # hours of audio take hours
@pytest.mark.parametrize("method", METHODS)
def test_hours_change_neither_the_delay_nor_the_memory(method):
    """VC_LIVE_SECONDS of speech, hum, noise, silence, music and samples that are no numbers, in any blocks."""
    rate, random, seconds = 16000, np.random.default_rng(0), float(os.environ.get("VC_LIVE_SECONDS", "600"))
    stream, times, samples = Stream(linear_model(rate), method=method), np.arange(2 * rate) / rate, spoken(rate, 0.4)
    alone = stream.convert(samples)
    sounds = [
        vowel(2.0, rate, 240.0, seed=5),
        0.1 * np.sin(2 * np.pi * 50 * times),
        0.1 * random.standard_normal(2 * rate),
        np.zeros(2 * rate),
        0.2 * sum(np.sin(2 * np.pi * f * times) for f in (220, 277, 330)),
        np.where(random.random(2 * rate) < 0.01, random.choice([np.nan, np.inf, 1e30], 2 * rate), 0.0),
    ]
    stream.reset()
    count, early = round(seconds / 2), 0
    for number in range(count):
        blocks = cut(np.float32(sounds[random.integers(len(sounds))]), random.integers(1, 4800, 50))
        assert np.isfinite(pushed(stream, blocks)).all()
        if number == count // 10:
            early = resident()
    grown = resident() - early
    stream.push(np.zeros(5 * rate, dtype=np.float32))  # longer than its memory
    behind = pushed(stream, [samples, np.zeros(stream.delay.samples, dtype=np.float32)])[stream.delay.samples :]
    assert grown < 4096, f"{grown} KB more at the end than after a tenth of the time"
    powers = [np.square(each[: len(each) // 400 * 400].reshape(-1, 400)).mean(axis=1) for each in (alone, behind)]
    heard = powers[0] > 1e-2  # the vowel, without the hiss behind it
    assert heard.any() and np.abs(10 * np.log10(powers[0][heard] / powers[1][heard])).max() < 1


@pytest.mark.slow
def test_the_whole_loop_has_the_delay_that_is_measured(sound_server):
    done = live("--measure")
    assert done.returncode == 0, done.stderr
    measured = re.search(r"measured: ([\d.]+) ms .* \(([\d.]+) to ([\d.]+) of (\d+) clicks\)", done.stdout)
    mean, least, most, clicks = map(float, measured.groups())
    assert clicks >= 3 and most - least < 5 and 200 < mean < 900, done.stdout


def test_a_sound_server_that_keeps_a_module_loses_the_others_and_hides_no_error(tmp_path, monkeypatch, caplog):
    """Module 2 cannot be unloaded."""
    pactl, calls = tmp_path / "pactl", tmp_path / "calls"
    pactl.write_text(
        f"#!/bin/sh\necho $1 $2 >> '{calls}'\ncase $1,$2 in load*) grep -c load '{calls}';; *,2) exit 1;; esac\n"
    )
    pactl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ValueError, match="of the body"), virtual_microphone("mic"):
        raise ValueError("of the body")
    assert calls.read_text().splitlines()[2:] == ["unload-module 2", "unload-module 1"]
    assert "the sound server keeps module-remap-source" in caplog.text


@pytest.mark.slow
def test_a_virtual_microphone_is_there_while_one_speaks(sound_server):
    listed = ["pactl", "list", "short", "sources"]
    line = [sys.executable, "-m", "vc", "live", "--model", PAIR, "--virtual-mic", "vc_live", "--latency", "100"]
    with subprocess.Popen([*map(str, line)], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(150):
                if "\tvc_live\t" in subprocess.run(listed, capture_output=True, text=True).stdout:
                    break
                time.sleep(0.2)
            else:
                pytest.fail("no source vc_live")
            time.sleep(2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 143
        finally:
            process.kill()
    assert "vc_live" not in subprocess.run(listed, capture_output=True, text=True).stdout
