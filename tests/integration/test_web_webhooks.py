"""Providers report over HTTP: answered with 2xx only once it is committed, and refused without a trace (S-4.18)."""

import http.client
import itertools
import json
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select, text

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import key_of, make_customer, make_message, make_run
from tests.feedback_events import NOON
from tests.serving import served
from tests.webhook_requests import (
    GRID_KEY,
    LOGIN,
    SIGNING_KEY,
    Request,
    bounced,
    mailgun,
    postmark,
    public_text,
    sendgrid,
)
from web.app import create_app
from web.webhooks import MAX_BODY

SETTINGS = (
    MINIMAL_SETTINGS
    + f"""
webhooks:
  sendgrid: {{{{public_key: "{public_text(GRID_KEY)}", groups: {{{{"7": news}}}}}}}}
  mailgun: {{{{signing_key: "{SIGNING_KEY}"}}}}
  postmark: {{{{user: {LOGIN.partition(":")[0]}, password: "{LOGIN.partition(":")[2]}"}}}}
"""
)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Hooks:
    """The pages of a workspace that hears three of the four providers."""

    url: str
    database: Database

    def post(self, request: Request, provider: str | None = None, method: str = "POST") -> int:
        """The status with which the request is answered."""
        link = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            link.request(method, f"/hooks/{provider or request.provider}", request.body, dict(request.headers))
            return link.getresponse().status
        finally:
            link.close()

    def sent(self) -> tuple[int, str]:
        """A message accepted shortly before noon, and the address it went to."""
        email = f"w@customers{next(_numbers)}.example"  # one domain with many bounces counts as out of order
        with self.database.begin() as connection:
            person = make_customer(connection, email=email)
            accepted_at = NOON - timedelta(hours=1)
            return make_message(connection, make_run(connection), person, accepted_at=accepted_at), email

    def known(self) -> tuple[int, int]:
        """How many events and suppressions there are."""
        with self.database.begin() as connection:
            count = [
                connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (schema.feedback, schema.suppression)
            ]
        return count[0], count[1]

    def state(self, message_id: int) -> str:
        with self.database.begin() as connection:
            return str(connection.execute(select(schema.message.c.state).filter_by(id=message_id)).scalar_one())

    def reasons(self, email: str) -> list[str]:
        """Why nothing goes to the address."""
        entry = schema.suppression.c
        with self.database.begin() as connection:
            return list(connection.execute(select(entry.reason).where(entry.address_key == key_of(email))).scalars())


@pytest.fixture(scope="module")
def hooks(module_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hooks]:
    """One server for all tests of this file."""
    root = tmp_path_factory.mktemp("hooks")
    filled = SETTINGS.format(database=module_database.url, broker="embedded", smtp_port=2525)
    (root / "clarion.yaml").write_text(filled, encoding="utf-8")
    with served(create_app(Workspace(root), module_database, SteppedClock(NOON))) as url:
        yield Hooks(url, module_database)


def test_a_bounce_reported_by_a_provider_suppresses_its_address(hooks: Hooks) -> None:
    """
    A hard bounce reported over HTTP ends the message as bounced and suppresses the address.
    """
    message_id, email = hooks.sent()
    status = hooks.post(sendgrid(bounced(email, sg_event_id=f"hard {email}")))

    assert (200, "bounced", ["hard_bounce"]) == (status, hooks.state(message_id), hooks.reasons(email))


def refused() -> Iterator[tuple[Request, int]]:
    email = "nobody@customers.example"
    yield replace(sendgrid(bounced(email)), headers={}), 401
    yield replace(sendgrid(bounced(email)), body=b"[]"), 403
    yield sendgrid(bounced(email), at=NOON - timedelta(minutes=6)), 403
    yield mailgun({"event": "complained", "recipient": email}, key="x" * 20), 403
    yield Request("mailgun", b"{}", {}), 401
    yield postmark({"RecordType": "SpamComplaint", "Email": email}, login="clarion:no"), 403
    yield Request("postmark", b"{}", {}), 401
    yield Request("ses", b"{}", {}), 404
    yield Request("unheard-of", b"{}", {}), 404
    yield sendgrid(bounced("x" * (MAX_BODY + 1))), 413


@pytest.mark.parametrize(("request_", "status"), [*refused()])
def test_what_is_not_proven_is_refused_and_changes_nothing(hooks: Hooks, request_: Request, status: int) -> None:
    """
    Unsigned: 401; signed wrongly, or long ago: 403; too large: 413; a provider that is not set: 404. No trace is left.
    """
    before = hooks.known()

    assert (status, before) == (hooks.post(request_), hooks.known())


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_webhooks_are_posted(hooks: Hooks, method: str) -> None:
    """
    Other methods change nothing, whoever signed them.
    """
    before = hooks.known()

    assert (405, before) == (hooks.post(sendgrid(bounced()), method=method), hooks.known())


def test_large_requests_of_many_events_are_taken(hooks: Hooks) -> None:
    """
    A thousand events in one request, far above the limit of the forms, are taken at once.
    """
    before, _ = hooks.known()
    events = [{"event": "delivered", "email": f"m{n}@customers.example", "sg_event_id": f"m{n}"} for n in range(1000)]
    status = hooks.post(sendgrid(*({"category": "x" * 300} | event for event in events)))

    assert (200, before + 1000) == (status, hooks.known()[0])


def test_repeated_requests_change_nothing_more(hooks: Hooks) -> None:
    """
    What was reported before, at once by many or again later, is answered with 200 and counted once.
    """
    _, email = hooks.sent()
    request = sendgrid({"event": "spamreport", "email": email, "sg_event_id": f"c {email}"})
    before = hooks.known()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(hooks.post, [request] * 24))

    assert {200} == set(statuses)
    assert (before[0] + 1, before[1] + 1) == hooks.known()


def test_a_token_of_mailgun_counts_once(hooks: Hooks) -> None:
    """
    The signature does not cover the event: the same one on another event is a replay and is refused. The very same
    request again is one whose answer was lost (S-4.14).
    """
    first = mailgun({"event": "delivered", "id": "d1", "recipient": "a@customers.example"}, token="once" * 12)
    other = mailgun({"event": "complained", "id": "d2", "recipient": "b@customers.example"}, token="once" * 12)
    statuses = [hooks.post(first)]
    before = hooks.known()
    statuses += [hooks.post(first), hooks.post(other), hooks.post(first)]

    assert ([200, 200, 403, 200], before) == (statuses, hooks.known())


def test_events_nobody_knows_are_kept_and_counted(hooks: Hooks) -> None:
    """
    A kind of event invented after this was written is answered with 200 and kept as unknown.
    """
    status = hooks.post(postmark({"RecordType": "Telepathy", "ID": 99, "Email": "a@customers.example"}))
    with hooks.database.begin() as connection:
        kept = select(schema.feedback.c.detail["event"].astext).where(schema.feedback.c.kind == "unknown")
        events = list(connection.execute(kept).scalars())

    assert (200, ["Telepathy"]) == (status, events)


def test_leaving_a_group_is_leaving_its_topic(hooks: Hooks) -> None:
    """
    A group that the settings name stands for its topic.
    """
    _, email = hooks.sent()
    event = {"event": "group_unsubscribe", "asm_group_id": 7, "email": email, "sg_event_id": f"g {email}"}
    hooks.post(sendgrid(event))
    entry = schema.suppression.c
    with hooks.database.begin() as connection:
        query = select(entry.scope, entry.scope_name, entry.reason).where(entry.address_key == key_of(email))
        found = [tuple(row) for row in connection.execute(query)]

    assert [("topic", "news", "unsubscribed")] == found


def test_nothing_is_answered_before_it_is_committed(
    database: Database, clock: SteppedClock, make_workspace: Callable[..., Workspace]
) -> None:
    """
    While the database does not take it, the provider hears 503 and repeats it; nothing of it is there before.
    """
    workspace = make_workspace(database=database, settings=SETTINGS)
    request = mailgun({"event": "complained", "id": "late", "recipient": "a@customers.example"})
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE suppression ADD CONSTRAINT none CHECK (reason <> 'complaint')"))
    with served(create_app(workspace, database, clock)) as url:
        hooks = Hooks(url, database)
        first = (hooks.post(request), hooks.known())
        with database.begin() as connection:
            connection.execute(text("ALTER TABLE suppression DROP CONSTRAINT none"))
        second = (hooks.post(request), hooks.known())

    assert ((503, (0, 0)), (200, (1, 1))) == (first, second)


def test_a_signature_of_mailgun_is_not_split_anew(hooks: Hooks) -> None:
    """
    Nothing parts timestamp and token in what Mailgun signs: characters moved from one to the other are refused.
    """
    genuine = mailgun({"event": "opened", "id": "o1", "recipient": "a@customers.example"}, token="e0" + "b" * 48)
    signed = json.loads(genuine.body)["signature"]
    forged = [
        {"event-data": {"event": "complained", "id": "o2", "recipient": "a@customers.example"},
         "signature": signed | {"timestamp": signed["timestamp"] + signed["token"][:n], "token": signed["token"][n:]}}
        for n in (1, 2)
    ]  # fmt: skip
    replays = [Request("mailgun", json.dumps(one).encode(), {}) for one in forged]

    assert [200, 403, 403] == [hooks.post(one) for one in (genuine, *replays)]


@pytest.mark.parametrize("name", ["timestamp", "token", "signature"])
def test_halves_of_characters_in_a_signature_are_refused(hooks: Hooks, name: str) -> None:
    """
    What cannot be written as UTF-8 is a wrong signature, and no error of ours.
    """
    signature = {"timestamp": str(int(NOON.timestamp())), "token": "t" * 50, "signature": "x"} | {name: "\ud800"}
    body = json.dumps({"signature": signature, "event-data": {}}).encode()

    assert 403 == hooks.post(Request("mailgun", body, {}))


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_events_of_other_centuries_are_taken_as_of_now(hooks: Hooks, at: str) -> None:
    """
    A time beyond the calendar is no error.
    """
    event = {
        "RecordType": "SpamComplaint",
        "BouncedAt": at,
        "Email": "a@customers.example",
        "ID": zlib.crc32(at.encode()),
    }

    assert 200 == hooks.post(postmark(event))
