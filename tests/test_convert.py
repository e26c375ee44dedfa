"""vc-convert and vc.Converter on recordings that no training saw."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import CORPUS, beginning, command, vowel

import vc
from vc import devices, metrics, model_file
from vc.convert.converter import ConversionOptions, Converter
from vc.convert.level import speech_energy, speech_level, training_level_gain
from vc.corpus import audio, pieces
from vc.corpus.limiter import CEILING, LOOK_AHEAD
from vc.errors import ConfigError, DataError
from vc.features.f0 import WHISPER, F0Options, F0Range, f0_statistics
from vc.features.world import WorldConfig
from vc.tensor_file import read_tensors, write_tensors
from vc.vocoders import differential
from vc.vocoders.world import World

UTTERANCE = CORPUS / "eval/slt/101.flac"


@pytest.fixture(scope="module")
def converter(model) -> Converter:
    return vc.Converter.load(model / "model.safetensors")


def check(path, seconds, rate=16000):
    """What every output promises."""
    info = soundfile.info(path)
    samples, _ = soundfile.read(path)
    assert (info.channels, info.subtype, info.samplerate) == (1, "PCM_16", rate)
    assert abs(info.duration - seconds) < 0.02 and np.isfinite(samples).all()
    assert 0 < np.abs(samples).max() <= 1


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_and_channel_count(rate, channels, model, tmp_path):
    samples, original = audio.read(UTTERANCE)
    samples = audio.resample(samples, original, rate)
    soundfile.write(tmp_path / "in.wav", np.stack([samples] * channels, axis=1), rate)
    command("convert", "--model", model, tmp_path / "in.wav", "--output", tmp_path / "out.wav")
    check(tmp_path / "out.wav", len(samples) / rate)


def errors(done):
    """Lines on stderr that are no warnings; a network that learnt nothing is often too loud."""
    return [line for line in done.stderr.decode().splitlines() if "warning: " not in line]


def test_a_folder_is_mirrored(model, tmp_path):
    (tmp_path / "in/deep er").mkdir(parents=True)
    shutil.copy(UTTERANCE, tmp_path / "in/a.flac")
    shutil.copy(UTTERANCE, tmp_path / "in/deep er/-b.flac")
    done = command("convert", "--model", model, "in", cwd=tmp_path)
    assert done.stdout.decode() == "2 converted, 0 failed\n"
    for name in ("a.wav", "deep er/-b.wav"):
        check(tmp_path / "converted" / name, soundfile.info(UTTERANCE).duration)


def test_standard_input_to_standard_output(model, tmp_path):
    samples, rate = audio.read(UTTERANCE)
    done = command("convert", "--model", model, "-", "--output", "-", input=audio.encode(samples, rate))
    (tmp_path / "out.wav").write_bytes(done.stdout)
    check(tmp_path / "out.wav", len(samples) / rate)
    command("convert", "--model", model, UTTERANCE, "--output", tmp_path / "file.wav")
    assert (tmp_path / "file.wav").read_bytes() == done.stdout


def test_an_empty_folder_or_an_impossible_name_does_not_stop_the_others(model, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    inputs = (UTTERANCE, "empty", "x" * 300 + ".wav", "loop.wav")
    done = command("convert", "--model", model, *inputs, cwd=tmp_path, check=1)
    assert done.stdout.decode() == "1 converted, 3 failed\n" and len(errors(done)) == 3


@pytest.mark.parametrize("output", [".", "in", "in/deep"])
def test_output_may_lie_beside_in_or_above_the_input(output, model, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(UTTERANCE, tmp_path / "in/a.flac")
    command("convert", "--model", model, "in", "--output", output, cwd=tmp_path)
    assert (tmp_path / output / "a.wav").is_file()


def test_an_empty_folder_collides_with_nothing(model, tmp_path):
    (tmp_path / "x/a").mkdir(parents=True)
    shutil.copy(UTTERANCE, tmp_path / "a.flac")
    done = command("convert", "--model", model, "x/a", "a.flac", cwd=tmp_path, check=1)
    assert done.stdout == b"1 converted, 1 failed\n" and "x/a: a folder without recordings" in done.stderr.decode()


def test_what_is_no_file_is_not_replaced(model, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    done = command("convert", "--model", model, UTTERANCE, "--output", tmp_path / "pipe", check=2)
    assert b"exists and is not a file" in done.stderr and (tmp_path / "pipe").is_fifo()


def test_a_reader_that_leaves_is_no_error(model, tmp_path):
    line = [str(Path(sys.executable).with_name("vc-convert")), "--model", str(model), str(UTTERANCE), "--output", "-"]
    done = subprocess.run(["bash", "-c", '"$@" | true; exit "${PIPESTATUS[0]}"', "bash", *line], capture_output=True)
    assert done.returncode in (0, 141) and b"error" not in done.stderr


def test_the_same_command_twice_does_the_same(model, tmp_path):
    shutil.copy(UTTERANCE, tmp_path / "in.flac")
    for _ in range(2):
        assert b"1 converted, 0 failed" in command("convert", "--model", model, ".", cwd=tmp_path).stdout


def test_a_closed_standard_input_is_one_line(model, tmp_path):
    line = [str(Path(sys.executable).with_name("vc-convert")), "--model", str(model), "-", "--output", "o.wav"]
    done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *line], capture_output=True, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.decode().splitlines() == [
        "vc-convert: error: -: standard input is closed"
    ]


def test_a_name_that_could_break_the_line_is_escaped(model, tmp_path):
    (tmp_path / "a\n\x1b[31mb.wav").write_text("hello")
    done = command("convert", "--model", model, "a\n\x1b[31mb.wav", cwd=tmp_path, check=1)
    [line] = done.stderr.decode().splitlines()
    assert line.startswith("vc-convert: error: a\\n\\x1b[31mb.wav: not a recording")


def test_one_recording_goes_to_a_file_or_into_a_folder(model, tmp_path):
    (tmp_path / "there").mkdir()
    for output, made in (
        ("plain", "plain"),
        ("there", "there/101.wav"),
        ("new/", "new/101.wav"),
        ("a/b.wav", "a/b.wav"),
    ):
        done = command("convert", "--model", model, UTTERANCE, "--output", output, cwd=tmp_path)
        assert (tmp_path / made).is_file() and done.stdout == b""


def test_a_list_names_its_outputs_by_id(model, mini, tmp_path):
    command("convert", "--model", model, "--scp", mini / "data/eval/slt/wav.scp", "--output", tmp_path / "out")
    ids = [line.split()[0] for line in (mini / "data/eval/slt/wav.scp").read_text().splitlines()]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{id}.wav" for id in ids)


def test_a_command_in_a_list_is_refused(model, tmp_path):
    (tmp_path / "wav.scp").write_text(f"a touch {tmp_path}/PWNED |\n")
    done = command("convert", "--model", model, "--scp", tmp_path / "wav.scp", check=2)
    assert b"wav.scp:1: a is a command" in done.stderr and not (tmp_path / "PWNED").exists()


def test_bad_recordings_are_named_and_the_rest_is_converted(model, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(UTTERANCE, tmp_path / "in/good.flac")
    (tmp_path / "in/text.wav").write_text("hello")
    soundfile.write(tmp_path / "in/nan.wav", np.array([0.1, np.nan]), 16000, subtype="FLOAT")
    (tmp_path / "in/empty.flac").write_bytes(b"")
    done = command("convert", "--model", model, tmp_path / "in", "--output", tmp_path / "out", check=1)
    lines = errors(done)
    assert done.stdout.decode() == "1 converted, 3 failed\n" and len(lines) == 3
    assert all(line.startswith(f"vc-convert: error: {tmp_path}/in/") for line in lines)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.wav"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to convert"),
        (("in.wav", "--to", "nobody"), "no speaker 'nobody'; there are: slt, rms"),
        (("in.wav", "--to", "RMS"), "no speaker 'RMS'; there are: slt, rms; did you mean rms?"),
        (("in.wav", "--to", "slt", "--from", "slt"), "source and target are both 'slt'"),
        (("in.wav", "--output", "in.wav"), "is also an input"),
        (("in.wav", "--method", "diff", "--model", "six_voices", "--to", "TM1"), "diff needs a model of mel-cepstra"),
        (("in.wav", "deep/in.wav"), "would both become converted/in.wav"),
        (("in.wav", "in.wav"), "would both become converted/in.wav"),
        (("in.wav", "deep/in.wav", "--output", "-"), "only one recording"),
        (("in.wav", "--otput", "x"), "unrecognized arguments"),
        (("",), "an input or --output is empty"),
        (("in.wav", "--output", "out.flac"), "the output is a WAV file"),
        (("in.wav", "deep", "--output", "in.wav"), "is a file; here a folder is needed"),
        (("--scp", "gone.scp"), "gone.scp: missing"),
        (("in.wav", "--device", "cuda"), "no CUDA device can be used here"),
    ],
)
def test_wrong_usage_exits_2_and_writes_nothing(arguments, message, model, tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("in.wav", "deep/in.wav"):
        soundfile.write(tmp_path / name, vowel(0.5, 16000), 16000)
    done = command("convert", "--model", model, *arguments, cwd=tmp_path, check=2)
    assert message in done.stderr.decode() and b"Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*.wav")) == ["in.wav", "in.wav"]


def test_bad_models_are_refused_before_any_audio(model, tmp_path):
    content = (model / "model.safetensors").read_bytes()
    (tmp_path / "cut").write_bytes(content[:-100])
    (tmp_path / "text").write_text("hello")
    for name in ("cut", "text", "gone"):
        done = command("convert", "--model", tmp_path / name, UTTERANCE, "--output", tmp_path / "o.wav", check=2)
        assert done.stderr.decode().startswith(f"vc-convert: error: {tmp_path / name}: ")
        assert len(done.stderr.decode().splitlines()) == 1
    assert not (tmp_path / "o.wav").exists()


def rewritten(model, tmp_path, **changes):
    known, weights = model_file.read(model)
    model_file.write(tmp_path / "m.safetensors", replace(known, **changes), weights)
    return tmp_path / "m.safetensors"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "format 99; this version reads format 1"),
        ({"method": "unknown"}, "method: unknown 'unknown'"),
        ({"network": {"channels": 8}}, "weights do not fit cyclegan_vc2"),
        ({"network": {"channels": 400_000}}, "weights do not fit cyclegan_vc2"),
        ({"method": [1]}, "method must be a text|method: unknown"),
        ({"network": 5}, "network must be a mapping"),
        ({"step": "x"}, "step must be a number"),
        ({"network": {"widht": 8}}, "network: unknown key widht"),
        ({"features": WorldConfig(16000, order=30)}, "has 25 bands, the model 31"),
    ],
)
def test_models_that_lie_are_refused_by_name(changes, message, model, tmp_path):
    with pytest.raises(ConfigError, match=f"m.safetensors: .*{message}"):
        Converter.load(rewritten(model, tmp_path, **changes))


def test_a_small_file_for_many_speakers_is_refused_before_their_network_is_built(model, tmp_path, monkeypatch):
    """The directions of `nearest` grow with the square of the speakers, and each takes time and memory to build."""
    known, _ = model_file.read(model)
    speakers = {f"s{number}": known.speakers["slt"] for number in range(1000)}
    described = replace(known, method="nearest", network={}, speakers=speakers)
    model_file.write(tmp_path / "m.safetensors", described, {})
    monkeypatch.setattr("vc.models.build_network", None)
    with pytest.raises(ConfigError, match="weights do not fit nearest: 0 tensors for 999000 parts of 1000 speakers"):
        Converter.load(tmp_path / "m.safetensors")


def test_a_number_type_that_is_never_written_is_refused_by_name(tmp_path):
    header = json.dumps(
        {
            "a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]},
            "__metadata__": {"vc": "{}", "sha256": ""},
        }
    ).encode()
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    with pytest.raises(ConfigError, match=r"m\.safetensors: (tensor a is of type F4|damaged)"):
        Converter.load(tmp_path / "m.safetensors")


def test_a_file_from_before_a_window_was_a_setting_has_worlds(model, tmp_path):
    weights, content = read_tensors(model / model_file.NAME)
    assert content["features"].pop("unvoiced_f0") == WorldConfig(16000).unvoiced_f0 != 500
    write_tensors(tmp_path / "old.safetensors", weights, content)
    assert model_file.read(tmp_path / "old.safetensors")[0].features.unvoiced_f0 == 500


def test_both_directions_from_one_file(converter):
    samples, rate = audio.read(UTTERANCE)
    there, back = converter.convert(samples, rate), converter.convert(samples, rate, to="slt")
    assert converter.speakers == ("slt", "rms") and converter.sample_rate == 16000
    assert converter.direction() == ("slt", "rms") and converter.direction("slt") == ("rms", "slt")
    assert len(there) == len(back) == len(samples) and not np.array_equal(there, back)


def test_statistics_move_from_source_to_target(converter):
    """Means and variances alone: F0 goes to the target's, c0 stays."""
    samples, rate = audio.read(UTTERANCE)
    moved = converter.mean_variance().convert(samples, rate)
    config, target = WorldConfig(16000), converter.model.speakers["rms"]
    f0, frames = config.extract(moved, F0Range(50, 400))
    before_f0, before = config.extract(samples, F0Range(80, 400))
    moved_log = np.log(f0[f0 > 0]).mean()
    assert abs(moved_log - target.log_f0_mean) < abs(np.log(before_f0[before_f0 > 0]).mean() - target.log_f0_mean) / 3
    mean = np.array(target.mel_cepstrum_mean)[1:]
    length = min(len(frames), len(before))
    assert np.abs(frames[:, 1:].mean(axis=0) - mean).sum() < np.abs(before[:, 1:].mean(axis=0) - mean).sum()
    assert np.corrcoef(frames[:length, 0], before[:length, 0])[0, 1] > 0.95


def test_what_is_synthesised_has_the_sources_aperiodicity_and_f0_by_both_statistics(converter, monkeypatch):
    analyse, synthesise, seen = WorldConfig.analyse, World.synthesise, {}
    monkeypatch.setattr(WorldConfig, "analyse", lambda *given, **more: seen.setdefault("in", analyse(*given, **more)))

    def spy(vocoder, frames, config):
        seen["out"] = frames
        return synthesise(vocoder, frames, config)

    monkeypatch.setattr(World, "synthesise", spy)
    samples, rate = audio.read(UTTERANCE)
    converter.convert(samples[:rate], rate, source="slt", to="rms")
    taken, given = seen["in"], seen["out"]
    source, target = (converter.model.speakers[name].log_f0 for name in ("slt", "rms"))
    assert given.aperiodicity is taken.aperiodicity and np.array_equal(given.f0 > 0, taken.f0 > 0)
    voiced = taken.f0 > 0
    standard = np.clip((np.log(taken.f0[voiced]) - source.mean) / source.deviation, -4, 4)
    np.testing.assert_allclose(np.log(given.f0[voiced]), standard * target.deviation + target.mean)
    converted = converter.convert_frames(taken.spectrum, "slt", "rms")
    assert np.array_equal(converted[:, 0], taken.spectrum[:, 0])
    assert np.array_equal(converted[:, 1:], given.spectrum[:, 1:])


def test_silence_stays_silent(converter):
    assert np.abs(converter.convert(np.zeros(16000, np.float32), 16000)).max() < 1e-3


@pytest.mark.parametrize("length", [1, 100, 4000, 16001])
def test_length_is_kept_however_short(length, converter):
    samples = vowel(2.0, 16000)[:length]
    assert converter.convert(samples, 16000).shape == (length,)
    assert converter.convert(samples, 48000).shape == (round(length / 3),)


def test_the_output_is_as_loud_as_the_input(converter):
    samples, rate = audio.read(UTTERANCE)
    rumble = 0.1 * np.sin(2 * np.pi * 20 * np.arange(len(samples)) / rate).astype(np.float32)
    for gain, added in ((1.0, 0.0), (0.05, 0.0), (0.3, np.float32(0.1)), (0.3, rumble)):
        converted = converter.mean_variance().convert(gain * samples + added, rate, to="rms")
        expected = gain**2 * speech_energy(samples, rate)
        assert speech_energy(converted, rate) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("level", "usual", "gain"),
    [(-25, -20, 0), (-14, -20, 0), (-30, -20, 4), (-9, -20, -5), (-200, -20, 60), (None, -20, 0), (-50, None, 0)],
)
def test_a_level_far_from_that_in_training_is_brought_nearer(level, usual, gain):
    assert 20 * np.log10(training_level_gain(level, usual)) == pytest.approx(gain, abs=1e-4)


@pytest.mark.parametrize("method", ["world", "diff"])
def test_fainter_recordings_are_converted_alike(method, converter):
    """From 6 dB below the level in training on, a factor changes nothing but the loudness."""
    samples, rate = audio.read(UTTERANCE)

    def difference(converter: Converter) -> float:
        options = ConversionOptions(method=method)
        one, other = (converter.convert(np.float32(g) * samples, rate, options=options) / g for g in (0.2, 0.02))
        return np.linalg.norm(one - other) / np.linalg.norm(one)

    model = converter.model
    unknown = {name: replace(speaker, level=None) for name, speaker in model.speakers.items()}
    assert difference(converter) < 0.02
    assert difference(Converter(replace(model, speakers=unknown), converter.network)) > 0.05


def peaky(seconds: float = 1.0) -> np.ndarray:
    """As loud as can be, so that any peak of a conversion is too high."""
    return np.sign(vowel(seconds, 16000)) * np.float32(0.99)


def warned_of_peaks(caplog) -> list[str]:
    return [line for line in caplog.messages if " peaks lowered by " in line]


def test_peaks_that_would_clip_are_limited_with_a_warning(converter, tmp_path, caplog):
    anchor = converter.mean_variance()
    assert np.abs(anchor.convert(peaky(), 16000)).max() == pytest.approx(CEILING, abs=1e-3)
    [line] = warned_of_peaks(caplog)
    assert line.startswith("samples: peaks lowered by up to ")
    caplog.clear()
    soundfile.write(tmp_path / "in.wav", peaky(), 16000, subtype="FLOAT")
    anchor.convert_file(tmp_path / "in.wav", tmp_path / "out.wav")
    assert warned_of_peaks(caplog) == [line.replace("samples", str(tmp_path / "in.wav"))]
    np.testing.assert_allclose(audio.read(tmp_path / "out.wav")[0], anchor.convert(peaky(), 16000), atol=2**-14)


@pytest.mark.parametrize(
    ("block", "reason"),
    [(np.full(800, np.nan), "holds samples that are not finite"), (np.zeros((800, 2)), r"expected shape \(samples,\)")],
)
def test_a_stream_names_the_block_that_is_at_fault(block, reason, converter):
    with pytest.raises(DataError, match=f"^block 1 of the stream: {reason}"):
        list(converter.convert_stream([np.zeros(1600), block]))
    with pytest.raises(ConfigError, match="and finite, got inf"):
        list(converter.convert_stream([np.zeros(1600)], longest=float("inf")))


def test_a_limited_stream_keeps_its_length_and_warns_once(converter, caplog):
    given = np.array_split(peaky(4.0), 50)
    streamed = np.concatenate(list(converter.mean_variance().convert_stream(given, longest=1.0)))
    assert len(streamed) == 64_000 and np.abs(streamed).max() <= CEILING
    assert [line.split(" by ")[0] for line in warned_of_peaks(caplog)] == ["stream: peaks lowered"]


def test_a_folder_keeps_its_loudness_relations(converter):
    """One recording quiet, one loud and one so loud that its conversion has peaks beyond full scale."""
    samples, rate = audio.read(UTTERANCE)
    anchor, loudest = converter.mean_variance(), np.abs(samples).max()
    levels = []
    for peak in (0.1, 0.5, 0.8):
        recording = samples * (peak / loudest)
        levels.append(speech_level(anchor.convert(recording, rate, to="rms"), rate) - speech_level(recording, rate))
    unlimited = 8 * np.abs(anchor.convert(samples * (0.1 / loudest), rate, to="rms")).max()
    assert unlimited > 1.2  # else the last of them says nothing
    assert np.ptp(levels) < 0.5  # dB


def test_a_recording_of_another_scale_is_brought_to_full_scale(converter, tmp_path, caplog):
    samples, rate = audio.read(UTTERANCE)
    samples = samples / np.abs(samples).max()
    usual = converter.mean_variance().convert(samples, rate)
    caplog.clear()
    soundfile.write(tmp_path / "in.wav", 32768 * samples, rate, subtype="FLOAT")
    converter.mean_variance().convert_file(tmp_path / "in.wav", tmp_path / "out.wav")
    np.testing.assert_allclose(audio.read(tmp_path / "out.wav")[0], usual, atol=0.02)
    assert caplog.messages[0].endswith("in.wav: 90.3 dB above full scale; scaled down to it")


@pytest.mark.parametrize("bad", [np.zeros(0), np.array([np.nan]), np.zeros((2, 2, 2))])
def test_samples_that_are_none_are_refused(bad, converter):
    with pytest.raises(DataError, match="expected finite samples"):
        converter.convert(bad, 16000)


def test_the_input_is_not_written_into(converter):
    samples = vowel(0.6, 16000)
    before = samples.copy()
    converter.convert(samples, 16000)
    np.testing.assert_array_equal(samples, before)


def test_a_long_recording_keeps_its_length_from_array_and_file(converter, tmp_path):
    samples = np.tile(audio.read(UTTERANCE)[0], 13)
    assert len(samples) > pieces.LONGEST * 16000
    soundfile.write(tmp_path / "in.wav", samples, 16000, subtype="FLOAT")
    anchor = converter.mean_variance()
    converted = anchor.convert(samples, 16000)
    anchor.convert_file(tmp_path / "in.wav", tmp_path / "out.wav")
    assert len(converted) == len(samples)
    np.testing.assert_allclose(audio.read(tmp_path / "out.wav")[0], converted, atol=2**-14)


def test_the_model_file_says_what_it_is(model):
    known, weights = model_file.read(model)
    assert known.method == "cyclegan_vc2" and list(known.speakers) == ["slt", "rms"] and known.step == 20
    assert known.configuration["training"]["segment"] == 64 and len(known.data_digest) == 64
    assert known.features.sample_rate == 16000 and "ask them" in known.licence
    assert {name.split(".")[1] for name in weights} == {"to_target", "to_source"}
    from safetensors import safe_open

    with safe_open(model / "model.safetensors", framework="pt") as file:
        content = json.loads(file.metadata()["vc"])
    assert content["sample_rate"] == 16000 and content["format"] == 1


def test_conversion_is_the_same_every_time(converter):
    samples, rate = audio.read(UTTERANCE)
    torch.manual_seed(1)
    first = converter.convert(samples, rate)
    torch.manual_seed(2)
    np.testing.assert_array_equal(converter.convert(samples, rate), first)


def test_threads_and_pieces_change_nothing(model, tmp_path):
    for number in (1, 2, 3):
        beginning(CORPUS / f"eval/slt/10{number}.flac", tmp_path / f"{number}.flac")
    long = np.tile(audio.read(UTTERANCE)[0], 13)
    soundfile.write(tmp_path / "long.wav", long, 16000)
    assert len(long) > pieces.LONGEST * 16000
    command("convert", "--model", model, tmp_path, "--output", tmp_path / "three", "--jobs", 3)
    for path in (*tmp_path.glob("*.flac"), tmp_path / "long.wav"):
        for jobs in (1, 2) if path.suffix == ".wav" else (1,):
            command("convert", "--model", model, path, "--output", tmp_path / "one.wav", "--jobs", jobs)
            assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "three" / f"{path.stem}.wav").read_bytes()


@pytest.mark.skipif(not devices.computes_bf16(torch.device("cpu")), reason="this processor has no bf16 instructions")
def test_bf16_is_near_float32_and_something_else(model, converter):
    mel_cepstrum = converter.model.speakers["slt"].normaliser.inverse(
        np.random.default_rng(0).standard_normal((400, 25))
    )
    half = Converter.load(model, precision="bf16").convert_frames(mel_cepstrum, "slt", "rms")
    full = converter.convert_frames(mel_cepstrum, "slt", "rms")
    assert half.dtype == full.dtype and not np.array_equal(half, full)
    np.testing.assert_array_equal(half[:, 0], full[:, 0])
    assert metrics.mel_cepstral_distortion(half, full) < 0.5


def test_resuming_converts_only_what_is_missing(model, tmp_path):
    for name in ("a", "b"):
        shutil.copy(UTTERANCE, tmp_path / f"{name}.flac")
    arguments = ("convert", "--model", model, "a.flac", "b.flac", "--output", "out", "--resume")
    assert command(*arguments, cwd=tmp_path).stdout.decode() == "2 converted, 0 failed\n"
    (tmp_path / "out/b.wav").unlink()
    (tmp_path / "out/a.wav").write_bytes(b"mine")
    assert command(*arguments, cwd=tmp_path).stdout.decode() == "1 skipped, output exists\n1 converted, 0 failed\n"
    assert (tmp_path / "out/a.wav").read_bytes() == b"mine" and (tmp_path / "out/b.wav").is_file()
    assert b"not allowed with" in command(*arguments, "--overwrite", cwd=tmp_path, check=2).stderr
    command(*arguments[:-1], "--overwrite", cwd=tmp_path)
    check(tmp_path / "out/a.wav", soundfile.info(UTTERANCE).duration)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 143)])
def test_a_command_that_is_stopped_leaves_no_unfinished_file(number, code, tmp_path):
    script = """if True:
        import sys, threading, time
        from pathlib import Path
        from vc.cli import common
        from vc.files import replacing

        def work(_):
            with replacing(Path("out.wav")) as temporary:
                temporary.write_bytes(b"half")
                print("writing", flush=True)
                time.sleep(60)

        def threaded(args):
            threading.Thread(target=work, args=[args]).start()
            while True:  # a signal that arrives just before a sleep begins is handled after it
                time.sleep(0.1)

        sys.exit(common.run("vc-convert", threaded, common.parser("vc-convert", ""), []))
    """
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "writing\n" and len(list(tmp_path.iterdir())) == 1
            process.send_signal(number)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == code and errors == f"vc-convert: error: stopped by {number.name}\n"
    assert not list(tmp_path.iterdir())


def median_f0(samples: np.ndarray) -> float:
    f0, _ = WorldConfig(16000).extract(samples, F0Range(50, 500))
    return float(np.median(f0[f0 > 0]))


def test_f0_is_kept_shifted_and_flattened_as_asked(converter):
    samples, rate = audio.read(UTTERANCE)
    anchor = converter.mean_variance()
    usual, own = median_f0(anchor.convert(samples, rate)), median_f0(samples)
    assert median_f0(anchor.convert(samples, rate, options=ConversionOptions(F0Options(keep=True)))) == pytest.approx(
        own, rel=0.03
    )
    higher = median_f0(anchor.convert(samples, rate, options=ConversionOptions(F0Options(shift=5))))
    assert higher == pytest.approx(usual * 2 ** (5 / 12), rel=0.03)
    f0, _ = WorldConfig(16000).extract(
        anchor.convert(samples, rate, options=ConversionOptions(F0Options(scale=0.0))), F0Range(50, 500)
    )
    mean = np.exp(converter.model.speakers["rms"].log_f0_mean)
    assert np.percentile(np.abs(np.log(f0[f0 > 0] / mean)), 80) < 0.03


def test_somebody_else_is_converted_by_his_own_f0_with_a_warning(converter, caplog):
    other = vowel(3.0, 16000, f0=400.0)
    speaker = converter.model.speakers["rms"]
    assert speaker.f0_ceiling < 400
    f0 = median_f0(converter.mean_variance().convert(other, 16000, to="slt"))
    assert "F0 around 400 Hz, but rms speaks at" in caplog.text
    assert f0 == pytest.approx(np.exp(converter.model.speakers["slt"].log_f0_mean), rel=0.05)


def test_an_f0_range_is_taken_from_the_user_and_from_the_extraction(model, converter, tmp_path):
    arguments = ("convert", "--model", model, UTTERANCE, "--output", tmp_path / "x.wav")
    command(*arguments, "--f0-range", 60, 120)  # an octave too low for this voice
    low = median_f0(audio.read(tmp_path / "x.wav")[0])
    command(*arguments)
    assert low < 0.95 * median_f0(audio.read(tmp_path / "x.wav")[0])
    assert b"F0 range must satisfy" in command(*arguments, "--f0-range", 300, 200, check=2).stderr
    assert b"expected two numbers" in command(*arguments, "--f0-range", "low", 200, check=2).stderr
    slt = converter.model.speakers["slt"]
    samples, rate = audio.read(UTTERANCE)
    narrow = replace(slt, f0_floor=60.0, f0_ceiling=120.0)
    estimated, given = (
        replace(converter.model, speakers={**converter.model.speakers, "slt": replace(narrow, f0_range_given=given)})
        for given in (False, True)
    )
    estimated, given = (Converter(model, converter.network).mean_variance() for model in (estimated, given))
    chosen = estimated.convert(samples, rate, options=ConversionOptions(f0_range=F0Range(60, 120)))
    assert not np.array_equal(estimated.convert(samples, rate), chosen)
    np.testing.assert_array_equal(given.convert(samples, rate), chosen)


def test_a_voice_that_whispers_is_converted_to_without_f0(converter):
    samples, rate = audio.read(UTTERANCE)
    rms = replace(converter.model.speakers["rms"], log_f0_mean=None, log_f0_deviation=None)
    whispering = replace(converter.model, speakers={**converter.model.speakers, "rms": rms})
    converted = Converter(whispering, converter.network).mean_variance().convert(samples, rate)
    assert f0_statistics([WorldConfig(16000).track_f0(converted)], WorldConfig(16000).frame_rate, "rms") == WHISPER


def test_a_stream_gives_what_a_whole_recording_gives_in_time(converter):
    samples, rate = audio.read(UTTERANCE)
    samples = np.tile(samples, 3)
    taken, given = 0, 0

    def blocks():
        nonlocal taken
        for block in np.array_split(samples, len(samples) // 1000):
            taken += len(block)
            yield block

    parts = []
    for part in converter.mean_variance().convert_stream(blocks(), longest=1.5):
        given += len(part)
        parts.append(part)
        assert taken - given <= (1.5 + 2 * pieces.OVERLAP + LOOK_AHEAD) * rate + 1000
    whole, streamed = converter.mean_variance().convert(samples, rate), np.concatenate(parts)
    assert len(streamed) == len(samples) and np.abs(streamed).max() <= 1
    config, wide = WorldConfig(16000), F0Range(50, 400)
    (_, one), (_, other) = (config.extract(each, wide) for each in (whole, streamed))
    assert metrics.mel_cepstral_distortion(other, one) < 2


def test_a_difference_filters_the_recording_itself(converter):
    samples, rate = audio.read(UTTERANCE)
    made = converter.mean_variance().convert(samples, rate, options=ConversionOptions(method="diff"))
    config, wide = WorldConfig(16000), F0Range(50, 400)
    assert len(made) == len(samples) and median_f0(made) == pytest.approx(median_f0(samples), rel=0.02)
    (_, before), (_, after) = (config.extract(each, wide) for each in (samples, made))
    wanted = converter.mean_variance().convert_frames(before, "slt", "rms")
    assert metrics.mel_cepstral_distortion(after, wanted) < 0.5 * metrics.mel_cepstral_distortion(before, wanted)


def test_no_difference_is_no_change(random):
    config = WorldConfig(22050)  # a hop of 110.25 samples
    samples = random.standard_normal(20_000)
    nothing = np.zeros((round(20_000 / 110.25) + 1, config.bands))
    np.testing.assert_allclose(differential.filter_samples(samples, nothing, config), samples, atol=1e-9)
    louder = nothing + np.eye(1, config.bands) * np.log(2)
    np.testing.assert_allclose(differential.filter_samples(samples, louder, config), 2 * samples, atol=1e-8)


def test_a_difference_cannot_change_f0(model, tmp_path):
    arguments = ("--model", model, UTTERANCE, "--output", tmp_path / "x.wav", "--method", "diff", "--f0-shift", 3)
    assert b"method diff cannot change F0" in command("convert", *arguments, check=2).stderr
