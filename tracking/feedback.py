"""Feedback: what receivers, providers and people report about messages, in one vocabulary for all sources.

What reads a mail or a webhook says what it found in these words; `campaigns.feedback.take` decides what follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final


class FeedbackKind(StrEnum):
    """What was reported. Words nobody knows yet are `unknown`: the event is kept and counted."""

    DELIVERED = "delivered"  #: the receiving server took the message
    HARD = "hard"  #: the address does not exist
    SOFT = "soft"  #: it did not work this time; only its repetition means anything
    MAILBOX_FULL = "mailbox_full"  #: soft, with a counter of its own
    BLOCK = "block"  #: the sender is not wanted there; nobody is suppressed for it
    MESSAGE_FAULT = "message_fault"  #: the message itself is at fault; nobody is suppressed for it
    DELAYED = "delayed"  #: still tried; changes nothing
    COMPLAINT = "complaint"  #: reported as spam
    AUTO_REPLY = "auto_reply"  #: a machine answered; neither bounce nor reply
    UNSUBSCRIBE = "unsubscribe"  #: wants no more mail, by mail or through the provider's own page
    REPLY = "reply"  #: a person answered
    OPENED = "opened"  #: the provider's own pixel or link was fetched; counted, never followed by anything
    CLICKED = "clicked"  #: the same
    UNKNOWN = "unknown"  #: not understood


#: Kinds that end a message's delivery as a bounce.
BOUNCES: Final = frozenset(
    {
        FeedbackKind.HARD,
        FeedbackKind.SOFT,
        FeedbackKind.MAILBOX_FULL,
        FeedbackKind.BLOCK,
        FeedbackKind.MESSAGE_FAULT,
    }
)


class MatchedBy(StrEnum):
    """What tells which message is meant, in the order in which they are tried (S-4.4)."""

    VERP = "verp"  #: the return path it came back to: signed by us
    ENVELOPE_ID = "envelope_id"  #: ENVID of a delivery status notification
    MESSAGE_ID = "message_id"  #: our Message-ID in the headers that came back
    HEADER = "header"  #: a signed token in another header that came back, or in what was written to us
    ADDRESS = "address"  #: only the address and the time: anybody may have written that


@dataclass(frozen=True, slots=True)
class Reply:
    """A person's answer, as it came. Texts are for people to read, never for templates."""

    sender: str  # the address of From, or of Reply-To where they named one
    subject: str
    text: str  # the plain part, or the HTML part as text
    original: bytes = field(repr=False)  # the whole mail, attachments included


@dataclass(frozen=True, slots=True)
class Feedback:
    """One thing reported about one recipient of one message.

    `message_id` is set by who reads the report when a signed token proves it, with `matched_by`. Otherwise `named`
    holds the Message-IDs and envelope ids that came back (any case, brackets allowed), which `take` looks up among the
    messages of `address`. `is_verified`: the report itself was signed by a provider, so that what it says of an
    address counts even if no message is known. What is neither proven nor verified is recorded and changes nothing.
    """

    kind: FeedbackKind
    source: str  # mail, ses, sendgrid, mailgun or postmark
    event_key: str  # equal whenever the same event is reported again; starts with the source
    occurred_at: datetime  # aware
    address: str | None = None  # as the reporter writes it
    message_id: int | None = None
    matched_by: MatchedBy | None = None
    named: tuple[str, ...] = ()
    also: tuple[str, ...] = ()  # other addresses that a message which is named may have gone to
    is_verified: bool = False
    is_final: bool = True  # of a bounce: False when the message is still tried; it is counted only
    status: str | None = None  # RFC 3463, for example 5.1.1
    diagnostic: str | None = None  # the reporter's words; cut to 500 characters, local parts masked
    topic: str | None = None  # of an opt-out: from this topic; None: from the message's topic, else everything
    everything: bool = False  # of an opt-out: from everything
    reply: Reply | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)  # what else is worth keeping; no addresses, no texts
