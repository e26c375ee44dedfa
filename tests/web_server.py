"""The server of vc-web in this process, and a client that says of itself what a browser would, or something else."""

import contextlib
import http.client
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from vc.web.app import application
from vc.web.jobs import Jobs
from vc.web.server import server_of
from vc.web.workspace import Workspace

PATIENCE = 60  # seconds

# In place of the commands: says its words and does what the name of the model asks for; a training ends at a signal, a
# live session with the pipe from which it reads keys.
COMMAND = """
import json, os, pathlib, signal, sys, tempfile, time
words = sys.argv[1:]
if "--estimate" in words:
    output = pathlib.Path(words[words.index("--output") + 1])
    if output.name == "slow":
        tempfile.mkdtemp()
        output.with_suffix(".pid").write_text(f"{os.getpid()} {tempfile.gettempdir()}")
        time.sleep(60)
    print("2 min: as", *words)
    sys.exit()
if "--devices" in words:
    sys.exit("vc-live: error: a sound card needs sounddevice")
print("vc-fake:", *words, file=sys.stderr if words[0] == "live" else sys.stdout, flush=True)
if words[0] == "live":
    state = {"muted": False, "passthrough": False}
    print("no state", "x" * 200000, json.dumps(state), sep="\\n", flush=True)
    while key := sys.stdin.read(1):
        name = {"m": "muted", "p": "passthrough"}[key]
        state[name] = not state[name]
        print(json.dumps(state), flush=True)
if words[0] == "train":
    output = pathlib.Path(words[words.index("--output") + 1])
    output.mkdir(parents=True, exist_ok=True)
    def end(*_):
        print("saved", flush=True)
        sys.exit(143)
    signal.signal(signal.SIGTERM, end)
    with (output / "starts").open("a") as file:
        file.write("start\\n")
    while output.name.startswith("long") and not (output / "finish").exists():
        time.sleep(0.01)
    sys.exit("vc-fake: error: wrong" if output.name.startswith("bad") else 0)
"""


class Reply(NamedTuple):
    """An answer of the server."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One browser: it has opened the address with the token, and its requests come from the page."""

    def __init__(self, port: int, token: str):
        self.port, self.token = port, token
        self.host = f"127.0.0.1:{port}"
        self.cookie = f"vc_web_{port}={token}"

    def __call__(self, method: str, path: str, body: Any = None, **headers: str | None) -> Reply:
        """Ask for something; `headers` by names with `_` for `-`, None to leave one out that a page would send."""
        content = json.dumps(body).encode() if isinstance(body, dict | list) else body
        sent = {"host": self.host, "cookie": self.cookie, "origin": f"http://{self.host}"}
        sent |= {"sec-fetch-site": "same-origin"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if content is not None and "content-length" not in sent:
                sent["content-length"] = str(len(content))
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(content)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def upload(self, path: str, name: str, content: bytes, **headers: str | None) -> Reply:
        return self("PUT", f"{path}?name={quote(name)}", content, **headers)

    def job(self, kind: str, **request: Any) -> int:
        """Ask for a command; its number."""
        reply = self("POST", "/api/jobs", {"kind": kind, "request": request})
        assert reply.status == 201, reply.body
        return reply.json["number"]

    def wait(self, number: int, *states: str) -> dict[str, Any]:
        """What the server tells of a job as soon as it is in one of some states."""
        return until(lambda: (job := self("GET", f"/api/jobs/{number}").json)["state"] in states and job)


def until(true: Callable[[], Any]) -> Any:
    """What something gives as soon as that is true."""
    deadline = time.monotonic() + PATIENCE
    while not (value := true()):
        assert time.monotonic() < deadline, "never true"
        time.sleep(0.01)
    return value


@contextlib.contextmanager
def serving(folder: Path, consent: bool = True) -> Iterator[Client]:
    """The server for a folder, while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, token = listener.getsockname()[1], secrets.token_urlsafe(32)
        workspace = Workspace(folder)
        workspace.clean()
        server = server_of(application(workspace, Jobs(workspace), port, token))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            until(lambda: server.started)
            client = Client(port, token)
            if consent:
                assert client("POST", "/api/consent").status == 200
            yield client
        finally:
            server.should_exit = True
            thread.join(3 * PATIENCE)  # a command has PATIENCE to end in
            assert not thread.is_alive()
