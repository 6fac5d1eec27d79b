"""What people see of sequences, and order of them, on the command line."""

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner

from cli import clarion
from core.commands import Desk
from tests.factories import make_customer
from tests.sequence_files import ORDERED, Road, sequence

STEPS = """
hello: {send: {template: ordered.html}}
pause: {wait: 3d}
again: {send: {template: reminder.html}}
"""


@pytest.fixture
def way(make_workspace, database, clock):
    """A sequence that is entered by order, and Ann."""
    text = sequence(STEPS, enrol="{by: api, again: always}")
    road = Road(make_workspace, database, clock, text, {"templates/ordered.html": ORDERED})
    with database.begin() as connection:
        make_customer(connection, external_id="ann", email="ann@firm.example", consents=("promotions",))
    return road


@pytest.fixture
def run(way):
    """Runs a command in the workspace at the clock's time; the result must be of the status expected."""

    def call(*words, status=0):
        desk = Desk(way.workspace.root)
        desk.clock = way.clock
        result = CliRunner().invoke(clarion, list(words), obj=desk)
        desk.close()
        assert (status, words) == (result.exit_code, words), result.output
        return result.stdout

    return call


def test_one_enters_by_order_and_why_tells_the_passage(way, run):
    """
    The history says why the passage began, each step with its outcome, and where it waits until when.
    """
    told = run("enrol", "ann", "nurture", "--key", "A-7", "--given", "number=A-7")
    again = run("enrol", "ann", "nurture", "--key", "A-7")
    way.tick()
    why = json.loads(run("why", "ann", "nurture", "--json"))

    assert "ann: entered nurture\n" == told
    assert "passes through it since 2026-03-02" in again
    assert "active" == why["outcome"]
    assert "waits at pause: until 2026-03-05 12:00:00 UTC" == why["reason"]
    facts = [fact["what"] for fact in why["facts"]]
    first = "entered nurture (passage 1 under the key 'A-7'): was named by an operator, given number"
    assert first in facts
    assert any(
        fact.startswith("hello: message ") and fact.endswith("was made, which waits to be sent") for fact in facts
    )


def test_show_and_status_count_heads_per_step(way, run):
    """
    Each step tells who waits there and what it came to; the status sums the messages of all steps and balances.
    """
    run("enrol", "ann", "nurture", "--given", "number=1")
    way.tick()
    shown = json.loads(run("sequence", "show", "nurture", "--json"))
    status = json.loads(run("status", "nurture", "--check", "--json"))

    steps = {step["step"]: (step["action"], step["waiting"], step["outcomes"]) for step in shown["steps"]}
    assert {"hello": ("send", 0, {"sent": 1}), "pause": ("wait", 1, {}), "again": ("send", 0, {})} == steps
    assert (1, 1, {}) == tuple(shown[key] for key in ("entered", "active", "ended"))
    assert ("nurture", 1, 1, True, []) == tuple(
        status[key] for key in ("campaign", "audience", "planned", "balanced", "broken")
    )
    assert "balanced: 1 passage, every step and message accounted for" in run("status", "nurture", "--check")
    assert "nurture" in run("sequence", "list")


def test_pause_stops_everything_and_resume_goes_on(way, run):
    """
    A paused sequence moves nobody and hands over nothing; resumed, it goes on where it was.
    """
    run("enrol", "ann", "nurture", "--given", "number=1")
    way.tick()
    run("pause", "nurture")
    way.clock.step(timedelta(days=4))
    assert 0 == way.tick()
    assert {("paused",)} == {tuple(row) for row in way.rows("SELECT state FROM run")}
    run("resume", "nurture")
    way.tick()

    assert [("hello", "sent"), ("pause", "waited"), ("again", "sent")] == way.done()
    assert {("running",)} == {tuple(row) for row in way.rows("SELECT state FROM run")}


def test_cancel_ends_every_passage(way, run):
    """
    Nobody is on their way any more, and nobody enters.
    """
    run("enrol", "ann", "nurture", "--given", "number=1")
    way.tick()
    run("cancel", "nurture", "--yes")
    way.tick()

    assert [("exited", "cancelled")] == [passage[1::2] for passage in way.passages()]
    assert [("hello", "1", "cancelled")] == way.messages()
    run("enrol", "ann", "nurture", status=1)


def test_an_operator_takes_somebody_out(way, run):
    """
    The passage ends with the reason, once; the audit knows who did it.
    """
    run("enrol", "ann", "nurture", "--given", "number=1")
    way.tick()

    assert "ann: left nurture (1 passage)" in run("sequence", "exit", "ann", "nurture", "--because", "asked by phone")
    assert "nothing was changed" in run("sequence", "exit", "ann", "nurture", "--because", "asked by phone")
    assert [("exited", "operator:asked by phone")] == [passage[1::2] for passage in way.passages()]
    assert [("sequence.exit",)] == [tuple(row) for row in way.rows("SELECT action FROM audit WHERE action LIKE 'seq%'")]


def test_preview_shows_the_step_that_is_named(way, run):
    """
    Without a step it is the first one that sends; another one is named; one that sends nothing is refused.
    """
    assert "Subject: Order 9" in run("preview", "nurture", "--as", "ann", "--given", "number=9")
    assert "Subject: Still there?" in run("preview", "nurture", "--as", "ann", "--step", "again")
    run("preview", "nurture", "--as", "ann", "--step", "pause", status=1)
