"""The server: one process for one folder, on this machine alone."""

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
PORT = 8765  # or the next that is free
TRIED = 20  # ports
CLOSING = 3  # seconds that answers may take when the server ends


def serve(folder: Path, port: int | None, say: Callable[[str], None]) -> None:
    """Serve a folder until a signal ends it; `say` is told the address, and what else a user has to know.

    Raises
    ------
    ConfigError
        The port is in use.
    DataError
        The folder is in use by another server.
    """
    workspace = Workspace(folder)
    with locked(workspace.root), _listening(port) as listener:
        workspace.clean()
        jobs, token = Jobs(workspace), secrets.token_urlsafe(32)
        chosen = listener.getsockname()[1]
        server = server_of(application(workspace, jobs, chosen, token))

        def end(*_: object) -> None:
            server.should_exit = True

        for number in stop_signals():  # uvicorn takes two of them over, and raises them again when it has ended
            signal.signal(number, end)
        for fault in jobs.faults:
            say(f"left out: {fault}")
        say(f"working in {workspace.root}; Ctrl-C ends, and what is unfinished goes on at the next start")
        say(f"open in a browser: http://{HOST}:{chosen}/?token={token}")
        server.run([listener])


def server_of(app: Guard) -> uvicorn.Server:
    """Serves an application and says nothing, neither to a terminal nor of itself to clients."""
    quiet = {"log_level": "critical", "access_log": False, "server_header": False}
    return uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=CLOSING, **quiet))


def _listening(port: int | None) -> socket.socket:
    """A socket at a port, or at the first free one of some if none is asked for."""
    for number in [port] if port else range(PORT, PORT + TRIED):
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
    raise ConfigError(f"port {port or f'{PORT} to {PORT + TRIED - 1}'}: {fault.strerror}; --port names another")
