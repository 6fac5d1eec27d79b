"""The files of a sequence, and a workspace in which one runs on a clock that tests step."""

from datetime import timedelta
from typing import Any

from sqlalchemy import select, text

from campaigns import catalogue as files
from campaigns.duty import Circumstances
from campaigns.sequences import duties, records, versions
from core import schema
from core.workspace import Workspace
from tests.campaign_files import FILES as BULK_FILES
from tests.looking_after import looked_after

SEQUENCE = """\
kind: sequence
topic: promotions
enrol: {segment: everybody}
send: {from: offers}
steps:
  hello: {send: {template: spring-paper.html, subject: Hello}}
  pause: {wait: 3d}
  again: {send: {template: reminder.html}}
"""
REMINDER = """\
---
subject: "Still there?"
---
<html><body><p><a href="https://paper.example/still">Are you?</a></p></body></html>
"""
#: Names what a passage began with: for sequences alone.
ORDERED = """\
---
subject: "Order {{ given.number }}"
---
<html><body><p>Thank you for order {{ given.number }}.</p></body></html>
"""
FILES = BULK_FILES | {"campaigns/nurture.yaml": SEQUENCE, "templates/reminder.html": REMINDER}
#: Rounds of the duties at one instant, at most: something is wrong with duties that never come to rest.
MOST_ROUNDS = 200


def sequence(steps: str, *, enrol: str = "{segment: everybody}", **more: str) -> str:
    """A sequence's file with these steps, written as `name: {…}` lines."""
    head = ["kind: sequence", "topic: promotions", f"enrol: {enrol}", "send: {from: offers}"]
    head += [f"{key}: {value}" for key, value in more.items()]
    return "\n".join([*head, "steps:", *(f"  {line}" for line in steps.strip().splitlines())]) + "\n"


class Road:
    """A sequence that was applied, in a database of its own, at the clock's time."""

    def __init__(self, make_workspace: Any, database: Any, clock: Any, text_: str = SEQUENCE, more: Any = None) -> None:
        self.database, self.clock = database, clock
        self.workspace: Workspace = make_workspace(
            database=database, files=FILES | {"campaigns/nurture.yaml": text_} | (more or {})
        )
        self.apply()

    def apply(self, name: str = "nurture") -> None:
        """The sequence is in force as its file says now."""
        with self.database.begin() as connection:
            version = versions.pin(files.load(self.workspace), name)
            standing = versions.store(connection, version, self.clock.now())
            records.register(connection, name, standing.id, self.clock.now())

    def tick(self, **step: float) -> int:
        """The clock moved on, and everything that was due was done; how much that was."""
        self.clock.step(timedelta(**step)) if step else None
        around = Circumstances.of(self.workspace)
        total = 0
        for _ in range(MOST_ROUNDS):
            done = 0
            for duty in duties.DUTIES:
                with self.database.begin() as connection:
                    done += looked_after(duty, connection, around, self.clock.now())
            total += done
            if not done:
                return total
        raise AssertionError("the duties never came to rest")

    def rows(self, query: Any, **given: Any) -> list[Any]:
        """What a query finds."""
        with self.database.begin() as connection:
            return list(connection.execute(text(query) if isinstance(query, str) else query, given).all())

    def passages(self) -> list[Any]:
        """Customer, state, step and reason of every passage, in the order of their beginning."""
        query = "SELECT customer_id, state, step, ended_because FROM enrolment ORDER BY id"
        return [tuple(row) for row in self.rows(query)]

    def done(self, customer_id: int | None = None) -> list[tuple[str, str]]:
        """Step and outcome of everything that was done, in that order."""
        query = """
            SELECT s.step, s.outcome FROM enrolment_step AS s JOIN enrolment AS e ON e.id = s.enrolment_id
            WHERE CAST(:customer AS bigint) IS NULL OR e.customer_id = :customer ORDER BY s.done_at, s.ctid
        """
        return [tuple(row) for row in self.rows(query, customer=customer_id)]

    def messages(self) -> list[tuple[str, str, str | None]]:
        """Step, occurrence and skip reason of every message."""
        m = schema.message.c
        return [tuple(row) for row in self.rows(select(m.step, m.occurrence, m.skip_reason).order_by(m.id))]

    def due_at(self) -> list[Any]:
        """When each active passage is looked at."""
        return [row[0] for row in self.rows("SELECT due_at FROM enrolment WHERE state = 'active' ORDER BY id")]
