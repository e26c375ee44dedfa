"""Hostile bytes, odd names, heavy loads and full disks: results that can be used, or one error that names the file."""

import copy
import io
import json
import logging
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import two_speakers, vowel
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from vc import config, model_file, tensor_file
from vc.cli import convert as cli
from vc.convert.converter import Converter
from vc.corpus import audio, check, data_directory
from vc.errors import ConfigError, DataError, VCError, escaped
from vc.features import store
from vc.features.world import WorldConfig
from vc.models import build_converter
from vc.models.cyclegan_vc2 import CycleGANVC2Config
from vc.train import checkpoint, cyclegan, experiment

RATE = 16000  # Hz
SLOW = (pytest.mark.slow, pytest.mark.timeout(3600))
EDGES = (0, 1, 2**7, 2**15 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 0x7FFFF000, 2**32 - 1, 2**62, 2**63, 2**64 - 1)
EXTREMES = [
    (edge % 2 ** (8 * size)).to_bytes(size, order)
    for size in (2, 4, 8)
    for order in ("little", "big")
    for edge in EDGES
]
HEAD = 256  # bytes in which most headers lie
SMALLEST = CycleGANVC2Config(channels=4, residual_blocks=1, residual_channels=2)
SPEAKERS = two_speakers()
VC_CONVERT = str(Path(sys.executable).with_name("vc-convert"))


def often(quick: int):
    """Give a test its number of `examples`: a few always, twenty times as many among the slow tests."""
    return pytest.mark.parametrize("examples", [quick, pytest.param(20 * quick, marks=SLOW)])


def for_all(examples: int, **strategies: st.SearchStrategy) -> Callable:
    """Hold the decorated law, there and then, against so many examples; every run draws the same ones."""
    bounded = settings(
        max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    return lambda law: bounded(given(**strategies)(law))()


def allowed(work: Callable[[], Any], named: object = "") -> Any:
    """What `work` gives; None if it refuses as it may: by errors of one line each that name what is wrong."""
    try:
        return work()
    except VCError as error:
        assert str(named) in str(error), error
        assert not any("\n" in str(line) for line in error.args), error.args
        return None


@st.composite
def damaged(draw: st.DrawFn, contents: list[bytes]) -> bytes:
    """One of `contents` with bits flipped or extreme numbers written over it, mostly over its head, and maybe cut."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, min(HEAD, len(content)) - 1) | st.integers(0, len(content) - 1))
        flipped = bytes([content[place] ^ 1 << draw(st.integers(0, 7))])
        patch = draw(st.just(flipped) | st.sampled_from(EXTREMES))
        content[place : place + len(patch)] = patch
    return bytes(content[: draw(st.just(len(content)) | st.integers(0, len(content)))])


NUMBERS = st.integers() | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def changed(draw: st.DrawFn, content: dict) -> dict:
    """`content` with one entry, at any depth, replaced, dropped or added."""
    place = content = copy.deepcopy(content)
    key = draw(st.sampled_from(sorted(place)))
    while isinstance(place[key], dict) and place[key] and draw(st.booleans()):
        place = place[key]
        key = draw(st.sampled_from(sorted(place)))
    change = draw(st.sampled_from(("replace", "replace", "drop", "add")))
    if change == "drop":
        del place[key]
    else:
        place[key if change == "replace" else draw(st.text(max_size=9))] = draw(VALUES)
    return content


# Recordings


@pytest.fixture(scope="module")
def recordings() -> list[bytes]:
    """One short recording in many formats."""
    kinds = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("WAVEX", "PCM_24"), ("AU", "ULAW")]
    kinds += [("FLAC", "PCM_16"), ("AIFF", "PCM_16"), ("W64", "PCM_16"), ("RF64", "FLOAT"), ("CAF", "ALAC_16")]
    kinds += [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("NIST", "PCM_16"), ("VOC", "PCM_U8")]
    contents = []
    for format, subtype in kinds:
        for channels in (1,) if format == "VOC" else (1, 2):
            file = io.BytesIO()
            samples = np.stack([vowel(0.1, RATE)] * channels, axis=1)
            soundfile.write(file, samples, RATE, format=format, subtype=subtype)
            contents.append(file.getvalue())
    return contents


@often(200)
def test_any_recording_is_read_as_finite_samples_or_refused_by_name(examples, recordings, tmp_path):
    path = tmp_path / "a.wav"

    @for_all(examples, content=damaged(recordings) | st.binary(max_size=500), rate=st.sampled_from([None, 8000, 48000]))
    def law(content, rate):
        path.write_bytes(content)
        read = allowed(partial(audio.read, path, rate), path)
        if read:
            assert read[0].dtype == np.float32 and read[0].ndim == 1 and len(read[0]) and np.isfinite(read[0]).all()


LOUDEST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize("rate", [None, 8000])
@pytest.mark.parametrize("pair", [(np.inf, -np.inf), (LOUDEST, LOUDEST), (LOUDEST, -LOUDEST), (1e-45, -1e-45)])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_largest_and_smallest_samples_are_read_as_finite_or_refused(channels, pair, rate, tmp_path):
    samples = np.tile(np.float32(pair), 2000).reshape(-1, channels)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    read = allowed(partial(audio.read, tmp_path / "a.wav", rate), "a.wav")
    assert read is None or np.isfinite(read[0]).all()


@pytest.mark.parametrize("factor", [1e-40, 1e5, 1e12, 1e20, 1e30])
def test_a_recording_of_any_loudness_is_converted(factor, tiny, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.float32(factor) * vowel(0.5, RATE), RATE, subtype="FLOAT")
    Converter.load(tiny).convert_file(tmp_path / "a.wav", tmp_path / "out.wav")
    assert len(audio.read(tmp_path / "out.wav")[0]) == RATE // 2


@pytest.mark.parametrize("name", ["nul\0.wav", "lone\ud800.wav", "x" * 300], ids=["nul", "lone", "long"])
def test_a_name_that_no_file_can_have_is_refused(name):
    for read in (audio.read, audio.info, partial(audio.blocks, rate=RATE)):
        with pytest.raises(VCError):
            list(read(name))


# Models


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build_converter("cyclegan_vc2", SMALLEST, 25, tuple(SPEAKERS)).state_dict()


@pytest.fixture(scope="module")
def tiny(weights, tmp_path_factory) -> Path:
    """A model file of the smallest network, which has learnt nothing."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    settings = WorldConfig(RATE, f0_method="dio")
    model_file.write(path, model_file.Model("cyclegan_vc2", settings, vars(SMALLEST), SPEAKERS, 1, "digest"), weights)
    return path


@pytest.fixture(scope="module")
def content(tiny) -> dict[str, Any]:
    """What the tiny model's file says."""
    return tensor_file.read_tensors(tiny)[1]


def forged(path: Path, content: object, weights: dict[str, torch.Tensor]) -> Path:
    """A model file of any content and weights, with the digest that they should have."""
    text = json.dumps(content)
    save_file(weights, path, {"vc": text, "sha256": tensor_file.tensors_digest(weights, text)})
    return path


@often(100)
def test_any_damage_to_a_model_is_refused_by_name(examples, tiny, tmp_path):
    path, whole = tmp_path / "m", tiny.read_bytes()

    @for_all(examples, bad=damaged([whole]) | st.binary(max_size=500))
    def law(bad):
        assume(bad != whole)
        path.write_bytes(bad)
        assert allowed(partial(model_file.read, path), path) is None
        assert allowed(partial(Converter.load, path), path) is None


@often(100)
def test_any_metadata_of_a_model_are_used_or_refused_by_name(examples, content, weights, tmp_path):
    @for_all(examples, told=changed(content) | VALUES)
    def law(told):
        network = told.get("network") if isinstance(told, dict) else None
        blocks = network.get("residual_blocks") if isinstance(network, dict) else None
        assume(not (isinstance(blocks, int) and blocks > 1000))  # has a law of its own
        path = forged(tmp_path / "m", told, weights)
        loaded = allowed(partial(Converter.load, path), path)
        source, target = loaded.direction() if loaded else ("", None)
        assert source != target


@pytest.mark.parametrize(
    ("key", "value"),
    [("step", True), ("step", -1), ("data_digest", 5), ("configuration", []), ("metrics", "x"), ("licence", None)],
)
def test_metadata_of_a_wrong_type_or_range_are_refused_by_name(key, value, content, weights, tmp_path):
    with pytest.raises(ConfigError, match=f"m: .*{key}"):
        Converter.load(forged(tmp_path / "m", {**content, key: value}, weights))


def test_names_in_a_model_cannot_break_an_errors_line(content, weights, tmp_path):
    for told in ({"x\ny": 1}, {"speakers": {"x\ny": 5}}, {"network": {"x\ny": 1}}):
        assert allowed(partial(Converter.load, forged(tmp_path / "m", {**content, **told}, weights)), "m: ") is None
    odd = {"x\ny": torch.tensor(float("nan"))}
    assert allowed(partial(Converter.load, forged(tmp_path / "m", content, odd)), "m: ") is None


@pytest.mark.parametrize("names", [(), ("ann",)])
def test_a_model_of_fewer_than_two_speakers_is_refused_by_name(names, content, tmp_path):
    speakers = {name: content["speakers"][name] for name in names}
    told = {**content, "method": "mean_variance", "network": {}, "speakers": speakers}
    with pytest.raises(ConfigError, match=r"m: .*speaker"):
        Converter.load(forged(tmp_path / "m", told, {}))


OTHER_TYPES = ("float64", "bfloat16", "complex64", "float8_e4m3fn", "float8_e5m2", "int64", "bool")


@pytest.mark.parametrize("type", OTHER_TYPES)
def test_weights_of_another_type_are_refused_before_any_audio(type, content, weights, tmp_path):
    other = {name: tensor.to(getattr(torch, type)) for name, tensor in weights.items()}
    with pytest.raises(ConfigError, match="m: "):
        Converter.load(forged(tmp_path / "m", content, other))


def test_a_model_that_claims_a_network_without_end_is_refused_at_once(content, weights, tmp_path):
    network = {**content["network"], "residual_blocks": 10**9}
    path = forged(tmp_path / "m", {**content, "network": network}, weights)
    limited = ["bash", "-c", 'ulimit -t 20 -v 16000000; exec "$@"', "bash", VC_CONVERT, "--model", path, "in.wav"]
    done = subprocess.run(limited, capture_output=True, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.decode().startswith(f"vc-convert: error: {path}: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [("mel_cepstrum_mean", [1e300] * 25), ("mel_cepstrum_deviation", [1e300] * 25), ("log_f0_mean", 1e300)],
)
def test_statistics_that_overflow_are_refused_or_give_samples_within_range(key, value, content, weights, tmp_path):
    speakers = {**content["speakers"], "bob": {**content["speakers"]["bob"], key: value}}
    path = forged(tmp_path / "m", {**content, "speakers": speakers}, weights)
    made = allowed(lambda: Converter.load(path).convert(vowel(0.5, RATE), RATE))
    assert made is None or np.abs(made).max() <= 1


def test_weights_that_overflow_are_refused_or_give_samples_within_range(content, weights, tmp_path):
    path = forged(tmp_path / "m", content, {name: torch.full_like(each, 3e38) for name, each in weights.items()})
    made = allowed(lambda: Converter.load(path).convert(vowel(0.5, RATE), RATE))
    assert made is None or np.abs(made).max() <= 1


# Configurations


SECTIONS = {
    "features": WorldConfig,
    "network": CycleGANVC2Config,
    "objective": cyclegan.CycleGANObjective,
    "training": experiment.TrainingConfig,
    "compute": experiment.ComputeConfig,
}
SIGNS = ["!!int ", "!!bool ", "!!str ", "!!set ", "!!python/name:os.system ", "&a ", "*a ", "<<: ", ": ", "- ", "? "]
SIGNS += ["| ", "\n", "\n  ", "{", "}", "[", "]", ", ", "''", '"\\n"', "#", "0x", "1:", ".5", "1e999", "2001-99-99"]
SIGNS += ["method: ", "training: ", "features: ", "steps: ", "cyclegan_vc2", "16000", "~", "\0", "\t", "\x85", "\ufeff"]


def resolved(path: Path) -> experiment.Experiment:
    return experiment.resolve(config.read_sections(path), WorldConfig(RATE), ("ann", "bob"), "digest")


@often(150)
def test_any_text_is_a_configuration_or_refused(examples, tmp_path):
    path = tmp_path / "c.yaml"

    @for_all(examples, content=st.binary(max_size=200) | st.lists(st.sampled_from(SIGNS)).map("".join).map(str.encode))
    def law(content):
        path.write_bytes(content)
        allowed(partial(config.read_sections, path), path)
        allowed(partial(resolved, path))


@often(100)
def test_any_values_are_a_configuration_or_refused(examples, tmp_path):
    path = tmp_path / "c.yaml"
    keys = {name: st.sampled_from([field.name for field in fields(kind)]) for name, kind in SECTIONS.items()}
    sections = {name: VALUES | st.dictionaries(key, VALUES, min_size=1, max_size=3) for name, key in keys.items()}

    @for_all(examples, content=st.fixed_dictionaries({}, optional={"method": VALUES, **sections}) | VALUES)
    def law(content):
        path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        allowed(partial(config.read_sections, path), path)
        allowed(partial(resolved, path))


ODD_YAML = {
    "an empty whole number": "!!int ''",
    "an empty number": "!!float ''",
    "no truth value": "!!bool x",
    "no time": "!!timestamp x",
    "an impossible date": "2001-99-99",
    "a number to the base 60 that is too large": "1:" * 200 + "1.0",
    "a whole number too long to be printed": "0x" + "f" * 20_000,
    "brackets without end": "[" * 1500,
}


@pytest.mark.parametrize("place", ["method: {}", "training: {{steps: {}}}"])
@pytest.mark.parametrize("value", ODD_YAML.values(), ids=ODD_YAML)
def test_what_yaml_itself_stumbles_over_is_refused(value, place, tmp_path):
    (tmp_path / "c.yaml").write_text(place.format(value))
    assert allowed(partial(resolved, tmp_path / "c.yaml")) is None


@pytest.mark.parametrize("value", ODD_YAML.values(), ids=ODD_YAML)
def test_what_yaml_itself_stumbles_over_is_refused_as_a_setting(value, tmp_path):
    overrides = [f"training.steps={value}"]
    given = partial(config.read_sections, None, overrides)
    work = partial(lambda: experiment.resolve(given(), WorldConfig(RATE), ("ann", "bob"), "digest"))
    assert allowed(work, "steps") is None


def test_keys_cannot_break_an_errors_line(tmp_path):
    for text in ('"a\\nb": 1', 'training: {"a\\nb": 1}'):
        (tmp_path / "c.yaml").write_text(text)
        assert allowed(partial(resolved, tmp_path / "c.yaml")) is None


# Lists


LISTS = ("wav.scp", "utt2spk", "spk2utt", "segments", "text")


@pytest.fixture
def data(tmp_path) -> Path:
    """A data directory of two speakers, each with two parts of a recording."""
    utterances = []
    for speaker, seed in (("ann", 0), ("bob", 1)):
        path = tmp_path / f"{speaker}.wav"
        soundfile.write(path, vowel(1.0, RATE, seed=seed), RATE)
        utterances += [
            data_directory.Utterance(f"{speaker}-{n}", speaker, path, 0.5 * n, 0.5 * n + 0.4) for n in (0, 1)
        ]
    data_directory.write(tmp_path / "data", utterances)
    (tmp_path / "data/text").write_text("".join(f"{utterance.id} hello\n" for utterance in utterances))
    assert not check.check(tmp_path / "data").faults
    return tmp_path / "data"


ODD_WORDS = ["", "ann", "bob-1", "ann-ann", "0", "1e306", "nan", "-1", "1_0", "|", "\t", "\r", "\0", "\x85", "\u3000"]
ODD_WORDS += ["\ufeff", "/dev/null", "/tmp", "../../x", "-rf", "x" * 300, "a" * 9000]


@st.composite
def reworded(draw: st.DrawFn, content: bytes) -> bytes:
    """A list with one of its words replaced."""
    lines = [line.split(" ") for line in content.decode().split("\n")]
    line = draw(st.sampled_from(lines))
    line[draw(st.integers(0, len(line) - 1))] = draw(st.sampled_from(ODD_WORDS))
    return "\n".join(map(" ".join, lines)).encode()


def one_of_them(whole: dict[str, bytes], *ways: Callable[[bytes], st.SearchStrategy]) -> st.SearchStrategy:
    """A file's name, and its content changed in one of these ways or by damage, or replaced by any bytes."""
    bad = {name: damaged([old]) | st.binary(max_size=99) for name, old in whole.items()}
    for way in ways:
        bad = {name: way(whole[name]) | others for name, others in bad.items()}
    return st.sampled_from(sorted(whole)).flatmap(lambda name: st.tuples(st.just(name), bad[name]))


@often(150)
def test_any_lists_are_read_or_their_faults_named(examples, data):
    whole = {name: (data / name).read_bytes() for name in LISTS}

    @for_all(examples, change=one_of_them(whole, reworded))
    def law(change):
        name, bad = change
        for other, content in {**whole, name: bad}.items():
            (data / other).write_bytes(content)
        allowed(partial(data_directory.read, data), data)
        allowed(partial(data_directory.read_recordings, data / name), data / name)
        for fault in getattr(allowed(partial(check.check, data), data), "faults", ()):
            assert "\n" not in str(fault) and str(data) in str(fault)


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("wav.scp", "/" + "x" * 300),
        ("wav.scp", "/" + "x/" * 50_000),
        ("segments", "ann-ann 0 1e306"),
        ("segments", "ann-ann 1e305 1e306"),
    ],
    ids=["long name", "long path", "far end", "far start"],
)
def test_entries_beyond_what_a_system_can_hold_are_named_by_line(name, rest, data):
    first, *lines = (data / name).read_text().splitlines()
    (data / name).write_text("\n".join([f"{first.split()[0]} {rest}", *lines, ""]))
    faults = [str(fault) for fault in check.check(data).faults]
    assert any(re.search(r"wav\.scp:1: |utt2spk:1: |segments:1: ", fault) for fault in faults)


@pytest.mark.parametrize(
    "read", [data_directory.read, check.check, data_directory.read_recordings, config.read_yaml, Converter.load]
)
@pytest.mark.parametrize("name", ["x" * 300, "nul\0"], ids=["long", "nul"])
def test_a_place_that_no_system_can_hold_is_refused(name, read):
    with pytest.raises(VCError):
        read(Path(name))


# Features


def opened(dump: Path) -> list[np.ndarray]:
    """All that training reads of a features directory."""
    features = store.read_features(dump)
    tracks = list(store.read_archive(dump / "f0.scp", features.utterances))
    return tracks + [frames for speaker in features.speakers for frames in features.frames(speaker)]


@often(150)
def test_any_damage_to_features_is_refused_by_name_or_harmless(examples, dump):
    whole = {path.name: path.read_bytes() for path in dump.iterdir()}

    @for_all(examples, change=one_of_them(whole))
    def law(change):
        name, bad = change
        for other, content in {**whole, name: bad}.items():
            (dump / other).write_bytes(content)
        allowed(partial(opened, dump), dump)


@often(50)
def test_any_statistics_of_features_are_used_or_refused_by_name(examples, dump):
    whole = json.loads((dump / "speakers.json").read_text())

    @for_all(examples, told=changed(whole) | VALUES)
    def law(told):
        (dump / "speakers.json").write_text(json.dumps(told))
        allowed(partial(store.read_features, dump), dump)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, "\ud800", ""], ids=["nested", "long", "lone", "empty"])
def test_statistics_that_are_no_json_are_refused_by_name(text, dump):
    (dump / "speakers.json").write_text(text, errors="surrogatepass")
    assert allowed(partial(store.read_features, dump), dump) is None


# Attacks


class Payload:
    """Makes a folder where it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def of_torch(thing: object, **how: bool) -> bytes:
    file = io.BytesIO()
    torch.save(thing, file, **how)
    return file.getvalue()


def of_numpy(marker: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Payload(marker)], dtype=object))
    return file.getvalue()


ATTACKS = {
    "pickle": lambda marker: pickle.dumps(Payload(marker)),
    "torch": lambda marker: of_torch({"weights": Payload(marker)}),
    "old torch": lambda marker: of_torch({"weights": Payload(marker)}, _use_new_zipfile_serialization=False),
    "harmless torch": lambda marker: of_torch({"weights": torch.ones(3)}),
    "numpy": of_numpy,
    "yaml apply": lambda marker: f"features: !!python/object/apply:os.mkdir ['{marker}']\n".encode(),
    "yaml new": lambda marker: f"method: !!python/object/new:os.mkdir\n  args: ['{marker}']\n".encode(),
    "yaml name": lambda marker: b"method: !!python/name:os.mkdir\n",
    "yaml module": lambda marker: b"training: !!python/module:this\n",
}
OPENED = {
    "model.safetensors": lambda folder: Converter.load(folder),
    "checkpoint-000000001.safetensors": lambda folder: checkpoint.resume(folder, None),
    "config.yaml": lambda folder: resolved(folder / "config.yaml"),
    "dump/config.yaml": lambda folder: store.read_features(folder / "dump"),
    "dump/speakers.json": lambda folder: store.read_features(folder / "dump"),
    "dump/mcep.ark": lambda folder: opened(folder / "dump"),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", OPENED)
def test_no_file_can_run_code_under_any_name_that_is_opened(name, attack, dump, tmp_path):
    (tmp_path / name).write_bytes(ATTACKS[attack](tmp_path / "PWNED"))
    assert allowed(partial(OPENED[name], tmp_path), tmp_path) is None
    assert not (tmp_path / "PWNED").exists() and "this" not in sys.modules


def test_the_attacks_are_real(tmp_path):
    for attack in ("pickle", "torch", "old torch", "numpy"):
        (tmp_path / attack).write_bytes(ATTACKS[attack](tmp_path / f"{attack} ran"))
    pickle.loads((tmp_path / "pickle").read_bytes())
    for attack in ("torch", "old torch"):
        torch.load(tmp_path / attack, weights_only=False)
    np.load(tmp_path / "numpy", allow_pickle=True)
    assert len(list(tmp_path.glob("* ran"))) == 4


# The command


@pytest.fixture
def convert(tiny, tmp_path, monkeypatch, capfd) -> Callable:
    """vc-convert in `tmp_path` and in this process -> exit status, lines on stdout, errors on stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(logging.getLogger("vc"), "handlers", [])
    monkeypatch.setattr(logging.getLogger("vc"), "level", logging.NOTSET)

    def run(*arguments: object) -> tuple[int, list[str], list[str]]:
        status = cli.main(["--model", str(tiny), *map(str, arguments)])
        said, complaints = capfd.readouterr()
        return status, said.splitlines(), no_warnings(complaints)

    return run


def no_warnings(text: str) -> list[str]:
    """Lines that are no warnings; a network that learnt nothing is often too loud."""
    return [line for line in text.splitlines() if not line.startswith("vc-convert: warning: ")]


def listed(folder: Path | str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def record(path: Path | str, seconds: float = 0.2) -> Path:
    audio.write(path, vowel(seconds, RATE), RATE)
    return Path(path)


NAMES = {
    "spaces": "  a b  ",
    "quotes": "a'b\"c`d",
    "dash": "-a",
    "dashes": "--model",
    "newline": "a\nb\r",
    "shell": "$(touch PWNED);a|b&*?~",
    "colours": "\x1b[31ma",
    "not UTF-8": "caf\udce9",
    "signs": "日本語 é é",
    "right to left": "a\u202eb",
    "percent": "%s{}",
    "hidden": ".a",
    "long": "x" * 246,
    "dots": "a..b.wav",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_recording_of_any_name_keeps_its_name(name, convert):
    record(f"{name}.wav")
    assert convert("--output", "out/", "--", f"{name}.wav") == (0, [], [])
    assert listed("out") == [f"{name}.wav"] and not os.path.exists("PWNED")


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_bad_recording_of_any_name_is_one_line(name, convert):
    Path(f"{name}.wav").write_text("hello")
    status, _, [line] = convert("--output", "out/", "--", f"{name}.wav")
    assert status == 1 and line.startswith("vc-convert: error: ") and line.isprintable()
    assert "not a recording" in line and not os.path.exists("out")


def test_recordings_of_all_names_are_found_in_a_folder(convert):
    Path("in").mkdir()
    for name in NAMES.values():
        record(f"in/{name}.wav")
    assert convert("in", "--output", "out") == (0, [f"{len(NAMES)} converted, 0 failed"], [])
    assert listed("out") == sorted(f"{name}.wav" for name in NAMES.values())


@pytest.mark.parametrize("kind", sorted(set(NAMES) - {"not UTF-8"}))
def test_a_model_of_any_name_in_utf8_is_read_and_a_bad_one_named(kind, tiny, tmp_path, monkeypatch):
    name = NAMES[kind]
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny, name)
    assert Converter.load(name).speakers == tuple(SPEAKERS)
    Path(name).write_bytes(b"hello")
    with pytest.raises(ConfigError) as error:
        Converter.load(name)
    assert str(error.value).startswith(f"{escaped(name)}: ")


def test_a_file_that_is_named_dash_is_reached_as_by_any_command(convert):
    record("a.wav").rename("-")
    assert convert("./-", "--output", "b.wav") == (0, [], []) and Path("b.wav").is_file()
    status, output, _ = convert("b.wav", "--output", "./-")
    assert (status, output) == (0, [])


def test_a_link_is_read_through_but_not_written_through(convert):
    record("a.wav")
    Path("link.wav").symlink_to("a.wav")
    Path("kept").write_text("mine")
    for link, target in (("out.wav", "kept"), ("new.wav", "not there")):
        Path(link).symlink_to(target)
        assert convert("link.wav", "--output", link) == (0, [], [])
        assert not Path(link).is_symlink() and audio.info(Path(link)).frames == RATE // 5
    assert Path("kept").read_text() == "mine" and not Path("not there").exists()


@pytest.mark.parametrize("output", ["a.wav", "./a.wav", "deep/../a.wav", "link.wav"])
@pytest.mark.parametrize("source", ["a.wav", "link.wav"])
def test_an_input_is_never_its_own_output(source, output, convert):
    before = record("a.wav").read_bytes()
    Path("link.wav").symlink_to("a.wav")
    Path("deep").mkdir()
    status, _, [line] = convert(source, "--output", output)
    assert status == 2 and "is also an input" in line and Path("a.wav").read_bytes() == before


@pytest.mark.parametrize(("link", "target"), [("loop.wav", "loop.wav"), ("lost.wav", "nowhere")])
def test_a_link_to_nothing_is_named(link, target, convert):
    Path(link).symlink_to(target)
    status, _, [line] = convert(link, "--output", "out.wav")
    assert status == 1 and line.startswith(f"vc-convert: error: {link}: ") and not Path("out.wav").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("good", [True, False])
def test_a_pipe_is_read_to_its_end(good, convert):
    content = audio.encode(vowel(0.2, RATE), RATE) if good else b"hello"
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(content), daemon=True)
    writer.start()
    status, _, lines = convert("pipe", "--output", "out.wav")
    writer.join()
    assert (status, len(lines), Path("out.wav").exists()) == ((0, 0, True) if good else (1, 1, False))


@pytest.mark.parametrize("device", ["/dev/null", "/dev/full"])
def test_a_device_is_neither_a_recording_nor_replaced(device, convert):
    record("a.wav")
    for arguments, expected in (((device, "--output", "o.wav"), 1), (("a.wav", "--output", device), 2)):
        status, _, [line] = convert(*arguments)
        assert status == expected and f"{device}: " in line
    status, _, [line] = convert("a.wav", "--output", f"{device}/o.wav")
    assert status == 1 and line == f"vc-convert: error: {device}: exists and is not a folder"
    assert listed(".") == ["a.wav"] and Path(device).is_char_device()


@pytest.mark.parametrize("arguments", [("a.wav", "--output", "-"), pytest.param(("a.wav", "b.wav"), marks=SLOW)])
def test_a_full_standard_output_is_one_line(arguments, tiny, tmp_path):
    for name in ("a.wav", "b.wav"):
        record(tmp_path / name)
    with Path("/dev/full").open("wb") as full:
        line = [VC_CONVERT, "--model", tiny, *arguments]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, cwd=tmp_path)
    [complaint] = no_warnings(done.stderr.decode())
    assert done.returncode == 1 and "No space left on device" in complaint


# Loads


def batch(folder: Path, good: int, bad: int) -> list[Path]:
    """A folder of `good` recordings and `bad` ones, which are returned, spread among them."""
    folder.mkdir()
    first = record(folder / "0000.wav", 0.1)
    names = [folder / f"{number:04}.wav" for number in range(1, good + bad)]
    broken = names[:: len(names) // bad][:bad]
    for name in names:
        name.write_bytes(b"RIFF, but no more") if name in broken else os.link(first, name)
    return broken


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=SLOW)])
def test_a_batch_goes_on_after_bad_files_and_names_each(count, tiny, tmp_path):
    broken = batch(tmp_path / "in", count - 5, 5)
    line = [VC_CONVERT, "--model", tiny, "in", "--output", "out"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path)
    starts = [f"vc-convert: error: {path.relative_to(tmp_path)}: not a recording" for path in broken]
    lines = no_warnings(done.stderr)
    assert len(lines) == 5 and all(line.startswith(start) for line, start in zip(lines, starts))
    assert done.stdout.splitlines()[-1] == f"{count - 5} converted, 5 failed" and done.returncode == 1
    outputs = {path.name for path in (tmp_path / "out").iterdir()}
    assert outputs == {path.name for path in (tmp_path / "in").iterdir()} - {path.name for path in broken}


def limited(limit: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    """vc-convert under a `ulimit`."""
    line = ["bash", "-c", f'ulimit {limit}; exec "$@"', "bash", VC_CONVERT, *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd)


@pytest.mark.slow
def test_few_descriptors_are_enough_for_many_files(tiny, tmp_path):
    batch(tmp_path / "in", 99, 1)
    done = limited("-n 64", "--model", tiny, "in", "--output", "out", "--jobs", 4, cwd=tmp_path)
    assert done.stdout == "99 converted, 1 failed\n" and len(no_warnings(done.stderr)) == 1


def test_descriptors_are_given_back(tiny, tmp_path):
    made = Converter.load(tiny)
    record(tmp_path / "a.wav", 0.1)
    (tmp_path / "bad.wav").write_text("hello")
    made.convert_file(tmp_path / "a.wav", tmp_path / "out.wav")
    before = listed("/proc/self/fd")
    for number in range(12):
        bad = (("a.wav", "a.wav/o.wav"), ("bad.wav", "o.wav"), ("gone.wav", "o.wav"))[number % 3]
        with pytest.raises(DataError):
            made.convert_file(*(tmp_path / name for name in bad))
        made.convert_file(tmp_path / "a.wav", tmp_path / "out.wav", jobs=1 + number % 2)
    assert listed("/proc/self/fd") == before


@pytest.mark.slow
def test_several_at_once_do_not_disturb_each_other(tiny, tmp_path):
    record(tmp_path / "a.wav", 2.0)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    line = [VC_CONVERT, "--model", tiny, tmp_path / "a.wav", "--output"]
    running = [subprocess.Popen([*line, tmp_path / f"{n}.wav"], env=environment) for n in range(4)]
    assert [process.wait(120) for process in running] == [0] * 4
    assert len({(tmp_path / f"{n}.wav").read_bytes() for n in range(4)}) == 1
    assert listed(tmp_path) == ["0.wav", "1.wav", "2.wav", "3.wav", "a.wav"]


@pytest.fixture(scope="module")
def full_disk(tiny, tmp_path_factory) -> Iterator[tuple[Path, subprocess.CompletedProcess]]:
    """A folder in which no file could grow beyond 8 KiB, and what vc-convert said of it."""
    folder = tmp_path_factory.mktemp("full")
    (folder / "out").mkdir()
    (folder / "out/a.wav").write_bytes(b"old")
    for name in ("a.wav", "b.wav"):
        record(folder / name, 1.0)
    return folder, limited("-f 8", "--model", tiny, "a.wav", "b.wav", "--output", "out", cwd=folder)


def test_a_full_disk_leaves_what_was_there_and_nothing_else(full_disk):
    folder, done = full_disk
    lines = no_warnings(done.stderr)
    assert done.returncode == 1 and done.stdout == "0 converted, 2 failed\n"
    assert [line.split(": ")[2] for line in lines] == ["out/a.wav", "out/b.wav"]
    assert listed(folder / "out") == ["a.wav"] and (folder / "out/a.wav").read_bytes() == b"old"


def test_a_full_disk_is_given_as_the_reason(full_disk):
    assert all(line.endswith(": File too large") for line in no_warnings(full_disk[1].stderr))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(convert):
    record("a.wav")
    Path("out").mkdir(0o555)
    status, _, [line] = convert("a.wav", "--output", "out/b.wav")
    assert status == 1 and line == "vc-convert: error: out/b.wav: Permission denied" and not listed("out")


def cost(line: list[str]) -> tuple[float, float]:
    """Peak memory in bytes (no less than this process has: Linux hands it on) and CPU seconds of a command."""
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return 1024 * usage.ru_maxrss, usage.ru_utime + usage.ru_stime


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_time_follows_the_length_in_proportion_and_memory_does_not(tiny, tmp_path):
    minute, costs = np.tile(vowel(6.0, 48000), 10), {}
    for minutes in (20, 60):
        with soundfile.SoundFile(tmp_path / "a.wav", "w", 48000, 1, "PCM_16") as file:
            for _ in range(minutes):
                file.write(minute)
        line = [VC_CONVERT, "--model", tiny, tmp_path / "a.wav", "--output", tmp_path / "out.wav", "--jobs", "2"]
        costs[minutes] = cost(line)
        assert audio.info(tmp_path / "out.wav").frames == minutes * 60 * RATE
    (short, fast), (long, slow) = costs[20], costs[60]
    assert abs(long - short) < 200e6 and max(long, short) < 2.5e9, costs
    assert 2.5 < slow / fast < 3.5, costs
