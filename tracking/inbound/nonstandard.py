"""Bounces that are no delivery status notifications: texts of many servers, by flufl.bounce and by rules of ours."""

import logging
import re
from email.message import Message
from typing import Final

from tracking.inbound.failures import failure
from tracking.inbound.findings import Action, Finding
from tracking.inbound.mime import Mail, Part
from tracking.inbound.report_text import cut_lines, near, report_text, text_of
from tracking.inbound.spotting import addresses_in

#: Fields that recognisers of single servers look at.
_FIELDS: Final = ("to", "subject", "x-failed-recipients", "x-mailer", "return-path")
_NOBODY: Final = "nobody@sender.invalid"
_RECIPIENTS: Final = 100
_PARTS: Final = 20

_STILL_TRIED: Final = re.compile(
    r"not yet been delivered|will (continue|be retried)|has been (delayed|postponed)|attempts will continue"
    r"|still being (re)?tried|warning message only|just a warning|advisory-only|delivery (is )?delayed|将继续尝试",
    re.IGNORECASE,
)
#: Local parts of mail servers. Names beside them prove nothing: companies have such names, too.
_FROM_A_MACHINE: Final = re.compile(
    r"^(mailer[-_.]?daemon|mail[-_.]?daemon|postmaster|mdaemon|mail[-_.]?(delivery|administrator|system)"
    r"|bounces?(?=[-+_.=@]|$)|.{0,40}(smtp|antivirus|mta)_)",
    re.IGNORECASE,
)
_TELLS_FAILURE: Final = re.compile(
    r"undeliver|delivery (status|fail|report|problem|error|notif)|fail(ed|ure)? (mail|notice|delivery|to deliver)"
    r"|returned (mail|message|to sender)|returning (message|mail)|could not be delivered|can ?not be delivered"
    r"|mail (error|system error|fail|not deliver)|not delivered|mail deliver\w+|delivery has failed|unzustellbar"
    r"|non-delivery|nicht zugestellt|non remis|pas pu etre|no pudo ser entregado|退信|退回|无法投递|投递失败"
    r"|системы? доставки",
    re.IGNORECASE,
)
_ANSWERS: Final = re.compile(r"\s*(re|aw|wg|fwd?|antw|sv|回复|答复|转发)\s*[:：]", re.IGNORECASE)
_FAILED_RECIPIENTS: Final = re.compile(r"[^\s<>,;]{1,256}@[^\s<>,;]{1,256}")
_ALONE: Final = re.compile(
    r"^[\s*>\-•]{0,20}(?:(?:to|recipient|address|e-?mail|收件人)\s*[:：]\s*)?<?([^\s<>()\[\]\"',;:@]{1,64}@[\w.-]{1,255}\w)>?\s*[:：;,.]?"
    r"(?:\s*\(.{0,100}|\s*[:：]\s.{0,200})?$",
    re.IGNORECASE,
)
_ANYWHERE: Final = re.compile(r"(?<![\w.+-])([\w.+=-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})")


def nonstandard(mail: Mail) -> tuple[Finding, ...]:
    """What a report without a delivery status says about each recipient it names; empty where it is no report.

    A report that names nobody gives one finding without a recipient.
    """
    words = report_text(mail)
    temporary, permanent = _by_recognisers(mail)
    found = sorted(permanent | temporary, key=str.lower)
    if not found:
        if not tells_failure(mail, words):
            return ()
        found = _named(mail, words)
    action = Action.DELAYED if temporary or _STILL_TRIED.search(words) else Action.FAILED
    subject = mail.top.first("subject")
    return tuple(
        failure(one, "", "", filter(None, (near(words, one, found), words, subject)), action) for one in found
    ) or (failure(None, "", "", (words, subject), action),)


def is_from_a_machine(mail: Mail) -> bool:
    """Whether it comes from a mail server, by its From or by its empty return path (RFC 5321 section 4.5.5)."""
    path, top_from = mail.top.first("return-path").strip(), mail.top.first("from")[:2000].strip()
    if "<>" in (path, top_from[-2:]):
        return True
    return any(_FROM_A_MACHINE.match(one) for one in addresses_in(top_from) or [top_from.lstrip('"<')])


def tells_failure(mail: Mail, words: str) -> bool:
    """Whether it is a report of a server: from a machine, by subject or words; from anybody else, by both, and
    by an address that stands by itself, a mail enclosed or the type of a report: customers write of parcels, too."""
    top = mail.top
    subject = top.first("subject")
    signs = (bool(_TELLS_FAILURE.search(subject)), bool(_TELLS_FAILURE.search(words)))
    if is_from_a_machine(mail) or top.first("x-failed-recipients"):
        return any(signs)
    is_report = top.kind == "multipart/report" or any(part.enclosed for part in top.walk())
    is_report = is_report or any(_ALONE.match(line) for line in words.split("\n"))
    return all(signs) and is_report and not _ANSWERS.match(subject)


def _by_recognisers(mail: Mail) -> tuple[set[str], set[str]]:
    from flufl.bounce import all_failures  # loads 20 modules: only where a mail needs it

    logging.getLogger("flufl.bounce").disabled = True  # it tells of mails that it stumbles over
    try:
        temporary, permanent = all_failures(_as_message(mail.top, [_PARTS]))
    except Exception:  # noqa: BLE001  a recogniser that stumbles over a strange mail recognises nothing
        return set(), set()
    return (
        {address.decode("ascii", "replace") for address in list(temporary)[:_RECIPIENTS]},
        {address.decode("ascii", "replace") for address in list(permanent)[:_RECIPIENTS]},
    )


def _as_message(part: Part, room: list[int]) -> Message:
    """The part as the recognisers expect it, its texts decoded and cut; enclosed mails are left empty."""
    message = Message()
    if part.depth == 0:
        message["from"] = part.first("from")[:500] if "@" in part.first("from") else _NOBODY  # one of them needs an @
        for name in _FIELDS:
            if value := part.first(name):
                message[name] = value[:500].replace("\n", " ")
    message["content-type"] = part.kind
    if "report-type" in part.parameters:
        message.set_param("report-type", part.parameters["report-type"][:60])
    room[0] -= 1
    if part.kind.startswith("multipart/"):
        message.set_payload([_as_message(child, room) for child in part.children if room[0] > 0])
    elif part.kind == "message/rfc822":
        message.set_payload([Message()])
    elif part.kind.startswith("text/") and part.enclosed == 0:
        message.set_payload(cut_lines(text_of(part) if part.kind == "text/html" else part.text(16 * 1024)))
    else:
        message.set_payload("")
    return message


def _named(mail: Mail, words: str) -> list[str]:
    """The recipients that a report of no known kind names, our own addresses left out."""
    fields = ("to", "from", "reply-to", "sender", "delivered-to")
    own = {address.lower() for name in fields for address in _ANYWHERE.findall(mail.top.first(name))}
    listed = _FAILED_RECIPIENTS.findall(mail.top.first("x-failed-recipients"))
    alone = [match[1] for line in words.split("\n") if (match := _ALONE.match(line))]
    for candidates in (listed, alone, _ANYWHERE.findall(words)):
        strangers = (one.rstrip(".") for one in candidates if not _FROM_A_MACHINE.match(one))
        if kept := {one.lower(): one for one in strangers if one.lower() not in own}:
            return list(kept.values())[:_RECIPIENTS]
    return []
