"""`clarion event` and what the other commands say of events, typed by hand."""

import csv
import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from cli import clarion
from core import schema
from core.commands import Desk
from core.workspace import Workspace
from tests.event_files import EVENT, FILES
from tests.factories import make_customer, make_suppression

ANN, BEN, CLEO = (f"{name}@firm.example" for name in ("ann", "ben", "cleo"))


@pytest.fixture
def typed(make_workspace, database, clock):
    """Types a command in a workspace whose event is applied; with `--json`, its document."""
    workspace = make_workspace(database=database, files=FILES | {"segments/all.yaml": 'where: external_id != ""\n'})
    with database.begin() as connection:
        make_customer(connection, external_id="C1", email=ANN, first_name="Ann")

    def run(*arguments, expect=0):
        desk = Desk(workspace.root, clock)
        done = CliRunner().invoke(clarion, arguments, obj=desk)
        desk.close()
        assert expect == done.exit_code, done.output
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    run.root = workspace.root
    return run


def test_event_is_planned_and_applied_like_a_campaign(typed):
    """
    The plan says what it does, pending until it is applied, and nothing afterwards.
    """
    told = typed("plan", expect=2)
    assert "takes place Friday, 20 March 2026, 18:00–20:30 (Europe/Berlin, UTC+01:00)" in told
    assert "registration opens" in told
    assert [{"campaign": "paper-evening", "done": "open", "mails": 0}] == typed("apply", "--yes", "--json")["changed"]
    assert "nothing to do" in typed("plan", "paper-evening")
    path = typed.root / "events" / "paper-evening.yaml"
    path.write_text(EVENT.replace("T18:00", "T19:00"), encoding="utf-8")
    moved = typed("plan", "paper-evening", "--json", expect=2)
    assert [{"campaign": "paper-evening", "change": "event:when", "mails": 0}] == moved["changes"]
    for file in (path, *typed.root.glob("templates/event-*")):
        file.unlink()
    assert "its file is gone" in typed("plan")


def test_staff_registers_and_sees_who_comes(typed, clock):
    """
    Known people by their id, others by their address; a dry run keeps nothing; the audit says who did it. Checking in
    on another day is done, and remarked.
    """
    typed("apply", "--yes")
    dry = typed("event", "register", "paper-evening", "C1", "--dry-run", "--json")
    assert [] == typed("event", "show", "paper-evening", "--json")["registrations"]
    done = typed("event", "register", "paper-evening", "C1", BEN, CLEO, "--json")["registrations"]
    again = typed("event", "register", "paper-evening", "C1", "--json")["registrations"]

    assert ["confirmed"] == [row["state"] for row in dry["registrations"]]
    assert ["confirmed", "confirmed", "waiting"] == [row["state"] for row in done]
    assert [False] == [row["is_new"] for row in again]
    typed("event", "withdraw", "paper-evening", BEN)
    typed("event", "accept", "paper-evening", CLEO)
    early = typed("event", "check-in", "paper-evening", "C1")
    assert "paper-evening begins on Friday, 20 March 2026, 18:00 (Europe/Berlin, UTC+01:00)" in early
    shown = typed("event", "show", "paper-evening", "--json")
    assert (2, 0, 0, 1) == tuple(shown[name] for name in ("confirmed", "offered", "waiting", "checked_in"))
    assert ["confirmed", "confirmed", "cancelled"] == [row["state"] for row in shown["registrations"]]
    (row,) = typed("event", "list", "--json")["events"]
    assert ("paper-evening", 2, 2) == (row["event"], row["capacity"], row["confirmed"])
    assert "Paper evening" in typed("event", "show", "paper-evening")
    assert {"event.withdraw", "event.accept", "event.check-in"} <= {
        entry["action"] for entry in typed("audit", "list", "--json")["entries"]
    }
    clock.instant = datetime(2026, 3, 20, 8, tzinfo=UTC)
    assert "begins on" not in typed("event", "check-in", "paper-evening", CLEO)


def test_list_from_a_file_is_registered_once(typed):
    """
    What cannot be taken is told by line; the rest is registered, and nothing changes the second time.
    """
    typed("apply", "--yes")
    file = typed.root / "guests.csv"
    file.write_text(f"email,first_name,diet\n{ANN},Anna,vegetarian\nnobody,X,\n{BEN},Ben,soup\n{CLEO},Cleo,\n")
    dry = typed("event", "import", "paper-evening", str(file), "--dry-run", "--json")
    first, again = (typed("event", "import", "paper-evening", str(file), "--json") for _ in range(2))

    counts = ("confirmed", "waiting", "known", "refused")
    assert [(2, 0, 0, 2), (2, 0, 0, 2), (0, 0, 2, 2)] == [
        tuple(told[name] for name in counts) for told in (dry, first, again)
    ]
    assert [3, 4] == [one["line"] for one in first["rejected"]]
    assert "expected everything, vegetarian" in first["rejected"][1]["why"]


def test_columns_of_a_list_that_are_no_fields_are_named(typed):
    """
    With what may be meant, in a dry run as well; the rows are registered without them.
    """
    typed("apply", "--yes")
    file = typed.root / "guests.csv"
    file.write_text(f"email,first_nam,badge,diet\n{ANN},Anna,7,vegetarian\n")
    dry, done = (typed("event", "import", "paper-evening", str(file), *more) for more in (["--dry-run"], []))
    file.write_text(f"email,language,first_name,diet\n{ANN},en,Anna,vegetarian\n")

    for told in (dry, done):
        assert "left out, because the event has no such field: first_nam (did you mean 'first_name'?), badge" in told
    assert ["confirmed"] == [row["state"] for row in typed("event", "show", "paper-evening", "--json")["registrations"]]
    assert "left out" not in typed("event", "import", "paper-evening", str(file))


def test_cancelled_event_is_told_to_everybody(typed, database):
    """
    At once and for good.
    """
    typed("apply", "--yes")
    typed("event", "register", "paper-evening", "C1")
    assert {"event": "paper-evening", "is_new": True, "mails": 1} == typed(
        "event", "cancel", "paper-evening", "--yes", "--json"
    )
    assert not typed("event", "cancel", "paper-evening", "--yes", "--json")["is_new"]
    typed("event", "register", "paper-evening", BEN, expect=1)
    with database.begin() as connection:
        assert "cancelled" == connection.execute(select(schema.event.c.state)).scalar()


def test_event_is_cancelled_by_its_own_command(typed):
    """
    `clarion cancel` is for campaigns: it would leave people with seats of which they hear nothing.
    """
    typed("apply", "--yes")
    typed("event", "register", "paper-evening", "C1")

    told = typed("cancel", "event:paper-evening", "--yes", expect=1)

    assert "clarion event cancel paper-evening" in told
    assert "running" in typed("status", "event:paper-evening")


def test_show_tells_who_heard_nothing(typed, database):
    """
    Each registration has its last mail, with what became of it or why it was not sent; as a table, too.
    """
    typed("apply", "--yes")
    with database.begin() as connection:
        make_suppression(connection, BEN, reason="hard_bounce")
    typed("event", "register", "paper-evening", "C1", BEN, CLEO)

    file = typed.root / "guests.csv"
    rows = typed("event", "show", "paper-evening", "--json", "--csv", str(file))["registrations"]
    with file.open(encoding="utf-8-sig", newline="") as stream:
        table = list(csv.DictReader(stream))

    expected = [
        (ANN, "confirmation", "planned"),
        (BEN, "confirmation", "suppressed:hard_bounce"),
        (CLEO, "waiting", "planned"),
    ]
    for told in (rows, table):
        assert expected == [(row["email"], row["last_mail"], row["mail_state"]) for row in told]


def test_other_commands_know_the_mails_of_events(typed):
    """
    The ledger and one person's story name the event and the mail.
    """
    typed("apply", "--yes")
    typed("event", "register", "paper-evening", "C1")

    assert "event:paper-evening" in typed("status")
    assert "confirmation" in json.dumps(typed("event", "show", "paper-evening", "--json")["mails"])
    assert "event:paper-evening" in typed("why", "C1", "event:paper-evening")
    typed("status", "--check")


def test_mistakes_at_the_keyboard_are_told(typed):
    """
    With what to do about them.
    """
    typed("apply", "--yes")
    register = ("event", "register", "paper-evening")

    assert "did you mean" in typed("event", "show", "paper-evning", expect=1)
    assert "did not register" in typed("event", "withdraw", "paper-evening", "C1", expect=1)
    assert "no customer 'C9'" in typed(*register, "C9", expect=1)
    assert "expected everything, vegetarian" in typed(*register, "C1", "--answer", "diet=soup", expect=2)
    told = typed(*register, "C1", "--answer", "food=soup", expect=2)
    assert "food: the event has no such field; known: company, diet, first_name, last_name" in told


def test_door_is_a_signed_link(typed):
    """
    It ends some days after the event.
    """
    typed("apply", "--yes")

    assert "/door/paper-evening/" in typed("event", "door", "paper-evening")


def test_workspace_is_made_fit_for_editors(typed, tmp_path):
    """
    The JSON Schema of event files stands beside those of campaigns.
    """
    typed("schema", "--out", str(tmp_path / "schemas"))

    made = json.loads((tmp_path / "schemas" / "event.json").read_text(encoding="utf-8"))
    assert {"title", "starts", "mails", "organiser"} == set(made["required"])
    assert Workspace(typed.root).settings
