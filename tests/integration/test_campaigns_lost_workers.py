"""What a worker that was lost leaves behind: nobody is forgotten, and what it had learnt still counts."""

import zlib
from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select, update

from campaigns import batches, control, mailings
from campaigns.pacing import pace
from campaigns.status import status_of
from campaigns.window import Window
from campaigns.window import hand_over as hand_over_window
from core.clock import SteppedClock
from core.schema import attempt, batch, kept_content, message, run, suppression
from core.transport_settings import DomainLimit, Transport
from delivery.throttles import Throttles
from tests.factories import make_customer, make_message, make_run, make_version
from tests.integration.test_campaigns_ledger import (
    ACCEPTED,
    DEFERRED,
    FAILED,
    NOT_SENT,
    UNKNOWN,
    claim,
    close,
    expire_lease,
    hand_over,
    states,
)


@pytest.fixture
def now(database):
    """A clock that begins at the database's own time, by which throttles go."""
    with database.begin() as connection:
        return SteppedClock(connection.exec_driver_sql("SELECT now()").scalar_one())


@pytest.fixture
def make_batch(database, now):
    """A planned batch of a running run, all at one domain: its id and those of its messages."""

    def build(people, message_class="bulk"):
        with database.begin() as connection:
            version_id = make_version(connection, message_class=message_class)
            run_id = make_run(connection, version_id=version_id, audience=people, starts_at=now.now())
            ids = []
            for number in range(people):
                customer = make_customer(connection, email=f"p{number}@slow.example", consents=("promotions",))
                key = {"occurrence": f"key{number}"} if message_class == "transactional" else {}
                ids.append(make_message(connection, run_id, customer, state="planned", not_before=now.now(), **key))
            cut = insert(batch).values(run_id=run_id, message_ids=ids, not_before=now.now(), queue=message_class)
            return connection.execute(cut.returning(batch.c.id)).scalar_one(), ids

    return build


def order(database, verb, now):
    with database.begin() as connection:
        control.order(connection, "spring-paper", verb, actor="ann", now=now.now())


def broken(database):
    with database.begin() as connection:
        return [status_of(connection, run_id).broken for run_id in connection.execute(select(run.c.id)).scalars()]


def count(database, column):
    with database.begin() as connection:
        return connection.execute(select(func.count(column))).scalar_one()


def open_batches(database):
    with database.begin() as connection:
        query = select(batch.c.id).where(batch.c.state != "done").order_by(batch.c.id)
        return list(connection.execute(query).scalars())


def reported(database, held, answers, now, tried=0):
    """The answers of a trip on which each message had been tried so often before."""
    with database.begin() as connection:
        given = Window((), answers, {}, {message_id: tried for message_id, _ in answers})
        hand_over_window(connection, held, given, transport="main", now=now.now())


def test_pacing_keeps_what_a_lost_workers_server_put_off(database, now, make_batch):
    """
    A message deferred for a worker that was lost stays in its batch while the others are paced, and waits afterwards.
    """
    batch_id, ids = make_batch(6)
    lost = claim(database, batch_id, now)
    hand_over(database, lost, ids[:1], [], now)
    hand_over(database, lost, [], [(ids[0], DEFERRED)], now)
    expire_lease(database, batch_id)
    heir = claim(database, batch_id, now, "w2")
    limits = {"slow.example": DomainLimit.model_validate({"rate": "2/s"})}
    with database.begin() as connection:
        people = list(mailings.recipients(connection, heir.message_ids, policy=heir.policy, now=now.now()))
        throttles = Throttles({"main": Transport(url="smtp://127.0.0.1")}, limits, "UTC")
        heir, going = pace(connection, heir, people, "main", throttles)
    sent = [person.message_id for person in going]
    hand_over(database, heir, sent, [], now)
    hand_over(database, heir, [], [(message_id, ACCEPTED) for message_id in sent], now)
    close(database, heir, now)

    assert 0 < len(sent) < 5
    assert [()] == broken(database)


def test_a_lost_workers_batch_is_told_again_while_its_queue_holds_work(database, now, make_batch):
    """
    Its task is gone with the worker: it is told once more as soon as the lease is over, and then not again.
    """
    batch_id, _ = make_batch(2)

    def due():
        with database.begin() as connection:
            return batches.due_batches(connection, now=now.now(), again_after=None)

    assert [(batch_id, "bulk")] == due()
    claim(database, batch_id, now)
    assert [] == due()
    with database.begin() as connection:
        lost = func.now() - timedelta(seconds=1)
        connection.execute(update(batch).values(lease_until=lost, published_at=lost - timedelta(minutes=1)))

    assert [(batch_id, "bulk")] == due()
    assert [] == due()


def test_a_late_acceptance_of_a_transactional_message_counts(database, now, make_batch):
    """
    The answer comes after the message was given up as in doubt and before it was sent again: it is not sent again.
    """
    batch_id, ids = make_batch(1, "transactional")
    late = claim(database, batch_id, now)
    hand_over(database, late, ids, [], now)
    expire_lease(database, batch_id)
    heir = claim(database, batch_id, now, "w2")
    reported(database, late, [(ids[0], ACCEPTED)], now)

    assert [] == hand_over(database, heir, heir.message_ids, [], now)
    close(database, heir, now)
    assert {ids[0]: "accepted"} == states(database)
    assert 0 == count(database, kept_content.c.message_id)
    with database.begin() as connection:
        found = connection.execute(select(attempt.c.number, attempt.c.outcome).order_by(attempt.c.outcome)).all()
    assert [(1, "accepted"), (1, "unknown")] == sorted(map(tuple, found))


def test_a_late_acceptance_does_not_count_for_a_later_hand_over(database, now, make_batch):
    """
    Once another worker has handed the message over again, what becomes of that counts.
    """
    batch_id, ids = make_batch(1, "transactional")
    late = claim(database, batch_id, now)
    hand_over(database, late, ids, [], now)
    expire_lease(database, batch_id)
    heir = claim(database, batch_id, now, "w2")
    assert ids == hand_over(database, heir, ids, [], now)
    reported(database, heir, [(ids[0], DEFERRED)], now, tried=1)
    reported(database, late, [(ids[0], ACCEPTED)], now)

    assert {ids[0]: "deferred"} == states(database)


def test_the_second_of_a_hand_over_in_doubt_is_on_record(database, now, make_batch):
    """
    An attempt without an answer is dated when that was found; its words tell when the message was handed over.
    """
    batch_id, ids = make_batch(1)
    held, handed_over_at = claim(database, batch_id, now, "w1"), now.now()
    hand_over(database, held, held.message_ids, [], now)
    expire_lease(database, batch_id)
    now.step(timedelta(seconds=90))
    claim(database, batch_id, now, "w2")

    with database.begin() as connection:
        (tried,) = connection.execute(select(attempt).where(attempt.c.message_id == ids[0])).all()
    expected = f"the worker was lost after the hand-over at {handed_over_at:%Y-%m-%d %H:%M:%S} UTC"
    assert (expected, now.now()) == (tried.reply, tried.answered_at)


def test_a_message_that_its_workers_are_lost_by_is_sent_again_once_at_once(database, now, make_batch):
    """
    A transactional message is sent again at once after its first worker was lost; after the second it waits.
    """
    batch_id, ids = make_batch(1, "transactional")
    for worker in ("w1", "w2"):
        held = claim(database, batch_id, now, worker)
        assert ids == hand_over(database, held, held.message_ids, [], now)
        expire_lease(database, batch_id)
    third = claim(database, batch_id, now, "w3")
    close(database, third, now)

    assert () == third.message_ids
    (waiting,) = open_batches(database)
    assert claim(database, waiting, now) is None
    now.step(timedelta(minutes=3))
    assert tuple(ids) == claim(database, waiting, now).message_ids


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_transactional_message_nobody_answers_for_is_held_in_the_end(database, now, make_batch, is_lost):
    """
    Four hand-overs without an answer, of lost workers or silent servers, and it is `unknown`: shown, not sent again.
    """
    _, ids = make_batch(1, "transactional")
    sent = 0
    for _ in range(20):
        for each in open_batches(database):
            if (held := claim(database, each, now)) is None:
                continue
            going = hand_over(database, held, held.message_ids, [], now)
            sent += len(going)
            if is_lost and going:
                expire_lease(database, each)
                continue
            hand_over(database, held, [], [(message_id, UNKNOWN) for message_id in going], now)
            close(database, held, now)
        now.step(timedelta(hours=13))

    assert 4 == sent
    assert {ids[0]: "unknown"} == states(database)
    assert [()] == broken(database)


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_hard_refusal_a_lost_worker_heard_suppresses_its_address(database, now, make_batch, is_stopped):
    """
    Whoever closes the batch settles what was refused in it, also before: the next worker, or the pause of the run.
    """
    batch_id, ids = make_batch(2)
    lost = claim(database, batch_id, now)
    hand_over(database, lost, ids[:1], [], now)
    hand_over(database, lost, [], [(ids[0], FAILED)], now)
    expire_lease(database, batch_id)
    if is_stopped:
        order(database, "pause", now)
    else:
        close(database, claim(database, batch_id, now, "w2"), now)

    assert 1 == count(database, suppression.c.address_key)


def faults(database):
    with database.begin() as connection:
        return list(connection.execute(select(run.c.fault)).scalars())


def test_a_run_says_that_its_workers_are_lost_before_they_send(database, now, make_batch):
    """
    A worker that is lost twice running with nothing sent is told on the run, and no longer when its batch gets on.
    """
    batch_id, ids = make_batch(4)
    said = []
    for worker in ("w1", "w2", "w3"):
        held = claim(database, batch_id, now, worker)
        said += faults(database)
        expire_lease(database, batch_id)
    held = claim(database, batch_id, now, "w4")
    hand_over(database, held, ids[:1], [], now)
    expire_lease(database, batch_id)
    held = claim(database, batch_id, now, "w5")
    close(database, held, now)

    assert [None, None] == said[:2]
    assert f"batch {batch_id} was taken 2 times, and the last time worker w2 was lost before it sent" in said[2]
    assert [None] == faults(database)


def test_a_worker_that_had_sent_is_no_fault_of_its_batch(database, now, make_batch):
    """
    Workers may be lost for any reason: with one message gone each time, the batch gets on.
    """
    batch_id, ids = make_batch(4)
    for number, worker in enumerate(("w1", "w2", "w3", "w4")):
        held = claim(database, batch_id, now, worker)
        hand_over(database, held, ids[number : number + 1], [], now)
        expire_lease(database, batch_id)

    assert [None] == faults(database)


def kept(database):
    with database.begin() as connection:
        return [zlib.decompress(content) for content in connection.execute(select(kept_content.c.content)).scalars()]


def offered(database, held, ids, content, now):
    with database.begin() as connection:
        given = Window(ids, (), dict.fromkeys(ids, content))
        return hand_over_window(connection, held, given, transport="main", now=now.now())


def test_the_content_of_what_did_not_go_is_not_kept(database, now, make_batch):
    """
    A hand-over that a pause prevents keeps no content; the one that goes later keeps what it is then.
    """
    batch_id, ids = make_batch(1, "transactional")
    held = claim(database, batch_id, now)
    order(database, "pause", now)
    assert [] == offered(database, held, ids, b"before", now)
    assert [] == kept(database)
    close(database, held, now)
    order(database, "resume", now)

    assert ids == offered(database, claim(database, batch_id, now), ids, b"after", now)
    assert [b"after"] == kept(database)


def test_a_stop_forgets_the_content_of_what_is_settled(database, now, make_batch):
    """
    The content of a message accepted for a worker that was lost goes when the run is paused.
    """
    batch_id, ids = make_batch(1, "transactional")
    hand_over(database, claim(database, batch_id, now), ids, [], now)
    with database.begin() as connection:
        connection.execute(update(message).values(state="accepted"))
    expire_lease(database, batch_id)
    order(database, "pause", now)

    assert [] == kept(database)


@pytest.mark.parametrize("how", ["handed_over", "answered", "waits"])
def test_what_may_have_arrived_is_not_skipped_by_a_cancel(database, now, make_batch, how):
    """
    A transactional message in doubt when its run is cancelled is `unknown`: it may have arrived.
    """
    batch_id, ids = make_batch(2, "transactional")
    held = claim(database, batch_id, now)
    hand_over(database, held, ids[:1], [], now)
    if how == "handed_over":
        expire_lease(database, batch_id)
        order(database, "cancel", now)
    elif how == "answered":
        order(database, "cancel", now)
        hand_over(database, held, [], [(ids[0], UNKNOWN)], now)
        close(database, held, now)
    else:
        hand_over(database, held, [], [(ids[0], UNKNOWN)], now)
        close(database, held, now)
        order(database, "cancel", now)

    assert {ids[0]: "unknown", ids[1]: "skipped"} == states(database)
    assert [()] == broken(database)


@pytest.mark.parametrize("is_closed", [True, False])
def test_what_a_late_worker_proves_never_to_have_left_is_sent(database, now, make_batch, is_closed):
    """
    A worker that comes back and says it never wrote the final dot fails nobody: the message is planned again, in its
    batch or in one of its own, in a run that goes on.
    """
    batch_id, ids = make_batch(1)
    late = claim(database, batch_id, now)
    hand_over(database, late, ids, [], now)
    expire_lease(database, batch_id)
    heir = claim(database, batch_id, now, "w2")
    if is_closed:
        close(database, heir, now)
    for _ in range(2):
        reported(database, late, [(ids[0], NOT_SENT)], now)
    if not is_closed:
        close(database, heir, now)

    assert {ids[0]: "planned"} == states(database)
    assert [()] == broken(database)
    (waiting,) = open_batches(database)
    held = claim(database, waiting, now)
    assert ids == hand_over(database, held, held.message_ids, [], now)


def test_proof_about_an_earlier_hand_over_is_none_about_a_later_one(database, now, make_batch):
    """
    The message was handed over again since, and is in doubt for that: what the first worker never sent does not count.
    """
    batch_id, ids = make_batch(1)
    late = claim(database, batch_id, now)
    with database.begin() as connection:
        connection.execute(update(message).values(state="unknown", attempt_count=2))
    reported(database, late, [(ids[0], NOT_SENT)], now)

    assert {ids[0]: "unknown"} == states(database)
