"""What people see of sequences, and order of them, on the command line."""

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner

from campaigns.sequences import enrol
from cli import clarion
from core.commands import Desk
from tests.conftest import MINIMAL_SETTINGS
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
    since, until = "2026-03-02 12:00 UTC", "2026-03-05 12:00 UTC"
    assert f"waits at pause since {since}: for 3d, until {until}" == why["reason"]
    assert (way.clock.now() - timedelta(minutes=1)).isoformat() < why["at"]
    facts = [fact["what"] for fact in why["facts"]]
    assert not [fact for fact in facts if fact.startswith("waits at")], "the present has not happened"
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


def test_a_name_that_is_nearly_right_is_told(way, run_told):
    """
    Whoever enrols, asks or takes out reads which sequence there is.
    """
    for words in (("enrol", "ann", "nurtur"), ("sequence", "show", "nurtur"), ("why", "ann", "nurtur")):
        assert "did you mean 'nurture'?" in run_told(*words)
    assert "did you mean 'nurture'?" in run_told("sequence", "exit", "ann", "nurtur", "--because", "asked")


@pytest.fixture
def run_told(way):
    """Runs a command that is refused; what it says."""

    def call(*words):
        desk = Desk(way.workspace.root)
        result = CliRunner().invoke(clarion, list(words), obj=desk)
        desk.close()
        assert (1, words) == (result.exit_code, words), result.output
        return result.stderr

    return call


def test_people_are_named_for_sequences_of_segments_too(make_workspace, database, clock):
    """
    Whom a segment leaves out enters when somebody names them; once, as `again` says.
    """
    steps = "pause: {wait: 3d}"
    text = sequence(steps, enrol="{segment: everybody, exclude: [nobody-else]}")
    Road(make_workspace, database, clock, text, {"segments/nobody-else.yaml": 'where: external_id == "ann"\n'})
    with database.begin() as connection:
        ann = make_customer(connection, external_id="ann")
        first, again = (enrol.enrol(connection, "nurture", ann, now=clock.now()) for _ in range(2))

    assert (True, False) == (first.is_new, again.is_new)
    assert "passes through it since 2026-03-02 12:00 UTC" == again.because


def test_times_are_shown_by_the_organisations_clock(make_workspace, database, clock):
    """
    On every screen a time has its offset, and it is that of the organisation; in JSON it is UTC.
    """
    settings = MINIMAL_SETTINGS.replace('12345 Papertown"', '12345 Papertown", zone: Europe/Berlin')
    text = sequence(STEPS, enrol="{by: api}")
    way = Road(
        lambda **given: make_workspace(**given, settings=settings), database, clock, text,
        {"templates/ordered.html": ORDERED},
    )  # fmt: skip
    with database.begin() as connection:
        ann = make_customer(connection, external_id="ann", email="ann@firm.example", consents=("promotions",))
        enrol.enrol(connection, "nurture", ann, given={"number": "1"}, now=clock.now())
    way.tick()
    desk = Desk(way.workspace.root, clock)

    def told(*words):
        return CliRunner().invoke(clarion, list(words), obj=desk).stdout

    shown, status, people = (
        told(*words) for words in (("sequence", "show", "nurture"), ("status", "nurture"),
                                   ("status", "nurture", "--who", "planned"))
    )  # fmt: skip
    listed, why = told("sequence", "list"), told("why", "ann", "nurture")
    as_json = told("sequence", "show", "nurture", "--json")
    desk.close()

    now, due = "2026-03-02 13:00 +01:00", "2026-03-05 13:00 +01:00"
    assert [due in shown, due in status, now in listed, now in people, due in why] == [True] * 5
    assert "2026-03-02 13:00:00 +01:00" in why
    assert "UTC" not in shown + status + listed + people + why
    assert "2026-03-05T12:00:00+00:00" in as_json


def test_people_behind_a_count_are_told_with_their_step(way, run):
    """
    Of a sequence all steps are asked, and each row says which; the table of all runs does as well.
    """
    run("enrol", "ann", "nurture", "--given", "number=1")
    way.tick()
    way.tick(days=3)

    people = json.loads(run("status", "nurture", "--who", "planned", "--json"))["people"]
    assert [("ann", "hello"), ("ann", "again")] == [(row["customer"], row["step"]) for row in people]
    runs = json.loads(run("status", "--json"))["runs"]
    assert ["again", "hello"] == sorted(row["step"] for row in runs)
    assert {"again", "hello"} <= set(run("status").split())


def test_doctor_counts_sequences(make_workspace, database, clock, broker):
    """
    Among the files that could be read.
    """
    way = Road(lambda **given: make_workspace(**given, broker=broker), database, clock)
    desk = Desk(way.workspace.root, clock)
    done = CliRunner().invoke(clarion, ["doctor", "--json"], obj=desk)
    desk.close()

    (files,) = [row["detail"] for row in json.loads(done.stdout)["checks"] if row["check"] == "files"]
    assert "1 sequence, 0 events" in files
