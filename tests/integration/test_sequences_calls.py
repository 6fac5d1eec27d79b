"""Calls of other systems: signed, made once more when nobody answered, and to no address that was not meant."""

import hashlib
import hmac
import http.server
import json
import threading
from datetime import timedelta
from typing import ClassVar

import pytest

from campaigns.sequences.calling import make_calls
from campaigns.sequences.calls import is_due
from campaigns.sequences.http import Refused, is_public, post
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer
from tests.sequence_files import Road, sequence

SECRET = "a secret of the endpoint"


class Crm(http.server.BaseHTTPRequestHandler):
    """Takes calls, and answers as it is told to."""

    answers: ClassVar[list[int]] = []
    calls: ClassVar[list[tuple[dict, bytes]]] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.calls.append((dict(self.headers), body))
        self.send_response(self.answers.pop(0) if self.answers else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Nothing is printed."""


@pytest.fixture
def crm():
    """A server that takes calls, with what it was sent."""
    Crm.answers, Crm.calls = [], []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Crm) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def called(make_workspace, database, clock, crm):
    """A sequence whose one step called the server for Ann."""
    url = f"http://127.0.0.1:{crm.server_port}/hook?a=1"
    settings = MINIMAL_SETTINGS + f'endpoints:\n  crm: {{{{url: "{url}", secret: "{SECRET}", internal: true}}}}\n'
    text = sequence("hook: {webhook: {endpoint: crm, with: {list: 7}}}")
    way = Road(lambda **given: make_workspace(**given, settings=settings), database, clock, text)
    with database.begin() as connection:
        make_customer(connection, external_id="ann", email="ann@firm.example")
    way.tick()
    return way


def test_a_call_says_who_passed_and_is_signed(called):
    """
    The body names sequence, step and customer and what the step adds; its signature and key can be checked.
    """
    assert 1 == make_calls(called.workspace, called.database, called.clock)
    (headers, body), *others = Crm.calls
    seconds, digest = (part.partition("=")[2] for part in headers["Clarion-Signature"].split(","))

    assert [] == others
    told = json.loads(body)
    assert ("nurture", "hook", "ann", {"list": 7}) == tuple(
        told[name] for name in ("sequence", "step", "customer", "with")
    )
    assert hmac.new(SECRET.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest() == digest
    assert headers["Idempotency-Key"].startswith("sequence:")
    assert [("accepted", None)] == [tuple(row) for row in called.rows("SELECT state, fault FROM webhook_call")]


def test_a_call_that_fails_is_made_again_with_its_key(called):
    """
    After 503 it waits and comes again under the same key; after 410 it is given up.
    """
    Crm.answers[:] = [503, 410]
    assert 0 == make_calls(called.workspace, called.database, called.clock)
    with called.database.begin() as connection:
        assert not is_due(connection, called.clock.now())
    called.clock.step(timedelta(seconds=10))
    assert 0 == make_calls(called.workspace, called.database, called.clock)

    assert 1 == len({headers["Idempotency-Key"] for headers, _ in Crm.calls})
    state, fault, attempts = called.rows("SELECT state, fault, attempt_count FROM webhook_call")[0]
    assert ("failed", "127.0.0.1 answered 410 Gone", 2) == (state, fault, attempts)


def test_a_lost_worker_leaves_a_call_for_the_next(called):
    """
    A call that was claimed and never answered comes up again when its lease is over.
    """
    with called.database.begin() as connection:
        connection.exec_driver_sql("UPDATE webhook_call SET state = 'handed_over', attempt_count = 1")
    called.clock.step(timedelta(minutes=5))

    assert 1 == make_calls(called.workspace, called.database, called.clock)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1",
     "2002:a00:1::", "0.0.0.0", "224.0.0.1", "100.64.0.1"],
)  # fmt: skip
def test_private_addresses_are_not_public(address):
    """
    However it is written, an address of a private network is none of the open Internet.
    """
    assert not is_public(address)


def test_a_private_address_is_not_called(crm):
    """
    Unless the endpoint is said to be internal nothing is sent there.
    """
    url = f"http://localhost:{crm.server_port}/"
    with pytest.raises(Refused, match="private network"):
        post(url, b"{}", {}, timeout=timedelta(seconds=2), internal=False)

    assert [] == Crm.calls
    assert is_public("93.184.216.34")
