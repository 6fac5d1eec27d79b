"""People answer: their history knows it, somebody has to answer, and is told by a mail that really goes out."""

import asyncio
import email
import email.policy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.message import EmailMessage

import pytest
from sqlalchemy import Connection, select, update

from campaigns import notices
from campaigns.attending import attend_to, is_waiting
from campaigns.feedback import Receiver, take
from campaigns.feedback.answering import original_part
from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.feedback_settings import FeedbackRules
from core.workspace import Workspace
from delivery.message_bytes import Mail, write_message
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer, make_message, make_run
from tests.feedback_events import NOON, OneTransaction, make_feedback, make_receiver, taken_back
from tests.smtp_server import Received, Script, ScriptedServer
from tracking.feedback import Reply

READER = "reader@customers.example"
SETTINGS = (
    MINIMAL_SETTINGS
    + """
staff:
  anna: {{name: Anna Berg, email: anna@paper.example}}
  ben: {{name: Ben Cole, email: ben@paper.example}}
feedback: {{replies_to: ben}}
"""
)
PICTURE = bytes(range(256)) * 40


@pytest.fixture
def one(module_database: Database) -> Iterator[OneTransaction]:
    """A database that forgets what the test wrote."""
    with taken_back(module_database) as found:
        yield found


def written(subject: str = "Re: Paper for you", *, sender: str = READER) -> bytes:
    """A mail with an attachment, as a mail program makes it."""
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"], mail["To"], mail["Subject"] = sender, "help@paper.example", subject
    mail.set_content("Do you have A3, too?\nGreetings")
    mail.add_attachment(PICTURE, maintype="image", subtype="png", filename="office plän.png")
    return mail.as_bytes()


def make_reply(sender: str = READER, subject: str = "Re: Paper for you", original: bytes | None = None) -> Reply:
    return Reply(sender, subject, "Do you have A3, too?\nGreetings", original or written(subject))


def sent(connection: Connection, *, owner: str | None = "Anna Berg") -> int:
    """A message to a customer who belongs to somebody."""
    person = make_customer(
        connection, email=READER, external_id="C-1", first_name="Rita", company="Lint & Co", owner=owner
    )
    return make_message(connection, make_run(connection), person, accepted_at=NOON - timedelta(hours=3))


@contextmanager
def mail_server(script: Script | None = None) -> Iterator[ScriptedServer]:
    """A mail server in a thread of its own."""
    loop, ready, server = asyncio.new_event_loop(), threading.Event(), ScriptedServer(script)
    ended = asyncio.Event()

    async def serve() -> None:
        async with server:
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()


def parsed(taken: Received) -> EmailMessage:
    found = email.message_from_bytes(taken.content, policy=email.policy.SMTP)
    assert isinstance(found, EmailMessage)
    return found


def answer(connection: Connection, workspace: Workspace, message_id: int | None, reply: Reply | None = None) -> str:
    """What followed from the reply, in words."""
    event = make_feedback("reply", message_id, address=READER, reply=reply or make_reply())
    (effect,) = take(connection, [event], Receiver.of(workspace), NOON)
    return effect.words or ""


def test_a_reply_is_delivered_to_the_owner_with_its_attachments(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:
    """
    The owner of the customer gets the whole mail over SMTP, every octet of it; an answer to it goes to the customer.
    """
    original = written()
    with mail_server() as server:
        workspace = make_workspace(database=database, smtp_port=server.port, settings=SETTINGS)
        with database.begin() as connection:
            answer(connection, workspace, sent(connection), make_reply(original=original))
            assert is_waiting(connection, clock.now())
        attend_to(workspace, database, clock)
        attend_to(workspace, database, clock)
        with database.begin() as connection:
            assert not is_waiting(connection, clock.now() + timedelta(days=3))
            notice = connection.execute(select(schema.staff_notice)).one()

    (taken,) = server.received
    mail = parsed(taken)
    (part,) = list(mail.iter_attachments())
    inside = part.get_payload(0) if part.is_multipart() else None
    assert taken.mail_from.startswith("MAIL FROM:<> ")
    assert "RCPT TO:<anna@paper.example>" == taken.recipients[0].split(" NOTIFY")[0]
    assert (READER, "auto-generated") == (mail["Reply-To"], mail["Auto-Submitted"])
    assert "Reply of Rita, Lint & Co (C-1): Re: Paper for you" == mail["Subject"]
    assert isinstance(inside, EmailMessage)
    (picture,) = list(inside.iter_attachments())
    assert (PICTURE, "office plän.png") == (picture.get_content(), picture.get_filename())
    assert original.removesuffix(b"\r\n") in taken.content
    assert ("accepted", None) == (notice.state, notice.content)


def test_a_reply_is_in_the_customers_history_and_somebodys_task(
    make_workspace: Callable[..., Workspace], one: OneTransaction
) -> None:
    """
    A reply is an activity, an answer to its message, and a task of the owner that is due; all of it once.
    """
    workspace = make_workspace(settings=SETTINGS)
    with one.begin() as connection:
        message_id = sent(connection)
        event = make_feedback("reply", message_id, reply=make_reply())
        receiver = make_receiver(rules=workspace.settings.feedback, staff=workspace.settings.staff)
        for _ in range(3):
            take(connection, [event, event], receiver, NOON)
        task = connection.execute(select(schema.task)).one()
        activity = connection.execute(select(schema.activity)).one()
        hit = connection.execute(select(schema.hit)).one()

        assert ("reply", "anna", message_id, NOON + timedelta(days=2)) == (
            task.kind, task.owner, task.message_id, task.due_at,
        )  # fmt: skip
        assert "Do you have A3, too?" in task.body
        assert ("reply", "spring-paper") == (activity.name, activity.properties["campaign"])
        assert ("reply", "human", message_id) == (hit.kind, hit.label, hit.message_id)
        assert 1 == len(connection.execute(select(schema.staff_notice.c.id)).all())


@pytest.mark.parametrize(
    ("owner", "expected"),
    [("anna", "anna"), ("ANNA@paper.example", "anna"), (None, "ben"), ("somebody who left", "ben")],
)
def test_a_reply_goes_to_whoever_is_responsible(
    make_workspace: Callable[..., Workspace], one: OneTransaction, owner: str | None, expected: str
) -> None:
    """
    The owner answers; for customers without one, or whose owner has left, whoever the settings name.
    """
    workspace = make_workspace(settings=SETTINGS)
    with one.begin() as connection:
        words = answer(connection, workspace, sent(connection, owner=owner))

    assert words.endswith(f"for {expected}; notice to {expected}")


def test_a_reply_of_a_stranger_is_passed_on_and_in_nobodys_history(
    make_workspace: Callable[..., Workspace], one: OneTransaction
) -> None:
    """
    Somebody unknown who writes is no customer; the mail still reaches a person.
    """
    workspace = make_workspace(settings=SETTINGS)
    with one.begin() as connection:
        words = answer(connection, workspace, None, make_reply("stranger@elsewhere.example"))
        task = connection.execute(select(schema.task)).one()

        assert "notice to ben" in words
        assert (None, "Answer the reply of stranger@elsewhere.example") == (task.customer_id, task.title)
        assert [] == connection.execute(select(schema.activity.c.id)).all()


@pytest.mark.parametrize("sender", ["anna@paper.example", "HELP@paper.example", "offers@paper.example"])
def test_what_our_own_people_write_is_no_reply(
    make_workspace: Callable[..., Workspace], one: OneTransaction, sender: str
) -> None:
    """
    An employee who answers a notice to the wrong place, or our own address, begins no loop (S-4.8).
    """
    workspace = make_workspace(settings=SETTINGS)
    with one.begin() as connection:
        words = answer(connection, workspace, sent(connection), make_reply(sender))
        kept = [
            connection.execute(select(table.c.id)).all() for table in (schema.task, schema.staff_notice, schema.hit)
        ]

    assert ("nothing: written by the organisation itself", [[], [], []]) == (words, kept)


def test_who_writes_on_and_on_gets_no_more_than_twenty_notices_a_day(
    make_workspace: Callable[..., Workspace], one: OneTransaction
) -> None:
    """
    A program that answers everything fills neither the owner's mailbox nor the list of tasks (S-4.8).
    """
    workspace = make_workspace(settings=SETTINGS)
    with one.begin() as connection:
        message_id = sent(connection)
        connection.execute(update(schema.customer).values(owner="anna"))
        for _ in range(30):
            answer(connection, workspace, message_id)
        counts = [
            len(connection.execute(select(table.c.id)).all())
            for table in (schema.staff_notice, schema.task, schema.activity)
        ]

    assert [20, 20, 30] == counts


def test_hostile_subjects_and_names_add_no_header(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:
    """
    Line breaks in what a stranger wrote end up in the text of the subject, never as a header (S-2.1).
    """
    with mail_server() as server:
        workspace = make_workspace(database=database, smtp_port=server.port, settings=SETTINGS)
        with database.begin() as connection:
            hostile = "a\r\nBcc: all@elsewhere.example\r\n\r\nx\u2028y" + "z" * 5000
            answer(
                connection,
                workspace,
                None,
                make_reply("bad\r\nBcc: x@y.example", hostile, b"From: x\n\n" + b"x" * 5000),
            )
        attend_to(workspace, database, clock)

    (taken,) = server.received
    mail = parsed(taken)
    assert (None, None, 1) == (mail["Bcc"], mail["Reply-To"], len(taken.recipients))
    assert len(str(mail["Subject"])) <= 150


def test_a_notice_waits_while_the_mail_server_says_later(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:
    """
    A notice put off is tried again when its time has come, and delivered once.
    """
    with mail_server({"recipient": [b"451 4.7.1 later"]}) as server:
        workspace = make_workspace(database=database, smtp_port=server.port, settings=SETTINGS)
        with database.begin() as connection:
            answer(connection, workspace, sent(connection))
        seen = []
        for minutes in (0, 0.5, 1, 0):
            clock.step(timedelta(minutes=minutes))
            attend_to(workspace, database, clock)
            seen.append(len(server.received))

    assert [0, 0, 1, 1] == seen


def test_a_notice_in_the_hands_of_a_lost_worker_is_sent_again(one: OneTransaction) -> None:
    """
    What was handed over and never answered is claimed again after its lease, by one worker alone.
    """
    with one.begin() as connection:
        wanted = notices.NewNotice("k", "anna@paper.example", "Anna", "Told", "Twice rather than never.")
        receiver = make_receiver(rules=FeedbackRules())
        sender = next(iter(receiver.senders.values()))
        ordered = [notices.order(connection, wanted, secret=receiver.secret, sender=sender, now=NOON) for _ in range(2)]
        counts = [len(notices.claim(connection, NOON + wait)) for wait in (timedelta(0), timedelta(0), notices.LEASE)]

    assert ([True, False], [1, 0, 1]) == (ordered, counts)


@pytest.mark.parametrize(
    "original",
    [
        b"From: a\r\n\r\nplain\r\n",
        b"From: a\n\nunix lines\n",
        "From: a\r\n\r\nUmläute\r\n".encode(),
        b"From: a\r\n\r\n" + b"x" * 2000 + b"\r\n",
        b"From: a\r\n\r\nbare\rreturn\r\n",
        b"From: a\r\n\r\nzero\0octet\r\n",
        b"",
        b"\r\n.\r\nMAIL FROM:<x>\r\n",
    ],
)
def test_the_original_stands_in_a_notice_as_it_came(original: bytes) -> None:
    """
    Whatever octets a mail has, the notice holds them all, as a message or as a file.
    """
    mail = Mail(
        "a@paper.example", NOON, "Paper", "offers@paper.example", None, "anna@paper.example", None, "s", "t", None,
        attachments=(original_part(original),),
    )  # fmt: skip
    content = write_message(mail)
    found = email.message_from_bytes(content, policy=email.policy.SMTP)
    assert isinstance(found, EmailMessage)
    (part,) = list(found.iter_attachments())
    if part.get_content_type() == "message/rfc822":
        body = original.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").removesuffix(b"\r\n")
        assert b"\r\n\r\n" + body + b"\r\n--" in content
    else:
        assert original == part.get_payload(decode=True)
