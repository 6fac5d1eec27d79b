"""A real IMAP server, Dovecot: mails are fetched, and deleted or kept there only after what follows is done."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import select, update

from core.clock import SteppedClock
from core.database import Database
from core.errors import ServiceError
from core.schema import inbound_mail, inbound_place
from core.workspace import Workspace
from tests.certificates import AUTHORITY, trusting
from tests.inbound_mails import SETTINGS, letter
from tests.servers import dovecot
from tests.servers.dovecot import Dovecot
from tracking.inbound.imap import ImapAccount
from workers.intake import Intake, mailboxes

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not dovecot.is_there(), reason="Dovecot is not installed, or this is not root"),
]


@pytest.fixture
def imap_server(tmp_path: Path) -> Iterator[Dovecot]:
    issued = AUTHORITY.issue_cert("127.0.0.1", "localhost")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    with dovecot.running(certificate, key) as running:
        yield running


@pytest.fixture
def make_intake(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock, imap_server: Dovecot
) -> Callable[..., tuple[Intake, ImapAccount]]:
    def build(*, scheme: str = "imaps", password: str = dovecot.PASSWORD, rest: str = "") -> tuple[Intake, ImapAccount]:
        port = imap_server.tls_port if scheme == "imaps" else imap_server.port
        url = f"{scheme}://{quote(dovecot.USER)}:{quote(password, safe='')}@127.0.0.1:{port}/INBOX"
        section = f"inbound: {{{{max_size: 1 MB, mailboxes: {{{{office: {{{{url: '{url}'{rest}}}}}}}}}}}}}\n"
        workspace = make_workspace(database=database, settings=SETTINGS + section)
        account = mailboxes(workspace, database)[0]
        assert isinstance(account, ImapAccount)
        return Intake(workspace, database, clock), replace(account, tls=trusting())

    return build


def states(database: Database) -> list[str]:
    with database.begin() as connection:
        return list(connection.execute(select(inbound_mail.c.state).order_by(inbound_mail.c.id)).scalars())


@pytest.mark.parametrize("scheme", ["imap", "imaps"])
def test_imap_mails_are_deleted_after_they_were_handled(make_intake, database, imap_server, scheme):
    """
    What is in the mailbox is handled and then gone, over TLS or, on this machine, without it.
    """
    intake, account = make_intake(scheme=scheme)
    for number in range(3):
        imap_server.deliver(f"{number}.m", letter("a@customers.example", subject=f"Re: {number}"))

    assert (3, 0) == (intake.fetch(account), intake.fetch(account))
    assert (["handled"] * 3, {}) == (states(database), imap_server.left())


def test_imap_mails_are_kept_as_seen_where_that_is_set(make_intake, database, imap_server):
    """
    With `afterwards: keep` mails stay in the mailbox, flagged as seen, and are not fetched again.
    """
    intake, account = make_intake(rest=", afterwards: keep")
    imap_server.deliver("1.m", letter("a@customers.example"))

    assert (1, 0) == (intake.fetch(account), intake.fetch(account))
    assert (["handled"], {"1.m": "S"}) == (states(database), imap_server.left())


@pytest.mark.parametrize("rest", ["", ", afterwards: keep"])
def test_imap_mail_that_somebody_opened_and_flagged_first_counts(make_intake, database, imap_server, rest):
    """
    What comes after the first look is fetched whatever flags others gave it; what was opened before it is not.
    """
    intake, account = make_intake(rest=rest)
    imap_server.deliver("1.m", letter("a@customers.example", subject="Re: old"), flags="FS")

    assert 0 == intake.fetch(account)
    imap_server.deliver("2.m", letter("a@customers.example", subject="Re: new"), flags="FS")
    imap_server.deliver("3.m", letter("a@customers.example", subject="Re: newer"))
    assert (2, 0) == (intake.fetch(account), intake.fetch(account))
    left = {"1.m": "FS"} | ({"2.m": "FS", "3.m": "S"} if rest else {})
    assert (["handled"] * 2, left) == (states(database), imap_server.left())


def test_imap_mailbox_made_anew_is_read_from_its_beginning(make_intake, database, imap_server):
    """
    Under another UIDVALIDITY every mail is looked at again, and one that is known by its bytes is handled no more.
    """
    intake, account = make_intake(rest=", afterwards: keep")
    imap_server.deliver("1.m", letter("a@customers.example", subject="Re: old"))
    assert 1 == intake.fetch(account)
    with database.begin() as connection:
        connection.execute(update(inbound_place).values(uid_validity=1, last_uid=1_000))
    imap_server.deliver("2.m", letter("a@customers.example", subject="Re: new"), flags="S")

    assert (2, 0) == (intake.fetch(account), intake.fetch(account))
    assert ["handled"] * 2 == states(database)


def test_imap_mail_above_the_limit_stays_in_the_mailbox(make_intake, database, imap_server):
    """
    A mail too large to be read is kept aside by its beginning and flagged, and does not hold up the next.
    """
    intake, account = make_intake()
    imap_server.deliver("1.large", letter("a@customers.example", text="large\n" * 300_000))
    imap_server.deliver("2.small", letter("b@customers.example"))

    assert (2, 0) == (intake.fetch(account), intake.fetch(account))
    assert (["kept_aside", "handled"], {"1.large": "F"}) == (states(database), imap_server.left())


def test_imap_mailbox_that_refuses_is_explained(make_intake, imap_server):
    """
    A wrong password is said with the mailbox's name and without the password; a foreign certificate ends before it.
    """
    intake, account = make_intake(password="wrong-one")
    with pytest.raises(ServiceError) as refused:
        intake.fetch(account)
    with pytest.raises(ServiceError) as unknown:
        intake.fetch(replace(account, tls=None))

    assert "inbound.mailboxes.office: 127.0.0.1" in str(refused.value)
    assert "wrong-one" not in str(refused.value)
    assert "certificate verify failed" in str(unknown.value).lower()
