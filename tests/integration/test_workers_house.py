"""Housekeeping is fenced like everything a scheduler writes, and goes by the newest settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import select, text

from campaigns import recurring
from core import schema
from core.database import Database
from core.fresh_settings import FreshWorkspace
from tests.campaign_files import FILES, campaign_file
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.integration.test_sequences_patience import MAILS, entered
from tests.sequence_files import Road, sequence
from workers.duty_rounds import DutyRounds
from workers.housekeeping import RETENTION, Housekeeping
from workers.leading import Deposed, Lead


@contextmanager
def deposed(database: Database) -> Iterator[tuple[Lead, Lead]]:
    """One that led and lost the lead in its sleep, and the one that leads until the block ends."""
    old, new = Lead(database), Lead(database)
    with psycopg.connect(database.url, autocommit=True) as first:
        assert old.is_won(first)
        first.execute("SELECT pg_advisory_unlock_all()")
        with psycopg.connect(database.url, autocommit=True) as second:
            assert new.is_won(second)
            yield old, new


def test_old_leader_keeps_no_house(database, make_workspace, clock):
    """
    Who lost the lead while it slept writes nothing; the one that leads does it.
    """
    fresh = FreshWorkspace(make_workspace(database=database))
    with deposed(database) as (old, new):
        with pytest.raises(Deposed):
            Housekeeping(old, fresh, clock).keep_house()
        with database.begin() as connection:
            assert [] == connection.execute(select(schema.schedule_tick)).all()
        assert Housekeeping(new, fresh, clock).keep_house()
    with database.begin() as connection:
        assert [RETENTION] == list(connection.execute(select(schema.schedule_tick.c.schedule)).scalars())


def test_old_leader_ends_no_runs_of_former_sequences(database, make_workspace, clock):
    """
    A run of a step as no version has it any more goes on for who lost the lead; for the one that leads it is finished.
    """
    way = Road(make_workspace, database, clock, sequence(MAILS, enrol="{by: api}"))
    fresh = FreshWorkspace(way.workspace)
    entered(way)
    way.tick()
    with database.begin() as connection:
        connection.execute(text("UPDATE batch SET state = 'done'"))
        connection.execute(text("UPDATE sequence_version SET definition = definition - 'sends'"))
    with deposed(database) as (old, new):
        with pytest.raises(Deposed):
            Housekeeping(old, fresh, clock).end_former()
        assert [("running",)] == way.rows("SELECT state FROM run")
        assert 1 == len(Housekeeping(new, fresh, clock).end_former())
    assert [("finished",)] == way.rows("SELECT state FROM run")


def test_recurring_campaign_that_cannot_start_is_let_alone_for_a_while(database, make_workspace, clock, caplog):
    """
    It is tried again after a second, then twice as long, and told as often; another one starts meanwhile.
    """
    weekly = campaign_file(kind="recurring", schedule='{cron: "0 9 * * mon", zone: UTC}')
    given = {name: text_ for name, text_ in FILES.items() if not name.startswith("campaigns/")}
    files = given | {"campaigns/broken.yaml": weekly, "campaigns/whole.yaml": weekly}
    workspace = make_workspace(database=database, files=files)
    apply_of(workspace, database, clock, plan_of(workspace, database, clock))
    damage = text("UPDATE campaign_version SET definition = '{}' WHERE campaign = 'broken'")
    with database.begin() as connection:
        connection.execute(damage)
    clock.step(timedelta(days=8))
    rounds = DutyRounds(database, FreshWorkspace(workspace), clock, recurring.DUTIES)

    def tried():
        before = len(caplog.records)
        rounds.work()
        return sum("broken could not be started" in record.message for record in caplog.records[before:])

    assert [1, 0, 0] == [tried(), tried(), tried()]
    with database.begin() as connection:
        assert ["whole"] == list(connection.execute(select(schema.run.c.campaign)).scalars())
    clock.step(timedelta(seconds=1))
    assert [1, 0] == [tried(), tried()]
    clock.step(timedelta(seconds=1))
    assert 0 == tried()
    clock.step(timedelta(seconds=1))
    assert 1 == tried()
