"""Growth of plan and freeze with the number of customers: seconds and µs per head, at several sizes.

Usage: PYTHONPATH=. python bench/plan.py [SIZE …]   (default 10000 100000 1000000)
"""

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from bench.measuring.by_size import by_size
from campaigns import catalogue as files
from campaigns.plan import from_file, make_plan, to_file
from campaigns.runs import apply_reviewed
from core import embedded
from core.database import analyze, open_database
from core.workspace import Workspace
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS

_CUSTOMERS = """
    INSERT INTO customer (external_id, email, address_key)
    SELECT 'C' || n, 'c' || n || '@customers.example', md5('a' || n)::uuid FROM generate_series(1, :size) AS n
"""
_CONSENTS = """
    INSERT INTO consent (customer_id, topic, state, basis, source, captured_at)
    SELECT id, 'promotions', 'granted', 'consent', 'bench', '2025-01-01' FROM customer WHERE id % 10 <> 0
"""
_SUPPRESSIONS = """
    INSERT INTO suppression (address_key, scope, scope_name, reason, source)
    SELECT address_key, 'topic', 'promotions', 'unsubscribed', 'bench' FROM customer WHERE id % 20 = 1
"""


def workspace_at(folder: Path) -> Workspace:
    """A small campaign's workspace in `folder`, with embedded services."""
    settings = MINIMAL_SETTINGS.format(database="embedded", broker="embedded", smtp_port=2525)
    for name, content in {"clarion.yaml": settings, **FILES}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return Workspace(folder)


def measure(size: int) -> dict[str, float]:
    """One size in a database of its own: seconds of plan and of apply (freeze, check, cut batches)."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder))
        database = open_database(workspace)
        try:
            with database.begin() as connection:
                for statement in (_CUSTOMERS, _CONSENTS, _SUPPRESSIONS):
                    connection.execute(text(statement), {"size": size} if ":size" in statement else {})
                analyze(connection, "customer", "consent", "suppression")
            catalogue, now = files.load(workspace), datetime.now(UTC)
            begun = time.perf_counter()
            with database.begin() as connection:
                plan = make_plan(connection, catalogue, [], now)
            planned = time.perf_counter()
            with database.begin() as connection:
                (started,) = apply_reviewed(connection, catalogue, from_file(to_file(plan)), now)
            applied = time.perf_counter()
        finally:
            database.dispose()
            embedded.destroy(workspace)
    return {
        "customers": size,
        "would_send": started.counts.would_send,
        "plan_s": round(planned - begun, 3),
        "apply_s": round(applied - planned, 3),
        "plan_us_per_head": round((planned - begun) / size * 1e6, 2),
        "apply_us_per_head": round((applied - planned) / size * 1e6, 2),
    }


def main() -> None:
    """Every size, printed as it comes, and kept in bench/results/plan.json."""
    by_size("plan", lambda size: [measure(size)], (10_000, 100_000, 1_000_000))


if __name__ == "__main__":
    main()
