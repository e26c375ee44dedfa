"""Training through its command: logs, samples, exact resume, refusals."""

import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import TINY, command, equal, started, training

from vc import model_file
from vc.config import read_sections
from vc.convert.converter import Converter
from vc.errors import ConfigError, DataError, TrainingError
from vc.features.store import read_features
from vc.tensor_file import read_tensors, write_tensors
from vc.train import checkpoint, estimate
from vc.train.checkpoint import State
from vc.train.converter import make_engine, train
from vc.train.engine import Engine, LossMeter, RefusedSteps
from vc.train.experiment import resolve
from vc.train.log import RunLog
from vc.train.plan import Plan, Request
from vc.train.processes import SINGLE_PROCESS
from vc.train.run import Run, TrainingConfig
from vc.train.samples import ConversionSamples
from vc.train.sampling import PairSampler, Segments

CPU = torch.device("cpu")


def weights(output: Path) -> dict:
    return read_tensors(output / "model.safetensors")[0]


def test_a_run_leaves_everything(model):
    lines = [json.loads(line) for line in (model / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 15, 20]
    assert "identity_mapping" in lines[1]["losses"] and "identity_mapping" not in lines[2]["losses"]
    assert all(np.isfinite(list(line["losses"].values())).all() and line["steps_per_second"] > 0 for line in lines)
    assert sorted(path.name for path in (model / "checkpoints").iterdir()) == [
        "checkpoint-000000010.safetensors",
        "checkpoint-000000020.safetensors",
    ]
    names = sorted(path.name for path in (model / "samples").glob("*020.*"))
    assert names[:2] == ["slt-101-to-rms-000000020.png", "slt-101-to-rms-000000020.wav"] and len(names) == 4
    assert list((model / "tensorboard").glob("events*")) and (model / "config.yaml").is_file()
    assert "finished at step 20" in (model / "train.log").read_text()


def test_the_same_command_again_does_nothing(model, mini):
    before = (model / "model.safetensors").read_bytes()
    assert "nothing to do" in command(*training(mini, model)).stderr.decode()
    assert (model / "model.safetensors").read_bytes() == before


def test_resuming_is_exact_and_the_log_goes_on(model, mini, tmp_path):
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    newest = tmp_path / "checkpoints/checkpoint-000000020.safetensors"
    newest.unlink()  # as if the run had been killed before it saved
    command(*training(mini, tmp_path))
    assert equal(weights(tmp_path), weights(model))
    assert equal(read_tensors(newest)[0], read_tensors(model / "checkpoints" / newest.name)[0])
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == [5, 10, 15, 20]


def test_samples_and_intervals_do_not_change_the_weights(model, mini, tmp_path):
    changes = ("--set", "training.log_every=7", "--set", "training.checkpoint_every=9")
    command(*training(mini, tmp_path, *changes, "--set", "training.keep_every=10"))
    assert equal(weights(tmp_path), weights(model))
    kept = [model_file.read(path) for path in sorted((tmp_path / "models").iterdir())]
    assert [described.step for described, _ in kept] == [10, 20]
    assert equal(kept[1][1], weights(model)) and not equal(kept[0][1], weights(model))


def test_a_checkpoint_is_not_taken_for_a_model(model):
    path = model / "checkpoints/checkpoint-000000020.safetensors"
    with pytest.raises(ConfigError, match="is a checkpoint of training; the model is model"):
        model_file.read(path)


def test_another_seed_gives_other_weights(model, mini, tmp_path):
    command(*training(mini, tmp_path, "--set", "training.seed=1"))
    assert not equal(weights(tmp_path), weights(model))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 143)])
def test_a_signal_saves_and_the_same_command_goes_on(number, code, mini, tmp_path):
    long = (
        "--set",
        "training.steps=100000",
        "--set",
        "training.log_every=1",
        "--set",
        "training.checkpoint_every=100000",
    )
    with started(*training(mini, tmp_path, *long), stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: (tmp_path / "log.jsonl").is_file() and (tmp_path / "log.jsonl").stat().st_size, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=200)
    assert process.returncode == code and f"stopped by {number.name} after step" in errors
    saved = max((tmp_path / "checkpoints").iterdir())
    step = int(saved.stem.split("-")[1])
    done = command(*training(mini, tmp_path, "--set", f"training.steps={step + 1}"))
    assert f"step {step} of {step + 1}" in done.stderr.decode()


def wait_for(condition, process, seconds=200):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)


def test_one_writer_a_directory(mini, tmp_path):
    with started(*training(mini, tmp_path, "--set", "training.steps=99999"), stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: (tmp_path / "log.jsonl").is_file(), process)
        done = command(*training(mini, tmp_path), check=1)
        [writer] = re.findall(r"in use by process (\d+) on ", done.stderr.decode())
        os.kill(int(writer), signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
    command(*training(mini, tmp_path, "--set", "training.steps=1"))  # the kernel frees the lock of the dead


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_used(model, mini, tmp_path):
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    newest = tmp_path / "checkpoints/checkpoint-000000020.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    done = command(*training(mini, tmp_path))
    assert "set aside as checkpoint-000000020.safetensors.corrupt" in done.stderr.decode()
    assert "step 10 of 20" in done.stderr.decode()
    assert equal(read_tensors(newest)[0], read_tensors(model / "checkpoints" / newest.name)[0])


@pytest.mark.parametrize("lost", ["missing", "older"])
def test_a_run_that_was_killed_before_its_model_was_written_writes_it(lost, model, mini, tmp_path):
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "model.safetensors"
    known, learnt = model_file.read(path)[:2]
    path.unlink()
    if lost == "older":
        model_file.write(path, replace(known, step=10), {name: weight - 1 for name, weight in learnt.items()})
    (tmp_path / ".vc-abc.tmp").write_bytes(b"half")
    command(*training(mini, tmp_path))
    assert equal(weights(tmp_path), weights(model)) and not list(tmp_path.glob(".vc-*"))


def test_no_usable_checkpoint_is_never_a_fresh_start(model, mini, tmp_path):
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(b"")
    done = command(*training(mini, tmp_path), check=1)
    assert "no checkpoint can be read; remove the folder to start again" in done.stderr.decode()


def test_other_settings_are_refused_by_name_but_more_steps_are_welcome(model, mini, tmp_path):
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    done = command(*training(mini, tmp_path, "--set", "objective.cycle_consistency=3"), check=2)
    assert "objective.cycle_consistency (10.0 -> 3.0)" in done.stderr.decode()
    done = command(*training(mini, tmp_path, "--set", "training.steps=22"))
    assert "step 20 of 22" in done.stderr.decode()


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ("training.stepz=3", 2, "training: unknown key stepz"),
        ("training.batch=0", 2, "training.batch must be 1 or more, got 0"),
        ("features.order=30", 2, "features.order is 30, but the features were extracted with 24"),
        ("method=gmm", 2, "method: unknown 'gmm'; known: recognition_synthesis, unit_selection, nearest,"),
        ("method=cyclegan_vc_2", 2, "; did you mean cyclegan_vc2?"),
        ("network.channels=3", 2, "network.channels must be a multiple of 4"),
        ("method=[1]", 2, "method: unknown [1]"),
        ("training.seed=99999999999999999999", 2, "training.seed must be below 2**63"),
        ("objective.cycle_consistency=.inf", 2, "objective.cycle_consistency: expected a finite number"),
        ("training.segment=100000", 1, "slt: no utterance has 100000 frames"),
    ],
)
def test_wrong_settings_are_refused_by_name(change, code, message, mini, tmp_path):
    done = command(*training(mini, tmp_path, "--set", change), check=code)
    assert message in done.stderr.decode() and b"Traceback" not in done.stderr


def test_a_speaker_is_not_converted_to_himself(mini, tmp_path):
    pair = ("--source", "slt", "--target", "slt", "--output", tmp_path / "exp")
    done = command("train", "--config", TINY, "--features", mini / "dump/train", *pair, check=2)
    assert "source and target are both 'slt'" in done.stderr.decode() and not (tmp_path / "exp").exists()


def test_unknown_speakers_and_missing_features_are_named(mini, tmp_path):
    pair = ("--source", "slt", "--target", "bob", "--output", tmp_path)
    done = command("train", "--config", TINY, "--features", mini / "dump/train", *pair, check=2)
    assert "no speaker 'bob'; there are: rms, slt" in done.stderr.decode()
    done = command("train", "--config", TINY, "--features", tmp_path / "none", *pair, check=1)
    assert "vc-extract makes one" in done.stderr.decode()


def test_training_needs_no_audio_library(mini, tmp_path):
    words = training(mini, tmp_path, "--set", "training.steps=2", "--set", "training.checkpoint_every=2")
    blocked = ["librosa", "pyworld", "soundfile", "soxr", "scipy", "matplotlib", "tensorboard"]
    code = (
        f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\n"
        f"from vc.cli.train import main\nsys.exit(main({[str(word) for word in words[1:]]!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "TensorBoard is not installed" in done.stderr and (tmp_path / "model.safetensors").is_file()


def utterances(random, lengths=(100, 64, 300, 20)):
    """Frames that tell utterance and place: (frames, 2)."""
    return [np.stack([np.full(n, k), np.arange(n)], axis=1) for k, n in enumerate(lengths)]


def test_segments_are_whole_pieces_of_one_utterance(random):
    segments = Segments(utterances(random), 64, CPU, "a")
    drawn = segments.draw(500, torch.Generator().manual_seed(0)).numpy()
    assert drawn.shape == (500, 2, 64) and segments.skipped == 1
    assert (drawn[:, 0] == drawn[:, 0, :1]).all() and (np.diff(drawn[:, 1], axis=1) == 1).all()
    assert drawn[:, 1].min() == 0 and drawn[drawn[:, 0, 0] == 2][:, 1].max() == 299
    counts = np.bincount(drawn[:, 0, 0].astype(int), minlength=4)
    assert counts[3] == 0 and (counts[:3] > 120).all()  # uniform over utterances, not over frames


def test_segments_are_taken_where_there_is_speech(random):
    long, silent, little = np.arange(600), np.arange(300), np.arange(300)
    spoken = [(long >= 200) & (long < 400), silent < 0, (little >= 100) & (little < 110)]
    frames = [np.stack([np.full(len(each), k), each], axis=1) for k, each in enumerate((long, silent, little))]
    segments = Segments(frames, 64, CPU, "a", speech=spoken)
    drawn = segments.draw(500, torch.Generator().manual_seed(0)).numpy()
    first, utterance = drawn[:, 1, 0].astype(int), drawn[:, 0, 0]
    assert segments.skipped == 1 and set(utterance) == {0, 2}
    assert first[utterance == 0].min() >= 200 - 32 and first[utterance == 0].max() <= 400 - 32
    assert first[utterance == 2].min() >= 110 - 64 and first[utterance == 2].max() <= 100


def test_no_utterance_long_enough_is_refused(random):
    with pytest.raises(DataError, match="ann: no utterance has 500 frames"):
        Segments(utterances(random), 500, CPU, "ann")


def test_the_two_speakers_are_drawn_independently(random):
    sampler = PairSampler([Segments(utterances(random), 64, CPU, who) for who in "ab"], batch=200, seed=3)
    batch = sampler.draw()
    assert not torch.equal(batch.source, batch.target)
    again = PairSampler([Segments(utterances(random), 64, CPU, who) for who in "ab"], batch=200, seed=3).draw()
    assert torch.equal(batch.source, again.source) and torch.equal(batch.target, again.target)


def test_statistics_come_from_the_training_features_alone(model, mini):
    assert model_file.read(model)[0].speakers["slt"] == read_features(mini / "dump/train").speakers["slt"]


def test_a_meter_gives_means_and_starts_again():
    meter = LossMeter()
    for value in (1.0, 2.0, 6.0):
        meter.add({"a": torch.tensor(value)})
    meter.add({"b": torch.tensor(5.0)})
    assert meter.means() == {"a": 3.0, "b": 5.0}
    meter.add({"a": torch.tensor(7.0)})
    assert meter.means() == {"a": 7.0}


def test_a_meter_leaves_out_losses_that_are_not_finite():
    meter = LossMeter()
    for value in (2.0, float("nan"), float("inf"), 4.0):
        meter.add({"a": torch.tensor(value), "b": torch.tensor(float("nan"))})
    assert meter.means() == {"a": 3.0}


class CountingEngine:
    """Its only loss is the step's number; steps among `bad` are refused."""

    def __init__(self, bad=()):
        self.bad, self.meter, self.refused = bad, LossMeter(), RefusedSteps(CPU)

    def step(self, number, scale):
        self.refused.count([torch.tensor(float(number in self.bad))])
        self.meter.add({"anything": torch.tensor(float(number))})


class CountingRun(Run):
    """Notes the steps at which things happen; nothing is written."""

    title = "counting"

    def __init__(self, bad=(), **settings):
        config, held_out = TrainingConfig(**settings), "set" if "patience" in settings else ""
        super().__init__(Path(), config, CountingEngine(bad), processes=SINGLE_PROCESS, held_out=held_out)
        self.reports, self.saves, self.scorings, self.rollbacks, self.kept = [], [], [], [], []

    def report(self, losses, steps_per_second, refused):
        self.reports.append((self.state.step, losses["anything"]))

    def roll_back(self):
        self.rollbacks.append(self.state.step)
        self.state.step, self.engine.bad = self.saves[-1], ()
        self.engine.refused.reset()

    def score(self):
        self.scorings.append(self.state.step)
        self.state.stale += 1

    def save(self):
        self.saves.append(self.state.step)

    def log_start(self): ...

    def scores(self): ...

    def write_model(self, path): ...

    def keep_model(self):
        self.kept.append((self.state.step, len(self.saves)))

    def model_step(self): ...

    def write_samples(self): ...


def test_everything_happens_at_its_interval_and_at_the_end():
    run = CountingRun(steps=5, log_every=2, checkpoint_every=2)
    run.take_steps()
    assert run.saves == run.scorings == [2, 4, 5]
    assert run.reports == [(2, 0.5), (4, 2.5), (5, 4.0)]


def test_models_are_kept_at_their_interval_before_the_checkpoint():
    """A run that is killed right after a checkpoint goes on from it, and would leave a model out."""
    run = CountingRun(steps=5, checkpoint_every=2, keep_every=2)
    run.take_steps()
    assert run.kept == [(2, 0), (4, 1)]  # step, and how many checkpoints there were
    run = CountingRun(steps=5)
    run.take_steps()
    assert run.kept == []


def test_no_model_is_kept_after_a_refused_step(tmp_path):
    run, kept = CountingRun(bad=[1, 3]), []
    run.output, run.write_model = tmp_path, kept.append
    for _ in range(4):
        run.step()
        Run.keep_model(run)
    assert [path.name for path in kept] == ["step-000000001.safetensors", "step-000000003.safetensors"]


def test_scores_that_choose_nothing_are_logged_and_change_nothing():
    run, logged = CountingRun(), []
    run.scores = lambda: {"score": 1.0}
    run.log = SimpleNamespace(score=lambda step, scores: logged.append((step, scores)))
    before = replace(run.state)
    Run.score(run)
    assert logged == [(0, {"score": 1.0})] and run.state == before


def test_samples_are_written_by_the_process_that_logs():
    run, steps = CountingRun(steps=5, sample_every=3), []
    run.write_samples = lambda: steps.append(run.state.step)
    run.take_steps()
    assert steps == []
    run.state.step, run.log = 0, object()
    run.take_steps()
    assert steps == [3, 5]


def test_a_run_rolls_back_after_too_many_refused_steps():
    run = CountingRun(bad=range(4, 9), steps=12, log_every=3, checkpoint_every=4, refused_steps=5)
    run.take_steps()
    assert run.rollbacks == [9] and run.saves == [4, 8, 12]  # to 4: the step before 8 was refused
    run = CountingRun(bad=range(4, 8), steps=12, log_every=3, checkpoint_every=4, refused_steps=5)
    run.take_steps()
    assert run.rollbacks == []


def test_a_rollback_to_a_run_with_another_held_out_set_compares_no_scores_with_that_set(monkeypatch):
    run = CountingRun(patience=2)
    before = State(step=4, best_step=2, held_out="another set", best_scores={"score": 1.0}, stale=1)
    monkeypatch.setattr(checkpoint, "resume", lambda *_: replace(before))
    monkeypatch.setattr(checkpoint, "save", lambda *_, **__: None)
    Run.roll_back(run)
    assert (run.state.held_out, run.state.best_scores, run.state.stale) == ("set", {}, 0)


def test_a_run_ends_when_its_model_has_long_not_become_better():
    run = CountingRun(steps=100, checkpoint_every=10, patience=3)
    run.take_steps()
    assert run.scorings == [10, 20, 30] and run.finished()


def test_a_run_cannot_end_by_scores_that_it_does_not_have(model, mini, tmp_path):
    done = command(*training(mini, tmp_path, "--set", "training.patience=2"), check=None)
    assert done.returncode == 2 and done.stderr.decode().splitlines()[-1] == (
        "vc-train: error: training.patience needs held-out recordings whose scores choose the model (--held-out)"
    )


def test_a_run_in_another_thread_handles_no_signals():
    run = CountingRun(steps=2)
    thread = threading.Thread(target=run.take_steps)
    thread.start()
    thread.join(60)
    assert run.finished()


def test_samples_that_cannot_be_written_do_not_end_a_run(model, mini, tmp_path, caplog):
    (tmp_path / "samples").write_text("a file")
    samples = ConversionSamples(mini / "data/eval/slt", 1, tmp_path / "samples")
    with caplog.at_level("WARNING"):
        samples.write(Converter.load(model), None, 5)
    assert "no sample of slt-101" in caplog.text


def test_a_checkpoint_comes_after_its_minutes_too():
    run = CountingRun(steps=4, checkpoint_every=100, save_minutes=0.0)
    run.take_steps()
    assert run.saves == [1, 2, 3, 4] and run.scorings == [4]


def test_a_resumed_run_keeps_every_report_in_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first, steps in ((0, (5, 10, 15)), (10, (15, 20))):  # killed after 15, resumed from 10
        log = RunLog(tmp_path, first)
        for step in steps:
            log.report(step, {"a": float(step)}, 1.0)
        log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("loss/a")
    assert [(event.step, event.value) for event in events] == [(step, step) for step in (5, 10, 15, 20)]


def test_a_line_that_was_cut_short_is_dropped(tmp_path, caplog):
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"step": 9}\n{"st')
    RunLog(tmp_path, 5).close()
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1}\n' and "truncated" in caplog.text


def engine(mini: Path, **network: int) -> Engine:
    """Of the mini corpus's features and the tiny network, or another."""
    features = read_features(mini / "dump/train")
    sections = {"network": {"channels": 4, "residual_blocks": 1, "residual_channels": 8, **network}}
    experiment = resolve(sections, features.config, ("slt", "rms"), features.digest)
    return make_engine(Plan(features, experiment), CPU, SINGLE_PROCESS)


def test_a_checkpoint_of_other_networks_is_no_checkpoint(model, mini, tmp_path):
    path = tmp_path / "checkpoint-000000001.safetensors"
    path.write_bytes((model / "checkpoints/checkpoint-000000020.safetensors").read_bytes())
    with pytest.raises(TrainingError, match="no checkpoint can be read"):
        checkpoint.resume(tmp_path, engine(mini, channels=8))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000000001.safetensors.corrupt"]


def test_a_checkpoint_of_another_version_is_refused_and_kept(mini, tmp_path):
    made = engine(mini)
    checkpoint.save(tmp_path, made, State(step=3), keep=2)
    [path] = tmp_path.iterdir()
    tensors, content = read_tensors(path)
    write_tensors(path, tensors, {**content, "format": 99})
    with pytest.raises(TrainingError, match="checkpoint of format 99; this version"):
        checkpoint.resume(tmp_path, made)
    assert path.is_file()


def test_a_run_on_the_cpu_leaves_a_gpu_alone(mini, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state", full)
    monkeypatch.setattr(torch.cuda, "set_rng_state", full)
    made = engine(mini)
    checkpoint.save(tmp_path, made, State(step=3), keep=2)
    [path] = tmp_path.iterdir()
    tensors, content = read_tensors(path)
    write_tensors(path, {**tensors, "random.cuda": torch.zeros(16, dtype=torch.uint8)}, content)  # of earlier versions
    assert checkpoint.resume(tmp_path, made).step == 3


@pytest.mark.parametrize("recorded", [False, True])
def test_what_an_estimate_built_is_free_when_the_run_begins(recorded, mini):
    made = engine(mini)
    if recorded:  # as on a GPU, but for the steps
        made.record = True
        made.reset()
    else:
        made.step(0)
    networks = weakref.ref(made.training.network)
    gc.disable()  # whose collections may be late
    try:
        del made
        assert networks() is None
    finally:
        gc.enable()


def test_a_checkpoint_brings_back_everything(mini, tmp_path):
    one, other = engine(mini), engine(mini)
    one.step(0)
    state = State(step=1, rate_scale=0.5, retreats=1, best_step=1, best_scores={"score": 2.5}, stale=2)
    checkpoint.save(tmp_path, one, state, keep=2)
    assert checkpoint.resume(tmp_path, other) == state
    assert {name: float(loss) for name, loss in one.step(1).items()} == {
        name: float(loss) for name, loss in other.step(1).items()
    }
    assert equal(one.converter.state_dict(), other.converter.state_dict())


def test_what_a_run_takes_is_said_first_and_changes_nothing(model, mini, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(estimate, "SHORT_RUN", 0)
    caplog.set_level("INFO", "vc")
    pair = ("slt", "rms")
    sections = read_sections(TINY)
    request = Request(mini / "dump/train", pair, output=tmp_path / "run", sections=sections, device="cpu")
    estimate.announce(request)
    [said] = caplog.messages
    assert re.match(r"it will take: slt-rms: 1 min \(20 steps of \S+ s on cpu", said) and not list(tmp_path.iterdir())
    train(request)
    assert equal(weights(tmp_path / "run"), weights(model))
    caplog.clear()
    estimate.announce(request)  # which would go on, or be refused
    assert not caplog.messages


def test_an_estimate_leaves_nothing_behind(mini, tmp_path):
    done = command(*training(mini, tmp_path / "run", "--estimate"))
    cost = r"\(20 steps of \S+ s on cpu, threads: \d+\), \d+ MB on disk, \S+ [MG]B of memory"
    assert re.fullmatch(rf"slt-rms: 1 min {cost}\n", done.stdout.decode())
    assert not list(tmp_path.iterdir())
