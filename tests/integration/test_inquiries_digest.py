"""The daily mail to employees: once a day, at their hour, whatever clocks and processes do."""

import email
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.policy import default as modern

import pytest
from sqlalchemy import select, update

from campaigns import tasks
from campaigns.duty import Circumstances
from campaigns.inquiries import digest
from campaigns.inquiries.receiving import receive
from campaigns.inquiries.working import call
from core.database import Database
from core.schema import customer, staff_notice, task
from core.workspace import Workspace
from tests.inquiry_files import FILES, SETTINGS, asked, settings

MONDAY = datetime(2026, 11, 2, 6, 30, tzinfo=UTC)  # 07:30 in Berlin
_DAY = timedelta(days=1)


@pytest.fixture
def circumstances(database: Database, make_workspace: Callable[..., Workspace]) -> Circumstances:
    return Circumstances.of(make_workspace(database=database, files=FILES, settings=SETTINGS))


def make_task(database: Database, owner: str | None, **values: object) -> int | None:
    """A task of the owner's, made a week before."""
    with database.begin() as connection:
        wanted = tasks.NewTask(f"t{owner}{values}", "reply", f"Do it for {owner}", owner=owner, **values)  # type: ignore[arg-type]
        return tasks.create(connection, wanted, MONDAY - 7 * _DAY)


def run(database: Database, circumstances: Circumstances, now: datetime) -> int:
    """The duty, once."""
    with database.begin() as connection:
        return digest.run(connection, circumstances, now)


def mails(database: Database) -> dict[str, tuple[str, str]]:
    """Recipient → subject and text of each digest under way, the last one counts."""
    with database.begin() as connection:
        rows = connection.execute(select(staff_notice).order_by(staff_notice.c.id)).all()
    found = {}
    for row in rows:
        mail = email.message_from_bytes(row.content, policy=modern)
        found[row.recipient.partition("@")[0]] = str(mail["Subject"]), mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    return found


def test_digest_goes_once_a_day_at_its_time(database: Database, circumstances: Circumstances) -> None:
    """
    Not before its time, once however often it is looked at, not at weekends; who has nothing to do gets nothing.
    """
    make_task(database, "anna")
    times = [MONDAY - timedelta(seconds=1), MONDAY, MONDAY, MONDAY + timedelta(hours=3), MONDAY + 5 * _DAY]
    counts = [run(database, circumstances, now) for now in times]

    assert [0, 1, 0, 0, 0] == counts
    assert {"anna"} == set(mails(database))


def test_digest_of_missed_days_is_one(database: Database, circumstances: Circumstances) -> None:
    """
    Nothing ran from Monday to Thursday noon: one mail, of Thursday.
    """
    make_task(database, "anna")
    run(database, circumstances, MONDAY)
    late = MONDAY + 3 * _DAY + timedelta(hours=5)

    assert [1, 0] == [run(database, circumstances, late) for _ in range(2)]
    assert "Thursday, 2026-11-05" in mails(database)["anna"][1]


def test_digest_says_what_is_overdue_and_due(database: Database, circumstances: Circumstances) -> None:
    """
    Overdue, calls of today, due today, later: each task stands once, at its place; calls by the customer's clock, too.
    """
    make_task(database, "anna", due_at=MONDAY - _DAY)
    make_task(database, "anna", due_at=MONDAY + timedelta(hours=4))
    make_task(database, "anna")
    with database.begin() as connection:
        received = receive(connection, circumstances, asked(), MONDAY - timedelta(hours=12))
        connection.execute(update(customer).values(zone="America/New_York", phone="+1 555"))
        agreed = MONDAY + timedelta(hours=8)
        call(connection, received.inquiry_id, agreed, by="anna", now=MONDAY - timedelta(hours=1))
        connection.execute(update(staff_notice).values(recipient="nobody@paper.example"))
    run(database, circumstances, MONDAY)
    subject, text = mails(database)["anna"]

    assert "Your tasks: 1 overdue, 1 due today, 4 open" == subject
    headings = [line for line in text.splitlines() if line.endswith(")") and line[0].isalpha()]
    assert ["Overdue (1)", "Calls today (1)", "Due today (1)", "Later (1)"] == headings
    assert "Mon 2026-11-02 15:30" in text
    assert "call +1 555, 09:30 in America/New_York" in text


def test_tasks_of_nobody_and_of_who_left_are_told(database: Database, circumstances: Circumstances) -> None:
    """
    They are those of `tasks.nobodys`, who reads whose they were.
    """
    for owner in (None, "eve"):
        make_task(database, owner)
    run(database, circumstances, MONDAY)
    text = mails(database)["dan"][1]

    assert "nobody's" in text
    assert "of eve, who is not there" in text


def test_tasks_of_who_is_away_are_the_deputys(database: Database, make_workspace: Callable[..., Workspace]) -> None:
    """
    Anna is away: Dan reads her tasks with his own, and she gets no mail.
    """
    text = settings(("email: anna@paper.example,", "email: anna@paper.example, away: true,"))
    circumstances = Circumstances.of(make_workspace(database=database, files=FILES, settings=text))
    make_task(database, "anna")
    run(database, circumstances, MONDAY)

    assert {"dan"} == set(mails(database))
    assert "for Anna Ash" in mails(database)["dan"][1]


@pytest.mark.parametrize(
    ("at", "days", "around"),
    [("02:30", "2026-03-29", "2026-03-29T01:30"), ("02:30", "2026-10-25", "2026-10-25T00:30")],
)
def test_digest_comes_once_where_clocks_change(
    database: Database, make_workspace: Callable[..., Workspace], at: str, days: str, around: str
) -> None:
    """
    Half past two that is skipped comes at half past three; where it comes twice the mail goes the first time, once.
    """
    text = settings(("{{at: '07:30', zone: Europe/Berlin}}", f"{{{{at: '{at}', zone: Europe/Berlin, days: [sun]}}}}"))
    circumstances = Circumstances.of(make_workspace(database=database, files=FILES, settings=text))
    with database.begin() as connection:
        tasks.create(connection, tasks.NewTask("t", "reply", "Do it", owner="anna"), datetime(2026, 1, 1, tzinfo=UTC))
    expected = datetime.fromisoformat(around).replace(tzinfo=UTC)
    begin = datetime.fromisoformat(days).replace(tzinfo=UTC) - timedelta(hours=1)
    sent = [
        now for minutes in range(0, 6 * 60, 10)
        if run(database, circumstances, now := begin + timedelta(minutes=minutes))
    ]  # fmt: skip

    assert [expected] == sent
    with database.begin() as connection:
        assert 1 == len(connection.execute(select(task.c.id)).all())
