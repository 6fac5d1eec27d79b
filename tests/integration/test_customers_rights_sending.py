"""Erasing while mail is under way: nothing goes to the person any more, the ledger balances, figures stay."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from campaigns import ledger
from campaigns.feedback import take
from campaigns.states import State
from campaigns.status import status_of
from core import schema
from core.people_lock import people_stay
from customers.rights.erase import erase, erase_address
from customers.rights.subject import subject_of_keys
from reports.figures import document
from reports.funnel import campaign_report
from tests.factories import (
    LONG_AGO,
    SECRET,
    key_of,
    make_activity,
    make_attempt,
    make_customer,
    make_hit,
    make_message,
    make_purchase,
    make_run,
    make_suppression,
    make_version,
)
from tests.feedback_events import NOON, make_feedback, make_receiver
from tests.integration.test_campaigns_ledger import (
    ACCEPTED,
    DEFERRED,
    FAILED,
    claim,
    close,
    hand_over,
    planned,
    states,
)
from tests.rights_rows import found_anywhere
from tracking.feedback import FeedbackKind

__all__ = ["planned"]
SOON = LONG_AGO + timedelta(hours=1)


def _erase_at(database, clock, email):
    with database.begin() as connection:
        number = connection.execute(select(schema.customer.c.id).where(schema.customer.c.email == email)).scalar_one()
        return erase(connection, SECRET, number, now=clock.now())


def _balanced(database, run_id):
    with database.begin() as connection:
        return status_of(connection, run_id)


def test_erased_person_is_taken_out_of_a_batch_in_a_workers_hands(database, planned, clock):
    """
    The worker has claimed the batch and may have rendered the mail: it is not handed over; the others are.
    """
    run_id, batch_id, ids = planned
    held = claim(database, batch_id, clock)

    erased = _erase_at(database, clock, "p2@customers.example")
    going = hand_over(database, held, ids, [], clock)
    hand_over(database, held, [], [(message_id, ACCEPTED) for message_id in going], clock)
    close(database, held, clock)

    assert 1 == erased.skipped
    assert [each for each in ids if each != ids[2]] == going
    status = _balanced(database, run_id)
    assert (True, {"erased": 1}, "finished") == (status.balanced, dict(status.skipped), status.state)


@pytest.mark.parametrize("outcome", [ACCEPTED, FAILED, DEFERRED])
def test_message_on_its_way_is_answered_after_its_person_was_erased(database, planned, clock, outcome):
    """
    What was handed over cannot be called back: its answer is recorded; what would be sent again is not.
    """
    run_id, batch_id, ids = planned
    held = claim(database, batch_id, clock)
    hand_over(database, held, ids, [], clock)

    _erase_at(database, clock, "p2@customers.example")
    hand_over(database, held, [], [(message_id, outcome) for message_id in ids], clock)
    close(database, held, clock)

    assert {outcome.state.value} == set(states(database).values())
    assert _balanced(database, run_id).balanced
    if outcome is DEFERRED:
        clock.step(timedelta(hours=1))
        with database.begin() as connection:
            again = connection.execute(select(schema.batch.c.id).where(schema.batch.c.state == "ready")).scalar_one()
        second = claim(database, again, clock)
        assert ids[2] not in second.message_ids
        assert 4 == len(second.message_ids)


def test_erased_person_who_waits_for_a_later_time_is_skipped_at_once(database, planned, clock):
    """
    Nobody has taken the batch yet: the message is skipped now, not when its time comes; its run can finish.
    """
    run_id, batch_id, _ = planned
    for number in range(5):
        _erase_at(database, clock, f"p{number}@customers.example")

    assert {"skipped"} == set(states(database).values())
    close(database, claim(database, batch_id, clock), clock)
    status = _balanced(database, run_id)
    assert (True, {"erased": 5}, "finished") == (status.balanced, dict(status.skipped), status.state)


def test_erasing_skips_as_the_ledger_does(database, clock):
    """
    The same states come out as of the ledger's own way to skip, for every state and doubt a message may be in.
    """
    cases = [(state, doubts) for state in State if state is not State.SKIPPED for doubts in (False, True)]

    def made(connection, prefix):
        run_id = make_run(connection, prefix)
        ids = []
        for number, (state, doubts) in enumerate(cases):
            person = make_customer(connection, email=f"{prefix}{number}@x.example")
            ids.append(make_message(connection, run_id, person, state=state.value, accepted_at=None, attempt_count=1))
            make_attempt(connection, ids[-1], outcome="unknown" if doubts else "deferred")
        return ids

    with database.begin() as connection:
        mine, theirs = made(connection, "a"), made(connection, "b")
        ledger.skip(connection, theirs, "erased", clock.now())
        for number in range(len(cases)):
            erase(connection, SECRET, _customer(connection, f"a{number}@x.example"), now=clock.now())
        found = {row.id: (row.state, row.skip_reason) for row in connection.execute(select(schema.message))}

    assert [found[each] for each in theirs] == [found[each] for each in mine]


def _customer(connection, email):
    return connection.execute(select(schema.customer.c.id).where(schema.customer.c.email == email)).scalar_one()


def test_erasing_waits_for_an_audience_being_frozen(database):
    """
    A freeze or an import that has read its people is waited for, so that it does not fail on a customer who is gone.
    """
    with database.begin() as connection:
        number = make_customer(connection)
        run_id = make_run(connection)
    done = threading.Event()

    def erase_them():
        with database.begin() as connection:
            erase(connection, SECRET, number, now=LONG_AGO)
        done.set()

    with database.begin() as freezing:
        people_stay(freezing)
        eraser = threading.Thread(target=erase_them)
        eraser.start()
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_try_advisory_xact_lock(%' "
            "AND datname = current_database()"
        )
        while not freezing.execute(waiting).scalar_one():
            freezing.execute(text("SELECT pg_stat_clear_snapshot()"))
        assert not done.is_set()
        make_message(freezing, run_id, number, state="planned")
    eraser.join(30)

    with database.begin() as connection:
        row = connection.execute(select(schema.message)).mappings().one()
    assert (None, "skipped", "erased") == (row["customer_id"], row["state"], row["skip_reason"])


@pytest.fixture
def sold(database):
    """A campaign after which one customer bought, returned, clicked and left, and others did less."""
    goal = {"goal_event": "purchase", "goal_within": timedelta(days=7), "fixed_cost": 20, "currency": "EUR"}
    with database.begin() as connection:
        run_id = make_run(connection, version_id=make_version(connection, links=["https://x.example/"], **goal),
                          audience=3, state="finished")  # fmt: skip
        other_run = make_run(connection, "after", version_id=make_version(connection, "after", **goal), audience=1)
        people = [make_customer(connection, email=f"s{n}@x.example", country="DE") for n in range(3)]
        messages = [make_message(connection, run_id, person) for person in people]
        make_message(connection, other_run, people[0], accepted_at=LONG_AGO - timedelta(hours=1))
        for person in people[:2]:
            make_purchase(connection, person, ordered_at=SOON, amount=120, currency="USD", order_id=f"O-{person}")
        make_purchase(
            connection, people[0], ordered_at=SOON + timedelta(days=1), amount=-20, order_id=f"CO-{people[0]}"
        )
        make_activity(connection, people[0], "page_view")
        for message in messages[:2]:
            make_attempt(connection, message, outcome="accepted", code=250, enhanced="2.0.0", reply="ok")
            make_hit(connection, message, "open", ip="192.0.2.1")
            make_hit(connection, message, "click", link=0, user_agent="Firefox")
        make_suppression(connection, "s0@x.example", reason="unsubscribed", source="one_click", created_at=SOON,
                         evidence={"message_id": messages[0]})  # fmt: skip
        failed = make_message(connection, make_run(connection, "bounced"), people[0], state="failed")
        make_attempt(connection, failed, enhanced=None, reply="550 user s0@x.example unknown")
    return people


def _reports(database):
    with database.begin() as connection:
        return {
            name: {**document(replace(campaign_report(connection, name, now=SOON), tiers=(), countries=()))}
            for name in ("spring-paper", "after", "bounced")
        }


def test_figures_of_campaigns_stay_when_people_are_erased(database, sold):
    """
    Whatever is counted of a campaign, people, openings, opt-outs, bounces, orders, revenue and return, stays equal,
    however many of its people are erased one after the other.
    """
    before = _reports(database)
    for person in sold:
        with database.begin() as connection:
            erase(connection, SECRET, person, now=SOON)
        assert before == _reports(database)
    assert (2, 2, 1) == tuple(before["spring-paper"][key] for key in ("converted", "clicked_human", "unsubscribed"))
    with database.begin() as connection:
        assert 0 == connection.execute(select(func.count()).select_from(schema.purchase)).scalar_one()


def test_what_comes_back_about_somebody_erased_harms_nobody(database):
    """
    Whatever is reported about a message whose person was erased is taken, and the next day names nobody.
    """
    with database.begin() as connection:
        version = make_version(connection, definition={"sender": {"email": "offers@paper.example"}})
        run_id = make_run(connection, version_id=version)
        keys, events = [], []
        for number, kind in enumerate(FeedbackKind):
            email = f"Annelore.Quittenbaum{number}@pappel.example"
            person = make_customer(connection, email=email, first_name="Annelore", external_id=f"KD-77120-{number}")
            message = make_message(connection, run_id, person, accepted_at=NOON - timedelta(hours=1))
            erase(connection, SECRET, person, now=NOON)
            keys.append(key_of(email))
            told = {"diagnostic": f"<{email}> and Annelore", "address": email}
            events.append(make_feedback(kind, message_id=message, **told))

        effects = take(connection, events, make_receiver(), NOON)
        erase_address(connection, subject_of_keys(connection, keys), now=NOON)

        assert len(events) == len(effects)
        assert [] == found_anywhere(connection, ("quittenbaum", "annelore", "kd-77120"))
