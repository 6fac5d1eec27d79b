"""Whatever happens in whatever order, nobody does a step twice and the ledger of a sequence balances."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from campaigns.control import order
from campaigns.sequences import enrol, orders, overview
from core.errors import PlanError
from tests.factories import key_of, make_activity, make_consent, make_customer, make_suppression
from tests.sequence_files import Road, sequence

STEPS = """
hello: {send: {template: spring-paper.html}}
parts: {split: {short: 50%, long: 50%}}
short: {wait: 1d, next: paid}
long: {wait: {until: "09:00", on: [mon, wed, fri]}}
paid: {wait: {for: 'did("paid", since="enrolment")', timeout: 2d, on_timeout: nudge}, next: done}
nudge: {send: {template: reminder.html}}
which: {branch: [{when: 'given.x == 1', go: done}]}
mark: {update: {seen: true}}
done: {task: {title: Call}}
"""
PEOPLE = 6
_person = st.integers(0, PEOPLE - 1)
_events = st.one_of(
    st.tuples(st.just("tick"), st.sampled_from([0, 1, 6, 24, 50])),
    st.tuples(st.just("enrol"), _person, st.sampled_from(["", "a", "b"]), st.sampled_from([0, 1])),
    st.tuples(st.just("did"), _person, st.sampled_from(["ordered", "paid", "left"])),
    st.tuples(st.just("opt_out"), _person),
    st.tuples(st.just("opt_in"), _person),
    st.tuples(st.sampled_from(["pause", "resume"])),
    st.tuples(st.just("exit"), _person),
)


@pytest.fixture
def way(make_workspace, database, clock):
    """A sequence that people enter by an activity or by order, again and again, some of them at one address."""
    leave = '\'did("left", since="enrolment")\''
    text_ = sequence(STEPS, enrol="{event: ordered, again: always, key: number}", exit_when=leave)
    return Road(make_workspace, database, clock, text_)


def happen(way, people, event):
    """One thing happens."""
    kind, *given_ = event
    now = way.clock.now()
    if kind == "tick":
        way.tick(hours=given_[0])
        return
    with way.database.begin() as connection:
        person = people[given_[0]] if given_ else None
        if kind == "enrol":
            enrol.enrol(connection, "nurture", person, key=given_[1], given={"x": given_[2]}, now=now)
        elif kind == "did":
            make_activity(connection, person, given_[1], occurred_at=now, properties={"number": "a"})
        elif kind == "opt_out":
            email = connection.execute(text("SELECT email FROM customer WHERE id = :id"), {"id": person}).scalar_one()
            connection.execute(text("DELETE FROM suppression WHERE address_key = :key"), {"key": key_of(email)})
            make_suppression(connection, email, reason="unsubscribed")
        elif kind == "opt_in":
            connection.execute(text("DELETE FROM suppression"))
        elif kind == "exit":
            known = connection.execute(text("SELECT count(*) FROM enrolment WHERE customer_id = :id"), {"id": person})
            if known.scalar_one():
                orders.exit_customer(connection, "nurture", person, key=None, actor="t", because="asked", now=now)
        else:
            try:
                order(connection, "nurture", kind, actor="t", now=now)
            except PlanError:  # it was not paused, or is
                connection.rollback()


def check(way):
    """The rules that hold at any time."""
    steps = Counter(tuple(row) for row in way.rows("SELECT enrolment_id, step FROM enrolment_step"))
    tasks = Counter(row[0] for row in way.rows("SELECT task_key FROM task"))
    messages = Counter(
        tuple(row) for row in way.rows("SELECT step, occurrence, address_key FROM message WHERE skip_reason IS NULL")
    )
    with way.database.begin() as connection:
        runs = overview.runs_of(connection, "nurture")
        broken = overview.broken(connection, "nurture") + [rule for run in runs for rule in run.broken]

    assert {1} >= {*steps.values(), *tasks.values(), *messages.values()}
    assert [] == broken
    assert [] == way.rows("SELECT name FROM sequence WHERE fault IS NOT NULL")


@pytest.mark.slow
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(events=st.lists(_events, min_size=4, max_size=25))
def test_random_lives_do_each_step_once_and_balance(way, events):
    """
    Ticks, activities, orders to enter, opt-outs, pauses and exits in any order: each step at most once a passage, each
    message at most once an address, and every rule of the ledger holds; in the end everybody is through.
    """
    with way.database.begin() as connection:
        connection.execute(
            text("TRUNCATE customer, enrolment, enrolment_step, message, batch, run, task, suppression CASCADE")
        )
        connection.execute(text("UPDATE sequence SET state = 'active', fault = NULL"))
        people = [make_customer(connection) for _ in range(PEOPLE - 1)]
        twin = connection.execute(text("SELECT email FROM customer WHERE id = :id"), {"id": people[0]}).scalar_one()
        people.append(make_customer(connection, email=twin))
        for person in people[1:]:
            make_consent(connection, person)
    for event in events:
        happen(way, people, event)
    check(way)
    with way.database.begin() as connection:
        if connection.execute(text("SELECT state FROM sequence")).scalar_one() == "paused":
            order(connection, "nurture", "resume", actor="t", now=way.clock.now())
    for _ in range(4):
        way.tick(days=8)
    check(way)

    assert set() == {state for _, state, *_ in way.passages()} - {"completed", "exited"}
