"""A person with rows in every table that holds rows about people, and a search of the whole database for them."""

import contextlib
import hashlib
import zlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, insert, text

from core import schema
from customers.rights.ties import tied_tables
from tests.factories import (
    LONG_AGO,
    key_of,
    make_activity,
    make_attempt,
    make_consent,
    make_customer,
    make_enrolment,
    make_event,
    make_hit,
    make_message,
    make_purchase,
    make_registration,
    make_run,
    make_suppression,
    make_version,
)

EMAIL = "Annelore.Quittenbaum@pappel.example"
FORMER = "aq1970@linde.example"
FIRST, LAST, PHONE, EXTERNAL = "Annelore", "Quittenbaum", "+49 30 5550123", "KD-77120"
#: What must be found nowhere once the person was erased.
WORDS = (EMAIL.lower(), "annelore", "quittenbaum", FORMER, "5550123", EXTERNAL.lower())
TOLD = f"{FIRST} {LAST} <{EMAIL}>, {PHONE}"


def make_person(connection: Connection) -> int:
    """A customer who is named in every table that can name one; returns the customer's number."""
    customer_id = make_customer(
        connection, email=EMAIL, external_id=EXTERNAL, first_name=FIRST, last_name=LAST, phone=PHONE,
        attributes={"note": TOLD}, consents=("promotions",),
    )  # fmt: skip
    make_consent(connection, customer_id, topic="news", proof={"ip": "192.0.2.7", "form": TOLD}, wording=TOLD)
    make_purchase(connection, customer_id, order_id="O-77", description=TOLD)
    make_activity(connection, customer_id, properties={"page": TOLD}, event_key=f"seen:{EMAIL}")
    make_suppression(
        connection, EMAIL, reason="unsubscribed", source="one_click", evidence={"message_id": 0, "ip": "192.0.2.7"}
    )
    make_suppression(connection, FORMER, source=f"import:{LAST}.csv", evidence={"name": TOLD},
                     lifted_at=LONG_AGO, lifted_because=f"{FIRST} asked")  # fmt: skip
    bulk = make_message(connection, make_run(connection), customer_id)
    owed_run = make_run(connection, "receipt", version_id=make_version(connection, "receipt", topic="",
                        message_class="transactional"), occurrence="transactional")  # fmt: skip
    owed = make_message(connection, owed_run, customer_id, state="planned", occurrence=f"order {EMAIL}",
                        given={"name": TOLD})  # fmt: skip
    make_attempt(connection, bulk, outcome="accepted", code=250, enhanced="2.0.0", reply=f"ok <{EMAIL.lower()}> {LAST}")
    make_hit(connection, bulk, ip="192.0.2.7", user_agent=f"Mozilla of {FIRST}", evidence="a scanner")
    _insert(connection, schema.batch, run_id=owed_run, message_ids=[owed], not_before=LONG_AGO, queue="transactional")
    passage = make_enrolment(connection, customer_id, given={"order": TOLD}, source_key=f"seen:{EMAIL}")
    _insert(connection, schema.enrolment_step, enrolment_id=passage, step="hello", outcome="sent", done_at=LONG_AGO)
    seat = make_registration(connection, make_event(connection), customer_id, address_key=key_of(EMAIL),
                             answers={"name": TOLD}, uid=f"seat of {LAST}")  # fmt: skip
    _insert(connection, schema.registration_change, registration_id=seat, state_to="confirmed", because=TOLD,
            at=LONG_AGO)  # fmt: skip
    for table, values in _others(customer_id, bulk, owed):
        _insert(connection, table, **values)
    for table, values in _work_of_nobody(connection):
        _insert(connection, table, **values)
    return customer_id


def _insert(connection: Connection, table: Any, **values: Any) -> None:
    connection.execute(insert(table).values(**values))


def _others(customer_id: int, bulk: int, owed: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    of, key = {"customer_id": customer_id}, key_of(EMAIL)
    yield schema.customer_alias, {**of, "external_id": "KD-77120-old", "merged_because": TOLD}
    yield schema.customer_address, {**of, "address_key": key_of(FORMER), "email": FORMER}
    yield schema.customer_metrics, {**of, "as_of": LONG_AGO}
    yield schema.tier_change, {**of, "scheme": "abc", "level_to": "a", "changed_at": LONG_AGO}
    yield schema.preference, {**of, "most_messages": 1, "most_within": timedelta(days=7), "source": "page"}
    yield schema.kept_content, {"message_id": owed, "content": zlib.compress(f"To: {TOLD}".encode())}
    yield schema.task, {**of, "task_key": f"t:{EMAIL}", "kind": "reply", "title": TOLD, "body": TOLD}
    yield schema.task, {"task_key": "t:2", "kind": "reply", "title": TOLD, "message_id": bulk}
    yield schema.staff_notice, {
        **of, "notice_key": f"n:{EMAIL}", "recipient": "anna@staff.example", "subject": TOLD, "content": TOLD.encode(),
    }  # fmt: skip
    yield (
        schema.inbound_mail,
        {**of, **_mail(f"From: {TOLD}"), "message_id": bulk, "envelope_to": f"b+{LAST}@x.example"},
    )
    yield schema.inbound_mail, _mail(f"From: {TOLD}\n\nby the message") | {"message_id": bulk, "problem": TOLD}
    yield schema.inbound_mail, _mail(f"From: <{EMAIL.lower()}>\n\nof nobody")
    yield schema.feedback, {
        **of, "event_key": f"mail:{EMAIL}", "kind": "reply", "source": "mail", "message_id": bulk, "address_key": key,
        "diagnostic": TOLD, "detail": {"from": TOLD}, "occurred_at": LONG_AGO, "effect": f"a task about {LAST}",
    }  # fmt: skip
    yield schema.feedback, {
        "event_key": "ses:1", "kind": "soft", "source": "ses", "address_key": key, "diagnostic": f"{EMAIL} is full",
        "occurred_at": LONG_AGO,
    }  # fmt: skip
    signed_up = {"form": "news", "email": EMAIL, "address_key": key, "limit_key": key_of("a@b.example"),
                 "topics": ["news"], "fields": {"name": TOLD}, "ip": "192.0.2.7"}  # fmt: skip
    yield schema.sign_up, signed_up | of
    yield schema.sign_up, signed_up
    yield schema.rights_request, {**of, "kind": "erase", "address_key": key}
    yield schema.erasure, {
        "address_key": key_of(FORMER), "external_key": key, "source": "operator", "person": key, "erased_at": LONG_AGO,
        "readmitted_at": LONG_AGO, "readmitted_because": f"{LAST} came back",
    }  # fmt: skip
    yield schema.webhook_call, {
        **of, "call_key": f"hook:{EMAIL}", "endpoint": "crm", "content": {"who": TOLD}, "not_before": LONG_AGO,
    }  # fmt: skip
    yield schema.inquiry, {
        **of, "inquiry_key": f"form:{EMAIL}", "desk": "sales", "source": "form", "email": EMAIL, "subject": TOLD,
        "content": TOLD, "fields": {"name": TOLD}, "received_at": LONG_AGO, "due_at": LONG_AGO, "address_key": key,
    }  # fmt: skip
    yield schema.survey_answer, {
        **of, "survey": "nps", "question": "why", "occasion": "once", "words": TOLD, "answered_at": LONG_AGO,
    }  # fmt: skip
    yield schema.erased_conversion, {"message_id": bulk, "reference": key, "at": LONG_AGO, "value": 5}
    yield schema.blocked_digest, {
        "digest": hashlib.md5(EMAIL.lower().encode(), usedforsecurity=False).digest(),
        "reason": "legal", "source": "list",
    }  # fmt: skip
    yield schema.audit, {"actor": "anna", "action": "consent.grant", "subject": f"customer:{customer_id}"}


def _work_of_nobody(connection: Connection) -> Iterator[tuple[Any, dict[str, Any]]]:
    """An inquiry from their address that belongs to no customer, with what an employee has of it."""
    values = {"task_key": "inquiry:1", "kind": "inquiry", "title": TOLD, "body": TOLD}
    number = connection.execute(insert(schema.task).values(**values).returning(schema.task.c.id)).scalar_one()
    asked = {
        "inquiry_key": "form:2", "desk": "sales", "source": "form", "email": EMAIL, "subject": "of nobody",
        "received_at": LONG_AGO, "due_at": LONG_AGO, "address_key": key_of(EMAIL), "task_id": number,
    }  # fmt: skip
    made = connection.execute(insert(schema.inquiry).values(**asked).returning(schema.inquiry.c.id)).scalar_one()
    yield schema.staff_notice, {
        "notice_key": f"inquiry:{made}:received", "recipient": "anna@staff.example", "subject": TOLD,
        "content": TOLD.encode(),
    }  # fmt: skip


def _mail(raw: str) -> dict[str, Any]:
    content = raw.encode()
    return {
        "digest": hashlib.sha256(content).digest(), "source": "inbox", "raw": content, "size": len(content),
        "state": "handled",
    }  # fmt: skip


def tables_without_rows(connection: Connection) -> list[str]:
    """The tables that hold rows about people and have none: whoever makes such a table adds a row here."""
    return [
        table.name
        for table in tied_tables()
        if not connection.execute(text(f'SELECT count(*) FROM "{table.name}"')).scalar_one()
    ]


def found_anywhere(connection: Connection, words: tuple[str, ...] = WORDS) -> list[str]:
    """`table: word` wherever one of the words (in small letters) stands: text, JSON, array, octets, compressed or not.

    The catalogue of the database is asked which tables there are, not our own schema.
    """
    tables = connection.execute(
        text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
    ).scalars()
    return [
        f"{table}: {word}"
        for table in list(tables)
        for row in connection.execute(text(f'SELECT * FROM "{table}"'))
        for word in words
        if any(word in shown for shown in map(_shown, row))
    ]


def _shown(value: Any) -> str:
    if not isinstance(value, bytes | memoryview):
        return str(value).lower()
    content = bytes(value)
    with contextlib.suppress(zlib.error):
        content += zlib.decompress(content)
    return content.decode("utf-8", "replace").lower()
