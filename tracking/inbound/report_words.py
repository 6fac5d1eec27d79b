"""The words of reports, which replies of servers do not use: what they say of a failure, and the code that means it."""

import re
from typing import Final

from tracking.feedback import FeedbackKind

_K = FeedbackKind


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


#: Words of reports, which replies do not use; looked for in this order.
WORDS: Final = (
    (
        _any(r"quota\b", r"mail ?box space not enough", r"too much mail (stored|in)", r"mailfolder is full"),
        _K.MAILBOX_FULL,
        "5.2.2",
    ),
    (
        _any(
            r"(account|mailbox|user).{0,40}\b(disabled|discontinued|suspended|inactive|expired|deactivated)\b",
            r"has not been collected (after|for|within)",
        ),
        _K.HARD, "5.2.1",
    ),
    (_any(r"not accepting mail from", r"likely unsolicited"), _K.BLOCK, "5.7.1"),
    (
        _any(
            r"recipient( name)? is not recognized", r"doesn['’]t have an? \S+ account", r"no such user",
            r"(unknown|invalid) (final delivery )?(userid|user|recipient|addressee)", r"not listed in",
            r"user not known", r"no longer valid", r"not a valid user", r"no matches to", r"n['’]existe pas",
            r"did not (exactly )?match", r"address(ee)? (is )?(wrong|unknown)", r"addressee unknown", r"user unknown",
            r"does not have a final email delivery point", r"invalid mailbox", r"(user|mailbox) not found",
            r"recipient address rejected", r"keine? (solche[rns]? )?(benutzer|empf\w+nger|mailbox)",
            r"usuario desconocido",
        ),
        _K.HARD, "5.1.1",
    ),
    (
        _any(
            r"domain (name )?(does not|doesn['’]t) exist", r"(unknown|invalid|no such) (host|domain)", r"host unknown",
            r"domain not found", r"nxdomain", r"null mx", r"name or service not known",
        ),
        _K.HARD, "5.1.2",
    ),
    (
        _any(
            r"could not find a gateway for", r"host not found, try again", r"temporary (server )?error",
            r"try again later",
            r"connection (timed out|refused)|connect to \S+ .{0,30}(timed out|refused)", r"timed? ?out|timeout",
            r"in the queue too long|queue period|retry time(out)? (not reached|exceeded)|maximum[- ]time[- ]expired",
            r"not (responding|reachable)|unable to (connect|establish)|(not|n['’]t) able to establish",
            r"failed \d+ attempts|maximum delivery attempts|was aborted after|undelivered (for|after) \d+",
            r"server (is )?(unavailable|busy|did not respond)|delivery time expired|within \d+ days",
            r"queue (time|lifetime)", r"message expired", r"too busy", r"system resources", r"\bgreylist",
        ),
        _K.SOFT, "4.4.7",
    ),
    (
        _any(
            r"\bloop(ing)?\b|too many hops",
            r"(message|mail).{0,30}(too (big|large)|exceed(s|ed) (the )?(maximum|size|limit))",
            r"inbound message size", r"no resent-from field", r"command died with status",
            r"encountered an error",
        ),
        _K.MESSAGE_FAULT, "5.6.0",
    ),
)  # fmt: skip
