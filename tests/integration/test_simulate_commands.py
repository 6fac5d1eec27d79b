"""`clarion simulate` as it is typed, and sequences in a rehearsal."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from campaigns.simulation.assumptions import SILENCE, Assumptions
from campaigns.simulation.rehearsal import Wish, rehearse
from cli import clarion
from core.commands import Desk
from tests.campaign_files import FILES
from tests.factories import make_customer
from tests.sequence_files import REMINDER, sequence

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
STEPS = """
hello: {send: {template: spring-paper.html}}
pause: {wait: 3d}
clicked: {wait: {for: 'clicked("nurture")', timeout: 2d, look_every: 10m, on_timeout: call}}
thanks: {send: {template: reminder.html}, next: ready}
call: {task: {title: Call them, due: 1d}}
ready: {exit: done}
"""


@pytest.fixture
def office(make_workspace, database):
    """
    A workspace with a broadcast and a sequence, and eight people, six of whom agreed.
    """
    with database.begin() as connection:
        for number in range(8):
            consents = ("promotions",) if number % 4 else ()
            make_customer(connection, external_id=f"K{number}", consents=consents, company="Firm")
    more = {"campaigns/nurture.yaml": sequence(STEPS), "templates/reminder.html": REMINDER}
    return make_workspace(database=database, files=FILES | more)


def rehearsed(database, workspace, **wishes):
    return rehearse(database, workspace, Wish(START, 8, ("nurture",), **wishes), START)


def test_a_sequence_is_rehearsed_before_it_is_applied(office, database):
    """
    Nobody clicks: all wait in vain, nobody comes to the mail of thanks, and six tasks are due.
    """
    found = rehearsed(database, office, assumptions=SILENCE)
    ends = {(end.what, end.step) for end in found.dead_ends}

    assert {("step_not_reached", "thanks"), ("wait_times_out", "clicked")} == ends
    assert [("hello", 8, 6)] == [(step.step, step.messages, step.accepted) for step in found.steps]
    assert {("task", 8), ("enrolment", 8)} == {(one.what, one.count) for one in found.due}


@pytest.mark.slow
def test_branches_go_both_ways_as_people_answer(office, database):
    """
    Everybody who got the mail clicks: they are thanked, and only those who got none are called.
    """
    found = rehearsed(database, office, assumptions=Assumptions(1, 1, 0, 0, 0, 0))

    assert {"hello": 6, "thanks": 6} == {step.step: step.accepted for step in found.steps}
    assert [("task", 2)] == [(one.what, one.count) for one in found.due if one.what == "task"]
    assert () == found.dead_ends


@pytest.mark.slow
def test_sequences_look_less_often_unless_asked_to(office, database):
    """
    Ten-minute looks for eight days are a thousand instants; every six hours they are few, with the same mails.
    """
    seldom = rehearsed(database, office, assumptions=SILENCE)
    often = rehearsed(database, office, assumptions=SILENCE, looks_apart=timedelta(hours=3))

    assert seldom.instants < often.instants < 150
    assert seldom.days == often.days


@pytest.fixture
def typed(office, clock):
    """
    Types a command at noon on 2 March 2026.
    """
    desk = Desk(office.root, clock)
    yield lambda *words: CliRunner().invoke(clarion, ["simulate", *words], obj=desk)
    desk.close()


def test_command_tells_on_screen_as_json_and_as_a_page(typed, tmp_path):
    """
    The same figures three times; keys are those that others rely on.
    """
    page = tmp_path / "reports" / "rehearsal.html"
    screen = typed("--days", "3", "--assume", "none", "--as", "K1", "--html", str(page))
    told = typed(
        "spring-paper", "--days", "3", "--assume", "none", "--json", "--from", "2026-03-05T09:00 Europe/Berlin"
    )
    document = json.loads(told.stdout)

    assert [0, 0] == [screen.exit_code, told.exit_code], screen.output + told.output
    assert "spring-paper: 6 of 8 accepted" in screen.stdout
    assert "K1 gets" in screen.stdout
    assert {
        "start", "until", "zone", "assumptions", "applied", "refused", "days", "steps", "transports", "exceeded",
        "domains", "pressure", "pressed", "answers", "dead_ends", "due", "rendered", "flaws", "flaw_counts", "watched",
        "moments", "instants", "seconds",
    } == set(document)  # fmt: skip
    assert ("2026-03-05T08:00:00+00:00", ["spring-paper"]) == (document["start"], document["applied"])
    assert [("2026-03-05", 6)] == [(day["day"], day["accepted"]) for day in document["days"]]
    html = page.read_text(encoding="utf-8")
    assert "What K1 gets" in html
    assert "<script" not in html


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--from", "soon"), 2, "--from: got 'soon', expected a time such as '2026-03-02T09:00'"),
        (("--render", "few"), 2, "--render: got 'few', expected a number or 'all'"),
        (("--look", "often"), 2, "--look: "),
        (("--assume", "opens"), 2, "--assume 'opens'"),
        (("spring-papr",), 1, "did you mean 'spring-paper'?"),
        (("--as", "nobody"), 1, "nobody"),
    ],
)  # fmt: skip
def test_command_refuses_what_it_does_not_understand(typed, words, code, told):
    """
    The option and what is expected are named; nothing is rehearsed.
    """
    result = typed("--days", "1", *words)

    assert code == result.exit_code, result.output
    assert told in result.output
