"""Many items on several cores: results in order, and progress that is that of the work."""

import contextlib
import io
import logging
import multiprocessing
import os
import pty
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import ROOT, environment
from test_recipes import wait_until

from vc import files, parallel
from vc.corpus import audio
from vc.errors import DataError
from vc.parallel import ProcessPool, map_threads

# Two processes, of which one waits within Python, which a signal interrupts, and one within C code; both write a file.
LASTING = """
import hashlib, sys, time
from pathlib import Path
from vc.cli import common
from vc.files import replacing
from vc import parallel
from vc.parallel import map_processes

def last(name):
    with replacing(Path(name)):
        Path(f"{name} begun").touch()
        time.sleep(300) if name == "python" else hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)

if __name__ == "__main__":
    parallel.GRACE = 0.2
    work = lambda _: list(map_processes(last, ["python", "c"], 2, "lasting"))
    sys.exit(common.run("vc-x", work, common.parser("vc-x", ""), []))
"""


@pytest.fixture
def lasting(tmp_path):
    """A command whose processes are at work, in a session of its own."""
    (tmp_path / "lasting.py").write_text(LASTING)
    line = [sys.executable, tmp_path / "lasting.py"]
    surroundings = environment(PYTHONPATH=str(ROOT))
    with subprocess.Popen(
        line, cwd=tmp_path, env=surroundings, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        wait_until(lambda: (tmp_path / "python begun").exists() and (tmp_path / "c begun").exists())
        yield process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_command_ends_its_processes_and_does_not_wait_for_their_work(lasting, number, code, tmp_path):
    """To a whole group, as a terminal sends it."""
    os.killpg(lasting.pid, number) if number == signal.SIGINT else lasting.send_signal(number)
    _, errors = lasting.communicate(timeout=60)
    assert lasting.returncode == code and errors == f"vc-x: error: stopped by {number.name}\n"
    wait_until(lambda: not alive(lasting.pid))
    files.write_text(tmp_path / "next", "")  # which removes what was left by force
    assert {path.name for path in tmp_path.iterdir()} == {"lasting.py", "python begun", "c begun", "next"}


def alive(group: int) -> bool:
    """Whether a process group has a process."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_processes_end_with_a_command_that_is_killed_outright(lasting):
    lasting.kill()
    lasting.wait()
    wait_until(lambda: not alive(lasting.pid))


def test_a_pool_starts_its_processes_once():
    pids = ["__import__('os').getpid()"] * 4
    with ProcessPool(2) as pool:
        assert not multiprocessing.active_children()
        assert {pid for _, pid in pool.map(eval, pids, "x", here=True)} == {os.getpid()}
        runs = [{pid for _, pid in pool.map(eval, pids, "x")} for _ in range(3)]
    assert len(set().union(*runs)) <= 2 and os.getpid() not in set().union(*runs)
    assert not multiprocessing.active_children()


class Bar:
    """Takes note of what a progress bar is told."""

    def __init__(self, total, title):
        self.total, self.steps = total, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, step):
        self.steps.append(step)


@pytest.mark.parametrize("jobs", [1, 3])
def test_progress_goes_on_within_an_item_and_ends_with_it(jobs, monkeypatch):
    bars = []
    monkeypatch.setattr(parallel, "progress", lambda *words: bars.append(Bar(*words)) or bars[-1])

    def work(item, advance):
        for share in (0.25, 0.5, 0.75, 1.5):
            advance(share)
        if item == 2:
            raise DataError("no")
        return 10 * item

    *results, last = map_threads(work, [3, 1, 2], jobs, "x")
    assert results == [(3, 30), (1, 10)] and str(last[1]) == "no"
    [bar] = bars
    assert bar.total == sum(bar.steps) == 3 and min(bar.steps) >= 0 and sum(step > 0 for step in bar.steps) == 12


def test_reading_says_how_far_it_is(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(100_000), 32000)
    shares = []
    for _ in audio.blocks(tmp_path / "a.wav", 16000, advance=shares.append):
        pass
    assert len(shares) > 3 and shares == sorted(shares) and shares[-1] == pytest.approx(1)


def test_a_terminal_that_does_not_tell_its_width_shows_progress():
    ours, theirs = pty.openpty()  # it has no columns until somebody sets them
    code = "from vc.parallel import progress\nwith progress(4, 'x') as bar:\n    bar.update(1)\n    bar.refresh()"
    subprocess.run([sys.executable, "-c", code], stderr=theirs, cwd=ROOT, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "25%" in shown and "1/4" in shown


def test_the_clock_of_a_bar_goes_on_within_an_item():
    ours, theirs = pty.openpty()
    code = """import time
from vc import parallel
parallel.TICK = 0.01
with parallel.progress(1, 'x'):
    time.sleep(0.2)
    raise SystemExit"""
    subprocess.run([sys.executable, "-c", code], stderr=theirs, cwd=ROOT, check=True)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert shown.count("x:   0%") > 5 and shown.endswith("\n")


def test_what_is_said_beside_a_bar_has_a_line_of_its_own():
    ours, theirs = pty.openpty()
    code = """import logging, sys
from vc.cli import common
from vc.parallel import progress
common.log_to_stderr('vc-x')
with progress(4, 'x') as bar:
    bar.update(1)
    bar.refresh()
    logging.getLogger('vc').info('logged')
    common.report('vc-x', 'refused')
    common.warn('vc-x', 'doubtful')
    common.say('said', sys.stderr)"""
    subprocess.run([sys.executable, "-c", code], stderr=theirs, cwd=ROOT, check=True)
    os.close(theirs)
    shown = [line.split("\r")[-1] for line in os.read(ours, 100_000).decode().replace("\r\n", "\n").split("\n")]
    os.close(ours)
    assert shown[:4] == ["vc-x: logged", "vc-x: error: refused", "vc-x: warning: doubtful", "said"]
    assert "25%" in shown[4]


@pytest.mark.parametrize(
    ("total", "initial", "done", "said"), [(8, 2, 3, "measuring: 5 of 8"), (1, 0, 0.1578, "measuring: 16 %")]
)
def test_without_a_terminal_the_log_says_how_far_it_is(total, initial, done, said, monkeypatch, caplog):
    monkeypatch.setattr(parallel, "LOG_EVERY", 0.01)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(logging, "raiseExceptions", False)  # of handlers that other tests' commands have left
    with caplog.at_level(logging.INFO, "vc"), parallel.progress(total, "measuring", initial) as bar:
        bar.update(done)
        wait_until(lambda: caplog.messages)
    assert re.fullmatch(rf"{said}, \d+ s left", caplog.messages[0]) and not sys.stderr.getvalue()


def test_a_script_without_a_guard_is_told_of_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from vc.parallel import map_processes\nlist(map_processes(len, ['a', 'b'], 2, 'measuring'))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment())
    assert done.returncode == 1
    told = 'not guarded by `if __name__ == "__main__":` needs jobs=1'
    assert any(line.endswith(told) for line in done.stderr.splitlines())  # Python may warn of semaphores after it
