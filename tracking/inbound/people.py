"""Mails that are no reports: answers of machines and of people, and requests to stop."""

import re
from typing import Final

from tracking.feedback import FeedbackKind
from tracking.inbound.findings import Finding
from tracking.inbound.mime import Mail
from tracking.inbound.nonstandard import is_from_a_machine
from tracking.inbound.report_text import text_of, texts

_ADDRESS: Final = re.compile(r"<([^<>\s]{1,256}@[^<>\s]{1,256})>|([^\s<>(),;:\"]{1,256}@[^\s<>(),;:\"]{1,256})")
_ANSWERED_BY_A_MACHINE: Final = re.compile(
    r"^\W{0,3}(auto(matic|mated)?[ -]?(reply|response|answer)|automatische? (antwort|reactie)|r[eé]ponse automatique"
    r"|out of (the )?office|abwesen(d|heit)|vacation|on (annual )?leave\b|away from|i am (currently )?(out|away)|ooo\b"
    r"|respuesta autom|risposta automatica|自动(回复|答复)|自動(回覆|返信))",
    re.IGNORECASE,
)
_WANTS_TO_LEAVE: Final = re.compile(
    r"^\W{0,3}(?:(?:re|aw|fwd?|antw|回复|答复)\s*[:：]\s*)?(?:please\s+)?"
    r"(?:unsubscribe|remove( me)?|opt[ -]?out|stop|abmelden|abbestellen"
    r"|d[eé]sabonner|d[eé]sinscription|cancelar suscripci[oó]n|baja|退订|取消订阅|td)\b[^\n]{0,60}$",
    re.IGNORECASE,
)
_SPOKEN_TO: Final = re.compile(r"^unsubscribe\b", re.IGNORECASE)
_QUOTE: Final = re.compile(
    r"^\s*(>|-{3,}|_{5,}|(von|from|de|发件人)\s*[:：]|on .{0,100} wrote:|am .{0,100} schrieb)", re.IGNORECASE
)
_BULK: Final = frozenset({"bulk", "list", "junk"})


def sender_of(mail: Mail) -> str | None:
    """The address it comes from, by Reply-To and else by From."""
    for name in ("reply-to", "from"):
        if found := _ADDRESS.search(mail.top.first(name)):
            return found[1] or found[2]
    return None


def answer(mail: Mail) -> Finding:
    """What a mail that is no report of a server is, about the address it comes from."""
    return Finding(_kind(mail), sender_of(mail))


def is_automatic(mail: Mail) -> bool:
    """Whether a machine wrote it (S-4.7, RFC 3834 sections 2 and 5)."""
    top = mail.top
    submitted = top.first("auto-submitted").split(";")[0].split("(")[0].strip().lower()
    if submitted and submitted != "no":
        return True
    if any(top.first(name) for name in ("x-autoreply", "x-autorespond", "x-autoresponse", "x-auto-reply-from")):
        return True
    precedence = f"{top.first('precedence')} {top.first('x-precedence')}".lower()
    if "auto_reply" in precedence or "auto-reply" in precedence:
        return True
    return bool(_ANSWERED_BY_A_MACHINE.search(top.first("subject"))) or _is_receipt(mail)


def _is_receipt(mail: Mail) -> bool:
    """Whether it only says that a mail was shown or deleted (RFC 8098)."""
    return any(part.kind == "message/disposition-notification" and not part.enclosed for part in mail.top.walk())


def words_of(mail: Mail, most: int = 16 * 1024) -> str:
    """What was written: the plain part, or the HTML part as text."""
    shown = texts(mail.top)
    plain = next((part for part in shown if part.kind == "text/plain"), shown[0] if shown else None)
    return text_of(plain, most).strip() if plain is not None else ""


def _kind(mail: Mail) -> FeedbackKind:
    if is_automatic(mail):
        return FeedbackKind.AUTO_REPLY
    if wants_to_leave(mail):
        return FeedbackKind.UNSUBSCRIBE
    if is_from_a_machine(mail) or _is_bulk(mail) or sender_of(mail) is None:
        return FeedbackKind.UNKNOWN
    return FeedbackKind.REPLY


def wants_to_leave(mail: Mail) -> bool:
    """Whether it asks for no more mail: by its subject, the address it was sent to, or all that it says."""
    spoken_to = " ".join(mail.top.every(name)[0] for name in ("to", "x-original-to") if mail.top.every(name))
    if any(_SPOKEN_TO.match(one[0] or one[1]) for one in _ADDRESS.findall(spoken_to)):
        return True
    if _WANTS_TO_LEAVE.match(mail.top.first("subject").strip()):
        return True
    own = [line for line in _own_lines(words_of(mail, 4096)) if line.strip()]
    return bool(own) and len(own) <= 3 and bool(_WANTS_TO_LEAVE.match(own[0].strip()))


def _own_lines(text: str) -> list[str]:
    lines = text.split("\n")
    end = next((number for number, line in enumerate(lines) if _QUOTE.match(line)), len(lines))
    return lines[:end]


def _is_bulk(mail: Mail) -> bool:
    top = mail.top
    is_listed = bool(top.first("list-id") or top.first("list-unsubscribe"))
    return is_listed or top.first("precedence").strip().lower() in _BULK
