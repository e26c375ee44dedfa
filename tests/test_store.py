"""Features and tensors on disk: Kaldi's format, digests, damage refused, nothing that can run code."""

import os
import pickle
import stat

import kaldiio
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vc import files, tensor_file
from vc.errors import ConfigError, DataError, TrainingError, VCError
from vc.features import store


def test_archives_are_kaldis(tmp_path, random):
    arrays = {"ann-a": random.random((7, 3)), "ann-b": random.random((1, 3)), "bob": random.random(5)}
    store.write_archive(tmp_path / "x", arrays.items())
    theirs = kaldiio.load_scp(str(tmp_path / "x.scp"))
    ours = list(store.read_archive(tmp_path / "x.scp", arrays))
    for (id, array), mine in zip(arrays.items(), ours, strict=True):
        np.testing.assert_array_equal(theirs[id], array.astype(np.float32))
        np.testing.assert_array_equal(mine, array.astype(np.float32))


def test_a_moved_directory_is_still_read(tmp_path, random):
    (tmp_path / "one").mkdir()
    store.write_archive(tmp_path / "one/x", [("a", random.random((2, 2)))])
    (tmp_path / "one").rename(tmp_path / "two")
    assert next(store.read_archive(tmp_path / "two/x.scp", ["a"])).shape == (2, 2)


@pytest.mark.parametrize("name", [b"caf\xe9", "a\u2028b\x85c\x0bd\re".encode()])
def test_features_are_read_below_a_folder_of_any_name(name, tmp_path, random):
    folder, array = tmp_path / os.fsdecode(name), random.random((2, 2)).astype(np.float32)
    folder.mkdir()
    store.write_archive(folder / "x", [("a", array), ("b", array)])
    for read in store.read_archive(folder / "x.scp", ["a", "b"]):
        np.testing.assert_array_equal(read, array)


class Payload:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_an_archive_can_neither_unpickle_nor_run_a_command(tmp_path):
    payload = pickle.dumps(Payload(tmp_path / "PWNED"))
    (tmp_path / "x.ark").write_bytes(b"a PKL" + payload)
    for place in ("x.ark:2", f"touch {tmp_path}/PWNED |", "x.ark:0", "x.ark:", "x.ark:-3"):
        (tmp_path / "x.scp").write_text(f"a {place}\n")
        with pytest.raises(DataError, match=r"x\.scp: damaged"):
            list(store.read_archive(tmp_path / "x.scp", ["a"], signed=False))
    assert not (tmp_path / "PWNED").exists()


def test_a_cut_archive_and_a_missing_entry_are_named(tmp_path, random):
    store.write_archive(tmp_path / "x", [("a", random.random((9, 9)))])
    with pytest.raises(DataError, match=r"x\.scp: no entry 'b'"):
        list(store.read_archive(tmp_path / "x.scp", ["b"]))
    content = (tmp_path / "x.ark").read_bytes()
    (tmp_path / "x.ark").write_bytes(content[:-1])
    with pytest.raises(DataError, match="truncated"):
        list(store.read_archive(tmp_path / "x.scp", ["a"]))


def test_tensors_round_trip(tmp_path):
    tensors = {"a": torch.randn(3, 4), "b.c": torch.arange(5), "d": torch.tensor(2.5), "e": torch.zeros(0)}
    tensor_file.write_tensors(tmp_path / "t", tensors, {"x": [1, "y"]})
    again, content = tensor_file.read_tensors(tmp_path / "t")
    assert content == {"x": [1, "y"]} and set(again) == set(tensors)
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


def test_the_same_content_makes_the_same_file(tmp_path):
    written = set()
    for _ in range(16):
        tensor_file.write_tensors(tmp_path / "t", {"b": torch.arange(3), "ä": torch.ones(2, 2)}, {"x": 'é"', "a": 1})
        written.add((tmp_path / "t").read_bytes())
    assert len(written) == 1 and tensor_file.read_tensors(tmp_path / "t")[1] == {"x": 'é"', "a": 1}


def test_values_that_are_not_finite_are_never_written(tmp_path):
    with pytest.raises(TrainingError, match="tensor bad holds values that are not finite"):
        tensor_file.write_tensors(tmp_path / "t", {"good": torch.ones(2), "bad": torch.tensor([1.0, float("nan")])}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "t.safetensors"
    tensor_file.write_tensors(path, {"a": torch.randn(20), "b": torch.arange(4)}, {"format": 1})
    return path


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_bit_is_refused(whole, position, bit):
    content = bytearray(whole.read_bytes())
    content[position % len(content)] ^= 1 << bit
    path = whole.with_name("flipped")
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="flipped: "):
        tensor_file.read_tensors(path)


@given(content=st.binary(max_size=200))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused_by_name(whole, content):
    path = whole.with_name("bytes")
    path.write_bytes(content)
    with pytest.raises(VCError, match="bytes: "):
        tensor_file.read_tensors(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_cut_file_is_refused(whole, share):
    path = whole.with_name("cut")
    path.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(ConfigError, match="cut: damaged"):
        tensor_file.read_tensors(path)


def test_foreign_files_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "foreign")
    with pytest.raises(ConfigError, match="not made by this toolkit"):
        tensor_file.read_tensors(tmp_path / "foreign")
    torch.save({"a": Payload(tmp_path / "PWNED")}, tmp_path / "pickle")
    with pytest.raises(ConfigError, match="pickle: damaged"):
        tensor_file.read_tensors(tmp_path / "pickle")
    assert not (tmp_path / "PWNED").exists()


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / ("n" * 255)  # as long as a name may be
    files.write_text(path, "old")
    with pytest.raises(KeyError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_file_that_cannot_be_begun_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as refused:
        files.write_text(tmp_path / "none/out.json", "{}")
    assert refused.value.filename == str(tmp_path / "none/out.json")


def test_new_files_have_the_usual_mode(tmp_path):
    files.write_text(tmp_path / "ours", "")
    (tmp_path / "theirs").write_text("")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "theirs").stat().st_mode)


def test_parts_of_an_array_are_written_as_the_whole(tmp_path, random):
    whole, vector = random.random((9, 3)), random.random(7)
    store.write_archive(tmp_path / "whole", [("a", whole), ("b", vector)])
    store.write_archive(tmp_path / "parts", [("a", iter(np.split(whole, [2, 5]))), ("b", np.split(vector, [3]))])
    assert (tmp_path / "whole.ark").read_bytes() == (tmp_path / "parts.ark").read_bytes()
    np.testing.assert_array_equal(next(store.read_archive(tmp_path / "parts.scp", ["b"])), vector.astype(np.float32))
