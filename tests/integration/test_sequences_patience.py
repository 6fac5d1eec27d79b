"""Sequences beside others: who comes late, who is locked, what fails, and what people refused."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import text

from campaigns import catalogue as files
from campaigns.control import order
from campaigns.duty import Circumstances
from campaigns.sequences import applying, engine, enrol, former, looking, moves, orders, overview, planning
from core.errors import StalePlan
from tests.factories import make_activity, make_consent, make_customer
from tests.sequence_files import Road, sequence

MAILS = """
hello: {send: {template: spring-paper.html}}
first: {wait: 3d}
two: {send: {template: reminder.html}}
second: {wait: 5d}
three: {send: {template: reminder.html, subject: Three}}
"""


@pytest.fixture
def road(make_workspace, database, clock):
    """Builds a sequence that is in force: `road(text)`."""
    return lambda text: Road(make_workspace, database, clock, text)


def entered(way, **values):
    """A customer who agreed to promotions and was enrolled."""
    with way.database.begin() as connection:
        customer_id = make_customer(connection, consents=("promotions",), **values)
        enrol.enrol(connection, "nurture", customer_id, now=way.clock.now())
    return customer_id


def test_what_a_pause_held_up_does_not_come_all_at_once(road):
    """
    After three weeks' pause the mail that was due comes, and the next one five days after it, not with it (S-8.6).
    """
    way = road(sequence(MAILS, enrol="{by: api}"))
    entered(way)
    way.tick()
    for verb, days in (("pause", 21), ("resume", 0)):
        with way.database.begin() as connection:
            order(connection, "nurture", verb, actor="me", now=way.clock.now())
        way.tick(days=days)

    assert ["hello", "two"] == [step for step, *_ in way.messages()]
    assert [way.clock.now() + timedelta(days=5)] == way.due_at()


def test_an_import_is_not_waited_for(road):
    """
    Whoever an import has in its hands keeps their place at an `update` step for some seconds; the others go on.
    """
    way = road(sequence("note: {update: {nurtured: true}}", enrol="{by: api}"))
    ann, ben = entered(way), entered(way)
    with psycopg.connect(way.database.url) as importing:
        importing.execute("UPDATE customer SET company = 'x' WHERE id = %s", (ann,))
        way.tick()
        held = [(ann, "active", "note", None), (ben, "completed", "note", "completed")]
        assert held == way.passages()
        importing.rollback()
    way.tick(seconds=10)

    assert {"completed"} == {state for _, state, *_ in way.passages()}
    assert [({"nurtured": True},)] * 2 == way.rows("SELECT attributes FROM customer ORDER BY id")


def test_refused_profiling_counts_within_a_sequence(road):
    """
    A branch that asks what people did chooses them by it: whoever refused that gets no mail of the sequence (S-5.12).
    """
    way = road(
        sequence(
            "which: {branch: [{when: 'did(\"bought\")', go: hello}, {go: done}]}\n"
            "hello: {send: {template: spring-paper.html}}\ndone: {exit: finished}",
            enrol="{by: api}",
        )
    )
    ann = entered(way)
    with way.database.begin() as connection:
        refused_at = way.clock.now() - timedelta(days=1)
        make_consent(connection, ann, channel="profiling", topic="", state="withdrawn", captured_at=refused_at)
        make_activity(connection, ann, "bought", occurred_at=way.clock.now())
    way.tick()

    assert [("hello", "1", "no_profiling")] == way.messages()


def test_what_only_lets_people_out_is_no_profiling(road):
    """
    `exit_when` writes to nobody for what they did: who refused profiling gets the mail.
    """
    way = road(sequence(MAILS, enrol="{by: api}", exit_when="'did(\"bought\")'"))
    ann = entered(way)
    with way.database.begin() as connection:
        refused_at = way.clock.now() - timedelta(days=1)
        make_consent(connection, ann, channel="profiling", topic="", state="withdrawn", captured_at=refused_at)
    way.tick()

    assert [("hello", "1", None)] == way.messages()


def test_two_passes_of_a_faulty_sequence_do_not_wait_for_each_other(road, monkeypatch):
    """
    Both would clear its fault: the second pass leaves the sequence to the first.
    """
    way = road(sequence(MAILS, enrol="{by: api}"))
    entered(way), entered(way)
    with way.database.begin() as connection:
        connection.exec_driver_sql("UPDATE sequence SET fault = 'x'")
    claimed, other_is_over = threading.Event(), threading.Event()
    claim = engine.passages.claim

    def slow_claim(*given):
        found = claim(*given)
        claimed.set()
        other_is_over.wait(10)
        return found

    monkeypatch.setattr(engine.passages, "claim", slow_claim)
    around = Circumstances.of(way.workspace)

    def advance():
        with way.database.begin() as connection:
            return engine.advance(connection, around, way.clock.now())

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(advance)
        assert claimed.wait(10)
        second = advance()
        other_is_over.set()
        assert (2, 0) == (first.result(10), second)
    assert [(None,)] == way.rows("SELECT fault FROM sequence")


def test_pieces_are_locked_in_one_order(road, monkeypatch):
    """
    A pass that sends two mailings locks what they say in the order in which a freeze does, before it does anything.
    """
    way = road(
        sequence("b: {send: {template: reminder.html}}\na: {send: {template: spring-paper.html}}", enrol="{by: api}")
    )
    entered(way)
    locked = []
    hold = engine.duplicates.advisory.hold

    def noted(connection, key):
        locked.append(key)
        hold(connection, key)

    monkeypatch.setattr(engine.duplicates.advisory, "hold", noted)
    way.tick()
    pieces = [key for key in locked if str(key).startswith("piece:")]

    assert 2 <= len(pieces)
    assert sorted(pieces[:2]) == pieces[:2]
    assert set(pieces[:2]) == set(pieces)


def test_doubles_in_a_step_are_found(road):
    """
    Two messages of one step and occurrence at one address do not balance, though the database keeps them out.
    """
    way = road(sequence(MAILS, enrol="{by: api}"))
    entered(way), entered(way)
    way.tick()
    with way.database.begin() as connection:
        connection.exec_driver_sql("DROP INDEX uq_message_address")
        connection.exec_driver_sql(
            "UPDATE message SET address_key = (SELECT min(address_key::text)::uuid FROM message)"
        )
        broken = [rule for run in overview.runs_of(connection, "nurture") for rule in run.broken]

    assert ["1 addresses have more than one message of this campaign, step and occurrence"] == broken


def test_one_sequence_that_cannot_be_looked_at_keeps_nobody_out_of_another(road, caplog):
    """
    Its fault is said on it, and logged once, however often it is looked at; people enter the other one.
    """
    way = road(sequence(MAILS))
    (way.workspace.root / "campaigns/zeta.yaml").write_text(sequence(MAILS))
    way.apply("zeta")
    with way.database.begin() as connection:
        ann = make_customer(connection, consents=("promotions",))
        connection.exec_driver_sql(
            "UPDATE sequence_version SET definition = jsonb_set(definition, '{file,former_key}', '1') "
            "WHERE sequence = 'nurture'"
        )
    around = Circumstances.of(way.workspace)
    for _ in range(3):
        with way.database.begin() as connection:
            looking.look(connection, around, way.clock.now())

    assert [("nurture", True), ("zeta", False)] == way.rows(
        "SELECT name, fault IS NOT NULL FROM sequence ORDER BY name"
    )
    assert [("zeta", ann)] == way.rows("SELECT sequence, customer_id FROM enrolment")
    assert 1 == sum("nurture could not go on" in record.message for record in caplog.records)


@pytest.mark.parametrize("way_out", ["exit_when", "operator"])
def test_whoever_leaves_gets_nothing_that_was_held(road, way_out):
    """
    A message that still waits when its customer leaves the sequence is skipped, and `status` says for what.
    """
    way = road(sequence(MAILS, enrol="{by: api}", exit_when='\'did("bought", since="enrolment")\''))
    ann, ben = entered(way), entered(way)
    way.tick()
    with way.database.begin() as connection:
        if way_out == "operator":
            orders.exit_customer(connection, "nurture", ann, key=None, actor="me", because="asked", now=way.clock.now())
        else:
            make_activity(connection, ann, "bought", occurred_at=way.clock.now())
    way.tick(days=3)

    held = [(ann, "hello", "left_sequence"), (ben, "hello", None), (ben, "two", None)]
    assert held == way.rows("SELECT customer_id, step, skip_reason FROM message ORDER BY customer_id, id")
    with way.database.begin() as connection:
        assert [] == [rule for run in overview.runs_of(connection, "nurture") for rule in run.broken]


def test_an_edit_leaves_nobody_behind_in_silence(road, monkeypatch):
    """
    Whose customer comes to live elsewhere while times are reckoned would stay in the old version: nothing is applied.
    """
    way = road(sequence(MAILS, enrol="{by: api}"))
    ann, _ = entered(way, zone="Europe/Berlin"), entered(way, zone="Europe/Berlin")
    way.tick()
    (way.workspace.root / "campaigns/nurture.yaml").write_text(sequence(MAILS.replace("3d", "4d"), enrol="{by: api}"))
    catalogue = files.load(way.workspace)
    with way.database.begin() as connection:
        found = planning.examine(connection, catalogue, "nurture", way.clock.now())
    carry_over = moves.carry_over

    def carry_late(*given):
        with way.database.begin() as other:
            other.execute(text("UPDATE customer SET zone = 'Asia/Tokyo' WHERE id = :id"), {"id": ann})
        return carry_over(*given)

    monkeypatch.setattr(moves, "carry_over", carry_late)
    with way.database.begin() as connection, pytest.raises(StalePlan, match="1 people at first"):
        applying.apply(connection, catalogue, [{"name": "nurture"} | found.plan.reviewed()], way.clock.now(), "me")


def test_runs_of_a_former_version_end_with_its_last_passage(road):
    """
    The run of a mailing that an edit took away ends when everybody came past it and everything was sent; the present
    one goes on.
    """
    way = road(sequence(MAILS, enrol="{by: api}"))
    entered(way)
    way.tick()
    (way.workspace.root / "campaigns/nurture.yaml").write_text(
        sequence(MAILS.replace("spring-paper.html}", "spring-paper.html, subject: New}"), enrol="{by: api}")
    )
    way.apply()
    entered(way)
    way.tick()

    def finish():
        with way.database.begin() as connection:
            former.finish_former(connection, way.clock.now())
        return way.rows("SELECT step, state FROM run ORDER BY id")

    old, new = ("hello", "running"), ("hello", "running")
    assert [old, new] == finish()  # the first is in the former version still
    with way.database.begin() as connection:
        connection.execute(text("UPDATE enrolment SET version_id = (SELECT max(version_id) FROM enrolment)"))
    assert [old, new] == finish()  # their mail is not sent
    with way.database.begin() as connection:
        connection.execute(text("UPDATE batch SET state = 'done'"))
    assert [("hello", "finished"), new] == finish()
