"""Mails that are no reports: answers of machines and of people, and requests to stop."""

import re
from typing import Final

from tracking.feedback import FeedbackKind
from tracking.inbound.findings import Finding
from tracking.inbound.leaving import asks_by_token, wants_to_leave
from tracking.inbound.mime import Mail
from tracking.inbound.nonstandard import is_from_a_machine
from tracking.inbound.spotting import addresses_in

_ADDRESS: Final = re.compile(r"<([^<>\s]{1,256}@[^<>\s]{1,256})>|([^\s<>(),;:\"]{1,256}@[^\s<>(),;:\"]{1,256})")
_ANSWERED_BY_A_MACHINE: Final = re.compile(
    r"^\W{0,3}(auto(matic|mated)?[ -]?(reply|response|answer)|automatische? (antwort|reactie)|r[eé]ponse automatique"
    r"|(out of (the )?office|abwesen(d|heit\w{0,20})|(on )?vacation|(on )?(annual )?leave|ooo"
    r"|away from (the |my )?(office|desk|e-?mails?|mails?)|i am (currently |now )?(out of (the )?office|away))"
    r"\s*($|[:：()!.\[\]–—-]|(auto|repl|respon|messag|notice|notif|until|till|from|re\b|bis\b|vom\b))"
    r"|respuesta autom|risposta automatica|自动(回复|答复)|自動(回覆|返信))",
    re.IGNORECASE,
)
_MARKS: Final = ("x-autoreply", "x-autorespond", "x-autoresponse", "x-auto-reply-from")
_DENIALS: Final = frozenset({"", "no", "false", "none"})
_BULK: Final = frozenset({"bulk", "list", "junk"})


def sender_of(mail: Mail) -> str | None:
    """The address it comes from, by Reply-To and else by From."""
    for name in ("reply-to", "from"):
        if found := _ADDRESS.search(mail.top.first(name)[:2000]):
            return found[1] or found[2]
    return None


def writers_of(mail: Mail) -> tuple[str, ...]:
    """The addresses that it may come from, whichever of them our message went to."""
    found = [one for name in ("from", "sender") for one in addresses_in(mail.top.first(name)[:2000], 2)]
    return tuple(dict.fromkeys(found))


def answer(mail: Mail) -> Finding:
    """What a mail that is no report of a server is, about the address it comes from."""
    return Finding(_kind(mail), sender_of(mail))


def is_automatic(mail: Mail) -> bool:
    """Whether a machine wrote it (S-4.7, RFC 3834 sections 2 and 5)."""
    top = mail.top
    submitted = top.first("auto-submitted").split(";")[0].split("(")[0].strip().lower()
    if submitted and submitted != "no":
        return True
    if any(top.first(name).strip().lower() not in _DENIALS for name in _MARKS):
        return True
    precedence = f"{top.first('precedence')} {top.first('x-precedence')}".lower()
    if "auto_reply" in precedence or "auto-reply" in precedence:
        return True
    return bool(_ANSWERED_BY_A_MACHINE.search(top.first("subject"))) or _is_receipt(mail)


def _is_receipt(mail: Mail) -> bool:
    """Whether it only says that a mail was shown or deleted (RFC 8098)."""
    return any(part.kind == "message/disposition-notification" and not part.enclosed for part in mail.top.walk())


def _kind(mail: Mail) -> FeedbackKind:
    if is_automatic(mail):  # a mail program that opts out for its reader says that it is one (RFC 2369, S-4.11)
        return FeedbackKind.UNSUBSCRIBE if asks_by_token(mail) else FeedbackKind.AUTO_REPLY
    if wants_to_leave(mail):
        return FeedbackKind.UNSUBSCRIBE
    if is_from_a_machine(mail) or _is_bulk(mail) or sender_of(mail) is None:
        return FeedbackKind.UNKNOWN
    return FeedbackKind.REPLY


def _is_bulk(mail: Mail) -> bool:
    top = mail.top
    is_listed = bool(top.first("list-id") or top.first("list-unsubscribe"))
    return is_listed or top.first("precedence").strip().lower() in _BULK
