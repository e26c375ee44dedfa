"""UTMOS: equal to its parts by other libraries, from the file that SpeechMOS publishes; other files are refused."""

import re
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from conftest import vowel
from torch import nn

from vc.corpus import audio
from vc.encoders import utmos as published
from vc.errors import ConfigError, DataError
from vc.evaluate import Request, evaluate
from vc.evaluate.measure import choose_measures, measure_versions
from vc.metrics import utmos
from vc.report.page import write_report

WIDTH, EMBEDDING, RECURRENT, HIDDEN = 128, 6, 10, 14
FAIRSEQ = {  # from transformers' names, in this order
    r"conv_layers\.(\d)\.conv": r"conv_layers.\1.0",
    r"conv_layers\.0\.layer_norm": "conv_layers.0.2",
    r"feature_projection\.layer_norm": "layer_norm",
    r"feature_projection\.projection": "post_extract_proj",
    r"pos_conv_embed\.conv\.parametrizations\.weight\.original0": "pos_conv.0.weight_g",
    r"pos_conv_embed\.conv\.parametrizations\.weight\.original1": "pos_conv.0.weight_v",
    r"pos_conv_embed\.conv": "pos_conv.0",
    r"(layers\.\d)\.layer_norm": r"\1.self_attn_layer_norm",
    r"\.attention\.": ".self_attn.",
    r"feed_forward\.intermediate_dense": "fc1",
    r"feed_forward\.output_dense": "fc2",
    r"masked_spec_embed": "mask_emb",
}


@pytest.fixture(scope="module")
def parts() -> tuple[nn.Module, nn.LSTM, nn.Sequential, torch.Tensor]:
    """A small random wav2vec 2.0 by transformers, an LSTM, a projection and both embeddings."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, conv_dim=[16] * 7
    )
    speech = transformers.Wav2Vec2Model(config).eval()
    lstm = nn.LSTM(WIDTH + 2 * EMBEDDING, RECURRENT, batch_first=True, bidirectional=True)
    projection = nn.Sequential(nn.Linear(2 * RECURRENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    for parameter in speech.parameters():
        nn.init.normal_(parameter, std=0.2)
    return speech, lstm, projection, torch.randn(2, 1, EMBEDDING)


@pytest.fixture(scope="module")
def state(parts) -> dict[str, torch.Tensor]:
    """The same under the names of the published file."""
    speech, lstm, projection, (domain, judge) = parts
    tensors = {"domain_emb": domain, "judge_emb": judge}
    for prefix, module in (("wav2vec2", speech), ("blstm", lstm), ("projection", projection)):
        for name, tensor in module.state_dict().items():
            for theirs, ours in FAIRSEQ.items() if module is speech else ():
                name = re.sub(theirs, ours, name)
            tensors[f"{prefix}.{name}"] = tensor
    return tensors


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("utmos") / utmos.WEIGHTS
    torch.save(state, path)
    return path


@pytest.mark.parametrize(("rate", "seconds"), [(16000, 0.7), (16000, 0.523), (22050, 1.0)])
def test_a_score_is_that_of_its_parts_by_other_libraries(rate, seconds, parts, weights):
    speech, lstm, projection, embeddings = parts
    samples = vowel(seconds, rate, 140.0)
    resampled = torch.from_numpy(soxr.resample(np.float32(samples), rate, 16000))
    with torch.no_grad():
        frames = speech(resampled[None]).last_hidden_state
        conditions = embeddings.reshape(1, 1, -1).expand(1, frames.shape[1], -1)
        expected = projection(lstm(torch.cat([frames, conditions], dim=2))[0]).mean() * 2 + 3
    assert expected != pytest.approx(3, abs=1e-2), "random weights must say something"
    assert utmos.utmos(samples, rate, str(weights)) == pytest.approx(float(expected), abs=1e-5)


def test_an_evaluation_has_its_score_for_every_system_and_names_the_file(weights, tmp_path):
    for name, f0 in (("source", 120.0), ("target", 180.0)):
        (tmp_path / name).mkdir()
        audio.write(tmp_path / name / "1.wav", vowel(0.6, 16000, f0), 16000)
    measure = f"utmos={weights}"
    request = Request(
        {"same": tmp_path / "source"}, tmp_path / "target", source=tmp_path / "source", measures=[measure]
    )
    evaluation = evaluate(request, tmp_path / "out")
    expected = {
        system: utmos.utmos(*audio.read(tmp_path / folder / "1.wav"), str(weights))
        for system, folder in (("same", "source"), ("unconverted", "source"), ("reference", "target"))
    }
    assert {system: evaluation.scores[system].means["utmos"] for system in expected} == pytest.approx(expected)
    assert measure_versions([measure]) == {utmos.WEIGHTS: f"SHA-256 {published.digest(weights)[:16]}"}
    write_report(evaluation, tmp_path / "out/report.html")
    assert "predicted opinion by UTMOS" in (tmp_path / "out/report.html").read_text()


def test_a_recording_over_the_limit_is_refused(weights):
    with pytest.raises(DataError, match=r"61\.0 s is more than the limit of 60 s"):
        utmos.utmos(np.tile(vowel(1.0, 16000, 140.0), 61), 16000, str(weights))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda state: state.pop("judge_emb"), "no tensor judge_emb"),
        (lambda state: state.update(phonemes=torch.zeros(3)), "an unknown tensor phonemes"),
        (lambda state: state.update(domain_emb=torch.full((1, EMBEDDING), np.nan)), "tensor domain_emb holds values"),
        (lambda state: state.update(domain_emb=torch.zeros(())), r"tensor domain_emb is of shape \[\]"),
        (lambda state: state.update({"blstm.weight_hh_l0": torch.zeros(4, 99)}), r"tensor blstm\.\S+ is torch"),
        (lambda state: state.clear(), "no tensor wav2vec2"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(fault, said, state, tmp_path):
    changed = dict(state)
    fault(changed)
    torch.save(changed, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match=rf"other\.pt: not the weights of UTMOS[^:]+: {said}"):
        choose_measures([f"utmos={tmp_path / 'other.pt'}"])


def test_a_path_without_the_file_and_a_program_are_refused(tmp_path):
    ran = tmp_path / "ran"
    (tmp_path / "program.pt").write_bytes(f"cos\nsystem\n(S'touch {ran}'\ntR.".encode())
    for path, said in (
        ("", "needs the weights of UTMOS"),
        ("nowhere", "nowhere: not the weights of UTMOS[^:]+: no such file"),
        ("program.pt", "not a checkpoint"),
    ):
        with pytest.raises(ConfigError, match=said):
            choose_measures([f"utmos={path and tmp_path / path}"])
    assert not ran.exists()
