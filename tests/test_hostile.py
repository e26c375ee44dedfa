"""What a stranger hands us can neither run, nor write, nor hang, nor exhaust: each attack as it was done."""

import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from conftest import vowel

from vc import audio, config, corpus, prepare, store
from vc.encoders import encoder_file
from vc.encoders import published as published_encoders
from vc.errors import LONGEST, ConfigError, DataError, TrainingError, VCError
from vc.extract import extract
from vc.features.world import WorldConfig
from vc.listening import formats
from vc.lists import Table
from vc.train import checkpoint, experiment
from vc.train.converter import make_engine
from vc.train.engine import Engine
from vc.train.plan import Plan
from vc.train.processes import ALONE
from vc.train.state import State
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
    with pytest.raises(ConfigError, match="aliases stand for more than"):
        config.read_sections(None, ["training={" + NESTED.replace("\n", ", ") + "}"])


def test_aliases_of_ordinary_size_are_taken(tmp_path):
    (tmp_path / "c.yaml").write_text("a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n")
    first = {"x": 1, "y": [1, 2]}
    assert config.read_yaml(tmp_path / "c.yaml") == {"a": first, "b": {"x": 1, "y": 3}, "c": [first, first]}


@pytest.mark.parametrize("text", ["steps: 1\nsteps: 2\n", "a: {b: 1, b: 1}", "[{x: 1, 'x': 2}]"])
def test_a_key_that_stands_twice_is_refused(text, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match="stands twice"):
        config.read_yaml(tmp_path / "c.yaml")


def test_an_errors_line_is_short_whatever_it_quotes():
    assert len(str(VCError("x" * 10**8))) < 2 * LONGEST
    assert str(VCError("path: " + "\x1b" * 10**7)).startswith("path: \\x1b")


TENSORS = {
    "a model's": store.read_tensors,
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
        with pytest.raises(ConfigError, match=r"v\.pt: its tensors are of 12,000,000,000 bytes, the file of"):
            read(tmp_path / "v.pt")


def test_a_model_that_could_not_be_read_again_is_not_written(tmp_path):
    with pytest.raises(VCError, match="too many to be read again"):
        store.write_tensors(tmp_path / "m.safetensors", {"w": torch.zeros(1).expand(700_000_000)}, {})
    assert not any(tmp_path.iterdir())


# Damage


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["mcep.ark", "f0.ark", "speakers.json", "utt2spk", "mcep.sha256"])
def test_a_flipped_bit_in_features_is_not_learnt_from(name, dump):
    flip(dump / name, -3)
    with pytest.raises(VCError, match=r"does not match its digest|damaged"):
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
    assert len(store.read_features(dump).frames("ann")[0]) == 30 and "features without digests" in caplog.text


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
    corpus.write(folder / "data", prepare.from_folders(folder / "in"))
    extract(folder / "data", folder / "dump", EXTRACTED)
    return folder / "data", folder / "dump"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"PK\x03\x04" + bytes(500), b"\x93NUMPY\x01\x00"])
def test_what_an_interrupted_extraction_left_is_whole_or_made_again(content, extracted, tmp_path):
    data, dump = extracted
    work = tmp_path / "dump/.work"
    work.mkdir(parents=True)
    for utterance in corpus.read(data):
        for end in (".safetensors", ".f0.safetensors"):
            (work / f"{utterance.id}{end}").write_bytes(content)
    assert extract(data, tmp_path / "dump", EXTRACTED).done == 2
    assert (tmp_path / "dump/mcep.ark").read_bytes() == (dump / "mcep.ark").read_bytes()


@pytest.fixture
def engine(extracted) -> Engine:
    """Of the smallest network."""
    features = store.read_features(extracted[1])
    sections = {"network": {"channels": 4, "residual_blocks": 1, "residual_channels": 2}, "training": {"segment": 32}}
    settings = experiment.resolve(sections, features.config, ("ann", "bob"), features.digest)
    return make_engine(Plan(features, settings), torch.device("cpu"), ALONE)


def rewritten(path: Path, change: Callable) -> None:
    tensors, content = store.read_tensors(path)
    change(tensors)
    store.write_tensors(path, tensors, content)


def test_a_checkpoint_of_another_device_is_gone_on_from(engine, tmp_path, caplog):
    """A CUDA generator's state is of 16 bytes."""
    for step in (1, 2):
        checkpoint.save(tmp_path, engine, State(step=step), 2)
    rewritten(
        tmp_path / "checkpoint-000000002.safetensors",
        lambda tensors: tensors.update({"random.sampler": torch.zeros(16, dtype=torch.uint8)}),
    )
    before = sorted(path.name for path in tmp_path.iterdir())
    assert checkpoint.resume(tmp_path, engine).step == 2
    assert "written on another device" in caplog.text and before == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error\nat all")])
def test_a_whole_checkpoint_that_cannot_be_restored_here_stays(error, engine, tmp_path, monkeypatch):
    for step in (1, 2):
        checkpoint.save(tmp_path, engine, State(step=step), 2)
    before = sorted(path.name for path in tmp_path.iterdir())

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(torch.nn.Module, "load_state_dict", fail)
    with pytest.raises(TrainingError, match="whole, but cannot be restored here: CUDA") as caught:
        checkpoint.resume(tmp_path, engine)
    assert "\n" not in str(caught.value) and before == sorted(path.name for path in tmp_path.iterdir())
