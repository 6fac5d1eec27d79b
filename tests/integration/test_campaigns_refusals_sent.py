"""Refusals on the wire, through a worker's trips, to their consequences."""

import pytest
from sqlalchemy import func, select

from campaigns.sending import Courier
from campaigns.status import status_of
from core import schema
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.integration.test_campaigns_sending import serving

SETTINGS = MINIMAL_SETTINGS + "workers: {{batch_size: 20}}\nrefusals: {{message_faults: 3}}\n"


@pytest.fixture
def send(make_workspace, database, clock):
    """
    `send(people, script)`: that many messages, in batches of 20, are handed to a server with this script until nothing
    more is due; gives the run's status and the recipients the server was asked about.
    """

    def build(people, script):
        with database.begin() as connection:
            for number in range(people):
                make_customer(connection, email=f"p{number}@firm.example", consents=("promotions",))
        with serving(script) as server:
            workspace = make_workspace(database=database, files=FILES, smtp_port=server.port, settings=SETTINGS)
            (started,) = apply_of(workspace, database, clock, plan_of(workspace, database, clock))
            courier = Courier(workspace, database, clock, "w1")
            with database.begin() as connection:
                batch_ids = connection.execute(select(schema.batch.c.id).order_by(schema.batch.c.id)).scalars().all()
            for batch_id in batch_ids:
                courier.send_batch(batch_id)
            courier.close()
            commands = [command for talk in server.conversations for command in talk.commands]
        with database.begin() as connection:
            return status_of(connection, started.run_id), sum(command.startswith("RCPT") for command in commands)

    return build


def suppressed(database):
    with database.begin() as connection:
        entries = select(func.count()).where(schema.suppression.c.lifted_at.is_(None))
        return connection.execute(entries.select_from(schema.suppression)).scalar_one()


def test_who_does_not_exist_is_suppressed_by_the_trip(send, database):
    """
    One of twelve is refused as unknown: they alone are suppressed, everybody else is accepted.
    """
    status, _ = send(12, {"recipient": [b"550 5.1.1 no such user"]})

    assert (1, 11, 1) == (status.states["failed"], status.states["accepted"], suppressed(database))
    assert ("finished", True) == (status.state, status.balanced)


def test_a_campaign_at_fault_is_paused_by_the_trip(send, database):
    """
    After three messages refused for what they are the run stops; nobody is suppressed.
    """
    status, _ = send(40, {"end": b"554 5.6.0 malformed"})

    assert ("paused", 20, 0) == (status.state, status.states["planned"], suppressed(database))
    assert "refused for what they are (refusals.message_faults: 3)" in status.fault
    assert status.balanced


def test_a_domain_that_is_out_of_order_is_held_by_the_trip(send, database):
    """
    A server that knows nobody any more: at the 50th answer its domain is held, the rest is not even tried, and nobody
    is suppressed.
    """
    status, asked = send(100, {"recipient": b"550 5.1.1 no such user"})

    assert (60, 60, 40, 0) == (asked, status.states["failed"], status.states["planned"], suppressed(database))
    assert ("running", True) == (status.state, status.balanced)
    with database.begin() as connection:
        held = connection.execute(select(schema.throttle.c.held_by).where(schema.throttle.c.held_at.is_not(None)))
        assert ["hard_bounces"] == list(held.scalars())
