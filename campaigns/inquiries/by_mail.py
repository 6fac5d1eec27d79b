"""Inquiries by mail: what people write to a desk is one, what they write on about it belongs to it, what employees
pass on is one that is not acknowledged, and an employee's answer with the inquiry's own address in copy ends it.

Bounces, automatic answers, lists and requests to stop are none of it (`tracking.inbound` tells them apart): nothing is
sent in answer to them (S-4.8).
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, select, update

from campaigns.duty import Circumstances
from campaigns.feedback.answering import original_part
from campaigns.feedback.receiver import Receiver, comparable
from campaigns.inquiries import letters
from campaigns.inquiries.desk_mail import Written, thread_of
from campaigns.inquiries.receiving import LONGEST_CONTENT, LONGEST_SUBJECT, NewInquiry, Source, receive
from campaigns.inquiries.states import InquiryState
from campaigns.inquiries.tags import inquiry_named
from campaigns.inquiries.working import end
from core.addresses import parse_address
from core.errors import AddressError
from core.ids import address_key
from core.mailboxes import count_for, limit_key
from core.schema import customer, inquiry, task
from core.settings import Settings
from customers import joined_mails as joined
from tracking.inbound import leaving
from tracking.inbound.mime import Mail
from tracking.inbound.people import sender_of, writers_of
from tracking.inbound.spotting import identities_in

#: An inquiry that grows by mail is cut off here; the mails are attached to the notices.
_MOST_KEPT: Final = 100_000
_MOST_IDS: Final = 500
#: Of so many mails about one inquiry its owner is told in a day.
_MOST_TOLD: Final = 5
_KIND: Final = "inquiry-joined"


def take(
    connection: Connection, circumstances: Circumstances, desk: str, written: Written, now: datetime
) -> str:  # fmt: skip
    """The mail is an inquiry, or part of one, or has ended one; what it came to, in words.

    Repeat: safe. Atomic with the connection's transaction.
    """
    sender = sender_of(written.mail) or ""
    is_own = Receiver.of(circumstances.workspace).is_own(sender)
    if is_own and (ended := _answered(connection, circumstances, written, now)) is not None:
        return ended
    known = thread_of(connection, circumstances, written, lock=True)
    if known is not None and known.state == InquiryState.OPEN and _may_join(circumstances, known, written, sender):
        return _joined(connection, circumstances, known, written, sender, now)
    wanted = NewInquiry(
        key=written.key, desk=desk, source=Source.MAIL, subject=_subject(written.mail), email=sender,
        content=_words(written.mail), customer_id=_proven(connection, circumstances, written, sender),
        mail_ids=_own_ids(written.mail), former_owner=known.owner if known is not None else None,
        is_answerable=not is_own and written.mail.top.first("return-path").strip() != "<>",
    )  # fmt: skip
    received = receive(connection, circumstances, wanted, now)
    return f"inquiry {received.inquiry_id} for {received.owner or 'nobody yet'}"


def _subject(mail: Mail) -> str:
    return (mail.top.first("subject").strip() or "(no subject)")[:LONGEST_SUBJECT]


def _words(mail: Mail) -> str:
    return leaving.words_of(mail, LONGEST_CONTENT)[:LONGEST_CONTENT].strip() or "(no text)"


def _own_ids(mail: Mail) -> tuple[str, ...]:
    return tuple(identities_in(mail.top.first("message-id"), 1))


def _proven(
    connection: Connection, circumstances: Circumstances, written: Written, sender: str
) -> int | None:  # fmt: skip
    """The customer whose message it answers, where it comes from their address."""
    if written.customer_id is None:
        return None
    key = address_key(circumstances.workspace.secret, comparable(sender))
    found = select(customer.c.id).where(customer.c.id == written.customer_id, customer.c.address_key == key)
    return connection.execute(found).scalar_one_or_none()


def _may_join(circumstances: Circumstances, row: Row[Any], written: Written, sender: str) -> bool:
    """Whether it is from whoever asked or from our own people, or shows what nobody else has: a mail of ours, or the
    address of the inquiry. Whose mail it answers, anybody can say."""
    secret = circumstances.workspace.secret
    if Receiver.of(circumstances.workspace).is_own(sender) or inquiry_named(secret, written.recipients) == row.id:
        return True
    is_proven = written.about is not None and written.about == row.message_id
    return is_proven or _mailbox(secret, sender) == _mailbox(secret, row.email or "")


def _mailbox(secret: bytes, email: str) -> UUID | str:
    try:
        return limit_key(secret, parse_address(email))
    except AddressError:
        return email.casefold()


def _joined(
    connection: Connection, circumstances: Circumstances, row: Row[Any], written: Written, sender: str, now: datetime
) -> str:
    """The inquiry has one more mail, its task says so, and its owner is told; of many a day, once of all the rest."""
    words = f"{row.content}{joined.begin(letters.shown_time(circumstances, now), sender)}{_words(written.mail)}"
    ids = list(dict.fromkeys([*row.mail_ids, *_own_ids(written.mail)]))[:_MOST_IDS]
    grown = update(inquiry).where(inquiry.c.id == row.id).values(content=words[:_MOST_KEPT], mail_ids=ids)
    row = connection.execute(grown.returning(inquiry)).one()
    letter = letters.write(connection, circumstances, row)
    connection.execute(update(task).where(task.c.id == row.task_id, task.c.state == "open").values(body=letter.body))
    if row.owner not in circumstances.settings.staff:
        return f"inquiry {row.id}: one more mail"
    # The row is locked, so that nobody else counts now.
    if count_for(connection, _KIND, UUID(int=row.id), _MOST_TOLD, timedelta(days=1), now):
        letters.tell(
            connection, circumstances, row, row.owner, key=written.key, now=now,
            reply_to=sender if isinstance(_mailbox(b"", sender), UUID) else row.email,
            subject=f"More about the inquiry of {letter.person}: {_subject(written.mail)}", text=letter.body,
            attachments=(original_part(written.mail.raw),),
        )  # fmt: skip
    else:
        letters.tell(
            connection, circumstances, row, row.owner, key=f"many:{now.date()}", now=now,
            subject=f"Many mails about the inquiry of {letter.person}",
            text=f"More than {_MOST_TOLD} mails about it came within a day. Of those that follow today you are not "
            f"told:\n  clarion inquiry show {row.id}\n",
        )  # fmt: skip
    return f"inquiry {row.id}: one more mail"


def _answered(connection: Connection, circumstances: Circumstances, written: Written, now: datetime) -> str | None:
    """An employee wrote. With the inquiry's own address among the recipients, which only its notices name, that is the
    answer; None: it is none, for anybody can write in an employee's name."""
    number = inquiry_named(circumstances.workspace.secret, written.recipients)
    if number is None:
        return None
    row = connection.execute(
        select(inquiry).where(inquiry.c.id == number, inquiry.c.state == InquiryState.OPEN)
    ).one_or_none()  # fmt: skip
    if row is None:
        return f"inquiry {number} has ended"
    ids = list(dict.fromkeys([*row.mail_ids, *_own_ids(written.mail)]))
    connection.execute(update(inquiry).where(inquiry.c.id == row.id).values(mail_ids=ids))
    by = _employee(circumstances.settings, writers_of(written.mail)) or row.owner or "staff"
    end(connection, row.id, state=InquiryState.ANSWERED, by=by, outcome="answered by mail", now=now)
    return f"inquiry {row.id}: answered by {by}"


def _employee(settings: Settings, addresses: Iterable[str]) -> str | None:
    spelled = {comparable(address) for address in addresses}
    return next((name for name, one in settings.staff.items() if comparable(one.email) in spelled), None)
