"""Content encoders: equal to the networks that were published, of any length, whatever else is encoded beside."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, vowel

from vc.encoders import choice, encoder_file, published
from vc.encoders.distilled import DistilledConfig, DistilledEncoder, DistilledNetwork
from vc.encoders.encoder_file import EncoderModel
from vc.encoders.hubert import FRAME, REACH, HubertConfig, HubertEncoder, HubertNetwork
from vc.encoders.whisper import TAIL, WhisperConfig, WhisperEncoder, WhisperNetwork, log_mel
from vc.errors import ConfigError, DataError
from vc.features import mel
from vc.features.mel import MelConfig

WHISPER = WhisperConfig(width=32, heads=4, layers=3, hidden=48, positions=500)
HUBERT = HubertConfig(32, 4, 3, 48, convolutions=[[16, *sizes] for _, *sizes in HubertConfig().convolutions])
WAVLM = replace(HUBERT, buckets=32, farthest=80, norm_each=True, norm_first=True, normalise=True)
DISTILLED = DistilledConfig(dims=24, channels=16, dilations=[1, 2])
KINDS = {"whisper": WHISPER, "whisper_blocks": WHISPER, "hubert": HUBERT, "wavlm": WAVLM, "distilled": DISTILLED}
# Hugging Face's settings of a small network of each family.
SIZES = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


def network(kind: str) -> torch.nn.Module:
    """One whose weights are larger than training begins with, so that every part is heard."""
    torch.manual_seed(0)
    made = encoder_file.NETWORKS[kind][1](KINDS[kind])
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


@pytest.fixture(scope="module", params=KINDS)
def encoder(request):
    kind = request.param
    return encoder_file.make_encoder(kind, network(kind), min(2, KINDS[kind].layers))


def written(folder: Path, of: str = "whisper", **change: object) -> Path:
    """The file of a small encoder."""
    path = folder / f"{of}.safetensors"
    model = EncoderModel(of, vars(KINDS[of]), min(2, KINDS[of].layers))
    encoder_file.write(path, replace(model, **change), network(of).state_dict())
    return path


def transformer(cls, config):
    """One of transformers' networks with weights that are all heard."""
    torch.manual_seed(1)
    made = cls(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def test_whisper_is_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    sizes = {"d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 4, "encoder_ffn_dim": 48}
    decoder = {"decoder_layers": 1, "decoder_attention_heads": 1, "decoder_ffn_dim": 4, "vocab_size": 51}
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0)
    config = transformers.WhisperConfig(max_source_positions=500, **sizes, **decoder, **special)
    theirs = transformer(transformers.WhisperModel, config)
    theirs.save_pretrained(tmp_path)
    model, weights = published.read(tmp_path)
    assert model.network == vars(WHISPER) and model.layer == 2
    ours = encoder_file.load_network("whisper", WHISPER, weights)
    mels = torch.randn(2, 80, 1000)  # all that it takes: theirs takes nothing else
    with torch.inference_mode():
        expected = theirs.encoder(mels, output_hidden_states=True).hidden_states
        for layer in (1, 2, 3):
            torch.testing.assert_close(ours(mels, layer).transpose(1, 2), expected[layer], atol=2e-5, rtol=1e-5)


def test_whispers_front_end_is_transformers():
    transformers = pytest.importorskip("transformers")
    samples = vowel(2, 16000)
    expected = transformers.WhisperFeatureExtractor(chunk_length=2)(samples, sampling_rate=16000)["input_features"][0]
    np.testing.assert_allclose(log_mel(torch.from_numpy(samples)[None])[0], expected, atol=2e-5)


@pytest.mark.parametrize("kind", ["Hubert", "WavLM"])
@pytest.mark.parametrize("change", [{}, LARGE], ids=["base", "large"])
def test_hubert_and_wavlm_are_transformers(kind, change, tmp_path):
    transformers = pytest.importorskip("transformers")
    made = {**SIZES, **change} | ({"num_buckets": 32, "max_bucket_distance": 40} if kind == "WavLM" else {})
    theirs = transformer(getattr(transformers, f"{kind}Model"), getattr(transformers, f"{kind}Config")(**made))
    theirs.save_pretrained(tmp_path)
    model, weights = published.read(tmp_path)
    assert model.kind == kind.lower() and model.network["normalise"] == bool(change)
    ours = encoder_file.load_network(model.kind, HubertConfig(**model.network), weights)
    samples = vowel(1.5, 16000)[:23000]  # 72 frames: farther apart than the buckets tell
    heard = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7) if change else samples
    padded = np.pad(heard, (40, 71 * FRAME + REACH - 40 - len(samples)))
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(padded)[None], output_hidden_states=True).hidden_states
    for layer in (1, 2, 3):
        got = HubertEncoder(ours, layer).encode(samples)
        np.testing.assert_allclose(got, expected[layer][0], atol=5e-5)


def test_frames_cover_a_recording(encoder):
    hop = encoder.sample_rate / encoder.frame_rate
    for length in (1, 2, 256, 319, 320, 321, 511, 512, 513, 8000, 8001):
        content = encoder.encode(vowel(1, encoder.sample_rate)[:length])
        assert content.shape == (np.ceil(length / hop), encoder.dims) and content.dtype == np.float32
        assert np.isfinite(content).all()
        assert (encoder.first + (len(content) - 1) / encoder.frame_rate) * encoder.sample_rate < length + hop / 2


@pytest.mark.parametrize("kind", ["whisper", "hubert", "wavlm", "distilled"])
def test_a_batch_changes_nothing(kind):
    made = network(kind).eval()
    if kind == "distilled":
        inputs, more = torch.randn(3, 80, 41), ()
    else:
        inputs, more = torch.randn(3, 80, 41) if kind == "whisper" else torch.randn(3, 8000), (2,)
    with torch.inference_mode():
        for number, alone in enumerate(inputs):
            torch.testing.assert_close(made(alone[None], *more)[0], made(inputs, *more)[number], atol=1e-5, rtol=1e-5)


def test_threads_change_nothing(encoder):
    recordings = [vowel(0.3 + 0.1 * number, encoder.sample_rate, seed=number) for number in range(4)]
    alone = [encoder.encode(samples) for samples in recordings]
    with ThreadPoolExecutor(4) as pool:
        for got, expected in zip(pool.map(encoder.encode, recordings), alone):
            np.testing.assert_array_equal(got, expected)


def test_a_click_is_heard_where_it_is():
    """Whisper and WavLM with random weights spread it too far to say where."""
    for kind in ("hubert", "distilled"):
        encoder = encoder_file.make_encoder(kind, network(kind), 1)
        quiet = 0.01 * np.random.default_rng(0).standard_normal(encoder.sample_rate).astype(np.float32)
        misses = []
        for place in range(5000, 11000, 1500):
            clicked = quiet.copy()
            clicked[place] += 1
            moved = np.abs(encoder.encode(clicked) - encoder.encode(quiet)).sum(1)
            middle = (moved**4 * np.arange(len(moved))).sum() / (moved**4).sum()
            misses.append(encoder.first + middle / encoder.frame_rate - place / encoder.sample_rate)
        assert abs(np.mean(misses)) < 0.02


OVERLAP = 200  # content frames of Whisper's in four seconds


def test_a_long_recording_is_encoded_in_windows():
    encoder = WhisperEncoder(network("whisper"), 2)
    window, samples = (WHISPER.positions - TAIL) * FRAME, vowel(14, 16000)
    whole = encoder.encode(samples)
    assert len(whole) == 700
    seam = WHISPER.positions - TAIL - OVERLAP // 2
    second = window - OVERLAP * FRAME
    np.testing.assert_allclose(whole[:seam], encoder.encode(samples[:window])[:seam], atol=1e-5)
    np.testing.assert_allclose(whole[seam:], encoder.encode(samples[second:])[OVERLAP // 2 :], atol=1e-5)
    for length in (window, window + 1, 2 * window):
        assert len(encoder.encode(np.resize(samples, length))) == -(-length // FRAME)


def test_nothing_but_frames_of_the_past_is_seen_without_lookahead():
    torch.manual_seed(0)
    made = DistilledNetwork(replace(DISTILLED, lookahead=0)).eval()
    frames = torch.randn(1, 80, 40)
    other = frames.clone()
    other[..., 20:] += 1
    with torch.inference_mode():
        before, after = made(frames), made(other)
    torch.testing.assert_close(before[..., :10], after[..., :10])
    assert (before[..., 10:] != after[..., 10:]).any(1).all()


def test_the_distilled_encoder_takes_log_mel_too():
    encoder, samples = DistilledEncoder(network("distilled")), vowel(0.5, 22050)
    frames = mel.analyse(samples, MelConfig())
    np.testing.assert_array_equal(encoder.encode(samples), encoder.encode_log_mel(frames))
    assert encoder.encode_log_mel(frames[:7]).shape == (4, 24)
    with pytest.raises(DataError, match=r"expected \(frames, 80\), got shape \(80, 7\)"):
        encoder.encode_log_mel(frames[:7].T)


@pytest.mark.parametrize(
    ("samples", "message"),
    [(np.zeros(0), "got shape"), (np.zeros((2, 9)), "got shape"), (np.full(9, np.nan), "not finite")],
)
def test_refuses_samples_that_are_none(encoder, samples, message):
    with pytest.raises(DataError, match=message):
        encoder.encode(samples)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_the_same_encoder(kind, tmp_path):
    path = written(tmp_path, kind)
    layer = min(2, KINDS[kind].layers)
    got, expected = choice.choose(str(path)), encoder_file.make_encoder(kind, network(kind), layer)
    samples = vowel(0.5, got.sample_rate)
    np.testing.assert_array_equal(got.encode(samples), expected.encode(samples))
    assert got.digest == expected.digest and len(got.digest) == 64


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_encoder_tells_of_itself_makes_it_again(kind, tmp_path):
    """As models of the toolkit carry theirs."""
    first = choice.choose(str(written(tmp_path, kind)))
    again = encoder_file.load_encoder(EncoderModel(**first.description), first.weights)
    assert again.digest == first.digest and again.dims == first.dims


def test_float16_is_kept_and_computed_in_float32(tmp_path):
    half = {name: tensor.half() for name, tensor in network("whisper").state_dict().items()}
    encoder_file.write(tmp_path / "half.safetensors", EncoderModel("whisper", vars(WHISPER)), half)
    _, weights = encoder_file.read(tmp_path / "half.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    rounded = encoder_file.load_network("whisper", WHISPER, half)
    got, expected = choice.choose(str(tmp_path / "half.safetensors")), WhisperEncoder(rounded, 1)
    np.testing.assert_array_equal(got.encode(vowel(0.5, 16000)), expected.encode(vowel(0.5, 16000)))


def test_digests_tell_layers_and_weights_apart(tmp_path):
    path = written(tmp_path)
    digests = {choice.choose(str(path), layer).digest for layer in (1, 2, 3)}
    other = network("whisper")
    other.norm.bias.data[0] += 1
    assert len(digests | {WhisperEncoder(other, 2).digest}) == 4


def test_an_encoder_is_loaded_once_while_its_file_stays(tmp_path):
    path = written(tmp_path)
    before = choice.choose(str(path))
    assert choice.choose(str(path)) is before and choice.choose(str(path), 2).digest == before.digest
    os.utime(path, ns=(1, 1))
    assert choice.choose(str(path)) is not before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kind": "wavenet"},
            "encoder.kind: unknown 'wavenet'; known: distilled, whisper, whisper_blocks, hubert, wavlm",
        ),
        ({"format": 9}, "format 9; this version reads 1"),
        ({"network": {**vars(WHISPER), "layers": 4}}, "weights do not fit whisper"),
        ({"network": {**vars(WHISPER), "hidden": 9999, "layers": 99}}, "weights do not fit whisper"),
        ({"network": {**vars(WHISPER), "heads": 5}}, r"encoder\.heads must divide encoder\.width, 32, got 5"),
        ({"network": {**vars(WHISPER), "layers": 10**9}}, r"encoder\.layers must be in 1\.\.128, got 1000000000"),
        ({"network": {**vars(WHISPER), "depth": 3}}, "unknown key depth"),
        ({"layer": 4}, r"layer must be in 1\.\.3, got 4"),
    ],
)
def test_refuses_a_file_that_is_none(change, message, tmp_path):
    path = written(tmp_path, **change)
    with pytest.raises(ConfigError, match=message) as caught:
        choice.choose(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"convolutions": [[16, 10, 5]]}, "must see 400 samples every 320, not 10 every 5"),
        ({"convolutions": [[16, 10]]}, "channels, kernel, stride"),
        ({"buckets": 3}, r"encoder\.buckets must be 0 or 4\.\.4096"),
        ({"position_groups": 5}, r"encoder\.position_groups must divide"),
        ({"hidden": 10**9}, r"encoder\.hidden must be in 1\.\.16384"),
        ({"epsilon": 0.0}, r"encoder\.epsilon"),
    ],
)
def test_refuses_sizes_that_are_none(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(HUBERT, **change)


def test_a_distilled_encoder_has_one_layer_and_the_usual_bands(tmp_path):
    with pytest.raises(ConfigError, match="one layer, not 3"):
        choice.choose(str(written(tmp_path, "distilled")), 3)
    with pytest.raises(ConfigError, match=r"encoder\.bands must be 80"):
        DistilledEncoder(DistilledNetwork(replace(DISTILLED, bands=40)))


def test_other_files_are_no_encoders(tmp_path):
    from safetensors.torch import save_file

    from vc.tensor_file import write_tensors

    save_file({"a": torch.zeros(3)}, tmp_path / "plain.safetensors")
    write_tensors(tmp_path / "vocoder.safetensors", {"a": torch.zeros(3)}, {"mel": {}, "format": 1})
    (tmp_path / "text.safetensors").write_text("not one")
    whole = written(tmp_path).read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-10])
    (tmp_path / "bits.safetensors").write_bytes(whole[:-10] + bytes(10))
    refused = {
        "plain": "not an encoder of this toolkit; import a published one with vc-encoder import",
        "vocoder": "not a content encoder",
        "text": "damaged or not safetensors", "cut": "damaged or not safetensors", "bits": "does not match its digest",
        "none": "no such encoder file",
    }  # fmt: skip
    for name, message in refused.items():
        with pytest.raises(ConfigError, match=message) as caught:
            choice.choose(str(tmp_path / f"{name}.safetensors"))
        assert str(caught.value).count("\n") == 0 and f"{name}.safetensors" in str(caught.value)


def test_names_are_the_bundled_ones_and_those_imported(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "kept"))
    monkeypatch.setattr(choice, "BUNDLED_ENCODERS", {"distilled": tmp_path / "distilled.safetensors"})
    with pytest.raises(ConfigError, match=r"'distilled' is missing from this installation: .*distilled\.safetensors"):
        choice.choose("distilled")
    written(tmp_path, "distilled")
    assert choice.choose("distilled").dims == 24
    with pytest.raises(ConfigError, match="no encoder 'mine'; there are: distilled; to get one: vc-encoder import"):
        choice.choose("mine")
    choice.path_of("mine").parent.mkdir(parents=True)
    written(tmp_path).rename(choice.path_of("mine"))
    assert choice.choose("mine").dims == 32 and list(choice.named_files()) == ["distilled", "mine"]
    for name in ("", "distilled", "a/b", "a.safetensors"):
        with pytest.raises(ConfigError, match="cannot be the name of an imported encoder"):
            choice.path_of(name)


def test_sizes_are_the_published_ones():
    """Parameters of Whisper base's encoder, and of HuBERT base and WavLM large but for what training alone needs."""
    large = HubertConfig(1024, 16, 24, 4096, norm_each=True, norm_first=True, buckets=320)
    for made, config, count in (
        (WhisperNetwork, WhisperConfig(), 20_593_664),
        (HubertNetwork, HubertConfig(), 94.37e6),
        (HubertNetwork, large, 315.45e6),
    ):
        with torch.device("meta"):
            assert sum(one.numel() for one in made(config).parameters()) == pytest.approx(count, rel=1e-3)


@pytest.mark.parametrize(("name", "frames"), [("quantised", 50), ("distilled", 44)])
def test_a_bundled_encoder_is_small_and_says_where_it_comes_from(name, frames):
    path = choice.BUNDLED_ENCODERS[name]
    model = encoder_file.describe(path)
    assert path.stat().st_size < 6e6
    assert "MIT" in model.licence and "Whisper base" in model.origin and "recipes/encoder" in model.origin
    encoder = choice.choose(name)
    content = encoder.encode(vowel(1, encoder.sample_rate))
    assert content.shape == (frames, 512) and np.isfinite(content).all()


# In place of the tools that voices.sh calls; the one that the file `broken` names breaks off.
TOOLS = {
    "apt-get": 'touch "${2}_1.deb"',
    "dpkg": """mkdir -p "$3"
case $2 in *hedgewars*) voice=$3/usr/share/games/hedgewars/Data/Sounds/voices/A
mkdir -p "$voice"; touch "$voice/a.ogg" ;;
*) touch "$3/"{a,b}.{g722,gsm} ;; esac""",
    "ffmpeg": 'case $8 in *b.g722) [ "$(< ../broken)" != ffmpeg ] || exit 1 ;; esac; touch "$9"',
    "python": """mkdir -p "$6/espeak+croak" "$6/flite-slt"
[ "$(< ../broken)" != python ] || exit 1
touch "$6/espeak+croak/1.wav\"""",
}


def test_voices_that_broke_off_are_made_whole_and_those_of_the_evaluation_are_never_learnt_from(tmp_path):
    for name, text in TOOLS.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    surroundings = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": str(tmp_path / "python")}
    folders = [tmp_path / name for name in ("downloads", "heard", "unheard")]
    for broken in ("ffmpeg", "python", "nothing"):
        (tmp_path / "broken").write_text(broken)
        words = ["bash", ROOT / "recipes/encoder/voices.sh", *folders]
        done = subprocess.run(words, env=surroundings, capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode == 0) == (broken == "nothing"), done.stderr
    assert {path.name for path in (tmp_path / "heard/asterisk-en").iterdir()} == {"a.flac", "b.flac"}
    assert not (tmp_path / "heard/espeak+croak").exists() and (tmp_path / "unheard/espeak+croak/1.wav").exists()
