"""Quantised weights: what was stored is restored exactly, and what does not fit is refused before it takes memory."""

import importlib.util
import sys
import zlib
from dataclasses import asdict, replace

import numpy as np
import pytest
import soundfile
import soxr
import torch
from conftest import ROOT
from test_encoders import WHISPER, vowel

from vc.encoders import choice, encoder_file, quantised
from vc.encoders.encoder_file import EncoderModel
from vc.encoders.whisper import WhisperFirstBlocks, WhisperNetwork, sinusoids
from vc.errors import ConfigError

SHAPE = torch.Size((6, 2, 5))


def stored(seed: int = 0) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """A tensor `a.weight` of SHAPE as it is stored, and itself."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(-127, 128, (6, 10), generator=generator, dtype=torch.int8)
    scales = torch.rand(10, generator=generator) + 0.1
    return quantised.encode(codes, scales, "a.weight"), (codes * scales).view(SHAPE)


def test_what_was_stored_is_restored_and_all_else_is_left():
    weights, expected = stored()
    plain = {"a.bias": torch.arange(6.0)}
    restored = quantised.decode(plain | weights, {"a.weight": SHAPE, "a.bias": torch.Size([6])})
    assert list(restored) == ["a.bias", "a.weight"] and restored["a.bias"] is plain["a.bias"]
    assert torch.equal(restored["a.weight"], expected)


def deflated(data: bytes) -> torch.Tensor:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return torch.frombuffer(bytearray(deflate.compress(data) + deflate.flush()), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a.weight.scales": None}, "without its codes or its scales"),
        ({"a.weight.codes": None}, "without its codes or its scales"),
        ({"a.weight.scales": torch.ones(9)}, r"do not fit \[6, 2, 5\]"),
        ({"a.weight.scales": torch.ones(10, dtype=torch.int64)}, "do not fit"),
        ({"a.weight.scales": torch.full((10,), 3e38)}, "not finite"),
        ({"a.weight.codes": torch.zeros(60)}, "do not fit"),
        ({"a.weight.codes": torch.zeros(60, dtype=torch.uint8)}, "damaged, or not of"),
        ({"a.weight.codes": deflated(bytes(range(59)))}, "damaged, or not of"),
        ({"a.weight.codes": torch.cat([deflated(bytes(range(60))), torch.zeros(9, dtype=torch.uint8)])}, "damaged"),
        ({"a.weight": torch.zeros(SHAPE)}, "stored twice"),
        ({"a.weight.codes": deflated(bytes(range(61)))}, "damaged, or not of"),
        ({"a.weight.codes": deflated(bytes(60))[:3]}, "do not fit"),
        (
            {"b.weight.codes": torch.zeros(9, dtype=torch.uint8), "b.weight.scales": torch.ones(9)},
            "no weight of this network",
        ),
    ],
)
def test_refuses_what_does_not_fit(change, message):
    weights = {name: tensor for name, tensor in (stored()[0] | change).items() if tensor is not None}
    with pytest.raises(ConfigError, match=message):
        quantised.decode(weights, {"a.weight": SHAPE})


def test_refuses_a_network_far_larger_than_its_codes():
    """Deflate alone would allow a thousand times their size."""
    shape = torch.Size((4096, 4096))
    weights = {"a.weight.codes": deflated(bytes(shape.numel())), "a.weight.scales": torch.ones(4096)}
    with pytest.raises(ConfigError, match=r"do not fit \[4096, 4096\]"):
        quantised.decode(weights, {"a.weight": shape})


def test_refuses_many_tensors_that_are_too_large_together(monkeypatch):
    """Before any of them is decompressed."""
    monkeypatch.setattr(quantised, "LARGEST_TENSORS", 4 * 2 * SHAPE.numel() - 1)
    monkeypatch.setattr(quantised.zlib, "decompressobj", None)
    weights = stored()[0] | {name.replace("a.", "b."): tensor for name, tensor in stored(1)[0].items()}
    with pytest.raises(ConfigError, match="480 bytes of weights once decompressed, more than 479"):
        quantised.decode(weights, {"a.weight": SHAPE, "b.weight": SHAPE})


def test_first_blocks_are_those_of_the_whole_encoder():
    torch.manual_seed(0)
    whole = WhisperNetwork(WHISPER).eval()
    whole.positions.data = sinusoids(WHISPER.positions, WHISPER.width).float()
    part = WhisperFirstBlocks(replace(WHISPER, layers=2)).eval()
    part.load_state_dict({name: whole.state_dict()[name] for name in part.state_dict()})
    log_mel = torch.randn(1, WHISPER.bands, 77)
    for layer in (1, 2):
        torch.testing.assert_close(part(log_mel, layer), whole(log_mel, layer), rtol=0, atol=0)


def test_an_encoder_keeps_its_codes_in_the_models_that_hold_it():
    path = choice.BUNDLED_ENCODERS[choice.QUANTISED]
    encoder = choice.choose(choice.QUANTISED)
    kept = encoder.weights
    assert sum(tensor.nbytes for tensor in kept.values()) < path.stat().st_size < 6e6
    again = encoder_file.load_encoder(EncoderModel(**encoder.description), kept)
    assert again.digest == encoder.digest
    samples = vowel(0.5, encoder.sample_rate)
    np.testing.assert_array_equal(again.encode(samples), encoder.encode(samples))


def test_the_bundled_encoders_give_vectors_of_one_space():
    """A model of one can be used with the other: their vectors of a recording point the same way."""
    samples, rate = soundfile.read(ROOT / "egs/mini/corpus/eval/slt/101.flac", dtype="float32")
    vectors = []
    for name in (choice.QUANTISED, choice.DISTILLED):
        encoder = choice.choose(name)
        content = encoder.encode(soxr.resample(samples, rate, encoder.sample_rate))
        times = np.arange(0.1, len(samples) / rate - 0.1, 0.02)
        vectors.append(content[np.round((times - encoder.first) * encoder.frame_rate).astype(int)])
    one, other = vectors
    cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert np.mean(cosines) > 0.6


def test_the_bundled_encoders_have_one_mean_over_speech():
    """So that one's statistics of a speaker are a good guess of the other's; Whisper's own mean lies .9 away."""
    from vc import model_file

    six, distilled = model_file.read(model_file.BUNDLED_MODELS["six_voices"])[0], choice.choose(choice.DISTILLED)
    recording, rate = soundfile.read(ROOT / "egs/mini/corpus/eval/slt/101.flac", dtype="float32")
    mean = distilled.encode(soxr.resample(recording, rate, distilled.sample_rate)).mean(0)
    means = np.array([speaker.content.mean for speaker in six.speakers.values()])
    assert six.features.content.encoder == choice.QUANTISED
    assert np.sqrt(np.square(means.mean(0) - mean).mean()) < 0.3 and np.sqrt(np.square(means).mean()) < 0.3


@pytest.fixture
def recipe(monkeypatch):
    """recipes/encoder/quantise.py as a module."""
    folder = ROOT / "recipes/encoder"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("quantise", folder / "quantise.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for name in ("distil", "evaluate"):
        sys.modules.pop(name, None)


def test_errors_are_made_up_for_where_inputs_are_alike(recipe):
    """At the same bits, outputs are nearer to the whole network's than by rounding alone."""
    torch.manual_seed(0)
    inputs = (torch.randn(4000, 8) @ torch.randn(8, 48) + 0.1 * torch.randn(4000, 48)).double()
    weight = torch.randn(32, 48).double()
    products = inputs.T @ inputs / len(inputs)
    codes, scales = recipe.quantise(weight, products, products, 2.7)
    assert codes.dtype == torch.int8 and abs(recipe.entropy(codes) - 2.7) < 0.2
    step = torch.tensor(2.0 ** np.linspace(-6, 2, 200))
    rounded = next(r for s in step if recipe.entropy(r := (weight / s).round()) < 2.7 and (chosen := s))
    error = lambda given: float((inputs @ (weight - given).T).square().mean())  # noqa: E731
    assert error(codes * scales) < 0.1 * error(rounded * chosen)


def test_a_network_is_quantised_whole(recipe, tmp_path, monkeypatch):
    """The recipe end to end on a small network: a file that the toolkit reads, near its original."""
    from scipy.io import wavfile

    torch.manual_seed(0)
    config = replace(WHISPER, layers=3)
    network = WhisperNetwork(config)
    network.positions.data = sinusoids(config.positions, config.width).float()
    monkeypatch.setattr(recipe.published, "read", lambda path: (EncoderModel("whisper", asdict(config)), weights))
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    monkeypatch.setattr(recipe, "LAYER", 2)
    monkeypatch.setattr(recipe, "LAST_BIAS", "blocks.1.narrow.bias")
    aim = torch.full((config.width,), 3.0)
    monkeypatch.setattr(recipe.choice, "choose", lambda name: name)
    mean = recipe.speech_mean
    monkeypatch.setattr(recipe, "speech_mean", lambda one, clean: aim if one == "distilled" else mean(one, clean))
    (tmp_path / "voices/anna").mkdir(parents=True)
    wavfile.write(tmp_path / "voices/anna/a.wav", 16000, (20000 * vowel(4, 16000)).astype(np.int16))
    words = ["quantise.py", "--teacher", "whole", "--voices", tmp_path / "voices", "--bits", "6"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in (*words, "--out", tmp_path / "small.safetensors")])
    recipe.main()
    encoder = encoder_file.load_encoder(*encoder_file.read(tmp_path / "small.safetensors"))
    full = encoder_file.load_encoder(EncoderModel("whisper", asdict(config), 2), weights)
    got, expected = (each.encode(vowel(4, 16000)) for each in (encoder, full))
    np.testing.assert_allclose(got.mean(0), aim, atol=0.2)
    got, expected = got - got.mean(0), expected - expected.mean(0)
    assert 0 < np.square(got - expected).mean() < 0.01 * np.square(expected).mean()
