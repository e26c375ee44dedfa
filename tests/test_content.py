"""What is said, and how: content of an encoder, prosody, statistics, and where they are kept."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ENCODER, command

from vc.config import read_sections
from vc.convert.source import PRIOR, SourceContent
from vc.corpus import data_directory
from vc.encoders import choice, encoder_file
from vc.encoders.distilled import DistilledConfig, DistilledNetwork
from vc.encoders.features import complete, content_of, encoder_of
from vc.errors import ConfigError, DataError
from vc.features import kinds, mel
from vc.features.base import Frames
from vc.features.content import (
    ASPIRATION,
    ContentConfig,
    ContentFeatures,
    ContentMeter,
    ContentStatistics,
    excitation,
    log_mel_loudness,
    normalise_content,
    prosody,
    standard_loudness,
)
from vc.features.extract import extract, window_features
from vc.features.f0 import HIGHEST_F0, LOWEST_F0, LogF0
from vc.features.mel import MelConfig
from vc.features.speech import speech
from vc.features.store import read_archive, read_features, write_archive, write_features
from vc.train.experiment import resolve

MEL = MelConfig()
VOICE = LogF0(np.log(120), 0.2)
FLAT = ContentStatistics([0.0] * 4, 1.0, 0.0, 1.0)
SLOW = ContentConfig("x", dims=2, frame_rate=22050 / 512, first=256 / 22050)  # the distilled encoder's frames
FAST = ContentConfig("x", dims=2, frame_rate=50.0, first=0.01)  # Whisper's


# Prosody


def buzz(f0: float, seconds: float = 1.0) -> np.ndarray:
    """Every harmonic of F0 below half the rate, as strong as the next, of power 1e-3 in all."""
    times = np.arange(round(seconds * MEL.sample_rate)) / MEL.sample_rate
    harmonics = np.arange(1, int(MEL.sample_rate / 2 / f0) + 1)
    return np.sqrt(2e-3 / len(harmonics)) * sum(np.cos(2 * np.pi * f0 * number * times) for number in harmonics)


def mean_log_mel(samples: np.ndarray) -> np.ndarray:
    """`(bands,)` log of the mean magnitude of frames that see no end."""
    return np.log(np.exp(mel.analyse(samples, MEL)[8:-8]).mean(axis=0))


@pytest.mark.parametrize("f0", [80.0, 111.0, 157.0, 222.0, 330.0])
def test_excitation_is_the_log_mel_of_pulses_less_that_of_noise_as_strong(f0, random):
    noise = np.sqrt(1e-3) * random.standard_normal(20 * MEL.sample_rate)
    measured = mean_log_mel(buzz(f0)) - mean_log_mel(noise)
    [shown] = excitation(np.array([f0]), MEL)
    above = shown > np.log(ASPIRATION) / 2 + 1  # where pulses are stronger than what is breathed
    assert above.mean() > 0.5 and np.corrcoef(shown[above], measured[above])[0, 1] > 0.95
    assert np.abs(shown[above] - measured[above]).mean() < 0.25  # noise's magnitude varies: its mean is 0.12 below


def test_excitation_is_of_its_own_frame_alone(random):
    f0 = np.where(random.random(50) < 0.3, 0, random.uniform(50, 400, 50))
    shown, order = excitation(f0, MEL), random.permutation(50)
    assert shown.shape == (50, MEL.bands) and np.isfinite(shown).all()
    assert not shown[f0 == 0].any() and shown[f0 > 0].any(axis=1).all()
    np.testing.assert_array_equal(excitation(f0[order], MEL), shown[order])
    assert excitation(np.zeros(0), MEL).shape == (0, MEL.bands)


def test_excitation_beyond_its_bounds_is_that_at_them():
    for bound, beyond in ((LOWEST_F0, 3.0), (HIGHEST_F0, 9000.0)):
        at, past = excitation(np.array([bound, beyond]), MEL)
        np.testing.assert_array_equal(at, past)
    near = excitation(HIGHEST_F0 * 2.0 ** np.array([0, -1 / 4800]), MEL)
    assert np.abs(near[0] - near[1]).max() < 0.1


@pytest.mark.parametrize("config", [MelConfig(16000, 512, 128, 40, 60, 7600), MelConfig(24000, 512, 240, 100)])
def test_excitation_is_finite_of_any_analysis(config):
    shown = excitation(np.geomspace(20, 2000, 200), config)
    assert shown.shape == (200, config.bands) and np.isfinite(shown).all()


def test_prosody_has_melody_voicing_and_loudness_beside_the_excitation():
    f0, loud = np.array([0, 0, 120, 0, 0, 240, 0.0]), np.linspace(-1, 1, 7)
    rows = prosody(f0, loud, VOICE, MEL)
    assert rows.shape == (7, MEL.bands + 3) and rows.dtype == np.float32
    np.testing.assert_allclose(rows[:, : MEL.bands], excitation(f0, MEL), atol=1e-6)
    octave = np.log(2) / 0.2
    np.testing.assert_allclose(rows[:, -3], octave * np.array([0, 0, 0, 1 / 3, 2 / 3, 1, 1]), atol=1e-6)
    np.testing.assert_array_equal(rows[:, -2], f0 > 0)
    np.testing.assert_allclose(rows[:, -1], loud, rtol=1e-6)


@pytest.mark.parametrize(("f0", "voice"), [(100.0, None), (0.0, VOICE), (0.0, None)])
def test_prosody_of_a_whisper_has_no_melody(f0, voice):
    rows = prosody(np.full(5, f0), np.ones(5), voice, MEL)
    assert np.isfinite(rows).all() and not rows[:, -3].any() and (rows[:, -1] == 1).all()


def test_loudness_follows_gain(random):
    noise = 0.1 * random.standard_normal(22050)
    quiet, loud = (log_mel_loudness(mel.analyse(gain * noise, MEL)) for gain in (1, 3))
    np.testing.assert_allclose(loud - quiet, np.log(3), atol=1e-3)


# Statistics


def heard(random, frames: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Content, log-mel, and which frames are speech."""
    content = 3 + np.arange(4) * random.standard_normal((frames, 4))
    return content.astype(np.float32), random.normal(-5, 2, (frames, 80)), random.random(frames) < 0.7


@pytest.mark.parametrize("cuts", [(), (1,), (100, 100, 250)])
def test_a_meter_has_the_statistics_of_all_frames_however_they_are_cut(cuts, random):
    content, log_mel, speech = heard(random)
    meter = ContentMeter()
    for part in zip(*(np.split(each, cuts) for each in (content, log_mel, speech))):
        meter.add(*part)
    found, spoken, level = meter.statistics(), content[speech].astype(np.float64), log_mel_loudness(log_mel[speech])
    np.testing.assert_allclose(found.mean, spoken.mean(axis=0), rtol=1e-9)
    assert found.deviation == pytest.approx(np.sqrt(np.square(spoken - spoken.mean(axis=0)).mean()), rel=1e-6)
    assert (found.loudness_mean, found.loudness_deviation) == pytest.approx((level.mean(), level.std()), rel=1e-6)
    loud = standard_loudness(log_mel[speech], found)
    assert (loud.mean(), loud.std()) == (pytest.approx(0, abs=1e-9), pytest.approx(1))


def test_content_has_mean_0_and_the_deviation_relative_to_the_target(random):
    content, log_mel, speech = heard(random)
    meter = ContentMeter()
    meter.add(content, log_mel, speech)
    speaker = meter.statistics()
    for target, deviation in ((speaker, 1.0), (replace(speaker, mean=[0.0] * 4, deviation=2 * speaker.deviation), 0.5)):
        normalised = normalise_content(content[speech], speaker, target)
        np.testing.assert_allclose(normalised.mean(axis=0), 0, atol=1e-9)
        assert np.sqrt(np.square(normalised).mean()) == pytest.approx(deviation)


def test_a_prior_counts_as_frames_that_were_heard(random):
    (content, log_mel, speech), before = heard(random), heard(random, 200)
    first = ContentMeter()
    first.add(*before)
    prior, nothing = first.statistics(), np.zeros(300, bool)
    whole, meter = first, ContentMeter(prior, first.count)
    for each in (whole, meter):
        each.add(content, log_mel, speech)
    assert_alike(meter.statistics(), whole.statistics())
    silent = ContentMeter(prior, 7.0)
    silent.add(content, log_mel, nothing)
    assert_alike(silent.statistics(), prior)


def assert_alike(one: ContentStatistics, other: ContentStatistics) -> None:
    for name in vars(one):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6, err_msg=name)


def test_frames_that_never_vary_have_deviations_all_the_same():
    meter = ContentMeter()
    meter.add(np.ones((5, 4)), np.zeros((5, 80)), np.ones(5, bool))
    found = meter.statistics()
    assert found.deviation > 0 and found.loudness_deviation > 0


@pytest.mark.parametrize("wrong", [{"deviation": 0.0}, {"loudness_deviation": -1.0}, {"mean": [float("nan")]}])
def test_statistics_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match="content must be"):
        replace(FLAT, **wrong)


def piece(random, level: float, mean: float = 0.0) -> Frames:
    """Frames of a piece at a loudness in nepers, with content around a mean."""
    log_mel = level + random.normal(0, 0.3, (200, 80))
    return Frames(None, log_mel, None, (mean + random.standard_normal((200, 4))).astype(np.float32))


def test_known_statistics_win(random):
    known = replace(FLAT, deviation=2.0)
    assert SourceContent(known, FLAT, ContentFeatures()).statistics(piece(random, -4, 5.0)) is known


def test_an_unknown_speaker_is_gathered_and_a_silent_piece_after_speech_changes_nothing(random):
    config, target = ContentFeatures(), replace(FLAT, mean=[9.0] * 4)
    source = SourceContent(None, target, config)
    first, second = piece(random, -4, 1.0), piece(random, -4, 3.0)
    prior = PRIOR * config.frame_rate
    expected = (prior * 9.0 + first.content.astype(np.float64).sum(axis=0)) / (prior + 200)
    gathered = source.statistics(first)
    np.testing.assert_allclose(gathered.mean, expected, rtol=1e-6)
    assert source.statistics(piece(random, -11.5, 99.0)) == gathered
    both = expected * (prior + 200) + second.content.astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(source.statistics(second).mean, both / (prior + 400), rtol=1e-6)


def test_silence_before_speech_says_nothing_of_who_speaks(random):
    """Of a recording cut into pieces, the first may be digital silence or a quiet room."""
    spoken, expected = piece(random, -4, 1.0), SourceContent(None, FLAT, ContentFeatures())
    source = SourceContent(None, FLAT, ContentFeatures())
    for level in (np.log(mel.FLOOR), -10.5):
        source.statistics(piece(random, level, 99.0))
    assert source.statistics(spoken) == expected.statistics(spoken)


# Places


@pytest.mark.parametrize("content", [SLOW, FAST], ids=["43 a second", "50 a second"])
@pytest.mark.parametrize("length", [1, 100, 22050, 40000])
def test_content_that_is_its_own_time_gives_each_frames_centre(content, length):
    config = ContentFeatures(content=content)
    frames = -(-length // config.hop)
    count = max(1, int((length / config.sample_rate - content.first) * content.frame_rate) + 1)
    times = (content.first + np.arange(count) / content.frame_rate).astype(np.float32)
    places = config.content_positions(frames, count)
    at = config.content_at_frames(np.column_stack([times, -times]), frames)
    centres = (np.arange(frames) + 0.5) * config.hop / config.sample_rate
    np.testing.assert_allclose(at[:, 0], np.clip(centres, times[0], times[-1]), atol=1e-6)  # held at both ends
    np.testing.assert_array_equal(at[:, 1], -at[:, 0])
    assert len(places) == frames and places.min() >= 0 and places.max() <= count - 1


def test_content_is_of_the_moment_of_its_log_mel(encoder):
    """A click in the middle changes content there, seen at the same frames of both."""
    config = complete(features(encoder))
    samples = 1e-3 * np.random.default_rng(0).standard_normal(2 * config.sample_rate)
    clicked = samples.copy()
    clicked[100 * config.hop : 101 * config.hop] += 0.3
    both = [content_of(each, config, encoder_of(config)) for each in (samples, clicked)]
    frames = -(-len(samples) // config.hop)
    moved = np.abs(np.subtract(*(config.content_at_frames(each, frames) for each in both))).sum(axis=1)
    log_mels = np.abs(np.subtract(*(mel.analyse(each, MEL) for each in (samples, clicked)))).sum(axis=1)
    assert abs(np.average(np.arange(len(moved)), weights=moved) - 100) < 2
    assert abs(np.average(np.arange(len(moved)), weights=log_mels) - 100) < 2


# Settings


def features(encoder: object, **more) -> ContentFeatures:
    return kinds.build_features({"kind": "content", "content": {"encoder": str(encoder), **more}})


def other_encoder(path: Path, **sizes) -> Path:
    """Another encoder's file, of the same sizes but those given."""
    torch.manual_seed(1)
    network = DistilledNetwork(DistilledConfig(**{**ENCODER, **sizes}))
    encoder_file.write(path, encoder_file.EncoderModel("distilled", {**ENCODER, **sizes}), network.state_dict())
    return path


def test_settings_are_built_from_yaml():
    assert kinds.build_features({"kind": "content"}) == ContentFeatures()
    given = kinds.build_features(yaml.safe_load("{kind: content, hop: 128, content: {encoder: base, layer: 3}}"))
    assert given == ContentFeatures(hop=128, content=ContentConfig("base", 3))
    assert given.mel == MelConfig(hop=128) and given.archive == "mel"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"encoder": ""}, r"features\.content\.encoder"),
        ({"layer": -1}, r"features\.content\.layer must be in 0\.\.1000, got -1"),
        ({"encoder": 5}, r"features\.content\.encoder: expected str"),
        ({"size": 5}, r"features\.content: unknown key size"),
        ({"frame_rate": -1.0}, r"features\.content\.frame_rate"),
        ({"first": 2.0}, r"features\.content\.first"),
        ("base", r"features\.content: expected a mapping"),
    ],
)
def test_refuses_settings_by_name(given, message):
    with pytest.raises(ConfigError, match=message):
        kinds.build_features({"kind": "content", "content": given})


def test_log_mel_has_no_content():
    with pytest.raises(ConfigError, match="unknown key content"):
        kinds.build_features({"kind": "mel", "content": {}})
    assert complete(kinds.build_features({"kind": "mel"})) == kinds.build_features({"kind": "mel"})


def test_an_encoder_that_is_not_there_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="no encoder 'nosuch'; there are: "):
        complete(features("nosuch"))
    with pytest.raises(ConfigError, match=r"gone\.safetensors: no such encoder file"):
        complete(features(tmp_path / "gone.safetensors"))
    with pytest.raises(ConfigError, match="a distilled encoder has one layer, not 2"):
        complete(features(other_encoder(tmp_path / "e.safetensors"), layer=2))


def test_extraction_fills_in_what_the_encoder_knows(encoder):
    found = complete(features(encoder)).content
    assert found == replace(SLOW, encoder=str(encoder), dims=12, digest=choice.choose(str(encoder)).digest)
    assert complete(complete(features(encoder))) == complete(features(encoder))


def test_an_encoder_of_other_weights_is_refused(encoder, tmp_path):
    made = complete(features(encoder))
    path = tmp_path / "changing.safetensors"
    moved = replace(made, content=replace(made.content, encoder=str(path)))
    shutil.copy(encoder, path)
    assert complete(moved) == moved  # the same encoder elsewhere
    other_encoder(path)
    with pytest.raises(ConfigError, match=r"the weights of content encoder '.*changing\.safetensors' differ from"):
        complete(moved)


def test_training_settings_agree_with_the_features(encoder):
    made = complete(features(encoder))

    def asked(*settings: str):
        sections = read_sections(None, ["method=recognition_synthesis", *settings])
        return resolve(sections, made, ("bert",), "digest").features

    kind, same = "features.kind=content", f"features.content.encoder={encoder}"
    for settings in ((), (kind,), (kind, same), (kind, same, "features.hop=256")):
        assert asked(*settings) == made
    with pytest.raises(ConfigError, match=r"features\.content\.encoder is base, but the features were extracted with"):
        asked(kind, "features.content.encoder=base")
    with pytest.raises(ConfigError, match=r"features\.hop is 128, but the features were extracted with 256"):
        asked(kind, "features.hop=128")
    with pytest.raises(ConfigError, match=r"features\.content\.layer is 2, but"):
        asked(kind, "features.content.layer=2")


# On disk


def test_a_dump_holds_content_beside_log_mel(content, encoder):
    dump = read_features(content / "dump/train")
    assert dump.config == complete(features(encoder)) and len(dump.utterances) == 6
    for name in ("slt", "rms"):
        ids = [id for id, who in dump.utterances.items() if who == name]
        spoken = {utterance.id: utterance for utterance in data_directory.read(content / "data/train")}
        for id, said, log_mel, f0 in zip(ids, dump.content(name), dump.frames(name), dump.f0(name), strict=True):
            samples, _ = spoken[id].read(dump.config.sample_rate)
            np.testing.assert_array_equal(said, content_of(samples, dump.config, encoder_of(dump.config)))
            assert said.shape == (-(-len(log_mel) // 2), 12) and len(f0) == len(log_mel)


def test_statistics_of_content_are_of_speech_alone(content):
    dump = read_features(content / "dump/train")
    for name in ("slt", "rms"):
        log_mels, at = dump.frames(name), []
        for said, log_mel in zip(dump.content(name), log_mels):
            at.append(dump.config.content_at_frames(said, len(log_mel)))
        spoken = speech([dump.config.to_mel_cepstrum(each) for each in log_mels])
        at, level, spoken = np.concatenate(at), log_mel_loudness(np.concatenate(log_mels)), np.concatenate(spoken)
        found = dump.speakers[name].content
        assert not spoken.all()
        np.testing.assert_allclose(found.mean, at[spoken].mean(axis=0), rtol=1e-4, atol=1e-6)
        assert found.deviation == pytest.approx(np.sqrt(at[spoken].var(axis=0).mean()), rel=1e-3)
        assert found.loudness_mean == pytest.approx(level[spoken].mean(), rel=1e-6)
        assert found.loudness_deviation == pytest.approx(level[spoken].std(), rel=1e-6)


def test_extracting_the_same_again_does_nothing_and_another_encoder_does(content, encoder, tmp_path):
    dump = tmp_path / "dump"
    shutil.copytree(content / "dump/held_out", dump)
    assert extract(content / "data/held_out", dump, features(encoder)).up_to_date
    assert not extract(content / "data/held_out", dump, features(other_encoder(tmp_path / "o.safetensors"))).up_to_date


def test_an_interrupted_extraction_goes_on(content, encoder, tmp_path, monkeypatch):
    """What was encoded already is not encoded again, and is nothing once the encoder is another."""
    dump, data, analysed = tmp_path / "dump", content / "data/held_out", []

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def counted(*given: object) -> dict[str, np.ndarray]:
        analysed.append(given)
        return window_features(*given)

    with monkeypatch.context() as patch:
        patch.setattr("vc.features.store.write_features", interrupted)
        with pytest.raises(KeyboardInterrupt):
            extract(data, dump, features(encoder), jobs=1)
    monkeypatch.setattr("vc.features.extract.window_features", counted)
    extract(data, dump, features(encoder), jobs=1)
    whole, made = read_features(content / "dump/held_out"), read_features(dump)
    assert not analysed
    for one, other in zip(made.content("slt"), whole.content("slt"), strict=True):
        np.testing.assert_array_equal(one, other)
    with monkeypatch.context() as patch:
        patch.setattr("vc.features.store.write_features", interrupted)
        with pytest.raises(KeyboardInterrupt):
            extract(data, dump, features(other_encoder(tmp_path / "o.safetensors")), jobs=1)
    assert analysed


def test_content_survives_the_disk_and_what_is_damaged_is_refused(content, tmp_path, random):
    dump = read_features(content / "dump/train")
    rows = [
        (f"slt-{n}", "slt", dict(zip(("frames", "f0", "content"), arrays)))
        for n, arrays in enumerate(zip(dump.frames("slt"), dump.f0("slt"), dump.content("slt")))
    ]
    (tmp_path / "dump").mkdir()
    write_features(tmp_path / "dump", dump.config, "digest", dump.speakers, rows)
    copied = read_features(tmp_path / "dump")
    assert copied.config == dump.config and copied.speakers == dump.speakers
    for one, other in zip(copied.content("slt"), dump.content("slt"), strict=True):
        np.testing.assert_array_equal(one, other)
    wrong = {
        "another number of dims": random.standard_normal((9, 13)),
        "no frames": np.zeros((0, 12)),
        "a vector": np.zeros(12),
        "not finite": np.full((9, 12), np.nan),
    }
    for array in wrong.values():
        write_archive(tmp_path / "dump/content", [(id, array) for id in copied.utterances])
        with pytest.raises(DataError, match=r"content\.ark: slt-0: expected finite \(frames, 12\)"):
            copied.content("slt")
    shutil.copy(content / "dump/train/content.ark", tmp_path / "dump/content.ark")
    (tmp_path / "dump/content.ark").write_bytes((tmp_path / "dump/content.ark").read_bytes()[:100])
    with pytest.raises(DataError, match=r"content\.scp"):
        copied.content("slt")
    (tmp_path / "dump/content.scp").unlink()
    with pytest.raises(DataError, match=r"content\.scp: damaged"):
        copied.content("slt")


def test_features_without_content_have_no_archive_of_it(content):
    dump = read_features(content / "dump/train")
    assert {path.name for path in (content / "dump/train").iterdir() if path.suffix == ".scp"} == {
        "mel.scp",
        "f0.scp",
        "content.scp",
    }
    assert len(list(read_archive(content / "dump/train/content.scp", dump.utterances))) == 6


def test_speakers_keep_their_statistics_in_json(content):
    told = json.loads((content / "dump/train/speakers.json").read_text())
    assert len(told["slt"]["content"]["mean"]) == 12 and told["slt"]["content"]["deviation"] > 0


def test_the_command_refuses_an_unknown_encoder_in_one_line(content, tmp_path):
    settings = ("--set", "features.kind=content", "--set", "features.content.encoder=nosuch")
    done = command("extract", content / "data/train", tmp_path / "dump", *settings, check=2)
    [line] = done.stderr.decode().splitlines()
    assert line.startswith("vc-extract: error: no encoder 'nosuch'; there are: ") and not (tmp_path / "dump").exists()
