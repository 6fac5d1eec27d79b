"""The rules of the ledger: each one that does not hold is told, and a run in motion is not accused of any."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, text, update

from campaigns import ledger, window
from campaigns.status import status_of
from core import schema
from delivery.smtp import Outcome, OutcomeState
from suppression.policy import Policy
from tests.factories import make_attempt, make_customer, make_message, make_run

LEASE = timedelta(minutes=1)
ACCEPTED = Outcome(OutcomeState.ACCEPTED, 250, "2.0.0", "ok")


@pytest.fixture
def planned(database, clock):
    """A running run of three planned messages in one batch: its id, the batch's, the messages'."""
    with database.begin() as connection:
        run_id = make_run(connection, audience=3)
        people = [make_customer(connection, consents=("promotions",)) for _ in range(3)]
        ids = [make_message(connection, run_id, person, state="planned") for person in people]
        return run_id, make_batch(connection, run_id, ids, clock), ids


def make_batch(connection, run_id, ids, clock, **values):
    row = {"run_id": run_id, "message_ids": ids, "not_before": clock.now()} | values
    return connection.execute(insert(schema.batch).values(**row).returning(schema.batch.c.id)).scalar_one()


def broken(database, run_id):
    with database.begin() as connection:
        return status_of(connection, run_id).broken


def change(database, table, **values):
    with database.begin() as connection:
        connection.execute(update(table).values(**values))


def test_a_run_in_motion_balances(database, clock, planned):
    """
    Before, between and after the hand-over of a batch no rule is broken.
    """
    run_id, batch_id, ids = planned
    assert () == broken(database, run_id)
    with database.begin() as connection:
        held = ledger.claim(connection, batch_id, worker="w1", lease=LEASE, policy=Policy(), now=clock.now())
    with database.begin() as connection:
        window.hand_over(connection, held, window.Window(ids, (), {}, {}), transport="main", now=clock.now())
    assert () == broken(database, run_id)
    with database.begin() as connection:
        answers = window.Window((), [(ids[0], ACCEPTED)], {}, {})
        window.hand_over(connection, held, answers, transport="main", now=clock.now())
    assert () == broken(database, run_id)


def test_a_message_in_two_batches_is_told(database, clock, planned):
    """
    Two workers would have it in hands at once. A settled one in two batches does no harm.
    """
    run_id, _, ids = planned
    with database.begin() as connection:
        make_batch(connection, run_id, ids[1:], clock)
        make_attempt(connection, ids[2])
        connection.execute(update(schema.message).where(schema.message.c.id == ids[2]).values(state="failed"))

    assert ("1 open messages are in more than one batch: they might be sent twice",) == broken(database, run_id)
    with database.begin() as connection:
        connection.execute(update(schema.batch).where(schema.batch.c.message_ids == ids[1:]).values(state="done"))
    assert () == broken(database, run_id)


def test_a_hand_over_in_nobodys_hands_is_told(database, clock, planned):
    """
    Handed over, and its batch waits for a worker: the answer would be read by nobody.
    """
    run_id, _, _ = planned
    change(database, schema.message, state="handed_over")
    told = ("3 messages are handed over, but no worker holds their batch: nobody reads the answer",)

    assert told == broken(database, run_id)
    lost = {"state": "claimed", "claim_count": 1, "lease_until": text("now() - interval '1 hour'")}
    change(database, schema.batch, **lost)  # found when its lease has ended: not broken yet
    assert () == broken(database, run_id)


def test_an_open_batch_of_a_finished_run_is_told(database, clock, planned):
    """
    No worker takes a batch of a run that is over, whether it holds messages or none.
    """
    run_id, _, ids = planned
    change(database, schema.message, state="accepted")
    with database.begin() as connection:
        for message_id in ids:
            make_attempt(connection, message_id, outcome="accepted")
        make_batch(connection, run_id, [], clock)
    change(database, schema.run, state="finished")

    assert ("the run is finished, but 2 of its batches are open: no worker takes them",) == broken(database, run_id)


def test_a_message_in_no_batch_is_told(database, clock, planned):
    """
    Nobody would ever send it.
    """
    run_id, _, ids = planned
    change(database, schema.batch, message_ids=ids[:1])

    assert ("2 open messages are in no batch: nobody would send them",) == broken(database, run_id)
