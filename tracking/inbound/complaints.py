"""Feedback reports of receivers about spam (ARF, RFC 5965): who complained about what."""

import re
from typing import Final

from tracking.feedback import FeedbackKind
from tracking.inbound.delivery_status import address_in, blocks
from tracking.inbound.findings import Finding
from tracking.inbound.mime import Mail, Part

_KIND: Final = "message/feedback-report"
#: Types that say that somebody did not want the mail; `not-spam` takes that back, `opt-out` leaves (RFC 5965, 6430).
_TYPES: Final = {
    "abuse": FeedbackKind.COMPLAINT, "fraud": FeedbackKind.COMPLAINT, "other": FeedbackKind.COMPLAINT,
    "virus": FeedbackKind.COMPLAINT, "miscategorized": FeedbackKind.COMPLAINT, "opt-out": FeedbackKind.UNSUBSCRIBE,
    "opt-out-list": FeedbackKind.UNSUBSCRIBE,
}  # fmt: skip
#: Fields that every report has exactly once (RFC 5965 section 3.1).
_ONCE: Final = ("feedback-type", "user-agent", "version")
_REDACTED: Final = re.compile(r"redacted|anonymi[sz]ed|^x+@|^[0-9a-f]{16,}@", re.IGNORECASE)


def complaint(mail: Mail) -> tuple[Finding, ...]:
    """What a feedback report says; empty where the mail is none.

    Redacted addresses are left out. A report that lacks its Feedback-Type, its User-Agent or its Version, or gives
    one of them twice, is no report and says nothing (S-4.6).
    """
    part = next((part for part in mail.top.walk() if part.kind == _KIND and part.enclosed == 0), None)
    if part is None:
        return ()
    fields = next(blocks(part), {})
    kind = _kind_of(part, fields)
    named = [address_in(fields.get(name, "")) for name in ("original-rcpt-to", "removal-recipient")]
    recipient = next((one for one in named if one is not None and not _REDACTED.search(one)), None)
    return (Finding(kind, recipient or _returned_to(mail), None, fields.get("feedback-type", "")[:60]),)


def _kind_of(part: Part, fields: dict[str, str]) -> FeedbackKind:
    text = "\n" + part.text(64 * 1024).lower()
    is_whole = all(len(re.findall(rf"\n{name}[ \t]*:", text)) == 1 for name in _ONCE)
    said = fields.get("feedback-type", "").split(";")[0].strip().lower()
    return _TYPES.get(said, FeedbackKind.UNKNOWN) if is_whole else FeedbackKind.UNKNOWN


def _returned_to(mail: Mail) -> str | None:
    """Whom the mail complained about was to, by its own header, unless that is redacted."""
    for part in mail.top.walk():
        if part.enclosed == 1:
            found = address_in(part.first("to"))
        elif part.kind == "text/rfc822-headers":
            found = address_in(next(blocks(part), {}).get("to", ""))
        else:
            continue
        return None if found is None or _REDACTED.search(found) else found
    return None
