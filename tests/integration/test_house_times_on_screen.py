"""Times on screens: by the organisation's clock, with its zone; in JSON as ISO 8601 in UTC."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert

from cli import clarion
from core import audit, schema
from core.commands import Desk
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer, make_suppression

SETTINGS = MINIMAL_SETTINGS.replace('12345 Papertown"}}', '12345 Papertown", zone: Asia/Kathmandu}}')
#: 20:15 in Kathmandu, on the first of March.
AT = datetime(2026, 3, 1, 14, 30, tzinfo=UTC)
THERE = "2026-03-01 20:15 +05:45"


@pytest.fixture
def run(database, make_workspace, clock) -> Iterator[Callable[..., Result]]:
    """Runs the command line in a workspace of Kathmandu, in which something of every kind happened at one instant."""
    with database.begin() as connection:
        make_customer(connection, email="kim@customers.example")
        make_suppression(connection, "kim@customers.example", created_at=AT)
        audit.record(connection, "anna", "suppress.add", "address:1", at=AT)
        mail = {"digest": b"d", "source": "box", "raw": b"Subject: Hello\r\n\r\n", "size": 18, "received_at": AT}
        connection.execute(insert(schema.inbound_mail).values(id=1, **mail))
        held = {"held_at": AT, "held_because": "paused", "held_by": "operator"}
        connection.execute(insert(schema.throttle).values(key="transport:main", held_until=AT, **held))
        connection.execute(insert(schema.throttle).values(key="domain:slow.example", **held))
        ended = {"state": "done", "done_at": AT, "done_by": "anna", "outcome": "called"}
        connection.execute(insert(schema.task).values(id=1, task_key="k", kind="reply", title="Call Kim", **ended))
        asked = {"desk": "sales", "source": "api", "subject": "How many?", "received_at": AT, "due_at": AT}
        answered = {"state": "answered", "answered_at": AT, "answered_by": "anna", "outcome": "told"}
        connection.execute(insert(schema.inquiry).values(id=1, inquiry_key="a", **asked, **answered))
        connection.execute(insert(schema.inquiry).values(id=2, inquiry_key="b", **asked))
    desk = Desk(make_workspace(database=database, settings=SETTINGS).root, clock)
    yield lambda *words: CliRunner().invoke(clarion, words, obj=desk)
    desk.close()


def test_screens_tell_times_by_the_organisations_clock_with_its_zone(run) -> None:
    """
    What was at half past two in London was at a quarter past eight in Kathmandu; refusals tell it, too.
    """
    asked = {
        "audit": ("audit", "list"),
        "mails": ("inbound", "list"),
        "mail": ("inbound", "show", "1"),
        "ways": ("transport", "list"),
        "suppressed": ("suppress", "list"),
        "task": ("task", "done", "1", "--outcome", "again"),
        "inquiry": ("inquiry", "answer", "1", "--outcome", "again"),
        "call": ("inquiry", "call", "2", "--at", "2026-03-01 20:15"),
    }
    told = {name: run(*words).output for name, words in asked.items()}

    assert [] == [(name, output) for name, output in told.items() if THERE not in output or "UTC" in output]
    assert 2 == told["ways"].count(THERE)  # until when the transport is held, since when the domain
    assert "+05:45" in run("retention", "run", "--dry-run").output


def test_documents_tell_times_in_utc(run) -> None:
    """
    Programs read the same instants with their distance from UTC.
    """
    documents = {
        "entries": json.loads(run("audit", "list", "--json").stdout)["entries"][0]["at"],
        "mails": json.loads(run("inbound", "list", "--json").stdout)["mails"][0]["received_at"],
        "domains": json.loads(run("transport", "list", "--json").stdout)["domains"][0]["since"],
        "suppressed": json.loads(run("suppress", "list", "--json").stdout)["entries"][0]["created_at"],
    }

    assert dict.fromkeys(documents, AT.isoformat()) == documents
