"""What people write to a desk is an inquiry; what machines write is none, and nothing is sent in answer to it."""

import email
from collections.abc import Callable
from datetime import timedelta
from email.policy import default as modern
from typing import Any

import pytest
from sqlalchemy import func, select

from campaigns import batches
from campaigns.duty import Circumstances
from campaigns.inbox import Handled, Inbox
from campaigns.inquiries.receiving import receive
from campaigns.inquiries.tags import inquiry_named, tagged_address
from campaigns.message_ids import identity_of, message_id_of
from campaigns.sending import Courier
from core.clock import SteppedClock
from core.database import Database
from core.schema import activity, feedback, inquiry, message, staff_notice, task
from core.workspace import Workspace
from tests.factories import make_customer, make_message, make_run, make_version
from tests.inbound_mails import letter
from tests.inquiry_files import FILES, SETTINGS, asked, settings
from tests.integration.test_campaigns_replies import mail_server
from tracking.inbound import storage
from tracking.inbound.storage import Arrived
from tracking.return_paths import ReturnPaths

READER = "reader@customers.example"
DESK = "sales@paper.example"


@pytest.fixture
def workspace(make_workspace: Callable[..., Workspace], database: Database) -> Workspace:
    return make_workspace(database=database, files=FILES, settings=SETTINGS)


@pytest.fixture
def arrive(database: Database, workspace: Workspace, clock: SteppedClock) -> Callable[..., Handled]:
    """A mail comes in and is handled."""

    def arrive_(raw: bytes, envelope_to: str | None = None) -> Handled:
        clock.step(timedelta(minutes=1))
        with database.begin() as connection:
            storage.store(connection, Arrived("drop", raw, len(raw), envelope_to), clock.now())
        handled = Inbox(workspace, database, clock).handle_next()
        assert handled is not None
        return handled

    return arrive_


def inquiries(database: Database) -> Any:
    with database.begin() as connection:
        return connection.execute(select(inquiry).order_by(inquiry.c.id)).all()


def counted(database: Database, *tables: Any) -> list[int]:
    with database.begin() as connection:
        return [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]


def test_mail_to_a_desk_is_an_inquiry(database: Database, arrive: Callable[..., Handled]) -> None:
    """
    It is acknowledged, and the desk's owner has the task, with the words of the mail; no reply task beside it.
    """
    handled = arrive(letter(READER, subject="Prices", text="What does A3 cost?", to=DESK))
    (row,) = inquiries(database)
    with database.begin() as connection:
        kinds = connection.execute(select(task.c.kind)).scalars().all()
        effect = connection.execute(select(feedback.c.effect)).scalar_one()

    assert ("sales", "mail", "Prices", "What does A3 cost?", READER, "anna") == (
        row.desk, row.source, row.subject, row.content, row.email, row.owner,
    )  # fmt: skip
    assert row.acknowledged_at is not None
    assert ["inquiry"] == kinds
    assert (f"inquiry {row.id} for anna",) == handled.effects
    assert effect == handled.effects[0]


@pytest.mark.parametrize("headers", [
    "Auto-Submitted: auto-replied\n", "Precedence: bulk\n", "List-Id: <x.example>\n", "X-Autoreply: yes\n",
])  # fmt: skip
def test_mail_of_a_program_is_no_inquiry(database: Database, arrive: Callable[..., Handled], headers: str) -> None:
    """
    Automatic answers and lists become no task of a desk, and nothing is sent in answer (S-4.8).
    """
    arrive(letter(READER, to=DESK, headers=headers))

    assert [0, 0] == counted(database, inquiry, message)


def test_mail_from_nobody_is_not_acknowledged(database: Database, arrive: Callable[..., Handled]) -> None:
    """
    Whose return path is empty gets nothing sent, whatever else the mail looks like.
    """
    arrive(letter(READER, to=DESK, headers="Return-Path: <>\n"))

    assert [0] == counted(database, message)


def test_wish_to_leave_stays_one(database: Database, arrive: Callable[..., Handled]) -> None:
    """
    A request to stop sent to a desk is an opt-out, as at every other address.
    """
    arrive(letter(READER, subject="unsubscribe", text="unsubscribe", to=DESK))

    assert [0] == counted(database, inquiry)


def test_second_mail_of_a_thread_joins_it(database: Database, arrive: Callable[..., Handled]) -> None:
    """
    By In-Reply-To: one inquiry, whose owner is told, and no second acknowledgement.
    """
    first = letter(READER, subject="Prices", to=DESK)
    name = first.split(b"Message-ID: ")[1].split(b"\r\n")[0].decode()
    arrive(first)
    again = letter("Reader+home@customers.example", subject="Re: Prices", text="And A2?", to="help@paper.example",
                   headers=f"In-Reply-To: {name}\nReferences: {name}\n")  # fmt: skip
    handled = arrive(again)
    (row,) = inquiries(database)
    with database.begin() as connection:
        body = connection.execute(select(task.c.body)).scalar_one()

    assert "Please call me." in row.content
    assert "Reader+home@customers.example wrote:\nAnd A2?" in row.content
    assert "And A2?" in body
    assert 2 == len(row.mail_ids)
    assert (f"inquiry {row.id}: one more mail",) == handled.effects
    assert [1, 2, 1] == counted(database, task, staff_notice, message)


def test_answer_to_the_acknowledgement_joins_it(
    database: Database, workspace: Workspace, arrive: Callable[..., Handled]
) -> None:
    """
    Who answers the mail that said it was received goes on about the inquiry.
    """
    arrive(letter(READER, subject="Prices", to=DESK))
    with database.begin() as connection:
        sent = connection.execute(select(message)).one()
        connection.execute(message.update().values(state="accepted", accepted_at=sent.not_before))
    identity = identity_of(sent.campaign, sent.step, sent.occurrence, sent.address_key)
    name = message_id_of(workspace.secret, identity, "offers@paper.example")
    arrive(letter(READER, subject="Re: We received it", text="Quickly, please", headers=f"In-Reply-To: {name}\n"))
    (row,) = inquiries(database)

    assert "Quickly, please" in row.content


def test_mail_about_an_answered_inquiry_is_a_new_one(
    database: Database, workspace: Workspace, arrive: Callable[..., Handled]
) -> None:
    """
    It goes to who answered before; its address had an answer this week, so nothing is sent (S-4.8).
    """
    first = letter(READER, subject="Prices", to=DESK)
    name = first.split(b"Message-ID: ")[1].split(b"\r\n")[0].decode()
    arrive(first)
    (row,) = inquiries(database)
    address = tagged_address(workspace.settings, workspace.secret, "sales", row.id)
    arrive(letter("ben@paper.example", subject="Re: Prices", to=READER), address)
    arrive(letter(READER, subject="Re: Prices", text="And A2?", headers=f"In-Reply-To: {name}\n"))
    answered, new = inquiries(database)

    assert ("answered", "ben") == (answered.state, answered.answered_by)
    assert ("open", "anna", None) == (new.state, new.owner, new.acknowledged_at)


def test_employees_answer_ends_the_inquiry(
    database: Database, workspace: Workspace, arrive: Callable[..., Handled]
) -> None:
    """
    With the inquiry's own address as Bcc: the task is done, the history knows, and nothing escalates.
    """
    arrive(letter(READER, subject="Prices", to=DESK))
    (row,) = inquiries(database)
    address = tagged_address(workspace.settings, workspace.secret, "sales", row.id)
    assert address is not None
    handled = arrive(letter("anna@paper.example", subject="Re: Prices", to=READER), address.upper())
    (row,) = inquiries(database)
    with database.begin() as connection:
        done = connection.execute(select(task.c.state, task.c.done_by, task.c.outcome)).one()
        history = connection.execute(select(activity.c.name).order_by(activity.c.id)).scalars().all()

    assert ("answered", "anna", None) == (row.state, row.answered_by, row.escalates_at)
    assert ("done", "anna", "answered by mail") == tuple(done)
    assert ["inquiry_received", "inquiry_answered"] == history
    assert (f"inquiry {row.id}: answered by anna",) == handled.effects


@pytest.mark.parametrize("address", ["sales+i1-00000000000000000000@paper.example", DESK])
def test_mail_in_an_employees_name_ends_nothing(
    database: Database, arrive: Callable[..., Handled], address: str
) -> None:
    """
    Anybody can write in somebody's name: without the address that the notice named it is no answer, but an inquiry
    that is not acknowledged.
    """
    arrive(letter(READER, subject="Prices", to=DESK))
    arrive(letter("anna@paper.example", subject="Re: Prices", to=READER), address)

    assert [("open", True), ("open", False)] == [
        (row.state, row.acknowledged_at is not None) for row in inquiries(database)
    ]


def test_address_of_one_inquiry_names_no_other(workspace: Workspace) -> None:
    """
    The number of a tagged address cannot be changed.
    """
    address = tagged_address(workspace.settings, workspace.secret, "sales", 12) or ""

    assert 12 == inquiry_named(workspace.secret, ["x@paper.example", address])
    assert inquiry_named(workspace.secret, [address.replace("+i12-", "+i13-")]) is None


def test_flood_of_mails_becomes_no_flood_of_tasks(database: Database, arrive: Callable[..., Handled]) -> None:
    """
    Of one address twenty inquiries a day; what is more is passed on, within its limits, as replies are.
    """
    for number in range(25):
        arrive(letter(READER, subject=f"Again {number}", to=DESK))

    assert [20, 1] == counted(database, inquiry, message)


def test_replies_of_customers_stay_replies(database: Database, arrive: Callable[..., Handled]) -> None:
    """
    What goes to another address is a reply with its task, as before.
    """
    with database.begin() as connection:
        make_customer(connection, email=READER, owner="ben")
    arrive(letter(READER))
    with database.begin() as connection:
        kinds = connection.execute(select(task.c.kind, task.c.owner)).all()

    assert [("reply", "ben")] == [tuple(row) for row in kinds]
    assert [0] == counted(database, inquiry)


def test_desk_may_take_the_answers_to_mailings(
    database: Database, make_workspace: Callable[..., Workspace], clock: SteppedClock
) -> None:
    """
    With `replies` an answer to a message of ours is an inquiry; a letter about nothing we sent stays a reply.
    """
    text = settings(("tagged: true", "tagged: true\n    replies: true"), (
        "reply_to: help@paper.example}}", "reply_to: help@paper.example, return_path: bounces.paper.example}}"
    ))  # fmt: skip
    workspace = make_workspace(database=database, files=FILES, settings=text)
    with database.begin() as connection:
        version = make_version(connection, definition={"sender": {"name": "P", "email": "offers@paper.example"}})
        reader = make_customer(connection, email=READER)
        sent = make_message(connection, make_run(connection, version_id=version), reader)
        path = ReturnPaths(workspace.secret, "bounces.paper.example").path(sent)
        for raw, to in ((letter(READER), path), (letter("other@customers.example"), "help@paper.example")):
            storage.store(connection, Arrived("drop", raw, len(raw), to), clock.now())
    Inbox(workspace, database, clock).handle_all()
    (row,) = inquiries(database)

    assert ("sales", reader) == (row.desk, row.customer_id)
    assert [2] == counted(database, task)


def test_mailbox_is_acknowledged_once_however_it_is_spelled(database: Database, arrive: Callable[..., Handled]) -> None:
    """
    Mails in the name of one mailbox, each with another tag or dots: one acknowledgement, and twenty inquiries a day.
    """
    spelled = [f"victim+{number}@gmail.com" for number in range(20)] + ["v.ictim@gmail.com", "victim@googlemail.com"]
    for number, victim in enumerate(spelled):
        arrive(letter(victim, subject=f"Prices {number}", to=DESK))
    rows = inquiries(database)

    assert 20 == len(rows)
    assert [True, *[False] * 19] == [row.acknowledged_at is not None for row in rows]
    assert [1] == counted(database, message)


def test_mail_that_an_employee_passes_on_is_an_inquiry(database: Database, arrive: Callable[..., Handled]) -> None:
    """
    What came to Anna's own mailbox and is forwarded to the desk has its task; nothing is sent to her in answer.
    """
    handled = arrive(letter("anna@paper.example", subject="Fwd: Order burnt", text="Please see to this.", to=DESK))
    (row,) = inquiries(database)

    assert (f"inquiry {row.id} for anna",) == handled.effects
    assert row.acknowledged_at is None
    assert [1, 0] == counted(database, task, message)


def test_strangers_mail_joins_no_inquiry_of_others(database: Database, arrive: Callable[..., Handled]) -> None:
    """
    Whose mail it answers, anybody can say: from another mailbox it is an inquiry of its own, of the same employee.
    """
    first = letter(READER, subject="Ink", to=DESK)
    name = first.split(b"Message-ID: ")[1].split(b"\r\n")[0].decode()
    arrive(first)
    arrive(letter("x@strangers.example", subject="Re: Ink", to=DESK, headers=f"In-Reply-To: {name}\n"))
    rows = inquiries(database)

    assert [(READER, "anna"), ("x@strangers.example", "anna")] == [(row.email, row.owner) for row in rows]
    assert "strangers" not in rows[0].content


def test_many_mails_about_an_inquiry_are_told_of_once(database: Database, arrive: Callable[..., Handled]) -> None:
    """
    Of the first five within a day the owner is told one by one, then once of the rest; an answer goes to the writer.
    """
    first = letter(READER, subject="Prices", to=DESK)
    name = first.split(b"Message-ID: ")[1].split(b"\r\n")[0].decode()
    arrive(first)
    for number in range(9):
        arrive(letter("reader+b@customers.example", subject=f"Re: Prices {number}", to=DESK,
                      headers=f"In-Reply-To: {name}\n"))  # fmt: skip
    with database.begin() as connection:
        contents = connection.execute(select(staff_notice.c.content).order_by(staff_notice.c.id)).scalars().all()
    mails = [email.message_from_bytes(content, policy=modern) for content in contents]

    assert [1] == counted(database, inquiry)
    assert 9 == inquiries(database)[0].content.count("wrote:")
    assert [READER, *["reader+b@customers.example"] * 5, None] == [mail["Reply-To"] for mail in mails]
    assert str(mails[-1]["Subject"]).startswith("Many mails about")


def test_notice_names_the_address_that_ends_it_beside_its_text(
    database: Database, workspace: Workspace, arrive: Callable[..., Handled]
) -> None:
    """
    Whoever answers quotes the text: the address is in a file, which no mail program quotes.
    """
    arrive(letter(READER, subject="Prices", to=DESK))
    (row,) = inquiries(database)
    address = tagged_address(workspace.settings, workspace.secret, "sales", row.id)
    with database.begin() as connection:
        content = connection.execute(select(staff_notice.c.content)).scalar_one()
    mail = email.message_from_bytes(content, policy=modern)
    told = {part.get_filename(): part.get_content() for part in mail.iter_attachments()}

    assert "+i" not in mail.get_body(("plain",)).get_content()
    assert address is not None
    assert address in told["answer-by-mail.txt"]


def test_acknowledgement_of_a_mail_says_that_it_answers(
    database: Database, make_workspace: Callable[..., Workspace], clock: SteppedClock
) -> None:
    """
    `Auto-Submitted: auto-replied` (S-2.22); that of a form is `auto-generated`.
    """
    raw = letter(READER, subject="Prices", to=DESK)
    with mail_server() as server:
        workspace = make_workspace(database=database, files=FILES, settings=SETTINGS, smtp_port=server.port)
        with database.begin() as connection:
            storage.store(connection, Arrived("drop", raw, len(raw), None), clock.now())
            receive(connection, Circumstances.of(workspace), asked(email="form@customers.example"), clock.now())
        Inbox(workspace, database, clock).handle_all()
        courier = Courier(workspace, database, clock, "w0")
        with database.begin() as connection:
            due = batches.due_batches(connection, now=clock.now(), again_after=None)
        for batch_id, _ in due:
            courier.send_batch(batch_id)
        courier.close()
    mails = [email.message_from_bytes(one.content, policy=modern) for one in server.received]
    marks = {mail["To"].addresses[0].addr_spec: mail["Auto-Submitted"] for mail in mails}

    assert {READER: "auto-replied", "form@customers.example": "auto-generated"} == marks
