"""Edits of a live sequence with many people in it: what planning takes, and applying.

Usage: PYTHONPATH=. python bench/live_edits.py [SIZE …]   (default 10000 100000 1000000)

Everybody waits in `pause`, to which each came in a second of their own, in four zones; all did `hello`. Each edit is
applied and undone again.
"""

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text

from bench.measuring.by_size import by_size
from bench.sequences import cpu_of, workspace_at
from campaigns import catalogue as files
from campaigns import whole_plan
from campaigns.sequences import records, versions
from core import embedded
from core.database import Database, analyze, open_database
from core.workspace import Workspace

_HEAD: Final = {"kind": "sequence", "topic": "promotions", "enrol": "{by: api}", "send": "{from: offers}"}
_STEPS: Final = {
    "hello": "{send: {template: spring-paper.html}}",
    "pause": "{wait: 30d}",
    "second": "{send: {template: second.html}}",
    "rest": "{wait: 5d}",
    "last": "{send: {template: spring-paper.html, subject: Last}}",
}
_CUSTOMERS: Final = """
    INSERT INTO customer (external_id, email, address_key, zone)
    SELECT 'C' || n, 'c' || n || '@customers.example', md5('a' || n)::uuid,
           (ARRAY['Europe/Berlin', 'America/New_York', 'Asia/Shanghai', NULL])[1 + n % 4]
    FROM generate_series(1, :size) AS n
"""
_ENROLMENTS: Final = """
    INSERT INTO enrolment (sequence, version_id, customer_id, step, due_at, nominal_at, step_since, entered_at, source)
    SELECT 'nurture', :version, id, 'pause', CAST(:now AS timestamptz) + make_interval(days => 30, secs => -id),
           CAST(:now AS timestamptz) + make_interval(days => 30, secs => -id),
           CAST(:now AS timestamptz) - make_interval(secs => id), CAST(:now AS timestamptz) - make_interval(secs => id),
           'api'
    FROM customer
"""
_DONE: Final = """
    INSERT INTO enrolment_step (enrolment_id, step, outcome, done_at)
    SELECT id, 'hello', 'sent', step_since FROM enrolment
"""
_NOW: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)


def _without(name: str) -> dict[str, str]:
    return {step: content for step, content in _STEPS.items() if step != name}


def _reordered(*names: str) -> dict[str, str]:
    return {name: _STEPS[name] for name in names}


#: What is edited: the steps then, and other lines.
EDITS: Final[dict[str, tuple[dict[str, str], dict[str, str]]]] = {
    "another subject": (_STEPS | {"second": "{send: {template: second.html, subject: Soon}}"}, {}),
    "a longer wait": (_STEPS | {"pause": "{wait: 40d}"}, {}),
    "a wait until 09:00": (_STEPS | {"pause": '{wait: {until: "09:00"}}'}, {}),
    "a step renamed": (
        {("hi" if name == "hello" else name): step for name, step in _STEPS.items()}
        | {"hi": "{send: {template: spring-paper.html}, renamed_from: hello}"},
        {},
    ),
    "a step removed, moved": (_without("pause"), {"when_removed": "{pause: {move: second}}"}),
    "a step removed, exit": (_without("pause"), {"when_removed": "{pause: exit}"}),
    "another order, stay": (
        _reordered("pause", "hello", "second", "rest", "last"),
        {"when_reordered": "{pause: stay}"},
    ),
}


def _write(workspace: Workspace, steps: dict[str, str], head: dict[str, str]) -> None:
    lines = [f"{key}: {value}" for key, value in (_HEAD | head).items()]
    lines += ["steps:", *(f"  {name}: {step}" for name, step in steps.items())]
    (workspace.root / "campaigns" / "nurture.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(size: int) -> list[dict[str, Any]]:
    """One size in a database of its own."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder))
        database = open_database(workspace)
        try:
            return _measured(database, workspace, size)
        finally:
            database.dispose()
            embedded.destroy(workspace)


def _measured(database: Database, workspace: Workspace, size: int) -> list[dict[str, Any]]:
    _write(workspace, _STEPS, {})
    with database.begin() as connection:
        connection.execute(text(_CUSTOMERS), {"size": size})
        standing = versions.store(connection, versions.pin(files.load(workspace), "nurture"), _NOW)
        records.register(connection, "nurture", standing.id, _NOW)
        connection.execute(text(_ENROLMENTS), {"version": standing.id, "now": _NOW})
        connection.execute(text(_DONE))
        analyze(connection, "customer", "enrolment", "enrolment_step")
    return [_edited(database, workspace, size, what, *edit) for what, edit in EDITS.items()]


def _edited(
    database: Database, workspace: Workspace, size: int, what: str, steps: dict[str, str], head: dict[str, str]
) -> dict[str, Any]:
    _write(workspace, steps, head)
    catalogue = files.load(workspace)
    with database.link() as connection:
        connection.execute(text("VACUUM enrolment, enrolment_step"))
    with database.begin() as connection:
        begun = time.perf_counter()
        made = whole_plan.make(connection, catalogue, ["nurture"], _NOW)
        planned = time.perf_counter() - begun
    document = whole_plan.to_file(made)
    with database.begin() as connection:
        undone = connection.begin_nested()
        begun, own, served = time.perf_counter(), time.process_time(), cpu_of(connection)
        (row,) = whole_plan.apply_document(connection, catalogue, document, _NOW).others
        took, cpu = time.perf_counter() - begun, time.process_time() - own + cpu_of(connection) - served
        undone.rollback()
    assert row["people"] == size, row
    return {
        "people": size, "edit": what, "plan_s": round(planned, 2), "apply_s": round(took, 2),
        "apply_cpu_us_each": round(cpu / size * 1e6, 1),
    }  # fmt: skip


def main() -> None:
    """Every size, printed as it comes, and kept in bench/results/live_edits.json."""
    by_size("live_edits", measure, (10_000, 100_000, 1_000_000))


if __name__ == "__main__":
    main()
