"""Mailgun's webhooks, signed with HMAC over a timestamp and a token, not over the event (S-4.14).

So whoever sees one request could change its event: requests come over HTTPS only, and each token counts once.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from core.webhook_settings import Mailgun
from tracking.feedback import Feedback, FeedbackKind
from tracking.webhooks.failures import bounce_kind, status_in
from tracking.webhooks.genuine import (
    Arrived,
    NotGenuine,
    Unreadable,
    check_age,
    document,
    equal,
    fields,
    instant,
    unsigned,
    words,
)
from tracking.webhooks.proof import Tokens, names

SOURCE: Final = "mailgun"
_K = FeedbackKind
_EVENTS: Final[Mapping[str, FeedbackKind]] = {
    "delivered": _K.DELIVERED, "complained": _K.COMPLAINT, "unsubscribed": _K.UNSUBSCRIBE, "rejected": _K.MESSAGE_FAULT,
    "opened": _K.OPENED, "clicked": _K.CLICKED,
}  # fmt: skip
_STAMP: Final = re.compile(r"[0-9]{10}")
_TOKEN: Final = re.compile(r"[0-9A-Za-z_-]{20,100}")
#: Mailgun took or kept the message: nothing new.
_SILENT: Final = frozenset({"accepted", "stored"})
#: Why Mailgun did not try, or gave up: its own words.
_REASONS: Final[Mapping[str, FeedbackKind]] = {
    "suppress-bounce": _K.HARD, "suppress-complaint": _K.COMPLAINT, "suppress-unsubscribe": _K.UNSUBSCRIBE,
    "espblock": _K.BLOCK, "old": _K.SOFT, "greylisted": _K.SOFT,
}  # fmt: skip


def verify(arrived: Arrived, settings: Mailgun) -> tuple[bytes, datetime]:
    """A digest of the signature, which counts once, and the instant from which its age keeps it out.

    Raises:
        NotGenuine: Mailgun did not sign the request, or long ago.
    """
    signature = fields(fields(_envelope(arrived)).get("signature"))
    stamp, token, given = (signature.get(name) for name in ("timestamp", "token", "signature"))
    if not (isinstance(token, str) and isinstance(given, str) and isinstance(stamp, str | int) and token and given):
        raise unsigned("the signature")
    # Nothing stands between the two in what is signed: of another length they would be another pair, signed as well.
    if not (_STAMP.fullmatch(str(stamp)) and _TOKEN.fullmatch(token)):
        raise NotGenuine("the signature is wrong")
    expected = hmac.new(settings.signing_key.encode(), f"{stamp}{token}".encode(), hashlib.sha256).hexdigest()
    if not equal(expected, given):
        raise NotGenuine("the signature is wrong")
    signed_at = instant(stamp)
    check_age(signed_at, arrived.now, settings.max_age)
    return hashlib.sha256(b"mailgun:" + expected.encode()).digest(), signed_at + settings.max_age


def _envelope(arrived: Arrived) -> object:
    """The whole document: the signature is inside it. What is no JSON is not signed."""
    try:
        return document(arrived.body)
    except Unreadable:
        raise unsigned("the signature") from None


def read(arrived: Arrived, tokens: Tokens) -> list[Feedback]:
    """The event of a verified request; none where it says nothing new."""
    event = fields(fields(document(arrived.body)).get("event-data"))
    name = words(event.get("event"), 50) or "?"
    return [] if name in _SILENT else [_feedback(name, event, arrived, tokens)]


def _feedback(name: str, event: Mapping[str, Any], arrived: Arrived, tokens: Tokens) -> Feedback:
    status = fields(event.get("delivery-status"))
    headers = fields(fields(event.get("message")).get("headers"))
    message_id, by = tokens.proof(
        return_path=fields(event.get("envelope")).get("sender"), unsubscribe=headers.get("list-unsubscribe")
    )
    try:
        occurred_at = instant(event.get("timestamp"))
    except ValueError:
        occurred_at = arrived.now
    severity = words(event.get("severity"), 20)
    told = [status.get("enhanced-code"), status.get("message"), status.get("description")]
    return Feedback(
        kind=_kind(name, event, severity, told),
        source=SOURCE,
        event_key=f"{SOURCE}:{words(event.get('id'), 200) or hashlib.sha256(arrived.body).hexdigest()}",
        occurred_at=occurred_at,
        address=words(event.get("recipient"), 320),
        message_id=message_id,
        matched_by=by,
        named=names([headers.get("message-id")]),
        is_verified=True,
        is_final=severity != "temporary",
        status=status_in(told),
        diagnostic=next((text for text in (words(one) for one in told[1:]) if text), None),
        detail={"event": name, "severity": severity, "reason": words(event.get("reason"), 50), "code": _code(status)},
    )


def _code(status: Mapping[str, Any]) -> int | None:
    code = status.get("code")
    return code if isinstance(code, int) else None


def _kind(name: str, event: Mapping[str, Any], severity: str | None, told: list[object]) -> FeedbackKind:
    if name != "failed":
        return _EVENTS.get(name, _K.UNKNOWN)
    known = _REASONS.get(str(event.get("reason")))
    if severity == "temporary":
        return _K.BLOCK if known is _K.BLOCK else bounce_kind(told, _K.SOFT)
    return known if known is not None else bounce_kind(told, _K.HARD)
