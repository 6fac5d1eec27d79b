"""What `clarion doctor` says of the places where mails and reports come in."""

from collections.abc import Callable
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from core.clock import SteppedClock
from core.commands import Desk
from core.database import Database
from core.workspace import Workspace
from tests.inbound_mails import SETTINGS
from tests.integration.test_inbound_listening import running
from tests.processes import free_port
from tests.serving import served
from tracking.inbound import storage
from tracking.inbound.storage import Arrived
from web.app import create_app
from workers.commands.inbound_checks import inbound_rows
from workers.intake import Intake

HOOKS = 'webhooks: {{mailgun: {{signing_key: "0123456789abcdef"}}}}\n'


@pytest.fixture
def make_desk(
    make_workspace: Callable[..., Workspace], module_database: Database, clock: SteppedClock
) -> Callable[[str], Desk]:
    def build(section: str) -> Desk:
        desk = Desk(clock=clock)
        desk.workspace = make_workspace(database=module_database, settings=SETTINGS + section)
        desk.database = module_database
        return desk

    return build


def told(desk: Desk) -> dict[str, tuple[bool, str]]:
    return {row["check"]: (row["ok"], row["detail"]) for row in inbound_rows(desk)}


def test_doctor_says_nothing_of_what_is_not_set(make_desk):
    """
    Without `inbound` and `webhooks` there are no rows.
    """
    assert {} == told(make_desk(""))


def test_doctor_has_a_row_for_each_listener_and_mailbox(make_desk):
    """
    One that answers is well; one that nobody listens at, or a folder that is no Maildir, is not, and says why.
    """
    here, dead = free_port(), free_port()
    listeners = f"{{{{mta: {{{{port: {here}}}}}}}}}"
    desk = make_desk(f"inbound: {{{{listeners: {listeners}, maildirs: {{{{drop: {{{{path: drop}}}}}}}}}}}}\n")
    with running(Intake(desk.workspace, desk.database, desk.clock), here):
        rows = told(desk)
    late = told(make_desk(f"inbound: {{{{listeners: {{{{mta: {{{{port: {dead}}}}}}}}}}}}}\n"))

    assert (True, f"127.0.0.1:{here} takes mail by LMTP") == rows["inbound mta"]
    assert (False, True) == (
        rows["inbound drop"][0],
        "is no Maildir (without new, cur, tmp/)" in rows["inbound drop"][1],
    )
    assert (False, f"nothing answers at 127.0.0.1:{dead}: Connection refused") == late["inbound mta"]
    assert (False, "not running: inbound; start it with `clarion up` or `clarion inbound run`") == late["inbound"]


def test_doctor_counts_mails_kept_aside(make_desk):
    """
    A mail that waits for somebody is said until it is handled.
    """
    desk = make_desk("inbound: {{maildirs: {{drop: {{path: drop}}}}}}\n")
    before = told(desk)["inbound mails"]
    with desk.database.begin() as connection:
        number = storage.store(connection, Arrived("drop", b"strange", 7), desk.clock.now())
        storage.keep_aside(connection, number, "strange", desk.clock.now())
    kept = told(desk)["inbound mails"]
    with desk.database.begin() as connection:
        assert storage.try_again(connection, number)

    assert (True, "none is kept aside") == before == told(desk)["inbound mails"]
    assert (False, "1 kept aside, which nothing followed from: `clarion inbound list --aside`") == kept


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (HOOKS, (True, "http://127.0.0.1:8025/hooks/mailgun")),
        ("", (False, "the pages do not know it (404); were they started before it was set?")),
        (None, (False, "nothing answers at ")),
    ],
)
def test_doctor_has_a_row_for_each_webhook(make_desk, known, expected):
    """
    It names the address to be given to the provider, where the pages that run know of it.
    """
    with ExitStack() as stack:
        port = free_port()
        if known is not None:
            pages = make_desk(known)
            url = stack.enter_context(served(create_app(pages.workspace, pages.database, pages.clock)))
            port = urlsplit(url).port
        rows = told(make_desk(f"{HOOKS}web: {{{{port: {port}}}}}\n"))

    assert {"webhook mailgun"} == set(rows)
    assert (expected[0], True) == (rows["webhook mailgun"][0], rows["webhook mailgun"][1].startswith(expected[1]))
