"""`clarion send --wait`: what it tells, and how it ends."""

import threading
from datetime import timedelta
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import text

from campaigns import batches, control
from campaigns.commands import waiting
from campaigns.commands.planning import _confirm
from campaigns.presence import Present, are_senders_present
from campaigns.sending import Courier
from cli import clarion
from core.clock import SystemClock
from core.commands import Desk
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer, make_message, make_run
from tests.integration.test_campaigns_sending import first_batch, serving
from tests.processes import wait_for


@pytest.fixture
def office(make_workspace, database):
    """`office(port)` gives a workspace with two people who agreed, and processes that seem to send."""
    with database.begin() as connection:
        make_customer(connection, email="ada@firm.example", consents=("promotions",))
        make_customer(connection, email="bob@firm.example", consents=("promotions",))
    with Present(database.url, "worker"), Present(database.url, "scheduler"):
        wait_for(lambda: _senders(database), "both to be seen")
        yield lambda port: make_workspace(database=database, files=FILES, smtp_port=port)


def _senders(database):
    with database.begin() as connection:
        return are_senders_present(connection)


def when_started(database, deed):
    """`deed` in a thread of its own, as soon as there is a batch."""

    def act():
        for _ in range(10_000):
            with database.begin() as connection:
                if connection.execute(text("SELECT count(*) FROM batch")).scalar_one():
                    break
        deed()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def waited(workspace):
    desk = Desk(workspace.root)
    result = CliRunner().invoke(clarion, ["send", "spring-paper", "--yes", "--wait"], obj=desk)
    desk.close()
    return result


def test_run_that_was_sent_ends_well_with_its_counts(office, database):
    """
    Exit code 0, and one line with what became of everybody.
    """
    with serving() as server:
        workspace = office(server.port)
        courier = Courier(workspace, database, SystemClock(), "w1")
        thread = when_started(database, lambda: courier.send_batch(first_batch(database)))
        result = waited(workspace)
        thread.join()
        courier.close()

    assert 0 == result.exit_code
    assert "spring-paper is finished: 2 accepted, 0 skipped" in result.stderr


def test_run_is_waited_for_until_it_is_over(office, database, monkeypatch):
    """
    Between the last answer and the end of the run nobody is told that it is going on.
    """

    def finish(_):
        with database.begin() as connection:
            batches.finish_runs(connection, SystemClock().now())

    monkeypatch.setattr(waiting, "time", SimpleNamespace(sleep=finish, monotonic=lambda: 0.0))
    with database.begin() as connection:
        run_id = make_run(connection)
        make_message(connection, run_id, make_customer(connection, email="eve@firm.example"))
    desk = Desk(office(9).root)
    ended = waiting.wait_for(desk, run_id)
    desk.close()

    assert "spring-paper is finished: 1 accepted, 0 skipped" == ended.sentence


@pytest.mark.parametrize(
    ("typed", "told"),
    [("5000", ""), ("5,000", ""), ("no", "nothing was sent (got 'no', expected 5,000)")],
)
def test_number_is_typed_as_it_is_asked_for(typed, told):
    """
    With its comma or without; the refusal spells it like the question.
    """
    ask = click.Command("ask", callback=lambda: _confirm(5000))
    result = CliRunner().invoke(ask, input=f"{typed}\n")

    assert told == str(result.exception or "").partition("\n")[0]
    assert "Type the number of messages to send (5,000)" in result.stderr


def test_run_that_is_paused_ends_the_wait_with_the_reason(office, database):
    """
    Exit code 1: nobody waits for ever, and scripts notice.
    """

    def pause():
        with database.begin() as connection:
            control.order(connection, "spring-paper", "pause", actor="test", now=SystemClock().now())

    workspace = office(9)
    thread = when_started(database, pause)
    result = waited(workspace)
    thread.join()

    assert 1 == result.exit_code
    assert "spring-paper is paused: 0 accepted, 2 planned, 0 skipped" in result.stderr
    assert "waiting: 2: the run is paused (paused by hand); `clarion resume spring-paper` goes on" in result.stderr


def test_run_whose_messages_are_held_ends_the_wait(make_workspace, office, database):
    """
    Who is held for days is not waited for: the run goes on, nothing went wrong, and it is said what holds them.
    """
    yesterday = SystemClock().now() - timedelta(days=1)
    with database.begin() as connection:
        run_id = make_run(connection, "before")
        for email in ("eve@firm.example", "kim@firm.example"):
            customer_id = make_customer(connection, email=email, consents=("promotions",))
            make_message(connection, run_id, customer_id, accepted_at=yesterday, state_at=yesterday)
    capped = "pressure: {{caps: {{weekly: {{most: 1, within: 7d}}}}, when_capped: {{defer: 5d}}}}\n"
    with serving() as server:
        files = {"database": database, "files": FILES, "smtp_port": server.port}
        workspace = make_workspace(settings=MINIMAL_SETTINGS + capped, **files)
        courier = Courier(workspace, database, SystemClock(), "w1")
        thread = when_started(database, lambda: courier.send_batch(first_batch(database)))
        result = waited(workspace)
        thread.join()
        courier.close()

    assert 0 == result.exit_code
    assert "spring-paper is going on: 2 accepted, 2 planned, 2 held, 0 skipped" in result.stderr
    assert "waiting: 2: the recipients were written to as often as a cap, or they themselves, allow" in result.stderr
