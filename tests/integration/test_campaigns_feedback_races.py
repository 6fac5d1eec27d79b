"""Many processes take feedback at once: nothing is lost, counted twice, or waited for in a circle."""

import random
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select

from campaigns.feedback import catch_up, take
from core import schema
from core.database import Database
from tests.factories import key_of, make_customer, make_message, make_run
from tests.feedback_events import NOON, days, make_feedback, make_receiver
from tracking.feedback import Feedback

RECEIVER = make_receiver()
WORKERS = 6


def taken_at_once(database: Database, batches: list[list[Feedback]]) -> None:
    """Each batch is taken in a transaction of its own, several at a time."""

    def take_one(batch: list[Feedback]) -> None:
        with database.begin() as connection:
            take(connection, batch, RECEIVER, NOON)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(take_one, batches))
    with database.begin() as connection:
        catch_up(connection, RECEIVER, NOON)


def test_bounces_taken_at_once_are_counted_together(database: Database) -> None:
    """
    Five soft bounces of one address, taken by five processes at the same instant, are five.
    """
    with database.begin() as connection:
        person = make_customer(connection, email="reader@customers.example")
        messages = [make_message(connection, make_run(connection, f"c{n}"), person) for n in range(5)]
    taken_at_once(
        database,
        [[make_feedback("soft", each, occurred_at=NOON - days(n))] for n, each in enumerate(messages)],
    )
    with database.begin() as connection:
        entry = schema.suppression.c
        ends = connection.execute(select(entry.expires_at).where(entry.reason == "soft_bounces")).scalars()

        assert [NOON + days(30)] == list(ends)


def test_feedback_taken_at_once_in_any_order_never_locks_up(database: Database) -> None:
    """
    Six processes that take overlapping batches, each in its own order, all come through, and the end is that of one.
    """
    kinds = ["delivered", "hard", "soft", "mailbox_full", "complaint", "unsubscribe", "block"]
    dice = random.Random(7)
    with database.begin() as connection:
        people = [make_customer(connection, email=f"r{n}@customers.example") for n in range(12)]
        run = make_run(connection)
        messages = [make_message(connection, run, person) for person in people]
    events = [make_feedback(kind, each) for each in messages for kind in kinds]
    taken_at_once(database, [dice.sample(events, 40) for _ in range(24)] + [dice.sample(events, len(events))])
    with database.begin() as connection:
        states = set(connection.execute(select(schema.message.c.state)).scalars())
        counted = connection.execute(select(func.count()).select_from(schema.feedback)).scalar_one()
        reasons = connection.execute(
            select(schema.suppression.c.reason).where(
                schema.suppression.c.address_key == key_of("r3@customers.example")
            )
        ).scalars()

        assert ({"complained"}, len(events)) == (states, counted)
        assert ["complaint", "hard_bounce", "unsubscribed"] == sorted(reasons)
