"""Who and what does not go on: people whom an edit lets out, and sequences that were cancelled."""

from campaigns import catalogue as files
from campaigns.control import order
from campaigns.sequences import applying, enrol, overview, planning, records
from tests.factories import make_customer
from tests.sequence_files import Road, sequence

STEPS = """
hello: {send: {template: spring-paper.html}}
pause: {wait: 3d}
again: {send: {template: reminder.html}}
"""
WITHOUT_PAUSE = """
hello: {send: {template: spring-paper.html}}
again: {send: {template: reminder.html}}
"""


def test_whom_an_edit_lets_out_gets_nothing_that_was_held(make_workspace, database, clock):
    """
    A message that still waits when an edit lets its customer out is skipped; everything balances.
    """
    way = Road(make_workspace, database, clock, sequence(STEPS, enrol="{by: api}"))
    with database.begin() as connection:
        ann = make_customer(connection, consents=("promotions",))
        enrol.enrol(connection, "nurture", ann, now=clock.now())
    way.tick()
    edited = sequence(WITHOUT_PAUSE, enrol="{by: api}", when_removed="{pause: exit}")
    (way.workspace.root / "campaigns/nurture.yaml").write_text(edited)
    catalogue = files.load(way.workspace)
    with database.begin() as connection:
        plan = planning.plan(connection, catalogue, "nurture", clock.now())
        applying.apply(connection, catalogue, [{"name": "nurture"} | plan.reviewed()], clock.now(), "me")

    assert [(ann, "exited", "pause", "step removed")] == way.passages()
    assert [("hello", "1", "left_sequence")] == way.messages()
    with database.begin() as connection:
        assert [] == overview.all_broken(connection)
        assert [] == [rule for run in overview.runs_of(connection, "nurture") for rule in run.broken]


def test_a_stop_does_not_overrule_a_cancel(make_workspace, database, clock):
    """
    A sequence that too many would enter is paused while it is active; one that was cancelled meanwhile stays so.
    """
    way = Road(make_workspace, database, clock, sequence(STEPS, enrol="{by: api}"))
    with database.begin() as connection:
        records.stop(connection, "nurture", "too many")
        assert [("paused", "too many")] == [(str(each.state), each.fault) for each in records.known(connection)]
        order(connection, "nurture", "cancel", actor="me", now=clock.now())
        records.stop(connection, "nurture", "too many again")

    assert [("cancelled", None)] == way.rows("SELECT state, fault FROM sequence")
