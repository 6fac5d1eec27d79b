"""What a worker may still say and do that comes late, or that knows more than a database which failed over."""

import pytest
from sqlalchemy import select, update

from campaigns import journal
from campaigns.sending import Courier
from campaigns.window import is_held
from core.clock import up_s
from core.schema import attempt, batch, message
from tests.integration.test_campaigns_ledger import (
    ACCEPTED,
    DEFERRED,
    FAILED,
    NOT_SENT,
    UNKNOWN,
    close,
    expire_lease,
    hand_over,
    states,
)
from tests.integration.test_campaigns_ledger import claim as claimed
from tests.integration.test_campaigns_lost_workers import broken, open_batches, reported
from tests.integration.test_campaigns_lost_workers import make_batch as make_batch
from tests.integration.test_campaigns_lost_workers import now as now
from tests.integration.test_campaigns_sending import serving
from tests.integration.test_campaigns_transactional import shop as shop


def fail_over(database, changed, **values):
    """The last commit is not there: the standby that was promoted had yet to receive it."""
    with database.begin() as connection:
        connection.execute(update(changed).values(**values))


@pytest.mark.parametrize("message_class", ["bulk", "transactional"])
def test_an_answer_counts_though_the_hand_over_was_lost(database, now, make_batch, message_class):
    """
    The database failed over and knows of no hand-over: what its worker heard is recorded, and nobody is mailed twice.
    """
    batch_id, ids = make_batch(5, message_class)
    held = claimed(database, batch_id, now)
    hand_over(database, held, ids, [], now)
    fail_over(database, message, state="planned", attempt_count=0)
    reported(database, held, list(zip(ids, [ACCEPTED, FAILED, UNKNOWN, DEFERRED, NOT_SENT], strict=True)), now)
    close(database, held, now)

    doubtful = "deferred" if message_class == "transactional" else "unknown"
    assert ["accepted", "failed", doubtful, "deferred", "planned"] == list(states(database).values())
    with database.begin() as connection:
        counts = connection.execute(select(message.c.attempt_count).order_by(message.c.id)).scalars().all()
    assert [1, 1, 1, 1, 0] == counts
    assert tuple(ids[4:]) == claimed(database, batch_id, now, "w2").message_ids
    assert [()] == broken(database)


def test_a_claim_that_was_lost_is_none(database, now, make_batch):
    """
    The database failed over and gave the same token to a second worker: the first one closes and moves nothing.
    """
    batch_id, ids = make_batch(3)
    first = claimed(database, batch_id, now)
    fail_over(database, batch, state="ready", claim_count=0, worker=None, lease_until=None)
    second = claimed(database, batch_id, now, "w2")
    assert first.token == second.token
    assert ids[:2] == hand_over(database, second, ids[:2], [], now)

    assert [] == hand_over(database, first, ids[2:], [], now)
    with database.begin() as connection:
        assert not is_held(connection, first)
        assert is_held(connection, second)
    close(database, first, now)
    assert ["handed_over", "handed_over", "planned"] == list(states(database).values())
    assert [batch_id] == open_batches(database)


@pytest.mark.parametrize(("answer", "becomes"), [(ACCEPTED, "accepted"), (DEFERRED, "unknown"), (FAILED, "unknown")])
def test_a_late_refusal_of_an_earlier_hand_over_settles_nothing(database, now, make_batch, answer, becomes):
    """
    The second hand-over is in doubt: that the first was refused says nothing of it, that it was accepted is enough.
    """
    batch_id, ids = make_batch(1)
    late = claimed(database, batch_id, now)
    with database.begin() as connection:
        connection.execute(update(message).values(state="unknown", attempt_count=2))
    reported(database, late, [(ids[0], answer)], now)

    assert {ids[0]: becomes} == states(database)


@pytest.fixture
def asleep(monkeypatch):
    """`asleep(call)`: after its first commit of a hand-over this process sleeps for an hour, and `call(held)` runs."""

    def after_the_commit(call):
        really, slept = journal.hand_over, []
        monkeypatch.setattr(journal, "up_s", lambda: up_s() + 3600 * len(slept))

        def hand_over_and_sleep(connection, held, window, **given):
            going = really(connection, held, window, **given)
            if window.ids and not slept:
                slept.append(held)
                call(held)
            return going

        monkeypatch.setattr(journal, "hand_over", hand_over_and_sleep)

    return after_the_commit


def workers_who_answered(database, outcome):
    with database.begin() as connection:
        return list(connection.execute(select(attempt.c.worker).where(attempt.c.outcome == outcome)).scalars())


def taken_over_by(heir, database):
    def take_over(held):
        expire_lease(database, held.batch_id)
        heir.send_batch(held.batch_id)

    return take_over


def test_what_is_owed_is_not_sent_by_who_slept_before_the_dot(shop, database, asleep):
    """
    The lease ended between the commit of the hand-over and the final dot, and another worker sent the message: the
    first one wakes and writes no dot.
    """
    with serving() as server:
        sleeper = shop.courier(server)
        shop.order()
        heir = Courier(shop.workspace, database, shop.clock, "heir")
        shop.couriers.append(heir)
        asleep(taken_over_by(heir, database))
        shop.send_due(sleeper)

        assert ["heir"] == workers_who_answered(database, "accepted")
        assert 1 == len(server.received)


def test_who_slept_and_still_has_the_batch_sends_it(shop, database, asleep):
    """
    A sleep, or a commit, longer than the lease is none of the message's business while nobody took the batch.
    """
    with serving() as server:
        courier = shop.courier(server)
        shop.order()
        asleep(lambda held: expire_lease(database, held.batch_id))
        shop.send_due(courier)

        assert ["w0"] == workers_who_answered(database, "accepted")
        assert 1 == len(server.received)
