"""Hits as the table holds them, and their labels."""

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from core import schema
from core.clock import SteppedClock
from core.database import Database
from tests import factories
from tracking.hit_writer import HitWriter
from tracking.hits import Hit, Recorded, store

LINKS = [f"https://shop.example/{number}" for number in range(6)]
ACCEPTED = datetime.fromisoformat("2026-03-02T11:00:00+00:00")


def make_mailing(connection: Connection, count: int = 1, **message: object) -> list[int]:
    """Messages of one run with six links, accepted an hour before the tests' noon."""
    version = factories.make_version(connection, links=LINKS)
    run = factories.make_run(connection, version_id=version)
    values = {"accepted_at": ACCEPTED} | message
    return [
        factories.make_message(connection, run, factories.make_customer(connection), **values) for _ in range(count)
    ]


def labels(connection: Connection) -> list[tuple[int | None, str, str | None]]:
    """Every hit in order, as (link, label, evidence)."""
    hit = schema.hit
    return [
        tuple(row) for row in connection.execute(select(hit.c.link, hit.c.label, hit.c.evidence).order_by(hit.c.id))
    ]


def click(message_id: int, link: int, at: datetime, **values: str) -> Hit:
    """A click as a person's browser makes it."""
    return Hit(message_id, "click", at, link, ip="192.0.2.7", user_agent="Firefox", **values)


def test_store_keeps_the_hit_and_names_its_target(database: Database, clock: SteppedClock) -> None:
    """
    A hit is kept as it came, and its link leads where the campaign's version says.
    """
    with database.begin() as connection:
        [message] = make_mailing(connection)
        answers = store(connection, [click(message, 2, clock.now())])
        row = connection.execute(select(schema.hit)).mappings().one()

    assert [Recorded("https://shop.example/2")] == answers
    assert (message, "click", 2, clock.now(), "192.0.2.7", "Firefox", "human", None) == (
        row["message_id"], row["kind"], row["link"], row["occurred_at"], str(row["ip"]), row["user_agent"],
        row["label"], row["evidence"],
    )  # fmt: skip


def test_store_answers_each_hit_in_order(database: Database, clock: SteppedClock) -> None:
    """
    Unknown messages, positions without a link and links of their own are told apart.
    """
    with database.begin() as connection:
        [message] = make_mailing(connection)
        hits = [
            click(message, 5, clock.now()), click(message + 99, 0, clock.now()), click(message, 6,
            clock.now()), Hit(message, "click", clock.now(), None), Hit(message, "open", clock.now()),
        ]  # fmt: skip
        answers = store(connection, hits)

    assert [Recorded(LINKS[5]), None, Recorded(None), Recorded(None), Recorded(None)] == answers


@pytest.mark.parametrize("ip", ["not an address", "", None, "fe80::1%eth0", "::ffff:192.0.2.1"])
def test_store_takes_any_sender(database: Database, clock: SteppedClock, ip: str | None) -> None:
    """
    An address that is none, and control characters in the program's name, do no harm.
    """
    with database.begin() as connection:
        [message] = make_mailing(connection)
        answers = store(connection, [Hit(message, "open", clock.now(), ip=ip, user_agent="a\x00b\r\n" + "x" * 999)])

    assert [Recorded(None)] == answers


def test_hit_right_after_acceptance_is_a_machines(database: Database) -> None:
    """
    Nobody reads within two seconds; at two seconds somebody may.
    """
    with database.begin() as connection:
        [message] = make_mailing(connection)
        for seconds in (-1, 0, 1.999, 2):
            store(connection, [click(message, 0, ACCEPTED + timedelta(seconds=seconds))])
        found = labels(connection)

    assert [(0, "machine", "too_soon")] * 3 + [(0, "human", None)] == found


def test_hit_before_the_servers_answer_is_a_machines(database: Database) -> None:
    """
    A scanner that follows links during the transaction is there before `accepted` is.
    """
    with database.begin() as connection:
        [message] = make_mailing(connection, state="handed_over", accepted_at=None, state_at=ACCEPTED)
        store(connection, [click(message, 0, ACCEPTED + timedelta(seconds=1))])
        found = labels(connection)

    assert [(0, "machine", "too_soon")] == found


def test_clicks_on_many_links_within_seconds_are_a_machines(database: Database, clock: SteppedClock) -> None:
    """
    The third different link within the window labels the earlier clicks, too; other messages stay as they
    are.
    """
    with database.begin() as connection:
        message, other = make_mailing(connection, 2)
        store(connection, [click(other, 0, clock.now())])
        for link in range(3):
            clock.step(timedelta(seconds=1))
            store(connection, [click(message, link, clock.now())])
        found = labels(connection)

    assert [(0, "human", None), *((link, "machine", "burst") for link in range(3))] == found


def test_clicks_in_one_batch_are_a_burst_as_well(database: Database, clock: SteppedClock) -> None:
    """
    All links at once, as scanners do it.
    """
    with database.begin() as connection:
        [message] = make_mailing(connection)
        store(connection, [click(message, link, clock.now()) for link in range(6)])
        found = labels(connection)

    assert {("machine", "burst")} == {(label, evidence) for _, label, evidence in found}


def test_clicks_of_a_reader_are_no_burst(database: Database, clock: SteppedClock) -> None:
    """
    Two links, one of them often, or many links slowly: a person.
    """
    with database.begin() as connection:
        fast, slow = make_mailing(connection, 2)
        store(connection, [click(fast, link, clock.now()) for link in (0, 1, 0, 1, 1)])
        for link in range(6):
            clock.step(timedelta(seconds=3))
            store(connection, [click(slow, link, clock.now())])
        found = labels(connection)

    assert {"human"} == {label for _, label, _ in found}


def test_another_messages_clicks_do_not_widen_a_readers_window(database: Database, clock: SteppedClock) -> None:
    """
    A reader's three slow clicks stay a person's, although an old click of somebody else is stored with the last one.
    """
    with database.begin() as connection:
        reader, other = make_mailing(connection, 2)
        begun = clock.now()
        for link in (0, 1):
            store(connection, [click(reader, link, begun + timedelta(seconds=4 * link))])
        last = click(reader, 2, begun + timedelta(seconds=8))
        store(connection, [click(other, 0, begun + timedelta(seconds=1)), last])
        found = labels(connection)

    assert {"human"} == {label for _, label, _ in found}


def test_evidence_of_the_request_stays(database: Database, clock: SteppedClock) -> None:
    """
    What the request itself told is not overwritten by what came after.
    """
    with database.begin() as connection:
        [message] = make_mailing(connection)
        store(connection, [click(message, link, clock.now(), evidence="program") for link in range(4)])
        found = labels(connection)

    assert {("machine", "program")} == {(label, evidence) for _, label, evidence in found}


def test_writer_commits_before_it_answers(database: Database, clock: SteppedClock) -> None:
    """
    Every answered hit is in the table, and many share a commit.
    """
    with database.begin() as connection:
        [message] = make_mailing(connection)

    async def record_many() -> list[Recorded | None]:
        writer = HitWriter(database)
        try:
            return await asyncio.gather(*(writer.record(click(message, 1, clock.now())) for _ in range(200)))
        finally:
            await writer.close()

    answers = asyncio.run(record_many())
    with database.begin() as connection:
        transactions = connection.exec_driver_sql("SELECT count(DISTINCT xmin::text) FROM hit").scalar_one()

    assert [Recorded(LINKS[1])] * 200 == answers
    assert transactions <= 3


def test_writer_fails_only_the_hit_that_cannot_be_stored(database: Database, clock: SteppedClock) -> None:
    """
    One impossible row does not lose the others it shares a batch with.
    """
    with database.begin() as connection:
        [message] = make_mailing(connection)
    hits = [
        click(message, 0, clock.now()),
        Hit(message, "dance", clock.now()),
        click(message, 1, clock.now()),
    ]

    async def record_all() -> list[object]:
        writer = HitWriter(database)
        try:
            return await asyncio.gather(*map(writer.record, hits), return_exceptions=True)
        finally:
            await writer.close()

    first, second, third = asyncio.run(record_all())

    assert (Recorded(LINKS[0]), Recorded(LINKS[1])) == (first, third)
    assert isinstance(second, SQLAlchemyError)


def test_writer_close_waits_for_what_is_under_way(database: Database, clock: SteppedClock) -> None:
    """
    A stop loses no hit that arrived.
    """
    with database.begin() as connection:
        [message] = make_mailing(connection)

    async def stop_at_once() -> list[Recorded | None]:
        writer = HitWriter(database)
        waiting = [asyncio.ensure_future(writer.record(click(message, 0, clock.now()))) for _ in range(20)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        await writer.close()
        return await asyncio.gather(*waiting)

    answers = asyncio.run(stop_at_once())

    assert [Recorded(LINKS[0])] * 20 == answers
