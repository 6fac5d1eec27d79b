"""`clarion status` and `clarion why` of an event: its mails by what they are, and who has nothing to do with it."""

import json

import pytest
from click.testing import CliRunner

from cli import clarion
from core.commands import Desk
from tests.event_files import page
from tests.factories import make_customer

EVENT = """\
title: {en: Paper evening}
starts: 2026-03-20T18:00
lasts: 2h
place: "Mill Lane 1, Papertown"
organiser: offers
mails: {confirmation: told.html, change: told.html, cancelled: told.html, withdrawn: told.html}
"""


@pytest.fixture
def typed(make_workspace, database, clock):
    """Types a command in a workspace that has an event and knows Ann; with `--json`, its document."""
    workspace = make_workspace(
        database=database, files={"events/paper-evening.yaml": EVENT, "templates/told.html": page("Told")}
    )
    with database.begin() as connection:
        make_customer(connection, external_id="C1", email="ann@firm.example")

    def run(*arguments, expect=0):
        desk = Desk(workspace.root, clock)
        done = CliRunner().invoke(clarion, arguments, obj=desk)
        desk.close()
        assert expect == done.exit_code, done.output
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    return run


def test_mails_of_an_event_are_told_apart(typed):
    """
    Status and one person's story call the event by its name, and each mail by what it is.
    """
    typed("apply", "--yes")
    assert "not_registered" == typed("why", "C1", "paper-evening", "--json")["outcome"]
    typed("event", "register", "paper-evening", "C1", "ben@firm.example")
    typed("event", "withdraw", "paper-evening", "C1")
    status, told = typed("status", "paper-evening", "--json"), typed("status", "paper-evening")
    why = typed("why", "C1", "paper-evening", "--json")

    assert {"confirmation": 2, "withdrawn": 1} == {run["step"]: run["audience"] for run in status["runs"]}
    assert ("event:paper-evening", 3) == (status["campaign"], status["audience"])
    assert {"step", "confirmation", "withdrawn"} <= set(told.split())
    facts = [fact["what"] for fact in why["facts"]]
    assert "registered for paper-evening (operator)" in facts
    assert "confirmation of the event paper-evening: ordered" in facts
    assert any("no worker" in fact["what"] and fact["at"] is None for fact in why["facts"])
    assert why["reason"].startswith("notice that they are not expected at the event paper-evening any more: ")
    assert not [fact for fact in facts if "given" in fact or "key" in fact]


def test_what_is_not_in_force_or_unknown_is_told_so(typed):
    """
    With what to do about it.
    """
    assert "clarion apply paper-evening" in typed("why", "C1", "paper-evening", expect=1)
    assert "did you mean 'paper-evening'?" in typed("why", "C1", "paper-evning", expect=1)
