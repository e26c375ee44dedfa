"""The benchmark runs, counts what it should count, and ends with one JSON object."""

import json
import sys

import benchmark
import pytest
import torch
from conftest import commands
from fork_server import SCRIPT
from textbook import ROWS, Textbook, step_flops
from torch.utils.flop_counter import FlopCounterMode

from vc.models.cyclegan_vc2 import CycleGANVC2Config
from vc.train.sampling import Batch


def result_of(words: tuple[str, ...], monkeypatch, capsys) -> dict:
    """What the benchmark ends with, run in this process."""
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *words])
    assert benchmark.main() == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("batches", [["2"], pytest.param(["1", "2"], marks=pytest.mark.slow)])
def test_training_is_compared_with_the_textbook_step(batches, monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", str(commands() / SCRIPT))
    words = ("--channels", "8", "--batch", *batches, "--threads", "1", "--repeats", "1", "--device", "cpu", "--json")
    result = result_of(("train", *words), monkeypatch, capsys)  # each contestant is a process
    assert [str(row["batch"]) for row in result["rows"]] == batches
    for row in result["rows"]:
        taken = row["seconds"]
        assert row["textbook_over_ours"] == pytest.approx(taken["textbook"]["cpu"] / taken["ours"]["cpu"])
        assert min(*row["peak_gb"].values(), row["steps_per_second"], row["share_of_matrix_rate"]) > 0
    assert result["textbook_over_ours"] == result["rows"][0]["textbook_over_ours"]


def test_conversion_is_compared_with_the_plain_path(monkeypatch, capsys):
    words = ("convert", "--channels", "8", "--seconds", "2", "--repeats", "1", "--json")
    result = result_of(words, monkeypatch, capsys)
    for path in result["stages"].values():
        parts = {stage: taken for stage, taken in path.items() if stage != "all"}
        assert sum(parts.values()) == pytest.approx(path["all"])
        assert min(parts[stage] for stage in ("f0", "envelope", "aperiodicity", "network", "synthesis")) > 0
    assert result["plain_over_ours"] == pytest.approx(result["stages"]["plain"]["all"] / result["real_time"])


def test_resynthesis_is_timed_by_stage_in_two_precisions(monkeypatch, capsys):
    words = ("resynthesise", "--vocoder", "world", "--seconds", "2", "--repeats", "1", "--json")
    result = result_of(words, monkeypatch, capsys)
    for path in result["stages"].values():
        assert sum(taken for stage, taken in path.items() if stage != "all") == pytest.approx(path["all"])
        assert min(path[stage] for stage in ("f0", "content", "decoder", "vocoder")) > 0
    whole = {name: path["all"] for name, path in result["stages"].items()}
    assert result["float32_over_auto"] == pytest.approx(whole["float32"] / whole["auto"])


def test_live_conversion_is_compared_with_another_checkout(monkeypatch, capsys):
    words = (
        "live",
        "--methods",
        "diff",
        "world",
        "--seconds",
        "1",
        "--repeats",
        "1",
        "--other",
        str(benchmark.ROOT),
        "--json",
    )
    for row in result_of(words, monkeypatch, capsys)["methods"].values():
        assert row["other_over_ours"] == pytest.approx(row["other"] / row["ours"]) and row["ours"] > 0


@pytest.mark.parametrize(
    "words, message",
    [
        (("live", "--repeats", "0"), "--repeats: must be 1 or more, got 0"),
        (("train", "--batch", "1", "0"), "--batch: must be 1 or more, got 0"),
        (("convert", "--seconds", "0"), "--seconds: must be 0.1 or more, got 0"),
        (("convert", "--seconds", "nan"), "--seconds: must be 0.1 or more, got nan"),
        (("resynthesise", "--vocoder", "nosuch"), "benchmark: error: "),
    ],
)
def test_what_cannot_be_timed_is_refused_in_one_line(words, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *words])
    try:
        status = benchmark.main()
    except SystemExit as ended:
        status = ended.code
    assert status == 2 and message in capsys.readouterr().err.splitlines()[-1]


def test_a_command_that_fails_is_quoted(tmp_path):
    with pytest.raises(SystemExit, match=r"vc-convert of .* failed:\n.*no-such-model"):
        benchmark.command_seconds("convert", "--model", tmp_path / "no-such-model", tmp_path)


def test_a_step_of_the_paper_costs_what_it_must():
    config = CycleGANVC2Config()
    one = step_flops(config, 1)
    assert one / 1e9 == pytest.approx(224.8, abs=0.1) and step_flops(config, 4) == 4 * one


def test_the_textbook_step_costs_what_peers_spend():
    with torch.device("meta"):
        textbook = Textbook(CycleGANVC2Config(), torch.device("meta"))
        batch = Batch(torch.empty(1, ROWS, 128), torch.empty(1, ROWS, 128))
    with FlopCounterMode(display=False) as counter:
        textbook.generator_loss(batch).backward()
        textbook.discriminator_loss(batch).backward()
    assert counter.get_total_flops() / 1e9 == pytest.approx(349.1, abs=0.5)
