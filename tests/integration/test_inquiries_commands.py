"""`clarion inquiry` and `clarion task`: what an employee sees and says at the keyboard."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, update

from campaigns import catalogue
from cli import clarion
from core.clock import SteppedClock
from core.commands import Desk
from core.database import Database
from core.schema import customer, inquiry, staff_notice, task
from core.workspace import Workspace
from tests.factories import make_customer
from tests.inquiry_files import FILES, SETTINGS, settings

NOW = datetime(2026, 10, 23, 9, 0, tzinfo=UTC)  # a Friday; two days before clocks go back


@pytest.fixture
def workspace(make_workspace: Callable[..., Workspace], database: Database) -> Workspace:
    return make_workspace(database=database, files=FILES, settings=SETTINGS)


@pytest.fixture
def run(workspace: Workspace, clock: SteppedClock) -> Callable[..., Result]:
    clock.instant = NOW

    def run_(*arguments: str) -> Result:
        desk = Desk(workspace.root, clock)
        result = CliRunner().invoke(clarion, arguments, obj=desk)
        desk.close()
        return result

    return run_


def added(run: Callable[..., Result], *more: str) -> dict[str, object]:
    """An inquiry that was taken by telephone."""
    taken = run("inquiry", "add", "sales", "--from", "reader@customers.example", "--subject", "Boxes", *more, "--json")
    assert 0 == taken.exit_code, taken.stderr
    return dict(json.loads(taken.stdout))


def test_inquiry_is_taken_shown_and_answered(run: Callable[..., Result], clock: SteppedClock) -> None:
    """
    From the telephone to the outcome: in the list with its deadline, overdue when it passed, and out of it when done.
    """
    found = added(run, "--text", "How many fit?", "--key", "call 7")
    again = added(run, "--text", "How many fit?", "--key", "call 7")
    number = str(found["inquiry"])
    listed = run("inquiry", "list").stdout
    clock.step(timedelta(days=3))
    overdue, tasks = run("inquiry", "list").stdout, run("task", "list").stdout
    shown = run("inquiry", "show", number).stdout
    done = run("inquiry", "answer", number, "--by", "ben", "--outcome", "Sent the list")
    twice = run("inquiry", "answer", number, "--outcome", "again")

    assert (True, False, found["inquiry"]) == (found["is_new"], again["is_new"], again["inquiry"])
    assert "overdue" not in listed
    assert "overdue" in overdue
    assert "overdue" in tasks
    assert "How many fit?" in shown
    assert 0 == done.exit_code
    assert "(none)" in run("inquiry", "list").stdout
    assert "(none)" in run("task", "list").stdout
    assert "answered already (by ben" in twice.stderr
    assert 1 == twice.exit_code


def test_task_list_keeps_its_document(run: Callable[..., Result]) -> None:
    """
    Programs read the same keys as before; `when` is for eyes alone.
    """
    added(run)
    (row,) = json.loads(run("task", "list", "--json").stdout)["tasks"]

    assert {
        "id", "kind", "owner", "campaign", "message_id", "title", "body", "state", "due_at", "created_at", "done_at",
        "done_by", "outcome", "customer",
    } == set(row)  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("America/New_York", datetime(2026, 10, 26, 19, 0, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 26, 14, 0, tzinfo=UTC)),  # by then the clock was put back
        (None, datetime(2026, 10, 26, 15, 0, tzinfo=UTC)),
    ],
)
def test_call_is_agreed_by_the_customers_clock(
    database: Database, run: Callable[..., Result], zone: str | None, expected: datetime
) -> None:
    """
    Three in the afternoon where they live; the organisation's zone where that is not known.
    """
    with database.begin() as connection:
        make_customer(connection, email="reader@customers.example", zone=zone)
    number = str(added(run)["inquiry"])
    agreed = run("inquiry", "call", number, "--at", "2026-10-26 15:00")
    with database.begin() as connection:
        times = connection.execute(select(inquiry.c.call_at, inquiry.c.due_at, task.c.due_at).join(task)).one()

    assert 0 == agreed.exit_code, agreed.stderr
    assert (expected, expected, expected) == tuple(times)


def test_call_at_a_repeated_hour_is_its_first(database: Database, run: Callable[..., Result]) -> None:
    """
    Half past two comes twice on 25 October in Berlin: the call is at the first (S-8.2).
    """
    number = str(added(run)["inquiry"])
    with database.begin() as connection:
        connection.execute(update(customer).values(zone="Europe/Berlin"))
    run("inquiry", "call", number, "--at", "2026-10-25T02:30")
    with database.begin() as connection:
        assert datetime(2026, 10, 25, 0, 30, tzinfo=UTC) == connection.execute(select(inquiry.c.call_at)).scalar_one()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("inquiry", "call", "1", "--at", "tomorrow"), "no time to call"),
        (("inquiry", "call", "1", "--at", "2026-10-01 10:00"), "in the past"),
        (("inquiry", "give", "1", "eve"), "no employee"),
        (("inquiry", "answer", "1", "--outcome", " "), "ends with an outcome"),
        (("inquiry", "answer", "77", "--outcome", "x"), "no inquiry 77"),
        (("inquiry", "add", "sale", "--from", "a@b.example", "--subject", "x"), "sales"),
        (("inquiry", "list", "--desk", "sale"), "sales"),
    ],
)
def test_mistakes_are_told(run: Callable[..., Result], arguments: tuple[str, ...], expected: str) -> None:
    """
    In words that say what to do; nothing changes.
    """
    added(run)
    result = run(*arguments)

    assert 0 != result.exit_code
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_inquiry_given_to_somebody_takes_its_task_along(database: Database, run: Callable[..., Result]) -> None:
    """
    Whether the inquiry is given or its task: both are the new owner's, who is told.
    """
    number = str(added(run)["inquiry"])
    owners = []
    for arguments in (("inquiry", "give", number, "ben"), ("task", "give", "1", "cora")):
        assert 0 == run(*arguments).exit_code
        with database.begin() as connection:
            owners.append(tuple(connection.execute(select(inquiry.c.owner, task.c.owner).join(task)).one()))

    with database.begin() as connection:
        notices = select(staff_notice.c.recipient, staff_notice.c.subject).order_by(staff_notice.c.id)
        told = [(row.recipient, row.subject.partition(":")[0]) for row in connection.execute(notices)][1:]

    assert [("ben", "ben"), ("cora", "cora")] == owners
    assert [("ben@paper.example", "Given to you"), ("cora@paper.example", "Given to you")] == told


def test_task_given_to_somebody_is_told_once(database: Database, run: Callable[..., Result]) -> None:
    """
    A task that is about no inquiry: its new owner reads what is to be done; given again, nobody is told.
    """
    with database.begin() as connection:
        row = {"task_key": "a", "kind": "call", "title": "Call them", "created_at": datetime(2026, 3, 2, tzinfo=UTC)}
        connection.execute(task.insert().values(row))
    for _ in range(2):
        assert 0 == run("task", "give", "1", "ben").exit_code
    with database.begin() as connection:
        told = connection.execute(select(staff_notice.c.recipient, staff_notice.c.subject)).all()

    assert [("ben@paper.example", "Given to you: Call them")] == [tuple(one) for one in told]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("owner: anna\n", "owner: eve\n", "inquiries.sales: 'eve' is no entry of staff"),
        ("to: cora}}", "to: coral}}", "'coral' is no entry of staff"),
        ("subject_area: [ink]", "subject_area: [inc]", "has no choice 'inc'"),
        ("where: {{subject_area:", "where: {{area:", "the form has no field 'area'"),
        ("acknowledge: received", "acknowledge: spring-paper", "'spring-paper' is not transactional"),
        ("acknowledge: received", "acknowledge: nothing", "no campaign 'nothing'"),
        ("nobodys: dan", "nobodys: don", "tasks.nobodys: 'don' is no entry of staff"),
        ("deadline: 4h", "deadline: 90d", "at most '30d'"),
        ('to: "17:00"', 'to: "09:30"', "'to' is not an hour after 'from'"),
        ("fields:\n", "fields:\n      homepage: {{label: Page}}\n", "a field cannot be called 'homepage'"),
        ("fields:\n", "fields:\n      call_day: {{label: Day}}\n", "a field cannot be called 'call_day'"),
        ("label: {{en: About}}", "label: {{}}", "subject_area.label is wrong (got {}, expected at least 1 entry)"),
        ("ink: {{en: Ink}}", "ink: {{}}", "choices.ink is wrong (got {}, expected at least 1 entry)"),
        ("title: {{en: Ask sales, de: Fragen Sie uns}}", "title: {{}}", "title is wrong (got {}, expected"),
        ("kind: choice, choices: {{paper: {{en: Paper}}, ink: {{en: Ink}}}}", "kind: choice", "expected 'choices'"),
    ],
)
def test_mistakes_of_desks_are_told_with_their_line(
    make_workspace: Callable[..., Workspace], old: str, new: str, expected: str
) -> None:
    """
    `clarion validate` finds what is wrong between values, too, at its line of clarion.yaml.
    """
    workspace = make_workspace(files=FILES, settings=settings((old, new)))
    _, problems = catalogue.examine(workspace)
    found = [problem for problem in problems if expected in problem.message]
    text = (workspace.root / "clarion.yaml").read_text(encoding="utf-8")

    assert [("clarion.yaml", True)] == [(problem.file, problem.line > text.count("\n", 0, 200)) for problem in found]
