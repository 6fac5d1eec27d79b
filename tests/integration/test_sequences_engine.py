"""Passages through a sequence: each step once, at its time, with what came of it."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from campaigns.sequences import looking
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_activity, make_customer, make_purchase, make_suppression
from tests.sequence_files import ORDERED, Road, sequence


@pytest.fixture
def road(make_workspace, database, clock):
    """Builds a sequence that is in force: `road(text)`."""
    return lambda *given: Road(make_workspace, database, clock, *given)


def add(road, **values):
    """A customer who agreed to promotions."""
    with road.database.begin() as connection:
        return make_customer(connection, consents=("promotions",), **values)


def test_members_of_a_segment_pass_from_step_to_step(road):
    """
    Whoever is in the segment gets the first mailing at once, and the next after three days; then the passage is over.
    """
    way = road()
    ann = add(way)
    way.tick()

    assert [("hello", "1", None)] == way.messages()
    assert [(ann, "active", "pause", None)] == way.passages()
    assert [datetime(2026, 3, 5, 12, tzinfo=UTC)] == way.due_at()
    way.tick(days=2, hours=23)
    assert 1 == len(way.messages())
    way.tick(hours=1)
    assert [("hello", "1", None), ("again", "1", None)] == way.messages()
    assert [(ann, "completed", "again", "completed")] == way.passages()
    assert [("hello", "sent"), ("pause", "waited"), ("again", "sent")] == way.done(ann)


def test_whoever_buys_leaves(road):
    """
    `exit_when` is asked before the second mailing, and counts from the beginning of the passage alone.
    """
    way = road(sequence("a: {send: {template: spring-paper.html}}\nb: {wait: 3d}\nc: {send: {template: reminder.html}}",
                        exit_when="'did(\"purchase\", since=\"enrolment\")'"))  # fmt: skip
    ann, ben = add(way), add(way)
    with way.database.begin() as connection:
        make_purchase(connection, ben)  # long before
    way.tick()
    with way.database.begin() as connection:
        make_purchase(connection, ann, ordered_at=way.clock.now())
    way.tick(days=3)

    assert [(ann, "exited", "b", "exit_when"), (ben, "completed", "c", "completed")] == way.passages()


def test_a_branch_goes_where_the_first_rule_fits(road):
    """
    Rules are asked one after another; who fits none takes the way without a rule.
    """
    way = road(
        sequence("""
which: {branch: [{when: 'country == "DE"', go: german}, {when: 'given.x == 1', go: german}, {go: other}]}
german: {send: {template: spring-paper.html}, next: done}
other: {update: {seen: true, old: null}}
done: {exit: finished}
""")
    )
    ann, ben = add(way, country="DE"), add(way, attributes={"old": 1, "kept": 2})
    way.tick()

    assert [("which", "went:german"), ("german", "sent"), ("done", "exit")] == way.done(ann)
    assert [("which", "went:other"), ("other", "updated"), ("done", "exit")] == way.done(ben)
    assert {"seen": True, "kept": 2} == way.rows("SELECT attributes FROM customer WHERE id = :id", id=ben)[0][0]
    assert {"exit:finished"} == {because for *_, because in way.passages()}


def test_somebody_who_opted_out_is_skipped_and_goes_on(road):
    """
    The gate keeps the message back with its reason, and the passage goes on to its end.
    """
    way = road()
    ann = add(way, email="ann@firm.example")
    with way.database.begin() as connection:
        make_suppression(connection, "ann@firm.example", reason="unsubscribed")
    way.tick()
    way.tick(days=3)

    reason = "suppressed:unsubscribed"
    assert [("hello", f"skipped:{reason}"), ("pause", "waited"), ("again", f"skipped:{reason}")] == way.done(ann)
    assert {reason} == {skip for *_, skip in way.messages()}


def test_an_activity_enrols_and_another_one_wakes(road):
    """
    The activity's properties are given with the passage; its key tells two passages apart, and each waits for its own.
    """
    way = road(
        sequence(
            """
first: {send: {template: ordered.html}}
paid: {wait: {for: 'did("paid", since="step")', timeout: 7d, on_timeout: nudge}, next: done}
nudge: {send: {template: spring-paper.html}}
done: {exit: finished}
""",
            enrol="{event: ordered, key: number, where: 'given.amount > 10'}",
        ),
        {"templates/ordered.html": ORDERED},
    )
    ann, ben = add(way), add(way)
    with way.database.begin() as connection:
        for number, amount in (("A", 11), ("B", 12), ("C", 9)):
            given = {"number": number, "amount": amount}
            make_activity(connection, ann, "ordered", occurred_at=way.clock.now(), properties=given)
        make_activity(connection, ben, "ordered", properties={"amount": 99})  # before the sequence was in force
    way.tick()
    assert [("first", "A#1", None), ("first", "B#1", None)] == way.messages()
    way.clock.step(timedelta(days=1))
    with way.database.begin() as connection:
        make_activity(connection, ann, "paid", occurred_at=way.clock.now())
    way.tick()
    assert {("exited", "exit:finished")} == {(state, because) for _, state, _, because in way.passages()}
    assert {("first", "sent"): 2, ("paid", "came_true"): 2, ("done", "exit"): 2} == Counter(way.done(ann))
    assert [] == way.done(ben)


def test_nobody_who_waits_is_left_waiting(road):
    """
    What does not come true until the time is up leads elsewhere, at that very time.
    """
    way = road(
        sequence("""
paid: {wait: {for: 'did("paid", since="step")', timeout: 7d, on_timeout: nudge}, next: done}
nudge: {send: {template: spring-paper.html}}
done: {exit: finished}
""")
    )
    ann = add(way, zone="Europe/Berlin")
    way.tick()
    assert [datetime(2026, 3, 9, 12, tzinfo=UTC)] == way.due_at()
    way.tick(days=7)

    assert [("paid", "timed_out"), ("nudge", "sent"), ("done", "exit")] == way.done(ann)


def test_twins_and_capped_people_are_skipped_with_the_reason(make_workspace, database, clock):
    """
    Of two customers at one address one is written to; whom a cap holds is skipped, and both go on.
    """
    caps = MINIMAL_SETTINGS + "pressure: {{caps: {{weekly: {{most: 1, within: 7d}}}}}}\n"
    way = Road(lambda **given: make_workspace(**given, settings=caps), database, clock)
    ann = add(way, email="ann@firm.example")
    twin = add(way, email="ann@firm.example")
    way.tick()
    with way.database.begin() as connection:  # the first one went out
        accepted = "UPDATE message SET state = 'accepted', accepted_at = :now WHERE skip_reason IS NULL"
        connection.execute(text(accepted), {"now": way.clock.now()})
    way.tick(days=3)

    capped, doubled = "skipped:frequency_cap", "skipped:duplicate_address"
    assert [("hello", "sent"), ("pause", "waited"), ("again", capped)] == way.done(ann)
    assert [("hello", doubled), ("pause", "waited"), ("again", capped)] == way.done(twin)
    assert {"completed"} == {state for _, state, *_ in way.passages()}


def test_more_people_than_allowed_pause_the_sequence(road):
    """
    When a segment selects more than `max_audience` nobody enters until somebody has looked.
    """
    way = road(sequence("hello: {send: {template: spring-paper.html}}", limits="{max_audience: 1}"))
    for _ in range(2):
        add(way)
    way.tick()

    assert [] == way.passages()
    fault = "2 people would enter today (limits.max_audience: 1)"
    assert [("paused", fault)] == [tuple(row) for row in way.rows("SELECT state, fault FROM sequence")]


def test_too_many_for_one_go_are_too_many(road, monkeypatch):
    """
    People who enter in several goes are counted before the first of them enters.
    """
    monkeypatch.setattr(looking, "_AT_ONCE", 2)
    way = road(sequence("hello: {send: {template: spring-paper.html}}", limits="{max_audience: 3}"))
    for _ in range(5):
        add(way)
    way.tick()

    assert [] == way.passages()
    fault = "5 people would enter today (limits.max_audience: 3)"
    assert [("paused", fault)] == [tuple(row) for row in way.rows("SELECT state, fault FROM sequence")]


def test_one_sequence_at_fault_does_not_hold_up_another(road):
    """
    What keeps one sequence from going on is said on it, and the others go on.
    """
    way = road()
    ann = add(way)
    way.tick()
    with way.database.begin() as connection:
        connection.execute(text("INSERT INTO sequence SELECT 'other', version_id, 'active', NULL, since FROM sequence"))
        connection.execute(text("UPDATE enrolment SET sequence = 'other', step = 'nowhere', due_at = :now"),
                           {"now": way.clock.now()})  # fmt: skip
    way.tick()

    assert [("other", "nurture: people wait at nowhere, which is no step of theirs"), ("nurture", None)] == [
        tuple(row) for row in way.rows("SELECT name, fault FROM sequence ORDER BY name DESC")
    ]
    assert {("nurture", ann)} < {tuple(row) for row in way.rows("SELECT sequence, customer_id FROM enrolment")}
    assert [("hello", "sent"), ("hello", "skipped:already_messaged")] == way.done(ann)
