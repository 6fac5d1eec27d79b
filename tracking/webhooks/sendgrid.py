"""SendGrid's event webhook, signed with ECDSA over the timestamp and the raw body (S-4.12, S-4.13)."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from core.webhook_settings import SendGrid
from tracking.feedback import Feedback, FeedbackKind
from tracking.webhooks.failures import bounce_kind, status_in
from tracking.webhooks.genuine import (
    Arrived,
    NotGenuine,
    Unreadable,
    check_age,
    document,
    instant,
    items,
    unsigned,
    words,
)
from tracking.webhooks.proof import Tokens, names

SOURCE: Final = "sendgrid"
SIGNATURE: Final = "x-twilio-email-event-webhook-signature"
TIMESTAMP: Final = "x-twilio-email-event-webhook-timestamp"
_K = FeedbackKind
_EVENTS: Final[Mapping[str, FeedbackKind]] = {
    "deferred": _K.DELAYED, "delivered": _K.DELIVERED, "bounce": _K.HARD, "dropped": _K.MESSAGE_FAULT,
    "spamreport": _K.COMPLAINT, "unsubscribe": _K.UNSUBSCRIBE, "group_unsubscribe": _K.UNSUBSCRIBE,
    "open": _K.OPENED, "click": _K.CLICKED,
}  # fmt: skip
#: Events that say nothing new: SendGrid took the message. Nobody is resubscribed by a provider.
_SILENT: Final = frozenset({"processed", "group_resubscribe"})
#: Why SendGrid did not even try.
_DROPPED: Final = (
    ("bounced address", _K.HARD), ("invalid smtpapi", _K.MESSAGE_FAULT),
    ("invalid", _K.HARD), ("spam reporting address", _K.COMPLAINT),
    ("unsubscribed", _K.UNSUBSCRIBE), ("spam content", _K.BLOCK), ("recipient list over", _K.BLOCK),
)  # fmt: skip


def verify(arrived: Arrived, settings: SendGrid) -> None:
    """Nothing, when SendGrid signed the request within the last minutes.

    Raises:
        NotGenuine: it did not.
    """
    signature, stamp = arrived.headers.get(SIGNATURE), arrived.headers.get(TIMESTAMP)
    if not signature or not stamp:
        raise unsigned("the signature or its timestamp")
    key = load_der_public_key(base64.b64decode(settings.public_key))
    assert isinstance(key, EllipticCurvePublicKey)  # noqa: S101  the settings took no other
    try:
        key.verify(base64.b64decode(signature, validate=True), stamp.encode() + arrived.body, ECDSA(SHA256()))
        signed_at = instant(stamp)
    except (InvalidSignature, binascii.Error, ValueError):
        raise NotGenuine("the signature is wrong") from None
    check_age(signed_at, arrived.now, settings.max_age)


def read(arrived: Arrived, settings: SendGrid, tokens: Tokens) -> list[Feedback]:
    """The events of a verified request.

    Raises:
        Unreadable: it is not a list of events.
    """
    found = document(arrived.body)
    if not isinstance(found, list):
        raise Unreadable("the body is not a list of events")
    events = [event for event in items(found) if str(event.get("event")) not in _SILENT]
    return [_feedback(event, arrived, settings, tokens) for event in events]


def _feedback(event: Mapping[str, Any], arrived: Arrived, settings: SendGrid, tokens: Tokens) -> Feedback:
    name = words(event.get("event"), 50) or "?"
    kind = _kind(name, event)
    message_id, by = tokens.proof(return_path=event.get("return_path"), unsubscribe=event.get("list-unsubscribe"))
    group = event.get("asm_group_id") if isinstance(event.get("asm_group_id"), int) else None
    try:
        occurred_at = instant(event.get("timestamp"))
    except ValueError:
        occurred_at = arrived.now
    address = words(event.get("email"), 320)
    event_id = words(event.get("sg_event_id"), 200) or _digest(event)
    return Feedback(
        kind=kind,
        source=SOURCE,
        event_key=f"{SOURCE}:{event_id}",
        occurred_at=occurred_at,
        address=address,
        message_id=message_id,
        matched_by=by,
        named=names([event.get("smtp-id")]),
        is_verified=True,
        status=words(event.get("status"), 20) or status_in([event.get("reason"), event.get("response")]),
        diagnostic=words(event.get("reason")) or words(event.get("response")),
        topic=settings.groups.get(str(group)) if name == "group_unsubscribe" else None,
        everything=name == "unsubscribe",
        detail={"event": name, "type": words(event.get("type"), 50), "group": group}
        | ({"machine": True} if event.get("sg_machine_open") is True else {}),
    )


def _digest(event: Mapping[str, Any]) -> str:
    """What makes a repeated report the same one, where it has no id."""
    return hashlib.sha256(json.dumps(event, sort_keys=True).encode()).hexdigest()


def _kind(name: str, event: Mapping[str, Any]) -> FeedbackKind:
    texts = [event.get("status"), event.get("reason"), event.get("response")]
    if name == "bounce":
        return _K.BLOCK if event.get("type") == "blocked" else bounce_kind(texts, _K.HARD)
    if name == "dropped":
        reason = str(event.get("reason") or "").lower()
        return next((kind for begin, kind in _DROPPED if reason.startswith(begin)), _K.MESSAGE_FAULT)
    return _EVENTS.get(name, _K.UNKNOWN)
