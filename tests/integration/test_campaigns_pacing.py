"""Pacing: messages that must wait move to batches of their own, and the ledger balances all the while."""

import itertools
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from campaigns import batches, ledger, mailings
from campaigns.pacing import domain_of, pace
from campaigns.status import status_of
from core.clock import SteppedClock
from core.schema import batch, message, run, throttle
from core.transport_settings import DomainLimit, Transport
from delivery import holds
from delivery.holds import HeldBy
from delivery.throttles import Throttles
from suppression.policy import Policy
from tests.factories import make_customer, make_message, make_run, make_version

DOMAINS = ("slow.example", "fast.example")


def make_throttles(**rates: int) -> Throttles:
    limits = {f"{name}.example": DomainLimit.model_validate({"rate": f"{rate}/s"}) for name, rate in rates.items()}
    return Throttles({"main": Transport(url="smtp://127.0.0.1")}, limits, "UTC")


@pytest.fixture
def now(database):
    """A clock that begins at the database's own time, by which throttles go."""
    with database.begin() as connection:
        return SteppedClock(connection.exec_driver_sql("SELECT now()").scalar_one())


@pytest.fixture
def make_batch(database, now):
    """A planned batch of a running run: half its people at a slow domain, half at a fast one."""

    def build(people: int, *, message_class: str = "bulk", **values: object) -> int:
        with database.begin() as connection:
            version_id = make_version(connection, message_class=message_class)
            run_id = make_run(connection, version_id=version_id, audience=people, **values)
            ids = []
            for number in range(people):
                email = f"r{run_id}n{number}@{DOMAINS[number % 2]}"
                customer = make_customer(connection, email=email, consents=("promotions",))
                ids.append(make_message(connection, run_id, customer, state="planned", not_before=now.now()))
            cut = insert(batch).values(
                run_id=run_id, message_ids=ids, not_before=now.now(), queue=message_class, stage=0, attempt_count=0
            )
            return connection.execute(cut.returning(batch.c.id)).scalar_one()

    return build


def paced(database, now, batch_id, throttles):
    """The batch claimed and paced: the claim, and who may go."""
    with database.begin() as connection:
        held = ledger.claim(
            connection, batch_id, worker="w", lease=timedelta(minutes=1), policy=Policy(), now=now.now()
        )
    with database.begin() as connection:
        people = list(mailings.recipients(connection, held.message_ids, policy=held.policy, now=now.now()))
        return pace(connection, held, people, "main", throttles)


def waiting_batches(database):
    with database.begin() as connection:
        query = select(batch).where(batch.c.booked_at.is_not(None), batch.c.state == "ready")
        return connection.execute(query.order_by(batch.c.not_before, batch.c.id)).mappings().all()


def broken(database):
    with database.begin() as connection:
        return [status_of(connection, run_id).broken for run_id in connection.execute(select(run.c.id)).scalars()]


def test_people_nobody_limits_all_go(database, now, make_batch):
    """
    Without limits the claim stays as it is, and nothing is written.
    """
    batch_id = make_batch(6)
    held, people = paced(database, now, batch_id, make_throttles())

    assert list(held.message_ids) == [person.message_id for person in people]
    assert [] == waiting_batches(database)


def test_people_of_a_slow_domain_wait_in_batches_of_their_own(database, now, make_batch):
    """
    The fast domain's people go; the slow one's get times of a quarter second's share each, in their order.
    """
    batch_id = make_batch(20)
    held, people = paced(database, now, batch_id, make_throttles(slow=8))
    later = waiting_batches(database)

    assert {"slow.example": 2, "fast.example": 10} == {
        name: sum(domain_of(person.email) == name for person in people) for name in DOMAINS
    }
    assert [2, 2, 2, 2] == [len(row["message_ids"]) for row in later]
    moved = [message_id for row in later for message_id in row["message_ids"]]
    assert sorted(moved) == moved
    assert set() == set(moved) & set(held.message_ids)
    assert 20 == len({*moved, *held.message_ids})
    gaps = {b["not_before"] - a["not_before"] for a, b in itertools.pairwise(later)}
    assert {timedelta(seconds=0.25)} == gaps
    assert [()] == broken(database)


def test_ledger_balances_after_the_batch_is_closed(database, now, make_batch):
    """
    Closing what went leaves those who wait where they are: planned, and in exactly one open batch.
    """
    held, people = paced(database, now, make_batch(20), make_throttles(slow=8))
    gone = [person.message_id for person in people]
    with database.begin() as connection:
        connection.execute(update(message).where(message.c.id.in_(gone)).values(state="skipped", skip_reason="holdout"))
        batches.close(connection, held, now.now())

    assert [()] == broken(database)
    assert 8 == sum(len(row["message_ids"]) for row in waiting_batches(database))


def test_booked_batch_goes_when_its_time_has_come(database, now, make_batch):
    """
    Asked again at its time, a share is let through whole: no new batch, no second booking.
    """
    paced(database, now, make_batch(20), make_throttles(slow=8))
    first = waiting_batches(database)[0]
    with database.begin() as connection:
        connection.execute(update(throttle).values(next_at=first["not_before"] - timedelta(seconds=9)))
    now.step(timedelta(seconds=1))
    held, people = paced(database, now, first["id"], make_throttles(slow=8))

    assert first["message_ids"] == [person.message_id for person in people]
    assert first["message_ids"] == list(held.message_ids)


def test_late_crowd_is_not_let_through_at_once(database, now, make_batch):
    """
    After a long pause every booked batch is due together: one share goes, and each other is booked once more.
    """
    throttles = make_throttles(slow=8)
    paced(database, now, make_batch(60), throttles)
    crowd = [row["id"] for row in waiting_batches(database)]
    with database.begin() as connection:
        old = now.now() - timedelta(hours=5)
        connection.execute(update(throttle).values(next_at=old, booked_until=old))
        connection.execute(update(batch).where(batch.c.id.in_(crowd)).values(not_before=old))
    began = time.monotonic()
    let_through = sum(len(paced(database, now, batch_id, throttles)[1]) for batch_id in crowd)
    elapsed = time.monotonic() - began
    again = [row for row in waiting_batches(database) if row["not_before"] > old]

    assert 2 <= let_through <= 8 * (elapsed + 1)
    assert 28 - let_through == sum(len(row["message_ids"]) for row in again)
    assert again[-1]["not_before"] - again[0]["not_before"] >= timedelta(seconds=(28 - let_through) / 8 - 1)
    assert [()] == broken(database)


def test_messages_that_would_come_too_late_are_looked_at_when_they_expire(database, now, make_batch):
    """
    Nobody waits for a throttle longer than the run is valid: a second later the batch comes up, and expires.
    """
    valid_until = now.now() + timedelta(seconds=2)
    paced(database, now, make_batch(60, valid_until=valid_until), make_throttles(slow=1))

    assert valid_until + timedelta(seconds=1) == max(row["not_before"] for row in waiting_batches(database))


def test_batch_that_waits_as_a_whole_stays_the_same(database, now, make_batch):
    """
    While its domains are held a batch only puts its own time forward: no row is added however often it asks.
    """
    throttles = make_throttles(slow=8)
    with database.begin() as connection:
        for domain in DOMAINS:
            held_by = {"because": "x", "by": HeldBy.OPERATOR, "actor": "t"}
            holds.hold(connection, f"domain:{domain}", **held_by)
    batch_id = make_batch(20)
    for _ in range(3):
        held, people = paced(database, now, batch_id, throttles)
        with database.begin() as connection:
            batches.close(connection, held, now.now())
        (waiting,) = waiting_batches(database)
        now.step(waiting["not_before"] - now.now())

        assert ((), []) == (held.message_ids, people)
        assert (batch_id, 20) == (waiting["id"], len(waiting["message_ids"]))
    assert [()] == broken(database)


def test_batch_with_others_in_it_is_not_put_forward(database, now, make_batch):
    """
    A message that a lost worker's server put off is not kept waiting by the hold of another's domain.
    """
    with database.begin() as connection:
        holds.hold(connection, "domain:slow.example", because="x", by=HeldBy.OPERATOR, actor="t")
    batch_id = make_batch(2)
    with database.begin() as connection:
        held = ledger.claim(
            connection, batch_id, worker="w", lease=timedelta(minutes=1), policy=Policy(), now=now.now()
        )
        put_off = update(message).where(message.c.id == held.message_ids[1]).values(state="deferred", attempt_count=1)
        connection.execute(put_off)
    with database.begin() as connection:
        held = replace(held, message_ids=held.message_ids[:1])
        people = list(mailings.recipients(connection, held.message_ids, policy=held.policy, now=now.now()))
        assert [] == pace(connection, held, people, "main", make_throttles(slow=8))[1]

    (waiting,) = waiting_batches(database)
    assert waiting["id"] != batch_id


def test_transactional_messages_do_not_queue_behind_bulk(database, now, make_batch):
    """
    While bulk is booked for many seconds, a transactional batch goes at once.
    """
    throttles = make_throttles(slow=8)
    paced(database, now, make_batch(60), throttles)
    _, people = paced(database, now, make_batch(2, message_class="transactional"), throttles)

    assert 2 == len(people)


def test_lost_lease_moves_nobody(database, now, make_batch):
    """
    When another worker has the batch by now, nothing changes and nobody goes.
    """
    batch_id = make_batch(20)
    with database.begin() as connection:
        held = ledger.claim(
            connection, batch_id, worker="w", lease=timedelta(minutes=1), policy=Policy(), now=now.now()
        )
        people = list(mailings.recipients(connection, held.message_ids, policy=held.policy, now=now.now()))
        connection.execute(update(batch).values(claim_count=7))
    with database.begin() as connection:
        left, going = pace(connection, held, people, "main", make_throttles(slow=8))

    assert (held, []) == (left, going)
    assert [] == waiting_batches(database)
