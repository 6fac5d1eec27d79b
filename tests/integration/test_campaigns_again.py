"""Messages sent again while others work on the same ones: each stays in one batch, or in none and settled."""

import threading
from dataclasses import replace

import pytest
from sqlalchemy import insert, select, text, update

from campaigns import again, batches, reconcile, retry
from campaigns.doubts import Doubt
from campaigns.states import State
from campaigns.status import status_of
from core import schema
from core.refusal_settings import Refusals
from suppression.policy import Policy
from tests.factories import make_attempt, make_customer, make_message, make_run

SIZE = 500


@pytest.fixture
def over(database, clock):
    """`over(outcome, n)` makes a finished run of n messages with that outcome, in one closed batch; gives their ids."""

    def build(outcome, number=3, **of_batch):
        with database.begin() as connection:
            run_id = make_run(connection, state="finished", audience=number)
            ids = []
            for _ in range(number):
                person = make_customer(connection, consents=("promotions",))
                ids.append(make_message(connection, run_id, person, state=outcome, attempt_count=1))
                make_attempt(connection, ids[-1], bounce_class="soft", outcome=outcome)
            held = {"run_id": run_id, "message_ids": ids, "not_before": clock.now(), "state": "done"} | of_batch
            connection.execute(insert(schema.batch).values(**held))
        return ids

    return build


def looked_at(database, clock, state="failed"):
    """What `clarion retry` finds at this instant."""
    with database.begin() as connection:
        if state == "unknown":
            return retry.in_doubt(connection, "spring-paper", clock.now(), Policy())
        return retry.failed(connection, "spring-paper", retry.CLASSES, clock.now(), Policy())


def sent_again(connection, found, clock):
    return retry.again(
        connection, "spring-paper", found, why="w", action="retry", actor="ann", size=SIZE, now=clock.now()
    )


def never_received(connection, ids, clock):
    """How many `clarion reconcile` plans again of those whom the server never had."""
    doubts = [Doubt(i, 1, "spring-paper", "unknown", "x@y", "a@b", clock.now(), clock.now()) for i in ids]
    found = [reconcile.Finding(doubt, State.PLANNED, None, "never") for doubt in doubts]
    policy, size = Refusals(), SIZE
    return reconcile.settle(connection, found, actor="bob", source="log", size=size, policy=policy, now=clock.now())


def open_batches(database):
    with database.begin() as connection:
        query = select(schema.batch.c.message_ids).where(schema.batch.c.state != "done").order_by(schema.batch.c.id)
        return list(connection.execute(query).scalars())


def broken(database):
    with database.begin() as connection:
        return [
            status_of(connection, run_id).broken for run_id in connection.execute(select(schema.run.c.id)).scalars()
        ]


def states(database):
    with database.begin() as connection:
        return list(connection.execute(select(schema.message.c.state).order_by(schema.message.c.id)).scalars())


def test_two_retries_in_a_row_lose_nobody(database, clock, over):
    """
    The second one, which looked before the first had planned them, leaves the messages in the batch they wait in.
    """
    ids = over("failed")
    first, second = looked_at(database, clock), looked_at(database, clock)
    with database.begin() as connection:
        assert 3 == sent_again(connection, first, clock)
    with database.begin() as connection:
        assert 0 == sent_again(connection, second, clock)

    assert [ids] == open_batches(database)
    assert [()] == broken(database)


def test_a_retry_during_a_reconciliation_loses_nobody(database, clock, over):
    """
    What an operator has sent again meanwhile is no longer in doubt: the records change nothing about it.
    """
    ids = over("unknown")
    found = looked_at(database, clock, "unknown")
    with database.begin() as connection:
        assert 3 == sent_again(connection, found, clock)
    with database.begin() as connection:
        assert {} == never_received(connection, ids, clock)

    assert [ids] == open_batches(database)
    assert [()] == broken(database)


def test_two_retries_at_once_plan_each_message_once(database, clock, over):
    """
    The second waits for the first or leaves the messages to it; nobody is in two batches or in none.
    """
    ids = over("failed", state="ready")
    with database.begin() as connection:
        connection.execute(update(schema.run).values(state="running"))
    first, second = looked_at(database, clock), looked_at(database, clock)
    planned = []

    def other():
        with database.begin() as connection:
            planned.append(sent_again(connection, second, clock))

    with database.begin() as connection:
        planned.append(sent_again(connection, first, clock))
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.5)
    thread.join(20)

    assert [3, 0] == sorted(planned, reverse=True)
    assert [[], ids] == open_batches(database)
    assert [()] == broken(database)


def test_what_a_worker_has_in_hands_is_left_to_it(database, clock, over):
    """
    A failed message whose batch is being sent is not planned before that batch is closed: its hand-overs do not wait.
    """
    ids = over("failed", state="claimed", claim_count=1, lease_until=text("now() + interval '1 minute'"))
    with database.begin() as connection:
        connection.execute(update(schema.run).values(state="running"))
    found = looked_at(database, clock)
    assert {"its batch is being sent: try again in a minute": 3} == found.left
    with database.begin() as connection:
        assert 0 == sent_again(connection, replace(found, message_ids=ids), clock)

    assert [ids] == open_batches(database)
    assert ["failed"] * 3 == states(database)
    with database.begin() as connection:
        connection.execute(update(schema.batch).values(state="done"))
    with database.begin() as connection:
        assert 3 == sent_again(connection, looked_at(database, clock), clock)
    assert [()] == broken(database)


def test_a_run_does_not_end_while_messages_are_added_to_it(database, clock, over):
    """
    Who ends runs at the same instant waits, or passes it by; in the end the run has its new batch and is running.
    """
    ids = over("failed")
    found = looked_at(database, clock)
    with database.begin() as connection:
        connection.execute(update(schema.run).values(state="running", finished_at=None))
    finished = []

    def finish():
        with database.begin() as connection:
            finished.extend(batches.finish_runs(connection, clock.now()))

    with database.begin() as connection:
        assert 3 == sent_again(connection, found, clock)
        thread = threading.Thread(target=finish)
        thread.start()
        thread.join(0.5)
    thread.join(20)

    assert [] == finished
    assert [ids] == open_batches(database)
    with database.begin() as connection:
        assert "running" == connection.execute(select(schema.run.c.state)).scalar_one()


def test_a_large_retry_meets_many_batches(database, clock):
    """
    Two thousand messages are looked for in four hundred open batches within a second, not in minutes.
    """
    number = 2000
    with database.begin() as connection:
        run_id = make_run(connection, audience=number)
        connection.execute(text("""
            INSERT INTO customer (external_id, email, address_key)
            SELECT 'C' || i, 'c' || i || '@x.example', gen_random_uuid() FROM generate_series(1, :n) AS i
        """), {"n": number})  # fmt: skip
        connection.execute(text("""
            INSERT INTO message (run_id, campaign, step, occurrence, customer_id, address_key, state, not_before)
            SELECT :run_id, 'spring-paper', 'send', '1', id, address_key, 'failed', now() FROM customer
        """), {"run_id": run_id})  # fmt: skip
        connection.execute(text("""
            INSERT INTO batch (run_id, message_ids, not_before)
            SELECT :run_id, array(SELECT generate_series(1000000 + i * 500, 1000499 + i * 500)::bigint), now()
            FROM generate_series(1, 400) AS i
        """), {"run_id": run_id})  # fmt: skip
        ids = list(connection.execute(select(schema.message.c.id).order_by(schema.message.c.id)).scalars())
        mixed = {"run_id": run_id, "message_ids": [ids[0], 7_000_000, ids[-1]], "not_before": clock.now()}
        connection.execute(insert(schema.batch).values(**mixed))
        connection.exec_driver_sql("ANALYZE batch, message")
    with database.begin() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = '3s'")  # one by one it took minutes

        assert ids == again.take_out(connection, ids)
    assert [7_000_000] == open_batches(database)[-1]
    assert {500} == {len(held) for held in open_batches(database)[:-1]}
