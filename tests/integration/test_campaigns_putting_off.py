"""Putting off: who is not to be written to now waits in a batch of their own, and the ledger balances all the while."""

from datetime import UTC, datetime, time, timedelta

import pytest
from sqlalchemy import insert, select, update

from campaigns import batches, control, ledger, mailings
from campaigns.definition import CampaignFile
from campaigns.putting_off import Hold, hold_off, put_off, release
from campaigns.status import status_of
from campaigns.window import Window, hand_over
from core.schema import batch, message, preference, run
from delivery.smtp import Outcome, OutcomeState
from suppression.caps import Cap, Rules
from suppression.policy import Policy
from suppression.quiet_hours import QuietHours
from tests.factories import make_customer, make_message, make_run, make_version

NIGHTS = QuietHours(time(21), time(8), False, False, "UTC", None, "subdivision")
ACCEPTED = Outcome(OutcomeState.ACCEPTED, 250, "2.0.0", "OK")


def cap(most=1, days=7, **values):
    given = {"each": None, "of": "person", "topic": None, "channel": None, "reserve": 0} | values
    within = None if given["each"] else timedelta(days=days)
    return Cap("weekly", most, within, **given)


class Definition:
    """A version as far as putting off looks at it."""

    def __init__(self, **limits):
        self.definition = CampaignFile.model_validate(
            {
                "kind": "broadcast", "topic": "promotions", "audience": {"segment": "everybody"},
                "send": {"template": "a.html", "from": "offers"}, "limits": limits,
            }
        )  # fmt: skip


@pytest.fixture
def make_batch(database, clock):
    """A planned batch of a running run of its own campaign, for the customers named; its id."""

    def build(campaign, people, *, topic="promotions", message_class="bulk", **values):
        with database.begin() as connection:
            version_id = make_version(connection, campaign, topic=topic, message_class=message_class)
            run_id = make_run(connection, campaign, version_id=version_id, audience=len(people), **values)
            ids = [
                make_message(connection, run_id, person, state="planned", not_before=clock.now(), state_at=clock.now())
                for person in people
            ]
            cut = insert(batch).values(
                run_id=run_id, message_ids=ids, not_before=clock.now(), queue=message_class, stage=0, attempt_count=0
            )
            return connection.execute(cut.returning(batch.c.id)).scalar_one()

    return build


@pytest.fixture
def person(database):
    """A customer who agreed to both topics."""
    with database.begin() as connection:
        return make_customer(connection, consents=("promotions", "news"))


def due(database, clock):
    """The batches that a worker should be told of now."""
    with database.begin() as connection:
        return [id_ for id_, _ in batches.due_batches(connection, now=clock.now(), again_after=timedelta())]


def sent(database, clock, batch_id, policy, **limits):
    """The batch claimed, held off, handed over and accepted, as a worker does it; the ids that went."""
    with database.begin() as connection:
        held = ledger.claim(
            connection, batch_id, worker="w", lease=timedelta(minutes=1), policy=policy, now=clock.now()
        )
    if held is None:
        return None
    with database.begin() as connection:
        people = list(mailings.recipients(connection, held.message_ids, policy=held.policy, now=clock.now()))
        held, people = hold_off(connection, held, people, Definition(**limits), clock.now())
    ids = [one.message_id for one in people]
    with database.begin() as connection:
        window = Window(ids, (), dict.fromkeys(ids, b"bytes"))
        gone = hand_over(connection, held, window, transport="main", now=clock.now())
    with database.begin() as connection:
        hand_over(connection, held, Window((), [(id_, ACCEPTED) for id_ in gone]), transport="main", now=clock.now())
        batches.close(connection, held, clock.now())
    return gone


def rows(database):
    with database.begin() as connection:
        query = select(
            message.c.campaign, message.c.state, message.c.skip_reason, message.c.hold_reason, message.c.not_before
        ).order_by(message.c.id)
        return [tuple(row) for row in connection.execute(query)]


def broken(database):
    with database.begin() as connection:
        return [status_of(connection, run_id).broken for run_id in connection.execute(select(run.c.id)).scalars()]


def test_nothing_is_written_where_nothing_is_configured(database, clock, make_batch, person):
    """
    Without caps and quiet hours a claim has nothing to watch, and everybody goes.
    """
    batch_id = make_batch("spring", [person])
    with database.begin() as connection:
        held = ledger.claim(
            connection, batch_id, worker="w", lease=timedelta(minutes=1), policy=Policy(), now=clock.now()
        )
        people = list(mailings.recipients(connection, held.message_ids, policy=held.policy, now=clock.now()))
        same, going = hold_off(connection, held, people, Definition(), clock.now())

    assert (held, None, people) == (same, same.watch, going)


def test_quiet_hours_put_messages_off_until_they_end(database, clock, make_batch, person):
    """
    At night by the recipient's clock nothing goes; in the morning it does, and the hold is forgotten.
    """
    with database.begin() as connection:
        tokyo = make_customer(connection, consents=("promotions",), zone="Asia/Tokyo")
    policy = Policy(quiet_hours=NIGHTS)  # noon UTC is 21:00 in Tokyo
    batch_id = make_batch("spring", [person, tokyo])
    first = sent(database, clock, batch_id, policy)
    during = rows(database)
    clock.step(timedelta(hours=11))
    second = [sent(database, clock, id_, policy) for id_ in due(database, clock)]

    morning = datetime(2026, 3, 2, 23, 0, tzinfo=UTC)
    assert 1 == len(first)
    assert ("spring", "planned", None, "quiet_hours", morning) == during[1]
    assert [1] == [len(ids) for ids in second]
    assert [("accepted", None, None)] * 2 == [row[1:4] for row in rows(database)]
    assert [()] == broken(database)


def test_a_capped_message_is_skipped_or_waits_as_the_campaign_says(database, clock, make_batch, person):
    """
    Under a cap of one a week the second campaign is dropped, and the third, which may wait, goes after the week.
    """
    policy = Policy(pressure=Rules((cap(),)))
    campaigns = [make_batch(name, [person]) for name in ("first", "second", "third")]
    assert 1 == len(sent(database, clock, campaigns[0], policy))
    assert [] == sent(database, clock, campaigns[1], policy)
    assert [] == sent(database, clock, campaigns[2], policy, when_capped={"defer": "8d"})
    held = rows(database)
    clock.step(timedelta(days=7))
    assert [1] == [len(sent(database, clock, id_, policy)) for id_ in due(database, clock)]

    assert ("second", "skipped", "frequency_cap", None) == held[1][:4]
    assert ("third", "planned", None, "frequency_cap", clock.now()) == held[2]
    assert [("accepted", None), ("skipped", None), ("accepted", None)] == [(row[1], row[3]) for row in rows(database)]
    assert [(), (), ()] == broken(database)
