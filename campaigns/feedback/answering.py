"""A person answered: the customer's history knows it, somebody has to answer, and is told so by mail.

The customer is never written to here, so no mail loop can begin; and who writes on and on gets no more than so many
tasks and notices a day.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from campaigns import notices, tasks
from campaigns.feedback.matching import Match
from campaigns.feedback.receiver import Receiver
from core.addresses import parse_address
from core.errors import AddressError
from core.schema import activity, customer, feedback, hit
from core.staff_settings import responsible
from delivery.message_bytes import EncodedFile, encoded_attachment
from tracking.feedback import FeedbackKind, Reply

#: The activity that a reply is, for segments and rules: `did("reply")`.
ACTIVITY: Final = "reply"
#: Of one address, in a day, at most so many replies lead to tasks and notices.
_MOST_A_DAY: Final = 20
#: Of all who are no customers together: anybody can write any number of mails, each from another address.
_MOST_OF_STRANGERS: Final = 100
#: Names in `detail` the desk whose inquiry the letter is: that one's owner has it.
DESK: Final = "desk"
#: Marks in `detail` a letter that asks for something that people have to see to: it is always passed on.
ASKS_TO: Final = "asks_to"
_EXCERPT: Final = 4000
_TITLES: Final = {"unsubscribe": "See to the opt-out of"}
#: A line of mail has at most so many octets (RFC 5322 section 2.1.1).
_LONGEST_LINE: Final = 998


def answered(connection: Connection, found: Sequence[Match], receiver: Receiver, now: datetime) -> dict[str, str]:
    """Each reply has a task, and its notice is ordered; a proven one is an activity of its customer, and answers its
    message. Anybody can write a mail in somebody's name, so that no other changes a history.

    What followed in words, by event key. What our own people write is none. Repeat: not asked twice, `take` calls it
    for new events only. Atomic with the connection's transaction.
    """
    told = {}
    for one in found:
        reply = one.feedback.reply
        must_be_read = ASKS_TO in one.feedback.detail
        is_inquiry = DESK in one.feedback.detail  # `campaigns.inquiries.by_mail` sees to it
        if reply is not None and receiver.is_own(reply.sender) and not must_be_read:
            told[one.feedback.event_key] = "" if is_inquiry else "nothing: written by the organisation itself"
            continue
        words = [_remember(connection, one)] if one.counts and not must_be_read else []
        if is_inquiry:
            pass
        elif reply is not None and (must_be_read or not _is_too_many(connection, one, now)):
            words.append(_pass_on(connection, one, reply, receiver, now))
        elif reply is not None and one.customer_id is None:
            words.append(_sum_up(connection, receiver, now))
        told[one.feedback.event_key] = "; ".join(word for word in words if word)
    return told


def _remember(connection: Connection, one: Match) -> str:
    """The customer's history and the message's hits know of the reply."""
    said = one.feedback
    if one.message is not None and one.is_proven:
        connection.execute(
            hit.insert().values(message_id=one.message.id, kind="reply", occurred_at=said.occurred_at, label="human")
        )
    if one.customer_id is None:
        return ""
    properties = {"campaign": one.message.campaign, "message": one.message.id} if one.message is not None else {}
    row = {
        "customer_id": one.customer_id, "name": ACTIVITY, "occurred_at": said.occurred_at, "properties": properties,
        "source": said.source, "event_key": f"feedback:{said.event_key}",
    }  # fmt: skip
    connection.execute(insert(activity).values(row).on_conflict_do_nothing(index_elements=["event_key"]))
    return "activity: reply"


def _is_too_many(connection: Connection, one: Match, now: datetime) -> bool:
    """Counts the events, not the tasks: the ones before this count, whatever became of them."""
    recent = (feedback.c.kind == FeedbackKind.REPLY) & (feedback.c.recorded_at > now - timedelta(days=1))
    of_address = select(func.count()).where(recent, feedback.c.address_key == one.key)
    if int(connection.execute(of_address).scalar_one()) > _MOST_A_DAY:
        return True
    of_strangers = select(func.count()).where(recent, feedback.c.customer_id.is_(None))
    return one.customer_id is None and int(connection.execute(of_strangers).scalar_one()) > _MOST_OF_STRANGERS


def _sum_up(connection: Connection, receiver: Receiver, now: datetime) -> str:
    """One task a day says that more letters of people who are no customers came in than were passed on."""
    owner = responsible(receiver.staff, receiver.rules.replies_to)
    words = "More letters of strangers came in today than were passed on"
    body = f"{words}. `clarion inbound list` shows them.\n"
    tasks.create(connection, tasks.NewTask(f"replies:strangers:{now.date()}", "reply", words, body, owner), now)
    return ""


def _pass_on(connection: Connection, one: Match, reply: Reply, receiver: Receiver, now: datetime) -> str:
    """The task is on the list of the owner, or of whoever gets replies; that person has a notice under way."""
    person = _name(connection, one, reply)
    owner = responsible(receiver.staff, one.owner) or responsible(receiver.staff, receiver.rules.replies_to)
    task = tasks.NewTask(
        key=f"reply:{one.feedback.event_key}",
        kind="reply",
        title=f"{_TITLES.get(str(one.feedback.detail.get(ASKS_TO)), 'Answer the reply of')} {person}"[:150],
        body=_letter(one, reply, person),
        owner=owner,
        customer_id=one.customer_id,
        campaign=one.message.campaign if one.message is not None else None,
        message_id=one.message.id if one.message is not None else None,
        due_at=now if ASKS_TO in one.feedback.detail else now + receiver.rules.answer_within,
    )
    task_id = tasks.create(connection, task, now)
    words = f"task {task_id} for {owner or 'nobody yet'}" if task_id is not None else ""
    if owner is None or not receiver.senders:
        return words
    return f"{words}; notice to {owner}" if _notify(connection, one, reply, receiver, owner, person, now) else words


def _notify(
    connection: Connection, one: Match, reply: Reply, receiver: Receiver, owner: str, person: str, now: datetime
) -> bool:
    employee = receiver.staff[owner]
    wanted = notices.NewNotice(
        key=f"reply:{one.feedback.event_key}",
        recipient=employee.email,
        recipient_name=employee.name,
        subject=f"Reply of {person}: {reply.subject}",
        text=_letter(one, reply, person),
        reply_to=_usable(reply.sender),
        attachments=(original_part(reply.original),),
        customer_id=one.customer_id,
    )
    sender = next(iter(receiver.senders.values()))
    return notices.order(connection, wanted, secret=receiver.secret, sender=sender, now=now)


def _name(connection: Connection, one: Match, reply: Reply) -> str:
    """Who wrote, as an employee knows them."""
    if one.customer_id is None:
        return reply.sender or "somebody unknown"
    query = select(customer.c.first_name, customer.c.last_name, customer.c.company, customer.c.external_id)
    row = connection.execute(query.where(customer.c.id == one.customer_id)).one()
    name = " ".join(part for part in (row.first_name, row.last_name) if part)
    named = ", ".join(part for part in (name, row.company) if part)
    return f"{named} ({row.external_id})" if named else str(row.external_id)


def _letter(one: Match, reply: Reply, person: str) -> str:
    about = f"a message of the campaign {one.message.campaign}" if one.message is not None else "no known message"
    excerpt = reply.text.strip()[:_EXCERPT] or "(no text)"
    return (
        f"{person} wrote to us, answering {about}.\n"
        f"From: {' '.join(reply.sender.split())}\n"
        f"Subject: {' '.join(reply.subject.split())}\n\n"
        f"{excerpt}\n\n"
        "The whole mail is attached. An answer to this notice goes to them.\n"
    )


def _usable(email: str) -> str | None:
    try:
        return parse_address(email).email
    except AddressError:
        return None


def original_part(original: bytes) -> EncodedFile:
    """The mail as a part of another one, every octet of it kept: as a message where that may stand there as it is,
    else as a file (RFC 2046 section 5.2.1 allows no encoding of messages)."""
    lines = original.replace(b"\r\n", b"\n").split(b"\n")
    is_plain = original.isascii() and not any(b"\r" in line or b"\0" in line for line in lines)
    if not is_plain or max(map(len, lines)) > _LONGEST_LINE:
        return encoded_attachment("reply.eml", "application/octet-stream", original)
    head = b'Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename="reply.eml"\r\n\r\n'
    return EncodedFile("reply.eml", head + b"\r\n".join(lines).removesuffix(b"\r\n"))
