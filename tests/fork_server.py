"""The commands without their start: each is forked from one process that has imported torch and the rest.

That saves three to eight CPU seconds a command. `commands` fills a folder with vc-prepare, vc-train and so on, to be
put on PATH or called by their paths, and with `run-script`, a Python for scripts in files. Standard streams,
environment, working directory, signals and exit status are those of a command of one's own; libraries have read the
environment before, OMP_NUM_THREADS for example.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LENGTH = struct.Struct("!I")
STATUS = struct.Struct("!i")
SCRIPT = "run-script"
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
# What commands import, also late: torch._dynamo by the first optimiser, TensorBoard by the first log.
IMPORTED = ("vc.convert", "vc.features.extract", "vc.evaluate.run", "vc.train.converter", "torch._dynamo.convert_frame")
IMPORTED += ("torch.utils.tensorboard", "matplotlib.figure", "matplotlib.backends.backend_agg", "scipy.signal")
IMPORTED += ("pyworld", "soundfile", "soxr", "safetensors.torch")


@contextlib.contextmanager
def commands(folder: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """Fill `folder` with SCRIPT and the commands vc-NAME, which work as long as the context is open."""
    path = folder / "socket"
    for command, name in {SCRIPT: SCRIPT, **{f"vc-{name}": name for name in names}}.items():
        words = " ".join(f"'{word}'" for word in (sys.executable, "-IS", __file__, path, name))
        (folder / command).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (folder / command).chmod(0o755)
    line = [sys.executable, __file__, path]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(line, **pipes, start_new_session=True) as server:  # which ends when its input does
        assert server.stdout.readline() == b"ready\n"
        yield folder


def serve(path: str) -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    parallel = importlib.import_module("vc.parallel")
    parallel.default_jobs = lambda: 1  # pytest's workers have the cores, and processes of a pool import it all again
    gc.collect()
    gc.freeze()  # no command looks for garbage among what was imported, which would take it some tenths of a second
    processes, links = {}, {}  # by what is ready when a process has ended; by what its signals come from
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        print("ready", flush=True)
        while sys.stdin not in (ready := select.select([sys.stdin, server, *processes, *links], [], [])[0]):
            for sentinel in processes.keys() & ready:
                process, link = processes.pop(sentinel)
                links.pop(link, None)
                process.join()
                with link, contextlib.suppress(BrokenPipeError):
                    link.sendall(STATUS.pack(process.exitcode))
            for link in links.keys() & ready:
                numbers = link.recv(16)
                for number in numbers or [signal.SIGKILL]:  # without the other end it is killed
                    os.kill(links[link].pid, number)
                if not numbers:
                    del links[link]
            if server in ready:
                link, _ = server.accept()
                if process := fork(link, server):
                    processes[process.sentinel], links[link] = (process, link), process
    for process, _ in processes.values():
        process.kill()


def fork(link: socket.socket, server: socket.socket) -> "multiprocessing.Process | None":  # noqa: F821
    """Start what the other end of the link asks for, unless that has ended meanwhile."""
    try:
        _, streams, _, _ = socket.recv_fds(link, 1, 3)
        with link.makefile("rb") as file:
            request = json.loads(file.read(*LENGTH.unpack(file.read(LENGTH.size))))
    except (OSError, ValueError, struct.error):
        link.close()
        return None
    context = importlib.import_module("multiprocessing").get_context("fork")
    process = context.Process(target=work, args=(streams, (link, server)), kwargs=request)
    process.start()
    for stream in streams:
        os.close(stream)
    return process


def work(
    streams: list[int],
    sockets: tuple[socket.socket, ...],
    name: str,
    words: list[str],
    folder: str,
    environment: dict[str, str],
) -> None:
    """Be the command."""
    for each in sockets:
        each.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, errors=errors)
        for number, (mode, errors) in enumerate([("r", "strict"), ("w", "strict"), ("w", "backslashreplace")])
    )
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    code = run_script(words) if name == SCRIPT else importlib.import_module(f"vc.cli.{name}").main(words)
    sys.stdout.flush()
    sys.exit(code)


def run_script(words: list[str]) -> None:
    """As Python would with these words, of which the first is a file's path."""
    sys.argv, sys.path[0] = words, str(Path(words[0]).resolve().parent)
    runpy.run_path(words[0], run_name="__main__")


def request(link: socket.socket, name: str, words: list[str], folder: Path, streams: tuple[int, ...]) -> None:
    """Ask the server for a command with these standard streams; over the link it then sends the exit status."""
    content = {"name": name, "words": words, "folder": str(folder), "environment": dict(os.environ)}
    text = json.dumps(content).encode()
    socket.send_fds(link, [b"."], streams)
    link.sendall(LENGTH.pack(len(text)) + text)


def ask(path: str, name: str, words: list[str]) -> None:
    """Have the server run a command; end as it ends."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(path)
        for number in PASSED_ON:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as vc.signals.stop_signals
                signal.signal(number, lambda number, _: link.send(bytes([number])))
        request(link, name, words, Path.cwd(), (0, 1, 2))
        (status,) = STATUS.unpack(link.recv(STATUS.size))
    if status < 0:
        if -status != signal.SIGKILL:  # which nobody handles
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    else:
        ask(sys.argv[1], sys.argv[2], sys.argv[3:])
