"""The public pages on a real server, on loopback, and one mailing to come back from."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import uvicorn
from sqlalchemy import func, select
from starlette.applications import Starlette

from campaigns import catalogue, versions
from core import schema
from core.clock import Clock
from core.database import Database
from core.workspace import Workspace
from tests import campaign_files, factories
from tracking.links import TrackedUrls
from tracking.tokens import Signer
from web.app import create_app
from web.server import listening, server_config, shown

FILES = {
    **campaign_files.FILES,
    "templates/spring-paper.html": """\
---
subject: Paper
---
<html><body><p>Good morning {{ customer.first_name or "there" }},</p>
<a href="https://shop.example/paper?utm=a%20b&amp;x=1#prices">Paper</a> <a href="https://shop.example/pens">Pens</a>
<a href="https://shop.example/ink">Ink</a></body></html>
""",
}
#: The tracked links of that mailing, by position.
LINKS = ("https://shop.example/paper?utm=a%20b&x=1#prices", "https://shop.example/pens", "https://shop.example/ink")
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
#: So often a server that is told to stop, or waits for what it is answering, looks again.
_LOOKS_EVERY_S = 0.004


class _Prompt(uvicorn.Server):
    """uvicorn, which stops as soon as it may: by itself it looks ten times a second, and waits a tenth of one more."""

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:
            await asyncio.sleep(_LOOKS_EVERY_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        async with asyncio.timeout(self.config.timeout_graceful_shutdown):
            while self.server_state.connections or self.server_state.tasks:
                await asyncio.sleep(_LOOKS_EVERY_S)
        await self.lifespan.shutdown()


@contextlib.contextmanager
def served(app: Starlette) -> Iterator[str]:
    """The URL at which uvicorn serves `app` in a thread, as `clarion web` does in a process."""
    with listening("127.0.0.1", 0) as place:
        server = _Prompt(server_config(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            yield shown(place)
        finally:
            server.should_exit = True
            thread.join()


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read to its end. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(
    url: str, method: str = "GET", body: bytes | str | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """One request over a connection of its own, sent as it is: no redirect is followed, no cookie kept."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    with contextlib.closing(connection):
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, {"User-Agent": BROWSER} | (headers or {}))
        response: HTTPResponse = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())


@dataclass(frozen=True, slots=True)
class Correspondence:
    """One message that was accepted long ago, the links in it, and the server they lead to."""

    base_url: str
    database: Database
    customer_id: int
    message_id: int
    urls: TrackedUrls

    def hits(self) -> list[tuple[str, int | None, str, str | None]]:
        """Every hit in order, as (kind, link, label, evidence)."""
        hit = schema.hit
        with self.database.begin() as connection:
            query = select(hit.c.kind, hit.c.link, hit.c.label, hit.c.evidence).order_by(hit.c.id)
            return [tuple(row) for row in connection.execute(query)]

    def row_counts(self) -> dict[str, int]:
        """The number of rows of every table."""
        with self.database.begin() as connection:
            return {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in schema.metadata.tables.items()
            }


@contextlib.contextmanager
def correspondence(
    make_workspace: Callable[..., Workspace], database: Database, clock: Clock, **customer: object
) -> Iterator[Correspondence]:
    """A customer who agreed to everything, a message of a real campaign to them, and the public pages running."""
    workspace = make_workspace(database=database, files=FILES)
    with database.begin() as connection:
        customer_id = factories.make_customer(connection, consents=("promotions", "news"), **customer)
        version = versions.store(connection, versions.pin(catalogue.load(workspace), "spring-paper"))
        run = factories.make_run(connection, version_id=version)
        message_id = factories.make_message(connection, run, customer_id)
    with served(create_app(workspace, database, clock)) as base_url:
        urls = TrackedUrls(base_url, Signer(workspace.secret), message_id)
        yield Correspondence(base_url, database, customer_id, message_id, urls)
