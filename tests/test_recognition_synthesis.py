"""Recognition-synthesis: the decoder, matched content, what is drawn, the step, and the commands from end to end."""

import copy
import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import CORPUS, ROOT, command, commands, count, run
from fork_server import SCRIPT
from safetensors.torch import save_file
from torch import Tensor, nn

from vc import losses, model_file
from vc.cli import train as train_command
from vc.config import read_sections
from vc.convert.converter import ConversionOptions, Converter
from vc.convert.export import export
from vc.corpus import audio, data_directory, pieces
from vc.corpus.limiter import limit
from vc.encoders import choice, encoder_file
from vc.encoders.distilled import DistilledConfig, DistilledNetwork
from vc.encoders.encoder_file import EncoderModel
from vc.encoders.features import complete
from vc.encoders.whisper import WhisperConfig, WhisperNetwork
from vc.errors import ConfigError
from vc.features.content import PROSODY, log_mel_loudness, prosody, standard_loudness
from vc.features.f0 import F0Options, clear_frames, loud_frames, map_f0
from vc.features.mel import MelFeatures
from vc.features.store import read_features
from vc.models.recognition_synthesis import (
    PAUSES,
    RecognitionSynthesis,
    RecognitionSynthesisConfig,
    VarianceRestoration,
)
from vc.tensor_file import read_tensors, tensors_digest
from vc.train import content_sampling
from vc.train.content_encoder import differentiable_encoder
from vc.train.content_sampling import (
    ContentBatch,
    ContentSampler,
    Recordings,
    SpeakerContent,
    align_renderings,
    match,
)
from vc.train.converter import make_engine, train
from vc.train.engine import Engine, Setup
from vc.train.estimate import estimate
from vc.train.experiment import Experiment, resolve
from vc.train.held_out import HeldOutResynthesis
from vc.train.log_mel_decoder import LogMelDecoder
from vc.train.plan import Plan, Request
from vc.train.processes import SINGLE_PROCESS
from vc.train.recognition_synthesis import (
    CONVERSIONS,
    Conversions,
    RecognitionSynthesisObjective,
    RecognitionSynthesisTraining,
)
from vc.train.sampling import Segments
from vc.train.vocoder import HeldOutRecordings
from vc.vocoders import vocoder_file
from vc.vocoders.neural import NeuralVocoder
from vc.vocoders.world import WORLD

CPU = torch.device("cpu")
BANDS, DIMS = 9, 6
CONFIG = RecognitionSynthesisConfig(
    channels=16, content_channels=8, kernel=3, dilations=[1, 2], discriminator_channels=4
)
OBJECTIVE = RecognitionSynthesisObjective(adversarial_from=0.5)
SMALL = (
    *("network.channels=16", "network.content_channels=8", "network.kernel=3", "network.dilations=[1]"),
    *("network.discriminator_channels=4", "training.batch=2", "training.segment=32", "training.steps=6"),
    *("training.checkpoint_every=3", "training.log_every=1", "objective.warm_up=0"),
)
VOCODER = ROOT / "recipes/vocoder/conf/tiny.yaml"
OF_VOCODER = (
    *("mel.sample_rate=22050", "mel.fft_size=1024", "mel.hop=256", "mel.bands=80", "training.steps=2"),
    *("training.log_every=1", "training.checkpoint_every=2", "training.sample_every=2", "network.channels=8"),
)
SPEECH = sorted((CORPUS / "eval/slt").iterdir())[0]


def decoder(*speakers: str, **config) -> RecognitionSynthesis:
    torch.manual_seed(0)
    return RecognitionSynthesis(replace(CONFIG, **config), BANDS, DIMS, speakers)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# The network


@pytest.mark.parametrize("frames", [1, 2, 7, 100])
def test_as_many_frames_come_out_as_go_in(frames):
    network = decoder("ann", "bob").eval()
    decoded = network.decode(normal(1, DIMS, frames), normal(1, BANDS + PROSODY, frames), "bob")
    assert decoded.shape == (1, BANDS, frames) and decoded.isfinite().all()
    judgement, maps = network.discriminator(CONFIG)(decoded)
    assert judgement.isfinite().all() and len(maps) == 4


def test_a_batch_of_two_equals_each_alone():
    network, speakers = decoder("ann", "bob").eval(), torch.tensor([1, 0])
    said, manner = normal(2, DIMS, 40), normal(2, BANDS + PROSODY, 40, seed=1)
    alone = [network(said[n : n + 1], manner[n : n + 1], speakers[n : n + 1]) for n in range(2)]
    torch.testing.assert_close(network(said, manner, speakers), torch.cat(alone), atol=1e-5, rtol=1e-5)
    judge = network.discriminator(CONFIG)
    both = torch.cat([judge(each)[0] for each in alone])
    torch.testing.assert_close(judge(torch.cat(alone))[0], both, atol=1e-5, rtol=1e-5)


def test_a_frame_depends_on_its_context_and_on_no_other():
    """Three convolutions of 3 frames, one dilated by 2: 1 + 1 + 2 + 1 to either side."""
    network, said = decoder("ann").eval(), normal(1, DIMS, 40).requires_grad_()
    network(said, normal(1, BANDS + PROSODY, 40), torch.zeros(1, dtype=torch.long))[0, :, 20].square().sum().backward()
    [reached] = torch.nonzero(said.grad[0].abs().sum(0), as_tuple=True)
    assert (reached.min(), reached.max()) == (20 - network.reach, 20 + network.reach) == (15, 25)


def test_targets_differ_by_their_embedding_and_one_alone_has_none():
    network = decoder("ann", "bob", "cyd").eval()
    given = normal(1, DIMS, 20), normal(1, BANDS + PROSODY, 20)
    ann, bob = (network.decode(*given, name) for name in ("ann", "bob"))
    assert (ann - bob).abs().max() > 1e-3
    with torch.no_grad():
        network.speaker.weight[1] = network.speaker.weight[0]
    torch.testing.assert_close(network.decode(*given, "bob"), ann)
    assert decoder("ann").speaker is None


def test_a_decoder_begins_as_the_mean_of_anothers_speakers():
    given = normal(1, DIMS, 20), normal(1, BANDS + PROSODY, 20)
    other, new = decoder("ann", "bob").eval(), decoder("cyd", dropout=0.0).eval()
    new.initialise_from(other.state_dict())
    pair = decoder("cyd", "dan").eval()
    pair.initialise_from(new.state_dict())
    with torch.no_grad():
        other.speaker.weight[:] = other.speaker.weight.mean(0)
    for network, name in ((new, "cyd"), (pair, "cyd"), (pair, "dan")):
        torch.testing.assert_close(network.decode(*given, name), other.decode(*given, "ann"), atol=1e-5, rtol=1e-5)


def test_content_is_dropped_in_training_alone():
    network = decoder("ann", dropout=0.5)
    given = torch.ones(1, DIMS, 20), normal(1, BANDS + PROSODY, 20), torch.tensor([0])
    lots = torch.rand(1, DIMS * 20, generator=torch.Generator().manual_seed(0))
    dropped = 2.0 * (lots.reshape(1, DIMS, 20) >= 0.5)
    assert 0.3 < dropped.mean() / 2 < 0.7
    assert torch.equal(network(*given, lambda count: lots[:, :count]), network(dropped, *given[1:]))
    assert not torch.equal(network(*given), network(dropped, *given[1:]))


@pytest.mark.parametrize("speakers", [("ann",), ("ann", "bob", "cyd")])
def test_parameters_are_those_of_the_layers(speakers):
    config, bands, dims = RecognitionSynthesisConfig(), 80, 512
    network = RecognitionSynthesis(config, bands, dims, speakers)
    channels, kernel = config.channels, config.kernel
    block = 2 * channels + (channels * channels * kernel + channels) + (channels * channels + channels)
    inputs = config.content_channels + bands + 3
    ends = inputs * channels * kernel + channels + channels * bands * kernel + bands
    embedding = len(speakers) * channels if len(speakers) > 1 else 0
    content = dims * config.content_channels + config.content_channels
    assert count(network) == content + ends + len(config.dilations) * block + embedding
    assert count(network) == pytest.approx(2.5e6, abs=0.05e6)  # as docs/methods.md has it
    width = config.discriminator_channels
    layers = [(1, width, 15), (width, width, 15), (width, 2 * width, 15), (2 * width, 2 * width, 9), (2 * width, 1, 9)]
    assert count(network.discriminator(config)) == sum((size * given + 2) * made for given, made, size in layers)


@pytest.mark.parametrize(
    "wrong", [{"channels": 0}, {"kernel": 4}, {"dilations": []}, {"dilations": [0]}, {"dropout": 1.0}]
)
def test_impossible_sizes_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=f"network.{next(iter(wrong))} must be"):
        replace(CONFIG, **wrong)


def smooth_and_real(seed: int, mean: float = 0.0) -> tuple[Tensor, Tensor]:
    """Log-mel `(4, bands, 300)` as a decoder gives it, too smooth and beside the point, and as it should be."""
    real = normal(4, BANDS, 300, seed=seed) + mean + torch.arange(BANDS)[:, None] / 4
    return 0.6 * real + 0.2 * normal(4, BANDS, 300, seed=seed + 1000) + 0.3, real


def learnt_variance(means: tuple[float, ...] = (0.0,), steps: int = 600) -> VarianceRestoration:
    variance, loud = VarianceRestoration(BANDS, len(means)), torch.zeros(4, 1, 300)
    for step in range(steps):
        for number, mean in enumerate(means):
            variance.update(*smooth_and_real(step, mean), loud, torch.full((4,), number))
    return variance


def test_variance_gives_speech_the_means_and_deviations_of_real_speech():
    variance, (decoded, real) = learnt_variance(), smooth_and_real(5000)
    restored = variance.restore(decoded, torch.zeros(4, 1, 300), torch.zeros(4, dtype=torch.long))
    cepstra = [variance.cosines @ each for each in (restored, real, decoded)]
    (mean, deviation), (true_mean, true_deviation), (_, smooth) = (
        (each.mean((0, 2)), each.std((0, 2))) for each in cepstra
    )
    assert (smooth[1:] < 0.75 * true_deviation[1:]).all()
    torch.testing.assert_close(deviation[1:], true_deviation[1:], rtol=0.05, atol=0)
    torch.testing.assert_close(mean[1:], true_mean[1:], rtol=0, atol=0.06)
    torch.testing.assert_close(cepstra[0][:, 0], cepstra[2][:, 0], atol=1e-5, rtol=1e-5)  # c0 stays


def test_variance_leaves_pauses_alone_and_comes_in_between_them_and_speech():
    variance, (decoded, _) = learnt_variance(steps=50), smooth_and_real(5000)
    speakers = torch.zeros(4, dtype=torch.long)
    full = variance.restore(decoded, torch.zeros(4, 1, 300), speakers) - decoded
    for level, share in ((-9.0, 0.0), (PAUSES[0], 0.0), (sum(PAUSES) / 2, 0.5), (PAUSES[1], 1.0), (5.0, 1.0)):
        change = variance.restore(decoded, torch.full((4, 1, 300), level), speakers) - decoded
        torch.testing.assert_close(change, share * full, atol=1e-5, rtol=1e-4)


def test_variance_without_training_is_the_identity():
    decoded = normal(2, BANDS, 30)
    restored = VarianceRestoration(BANDS, 2).restore(decoded, torch.zeros(2, 1, 30), torch.tensor([0, 1]))
    assert torch.equal(restored, decoded)


def test_a_power_of_the_ratio_restores_as_if_it_were_applied_as_often():
    once, thrice = VarianceRestoration(BANDS, 1), VarianceRestoration(BANDS, 1, power=3.0)
    for variance in (once, thrice):
        variance.moments.copy_(torch.rand(1, 2, 2, BANDS, generator=torch.Generator().manual_seed(0)))
        variance.moments[:, 0] = 0.0
    speech, who = torch.zeros(1, 1, 20), torch.zeros(1, dtype=torch.long)
    expected = decoded = normal(1, BANDS, 20)
    for _ in range(3):
        expected = once.restore(expected, speech, who)
    torch.testing.assert_close(thrice.restore(decoded, speech, who), expected, rtol=1e-4, atol=1e-5)


def test_variance_takes_note_of_speech_alone_and_of_each_speaker_for_themselves():
    variance, (decoded, real) = learnt_variance((0.0, 4.0), steps=400), smooth_and_real(1)
    zero, four = (variance.cosines @ torch.full((BANDS,), mean) for mean in (0.0, 4.0))
    apart = variance.moments[1, 0, 1] - variance.moments[0, 0, 1]
    torch.testing.assert_close(apart, four - zero, rtol=0.03, atol=0.05)
    before, nobody = variance.moments.clone(), torch.full((4, 1, 300), PAUSES[1] - 1)
    variance.update(decoded, real, nobody, torch.zeros(4, dtype=torch.long))
    assert torch.equal(variance.moments, before)
    variance.update(decoded, real, torch.zeros(4, 1, 300), torch.ones(4, dtype=torch.long))
    assert torch.equal(variance.moments[0], before[0]) and not torch.equal(variance.moments[1], before[1])
    some = torch.where(torch.arange(300) < 100, 0.0, -9.0).expand(4, 1, -1)
    one, other = VarianceRestoration(BANDS, 1), VarianceRestoration(BANDS, 1)
    one.update(decoded, real, some, torch.zeros(4, dtype=torch.long))
    other.update(decoded[..., :100], real[..., :100], some[..., :100], torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(one.moments, other.moments)


# Matched content


def bank(*lengths: int, seed: int = 0) -> SpeakerContent:
    numbers = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return SpeakerContent(normal(sum(lengths), DIMS, seed=seed), numbers)


def brute_force(own: SpeakerContent, others: list[SpeakerContent], neighbours: int) -> np.ndarray:
    """By all pairs, in NumPy."""
    theirs = np.concatenate([other.frames.numpy() for other in others])
    whose = [(id(other), int(number)) for other in others for number in other.recording]
    matched = []
    for frame, number in zip(own.frames.numpy(), own.recording):
        usable = [n for n, who in enumerate(whose) if who != (id(own), int(number))]
        known = theirs[usable]
        likeness = known @ frame / np.linalg.norm(known, axis=1) / np.linalg.norm(frame)
        matched.append(known[np.argsort(-likeness)[:neighbours]].mean(axis=0))
    return np.array(matched)


@pytest.mark.parametrize("chunk", [7, 2048])
@pytest.mark.parametrize("neighbours", [1, 4])
def test_matches_are_those_of_all_pairs(neighbours, chunk, monkeypatch):
    monkeypatch.setattr(content_sampling, "CHUNK", chunk)
    own, others = bank(30, 20, 5), [bank(25, seed=1), bank(40, 3, seed=2)]
    for among in ([own], others, others[:1]):
        found = match(own, among, neighbours).numpy()
        np.testing.assert_allclose(found, brute_force(own, among, neighbours), atol=1e-5)


def test_a_match_is_never_of_the_same_recording():
    """Nor where the other recordings have fewer frames than neighbours are asked for."""
    own = bank(30, 2)
    np.testing.assert_allclose(match(own, [own], 4).numpy(), brute_force(own, [own], 4), atol=1e-5)
    torch.testing.assert_close(match(own, [own], 4)[:30], own.frames[30:].mean(0).expand(30, -1))


def test_one_recording_alone_is_refused_and_matched_among_others():
    own, other = bank(30), bank(20, seed=1)
    with pytest.raises(ConfigError, match="one recording alone cannot be matched"):
        match(own, [own], 4)
    np.testing.assert_allclose(match(own, [other], 4).numpy(), brute_force(own, [other], 4), atol=1e-5)


def test_of_many_frames_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(content_sampling, "MAX_CANDIDATES", 11)
    own, other = bank(30, 20), bank(101, seed=1)
    kept = SpeakerContent(other.frames[::10], other.recording[::10])
    np.testing.assert_allclose(match(own, [other], 2).numpy(), brute_force(own, [kept], 2), atol=1e-5)


# What is drawn


def renderings(lengths: dict[str, int], seed: int) -> SpeakerContent:
    """A voice that says each sentence at a speed of its own: frame j of n is the sentence's content at j / n."""
    said = [sentence_content(name, np.linspace(0, 1, length, endpoint=False)) for name, length in lengths.items()]
    numbers = np.repeat(np.arange(len(said)), list(lengths.values()))
    noise = 1e-3 * normal(len(numbers), DIMS, seed=seed)
    return SpeakerContent(
        torch.from_numpy(np.concatenate(said)).float() + noise, torch.from_numpy(numbers), tuple(lengths)
    )


def sentence_content(name: str, times: np.ndarray) -> np.ndarray:
    phases = np.arange(DIMS) + len(name)
    return np.sin(2 * np.pi * times[:, None] + phases) + times[:, None] * phases


def test_a_shared_sentence_is_brought_to_the_time_of_ones_own():
    ann, bob = renderings({"one": 40, "three": 30, "eleven": 20}, 0), renderings({"three": 45, "one": 25}, 1)
    fallback = normal(90, DIMS, seed=2)
    found = align_renderings(ann, bob, fallback)
    assert torch.equal(found[70:], fallback[70:])  # bob does not say it
    assert (found[:70] - ann.frames[:70]).abs().max() < 1.5  # his frames are up to 1/25 of a sentence apart
    assert all(any(torch.equal(frame, each) for each in bob.frames) for frame in found[:70])
    torch.testing.assert_close(align_renderings(ann, ann, fallback), ann.frames)


def test_aligned_content_is_drawn_where_sentences_are_shared_and_refused_where_none_are(dump):
    with pytest.raises(ConfigError, match=r"objective.aligned: slt shares no sentence with another speaker"):
        ContentSampler.from_features(experiment(dump, "slt", "rms", aligned=0.5), dump, CPU, slice(None))
    arrays = {name: getattr(dump, name) for name in ("frames", "f0", "content")}
    said = {f"{name}-{number}": name for number in range(3) for name in ("rms", "slt")}
    sentences = replace(dump, utterances=said).sentences
    parallel = SimpleNamespace(
        config=dump.config, speakers=dump.speakers, utterances=said, sentences=sentences, **arrays
    )
    drawn = ContentSampler.from_features(experiment(dump, "slt", "rms", aligned=0.5), parallel, CPU, slice(None))
    banks = [SpeakerContent.from_features(parallel, name, CPU) for name in ("slt", "rms")]
    assert set(banks[0].sentences) == set(banks[1].sentences) and [len(own.contents) for own in drawn.recordings] == [
        4,
        4,
    ]
    for own, bank, other in zip(drawn.recordings, banks, reversed(banks)):
        torch.testing.assert_close(own.contents[3], align_renderings(bank, other, own.contents[2].float()).half())


@pytest.fixture(scope="module")
def dump(content):
    return read_features(content / "dump/train")


def experiment(dump, *speakers: str, **objective) -> Experiment:
    sections = {"method": "recognition_synthesis", "training": {"segment": 32, "batch": 4}, "objective": objective}
    return resolve(sections, dump.config, speakers, dump.digest)


def hand_made(dump, name: str, ways: list[Tensor]) -> list[tuple[np.ndarray, np.ndarray, list[np.ndarray]]]:
    """Of each recording normalised log-mel, prosody and content of every way at the same frames, `(frames, ...)`."""
    speaker, recordings, start = dump.speakers[name], [], 0
    for log_mel, f0, said in zip(dump.frames(name), dump.f0(name), dump.content(name)):
        normalised = (log_mel - np.array(speaker.mel_cepstrum_mean)) / np.array(speaker.mel_cepstrum_deviation)
        loud = standard_loudness(log_mel, speaker.content)
        at = [dump.config.content_at_frames(way[start : start + len(said)].numpy(), len(log_mel)) for way in ways]
        recordings.append((normalised, prosody(f0, loud, speaker.log_f0, dump.config), at))
        start += len(said)
    return recordings


def assert_drawn(batch: ContentBatch, recordings: list) -> list[int]:
    """Every segment is a stretch of one of the recordings, with content of one way; which one it is."""
    ways = []
    for content, manner, log_mel in zip(
        *(each.transpose(1, 2).numpy() for each in (batch.content, batch.prosody, batch.log_mel))
    ):
        places = [
            (normalised, *rest, start)
            for normalised, *rest in recordings
            for start in range(len(normalised) - len(log_mel) + 1)
            if np.allclose(normalised[start], log_mel[0], atol=1e-4)
        ]
        [(normalised, wanted, at, start)] = places
        stretch = slice(start, start + len(log_mel))
        np.testing.assert_allclose(log_mel, normalised[stretch], atol=1e-4)
        np.testing.assert_allclose(manner, wanted[stretch], atol=1e-4)
        distances = [np.abs(content - way[stretch]).max() for way in at]
        ways.append(int(np.argmin(distances)))
        assert min(distances) < 5e-3  # float16
    return ways


def test_what_is_drawn_is_what_the_features_hold_at_one_place(dump):
    sampler = ContentSampler.from_features(experiment(dump, "slt", "rms"), dump, CPU, slice(None))
    banks = {name: SpeakerContent.from_features(dump, name, CPU) for name in ("slt", "rms")}
    recordings = {}
    for name, own in banks.items():
        others = [other for other in banks.values() if other is not own]
        ways = [own.frames, match(own, [own], 4), match(own, others, 4)]
        recordings[name] = hand_made(dump, name, ways)
        statistics = dump.speakers[name].content
        expected = (np.concatenate(dump.content(name)) - np.array(statistics.mean)) / statistics.deviation
        np.testing.assert_allclose(own.frames, expected, atol=1e-5)
    ways = []
    for _ in range(5):
        drawn = replace(sampler.draw(), unseen=None)
        assert drawn.speakers.tolist() == [0] * 4 + [1] * 4 and drawn.content.shape == (8, 12, 32)
        for number, name in enumerate(("slt", "rms")):
            mine = drawn.speakers == number
            parts = {key: each[mine] for key, each in vars(drawn).items() if isinstance(each, torch.Tensor)}
            ways += assert_drawn(ContentBatch(**parts), recordings[name])
    assert set(ways) == {0, 1, 2}


def test_one_target_is_drawn_from_itself_alone(dump):
    sampler = ContentSampler.from_features(experiment(dump, "rms", matched=5.0), dump, CPU, slice(None))
    own = SpeakerContent.from_features(dump, "rms", CPU)
    recordings = hand_made(dump, "rms", [own.frames, match(own, [own], 4)])
    drawn = sampler.draw()
    assert not drawn.speakers.any() and set(assert_drawn(drawn, recordings)) <= {0, 1}
    assert sampler.bounds.tolist() == pytest.approx([0.3 / 0.7, 1.0])


def both_voices(dump, name: str, _: str) -> list[np.ndarray]:
    """Arrays of all six recordings, as if one speaker's."""
    return getattr(dump, name)("rms") + getattr(dump, name)("slt")


def test_unseen_recordings_are_drawn_apart_and_decoded_from_the_last_way(dump, monkeypatch):
    monkeypatch.setattr(content_sampling, "UNSEEN_EVERY", 2)
    arrays = {name: partial(both_voices, dump, name) for name in ("frames", "f0", "content")}
    features = SimpleNamespace(
        config=dump.config, speakers=dump.speakers, utterances=dump.utterances, sentences=dump.sentences, **arrays
    )
    sampler = ContentSampler.from_features(experiment(dump, "rms"), features, CPU, slice(None))
    own = SpeakerContent.from_features(features, "rms", CPU)
    recordings = hand_made(features, "rms", [own.frames, match(own, [own], 4)])
    for _ in range(5):
        drawn = sampler.draw()
        assert_drawn(replace(drawn, unseen=None), recordings[::2])
        assert set(assert_drawn(drawn.unseen, recordings[1::2])) == {1}
        assert len(drawn.unseen.content) == 1


def numbered(ways: int, batch: int, chances: tuple[float, ...], share: slice = slice(None)) -> ContentSampler:
    """Of two speakers whose content is the number of its way throughout, and whose log-mel counts frames."""
    rows = np.column_stack([np.arange(90.0), np.arange(90.0), np.arange(90.0) // 2, np.arange(90) % 2 / 2])
    content = torch.arange(ways).half()[:, None, None].expand(-1, 45, 1)
    segments = [Segments([rows + first * np.eye(4)[0]], 32, CPU, "a voice") for first in (0, 100)]
    own = [Recordings(each, content, 1, each) for each in segments]
    return ContentSampler(own, chances, batch=batch, seed=0, share=share)


@pytest.mark.parametrize(
    "chances", [(0.3, 0.4, 0.3), (1.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 0.5), (0.5, 0.0, 1.5)]
)
def test_ways_are_drawn_by_their_chances_and_those_of_none_never(chances):
    drawn = numbered(3, 500, chances).draw().content
    assert torch.equal(drawn, drawn[..., :1].expand_as(drawn))  # one way for a whole segment
    shares = drawn[:, 0, 0].long().bincount(minlength=3) / len(drawn)
    expected = torch.tensor(chances) / sum(chances)
    assert not shares[expected == 0].any()
    torch.testing.assert_close(shares, expected, atol=0.06, rtol=0)  # four deviations


def test_processes_share_what_one_would_draw():
    whole, parts = (
        numbered(3, 6, (1, 1, 1)).draw(),
        [numbered(3, 6, (1, 1, 1), slice(n, n + 2)).draw() for n in (0, 2, 4)],
    )
    for name in ("content", "prosody", "log_mel", "speakers"):
        wanted = getattr(whole, name)
        drawn = torch.stack([getattr(part, name).unflatten(0, (2, 2)) for part in parts], dim=1)
        assert torch.equal(drawn.flatten(0, 2), wanted), name


# The step


def training(*speakers: str, steps: int = 10, **objective) -> RecognitionSynthesisTraining:
    return RecognitionSynthesisTraining(
        decoder(*speakers or ("ann",)), CONFIG, replace(OBJECTIVE, **objective), Setup(steps)
    )


@pytest.fixture
def batch() -> ContentBatch:
    speakers = torch.zeros(4, dtype=torch.long)
    return ContentBatch(
        normal(4, DIMS, 32), normal(4, BANDS + PROSODY, 32, seed=1), normal(4, BANDS, 32, seed=2), speakers
    )


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def moved(before: dict[str, Tensor], module: nn.Module) -> bool:
    return any(not torch.equal(before[name], parameter) for name, parameter in module.named_parameters())


def test_who_moves(batch):
    made = training()
    network, judge = made.network, made.discriminator
    for step in range(10):
        before = [weights_of(module) for module in (network, judge)]
        terms = made.step(batch, made.schedule(step))
        judged = {"adversarial", "feature_matching", "discriminator"} if step >= 5 else set()
        assert set(terms) == {"spectrum"} | judged and all(term.isfinite() for term in terms.values())
        assert moved(before[0], network) and moved(before[1], judge) is (step >= 5)
    before = [weights_of(module) for module in (network, judge)]
    fakes = normal(4, BANDS, 32)
    made.optimisers["discriminators"].step(lambda: made.discriminator_losses(batch, fakes), {"discriminator": 1.0})
    assert not moved(before[0], network) and moved(before[1], judge)
    before = weights_of(judge)
    weights = made.schedule(9)
    made.optimisers["network"].step(lambda: made.decoder_losses(batch, weights), weights)
    assert not moved(before, judge)


def test_losses_are_those_of_the_docstring(batch):
    made = training()
    terms, decoded = made.decoder_losses(batch, made.schedule(9))
    expected = made.network(batch.content, batch.prosody, batch.speakers)
    torch.testing.assert_close(decoded, expected.detach())
    assert not decoded.requires_grad
    torch.testing.assert_close(terms["spectrum"], (expected - batch.log_mel).abs().mean())
    judgement, maps = made.discriminator(expected)
    torch.testing.assert_close(terms["adversarial"], torch.square(judgement - 1).mean())
    real = made.discriminator(batch.log_mel)
    torch.testing.assert_close(terms["feature_matching"], losses.feature_matching(maps, real[1]))
    judged, _ = made.discriminator_losses(batch, decoded)
    told = torch.square(real[0] - 1).mean() + torch.square(judgement).mean()
    torch.testing.assert_close(judged["discriminator"], told)


@pytest.mark.parametrize("name", ["spectrum", "adversarial", "feature_matching"])
def test_the_gradient_of_each_loss_is_finite_and_reaches_the_decoder(name, batch):
    made = training("ann", "bob")
    terms, _ = made.decoder_losses(batch, made.schedule(9))
    gradients = torch.autograd.grad(terms[name], list(made.network.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients) and all(g.any() for g in gradients[1:])


@pytest.mark.parametrize(
    "without", [{"adversarial": 0.0}, {"feature_matching": 0.0}, {"adversarial": 0.0, "feature_matching": 0.0}]
)
def test_a_loss_that_does_not_count_is_not_computed(without, batch):
    made = training(**without)
    terms = made.step(batch, made.schedule(9))
    counted = {"adversarial", "feature_matching"} - without.keys()
    assert set(terms) == {"spectrum"} | counted | ({"discriminator"} if counted else set())
    assert ("discriminators" in made.optimisers) is bool(counted)


def test_rates_rise_fall_and_change_where_the_discriminator_comes(batch):
    made = training(
        *("ann",), steps=100, warm_up=4, decay_from=0.6, last=0.1, adversarial_from=0.4, adversarial_rate=0.5
    )
    for step, factor in ((0, 0.2), (1, 0.4), (4, 1), (30, 1), (40, 1), (60, 1), (80, 0.5), (99, 0.1), (500, 0.1)):
        for scale in (1.0, 0.5):
            weights = made.schedule(step, scale)
            judged = step >= 40
            rate = scale * factor * OBJECTIVE.generator_rate * (0.5 if judged else 1)
            assert made.optimisers["network"].adam.param_groups[0]["lr"] == pytest.approx(rate)
            assert set(weights) == ({"spectrum", "adversarial", "feature_matching"} if judged else {"spectrum"})
            if judged:
                rate = scale * OBJECTIVE.discriminator_rate
                assert made.optimisers["discriminators"].adam.param_groups[0]["lr"] == pytest.approx(rate)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"spectrum": 0.0}, {"unmatched": 0.0}, {"matched": -1.0}, {"generator_rate": 0.0}, {"decay_from": 1.5}),
        *({"warm_up": -1}, {"neighbours": 0}, {"last": -0.1}, {"adversarial": -1.0}),
        *({"conversion_adversarial": -1.0}, {"content_consistency": -0.1}, {"cycle": -2.0}),
    ],
)
def test_impossible_objectives_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=f"objective.{next(iter(wrong))} must be"):
        replace(OBJECTIVE, **wrong)


def test_a_step_takes_note_of_the_variance_and_one_that_is_not_taken_does_not(batch):
    made = training()
    made.step(batch, made.schedule(0))
    before = made.network.variance.moments.clone()
    assert not torch.equal(before, VarianceRestoration(BANDS, 1).moments)
    bad = replace(batch, content=torch.full_like(batch.content, float("nan")))
    made.step(bad, made.schedule(1))
    assert torch.equal(made.network.variance.moments, before)


def test_an_average_has_the_variance_too(batch):
    class Drawn:
        generator = torch.Generator()

        def draw(self) -> ContentBatch:
            return batch

    made = training()
    engine = Engine(made, Drawn(), average=0.9)
    engine.step(0)
    assert torch.equal(engine.converter.variance.moments, made.network.variance.moments)


def test_a_decoder_learns_what_content_says():
    """Log-mel that is a function of content: the spectral loss falls far below that of the mean."""
    rates = {"generator_rate": 1e-2, "adversarial_from": 1.0, "warm_up": 5, "decay_from": 0.5}
    made, hidden = training(steps=150, **rates), normal(BANDS, DIMS, seed=7)
    for step in range(150):
        content = normal(8, DIMS, 32, seed=step)
        given = ContentBatch(
            content, torch.zeros(8, BANDS + PROSODY, 32), hidden @ content, torch.zeros(8, dtype=torch.long)
        )
        loss = made.step(given, made.schedule(step))["spectrum"]
    assert loss < 0.5 * given.log_mel.abs().mean()


# Losses on conversions


CONVERTING = dict.fromkeys(CONVERSIONS, 0.5)


@pytest.fixture(scope="module")
def tools(dump) -> Conversions:
    """Of slt and rms."""
    speakers = {name: dump.speakers[name] for name in ("slt", "rms")}
    return Conversions(speakers, dump.config, differentiable_encoder(speakers, dump.config))


@pytest.mark.parametrize("whisper", [None, 0, 1])
def test_prosody_is_moved_as_conversion_moves_it(whisper, dump):
    """Melodies that unvoiced frames interrupt, some farther than F0 is mapped; also from and to one who whispers."""
    known = list(dump.speakers.values())
    if whisper is not None:
        known[whisper] = replace(known[whisper], log_f0_mean=None, log_f0_deviation=None)
    made = Conversions(dict(zip("ab", known)), dump.config)
    source, target = (speaker.log_f0 for speaker in known)
    where = source or known[1].log_f0
    melody = np.cumsum(normal(300, seed=3).numpy()) / 8
    f0 = np.exp(where.mean + where.deviation * np.clip(melody, -3.9, 3.9)) * (normal(300, seed=4).numpy() > -1)
    f0[50:60] = np.exp(where.mean + 5 * where.deviation)
    loud = normal(300, seed=5).numpy()
    expected = prosody(map_f0(f0, source, target), loud, target, dump.config)
    given = torch.from_numpy(prosody(f0, loud, source, dump.config).T[None])
    moved = made.map_prosody(given, torch.tensor([0]), torch.tensor([1]))[0].T.numpy()
    sure = np.abs(np.interp(np.arange(300), np.flatnonzero(f0), np.log(f0[f0 > 0]) - where.mean)) < 4 * where.deviation
    assert sure.sum() > 200 and moved[:, -2].any() == (whisper is None)
    np.testing.assert_allclose(moved[sure], expected[sure], atol=2e-4)
    np.testing.assert_allclose(moved[f0 > 0], expected[f0 > 0], atol=2e-4)


def test_content_is_rescaled_to_another_as_a_decoder_gets_it(dump, tools):
    source, target = (dump.speakers[name].content for name in ("slt", "rms"))
    said = torch.tensor(dump.content("slt")[0].T[None])
    own = (said - torch.tensor(source.mean)[:, None]) / source.deviation
    expected = (said - torch.tensor(source.mean)[:, None]) / target.deviation
    rescaled = tools.rescale_content(own, torch.tensor([0]), torch.tensor([1]))
    torch.testing.assert_close(rescaled, expected.float(), check_dtype=False)


@pytest.mark.parametrize("odd", [0, 1])
def test_what_is_heard_in_a_recording_is_the_content_of_the_features(odd, dump, tools):
    for number, name in enumerate(("slt", "rms")):
        [(log_mel, _, [expected]), *_] = hand_made(dump, name, [SpeakerContent.from_features(dump, name, CPU).frames])
        length = len(log_mel) - (len(log_mel) + odd) % 2
        given = torch.from_numpy(log_mel[:length].T[None].astype(np.float32)).requires_grad_()
        heard = tools.encode(given, torch.tensor([number]))
        assert heard.shape == (1, 12, length)
        sure = slice(None) if length == len(log_mel) else slice(0, length // 2)
        np.testing.assert_allclose(heard[0].T.detach()[sure], expected[:length][sure], atol=1e-3)
        [gradient] = torch.autograd.grad(heard.square().sum(), given)
        assert gradient.any() and not any(each.requires_grad for each in tools.parameters())
    assert not tools.encoder.network.training


def sampler_of(dump, *speakers: str, **objective) -> ContentSampler:
    return ContentSampler.from_features(experiment(dump, *speakers, **objective), dump, CPU, slice(None))


def test_a_segment_is_converted_to_another_from_its_own_content(dump):
    plain, sampler = sampler_of(dump, "slt", "rms"), sampler_of(dump, "slt", "rms", cycle=1.0)
    recordings = {
        name: hand_made(dump, name, [SpeakerContent.from_features(dump, name, CPU).frames]) for name in ("slt", "rms")
    }
    expected, drawn = plain.draw(), sampler.draw()
    assert expected.own_content is None and expected.targets is None
    assert torch.equal(drawn.content, expected.content) and torch.equal(drawn.log_mel, expected.log_mel)
    assert torch.equal(drawn.targets, 1 - drawn.speakers)
    for number, name in enumerate(("slt", "rms")):
        mine = drawn.speakers == number
        segments = ContentBatch(drawn.own_content[mine], drawn.prosody[mine], drawn.log_mel[mine], drawn.speakers[mine])
        assert set(assert_drawn(segments, recordings[name])) == {0}
    alone = sampler_of(dump, "rms", content_consistency=1.0).draw()
    assert alone.own_content is None and alone.targets is None


def test_everyone_is_a_target_as_often_and_processes_share_it():
    rows = np.tile(np.arange(40.0)[:, None], (1, 4))
    segments = Segments([rows], 32, CPU, "a voice")
    own = [Recordings(segments, torch.zeros(1, 45, 1).half(), 1, segments)] * 4
    whole, *parts = (
        ContentSampler(own, (1,), batch=90, seed=0, share=share, conversions=True).draw().targets.view(4, -1)
        for share in (slice(None), slice(0, 45), slice(45, 90))
    )
    assert torch.equal(torch.cat(parts, dim=1), whole)
    assert all(column.unique().numel() == 4 for column in whole.T)
    assert (whole != torch.arange(4)[:, None]).all() and whole.unique().numel() == 4


def converting(dump, *speakers: str, **objective) -> RecognitionSynthesisTraining:
    torch.manual_seed(0)
    network = RecognitionSynthesis(CONFIG, dump.config.bands, dump.config.content.dims, speakers)
    objective = replace(OBJECTIVE, **(objective or CONVERTING))
    needed = objective.conversions({name: dump.speakers[name] for name in speakers}, dump.config)
    return RecognitionSynthesisTraining(network, CONFIG, objective, Setup(10, conversions=needed))


@pytest.fixture(scope="module")
def pairs(dump) -> ContentBatch:
    return undropped(sampler_of(dump, "slt", "rms", **CONVERTING).draw())


def undropped(batch: ContentBatch) -> ContentBatch:
    """Without the lots by which content is dropped."""
    return replace(batch, random_draws=None)


def test_who_moves_where_conversions_count(dump, pairs):
    made = converting(dump, "slt", "rms")
    still = copy.deepcopy(made.conversions.state_dict())
    assert set(made.modules) == set(made.optimisers) == {"network", "discriminators"}
    for step in range(10):
        before = [weights_of(module) for module in (made.network, made.discriminator)]
        terms = made.step(pairs, made.schedule(step))
        judged = {"adversarial", "feature_matching", *CONVERSIONS, "discriminator"} if step >= 5 else set()
        assert set(terms) == {"spectrum"} | judged
        assert all(term.isfinite() for term in terms.values())
        assert moved(before[0], made.network) and moved(before[1], made.discriminator) is (step >= 5)
    for name, tensor in made.conversions.state_dict().items():
        assert torch.equal(tensor, still[name]), name
    assert all(parameter.grad is None for parameter in made.conversions.parameters())


def test_losses_on_conversions_are_those_of_the_docstring(dump, pairs, tools):
    made = converting(dump, "slt", "rms")
    terms, fakes = made.decoder_losses(pairs, made.schedule(9))
    who, to = pairs.speakers, pairs.targets
    said = pairs.own_content * (tools.content_deviation[who] / tools.content_deviation[to])
    converted = made.network(said, tools.map_prosody(pairs.prosody, who, to), to)
    decoded = made.network(pairs.content, pairs.prosody, who)
    torch.testing.assert_close(fakes, torch.cat([decoded, converted]).detach())
    torch.testing.assert_close(
        terms["conversion_adversarial"], torch.square(made.discriminator(converted)[0] - 1).mean()
    )
    heard, middle = tools.encode(converted, to), slice(8, 24)
    far = [
        1 - torch.cosine_similarity(one, other, dim=0)[middle][loud[middle] > PAUSES[1]].mean()
        for one, other, loud in zip(heard, said, pairs.prosody[:, -1])
        if (loud[middle] > PAUSES[1]).any()
    ]
    torch.testing.assert_close(terms["content_consistency"], sum(far) / len(pairs.speakers))
    back = made.network(heard * tools.content_deviation[to] / tools.content_deviation[who], pairs.prosody, who)
    torch.testing.assert_close(terms["cycle"], (back - pairs.log_mel)[..., middle].abs().mean())
    judged, _ = made.discriminator_losses(pairs, fakes)
    fake = (
        torch.square(made.discriminator(converted)[0]).mean() + torch.square(made.discriminator(decoded)[0]).mean()
    ) / 2
    torch.testing.assert_close(
        judged["discriminator"], torch.square(made.discriminator(pairs.log_mel)[0] - 1).mean() + fake
    )


def test_a_target_alone_hears_what_it_decodes(dump):
    made, drawn = converting(dump, "rms", content_consistency=1.0), undropped(sampler_of(dump, "rms").draw())
    terms, fakes = made.decoder_losses(drawn, made.schedule(9))
    decoded = made.network(drawn.content, drawn.prosody, drawn.speakers)
    torch.testing.assert_close(fakes, decoded.detach())
    middle = slice(8, 24)
    heard, spoken = made.conversions.encode(decoded, drawn.speakers), drawn.prosody[:, -1, middle] > PAUSES[1]
    expected = losses.content(heard[..., middle], drawn.content[..., middle], mask=spoken)
    torch.testing.assert_close(terms["content_consistency"], expected)
    assert set(terms) == {"spectrum", "adversarial", "feature_matching", "content_consistency"}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_one_loss_on_conversions_counts_alone_and_reaches_the_decoder(name, dump, pairs):
    made = converting(dump, "slt", "rms", **{"adversarial": 0.0, "feature_matching": 0.0, name: 1.0})
    terms, fakes = made.decoder_losses(pairs, made.schedule(9))
    judged = name == "conversion_adversarial"
    assert set(terms) == {"spectrum", name} and len(fakes) == len(pairs.content) * (2 if judged else 1)
    assert ("discriminators" in made.optimisers) is judged and (made.conversions.encoder is None) is judged
    gradients = torch.autograd.grad(terms[name], list(made.network.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients) and all(g.any() for g in gradients[1:])


def test_losses_of_a_batch_are_the_means_over_the_processes_that_share_it(dump, pairs):
    made = converting(dump, "slt", "rms")
    made.network.eval()
    halves = [
        ContentBatch(**{key: each[part::2] for key, each in vars(pairs).items() if isinstance(each, Tensor)})
        for part in (0, 1)
    ]
    whole, *parts = (made.decoder_losses(each, made.schedule(9)) for each in (replace(pairs, unseen=None), *halves))
    judged, *shares = (
        made.discriminator_losses(each, fakes)[0]["discriminator"]
        for each, (_, fakes) in zip((pairs, *halves), (whole, *parts))
    )
    for name, term in whole[0].items():
        torch.testing.assert_close(term, (parts[0][0][name] + parts[1][0][name]) / 2)
    torch.testing.assert_close(judged, sum(shares) / 2)


@pytest.mark.parametrize("name", ["conversion_adversarial", "cycle"])
def test_one_target_has_no_conversions(name, content, tmp_path):
    message = f"^objective.{name} needs two speakers or more: --source and --target, or --speakers$"
    with pytest.raises(ConfigError, match=message):
        train(request(content, tmp_path / "exp", "rms", settings=(f"objective.{name}=1",)))
    assert not (tmp_path / "exp").exists()


def test_an_encoder_that_cannot_hear_log_mel_is_refused_by_name(dump, tmp_path):
    torch.manual_seed(0)
    sizes, path = WhisperConfig(width=8, heads=1, layers=1, hidden=8, positions=500), tmp_path / "w.safetensors"
    encoder_file.write(path, EncoderModel("whisper", vars(sizes), 1), WhisperNetwork(sizes).state_dict())
    samples = replace(dump.config, content=replace(dump.config.content, encoder=str(path), digest=""))
    for config in (samples, replace(dump.config, highest=7000.0)):
        with pytest.raises(ConfigError, match=r"cycle: through the content encoder .* no gradient") as refused:
            differentiable_encoder(dump.speakers, config)
        assert config.content.encoder in str(refused.value) and "\n" not in str(refused.value)


def test_a_run_with_losses_on_conversions_goes_on_exactly_and_saves_no_encoder(content, tmp_path):
    settings = *(f"objective.{name}=0.5" for name in CONVERSIONS), "training.save_minutes=0", "training.checkpoints=9"
    wanted = request(content, tmp_path, "slt", "rms", settings=settings)
    train(wanted)
    whole = tensors_digest(read_tensors(tmp_path / "model.safetensors")[0])
    checkpoints = sorted((tmp_path / "checkpoints").iterdir())
    assert not any("encoder" in name or "content_mean" in name for name in read_tensors(checkpoints[-1])[0])
    for path in [tmp_path / "model.safetensors", *checkpoints[5:]]:
        path.unlink()
    train(wanted)
    assert tensors_digest(read_tensors(tmp_path / "model.safetensors")[0]) == whole


# The commands


def request(content: Path, output: Path, *speakers: str, settings: tuple[str, ...] = ()) -> Request:
    sections = read_sections(None, ["method=recognition_synthesis", *SMALL, *settings])
    return Request(content / "dump/train", speakers, output=output, sections=sections, device="cpu")


@pytest.fixture(scope="module")
def one(content, tmp_path_factory) -> Path:
    """An experiment directory: rms alone, the best of held-out recordings, by the command."""
    output, settings = tmp_path_factory.mktemp("one") / "exp", [word for each in SMALL for word in ("--set", each)]
    validation = ("--validation", content / "data/held_out", "--set", "training.sample_every=6")
    known = ("--method", "recognition_synthesis", "--features", content / "dump/train", *settings)
    scored = ("--held-out", content / "dump/held_out")
    command("train", *known, "--target", "rms", *scored, *validation, "--output", output)
    return output


@pytest.fixture(scope="module")
def two(content, tmp_path_factory) -> Path:
    """An experiment directory: slt and rms."""
    output = tmp_path_factory.mktemp("two") / "exp"
    assert train(request(content, output, "slt", "rms")) == 6
    return output


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return audio.read(SPEECH, MelFeatures().sample_rate)[0]


def converter(path: Path) -> Converter:
    return Converter.load(path, vocoder="world")


def test_a_target_is_enough_and_the_best_of_held_out_recordings_is_kept(one, content, dump):
    lines = [json.loads(line) for line in (one / "log.jsonl").read_text().splitlines()]
    scores = {line["step"]: line["held_out"] for line in lines if "held_out" in line}
    made = converter(one)
    assert made.speakers == ("rms",) and made.direction() == (None, "rms") and list(scores) == [3, 6]
    best = min(scores, key=lambda step: scores[step]["score"])
    assert made.model.step == best and made.model.metrics == scores[best]
    assert all(each["score"] == pytest.approx(each["mcd"] + each["msd"]) for each in scores.values())
    held_out = HeldOutResynthesis.read(content / "dump/held_out", dump, ("rms",))
    assert held_out.score(made) == pytest.approx(made.model.metrics, rel=1e-4)
    assert str(held_out) == "2 recordings of rms"


@pytest.fixture(scope="module")
def of_rms(content, tmp_path_factory) -> Path:
    """data/train and data/held_out of rms alone."""
    folder = tmp_path_factory.mktemp("of rms")
    for part in ("train", "held_out"):
        utterances = data_directory.read(content / "data" / part)
        data_directory.write(folder / "data" / part, [item for item in utterances if item.speaker == "rms"])
    return folder


def train_vocoder(model: Path, data: Path, output: Path, *more: object, check: int = 0) -> CompletedProcess:
    settings = [word for setting in OF_VOCODER for word in ("--set", setting)]
    arguments = ("--model", model, "--config", VOCODER, *settings, "--data", data, "--output", output)
    return command("vocoder", "train", *arguments, *more, "--device", "cpu", check=check)


def test_a_decoders_log_mel_of_a_recording_is_that_of_its_features(two, content, dump):
    """Of both speakers' recordings: as decoded from what was extracted from them, each as their own speaker."""
    decoder, utterances = LogMelDecoder(two), data_directory.read(content / "data/train")
    decoded = decoder.decode_all([utterance.read(22050)[0] for utterance in utterances], utterances)
    for utterance, log_mel in zip(utterances, decoded):
        name = utterance.speaker
        number = dump.sentences(name).index(utterance.sentence)
        vectors, f0, original = (values[number] for values in (dump.content(name), dump.f0(name), dump.frames(name)))
        assert log_mel.dtype == np.float32 and np.abs(log_mel - original).mean() > 0.1
        expected = decoder.converter.resynthesise(vectors, f0, original, name)
        np.testing.assert_allclose(log_mel, expected, rtol=0, atol=1e-3)


def test_a_vocoder_learns_from_what_a_decoder_makes_of_recordings(one, of_rms, tmp_path):
    """By the commands: the run, its scores and samples are of decoded log-mel; interrupted, it goes on exactly."""
    parts = ("--held-out", of_rms / "data/held_out", "--validation", of_rms / "data/held_out")
    printed = train_vocoder(one, of_rms / "data/train", tmp_path / "exp", *parts).stdout.decode()
    assert f"next: vc-convert --model {one} --vocoder {tmp_path / 'exp'} RECORDING" in printed
    model, weights = vocoder_file.read(tmp_path / "exp")
    decoder, vocoder = LogMelDecoder(one), NeuralVocoder.load(tmp_path / "exp")
    assert model.configuration["decoder"] == decoder.digest
    scores, of_recordings = (
        HeldOutRecordings.read(of_rms / "data/held_out", [], 22050, {}, which).score(vocoder)
        for which in (decoder, None)
    )
    assert scores == pytest.approx(model.metrics, rel=1e-4)
    assert scores["score"] != pytest.approx(of_recordings["score"], rel=1e-3)
    [sample] = (tmp_path / "exp/samples").glob("*.wav")
    samples = data_directory.read(of_rms / "data/held_out")[0].read(22050)[0]
    copied = limit(vocoder.resynthesise(samples, decoder.decode(samples, "rms")), 22050)
    np.testing.assert_allclose(audio.read(sample, 22050)[0], copied, rtol=0, atol=1e-3)
    half = ("--set", "training.steps=1", "--set", "training.checkpoint_every=1", *parts)
    train_vocoder(one, of_rms / "data/train", tmp_path / "halves", *half)
    train_vocoder(one, of_rms / "data/train", tmp_path / "halves", *parts)
    resumed = vocoder_file.read(tmp_path / "halves")[1]
    assert all(torch.equal(resumed[name], tensor) for name, tensor in weights.items())


def test_the_command_that_is_printed_converts(two, content, tmp_path):
    """With a model of two targets, one of them is named."""
    printed = train_vocoder(two, content / "data/train", tmp_path / "exp").stdout.decode()
    words = printed.split("next: vc-")[1].replace("RECORDING ...", f"{SPEECH} --output {tmp_path / 'out.wav'}").split()
    assert words[words.index("--to") + 1] in ("rms", "slt")
    command(*words)
    assert audio.read(tmp_path / "out.wav", 22050)[0].any()


def test_what_a_vocoder_cannot_learn_from_a_decoder_is_refused_by_name(
    one, two, model, of_world, content, of_rms, tmp_path
):
    both, recordings = content / "data/train", of_rms / "data/train"

    def refused(*arguments: object) -> str:
        return train_vocoder(*arguments, check=2).stderr.decode()

    assert f"of 'slt', who is not among the targets of {one}: rms" in refused(one, both, tmp_path / "a")
    for part in ("--held-out", "--validation"):
        printed = refused(one, recordings, tmp_path / "b", part, content / "data/held_out")
        assert f"{content / 'data/held_out'}: " in printed and "who is not among the targets" in printed
    expected = f"mel.hop is 128, but {one} decodes log-mel with 256"
    assert expected in refused(one, recordings, tmp_path / "c", "--set", "mel.hop=128")
    world = tmp_path / "world"
    train(request(of_world, world, "rms"))
    for wrong in (model, world):
        assert f"{wrong}: decodes no log-mel for a neural vocoder" in refused(wrong, recordings, tmp_path / "d")
    assert "no such model" in refused("", recordings, tmp_path / "d")
    assert not any((tmp_path / name / "config.yaml").exists() for name in "abcd")


def test_a_run_goes_on_only_with_the_log_mel_that_it_began_with(one, of_rms, tmp_path):
    """A model that differs in its restoration or a speaker's statistics decodes other log-mel, by equal weights."""
    recordings = of_rms / "data/train"
    train_vocoder(one, recordings, tmp_path / "exp")
    weights, content = read_tensors(one / "model.safetensors")
    network = {**content["network"], "restoration": 3.0}
    louder = {"rms": {**content["speakers"]["rms"], "mel_cepstrum_mean": [0.0] * 80}}
    for change in ({"network": network}, {"speakers": louder}):
        other = forged(tmp_path / "other", {**content, **change}, weights)
        printed = train_vocoder(other, recordings, tmp_path / "exp", check=2).stderr.decode()
        assert "started with other settings: the decoder of --model; use" in printed and "decoding" not in printed


def test_samples_of_everyone_are_written_while_it_learns(one):
    names = sorted(path.name for path in (one / "samples").glob("*.wav"))
    assert len(names) == 2 and all("-to-rms-000000006" in name for name in names)


def test_a_score_falls_as_what_is_said_comes_nearer(one, content, dump):
    held_out = HeldOutResynthesis.read(content / "dump/held_out", dump, ("rms",))

    class Saying:
        model = converter(one).model

        def __init__(self, noise: float):
            self.noise = noise

        def resynthesise(self, content, f0, log_mel, speaker):
            return log_mel + self.noise * np.random.default_rng(0).standard_normal(log_mel.shape)

    near, far, farther = (held_out.score(Saying(noise))["score"] for noise in (0.0, 0.3, 0.6))
    assert near == pytest.approx(0, abs=1e-6) and near < far < farther


def test_held_out_recordings_are_of_the_same_settings_and_not_learnt_from(content, dump, one, tmp_path):
    with pytest.raises(ConfigError, match="training learns from"):
        HeldOutResynthesis.read(content / "dump/train", dump, ("rms",))
    shutil.copytree(content / "dump/held_out", tmp_path / "other")
    path = tmp_path / "other/config.yaml"
    path.write_text(path.read_text().replace("layer: 0", "layer: 1"))
    with pytest.raises(ConfigError, match="extracted with other settings"):
        HeldOutResynthesis.read(tmp_path / "other", dump, ("rms",))
    with pytest.raises(ConfigError, match="no speaker 'zoe'"):
        HeldOutResynthesis.read(content / "dump/held_out", dump, ("zoe",))


@pytest.mark.parametrize("step", [1, 4])
def test_a_run_that_goes_on_ends_as_one_that_was_never_stopped(step, content, two, tmp_path, caplog):
    """Before the discriminator has moved, and after."""
    wanted = request(content, tmp_path, "slt", "rms", settings=("training.save_minutes=0", "training.checkpoints=9"))
    train(wanted)
    for path in [tmp_path / "model.safetensors", *sorted((tmp_path / "checkpoints").iterdir())[step + 1 :]]:
        path.unlink()
    with caplog.at_level("INFO", "vc"):
        train(wanted)
    assert f"step {step} of 6" in caplog.text
    one, other = (read_tensors(folder / "model.safetensors")[0] for folder in (tmp_path, two))
    assert tensors_digest(one) == tensors_digest(other)


def test_the_model_holds_its_encoder(content, encoder, one):
    model, network, own = model_file.read_network(one)
    assert own.digest == model.features.content.digest == choice.choose(str(encoder)).digest
    assert model.features.content.encoder == encoder.stem  # and not the path to it
    assert model.configuration["features"]["content"]["encoder"] == encoder.stem
    assert not any(name.startswith("encoder.") for name in network.state_dict())
    assert model.encoder["kind"] == "distilled"


def test_a_model_converts_anyone_without_the_encoders_file(content, encoder, speech, two, tmp_path):
    shutil.copytree(content / "dump/train", tmp_path / "dump")
    shutil.copy(encoder, tmp_path / "mine.safetensors")
    settings = (tmp_path / "dump/config.yaml").read_text()
    (tmp_path / "dump/config.yaml").write_text(settings.replace(str(encoder), str(tmp_path / "mine.safetensors")))
    train(replace(request(content, tmp_path / "exp", "slt", "rms"), features=tmp_path / "dump"))
    (tmp_path / "mine.safetensors").unlink()
    shutil.rmtree(tmp_path / "dump")
    np.testing.assert_array_equal(
        converter(tmp_path / "exp").convert(speech, 22050), converter(two).convert(speech, 22050)
    )


@pytest.mark.parametrize("samples", [1, 300, 22050, 40001])
def test_the_output_is_finite_and_as_long_as_the_input(samples, one, speech):
    converted = converter(one).convert(np.resize(speech, samples), 22050)
    assert converted.shape == (samples,) and np.isfinite(converted).all() and np.abs(converted).max() <= 1


@pytest.mark.parametrize("seconds", [0.15, 0.25, 0.4])
def test_a_word_of_anyone_has_a_melody(seconds, one):
    made = converter(one)
    times = np.arange(round(seconds * 22050)) / 22050
    voiced = np.sin(2 * np.pi * 200 * times[:, None] * np.arange(1, 20)).sum(axis=1).astype(np.float32) / 40
    target = made.model.speakers[made.speakers[0]].log_f0
    f0 = []
    made.vocoder = copy.copy(made.vocoder)
    made.vocoder.synthesise = lambda frames, config: f0.append(frames.f0) or np.zeros(len(frames.f0) * config.hop)
    made.convert(np.pad(voiced, 2000), 22050)
    [f0] = f0
    assert (f0 > 0).sum() > 3 and abs(np.log(f0[f0 > 0]).mean() - target.mean) < 0.1


@pytest.mark.parametrize("scale", [0.03, 2.0**15])
def test_a_recording_of_another_scale_says_the_same(scale, one, speech):
    usual, other = (converter(one).convert(factor * speech, 22050) for factor in (1.0, scale))
    usual, other = (each / np.abs(each).max() for each in (usual, other))
    assert np.corrcoef(usual, other)[0, 1] > 0.95


def test_noise_before_speech_stays_as_faint_as_it_is(one, speech):
    noise = 1e-3 * np.random.default_rng(0).standard_normal(2 * 22050).astype(np.float32)
    blocks = np.array_split(np.concatenate([noise, speech]), 20)
    converted = np.concatenate(list(converter(one).convert_stream(blocks, longest=1.0)))
    before, after = (np.sqrt(np.square(each).mean()) for each in (converted[:22050], converted[-len(speech) :]))
    assert before < 0.05 * after


def test_silence_is_converted_too(one):
    converted = converter(one).convert(np.zeros(30000, np.float32), 22050)
    assert np.isfinite(converted).all() and len(converted) == 30000


def test_directions(one, two):
    alone, both = converter(one), converter(two)
    assert alone.direction("rms") == both.direction() == (None, "rms")
    assert both.direction("slt") == (None, "slt") and both.direction("slt", "rms") == ("rms", "slt")
    assert both.direction(source="rms") == ("rms", "slt")
    for made, to, source, message in (
        (alone, "zoe", None, "no speaker 'zoe'; there are: rms"),
        (alone, None, "zoe", r"does not know 'zoe': leave the source \(--from\) out"),
        (alone, None, "rms", "source and target are both 'rms'"),
        (both, "rms", "zoe", "does not know 'zoe'"),
    ):
        with pytest.raises(ConfigError, match=message):
            made.direction(to, source)


def test_a_command_refuses_in_one_line(one, tmp_path):
    line = ("convert", "--model", one, "--vocoder", "world", SPEECH, "--output", tmp_path / "o.wav", "--to", "zoe")
    [complaint] = command(*line, check=2).stderr.decode().splitlines()
    assert complaint == "vc-convert: error: the model has no speaker 'zoe'; there are: rms"
    assert not (tmp_path / "o.wav").exists()


def test_what_a_decoder_cannot_is_refused_by_name(one, tmp_path):
    made = converter(one)
    with pytest.raises(ConfigError, match="can be exported; the model's are of kind content"):
        export(made, tmp_path / "x.onnx")
    with pytest.raises(ConfigError, match="recognition_synthesis has no means and variances of a source"):
        made.mean_variance()
    with pytest.raises(ConfigError, match="method diff needs a model of mel-cepstra"):
        made.check(ConversionOptions(method="diff"))


def test_methods_between_speakers_still_need_two_and_other_features(content, dump, tmp_path):
    for method in ("nearest", "cyclegan_vc2", "mean_variance"):
        with pytest.raises(ConfigError, match=f"method {method} needs two speakers or more"):
            resolve({"method": method}, MelFeatures(), ("rms",), "digest")
        with pytest.raises(ConfigError, match=f"method {method} learns from features of kind .*, not content"):
            resolve({"method": method}, dump.config, ("slt", "rms"), "digest")
    kinds = "recognition_synthesis learns from features of kind content, content_world, not mel"
    with pytest.raises(ConfigError, match=kinds):
        resolve({"method": "recognition_synthesis"}, MelFeatures(), ("rms",), "digest")
    with pytest.raises(ConfigError, match="source and target are both 'rms'"):
        experiment(dump, "rms", "rms")


@pytest.mark.parametrize(
    ("given", "speakers"),
    [
        (("--target", "rms"), ("rms",)),
        (("--source", "slt", "--target", "rms"), ("slt", "rms")),
        (("--speakers", "slt", "rms"), ("slt", "rms")),
        (("--speakers", "rms"), ("rms",)),
        ((), None),
        (("--source", "rms"), None),
        (("--target", "rms", "--speakers", "slt"), None),
    ],
)
def test_speakers_are_those_of_the_command_line(given, speakers, monkeypatch, capsys):
    requests = []
    monkeypatch.setattr("vc.cli.common.log_to_stderr", lambda command: None)  # whose handler would stay
    monkeypatch.setattr("vc.train.estimate.announce", lambda request: None)
    monkeypatch.setattr("vc.train.converter.train", lambda request: requests.append(request) or 1)
    words = ["--config", "recognition_synthesis", "--features", "dump", "--output", "exp", *given]
    if speakers:
        assert train_command.main(words) == 0 and requests[0].speakers == speakers
    else:
        assert train_command.main(words) == 2 and not requests
        assert "give --source and --target, --target alone if" in capsys.readouterr().err


def test_training_refuses_by_name_and_leaves_nothing(content, one, tmp_path):
    with pytest.raises(ConfigError, match="no speaker 'zoe'; there are: rms, slt"):
        train(request(content, tmp_path / "exp", "zoe"))
    with pytest.raises(ConfigError, match="--add-to: recognition_synthesis cannot add a speaker"):
        train(replace(request(content, tmp_path / "exp", "rms"), add_to=one))
    with pytest.raises(ConfigError, match=r"--add-to: a run starts from one model, and objective\.start names another"):
        train(replace(request(content, tmp_path / "exp", "rms", settings=("objective.start=six_voices",)), add_to=one))
    assert not (tmp_path / "exp").exists()


def test_training_without_its_encoder_is_refused_before_it_begins(content, encoder, tmp_path):
    dump = shutil.copytree(content / "dump/train", tmp_path / "dump")
    settings = (dump / "config.yaml").read_text()
    (dump / "config.yaml").write_text(settings.replace(str(encoder), str(tmp_path / "gone.safetensors")))
    with pytest.raises(ConfigError, match=r"gone\.safetensors: no such encoder file"):
        train(replace(request(content, tmp_path / "exp", "rms"), features=dump))
    assert not (tmp_path / "exp/config.yaml").exists()


def test_a_run_begins_from_a_model_wherever_that_lies(content, two, tmp_path):
    start = shutil.copytree(two, tmp_path / "start") / "model.safetensors"
    moved = start.rename(tmp_path / "moved.safetensors")
    lost, wanted = (
        request(content, tmp_path / "exp", "rms", settings=(f"objective.start={path}",)) for path in (start, moved)
    )
    begun = make_engine(Plan.from_request(wanted), CPU, SINGLE_PROCESS).converter.state_dict()
    weights = model_file.read_network(two)[1].state_dict()
    torch.testing.assert_close(begun["enter.bias"], weights["enter.bias"] + weights["speaker.weight"].mean(0))
    torch.testing.assert_close(begun["variance.moments"][0], weights["variance.moments"].mean(0))
    others = begun.keys() - {"enter.bias", "variance.moments"}
    assert all(torch.equal(weights[name], begun[name]) for name in others) and len(others) > 10
    with pytest.raises(ConfigError, match=r"start/model\.safetensors: no such model file"):
        train(lost)
    train(wanted)
    (tmp_path / "moved.safetensors").rename(start)
    assert train(lost) == 6


def test_a_run_begins_from_a_model_of_another_encoder_of_the_same_size(content, encoder, two, tmp_path):
    description, weights = encoder_file.read(encoder)
    other = tmp_path / "other.safetensors"
    encoder_file.write(other, description, {name: tensor + 0.01 for name, tensor in weights.items()})
    dump = shutil.copytree(content / "dump/train", tmp_path / "dump")
    settings = (dump / "config.yaml").read_text().replace(str(encoder), str(other))
    digests = [choice.choose(str(path)).digest for path in (encoder, other)]
    (dump / "config.yaml").write_text(settings.replace(*digests))
    train(replace(request(content, tmp_path / "exp", "rms", settings=(f"objective.start={two}",)), features=dump))
    assert model_file.read(tmp_path / "exp")[0].features.content.digest == digests[1] != digests[0]


@pytest.fixture(scope="module")
def of_world(content, encoder, tmp_path_factory) -> Path:
    """dump with content and the log-mel of WORLD's envelopes, of the recordings of `content`."""
    folder = tmp_path_factory.mktemp("world")
    settings = (*("--set", "features.kind=content_world"), *("--set", f"features.content.encoder={encoder}"))
    command("extract", content / "data/train", folder / "dump/train", *settings, "--jobs", 1)
    return folder


def test_a_decoder_of_envelopes_speaks_through_world(of_world, speech, tmp_path):
    train(request(of_world, tmp_path / "exp", "rms"))
    made = Converter.load(tmp_path / "exp")
    assert made.vocoder is WORLD and made.model.features.kind == "content_world"
    converted = made.convert(speech, made.sample_rate)
    assert len(converted) == len(speech) and np.isfinite(converted).all() and converted.any()
    files = ("--input", SPEECH, "--output", tmp_path / "out.wav")
    command("live", "--model", tmp_path / "exp", *files, "--delay", "200")
    assert len(audio.read(tmp_path / "out.wav", made.sample_rate)[0]) == len(speech)


def test_units_of_envelopes_speak_through_world(of_world, speech, tmp_path):
    fit = replace(request(of_world, tmp_path / "exp", "rms"), sections={"method": "unit_selection"})
    assert train(fit) == 1
    made = Converter.load(tmp_path / "exp")
    converted = made.convert(speech, made.sample_rate)
    assert made.vocoder is WORLD and len(converted) == len(speech) and converted.any()


def test_a_decoder_of_envelopes_begins_from_one_of_log_mel(of_world, two, tmp_path, caplog):
    """Its frames are half as far apart: its dilations may be twice as large; of the rest, what shapes no weight."""

    def begin(*settings: str) -> Plan:
        wanted = request(of_world, tmp_path / "exp", "rms", settings=(f"objective.start={two}", *settings))
        return Plan.from_request(wanted)

    free = ("dropout=0.2", "discriminator_channels=5", "restoration=3")
    plan = begin("network.dilations=[2]", *(f"network.{each}" for each in free))
    assert plan.features.config.hop == MelFeatures().hop // 2 and "another content encoder" not in caplog.text
    begun = make_engine(plan, CPU, SINGLE_PROCESS).converter.state_dict()
    weights = model_file.read_network(two)[1].state_dict()
    assert torch.equal(begun["leave.weight"], weights["leave.weight"])
    for dilations, found in (("[2, 4]", r"\[2, 4\]"), ("[1]", r"\[1\]")):  # too many; not twice as large
        with pytest.raises(ConfigError, match=rf"made with other settings: network.dilations \(\[2\] -> {found}\)"):
            begin(f"network.dilations={dilations}")
    with pytest.raises(ConfigError, match=r"made with other settings: network\.kernel"):
        begin("network.kernel=5")


def test_the_licence_of_a_start_goes_on(content, two, tmp_path):
    weights, told = read_tensors(two / "model.safetensors")
    start = forged(tmp_path / "start", {**told, "licence": "CC BY 4.0, Ann"}, weights)
    train(request(content, tmp_path / "exp", "rms", settings=(f"objective.start={start}",)))
    licence = model_file.read(tmp_path / "exp")[0].licence
    assert licence.startswith(model_file.LICENCE) and licence.endswith("start: CC BY 4.0, Ann")


def test_a_run_begins_only_from_a_model_that_fits(content, two, tmp_path):
    def refused(why: str, *settings: str) -> None:
        with pytest.raises(ConfigError, match=why):
            train(request(content, tmp_path / "exp", "rms", settings=settings))
        assert not (tmp_path / "exp").exists()

    refused("made with other settings: network.channels", f"objective.start={two}", "network.channels=8")
    refused("none/such: no such model file", "objective.start=none/such")
    sizes = ("channels=256", "content_channels=160", "kernel=5", "dilations=[1, 2, 4, 1, 2]")
    as_carried = (f"network.{each}" for each in (*sizes, "discriminator_channels=24"))
    refused("six_voices.*: trained on features of other settings", "objective.start=six_voices", *as_carried)
    mini = CORPUS.parent / "model.safetensors"
    refused("mini/model.safetensors: of method nearest, not recognition_synthesis", f"objective.start={mini}")


def test_a_run_that_began_elsewhere_is_not_gone_on_with(content, one, two, tmp_path):
    train(request(content, tmp_path, "rms", settings=(f"objective.start={two}",)))
    with pytest.raises(ConfigError, match="started with other settings: the model that it starts from"):
        train(request(content, tmp_path, "rms", settings=(f"objective.start={one}",)))


def test_the_length_of_a_run_is_estimated(content, tmp_path):
    told = str(estimate(request(content, tmp_path / "exp", "rms")))
    assert told.startswith("rms: 1 min (6 steps of ") and not (tmp_path / "exp").exists()


def mean_log_f0(samples: np.ndarray) -> float:
    """Of the clearly voiced frames."""
    config = MelFeatures()
    track = config.track_f0(samples)
    return float(np.log(track.f0[clear_frames(track, loud_frames(track.power))]).mean())


def test_melody_is_the_targets_and_moves_as_it_is_told(one, speech):
    made = converter(one)
    assert made.vocoder is WORLD
    target = made.model.speakers["rms"].log_f0
    usual, higher = (
        mean_log_f0(made.convert(speech, 22050, options=ConversionOptions(F0Options(shift=shift)))) for shift in (0, 12)
    )
    assert abs(mean_log_f0(speech) - target.mean) > 0.3  # a woman's
    assert usual == pytest.approx(target.mean, abs=0.03)
    assert higher - usual == pytest.approx(np.log(2), abs=0.03)
    assert mean_log_f0(made.convert(speech, 22050, options=ConversionOptions(F0Options(keep=True)))) == pytest.approx(
        mean_log_f0(speech), abs=0.03
    )


class Listening(Converter):
    """Keeps what its decoder is given."""

    def decode(self, content, log_mel, f0, source, target):
        self.sources = [*getattr(self, "sources", []), source]
        return super().decode(content, log_mel, f0, source, target)


def listening(path: Path) -> Listening:
    made = converter(path)
    return Listening(made.model, made.network, vocoder=WORLD, encoder=made.encoder)


def test_a_known_source_brings_its_statistics_and_an_unknown_one_those_of_the_recording(two, speech):
    made = listening(two)
    made.convert(speech, 22050, to="rms", source="slt")
    assert made.sources == [made.model.speakers["slt"].content]
    made.sources = []
    converted = made.convert(speech, 22050, to="rms")
    [found] = made.sources
    assert found not in [speaker.content for speaker in made.model.speakers.values()] and len(converted) == len(speech)
    spectrum = made.model.features.analyse(speech, None).spectrum
    assert log_mel_loudness(spectrum).mean() < found.loudness_mean < log_mel_loudness(spectrum).max()


def test_a_recording_in_pieces_is_close_to_the_whole(two, monkeypatch):
    """Cut every few seconds where it is quiet; the speaker is known, so that each piece knows the same."""
    spoken = np.concatenate([audio.read(path, 22050)[0] for path in sorted((CORPUS / "eval/slt").iterdir())[:2]])
    made = listening(two)
    whole = made.convert(spoken, 22050, to="rms", source="slt")
    alone = len(made.sources)
    parts = list(made.convert_stream(np.array_split(spoken, 50), to="rms", source="slt", longest=1.5))
    joined = np.concatenate(parts)
    assert len(joined) == len(whole) == len(spoken) and np.isfinite(joined).all()
    assert len(made.sources) - alone > 2 * alone
    log_mels = [MelFeatures().analyse(each, None).spectrum for each in (whole, joined)]
    gain = np.median(log_mels[1] - log_mels[0])  # a stream's loudness is that of what was heard so far
    loud = log_mels[0].mean(axis=1) > log_mels[0].mean(axis=1).max() - 3
    assert np.abs(log_mels[1] - log_mels[0] - gain)[loud].mean() < 0.5


def test_files_are_converted_in_pieces_as_arrays_are(two, speech, tmp_path, monkeypatch):
    defaults = Converter._convert_blocks.__kwdefaults__
    assert defaults["longest"] == pieces.LONGEST
    monkeypatch.setattr(Converter._convert_blocks, "__kwdefaults__", {**defaults, "longest": 1.5})
    made = listening(two)
    audio.write(tmp_path / "in.wav", speech, 22050)
    made.convert_file(tmp_path / "in.wav", tmp_path / "out.wav", jobs=2)
    assert len(made.sources) > 1 and len(audio.read(tmp_path / "out.wav")[0]) == len(speech)
    array = made.convert(audio.read(tmp_path / "in.wav")[0], 22050)
    np.testing.assert_allclose(audio.read(tmp_path / "out.wav")[0], array, atol=2**-14)


def test_a_model_is_evaluated_without_means_of_a_source(one, speech, tmp_path):
    for speaker in ("slt", "rms"):
        (tmp_path / speaker).mkdir()
        shutil.copy(sorted((CORPUS / "eval" / speaker).iterdir())[0], tmp_path / speaker / "1.flac")
    converter(one).convert_file(SPEECH, tmp_path / "made/1.wav")
    sides = ("--reference", tmp_path / "rms", "--source", tmp_path / "slt", "--model", one, "--to", "rms")
    done = ("--converted", tmp_path / "made", "--measures", "none", "--output", tmp_path / "results", "--jobs", 1)
    command("evaluate", *done, *sides)
    results = json.loads((tmp_path / "results/metrics.json").read_text())
    assert results["mcd"] > 0 and {"copy_synthesis", "unconverted"} <= results["anchors"].keys()
    assert "mean_variance" not in results["anchors"]
    assert results["cycle"] is None


# Hostile model files


def forged(path: Path, content: dict, weights: dict[str, Tensor]) -> Path:
    """A model file of any content and weights, with the digest that they should have."""
    text = json.dumps(content)
    save_file(weights, path, {"vc": text, "sha256": tensors_digest(weights, text)})
    return path


def put(place: str, value: object, content: dict, weights: dict[str, Tensor]) -> tuple[dict, dict]:
    """A value set at a place, `outer.inner`."""
    content = inner = copy.deepcopy(content)
    *outer, last = place.split(".")
    for name in outer:
        inner = inner[name]
    inner[last] = value
    return content, weights


def other_encoder(content: dict, weights: dict[str, Tensor], seed: int, **sizes: int) -> tuple[dict, dict]:
    """Another encoder in the place of the model's."""
    torch.manual_seed(seed)
    network = {**content["encoder"]["network"], **sizes}
    theirs = DistilledNetwork(DistilledConfig(**network)).state_dict()
    weights = without_encoder(content, weights)[1] | {f"encoder.{name}": each for name, each in theirs.items()}
    return put("encoder.network", network, content, weights)


def without_encoder(content: dict, weights: dict[str, Tensor]) -> tuple[dict, dict]:
    return content, {name: each for name, each in weights.items() if not name.startswith("encoder.")}


def without_dims(content: dict, weights: dict[str, Tensor]) -> tuple[dict, dict]:
    return put("features.content.dims", 0, *put("speakers.rms.content.mean", [], content, weights))


NO_STATISTICS, OTHER = "speaker rms has no statistics of 12 dims of content", "holds another content encoder"
HOSTILE = {  # how a model is changed, and the reason that is given
    "another method": (partial(put, "method", "nearest"), "network: unknown key"),
    "of world": (partial(put, "features", {"sample_rate": 16000}), "does not take features of kind world"),
    "of log-mel alone": (partial(put, "features", {"kind": "mel"}), "does not take features of kind mel"),
    "no statistics": (partial(put, "speakers.rms.content", None), NO_STATISTICS),
    "statistics of other dims": (partial(put, "speakers.rms.content.mean", [0.0]), NO_STATISTICS),
    "statistics that cannot be": (partial(put, "speakers.rms.content.deviation", 0.0), "content must be above 0"),
    "no dims": (without_dims, "features.content.dims must be 1 or more"),
    "nobody": (partial(put, "speakers", {}), "a model has 1 speakers or more"),
    "no encoder": (partial(put, "encoder", None), "holds no content encoder"),
    "no encoder's weights": (without_encoder, "weights do not fit distilled: "),
    "an unknown encoder": (partial(put, "encoder.kind", "ear"), "encoder.kind: unknown 'ear'"),
    "an encoder of another type": (partial(put, "encoder", []), "encoder must be a mapping"),
    "an endless encoder": (partial(put, "encoder.network.channels", 10**9), "encoder.channels must be in"),
    "an encoder of other dims": (partial(other_encoder, seed=0, dims=13), OTHER),
    "an encoder of other weights": (partial(other_encoder, seed=5), OTHER),
    "another frame rate": (partial(put, "features.content.frame_rate", 50.0), OTHER),
    "another first frame": (partial(put, "features.content.first", 0.5), OTHER),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_model_that_does_not_fit_itself_is_refused_by_name(what, one, tmp_path):
    weights, content = read_tensors(one / "model.safetensors")
    change, reason = HOSTILE[what]
    path = forged(tmp_path / "m", *change(content, weights))
    with pytest.raises(ConfigError, match="m: ") as refused:
        Converter.load(path, vocoder="world")
    assert str(refused.value).startswith(f"{path}: ") and reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_content_is_nothing_to_a_method_that_maps_frames(one, tmp_path):
    weights, content = read_tensors(one / "model.safetensors")
    content, weights = put("method", "nearest", *put("network", {}, content, weights))
    with pytest.raises(ConfigError, match=r"m: method nearest does not take features of kind content"):
        Converter.load(forged(tmp_path / "m", content, weights), vocoder="world")


def test_the_model_that_is_not_changed_is_taken(one, tmp_path):
    weights, content = read_tensors(one / "model.safetensors")
    assert converter(forged(tmp_path / "m", content, weights)).speakers == ("rms",)


# The carried model


def test_the_carried_model_converts_to_each_of_its_voices(speech):
    made = Converter.load("six_voices", vocoder="world")
    assert made.speakers == ("SF2", "SF3", "SM2", "TF1", "TM1", "TM2") and "CC BY 4.0" in made.model.licence
    said = [made.convert(speech, MelFeatures().sample_rate, to=name) for name in ("SF2", "TM2")]
    assert all(np.isfinite(each).all() and len(each) == len(speech) for each in said)
    assert mean_log_f0(said[0]) > mean_log_f0(said[1]) + 0.3  # a woman, a man


def compact_model(*words: object) -> CompletedProcess:
    return run(commands() / SCRIPT, ROOT / "recipes/target/compact_model.py", *words)


def test_the_carried_model_is_small_and_takes_the_carried_encoder(tmp_path):
    path = model_file.BUNDLED_MODELS["six_voices"]
    model, weights = model_file.read(path)
    assert path.stat().st_size < 6e6 and {each.dtype for each in weights.values()} == {torch.float16}
    assert model.encoder is None and model.features.content.digest == choice.choose("quantised").digest
    assert compact_model(path, tmp_path / "again", "--licence", model.licence).returncode == 0
    again, weights_again = model_file.read(tmp_path / "again")
    assert again == model and tensors_digest(weights_again) == tensors_digest(weights)


def test_a_model_without_an_encoder_takes_the_bundled_one_that_its_features_name(tmp_path):
    model, weights = model_file.read(model_file.BUNDLED_MODELS["six_voices"])
    for name in (choice.DISTILLED, choice.QUANTISED):
        named = replace(model.features, content=replace(model.features.content, encoder=name))
        encoder = choice.choose(name)
        model_file.write(tmp_path / name, replace(model, features=complete(named, encoder)), weights)
        assert model_file.read_network(tmp_path / name)[2] is encoder


def test_a_model_with_an_encoder_of_its_own_cannot_be_made_compact(one, tmp_path):
    done = compact_model(one, tmp_path / "no", "--licence", "mine")
    assert done.returncode == 2 and not (tmp_path / "no").exists()
    assert done.stderr == f"compact_model.py: error: {one}: its content encoder is not a bundled one, and is needed\n"


def test_a_folder_named_like_the_carried_model_is_the_one_that_is_meant(one, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(one, "six_voices")
    assert Converter.load("six_voices", vocoder="world").speakers == ("rms",)
