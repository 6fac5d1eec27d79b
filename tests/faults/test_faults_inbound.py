"""`kill -9` between fetching, storing, effect and deleting a mail: nothing is lost, and nothing happens twice."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from core.clock import SystemClock
from core.schema import feedback, inbound_mail, suppression, task
from tests.faults.dying_intake import AFTER, DURING
from tests.inbound_mails import OWN, SETTINGS, letter, status_notification
from tests.integration.test_inbound_handling import sent
from tracking.return_paths import ReturnPaths
from workers.intake import Intake, mailboxes

pytestmark = pytest.mark.faults
DROP = "inbound: {{maildirs: {{drop: {{path: drop}}}}}}\n"
ROOT = Path(__file__).parents[2]


def make_drop(workspace):
    folder = workspace.root / "drop"
    for part in ("new", "cur", "tmp"):
        (folder / part).mkdir(parents=True)
    return folder


@pytest.mark.parametrize("point", [*DURING, *AFTER])
def test_inbound_mail_outlives_a_kill_at_each_point(database, make_workspace, point):
    """
    A bounce and a reply whose process is killed between any two steps have their effects exactly once.

    At least one of record and mailbox has each mail at any time; afterwards the mailbox is empty.
    """
    workspace = make_workspace(database=database, settings=SETTINGS + DROP)
    folder = make_drop(workspace)
    with database.begin() as connection:
        message_id = sent(connection, "gone@customers.example")
    path = ReturnPaths(workspace.secret, OWN).path(message_id)
    bounce = b"Delivered-To: " + path.encode() + b"\r\n" + status_notification("gone@customers.example")
    (folder / "new" / "1").write_bytes(bounce)
    (folder / "new" / "2").write_bytes(letter("gone@customers.example", headers="In-Reply-To: <x@y.example>\n"))
    command = [sys.executable, "-m", "tests.faults.dying_intake", str(workspace.root), point]
    for _ in range(2):
        assert -9 == subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode
        with database.begin() as connection:
            known = set(connection.execute(select(inbound_mail.c.raw)).scalars())
            connection.execute(text("UPDATE inbound_mail SET handled_at = handled_at - interval '1 hour'"))  # the lease
        kept = {file.read_bytes() for file in (folder / "new").iterdir()}
        assert bounce in known | kept
    intake = Intake(workspace, database, SystemClock())
    for _ in range(2):
        for mailbox in mailboxes(workspace, database):
            intake.fetch(mailbox)
        intake.handle()

    with database.begin() as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (inbound_mail, feedback, suppression, task)
        ]
        states = set(connection.execute(select(inbound_mail.c.state)).scalars())
    assert ([2, 2, 1, 1], {"handled"}) == (counts, states)
    assert [] == list((folder / "new").iterdir())
