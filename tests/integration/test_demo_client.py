"""The audience's requests, received by a real HTTP server."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from demo.audience import Client, Visit, answer

PAGE = b'<form method="post"><input type="radio" name="choice" value="topic" checked></form>'


@dataclass
class Site:
    """A server that notes what it is asked for; paths below /missing are not found."""

    port: int = 0
    requests: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture
def site() -> Iterator[Site]:
    """A running site."""
    noted = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            noted.requests.append((self.command, self.path, self.headers["user-agent"], body))
            noted.connections.add(self.client_address)
            self.send_response(404 if self.path.startswith("/missing") else 200)
            self.send_header("content-length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)

        do_GET = do_POST = answer  # noqa: N815  the standard library's names

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        noted.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield noted
        server.shutdown()
        thread.join()


@pytest.fixture
def client() -> Iterator[Client]:
    """Somebody's browser."""
    opened = Client()
    yield opened
    opened.close()


def visit(what: str, url: str = "", *, at: float = 0.0) -> Visit:
    """A visit with a browser named `a browser`."""
    return Visit(at, "jo@customers.example", what, url, "a browser")


def test_client_clicks_without_following_the_redirect(site: Site, client: Client) -> None:
    """
    A link is asked for once, with the person's browser.
    """
    assert client.make(visit("clicked", site.url("/c/token"))) is True
    assert [("GET", "/c/token", "a browser", b"")] == site.requests


def test_client_unsubscribes_with_one_click(site: Site, client: Client) -> None:
    """
    The mail program's request is one POST with exactly the pair of RFC 8058.
    """
    assert client.make(visit("one_click", site.url("/u/token"))) is True
    assert [("POST", "/u/token", "a browser", b"List-Unsubscribe=One-Click")] == site.requests


@pytest.mark.parametrize(("what", "expected"), [("page", b"choice=topic"), ("everything", b"choice=everything")])
def test_client_unsubscribes_by_the_page(site: Site, client: Client, what: str, expected: bytes) -> None:
    """
    The page is looked at first; then its form is sent with what is chosen.
    """
    assert client.make(visit(what, site.url("/u/token"))) is True
    assert [("GET", b""), ("POST", expected)] == [(method, body) for method, _, _, body in site.requests]


def test_client_keeps_its_connection(site: Site, client: Client) -> None:
    """
    Several visits share one connection.
    """
    for number in range(5):
        client.make(visit("clicked", site.url(f"/c/{number}")))

    assert (5, 1) == (len(site.requests), len(site.connections))


def test_client_notices_bad_answers(site: Site, client: Client) -> None:
    """
    An address that is not found, and a server that is not there, are no good answers.
    """
    assert client.make(visit("clicked", site.url("/missing"))) is False
    assert client.make(visit("opened", "http://127.0.0.1:1/o/token.gif")) is False


def test_answer_makes_every_visit_in_time(site: Site) -> None:
    """
    Everybody's visits are made, counted, not before their time, and who bought is known with the moment.
    """
    begin = time.monotonic()
    agenda = [visit("opened", site.url("/o/1.gif"), at=begin + 0.05), visit("clicked", site.url("/missing"), at=begin)]
    agenda.append(visit("bought", at=begin + 0.1))
    answers = answer(agenda)

    assert {"opened": 1, "failed": 1, "bought": 1} == answers.counts
    assert ["jo@customers.example"] == [order.recipient for order in answers.orders]
    assert time.monotonic() - begin >= 0.1
