"""What cells call a channel, a reason to suppress and a plain no, in English, German and Chinese, and what Clarion
calls it. A word nobody knows is rejected: an opt-out that counts as imported and forbids nothing is the worst of all.
"""

import re
from collections.abc import Mapping
from typing import Final

from core.names import near_miss
from customers.importing.values import Rejected

_BETWEEN: Final = re.compile(r"[\s_\-.:/–—]+")


def folded(text: str) -> str:
    """The word as it is compared: without case, blanks and hyphens."""
    return _BETWEEN.sub("", text.casefold())


def _table(meanings: Mapping[str, str]) -> dict[str, str]:
    return {folded(word): meaning for meaning, words in meanings.items() for word in (meaning, *words.split("|"))}


EMAIL: Final = "email"
_CHANNELS: Final = {
    EMAIL: "e-mail|mail|mails|emails|e-mails|newsletter mail|elektronische post|email channel|"
           "邮件|电子邮件|电邮|电子邮箱|邮箱",
    "sms": "text|text message|text messages|kurznachricht|mms|mobile|短信|手机短信",
    "letter": "post|postal|postal mail|mailing|direct mail|paper|brief|briefpost|postweg|信件|信函|邮寄|纸质",
    "phone": "telephone|call|calls|telefon|anruf|fon|tel|电话|致电",
}  # fmt: skip
_CHANNEL_WORDS: Final = _table(_CHANNELS)

MANUAL: Final = "manual"
#: Every reason entries are made with; the gate orders them (`suppression.gate.REASONS`).
_REASONS: Final = {
    "legal": "law|legal request|lawyer|court order|gdpr|dsgvo|rechtlich|rechtliche gründe|anwalt|gericht|法律|法律原因",
    "complaint": "complaints|complained|spam|spam complaint|spam complaints|spam report|reported as spam|"
                 "marked as spam|abuse|abuse complaint|feedback loop|fbl|beschwerde|spam-beschwerde|spamverdacht|"
                 "投诉|垃圾邮件投诉|举报",
    "hard_bounce": "bounce|bounced|bounces|hard bounced|hard bounces|permanent bounce|invalid|invalid address|"
                   "invalid email|unknown user|undeliverable|does not exist|cleaned|unzustellbar|ungültig|"
                   "ungültige adresse|rückläufer|退信|硬退信|无效地址|无效邮箱",
    "soft_bounces": "soft bounce|soft bounced|temporary bounce|软退信",
    "mailbox_full": "full mailbox|over quota|quota exceeded|postfach voll|邮箱已满",
    "unsubscribed": "unsubscribe|unsubscribes|opt-out|opted out|opt out request|opts out|withdrawn|withdrew|"
                    "revoked|removed by recipient|list unsubscribe|global unsubscribe|group unsubscribe|objection|"
                    "objected|do not contact|do not mail|do not email|dnc|no|abgemeldet|abmeldung|ausgetragen|"
                    "widerspruch|widersprochen|widerruf|widerrufen|werbesperre|werbewiderspruch|robinson|robinsonliste|"
                    "退订|已退订|取消订阅|拒收|撤回|勿扰",
    MANUAL: "manually|by hand|admin|administrator|operator|suppressed|blocked|blocklist|blacklist|blocklisted|"
            "blacklisted|banned|other|manuell|von hand|gesperrt|sperre|sperrliste|sonstiges|手动|人工|屏蔽|黑名单|其他",
    "paused": "pause|break|snoozed|on hold|pausiert|暂停",
    "erased": "erasure|deleted|forgotten|right to be forgotten|gelöscht|löschung|已删除|删除",
}  # fmt: skip
_REASON_WORDS: Final = _table(_REASONS)

#: An empty cell says nothing; these say no.
_NO: Final = frozenset({"no", "none", "false", "0", "n", "nein", "keine", "nicht", "never", "否", "无", "不", "不同意"})


def channel_of(text: str) -> str:
    """The channel a cell names; an empty one means e-mail.

    Raises:
        Rejected: it is none.
    """
    return _meaning(text, _CHANNEL_WORDS, tuple(_CHANNELS), "channel") if text.strip() else EMAIL


def reason_of(text: str) -> str:
    """The reason a cell gives for a suppression; an empty one means `manual`.

    Raises:
        Rejected: it is none that is known.
    """
    return _meaning(text, _REASON_WORDS, tuple(_REASONS), "reason") if text.strip() else MANUAL


def says_no(text: str) -> bool:
    """The cell is an outright no, in place of a list of topics."""
    return folded(text) in _NO | {"optout", "optedout", "unsubscribed", "withdrawn", "abgemeldet", "退订", "撤回"}


def _meaning(text: str, words: Mapping[str, str], expected: tuple[str, ...], what: str) -> str:
    found = words.get(folded(text))
    if found is None:
        close = near_miss(folded(text), words)
        hint = f"; did you mean {words[close]!r}?" if close is not None else ""
        raise Rejected(f"not a {what} (got {text!r}, expected one of {', '.join(expected)}){hint}")
    return found
