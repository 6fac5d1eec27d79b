"""Notices: mail to employees, kept until a mail server took it. Writes the table staff_notice.

They are no messages of the ledger: they go to the staff, with an empty return path and marked as automatic, so that no
vacation program answers them and none of them ever comes back (S-4.8, RFC 3834).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ARRAY, BIGINT, Connection, Text, bindparam, select, text
from sqlalchemy.dialects.postgresql import TIMESTAMP, insert

from campaigns.message_ids import message_id_of
from core.plain_text import one_line
from core.schema import staff_notice
from core.settings import Sender
from delivery.message_bytes import AUTOMATIC_HEADERS, EncodedFile, Mail, write_message
from delivery.smtp import Outcome, OutcomeState

#: Characters of a header.
_LONGEST: Final = 150
#: A notice handed over to a worker that was lost is sent again after this long: rather twice than never.
LEASE: Final = timedelta(minutes=10)
#: Waits before the next attempts; after the last of them a notice has failed.
WAITS: Final = (
    timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4),
    timedelta(hours=12), timedelta(days=1), timedelta(days=2),
)  # fmt: skip
#: So many go in one go.
_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class NewNotice:
    """What is to be told. `key` is equal whenever the same thing is to be told again."""

    key: str
    recipient: str  # an address of the staff
    recipient_name: str
    subject: str  # cleaned and cut here
    text: str
    reply_to: str | None = None  # whom an answer goes to
    attachments: tuple[EncodedFile, ...] = ()
    customer_id: int | None = None


def order(connection: Connection, wanted: NewNotice, *, secret: bytes, sender: Sender, now: datetime) -> bool:
    """The notice will be sent; False: one with this key was ordered before.

    Repeat: safe, also concurrently. Atomic with the connection's transaction.
    """
    subject = one_line(wanted.subject)[:_LONGEST]  # it may come from strangers
    mail = Mail(
        message_id=message_id_of(secret, f"notice|{wanted.key}", sender.email),
        date=now,
        sender_name=sender.name,
        sender_email=sender.email,
        reply_to=wanted.reply_to,
        recipient_email=wanted.recipient,
        recipient_name=one_line(wanted.recipient_name)[:_LONGEST],
        subject=subject,
        text=wanted.text,
        html=None,
        headers=AUTOMATIC_HEADERS,
        attachments=wanted.attachments,
    )
    row = {
        "notice_key": wanted.key, "recipient": wanted.recipient, "subject": subject, "content": write_message(mail),
        "customer_id": wanted.customer_id, "not_before": now, "created_at": now,
    }  # fmt: skip
    added = insert(staff_notice).values(row).on_conflict_do_nothing(index_elements=["notice_key"])
    return connection.execute(added.returning(staff_notice.c.id)).first() is not None


@dataclass(frozen=True, slots=True)
class Notice:
    """One that is to go now."""

    id: int
    recipient: str
    content: bytes


#: A notice waits to be sent at `:now`.
IS_DUE: Final = """
    EXISTS (SELECT FROM staff_notice WHERE state IN ('planned', 'handed_over') AND not_before <= :now)
"""
_CLAIM: Final = text(f"""
    WITH due AS MATERIALIZED (
        SELECT id FROM staff_notice WHERE state IN ('planned', 'handed_over') AND not_before <= :now
        ORDER BY not_before, id LIMIT {_MOST} FOR UPDATE SKIP LOCKED
    )
    UPDATE staff_notice AS n SET state = 'handed_over', attempt_count = attempt_count + 1, not_before = :again_at
    FROM due WHERE n.id = due.id RETURNING n.id, n.recipient, n.content
""")  # noqa: S608  a constant


def claim(connection: Connection, now: datetime) -> list[Notice]:
    """Notices that are to go now, handed over to the caller alone until `LEASE` has passed."""
    found = connection.execute(_CLAIM, {"now": now, "again_at": now + LEASE})
    return sorted((Notice(row.id, row.recipient, bytes(row.content)) for row in found), key=lambda one: one.id)


_SETTLE: Final = text("""
    UPDATE staff_notice AS n
    SET state = s.state, fault = s.fault, not_before = coalesce(s.not_before, n.not_before),
        sent_at = CASE WHEN s.state = 'accepted' THEN :now END,
        content = CASE WHEN s.state = 'accepted' THEN NULL ELSE n.content END
    FROM unnest(:ids, :states, :faults, :times) AS s(id, state, fault, not_before)
    WHERE n.id = s.id AND n.state = 'handed_over'
""").bindparams(
    bindparam("ids", type_=ARRAY(BIGINT)),
    bindparam("states", type_=ARRAY(Text)),
    bindparam("faults", type_=ARRAY(Text)),
    bindparam("times", type_=ARRAY(TIMESTAMP(timezone=True))),
)


def settle(connection: Connection, answers: Sequence[tuple[int, Outcome]], now: datetime) -> None:
    """What the mail server said of the notices is written down; what it did not take waits for its next attempt.

    Only an acceptance ends a notice without a fault. Repeat: safe. Atomic with the connection's transaction.
    """
    if not answers:
        return
    ids = [notice_id for notice_id, _ in answers]
    query = select(staff_notice.c.id, staff_notice.c.attempt_count).where(staff_notice.c.id.in_(ids))
    counts = {row.id: row.attempt_count for row in connection.execute(query)}
    ends = [_end(outcome, counts.get(notice_id, 1), now) for notice_id, outcome in answers]
    given = {
        "ids": ids, "states": [end[0] for end in ends], "faults": [end[1] for end in ends],
        "times": [end[2] for end in ends], "now": now,
    }  # fmt: skip
    connection.execute(_SETTLE, given)


def _end(outcome: Outcome, attempt_count: int, now: datetime) -> tuple[str, str | None, datetime | None]:
    """State, fault, and when it is tried again. In doubt it is sent again: told twice is better than not told."""
    if outcome.state is OutcomeState.ACCEPTED:
        return "accepted", None, None
    if outcome.state is OutcomeState.FAILED or attempt_count > len(WAITS):
        return "failed", outcome.reply, None
    return "planned", outcome.reply, now + WAITS[attempt_count - 1]


_PUT_BACK: Final = text("""
    UPDATE staff_notice SET state = 'planned', fault = :fault, not_before = :again_at, attempt_count = attempt_count - 1
    WHERE id = ANY(:ids) AND state = 'handed_over'
""").bindparams(bindparam("ids", type_=ARRAY(BIGINT)))


def put_back(connection: Connection, ids: Sequence[int], fault: str, again_at: datetime) -> None:
    """The notices were never offered to a server, and are tried again at `again_at`. Repeat: safe."""
    if ids:
        connection.execute(_PUT_BACK, {"ids": list(ids), "fault": fault[:500], "again_at": again_at})
