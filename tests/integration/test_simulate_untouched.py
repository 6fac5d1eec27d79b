"""Rehearsals leave sequences as they are, and their people answer as in production."""

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import select, text

from campaigns import catalogue as files
from campaigns import whole_plan
from campaigns.duty import Circumstances, Duty
from campaigns.simulation.assumptions import SILENCE, Assumptions
from campaigns.simulation.clock import VirtualClock
from campaigns.simulation.courier import NullCourier
from campaigns.simulation.rehearsal import Wish, rehearse
from campaigns.simulation.responses import Responses
from cli import clarion
from core import schema
from core.commands import Desk
from core.database import Database
from suppression.record import unsubscribe
from tests.campaign_files import FILES
from tests.factories import make_customer, make_message, make_run

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
WAITING = """\
kind: sequence
topic: promotions
enrol: {segment: everybody, mode: live, look_every: 2h}
send: {from: offers}
steps:
  hello: {send: {template: spring-paper.html, subject: Hello}}
  order: {wait: {for: 'did("purchase", since="step")', timeout: 7d, look_every: 2h}}
"""


def sequence_workspace(make_workspace, database):
    others = {name: text for name, text in FILES.items() if not name.startswith("campaigns/")}
    workspace = make_workspace(database=database, files=others | {"campaigns/waiting.yaml": WAITING})
    with database.begin() as connection:
        make_customer(connection, external_id="K1", consents=("promotions",))
        catalogue = files.load(workspace)
        plan = whole_plan.make(connection, catalogue, (), START)
        whole_plan.apply_document(connection, catalogue, whole_plan.to_file(plan), START)
    return workspace


def test_rehearsal_applies_nothing_that_is_as_its_file_says(make_workspace, database):
    """
    A live sequence whose file did not change is not edited by rarer looks, which are rarer all the same.
    """
    workspace = sequence_workspace(make_workspace, database)
    rarely, often = (
        rehearse(database, workspace, Wish(START, 1, assumptions=SILENCE, looks_apart=apart), START)
        for apart in (timedelta(hours=12), timedelta())
    )

    assert [(), ()] == [found.applied for found in (rarely, often)]
    assert [1, 1] == [sum(step.accepted for step in found.steps) for found in (rarely, often)]
    assert rarely.instants < often.instants


def test_watched_customer_may_live_where_nobody_knows(make_workspace, database):
    """
    What they get is told by the organisation's clock, when their zone is none.
    """
    with database.begin() as connection:
        make_customer(connection, external_id="K1", consents=("promotions",), zone="Mars/Olympus")
    workspace = make_workspace(database=database, files=FILES)
    found = rehearse(database, workspace, Wish(START, 1, assumptions=SILENCE, watched="K1"), START)

    assert [workspace.settings.organisation.zone] == [str(one.local.tzinfo) for one in found.moments]


def test_who_leaves_in_a_rehearsal_leaves_as_in_production(database):
    """
    All at once as one by one: the same entries and withdrawals, also of who shares an address, or moved.
    """
    ids = []
    with database.begin() as connection:
        for number in range(4):
            email = f"p{number // 2}@customers.example"
            made = make_customer(connection, external_id=f"K{number}", email=email, consents=("promotions",))
            ids.append(make_message(connection, make_run(connection, campaign=f"c{number}"), made, state="accepted"))

    def left(act):
        with database.begin() as connection:
            savepoint = connection.begin_nested()
            act(connection)
            tables = (schema.suppression, schema.consent)
            told = [
                sorted(
                    repr({name: value for name, value in row.items() if name != "id"})
                    for row in connection.execute(select(table)).mappings()
                )
                for table in tables
            ]
            savepoint.rollback()
        return told

    def at_once(connection):
        Responses.prepare(connection)
        rows = [{"at": START + timedelta(minutes=each), "id": each} for each in ids]
        connection.execute(text("INSERT INTO rehearsal_answer VALUES (:at, :id, 'unsubscribe')"), rows)
        assert len(ids) == Responses(SILENCE).note(connection, START + timedelta(days=1))

    def one_by_one(connection):
        for each in ids:
            unsubscribe(connection, message_id=each, source="page", now=START + timedelta(minutes=each))

    assert left(one_by_one) == left(at_once)
    assert [2, 8] == [len(rows) for rows in left(at_once)]


@pytest.mark.parametrize("start", ["2026-03-01T09:00", "2028-03-01T09:00"])
def test_rehearsal_begins_neither_in_the_past_nor_years_ahead(make_workspace, database, clock, start):
    """
    Both are refused before anything is gone through.
    """
    desk = Desk(make_workspace(database=database, files=FILES).root, clock)
    done = CliRunner().invoke(clarion, ["simulate", "--from", start], obj=desk)
    desk.close()

    assert 2 == done.exit_code
    assert "expected a time from now on, at most 400 days ahead" in done.stderr


def test_duty_that_is_never_done_is_told(make_workspace, database):
    """
    A duty that always has more to do goes round in circles, and says which one it is.
    """
    circumstances = Circumstances.of(make_workspace(database=database, files=FILES))
    endless = Duty("endless", lambda *_: 1, lambda _connection, _around, now: now)
    silent = Responses(Assumptions(0, 0, 0, 0, 0, 0))
    with Database(database.url).rehearsal() as connection:
        Responses.prepare(connection)
        clock = VirtualClock(connection, circumstances, NullCourier(circumstances, silent), silent, duties=(endless,))
        with pytest.raises(RuntimeError, match="endless goes round in circles"):
            clock.catch_up(START)
