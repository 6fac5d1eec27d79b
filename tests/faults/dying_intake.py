"""Looks into the workspace's mailboxes once, and is killed (`kill -9`) at a point that is named.

`python -m tests.faults.dying_intake WORKSPACE POINT`
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from campaigns import inbox
from core.clock import SystemClock
from core.database import open_database
from core.workspace import Workspace
from tracking.inbound import maildir, storage
from workers.intake import Intake, mailboxes

#: The point → the function during which, or after which, the process is killed.
DURING = {"fetched": (storage, "store"), "stored": (storage, "begin"), "followed": (storage, "handled")}
AFTER = {"begun": (inbox, "read"), "handled": (storage, "is_settled"), "forgotten": (maildir.MaildirMailbox, "forget")}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def set_up(point: str) -> None:
    place, name = {**DURING, **AFTER}[point]
    original = getattr(place, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        answer = original(*arguments, **named)
        die()
        return answer

    setattr(place, name, dying if point != "stored" else lambda *_, **__: die())


def main() -> None:
    workspace = Workspace(Path(sys.argv[1]))
    set_up(sys.argv[2])
    intake = Intake(workspace, open_database(workspace), SystemClock())
    for mailbox in mailboxes(workspace, intake.database):
        intake.fetch(mailbox)


if __name__ == "__main__":
    main()
