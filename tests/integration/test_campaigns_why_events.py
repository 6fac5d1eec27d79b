"""`clarion status` and `clarion why` of an event: its mails by what they are, and who has nothing to do with it."""

import json

import pytest
from click.testing import CliRunner

from cli import clarion
from core.commands import Desk
from tests.event_files import FILES
from tests.factories import make_customer

BEN, CLEO = (f"{name}@firm.example" for name in ("ben", "cleo"))


@pytest.fixture
def typed(make_workspace, database, clock):
    """Types a command in a workspace that has an event and knows Ann; with `--json`, its document."""
    workspace = make_workspace(database=database, files=FILES)
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
    typed("event", "register", "paper-evening", "C1", BEN, CLEO)
    typed("event", "withdraw", "paper-evening", "C1")
    status, told = typed("status", "paper-evening", "--json"), typed("status", "paper-evening")
    why = typed("why", "C1", "paper-evening", "--json")

    assert {"confirmation", "waiting", "offer"} <= {run["step"] for run in status["runs"]}
    assert ("event:paper-evening", status["audience"]) == (
        status["campaign"], sum(run["audience"] for run in status["runs"]),
    )  # fmt: skip
    assert {"step", "confirmation", "offer"} <= set(told.split())
    facts = [fact["what"] for fact in why["facts"]]
    assert "registered for paper-evening (operator)" in facts
    assert "confirmation of the event paper-evening: ordered" in facts
    assert any("no worker" in fact["what"] and fact["at"] is None for fact in why["facts"])
    assert why["reason"].startswith("notice that they are not expected at the event paper-evening any more: ")
    assert not [fact for fact in facts if "given" in fact or "key" in fact]


def test_who_did_not_register_is_told_so(typed):
    """
    An event that was applied is known by its name, also to who has nothing to do with it, or before a mail was ordered.
    """
    assert "clarion apply paper-evening" in typed("why", "C1", "paper-evening", expect=1)
    typed("apply", "--yes")

    assert "not_registered" == typed("why", "C1", "paper-evening", "--json")["outcome"]
    assert "did you mean 'paper-evening'?" in typed("why", "C1", "paper-evning", expect=1)
