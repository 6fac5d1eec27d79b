"""The listeners: what mail servers are answered, and when."""

import contextlib
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import func, select, text

from core.clock import SteppedClock
from core.database import Database
from core.schema import inbound_mail
from core.workspace import Workspace
from tests.inbound_mails import SETTINGS, letter
from tests.processes import answers, free_port, wait_for
from workers.intake import Intake

TO = "help@paper.example"


@contextlib.contextmanager
def running(intake: Intake, *ports: int) -> Iterator[None]:
    thread = threading.Thread(target=intake.run)
    thread.start()
    try:
        wait_for(lambda: all(answers(port) for port in ports), "the listeners")
        yield
    finally:
        intake.stopping.set()
        thread.join()


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
def workspace(make_workspace: Callable[..., Workspace], database: Database, ports: tuple[int, int]) -> Workspace:
    listeners = (
        f"inbound:\n  max_size: 1 MB\n  listeners:\n    mta: {{{{port: {ports[0]}, connections: 2}}}}\n"
        f"    edge: {{{{protocol: smtp, port: {ports[1]}}}}}\n"
    )
    return make_workspace(database=database, settings=SETTINGS + listeners)


@pytest.fixture
def intake(workspace: Workspace, database: Database, clock: SteppedClock) -> Intake:
    return Intake(workspace, database, clock)


def stored(database: Database) -> int:
    with database.begin() as connection:
        return int(connection.execute(select(func.count()).select_from(inbound_mail)).scalar_one())


def test_inbound_listener_answers_each_recipient_after_the_commit(intake, database, ports):
    """
    LMTP answers once for each recipient, SMTP once, and what was answered with 250 is in the database by then.
    """
    with running(intake, *ports):
        with smtplib.LMTP("127.0.0.1", ports[0]) as lmtp:
            lmtp.ehlo("mx.paper.example")
            codes = [lmtp.mail("")[0], lmtp.rcpt(TO)[0], lmtp.rcpt("x@bounces.paper.example")[0]]
            lmtp.putcmd("data")
            lmtp.getreply()
            lmtp.send(letter("a@customers.example") + b".\r\n")
            codes += [lmtp.getreply()[0], lmtp.getreply()[0]]
            offered = lmtp.esmtp_features["size"]
        assert ([250] * 5, 1, "1000000") == (codes, stored(database), offered)
        with smtplib.SMTP("127.0.0.1", ports[1]) as smtp:
            assert {} == smtp.sendmail("", TO, letter("b@customers.example"))
        assert 2 == stored(database)

    with database.begin() as connection:
        to = connection.execute(select(inbound_mail.c.envelope_to).order_by(inbound_mail.c.id)).scalars().all()
    assert [f"{TO}, x@bounces.paper.example", TO] == list(to)


def test_inbound_listener_says_later_while_nothing_can_be_stored(intake, database, ports):
    """
    While the database takes nothing the answer is 451, so that the mail server keeps the mail.
    """
    with running(intake, *ports), smtplib.SMTP("127.0.0.1", ports[1]) as smtp:
        with database.begin() as connection:
            connection.execute(text("ALTER TABLE inbound_mail RENAME TO inbound_mail_away"))
        with pytest.raises(smtplib.SMTPDataError) as refused:
            smtp.sendmail("", TO, letter("a@customers.example"))
        with database.begin() as connection:
            connection.execute(text("ALTER TABLE inbound_mail_away RENAME TO inbound_mail"))
        smtp.sendmail("", TO, letter("a@customers.example"))

    assert (451, 1) == (refused.value.smtp_code, stored(database))


def test_inbound_listener_takes_only_what_is_its_own(intake, database, ports):
    """
    Other domains, mails above max_size and connections above the limit are refused with their codes.
    """
    with running(intake, *ports):
        with (
            smtplib.SMTP("127.0.0.1", ports[1]) as smtp,
            pytest.raises(smtplib.SMTPRecipientsRefused) as strangers,
        ):
            smtp.sendmail("", "x@elsewhere.example", letter("a@customers.example"))
        with smtplib.SMTP("127.0.0.1", ports[1]) as smtp:
            smtp.ehlo("mx.paper.example")
            smtp.mail("")
            smtp.rcpt(TO)
            large = smtp.data(letter("a@customers.example") + b"x" * 76 + b"\r\n" + (b"y" * 76 + b"\r\n") * 14_000)[0]
        with (
            smtplib.LMTP("127.0.0.1", ports[0]),
            smtplib.LMTP("127.0.0.1", ports[0]),
            socket.create_connection(("127.0.0.1", ports[0])) as third,
            third.makefile("rb") as stream,
        ):
            greeting = stream.readline()

    assert (550, 552, b"421") == (strangers.value.recipients["x@elsewhere.example"][0], large, greeting[:3])
    assert 0 == stored(database)
