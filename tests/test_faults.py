"""A run is never lost: killed, out of power or disk, damaged, poisoned, moved, it goes on and ends as it would have."""

import hashlib
import itertools
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from safetensors.torch import load_file, save_file

from vc.features.f0 import F0Statistics
from vc.features.speakers import summarise
from vc.features.store import read_archive, write_archive, write_features
from vc.features.world import WorldConfig
from vc.tensor_file import read_tensors, tensors_digest

STEPS = 12
SMALL = (  # the smallest network that there is, and all that a checkpoint can hold
    *("network.residual_channels=4", "objective.identity_steps=6", "objective.decay_from=6"),
    *(f"training.steps={STEPS}", "training.segment=32", "training.average=0.9"),
    *("training.log_every=3", "training.checkpoint_every=3", "training.checkpoints=3"),
)
WRITES = ("open", "mkdir", "fsync", "rename")  # calls that a full disk can refuse


def arguments(features: Path, output: Path, *settings: str) -> list[str]:
    pair = ("--features", features, "--source", "slt", "--target", "rms", "--output", output, "--device", "cpu")
    changes = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    return [str(word) for word in ("--config", TINY, *pair, *changes)]


@dataclass
class Run:
    """How a trainer ended: exit status, -N for signal N, None if it still runs; and what it said."""

    status: int | None
    errors: str

    @property
    def shown(self) -> int:
        """The status as a shell shows it."""
        return 128 - self.status if self.status < 0 else self.status

    @property
    def complaint(self) -> str:
        """The one line of a run that was refused."""
        lines = [line for line in self.errors.splitlines() if line.startswith("vc-train: error: ")]
        assert self.status > 0 and len(lines) == 1 and "Traceback" not in self.errors, (self.status, self.errors)
        return lines[0]


class Trainers:
    """Client of faulty_train.py: starts trainers on the same features, with faults."""

    def __init__(self, features: Path, folder: Path):
        self.features, self.folder = features, folder
        self.errors: dict[int, Path] = {}
        line = [sys.executable, Path(__file__).with_name("faulty_train.py"), *arguments(features, folder / "first")]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.server = subprocess.Popen(line, stdin=pipe, stdout=pipe, text=True, env=environment)
        assert self.server.stdout.readline() == "ready\n"

    def start(self, output: Path, *settings: str, features: Path | None = None, **faults: object) -> int:
        """A trainer's process id."""
        errors = self.folder / f"{len(self.errors)}.err"
        errors.touch()  # a trainer may be killed before it does
        argv = arguments(features or self.features, output, *settings)
        process = self._ask(argv=argv, output=str(output), errors=str(errors), **faults)
        self.errors[process] = errors
        return process

    def wait(self, process: int, seconds: float = 60) -> Run:
        status = self._ask(wait=process, seconds=seconds)
        return Run(status, self.errors[process].read_text())

    def run(self, output: Path, *settings: str, **faults: object) -> Run:
        return self.wait(self.start(output, *settings, **faults))

    def _ask(self, **request: object) -> int | None:
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    def close(self) -> None:
        self.server.stdin.close()
        self.server.wait(60)
        self.server.stdout.close()


@dataclass(frozen=True)
class Whole:
    """The run that nothing happens to."""

    output: Path
    record: Path
    digest: str
    reports: list
    calls: list[list[str]]  # kind and paths of the calls that change files, in order
    seconds: float

    def saved_before(self, number: int) -> list[int]:
        """Steps whose checkpoints stood when call `number` (from 1) was due."""
        done = (call[2] for call in self.calls[: number - 1] if call[0] == "rename" and "/checkpoint-" in call[2])
        return [step_of(Path(path)) for path in done]

    def numbers(self, *kinds: str) -> list[int]:
        """Of the calls of these kinds, from 1; of all without any."""
        return [number for number, call in enumerate(self.calls, 1) if not kinds or call[0] in kinds]

    def save(self) -> list[int]:
        """Numbers of the calls from the model of step 6 to that of step 9, with the checkpoint of step 9 before it."""
        renamed = self.numbers("rename")
        models = [number for number in renamed if self.calls[number - 1][2].endswith("model.safetensors")]
        return list(range(models[1] + 1, models[2] + 2))

    def opened(self) -> list[int]:
        """Numbers of the calls that open a checkpoint or a model."""
        opened = [number for number in self.numbers("open") if self.calls[number - 1][1].endswith(".tmp")]
        return [number for number in opened if number > self.numbers("mkdir")[1]]

    def files_synced(self) -> list[int]:
        """Numbers of the calls that sync a file, not a folder."""
        return [number for number in self.numbers("fsync") if self.calls[number - 1][1].endswith(".tmp")]


def write_small_features(directory: Path) -> Path:
    """Noise of two speakers in five bands."""
    noise, rows, speakers = np.random.default_rng(0), [], {}
    for speaker, mean in (("rms", 1.0), ("slt", -1.0)):
        mel_cepstra = [noise.normal(mean, size=(48, 5)) for _ in range(4)]
        f0 = [noise.uniform(100, 200, 48) for _ in range(4)]
        for n, arrays in enumerate(zip(mel_cepstra, f0)):
            rows.append((f"{speaker}-{n}", speaker, dict(zip(("frames", "f0"), arrays))))
        speakers[speaker] = summarise(speaker, mel_cepstra, F0Statistics.of(np.concatenate(f0)))
    directory.mkdir()
    write_features(directory, WorldConfig(16000, order=4), "of noise", speakers, rows)
    return directory


@pytest.fixture(scope="module")
def trainers(tmp_path_factory) -> Iterator[Trainers]:
    folder = tmp_path_factory.mktemp("trainers")
    made = Trainers(write_small_features(folder / "features"), folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole(trainers) -> Whole:
    output, record = trainers.folder / "whole", trainers.folder / "record"
    record.mkdir()
    began = time.monotonic()
    done = trainers.run(output, record=str(record))
    assert done.status == 0, done.errors
    calls = [json.loads(line) for line in (record / "calls.jsonl").read_text().splitlines()]
    return Whole(output, record, digest(output), reports(output), calls, time.monotonic() - began)


def digest(output: Path) -> str:
    """SHA-256 over tensors and content of the model and of the last checkpoint."""
    found = hashlib.sha256()
    for path in (output / "model.safetensors", checkpoint(output, STEPS)):
        tensors, content = read_tensors(path)
        found.update(json.dumps(content).encode())
        for name, tensor in sorted(tensors.items()):
            found.update(f"{name} {tensor.dtype} {tensor.shape}".encode() + tensor.numpy().tobytes())
    return found.hexdigest()


def reports(output: Path) -> list:
    """What log.jsonl says, but for the speed."""
    lines = map(json.loads, (output / "log.jsonl").read_text().splitlines())
    return [(line["step"], line["losses"], line["steps_refused"]) for line in lines]


def checkpoint(output: Path, step: int) -> Path:
    return output / f"checkpoints/checkpoint-{step:09d}.safetensors"


def step_of(path: Path) -> int:
    return int(re.fullmatch(r"checkpoint-(\d+)\.safetensors", path.name)[1])


def newest(output: Path) -> int:
    return max(map(step_of, (output / "checkpoints").glob("checkpoint-*.safetensors")), default=0)


def resumed_at(run: Run) -> int:
    return int(re.search(rf"step (\d+)( of {STEPS}|; nothing to do)$", run.errors, re.M)[1])


def temporary_files(output: Path) -> list[Path]:
    return [path for folder in (output, output / "checkpoints") for path in folder.glob(".*") if path.name != ".lock"]


def finish(trainers: Trainers, output: Path, whole: Whole, at: int | None = None, remark: object = "") -> Run:
    """The same command again: it goes on `at` the newest checkpoint and ends as the run that nothing happened to."""
    at = newest(output) if at is None else at
    done = trainers.run(output)
    assert done.status == 0 and resumed_at(done) == at, (remark, at, done)
    assert digest(output) == whole.digest, remark
    assert [step for step, *_ in reports(output)] == [step for step, *_ in whole.reports], remark
    return done


def spread(numbers: list[int], count: int) -> list[int]:
    """About `count` of the numbers, evenly, with the first and the last."""
    return sorted({numbers[round(place)] for place in np.linspace(0, len(numbers) - 1, count)})


@pytest.fixture
def outputs(tmp_path) -> Iterator[Path]:
    """Experiment directories to come; each takes the place of the one before."""

    def fresh() -> Iterator[Path]:
        for number in itertools.count():
            yield tmp_path / str(number)
            shutil.rmtree(tmp_path / str(number), ignore_errors=True)

    return fresh()


# Killed


def killed(trainers: Trainers, output: Path, whole: Whole, number: int, fault: str = "SIGKILL") -> None:
    run = trainers.run(output, faults={number: fault})
    assert run.status < 0, (number, whole.calls[number - 1], run)
    assert newest(output) == max(whole.saved_before(number), default=0), (number, whole.calls[number - 1])


def test_killed_at_a_file_call_a_run_ends_as_ever(trainers, whole, outputs):
    for number in spread(whole.numbers(), 5):
        output = next(outputs)
        killed(trainers, output, whole, number)
        finish(trainers, output, whole, remark=whole.calls[number - 1])
        assert reports(output) == whole.reports


def test_killed_while_it_writes_a_run_ends_as_ever(trainers, whole, outputs):
    for number, fault in ((whole.opened()[3], "CUT"), (whole.files_synced()[3], "HALF")):
        output = next(outputs)
        killed(trainers, output, whole, number, fault)
        finish(trainers, output, whole, remark=fault)


def test_killed_while_it_writes_a_run_leaves_no_temporary_file(trainers, whole, tmp_path):
    output = tmp_path / "exp"
    trainers.run(output, faults={whole.opened()[3]: "CUT"})
    trainers.run(output)
    assert not temporary_files(output)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_every_file_call_and_again_a_run_ends_as_ever(trainers, whole, outputs):
    chance = random.Random(0)
    for number in whole.numbers():
        output = next(outputs)
        killed(trainers, output, whole, number)
        trainers.run(output, faults={chance.randint(1, 40): "SIGKILL"})
        finish(trainers, output, whole, remark=whole.calls[number - 1])
        assert reports(output) == whole.reports
        assert not temporary_files(output)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_while_it_writes_any_file_a_run_ends_as_ever(trainers, whole, outputs):
    for number, fault in [(n, "CUT") for n in whole.opened()] + [(n, "HALF") for n in whole.files_synced()]:
        output = next(outputs)
        killed(trainers, output, whole, number, fault)
        finish(trainers, output, whole, remark=(number, fault))
        assert not temporary_files(output)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_any_time_a_run_ends_as_ever(trainers, whole, outputs):
    chance, statuses = random.Random(0), []
    while statuses.count(-signal.SIGKILL) < 100:
        output = next(outputs)
        process = trainers.start(output)
        time.sleep(chance.uniform(0, whole.seconds))
        os.kill(process, signal.SIGKILL)
        statuses.append(trainers.wait(process).status)
        finish(trainers, output, whole)
        assert not temporary_files(output)


# Out of power


@dataclass
class File:
    """What a file holds, and whether that is on the disk."""

    content: bytes = b""
    synced: bool = False


@dataclass
class Disk:
    """A file system that keeps what was synced and promises nothing else.

    A directory's own entry in its parent counts as kept; the test of new directories looks at that.
    """

    live: dict[str, File] = field(default_factory=dict)  # as processes see it
    kept: dict[str, File] = field(default_factory=dict)  # what a power loss cannot take
    pending: list[tuple] = field(default_factory=list)  # changes of names that it can

    def apply(self, call: list[str], content: bytes | None) -> None:
        kind, path, *to = call
        if path.endswith(("/.lock", "/train.log")):  # nobody reads them
            return
        if content is not None:
            file = self.live.setdefault(path, File())
            file.synced = kind == "fsync" or (file.synced and file.content == content)
            file.content = content
        if kind == "open":
            self.live.setdefault(path, File())
            self.pending.append((path, self.live[path]))
        elif kind == "rename":
            self.live[to[0]] = self.live.pop(path)
            self.pending.append((path, None, to[0], self.live[to[0]]))
        elif kind == "remove" and self.live.pop(path, None):
            self.pending.append((path, None))
        elif kind == "fsync" and content is None:
            mine = [change for change in self.pending if str(Path(change[0]).parent) == path]
            self.pending = [change for change in self.pending if change not in mine]
            change_names(self.kept, mine)

    def after_power_loss(self) -> Iterator[dict[str, bytes]]:
        """Every way to have done some of the pending changes, with files that were not synced empty, cut or zeroed."""
        for done in itertools.product((False, True), repeat=len(self.pending)):
            names = dict(self.kept)
            change_names(names, itertools.compress(self.pending, done))
            for damage in (lambda text: b"", lambda text: text[: len(text) // 2], lambda text: bytes(len(text))):
                yield {path: f.content if f.synced else damage(f.content) for path, f in names.items()}


def change_names(names: dict[str, File], changes: Iterable[tuple]) -> None:
    for change in changes:
        for path, file in zip(change[::2], change[1::2]):
            names.pop(path, None) if file is None else names.update({path: file})


def power_losses(whole: Whole, numbers: list[int]) -> Iterator[tuple[int, dict[str, bytes]]]:
    """The states of the disk that a power loss right after each of these calls can leave, each once."""
    disk, seen = Disk(), set()
    for number, call in enumerate(whole.calls, 1):
        content = whole.record / str(number)
        disk.apply(call, content.read_bytes() if content.is_file() else None)
        for state in disk.after_power_loss() if number in numbers else ():
            if frozenset(state.items()) not in seen:
                seen.add(frozenset(state.items()))
                yield number, state


def lay_out(state: dict[str, bytes], whole: Whole, output: Path) -> None:
    for path, content in state.items():
        place = output / Path(path).relative_to(whole.output)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def check_power_losses(trainers: Trainers, whole: Whole, numbers: list[int], outputs: Iterator[Path]) -> None:
    """Each state ends as ever, from the new or the old checkpoint."""
    for number, state in power_losses(whole, numbers):
        output, saved, call = next(outputs), whole.saved_before(number + 1), whole.calls[number - 1]
        lay_out(state, whole, output)
        done = trainers.run(output)
        assert done.status == 0 and digest(output) == whole.digest, (call, done)
        assert resumed_at(done) in (saved[-2:] or [0]) and not temporary_files(output), (call, done)


def test_after_a_power_loss_in_a_save_a_run_goes_on_from_the_new_or_the_old_checkpoint(trainers, whole, outputs):
    check_power_losses(trainers, whole, [n for n in whole.save() if n in whole.numbers("rename", "remove")], outputs)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_after_a_power_loss_at_any_moment_a_run_ends_as_ever(trainers, whole, outputs):
    check_power_losses(trainers, whole, whole.numbers(), outputs)


def test_the_simulated_disk_takes_what_was_not_synced(whole):
    first, last = whole.save()[0], str(checkpoint(whole.output, 9))
    calls = [
        ["nothing", ""] if call[0] == "fsync" and number >= first else call
        for number, call in enumerate(whole.calls, 1)
    ]
    found = {state.get(last) for _, state in power_losses(replace(whole, calls=calls), whole.save())}
    content = checkpoint(whole.output, 9).read_bytes()
    assert found == {None, b"", content[: len(content) // 2], bytes(len(content))}


def test_new_directories_are_synced_before_the_first_step(whole):
    for folder in (whole.output, whole.output / "checkpoints"):
        made, begins = map(whole.calls.index, (["mkdir", str(folder)], ["open", str(whole.output / "log.jsonl")]))
        assert ["fsync", str(folder.parent)] in whole.calls[made:begins], folder


# Out of disk


def refused_write(trainers: Trainers, output: Path, whole: Whole, number: int, fault: str, reason: str) -> None:
    """The run ends with one line that names a file and the reason, keeps its checkpoints, and can go on."""
    complaint = trainers.run(output, faults={number: fault}).complaint
    assert str(output.parent) in complaint and reason in complaint, (whole.calls[number - 1], complaint)
    assert newest(output) == max(whole.saved_before(number), default=0)
    finish(trainers, output, whole, remark=whole.calls[number - 1])


def test_a_full_disk_stops_a_run_that_can_go_on(trainers, whole, outputs):
    for number in sorted(set(whole.save()) & set(whole.numbers(*WRITES)))[::4]:
        refused_write(trainers, next(outputs), whole, number, "ENOSPC", "No space left on device")


def test_a_failing_disk_stops_a_run_that_can_go_on(trainers, whole, outputs):
    for number in sorted(set(whole.save()) & set(whole.numbers("fsync")))[:1]:
        refused_write(trainers, next(outputs), whole, number, "EIO", "Input/output error")


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_file_size_limit_below_a_checkpoint_stops_a_run_that_can_go_on(which, trainers, whole, tmp_path):
    output = tmp_path / "exp"
    first, second, *_ = (
        (whole.record / str(number)).stat().st_size
        for number in whole.numbers("rename")
        if "/checkpoint-" in whole.calls[number - 1][2]
    )
    complaint = trainers.run(output, limit=first // 2 if which == "first" else (first + second) // 2).complaint
    assert str(output) in complaint and "File too large" in complaint
    assert checkpoint(output, 0).is_file() == (which == "second") and not temporary_files(output)
    finish(trainers, output, whole)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_disk_that_is_full_or_fails_at_any_write_stops_a_run_that_can_go_on(trainers, whole, outputs):
    for number in whole.numbers(*WRITES):
        refused_write(trainers, next(outputs), whole, number, "ENOSPC", "No space left on device")
    for number in whole.numbers("fsync"):
        refused_write(trainers, next(outputs), whole, number, "EIO", "Input/output error")
    for number in whole.opened():
        refused_write(trainers, next(outputs), whole, number, "FULL", "File too large")


@pytest.mark.parametrize("name", ["log.jsonl", "train.log"])
def test_a_log_that_is_a_link_is_not_written(name, trainers, whole, tmp_path):
    (tmp_path / name).symlink_to("/dev/full")
    run = trainers.run(tmp_path)
    assert run.status == 1 and f"{tmp_path / name}: a link, which is not followed" in run.complaint
    (tmp_path / name).unlink()
    assert trainers.run(tmp_path).status == 0 and digest(tmp_path) == whole.digest


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [40, 200, 400])
def test_a_disk_that_is_really_full_stops_a_run_that_can_go_on(kilobytes, trainers, whole, tmp_path):
    disk, line = tmp_path / "disk", shlex.join(["vc-train", *arguments(trainers.features, tmp_path / "disk/exp")])
    script = f"""
        mkdir {disk} && mount -t tmpfs -o size={kilobytes}k tmpfs {disk} || exit 77
        {line} 2> {tmp_path}/errors; echo $? > {tmp_path}/status
        mount -o remount,size=16m {disk}
        {line} && cp -r {disk}/exp {tmp_path}/exp"""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", script], env=environment, timeout=120
        )
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if not (tmp_path / "status").exists():
        pytest.skip("no disk can be mounted here")
    run = Run(int((tmp_path / "status").read_text()), (tmp_path / "errors").read_text())
    assert str(disk) in run.complaint and "No space left on device" in run.complaint
    assert done.returncode == 0 and digest(tmp_path / "exp") == whole.digest


# Damaged


def damaged(trainers: Trainers, whole: Whole, output: Path, *contents: bytes) -> None:
    """With these in place of the newest checkpoints a run says so and goes on from the one before."""
    shutil.copytree(whole.output, output)
    for content, step in zip(contents, (STEPS, STEPS - 3)):
        checkpoint(output, step).write_bytes(content)
    done = finish(trainers, output, whole, at=STEPS - 3 * len(contents))
    assert done.errors.count("set aside as checkpoint-") == len(contents)
    assert "Traceback" not in done.errors and len(list(output.glob("checkpoints/*.corrupt"))) == len(contents)


def flipped(content: bytes, chance: random.Random) -> bytes:
    changed, place = bytearray(content), chance.randrange(len(content))
    changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


@pytest.fixture(scope="module")
def last(whole) -> bytes:
    """The last checkpoint's bytes."""
    return checkpoint(whole.output, STEPS).read_bytes()


@pytest.mark.parametrize("percent", [0, 1, 10, 50, 99])
def test_a_checkpoint_that_was_cut_is_set_aside(percent, trainers, whole, last, tmp_path):
    damaged(trainers, whole, tmp_path / "exp", last[: len(last) * percent // 100])


def test_random_bytes_are_set_aside(trainers, whole, last, tmp_path):
    damaged(trainers, whole, tmp_path / "exp", random.Random(0).randbytes(len(last)))


def test_a_checkpoint_with_a_flipped_bit_is_set_aside(trainers, whole, last, outputs):
    chance = random.Random(0)
    for _ in range(2):
        damaged(trainers, whole, next(outputs), flipped(last, chance))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_any_flipped_bit_is_noticed(trainers, whole, last, outputs):
    chance = random.Random(1)
    for _ in range(140):
        damaged(trainers, whole, next(outputs), flipped(last, chance))
    for _ in range(60):  # the header is small: few would fall into it
        header = 8 + int.from_bytes(last[:8], "little")
        damaged(trainers, whole, next(outputs), flipped(last[:header], chance) + last[header:])


def test_the_two_newest_damaged_the_third_is_used(trainers, whole, last, tmp_path):
    damaged(trainers, whole, tmp_path / "exp", last[:-1], b"")


def test_a_checkpoint_that_is_missing_is_not_needed(trainers, whole, tmp_path):
    shutil.copytree(whole.output, tmp_path / "exp")
    checkpoint(tmp_path / "exp", STEPS).unlink()
    finish(trainers, tmp_path / "exp", whole)


def test_a_checkpoint_of_another_network_is_set_aside(trainers, whole, tmp_path):
    assert trainers.run(tmp_path / "other", "network.channels=8", "training.steps=3").status == 0
    damaged(trainers, whole, tmp_path / "exp", checkpoint(tmp_path / "other", 3).read_bytes())


@pytest.mark.parametrize("part", ["module.network", "module.average", "optimiser.network"])
def test_a_checkpoint_with_what_is_not_a_number_is_set_aside(part, trainers, whole, tmp_path):
    def spoil(tensor: torch.Tensor) -> torch.Tensor:
        return torch.full_like(tensor, float("nan"))

    damaged(trainers, whole, tmp_path / "exp", changed(whole, tmp_path, part, spoil))


@pytest.mark.parametrize("part", ["module.discriminators", "optimiser.network"])
def test_a_checkpoint_with_a_tensor_of_another_shape_is_set_aside(part, trainers, whole, tmp_path):
    damaged(trainers, whole, tmp_path / "exp", changed(whole, tmp_path, part, lambda tensor: tensor.reshape(-1)[:1]))


@pytest.mark.parametrize("part", ["module.discriminators", "optimiser.network", "random.sampler"])
def test_a_checkpoint_without_a_tensor_is_set_aside(part, trainers, whole, tmp_path):
    damaged(trainers, whole, tmp_path / "exp", changed(whole, tmp_path, part, lambda tensor: None))


def changed(whole: Whole, folder: Path, part: str, change: Callable) -> bytes:
    """The last checkpoint, one of its larger tensors changed or removed, with the digest that goes with it."""
    tensors, content = read_tensors(checkpoint(whole.output, STEPS))
    name = max((name for name in tensors if name.startswith(part)), key=lambda name: tensors[name].numel())
    new = change(tensors.pop(name))
    tensors |= {} if new is None else {name: new}
    text = json.dumps(content)
    save_file(tensors, folder / "changed", {"vc": text, "sha256": tensors_digest(tensors, text)})
    return (folder / "changed").read_bytes()


def test_a_run_whose_checkpoints_are_gone_is_not_silently_begun_afresh(trainers, whole, tmp_path):
    shutil.copytree(whole.output, tmp_path / "exp", ignore=shutil.ignore_patterns("checkpoints"))
    assert str(tmp_path / "exp") in trainers.run(tmp_path / "exp").complaint


def test_a_log_with_garbage_stops_no_run(trainers, whole, tmp_path):
    shutil.copytree(whole.output, tmp_path / "exp")
    checkpoint(tmp_path / "exp", STEPS).unlink()
    (tmp_path / "exp/log.jsonl").write_bytes(b'{"step": 3}\n\xff\xfe\n')
    assert trainers.run(tmp_path / "exp").status == 0 and digest(tmp_path / "exp") == whole.digest


# Signalled


@pytest.mark.parametrize(("name", "status", "place"), [("SIGTERM", 143, 3), ("SIGUSR1", 143, 5), ("SIGINT", 130, -1)])
def test_a_signal_in_a_save_stops_a_run_that_can_go_on(name, status, place, trainers, whole, tmp_path):
    output = tmp_path / "exp"
    run = trainers.run(output, faults={whole.save()[place]: name})
    assert run.status == status and f"stopped by {name} after step 10" in run.complaint
    finish(trainers, output, whole)


def test_two_signals_at_once_stop_a_run_that_can_go_on(trainers, whole, tmp_path):
    output, first = tmp_path / "exp", whole.save()[4]
    run = trainers.run(output, faults=dict.fromkeys((first, first + 1), "SIGTERM"))
    assert run.status == 143 and "stopped by SIGTERM after step 10" in run.complaint
    finish(trainers, output, whole)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("send", [os.kill, os.killpg])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_at_any_time_stops_a_run_that_can_go_on(times, send, trainers, whole, outputs):
    chance, statuses = random.Random(times), []
    while statuses.count(143) < 20:
        output = next(outputs)
        process = trainers.start(output)
        time.sleep(chance.uniform(0.02, whole.seconds))
        for _ in range(times):
            send(process, signal.SIGTERM)
            time.sleep(chance.uniform(0, 0.1))
        run = trainers.wait(process, 30)
        statuses.append(run.shown)
        assert run.shown == 143 or run.status == 0, run
        finish(trainers, output, whole)


# Poisoned


def poisoned(trainers: Trainers, folder: Path, steps: tuple[int, int], *settings: str) -> Run:
    """A run whose loss is not a number at some steps; no file that it ever put in place has such a value."""
    (folder / "record").mkdir()
    run = trainers.run(folder / "exp", *settings, record=str(folder / "record"), poison=steps)
    calls = map(json.loads, (folder / "record/calls.jsonl").read_text().splitlines())
    for number, call in enumerate(calls, 1):
        if call[0] == "rename" and call[2].endswith(".safetensors"):
            tensors = load_file(folder / "record" / str(number)).items()
            assert [name for name, tensor in tensors if not tensor.float().isfinite().all()] == [], call
    return run


def test_a_step_whose_loss_is_no_number_is_refused_and_counted(trainers, tmp_path):
    run = poisoned(trainers, tmp_path, (4, 5))
    assert run.status == 0 and "vc-train: warning: before step 6: losses not finite, 1 step not taken" in run.errors
    assert [refused for *_, refused in reports(tmp_path / "exp")] == [0, 1, 0, 0]


def test_after_many_such_steps_a_run_goes_back_at_half_the_rates_and_ends(trainers, tmp_path):
    run = poisoned(trainers, tmp_path, (3, 6), "training.refused_steps=3")
    assert run.status == 0 and "losses not finite: from step 6 back to 3, all rates times 0.5" in run.errors
    state = read_tensors(checkpoint(tmp_path / "exp", STEPS))[1]["state"]
    assert (state["retreats"], state["rate_scale"]) == (1, 0.5)
    assert [step for step, *_ in reports(tmp_path / "exp")] == [3, 6, 9, 12]


def test_a_run_that_does_not_recover_stops_with_a_clear_line(trainers, tmp_path):
    run = poisoned(trainers, tmp_path, (4, 1000), "training.refused_steps=3", "training.retreats=2")
    assert "losses are not finite before step 6, after going back 2 times" in run.complaint and run.status == 1
    assert newest(tmp_path / "exp") == 3  # not of step 6, whose losses were not finite


def poisoned_features(trainers: Trainers, folder: Path, value: float) -> Path:
    """The features, with one value of slt-2 changed."""
    shutil.copytree(trainers.features, folder)
    ids = [line.split()[0] for line in (folder / "utt2spk").read_text().splitlines()]
    arrays = dict(zip(ids, (array.copy() for array in read_archive(folder / "mcep.scp", ids))))
    arrays["slt-2"][30, 3] = value
    write_archive(folder / "mcep", arrays.items())
    return folder


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_feature_that_is_no_number_is_refused_by_name(value, trainers, tmp_path):
    features = poisoned_features(trainers, tmp_path / "features", value)
    assert "mcep.ark: slt-2: expected finite" in trainers.run(tmp_path / "exp", features=features).complaint


@pytest.mark.parametrize("value", [1e30, 3e38])
def test_a_feature_that_is_far_too_large_spoils_no_weights(value, trainers, tmp_path):
    features = poisoned_features(trainers, tmp_path / "features", value)
    run = trainers.run(tmp_path / "exp", "training.retreats=0", features=features)
    assert run.status == 0 and "Traceback" not in run.errors, run.errors
    read_tensors(tmp_path / "exp/model.safetensors")  # refuses what is not finite


# Crowded


def crowd(trainers: Trainers, output: Path, count: int) -> None:
    """Of `count` trainers at once one trains; the others say who; when it is killed the directory is free."""
    began = time.monotonic()
    started = [trainers.start(output, "training.steps=1000000") for _ in range(count)]
    while (holder := written_by(output)) not in started:
        assert time.monotonic() < began + 60
        time.sleep(0.002)
    for process in set(started) - {holder}:
        run = trainers.wait(process, 60)
        assert f"{output}: in use by process {holder} on " in run.complaint and run.status == 1
    os.kill(holder, signal.SIGKILL)
    assert trainers.wait(holder).status == -signal.SIGKILL


def written_by(output: Path) -> int | None:
    """The holder that the lock names."""
    found = re.match(r"process (\d+) on ", (output / ".lock").read_text()) if (output / ".lock").exists() else None
    return int(found[1]) if found else None


def test_of_several_trainers_on_one_directory_one_trains(trainers, tmp_path):
    crowd(trainers, tmp_path / "exp", 4)
    assert trainers.run(tmp_path / "exp", "training.steps=3").status == 0


@pytest.mark.slow
def test_of_many_trainers_on_one_directory_one_trains(trainers, tmp_path):
    for _ in range(5):
        crowd(trainers, tmp_path / "exp", 20)
    assert trainers.run(tmp_path / "exp", "training.steps=3").status == 0


def test_a_directory_that_may_not_be_written_is_named(trainers, tmp_path):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("root may write everywhere")
    assert f"{tmp_path}/exp: Permission denied" in trainers.run(tmp_path / "exp").complaint


def test_an_experiment_that_is_a_file_is_named(trainers, tmp_path):
    (tmp_path / "exp").write_text("a thesis")
    assert f"{tmp_path}/exp: " in trainers.run(tmp_path / "exp").complaint
    assert (tmp_path / "exp").read_text() == "a thesis"


# Moved


def elsewhere(trainers: Trainers, folder: Path, seed: str, locale: str, zone: str) -> str:
    """The digest of the command's run there."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "PYTHONHASHSEED": seed,
        "LC_ALL": locale,
        "TZ": zone,
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    line = [Path(sys.executable).with_name("vc-train"), *arguments(trainers.features, Path("exp"))]
    subprocess.run(line, cwd=folder, env={**os.environ, **settings}, check=True, capture_output=True)
    return digest(folder / "exp")


def test_place_hash_seed_locale_and_time_zone_change_nothing(trainers, whole, tmp_path):
    assert elsewhere(trainers, tmp_path / "a/b", "1", "C", "Asia/Kathmandu") == whole.digest


@pytest.mark.slow
def test_a_turkish_locale_changes_nothing(trainers, whole, tmp_path):
    if "tr_TR.utf8" not in subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout.split():
        pytest.skip("no such locale here")
    assert elsewhere(trainers, tmp_path, "2", "tr_TR.UTF-8", "UTC+12") == whole.digest
