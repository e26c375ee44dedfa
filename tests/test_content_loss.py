"""The content loss: encoders of what is said, from log-mel, mel-cepstra or codes, and who learns by them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CORPUS, command, write_untrained
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cosine_similarity

from vc import losses
from vc.config import build
from vc.corpus import audio
from vc.encoders import choice
from vc.errors import ConfigError
from vc.features.f0 import F0Range
from vc.features.mel import MelConfig, MelFeatures, analyse
from vc.features.speakers import Speaker
from vc.features.store import read_features
from vc.features.world import WorldConfig
from vc.models import build_converter, network_config
from vc.train import content_encoder
from vc.train.cyclegan import CycleGANObjective
from vc.train.engine import Setup
from vc.train.methods import METHODS
from vc.train.multi_speaker import MultiSpeakerTraining
from vc.train.sampling import MultiSpeakerSampler, Segments

SMALL = {"channels": 8, "residual_blocks": 2, "residual_channels": 16}
CPU, NAMES = torch.device("cpu"), ("slt", "rms", "kal")


def settings(**sections: object) -> list[str]:
    return [word for key, value in sections.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


TRIAL = settings(training__steps=2, training__segment=64, training__log_every=1)
SIZES = settings(**{f"network__{key}": value for key, value in SMALL.items()})


@pytest.fixture(scope="module")
def known(three_dump, tmp_path_factory) -> Path:
    """Untrained models of many speakers, `two.safetensors` and `three.safetensors`."""
    folder = tmp_path_factory.mktemp("known")
    sizes = SMALL | {"code_channels": 4}
    write_untrained(folder / "two.safetensors", three_dump, ("slt", "rms"), "unit", sizes)
    write_untrained(folder / "three.safetensors", three_dump, NAMES, "unit", sizes)
    return folder


def pair(dump: Path, output: Path, *more: str) -> list:
    known = ["train", "--method", "cyclegan_vc2", "--features", dump, "--source", "slt", "--target", "rms"]
    return [*known, *SIZES, *TRIAL, *more, "--output", output]


def test_a_pair_learns_by_any_encoder(known, three_dump, tmp_path):
    """`distilled` unless another is named, which is named only where it counts."""
    alone = settings(objective__cycle_consistency=0, objective__second_adversarial=0, objective__content=5)
    for name, encoder in {"distilled": "", "model": known / "three.safetensors"}.items():
        more = settings(objective__encoder=encoder) if encoder else []
        command(*pair(three_dump, tmp_path / name, *alone, *more))
        logged = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        assert all(0 < row["losses"]["content"] < 4 for row in logged)
    for encoder, message in {tmp_path / "no.safetensors": "no such encoder", tmp_path: "no such model"}.items():
        words = pair(three_dump, tmp_path / "other", *alone, *settings(objective__encoder=encoder))
        assert message in command(*words, check=2).stderr.decode()
    words = pair(three_dump, tmp_path / "other", *settings(objective__encoder="distilled"))
    refused = command(*words, check=2).stderr.decode()
    assert "objective.encoder is named, but objective.content is 0" in refused and not words[-1].exists()


def test_a_content_loss_that_counts_in_no_direction_is_refused():
    with pytest.raises(ConfigError, match=r"objective\.content counts in no direction that learns"):
        CycleGANObjective(content=5, forward_content=0, backward_content=0)


def test_distilled_is_meant_whatever_is_called_so_here(three_dump, tmp_path, monkeypatch):
    (tmp_path / "distilled").mkdir()
    (tmp_path / "distilled/config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    features = read_features(three_dump)
    speakers = {name: features.speakers[name] for name in NAMES}
    one, other = (content_encoder.read(name, speakers, features.config) for name in ("", "distilled"))
    assert one.digest == other.digest == choice.choose("distilled").digest
    assert one.network.network is not choice.choose("distilled").network  # others use it


def test_a_run_goes_on_with_the_same_encoder_wherever_it_lies(known, three_dump, tmp_path):
    def words(encoder: Path, steps: int) -> list:
        more = settings(training__steps=steps, objective__content=5, objective__encoder=encoder)
        return pair(three_dump, tmp_path / "exp", *more)

    command(*words(known / "three.safetensors", 1))
    elsewhere = tmp_path / "elsewhere.safetensors"
    elsewhere.write_bytes((known / "three.safetensors").read_bytes())
    command(*words(elsewhere, 2))
    done = command(*words(known / "two.safetensors", 3), check=2).stderr.decode()
    assert "started with other settings: the weights of objective.encoder; use" in done


def test_many_speakers_learn_by_an_encoder_of_speech_alone(known, three_dump, tmp_path):
    words = ["train", "--method", "xgan", "--features", three_dump, "--speakers", *NAMES, *SIZES, *TRIAL]
    words += settings(network__code_channels=4, objective__content=5)
    command(*words, "--output", tmp_path / "exp")
    assert '"content"' in (tmp_path / "exp/log.jsonl").read_text()
    more = settings(objective__encoder=known / "three.safetensors")
    refused = command(*words, *more, "--output", tmp_path / "other", check=2).stderr.decode()
    assert "three.safetensors is a model's code, which only methods of a pair can use" in refused


def test_content_of_many_speakers_compares_a_conversion_with_its_source(three_dump):
    """By an independent computation; no weight of the encoder changes in a step, and all of the network's do."""
    features = read_features(three_dump)
    speakers = {name: features.speakers[name] for name in NAMES}
    encoder = content_encoder.read("", speakers, features.config)
    method, sizes = "conditional_gan", SMALL
    torch.manual_seed(0)
    network = build_converter(method, network_config(method, sizes), features.config.bands, NAMES)
    objective = build(METHODS[method].objective, {"content": 2.0, "identity_steps": 0}, "objective")
    training = MultiSpeakerTraining(network, network_config(method, sizes), objective, Setup(10, encoder=encoder))
    normalised = [[speakers[name].normaliser.transform(each) for each in features.frames(name)] for name in NAMES]
    segments = [Segments(each, 64, CPU, name) for each, name in zip(normalised, NAMES, strict=True)]
    batch = MultiSpeakerSampler(segments, batch=1, seed=0).draw()
    terms, _ = training.model_losses(batch, {"content": 2.0})
    converted = network.convert_batch(batch.frames, batch.speakers, batch.targets)
    cosines = []
    for one, other, s, t in zip(batch.frames, converted, batch.speakers.tolist(), batch.targets.tolist()):
        codes = [encoder(frames[None], NAMES[index]) for frames, index in ((one, s), (other, t))]
        cosines.append(cosine_similarity(*codes, dim=1).mean())
    torch.testing.assert_close(terms["content"], 1 - torch.stack(cosines).mean())
    before = [parameter.clone() for parameter in encoder.parameters()], [p.clone() for p in network.parameters()]
    training.step(batch, training.schedule(0))
    assert all(map(torch.equal, before[0], encoder.parameters()))
    assert not any(map(torch.equal, before[1], network.parameters()))


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_an_envelope_has_the_log_mel_of_its_noise(rate):
    """Within the difference between the mean of a logarithm and the logarithm of a mean, up to Nyquist."""
    samples = 0.1 * np.random.default_rng(0).standard_normal(2 * rate)
    world, mel = WorldConfig(rate), MelConfig()
    _, cepstra = world.extract(samples, None)
    cepstra = torch.tensor(cepstra.T[None], dtype=torch.float32)
    to_log_mel = content_encoder.FromMelCepstra(nn.Identity(), world, mel)
    frames = to_log_mel(cepstra)
    assert frames.shape == (1, 80, int(cepstra.shape[-1] * 0.005 / (256 / 22050)))
    expected = analyse(audio.resample(samples.astype(np.float32), rate, 22050), mel).mean(0)
    bands = slice(0, 55 if rate == 8000 else 78)  # below the resampler's transition to Nyquist
    assert np.abs(frames[0].mean(1).numpy() - expected)[bands].max() < 0.35
    louder = to_log_mel(cepstra + torch.eye(world.bands)[:, :1])  # by e in magnitude
    torch.testing.assert_close((louder - frames)[:, bands], torch.ones_like(frames[:, bands]), atol=1e-4, rtol=0)
    assert to_log_mel(cepstra[..., :1]).shape == (1, 80, 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert to_log_mel(cepstra).equal(frames)


@pytest.mark.parametrize("speaker", ["slt", "rms"])
def test_content_of_mel_cepstra_is_that_of_the_recording(speaker):
    """`distilled` hears the same in WORLD's envelope as in log-mel, and not the same a fifth of a second on."""
    samples, _ = audio.read(sorted((CORPUS / "eval" / speaker).iterdir())[0], 16000)
    config, distilled = WorldConfig(16000), choice.choose("distilled")
    _, cepstra = config.extract(samples, F0Range(60.0, 400.0))
    mean, deviation = cepstra.mean(0), cepstra.std(0)
    known = Speaker(mean.tolist(), deviation.tolist(), 5.0, 0.2, 60.0, 400.0, 1, len(cepstra))
    normalised = torch.tensor(((cepstra - mean) / deviation).T[None], dtype=torch.float32, requires_grad=True)
    of_cepstra = content_encoder.read("", {speaker: known}, config)(normalised, speaker)
    of_cepstra.sum().backward()
    assert normalised.grad.isfinite().all() and normalised.grad[0].any(1).all()  # every coefficient tells
    of_recording = distilled.encode_window(audio.resample(samples, 16000, distilled.sample_rate))
    count = min(len(of_recording), of_cepstra.shape[-1])
    ours, theirs = of_cepstra.detach()[0, :, :count].T, torch.from_numpy(of_recording[:count])
    assert cosine_similarity(ours, theirs).median() > 0.85
    assert cosine_similarity(ours[8:], theirs[:-8]).median() < 0.3


def read_encoder(path: Path | str, **changes) -> content_encoder.ContentEncoder:
    """For a speaker's log-mel as `distilled` takes it, but for these settings."""
    deviation = [0.5 + 0.01 * band for band in range(80)]
    speakers = {"slt": Speaker([-4.0] * 80, deviation, 5.0, 0.2, 80.0, 300.0, 1, 100)}
    return content_encoder.read(str(path), speakers, MelFeatures(**changes))


def test_a_content_encoder_is_given_log_mel_as_it_was_extracted(encoder):
    made, chosen = read_encoder(encoder), choice.choose(str(encoder))
    frames = torch.randn(2, 80, 64, requires_grad=True)
    deviation = torch.tensor([0.5 + 0.01 * band for band in range(80)])
    torch.testing.assert_close(made(frames, "slt"), chosen.network(frames * deviation[:, None] - 4))
    made(frames, "slt").sum().backward()
    assert frames.grad.abs().sum() > 0 and made.digest == chosen.digest


def test_a_content_encoder_of_other_features_is_refused(encoder):
    with pytest.raises(ConfigError, match="takes other features"):
        read_encoder(encoder, hop=128)


class Writes(nn.Module):
    """A program: what it is given is written into a file."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        torch.save(frames, self.path)
        return frames


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_program_is_no_encoder(tmp_path):
    marker = tmp_path / "written"
    program = torch.jit.script(Writes(str(marker)))
    for name in ("own.pt", "own.safetensors"):
        program.save(str(tmp_path / name))
        with pytest.raises(ConfigError, match=f"{name}: damaged or not safetensors"):
            read_encoder(tmp_path / name)
        assert not marker.exists()
    torch.jit.load(str(tmp_path / name))(torch.ones(1))
    assert marker.exists()  # the attack is real


@pytest.fixture
def speech_to_text(tmp_path) -> Path:
    """A folder of transformers that takes log-mel."""
    transformers = pytest.importorskip("transformers", reason="the extra encoders is not installed")
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "conv_channels": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 20}
    config = transformers.Speech2TextConfig(input_feat_per_channel=80, **sizes, **heads)
    transformers.Speech2TextModel(config).save_pretrained(tmp_path / "own")
    return tmp_path / "own"


def test_a_transformers_encoder_is_a_folder(speech_to_text):
    frames = torch.randn(2, 80, 64, requires_grad=True)
    made = read_encoder(speech_to_text)(frames, "slt")
    assert made.shape == (2, 16, 16)
    made.sum().backward()
    assert frames.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llama"}, "model_type 'llama'; speech_to_text is known"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map: nothing outside the folder is loaded"),
        ({"quantization_config": {"quant_method": "bnb"}}, "quantization_config: nothing outside the folder"),
        ({"encoder_layers": 10**9}, "encoder_layers 1000000000, but there are"),
        ({"encoder_layers": 2}, r"no tensor layers\.1\."),
        ({"d_model": 10**6}, r"tensor .* is of shape \[.*\], not \["),
        ({"max_source_positions": 10**9}, "a table of 16"),
        ({"d_model": -1}, "cannot build a network from it"),
        ({"conv_kernel_sizes": "x"}, "cannot build a network from it"),
        ({"input_feat_per_channel": 3}, "is of shape"),
        ({"dropout": []}, "not an encoder of"),
    ],
)
def test_a_folder_of_transformers_that_claims_what_it_is_not_is_one_line(speech_to_text, changes, message):
    config = speech_to_text / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
    with pytest.raises(ConfigError, match=message) as caught:
        read_encoder(speech_to_text)
    assert str(caught.value).startswith(str(speech_to_text)) and "\n" not in str(caught.value)


def test_kernels_of_a_hub_are_not_asked_for(speech_to_text):
    """Where the settings name code of a hub for their attention, ours is taken."""
    config, hub = speech_to_text / "config.json", {"attn_implementation": "kernels-community/evil"}
    config.write_text(json.dumps({**json.loads(config.read_text()), "_attn_implementation": "evil/evil"}))
    encoder = read_encoder(speech_to_text)
    assert encoder.network.network.config._attn_implementation == "eager"
    config.write_text(json.dumps({**json.loads(config.read_text()), **hub}))
    with pytest.raises(ConfigError, match="attn_implementation"):
        read_encoder(speech_to_text)


def test_weights_that_are_missing_or_damaged_are_not_drawn(speech_to_text):
    path = speech_to_text / "model.safetensors"
    weights, whole = load_file(path), path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(ConfigError, match=r"own: .*damaged"):
        read_encoder(speech_to_text)
    for name in ("encoder.layer_norm.weight", "encoder.layers.0.fc1.bias"):
        save_file({key: value for key, value in weights.items() if key != name}, path)
        with pytest.raises(ConfigError, match=f"no tensor {name.removeprefix('encoder.')}"):
            read_encoder(speech_to_text)
    save_file({**weights, name: weights[name] * float("nan")}, path)
    with pytest.raises(ConfigError, match="not finite"):
        read_encoder(speech_to_text)


def test_content_is_one_minus_the_cosine_at_every_place():
    one, other = torch.randn(2, 5, 7), torch.randn(2, 5, 7)
    cosine = (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1))
    torch.testing.assert_close(losses.content(one, other), 1 - cosine.mean())
    assert losses.content(3 * one, one).abs() < 1e-6
