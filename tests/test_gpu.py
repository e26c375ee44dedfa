"""The checks of tools/gpu.py, rehearsed on a CPU: each is tried, and what needs CUDA is skipped by name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gpu
import numpy as np
import pytest
import textbook
import torch

from vc.tensor_file import read_tensors
from vc.train import checkpoint
from vc.train.engine import Engine
from vc.train.sampling import PairSampler

NEED_CUDA = {"cuda_graphs", "compilation"}
COMMANDS = {"processes", "commands"}  # start the commands themselves


@pytest.fixture
def rehearsal(held_out_dump, tmp_path, monkeypatch, capsys):
    """Run checks in this process; give the exit status, the last line and the rows by check."""

    def run(*words, target="rms"):
        pair = ("--features", held_out_dump, "--source", "slt", "--target", target)
        line = ["gpu.py", *pair, "--output", tmp_path, "--device", "cpu", "--small", *words]
        monkeypatch.setattr(sys, "argv", [*map(str, line)])
        status = gpu.main()
        lines = (tmp_path / "checks.jsonl").read_text().splitlines()
        rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]  # JSON has no NaN
        return status, capsys.readouterr().out.splitlines()[-1], {row["check"]: row for row in rows}

    return run


@pytest.mark.parametrize("few", [pytest.param(False, marks=pytest.mark.slow), True])
def test_every_check_passes_or_is_skipped_by_name(few, rehearsal, mini, tmp_path):
    fewer = ["--checks", *(name for name in gpu.CHECKS if name not in COMMANDS)]
    status, _, rows = rehearsal("--seconds", "1", *(fewer if few else ["--held-out", mini / "dump/train"]))
    assert status == 0, rows
    assert [*rows] == [name for name in gpu.CHECKS if not few or name not in COMMANDS]
    assert {name for name, row in rows.items() if row["passed"] is None} == NEED_CUDA
    assert all(rows[name]["skipped"] == "needs CUDA" for name in NEED_CUDA)
    assert all(row["passed"] for name, row in rows.items() if name not in NEED_CUDA), rows
    steps = rows["training"]["steps"]
    tensors, _ = read_tensors(tmp_path / f"run/checkpoints/checkpoint-{steps:09d}.safetensors")
    with np.load(tmp_path / "weights-0.npz") as part:
        for name in part.files:
            learnt = tensors[f"module.network.generators.to_target.{name}"]
            assert (part[name] == learnt.half().numpy()).all()
    with np.load(tmp_path / f"frames-{steps:06d}.npz") as frames:
        assert all(np.isfinite(each).all() for each in frames.values()) and len(frames.files) > 1


def test_a_check_that_breaks_does_not_stop_the_others(rehearsal):
    status, last, rows = rehearsal("--checks", "precisions", "cuda_graphs", "saving", target="nobody")
    assert status == 1 and [*rows] == ["precisions", "cuda_graphs", "saving"]
    assert "no speaker 'nobody'" in rows["precisions"]["error"] and rows["cuda_graphs"]["skipped"]
    assert last.split()[:2] == ["saving", "FAILED"]


def test_a_call_replaces_what_its_checks_left_in_the_folder(rehearsal, tmp_path, monkeypatch):
    monkeypatch.setitem(gpu.CHECKS, "saving", lambda bench: {"passed": True})
    of_four_steps = ("training", "--settings", '{"training": {"steps": 4}}')
    for words, frames in (
        (of_four_steps, "frames-000004.npz"),
        (("saving",), "frames-000004.npz"),  # what another check left stays
        (of_four_steps, "frames-000004.npz"),  # resumed, with nothing left to do
        (("training", "--seconds", "0"), "frames-000003.npz"),
    ):
        status, _, rows = rehearsal("--checks", *words)
        assert status == 0 and [*rows] == [words[0]], rows
        assert [path.name for path in tmp_path.glob("frames-*")] == [frames]


def test_a_folder_that_no_call_left_is_not_removed(rehearsal, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/model.safetensors").touch()
    with pytest.raises(SystemExit):
        rehearsal("--checks", "training")
    assert capsys.readouterr().err.endswith(f"{tmp_path}: no earlier call left run; take another --output\n")
    assert (tmp_path / "run/model.safetensors").exists()


@pytest.mark.parametrize("heed", [True, False])
def test_a_process_that_hangs_is_stopped_and_fails_in_one_line(heed, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "TIME_LIMIT", 5)
    monkeypatch.setattr(gpu, "GRACE", 0.1)
    ignore = "" if heed else "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    hang = f"import os, signal, sys, time; {ignore}print(os.getpid(), file=sys.stderr, flush=True); time.sleep(600)"
    with pytest.raises(RuntimeError, match=r"^vc-train under torchrun: stopped, because .* after 5 s: \d+$") as caught:
        gpu._run("train", [], tmp_path, runner=("-S", "-c", hang))
    with pytest.raises(ProcessLookupError):
        os.kill(int(str(caught.value).split()[-1]), 0)


def test_a_command_that_fails_is_named_with_its_message(tmp_path):
    with pytest.raises(RuntimeError, match=r"^vc-train: exit status 2: .*--no-such-option"):
        gpu._run("train", ["--no-such-option"], tmp_path)


def test_a_fault_of_the_gpu_costs_one_check_and_a_process(rehearsal, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    lines = []

    def run(line: list[str], **_: object) -> subprocess.CompletedProcess:
        lines.append(line)
        return subprocess.CompletedProcess(line, 0)

    monkeypatch.setattr(gpu.Bench, "on_gpu", True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    monkeypatch.setattr(torch.cuda, "empty_cache", fail)
    monkeypatch.setattr(gpu.subprocess, "run", run)
    monkeypatch.setitem(gpu.CHECKS, "saving", lambda bench: {"passed": True})
    status, _, rows = rehearsal("--commit", "abc", "--seconds", "0", "--checks", "saving", "precisions")
    assert status == 1 and [*rows] == ["saving"] and "illegal memory access" in rows["saving"]["error"]
    [line] = lines  # of the process that does the rest, with the same options
    assert line[line.index("--checks") + 1] == "precisions" and line[-1] == "--again"
    assert [line[line.index(option) + 1] for option in ("--seconds", "--commit")] == ["0.0", "abc"]


def test_figures_that_are_not_numbers_pass_no_check(rehearsal, monkeypatch):
    gradients, calls = gpu._gradients, []

    def spoilt(engine: Engine) -> list[torch.Tensor]:
        """Those of the second engine of each pair are NaN, of its last optimiser."""
        calls.append(engine)
        *others, last = gradients(engine)
        return [*others, last * float("nan") if len(calls) % 2 == 0 else last]

    monkeypatch.setattr(gpu, "_gradients", spoilt)
    monkeypatch.setattr(gpu, "METHODS", ("cyclegan_vc2",))
    _, _, rows = rehearsal("--checks", "same_step", "precisions")
    assert not rows["same_step"]["passed"] and not rows["precisions"]["passed"], rows


def test_a_checkpoint_that_is_set_aside_on_the_way_back_fails_the_resumption(rehearsal, monkeypatch):
    save = checkpoint.save

    def save_half(folder: Path, engine: Engine, state: checkpoint.State, *, keep: int) -> None:
        save(folder, engine, state, keep=keep)
        if state.step == 8:
            path = folder / "checkpoint-000000008.safetensors"
            path.write_bytes(path.read_bytes()[:-100])

    monkeypatch.setattr(checkpoint, "save", save_half)
    _, _, rows = rehearsal("--checks", "resumption")
    assert rows["resumption"]["eager"]["elsewhere_and_back"] is False and not rows["resumption"]["passed"]


@pytest.mark.slow
def test_a_gpu_without_bf16_is_timed_and_trains_in_tf32(rehearsal, monkeypatch):
    compiled, set_ = [], gpu._set
    monkeypatch.setattr(gpu.Bench, "on_gpu", True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    monkeypatch.setattr(gpu.devices, "computes_bf16", lambda device: False)
    monkeypatch.setattr(gpu, "_set", lambda engine, precision, _, device: set_(engine, precision, False, device))
    monkeypatch.setattr(gpu, "_compiled_speed", lambda bench, *row: compiled.append(row) or {"textbook": True})
    status, _, rows = rehearsal("--checks", "speed", "training", "--seconds", "0")
    assert status == 0, rows
    assert {row.get("precision") for row in rows["speed"]["rows"]} == {"tf32", None}
    assert compiled == [(1, "tf32"), (8, "tf32")]


def test_steps_that_are_all_refused_resume_nothing(rehearsal, monkeypatch):
    draw, nan = PairSampler.draw, torch.tensor(torch.nan)
    monkeypatch.setattr(PairSampler, "draw", lambda sampler: gpu._spoilt(draw(sampler), nan))
    _, _, rows = rehearsal("--checks", "resumption")
    assert rows["resumption"]["eager"]["finite"] is False and not rows["resumption"]["passed"]


def test_the_commit_is_unknown_where_there_is_no_git(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert textbook.commit() == ""


@pytest.mark.parametrize("settings", ["steps=3", "[]", '{"training": 3}'])
def test_settings_that_are_no_sections_of_json_are_refused_in_one_line(settings, rehearsal, capsys):
    with pytest.raises(SystemExit) as ended:
        rehearsal("--settings", settings)
    assert ended.value.code == 2 and "error: --settings: " in capsys.readouterr().err.splitlines()[-1]


def test_without_a_gpu_there_is_one_line(held_out_dump, tmp_path, monkeypatch, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    pair = ("--features", held_out_dump, "--source", "slt", "--target", "rms", "--output", tmp_path)
    monkeypatch.setattr(sys, "argv", ["gpu.py", *map(str, pair), "--device", "cuda"])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("no CUDA device can be used here")
