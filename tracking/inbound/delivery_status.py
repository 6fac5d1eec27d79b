"""Delivery status notifications (RFC 3464), each recipient apart (S-4.1), also the slightly malformed ones."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tracking.feedback import FeedbackKind
from tracking.inbound.charsets import decoded_header
from tracking.inbound.failures import failure
from tracking.inbound.findings import Action, Finding
from tracking.inbound.mime import Mail, Part
from tracking.inbound.report_text import near

_KINDS: Final = ("message/delivery-status", "message/global-delivery-status")
_LONGEST: Final = 128 * 1024
_RECIPIENTS: Final = 1000
_FIELD: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,60})[ \t]*:[ \t]*(.{0,2000})")
_BARE: Final = re.compile(r"<?([^\s<>;@]{1,256}@[^\s<>;@]{1,256})>?")
_ACTIONS: Final = {
    "fail": Action.FAILED, "error": Action.FAILED, "delay": Action.DELAYED, "delivered": Action.DELIVERED,
    "relay": Action.RELAYED, "expand": Action.EXPANDED,
}  # fmt: skip
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
    parts = [part for part in mail.top.walk() if part.kind in _KINDS]
    if not parts:
        return None
    envelope_id, found = None, []
    for part in parts:
        head, *groups = list(blocks(part)) or [{}]
        if "final-recipient" in head or "original-recipient" in head:
            groups = [head, *groups]
        envelope_id = envelope_id or head.get("original-envelope-id")
        found += [finding for block in groups[:_RECIPIENTS] if (finding := _finding(block, words)) is not None]
    return Notification(envelope_id, _unique(found)) if found else None


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


def _finding(block: Fields, words: str) -> Finding | None:
    """None for a group that is about no recipient."""
    recipient = address_in(block.get("original-recipient", "")) or address_in(block.get("final-recipient", ""))
    said = block.get("action", "").lower()
    if recipient is None and not said:
        return None
    action = next((known for start, known in _ACTIONS.items() if said.startswith(start)), None)
    status = block.get("status", "")
    if action is None:  # left out, or a word of nobody else's
        action = Action.DELAYED if status.startswith("4") else Action.FAILED
    if action in (Action.FAILED, Action.DELAYED):
        diagnostic = " ".join(filter(None, (block.get("diagnostic-code"), block.get("x400-supplementary-info"))))
        comment = said.partition("(")[2].removesuffix(")")
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
    found = _BARE.search(rest)
    return found[1].rstrip(".,;") if found else None


def _unique(found: list[Finding]) -> tuple[Finding, ...]:
    """Each recipient once with each action: servers repeat themselves."""
    kept: dict[tuple[str | None, Action | None], Finding] = {}
    for finding in found:
        kept.setdefault((finding.recipient.lower() if finding.recipient else None, finding.action), finding)
    return tuple(kept.values())
