"""What people do is read once, whenever it becomes known: late, ahead of time, beside an import, beside a fault."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from campaigns.duty import Circumstances
from campaigns.sequences import activities
from tests.factories import make_activity, make_customer
from tests.sequence_files import Road, sequence

HELLO = "hello: {send: {template: spring-paper.html}}"
PAID = """
w: {wait: {for: 'did("paid", since="step")', timeout: 7d, on_timeout: nudge}, next: done}
nudge: {send: {template: spring-paper.html}}
done: {exit: paid}
"""


@pytest.fixture
def road(make_workspace, database, clock):
    """Makes a sequence that is in force, with Ann and Ben as customers: the road, and their ids."""

    def make(steps, **more):
        way = Road(make_workspace, database, clock, sequence(steps, **more))
        with database.begin() as connection:
            return way, *(make_customer(connection, consents=("promotions",)) for _ in range(2))

    return make


def did(way, customer_id, name, **values):
    """The customer did something, now unless it says when."""
    with way.database.begin() as connection:
        return make_activity(connection, customer_id, name, **({"occurred_at": way.clock.now()} | values))


@contextmanager
def importing(way, customer_id):
    """An activity is being added by a transaction that lasts."""
    with way.database.engine.connect() as slow, slow.begin():
        make_activity(slow, customer_id, "other", occurred_at=way.clock.now())
        yield slow


# --- when it was done ----------------------------------------------------------------------------------------------


def test_a_passage_begins_when_its_activity_happened(road):
    """
    Who ordered and paid before either was read has paid since the passage and its first step began: nobody is dunned.
    """
    way, ann, _ = road(PAID, enrol="{event: ordered}")
    begun = way.clock.now()
    way.clock.step(timedelta(hours=6))
    did(way, ann, "ordered", occurred_at=begun + timedelta(hours=1))
    did(way, ann, "paid", occurred_at=begun + timedelta(hours=2))
    way.tick()
    way.tick(days=8)

    assert [("w", "came_true"), ("done", "exit")] == way.done()
    (entered, nominal), *_ = way.rows("SELECT entered_at, nominal_at FROM enrolment")
    assert entered == begun + timedelta(hours=1)
    assert nominal >= begun + timedelta(hours=6)


def test_who_bought_before_the_passage_was_read_leaves(road):
    """
    `exit_when` since the enrolment counts from the activity, not from the import that brought it.
    """
    way, ann, _ = road(HELLO, enrol="{event: signed_up}", exit_when='did("bought", since="enrolment")')
    begun = way.clock.now()
    way.clock.step(timedelta(hours=12))
    did(way, ann, "signed_up", occurred_at=begun + timedelta(hours=1))
    did(way, ann, "bought", occurred_at=begun + timedelta(hours=2))
    way.tick()

    assert [(ann, "exited", "hello", "exit_when")] == way.passages()


def test_a_passage_never_begins_in_the_future(road):
    """
    An activity whose clock is ahead begins a passage now.
    """
    way, ann, _ = road(HELLO, enrol="{event: ordered}")
    did(way, ann, "ordered", occurred_at=way.clock.now() + timedelta(hours=1))
    way.tick()

    assert [way.clock.now()] == [row[0] for row in way.rows("SELECT entered_at FROM enrolment")]


def test_again_counts_between_what_was_done(road):
    """
    `again: {after: 2d}` asks how far apart the two orders were, not when they were read.
    """
    way, ann, _ = road(HELLO, enrol="{event: ordered, again: {after: 2d}}")
    did(way, ann, "ordered")
    way.tick()
    begun = way.clock.now()
    way.clock.step(timedelta(days=3))
    did(way, ann, "ordered", occurred_at=begun + timedelta(days=1))
    way.tick()
    assert 1 == len(way.passages())

    did(way, ann, "ordered")
    way.tick()
    assert 2 == len(way.passages())


def test_what_is_ahead_wakes_when_its_time_has_come(road):
    """
    Who waits is looked at the moment the activity counts, not before and not at the timeout.
    """
    way, ann, _ = road(PAID, enrol="{event: ordered}")
    did(way, ann, "ordered")
    way.tick()
    way.clock.step(timedelta(hours=1))
    ahead = way.clock.now() + timedelta(seconds=30)
    did(way, ann, "paid", occurred_at=ahead)
    way.tick()
    assert [ahead] == way.due_at()

    way.tick(seconds=30)
    assert [(ann, "exited", "done", "exit:paid")] == way.passages()


# --- beside an import ----------------------------------------------------------------------------------------------


def test_an_activity_after_the_first_is_not_lost_while_an_import_lasts(road):
    """
    What enrolled already does not stand before what comes after it.
    """
    way, ann, ben = road(HELLO, enrol="{event: ordered, again: always}")
    with importing(way, ben):
        did(way, ann, "ordered")
        way.tick()
        way.clock.step(timedelta(hours=1))
        did(way, ann, "ordered")
        way.tick()
        assert 2 == len(way.passages())
    way.tick()
    assert 2 == len(way.passages())


def test_nobody_is_starved_by_an_import(road, monkeypatch):
    """
    However many numbers an import takes, and however many activities wait beyond the mark, each is come to.
    """
    monkeypatch.setattr(activities, "_AT_ONCE", 3)
    way, ann, ben = road(HELLO, enrol="{event: ordered}")
    with importing(way, ben) as slow:
        slow.exec_driver_sql("SELECT nextval(pg_get_serial_sequence('activity', 'id')) FROM generate_series(1, 50001)")
        for _ in range(7):
            did(way, ben, "other")
        did(way, ann, "ordered")
        for _ in range(3):
            way.tick()
        assert [ann] == [row[0] for row in way.passages()]
        did(way, ben, "ordered")
        for _ in range(4):
            way.tick()
        assert [ann, ben] == [row[0] for row in way.passages()]


def test_a_failure_leaves_no_lock_behind(road, monkeypatch):
    """
    Whatever fails while the reader is alone, others can add activities afterwards.
    """
    way, ann, _ = road(HELLO, enrol="{event: ordered}")
    did(way, ann, "other")

    def fail(connection):
        connection.exec_driver_sql("SELECT 1 / 0")

    with monkeypatch.context() as patched:
        patched.setattr(activities, "_newest", fail)
        with pytest.raises(DBAPIError), way.database.begin() as connection:
            activities.read(connection, Circumstances.of(way.workspace), way.clock.now())
    with way.database.engine.connect() as other, other.begin():
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"
        assert 0 == other.exec_driver_sql(held).scalar()
        other.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
        make_activity(other, ann, "ordered", occurred_at=way.clock.now())
    way.tick()
    assert [ann] == [row[0] for row in way.passages()]


# --- beside a fault ------------------------------------------------------------------------------------------------


def test_a_sequence_that_cannot_be_read_holds_up_no_other(road):
    """
    Its fault is said on it; the other reads on; and once it is mended it makes up for what it missed.
    """
    way, ann, _ = road(PAID, enrol="{event: ordered}")
    (way.workspace.root / "campaigns/zeta.yaml").write_text(sequence(HELLO, enrol="{event: ordered}"))
    way.apply("zeta")
    change = "UPDATE sequence_version SET definition = {} WHERE sequence = 'nurture'"
    spoil = change.format("jsonb_set(definition, '{file,former}', '1')")
    mend = change.format("definition #- '{file,former}'")
    with way.database.begin() as connection:
        connection.exec_driver_sql(spoil)
    did(way, ann, "ordered")
    way.tick()
    faults = "SELECT name, fault FROM sequence ORDER BY name"

    assert [(ann, "completed", "hello", "completed")] == way.passages()
    assert [("nurture", "ValidationError"), ("zeta", None)] == [tuple(row) for row in way.rows(faults)]

    with way.database.begin() as connection:
        connection.exec_driver_sql(mend)
    way.tick()
    assert [(ann, "completed", "hello", "completed"), (ann, "active", "w", None)] == way.passages()
    assert [("nurture", None), ("zeta", None)] == [tuple(row) for row in way.rows(faults)]


def test_a_former_version_that_nobody_passes_through_need_not_be_read(road):
    """
    What was stored by a former release, and is left by all, is in nobody's way.
    """
    way, ann, _ = road(PAID, enrol="{event: ordered}")
    with way.database.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sequence_version (sequence, fingerprint, definition) VALUES ('nurture', 'former', '{}')"
        )
    did(way, ann, "ordered")
    way.tick()

    assert [(ann, "active", "w", None)] == way.passages()
    assert [None] == [row[0] for row in way.rows("SELECT fault FROM sequence")]
