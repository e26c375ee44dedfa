"""The server: one process for one folder, reachable from this machine only."""

import secrets
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from vc.errors import ConfigError
from vc.files import locked
from vc.signals import stop_signals
from vc.web.app import application
from vc.web.guard import Guard
from vc.web.jobs import Jobs
from vc.web.workspace import Workspace

HOST = "127.0.0.1"
PORT = 8765  # the default; if it is in use, the next free one
MOST_PORTS = 20  # to try
GRACE = 3  # seconds for open responses when the server shuts down


def serve(folder: Path, port: int | None, say: Callable[[str], None]) -> None:
    """Serve a folder until a signal stops the process.

    Parameters
    ----------
    folder : Path
        The folder, created if missing.
    port : int, optional
        Default: PORT, or the next free one.
    say : callable
        Called with each line for the user: the address, and files in `jobs` that are not jobs.

    Raises
    ------
    ConfigError
        The port is in use, or all MOST_PORTS are.
    DataError
        Another server uses the folder.
    """
    workspace = Workspace(folder)
    with locked(workspace.root), _listening(port) as listener:
        workspace.clean()
        jobs, token = Jobs(workspace), secrets.token_urlsafe(32)
        chosen = listener.getsockname()[1]
        server = server_of(application(workspace, jobs, chosen, token))

        def stop(*_: object) -> None:
            server.should_exit = True

        for number in stop_signals():  # uvicorn replaces two of these, and raises the signal again at its end
            signal.signal(number, stop)
        for fault in jobs.faults:
            say(f"left out: {fault}")
        say(f"working in {workspace.root}; press Ctrl-C to stop: unfinished trainings continue at the next start")
        say(f"open in a browser: http://{HOST}:{chosen}/?token={token}")
        server.run([listener])


def server_of(app: Guard) -> uvicorn.Server:
    """A server for an application that logs nothing and does not identify itself to clients."""
    silent = {"log_level": "critical", "access_log": False, "server_header": False}
    return uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=GRACE, **silent))


def _listening(port: int | None) -> socket.socket:
    """A listening socket at `port`, or at the first free one from PORT on; ConfigError if it is in use."""
    for number in [port] if port else range(PORT, PORT + MOST_PORTS):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, number))
        except OSError as error:
            listener.close()
            fault = error
        else:
            listener.listen(128)
            return listener
    ports = port or f"{PORT} to {PORT + MOST_PORTS - 1}"
    raise ConfigError(f"port {ports}: {fault.strerror}; choose another with --port")
