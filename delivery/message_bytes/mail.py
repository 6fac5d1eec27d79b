"""One message to one person, before it becomes bytes."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Mail:
    """Everything a message says. Equal mails become equal bytes.

    `message_id` is `unique@own.domain`, with or without its angle brackets; `date` is aware. `html` None means
    one plain part. `headers` are further header lines in order; none of them may be one that the writer writes
    itself, and no name may occur twice.
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
