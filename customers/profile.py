"""Everything about one customer on one page."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from core.latest_word import newest_first
from core.units import format_duration

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

    from core.care_settings import Cases

_LAST: Final = 10
#: Keys of the row that are no business of a reader.
_INTERNAL: Final = frozenset({"id", "address_key", "customer_id", "run_id"})

_QUERIES: Final = {
    "metrics": "SELECT * FROM customer_metrics WHERE customer_id = :id",
    # One row per channel and topic: the word that counts, else what is still to be confirmed.
    "consents": f"""
        SELECT DISTINCT ON (channel, topic) channel, topic, state, basis, source, captured_at, expires_at
        FROM consent WHERE customer_id = :id ORDER BY channel, topic, state = 'requested', {newest_first()}
    """,  # noqa: S608  made of our own names
    "suppressions": """
        SELECT scope, scope_name, channel, reason, source, created_at, expires_at FROM suppression
        WHERE address_key = :key AND lifted_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
        ORDER BY created_at DESC, id DESC
    """,
    "wishes": """
        SELECT most_messages, most_within, source, updated_at FROM preference
        WHERE customer_id = :id AND most_messages IS NOT NULL
    """,
    "messages": """
        SELECT campaign, step, state, skip_reason, state_at FROM message
        WHERE customer_id = :id ORDER BY id DESC LIMIT :last
    """,
    "registrations": """
        SELECT r.event, e.starts_at, r.state, r.registered_at, r.checked_in_at
        FROM registration AS r JOIN event AS e ON e.name = r.event
        WHERE r.customer_id = :id ORDER BY r.id DESC LIMIT :last
    """,
    "inquiries": """
        SELECT id AS inquiry, desk, subject, state, owner, received_at, due_at FROM inquiry
        WHERE customer_id = :id ORDER BY id DESC LIMIT :last
    """,
    "passages": """
        SELECT sequence, entry_key AS key, state, step, entered_at, due_at, ended_because FROM enrolment
        WHERE customer_id = :id ORDER BY id DESC LIMIT :last
    """,
    "orders": """
        SELECT order_id, min(ordered_at) AS ordered_at, count(*) AS lines, sum(amount) AS amount, currency
        FROM purchase WHERE customer_id = :id
        GROUP BY order_id, currency ORDER BY ordered_at DESC, order_id DESC LIMIT :last
    """,
    "level_changes": """
        SELECT scheme, level_from, level_to, changed_at FROM tier_change
        WHERE customer_id = :id ORDER BY changed_at DESC, id DESC LIMIT :last
    """,
}


def customer_profile(
    connection: "Connection", row: "RowMapping", *, now: datetime, cases: "Cases | None" = None
) -> dict[str, Any]:
    """The customer of `row` (a row of table `customer`) as one document: `customer`, `metrics` (None before the
    first refresh), `consents` (the latest per topic), `suppressions` in force, `wishes` (how often they want mail),
    `open_cases` by the rule `cases`, and the last ten `messages`, `registrations` for events, `inquiries`, `passages`
    through sequences, `orders` and `level_changes`."""
    from sqlalchemy import text

    parameters = {"id": row["id"], "key": row["address_key"], "now": now, "last": _LAST}
    found = {
        name: [_public(found) for found in connection.execute(text(query), parameters).mappings()]
        for name, query in _QUERIES.items()
    }
    metrics = found.pop("metrics")
    for wish in found["wishes"]:
        wish["most_within"] = format_duration(wish["most_within"])
    open_cases = _open_cases(connection, row["id"], cases, now)
    return {"customer": _public(row), "metrics": metrics[0] if metrics else None, **found, "open_cases": open_cases}


def _open_cases(
    connection: "Connection", customer_id: int, cases: "Cases | None", now: datetime
) -> list[dict[str, Any]]:
    from sqlalchemy import BigInteger, literal

    from core.open_cases import open_cases

    if cases is None:
        return []
    found = open_cases(literal(customer_id, BigInteger), cases, now).limit(_LAST)
    return [dict(case) for case in connection.execute(found).mappings()]


def _public(row: "RowMapping") -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _INTERNAL}
