"""A workspace with something of everything that stands in the calendar, as of noon UTC on 2 March 2026."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, insert

from campaigns import catalogue, recurring, whole_plan
from campaigns.duty import Circumstances
from campaigns.events.registering import Attendee, Order, Source, register
from campaigns.sequences import duties as sequences
from campaigns.sequences import records, versions
from core import schema
from core.addresses import parse_address
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.campaign_files import FILES as BULK_FILES
from tests.campaign_files import campaign_file
from tests.conftest import MINIMAL_SETTINGS
from tests.event_files import FILES as EVENT_FILES
from tests.factories import make_customer
from tests.looking_after import looked_after
from tests.sequence_files import REMINDER, sequence

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SETTINGS = (
    MINIMAL_SETTINGS
    + """\
staff:
  anna: {{name: Anna Berg, email: anna@paper.example}}
  ben: {{name: Ben Cole, email: ben@paper.example}}
calendar: {{digest: {{to: [anna, ben], on: mon, at: "08:00", days: 7}}}}
"""
)
STEPS = """\
hello: {send: {template: hello.html}}
pause: {wait: 3d}
again: {send: {template: reminder.html}}
"""
FILES = (
    BULK_FILES
    | EVENT_FILES
    | {
        "campaigns/spring-paper.yaml": campaign_file(schedule="{at: 2026-03-04T09:00, zone: recipient}"),
        "campaigns/weekly.yaml": campaign_file(
            kind="recurring", schedule='{cron: "0 9 * * mon", zone: Europe/Berlin}',
            send="{template: weekly.html, from: offers}",
        ),
        "campaigns/summer.yaml": campaign_file(
            schedule="{at: 2026-03-10T10:00, zone: Europe/Berlin}", send="{template: summer.html, from: offers}"
        ),
        "campaigns/nurture.yaml": sequence(STEPS),
        "templates/reminder.html": REMINDER,
        **{f"templates/{name}.html": REMINDER.replace("Are you?", name) for name in ("summer", "weekly", "hello")},
    }
)  # fmt: skip


class Season:
    """The workspace with a week behind it: `weekly` ran this morning, three people passed through `nurture`, and two of
    three have a seat. `summer` was not applied."""

    def __init__(self, root: Path, database: Database) -> None:
        self.database, self.clock = database, SteppedClock(NOON - timedelta(days=6))
        settings = SETTINGS.format(database=database.url, broker="embedded", smtp_port=2525)
        for name, content in {"clarion.yaml": settings, **FILES}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        self.workspace = Workspace(root)
        self._people()
        self._apply("weekly", "paper-evening")
        self._begin("nurture")
        self._look_after(self.clock.now(), NOON - timedelta(hours=1))
        self._register("ann@customers.example", "ben@customers.example", "cy@customers.example")
        self._task()
        self._apply("spring-paper")
        self.clock.instant = NOON

    @contextlib.contextmanager
    def undone(self) -> Iterator[Connection]:
        """A transaction of which nothing is kept."""
        with self.database.engine.connect() as connection:
            yield connection
            connection.rollback()

    @property
    def circumstances(self) -> Circumstances:
        return Circumstances.of(self.workspace)

    def _people(self) -> None:
        with self.database.begin() as connection:
            for zone in ("Europe/Berlin", "Asia/Shanghai", None):
                make_customer(connection, zone=zone, consents=("promotions",))

    def _apply(self, *names: str) -> None:
        files = catalogue.load(self.workspace)
        with self.database.begin() as connection:
            document = whole_plan.to_file(whole_plan.make(connection, files, names, self.clock.now()))
            whole_plan.apply_document(connection, files, document, self.clock.now())

    def _begin(self, name: str) -> None:
        with self.database.begin() as connection:
            version = versions.pin(catalogue.load(self.workspace), name)
            standing = versions.store(connection, version, self.clock.now())
            records.register(connection, name, standing.id, self.clock.now())

    def _look_after(self, *instants: datetime) -> None:
        """Sequences and recurring campaigns at these instants; what they sent is done."""
        for self.clock.instant in instants:
            for duty in (*recurring.DUTIES, *sequences.DUTIES):
                with self.database.begin() as connection:
                    while looked_after(duty, connection, self.circumstances, self.clock.now()):
                        pass
        with self.database.begin() as connection:
            connection.execute(schema.batch.update().values(state="done"))

    def _register(self, *addresses: str) -> None:
        for address in addresses:
            order = Order((Attendee(parse_address(address)),), Source.PAGE, f"form-{address}", None)
            with self.database.begin() as connection:
                register(connection, self.circumstances, "paper-evening", order, self.clock.now())

    def _task(self) -> None:
        due = {"key": "late", "due_at": NOON - timedelta(days=1)}, {"key": "soon", "due_at": NOON + timedelta(days=1)}
        with self.database.begin() as connection:
            for one in due:
                row = {"task_key": one["key"], "kind": "reply", "title": "Call Ann Lee", "due_at": one["due_at"]}
                connection.execute(insert(schema.task).values(**row, created_at=NOON - timedelta(days=2)))
