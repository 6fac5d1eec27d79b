"""The scheduler: told once, again when forgotten, one leader."""

import threading
from datetime import timedelta

import psycopg
import pytest
from kombu import Queue
from sqlalchemy import func, insert, select, update

from core import schema
from core.refusal_settings import Refusals, Repeated
from tests.factories import make_attempt, make_customer, make_message, make_run
from workers.celery_app import SEND_BATCH, make_app
from workers.leading import LEADER_LOCK, Lead
from workers.scheduler import Ticks, run


@pytest.fixture
def app(broker):
    """A Celery application on the real broker, its queues empty; closed at the end."""
    application = make_app(broker)
    with application.connection_for_write() as connection:
        for name in ("bulk", "transactional"):
            Queue(name)(connection.default_channel).purge()
    yield application
    application.close()


@pytest.fixture
def ticks(database, app, clock):
    return Ticks(database, app, clock)


def received(app):
    """The batch ids that wait in the broker's bulk queue; they are taken."""
    found = []
    with app.connection_for_read() as connection:
        queue = Queue("bulk")(connection.default_channel)
        while (letter := queue.get(no_ack=True)) is not None:
            assert SEND_BATCH == letter.headers["task"]
            found.append(letter.payload[0][0])
    return found


def make_batch(connection, clock):
    run_id = make_run(connection)
    statement = insert(schema.batch).values(run_id=run_id, message_ids=[1], not_before=clock.now())
    return connection.execute(statement.returning(schema.batch.c.id)).scalar_one()


def test_a_due_batch_reaches_the_broker_once(database, app, ticks, clock):
    """
    Publishing twice tells a worker of a batch once; only its id travels.
    """
    with database.begin() as connection:
        batch_id = make_batch(connection, clock)

    assert [1, 0] == [ticks.publish(), ticks.publish()]
    assert [batch_id] == received(app)


def test_what_is_owed_is_told_before_and_between_bulk(database, app, ticks, clock):
    """
    A transactional batch is told before any bulk one, though it is younger; one that is ordered while bulk batches are
    being told waits for a slice of them, not for all; and no more bulk is told than workers take soon.
    """
    with database.begin() as connection:
        run_id = make_run(connection)
        rows = [{"run_id": run_id, "message_ids": [n], "not_before": clock.now()} for n in range(700)]
        connection.execute(insert(schema.batch), rows)
        urgent = {"run_id": run_id, "message_ids": [1], "not_before": clock.now(), "queue": "transactional"}
        connection.execute(insert(schema.batch).values(urgent))
    sent = []
    send_task = app.send_task

    def watched(*arguments, queue, **options):
        sent.append(queue)
        if len(sent) == 30:
            with database.begin() as connection:
                connection.execute(insert(schema.batch).values(urgent))
        send_task(*arguments, queue=queue, **options)

    app.send_task = watched
    told = ticks.publish()

    assert "transactional" == sent[0]
    assert 2 == sent.count("transactional")
    assert sent.index("transactional", 1) <= 30 + 20
    assert told == len(sent) == 500 + 2
    assert 0 == ticks.publish()
    received(app)
    assert 200 == ticks.publish()


def test_a_broker_that_forgot_is_told_again(database, app, ticks, clock):
    """
    A batch that nobody took is published again after a while: a flushed broker loses no message.
    """
    with database.begin() as connection:
        batch_id = make_batch(connection, clock)
    ticks.publish()
    received(app)  # the broker's memory is gone
    with database.begin() as connection:
        earlier = func.now() - timedelta(minutes=1)
        connection.execute(update(schema.batch).values(published_at=earlier))

    assert 1 == ticks.publish()
    assert [batch_id] == received(app)


def test_one_damaged_run_does_not_hold_up_the_others(database, ticks, clock, caplog):
    """
    A staged run whose stored definition cannot be read is logged; stopped runs are settled and others end meanwhile.
    """
    with database.begin() as connection:
        damaged = make_run(connection, "damaged")
        held = {"run_id": damaged, "message_ids": [1], "not_before": clock.now(), "stage": 1}
        connection.execute(insert(schema.batch).values(**held))
        cancelled = make_run(connection, "called-off", state="cancelled")
        connection.execute(insert(schema.batch).values(**held | {"run_id": cancelled}))
        over = make_run(connection, "over")
    ticks.settle()

    with database.begin() as connection:
        states = {row.id: row.state for row in connection.execute(select(schema.run.c.id, schema.run.c.state))}
        still_open = select(schema.batch.c.run_id).where(schema.batch.c.state != "done")
        assert [damaged] == list(connection.execute(still_open).scalars())
    assert {damaged: "running", cancelled: "cancelled", over: "finished"} == states
    assert f"the roll-out of run {damaged} could not go on" in caplog.text


def test_what_a_lost_worker_heard_counts_as_the_settings_say(database, app, clock):
    """
    Of a cancelled run too: its refusals have the consequences that this workspace gives them.
    """
    policy = Refusals(mailbox_full=Repeated(times=1, within=timedelta(days=1)))
    with database.begin() as connection:
        run_id = make_run(connection, state="cancelled")
        message_id = make_message(connection, run_id, make_customer(connection), state="failed")
        make_attempt(connection, message_id, bounce_class="mailbox_full", answered_at=clock.now())
        lost = {"state": "claimed", "claim_count": 1, "worker": "w1", "lease_until": func.now() - timedelta(minutes=1)}
        batch = {"run_id": run_id, "message_ids": [message_id], "not_before": clock.now()}
        connection.execute(insert(schema.batch).values(**batch | lost))
    Ticks(database, app, clock, policy).settle()

    with database.begin() as connection:
        assert ["hard_bounce"] == list(connection.execute(select(schema.suppression.c.reason)).scalars())


def test_an_unreachable_broker_loses_nothing(database, clock):
    """
    Without a broker publishing reports the fault and comes back; the batch stays to be told again.
    """
    with database.begin() as connection:
        make_batch(connection, clock)
    application = make_app("unix:///nowhere/valkey.sock")

    assert 0 == Ticks(database, application, clock).publish()
    with database.begin() as connection:
        assert "ready" == connection.execute(select(schema.batch.c.state)).scalar_one()
    application.close()


def test_the_broker_is_not_asked_while_nothing_is_due(database, clock, caplog):
    """
    A batch that workers were told of lately, or that comes later, is no reason to reach for it.
    """
    with database.begin() as connection:
        for later, told in ((timedelta(), func.now()), (timedelta(hours=1), None)):
            held = {"run_id": make_run(connection), "message_ids": [1]}
            values = {"not_before": clock.now() + later, "published_at": told}
            connection.execute(insert(schema.batch).values(**held, **values))
    application = make_app("unix:///nowhere/valkey.sock")

    assert 0 == Ticks(database, application, clock).publish()
    assert "" == caplog.text
    application.close()


def test_one_scheduler_leads(database, ticks):
    """
    While one process holds the lock a second is not elected; when the first is gone it is.
    """
    elected, stopping = threading.Event(), threading.Event()
    holder = psycopg.connect(database.url, autocommit=True)
    holder.execute("SELECT pg_advisory_lock(%s)", (LEADER_LOCK,))
    waiting = threading.Thread(target=run, args=(Lead(database), (), ticks.publish, stopping, elected.set))
    waiting.start()

    assert not elected.wait(0.5)
    holder.close()
    assert elected.wait(20)
    stopping.set()
    waiting.join(20)
    assert not waiting.is_alive()
