"""Who waits for a rule is asked together with everybody at the step, and written only to go on."""

from datetime import timedelta

import psycopg
import pytest

from campaigns import catalogue as files
from campaigns import whole_plan
from campaigns.control import order
from campaigns.sequences import history, records
from tests.factories import make_customer, make_purchase
from tests.sequence_files import Road, sequence

WAITING = """
hello: {send: {template: spring-paper.html}}
bought: {wait: {for: 'did("purchase", since="step")', timeout: 7d, on_timeout: nudge}, next: done}
nudge: {send: {template: reminder.html}}
done: {exit: bought}
"""
LEAVING = 'country == "CH"'
_AT_STEP = "SELECT customer_id FROM enrolment WHERE state = 'active' AND step = :step ORDER BY id"
_VERSIONS = "SELECT customer_id, xmin::text FROM enrolment WHERE state = 'active' ORDER BY id"
_LOOKS = "SELECT step, look_at FROM sequence_look ORDER BY step"


@pytest.fixture
def road(make_workspace, database, clock):
    """
    A sequence that is in force, of which three people wait for their order: the road, and their ids.
    """
    way = Road(make_workspace, database, clock, sequence(WAITING, exit_when=f"'{LEAVING}'"))
    with database.begin() as connection:
        people = [make_customer(connection, consents=("promotions",)) for _ in range(3)]
    way.tick()
    return way, *people


def buys(way, customer_id):
    """The customer orders now."""
    with way.database.begin() as connection:
        make_purchase(connection, customer_id, ordered_at=way.clock.now())


def test_a_look_writes_those_alone_who_go_on(road):
    """
    Of three who wait one has ordered, and one is to leave: the row of the third is the same after six looks, and the
    first two go on at the next look, ten minutes after the last.
    """
    way, ann, ben, cleo = road
    before = dict(way.rows(_VERSIONS))
    for _ in range(5):
        way.tick(minutes=10)
    assert before == dict(way.rows(_VERSIONS))
    buys(way, ann)
    with way.database.begin() as connection:
        connection.exec_driver_sql("UPDATE customer SET country = 'CH' WHERE id = %s", (ben,))
    way.tick(minutes=9)
    assert before == dict(way.rows(_VERSIONS))
    way.tick(minutes=1)

    assert [("hello", "sent"), ("bought", "came_true"), ("done", "exit")] == way.done(ann)
    assert [(ann, "exit:bought"), (ben, "exit_when"), (cleo, None)] == [(row[0], row[3]) for row in way.passages()]
    assert {cleo: before[cleo]} == dict(way.rows(_VERSIONS))


def test_who_waits_in_vain_goes_on_when_the_time_is_up(road):
    """
    At that very instant, seven days after they came, and later nobody is asked any more.
    """
    way, *people = road
    assert [way.clock.now() + timedelta(days=7)] * 3 == way.due_at()
    way.tick(days=7, seconds=-1)
    assert [(each,) for each in people] == way.rows(_AT_STEP, step="bought")
    way.tick(seconds=1)
    way.tick(minutes=10)

    assert {"timed_out"} == {outcome for step, outcome in way.done() if step == "bought"}
    assert [] == way.rows(_LOOKS)


def test_who_comes_later_is_asked_no_later_than_the_others(road):
    """
    Who comes nine minutes after the others is asked with them, and `why` says when that is.
    """
    way, ann, *_ = road
    began = way.clock.now()
    with way.database.begin() as connection:
        late = make_customer(connection, consents=("promotions",))
    way.tick(minutes=10)  # the segment is looked at
    buys(way, late)
    assert [("bought", began + timedelta(minutes=20))] == way.rows(_LOOKS)
    with way.database.begin() as connection:
        person = {"id": ann}
        told = history.passages_of(connection, person, records.named(connection, "nurture"), "UTC", way.clock.now())
    assert told.reason.endswith("at the latest 2026-03-09 12:00 UTC; it is looked at next at 2026-03-02 12:20 UTC")
    way.tick(minutes=10)

    assert ("bought", "came_true") in way.done(late)


def test_who_is_locked_is_asked_again_as_soon_as_they_are_free(road):
    """
    A look waits for nobody: whom another transaction holds goes on with the next tick, not with the next look.
    """
    way, ann, ben, _ = road
    buys(way, ann), buys(way, ben)
    with psycopg.connect(way.database.url) as other:
        other.execute("SELECT FROM enrolment WHERE customer_id = %s FOR UPDATE", (ann,))
        way.tick(minutes=10)
        assert ("bought", "came_true") in way.done(ben)
        assert ("bought", "came_true") not in way.done(ann)
        other.rollback()
    way.tick(seconds=1)

    assert ("bought", "came_true") in way.done(ann)
    assert [("bought", way.clock.now() + timedelta(minutes=10))] == way.rows(_LOOKS)


def test_a_pause_holds_looks_up(road):
    """
    Nobody goes on in a paused sequence; what came true meanwhile is found as soon as it goes on again.
    """
    way, ann, *_ = road
    buys(way, ann)
    for verb in ("pause", "resume"):
        with way.database.begin() as connection:
            order(connection, "nurture", verb, actor="me", now=way.clock.now())
        way.tick(minutes=30)
        assert (verb == "resume") is (("bought", "came_true") in way.done(ann))


def test_an_edit_asks_on_under_the_name_the_step_has_then(road):
    """
    Those taken over to a step of another name are asked there, and those who finish in the former version as before.
    """
    way, ann, ben, _ = road
    text = sequence(WAITING.replace("bought: {wait", "ordered: {renamed_from: bought, wait"))
    (way.workspace.root / "campaigns/nurture.yaml").write_text(text)
    catalogue = files.load(way.workspace)
    with way.database.begin() as connection:
        plan = whole_plan.make(connection, catalogue, ["nurture"], way.clock.now())
        whole_plan.apply_document(connection, catalogue, whole_plan.to_file(plan), way.clock.now())
        former = "UPDATE enrolment SET step = 'bought', version_id = (SELECT min(id) FROM sequence_version) "
        connection.exec_driver_sql(f"{former} WHERE customer_id = %s", (ben,))
    assert ["bought", "ordered"] == [step for step, _ in way.rows(_LOOKS)]
    buys(way, ann), buys(way, ben)
    way.tick(minutes=10)

    assert ("ordered", "came_true") in way.done(ann)
    assert ("bought", "came_true") in way.done(ben)
