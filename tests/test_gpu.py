"""The checks of tools/gpu.py, rehearsed on a CPU: each is tried, and what needs CUDA is skipped by name."""

import json
import subprocess
import sys

import gpu
import numpy as np
import pytest
import textbook
import torch

from vc.tensor_file import read_tensors
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
        rows = [json.loads(row) for row in (tmp_path / "checks.jsonl").read_text().splitlines()]
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


def test_a_training_of_measured_length_begins_anew(rehearsal):
    for words, steps in ((("--settings", '{"training": {"steps": 4}}'), 4), (("--seconds", "0"), 3)):
        status, _, rows = rehearsal("--checks", "training", *words)
        assert status == 0 and rows["training"]["steps"] == steps, rows


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


def test_steps_that_are_all_refused_resume_nothing(rehearsal, monkeypatch):
    draw, nan = PairSampler.draw, torch.tensor(torch.nan)
    monkeypatch.setattr(PairSampler, "draw", lambda sampler: gpu._spoilt(draw(sampler), nan))
    _, _, rows = rehearsal("--checks", "resumption")
    assert rows["resumption"]["eager"]["finite"] is False and not rows["resumption"]["passed"]


def test_the_commit_is_unknown_where_there_is_no_git(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert textbook.commit() == ""


def test_settings_that_are_no_json_are_refused_in_one_line(rehearsal, capsys):
    with pytest.raises(SystemExit) as ended:
        rehearsal("--settings", "steps=3")
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
