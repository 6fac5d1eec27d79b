"""A courier's trips: a real database, a real SMTP server, and what happens when one of them gives way."""

import asyncio
import contextlib
import itertools
import threading
from datetime import UTC, datetime, timedelta

import pytest
from psycopg.errors import AdminShutdown
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import OperationalError

from campaigns import trip
from campaigns.runs import WORK_CHANNEL
from campaigns.sending import Courier
from campaigns.status import status_of
from core import schema
from core.database import Database, plain_link
from core.workspace import Workspace
from delivery.message_bytes import write_message
from tests.campaign_files import FILES
from tests.factories import make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.processes import free_port
from tests.smtp_server import ScriptedServer

#: The first time that something is written at this moment, the server ends the connection.
_GIVES_WAY = """
    CREATE SEQUENCE times;
    CREATE FUNCTION give_way() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('times') = 1 THEN
                RAISE EXCEPTION 'gone' USING ERRCODE = '{sqlstate}';
            END IF;
            RETURN new;
        END $$;
    CREATE TRIGGER give_way {moment} EXECUTE FUNCTION give_way();
"""
_ANSWERS_ARE_RECORDED = "BEFORE INSERT ON attempt FOR EACH ROW"
_BATCH_IS_CLOSED = "BEFORE UPDATE ON batch FOR EACH ROW WHEN (new.state = 'done')"


@contextlib.contextmanager
def serving(script=None):
    """A scripted SMTP server in a thread of its own."""
    loop, server = asyncio.new_event_loop(), ScriptedServer(script)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def office(make_workspace, database, clock):
    """Twelve planned messages; `office(port)` gives a courier, the run's id and its batch's id."""
    with database.begin() as connection:
        for number in range(12):
            make_customer(
                connection, email=f"p{number}@firm.example", consents=("promotions",), company=f"Firm {number}"
            )
    couriers = []

    def build(port, files=FILES):
        workspace = make_workspace(database=database, files=files, smtp_port=port)
        (started,) = apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        couriers.append(Courier(workspace, database, clock, "w1"))
        return couriers[-1], started.run_id, first_batch(database)

    yield build
    for courier in couriers:
        courier.close()


def first_batch(database):
    with database.begin() as connection:
        open_batches = select(schema.batch.c.id).where(schema.batch.c.state != "done").order_by(schema.batch.c.id)
        return connection.execute(open_batches).scalar()


def status(database, run_id):
    with database.begin() as connection:
        return status_of(connection, run_id)


def test_a_batch_is_sent_and_its_run_finished(office, database):
    """
    Every message of the batch is at the server once and accepted in the ledger.
    """
    with serving() as server:
        courier, run_id, batch_id = office(server.port)
        sent = courier.send_batch(batch_id)

        assert (12, 0, None) == (sent.messages, sent.render_failed, sent.fault)
        assert 12 == len({mail.recipients for mail in server.received})
    assert ("finished", 12, True) == (
        status(database, run_id).state, status(database, run_id).states["accepted"], status(database, run_id).balanced
    )  # fmt: skip


def test_one_person_who_cannot_be_rendered_fails_alone(office, database):
    """
    A value that the template cannot print skips its person as render_failed; everybody else gets it (S-2.25).
    """
    with database.begin() as connection:
        connection.execute(update(schema.customer).where(schema.customer.c.company == "Firm 3").values(company=None))
    needs = FILES["templates/spring-paper.html"].replace("customer.company or 'you'", "customer.company")
    with serving() as server:
        courier, run_id, batch_id = office(server.port, FILES | {"templates/spring-paper.html": needs})
        courier.send_batch(batch_id)

    assert {"render_failed": 1} == status(database, run_id).skipped
    assert 11 == status(database, run_id).states["accepted"]


def test_a_transport_that_is_not_there_fails_nobody(office, database, clock):
    """
    Nobody listens: the messages go back to planned, no attempt is counted, the run says why, and later all go.
    """
    port = free_port()
    courier, run_id, batch_id = office(port)
    sent = courier.send_batch(batch_id)

    assert sent.fault
    assert sent.fault == status(database, run_id).fault
    assert 12 == status(database, run_id).states["planned"]
    assert courier.send_batch(batch_id) is None  # not before the pause is over

    clock.step(timedelta(minutes=1))
    with serving() as server:
        settings = courier.workspace.root / "clarion.yaml"
        settings.write_text(settings.read_text().replace(f":{port}", f":{server.port}"))
        courier.close()
        courier.workspace = Workspace(courier.workspace.root)
        courier.send_batch(batch_id)
    assert (12, None) == (status(database, run_id).states["accepted"], status(database, run_id).fault)


def test_a_version_that_no_longer_compiles_is_said_and_tried_again(office, database):
    """
    A stored version this program cannot read keeps nobody's message claimed, and the run says what is wrong.
    """
    with serving() as server:
        courier, run_id, batch_id = office(server.port)
        with database.begin() as connection:
            connection.execute(
                text("UPDATE campaign_version SET definition = jsonb_set(definition, '{templates}', '{}')")
            )
        sent = courier.send_batch(batch_id)

    assert sent.fault
    assert 12 == status(database, run_id).states["planned"]
    assert sent.fault == status(database, run_id).fault


def test_answers_survive_a_database_that_goes_away(office, database):
    """
    When every connection to the database breaks between a final dot and its answer, the answer is recorded all the
    same, nobody is in doubt, and nobody is mailed twice.
    """
    broken = []

    def break_once(conversation):
        if not broken:
            broken.append(True)
            with database.begin() as connection:
                connection.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                         "WHERE datname = current_database() AND pid <> pg_backend_pid()")
                )  # fmt: skip
        return b"250 2.0.0 taken"

    with serving({"end": break_once}) as server:
        courier, run_id, batch_id = office(server.port)
        courier.send_batch(batch_id)
        while (batch_id := first_batch(database)) is not None:
            courier.clock.step(timedelta(minutes=6))
            courier.send_batch(batch_id)
        recipients = [mail.recipients for mail in server.received]

    assert broken
    assert 12 == len(recipients) == len(set(recipients))
    assert (12, 0) == (status(database, run_id).states["accepted"], status(database, run_id).states["unknown"])
    assert status(database, run_id).balanced


def test_a_worker_told_to_stop_gives_its_batch_back_at_once(office, database):
    """
    A process that is to end hands nothing over any more; the batch is ready for another one, and nobody is in doubt.
    """
    with serving() as server:
        courier, run_id, batch_id = office(server.port)
        courier.is_stopping = lambda: True
        courier.send_batch(batch_id)
        stopped = dict(status(database, run_id).states)
        courier.is_stopping = lambda: False
        courier.send_batch(batch_id)

    assert 12 == stopped["planned"]
    assert 12 == status(database, run_id).states["accepted"]


@pytest.mark.parametrize(("asked", "expected"), [(0, ["end"]), (3, ["", "end"])])
def test_what_is_left_of_a_batch_is_told_at_once(office, database, asked, expected):
    """
    The scheduler hears that a batch came back with less in it, and of one that got nowhere only at its next tick.
    """
    with serving() as server, plain_link(database.url, "listener") as listener:
        courier, _, batch_id = office(server.port)
        listener.execute(f"LISTEN {WORK_CHANNEL}")
        asking = itertools.count()
        courier.is_stopping = lambda: next(asking) >= asked
        courier.send_batch(batch_id)
        listener.execute(f"NOTIFY {WORK_CHANNEL}, 'end'")
        told = [notice.payload for notice in listener.notifies(timeout=30, stop_after=len(expected))]

    assert expected == told


@pytest.mark.parametrize("sqlstate", ["57P01", "25006"])  # it was shut down; it no longer writes, another one does
@pytest.mark.parametrize("moment", [_ANSWERS_ARE_RECORDED, _BATCH_IS_CLOSED])
def test_what_servers_said_survives_a_database_that_gives_way(office, database, moment, sqlstate):
    """
    When the database gives way while answers are recorded or the batch is closed, both are done again: who was refused
    for good is suppressed, every answer is tallied once, and the run ends.
    """
    refused = {"recipient": lambda said: b"550 5.1.1 no such user" if "p3@" in said.commands[-1] else None}
    with serving(refused) as server:
        courier, run_id, batch_id = office(server.port)
        with database.begin() as connection:
            connection.exec_driver_sql(_GIVES_WAY.replace("{sqlstate}", sqlstate).replace("{moment}", moment))
        courier.send_batch(batch_id)
        while (batch_id := first_batch(database)) is not None:
            courier.clock.step(timedelta(minutes=6))
            courier.send_batch(batch_id)
        with database.begin() as connection:
            courier.tallies.write(connection)

    assert ("finished", None) == (status(database, run_id).state, status(database, run_id).fault)
    assert (11, 1) == (status(database, run_id).states["accepted"], status(database, run_id).states["failed"])
    with database.begin() as connection:
        assert 1 < connection.exec_driver_sql("SELECT last_value FROM times").scalar_one()
        assert 1 == connection.execute(select(func.count(schema.suppression.c.address_key))).scalar_one()
        tally = select(func.sum(schema.domain_tally.c.attempt_count), func.sum(schema.domain_tally.c.hard_count))
        assert (12, 1) == tuple(connection.execute(tally).one())


class AnswerLost(Database):
    """A database whose answer to the first COMMIT that gives a batch back, or ends it, is lost."""

    @contextlib.contextmanager
    def begin(self):
        with super().begin() as connection:
            yield connection
            claimed = select(func.count()).select_from(schema.batch).where(schema.batch.c.state == "claimed")
            is_closed = connection.execute(claimed).scalar_one() == 0
        if is_closed and "is_lost" not in self.__dict__:
            self.__dict__["is_lost"] = True
            raise OperationalError("COMMIT", {}, AdminShutdown("terminating connection"))


def test_a_batch_closed_twice_counts_once(office, database):
    """
    The commit that closed the batch was made and its answer lost: what did not go is given back to the day's volume
    once, and every answer is tallied once.
    """
    with serving({"recipient": [b"550 5.1.1 no such user"]}) as server:
        courier, _, batch_id = office(server.port)
        settings = courier.workspace.root / "clarion.yaml"
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        plan = f"connections: 4, warm_up: {{start: {yesterday}, daily: [100, 100, 100]}}"
        settings.write_text(settings.read_text().replace("connections: 4", plan))
        courier.workspace = Workspace(courier.workspace.root)
        courier.database = AnswerLost(database.url)
        asked = itertools.count()
        courier.is_stopping = lambda: next(asked) >= 3
        courier.send_batch(batch_id)
        assert courier.database.is_lost
        courier.database.dispose()

    with database.begin() as connection:
        courier.tallies.write(connection)
        assert [3] == list(connection.execute(select(schema.volume.c.message_count)).scalars())
        tally = select(func.sum(schema.domain_tally.c.attempt_count), func.sum(schema.domain_tally.c.hard_count))
        assert (3, 1) == tuple(connection.execute(tally).one())


def test_a_database_that_gives_way_before_the_trip_is_no_bug(office, database, clock):
    """
    A batch that could not be made ready because the database gave way says so, and all go when it is back.
    """
    with serving() as server:
        courier, run_id, batch_id = office(server.port)
        with database.begin() as connection:
            connection.execute(text("LOCK TABLE throttle IN ACCESS EXCLUSIVE MODE"))
            courier.database = Database(database.url + "&options=-c%20lock_timeout%3D200")
            sent = courier.send_batch(batch_id)
        assert "the database went away: LockNotAvailable" == sent.fault == status(database, run_id).fault
        clock.step(timedelta(minutes=1))
        courier.send_batch(batch_id)
        courier.database.dispose()

    assert ("finished", None) == (status(database, run_id).state, status(database, run_id).fault)


def test_a_bug_met_by_one_person_keeps_its_traceback_and_stops_nobody_else(office, database, monkeypatch, caplog):
    """
    What no value should bring about fails that one message, and the log says where; everybody else gets theirs.
    """

    def write(mail):
        if "Firm 3" in mail.subject:
            raise ZeroDivisionError("a mistake of ours")
        return write_message(mail)

    monkeypatch.setattr(trip, "write_message", write)
    with serving() as server:
        courier, run_id, batch_id = office(server.port)
        sent = courier.send_batch(batch_id)

    assert (1, None) == (sent.render_failed, sent.fault)
    assert 11 == status(database, run_id).states["accepted"]
    told = [record for record in caplog.records if "was not rendered" in record.getMessage()]
    assert [("ERROR", ZeroDivisionError)] == [(record.levelname, record.exc_info[0]) for record in told]
    assert "a mistake of ours" in caplog.text


class OneCannotBeSigned:
    """A signer that one content is too much for."""

    def sign(self, content):
        """The content as it is."""
        if b"Firm 3" in content:
            raise ValueError("no signature for this one")
        return content


def test_one_person_whose_message_cannot_be_signed_fails_alone(office, database):
    """
    A message that the signer stumbles over is skipped as render_failed; everybody else gets theirs.
    """
    with serving() as server:
        courier, run_id, batch_id = office(server.port)
        courier.signers = {"paper.example": OneCannotBeSigned()}
        sent = courier.send_batch(batch_id)

    assert (1, None) == (sent.render_failed, sent.fault)
    assert {"render_failed": 1} == status(database, run_id).skipped
    assert 11 == status(database, run_id).states["accepted"]
