"""Everything about one customer on one page."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from core.units import format_duration

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

    from core.care_settings import Cases

_LAST: Final = 10
#: Keys of the row that are no business of a reader.
_INTERNAL: Final = frozenset({"id", "address_key", "customer_id", "run_id"})

_QUERIES: Final = {
    "metrics": "SELECT * FROM customer_metrics WHERE customer_id = :id",
    # One row per channel and topic: the latest fact counts.
    "consents": """
        SELECT DISTINCT ON (channel, topic) channel, topic, state, basis, source, captured_at, expires_at
        FROM consent WHERE customer_id = :id ORDER BY channel, topic, captured_at DESC, id DESC
    """,
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
    `open_cases` by the rule `cases`, and the last ten `messages`, `orders` and `level_changes`."""
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


#: As `suppression.care` judges it, of this customer alone.
_OPEN_CASES: Final = """
    SELECT o.name, o.occurred_at AS opened_at, o.properties ->> CAST(:same AS text) AS "case" FROM activity AS o
    WHERE o.customer_id = :id AND o.name = ANY(:opened_by) AND o.occurred_at <= :now
      AND (CAST(:forgotten AS interval) IS NULL
           OR o.occurred_at > CAST(:now AS timestamptz) - CAST(:forgotten AS interval))
      AND NOT EXISTS (
        SELECT FROM activity AS c
        WHERE c.customer_id = o.customer_id AND c.name = ANY(:closed_by)
          AND c.occurred_at BETWEEN o.occurred_at AND :now
          AND (CAST(:same AS text) IS NULL
               OR c.properties ->> CAST(:same AS text) IS NOT DISTINCT FROM o.properties ->> CAST(:same AS text)))
    ORDER BY o.occurred_at LIMIT :last
"""


def _open_cases(
    connection: "Connection", customer_id: int, cases: "Cases | None", now: datetime
) -> list[dict[str, Any]]:
    from sqlalchemy import text

    if cases is None:
        return []
    given = {
        "id": customer_id, "now": now, "last": _LAST, "opened_by": list(cases.opened_by),
        "closed_by": list(cases.closed_by), "same": cases.same, "forgotten": cases.forgotten_after,
    }  # fmt: skip
    return [dict(found) for found in connection.execute(text(_OPEN_CASES), given).mappings()]


def _public(row: "RowMapping") -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _INTERNAL}
