"""Delivery status notifications (RFC 3464), each recipient apart (S-4.1), also the slightly malformed ones."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from tracking.feedback import FeedbackKind
from tracking.inbound.charsets import decoded_header
from tracking.inbound.failures import failure
from tracking.inbound.findings import Action, Finding
from tracking.inbound.mime import Mail, Part
from tracking.inbound.report_text import near
from tracking.inbound.spotting import recipient_in

_KINDS: Final = ("message/delivery-status", "message/global-delivery-status")
_LONGEST: Final = 128 * 1024
#: Of one mail: parts, groups of fields, and recipients. A message of ours has one recipient.
_PARTS: Final = 20
_GROUPS: Final = 1000
_RECIPIENTS: Final = 100
_FIELD: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,60})[ \t]*:[ \t]*(.{0,2000})")
_ACTIONS: Final = {
    "fail": Action.FAILED, "error": Action.FAILED, "delay": Action.DELAYED, "delivered": Action.DELIVERED,
    "relay": Action.RELAYED, "expand": Action.EXPANDED,
}  # fmt: skip
_NAMED: Final = frozenset({"final-recipient", "original-recipient"})
_COMMENT: Final = 1000
Fields = dict[str, str]


@dataclass(frozen=True, slots=True)
class Notification:
    """What a notification says: of the message as a whole, and of each recipient."""

    envelope_id: str | None
    findings: tuple[Finding, ...]


def notification(mail: Mail, words: str) -> Notification | None:
    """What the mail's delivery status parts say; None where it has none that names a recipient.

    `words`: the text for people beside them, for causes that the fields do not give.
    """
    parts = [part for part in mail.top.walk() if part.kind in _KINDS][:_PARTS]
    envelope_id = None
    groups: dict[tuple[str | None, Action], Fields] = {}
    room = _GROUPS
    for part in parts:
        for number, block in enumerate(islice(blocks(part), room)):
            room -= 1
            if number == 0:
                envelope_id = envelope_id or block.get("original-envelope-id")
            if (number or _NAMED & block.keys()) and (place := _place(block)) is not None:
                groups.setdefault(place, block)  # each recipient once with each action: servers repeat themselves
    chosen = islice(groups.items(), _RECIPIENTS)
    found = tuple(_finding(action, block, words) for (_, action), block in chosen)
    return Notification(envelope_id, found) if found else None


def blocks(part: Part) -> Iterator[Fields]:
    """The groups of fields of a report, which blank lines part; names in lower case."""
    block: Fields = {}
    last = ""
    for line in part.text(_LONGEST).split("\n"):
        if not line.strip():
            if block:
                yield block
            block, last = {}, ""
        elif line[0] in " \t" and last:
            block[last] = f"{block[last]} {line.strip()}"[:4000]
        elif match := _FIELD.match(line):
            last = match[1].lower()
            block.setdefault(last, decoded_header(match[2].strip()))
    if block:
        yield block


def _place(block: Fields) -> tuple[str | None, Action] | None:
    """The recipient, in lower case, and what became of the message; None for a group that is about no recipient."""
    recipient = _recipient(block)
    said = block.get("action", "").lower()
    if recipient is None and not said:
        return None
    action = next((known for start, known in _ACTIONS.items() if said.startswith(start)), None)
    if action is None:  # left out, or a word of nobody else's
        action = Action.DELAYED if block.get("status", "").startswith("4") else Action.FAILED
    return recipient.lower() if recipient is not None else None, action


def _recipient(block: Fields) -> str | None:
    return address_in(block.get("original-recipient", "")) or address_in(block.get("final-recipient", ""))


def _finding(action: Action, block: Fields, words: str) -> Finding:
    recipient, status = _recipient(block), block.get("status", "")
    if action in (Action.FAILED, Action.DELAYED):
        diagnostic = " ".join(filter(None, (block.get("diagnostic-code"), block.get("x400-supplementary-info"))))
        comment = block.get("action", "").lower()[:_COMMENT].partition("(")[2].removesuffix(")")
        return failure(recipient, status, diagnostic, (comment, near(words, recipient or "", []), words), action)
    kind = FeedbackKind.DELIVERED if action is Action.DELIVERED else FeedbackKind.UNKNOWN
    return Finding(kind, recipient, status[:5] or None, block.get("diagnostic-code", ""), action)


def address_in(field: str) -> str | None:
    """The address in `rfc822; person@example.com`; None for other kinds of address."""
    kind, separator, rest = field.partition(";")
    if not separator:
        kind, rest = "", field
    if kind.strip().lower() not in ("", "rfc822", "utf-8", "smtp", "system"):
        return None
    found = recipient_in(rest)
    return found.rstrip(".,;") if found else None
