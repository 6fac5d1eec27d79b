"""Edits of live sequences, with people in each step: what the plan says, and what happened to whom.

The table of docs/live-edits.md is made here: `WRITE_TABLES=1 pytest` of this file writes it.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import text

from campaigns import catalogue as files
from campaigns import whole_plan
from campaigns.duty import Circumstances
from campaigns.sequences import duties, enrol
from core.clock import SteppedClock
from core.database import Database
from core.errors import ConfigError
from core.workspace import Workspace
from tests.factories import make_customer
from tests.live_edits import EDITS, text_of
from tests.looking_after import looked_after

PAGE: Final = Path(__file__).parents[2] / "docs" / "live-edits.md"
BEGIN, END = "<!-- the table -->", "<!-- end of the table -->"
TEMPLATE: Final = (
    '---\nsubject: "{0}"\n---\n<html><body><p><a href="https://paper.example/{0}">{0}</a></p></body></html>\n'
)
TEMPLATES: Final = {
    f"templates/{name}.html": TEMPLATE.format(name) for name in ("hello", "nudge", "last", "offer", "other")
}
SEGMENTS: Final = {"segments/swiss.yaml": 'description: In Switzerland\nwhere: country == "CH"\n'}
#: Who is where on day 6, and since which day they are in the sequence.
PEOPLE: Final = {"Cy": 6, "Ben": 4, "Ada": 0}
#: Rounds of the duties, at most: something is wrong with duties that never come to rest.
MOST_ROUNDS: Final = 200


class Town:
    """A workspace with one sequence for each edit, each with people of its own."""

    def __init__(self, workspace: Workspace, database: Database, clock: SteppedClock) -> None:
        self.workspace, self.database, self.clock = workspace, database, clock
        self.began = clock.now()
        self.people: dict[tuple[str, str], int] = {}

    def make_people(self) -> None:
        """Three for each edit, and two in Switzerland who are in none."""
        with self.database.begin() as connection:
            for name in names():
                for person in PEOPLE:
                    agreed = ("promotions", "news") if person == "Ada" else ("promotions",)
                    lost = {"lost": True} if person == "Ben" else {}
                    self.people[name, person] = make_customer(
                        connection, consents=agreed, country="DE", attributes=lost
                    )
            for _ in range(2):
                make_customer(connection, consents=("promotions",), country="CH")

    def enter(self, person: str) -> None:
        """The person enters the sequence of every edit."""
        with self.database.begin() as connection:
            for name in names():
                enrol.enrol(connection, name, self.people[name, person], now=self.clock.now())

    def until(self, day: int, *, and_then: bool = True) -> None:
        """Everything that is due before that day is done at its time; on that day, only if it is said."""
        around, end = Circumstances.of(self.workspace), self.began + timedelta(days=day)
        for _ in range(MOST_ROUNDS):
            due = self._next(around)
            if due is None or due > end or (due == end and not and_then):
                break
            self.clock.step(max(due - self.clock.now(), timedelta()))
            self._run(around)
        else:
            raise AssertionError(f"the duties never came to rest: {self._faults()}")
        self.clock.step(max(end - self.clock.now(), timedelta()))

    def _next(self, around: Circumstances) -> datetime | None:
        with self.database.begin() as connection:
            found = [duty.next_at(connection, around, self.clock.now()) for duty in duties.DUTIES]
        return min((at for at in found if at is not None), default=None)

    def _faults(self) -> list[Any]:
        with self.database.begin() as connection:
            return list(connection.execute(text("SELECT name, fault FROM sequence WHERE fault IS NOT NULL")))

    def _run(self, around: Circumstances) -> None:
        for duty in duties.DUTIES:
            with self.database.begin() as connection:
                looked_after(duty, connection, around, self.clock.now())
        with self.database.begin() as connection:  # there are no workers: what was made has arrived
            sent = "UPDATE message SET state = 'accepted', accepted_at = :now WHERE state = 'planned'"
            connection.execute(text(sent), {"now": self.clock.now()})

    def plan(self, name: str) -> list[str]:
        """What the plan of one edit says; it is applied, unless it is refused."""
        catalogue = files.load(self.workspace)
        with self.database.begin() as connection:
            try:
                made = whole_plan.make(connection, catalogue, [name], self.clock.now())
            except ConfigError as error:
                return [f"refused: {problem.message}" for problem in error.problems]
            ((_, item),) = made.others
            whole_plan.apply_document(connection, catalogue, whole_plan.to_file(made), self.clock.now())
            return _said(item)

    def became(self, name: str, person: str) -> str:
        """The mails somebody got, each with its day, and how it ended otherwise than at the end."""
        query = """
            SELECT m.step, m.skip_reason, m.not_before AS at, e.state, e.ended_because, e.ended_at FROM enrolment AS e
            LEFT JOIN message AS m ON m.customer_id = e.customer_id AND m.campaign = e.sequence
            WHERE e.sequence = :name AND e.customer_id = :customer ORDER BY m.id
        """
        with self.database.begin() as connection:
            found = connection.execute(text(query), {"name": name, "customer": self.people[name, person]}).all()
        mails = [f"{row.step} {self.day(row.at)}" for row in found if row.step and not row.skip_reason]
        kept = [f"{row.step} skipped" for row in found if row.skip_reason]
        ended = f"leaves {self.day(found[0].ended_at)} ({found[0].ended_because})" if found[0].state == "exited" else ""
        assert found[0].state != "active"
        return ", ".join([*mails, *kept, *([ended] if ended else [])])

    def day(self, at: datetime) -> str:
        """How many days after the beginning, with the time of day where it is not noon."""
        days = (at - self.began) / timedelta(days=1)
        return f"{days:g}" if days == int(days) else f"{int(days + 0.5)} at {at:%H:%M}"


def names() -> list[str]:
    """The sequence of each edit."""
    return [f"edit-{number:02}" for number in range(len(EDITS))]


def _said(item: Any) -> list[str]:
    if not item.is_pending:
        return ["nothing to do"]
    entering = item.entering.counts.audience
    lines = [f"`{one.step}`, {one.people}: {one.text}" for one in item.told]
    lines += [f"{entering} people enter now"] if entering else []
    return [*lines, *item.remarks] or ["nobody inside is touched"]


@pytest.fixture
def town(make_workspace, database, clock):
    """Everybody is where they are on day 6: Cy just entered, Ben is in `pause`, Ada in `rest`."""
    before = {f"campaigns/{name}.yaml": text_of(edit.before, {}) for name, edit in zip(names(), EDITS, strict=True)}
    workspace = make_workspace(database=database, files=TEMPLATES | SEGMENTS | before)
    made = Town(workspace, database, clock)
    catalogue = files.load(workspace)
    with database.begin() as connection:
        plan = whole_plan.make(connection, catalogue, [], clock.now())
        whole_plan.apply_document(connection, catalogue, whole_plan.to_file(plan), clock.now())
    made.make_people()
    for person, day in sorted(PEOPLE.items(), key=lambda item: item[1]):
        made.until(day)
        made.enter(person)
    return made


def edit_files(workspace: Workspace) -> None:
    """Every sequence's file is as its edit says."""
    for name, edit in zip(names(), EDITS, strict=True):
        path = workspace.root / "campaigns" / f"{name}.yaml"
        if edit.is_removed:
            path.unlink()
        else:
            path.write_text(text_of(edit.after or edit.before, edit.head), encoding="utf-8")


def table(town: Town) -> str:
    """What the plan of each edit says, and what happened to whom."""
    edit_files(town.workspace)
    said = {name: town.plan(name) for name in names()}
    town.until(60)
    rows = ["| edit | `plan` says | Cy, who just entered | Ben, in `pause` | Ada, in `rest` |", "|---|---|---|---|---|"]
    for name, edit in zip(names(), EDITS, strict=True):
        cells = [edit.what, "<br>".join(said[name]), *(town.became(name, person) for person in PEOPLE)]
        rows.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(rows)


@pytest.mark.slow
def test_every_edit_does_to_people_what_the_plan_said(town):
    """
    The table of docs/live-edits.md is what a plan says of each edit, and what happened then.
    """
    made = table(town)
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    if os.environ.get("WRITE_TABLES"):
        PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")

    assert made == page.split(BEGIN)[1].split(END)[0].strip()
