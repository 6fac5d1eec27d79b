"""Everything about one customer on one page."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

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


def customer_profile(connection: "Connection", row: "RowMapping", *, now: datetime) -> dict[str, Any]:
    """The customer of `row` (a row of table `customer`) as one document: `customer`, `metrics` (None before the
    first refresh), `consents` (the latest per topic), `suppressions` in force, and the last ten `messages`,
    `orders` and `level_changes`."""
    from sqlalchemy import text

    parameters = {"id": row["id"], "key": row["address_key"], "now": now, "last": _LAST}
    found = {
        name: [_public(found) for found in connection.execute(text(query), parameters).mappings()]
        for name, query in _QUERIES.items()
    }
    metrics = found.pop("metrics")
    return {"customer": _public(row), "metrics": metrics[0] if metrics else None, **found}


def _public(row: "RowMapping") -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _INTERNAL}
