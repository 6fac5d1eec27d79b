"""Amazon SES: its notifications and events, each with any number of recipients (S-4.16)."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tracking.feedback import Feedback, FeedbackKind
from tracking.webhooks.failures import bounce_kind, status_in
from tracking.webhooks.genuine import document, fields, items, words, written_instant
from tracking.webhooks.proof import Tokens, names
from tracking.webhooks.sns import Envelope

SOURCE: Final = "ses"
_K = FeedbackKind
#: SES took the message: nothing new.
_SILENT: Final = frozenset({"Send", "AmazonSnsSubscriptionSucceeded"})
#: Bounces by type and sub-type; a type alone where the sub-type is not named.
_BOUNCES: Final[Mapping[tuple[str, str | None], FeedbackKind]] = {
    ("Permanent", None): _K.HARD, ("Transient", None): _K.SOFT, ("Undetermined", None): _K.SOFT,
    ("Transient", "MailboxFull"): _K.MAILBOX_FULL, ("Transient", "MessageTooLarge"): _K.MESSAGE_FAULT,
    ("Transient", "ContentRejected"): _K.MESSAGE_FAULT, ("Transient", "AttachmentRejected"): _K.MESSAGE_FAULT,
}  # fmt: skip
#: Sub-types whose meaning no words of a server change: SES did not even try.
_NOT_TRIED: Final = frozenset({"Suppressed", "OnAccountSuppressionList"})
_ALONE: Final[Mapping[str, FeedbackKind]] = {
    "Open": _K.OPENED, "Click": _K.CLICKED, "Reject": _K.MESSAGE_FAULT, "Rendering Failure": _K.MESSAGE_FAULT,
}  # fmt: skip


def read(envelope: Envelope, tokens: Tokens) -> list[Feedback]:
    """The events of a verified envelope, one a recipient.

    Raises:
        Unreadable: its message is no JSON.
    """
    if not envelope.message:
        return []
    event = fields(document(envelope.message))
    name = words(event.get("notificationType"), 50) or words(event.get("eventType"), 50) or "?"
    if name in _SILENT or "mail" not in event:  # the latter: the text with which a topic is tried
        return []
    return list(_each(name, event, envelope, tokens))


def _each(name: str, event: Mapping[str, Any], envelope: Envelope, tokens: Tokens) -> Iterator[Feedback]:
    mail = fields(event["mail"])
    told = fields(event.get(name[:1].lower() + name[1:]))
    message_id, by = tokens.proof(return_path=mail.get("source"), unsubscribe=_header(mail, "list-unsubscribe"))
    sent_as = words(mail.get("messageId"), 200) or envelope.message_id
    identity = words(told.get("feedbackId"), 200) or f"{sent_as}:{name}"
    for recipient in _recipients(name, told, mail):
        address = words(recipient.get("emailAddress"), 320)
        diagnostic = words(recipient.get("diagnosticCode")) or words(told.get("smtpResponse"))
        status = words(recipient.get("status"), 20)
        yield Feedback(
            kind=_kind(name, told, status, diagnostic),
            source=SOURCE,
            event_key=f"{SOURCE}:{identity}:{(address or '').lower()}",
            occurred_at=written_instant(told.get("timestamp"), envelope.sent_at),
            address=address,
            message_id=message_id,
            matched_by=by,
            named=names([fields(mail.get("commonHeaders")).get("messageId"), _header(mail, "message-id")]),
            is_verified=True,
            status=status or status_in([diagnostic]),
            diagnostic=diagnostic,
            detail={
                "event": name,
                "type": words(told.get("bounceType"), 50) or words(told.get("complaintFeedbackType"), 50),
                "subtype": words(told.get("bounceSubType"), 50) or words(told.get("complaintSubType"), 50),
            },
        )


def _recipients(name: str, told: Mapping[str, Any], mail: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Whom the event is about: never simply the first one the mail went to."""
    if name == "Bounce":
        return items(told.get("bouncedRecipients"))
    if name == "Complaint":
        return items(told.get("complainedRecipients"))
    if name == "DeliveryDelay":
        return items(told.get("delayedRecipients"))
    named = told.get("recipients") if name == "Delivery" else mail.get("destination")
    addresses = [one for one in named if isinstance(one, str)] if isinstance(named, list) else []
    return [{"emailAddress": one} for one in addresses[:1000]] or [{}]


def _header(mail: Mapping[str, Any], wanted: str) -> object:
    """A header field of the mail that was sent, where SES was told to include them."""
    return next(
        (one.get("value") for one in items(mail.get("headers"), 500) if str(one.get("name")).lower() == wanted), None
    )


def _kind(name: str, told: Mapping[str, Any], status: str | None, diagnostic: str | None) -> FeedbackKind:
    if name == "Bounce":
        kind, subtype = str(told.get("bounceType")), words(told.get("bounceSubType"), 50)
        verdict = _BOUNCES.get((kind, subtype)) or _BOUNCES.get((kind, None), _K.UNKNOWN)
        if subtype in _NOT_TRIED or verdict not in (_K.HARD, _K.SOFT):
            return verdict
        return bounce_kind([status, diagnostic], verdict)
    if name == "Complaint":
        return _K.UNKNOWN if told.get("complaintFeedbackType") == "not-spam" else _K.COMPLAINT
    if name == "Delivery":
        return _K.DELIVERED
    return _K.DELAYED if name == "DeliveryDelay" else _ALONE.get(name, _K.UNKNOWN)
