"""What a stranger hands us can neither run, nor write, nor hang, nor exhaust: each attack as it was done."""

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, command, two_speakers, vowel

from vc import config, files, model_file, tensor_file, torch_file
from vc.cli import common
from vc.convert import inputs
from vc.convert.converter import ConversionOptions, Converter
from vc.corpus import audio, check, data_directory, discovery, lists, prepare
from vc.corpus import formats as recording_formats
from vc.corpus.lists import Table
from vc.encoders import encoder_file
from vc.encoders import published as published_encoders
from vc.errors import LONGEST, ConfigError, DataError, TrainingError, VCError
from vc.features import speakers, store
from vc.features.extract import extract
from vc.features.world import WorldConfig
from vc.listening import formats
from vc.report import curves
from vc.train import checkpoint, experiment
from vc.train import log as train_log
from vc.train.checkpoint import State
from vc.train.converter import make_engine
from vc.train.engine import Engine
from vc.train.plan import Plan
from vc.train.processes import SINGLE_PROCESS
from vc.train.run import Stopped, stop_signal
from vc.vocoders import published as published_vocoders
from vc.vocoders import vocoder_file

GIB = 1 << 30


def sparse(path: Path, size: int, start: bytes = b"") -> Path:
    """A file that takes no room on disk, and would take all memory."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
    return path


# Bombs

NESTED = "\n".join(
    ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)), "steps: *a9"]
)
MERGED = "\n".join(
    ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 10))]
)
BOMBS = {"lists": NESTED, "merged mappings": MERGED, "itself": "a: &a [*a]", "itself, merged": "&a\n<<: *a\nb: 1"}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("read", [config.read_yaml, store.read_features], ids=["configuration", "features"])
def test_aliases_of_yaml_do_not_grow(read, bomb, tmp_path):
    (tmp_path / "config.yaml").write_text(bomb)
    with pytest.raises(ConfigError, match=r"config\.yaml: not YAML: ") as caught:
        read(tmp_path / "config.yaml" if read is config.read_yaml else tmp_path)
    assert len(str(caught.value)) < 1000


@pytest.mark.timeout(10)
def test_aliases_of_a_setting_do_not_grow():
    with pytest.raises(ConfigError, match="aliases expand to more than"):
        config.read_sections(None, ["training={" + NESTED.replace("\n", ", ") + "}"])


def test_aliases_of_ordinary_size_are_taken(tmp_path):
    (tmp_path / "c.yaml").write_text("a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n")
    first = {"x": 1, "y": [1, 2]}
    assert config.read_yaml(tmp_path / "c.yaml") == {"a": first, "b": {"x": 1, "y": 3}, "c": [first, first]}


@pytest.mark.parametrize("value", ["{}", "[{}]", "{{? {} : 1}}", "!!omap [x: {}]", "!!pairs [x: {}]", "!!set {{{}}}"])
def test_a_number_that_cannot_be_printed_is_refused_wherever_it_stands(value, tmp_path):
    (tmp_path / "c.yaml").write_text("features: {kind: " + value.format("0x" + "f" * 20_000) + "}")
    with pytest.raises(ConfigError, match="a number of 80000 bits"):
        config.read_yaml(tmp_path / "c.yaml")


@pytest.mark.parametrize("text", ["steps: 1\nsteps: 2\n", "a: {b: 1, b: 1}", "[{x: 1, 'x': 2}]"])
def test_a_key_that_stands_twice_is_refused(text, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match="occurs twice"):
        config.read_yaml(tmp_path / "c.yaml")


def test_an_errors_line_is_short_whatever_it_quotes():
    assert len(str(VCError("x" * 10**8))) < 2 * LONGEST
    assert str(VCError("path: " + "\x1b" * 10**7)).startswith("path: \\x1b")


TENSORS = {
    "a model's": tensor_file.read_tensors,
    "an encoder's": encoder_file.describe,
    "a vocoder's": vocoder_file.read,
    "a published encoder's": published_encoders.read,
    "a published vocoder's": lambda path: published_vocoders.read(path, None, ""),
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("read", TENSORS.values(), ids=TENSORS)
@pytest.mark.parametrize(
    ("size", "header", "message"), [(9 * GIB, 64, "larger than"), (93 << 20, 93 << 20, "a header of")]
)
def test_tensors_are_not_read_before_their_size_is(read, size, header, message, tmp_path):
    path = sparse(tmp_path / "m.safetensors", size, header.to_bytes(8, "little") + b"{")
    with pytest.raises(ConfigError, match=rf"m\.safetensors: .*{message}"):
        read(path)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "read",
    [config.read_yaml, config.read_json, partial(formats.read_answers, key=None), lambda path: refused(Table, path)],
    ids=["yaml", "json", "answers", "list"],
)
def test_no_text_is_read_before_its_size_is(read, tmp_path):
    with pytest.raises(VCError, match=r"big: larger than \d+ bytes"):
        read(sparse(tmp_path / "big", 6 * GIB))


def refused(read: type[Table], path: Path) -> None:
    """The faults that a list collects, raised."""
    faults = []
    read(path, faults)
    raise DataError(*faults)


def test_a_list_of_faults_or_lines_without_end_is_not_kept(dump, tmp_path, monkeypatch):
    (tmp_path / "list").write_text("-\n" * 5000 + "ann-1 here\n")
    table = Table(tmp_path / "list", faults := [])
    assert len(faults) == lists.MOST_FAULTS + 1 and table.rows == {"ann-1": "here"}
    assert str(faults[-1]) == f"{tmp_path}/list: more faults than these {lists.MOST_FAULTS}"
    monkeypatch.setattr(lists, "MOST_LINES", 5000)
    with pytest.raises(DataError, match="list: more than 5000 lines"):
        refused(Table, tmp_path / "list")
    monkeypatch.setattr(store, "MOST_LINES", 1)
    with pytest.raises(DataError, match="more than 1 lines"):
        store.read_features(dump)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", ["speakers.json", "utt2spk", "config.yaml", "mcep.scp"])
def test_no_list_of_features_is_read_before_its_size_is(name, dump):
    sparse(dump / name, 6 * GIB)
    with pytest.raises(VCError, match="larger than"):
        store.read_features(dump).frames("ann")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("read", [published_encoders.read, lambda path: published_vocoders.read(path, None, "")])
def test_a_torch_archive_does_not_grow_when_it_is_unpacked(read, tmp_path):
    zeros = {"conv_pre.weight": torch.zeros(512, 80, 7), "conv_pre.bias": torch.zeros(512)}
    torch.save({"generator": zeros}, tmp_path / "stored.pt")
    with (
        zipfile.ZipFile(tmp_path / "stored.pt") as stored,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in stored.infolist():
            packed.writestr(entry.filename, stored.read(entry))
    assert (tmp_path / "packed.pt").stat().st_size < 20_000
    with pytest.raises(ConfigError, match=r"packed\.pt: an archive with compressed parts"):
        read(tmp_path / "packed.pt")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_tensors_that_are_views_of_one_number_are_refused(new, tmp_path):
    one = torch.zeros(1).expand(3_000_000_000)
    for key, read in (
        ("conv_pre.weight", lambda path: published_vocoders.read(path, None, "")),
        ("encoder.blocks.0.mlp.0.weight", published_encoders.read),
    ):
        torch.save({key: one}, tmp_path / "v.pt", _use_new_zipfile_serialization=new)
        with pytest.raises(ConfigError, match=r"v\.pt: its tensors have 12,000,000,000 bytes, the file only"):
            read(tmp_path / "v.pt")


def doubling_tuples() -> bytes:
    """A pickle of a dictionary whose key is a tuple of two tuples of two tuples ...: some 300 bytes, 2 ** 60 values."""
    steps = b"".join(b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(60))
    return b"\x80\x02}K\x01\x85q\x00" + steps + b"K\x01s."


@pytest.mark.timeout(10)
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_a_key_that_takes_for_ever_to_look_up_is_refused(new, tmp_path):
    torch.save({"conv_pre.weight": torch.zeros(1)}, tmp_path / "a.pt", _use_new_zipfile_serialization=new)
    if new:
        with zipfile.ZipFile(tmp_path / "a.pt") as whole, zipfile.ZipFile(tmp_path / "bad.pt", "w") as bad:
            for entry in whole.infolist():
                named = entry.filename.endswith("data.pkl")
                bad.writestr(entry.filename, doubling_tuples() if named else whole.read(entry))
    else:
        whole = (tmp_path / "a.pt").read_bytes()
        place = whole.index(b".", whole.index(b"type_sizes")) + 1  # behind the three pickles of the head
        (tmp_path / "bad.pt").write_bytes(whole[:place] + doubling_tuples())
    for read in (published_encoders.read, lambda path: published_vocoders.read(path, None, "")):
        with pytest.raises(ConfigError, match=r"bad\.pt: a tuple of far more values"):
            read(tmp_path / "bad.pt")


def torch_archive(path: Path, program: bytes, name: str = "data.pkl") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        parts = {name: program, "version": b"3\n", "byteorder": b"little", "data/0": bytes(64)}
        for part, content in parts.items():
            archive.writestr(f"archive/{part}", content)
    return path


def test_a_pickle_is_scanned_whatever_the_case_of_its_name(tmp_path):
    path = torch_archive(tmp_path / "a.pt", doubling_tuples(), "DATA.PKL")
    with pytest.raises(ConfigError, match="a tuple of far more values"):
        torch_file.read(path)


def doubling_lists() -> bytes:
    """A pickle that ends with a list of two lists of two lists ... on the stack."""
    steps = b"".join(b"](h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1]) for n in range(60))
    return b"\x80\x02]q\x00" + steps


GIBIBYTES = b"\x8a\x05\x00\x00\x00\xc0\x00"  # 3 GiB, as a number
STORAGE = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuK\x10tQ"
CALLS = {  # of what is not a tensor's
    "a list": doubling_lists() + b")R.",
    "memory": b"\x80\x02c__builtin__\nbytearray\n" + GIBIBYTES + b"\x85R.",
    "memory, by its new name": b"\x80\x02cbuiltins\nbytearray\n" + GIBIBYTES + b"\x85R.",
    "an empty tensor": b"\x80\x02ctorch\nFloatTensor\n" + GIBIBYTES + b"\x85R.",
    "an empty storage": b"\x80\x02ctorch.storage\nUntypedStorage\n" + GIBIBYTES + b"\x85R.",
    "a new object": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "a call of a call": b"\x80\x02ccollections\nOrderedDict\n)R)R.",
    "a copy": b"\x80\x02ccollections\nOrderedDict\n]\x85R.",
    "shared attributes": b"\x80\x02}q\x00ccollections\nOrderedDict\n)Rh\x00b.",
    "a tensor's attributes": b"\x80\x02ctorch._utils\n_rebuild_tensor\n(" + STORAGE + b"K\0K\1\x85K\1\x85tR}b.",
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("call", CALLS)
def test_a_checkpoint_calls_only_what_makes_tensors(call, tmp_path):
    torch_archive(tmp_path / "a.pt", CALLS[call])
    with pytest.raises(ConfigError, match="one that holds more than tensors") as caught:
        torch_file.read(tmp_path / "a.pt")
    assert caught.value.__cause__ is None  # refused by the scan, before torch reads anything


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_what_real_checkpoints_hold_beside_tensors_is_read(new, tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimiser = torch.optim.AdamW(network.parameters())
    network(torch.ones(2, 3)).sum().backward()
    optimiser.step()
    kinds = [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool]
    content = {"generator": network.state_dict(), "optim_g": optimiser.state_dict(), "steps": 3, "epoch": (1, [2])}
    content |= {"parameter": network[0].weight, "dims": {"n_mels": 80}}
    content |= {str(kind): torch.ones(2, dtype=kind) for kind in kinds}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=new)
    read = torch_file.read(tmp_path / "a.pt")
    assert read["generator"]._metadata == network.state_dict()._metadata and str(read) == str(content)


def test_calls_that_multiply_what_they_are_given_are_refused(tmp_path):
    """A tensor of 4,000 dimensions, made from one shape again and again."""
    shape = b"(" + b"K\1" * 4000 + b"tq\0"
    program = b"\x80\x02" + shape + STORAGE + b"q\1ctorch._utils\n_rebuild_tensor\nq\2("
    torch_archive(tmp_path / "a.pt", program + b"h\2(h\1K\0h\0h\0tR" * 300 + b"t.")
    with pytest.raises(ConfigError, match="its pickle is too long"):
        torch_file.read(tmp_path / "a.pt")


def test_an_archive_with_two_directories_is_refused(tmp_path):
    """Of two archives in a row, alike but for their pickles, Python reads the second, as it corrects offsets."""
    first = torch_archive(tmp_path / "first.pt", b"\x80\x02}K\1K\2s.").read_bytes()
    second = torch_archive(tmp_path / "second.pt", b"\x80\x02}K\1K\3s.").read_bytes()
    (tmp_path / "both.pt").write_bytes(first + second)
    assert torch.load(tmp_path / "both.pt", weights_only=True) == {1: 2}
    with zipfile.ZipFile(tmp_path / "both.pt") as archive:
        assert archive.read("archive/data.pkl") == b"\x80\x02}K\1K\3s."
    with pytest.raises(ConfigError, match="more than one directory"):
        torch_file.read(tmp_path / "both.pt")


def test_an_archive_with_a_zero_byte_in_a_name_is_refused(tmp_path):
    """Python ends the name there, and would not see that it ends in .pkl."""
    content = torch_archive(tmp_path / "a.pt", b"\x80\x02}.").read_bytes()
    (tmp_path / "a.pt").write_bytes(content.replace(b"archive/data.pkl", b"archive\0data.pkl"))
    with pytest.raises(ConfigError, match="a zero byte in a name"):
        torch_file.read(tmp_path / "a.pt")


def test_an_archive_whose_64_bit_record_lies_elsewhere_is_refused(tmp_path):
    """Python reads the record directly before its locator, torch the one that the locator names."""
    torch.save({"a": torch.zeros(3)}, tmp_path / "a.pt")
    content = bytearray((tmp_path / "a.pt").read_bytes())
    locator = len(content) - 42
    assert content[locator : locator + 4] == b"PK\6\7" and list(torch_file.read(tmp_path / "a.pt")) == ["a"]
    content[locator + 8 : locator + 16] = struct.pack("<Q", 64)
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ConfigError, match="more than one directory"):
        torch_file.read(tmp_path / "a.pt")


def test_a_model_that_could_not_be_read_again_is_not_written(tmp_path):
    with pytest.raises(VCError, match="are too many to be read again"):
        tensor_file.write_tensors(tmp_path / "m.safetensors", {"w": torch.zeros(1).expand(700_000_000)}, {})
    assert not any(tmp_path.iterdir())


# Damage


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["mcep.ark", "f0.ark", "speakers.json", "utt2spk", "utt2digest", "mcep.sha256"])
def test_a_flipped_bit_in_features_is_not_learnt_from(name, dump):
    flip(dump / name, -3)
    with pytest.raises(VCError, match=r"does not match its digest|damaged|speakers\."):
        store.read_features(dump).check()


def test_features_with_utterances_exchanged_are_refused(dump):
    lines = (dump / "mcep.scp").read_text().splitlines()
    places = [line.split()[1] for line in lines]
    (dump / "mcep.scp").write_text(f"ann-1 {places[1]}\nbob-1 {places[0]}\n")
    with pytest.raises(DataError, match="ann-1 does not match its digest"):
        store.read_features(dump).frames("ann")


def test_features_without_digests_are_read_with_a_warning(dump, caplog):
    content = yaml.safe_load((dump / "config.yaml").read_text())
    del content["sha256"]
    (dump / "config.yaml").write_text(yaml.safe_dump(content))
    (dump / "mcep.sha256").unlink()
    assert len(store.read_features(dump).frames("ann")[0]) == 40 and "features without digests" in caplog.text


EXTRACTED = WorldConfig(16000, f0_method="dio")


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b""), lambda path: flip(path, -2)])
@pytest.mark.parametrize("name", ["mcep.ark", "mcep.scp", "f0.ark", "speakers.json"])
def test_damaged_features_are_extracted_again(name, harm, extracted, tmp_path):
    data, dump = extracted
    shutil.copytree(dump, tmp_path / "dump")
    harm(tmp_path / "dump" / name)
    assert not extract(data, tmp_path / "dump", EXTRACTED).up_to_date
    assert (tmp_path / "dump" / name).read_bytes().replace(bytes(tmp_path), bytes(dump.parent)) == (
        dump / name
    ).read_bytes()


@pytest.fixture(scope="module")
def extracted(tmp_path_factory) -> tuple[Path, Path]:
    """A data directory of one short recording of each of two speakers, and its features."""
    folder = tmp_path_factory.mktemp("extracted")
    for name, f0 in (("ann", 120.0), ("bob", 200.0)):
        (folder / "in" / name).mkdir(parents=True)
        audio.write(folder / f"in/{name}/1.wav", vowel(0.6, 16000, f0), 16000)
    data_directory.write(folder / "data", prepare.from_folders(folder / "in"))
    extract(folder / "data", folder / "dump", EXTRACTED)
    return folder / "data", folder / "dump"


def test_names_as_long_as_they_can_be_stop_nothing(tmp_path, random):
    folder, name = tmp_path / "in/ann", "x" * 251
    folder.mkdir(parents=True)
    audio.write(folder / f"{name}.wav", vowel(0.6, 16000), 16000)
    audio.write(folder / "line\nbreak.wav", vowel(0.6, 16000, 150.0), 16000)
    audio.write(folder / f"{'y' * 251}.wav", 0.1 * random.standard_normal(20 * 8000).clip(-3, 3), 8000)
    utterances = prepare.link_line_breaks(prepare.cut(prepare.from_folders(tmp_path / "in"), tmp_path), tmp_path)
    assert len(utterances) == 4 and all(u.path.is_file() for u in utterances)
    data_directory.write(tmp_path / "data", [u for u in utterances if u.id.endswith(("x", "k"))])
    assert extract(tmp_path / "data", tmp_path / "dump", EXTRACTED).done == 2
    assert set(store.read_features(tmp_path / "dump").utterances) == {f"ann-{name}", "ann-line_break"}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"PK\x03\x04" + bytes(500), b"\x93NUMPY\x01\x00"])
def test_what_an_interrupted_extraction_left_is_whole_or_made_again(content, extracted, tmp_path):
    data, dump = extracted
    work = tmp_path / "dump/.work"
    work.mkdir(parents=True)
    for utterance in data_directory.read(data):
        for end in (".0.safetensors", ".0.f0.safetensors"):
            (work / f"{utterance.id}{end}").write_bytes(content)
    assert extract(data, tmp_path / "dump", EXTRACTED).done == 2
    assert (tmp_path / "dump/mcep.ark").read_bytes() == (dump / "mcep.ark").read_bytes()


FORGED = {
    "nothing": lambda arrays: arrays.clear(),
    "one is missing": lambda arrays: arrays.popitem(),
    "one is longer": lambda arrays: arrays.update(f0=np.ones(9999)),
    "one is a number": lambda arrays: arrays.update(f0=np.array(1.0)),
    "one is not finite": lambda arrays: arrays.update(f0=arrays["f0"] * np.nan),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_what_an_interrupted_extraction_left_is_made_again_if_it_is_forged(forge, extracted, tmp_path, monkeypatch):
    data, dump = extracted
    monkeypatch.setattr(shutil, "rmtree", lambda _: None)
    extract(data, tmp_path / "dump", EXTRACTED)
    for path in (tmp_path / "dump/.work").glob("*.safetensors"):
        arrays, made_of = tensor_file.read_arrays(path)
        forge(arrays)
        tensor_file.write_arrays(path, arrays, made_of)
    (tmp_path / "dump/config.yaml").unlink()
    assert extract(data, tmp_path / "dump", EXTRACTED).done == 2
    assert (tmp_path / "dump/mcep.ark").read_bytes() == (dump / "mcep.ark").read_bytes()


@pytest.fixture
def engine(extracted) -> Engine:
    """Of the smallest network."""
    features = store.read_features(extracted[1])
    sections = {"network": {"channels": 4, "residual_blocks": 1, "residual_channels": 2}, "training": {"segment": 32}}
    settings = experiment.resolve(sections, features.config, ("ann", "bob"), features.digest)
    return make_engine(Plan(features, settings), torch.device("cpu"), SINGLE_PROCESS)


def rewritten(path: Path, change: Callable) -> None:
    tensors, content = tensor_file.read_tensors(path)
    change(tensors)
    tensor_file.write_tensors(path, tensors, content)


def test_a_checkpoint_of_another_device_is_gone_on_from(engine, tmp_path, caplog):
    """A CUDA generator's state is of 16 bytes."""
    for step in (1, 2):
        checkpoint.save(tmp_path, engine, State(step=step), keep=2)
    rewritten(
        tmp_path / "checkpoint-000000002.safetensors",
        lambda tensors: tensors.update({"random.sampler": torch.zeros(16, dtype=torch.uint8)}),
    )
    before = sorted(path.name for path in tmp_path.iterdir())
    assert checkpoint.resume(tmp_path, engine).step == 2
    assert "written on another kind of device" in caplog.text
    assert before == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("name", ["random.torch", "random.sampler"])
def test_a_random_state_that_is_none_is_damage(name, engine, tmp_path):
    checkpoint.save(tmp_path, engine, State(step=1), keep=1)
    [path] = tmp_path.iterdir()
    rewritten(path, lambda tensors: tensors.update({name: tensors[name].double()}))
    with pytest.raises(TrainingError, match="no checkpoint can be read"):
        checkpoint.resume(tmp_path, engine)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error\nat all")])
def test_a_whole_checkpoint_that_cannot_be_restored_here_stays(error, engine, tmp_path, monkeypatch):
    for step in (1, 2):
        checkpoint.save(tmp_path, engine, State(step=step), keep=2)
    before = sorted(path.name for path in tmp_path.iterdir())

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(torch.nn.Module, "load_state_dict", fail)
    with pytest.raises(TrainingError, match="whole, but cannot be restored here: CUDA") as caught:
        checkpoint.resume(tmp_path, engine)
    assert "\n" not in str(caught.value) and before == sorted(path.name for path in tmp_path.iterdir())


# Names


@pytest.mark.parametrize("name", ["../../x", "/x", "a/b", "", ".", "-rf", "a\x1b[2J"])
def test_a_speaker_whose_name_leads_elsewhere_is_refused(name):
    """Samples of a training run are called after speakers."""
    with pytest.raises(ConfigError, match="must consist of letters"):
        speakers.speakers_from_json({name: speakers.speakers_to_json(two_speakers())["ann"]})


def test_a_name_that_is_shown_is_one_line():
    statistics = speakers.speakers_to_json(two_speakers())["ann"]
    with pytest.raises(ConfigError, match="name must be one line"):
        speakers.speakers_from_json({"ann": statistics | {"name": "Ann\nvc-convert: error: run this"}})
    with pytest.raises(ConfigError, match="one line of valid Unicode"):  # JSON can hold it, an answer in UTF-8 cannot
        speakers.speakers_from_json({"ann": statistics | {"name": "\ud800x"}})


def test_a_folder_whose_name_is_not_utf8_gives_a_speaker_without_a_name(tmp_path):
    folder = tmp_path / os.fsdecode(b"in/Ren\xe9")
    folder.mkdir(parents=True)
    audio.write(folder / "1.wav", vowel(0.6, 16000, 120.0), 16000)
    data_directory.write(tmp_path / "data", prepare.from_folders(tmp_path / "in"))
    extract(tmp_path / "data", tmp_path / "dump", EXTRACTED)
    assert [speaker.name for speaker in store.read_features(tmp_path / "dump").speakers.values()] == [""]
    assert extract(tmp_path / "data", tmp_path / "dump", EXTRACTED).up_to_date


@pytest.mark.parametrize("log_f0", [{}, {"log_f0_mean": None, "log_f0_deviation": None}], ids=["voiced", "whispered"])
def test_statistics_of_no_coefficients_are_refused(log_f0):
    empty = {"mel_cepstrum_mean": [], "mel_cepstrum_deviation": []} | log_f0
    with pytest.raises(ConfigError, match="must not be empty"):
        speakers.speakers_from_json({"ann": speakers.speakers_to_json(two_speakers())["ann"] | empty})


# Hangs


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(files, "PATIENCE", 0.2)


def opened_by_name(path: Path) -> dict[str, Callable]:
    """What reads a file that a user names."""
    return {
        "a recording": lambda: audio.read(path),
        "a header": lambda: audio.info(path),
        "a configuration": lambda: config.read_yaml(path),
        "answers": lambda: formats.read_answers(path, None),
        "a list": lambda: refused(Table, path),
    }


@pytest.mark.timeout(10)
@pytest.mark.parametrize("what", opened_by_name(Path()))
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(what, impatient, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VCError, match=r"pipe: no data came from the pipe for 0\.2 s") as caught:
        opened_by_name(tmp_path / "pipe")[what]()
    assert "\n" not in str(caught.value)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("what", opened_by_name(Path()))
def test_a_pipe_whose_writer_falls_silent_is_not_waited_for(what, impatient, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    os.write(writer, b"RIFF")
    with pytest.raises(VCError, match="no data came"):
        opened_by_name(tmp_path / "pipe")[what]()
    os.close(writer)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("what", opened_by_name(Path()))
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/tty", "/dev/random"])
def test_a_device_is_not_read(what, device, tmp_path):
    with pytest.raises(VCError, match=f"{device}: "):
        opened_by_name(Path(device))[what]()


def test_what_a_pipe_gives_is_read_like_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    content = b"steps: 3\n"
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,), daemon=True)
    writer.start()
    assert config.read_yaml(tmp_path / "pipe") == {"steps": 3}
    writer.join()


@pytest.mark.timeout(10)
def test_a_stream_without_end_is_not_read_to_its_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    process = subprocess.Popen(["sh", "-c", 'exec yes > "$1"', "", tmp_path / "pipe"])
    with pytest.raises(ConfigError, match="larger than 65536 bytes"):
        config.read_yaml(tmp_path / "pipe")
    process.kill()
    process.wait()


@pytest.mark.timeout(20)
def test_only_files_are_taken_from_folders_and_lists(tmp_path):
    audio.write(tmp_path / "a.wav", vowel(0.1, 16000), 16000)
    os.mkfifo(tmp_path / "b.wav")
    (tmp_path / "c.wav").symlink_to("/dev/zero")
    (tmp_path / "d.wav").mkdir()
    assert discovery.recordings_below(tmp_path).recordings == [tmp_path / "a.wav"]
    assert [job.source for job in inputs.plan([str(tmp_path)], None, str(tmp_path / "out"))] == [tmp_path / "a.wav"]
    for name in "bcd":
        (tmp_path / "wav.scp").write_text(f"a {tmp_path}/a.wav\nb {tmp_path}/{name}.wav\n")
        with pytest.raises(ConfigError, match=rf"wav\.scp:2: no file: .*/{name}\.wav"):
            inputs.plan([], tmp_path / "wav.scp", str(tmp_path / "out"))


@pytest.mark.timeout(20)
def test_links_between_folders_do_not_multiply(tmp_path):
    for number in range(30):
        (tmp_path / str(number)).mkdir()
        for name in "ab":
            (tmp_path / f"{number}/{name}").symlink_to(tmp_path / str((number + 1) % 30))
    audio.write(tmp_path / "29/x.wav", vowel(0.1, 16000), 16000)
    [found] = discovery.recordings_below(tmp_path / "0").recordings
    assert found.resolve() == tmp_path / "29/x.wav"


@pytest.mark.timeout(10)
def test_a_digest_is_of_what_was_there_when_the_file_was_opened(tmp_path):
    path = tmp_path / "grows"
    path.write_bytes(b"x")
    process = subprocess.Popen(["sh", "-c", 'exec yes >> "$1"', "", path])
    try:
        while path.stat().st_size < 10 * files.BLOCK:
            time.sleep(0.01)
        assert files.sha256(path)
    finally:
        process.kill()
        process.wait()


# Links


FOLDERS, LOGS = ("checkpoints", "models", "samples", "tensorboard"), (".lock", "train.log", "log.jsonl")
ELSEWHERE = [(name, kind) for name in FOLDERS for kind in ("link", "dangling")]
ELSEWHERE += [(name, kind) for name in LOGS for kind in ("link", "dangling", "hard link", "pipe")]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "kind"), ELSEWHERE)
def test_an_experiment_writes_into_nothing_elsewhere(name, kind, extracted, tmp_path):
    output, keep = tmp_path / "exp", tmp_path / "keep"
    output.mkdir()
    if kind == "pipe":
        os.mkfifo(output / name)
    elif kind != "dangling":
        keep.mkdir() if name in FOLDERS else keep.write_text("mine")
    if kind == "hard link":
        (output / name).hardlink_to(keep)
    elif kind != "pipe":
        (output / name).symlink_to(keep)
    words = ["--method", "mean_variance", "--features", extracted[1], "--source", "ann", "--target", "bob"]
    done = command("train", *words, "--output", output, check=None)
    if name == "log.jsonl" and "link" in kind:  # it is replaced, not written on
        assert done.returncode == 0 and not (output / name).is_symlink()
    else:
        [line] = done.stderr.decode().splitlines()
        assert done.returncode == 1 and line.startswith(f"vc-train: error: {output / name}: ")
    assert keep.read_text() == "mine" if keep.is_file() else not keep.exists() or not any(keep.iterdir())


def test_a_conversion_follows_no_folder_out_of_its_output(tmp_path):
    for folder in ("in/sub", "keep", "out"):
        (tmp_path / folder).mkdir(parents=True)
    audio.write(tmp_path / "in/sub/a.wav", vowel(0.1, 16000), 16000)
    (tmp_path / "out/sub").symlink_to(tmp_path / "keep")
    with pytest.raises(ConfigError, match="out/sub: leads outside"):
        inputs.plan([str(tmp_path / "in")], None, str(tmp_path / "out"))
    (tmp_path / "elsewhere").symlink_to(tmp_path / "out")  # what the user names may be a link
    (tmp_path / "out/sub").unlink()
    assert inputs.plan([str(tmp_path / "in")], None, str(tmp_path / "elsewhere"))


def test_extraction_and_repair_follow_no_folder_out_of_theirs(extracted, tmp_path):
    (tmp_path / "keep").mkdir()
    (tmp_path / "dump").mkdir()
    (tmp_path / "dump/.work").symlink_to(tmp_path / "keep")
    with pytest.raises(OSError, match="leads outside"):
        extract(extracted[0], tmp_path / "dump", EXTRACTED)
    shutil.copytree(extracted[0], tmp_path / "data")
    lines = (tmp_path / "data/wav.scp").read_text().splitlines()
    (tmp_path / "data/wav.scp").write_text("\n".join(lines[::-1]) + "\n")
    (tmp_path / "data/.backup").symlink_to(tmp_path / "keep")
    with pytest.raises(OSError, match="leads outside"):
        check.fix(tmp_path / "data")
    assert not any((tmp_path / "keep").iterdir())


# Left behind


def test_what_the_dead_left_is_removed_and_what_the_living_write_is_not(tmp_path, monkeypatch):
    (tmp_path / ".vc-dead.tmp").write_bytes(b"half")
    monkeypatch.setattr(files, "_swept", set())
    with files.replacing(tmp_path / "a") as mine:
        assert not (tmp_path / ".vc-dead.tmp").exists()
        other = "import sys; from pathlib import Path; from vc import files; files.write_text(Path(sys.argv[1]), 'b')"
        subprocess.run([sys.executable, "-c", other, tmp_path / "b"], check=True)
        assert mine.exists()
        mine.write_text("a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_that_is_swept_as_it_is_made_is_made_again(tmp_path, monkeypatch):
    """Two processes begin at once: one has made its file and not yet locked it when the other looks round."""
    flock, swept = fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not swept:
            swept.extend(tmp_path.glob(".vc-*"))
            swept[0].unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    files.write_text(tmp_path / "a", "mine")
    assert (tmp_path / "a").read_text() == "mine" and swept and len(list(tmp_path.iterdir())) == 1


def test_a_link_among_what_was_left_is_not_followed(tmp_path):
    (tmp_path / "keep").write_text("mine")
    (tmp_path / ".vc-x.tmp").symlink_to("keep")
    files.remove_leftovers(tmp_path)
    assert (tmp_path / "keep").read_text() == "mine"


def test_two_extractions_into_one_folder_are_refused(extracted, tmp_path):
    (tmp_path / "dump/.work").mkdir(parents=True)
    with files.locked(tmp_path / "dump/.work"), pytest.raises(DataError, match="in use by process"):
        extract(extracted[0], tmp_path / "dump", EXTRACTED)
    assert extract(extracted[0], tmp_path / "dump", EXTRACTED).done == 2


@pytest.mark.parametrize("ignored", [True, False])
def test_a_closed_terminal_stops_a_run_as_a_scheduler_does_but_under_nohup(ignored):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        with stop_signal() as received:
            os.kill(os.getpid(), signal.SIGHUP) if ignored else signal.raise_signal(signal.SIGHUP)
            assert received() == (0 if ignored else signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert Stopped(signal.SIGHUP, 5).code == 129


def test_what_is_printed_cannot_move_the_cursor(capsys):
    common.say("a\x1b[2J\rb\nc\x07\udcff")
    assert capsys.readouterr().out == "a\\x1b[2J\\rb\nc\\x07\\udcff\n"


def test_means_of_a_resumed_run_are_of_all_steps_since_the_last_report(engine, tmp_path):
    for number in (1.0, 2.0):
        engine.meter.add({"a": torch.tensor(number)})
    checkpoint.save(tmp_path, engine, State(step=2), keep=2)
    engine.meter.add({"a": torch.tensor(99.0)})  # of steps that are lost
    checkpoint.resume(tmp_path, engine)
    engine.meter.add({"a": torch.tensor(6.0)})
    assert engine.meter.means() == {"a": 3.0}


# Uncaught


LOG_LINES = [
    "[" * 100_000,
    "5",
    "null",
    '{"step": "1"}',
    '{"step": 1e400}',
    '{"step": true}',
    '{"step": 1, "losses": 5}',
    '{"step": 1, "losses": {"a": "x"}}',
    '{"step": 1, "losses": {"a": ' + "9" * 400 + "}}",
    '{"step": 1, "losses": {"$\\\\frac$": 1}}',
    '{"step": 1, "held_out": {}}',
    '{"step": 1, "held_out": {"score": null}}',
    '{"step": 1, "held_out": {"score": NaN}}',
    '{"step": 1, "losses": {"a": Infinity}}',
    '{"step": 1, "losses": {"a": -1e400}}',
    '{"step": 1, "losses": {"a": 1}, "steps_per_second": NaN}',
    '{"step": 1, "losses": {"a": 1}, "steps_per_second": -1}',
    '{"step": 1, "losses": {"a": 1}, "steps_per_second": "a"}',
    '{"step": 1, "losses": {"a": 1}, "steps_per_second": null}',
    '{"step": 1, "losses": {"a": 1}' + " " * 100_000 + "}",
    '{"step": 1, "losses": {' + ", ".join(f'"a{n}": 1' for n in range(10_000)) + "}}",
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("line", LOG_LINES, ids=range(len(LOG_LINES)))
def test_curves_are_of_what_a_run_reports_alone(line, tmp_path, caplog):
    (tmp_path / "log.jsonl").write_text(line + '\n{"step": 2, "losses": {"a": 0.5}, "held_out": {"score": 1}}\n')
    lines = train_log.read(tmp_path)
    assert [each["step"] for each in lines] == [2] and "left out, truncated or not reports: 1 line" in caplog.text
    assert curves.draw_curves(lines).startswith(b"\x89PNG")


def test_a_log_that_is_a_pipe_or_far_too_large_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "log.jsonl")
    assert train_log.read(tmp_path) == []
    (tmp_path / "log.jsonl").unlink()
    sparse(tmp_path / "log.jsonl", 6 * GIB)
    with pytest.raises(OSError, match="larger than"):
        train_log.read(tmp_path)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("method", ["world", "diff"])
def test_weights_that_overflow_name_the_recording_and_the_model(method, extracted, engine, tmp_path):
    features = store.read_features(extracted[1])
    sections = {"network": {"channels": 4, "residual_blocks": 1, "residual_channels": 2}}
    settings = experiment.resolve(sections, features.config, ("ann", "bob"), features.digest)
    weights = {name: torch.full_like(each, 3e38) for name, each in engine.converter.state_dict().items()}
    model_file.write(tmp_path / "huge.safetensors", settings.model(features, 1, {}), weights)
    audio.write(tmp_path / "a.wav", vowel(0.5, 16000), 16000)
    converter = Converter.load(tmp_path / "huge.safetensors")
    with pytest.raises(DataError, match=r"a\.wav: the output of the model .*huge\.safetensors is not finite"):
        converter.convert_file(tmp_path / "a.wav", tmp_path / "b.wav", options=ConversionOptions(method=method))
    assert not (tmp_path / "b.wav").exists()


def test_the_limits_that_are_promised_are_those_of_the_code():
    text = (ROOT / "SECURITY.md").read_text()
    sizes = {"64 KiB": config.LARGEST_YAML, "16 MiB": config.LARGEST_JSON, "64 MiB": lists.LARGEST_LIST}
    sizes |= {
        "2 GiB": tensor_file.LARGEST_TENSORS,
        "8 MiB": tensor_file.LARGEST_HEADER,
        "8 GiB": torch_file.LARGEST_ARCHIVE,
    }
    for words, size in sizes.items():
        number, unit = words.split()
        assert words in text and int(number) << {"KiB": 10, "MiB": 20, "GiB": 30}[unit] == size
    seconds, each = recording_formats.DECODING
    assert f"{seconds:g} s, plus 1 s per {each / 1000:g} kB; {files.LARGEST_STREAM >> 30} GiB" in text
    assert f"{config.MOST_NODES:,} values" in text and f"silent for {files.PATIENCE:g} s" in text
