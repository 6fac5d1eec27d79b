"""Mails as their recipients' programs read them. The standard library reads, so that nothing is taken on trust."""

import email
import re
from dataclasses import dataclass
from email.message import Message
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from demo.inbox import Received, read_content

#: Targets of links and pictures, as every program finds them. A parser of HTML would need ten times as long for the
#: 30 KB of a mail, and somebody waits.
_LINKS: Final = re.compile(r"""<a\s[^>]*?\bhref=(["'])(.*?)\1""", re.IGNORECASE | re.DOTALL)
_PICTURES: Final = re.compile(r"""<img\s[^>]*?\bsrc=(["'])(.*?)\1""", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail: the links a reader may follow, the pixel its display loads, and its ways out."""

    recipient: str
    received: Received
    links: tuple[str, ...]
    pixel: str | None
    unsubscribe_page: str | None
    one_click: str | None


def read_letter(store: Path, mail: Received) -> Letter:
    """The mail, taken apart."""
    message = email.message_from_bytes(read_content(store, mail))
    html = _html(message)
    links = dict.fromkeys(unescape(url) for _, url in _LINKS.findall(html))
    pictures = (unescape(url) for _, url in _PICTURES.findall(html))
    return Letter(
        mail.recipients[0],
        mail,
        links=tuple(url for url in links if urlsplit(url).path.startswith("/c/")),
        pixel=next((url for url in pictures if urlsplit(url).path.startswith("/o/")), None),
        unsubscribe_page=next((url for url in links if urlsplit(url).path.startswith("/u/")), None),
        one_click=_one_click(message),
    )


def _html(message: Message) -> str:
    for part in message.walk():
        if part.get_content_type() == "text/html":
            content = part.get_payload(decode=True)
            return content.decode(part.get_content_charset("utf-8"), "replace") if isinstance(content, bytes) else ""
    return ""


def _one_click(message: Message) -> str | None:
    """The address to POST to (RFC 8058), when the mail offers it."""
    if str(message["List-Unsubscribe-Post"] or "").strip() != "List-Unsubscribe=One-Click":
        return None
    found = re.search(r"<(https?://[^>\s]+)>", str(message["List-Unsubscribe"] or ""))
    return found[1] if found else None


class Form(HTMLParser):
    """The fields a page's form would send if its button were pressed at once."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A field that is filled in or chosen is noted."""
        given = {name: value or "" for name, value in attrs}
        is_sent = given.get("type") not in ("radio", "checkbox") or "checked" in given
        if tag == "input" and "name" in given and is_sent:
            self.fields[given["name"]] = given.get("value", "")
