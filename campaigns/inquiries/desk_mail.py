"""Which desk a mail is for, and which inquiry it goes on about."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from campaigns.duty import Circumstances
from campaigns.feedback.matching import match
from campaigns.feedback.receiver import Receiver, comparable
from campaigns.inquiries.receiving import Source
from campaigns.inquiries.states import InquiryState
from campaigns.inquiries.tags import inquiry_named
from core.addresses import parse_address
from core.errors import AddressError
from core.ids import address_key
from core.mailboxes import count_for, limit_key, lock_mailbox
from core.people_lock import people_stay
from core.schema import customer, inquiry
from core.settings import Settings
from tracking.feedback import Feedback
from tracking.inbound.mime import Mail
from tracking.inbound.people import sender_of
from tracking.inbound.spotting import addresses_in

_KIND: Final = "inquiry-mail"
_DAY: Final = timedelta(days=1)
#: Of one mailbox, in a day; and of all who were nobody we know. What is more is passed on as replies are.
_MOST_A_DAY: Final = 20
_MOST_OF_STRANGERS: Final = 100
_WHERE: Final = ("delivered-to", "x-original-to", "envelope-to", "x-rcpt-to", "to", "cc")


@dataclass(frozen=True, slots=True)
class Written:
    """A mail that a person wrote. `key` tells it from every other; `about` is a message of ours it provably answers."""

    key: str
    mail: Mail
    envelope_to: str | None
    named: tuple[str, ...]  # the mails it answers
    about: int | None = None
    customer_id: int | None = None  # whose that message was

    @property
    def recipients(self) -> list[str]:
        """Whom it was sent to: by the envelope, and as its fields say."""
        fields = [value for name in _WHERE for value in self.mail.top.every(name)[:10]]
        return [one for value in (self.envelope_to or "", *fields) for one in addresses_in(value, 50)]


def written_of(
    connection: Connection, circumstances: Circumstances, reply: Feedback, mail: Mail, envelope_to: str | None
) -> Written:
    """The mail that `reply` reports, with the message of ours it provably answers."""
    found = match(connection, [reply], circumstances.workspace.secret)[0]
    if found.message is None or not found.is_proven:
        return Written(reply.event_key, mail, envelope_to, reply.named)
    return Written(reply.event_key, mail, envelope_to, reply.named, found.message.id, found.customer_id)


def desk_for(connection: Connection, circumstances: Circumstances, written: Written, now: datetime) -> str | None:
    """The desk the mail is for; None: none, or too many came from there.

    One about an open inquiry is for that one's desk, whatever address it went to.
    """
    settings = circumstances.settings
    if not settings.inquiries:
        return None
    known = thread_of(connection, circumstances, written)
    found = known.desk if known is not None and known.desk in settings.inquiries else None
    found = found or _addressed(settings, written.recipients)
    if found is None and written.about is not None:
        found = next((name for name, desk in settings.inquiries.items() if desk.replies), None)
    if found is None or inquiry_named(circumstances.workspace.secret, written.recipients) is not None:
        return found
    return None if _is_too_many(connection, circumstances, written, now) else found


def _addressed(settings: Settings, addresses: Iterable[str]) -> str | None:
    desks = {
        comparable(address): (name, desk.tagged)
        for name, desk in settings.inquiries.items()
        for address in desk.addresses
    }
    for address in addresses:
        local, _, domain = address.rpartition("@")
        exact, untagged = desks.get(comparable(address)), desks.get(comparable(f"{local.partition('+')[0]}@{domain}"))
        if exact is not None:
            return exact[0]
        if untagged is not None and untagged[1]:
            return untagged[0]
    return None


def _is_too_many(connection: Connection, circumstances: Circumstances, written: Written, now: datetime) -> bool:
    """Whether a mailbox wrote too often today, however its address is spelled, or people nobody knows did."""
    try:
        address = parse_address(sender_of(written.mail) or "")
    except AddressError:
        return True  # nobody could answer: it is passed on as it is
    secret = circumstances.workspace.secret
    people_stay(connection)
    mailbox = limit_key(secret, address)
    lock_mailbox(connection, mailbox)
    # Who passes on what came to them writes more often; but anybody can write in an employee's name.
    is_own = Receiver.of(circumstances.workspace).is_own(address.email)
    if not count_for(connection, _KIND, mailbox, _MOST_OF_STRANGERS if is_own else _MOST_A_DAY, _DAY, now):
        return True
    if is_own:
        return False
    key = address_key(secret, address.comparable)
    is_known = connection.execute(select(customer.c.id).where(customer.c.address_key == key).limit(1)).first()
    if is_known is not None:
        return False
    recent = (inquiry.c.source == Source.MAIL) & (inquiry.c.received_at > now - _DAY)
    made = select(func.count()).select_from(inquiry).join(customer, customer.c.id == inquiry.c.customer_id)
    strangers = made.where(recent, func.starts_with(func.coalesce(customer.c.source, ""), "inquiry:"))
    return int(connection.execute(strangers).scalar_one()) >= _MOST_OF_STRANGERS


def thread_of(
    connection: Connection, circumstances: Circumstances, written: Written, *, lock: bool = False
) -> Row[Any] | None:
    """The inquiry the mail goes on about: by its own address, by the mails it was made of, by what acknowledged it."""
    number = inquiry_named(circumstances.workspace.secret, written.recipients)
    ways = [inquiry.c.id == number] if number is not None else []
    ways += [inquiry.c.mail_ids.overlap(list(written.named))] if written.named else []
    ways += [inquiry.c.message_id == written.about] if written.about is not None else []
    for way in ways:
        query = select(inquiry).where(way).order_by(inquiry.c.state != InquiryState.OPEN, inquiry.c.id.desc()).limit(1)
        row = connection.execute(query.with_for_update() if lock else query).one_or_none()
        if row is not None:
            return row
    return None
