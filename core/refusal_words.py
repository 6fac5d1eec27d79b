"""The words of refusals: what the texts of common servers mean, for answers whose codes do not tell.

Looked for in this order, for "blocked, see …/user-unknown" is a block and "mailbox full, no such folder" a full one.
"""

import re
from typing import Final


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


#: There is a mailbox, and no room in it.
FULL: Final = _any(
    r"over[ -]?quota",
    r"exceed\w* (\S+ )?(mail(box)? )?(quota|storage allocation)",
    r"quota (is )?(exceeded|violation|full)",
    r"(mail)?box (is )?full|mailfolder is full|storage full|out of storage|mailbox size limit",
    r"insufficient (mailbox|disk) (storage|space|quota)",
    r"(user|account|recipient) .{0,60}\bquota\b",
    r"容量|已满",
)
#: There is a mailbox, and nobody may use it at present.
DISABLED: Final = _any(
    r"(mailbox|account|user|address|recipient) .{0,80}?"
    r"\b(disabled|inactive|suspended|deactivated|locked|frozen|not active)\b",
    r"\b(disabled|inactive|suspended|deactivated|locked) (mailbox|account|user|recipient|address)\b",
    r"user hangup",
    r"停用|冻结|禁用",
)
#: The sender, its machine or what it writes is not wanted.
BLOCK: Final = _any(
    r"\bspam|unsolicited|\bblack ?list|\bblock(ed|list)|banned|\bvirus",
    r"\bdnsbl\b|\brbl\b|spamhaus|spamcop|barracuda|\breputation\b",
    r"\b(spf|dkim|dmarc)\b|unauthenticated|\bpolic(y|ies)\b|access denied",
    r"frequency limited|rate limit|\bthrottl|temporarily deferred|bounce attack",
    r"too many (connections|messages|mails|errors)",
    r"content (denied|reject\w*)",
    r"reverse dns|\bptr\b|invalid ip|\bip\b.{0,30}\b(is rejected|invalid|hangup|limited|denied)\b",
    r"\b(DT:SPM|DT:SUM|DT:RBL|(HL|IB|WM):[A-Z]{3}|(MI|RP):(CEL|CCL|DMC|DRC|QRC|TRC|SFQ|SPF|SPB|STC|UFL|FRL))\b",
    r"rejected by (the )?recipients?\b",
    r"\brelay(ing)?\b.{0,40}\b(denied|prohibited|not (permitted|allowed))|not relay\b|rcpthosts",
    r"垃圾邮件|拒收",
)
#: The address that the message comes from is not one.
SENDER: Final = _any(
    r"(sender|mail from|from address|envelope[- ]from)\b.{0,60}?"
    r"\b(reject\w*|invalid|not|must|denied|fail\w*|unknown)\b",
    r"(bad|fake|null|invalid|unknown) sender",
)
#: Nobody is there.
UNKNOWN_USER: Final = _any(
    r"(user|recipient|addressee|account|mailbox|address|customer|member|subscriber)s?\b.{0,80}?\b("
    r"unknown|not (be )?found|(doesn['’]?t|does not|do not|don['’]t) (exist|have)|does no exists?|not exists?)\b",
    r"(unknown|invalid|no such|non-?existent|illegal) (or \w+ )?(local |virtual |e-?mail )?"
    r"(user|recipient|addressee|account|mailbox|address|alias|person|subscriber|customer|mail drop|local part)",
    r"no (\w+ )?mailbox (here|by that name)",
    r"(not|isn['’]t) (a |an |our )?(known |valid |local )?(user|mailbox|recipient|customer)\b",
    r"user (is )?(not known|unavailable)|unavailable mail user|local user only",
    r"mailbox (not available|unavailable)|no longer (available|valid|in use|accepts mail|active)",
    r"unrout(e)?able address|undeliverable address|has no (such )?(account|mailbox)",
    r"bad (destination |recipient )?(mailbox )?address",
    r"查无此人|不存在",
)
#: The message is too large, malformed or otherwise not one that this server takes.
MESSAGE: Final = _any(
    r"(message|mail|content|attachment) .{0,40}?(too (big|large|long)|exceeds|larger than)",
    r"(maximum|max|fixed) (inbound )?(message|mail) ?size|exceeded mailsize",
    r"bare (lf|cr|newline|linefeed)|\bheader\b|\bmime\b|8[- ]?bit|syntax",
    r"\bloop(ing)?\b|too many hops|hop count",
)
