"""Mails as their recipients' programs read them. The standard library reads, so that nothing is taken on trust."""

import email
import email.policy
import re
from dataclasses import dataclass
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

from demo.inbox import Received, read_content


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail: the links a reader may follow, the pixel its display loads, and its ways out."""

    recipient: str
    received: Received
    subject: str
    links: tuple[str, ...]
    pixel: str | None
    unsubscribe_page: str | None
    one_click: str | None


def read_letter(store: Path, mail: Received) -> Letter:
    """The mail, taken apart."""
    message = email.message_from_bytes(read_content(store, mail), policy=email.policy.default)
    assert isinstance(message, EmailMessage)  # noqa: S101  what the default policy makes
    html = message.get_body(("html",))
    anchors = Anchors(html.get_content() if html else "")
    links = tuple(dict.fromkeys(url for url in anchors.links if "/c/" in urlsplit(url).path))
    leaving = next((url for url in anchors.links if "/u/" in urlsplit(url).path), None)
    pixel = next((url for url in anchors.pictures if "/o/" in urlsplit(url).path), None)
    return Letter(mail.recipients[0], mail, str(message["Subject"]), links, pixel, leaving, _one_click(message))


def _one_click(message: EmailMessage) -> str | None:
    """The address to POST to (RFC 8058), when the mail offers it."""
    if str(message["List-Unsubscribe-Post"] or "").strip() != "List-Unsubscribe=One-Click":
        return None
    found = re.search(r"<(https?://[^>\s]+)>", str(message["List-Unsubscribe"] or ""))
    return found[1] if found else None


class Anchors(HTMLParser):
    """The targets of a page's links, the places of its pictures, and the fields its first form would send."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.fields: dict[str, str] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """What the tag refers to is noted."""
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "img" and "src" in given:
            self.pictures.append(given["src"])
        elif tag == "input" and "name" in given and (given.get("type") != "radio" or "checked" in given):
            self.fields[given["name"]] = given.get("value", "")
