"""What the gate costs: asked of all customers, and of a batch of 500, beside the bare question without country rules.

Usage: python bench/gate.py [CUSTOMERS]   (default 1000000)
"""

import json
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from operator import truediv
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, select, text

from bench.plan import workspace_at
from core import embedded
from core.database import open_database
from core.schema import customer
from suppression.gate import skip_reason
from suppression.policy import Policy

_ROUNDS: Final = 5
_BATCH: Final = 500
#: As many with one consent each, a twentieth suppressed; a tenth live in Canada, half of those on implied consent.
_FILL: Final = (
    """
    INSERT INTO customer (external_id, email, address_key, country)
    SELECT 'C' || n, 'c' || n || '@customers.example', md5('a' || n)::uuid,
           (ARRAY['DE', 'US', 'FR', 'CA', 'GB', 'CN', 'AU', 'BR', NULL, 'PL'])[n % 10 + 1]
    FROM generate_series(1, :size) AS n
    """,
    """
    INSERT INTO consent (customer_id, topic, state, basis, source, captured_at)
    SELECT id, topic, 'granted', CASE WHEN topic = 'news' AND country = 'CA' AND id % 20 > 9 THEN 'implied'
                                      ELSE 'consent' END, 'bench', timestamptz '2025-01-01'
    FROM customer CROSS JOIN unnest(ARRAY['promotions', 'news']) AS topic
    """,
    """
    INSERT INTO suppression (address_key, scope, scope_name, reason, source)
    SELECT address_key, 'topic', 'promotions', 'unsubscribed', 'bench' FROM customer WHERE id % 20 = 1
    """,
)
#: The question before countries had rules.
_BARE: Final = """
    CASE WHEN customer.address_key IS NULL THEN 'no_address' ELSE coalesce('suppressed:' || (
        SELECT e.reason FROM suppression AS e
        WHERE e.address_key = customer.address_key AND e.lifted_at IS NULL
          AND (e.expires_at IS NULL OR e.expires_at > :now)
          AND (e.scope = 'global' OR e.channel = 'email' AND (
                   e.scope = 'channel' OR e.scope = 'topic' AND e.scope_name = 'promotions'
                   OR e.scope = 'campaign' AND e.scope_name = 'spring'))
        ORDER BY array_position(ARRAY['legal', 'complaint', 'hard_bounce', 'unsubscribed', 'manual'], e.reason)
                 ASC NULLS LAST, e.reason LIMIT 1
    ), CASE WHEN (
        SELECT c.state IN ('granted', 'confirmed') AND (c.expires_at IS NULL OR c.expires_at > :now)
        FROM consent AS c WHERE c.customer_id = customer.id AND c.channel = 'email' AND c.topic = 'promotions'
        ORDER BY c.captured_at DESC, c.id DESC LIMIT 1
    ) THEN NULL ELSE 'not_consented' END) END
"""


def _asked(policy: Policy, now: datetime, **given: Any) -> ColumnElement[str | None]:
    return skip_reason(
        customer.c.id, customer.c.address_key, campaign="spring", now=now, policy=policy,
        **{"topic": "promotions"} | given,
    )  # fmt: skip


def _questions(now: datetime) -> dict[str, ColumnElement[Any]]:
    confirmed = Policy(confirmed_topics=frozenset({"promotions"}))
    return {
        "bare": literal_column(_BARE.replace(":now", f"'{now.isoformat()}'::timestamptz")),
        "default": _asked(Policy(), now),
        "by_behaviour": _asked(Policy(), now, by_behaviour=True),
        "some_implied": _asked(Policy(), now, topic="news"),
        "all_unconfirmed": _asked(confirmed, now),
    }


def _seconds(connection: Connection, query: Select[Any]) -> float:
    begun = time.perf_counter()
    connection.execute(query).all()
    return time.perf_counter() - begun


def measure(connection: Connection, now: datetime) -> dict[str, dict[str, float]]:
    """Seconds over all customers and milliseconds a batch: medians of rounds in which all take turns."""
    asked = {name: select(func.count(each)).select_from(customer) for name, each in _questions(now).items()}
    few = customer.c.id.between(5_000, 5_000 + _BATCH - 1)
    whole: dict[str, list[float]] = {name: [] for name in asked}
    batch: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(_ROUNDS):
        for name, query in asked.items():
            whole[name].append(_seconds(connection, query))
            batch[name].append(_seconds(connection, query.where(few)))
    return {
        name: {
            "all_s": round(statistics.median(whole[name]), 2),
            "times_bare": round(statistics.median(map(truediv, whole[name], whole["bare"])), 2),
            "batch_ms": round(statistics.median(batch[name]) * 1000, 1),
        }
        for name in asked
    }


def main() -> None:
    size, now = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder))
        database = open_database(workspace)
        try:
            with database.begin() as connection:
                for statement in _FILL:
                    connection.execute(text(statement), {"size": size} if ":size" in statement else {})
            with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE customer, consent, suppression"))
                figures = measure(connection, now)
        finally:
            database.dispose()
            embedded.destroy(workspace)
    told = {"measured_on": now.date().isoformat(), "python": platform.python_version(), "customers": size}
    target = Path(__file__).parent / "results" / "gate.json"
    target.write_text(json.dumps(told | {"questions": figures}, indent=2) + "\n", encoding="utf-8")
    for name, row in figures.items():
        print(f"{name:16} {row['all_s']:7.2f} s, {row['times_bare']:5.2f} times, {row['batch_ms']:7.1f} ms a batch")


if __name__ == "__main__":
    main()
