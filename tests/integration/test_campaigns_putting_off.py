"""Putting off: who is not to be written to now waits in a batch of their own, and the ledger balances all the while."""

from datetime import UTC, datetime, time, timedelta

import pytest
from sqlalchemy import insert, select, update

from campaigns import batches, control, ledger, mailings, retry
from campaigns.definition import CampaignFile
from campaigns.putting_off import hold_off
from campaigns.status import status_of
from campaigns.window import Window, hand_over
from core.schema import batch, customer, message, preference, run
from customers.merging.merge import merge
from delivery.smtp import Outcome, OutcomeState
from suppression.caps import Cap, Rules
from suppression.care import Care, Cases
from suppression.policy import Policy
from suppression.quiet_hours import QuietHours
from tests.factories import (
    LONG_AGO,
    make_activity,
    make_customer,
    make_message,
    make_run,
    make_suppression,
    make_version,
)

NIGHTS = QuietHours(time(21), time(8), False, False, "UTC", None, "subdivision")
ACCEPTED = Outcome(OutcomeState.ACCEPTED, 250, "2.0.0", "OK")
LEASE = timedelta(minutes=1)
LATER = Outcome(OutcomeState.DEFERRED, 451, "4.7.1", "come back later")


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
        held = ledger.claim(connection, batch_id, worker="w", lease=LEASE, policy=policy, now=clock.now())
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
        held = ledger.claim(connection, batch_id, worker="w", lease=LEASE, policy=Policy(), now=clock.now())
        people = list(mailings.recipients(connection, held.message_ids, policy=held.policy, now=clock.now()))
        same, going = hold_off(connection, held, people, Definition(), clock.now())

    assert (held, None, people) == (same, same.watch, going)


def test_quiet_hours_put_messages_off_until_they_end(database, clock, make_batch, person):
    """
    At night by the recipient's clock nothing goes; in the morning it does, and the hold is forgotten (S-8.5).
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


def test_nobody_waits_longer_than_a_message_is_valid(database, clock, make_batch, person):
    """
    When quiet hours end after the message's time is over, it is skipped at once, and told so.
    """
    clock.step(timedelta(hours=10))  # 22:00
    ends_in_time = make_batch("one", [person], valid_until=clock.now() + timedelta(hours=10))
    ends_too_late = make_batch("two", [person], valid_until=clock.now() + timedelta(hours=9, minutes=59))
    for batch_id in (ends_in_time, ends_too_late):
        assert [] == sent(database, clock, batch_id, Policy(quiet_hours=NIGHTS))

    assert [("planned", None, "quiet_hours"), ("skipped", "quiet_too_long", None)] == [r[1:4] for r in rows(database)]
    assert ["running", "finished"] == [state for state, _ in runs(database)]
    assert [(), ()] == broken(database)


def test_a_capped_message_is_skipped_when_its_deadline_has_passed(database, clock, make_batch, person):
    """
    It waits until the deadline that the campaign set, counted from the first time a cap held it, and is then skipped.
    """
    policy = Policy(pressure=Rules((cap(),)))
    assert 1 == len(sent(database, clock, make_batch("first", [person]), policy))
    batch_id = make_batch("second", [person])
    assert [] == sent(database, clock, batch_id, policy, when_capped={"defer": "3d"})
    deadline = clock.now() + timedelta(days=3)
    assert ("planned", None, "frequency_cap", deadline) == rows(database)[1][1:]
    clock.step(timedelta(days=3))
    assert [[]] == [sent(database, clock, id_, policy, when_capped={"defer": "3d"}) for id_ in due(database, clock)]

    assert ("skipped", "frequency_cap", None) == rows(database)[1][1:4]
    assert [(), ()] == broken(database)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [(Policy(pressure=Rules((cap(),))), "frequency_cap"), (Policy(quiet_hours=NIGHTS), "quiet_too_long")],
)
def test_what_expires_while_it_is_held_is_told_by_what_held_it(database, clock, make_batch, person, policy, reason):
    """
    A message whose time passes while it is held was not too slow: the hold is the reason, and its run ends.
    """
    sent(database, clock, make_batch("first", [person]), Policy())
    clock.step(timedelta(hours=10))
    make_batch("second", [person], valid_until=clock.now() + timedelta(days=2))
    for batch_id in due(database, clock):
        sent(database, clock, batch_id, policy, when_capped={"defer": "5d"})
    with database.begin() as connection:  # somebody shortened it, or nobody worked for days
        connection.execute(update(run).where(run.c.campaign == "second").values(valid_until=clock.now()))
        connection.execute(update(batch).where(batch.c.state == "ready").values(not_before=clock.now()))
    clock.step(timedelta(seconds=1))
    for batch_id in due(database, clock):
        sent(database, clock, batch_id, policy)

    assert ("skipped", reason, None) == rows(database)[1][1:4]
    assert ["finished", "finished"] == [state for state, _ in runs(database)]
    assert [(), ()] == broken(database)


def runs(database):
    with database.begin() as connection:
        return [tuple(row) for row in connection.execute(select(run.c.state, run.c.fault).order_by(run.c.id))]


def test_what_is_held_is_cancelled_with_its_run(database, clock, make_batch, person):
    """
    A held message of a paused run stays held, of a cancelled one it is skipped as cancelled.
    """
    clock.step(timedelta(hours=10))
    sent(database, clock, make_batch("spring", [person]), Policy(quiet_hours=NIGHTS))
    with database.begin() as connection:
        control.order(connection, "spring", "pause", actor="ann", now=clock.now())
    paused = rows(database)
    clock.step(timedelta(hours=11))
    assert [] == due(database, clock)
    with database.begin() as connection:
        control.order(connection, "spring", "cancel", actor="ann", now=clock.now())

    assert ("planned", None, "quiet_hours") == paused[0][1:4]
    assert ("skipped", "cancelled", None) == rows(database)[0][1:4]
    assert [()] == broken(database)


def test_a_lost_worker_loses_nobody_who_is_held(database, clock, make_batch, person):
    """
    A worker that dies after it put people off leaves them in their own batch; the rest is another worker's.
    """
    with database.begin() as connection:
        tokyo = make_customer(connection, consents=("promotions",), zone="Asia/Tokyo")
    policy, batch_id = Policy(quiet_hours=NIGHTS), make_batch("spring", [person, tokyo])
    with database.begin() as connection:
        held = ledger.claim(connection, batch_id, worker="w", lease=LEASE, policy=policy, now=clock.now())
    with database.begin() as connection:
        people = list(mailings.recipients(connection, held.message_ids, policy=policy, now=clock.now()))
        hold_off(connection, held, people, Definition(), clock.now())
    assert [()] == broken(database)
    with database.begin() as connection:
        connection.execute(update(batch).where(batch.c.state == "claimed").values(lease_until=LONG_AGO))
    assert [1] == [len(sent(database, clock, id_, policy)) for id_ in due(database, clock)]

    assert [("accepted", None), ("planned", "quiet_hours")] == [(row[1], row[3]) for row in rows(database)]
    assert [()] == broken(database)


def test_a_late_worker_puts_nobody_off(database, clock, make_batch, person):
    """
    A worker whose batch is another one's by now changes nothing.
    """
    clock.step(timedelta(hours=10))
    policy, batch_id = Policy(quiet_hours=NIGHTS), make_batch("spring", [person])
    with database.begin() as connection:
        late = ledger.claim(
            connection, batch_id, worker="w", lease=timedelta(minutes=1), policy=policy, now=clock.now()
        )
        connection.execute(update(batch).values(lease_until=LONG_AGO))
        ledger.claim(connection, batch_id, worker="w2", lease=LEASE, policy=policy, now=clock.now())
    with database.begin() as connection:
        people = list(mailings.recipients(connection, late.message_ids, policy=policy, now=clock.now()))
        _, going = hold_off(connection, late, people, Definition(), clock.now())

    assert [] == going
    assert ("planned", None, None) == rows(database)[0][1:4]
    assert [()] == broken(database)


def test_a_retry_waits_for_the_morning(database, clock, make_batch, person):
    """
    A message that the server put off in the evening is not tried again at night, and keeps its attempts.
    """
    policy = Policy(quiet_hours=NIGHTS)
    batch_id = make_batch("spring", [person])
    with database.begin() as connection:
        held = ledger.claim(connection, batch_id, worker="w", lease=LEASE, policy=policy, now=clock.now())
        (id_,) = held.message_ids
        hand_over(connection, held, Window([id_], (), {id_: b"bytes"}), transport="main", now=clock.now())
        later = Window((), [(id_, LATER)], {id_: b"bytes"})
        hand_over(connection, held, later, transport="main", now=clock.now())
        batches.close(connection, held, clock.now())
    clock.step(timedelta(hours=10))
    assert [[]] == [sent(database, clock, each, policy) for each in due(database, clock)]
    night = rows(database)
    clock.step(timedelta(hours=10))
    assert [[id_]] == [sent(database, clock, each, policy) for each in due(database, clock)]

    assert ("deferred", None, "quiet_hours", datetime(2026, 3, 3, 8, tzinfo=UTC)) == night[0][1:]
    assert ("accepted", None, None) == rows(database)[0][1:4]
    assert [()] == broken(database)


def test_transactional_mail_counts_and_is_never_held(database, clock, make_batch, person):
    """
    A receipt goes at night and above every cap; bulk mail then waits for it as for any other message.
    """
    policy = Policy(pressure=Rules((cap(),)), quiet_hours=NIGHTS)
    sent(database, clock, make_batch("first", [person]), policy)
    clock.step(timedelta(hours=10))
    receipt = make_batch("receipt", [person], message_class="transactional")
    assert 1 == len(sent(database, clock, receipt, policy))
    clock.step(timedelta(days=6, hours=15))  # the first one is a week ago, the receipt not yet
    assert [] == sent(database, clock, make_batch("second", [person]), policy)

    assert ["accepted", "accepted", "skipped"] == [row[1] for row in rows(database)]


def test_the_run_with_the_higher_priority_goes_first(database, clock, make_batch, person):
    """
    Under a cap of one a week a message leaves the place to one of higher priority that is planned within it.
    """
    policy = Policy(pressure=Rules((cap(),)))
    low = make_batch("low", [person])
    high = make_batch("high", [person], priority=5)
    assert [] == sent(database, clock, low, policy, when_capped={"defer": "9d"})
    assert 1 == len(sent(database, clock, high, policy, priority=5))
    clock.step(timedelta(days=7))
    assert [1] == [len(sent(database, clock, id_, policy, when_capped={"defer": "9d"})) for id_ in due(database, clock)]
    assert [(), ()] == broken(database)


@pytest.mark.parametrize(("order", "expected"), [("cancel", "accepted"), (None, "skipped")])
def test_what_does_not_wait_leaves_its_place_to_what_is_planned(database, clock, make_batch, person, order, expected):
    """
    A message that is dropped under a cap is held while one of higher priority is only planned: it is dropped once that
    one went, and goes when that one never will.
    """
    policy = Policy(pressure=Rules((cap(),)))
    low, high = make_batch("low", [person]), make_batch("high", [person], priority=5)
    assert [] == sent(database, clock, low, policy)
    assert ("low", "planned", None, "frequency_cap", clock.now() + timedelta(minutes=15)) == rows(database)[0]
    if order is None:
        assert 1 == len(sent(database, clock, high, policy, priority=5))
    else:
        with database.begin() as connection:
            control.order(connection, "high", order, actor="ann", now=clock.now())
    clock.step(timedelta(minutes=15))
    for batch_id in due(database, clock):
        sent(database, clock, batch_id, policy)

    assert expected == rows(database)[0][1]
    assert [(), ()] == broken(database)


def test_what_people_asked_for_holds_without_any_cap(database, clock, make_batch, person):
    """
    Who wants one mail a month gets one, from all campaigns together; others get both.
    """
    with database.begin() as connection:
        other = make_customer(connection, consents=("promotions",))
        wish = {"customer_id": person, "most_messages": 1, "most_within": timedelta(days=30), "source": "page"}
        connection.execute(insert(preference).values(wish))
    gone = [sent(database, clock, make_batch(name, [person, other]), Policy()) for name in ("first", "second")]

    assert [2, 1] == [len(ids) for ids in gone]
    assert ("skipped", "frequency_cap") == rows(database)[2][1:3]


def test_colleagues_in_one_window_count_for_each_other(database, clock, make_batch):
    """
    Of four colleagues in one window two go under a cap of two for their company, and the others wait.
    """
    with database.begin() as connection:
        colleagues = [make_customer(connection, consents=("promotions",), company="Mill") for _ in range(4)]
        alone = make_customer(connection, consents=("promotions",))
    policy = Policy(pressure=Rules((cap(most=2, of="company"),), timedelta(days=3)))
    gone = sent(database, clock, make_batch("spring", [*colleagues, alone]), policy)

    assert 3 == len(gone)
    assert ["accepted", "accepted", "planned", "planned", "accepted"] == [row[1] for row in rows(database)]
    assert [()] == broken(database)


def test_a_whole_batch_that_waits_makes_no_new_one(database, clock, make_batch, person):
    """
    What is looked at again and again is the same batch, with a later time.
    """
    clock.step(timedelta(hours=10))
    batch_id = make_batch("spring", [person])
    sent(database, clock, batch_id, Policy(quiet_hours=NIGHTS))
    with database.begin() as connection:
        found = [tuple(row) for row in connection.execute(select(batch.c.id, batch.c.state, batch.c.not_before))]

    assert [(batch_id, "ready", datetime(2026, 3, 3, 8, tzinfo=UTC))] == found


def test_a_hold_that_is_configured_no_more_ends_with_its_time(database, clock, make_batch, person):
    """
    Without quiet hours a message that was held by them goes at its time, and is held by nothing.
    """
    clock.step(timedelta(hours=10))
    sent(database, clock, make_batch("spring", [person]), Policy(quiet_hours=NIGHTS))
    clock.step(timedelta(hours=11))
    assert [1] == [len(sent(database, clock, id_, Policy())) for id_ in due(database, clock)]
    assert ("accepted", None, None) == rows(database)[0][1:4]
    assert [()] == broken(database)


def test_a_hold_on_what_does_not_wait_is_told(database, clock, make_batch, person):
    """
    The ledger does not balance when a message is held that nobody would let go.
    """
    make_batch("spring", [person])
    with database.begin() as connection:
        connection.execute(update(batch).values(state="done"))
        connection.execute(update(run).values(state="finished"))
        connection.execute(update(message).values(state="skipped", skip_reason="holdout", hold_reason="quiet_hours"))

    assert ["1 messages are held, but do not wait: nobody would let them go"] == list(broken(database)[0])


def test_a_promotion_waits_for_an_open_case(database, clock, make_batch, person):
    """
    While a case is open the promotion is held; soon after it was closed it goes.
    """
    policy = Policy(care=Care(cases=Cases(("ticket_opened",), ("ticket_closed",), None, None, timedelta(days=14))))
    with database.begin() as connection:
        make_activity(connection, person, "ticket_opened", occurred_at=clock.now() - timedelta(days=1))
    assert [] == sent(database, clock, make_batch("spring", [person]), policy)
    during = rows(database)
    with database.begin() as connection:
        make_activity(connection, person, "ticket_closed", occurred_at=clock.now())
    clock.step(timedelta(minutes=15))
    assert [1] == [len(sent(database, clock, id_, policy)) for id_ in due(database, clock)]

    assert ("planned", None, "open_case") == during[0][1:4]
    assert [()] == broken(database)


def test_a_case_that_stays_open_ends_the_wait(database, clock, make_batch, person):
    """
    After the longest wait the promotion is skipped, because of the case.
    """
    policy = Policy(care=Care(cases=Cases(("ticket_opened",), ("ticket_closed",), None, None, timedelta(minutes=30))))
    with database.begin() as connection:
        make_activity(connection, person, "ticket_opened", occurred_at=clock.now() - timedelta(days=1))
    make_batch("spring", [person])
    for _ in range(3):
        for batch_id in due(database, clock):
            assert [] == sent(database, clock, batch_id, policy)
        clock.step(timedelta(minutes=15))

    assert ("skipped", "open_case", None) == rows(database)[0][1:4]
    assert [("finished", None)] == runs(database)
    assert [()] == broken(database)


def test_quiet_hours_that_begin_during_a_trip_hold_what_has_not_gone(database, clock, make_batch, person):
    """
    What was prepared a second before nine in the evening is not handed over at nine: it goes in the morning (S-8.5).
    """
    clock.step(timedelta(hours=8, minutes=59, seconds=59))
    policy, batch_id = Policy(quiet_hours=NIGHTS), make_batch("spring", [person])
    with database.begin() as connection:
        held = ledger.claim(connection, batch_id, worker="w", lease=LEASE, policy=policy, now=clock.now())
        people = list(mailings.recipients(connection, held.message_ids, policy=policy, now=clock.now()))
        held, going = hold_off(connection, held, people, Definition(), clock.now())
    clock.step(timedelta(seconds=1))
    with database.begin() as connection:
        window = Window(held.message_ids, (), dict.fromkeys(held.message_ids, b"bytes"))
        gone = hand_over(connection, held, window, transport="main", now=clock.now())
        batches.close(connection, held, clock.now())

    assert (people, []) == (going, gone)
    assert ("planned", None, "quiet_hours", datetime(2026, 3, 3, 8, tzinfo=UTC)) == rows(database)[0][1:]
    assert [()] == broken(database)


def test_what_a_person_plans_again_waits_as_long_as_anew(database, clock, make_batch, person):
    """
    A failed message that is retried under a cap has its whole wait before it, whatever held it once.
    """
    policy = Policy(pressure=Rules((cap(),)))
    sent(database, clock, make_batch("first", [person]), policy)
    batch_id = make_batch("second", [person])
    with database.begin() as connection:
        connection.execute(update(batch).where(batch.c.id == batch_id).values(state="done", message_ids=[]))
        old = {"state": "failed", "held_at": clock.now() - timedelta(days=9), "attempt_count": 1}
        connection.execute(update(message).where(message.c.campaign == "second").values(**old))
        connection.execute(update(run).where(run.c.campaign == "second").values(state="finished"))
        found = retry.failed(connection, "second", retry.CLASSES, clock.now(), policy)
        order = {"why": "asked for", "action": "retry", "actor": "ann", "size": 10, "now": clock.now()}
        assert 1 == retry.again(connection, "second", found, **order)
    assert [[]] == [sent(database, clock, id_, policy, when_capped={"defer": "8d"}) for id_ in due(database, clock)]
    clock.step(timedelta(days=7))
    assert [1] == [len(sent(database, clock, id_, policy, when_capped={"defer": "8d"})) for id_ in due(database, clock)]
    assert ["accepted", "accepted"] == [row[1] for row in rows(database)]


def test_a_hold_is_cleared_with_the_batch_in_hands(database, clock, make_batch, person):
    """
    Who clears a hold has locked the batch before the message, as a merge and an erasure do: none waits for the other.
    """
    policy = Policy(pressure=Rules((cap(),), timedelta(days=10)))
    with database.begin() as connection:
        past = make_run(connection, "old", state="finished")
        make_message(connection, past, person, accepted_at=clock.now() - timedelta(days=1), state_at=clock.now())
    sent(database, clock, make_batch("spring", [person]), policy, when_capped={"defer": "10d"})
    clock.step(timedelta(days=6, minutes=15))
    (batch_id,) = due(database, clock)
    with database.begin() as connection:
        held = ledger.claim(connection, batch_id, worker="w", lease=LEASE, policy=policy, now=clock.now())
    free = select(batch.c.id).where(batch.c.id == batch_id).with_for_update(skip_locked=True)
    with database.begin() as connection, database.begin() as merging:
        people = list(mailings.recipients(connection, held.message_ids, policy=policy, now=clock.now()))
        _, people = hold_off(connection, held, people, Definition(when_capped={"defer": "10d"}), clock.now())
        is_locked = not merging.execute(free).all()

    assert (1, True) == (len(people), is_locked)
    assert [("planned", None, None)] == [row[1:4] for row in rows(database) if row[0] == "spring"]


def test_a_batch_put_off_while_its_run_is_cancelled_is_settled(database, clock, make_batch):
    """
    A worker that put a whole batch off leaves nothing open of a run that was cancelled meanwhile.
    """
    with database.begin() as connection:
        asleep = make_customer(connection, consents=("promotions",), zone="Asia/Tokyo")
    policy, batch_id = Policy(quiet_hours=NIGHTS), make_batch("spring", [asleep])
    with database.begin() as connection:
        held = ledger.claim(connection, batch_id, worker="w", lease=LEASE, policy=policy, now=clock.now())
    with database.begin() as connection:
        control.order(connection, "spring", "cancel", actor="test", now=clock.now())
    with database.begin() as connection:
        people = list(mailings.recipients(connection, held.message_ids, policy=policy, now=clock.now()))
        held, people = hold_off(connection, held, people, Definition(), clock.now())
    with database.begin() as connection:
        batches.close(connection, held, clock.now())

    assert [("skipped", "cancelled", None)] == [row[1:4] for row in rows(database)]
    assert [()] == broken(database)


def test_a_cap_does_not_go_by_how_long_a_case_was_open(database, clock, make_batch, person):
    """
    What waited four days for a case may still wait the campaign's three days for a cap.
    """
    care = Care(cases=Cases(("ticket",), ("closed",), None, None, timedelta(days=14)))
    policy = Policy(pressure=Rules((cap(),), timedelta(days=3)), care=care)
    with database.begin() as connection:
        make_activity(connection, person, "ticket", occurred_at=clock.now())
    sent(database, clock, make_batch("spring", [person]), policy)
    clock.step(timedelta(days=4))
    with database.begin() as connection:
        make_activity(connection, person, "closed", occurred_at=clock.now())
        past = make_run(connection, "other", state="finished")
        make_message(connection, past, person, accepted_at=clock.now() - timedelta(days=6), state_at=clock.now())
    clock.step(timedelta(minutes=16))
    for batch_id in due(database, clock):
        sent(database, clock, batch_id, policy)

    assert ("planned", None, "frequency_cap") == rows(database)[0][1:4]


def test_a_case_does_not_go_by_how_long_a_cap_held(database, clock, make_batch, person):
    """
    What waited six days for a cap may still wait two days for a case.
    """
    care = Care(cases=Cases(("ticket",), ("closed",), None, None, timedelta(days=2)))
    policy = Policy(pressure=Rules((cap(),), timedelta(days=10)), care=care)
    with database.begin() as connection:
        past = make_run(connection, "other", state="finished")
        make_message(connection, past, person, accepted_at=clock.now() - timedelta(days=1), state_at=clock.now())
    sent(database, clock, make_batch("spring", [person]), policy)
    clock.step(timedelta(days=6, minutes=15))
    with database.begin() as connection:
        make_activity(connection, person, "ticket", occurred_at=clock.now())
    for batch_id in due(database, clock):
        sent(database, clock, batch_id, policy)

    assert ("planned", None, "open_case") == rows(database)[1][1:4]


def test_nobody_waits_for_a_message_that_can_never_go(database, clock, make_batch, person):
    """
    A message of a higher priority whose recipient opted out of its topic, or that is too old, takes nobody's place.
    """
    policy = Policy(pressure=Rules((cap(),)))
    make_batch("news", [person], topic="news", priority=10)
    make_batch("old", [person], priority=10, valid_until=clock.now() - timedelta(hours=1))
    with database.begin() as connection:
        email = connection.execute(select(customer.c.email)).scalar_one()
        make_suppression(connection, email, scope="topic", scope_name="news", reason="unsubscribed")

    assert 1 == len(sent(database, clock, make_batch("spring", [person]), policy))


def test_contacts_of_a_merged_customer_count(database, clock, make_batch, person):
    """
    Two messages of one run to customers who are one since are two contacts, though one of them names nobody.
    """
    policy = Policy(pressure=Rules((cap(most=2),)), one_per="address")
    with database.begin() as connection:
        other = make_customer(connection, consents=("promotions",))
    assert 2 == len(sent(database, clock, make_batch("one", [person, other]), policy))
    with database.begin() as connection:
        merge(connection, person, other, because="same card", actor="test", now=clock.now())

    assert [] == sent(database, clock, make_batch("three", [other]), policy)


def test_nothing_is_watched_where_the_rules_are_about_others(database, clock, make_batch, person):
    """
    A cap on another topic, and the wish of somebody who is not in the batch, cost its windows nothing.
    """
    batch_id = make_batch("spring", [person])
    with database.begin() as connection:
        wish = {"most_messages": 1, "most_within": timedelta(days=30), "source": "page"}
        connection.execute(insert(preference).values(customer_id=make_customer(connection), **wish))
        policy = Policy(pressure=Rules((cap(topic="news"),)))
        held = ledger.claim(connection, batch_id, worker="w", lease=LEASE, policy=policy, now=clock.now())
        people = list(mailings.recipients(connection, held.message_ids, policy=policy, now=clock.now()))
        watched, going = hold_off(connection, held, people, Definition(), clock.now())

    assert (True, None, people) == (held.wishes, watched.watch, going)
