"""vc-export: what onnxruntime computes from the file is what torch computes from the model."""

import json
import os
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT, command

import vc
from vc import extras
from vc.convert import export
from vc.errors import ConfigError
from vc.train import linear as fitting

pytest.importorskip("onnx")
onnxruntime = extras.onnx_runtime()


@pytest.fixture(scope="module")
def converter(model):
    return vc.Converter.load(model)


@pytest.fixture(scope="module")
def session(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "new/back.onnx"
    done = command("export", "--model", model, "--to", "slt", "--output", path)
    assert done.stdout.decode().startswith(f"{path}: differs from torch by at most ") and not done.stderr
    assert [file.name for file in path.parent.iterdir()] == ["back.onnx"]
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("frames", [50, 51, 52, 53, 400, 3001])
def test_the_graph_converts_as_the_converter_does(frames, session, converter, random):
    speaker = converter.model.speakers["rms"]
    noise = random.standard_normal((frames, len(speaker.mel_cepstrum_mean)))
    mel_cepstrum = (speaker.normaliser.inverse(noise)).astype(np.float32)
    [converted] = session.run(None, {"mel_cepstrum": mel_cepstrum})
    assert converted.dtype == np.float32
    np.testing.assert_array_equal(converted[:, 0], mel_cepstrum[:, 0])
    np.testing.assert_allclose(converted, converter.convert_frames(mel_cepstrum, "rms", "slt"), atol=export.CLOSE)


def test_linear_maps_are_exported_with_both_their_ways(tmp_path, random):
    converter = vc.Converter.load(ROOT / "egs/mini/model.safetensors")
    for linear in converter.network.maps.values():
        bands = len(linear.warp.weight)
        fitting.set_matrix(linear.warp, torch.from_numpy(random.standard_normal((bands, bands)) / 5))
        fitting.set_filters(linear, 4.0)
    assert export.export(converter, tmp_path / "there.onnx") <= export.CLOSE


def test_the_graph_says_what_stands_around_it(session, converter):
    about = json.loads(session.get_modelmeta().custom_metadata_map["vc"])
    assert (about["source"], about["target"], about["fewest_frames"]) == ("rms", "slt", export.FEWEST)
    assert about["features"]["sample_rate"] == 16000 and about["features"]["fft_size"] == 1024
    assert about["speakers"]["slt"]["log_f0_mean"] == converter.model.speakers["slt"].log_f0_mean
    assert [value.shape for value in session.get_inputs()] == [["frames", 25]]


def test_a_graph_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    converter = vc.Converter.load(ROOT / "egs/mini/model.safetensors").mean_variance()
    monkeypatch.setattr(export, "CLOSE", -1.0)
    with pytest.raises(ConfigError, match=r"x\.onnx: onnxruntime's mel-cepstra differ from torch's by .*; not written"):
        export.export(converter, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_what_is_no_file_is_not_replaced(converter, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for output in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigError, match="exists and is not a file"):
            export.export(converter, output)
    assert (tmp_path / "pipe").is_fifo()


def test_a_missing_package_is_named_with_what_installs_it(converter, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(
        ConfigError, match=r"needs onnxscript, of the extra onnx; to install it: pip install 'nonparallel-vc\[onnx\]'"
    ):
        export.export(converter, tmp_path / "x.onnx")


def test_an_output_that_is_not_named_like_onnx_is_refused(model, tmp_path):
    done = command("export", "--model", model, "--to", "slt", "--output", tmp_path / "n.txt", check=2)
    assert b"n.txt: the output is an ONNX file; give a name that ends in .onnx" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_bad_model_is_refused(tmp_path):
    done = command("export", "--model", tmp_path / "gone", "--output", tmp_path / "x.onnx", check=2)
    assert (
        done.stderr.decode() == f"vc-export: error: {tmp_path}/gone: no such model file; the package has six_voices\n"
    )
