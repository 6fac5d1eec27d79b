"""A mail says that an inquiry was received. It repeats nothing of it: whose address that is was not proven (S-9.10)."""

import logging
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row

from campaigns import catalogue, transactional
from campaigns.duty import Circumstances
from campaigns.feedback.receiver import Receiver
from campaigns.inquiries.desks import title_of
from campaigns.inquiries.states import ANSWERS
from campaigns.transactional import Standing
from core.addresses import parse_address
from core.errors import AddressError, EngineError
from core.form_settings import PageLimits
from core.mailboxes import count, counted, limit_key
from core.units import format_duration

if TYPE_CHECKING:
    from campaigns.inquiries.receiving import NewInquiry

_log = logging.getLogger("clarion.inquiries")
_KIND: Final = "acknowledged"
#: Mail that answers mail goes to an address at most once in this time (S-4.8).
_ANSWERED_EVERY: Final = timedelta(days=7)
#: Mailboxes of programs, to which nothing is answered (RFC 3834 section 2).
_NOBODY: Final = re.compile(
    r"(mailer-daemon|postmaster|no-?reply|do-?not-?reply|owner-.*|.*-(owner|request|bounces?))@", re.IGNORECASE
)
#: Sources that vouch for what they pass on.
TRUSTED: Final = frozenset({"api", "operator"})


def acknowledge(
    connection: Connection, circumstances: Circumstances, row: Row[Any], wanted: "NewInquiry",
    standing: Standing | None, now: datetime,
) -> tuple[int | None, str]:  # fmt: skip
    """The message that says so, and why there is none or why it will not be sent; empty: all is well.

    Call under the mailbox's lock, unless the source vouches for what it passes on.

    Atomic with the connection's transaction.
    """
    desk = circumstances.settings.inquiries[row.desk]
    if desk.acknowledge is None:
        return None, ""
    if row.customer_id is None:
        return None, "they had themselves erased, so nothing is sent to them by itself"
    mailbox, limits = _mailbox(circumstances, row), circumstances.settings.pages.limits
    if mailbox is None:
        return None, "there is no address to write to"
    reason = _why_not(circumstances, row, wanted) or _too_many(connection, mailbox, wanted, limits, now)
    if reason is not None:
        return None, reason
    try:
        with connection.begin_nested():
            of = standing or transactional.standing(
                connection, catalogue.load(circumstances.workspace), desk.acknowledge
            )
            posted = transactional.post(
                connection,
                of,
                row.customer_id,
                key=f"inquiry-{row.id}",
                given=_given(circumstances, row, wanted),
                now=now,
            )
    except EngineError as error:  # the campaign's files have mistakes: the inquiry counts all the same
        _log.error("inquiry %d could not be acknowledged: %s", row.id, error)
        return None, f"the campaign {desk.acknowledge} cannot be sent: {error.message.splitlines()[0]}"
    if posted.skip_reason is not None:
        return None, posted.skip_reason
    count(connection, _KIND, mailbox, max(_ANSWERED_EVERY, limits.mail_every), now)
    return posted.message_id, ""


def _why_not(circumstances: Circumstances, row: Row[Any], wanted: "NewInquiry") -> str | None:
    """What forbids an answer to this address now."""
    if not wanted.is_answerable:
        return "nothing may be sent to this address by itself now"
    if _NOBODY.match(row.email) or Receiver.of(circumstances.workspace).is_own(row.email):
        return "nothing is answered to this address"
    return None


def _too_many(
    connection: Connection, key: UUID, wanted: "NewInquiry", limits: PageLimits, now: datetime
) -> str | None:  # fmt: skip
    """What of the mailbox's limits forbids one more; whatever tags and dots an address is spelled with (S-9.10)."""
    if wanted.source == "mail" and counted(connection, _KIND, key, _ANSWERED_EVERY, now):
        return f"another mail of theirs was answered in the last {_ANSWERED_EVERY.days} days"
    of_late = counted(connection, _KIND, key, limits.mail_every, now)
    if of_late < limits.inquiries:
        return None
    return f"{of_late} inquiries of theirs were acknowledged in the last {format_duration(limits.mail_every)}"


def _mailbox(circumstances: Circumstances, row: Row[Any]) -> UUID | None:
    try:
        return limit_key(circumstances.workspace.secret, parse_address(row.email or ""))
    except AddressError:
        return None


def _given(circumstances: Circumstances, row: Row[Any], wanted: "NewInquiry") -> dict[str, Any]:
    """What the campaign's template may name as `given.…`."""
    settings = circumstances.settings
    desk = settings.inquiries[row.desk]
    due = row.due_at.astimezone(ZoneInfo(desk.zone(settings.organisation.zone)))
    return {
        "number": row.id, "desk": title_of(desk, row.language), "language": row.language or "",
        "within": format_duration(desk.deadline), "due_date": f"{due:%Y-%m-%d}", "due_time": f"{due:%H:%M}",
        "subject": row.subject if wanted.source in TRUSTED else "",
        ANSWERS: str(wanted.source) if wanted.source == "mail" else "",
    }  # fmt: skip
