"""Commands that the page has been asked for, in queues that survive the server.

A job keeps what was asked for and no command line: the words follow from it, so that a folder from somebody else can
run nothing but this package's own commands on what lies in the folder.
"""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from vc import system
from vc.config import USUAL, build, configuration_names, read_json, require
from vc.errors import ConfigError, DataError, VCError, escaped
from vc.files import open_in_place, write_text
from vc.live.delay import LONGEST
from vc.live.device import SLACK
from vc.live.stream import DELAY, METHODS
from vc.web import workspace as places
from vc.web.workspace import Missing, Workspace

WAITING, RUNNING, STOPPED, DONE, FAILED = "waiting", "running", "stopped", "done", "failed"
STATES = (WAITING, RUNNING, STOPPED, DONE, FAILED)
LONG, SHORT, LIVE = "long", "short", "live"  # queues, of each of which one job runs at a time
KEYS = {"passthrough": "p", "mute": "m"}  # that vc-live can be told, and how
MOST_SLACK = 100  # blocks, which is a second
LONGEST_DEVICE = 200  # signs of a device's name
PATIENCE = 60.0  # seconds that a command may take to save and end
LONGEST_ANSWER = 300.0  # seconds that one may take that is asked something
LARGEST_JOB = 1 << 16  # bytes of its file
LARGEST_TAIL = 1 << 15  # bytes of the end of what a command said
MOST_LISTED = 30  # jobs that the page lists, beside those that are not at their end
# Runs a command in a fresh interpreter that imports nothing from the folder it is called in.
START = "import sys; sys.path[:] = filter(None, sys.path); from vc.cli.main import main; sys.exit(main())"


@dataclass(frozen=True)
class Convert:
    """Recordings to a voice."""

    queue: ClassVar[str] = SHORT
    voice: str
    names: list[str]  # of sources

    def words(self, workspace: Workspace) -> list[str]:
        require(bool(self.names), "no recording to convert")
        voice = workspace.voice(self.voice)
        sources = [str(workspace.file(places.SOURCES, name)) for name in self.names]
        output = f"{workspace.output(places.CONVERTED, voice.id)}/"
        return ["vc-convert", "--model", workspace.model(voice), "--to", voice.to, *sources, "--output", output]


@dataclass(frozen=True)
class Train:
    """A voice from one pile of recordings, measured on another's if there is one."""

    queue: ClassVar[str] = LONG
    target: str
    output: str  # experiment
    config: str = USUAL
    source: str = ""  # empty: none
    steps: int = 0  # 0: as many as the configuration says

    def words(self, workspace: Workspace) -> list[str]:
        known = configuration_names()
        require(self.config in known, f"config: unknown {self.config!r}; known: {', '.join(known)}")
        require(0 <= self.steps <= 10_000_000, f"steps: {self.steps} is outside 0..10,000,000")
        output = workspace.output(places.EXPERIMENTS, experiment_name(self.output))
        speakers = [name for name in (self.source, self.target) if name]
        folders = [str(workspace.folder(places.RECORDINGS, name)) for name in speakers]
        more = ["--config", self.config] if self.config != USUAL else []
        often = WATCH if self.config in WATCHED else []
        settings = [*often, *([f"training.steps={self.steps}"] if self.steps else [])]
        more += [word for setting in settings for word in ("--set", setting)]
        return ["vc-train", *folders, "--output", str(output), *more]


# Steps are reported, held-out recordings scored and some converted often enough to watch a run of minutes.
WATCH = ["training.log_every=10", "training.checkpoint_every=50", "training.sample_every=100"]
WATCHED = (USUAL, f"{USUAL}_anew")


@dataclass(frozen=True)
class Check:
    """What is wrong with speakers' recordings."""

    queue: ClassVar[str] = SHORT
    speakers: list[str]

    def words(self, workspace: Workspace) -> list[str]:
        require(bool(self.speakers), "nobody's recordings to check")
        for name in self.speakers:
            workspace.folder(places.RECORDINGS, name)
        folders = [str(workspace.root / places.RECORDINGS), str(workspace.output(places.JOBS, "checked"))]
        return ["vc-prepare", *folders, "--speakers", *self.speakers]


@dataclass(frozen=True)
class Compare:
    """A blind listening test of two experiments' held-out conversions."""

    queue: ClassVar[str] = SHORT
    one: str
    other: str

    def words(self, workspace: Workspace) -> list[str]:
        require(self.one != self.other, "choose two different models")
        folders = [workspace.folder(places.EXPERIMENTS, name, "converted") for name in (self.one, self.other)]
        sides = [measurement_speakers(workspace, name) for name in (self.one, self.other)]
        require(sides[0][1] == sides[1][1], f"{self.one} speaks as {sides[0][1]}, {self.other} as {sides[1][1]}")
        held_out = workspace.folder(places.EXPERIMENTS, self.one, "data", "held_out")
        source, reference = (str(places.child(held_out, name)) for name in sides[0])
        converted = [f"{name}={folder}" for name, folder in zip((self.one, self.other), folders)]
        test = workspace.output(places.TESTS, f"{self.one}-{self.other}")
        more = ["--source", source, "--title", "Which is nearer?", "--output", str(test)]
        return ["vc-listen", "make", "--kind", "abx", "--converted", *converted, "--reference", reference, *more]


@dataclass(frozen=True)
class Score:
    """What the answers to a listening test say."""

    queue: ClassVar[str] = SHORT
    test: str

    def words(self, workspace: Workspace) -> list[str]:
        folder = workspace.folder(places.TESTS, self.test)
        answers = sorted(map(str, folder.glob("answers*.json")))
        require(bool(answers), "no answers to score")
        return ["vc-listen", "score", str(folder / "key.json"), *answers]


@dataclass(frozen=True)
class Live:
    """A voice converted while one speaks, from one of the machine's devices to another."""

    queue: ClassVar[str] = LIVE
    voice: str
    method: str = METHODS[0]
    delay: float = DELAY  # milliseconds
    input: str = ""  # device; empty: the system's
    output: str = ""  # device; empty: the system's
    slack: int = SLACK  # blocks that the conversion may come late
    measure: bool = False  # instead play clicks, and say how long these take

    def words(self, workspace: Workspace) -> list[str]:
        voice = workspace.voice(self.voice)
        able = ", ".join(places.LIVE_METHODS)
        require(voice.live, f"{voice.model}: its method cannot convert live; these can: {able}")
        require(self.method in METHODS, f"method: unknown {self.method!r}; known: {', '.join(METHODS)}")
        require(0 < self.delay <= LONGEST, f"delay: {self.delay} is outside 0..{LONGEST:g} ms")
        words = ["vc-live", "--model", workspace.model(voice), "--to", voice.to, "--method", self.method]
        require(0 < self.slack <= MOST_SLACK, f"slack: {self.slack} is outside 1..{MOST_SLACK} blocks")
        words += ["--delay", f"{self.delay:g}", *(["--slack", str(self.slack)] if self.slack != SLACK else [])]
        for option, device in {"input": self.input, "output": self.output}.items():
            fine = device.isprintable() and len(device) <= LONGEST_DEVICE
            require(fine, f"{option}: a device's name has at most {LONGEST_DEVICE} signs, and no control characters")
            words += [f"--{option}-device={device}"] if device else []  # one word, whatever the name begins with
        return [*words, "--measure" if self.measure else "--json"]


KINDS = {"convert": Convert, "train": Train, "check": Check, "compare": Compare, "score": Score, "live": Live}


@dataclass
class Job:
    """What was asked for, and how far it is."""

    number: int
    kind: str
    request: dict[str, Any]
    state: str = WAITING
    code: int | None = None  # exit status
    asked: float = field(default_factory=time.time)  # seconds since the epoch, as those below
    began: float | None = None
    ended: float | None = None
    pid: int | None = None
    fault: str = ""  # why the server could not run the command, or record its end

    def __post_init__(self) -> None:
        require(self.kind in KINDS, f"kind: unknown {self.kind!r}")
        require(self.state in STATES, f"state: unknown {self.state!r}")
        self.task = build(KINDS[self.kind], self.request, self.kind)

    def line(self, workspace: Workspace) -> str:
        """The command as one would type it in the folder; why there is none, where something is missing."""
        try:
            words = self.task.words(workspace)
        except (VCError, OSError) as error:
            return f"# {error}"
        return shlex.join(word.replace(f"{workspace.root}/", "") for word in words)


class Jobs:
    """All of them; one of each queue runs at a time."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self._folder = workspace.folder(places.JOBS)
        self._jobs: dict[int, Job] = {}
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._status: dict[int, dict[str, Any]] = {}  # of live sessions, as vc-live last told it
        self._answering: dict[str, asyncio.subprocess.Process] = {}  # by command
        self._stopping: set[int] = set()
        self._closing = False
        self._wake = {queue: asyncio.Event() for queue in (LONG, SHORT, LIVE)}
        self._workers: list[asyncio.Task] = []
        self.faults: list[str] = []  # of files that are no jobs
        for path in self._folder.glob("*.json"):
            self._read(path)

    def _read(self, path: Path) -> None:
        try:
            job = build(Job, read_json(path, LARGEST_JOB), path.name)
            require(path.name == f"{job.number}.json", f"{path.name}: is the file of job {job.number}")
        except VCError as error:
            self.faults.append(f"{path}: {error}")
        else:
            self._jobs[job.number] = job

    async def start(self) -> None:
        """Take up what was running or waiting when the server ended; but no microphone opens by itself."""
        for job in self._active():
            if job.state == RUNNING:
                await _end_orphan(job, self.workspace)
            self._conclude(job, state=_unfinished(job), pid=None)
        for queue, wake in self._wake.items():
            wake.set()
            self._workers.append(asyncio.create_task(self._work(queue)))

    async def close(self) -> None:
        """End what runs, which the next start goes on with."""
        self._closing = True
        for process in list(self._answering.values()):
            _kill(process)
            await process.wait()
        await asyncio.gather(*(self._end(number) for number in list(self._processes)))
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def add(self, kind: str, request: dict[str, Any]) -> Job:
        """Ask for a command; what it cannot be made of is refused now."""
        job = Job(1 + max(self._jobs, default=0), kind, request)
        job.task.words(self.workspace)
        self._require_alone(job)
        self._log(job).unlink(missing_ok=True)
        self._record(job)
        self._jobs[job.number] = job
        self._wake[job.task.queue].set()
        return job

    def find(self, number: int) -> Job:
        if number not in self._jobs:
            raise Missing(f"job {number}: no such job")
        return self._jobs[number]

    def listing(self) -> list[Job]:
        """Those that the page lists, the newest first."""
        newest = sorted(self._jobs.values(), key=lambda job: job.number, reverse=True)
        return [job for place, job in enumerate(newest) if place < MOST_LISTED or job.state in (WAITING, RUNNING)]

    async def stop(self, number: int) -> None:
        """End a job that runs, saving what it can; take one that waits out of the queue."""
        job = self.find(number)
        if job.state == WAITING:
            self._record(job, state=STOPPED)
        elif number in self._processes:
            self._stopping.add(number)
            await self._end(number)

    def resume(self, number: int) -> None:
        """Do again what stopped or failed: the same command goes on where it was."""
        job = self.find(number)
        require(job.state in (STOPPED, FAILED), f"job {number} is {job.state}")
        job.task.words(self.workspace)
        self._require_alone(job)
        self._record(job, state=WAITING, code=None, ended=None, fault="")
        self._wake[job.task.queue].set()

    def remove(self, number: int) -> None:
        """Forget a job that is at its end; what it made stays."""
        job = self.find(number)
        require(job.state not in (WAITING, RUNNING), f"job {number} is {job.state}")
        del self._jobs[number]
        (self._folder / f"{number}.json").unlink(missing_ok=True)
        self._log(job).unlink(missing_ok=True)

    def output_lines(self, job: Job) -> list[str]:
        """The last lines of a command's output, and after them why the server itself failed the job."""
        lines = []
        with contextlib.suppress(FileNotFoundError), self._log(job).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LARGEST_TAIL))
            lines = file.read(LARGEST_TAIL).decode(errors="replace").splitlines()[size > LARGEST_TAIL :]
        return [escaped(line) for line in (*lines, *([f"vc-web: error: {job.fault}"] if job.fault else []))]

    async def answer(self, words: list[str], **environment: str) -> tuple[int, list[str], list[str]]:
        """Run a command that takes seconds and writes nothing: its exit status, its lines, and those on faults.

        One of its name that runs still is ended: nobody waits for its answer any more.
        """
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        process = await start_process(words, env={**os.environ, **environment}, **pipes)
        if before := self._answering.get(words[0]):
            _kill(before)
        self._answering[words[0]] = process
        try:
            if self._closing:  # it began during `close`, which has not seen it
                raise DataError("the server is ending")
            output, faults = await asyncio.wait_for(process.communicate(), LONGEST_ANSWER)
            if self._answering.get(words[0]) is not process:
                raise DataError(f"{words[0]}: another one has taken its place")
        except asyncio.TimeoutError:
            raise DataError(f"{words[0]}: no answer within {LONGEST_ANSWER:.0f} s") from None
        finally:
            _kill(process)
            await process.wait()
            if self._answering.get(words[0]) is process:
                del self._answering[words[0]]
        texts = (text.decode(errors="replace").splitlines() for text in (output, faults))
        return process.returncode, *([escaped(line) for line in lines] for lines in texts)

    def using(self, name: str) -> Job | None:
        """A job that is not at its end and that names a recording, a speaker, a voice or an experiment."""
        return next((job for job in self._active() if _needs(job.request, name)), None)

    def status(self, number: int) -> dict[str, Any]:
        """What a live session last said of itself; empty before it has begun."""
        self.find(number)
        return self._status.get(number, {})

    async def press(self, number: int, key: str) -> None:
        """Tell a live session one of KEYS."""
        require(key in KEYS, f"key: unknown {key!r}; known: {', '.join(KEYS)}")
        process = self._processes.get(self.find(number).number)
        require(process is not None and process.stdin is not None, f"job {number} is no live session that runs")
        with contextlib.suppress(ConnectionError):  # it has just ended
            process.stdin.write(KEYS[key].encode())
            await process.stdin.drain()

    def _require_alone(self, job: Job) -> None:
        """Refuse a second training of an experiment, and a second live session, at a time."""
        others = [other.task for other in self._active() if other is not job]
        if isinstance(job.task, Train):
            name, outputs = job.task.output, [other.output for other in others if isinstance(other, Train)]
            require(name not in outputs, f"{name}: is being trained already, or waits for it")
        if job.task.queue == LIVE:
            require(all(other.queue != LIVE for other in others), "a live session runs already: stop it first")

    def _active(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.state in (WAITING, RUNNING)]

    def _log(self, job: Job) -> Path:
        return self._folder / f"{job.number}.log"

    def _record(self, job: Job, **changes: Any) -> None:
        """Change a job and its file, or, if the file cannot be written, neither."""
        write_text(self._folder / f"{job.number}.json", json.dumps({**asdict(job), **changes}, indent=1) + "\n")
        for name, value in changes.items():
            setattr(job, name, value)

    def _conclude(self, job: Job, **changes: Any) -> None:
        """The same at a job's end, which has to be known even if its file cannot be written: the job then failed."""
        try:
            self._record(job, **changes)
        except OSError as error:
            for name, value in {**changes, "state": FAILED, "fault": _reason(error)}.items():
                setattr(job, name, value)

    async def _work(self, queue: str) -> None:
        while True:
            await self._wake[queue].wait()
            self._wake[queue].clear()
            while job := self._next(queue):
                await self._run(job)

    def _next(self, queue: str) -> Job | None:
        waiting = [job for job in self._jobs.values() if job.state == WAITING and job.task.queue == queue]
        return None if self._closing else min(waiting, key=lambda job: job.number, default=None)

    async def _run(self, job: Job) -> None:
        """Run a command to its end; if it cannot be started, or a file of the job cannot be written, the job fails."""
        fault = ""
        try:
            code = await self._execute(job)
        except (VCError, OSError) as error:
            code, state, fault = 2, FAILED, _reason(error)
        else:
            state = STOPPED if job.number in self._stopping else _unfinished(job) if self._closing else FAILED
            state = DONE if code == 0 else state
        self._stopping.discard(job.number)
        self._conclude(job, state=state, code=code, ended=time.time(), pid=None, fault=fault)

    async def _execute(self, job: Job) -> int:
        """Run a command, and return its exit status."""
        with open_in_place(self._log(job)) as log:
            pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
            streams = pipes if job.task.queue == LIVE else {"stdout": log}
            process = await start_process(job.task.words(self.workspace), stderr=log, **streams)
            self._processes[job.number] = process
            try:
                self._record(job, state=RUNNING, began=time.time(), pid=process.pid)
                if process.stdout is not None:
                    await self._follow(job, process.stdout, log)
                return await process.wait()
            except OSError:  # without a record, the next server would not know of the process
                _kill(process)
                await process.wait()
                raise
            finally:
                del self._processes[job.number]
                self._status.pop(job.number, None)

    async def _follow(self, job: Job, output: asyncio.StreamReader, log: BinaryIO) -> None:
        """Keep the last of the states that a live session tells; what else it says goes into its log."""
        while True:
            try:
                line = await output.readline()
            except ValueError:  # longer than the reader takes
                continue
            if not line:
                return
            try:
                status = json.loads(line)
            except ValueError:
                status = None
            if isinstance(status, dict):
                self._status[job.number] = status
            else:
                with contextlib.suppress(OSError):  # a full disk ends no session
                    log.write(line)

    async def _end(self, number: int) -> None:
        process = self._processes[number]
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), PATIENCE)
            except asyncio.TimeoutError:
                system.kill_group(process.pid)
                await process.wait()


async def start_process(words: list[str], **streams: Any) -> asyncio.subprocess.Process:
    """One of this package's commands in a process of its own, which a terminal's Ctrl-C does not reach."""
    return await asyncio.create_subprocess_exec(
        *command_line(words), cwd="/", start_new_session=True, **{"stdin": asyncio.subprocess.DEVNULL, **streams}
    )


def _reason(error: VCError | OSError) -> str:
    """An error in one line."""
    if isinstance(error, OSError):
        return f"{error.filename or 'system'}: {error.strerror or error}"
    return "; ".join(map(str, error.args))


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            system.kill_group(process.pid)


def _unfinished(job: Job) -> str:
    """The state of a job that the server's end has ended: it goes on later, unless nobody may speak then."""
    return STOPPED if job.task.queue == LIVE else WAITING


def command_line(words: list[str]) -> list[str]:
    """What runs `vc-NAME ...` whether or not it is on PATH."""
    return [sys.executable, "-c", START, words[0].removeprefix("vc-"), *words[1:]]


def _needs(request: dict[str, Any], name: str) -> bool:
    """Whether a name is a value of a request, one of a list, or the model of its voice."""
    values = [each for value in request.values() for each in (value if isinstance(value, list) else [value])]
    return name in values or request.get("voice", "").startswith(f"{name}--")


def experiment_name(name: str) -> str:
    """A name that an experiment can have; others are refused."""
    fine = places.IDENTIFIER.fullmatch(name) and len(name) <= places.LONGEST_NAME and name != places.FEATURES
    require(bool(fine), f"model's name {name!r}: 1 to {places.LONGEST_NAME} letters, digits, '.', '_' and '-'")
    return name


def measurement_speakers(workspace: Workspace, experiment: str) -> tuple[str, str]:
    """Source and target whose held-out recordings an experiment was measured with."""
    path = workspace.file(places.EXPERIMENTS, experiment, "evaluation", "metrics.json")
    try:
        folders = read_json(path)["configuration"]["folders"]
        return Path(folders["source"]).name, Path(folders["reference"]).name
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{experiment}: its measurement does not say with whose recordings") from error


async def _end_orphan(job: Job, workspace: Workspace) -> None:
    """End a command that has outlived a server which was killed: it saves, and its folder is free for the next."""
    if job.pid is None:
        return
    proc = Path(f"/proc/{job.pid}/cmdline")
    with contextlib.suppress(OSError, VCError):
        words = os.fsencode("\0".join(command_line(job.task.words(workspace)))) + b"\0"
        if proc.read_bytes() != words:
            return
        os.kill(job.pid, signal.SIGTERM)
        for _ in range(round(PATIENCE * 10)):
            if proc.read_bytes() != words:
                return
            await asyncio.sleep(0.1)
        system.kill_group(job.pid)
