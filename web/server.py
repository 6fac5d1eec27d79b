"""The application on a socket, with graceful stop."""

import contextlib
import signal
import socket
import sys
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from campaigns.presence import Present
from core.clock import Clock
from core.commands import remark
from core.database import Database
from core.errors import ServiceError
from core.workspace import Workspace
from web.app import create_app

#: A request under way at the stop has this long to finish.
_GRACE_S = 10
#: Connections at a time; more are answered 503, and the rest of the machine goes on.
_MOST_AT_ONCE = 2000


def serve(workspace: Workspace, database: Database, clock: Clock, *, host: str, port: int) -> None:
    """The public pages were served until SIGINT or SIGTERM; every hit that was answered is in the database.

    Raises:
        ServiceError: nothing can listen there.
    """
    with listening(host, port) as place:
        remark(f"listening on {shown(place)}")
        server = uvicorn.Server(server_config(create_app(workspace, database, clock)))
        # uvicorn raises the signal again after its graceful stop; by then it means: leave.
        signal.signal(signal.SIGTERM, _leave)
        with Present(database.url, "web"), contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[place])
    database.dispose()


def server_config(app: Starlette) -> uvicorn.Config:
    """How the application is served: without an access log, which would hold tokens and addresses of people's
    machines."""
    return uvicorn.Config(
        app, loop="uvloop" if sys.platform != "win32" else "asyncio", http="httptools", ws="none",
        lifespan="on", access_log=False, log_level="warning", server_header=False,
        proxy_headers=False,  # `web.visitors` reads them: from the proxies of clarion.yaml alone
        timeout_graceful_shutdown=_GRACE_S, limit_concurrency=_MOST_AT_ONCE,
    )  # fmt: skip


def listening(host: str, port: int) -> socket.socket:
    """A socket bound to the address; requests wait in it until it is served.

    Raises:
        ServiceError: the address cannot be used.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ServiceError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="choose another with --host and --port",
        ) from error


def shown(place: socket.socket) -> str:
    """The URL of a socket that listens."""
    host, port = place.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
