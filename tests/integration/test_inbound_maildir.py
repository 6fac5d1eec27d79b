"""A Maildir: what is in it is handled and then gone, and what is hostile in it is kept and holds up nothing."""

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from core.clock import SteppedClock
from core.database import Database
from core.errors import ServiceError
from core.schema import inbound_mail, task
from core.workspace import Workspace
from tests.hostile_mails import HOSTILE
from tests.inbound_mails import OWN, SETTINGS, letter, status_notification
from tests.integration.test_inbound_handling import reasons, sent
from tracking.inbound.storage import HEAD
from tracking.return_paths import ReturnPaths
from workers.intake import Intake, mailboxes

_m = inbound_mail.c


@pytest.fixture
def database(module_database: Database) -> Database:
    """One for the whole file: every test has mails of its own."""
    return module_database


@pytest.fixture
def make_drop(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> Callable[..., tuple[Intake, Path]]:
    def build(rest: str = "") -> tuple[Intake, Path]:
        section = f"inbound: {{{{max_size: 1 MB, maildirs: {{{{drop: {{{{path: drop{rest}}}}}}}}}}}}}\n"
        workspace = make_workspace(database=database, settings=SETTINGS + section)
        for part in ("new", "cur", "tmp"):
            (workspace.root / "drop" / part).mkdir(parents=True)
        return Intake(workspace, database, clock), workspace.root / "drop"

    return build


def fetch(intake: Intake) -> int:
    (mailbox,) = mailboxes(intake.workspace, intake.database)
    return intake.fetch(mailbox)


def states(database: Database, contained: bytes) -> list[str]:
    with database.begin() as connection:
        rows = connection.execute(select(_m.raw, _m.state).order_by(_m.id)).all()
    return [state for raw, state in rows if contained in raw]


@pytest.mark.parametrize(("rest", "left"), [("", []), (", afterwards: keep", ["1.host:2,S"])])
def test_maildir_forgets_mails_after_they_were_handled(make_drop, database, rest, left):
    """
    A handled mail is deleted, or moved to cur/ as seen; a second look finds nothing.
    """
    intake, folder = make_drop(rest)
    (folder / "new" / "1.host").write_bytes(letter("a@customers.example", subject=f"Re: forgotten {len(left)}"))

    assert (1, 0) == (fetch(intake), fetch(intake))
    assert ["handled"] == states(database, b"Re: forgotten %d" % len(left))
    assert ([], left) == (os.listdir(folder / "new"), os.listdir(folder / "cur"))


def test_maildir_that_is_none_is_explained(make_drop):
    """
    A folder that is no Maildir is said with the name of its setting.
    """
    intake, folder = make_drop()
    (folder / "tmp").rmdir()

    with pytest.raises(ServiceError, match=r"inbound\.maildirs\.drop: .* is no Maildir \(without tmp/\)"):
        fetch(intake)


def test_maildir_leaves_links_and_folders_alone(make_drop, database):
    """
    What is no file, or leads to one elsewhere, is not read.
    """
    intake, folder = make_drop()
    secret = folder / "secret"
    secret.write_bytes(letter("a@customers.example", subject="Re: secret"))
    (folder / "new" / "1").symlink_to(secret)
    (folder / "new" / "2").mkdir()
    os.mkfifo(folder / "new" / "3")

    assert (0, []) == (fetch(intake), states(database, b"Re: secret"))


def test_maildir_mail_above_the_limit_stays(make_drop, database):
    """
    A mail of 100 MB is kept aside by its first 64 KB, and stays in cur/, flagged; little memory is taken for it, and
    somebody has the task to see to it.
    """
    intake, folder = make_drop()
    with (folder / "new" / "1").open("wb") as stream:
        stream.write(letter("a@customers.example", subject="Re: large"))
        stream.truncate(100_000_000)
    tracemalloc.start()
    fetched = fetch(intake)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (1, ["kept_aside"]) == (fetched, states(database, b"Re: large"))
    assert (["1:2,F"], []) == (os.listdir(folder / "cur"), os.listdir(folder / "new"))
    assert 100_000_000 == (folder / "cur" / "1:2,F").stat().st_size
    assert peak < 20_000_000
    with database.begin() as connection:
        raw, problem = connection.execute(select(_m.raw, _m.problem).where(_m.size == 100_000_000)).one()
        key = f"inbound:aside:{intake.clock.now().date()}"
        owners = list(connection.execute(select(task.c.owner).where(task.c.task_key == key)).scalars())
    assert (HEAD, "too large to be read") == (len(raw), problem[:20])
    assert ["anna"] == owners


def test_maildir_full_of_hostile_mails_holds_up_nothing(make_drop, database):
    """
    Among all the hostile mails a bounce has its effect; what is beyond a limit is kept aside, whole, and none is lost.
    """
    intake, folder = make_drop()
    hostile = {name: make(300_000) for name, (make, _) in HOSTILE.items()}
    for number, raw in enumerate(hostile.values()):
        (folder / "new" / f"1.{number:03}").write_bytes(raw)
    with database.begin() as connection:
        message_id = sent(connection, "behind@customers.example")
    path = ReturnPaths(intake.workspace.secret, OWN).path(message_id)
    (folder / "new" / "2").write_bytes(b"Delivered-To: " + path.encode() + b"\r\n" + status_notification("x@y.example"))

    assert len(hostile) + 1 == fetch(intake)
    with database.begin() as connection:
        found = {bytes(raw): state for raw, state in connection.execute(select(_m.raw, _m.state))}
    expected = {name: "kept_aside" if is_strange else "handled" for name, (_, is_strange) in HOSTILE.items()}
    assert expected == {name: found.get(raw) for name, raw in hostile.items()}
    assert (["hard_bounce"], []) == (reasons(database, "behind@customers.example"), os.listdir(folder / "new"))
