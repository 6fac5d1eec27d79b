"""Key accounts belong to a named person: mass mail leaves them out, and their owner has a task instead."""

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from campaigns import catalogue as files
from campaigns import key_accounts, tasks
from campaigns.plan import from_file, make_plan, to_file
from campaigns.runs import apply_reviewed
from campaigns.tasks import NewTask, TaskState
from cli import clarion
from core import schema
from core.commands import Desk
from core.errors import NotFound, PlanError
from suppression.policy import Policy
from tests.campaign_files import FILES, campaign_file
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import LONG_AGO, make_customer

SETTINGS = (
    MINIMAL_SETTINGS
    + """\
staff:
  anna: {{name: Anna Berg, email: anna@paper.example, deputy: ben}}
  ben: {{name: Ben Lee, email: ben@paper.example}}
  cleo: {{name: Cleo Roy, email: cleo@paper.example, deputy: ben, away: true}}
care:
  promotions: [promotions]
  key_accounts: {{levels: {{pyramid: [top, big]}}, task_due: 2d}}
"""
)


@pytest.fixture
def office(make_workspace, database):
    """A workspace that spares key accounts, with a promotion and a piece of news."""
    news = {"campaigns/news.yaml": campaign_file(topic="news")}
    return make_workspace(database=database, files={**FILES, **news}, settings=SETTINGS)


def customer_of(connection, name: str, *, owner: str | None, level: str | None, **values: Any) -> int:
    """A customer who agreed to everything, at a level of the pyramid."""
    customer_id = make_customer(
        connection, external_id=name, owner=owner, consents=("promotions", "news"), first_name=name.title(), **values
    )
    if level is not None:
        metrics = schema.customer_metrics.insert().values(customer_id=customer_id, pyramid=level, as_of=LONG_AGO)
        connection.execute(metrics)
    return customer_id


@pytest.fixture
def people(database) -> None:
    """Whose owner and level make them a key account, and others."""
    with database.begin() as connection:
        customer_of(connection, "key", owner="anna", level="top")
        customer_of(connection, "away", owner="Cleo Roy", level="big")
        customer_of(connection, "left", owner="somebody else", level="top")
        customer_of(connection, "unowned", owner=None, level="top")
        customer_of(connection, "small", owner="anna", level="small")
        customer_of(connection, "unmeasured", owner="anna", level=None)


def applied(workspace, database, clock, name: str = "spring-paper") -> dict[str, str | None]:
    """External id → skip reason after the campaign was applied."""
    catalogue = files.load(workspace)
    with database.begin() as connection:
        plan = make_plan(connection, catalogue, [name], clock.now())
        (started,) = apply_reviewed(connection, catalogue, from_file(to_file(plan)), clock.now())
        rows = connection.execute(
            select(schema.customer.c.external_id, schema.message.c.skip_reason)
            .join(schema.customer, schema.customer.c.id == schema.message.c.customer_id)
            .where(schema.message.c.run_id == started.run_id)
        )
        return {row.external_id: row.skip_reason for row in rows}


def tasks_of(database) -> list[Any]:
    """Every task."""
    with database.begin() as connection:
        return list(tasks.listed(connection, ended=True))


def test_promotion_leaves_key_accounts_to_their_owners(office, database, clock, people) -> None:
    """
    Who has an owner and is of a level named is skipped and has a task of the owner's; everybody else is written to.
    """
    reasons = applied(office, database, clock)

    assert {"key", "away", "left"} == {name for name, reason in reasons.items() if reason == "key_account"}
    assert {None} == {reason for name, reason in reasons.items() if name not in ("key", "away", "left")}
    assert {"key", "away", "left"} == {task.customer for task in tasks_of(database)}


def test_other_topics_reach_key_accounts(office, database, clock, people) -> None:
    """
    Only the topics that count as promotions leave them out.
    """
    assert {None} == set(applied(office, database, clock, "news").values())
    assert [] == tasks_of(database)


def test_task_holds_the_mailing_as_they_would_have_got_it(office, database, clock, people) -> None:
    """
    The text has subject, greeting and untracked links; the owner of staff, or their deputy, has the task.
    """
    applied(office, database, clock)
    with database.begin() as connection:
        assert 3 == key_accounts.write_texts(connection, office, clock.now())
    found = {task.customer: task for task in tasks_of(database)}

    assert ("anna", "ben", None) == tuple(found[name].owner for name in ("key", "away", "left"))
    assert found["key"].body.startswith("Subject: Paper for you\n\n")
    assert "Good morning Key," in found["key"].body
    assert "https://paper.example/spring" in found["key"].body
    assert not re.search("https?://[^ ]+/[upv]/", found["key"].body)
    assert "'somebody else' is no entry of `staff`" in found["left"].body
    assert "spring-paper: write to Key yourself" == found["key"].title
    assert 2 == (found["key"].due_at - clock.now()).days


def test_tasks_are_made_and_written_once(office, database, clock, people) -> None:
    """
    Asking again makes no second task, and what is written stays as it is.
    """
    applied(office, database, clock)
    catalogue = files.load(office)
    with database.begin() as connection:
        key_accounts.write_texts(connection, office, clock.now())
        run_id = connection.execute(select(schema.run.c.id)).scalar_one()
        policy = Policy.of(catalogue.settings)

        assert 0 == key_accounts.leave_to_owners(connection, run_id, "promotions", policy, clock.now())
        assert 0 == key_accounts.write_texts(connection, office, clock.now())
        assert not key_accounts.is_unwritten(connection)


def test_person_is_one_key_account_with_one_task(office, database, clock, people) -> None:
    """
    Another address of a key account's person, and another customer at its address, get no mail; there is one task.
    """
    with database.begin() as connection:
        connection.execute(update(schema.customer).where(schema.customer.c.external_id == "key").values(person="p"))
        customer_of(connection, "private", owner=None, level=None, person="p")
        address = select(schema.customer.c.email, schema.customer.c.address_key)
        row = connection.execute(address.where(schema.customer.c.external_id == "key")).one()
        customer_of(connection, "same-box", owner=None, level=None, email=row.email)
    reasons = applied(office, database, clock)

    assert ("key_account", "key_account") == (reasons["private"], reasons["same-box"])
    assert ["away", "key", "left"] == sorted(task.customer for task in tasks_of(database))


def test_text_says_why_there_is_none(make_workspace, database, clock, people) -> None:
    """
    A mailing that cannot be rendered for the customer leaves a task that says so.
    """
    template = "---\nsubject: Hello\n---\n<p>{{ customer.attributes.contract }}</p>\n"
    office = make_workspace(
        database=database, files={**FILES, "templates/spring-paper.html": template}, settings=SETTINGS
    )
    applied(office, database, clock)
    with database.begin() as connection:
        key_accounts.write_texts(connection, office, clock.now())

    assert all(task.body.startswith("The mailing could not be rendered") for task in tasks_of(database))


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def run(office, database, clock):
    """Calls `clarion` with the arguments, at the tests' clock."""
    desk = Desk(clock=clock)
    desk.workspace = office
    desk.database = database
    return lambda *arguments: CliRunner().invoke(clarion, arguments, obj=desk)


def test_task_list_shows_key_account_with_content(run, office, database, clock, people) -> None:
    """
    `task list` writes what is not written yet, shows the owner's tasks, and the whole text where it is asked for.
    """
    applied(office, database, clock)
    listed = json.loads(run("task", "list", "--owner", "anna", "--json").stdout)["tasks"]
    full = run("task", "list", "--owner", "anna", "--full").stdout

    assert [("anna", "key_account", "key", "open")] == [
        (task["owner"], task["kind"], task["customer"], task["state"]) for task in listed
    ]
    assert "Good morning Key," in listed[0]["body"]
    assert "Good morning Key," in full


def test_task_done_leaves_the_list_with_its_outcome(run, office, database, clock, people) -> None:
    """
    A task is done once, with what came of it; then only `--all` shows it.
    """
    applied(office, database, clock)
    first = json.loads(run("task", "list", "--owner", "anna", "--json").stdout)["tasks"][0]["id"]
    done = run("task", "done", str(first), "--outcome", "ordered ten boxes", "--by", "anna")
    again = run("task", "done", str(first), "--outcome", "once more")
    ended = json.loads(run("task", "list", "--customer", "key", "--all", "--json").stdout)["tasks"]

    assert (0, 1) == (done.exit_code, again.exit_code)
    assert "is done already (by anna" in again.stderr
    assert [("done", "ordered ten boxes", "anna")] == [(t["state"], t["outcome"], t["done_by"]) for t in ended]
    assert first not in [task["id"] for task in json.loads(run("task", "list", "--json").stdout)["tasks"]]


def test_task_of_nobody_is_given_to_somebody(run, office, database, clock, people) -> None:
    """
    What has no owner in staff is listed apart and can be given to an employee.
    """
    applied(office, database, clock)
    first = json.loads(run("task", "list", "--nobody", "--json").stdout)["tasks"][0]
    given = run("task", "give", str(first["id"]), "ben")
    unknown = run("task", "give", str(first["id"]), "bem")

    assert ("left", 0) == (first["customer"], given.exit_code)
    assert [] == json.loads(run("task", "list", "--nobody", "--json").stdout)["tasks"]
    assert (1, True) == (unknown.exit_code, "ben" in unknown.stderr)


def test_task_of_one_cause_is_made_once(database, clock) -> None:
    """
    The same key asks for the same task, even after it was done; ending it twice or without words is refused.
    """
    with database.begin() as connection:
        first = tasks.create(connection, NewTask("reply:1", "reply", "Answer\n Ann"), clock.now())
        assert first is not None
        tasks.end(connection, first, by="anna", outcome="called", now=clock.now(), state=TaskState.DROPPED)

        assert tasks.create(connection, NewTask("reply:1", "reply", "Answer Ann"), clock.now()) is None
        assert "Answer Ann" == tasks.fetch(connection, first).title
        with pytest.raises(PlanError, match="dropped already"):
            tasks.end(connection, first, by="anna", outcome="again", now=clock.now())
        with pytest.raises(NotFound):
            tasks.end(connection, 10**6, by="anna", outcome="x", now=clock.now())
