"""Training of neural vocoders: its parts, a step, and a run with exact resume."""

import copy
import json
import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import CORPUS, ROOT, equal
from torch import nn
from torch.nn.functional import pad

from vc import losses
from vc.config import VOCODER_SECTIONS, build, read_sections
from vc.corpus import data_directory
from vc.corpus.data_directory import Utterance
from vc.errors import ConfigError, DataError
from vc.features.mel import MelConfig, log_mel
from vc.layers import apply_weight_norm, fold_weight_norm
from vc.tensor_file import read_tensors
from vc.train.run import Stopped
from vc.train.sampling import DecodedWaveSampler, WaveBatch, WaveSampler
from vc.train.vocoder import (
    HeldOutRecordings,
    VocoderRequest,
    read_data_directory,
    read_recordings,
    resolve,
    train_vocoder,
)
from vc.train.vocoder_gan import VocoderObjective, VocoderTraining
from vc.vocoders import vocoder_file
from vc.vocoders.discriminators import WIDTHS, Discriminators, MultiPeriod, MultiScale
from vc.vocoders.istft import ISTFT, ISTFTConfig
from vc.vocoders.neural import NeuralVocoder
from vc.vocoders.vocoder_file import generator, network_config

CPU = torch.device("cpu")
CONF = ROOT / "recipes/vocoder/conf"
MEL = MelConfig(16000, fft_size=256, hop=64, bands=40)
SMALL = {  # of each method, as a network section
    "istft": {"channels": 16, "blocks": 1},
    "hifigan": {
        "channels": 16,
        "upsample_rates": [8, 4, 2],
        "upsample_kernels": [16, 8, 4],
        "kernels": [3],
        "dilations": [[1]],
    },
}
OBJECTIVE = VocoderObjective(discriminator_width=0.125)


def small(method: str) -> nn.Module:
    torch.manual_seed(0)
    return generator(method, network_config(method, SMALL[method]), MEL)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batch(frames: int = 32) -> WaveBatch:
    samples = noise(2, frames * MEL.hop)
    return WaveBatch(log_mel(samples, MEL), samples)


# -- the generator that ends in an inverse STFT


def test_the_inverse_stft_inverts_that_of_the_front_end():
    for mel in (MelConfig(), MEL, MelConfig(fft_size=512, hop=256)):
        samples = noise(2, 20 * mel.hop)
        margin = (mel.fft_size - mel.hop) // 2
        padded, window = pad(samples[:, None], (margin, margin), mode="reflect")[:, 0], torch.hann_window(mel.fft_size)
        spectrum = torch.stft(padded, mel.fft_size, mel.hop, window=window, center=False, return_complex=True)
        network = ISTFT(ISTFTConfig(channels=8, blocks=1), mel)
        made = network.waveform(spectrum.abs().clamp(min=1e-9).log(), spectrum.angle())
        torch.testing.assert_close(made, samples, rtol=0, atol=1e-5)


def test_a_sample_depends_on_its_context_of_frames_and_on_no_other():
    network = ISTFT(ISTFTConfig(channels=16, blocks=2), MelConfig())
    frames = noise(1, 80, 60).requires_grad_()
    place = slice(30 * 256, 31 * 256)
    network(frames)[0, place].square().sum().backward()
    [reached] = torch.nonzero(frames.grad[0].abs().sum(0), as_tuple=True)
    assert (reached.min(), reached.max()) == (30 - network.context, 30 + network.context)


@pytest.mark.parametrize("method", SMALL)
def test_chunks_with_their_context_give_what_the_whole_gives(method):
    network, frames = small(method).eval(), noise(1, MEL.bands, 90, seed=1)
    edge = network.context
    with torch.inference_mode():
        whole, part = network(frames), network(frames[:, :, 40 - edge : 50 + edge])
    assert whole.shape == (1, 90 * MEL.hop)
    inner = part[:, edge * MEL.hop : -edge * MEL.hop]
    torch.testing.assert_close(inner, whole[:, 40 * MEL.hop : 50 * MEL.hop], rtol=1e-3, atol=1e-6)


def test_a_hop_that_leaves_gaps_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"mel\.hop must be at most fft_size / 2 for istft, got 200"):
        ISTFT(ISTFTConfig(), MelConfig(fft_size=256, hop=200))


# -- discriminators and losses

PERIOD = [(1, 32, 5, 1), (32, 128, 5, 1), (128, 512, 5, 1), (512, 1024, 5, 1), (1024, 1024, 5, 1), (1024, 1, 3, 1)]
SCALE = [  # inputs, outputs, kernel, groups
    *[(1, 128, 15, 1), (128, 128, 41, 4), (128, 256, 41, 16), (256, 512, 41, 16), (512, 1024, 41, 16)],
    *[(1024, 1024, 41, 16), (1024, 1024, 5, 1), (1024, 1, 3, 1)],
]


@pytest.mark.parametrize(
    ("make", "layers", "count", "millions"), [(MultiPeriod, PERIOD, 5, 41.1), (MultiScale, SCALE, 3, 29.6)]
)
def test_discriminators_have_the_papers_parameters(make, layers, count, millions):
    expected = count * sum(outputs * (kernel * inputs // groups + 1) for inputs, outputs, kernel, groups in layers)
    found = sum(tensor.numel() for tensor in fold_weight_norm(make()).values())
    assert found == expected and round(found / 1e6, 1) == millions


@pytest.mark.parametrize("width", WIDTHS[2:])
def test_width_scales_every_layer_but_the_judgement(width):
    judgements = Discriminators(width)(noise(2, 2048))
    assert [len(judgement.features) for judgement in judgements] == [6] * 5 + [8] * 3
    for judgement in judgements:
        assert judgement.features[-2].shape[1] == 1024 * width and judgement.features[-1].shape[1] == 1
        assert judgement.map.shape == (2, judgement.features[-1][0].numel())


def test_a_judgement_does_not_depend_on_the_batch():
    discriminators, samples = Discriminators(0.125).eval(), noise(3, 2000)  # training moves the spectral norms' vectors
    together, alone = discriminators(samples), discriminators(samples[1:2])
    for one, other in zip(together, alone):
        torch.testing.assert_close(one.map[1:2], other.map)


def test_feature_matching_is_the_sum_of_mean_distances(random):
    fake, real = ([random.standard_normal((2, 3, size)) for size in (4, 9)] for _ in range(2))
    expected = sum(np.abs(one - other).mean() for one, other in zip(fake, real))
    found = losses.feature_matching([torch.from_numpy(x) for x in fake], [torch.from_numpy(x) for x in real])
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("method", SMALL)
def test_weight_normalisation_folds_to_the_weights_that_it_began_with(method):
    plain = small(method)
    normal = apply_weight_norm(copy.deepcopy(plain))
    state = fold_weight_norm(normal)
    assert state.keys() == plain.state_dict().keys() and len(list(normal.parameters())) > len(list(plain.parameters()))
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(state[name], tensor)
    assert fold_weight_norm(plain).keys() == plain.state_dict().keys()


# -- a step


def make(method: str = "istft", objective: VocoderObjective = OBJECTIVE) -> VocoderTraining:
    network = small(method)
    return VocoderTraining(apply_weight_norm(network) if method == "hifigan" else network, MEL, objective)


def test_frames_of_a_segment_are_those_of_the_recording():
    recording = noise(1, 6000)
    sampler = WaveSampler([recording[0].numpy(), np.zeros(100, np.float32)], MEL, CPU, frames=32, batch=40, seed=0)
    drawn = sampler.draw()
    assert sampler.segments.skipped == 1 and drawn.samples.shape == (40, 32 * 64) and drawn.mel.shape == (40, 40, 32)
    for samples, frames in zip(drawn.samples, drawn.mel):
        [start] = torch.nonzero(recording[0] == samples[0]).flatten().tolist()
        assert torch.equal(samples, recording[0, start : start + 32 * 64])
        wider = recording[:, start % 64 :]
        expected = log_mel(wider, MEL)[0, :, start // 64 : start // 64 + 32]
        torch.testing.assert_close(frames, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("last", [MEL.hop, 1])
def test_frames_that_are_given_are_drawn_with_the_samples_of_their_hops(last):
    """The last hop of a recording is whole or a single sample."""
    lengths = (50, 35)
    recordings = [noise(count * MEL.hop - MEL.hop + last, seed=count).numpy() for count in lengths]
    log_mels = [noise(count, MEL.bands, seed=count).numpy() for count in lengths]
    sampler = DecodedWaveSampler(recordings, log_mels, MEL.hop, CPU, frames=32, batch=60, seed=0)
    drawn, places = sampler.draw(), set()
    assert drawn.samples.shape == (60, 32 * MEL.hop) and drawn.mel.shape == (60, MEL.bands, 32)
    for samples, frames in zip(drawn.samples.numpy(), drawn.mel.numpy()):
        [(number, start)] = [
            (number, start)
            for number, log_mel in enumerate(log_mels)
            for start in range(len(log_mel) - 31)
            if np.array_equal(frames.T, log_mel[start : start + 32])
        ]
        padded = np.pad(recordings[number], (0, MEL.hop))
        np.testing.assert_array_equal(samples, padded[start * MEL.hop : (start + 32) * MEL.hop])
        places.add((number, start))
    assert {(1, 3), (0, 0)} & places and len(places) > 15  # the ends, too


def test_processes_share_the_frames_that_one_would_draw():
    recordings, log_mels = [noise(40 * MEL.hop).numpy()], [noise(40, MEL.bands).numpy()]
    whole, *shares = (
        DecodedWaveSampler(recordings, log_mels, MEL.hop, CPU, frames=32, batch=4, seed=0, share=share).draw()
        for share in (slice(None), slice(0, 2), slice(2, 4))
    )
    assert torch.equal(torch.cat([share.mel for share in shares]), whole.mel)
    assert torch.equal(torch.cat([share.samples for share in shares]), whole.samples)


def test_recordings_shorter_than_a_segment_are_refused():
    with pytest.raises(DataError, match=r"the data: no utterance has 2304 samples at 16000 Hz"):
        WaveSampler([np.zeros(2303, np.float32)], MEL, CPU, frames=32, batch=1, seed=0)


def test_recordings_of_another_scale_are_learnt_from_at_full_scale(tmp_path, caplog):
    samples = 0.5 * np.sin(np.arange(16000)).astype(np.float32)
    utterances = [Utterance(name, "s", tmp_path / f"{name}.wav") for name in ("usual", "integers")]
    for utterance, scale in zip(utterances, (1, 32768)):
        soundfile.write(utterance.path, scale * samples, 16000, subtype="FLOAT")
    usual, integers = read_recordings(utterances, 16000)
    np.testing.assert_array_equal(usual, samples)
    np.testing.assert_allclose(integers, samples / np.abs(samples).max(), atol=1e-6)
    [line] = caplog.messages
    assert line == f"{tmp_path}/integers.wav: 84.3 dB above full scale; scaled down to it"


@pytest.mark.parametrize("method", SMALL)
def test_a_step_moves_generator_and_discriminators(method):
    training = make(method)
    before = {name: [p.detach().clone() for p in module.parameters()] for name, module in training.modules.items()}
    terms = training.step(batch(), training.schedule(0))
    assert set(terms) == {"mel", "adversarial", "feature_matching", "discriminator"}
    for name, module in training.modules.items():
        moved = [not torch.equal(now, then) for now, then in zip(module.parameters(), before[name])]
        assert np.mean(moved) > 0.95, name  # a bias of 0 whose slope is 0 stays


def test_before_its_step_the_generator_learns_from_the_mel_loss_alone():
    training = make(objective=replace(OBJECTIVE, adversarial_from=3))
    assert training.schedule(2) == {"mel": 45.0}
    assert training.schedule(3) == {"mel": 45.0, "adversarial": 1.0, "feature_matching": 2.0}
    before = [parameter.detach().clone() for parameter in training.discriminators.parameters()]
    assert set(training.step(batch(), training.schedule(0))) == {"mel", "discriminator"}
    assert not all(map(torch.equal, before, training.discriminators.parameters()))


def test_losses_of_the_generator_reach_no_discriminator_and_the_reverse():
    training, one = make(), batch()
    weights = training.schedule(0)
    _, fake = training.optimisers["network"].step(lambda: training.generator_losses(one, weights), weights)
    assert all(parameter.grad is None for parameter in training.discriminators.parameters()) and not fake.requires_grad
    training.network.zero_grad()
    training.optimisers["discriminators"].step(lambda: training.discriminator_losses(one, fake), {"discriminator": 1.0})
    assert all(parameter.grad is None for parameter in training.network.parameters())


def test_a_perfect_copy_costs_nothing_but_to_be_told():
    training, one = make(), batch()
    training.network = nn.Flatten()
    training.discriminators.eval()
    terms, _ = training.generator_losses(replace(one, mel=one.samples), training.schedule(0))
    assert terms["mel"] == 0 and terms["feature_matching"] == 0 and terms["adversarial"] > 0


def test_without_weights_there_are_no_discriminators():
    training = make(objective=replace(OBJECTIVE, adversarial=0.0, feature_matching=0.0))
    assert set(training.step(batch(), training.schedule(0))) == {"mel"} and set(training.modules) == {"network"}


def test_rates_rise_and_fall_by_their_factor_and_weights_decay():
    training = make(objective=replace(OBJECTIVE, warm_up=3, decay=0.5, decay_every=10))
    for step, rate in ((0, 0.5e-4), (2, 1.5e-4), (3, 2e-4), (9, 2e-4), (10, 1e-4), (25, 0.5e-4)):
        training.schedule(step)
        rates = [optimiser.adam.param_groups[0]["lr"] for optimiser in training.optimisers.values()]
        assert rates == pytest.approx([rate] * 2)
    decays = [optimiser.adam.param_groups[0]["weight_decay"] for optimiser in training.optimisers.values()]
    assert decays == [0.01] * 2


# -- a run


@pytest.fixture(scope="module", autouse=True)
def spoken() -> Iterator[None]:
    """The package says what it says to a command."""
    log = logging.getLogger("vc")
    before = log.level
    log.setLevel(logging.INFO)
    yield
    log.setLevel(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """train: four recordings of slt; held: two others."""
    folder = tmp_path_factory.mktemp("vocoder data")
    for name, part, ids in (("train", "train", (41, 42, 43, 44)), ("held", "eval", (101, 102))):
        speaker = "slt" if part == "eval" else "rms"
        paths = [CORPUS / part / speaker / f"{id:03d}.flac" for id in ids]
        data_directory.write(folder / name, [Utterance(f"{speaker}-{path.stem}", speaker, path) for path in paths])
    return folder


def request(data: Path, output: Path, *changes: str, **more: object) -> VocoderRequest:
    sections = read_sections(CONF / "tiny.yaml", changes, VOCODER_SECTIONS)
    known = {"held_out": data / "held", "validation": data / "held", "device": "cpu"}
    return VocoderRequest(data / "train", output=output, sections=sections, **{**known, **more})


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("vocoder")
    assert train_vocoder(request(data, output)) == 20
    return output


def newest(output: Path) -> dict:
    return read_tensors(max((output / "checkpoints").iterdir()))[0]


def lines(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def test_a_run_leaves_everything(trained):
    assert [line["step"] for line in lines(trained)] == [5, 10, 10, 15, 20, 20]
    assert set(lines(trained)[-2]["losses"]) == {"mel", "adversarial", "feature_matching", "discriminator"}
    names = sorted(path.name for path in (trained / "samples").iterdir())
    assert names == [f"slt-101-{step:09d}.{kind}" for step in (10, 20) for kind in ("png", "wav")]
    assert (trained / "config.yaml").is_file() and list((trained / "tensorboard").glob("events*"))
    assert "finished at step 20" in (trained / "train.log").read_text()


def test_the_model_says_recordings_again_and_scores_as_it_says(trained, data):
    model, _ = vocoder_file.read(trained)
    vocoder = NeuralVocoder.load(trained)
    assert model.method == "istft" and model.mel == MEL and model.configuration["objective"]["adversarial_from"] == 5
    held_out = HeldOutRecordings.read(data / "held", [], 16000, {})
    assert held_out.score(vocoder) == pytest.approx(model.metrics, rel=1e-4)
    assert vocoder.resynthesise(held_out.recordings[0]).shape == held_out.recordings[0].shape


def test_a_few_dozen_steps_bring_copies_nearer(data, tmp_path):
    alone = ("objective.adversarial=0", "objective.feature_matching=0")  # there are no discriminators
    changes = (*alone, "objective.generator_rate=2e-3", "objective.adversarial_from=0", "training.steps=40")
    train_vocoder(request(data, tmp_path, *changes, validation=None))
    scores = [line["held_out"]["score"] for line in lines(tmp_path) if "held_out" in line]
    said = (tmp_path / "train.log").read_text()
    before = float(said.split("score before the first step: ")[1].split()[0])
    assert scores[-1] < 0.9 * before and vocoder_file.read(tmp_path)[0].metrics["score"] == min(scores)


def test_a_model_from_before_the_discriminators_count_is_not_kept(data, tmp_path, monkeypatch):
    scores = iter([9.0, 1.0, 3.0, 2.0, 4.0])  # before the first step, then after each
    monkeypatch.setattr(HeldOutRecordings, "score", lambda *_: {"score": next(scores)})
    changes = ("objective.adversarial_from=1", "training.checkpoint_every=1", "training.steps=4")
    train_vocoder(request(data, tmp_path, *changes, validation=None))
    model, _ = vocoder_file.read(tmp_path)
    assert model.metrics == {"score": 2.0} and model.step == 3


@pytest.mark.parametrize("method", SMALL)
def test_a_run_that_is_stopped_goes_on_exactly(method, data, tmp_path, monkeypatch):
    changes = [f"method={method}", f"network={json.dumps(SMALL[method])}", "training.average=0.9", "training.steps=4"]
    straight = request(data, tmp_path / "straight", *changes, held_out=None, validation=None)
    train_vocoder(straight)
    stopped, step, taken = replace(straight, output=tmp_path / "stopped"), VocoderTraining.step, []

    def stop(*arguments):
        taken.append(step(*arguments))
        if len(taken) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return taken[-1]

    monkeypatch.setattr(VocoderTraining, "step", stop)
    with pytest.raises(Stopped, match="stopped by SIGTERM after step 2") as error:
        train_vocoder(stopped)
    assert error.value.code == 143
    assert train_vocoder(stopped) == 4 and len(taken) == 4
    assert equal(newest(stopped.output), newest(straight.output))
    assert equal(vocoder_file.read(stopped.output)[1], vocoder_file.read(straight.output)[1])
    assert train_vocoder(stopped) == 4 and len(taken) == 4  # nothing to do


def test_fine_tuning_begins_with_the_weights_that_are_given(trained, data, tmp_path):
    start = vocoder_file.read(trained)
    changes = ("training.steps=1", "training.checkpoint_every=1", "objective.generator_rate=1e-9")
    again = request(data, tmp_path, *changes, start=start, validation=None)
    del again.sections["mel"], again.sections["network"]
    train_vocoder(again)
    model, weights = vocoder_file.read(tmp_path)
    assert model.mel == MEL and model.network == start[0].network and "trained on from istft of step" in model.origin
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, start[1][name], rtol=0, atol=1e-6)
    assert model.metrics["score"] == pytest.approx(start[0].metrics["score"], rel=1e-3)
    with pytest.raises(ConfigError, match=r"started with other settings: the model that it starts from"):
        train_vocoder(replace(again, start=None, sections=request(data, tmp_path, *changes).sections))


def test_other_settings_are_refused_by_name(trained, data):
    with pytest.raises(ConfigError, match=r"objective\.mel \(45\.0 -> 44\.0\)"):
        train_vocoder(request(data, trained, "objective.mel=44"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["mel.hop=32"], r"mel\.hop is 32, but the weights to start from were made with 64"),
        (["network.channels=64"], r"network\.channels is 64, but the weights to start from were made with 32"),
        (["method=hifigan"], "method is 'hifigan', but the weights to start from are of 'istft'"),
    ],
)
def test_what_weights_to_start_from_fix_cannot_be_set_otherwise(changes, message, trained):
    sections = read_sections(CONF / "tiny.yaml", changes, VOCODER_SECTIONS)
    with pytest.raises(ConfigError, match=message):
        resolve(sections, "", vocoder_file.read(trained))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["mel.fft_size=4096", "mel.hop=16"], "512 samples are too few, the losses take more than 2040"),
        (["objective.spectrum=1", "mel.hop=32"], "1024 samples are too few, the losses take more than 1024"),
    ],
)
def test_segments_too_short_for_the_losses_are_refused(changes, message):
    with pytest.raises(ConfigError, match=rf"training\.segment: {message}"):
        resolve(read_sections(CONF / "tiny.yaml", changes, VOCODER_SECTIONS), "")
    longer = read_sections(CONF / "tiny.yaml", [*changes, "training.segment=128"], VOCODER_SECTIONS)
    objective, mel = resolve(longer, "").objective, resolve(longer, "").mel
    network = generator("istft", network_config("istft", SMALL["istft"]), mel)
    samples = noise(2, 128 * mel.hop)
    training = VocoderTraining(network, mel, replace(objective, adversarial=0, feature_matching=0))
    assert torch.isfinite(training.step(WaveBatch(log_mel(samples, mel), samples), training.schedule(0))["mel"])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"mel": 0.0}, r"objective\.mel must be above 0, got 0\.0"),
        ({"discriminator_width": 0.3}, r"objective\.discriminator_width must be one of 1\.0, 0\.5, 0\.25, 0\.125"),
        ({"decay": 1.1}, r"objective\.decay must be above 0 and at most 1, got 1\.1"),
        ({"weight_decay": -0.1}, r"objective\.weight_decay must be from 0 to below 1, got -0\.1"),
        ({"generator_rate": 0.0}, r"objective\.generator_rate must be above 0 and below 1, got 0\.0"),
        ({"adversarial_from": -1}, r"objective\.adversarial_from must be 0 or more, got -1"),
    ],
)
def test_objectives_are_refused_by_name(section, message):
    with pytest.raises(ConfigError, match=message):
        build(VocoderObjective, section, "objective")


def test_a_held_out_set_that_is_learnt_from_is_refused(data, tmp_path):
    with pytest.raises(ConfigError, match="training learns from rms-041 too"):
        train_vocoder(request(data, tmp_path, held_out=data / "train"))


def test_parts_of_a_recording_that_is_learnt_from_are_not_held_out(tmp_path):
    path = CORPUS / "train/rms/041.flac"
    learnt = [Utterance("rms-a", "rms", path, 0.5, 1.0)]
    for name, start, end, refused in (
        ("before", 0.0, 0.5, False),
        ("over", 0.9, 1.2, True),
        ("whole", None, None, True),
    ):
        data_directory.write(tmp_path / name, [Utterance(f"rms-{name}", "rms", path, start, end)])
        if refused:
            with pytest.raises(ConfigError, match=f"training learns from rms-{name} too"):
                HeldOutRecordings.read(tmp_path / name, learnt, 16000, {})
        else:
            assert len(HeldOutRecordings.read(tmp_path / name, learnt, 16000, {}).recordings[0]) == 8000


def test_a_copy_of_a_recording_that_is_learnt_from_is_not_held_out(tmp_path):
    path = CORPUS / "train/rms/041.flac"
    data_directory.write(tmp_path / "train", [Utterance("rms-041", "rms", path)])
    (tmp_path / "copy.flac").write_bytes(path.read_bytes())
    data_directory.write(tmp_path / "held", [Utterance("rms-new", "rms", tmp_path / "copy.flac")])
    learnt, _, digests = read_data_directory(tmp_path / "train")
    with pytest.raises(ConfigError, match="training learns from rms-new too"):
        HeldOutRecordings.read(tmp_path / "held", learnt, 16000, digests)


def test_a_setting_that_is_newer_than_a_run_was_its_default(trained, data):
    path = trained / "config.yaml"
    content = yaml.safe_load(path.read_text())
    assert content["objective"].pop("warm_up") == 0 and content.pop("decoder") == ""
    path.write_text(yaml.safe_dump(content))
    assert train_vocoder(request(data, trained)) == 20


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_resolves_and_says_nothing_twice(path):
    sections = read_sections(path, allowed=VOCODER_SECTIONS)
    experiment = resolve(sections, "").as_dict()
    plain = resolve({"method": sections["method"]}, "").as_dict()
    for name in set(sections) - {"method"}:
        for key in sections[name]:
            assert experiment[name][key] != plain[name][key], f"{name}.{key} is the default"
