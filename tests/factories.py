"""Rows for tests: each factory inserts one and returns its id. Give what matters, the rest is filled in."""

import itertools
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert

from core import schema
from core.addresses import parse_address
from core.ids import address_key

SECRET = b"0123456789abcdef0123456789abcdef"
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
_numbers = itertools.count(1)


def key_of(email: str) -> Any:
    """The address key of `email` under the tests' secret."""
    return address_key(SECRET, parse_address(email).comparable)


def _inserted(connection: Connection, table: Any, values: dict[str, Any]) -> int:
    return int(connection.execute(insert(table).values(**values).returning(table.c.id)).scalar_one())


def make_customer(
    connection: Connection, *, email: str | None = "", consents: tuple[str, ...] = (), **values: Any
) -> int:
    """A customer who agreed to the topics in `consents`; with an own address unless `email` is None."""
    number = next(_numbers)
    email = f"c{number}@customers.example" if email == "" else email
    values = {
        "external_id": f"C{number}",
        "email": email,
        "address_key": key_of(email) if email else None,
    } | values
    customer_id = _inserted(connection, schema.customer, values)
    for topic in consents:
        make_consent(connection, customer_id, topic=topic)
    return customer_id


def make_consent(connection: Connection, customer_id: int, **values: Any) -> int:
    """A consent of the customer to `promotions` by e-mail."""
    defaults = {
        "topic": "promotions",
        "state": "granted",
        "basis": "consent",
        "source": "test",
        "captured_at": LONG_AGO,
    }
    return _inserted(connection, schema.consent, {"customer_id": customer_id} | defaults | values)


def make_purchase(connection: Connection, customer_id: int, **values: Any) -> int:
    """An order of one line over 100.00."""
    number = next(_numbers)
    defaults = {
        "order_id": f"O{number}",
        "line_key": "1",
        "ordered_at": LONG_AGO,
        "quantity": 1,
        "amount": 100,
        "currency": "EUR",
    }
    return _inserted(connection, schema.purchase, {"customer_id": customer_id} | defaults | values)


def make_activity(connection: Connection, customer_id: int, name: str = "page_view", **values: Any) -> int:
    """Something the customer did."""
    defaults = {"name": name, "occurred_at": LONG_AGO, "event_key": f"E{next(_numbers)}", "properties": {}}
    return _inserted(connection, schema.activity, {"customer_id": customer_id} | defaults | values)


def make_suppression(connection: Connection, email: str, **values: Any) -> int:
    """An entry that forbids every mail to the address."""
    defaults = {"scope": "global", "scope_name": "", "reason": "manual", "source": "test", "evidence": {}}
    return _inserted(connection, schema.suppression, {"address_key": key_of(email)} | defaults | values)


def make_version(connection: Connection, campaign: str = "spring-paper", **values: Any) -> int:
    """A version of a campaign."""
    defaults = {
        "fingerprint": f"f{next(_numbers)}",
        "kind": "broadcast",
        "topic": "promotions",
        "definition": {},
        "links": [],
        "piece": "p",
    }
    return _inserted(connection, schema.campaign_version, {"campaign": campaign} | defaults | values)


def make_run(connection: Connection, campaign: str = "spring-paper", **values: Any) -> int:
    """A running run of a campaign; a version is made unless `version_id` is given."""
    if "version_id" not in values:
        values["version_id"] = make_version(connection, campaign)
    defaults = {"step": "send", "occurrence": "1", "state": "running", "digest": "d", "starts_at": LONG_AGO}
    return _inserted(connection, schema.run, {"campaign": campaign} | defaults | values)


def make_message(connection: Connection, run_id: int, customer_id: int, **values: Any) -> int:
    """A message of the run to the customer, accepted unless another `state` is given."""
    run = connection.execute(schema.run.select().where(schema.run.c.id == run_id)).mappings().one()
    key = (
        connection.execute(schema.customer.select().where(schema.customer.c.id == customer_id))
        .mappings()
        .one()["address_key"]
    )
    defaults = {
        "campaign": run["campaign"],
        "step": run["step"],
        "occurrence": run["occurrence"],
        "address_key": key,
        "state": "accepted",
        "not_before": LONG_AGO,
        "state_at": LONG_AGO,
    }
    defaults["accepted_at"] = LONG_AGO if (values.get("state", "accepted") == "accepted") else None
    return _inserted(connection, schema.message, {"run_id": run_id, "customer_id": customer_id} | defaults | values)


def make_attempt(connection: Connection, message_id: int, **values: Any) -> None:
    """A hand-over of the message to the transport `main`, refused because there is no such mailbox."""
    defaults = {
        "number": 1,
        "transport": "main",
        "worker": "w1",
        "outcome": "failed",
        "code": 550,
        "enhanced": "5.1.1",
        "reply": "no such mailbox",
        "answered_at": LONG_AGO,
    }
    connection.execute(insert(schema.attempt).values(message_id=message_id, **(defaults | values)))


def make_hit(connection: Connection, message_id: int, kind: str = "open", **values: Any) -> int:
    """A person's answer to the message: an open, unless another `kind` is given."""
    return _inserted(connection, schema.hit, {"message_id": message_id, "kind": kind, "occurred_at": LONG_AGO} | values)


def make_sequence_version(connection: Connection, sequence: str = "welcome", **values: Any) -> int:
    """A version of a sequence."""
    defaults = {"sequence": sequence, "fingerprint": f"f{next(_numbers)}", "definition": {}}
    return _inserted(connection, schema.sequence_version, defaults | values)


def make_enrolment(connection: Connection, customer_id: int, sequence: str = "welcome", **values: Any) -> int:
    """An active passage through the sequence; a version is made unless `version_id` is given."""
    if "version_id" not in values:
        values["version_id"] = make_sequence_version(connection, sequence)
    defaults = {
        "sequence": sequence, "step": "hello", "nominal_at": LONG_AGO, "step_since": LONG_AGO, "entered_at": LONG_AGO,
        "due_at": LONG_AGO if values.get("state", "active") == "active" else None, "source": "api",
    }  # fmt: skip
    return _inserted(connection, schema.enrolment, {"customer_id": customer_id} | defaults | values)


def make_event(connection: Connection, name: str = "", **values: Any) -> str:
    """An open event, of long ago; its name."""
    name = name or f"event{next(_numbers)}"
    defaults = {
        "fingerprint": "f", "definition": {}, "starts_at": LONG_AGO, "ends_at": LONG_AGO, "zone": "UTC",
        "changed_at": LONG_AGO,
    }  # fmt: skip
    connection.execute(insert(schema.event).values(name=name, **(defaults | values)))
    return name


def make_registration(connection: Connection, event: str, customer_id: int, **values: Any) -> int:
    """A confirmed registration of the customer."""
    number = next(_numbers)
    defaults = {
        "event": event, "state": "confirmed", "address_key": key_of(f"r{number}@customers.example"),
        "uid": f"uid{number}", "party": f"party{number}", "source": "page", "registered_at": LONG_AGO,
    }  # fmt: skip
    return _inserted(connection, schema.registration, {"customer_id": customer_id} | defaults | values)
