"""Kinds of features: log-mel beside WORLD's mel-cepstra, through extraction, training, conversion and evaluation."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import CORPUS, TINY, command, vowel

from vc import metrics, model_file
from vc.config import plain
from vc.convert.converter import ConversionOptions, Converter
from vc.corpus import audio
from vc.errors import ConfigError
from vc.features import kinds, mel, world
from vc.features.content import ContentWorldFeatures
from vc.features.f0 import F0Options, F0Range
from vc.features.mel import MelConfig, MelFeatures, log_mel_of_envelope
from vc.features.store import read_features
from vc.features.world import WorldConfig
from vc.vocoders import choice, vocoder_file
from vc.vocoders.hifigan import HiFiGAN, HiFiGANConfig
from vc.vocoders.vocoder_file import VocoderModel
from vc.vocoders.world import WORLD

MEL, ENVELOPE = MelFeatures(), ContentWorldFeatures()
RANGE = F0Range(100, 400)
SPEECH = sorted((CORPUS / "eval/slt").iterdir())[0]


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return audio.read(SPEECH, MEL.sample_rate)[0]


@pytest.fixture(scope="module")
def mel_model(mini, mel_dump, tmp_path_factory) -> Path:
    """An experiment directory: `tiny.yaml` on log-mel of the mini corpus, slt -> rms."""
    output = tmp_path_factory.mktemp("mel") / "exp"
    pair = ["--features", mel_dump, "--source", "slt", "--target", "rms", "--output", output]
    once = ("--set", "training.samples=1", "--set", "training.sample_every=20")
    command("train", "--config", TINY, *pair, "--validation", mini / "data/eval/slt", *once)
    return output


def vocoder_of(mel: MelConfig, path: Path) -> Path:
    config = HiFiGANConfig(16, [mel.hop // 16, 16], [mel.hop // 8, 32], [3], [[1]])
    torch.manual_seed(0)
    network = HiFiGAN(config, mel)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    vocoder_file.write(path, VocoderModel("hifigan", mel, vars(config)), network.state_dict())
    return path


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, WorldConfig()), ({"kind": "world", "order": 20}, WorldConfig(order=20)), ({"kind": "mel"}, MEL)],
)
def test_settings_choose_their_kind(given, expected):
    assert kinds.build_features(given) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "linear"}, r"features\.kind: unknown 'linear'; known: world, mel, content"),
        ({"kind": ["mel"]}, r"features\.kind: unknown \['mel'\]"),
        ({"kind": "mel", "order": 24}, "features: unknown key order"),
        ({"hop": 256}, "features: unknown key hop"),
        ({"kind": "mel", "f0_method": "ear"}, "f0_method: unknown 'ear'"),
        ({"kind": "mel", "hop": 4, "fft_size": 64}, r"mel\.hop must be"),
        ({"kind": "content", "fft_size": 256}, "80 are too narrow for an FFT of 256 samples"),
        ({"kind": "content_world", "fft_size": 8192, "bands": 600}, "600 are too narrow for an FFT of 1024 samples"),
        ([], "features: expected a mapping"),
    ],
)
def test_refuses_settings_by_name(given, message):
    with pytest.raises(ConfigError, match=message):
        kinds.build_features(given)


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_every_kind_keeps_the_laws_of_features(kind):
    config = kinds.build_features({"kind": kind})
    assert config.kind == kind and kinds.build_features({"kind": kind, **plain(config)}) == config
    samples = vowel(0.5, config.sample_rate, 150.0)
    f0, frames = config.extract(samples, RANGE)
    assert [shape for _, shape in config.archives.values()][:2] == [frames.shape[1:], f0.shape[1:]]
    assert frames.shape == (len(f0), config.bands) and abs(len(f0) - config.frame_rate / 2) <= 1
    assert not config.extract(samples, None)[0].any() and np.median(f0) == pytest.approx(150, rel=0.01)
    excited = config.analyse(samples, RANGE)
    np.testing.assert_array_equal(excited.f0, f0)
    np.testing.assert_array_equal(excited.spectrum, frames)
    np.testing.assert_array_equal(config.analyse(samples, RANGE, excitation=False).spectrum, frames)
    mel_cepstra, envelope = config.to_mel_cepstrum(frames), config.envelope(frames)
    assert mel_cepstra.shape == (len(f0), config.world.order + 1) and (envelope > 0).all()
    assert envelope.shape == excited.aperiodicity.shape == (len(f0), config.world.bins)
    assert config.world.frame_rate == pytest.approx(config.frame_rate) and 0 <= config.unconverted_bands < config.bands
    np.testing.assert_allclose(config.restore_power(frames, frames), frames)


def test_frames_cover_the_samples_and_f0_stands_beside_them():
    samples = vowel(1.0, MEL.sample_rate, 150.0)[: 256 * 80 + 7]
    f0, spectrum = MEL.extract(samples, RANGE)
    frames = MEL.analyse(samples, RANGE)
    assert spectrum.shape == (81, 80) and len(f0) == len(frames.aperiodicity) == 81
    np.testing.assert_array_equal(spectrum, frames.spectrum)
    np.testing.assert_allclose(f0[10:-10], 150, rtol=0.01)
    assert not MEL.analyse(samples, None).f0.any()


@pytest.mark.parametrize("method", world.F0_METHODS)
@pytest.mark.parametrize("length", [1, 128, 300])
def test_less_than_a_frame_has_features_too(method, length):
    f0, spectrum = replace(MEL, f0_method=method).extract(0.1 * np.ones(length, np.float32), RANGE)
    assert len(f0) == len(spectrum) == -(-length // 256) and np.isfinite(spectrum).all()


def test_f0_and_log_mel_are_of_the_same_moment():
    """A vowel begins in the middle: its first loud frame and its first voiced one are the same, to a frame."""
    samples = np.concatenate([np.zeros(22050 // 2, np.float32), vowel(0.5, MEL.sample_rate, 150.0)])
    f0, spectrum = MEL.extract(samples, RANGE)
    loud = spectrum.mean(axis=1) > spectrum.mean(axis=1).max() - 3
    assert abs(int(np.argmax(loud)) - int(np.argmax(f0 > 0))) <= 2
    assert abs(int(np.argmax(loud)) - 22050 // 2 // 256) <= 2


@pytest.mark.parametrize("fft_size", [1024, 2048])
def test_log_mel_of_an_envelope_is_that_of_noise_with_the_envelope(fft_size, random):
    config = replace(ENVELOPE, fft_size=fft_size)
    noise = 0.1 * random.standard_normal(10 * config.sample_rate)
    flat = np.full((1, config.world.bins), 0.01)
    expected = np.log(np.exp(mel.analyse(noise, config)).mean(axis=0)) - np.log(np.pi / 4) / 2  # mean of magnitudes
    wide = slice(25, None)  # narrower filters hold few bins
    np.testing.assert_allclose(log_mel_of_envelope(flat, config)[0, wide], expected[wide], atol=0.07)


def test_an_envelope_has_no_harmonics():
    """One vowel at two pitches: the spectra differ between and at harmonics, the envelopes hardly."""
    low, high = (vowel(0.5, MEL.sample_rate, pitch) for pitch in (110.0, 233.0))

    def distance(config: MelFeatures) -> float:
        spectra = [np.median(config.extract(samples, RANGE)[1], axis=0) for samples in (low, high)]
        different = (spectra[0] - spectra[1])[8:40]
        return float(np.std(different))

    assert distance(ENVELOPE) < 0.5 * distance(replace(MEL, hop=ENVELOPE.hop))


def test_no_neural_vocoder_takes_the_log_mel_of_envelopes(tmp_path, caplog):
    assert choice.usual(ENVELOPE) is WORLD and not caplog.messages
    vocoder = choice.choose(str(vocoder_of(replace(MelConfig(), hop=ENVELOPE.hop), tmp_path / "v.safetensors")))
    vocoder.check_features(ENVELOPE)  # as of WORLD's mel-cepstra, it takes the log-mel of what WORLD synthesises
    frames = ENVELOPE.analyse(vowel(0.3, MEL.sample_rate, 150.0), RANGE)
    assert vocoder.needs_excitation(ENVELOPE) and np.isfinite(vocoder.synthesise(frames, ENVELOPE)).all()


def test_mel_cepstra_follow_gain_alone_in_c0():
    """Linear in the logarithm: twice the samples is c0 higher by ln 2 and nothing else, far above the floor."""
    noise = 0.2 * np.random.default_rng(0).standard_normal(22050).astype(np.float32)
    loud, soft = (MEL.to_mel_cepstrum(MEL.analyse(gain * noise, None).spectrum) for gain in (1, 0.5))
    np.testing.assert_allclose((loud - soft)[:, 0], np.log(2), atol=1e-3)
    np.testing.assert_allclose(loud[:, 1:], soft[:, 1:], atol=1e-3)
    assert WorldConfig().to_mel_cepstrum(loud) is loud


def test_mel_cepstra_of_noise_are_worlds():
    """White noise has a flat spectrum: c0 is half the logarithm of its power, and WORLD's is the same."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * 22050)
    cepstra = MEL.to_mel_cepstrum(MEL.extract(noise.astype(np.float32), RANGE)[1]).mean(axis=0)
    _, theirs = MEL.world.extract(noise, RANGE)
    assert cepstra[0] == pytest.approx(np.log(0.1), abs=0.35)  # the mean of a logarithm lies below that of the power
    assert cepstra[0] == pytest.approx(theirs.mean(axis=0)[0], abs=0.35)
    assert np.abs(cepstra[1:]).max() < 0.1


def test_world_speaks_from_log_mel(speech):
    """Same length, same pitch, and nearer to the recording than to silence or to another sentence."""
    frames = MEL.analyse(speech, RANGE)
    copied = WORLD.synthesise(frames, MEL)[: len(speech)]
    assert np.isfinite(copied).all() and abs(len(copied) - len(speech)) < 2 * MEL.hop
    other = audio.read(sorted((CORPUS / "eval/slt").iterdir())[1], MEL.sample_rate)[0]
    settings = WorldConfig(16000)  # what the bands cover
    lower = (audio.resample(each.astype(np.float32), MEL.sample_rate, 16000) for each in (speech, copied, other))
    (f0, own), (its_f0, made), (_, another) = (settings.extract(each, RANGE) for each in lower)
    assert metrics.mel_cepstral_distortion(made, own) < 0.6 * metrics.mel_cepstral_distortion(another, own)
    length = min(len(f0), len(its_f0))
    both = (f0[:length] > 0) & (its_f0[:length] > 0)
    assert np.median(np.abs(np.log(its_f0[:length][both] / f0[:length][both]))) < 0.02


def test_features_and_model_remember_their_kind(mel_dump, mel_model):
    features = read_features(mel_dump)
    made_with = replace(MEL, f0_method="dio")
    assert features.config == made_with and (mel_dump / "mel.ark").is_file()
    assert {frames.shape[1] for frames in features.frames("slt")} == {80}
    model, _ = model_file.read(mel_model)
    assert model.features == made_with and len(model.speakers["slt"].mel_cepstrum_mean) == 80
    assert list((mel_model / "samples").glob("*.wav"))  # by WORLD: training asks for no vocoder


def test_every_band_of_log_mel_is_converted(mel_model, speech):
    converter = Converter.load(mel_model, vocoder="world").mean_variance()
    frames = MEL.analyse(speech, None).spectrum
    source, target = (converter.model.speakers[name].normaliser for name in ("slt", "rms"))
    expected = target.inverse(source.transform(frames))
    np.testing.assert_allclose(converter.convert_frames(frames, "slt", "rms"), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["world", "neural"])
def test_a_model_is_given_faint_recordings_at_one_level(name, mel_model, speech, tmp_path, monkeypatch):
    """Whether or not its vocoder takes F0, from whose voiced frames the level is known."""
    vocoder = "world" if name == "world" else vocoder_of(MEL.mel, tmp_path / "neural.safetensors")
    converter, given = Converter.load(mel_model, vocoder=vocoder), []
    convert_frames = converter.convert_frames

    def noted(frames: np.ndarray, *direction: str) -> np.ndarray:
        given.append(frames)
        return convert_frames(frames, *direction)

    monkeypatch.setattr(converter, "convert_frames", noted)
    usual = converter.model.speakers["slt"].normaliser.mean_.mean()
    for factor in (0.2, 0.05, 0.01):
        converter.convert(np.float32(factor) * speech, MEL.sample_rate)
    loud = np.exp(given[0]).mean(axis=1) > np.exp(given[0]).mean()
    levels = [frames[loud].mean() for frames in given]
    assert np.ptp(levels) < 0.05 and abs(levels[0] - usual) < 1.5


def test_a_mel_model_speaks_through_any_vocoder_that_fits(mel_model, tmp_path):
    fits = vocoder_of(MEL.mel, tmp_path / "fits.safetensors")
    other = vocoder_of(replace(MEL.mel, hop=128, highest=7600.0), tmp_path / "other.safetensors")
    for vocoder in ("world", fits):
        out = tmp_path / "out.wav"
        command("convert", "--model", mel_model, "--vocoder", vocoder, SPEECH, "--output", out)
        info = soundfile.info(out)
        assert info.samplerate == 22050 and abs(info.duration - audio.info(SPEECH).seconds) < 0.02
    words = ("convert", "--model", mel_model, SPEECH, "--output", tmp_path / "no.wav")
    refused = command(*words, "--vocoder", other, check=2).stderr.decode()
    assert "hop (256 -> 128), highest (8000.0 -> 7600.0)" in refused
    assert b"F0 cannot be changed" in command(*words, "--vocoder", fits, "--f0-shift", 2, check=2).stderr
    assert (
        b"method diff needs a model of mel-cepstra"
        in command(*words, "--vocoder", "world", "--method", "diff", check=2).stderr
    )
    assert not (tmp_path / "no.wav").exists()


def test_without_its_vocoder_a_mel_model_says_so_and_speaks(mel_model, tmp_path, monkeypatch, caplog, speech):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(choice.published, "installed", lambda: False)
    converter = Converter.load(mel_model)
    assert converter.vocoder is WORLD and "vc-vocoder import" in caplog.text
    higher = converter.convert(speech, MEL.sample_rate, options=ConversionOptions(F0Options(shift=6)))
    assert len(higher) == len(speech)
    vocoder_of(MEL.mel, choice.path_of("hifigan").parent.mkdir(parents=True) or choice.path_of("hifigan"))
    assert Converter.load(mel_model).vocoder is not WORLD
    vocoder_of(replace(MEL.mel, hop=128), choice.path_of("hifigan"))
    assert Converter.load(mel_model).vocoder is WORLD and "hop (256 -> 128)" in caplog.text


@pytest.mark.slow
def test_a_mel_model_is_evaluated(mel_model, mini, tmp_path):
    words = ("--model", mel_model, "--to", "rms", "--vocoder", "world")
    command("convert", *words, CORPUS / "eval/slt", "--output", tmp_path / "made")
    data = ("--reference", mini / "data/eval/rms", "--source", mini / "data/eval/slt", "--model", mel_model)
    done = ("--converted", tmp_path / "made", "--measures", "none", "--output", tmp_path / "results", "--jobs", 1)
    command("evaluate", *done, *data)
    results = json.loads((tmp_path / "results/metrics.json").read_text())
    assert results["mcd"] > 0 and results["cycle"] is not None and "mean_variance" in results["anchors"]


def test_methods_refuse_kinds_that_they_cannot_learn_from(mel_dump, mel_model, tmp_path):
    pair = ("--features", mel_dump, "--source", "slt", "--target", "rms", "--output", tmp_path / "exp")
    (tmp_path / "warp.yaml").write_text("method: warp\n")
    done = command("train", "--config", tmp_path / "warp.yaml", *pair, check=2)
    assert b"method warp learns from features of kind world, not mel" in done.stderr
    (tmp_path / "other.yaml").write_text("method: nearest\nfeatures: {order: 24}\n")
    done = command("train", "--config", tmp_path / "other.yaml", *pair, check=2)
    assert b"features.kind is world, but the features were extracted with mel" in done.stderr
    done = command("export", "--model", mel_model, "--output", tmp_path / "x.onnx", check=2)
    assert b"features of kind world" in done.stderr


def test_recordings_need_the_rate_of_the_highest_band_only(tmp_path):
    for rate in (16000, 12000):
        for number in range(3):
            audio.write(tmp_path / f"{rate}-{number}.wav", vowel(1.0, rate, 120 + number), rate)
        (tmp_path / "list").write_text("".join(f"a-{n} {tmp_path}/{rate}-{n}.wav\n" for n in range(3)))
        (tmp_path / f"data{rate}").mkdir()
        (tmp_path / f"data{rate}/wav.scp").write_text((tmp_path / "list").read_text())
        (tmp_path / f"data{rate}/utt2spk").write_text("a-0 a\na-1 a\na-2 a\n")
        (tmp_path / f"data{rate}/spk2utt").write_text("a a-0 a-1 a-2\n")
    settings = ("--set", "features.kind=mel")
    command("extract", tmp_path / "data16000", tmp_path / "dump", *settings)
    done = command("extract", tmp_path / "data12000", tmp_path / "low", *settings, check=2)
    assert b"12000" in done.stderr


def test_excitation_is_made_where_it_is_wanted_and_world_needs_it(speech):
    frames = MEL.analyse(speech, RANGE, excitation=False)
    assert frames.f0 is None and frames.aperiodicity is None
    whispered = MEL.analyse(speech, None)
    assert not whispered.f0.any() and len(whispered.aperiodicity) == len(frames.spectrum)
    assert WORLD.needs_excitation(MEL) and WORLD.needs_excitation(WorldConfig())
