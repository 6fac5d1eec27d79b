"""Requests to stop, told from all else that begins with the same words: the keyword stands nearly alone.

A word too many makes a letter for people to read of it, never an opt-out of somebody who orders.
"""

import re
from typing import Final

from tracking.inbound.mime import Mail
from tracking.inbound.report_text import text_of, texts
from tracking.inbound.spotting import addresses_in

_TOKEN: Final = r"(?<![\w-])[\w-]{31,120}(?![\w-])"  # noqa: S105  what signed tokens look like
_SPOKEN_TO: Final = re.compile(r"^unsubscribe\b", re.IGNORECASE)
_WITH_TOKEN: Final = re.compile(rf"^\W{{0,3}}unsubscribe\W.{{0,20}}?{_TOKEN}", re.IGNORECASE)
_ANSWERS: Final = re.compile(r"^\W{0,3}(?:(?:re|aw|fwd?|wg|antw|sv|回复|答复|转发)\s*[:：]\s*)+", re.IGNORECASE)
_QUOTE: Final = re.compile(
    r"^\s*(>|-{3,}|_{5,}|(von|from|de|发件人)\s*[:：]|on .{0,100} wrote:|am .{0,100} schrieb)", re.IGNORECASE
)
#: Words that mean nothing else, at the beginning of what is written.
_BEGINS: Final = re.compile(
    r"^\W{0,3}(?:please\s+|bitte\s+)?(?:unsubscribe|abbestellen|abmelden|d[eé]sabonner|d[eé]sinscri(?:ption|re))\b",
    re.IGNORECASE,
)
_PHRASES: Final = re.compile(
    r"opt[ -]?out|take (?:me|us) off|cancelar(?: la| mi)? suscripci[oó]n|no more (?:e-?)?mails?", re.IGNORECASE
)
_KEYWORD_LIST: Final = (
    "unsubscribe remove stop abmelden abbestellen austragen désabonner desabonner désinscription desinscription"
    " désinscrire desinscrire baja td"
)
_LIST_BESIDE: Final = (
    "a all and any anymore asap at away address addresses bitte danke database der dem den die das dieser diesem from"
    " email emails e emailing everything for hello hi i ich immediately it kindly list lists mail mailing mailings"
    " mails me mich möchte moechte more my near newsletter newsletters no now of our please pls send sending"
    " subscription thank thanks that the these this to us want wish would like you your yours vom von verteiler aus"
    " ihrem ihrer liste gerne sofort hiermit uns por favor merci gracias de la lista messages message right marketing"
)
_KEYWORDS: Final = frozenset(_KEYWORD_LIST.split())
_BESIDE: Final = frozenset(_LIST_BESIDE.split())
_CHINESE: Final = re.compile(
    r"(?:请|我要|我想|想要|要|想|麻烦|帮我|给我|您好|你好|立即|马上|[\s，。！!,.~、]){0,12}(?:退订|取消订阅|退訂|取消訂閱|拒收)"
    r"(?:谢谢|謝謝|您|你们的|吧|了|一下|邮件|郵件|全部|所有|此|该|这个|广告|[\s，。！!,.~、]){0,20}"
)
_LONGEST: Final = 160
_MOST_WORDS: Final = 12


def asks_by_token(mail: Mail) -> bool:
    """Whether it is the mail that a List-Unsubscribe address makes: with what looks like a token of ours (S-4.11)."""
    is_tagged = any(re.search(_TOKEN, one.partition("@")[0]) for one in _spoken_to(mail))
    return is_tagged or bool(_WITH_TOKEN.match(mail.top.first("subject")[:1000]))


def wants_to_leave(mail: Mail) -> bool:
    """Whether it asks for no more mail: by the address it was sent to, its subject, or the beginning of a short text.

    A subject that answers ours counts only where nothing else stands in it: it may be the campaign's own.
    """
    subject = mail.top.first("subject")[:1000].strip()
    if _spoken_to(mail) or asks_by_token(mail) or is_request(subject):
        return True
    if not _ANSWERS.match(subject) and _begins_as_request(subject):
        return True
    own = written(mail)
    return 0 < len(own) <= 3 and (is_request(own[0]) or _begins_as_request(own[0]))


def says_more(mail: Mail) -> bool:
    """Whether a request to stop in words alone says more than that: somebody should read it."""
    subject = mail.top.first("subject")[:1000].strip()
    is_ours = bool(_ANSWERS.match(subject)) or not subject or is_request(subject)
    own = " ".join(written(mail))
    return not (is_ours and (not own or is_request(own)))


def is_request(line: str) -> bool:
    """Whether the line asks to stop and says nothing else."""
    plain = _ANSWERS.sub("", line.strip())
    if len(plain) > _LONGEST:
        return False
    if _CHINESE.fullmatch(plain):
        return True
    words = re.findall(r"\w+", _PHRASES.sub("unsubscribe", plain).lower())
    return 0 < len(words) <= _MOST_WORDS and bool(_KEYWORDS & set(words)) and set(words) <= _KEYWORDS | _BESIDE


def written(mail: Mail) -> list[str]:
    """The lines of their own, up to where they quote; none of them empty."""
    lines = words_of(mail, 4096).split("\n")
    end = next((number for number, line in enumerate(lines) if _QUOTE.match(line)), len(lines))
    return [line.strip() for line in lines[:end] if line.strip()]


def words_of(mail: Mail, most: int = 16 * 1024) -> str:
    """What was written: the plain part, or the HTML part as text."""
    shown = texts(mail.top)
    plain = next((part for part in shown if part.kind == "text/plain"), shown[0] if shown else None)
    return text_of(plain, most).strip() if plain is not None else ""


def _begins_as_request(line: str) -> bool:
    return len(line) <= _LONGEST and bool(_BEGINS.match(line))


def _spoken_to(mail: Mail) -> list[str]:
    to = " ".join(mail.top.every(name)[0] for name in ("to", "x-original-to") if mail.top.every(name))
    return [one for one in addresses_in(to) if _SPOKEN_TO.match(one)]
