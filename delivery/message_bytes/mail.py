"""One message to one person, before it becomes bytes."""

from datetime import datetime
from typing import NamedTuple

from delivery.message_bytes.files import EncodedFile


class CalendarText(NamedTuple):
    """An iCalendar object in CRLF lines, and the METHOD it names (S-7.4)."""

    text: str
    method: str


class Mail(NamedTuple):
    """Everything a message says. Equal mails become equal bytes.

    `message_id` is `unique@own.domain`, with or without its angle brackets; `date` is aware. `html` None means
    one plain part. `headers` are further header lines in order; none of them may be one that the writer writes
    itself, and no name may occur twice. A List-Unsubscribe, which is another one in each message, is the first of
    them: the others are kept from message to message. `images` are those that `html` shows, `attachments` go beside
    the text; `calendar` is one more form of what they say, the last and richest.
    """

    message_id: str
    date: datetime
    sender_name: str
    sender_email: str
    reply_to: str | None
    recipient_email: str
    recipient_name: str | None
    subject: str
    text: str
    html: str | None
    headers: tuple[tuple[str, str], ...] = ()
    images: tuple[EncodedFile, ...] = ()
    attachments: tuple[EncodedFile, ...] = ()
    calendar: CalendarText | None = None
