"""`clarion inbound`, from the keyboard to the tables."""

import json
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from cli import clarion
from core.clock import SteppedClock
from core.commands import Desk
from core.database import Database
from core.schema import inbound_mail
from core.workspace import Workspace
from tests.inbound_mails import SETTINGS, letter, spam_report, status_notification
from workers.intake import mailboxes

Run = Callable[..., Result]
CONTRACT = ("file", "recipient", "class", "status")


@pytest.fixture
def workspace(make_workspace: Callable[..., Workspace], database: Database) -> Workspace:
    drop = "inbound: {{maildirs: {{drop: {{path: drop}}}}}}\n"
    made = make_workspace(database=database, settings=SETTINGS + drop)
    for part in ("new", "cur", "tmp"):
        (made.root / "drop" / part).mkdir(parents=True)
    return made


@pytest.fixture
def run(workspace: Workspace, database: Database, clock: SteppedClock) -> Run:
    desk = Desk(clock=clock)
    desk.workspace = workspace
    desk.database = database
    return lambda *arguments: CliRunner().invoke(clarion, ["inbound", *map(str, arguments)], obj=desk)


def rows(result: Result, key: str | None = None) -> list[dict[str, Any]]:
    assert 0 == result.exit_code, result.output
    document = json.loads(result.stdout)
    return document[key] if key else document


def test_classify_prints_a_row_for_each_recipient(tmp_path: Path):
    """
    Files and folders of files are read without a workspace, in the keys that outside checks rely on.
    """
    folder = tmp_path / "returned"
    folder.mkdir()
    two = status_notification("a@customers.example", "b@customers.example", status="5.2.2", diagnostic="full")
    (tmp_path / "bounce.eml").write_bytes(two)
    (folder / "1").write_bytes(spam_report(rcpt="c@customers.example"))
    (folder / "2").write_bytes(letter("d@customers.example", headers="Auto-Submitted: auto-replied\n"))
    arguments = ["inbound", "classify", str(tmp_path / "bounce.eml"), str(folder), "--json"]
    found = rows(CliRunner().invoke(clarion, arguments, obj=Desk(tmp_path)))

    assert [
        (str(tmp_path / "bounce.eml"), "a@customers.example", "mailbox_full", "5.2.2"),
        (str(tmp_path / "bounce.eml"), "b@customers.example", "mailbox_full", "5.2.2"),
        (str(folder / "1"), "c@customers.example", "complaint", None),
        (str(folder / "2"), "d@customers.example", "auto_reply", None),
    ] == [tuple(row[key] for key in CONTRACT) for row in found]


def test_inbound_run_once_fetches_and_shows_what_followed(run, workspace):
    """
    A look into every mailbox handles what is there; list and show tell what came, and what was kept aside and why.
    """
    (workspace.root / "drop/new/1").write_bytes(letter("e@customers.example"))
    (workspace.root / "drop/new/2").write_bytes(b"\x00\x01")
    once = run("run", "--once")
    listed = rows(run("list", "--json"), "mails")
    aside = rows(run("list", "--aside", "--json"), "mails")
    shown = json.loads(run("show", listed[1]["mail"], "--json").stdout)
    again = run("show", aside[0]["mail"], "--again", "--json")

    assert "2 mails fetched\n" == once.stdout
    assert [("kept_aside", None), ("handled", "reply")] == [(row["state"], row["class"]) for row in listed]
    assert ["no header"] == [row["problem"] for row in aside]
    assert [("reply", None)] == [(event["kind"], event["matched_by"]) for event in shown["events"]]
    assert b"\x00\x01" == run("show", aside[0]["mail"], "--raw").stdout_bytes
    assert "received" == json.loads(again.stdout)["state"]


def test_inbound_mail_is_shown_with_who_wrote_and_how_it_begins(run, workspace, database):
    """
    On screen stand what was made of the mail, who wrote about what, and the beginning of the text; nothing in it
    steers the terminal. Of one whose content was kept long enough it is said that it is gone.
    """
    text = "Please call\x1b[31m me.\n" + "very " * 300 + "soon"
    (workspace.root / "drop/new/3").write_bytes(letter("f@customers.example", subject="Our order", text=text))
    run("run", "--once")
    number = rows(run("list", "--json"), "mails")[0]["mail"]
    shown = run("show", number)
    with database.begin() as connection:
        connection.execute(update(inbound_mail).where(inbound_mail.c.id == number).values(raw=None))
    later = run("show", number)

    assert (0, 0) == (shown.exit_code, later.exit_code)
    assert "\nFrom: Somebody <f@customers.example>\nSubject: Our order\n\nPlease call[31m me.\nvery " in shown.stdout
    assert "reply" in shown.stdout
    assert ("soon" in shown.stdout, "\x1b" in shown.stdout) == (False, False)
    assert "the mail itself is not kept any more" in later.stdout
    assert "Please call" not in later.stdout


def test_inbound_mail_that_is_not_there_is_said(run):
    """
    An unknown number is one line and a hint.
    """
    result = run("show", 999_999)

    assert (1, True) == (result.exit_code, "there is no inbound mail 999999" in result.stderr)


class _Scripted(socketserver.StreamRequestHandler):
    """Speaks as much IMAP as a log-in by token takes, and remembers what it was told."""

    def handle(self) -> None:
        self.wfile.write(b"* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2] ready\r\n")
        for line in iter(self.rfile.readline, b""):
            tag, _, command = line.rstrip().partition(b" ")
            if command.upper().startswith(b"CAPABILITY"):
                self.wfile.write(b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\n" + tag + b" OK done\r\n")
            elif command.upper().startswith(b"AUTHENTICATE XOAUTH2"):
                self.wfile.write(b"+ \r\n")
                self.server.told = self.rfile.readline().strip()
                self.wfile.write(tag + b" OK done\r\n")
            elif command.upper().startswith(b"SELECT"):
                self.wfile.write(b"* 0 EXISTS\r\n" + tag + b" OK [READ-WRITE] done\r\n")
            else:
                self.wfile.write(b"* BYE\r\n" + tag + b" OK done\r\n")
                return


def test_imap_mailbox_is_opened_by_a_token(make_workspace, database):
    """
    With `auth: {xoauth2: …}` the token of the hour is fetched at each log-in and sent as XOAUTH2 wants it.
    """
    with socketserver.TCPServer(("127.0.0.1", 0), _Scripted) as server:
        server.told = b""
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        auth = "{{xoauth2: {{user: b@paper.example, token_file: token}}}}"
        url = f"imap://127.0.0.1:{server.server_address[1]}/INBOX"
        section = f"inbound: {{{{mailboxes: {{{{m: {{{{url: '{url}', auth: {auth}}}}}}}}}}}}}\n"
        workspace = make_workspace(database=database, settings=SETTINGS + section, files={"token": "t-1\n"})
        with mailboxes(workspace, database)[0].opened():
            pass
        server.shutdown()
        thread.join()

    assert b"dXNlcj1iQHBhcGVyLmV4YW1wbGUBYXV0aD1CZWFyZXIgdC0xAQE=" == server.told
