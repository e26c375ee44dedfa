"""Laws of live conversion by a decoder: blocks and the future change nothing; looking far ahead, it equals offline."""

import json
from dataclasses import replace
from itertools import chain, cycle, repeat

import numpy as np
import pytest
import torch
from conftest import CORPUS, command, two_speakers, vowel
from test_live import PAIR, sound_card, spoken  # noqa: F401 - a fixture

from vc import model_file
from vc.cli import live as cli
from vc.convert.converter import Converter
from vc.convert.source import SourceContent, SourceVoice
from vc.corpus import audio
from vc.corpus.limiter import CEILING
from vc.encoders import choice as encoders
from vc.encoders import encoder_file
from vc.encoders.distilled import DistilledConfig, DistilledEncoder, DistilledNetwork
from vc.encoders.encoder_file import EncoderModel
from vc.encoders.features import complete, content_of
from vc.errors import ConfigError
from vc.features.base import Frames
from vc.features.content import ContentFeatures, ContentStatistics, ContentWorldFeatures
from vc.features.f0 import F0Options, F0Range, LogF0
from vc.features.mel import MelConfig, MelFeatures
from vc.live import choice
from vc.live.decoder import DecoderStream, SourcePitch, live_encoder
from vc.live.delay import DecoderDelay
from vc.live.device import Loop
from vc.live.online_world import OnlineWorld
from vc.models.recognition_synthesis import RecognitionSynthesis, RecognitionSynthesisConfig
from vc.vocoders import vocoder_file
from vc.vocoders.hifigan import HiFiGAN, HiFiGANConfig
from vc.vocoders.istft import ISTFT, ISTFTConfig
from vc.vocoders.neural import NeuralVocoder
from vc.vocoders.vocoder_file import VocoderModel
from vc.vocoders.world import WORLD

SPEECH = sorted((CORPUS / "eval/slt").iterdir())[0]
DIMS, FRAMES = 6, 8  # of a block
GENERATOR = HiFiGANConfig(16, [16, 16], [32, 32], [3, 5], [[1, 2], [1]])


@pytest.fixture(scope="module")
def vocoder() -> NeuralVocoder:
    torch.manual_seed(0)
    network = HiFiGAN(GENERATOR, ContentFeatures().mel)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    return NeuralVocoder(network, ContentFeatures().mel)


@pytest.fixture(scope="module")
def vocoder_path(vocoder, tmp_path_factory):
    path = tmp_path_factory.mktemp("vocoder") / "small.safetensors"
    vocoder_file.write(path, VocoderModel("hifigan", vocoder.mel, vars(GENERATOR)), vocoder.network.state_dict())
    return path


@pytest.fixture(scope="module", params=[ContentFeatures(), ContentWorldFeatures()], ids=lambda features: features.kind)
def converter(request, vocoder) -> Converter:
    """Small and random: from anyone to Ann or Bob, of whom Ann whispers; through HiFi-GAN or WORLD."""
    torch.manual_seed(0)
    encoder = DistilledEncoder(DistilledNetwork(DistilledConfig(dims=DIMS, channels=8, kernel=3, dilations=[1, 2])))
    features = complete(request.param, encoder)
    speakers = {}
    for number, (name, speaker) in enumerate(two_speakers().items()):
        content = ContentStatistics(np.full(DIMS, 0.1 * number).tolist(), 1.0, -4.0, 1.5)
        moments = {"mel_cepstrum_mean": [-5.0] * features.bands, "mel_cepstrum_deviation": [2.0] * features.bands}
        speakers[name] = replace(speaker, **moments, content=content)
    speakers["ann"] = replace(speakers["ann"], log_f0_mean=None, log_f0_deviation=None)
    config = RecognitionSynthesisConfig(channels=16, content_channels=8, kernel=3, dilations=[1, 2])
    network = RecognitionSynthesis(config, features.bands, DIMS, tuple(speakers))
    model = model_file.Model("recognition_synthesis", features, {}, speakers, 0, "digest")
    return Converter(model, network, vocoder=vocoder if features.mel else WORLD, encoder=encoder)


@pytest.fixture(scope="module")
def stream(converter) -> DecoderStream:
    return DecoderStream(converter, "bob")


def pushed(stream: DecoderStream, samples: np.ndarray, *lengths: int) -> np.ndarray:
    """What a stream makes of samples that come in blocks of the lengths given, over and over."""
    stream.reset()
    outputs, lengths = [], cycle(lengths)
    while len(samples):
        block, samples = np.split(samples, [next(lengths)])
        outputs.append(stream.push(block))
        assert len(outputs[-1]) == len(block)
    return np.concatenate(outputs)


def assert_alike(stream: DecoderStream, one: np.ndarray, other: np.ndarray, tolerance: float) -> None:
    """Equal samples but for `tolerance`; of WORLD, whose pulses and noise may begin elsewhere, equal levels."""
    if isinstance(stream._vocoder, OnlineWorld):
        levels = [
            np.sqrt(np.square(each[: len(each) // 2048 * 2048].reshape(-1, 2048)).mean(1)) for each in (one, other)
        ]
        np.testing.assert_allclose(*levels, rtol=0.3)
    else:
        np.testing.assert_allclose(one, other, atol=tolerance)


def vocoded_online(frames: Frames, config: MelFeatures) -> np.ndarray:
    """What OnlineWorld makes of frames that come in blocks, without its lag."""
    online, parts = OnlineWorld(config), []
    for first in range(0, len(frames.f0), 16):
        block = (part[first : first + 16] for part in (frames.f0, frames.spectrum, frames.aperiodicity))
        parts.append(online.push(Frames(*block)))
        assert len(parts[-1]) == config.hop * len(frames.f0[first : first + 16])
    return np.concatenate(parts)[online.lag * config.hop :]


def test_world_synthesises_the_same_spectrum_online():
    config = ContentWorldFeatures()
    frames = config.analyse(vowel(1.0, config.sample_rate, f0=150.0), F0Range(100, 300))
    middle = slice(4000, 18000)
    both = (vocoded_online(frames, config), WORLD.synthesise(frames, config))
    spectra = [np.abs(np.fft.rfft(samples[middle] * np.hanning(14000))) for samples in both]
    assert abs(np.argmax(spectra[0]) - np.argmax(spectra[1])) <= 1  # the loudest harmonic
    levels = [np.log(np.add.reduceat(spectrum, np.arange(0, 2000, 250))) for spectrum in spectra]
    np.testing.assert_allclose(*levels, atol=0.2)


@pytest.mark.parametrize("config", [ContentFeatures(), ContentWorldFeatures()], ids=lambda config: config.kind)
def test_world_puts_sound_where_its_frames_are(config):
    log_mel = np.full((200, config.bands), -9.0)
    log_mel[100:104] = -2.0
    noise = Frames(np.zeros(200), log_mel, np.ones((200, config.world.bins)))
    power = np.square(vocoded_online(noise, config))
    assert np.average(np.arange(len(power)), weights=power) == pytest.approx(102 * config.hop, abs=config.hop / 4)


@pytest.mark.parametrize("lengths", [[7, 1, 3000], [2048]])
def test_blocks_of_any_length_give_the_same_samples(stream, lengths):
    samples = spoken(22050)
    whole = pushed(stream, samples, len(samples))
    assert whole.any() and np.array_equal(pushed(stream, samples, *lengths), whole)


def test_nothing_depends_on_samples_that_come_later_than_the_delay(stream):
    samples, place = spoken(22050, 1.0), 14000
    changed = samples.copy()
    changed[place:] = vowel(1.0, 22050, f0=230.0)[: len(samples) - place]
    before, after = (pushed(stream, each, len(samples)) for each in (samples, changed))
    assert before[:place].any() and np.array_equal(before[:place], after[:place])
    assert not np.array_equal(before[place:], after[place:])


@pytest.mark.parametrize("milliseconds", [280.0, 300.0, 1000.0])
def test_the_delay_is_that_which_was_asked_for_and_passthrough_has_it_too(converter, milliseconds):
    stream = DecoderStream(converter, "bob", delay=milliseconds, gate=-np.inf)
    assert abs(stream.delay.milliseconds - milliseconds) <= 0.03
    stream.passthrough = True
    samples, lag = 0.5 * spoken(22050, 1.0), stream.delay.samples
    output = pushed(stream, np.concatenate([samples, np.zeros(lag, np.float32)]), 1000)
    settled = 256  # the gains begin at silence
    np.testing.assert_allclose(output[lag + settled :], samples[settled:], atol=1e-6)
    assert not output[:lag].any()


def test_the_usual_delay_is_of_the_vocoder(converter):
    usual = 160.0 if converter.vocoder is WORLD else 300.0
    assert DecoderStream(converter, "bob").delay.milliseconds == pytest.approx(usual, abs=0.03)
    for usual, found in ((160.0, 160.0), (100.0, 122.0)):  # the latter is the shortest
        delay = DecoderDelay.of(None, MelConfig(), usual=usual, block=8, lag=1, least=1)
        assert delay.milliseconds == pytest.approx(found, abs=0.03)


@pytest.mark.parametrize("milliseconds", [0.0, 100.0, 1001.0, float("nan")])
def test_a_delay_that_cannot_be_is_refused(converter, milliseconds):
    with pytest.raises(ConfigError, match=r"a delay must be in \d+..1000 ms"):
        DecoderStream(converter, "bob", delay=milliseconds)


def test_far_enough_ahead_a_frame_is_that_of_the_whole_recording(converter, monkeypatch):
    """For a source whose statistics are known, and a target who whispers: F0 depends on more than a decoder reaches."""
    stream = DecoderStream(converter, "ann", "bob", delay=700.0)
    samples, settings = spoken(22050, 1.0), converter.model.features
    blocks, decode = [], stream._decode
    monkeypatch.setattr(
        stream, "_decode", lambda *args, **options: blocks.append(decode(*args, **options)) or blocks[-1]
    )
    stream.convert(samples)
    padded = np.pad(samples, (0, 22050))
    _, log_mel = settings.extract(padded, converter.model.speakers["bob"].f0_range)
    content = settings.content_at_frames(content_of(padded, settings, converter.encoder), len(log_mel))
    unvoiced = np.zeros(len(log_mel))
    whole = converter.decode(content, log_mel, unvoiced, converter.model.speakers["bob"].content, "ann")
    online = np.concatenate([block.spectrum for block in blocks])
    first, count = 40, len(samples) // settings.hop  # before the recording there is silence, which offline is not there
    different = np.abs(online[first:count] - whole[first:count])
    # CheapTrick's envelope depends on the F0, which online is tracked in a window
    assert different.max() < 1e-3 if settings.mel else np.median(different) < 1e-3


def test_reset_is_a_fresh_start(stream, converter):
    samples = spoken(22050)
    stream.push(vowel(0.7, 22050, f0=250.0))
    stream.reset()
    assert np.array_equal(stream.push(samples), DecoderStream(converter, "bob").push(samples))


def test_silence_stays_silent_and_what_is_muted_is(stream):
    assert not pushed(stream, np.zeros(22050, np.float32), 500).any()
    assert not pushed(stream, 1e-4 * spoken(22050), 500).any()  # below the gate
    stream.muted = True
    assert not pushed(stream, spoken(22050), 500).any()
    stream.muted = False
    assert pushed(stream, spoken(22050), 500).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_nothing_that_is_not_finite_or_too_loud_gets_out(stream, bad):
    samples = spoken(22050)
    samples[5000:5200] = bad
    output = pushed(stream, samples, 700)
    assert np.isfinite(output).all() and np.abs(output).max() <= CEILING
    assert stream.not_finite == (0 if np.isfinite(bad) else 200)


def test_an_overflow_in_the_vocoder_is_silent_and_over_with_the_block(stream, monkeypatch):
    samples, push = vowel(2.0, 22050), stream._vocoder.push
    usual = pushed(stream, samples, 2048)
    factors = chain([np.nan], repeat(1.0))
    monkeypatch.setattr(stream._vocoder, "push", lambda frames: next(factors) * push(frames))
    output = pushed(stream, samples, 2048)
    assert np.isfinite(output).all() and stream.not_finite == stream.step
    assert_alike(stream, output[-4096:], usual[-4096:], 0.05)


def test_a_model_out_of_its_mind_gives_silence(converter):
    network = RecognitionSynthesis(
        RecognitionSynthesisConfig(channels=8, kernel=3, dilations=[1]), 80, DIMS, ("ann", "bob")
    )
    torch.nn.init.constant_(network.leave.weight, torch.inf)
    wild = Converter(converter.model, network, vocoder=converter.vocoder, encoder=converter.encoder)
    stream = DecoderStream(wild, "bob")
    output = pushed(stream, spoken(22050), 700)
    assert np.isfinite(output).all() and stream.not_finite > 0


def test_the_output_is_as_loud_as_the_input(stream):
    samples = vowel(3.0, 22050)
    levels = []
    for gain in (1.0, 0.1):
        output = stream.convert(gain * samples)[44100:]
        levels.append(np.sqrt(np.mean(output**2) / np.mean((gain * samples[44100:]) ** 2)))
    assert all(0.5 < level < 2 for level in levels)


def test_a_faint_voice_is_analysed_as_one_at_a_usual_level(stream):
    """From the block on in which its peak was heard; of what is louder, nothing changes."""
    samples = 0.1 * vowel(2.0, 22050) / np.abs(vowel(2.0, 22050)).max()
    usual, faint = stream.convert(samples), stream.convert(0.1 * samples)
    settled = slice(round(0.5 * 22050), None)
    assert_alike(stream, 10 * faint[settled], usual[settled], 2e-2 * np.abs(usual).max())
    assert stream._peak == pytest.approx(0.01, rel=0.1)


def test_noise_before_and_between_speech_is_not_amplified(stream):
    noise = 0.003 * np.random.default_rng(0).standard_normal(3 * 22050).astype(np.float32)
    pushed(stream, noise, 2048)
    assert stream._peak == 0  # which means a gain of 1
    stream.push(vowel(1.0, 22050))
    peak = stream._peak
    stream.push(noise)
    assert stream._peak > 0.9 * peak > 0.1


def test_content_of_an_earlier_voice_is_forgotten(converter, random):
    """After hours, too; before there is more than is remembered, it is that of everything so far."""
    features, target = converter.model.features, converter.model.speakers["bob"].content
    seconds, span = 10, round(10 * features.frame_rate)
    everything, recent = (SourceContent(None, target, features, memory=memory) for memory in (np.inf, float(seconds)))

    def hear(mean: float, blocks: int) -> list[ContentStatistics]:
        log_mel = random.normal(mean, 1.0, (blocks, FRAMES, features.bands))
        content = random.normal(mean, 1.0, (blocks, FRAMES, DIMS))
        for pair in zip(log_mel, content, strict=True):
            heard = [source.statistics(Frames(None, pair[0], None, pair[1])) for source in (everything, recent)]
        return heard

    before = hear(-3.0, span // FRAMES // 2)
    assert before[0] == before[1]
    hear(-3.0, 20 * span // FRAMES)
    after = hear(-1.0, 5 * span // FRAMES)
    assert np.mean(after[0].mean) < -2 and np.mean(after[1].mean) == pytest.approx(-1.0, abs=0.1)
    assert after[1].loudness_mean == pytest.approx(-0.5, abs=0.1) and after[1].deviation == pytest.approx(1, abs=0.1)


def test_a_knock_does_not_hide_faint_speech_for_ever(converter, random):
    features, target = converter.model.features, converter.model.speakers["bob"].content
    levels = random.uniform(-5.0, -1.5, (5 * round(10 * features.frame_rate) // FRAMES, FRAMES))
    means = []
    for lead in (-1.5, 2.0):
        source = SourceContent(None, target, features, memory=10.0)
        for block in (np.full(FRAMES, lead), *levels):
            frames = Frames(None, np.tile(block[:, None], features.bands), None, np.zeros((FRAMES, DIMS)))
            means.append(source.statistics(frames).loudness_mean)
    usual, behind = np.split(np.array(means), 2)
    assert behind[len(levels) // 10] > usual[len(levels) // 10] + 0.5 and behind[-1] == pytest.approx(
        usual[-1], abs=0.05
    )


def test_noise_in_pauses_stays_faint_and_speech_after_it_has_its_level_at_once(stream):
    stream.reset()
    speech = vowel(0.1, 22050)[:2048].astype(float)
    noise = 0.01 * np.random.default_rng(0).standard_normal(2048)
    for _ in range(20):
        stream._level(2 * speech, speech)
    for _ in range(20):
        gains = stream._level(10 * noise, noise)
    assert gains[-1] == pytest.approx(0.2)  # in place of the speech's 0.5
    gains = stream._level(2 * speech, speech)
    np.testing.assert_allclose(gains[255:], 0.5, rtol=0.15)
    assert np.abs(np.diff(gains)).max() < 0.002
    assert stream._level(noise, 0 * noise)[-1] == 0


def test_state_is_of_constant_size(stream):
    def size(value: object) -> int:
        if isinstance(value, np.ndarray | torch.Tensor):
            return value.nbytes
        if isinstance(value, (list, tuple)) or hasattr(value, "maxlen"):
            return sum(map(size, value)) + len(value)
        modules = ("live.decoder", "live.gate", "vocoders.online", "convert.source", "features.content")
        inner = type(value).__module__ in [f"vc.{name}" for name in modules]
        return sum(map(size, vars(value).values())) if inner else 0

    stream.reset()
    step, sizes = vowel(3.0, 22050)[: 30 * 2048].reshape(30, 2048), []
    for block in step:
        stream.push(block)
        sizes.append(size(stream) - stream._pitch._speech.f0.nbytes)  # which grows to a minute
    assert len(set(sizes[5:])) == 1


@pytest.mark.parametrize("f0", [90.0, 220.0])
def test_the_pitch_of_an_unknown_voice_is_learnt(stream, f0):
    pushed(stream, vowel(4.0, 22050, f0=f0), 2048)
    assert np.exp(stream._pitch.log_f0.mean) == pytest.approx(f0, rel=0.02)
    assert stream._pitch.search.floor > 0.6 * f0 and stream._pitch.search.ceiling < 1.7 * f0


@pytest.mark.parametrize("speaker", ["slt", "rms"])
def test_the_pitch_of_a_recording_is_that_of_an_offline_conversion(speaker):
    config, past = ContentFeatures().world, 60
    paths = (CORPUS / f"eval/{speaker}/{number}.flac" for number in (101, 102, 103))
    samples = np.concatenate([block for path in paths for block in audio.blocks(path, 22050)]).astype(float)
    pitch = SourcePitch(None, LogF0(5.0, 0.2), None, config)
    for start in range(0, len(samples) - (past + FRAMES) * 256, FRAMES * 256):
        pitch.add(samples[start:][: (past + FRAMES) * 256], past + FRAMES, FRAMES)
    offline = SourceVoice(None, config).spans(samples)[-1][1]
    assert pitch.log_f0.mean == pytest.approx(offline.log_f0.mean, abs=0.03)
    assert pitch.search.floor == pytest.approx(offline.f0_range.floor, rel=0.15)
    assert pitch.search.ceiling == pytest.approx(offline.f0_range.ceiling, rel=0.15)


@pytest.mark.parametrize("f0", [100.0, 220.0])
def test_a_voice_is_found_after_one_an_octave_from_it(f0):
    """Such as hum; within a search range that was narrowed for the first, the second would be found an octave off."""
    config, first, past = ContentFeatures().world, 300.0 - f0 + 20.0, 60
    pitch = SourcePitch(None, LogF0(5.0, 0.2), None, config)
    samples = np.concatenate([vowel(2.8, 22050, f0=first), vowel(2.3, 22050, f0=f0)])
    for start in range(0, len(samples) - (past + FRAMES) * 256, FRAMES * 256):
        pitch.add(samples[start:][: (past + FRAMES) * 256], past + FRAMES, FRAMES)
    assert np.exp(pitch.log_f0.mean) == pytest.approx(f0, rel=0.02)
    assert pitch.search.floor < f0 < pitch.search.ceiling


def test_until_it_is_heard_a_voice_is_taken_for_the_targets():
    target = LogF0(5.0, 0.2)
    config = ContentFeatures().world
    assert SourcePitch(None, target, None, config).log_f0 == target
    assert SourcePitch(None, None, None, config).log_f0 is None  # a target who whispers


def test_the_other_direction_of_a_decoder_is_of_the_same_model(converter):
    samples, settings = spoken(22050), {"delay": 290.0, "f0_options": F0Options(shift=2.0)}
    other = DecoderStream(converter, "bob", "ann", **settings).other_direction()
    assert (other.source, other.target) == ("bob", "ann") and other._converter is converter
    assert np.array_equal(other.push(samples), DecoderStream(converter, "ann", "bob", **settings).push(samples))
    with pytest.raises(ConfigError, match="there is no other direction"):
        DecoderStream(converter, "bob").other_direction()


def test_who_skips_nothing_has_not_hurried(stream):
    stream.reset()
    loop = Loop(stream, block=500, slack=1)
    for _ in range(4):
        loop.take(np.zeros(1500, np.float32))
        loop.work()
        loop.give(1000)
    assert loop.hurried == 0 and len(loop._input) > 500 > len(loop._output)  # where a linear model hurries


def test_f0_may_be_shifted_meanwhile(stream):
    samples = vowel(1.0, 22050)
    usual = pushed(stream, samples, 2048)
    stream.f0_options = F0Options(shift=5.0)
    assert not np.array_equal(pushed(stream, samples, 2048), usual)
    stream.f0_options = F0Options()
    assert np.array_equal(pushed(stream, samples, 2048), usual)


def test_what_cannot_run_live_is_refused_by_name(converter, vocoder):
    other = "only WORLD synthesises features of kind content_world"
    if converter.model.features.mel:
        mel_config, other = converter.model.features.mel, "needs a HiFi-GAN vocoder"
        vocoder = NeuralVocoder(ISTFT(ISTFTConfig(), mel_config), mel_config)
    with pytest.raises(ConfigError, match=other):
        DecoderStream(Converter(converter.model, converter.network, vocoder=vocoder, encoder=converter.encoder), "bob")
    pair = Converter(replace(converter.model, method="cyclegan_vc2"), converter.network, encoder=converter.encoder)
    with pytest.raises(ConfigError, match="method cyclegan_vc2 cannot run live by a decoder"):
        DecoderStream(pair, "bob")
    with pytest.raises(ConfigError, match="the gate must be below 0 dB"):
        DecoderStream(converter, "bob", gate=0.0)


def test_the_slow_bundled_encoder_gives_way_to_the_fast_one(converter):
    """For a model that names it, and for one that contains it; any other encoder is used as it is."""
    quantised, distilled = (encoders.choose(name) for name in (encoders.QUANTISED, encoders.DISTILLED))
    contained = encoder_file.load_encoder(EncoderModel(**quantised.description), quantised.weights)
    for encoder in (quantised, contained, distilled):
        assert live_encoder(encoder) is distilled
    assert live_encoder(converter.encoder) is converter.encoder


def test_a_known_speakers_content_is_learnt_anew_if_the_encoder_is_another(vocoder_path):
    """Statistics of the model's own encoder are a first guess only; of the same encoder they are kept."""
    stream = choice.load("six_voices", "TM1", "SF2", vocoder=str(vocoder_path))
    assert stream._config.content.frame_rate == encoders.choose(encoders.DISTILLED).frame_rate
    before = stream._statistics.mean
    stream.convert(audio.resample(audio.read(SPEECH)[0][:24000], 16000, stream.sample_rate))
    assert stream._statistics.mean != before


def test_the_command_converts_a_file_as_the_stream_does(vocoder_path, tmp_path):
    recording = audio.read(SPEECH)[0][:12000]
    audio.write(tmp_path / "in.wav", recording, 16000)
    words = ("--model", "six_voices", "--to", "TM1", "--vocoder", vocoder_path)
    done = command("live", *words, "--input", tmp_path / "in.wav", "--output", tmp_path / "out.wav")
    assert b"anyone to TM1, decoder, 22050 Hz" in done.stderr and b"delay: 300.0 ms (block 92.9" in done.stderr
    stream = choice.load("six_voices", "TM1", vocoder=str(vocoder_path))
    expected = stream.convert(np.concatenate([*audio.blocks(tmp_path / "in.wav", 22050)]))
    samples, rate = audio.read(tmp_path / "out.wav")
    assert rate == 22050 and len(samples) == len(expected)
    np.testing.assert_allclose(samples, expected, atol=2 / 32768)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--model", "six_voices", "--to", "TM1", "--method", "diff"),
            ": method (--method) has no effect on a model of recognition_synthesis",
        ),
        (("--model", "six_voices"), "name the target (--to)"),
        (("--model", "six_voices", "--to", "TM1", "--delay", "50"), "a delay must be in"),
        (
            ("--model", "egs/mini/model.safetensors", "--device", "cpu"),
            ": device (--device) has no effect on a model of nearest",
        ),
    ],
)
def test_wrong_usage_is_one_line(words, said, tmp_path):
    done = command("live", *words, "--input", SPEECH, "--output", tmp_path / "out.wav", check=2)
    assert said in done.stderr.decode() and len(done.stderr.splitlines()) == 1 and not (tmp_path / "out.wav").exists()


def test_the_weights_of_a_model_are_read_once(monkeypatch, vocoder_path):
    paths, read = [], model_file.read_tensors
    monkeypatch.setattr(model_file, "read_tensors", lambda path, framework: paths.append(path) or read(path, framework))
    choice.load("six_voices", "TM1", vocoder=str(vocoder_path))
    choice.load(PAIR)
    assert len(paths) == len(set(paths)) == 2
    with pytest.raises(ConfigError, match="path: expected str or path, got None"):
        choice.load(None)


def test_a_session_waits_as_long_as_a_block_may_take(sound_card, vocoder_path, monkeypatch, capsys):  # noqa: F811
    words = ("--model", "six_voices", "--to", "TM1", "--vocoder", vocoder_path, "--json", "--seconds", "0.4")
    threads = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    assert sound_card(*words, keys=b"+t") == 0 and threads == [1]
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["source"], last["target"], last["f0_shift"]) == (None, "TM1", 1)
    step = FRAMES * 256 / 22.05
    assert step <= last["delay"]["slack"] <= step + 10 and last["delay"]["conversion"] == 300.0
    assert step > cli.SLACK * 10
