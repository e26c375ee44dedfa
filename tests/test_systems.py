"""What Linux has and other systems lack may be absent: the package imports, and its commands do their work."""

import errno
import getpass
import os
import signal
import subprocess
import sys
import threading

import pytest
from conftest import ROOT, environment

from vc import files, signals, system
from vc.cli import common
from vc.corpus import formats

# What Windows' Python lacks and the package has uses for, taken away from it after the standard library's own modules.
WITHOUT = """
import asyncio, multiprocessing.popen_spawn_posix, os, select, selectors, signal, subprocess, sys, tempfile, torch
sys.modules |= {"fcntl": None, "resource": None, "termios": None, "tty": None}
for module, names in {
    os: ("O_NONBLOCK", "O_NOFOLLOW", "O_DIRECTORY", "sched_getaffinity", "fork", "pread", "pwrite", "killpg",
          "geteuid", "setsid", "mkfifo", "posix_fallocate", "fchmod"),
    select: ("poll",),
    signal: ("SIGUSR1", "SIGHUP", "SIGPIPE", "SIGKILL"),
}.items():
    for name in names:
        delattr(module, name)
"""
WORK = """
import importlib, pkgutil
import vc
from pathlib import Path
from vc import system
system.DESCRIPTORS = system.OPENED_ANEW = Path("nowhere")
for module in pkgutil.walk_packages(vc.__path__, "vc."):
    if module.name != "vc.__main__":
        importlib.import_module(module.name)
assert not system.LOCKS and not system.SYNCS_DIRECTORIES and not system.NONBLOCK
from vc.cli.prepare import main as prepare
from vc.cli.extract import main as extract
from vc.cli.train import main as train
from vc.cli.convert import main as convert
assert prepare([sys.argv[1], "data", "--first", "2"]) == 0
assert extract(["data", "dump", "--jobs", "1"]) == 0
words = ["--features", "dump", "--source", "slt", "--target", "rms", "--output", "exp", "--device", "cpu"]
assert train(["--method", "mean_variance", *words]) == 0
assert train(["--config", "cyclegan_vc2_narrow", *words[:-3], "exp2", "--device", "cpu", "--set", "training.steps=1",
              "--set", "network.channels=4"]) == 0
assert convert(["--model", "exp", "--to", "rms", sys.argv[2], "--output", "out.wav"]) == 0
"""


def test_the_commands_work_without_what_linux_alone_has(tmp_path):
    recordings = ROOT / "egs/mini/corpus/train"
    line = [sys.executable, "-c", WITHOUT + WORK, recordings, next((recordings / "slt").iterdir())]
    surroundings = environment(PYTHONPATH=str(ROOT))
    done = subprocess.run(line, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out.wav").stat().st_size > 1000 and (tmp_path / "exp2/model.safetensors").is_file()
    assert not list(tmp_path.rglob(".vc-*.tmp"))


def test_a_file_is_read_at_a_place_as_where_the_system_can_do_that_at_once(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"0123456789")
    with (tmp_path / "a").open("rb", buffering=0) as file:
        file.seek(7)
        at_once = system.read_at(file.fileno(), 3, 2)
        monkeypatch.delattr(os, "pread")
        assert system.read_at(file.fileno(), 3, 2) == at_once == b"234" and file.tell() == 7


def test_a_link_is_not_followed_where_the_system_cannot_refuse_it(tmp_path, monkeypatch):
    monkeypatch.setattr(system, "NOFOLLOW", 0)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="a link, which is not followed") as caught:
        files.open_in_place(tmp_path / "link")
    assert caught.value.errno == errno.ELOOP and not (tmp_path / "elsewhere").exists()


def test_what_is_written_is_whole_without_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(system, "LOCKS", False)
    leftover = tmp_path / ".vc-other.tmp"
    leftover.touch()
    files.write_text(tmp_path / "out", "text")
    assert (tmp_path / "out").read_text() == "text" and leftover.exists()  # perhaps of a process that lives
    with pytest.raises(ZeroDivisionError), files.replacing(tmp_path / "out"):
        1 / 0  # noqa: B018
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".vc-other.tmp"}


def test_a_pipe_is_read_where_none_can_be_polled(tmp_path, monkeypatch):
    monkeypatch.setattr(system.select, "poll", None)
    monkeypatch.delattr(system.select, "poll")
    end, other = os.pipe()
    os.write(other, b"samples")
    os.close(other)
    assert files.read_bytes(f"/dev/fd/{end}", 100) == b"samples"
    os.close(end)


def test_programs_that_are_handed_no_descriptors_get_the_path(tmp_path, monkeypatch):
    with (tmp_path / "a.m4a").open("wb") as file:
        assert system.descriptor_path(file.fileno(), file.name) == (
            f"/dev/fd/{file.fileno()}",
            {"pass_fds": [file.fileno()]},
        )
        monkeypatch.setattr(system, "DESCRIPTORS", tmp_path / "nowhere")
        assert system.descriptor_path(file.fileno(), file.name) == (file.name, {})
        monkeypatch.setattr(system, "OPENED_ANEW", tmp_path / "nowhere")
        decoded = formats._Cache()
        decoded.store((1,), file)
        assert decoded.open((1,)) is None  # it is decoded again


@pytest.mark.parametrize(("groups", "number"), [(True, signal.SIGKILL), (False, signal.SIGTERM)])
def test_a_process_is_ended_with_and_without_process_groups(groups, number, monkeypatch):
    if not groups:
        monkeypatch.delattr(os, "killpg")
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        system.kill_group(process.pid)
        assert process.wait(10) == -number


@pytest.mark.parametrize("error", [KeyError, OSError, ImportError])
def test_a_command_names_a_user_who_has_none(error, monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody")  # so that it is as before afterwards
        monkeypatch.delenv(name)

    def getpwuid(number: int) -> None:
        raise error(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr("pwd.getpwuid", getpwuid)
    with pytest.raises(error):
        getpass.getuser()
    names = []
    common.run("vc-x", lambda _: names.append(getpass.getuser()) or 0, common.parser("vc-x", ""), [])
    assert names == [f"user-{os.getuid()}"]


def test_signals_that_a_system_lacks_are_not_listened_to():
    assert set(signals.stop_signals()) <= {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP}
    assert signals.exit_status(signal.SIGINT) == 130 and signals.exit_status(signal.SIGTERM) == 143


def scheduling_of_thread() -> int | None:
    """Scheduling policy of a thread that starts now."""
    policies = []
    thread = threading.Thread(target=lambda: policies.append(os.sched_getscheduler(0)))
    thread.start()
    thread.join()
    return policies[0]


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="scheduling is Linux's")
def test_threads_that_start_within_realtime_scheduling_have_it_and_no_others():
    before = os.sched_getscheduler(0)
    with system.realtime_scheduling():
        permitted = os.sched_getscheduler(0) != before
        assert scheduling_of_thread() == (os.SCHED_RR if permitted else before)
    assert os.sched_getscheduler(0) == scheduling_of_thread() == before
    with pytest.raises(ZeroDivisionError), system.realtime_scheduling():
        _ = 1 / 0
    assert os.sched_getscheduler(0) == before


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="scheduling is Linux's")
@pytest.mark.parametrize("limit", [1, 2, 99])
def test_a_realtime_priority_is_the_highest_that_is_permitted(limit, monkeypatch):
    policies = []

    def set_scheduler(_: int, policy: int, param: os.sched_param) -> None:
        if param.sched_priority > limit:
            raise PermissionError
        policies.append((policy, param.sched_priority))

    monkeypatch.setattr(os, "sched_setscheduler", set_scheduler)
    with system.realtime_scheduling(2):
        assert policies == [(os.SCHED_RR, min(2, limit))]
    assert len(policies) == 2


@pytest.mark.parametrize("fault", [PermissionError, AttributeError])
def test_realtime_scheduling_that_is_not_permitted_or_not_there_is_done_without(fault, monkeypatch):
    def refuse(*_: object) -> None:
        raise fault

    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    with pytest.raises(ZeroDivisionError) as error, system.realtime_scheduling():
        _ = 1 / 0
    assert error.value.__context__ is None  # an error of the block is not told as one that the refusal caused
