"""Trainers with faults, without the seconds that importing torch takes each time.

    python faulty_train.py ARGUMENTS OF A FIRST, ORDINARY RUN

does that run and then answers each line of JSON on standard input with one on standard output:

    {"argv": [...], "output": FOLDER, "errors": FILE}  forks a vc-train; its process id
    {"wait": PID, "seconds": S}                        its exit status, -N if signal N ended it, null if it still runs

The calls with which a trainer changes FOLDER are counted from 1: open (for writing), mkdir, fsync, rename, remove; not
those of TensorBoard, whose thread makes them at any time. More keys of a fork are

    "faults": {"17": "SIGTERM"}  what happens at a call (below)
    "record": FOLDER             where calls.jsonl lists the calls; beside it, under the number of its call, what each
                                 synced or renamed file held
    "limit": BYTES               largest file that may be written
    "poison": [FIRST, END]       steps, counted in this process, whose cycle-consistency loss is not a number

and a fault is a signal, to the process itself; an error such as ENOSPC, in place of the call; FULL, no file may grow
beyond SMALL bytes from now on; CUT, the same, and the kernel kills who tries; HALF, the file of an fsync loses its
second half and the process is killed.
"""

import errno
import gc
import json
import os
import resource
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import torch
from tqdm import tqdm

from vc import losses
from vc.cli.train import main as train

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
SMALL = 1000  # bytes


class Calls:
    """Counts the calls that change files below `folder`, lets faults happen and records the rest."""

    def __init__(self, folder: str, faults: dict[str, str], record: str | None):
        self.folder, self.faults, self.record = folder, faults, record and Path(record)
        self.number = 0
        self._fsync, os.fsync = os.fsync, self.fsync
        sys.addaudithook(self.heard)

    def heard(self, event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], (str, os.PathLike)) and arguments[2] & WRITING:
            self.called("open", arguments[0])
        elif event == "os.rename":
            self.called("rename", *arguments[:2])
        elif event == "os.remove" or (event == "os.mkdir" and not Path(arguments[0]).exists()):
            self.called(event.removeprefix("os."), arguments[0])

    def fsync(self, descriptor: int) -> None:
        self.called("fsync", Path(f"/proc/self/fd/{descriptor}").readlink())
        self._fsync(descriptor)

    def called(self, kind: str, *paths: str | os.PathLike) -> None:
        paths = [os.fspath(path) for path in paths]
        if not self._counts(paths[0]):
            return
        self.number += 1
        fault = self.faults.get(str(self.number))
        if fault:
            happen(fault, kind, paths[0])
        if self.record:
            self._note(kind, paths)

    def _counts(self, path: str) -> bool:
        inside = path.startswith(f"{self.folder}/") and not path.startswith(f"{self.folder}/tensorboard")
        return inside or path in (self.folder, str(Path(self.folder).parent))

    def _note(self, kind: str, paths: list[str]) -> None:
        with (self.record / "calls.jsonl").open("a") as file:
            file.write(json.dumps([kind, *paths]) + "\n")
        if kind in ("fsync", "rename") and Path(paths[0]).is_file():
            shutil.copyfile(paths[0], self.record / str(self.number))


def happen(fault: str, kind: str, path: str) -> None:
    if fault in ("FULL", "CUT"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, SMALL))
        if fault == "CUT":
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    elif fault == "HALF":
        os.truncate(path, Path(path).stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, fault))
    else:
        number = getattr(errno, fault)
        raise OSError(number, os.strerror(number), *([] if kind == "fsync" else [path]))


def poison(first: int, end: int) -> None:
    """Make the loss of a range of steps NaN; a step asks twice, once for each direction."""
    real, asked = losses.cycle_consistency, iter(range(sys.maxsize))

    def cycle_consistency(restored: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
        bad = first <= next(asked) // 2 < end
        return real(restored, original) * (float("nan") if bad else 1.0)

    losses.cycle_consistency = cycle_consistency


def behave(request: dict) -> int:
    """The forked process: take up what was asked, and train."""
    for number, path in enumerate((os.devnull, os.devnull, request["errors"])):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(descriptor, number)
        os.close(descriptor)
    tqdm.set_lock(threading.RLock())  # all forks share its own, and one killed with it would stop the rest
    if "limit" in request:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["limit"], request["limit"]))
    if "poison" in request:
        poison(*request["poison"])
    Calls(request["output"], request.get("faults", {}), request.get("record"))
    return train(request["argv"])


def fork(request: dict) -> int:
    process = os.fork()
    if process:
        os.setpgid(process, process)
        return process
    status = 1
    try:
        status = behave(request)
    except SystemExit as error:
        status = error.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait(process: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.002)


def main() -> None:
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if train(sys.argv[1:]):
        sys.exit("the first run failed")
    gc.collect()
    gc.freeze()  # no trainer looks for garbage among what is there
    print("ready", file=answers, flush=True)
    alive = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = wait(request["wait"], request["seconds"])
            alive -= set() if answer is None else {request["wait"]}
        else:
            answer = fork(request)
            alive.add(answer)
        print(json.dumps(answer), file=answers, flush=True)
    for process in alive:
        os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
