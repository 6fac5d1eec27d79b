"""What `clarion retry --failed` leaves: the claim would skip it, or it may have arrived."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from campaigns.retry import CLASSES, again, failed, in_doubt
from core.schema import batch, campaign_version
from delivery.smtp import Outcome, OutcomeState
from suppression.policy import Policy
from tests.integration.test_campaigns_ledger import claim, close, expire_lease, hand_over, states
from tests.integration.test_campaigns_lost_workers import make_batch as make_batch
from tests.integration.test_campaigns_lost_workers import now as now

BLOCKED = Outcome(OutcomeState.FAILED, 554, "5.7.1", "blocked")


def refused(database, batch_id, ids, now, worker="w1"):
    """The messages are handed over and refused."""
    held = claim(database, batch_id, now, worker)
    hand_over(database, held, ids, [], now)
    hand_over(database, held, [], [(ids[0], BLOCKED)], now)
    close(database, held, now)


def asked(database, now):
    """What would be sent again of the failed ones and of those in doubt, and why the others not."""
    with database.begin() as connection:
        found = failed(connection, "spring-paper", CLASSES, now.now(), Policy())
        doubtful = in_doubt(connection, "spring-paper", now.now(), Policy())
    return (found.message_ids, found.left), (doubtful.message_ids, doubtful.left)


def test_what_failed_after_a_doubt_is_sent_again_only_knowingly(database, make_batch, now):
    """
    A message whose first hand-over was never answered may have arrived, whatever a later one was answered; once it was
    sent again knowingly, a refusal is one like any other.
    """
    batch_id, ids = make_batch(1, "transactional")
    hand_over(database, claim(database, batch_id, now), ids, [], now)
    expire_lease(database, batch_id)
    refused(database, batch_id, ids, now, "w2")

    assert ["failed"] == list(states(database).values())
    assert (([], {"may have arrived: see --unknown": 1}), (ids, {})) == asked(database, now)

    with database.begin() as connection:
        found = in_doubt(connection, "spring-paper", now.now(), Policy())
        ordered = {"why": "x", "action": "retry.unknown", "actor": "ann", "size": 9, "now": now.now()}
        assert 1 == again(connection, "spring-paper", found, **ordered)
        ready = connection.execute(select(batch.c.id).where(batch.c.state == "ready")).scalar_one()
    refused(database, ready, ids, now)
    assert ((ids, {}), ([], {})) == asked(database, now)


@pytest.mark.parametrize(("hours", "expected"), [(1, False), (3, True)])
def test_an_order_beyond_its_time_is_not_sent_again(database, make_batch, now, hours, expected):
    """
    `valid_for` of a transactional campaign counts from each order, as for whoever claims it.
    """
    batch_id, ids = make_batch(1, "transactional")
    with database.begin() as connection:
        connection.execute(update(campaign_version).values(valid_for=timedelta(hours=2)))
    refused(database, batch_id, ids, now)
    now.step(timedelta(hours=hours))

    assert (([], {"expired": 1}) if expected else (ids, {})) == asked(database, now)[0]
