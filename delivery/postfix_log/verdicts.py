"""What Postfix said under one queue id, and what that means for the message."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

_STATUS: Final = re.compile(r"\bstatus=([a-z-]+)(?:, | |$)(.*)", re.DOTALL)
_FIELD: Final = re.compile(r"\b(to|orig_to|dsn)=<?([^<>,]*)>?")
_CODE: Final = re.compile(r"(?:^|said: |\()([245]\d\d)[ -]")
_ENHANCED: Final = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_REQUEUED: Final = re.compile(r"queued as ([0-9A-Za-z]{5,20})")
_REJECTED: Final = re.compile(r"(?:milter-)?reject: ")
_IN_THE_QUEUE: Final = ("from=<", "hold: ", "milter-hold: ", "removed")
_LONGEST_WORDS: Final = 400


class Verdict(StrEnum):
    """What the log says about one message, the best first: of several copies the best counts."""

    DELIVERED = "delivered"  #: the next server took it
    BOUNCED = "bounced"  #: refused for good, or given up, and returned to its sender
    ACCEPTED = "accepted"  #: in the queue
    REJECTED = "rejected"  #: refused for good at its end: never in the queue
    PUT_OFF = "put_off"  #: "later" at its end: never in the queue
    BROKEN_OFF = "broken_off"  #: the connection broke before its end: never in the queue
    BEGUN = "begun"  #: its header was read; nothing says what followed


NEVER_TAKEN: Final = frozenset({Verdict.REJECTED, Verdict.PUT_OFF, Verdict.BROKEN_OFF})
_RANK: Final = {verdict: rank for rank, verdict in enumerate(Verdict)}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the log says about one message, when the server read its header, and the words it rests on."""

    verdict: Verdict
    at: datetime
    code: int | None = None
    enhanced: str | None = None
    words: str = ""
    requeued: str = ""  # the queue id the next server gave it


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One line about one queue id, or of one process; in order of time, then of reading."""

    at: datetime
    number: int
    pid: bytes = field(compare=False)
    text: str = field(compare=False)  # after the queue id


def judge(events: Sequence[Event], begin: datetime, recipient: str) -> Evidence:
    """What became of the message whose header was read at `begin`. `events` are in order.

    A queue id is used again for another message once its file is gone: what is said after that is not ours.
    """
    mine = _until_the_next(events, begin)
    for event in mine:
        if _REJECTED.match(event.text):
            return _rejected(event, begin)
    told = [event for event in mine if _STATUS.search(event.text)]
    expired = [event for event in told if _status(event)[0] in ("expired", "force-expired")]
    if expired:
        return _told(Verdict.BOUNCED, expired[0], begin)
    if told:
        return _tried(told, recipient, begin)
    is_queued = any(event.text.startswith(_IN_THE_QUEUE) for event in mine)
    return Evidence(Verdict.ACCEPTED if is_queued else Verdict.BEGUN, begin)


def _until_the_next(events: Sequence[Event], begin: datetime) -> list[Event]:
    mine: list[Event] = []
    for event in events:
        if event.at < begin:
            continue
        is_header = event.text.startswith("message-id=")
        if is_header and mine:
            break
        if not is_header and not mine:
            continue  # of the message before, in the same second
        mine.append(event)
        if event.text == "removed":
            break
    return mine


def _status(event: Event) -> tuple[str, str]:
    """Status and words of a delivery agent's line."""
    found = _STATUS.search(event.text)
    return (found[1], found[2].strip().removeprefix("(").removesuffix(")")) if found else ("", "")


def _tried(told: Sequence[Event], recipient: str, begin: datetime) -> Evidence:
    """The last end that was told of the recipient; of whoever there is, where addresses were rewritten."""
    mine = [event for event in told if recipient.lower() in _recipients(event.text)] or list(told)
    for event in reversed(mine):
        status, words = _status(event)
        if status == "sent":
            requeued = _REQUEUED.search(words)
            return _told(Verdict.DELIVERED, event, begin, requeued[1] if requeued else "")
        if status == "bounced":
            return _told(Verdict.BOUNCED, event, begin)
    return _told(Verdict.ACCEPTED, mine[-1], begin)


def _recipients(text: str) -> set[str]:
    return {value.lower() for name, value in _FIELD.findall(text) if name in ("to", "orig_to")}


def _told(verdict: Verdict, event: Event, begin: datetime, requeued: str = "") -> Evidence:
    dsn = next((value for name, value in _FIELD.findall(event.text) if name == "dsn"), "")
    status, words = _status(event)
    code = _CODE.search(words)
    enhanced = dsn if _ENHANCED.fullmatch(dsn) else None
    said = f"{status} ({words})"[:_LONGEST_WORDS]
    return Evidence(verdict, begin, int(code[1]) if code else None, enhanced, said, requeued)


def _rejected(event: Event, begin: datetime) -> Evidence:
    """cleanup refused the whole message; its status says for how long."""
    enhanced = _ENHANCED.search(event.text)
    later = enhanced is not None and enhanced[1].startswith("4")
    verdict = Verdict.PUT_OFF if later else Verdict.REJECTED
    words = event.text[:_LONGEST_WORDS]
    return Evidence(verdict, begin, 451 if later else 554, enhanced[1] if enhanced else None, words)


def best(copies: Mapping[str, Evidence]) -> Evidence:
    """The one that counts of a message's copies, by queue id. Of a message that a filter took out of the queue and put
    in again, the later copy counts."""
    last = [evidence for evidence in copies.values() if evidence.requeued not in copies]
    found = last or list(copies.values())
    return min(found, key=lambda evidence: (_RANK[evidence.verdict], evidence.at))
