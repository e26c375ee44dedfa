"""The server's endpoints: the page, the contents of its folder, uploads, and jobs."""

import contextlib
import datetime
import json
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import soundfile
from starlette import responses
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from vc import __version__
from vc.config import require, require_known
from vc.corpus import audio
from vc.corpus.condition import Condition
from vc.errors import ConfigError, DataError, VCError
from vc.files import BLOCK, write_text
from vc.live import settings
from vc.model_file import NAME
from vc.tensor_file import LARGEST_TENSORS
from vc.web import recordings
from vc.web import workspace as layout
from vc.web.guard import FRAME_POLICY, Guard
from vc.web.jobs import DONE, FAILED, RUNNING, STOPPED, Job, Jobs, Train, reason
from vc.web.progress import progress
from vc.web.workspace import Missing, TooLarge, Workspace

HERE = Path(__file__).parent
TEXT = HERE / "text/en.json"
PROMPTS = HERE / "text/prompts.tsv"
LARGEST_REQUEST = 1 << 16  # bytes of JSON
FORMATS = {"wav": "audio/wav", "flac": "audio/flac"}
CONSENT_KEYS = ("consent_lead", "consent_1", "consent_2", "consent_3")  # of the texts that a user agrees to


class JSONResponse(responses.JSONResponse):
    """JSON in ASCII: files of other people may hold lone surrogates, which UTF-8 cannot encode."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def application(workspace: Workspace, jobs: Jobs, port: int, token: str) -> Guard:
    """Build the ASGI application for a folder.

    Parameters
    ----------
    workspace : Workspace
    jobs : Jobs
        The folder's jobs, which start and end with the server.
    port : int
        Port that the server listens on.
    token : str
        Secret that requests must carry.

    Returns
    -------
    Guard
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await jobs.start()
        yield
        await jobs.close()

    endpoints = Endpoints(workspace, jobs)
    app = Starlette(
        routes=[*endpoints.routes(), Mount("/static", StaticFiles(directory=HERE / "static"))],
        lifespan=lifespan,
        exception_handlers={
            VCError: _on_error,
            OSError: lambda _, error: JSONResponse({"error": reason(error)}, 422),
            ClientDisconnect: lambda *_: Response(status_code=400),
            HTTPException: lambda _, error: JSONResponse({"error": error.detail}, error.status_code, error.headers),
        },
    )
    return Guard(app, port, token)


def _on_error(_: Request, error: Exception) -> JSONResponse:
    code = 404 if isinstance(error, Missing) else 413 if isinstance(error, TooLarge) else 422
    return JSONResponse({"error": str(error)}, code)


class Endpoints:
    """The endpoints; Starlette runs those without `async` in threads."""

    def __init__(self, workspace: Workspace, jobs: Jobs):
        self.workspace, self.jobs = workspace, jobs
        self.text = json.loads(TEXT.read_text(encoding="utf-8"))
        lines = PROMPTS.read_text(encoding="utf-8").splitlines()
        self.prompts = [dict(zip(("id", "text", "phones"), line.split("\t"))) for line in lines]
        self.templates = Jinja2Templates(HERE / "templates")

    def routes(self) -> list[Route]:
        get, put, post, delete = (partial(Route, methods=[name]) for name in ("GET", "PUT", "POST", "DELETE"))
        return [
            get("/", self.page),
            get("/api/state", self.state),
            post("/api/consent", self.consent),
            put("/api/sources", self.upload_source),
            put("/api/recordings/{speaker}", self.upload_recording),
            put("/api/models", self.upload_model),
            put("/api/tests/{test}/answers", self.upload_answers),
            get("/api/recordings/{speaker}", self.conditions),
            get("/api/recordings/{speaker}/{name}", self.recording),
            get("/api/playback/{name}", self.playback),
            get("/api/playback/{name}/{voice}", self.playback),
            get("/api/converted/{voice}/{name}", self.download),
            get("/api/archive/{voice}", self.archive),
            get("/api/jobs", self.list_jobs),
            post("/api/jobs", self.add_job),
            post("/api/command", self.command),
            post("/api/estimate", self.estimate),
            get("/api/jobs/{number:int}", self.job),
            get("/api/devices", self.devices),
            get("/api/jobs/{number:int}/status", self.status),
            post("/api/jobs/{number:int}/press/{key}", self.press),
            post("/api/jobs/{number:int}/stop", self.stop),
            post("/api/jobs/{number:int}/resume", self.resume),
            delete("/api/jobs/{number:int}", self.forget),
            get("/api/experiments/{name}/model", self.model),
            get("/api/experiments/{name}/samples/{file}", self.sample),
            get("/frame/report/{name}", self.report),
            get("/frame/test/{name}", self.test),
            delete("/api/{kind}/{first}", self.remove),
            delete("/api/{kind}/{first}/{second}", self.remove),
        ]

    # The page and its content

    def page(self, request: Request) -> Response:
        extensions = ",".join(sorted(recordings.EXTENSIONS))  # which the browser's file dialogue shows
        return self.templates.TemplateResponse(
            request,
            "page.html",
            {
                "t": self.text,
                "version": __version__,
                "prompts": self.prompts,
                "extensions": extensions,
                "live": settings,
            },
        )

    def state(self, _: Request) -> JSONResponse:
        """All contents of the folder that the page lists, by name."""
        workspace = self.workspace
        voices, faults = workspace.voices()
        speakers = {name: workspace.folder(layout.RECORDINGS, name) for name in workspace.speakers()}
        experiments = {name: workspace.folder(layout.EXPERIMENTS, name) for name in workspace.experiments()}
        sources = []
        folder = workspace.folder(layout.SOURCES)
        for name in recordings.list_names(folder):
            path = folder / name  # which may have been removed by now
            times = {voice.id: workspace.conversion_time(voice, name) for voice in voices}
            converted = {id: time for id, time in times.items() if time}
            seconds, changed = recordings.seconds(path), layout.modification_time(path)
            sources.append({"name": name, "seconds": seconds, "converted": converted, "changed": changed})
        return JSONResponse(
            {
                "folder": str(workspace.root),
                "consent": workspace.has_consent,
                "voices": [{**asdict(voice), "id": voice.id} for voice in voices],
                "faults": faults,
                "speakers": [
                    {
                        "name": name,
                        "recordings": [
                            {"name": file, "seconds": recordings.seconds(folder / file)}
                            for file in recordings.list_names(folder)
                        ],
                    }
                    for name, folder in speakers.items()
                ],
                "sources": sources,
                "experiments": [
                    {
                        "name": name,
                        "model": (folder / NAME).is_file(),
                        "report": layout.modification_time(folder / "evaluation/report.html"),
                        "comparable": (folder / "evaluation/metrics.json").is_file()
                        and (folder / "converted").is_dir(),
                    }
                    for name, folder in experiments.items()
                ],
                "tests": workspace.tests(),
            }
        )

    # Uploads

    async def consent(self, _: Request) -> JSONResponse:
        agreement = "\n".join(self.text[key] for key in CONSENT_KEYS)
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        write_text(self.workspace.output(layout.CONSENT), f"{agreement}\n\nAgreed to in the page of vc-web on {now}.\n")
        return JSONResponse({})

    def _require_consent(self) -> None:
        require(self.workspace.has_consent, "agree first to the conditions that the page shows when it opens")

    @contextlib.asynccontextmanager
    async def _upload(self, request: Request, largest: int) -> AsyncIterator[Path]:
        """Receive an upload; yields its temporary file, which is removed afterwards unless it was moved."""
        self._require_consent()
        declared = request.headers.get("content-length")
        size = int(declared) if declared and declared.isdigit() else None
        path = await self.workspace.receive(request.stream(), size, largest)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    async def upload_source(self, request: Request) -> JSONResponse:
        folder = self.workspace.folder(layout.SOURCES)
        return await self._add_recording(request, folder)

    async def upload_recording(self, request: Request) -> JSONResponse:
        self._require_consent()
        folder = self.workspace.new_speaker(request.path_params["speaker"])
        return await self._add_recording(request, folder)

    async def _add_recording(self, request: Request, folder: Path) -> JSONResponse:
        name = _file_name(request)
        async with self._upload(request, recordings.LARGEST) as path:
            new_name, condition = await run_in_threadpool(self.workspace.add_recording, path, folder, name)
        return JSONResponse({"name": new_name, "folder": folder.name, **_condition_fields(condition)}, 201)

    async def upload_model(self, request: Request) -> JSONResponse:
        name = _file_name(request)
        async with self._upload(request, LARGEST_TENSORS) as path:
            experiment = await run_in_threadpool(self.workspace.add_model, path, name)
        return JSONResponse({"name": experiment}, 201)

    async def upload_answers(self, request: Request) -> JSONResponse:
        async with self._upload(request, layout.LARGEST_ANSWERS) as path:
            self.workspace.add_answers(path, request.path_params["test"])
        return JSONResponse({}, 201)

    async def remove(self, request: Request) -> JSONResponse:
        """Remove a file or folder that the page lists."""
        names = [request.path_params[key] for key in ("kind", "first", "second") if key in request.path_params]
        removable = {layout.RECORDINGS: (2, 3), layout.SOURCES: (2,), layout.CONVERTED: (2,), layout.TESTS: (2,)}
        removable |= {layout.EXPERIMENTS: (2,)}
        if len(names) not in removable.get(names[0], ()):
            raise Missing(f"{names[0]}: cannot be removed here")
        for name in names[1:]:
            if job := self.jobs.user_of(name):
                user = f"job {job.number} ({job.kind}), which is {job.state}"
                raise ConfigError(f"{name}: {user}, needs it: stop that first")
        await run_in_threadpool(self._remove, names)
        return JSONResponse({})

    def _remove(self, names: list[str]) -> None:
        self.workspace.remove(*names)
        if names[0] == layout.SOURCES:
            for voice in self.workspace.voices()[0]:
                self.workspace.conversion(voice, names[1]).unlink(missing_ok=True)

    # Recordings

    def conditions(self, request: Request) -> JSONResponse:
        """Condition of each of a speaker's recordings; null for those that cannot be used."""
        folder = self.workspace.folder(layout.RECORDINGS, request.path_params["speaker"])
        conditions = {name: recordings.condition(folder / name) for name in recordings.list_names(folder)}
        fields = {name: condition and _condition_fields(condition) for name, condition in conditions.items()}
        return JSONResponse(fields)

    def recording(self, request: Request) -> Response:
        names = (request.path_params[key] for key in ("speaker", "name"))
        return _flac(recordings.playback(self.workspace.file(layout.RECORDINGS, *names)))

    def playback(self, request: Request) -> Response:
        """The beginning of a source or of a conversion."""
        voice, name = request.path_params.get("voice"), request.path_params["name"]
        path = self._conversion(voice, name) if voice else self.workspace.file(layout.SOURCES, name)
        return _flac(recordings.playback(path))

    def _conversion(self, voice: str, source: str) -> Path:
        return self.workspace.file(layout.CONVERTED, voice, f"{Path(source).stem}.wav")

    def download(self, request: Request) -> Response:
        path = self._conversion(request.path_params["voice"], request.path_params["name"])
        format = _format(request)
        name = f"{path.stem}-{request.path_params['voice']}.{format}"
        if format == "wav":
            return FileResponse(path, media_type=FORMATS[format], filename=name)
        file = self._temporary()
        _encode_flac(path, file)
        return _attachment(file, name, FORMATS[format])

    def archive(self, request: Request) -> Response:
        """All conversions to a voice that `state` lists, in a zip file."""
        workspace, format = self.workspace, _format(request)
        voice = workspace.voice(request.path_params["voice"])
        names = recordings.list_names(workspace.folder(layout.SOURCES))
        paths = [workspace.conversion(voice, name) for name in names if workspace.conversion_time(voice, name)]
        file = self._temporary()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for path in paths:
                with archive.open(f"{voice.id}/{path.stem}.{format}", "w", force_zip64=True) as entry:
                    if format == "wav":
                        with path.open("rb") as conversion:
                            _copy(conversion, entry)
                    else:
                        with self._temporary() as encoded:
                            _encode_flac(path, encoded)
                            _copy(encoded, entry)
        return _attachment(file, f"{voice.id}-{format}.zip", "application/zip")

    def _temporary(self) -> BinaryIO:
        """An unnamed file, removed once closed, on the disk that also holds the uploads."""
        return tempfile.TemporaryFile(dir=self.workspace.root / layout.INCOMING)

    # Jobs

    def list_jobs(self, _: Request) -> JSONResponse:
        return JSONResponse({"jobs": [self._job_fields(job) for job in self.jobs.listing()]})

    def _job_fields(self, job: Job) -> dict[str, Any]:
        fields = {key: getattr(job, key) for key in ("number", "kind", "request", "state", "code", "asked", "ended")}
        fields["queue"] = job.task.queue
        fields["command"] = job.line(self.workspace)
        lines = []
        if job.state in (FAILED, DONE, STOPPED):
            lines = self.jobs.output_lines(job)
            whole = job.kind in ("check", "score", "live")  # of other commands, errors and warnings
            fields["lines"] = [line for line in lines if whole or " error: " in line or " warning: " in line][-20:]
        if isinstance(job.task, Train):
            experiment = self.workspace.root / layout.EXPERIMENTS / job.task.output
            began = job.began if job.state == RUNNING else None
            fields["progress"] = progress(experiment, began)
            fields["verdict"] = _verdict(lines) if job.state == DONE else ""
        return fields

    def job(self, request: Request) -> JSONResponse:
        job = self.jobs.find(request.path_params["number"])
        return JSONResponse({**self._job_fields(job), "log": self.jobs.output_lines(job)})

    async def add_job(self, request: Request) -> JSONResponse:
        self._require_consent()
        job = self._requested_job(await _json(request))
        return JSONResponse(self._job_fields(self.jobs.add(job.kind, job.request)), 201)

    async def command(self, request: Request) -> JSONResponse:
        """The command that a job would run."""
        job = self._requested_job(await _json(request))
        job.task.words(self.workspace)
        return JSONResponse({"command": job.line(self.workspace)})

    def _requested_job(self, content: Any) -> Job:
        require(isinstance(content, dict) and content.keys() == {"kind", "request"}, "expected a kind and a request")
        require(isinstance(content["kind"], str), "expected a kind")
        return Job(0, content["kind"], content["request"])

    async def estimate(self, request: Request) -> JSONResponse:
        """How long a training will take, as its command says."""
        self._require_consent()
        job = self._requested_job(await _json(request))
        require(isinstance(job.task, Train), f"{job.kind}: only trainings can be estimated")
        words = [*job.task.words(self.workspace), "--estimate"]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # the command may be killed
            code, lines, errors = await self.jobs.query(words, TMPDIR=folder)
        if code or not lines:
            raise DataError(_fault(words[0], errors))
        return JSONResponse({"estimate": lines[-1]})

    # Live

    async def devices(self, _: Request) -> JSONResponse:
        """The machine's devices as vc-live lists them, or why it cannot."""
        code, lines, errors = await self.jobs.query(["vc-live", "--devices", "--json"])
        if code:
            return JSONResponse({"devices": [], "fault": _fault("vc-live", errors)})
        devices = [json.loads(line) for line in lines if line.startswith("{")]  # sound libraries may print, too
        return JSONResponse({"devices": devices, "fault": ""})

    def status(self, request: Request) -> JSONResponse:
        return JSONResponse(self.jobs.status(request.path_params["number"]))

    async def press(self, request: Request) -> JSONResponse:
        await self.jobs.press(request.path_params["number"], request.path_params["key"])
        return JSONResponse({})

    async def stop(self, request: Request) -> JSONResponse:
        await self.jobs.stop(request.path_params["number"])
        return JSONResponse({})

    async def resume(self, request: Request) -> JSONResponse:
        self.jobs.resume(request.path_params["number"])
        return JSONResponse({})

    async def forget(self, request: Request) -> JSONResponse:
        self.jobs.remove(request.path_params["number"])
        return JSONResponse({})

    # Output of trainings and measurements

    def model(self, request: Request) -> Response:
        name = request.path_params["name"]
        path = self.workspace.file(layout.EXPERIMENTS, name, NAME)
        return FileResponse(path, media_type="application/octet-stream", filename=f"{name}.safetensors")

    def sample(self, request: Request) -> Response:
        names = (request.path_params["name"], "samples", request.path_params["file"])
        return _flac(recordings.playback(self.workspace.file(layout.EXPERIMENTS, *names)))

    def report(self, request: Request) -> Response:
        name = request.path_params["name"]
        return _frame(self.workspace.file(layout.EXPERIMENTS, name, "evaluation", "report.html"))

    def test(self, request: Request) -> Response:
        return _frame(self.workspace.file(layout.TESTS, request.path_params["name"], "test.html"))


def _condition_fields(condition: Condition) -> dict[str, float]:
    return {
        "seconds": round(condition.seconds, 2),
        "speech": round(condition.seconds * (1 - condition.pauses), 2),
        "level": round(condition.level, 1),
        "noise": round(condition.noise, 1),
        "bandwidth": round(condition.bandwidth),
    }


def _fault(command: str, lines: list[str]) -> str:
    """A command's errors in its lines on stderr, among which may be warnings and lines of libraries."""
    prefix = f"{command}: error: "
    errors = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    return " ".join(errors) or f"{command} failed without giving a reason"


def _verdict(lines: list[str]) -> str:
    """The sentence on the result that vc-train prints before the line with the report; empty if there is none."""
    positions = [position for position, line in enumerate(lines) if line.startswith("listen: ")]
    return lines[positions[-1] - 1] if positions and positions[-1] else ""


def _file_name(request: Request) -> str:
    """Name of an uploaded file on the browser's side, without folders."""
    name = request.query_params.get("name", "").replace("\\", "/").rsplit("/", 1)[-1]
    if not name or len(name) > 1000:
        raise DataError("an upload needs a file name of at most 1000 characters")
    return name


def _format(request: Request) -> str:
    format = request.query_params.get("format", "wav")
    require_known("format", format, FORMATS)
    return format


async def _json(request: Request) -> Any:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_REQUEST:
            raise TooLarge(f"more than {LARGEST_REQUEST} bytes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError("expected JSON") from error


def _flac(playback: tuple[bytes, float]) -> Response:
    content, level = playback
    return Response(content, media_type=FORMATS["flac"], headers={"X-Speech-Level": f"{level:.2f}"})


def _encode_flac(path: Path, file: BinaryIO) -> None:
    """Encode a recording of any length into a file, block by block."""
    rate = audio.info(path).sample_rate
    with soundfile.SoundFile(file, "w", rate, 1, "PCM_16", format="FLAC") as sound:
        for block in audio.blocks(path):
            sound.write(block)
    file.seek(0)


def _copy(source: BinaryIO, target: Any) -> None:
    while block := source.read(BLOCK):
        target.write(block)


def _attachment(file: BinaryIO, name: str, kind: str) -> StreamingResponse:
    """A response with the content of a temporary file, which it closes."""
    size = file.seek(0, 2)
    file.seek(0)

    def blocks() -> Iterator[bytes]:
        with file:
            while block := file.read(BLOCK):
                yield block

    quoted = quote(name)  # as FileResponse does; headers are Latin-1
    parameter = f'filename="{name}"' if quoted == name else f"filename*=utf-8''{quoted}"
    headers = {"Content-Disposition": f"attachment; {parameter}", "Content-Length": str(size)}
    return StreamingResponse(blocks(), media_type=kind, headers=headers)


def _frame(path: Path) -> Response:
    """An HTML file for a frame of our page, isolated from it."""
    return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": FRAME_POLICY})
