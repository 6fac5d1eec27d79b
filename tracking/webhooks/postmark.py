"""Postmark's webhooks, which are not signed: HTTPS, a login, and where they come from (S-4.17)."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any, Final

from core.webhook_settings import Postmark
from tracking.feedback import Feedback, FeedbackKind
from tracking.webhooks.failures import bounce_kind, status_in
from tracking.webhooks.genuine import Arrived, NotGenuine, document, equal, fields, unsigned, words, written_instant
from tracking.webhooks.proof import Tokens, names

SOURCE: Final = "postmark"
_K = FeedbackKind
#: Types of `Bounce`. A deactivation by hand or an unconfirmed address says nothing about the address.
_TYPES: Final[Mapping[str, FeedbackKind]] = {
    "HardBounce": _K.HARD, "BadEmailAddress": _K.HARD, "SoftBounce": _K.SOFT, "Transient": _K.SOFT,
    "DnsError": _K.SOFT, "Blocked": _K.BLOCK, "SpamNotification": _K.BLOCK, "DMARCPolicy": _K.BLOCK,
    "VirusNotification": _K.MESSAGE_FAULT, "SMTPApiError": _K.MESSAGE_FAULT,
    "TemplateRenderingFailed": _K.MESSAGE_FAULT, "AutoResponder": _K.AUTO_REPLY, "AddressChange": _K.AUTO_REPLY,
    "ChallengeVerification": _K.AUTO_REPLY, "SpamComplaint": _K.COMPLAINT, "Unsubscribe": _K.UNSUBSCRIBE,
}  # fmt: skip
_RECORDS: Final[Mapping[str, FeedbackKind]] = {
    "Delivery": _K.DELIVERED, "SpamComplaint": _K.COMPLAINT, "Open": _K.OPENED, "Click": _K.CLICKED,
}  # fmt: skip
_REASONS: Final[Mapping[str, FeedbackKind]] = {
    "HardBounce": _K.HARD, "SpamComplaint": _K.COMPLAINT, "ManualSuppression": _K.UNSUBSCRIBE,
}  # fmt: skip
_TIMES: Final = ("BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt")


def verify(arrived: Arrived, settings: Postmark) -> None:
    """Nothing, when the request brings our login, from where Postmark sends.

    Raises:
        NotGenuine: it does not.
    """
    scheme, _, encoded = arrived.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic" or not encoded.strip():
        raise unsigned("the login")
    try:
        given = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise NotGenuine("the login is wrong") from None
    if not equal(given, f"{settings.user}:{settings.password}"):
        raise NotGenuine("the login is wrong")
    if settings.networks and not _is_within(arrived.ip, settings.networks):
        raise NotGenuine("it does not come from where Postmark sends")


def _is_within(ip: str | None, networks: list[str]) -> bool:
    return ip is not None and any(ip_address(ip) in ip_network(network) for network in networks)


def read(arrived: Arrived, tokens: Tokens) -> list[Feedback]:
    """The event of a verified request."""
    event = fields(document(arrived.body))
    record = words(event.get("RecordType"), 50) or "?"
    kind = _kind(record, event)
    metadata = fields(event.get("Metadata"))
    message_id, by = tokens.proof(return_path=event.get("From"), unsubscribe=metadata.get("list-unsubscribe"))
    told = [event.get("Details"), event.get("Description")]
    occurred = next((event[name] for name in _TIMES if event.get(name)), None)
    return [
        Feedback(
            kind=kind,
            source=SOURCE,
            event_key=f"{SOURCE}:{record}:{_identity(event, arrived)}",
            occurred_at=written_instant(occurred, arrived.now),
            address=words(event.get("Email"), 320) or words(event.get("Recipient"), 320),
            message_id=message_id,
            matched_by=by,
            named=names([metadata.get("message-id")]),
            is_verified=True,
            status=status_in(told),
            diagnostic=next((text for text in (words(one) for one in told) if text), None),
            everything=record == "SubscriptionChange",
            detail={"event": record, "type": words(event.get("Type"), 50), "origin": words(event.get("Origin"), 50)},
        )
    ]


def _identity(event: Mapping[str, Any], arrived: Arrived) -> str:
    """What makes a repeated report the same one."""
    if isinstance(number := event.get("ID"), int):
        return str(number)
    return hashlib.sha256(arrived.body).hexdigest()


def _kind(record: str, event: Mapping[str, Any]) -> FeedbackKind:
    if record == "Bounce":
        kind = _TYPES.get(str(event.get("Type")), _K.UNKNOWN)
        told = [event.get("Details"), event.get("Description")]
        return bounce_kind(told[:1], kind) if kind in (_K.HARD, _K.SOFT) else kind
    if record == "SubscriptionChange":
        is_off = event.get("SuppressSending") is True
        return _REASONS.get(str(event.get("SuppressionReason")), _K.UNKNOWN) if is_off else _K.UNKNOWN
    return _RECORDS.get(record, _K.UNKNOWN)
