"""Jobs that run commands, in queues that survive a restart of the server.

A job stores the request, never a command line, which is derived from the request. So a folder from another person can
only run this package's own commands on the contents of the folder.
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
from vc.config import DEFAULT_CONFIG, build, configuration_names, read_json, require, require_known
from vc.errors import ConfigError, DataError, VCError, escaped
from vc.files import open_in_place, reading, write_text
from vc.live.settings import DECODER_METHODS, LINEAR_METHODS, LONGEST_DELAY, METHODS, MOST_SLACK
from vc.web import workspace as layout
from vc.web.workspace import Missing, Workspace

WAITING, RUNNING, STOPPED, DONE, FAILED = "waiting", "running", "stopped", "done", "failed"
STATES = (WAITING, RUNNING, STOPPED, DONE, FAILED)
LONG, SHORT, LIVE = "long", "short", "live"  # queues, each of which runs one job at a time
KEYS = {"passthrough": "p", "mute": "m"}  # of vc-live, by what they switch
LONGEST_DEVICE = 200  # characters of a device's name
PATIENCE = 60.0  # seconds for a command to save and end
LONGEST_QUERY = 300.0  # seconds
LARGEST_JOB = 1 << 16  # bytes of its file
LARGEST_TAIL = 1 << 15  # bytes read from the end of a command's output
MOST_LISTED = 30  # jobs that the page lists because they are the newest
# Settings with which one can watch a run of minutes, and the configurations that get them.
FREQUENT_REPORTS = ["training.log_every=10", "training.checkpoint_every=50", "training.sample_every=100"]
SHORT_RUNS = (DEFAULT_CONFIG, f"{DEFAULT_CONFIG}_anew")
# Runs a command in a fresh interpreter that imports nothing from its working directory.
LAUNCHER = "import sys; sys.path[:] = filter(None, sys.path); from vc.cli.main import main; sys.exit(main())"


@dataclass(frozen=True)
class Convert:
    """Convert recordings to a voice."""

    queue: ClassVar[str] = SHORT
    voice: str  # id
    names: list[str]  # of files in sources/

    def words(self, workspace: Workspace) -> list[str]:
        require(bool(self.names), "no recording to convert")
        voice = workspace.voice(self.voice)
        sources = [str(workspace.file(layout.SOURCES, name)) for name in self.names]
        output = f"{workspace.output(layout.CONVERTED, voice.id)}/"
        return ["vc-convert", "--model", workspace.model(voice), "--to", voice.to, *sources, "--output", output]


@dataclass(frozen=True)
class Train:
    """Train a voice on one speaker's recordings, and measure it on another's if there is one."""

    queue: ClassVar[str] = LONG
    target: str
    output: str  # experiment
    config: str = DEFAULT_CONFIG
    source: str = ""  # empty: none
    steps: int = 0  # 0: as the configuration says

    def words(self, workspace: Workspace) -> list[str]:
        require_known("config", self.config, configuration_names())
        require(0 <= self.steps <= 10_000_000, f"steps: {self.steps} is outside 0..10,000,000")
        output = workspace.output(layout.EXPERIMENTS, experiment_name(self.output))
        speakers = [name for name in (self.source, self.target) if name]
        folders = [str(workspace.folder(layout.RECORDINGS, name)) for name in speakers]
        options = ["--config", self.config] if self.config != DEFAULT_CONFIG else []
        settings = FREQUENT_REPORTS if self.config in SHORT_RUNS else []
        settings = [*settings, *([f"training.steps={self.steps}"] if self.steps else [])]
        options += [word for setting in settings for word in ("--set", setting)]
        return ["vc-train", *folders, "--output", str(output), *options]


@dataclass(frozen=True)
class Check:
    """Report what is wrong with speakers' recordings."""

    queue: ClassVar[str] = SHORT
    speakers: list[str]

    def words(self, workspace: Workspace) -> list[str]:
        require(bool(self.speakers), "no recordings to check")
        for name in self.speakers:
            workspace.folder(layout.RECORDINGS, name)
        folders = [str(workspace.root / layout.RECORDINGS), str(workspace.output(layout.JOBS, "checked"))]
        return ["vc-prepare", *folders, "--speakers", *self.speakers]


@dataclass(frozen=True)
class Compare:
    """Make a blind listening test of two experiments' held-out conversions."""

    queue: ClassVar[str] = SHORT
    one: str
    other: str

    def words(self, workspace: Workspace) -> list[str]:
        require(self.one != self.other, "choose two different models")
        folders = [workspace.folder(layout.EXPERIMENTS, name, "converted") for name in (self.one, self.other)]
        pairs = [measurement_speakers(workspace, name) for name in (self.one, self.other)]
        targets = f"{self.one} speaks as {pairs[0][1]}, {self.other} as {pairs[1][1]}"
        require(pairs[0][1] == pairs[1][1], f"{targets}: choose two models of one target")
        held_out = workspace.folder(layout.EXPERIMENTS, self.one, "data", "held_out")
        source, reference = (str(layout.child(held_out, name)) for name in pairs[0])
        converted = [f"{name}={folder}" for name, folder in zip((self.one, self.other), folders)]
        test = workspace.output(layout.TESTS, f"{self.one}-{self.other}")
        options = ["--source", source, "--title", "Which is nearer?", "--output", str(test)]
        return ["vc-listen", "make", "--kind", "abx", "--converted", *converted, "--reference", reference, *options]


@dataclass(frozen=True)
class Score:
    """Score the answers to a listening test."""

    queue: ClassVar[str] = SHORT
    test: str

    def words(self, workspace: Workspace) -> list[str]:
        folder = workspace.folder(layout.TESTS, self.test)
        answers = sorted(map(str, folder.glob("answers*.json")))
        require(bool(answers), "no answers to score")
        return ["vc-listen", "score", str(folder / "key.json"), *answers]


@dataclass(frozen=True)
class Live:
    """Convert speech live from one of the machine's devices to another."""

    queue: ClassVar[str] = LIVE
    voice: str  # id
    method: str = ""  # of a linear model; empty: vc-live's default, as with the other options
    delay: float | None = None  # milliseconds
    input: str = ""  # device; empty: the system's default
    output: str = ""  # device; empty: the system's default
    slack: int | None = None  # blocks
    measure: bool = False  # measure the delay of the devices with clicks instead

    def words(self, workspace: Workspace) -> list[str]:
        voice = workspace.voice(self.voice)
        methods = ", ".join((*LINEAR_METHODS, *DECODER_METHODS))
        require(bool(voice.live), f"{voice.model}: its method cannot convert live; these can: {methods}")
        known = METHODS if voice.live == layout.LINEAR else ()
        if self.method:
            require_known("method", self.method, known)
        words = ["vc-live", "--model", workspace.model(voice), "--to", voice.to]
        words += ["--method", self.method] if self.method else []
        if self.delay is not None:
            in_range = 0 < self.delay <= LONGEST_DELAY
            require(in_range, f"delay: {self.delay} is not above 0 and at most {LONGEST_DELAY:g} ms")
            words += ["--delay", f"{self.delay:g}"]
        if self.slack is not None:
            require(0 < self.slack <= MOST_SLACK, f"slack: {self.slack} is outside 1..{MOST_SLACK} blocks")
            words += ["--slack", str(self.slack)]
        for option, device in {"input": self.input, "output": self.output}.items():
            valid = device.isprintable() and len(device) <= LONGEST_DEVICE
            text = f"{option}: a device's name has at most {LONGEST_DEVICE} characters and no control characters"
            require(valid, text)
            words += [f"--{option}-device={device}"] if device else []  # one word even if the name begins with a dash
        return [*words, "--measure" if self.measure else "--json"]


KINDS = {"convert": Convert, "train": Train, "check": Check, "compare": Compare, "score": Score, "live": Live}


@dataclass
class Job:
    """A request and its state; a job's file has these fields.

    Raises
    ------
    ConfigError
        Kind or state are unknown, or the request does not fit the kind.
    """

    number: int
    kind: str
    request: dict[str, Any]  # fields of the class in KINDS
    state: str = WAITING
    code: int | None = None  # exit status
    asked: float = field(default_factory=time.time)  # when it was requested, in seconds since the epoch
    began: float | None = None  # likewise
    ended: float | None = None  # likewise
    pid: int | None = None
    fault: str = ""  # why the server could not run the command, or could not record what became of it

    def __post_init__(self) -> None:
        require_known("kind", self.kind, KINDS)
        require_known("state", self.state, STATES)
        self.task = build(KINDS[self.kind], self.request, self.kind)

    def line(self, workspace: Workspace) -> str:
        """The command as a user would type it in the folder; if something it needs is missing, that as a comment."""
        try:
            words = self.task.words(workspace)
        except (VCError, OSError) as error:
            return f"# {reason(error)}"
        return shlex.join(word.replace(f"{workspace.root}/", "") for word in words)


class Jobs:
    """All jobs of a folder; each queue runs one at a time.

    Parameters
    ----------
    workspace : Workspace
        The folder, whose `jobs/` holds a file and a log for each job.

    Attributes
    ----------
    faults : list of str
        A message for each file in `jobs/` that is not a job; these files are ignored.
    """

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self.faults: list[str] = []
        self._folder = workspace.folder(layout.JOBS)
        self._jobs: dict[int, Job] = {}  # by number
        self._processes: dict[int, asyncio.subprocess.Process] = {}  # of running jobs, by number
        self._status: dict[int, dict[str, Any]] = {}  # latest status of live sessions, by number
        self._queries: dict[str, asyncio.subprocess.Process] = {}  # by command
        self._stop_requests: set[int] = set()  # numbers of jobs that a user stops
        self._is_closing = False
        self._wake = {queue: asyncio.Event() for queue in (LONG, SHORT, LIVE)}
        self._workers: list[asyncio.Task] = []
        for path in self._folder.glob("*.json"):
            try:
                job = build(Job, read_json(path, LARGEST_JOB, pipes=False), path.name)
                require(path.name == f"{job.number}.json", f"{path.name}: is the file of job {job.number}")
            except VCError as error:
                self.faults.append(f"{path}: {error}")
            else:
                self._jobs[job.number] = job

    async def start(self) -> None:
        """Start the queues; jobs that the last server left running run again, except live sessions."""
        for job in self._active_jobs():
            if job.state == RUNNING:
                await _end_orphan(job, self.workspace)
            job.state, job.pid = _state_after_shutdown(job), None
            with contextlib.suppress(OSError):  # a full disk; the next start reads the same file in the same way
                self._record(job)
        for queue, wake in self._wake.items():
            wake.set()
            self._workers.append(asyncio.create_task(self._work(queue)))

    async def close(self) -> None:
        """End all processes; the next server runs their jobs again, except live sessions."""
        self._is_closing = True
        for process in list(self._queries.values()):
            _kill(process)
            await process.wait()
        await asyncio.gather(*(self._terminate(number) for number in list(self._processes)))
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def add(self, kind: str, request: dict[str, Any]) -> Job:
        """Queue a job.

        Parameters
        ----------
        kind : str
            A key of KINDS.
        request : dict
            Fields of the class of that kind.

        Returns
        -------
        Job

        Raises
        ------
        VCError
            The request is invalid, or something that it names is missing.
        OSError
            The job's file cannot be written.
        """
        job = Job(1 + max(self._jobs, default=0), kind, request)
        job.task.words(self.workspace)
        self._require_no_conflict(job)
        self._log_path(job).unlink(missing_ok=True)
        self._record(job)
        self._jobs[job.number] = job
        self._wake[job.task.queue].set()
        return job

    def find(self, number: int) -> Job:
        """The job of a number; otherwise Missing."""
        if number not in self._jobs:
            raise Missing(f"job {number}: no such job")
        return self._jobs[number]

    def listing(self) -> list[Job]:
        """Jobs that the page lists, the newest first.

        The last MOST_LISTED, all that have not ended, and each experiment's last training if that was stopped or
        failed: it can only be resumed from the list.
        """
        newest = sorted(self._jobs.values(), key=lambda job: job.number, reverse=True)
        trainings = {job.task.output: job for job in reversed(newest) if isinstance(job.task, Train)}  # the last ones
        resumable = {job.number for job in trainings.values() if job.state in (STOPPED, FAILED)}
        return [
            job
            for rank, job in enumerate(newest)
            if rank < MOST_LISTED or job.state in (WAITING, RUNNING) or job.number in resumable
        ]

    async def stop(self, number: int) -> None:
        """Stop a job: end its command, which saves what it can, or take a waiting job out of its queue."""
        job = self.find(number)
        if job.state == WAITING:
            self._record(job, state=STOPPED)
        elif number in self._processes:
            self._stop_requests.add(number)
            await self._terminate(number)

    def resume(self, number: int) -> None:
        """Queue a stopped or failed job again; its command continues where it stopped."""
        job = self.find(number)
        require(job.state in (STOPPED, FAILED), f"job {number} is {job.state}")
        job.task.words(self.workspace)
        self._require_no_conflict(job)
        self._record(job, state=WAITING, code=None, ended=None, fault="")
        self._wake[job.task.queue].set()

    def remove(self, number: int) -> None:
        """Remove a job that has ended from the list; the output of its command stays."""
        job = self.find(number)
        require(job.state not in (WAITING, RUNNING), f"job {number} is {job.state}")
        del self._jobs[number]
        (self._folder / f"{number}.json").unlink(missing_ok=True)
        self._log_path(job).unlink(missing_ok=True)

    def output_lines(self, job: Job) -> list[str]:
        """The last lines of a command's output, and after them the job's fault, if any, as an error of vc-web."""
        lines = []
        # of any size, because only the end is read
        with contextlib.suppress(OSError), reading(self._log_path(job), sys.maxsize, pipes=False) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LARGEST_TAIL))
            lines = file.read(LARGEST_TAIL).decode(errors="replace").splitlines()[size > LARGEST_TAIL :]
        return [escaped(line) for line in (*lines, *([f"vc-web: error: {job.fault}"] if job.fault else []))]

    async def query(self, words: list[str], **environment: str) -> tuple[int, list[str], list[str]]:
        """Run a short command that writes no files, and wait for its output.

        A query that still runs the same command is ended, because the page no longer waits for it.

        Parameters
        ----------
        words : list of str
            The command line.
        environment : str
            Additional environment variables.

        Returns
        -------
        int
            Exit status.
        list of str
            Lines of standard output.
        list of str
            Lines of standard error.

        Raises
        ------
        DataError
            The command took longer than LONGEST_QUERY, a later query replaced this one, or the server is closing.
        """
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        process = await start_process(words, env={**os.environ, **environment}, **pipes)
        if earlier := self._queries.get(words[0]):
            _kill(earlier)
        self._queries[words[0]] = process
        try:
            if self._is_closing:  # the process started during `close`, which has not seen it
                raise DataError("the server is shutting down")
            output, errors = await asyncio.wait_for(process.communicate(), LONGEST_QUERY)
            if self._queries.get(words[0]) is not process:
                raise DataError(f"{words[0]}: replaced by a later request")
        except asyncio.TimeoutError:
            raise DataError(f"{words[0]}: no answer within {LONGEST_QUERY:.0f} s") from None
        finally:
            _kill(process)
            await process.wait()
            if self._queries.get(words[0]) is process:
                del self._queries[words[0]]
        texts = (text.decode(errors="replace").splitlines() for text in (output, errors))
        return process.returncode, *([escaped(line) for line in lines] for lines in texts)

    def user_of(self, name: str) -> Job | None:
        """A waiting or running job whose request has the name of a recording, speaker, voice or experiment."""
        for job in self._active_jobs():
            fields = job.request.values()
            # Values of the request, items of lists, and the model of a voice
            values = [item for field in fields for item in (field if isinstance(field, list) else [field])]
            if name in values or job.request.get("voice", "").startswith(f"{name}--"):
                return job
        return None

    def status(self, number: int) -> dict[str, Any]:
        """The latest status of a live session, with the names in docs/live.md; empty before the first."""
        self.find(number)
        return self._status.get(number, {})

    async def press(self, number: int, key: str) -> None:
        """Send one of KEYS to a live session."""
        require_known("key", key, KEYS)
        process = self._processes.get(self.find(number).number)
        require(process is not None and process.stdin is not None, f"job {number} is not a running live session")
        with contextlib.suppress(ConnectionError):  # it has just ended
            process.stdin.write(KEYS[key].encode())
            await process.stdin.drain()

    def _require_no_conflict(self, job: Job) -> None:
        """Refuse two trainings of one experiment, and two live sessions, at the same time."""
        others = [other.task for other in self._active_jobs() if other is not job]
        if isinstance(job.task, Train):
            name, outputs = job.task.output, [other.output for other in others if isinstance(other, Train)]
            conflict = f"{name}: a training of this model is already running or waiting: choose another name"
            require(name not in outputs, conflict)
        if job.task.queue == LIVE:
            conflict = any(other.queue == LIVE for other in others)
            require(not conflict, "a live session is already running: stop it first")

    def _active_jobs(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.state in (WAITING, RUNNING)]

    def _log_path(self, job: Job) -> Path:
        return self._folder / f"{job.number}.log"

    def _record(self, job: Job, **changes: Any) -> None:
        """Change a job and its file, or, if the file cannot be written, neither."""
        write_text(self._folder / f"{job.number}.json", json.dumps({**asdict(job), **changes}, indent=1) + "\n")
        for name, value in changes.items():
            setattr(job, name, value)

    def _conclude(self, job: Job, **changes: Any) -> None:
        """Change a job that no longer runs; without space for its file, in memory only, with a fault.

        If the job has ended, the file is removed, because the next server would run the job again.
        """
        try:
            self._record(job, **changes)
        except OSError as error:
            if changes["state"] != WAITING:
                with contextlib.suppress(OSError):
                    (self._folder / f"{job.number}.json").unlink()
                    return self._record(job, **changes)  # in the space that this has freed
            for name, value in {**changes, "fault": changes["fault"] or reason(error)}.items():
                setattr(job, name, value)

    async def _work(self, queue: str) -> None:
        """Run the jobs of a queue, the oldest first, forever."""
        while True:
            await self._wake[queue].wait()
            self._wake[queue].clear()
            while not self._is_closing:
                waiting = [job for job in self._jobs.values() if job.state == WAITING and job.task.queue == queue]
                if not waiting:
                    break
                await self._run(min(waiting, key=lambda job: job.number))

    async def _run(self, job: Job) -> None:
        """Run a job to its end; it fails if its command cannot be started or one of its files cannot be written."""
        fault = ""
        try:
            code = await self._execute(job)
        except (VCError, OSError) as error:
            code, state, fault = 2, FAILED, reason(error)
        else:
            stopped = job.number in self._stop_requests or job.state == STOPPED
            state = STOPPED if stopped else _state_after_shutdown(job) if self._is_closing else FAILED
            state = DONE if code == 0 else state
        self._stop_requests.discard(job.number)
        if self._jobs.get(job.number) is job:  # not removed while its process was being started
            self._conclude(job, state=state, code=code, ended=time.time(), pid=None, fault=fault)

    async def _execute(self, job: Job) -> int:
        """Run a job's command, and return its exit status."""
        with open_in_place(self._log_path(job)) as log:
            pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
            streams = pipes if job.task.queue == LIVE else {"stdout": log}
            process = await start_process(job.task.words(self.workspace), stderr=log, **streams)
            self._processes[job.number] = process
            try:
                if job.state != WAITING or self._is_closing:  # stopped while the process was being started
                    _kill(process)
                    return await process.wait()
                self._record(job, state=RUNNING, began=time.time(), pid=process.pid)
                if process.stdout is not None:
                    await self._follow(job, process.stdout, log)
                return await process.wait()
            except OSError:  # a process that is not recorded could outlive a killed server unnoticed
                _kill(process)
                await process.wait()
                raise
            finally:
                del self._processes[job.number]
                self._status.pop(job.number, None)

    async def _follow(self, job: Job, output: asyncio.StreamReader, log: BinaryIO) -> None:
        """Read a live session's output: keep its latest status, and log lines that are not JSON."""
        while True:
            try:
                line = await output.readline()
            except ValueError:  # longer than the reader's limit
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
                with contextlib.suppress(OSError):  # a full disk must not end a session
                    log.write(line)

    async def _terminate(self, number: int) -> None:
        """Ask a job's process to end, and kill it after PATIENCE."""
        process = self._processes[number]
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), PATIENCE)
            except asyncio.TimeoutError:
                system.kill_group(process.pid)
                await process.wait()


async def start_process(words: list[str], **streams: Any) -> asyncio.subprocess.Process:
    """Start one of this package's commands in a session of its own, which a terminal's Ctrl-C does not reach."""
    return await asyncio.create_subprocess_exec(
        *command_line(words), cwd="/", start_new_session=True, **{"stdin": asyncio.subprocess.DEVNULL, **streams}
    )


def command_line(words: list[str]) -> list[str]:
    """Command line that runs `vc-NAME ...` even if it is not on PATH."""
    return [sys.executable, "-c", LAUNCHER, words[0].removeprefix("vc-"), *words[1:]]


def reason(error: VCError | OSError) -> str:
    """An error's message in one line, which names the file if there is one."""
    if isinstance(error, OSError):
        return f"{error.filename or 'system'}: {error.strerror or error}"
    return "; ".join(map(str, error.args))


def experiment_name(name: str) -> str:
    """Return a name that an experiment can have; ConfigError for others."""
    valid = layout.IDENTIFIER.fullmatch(name) and len(name) <= layout.LONGEST_NAME and name != layout.FEATURES
    require(bool(valid), f"model's name {name!r}: 1 to {layout.LONGEST_NAME} letters, digits, '.', '_' and '-'")
    return name


def measurement_speakers(workspace: Workspace, experiment: str) -> tuple[str, str]:
    """Source and target on whose held-out recordings an experiment was measured.

    Raises
    ------
    VCError
        The experiment was not measured, or the measurement does not name the speakers.
    """
    path = workspace.file(layout.EXPERIMENTS, experiment, "evaluation", "metrics.json")
    try:
        folders = read_json(path)["configuration"]["folders"]
        return Path(folders["source"]).name, Path(folders["reference"]).name
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{experiment}: its measurement does not name source and target") from error


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            system.kill_group(process.pid)


def _state_after_shutdown(job: Job) -> str:
    """State of a job that the server's end interrupted; a microphone must not open again by itself."""
    return STOPPED if job.task.queue == LIVE else WAITING


async def _end_orphan(job: Job, workspace: Workspace) -> None:
    """End a command that outlived a killed server, so that it saves and releases its folder."""
    if job.pid is None:
        return
    proc = Path(f"/proc/{job.pid}/cmdline")
    with contextlib.suppress(OSError, VCError):
        words = os.fsencode("\0".join(command_line(job.task.words(workspace)))) + b"\0"
        if proc.read_bytes() != words:  # the number now belongs to another process
            return
        os.kill(job.pid, signal.SIGTERM)
        for _ in range(round(PATIENCE * 10)):
            if proc.read_bytes() != words:
                return
            await asyncio.sleep(0.1)
        system.kill_group(job.pid)
