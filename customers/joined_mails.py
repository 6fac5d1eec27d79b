"""Mails that were added to the text of an inquiry: where each begins, and how those of one person are taken out."""

import re
from collections.abc import Iterable
from typing import Final

#: What a task says behind the text (`campaigns.inquiries.letters`).
BEHIND: Final = "When it is answered:"


def begin(time: str, sender: str) -> str:
    """The line before the words of a mail by `sender`; `time` as employees read it."""
    return f"\n\n--- {time}, {sender} wrote:\n"


def without(text: str, addresses: Iterable[str]) -> str:
    """The text without the mails from these addresses, and without the addresses. Repeat: safe."""
    spelled = "|".join(sorted(map(re.escape, addresses), key=len, reverse=True))
    if not spelled:
        return text
    end = rf"(?=\n\n--- [^\n]*, [^\n]* wrote:\n|\n\n{re.escape(BEHIND)}|\Z)"
    mails = re.compile(rf"\n\n--- [^\n]*, (?:{spelled}) wrote:\n.*?{end}", re.IGNORECASE | re.DOTALL)
    return re.sub(rf"(?<![\w.+-])(?:{spelled})(?![\w-])", "…", mails.sub("", text), flags=re.IGNORECASE)
