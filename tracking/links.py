"""The links of one message: tracked targets, pixel, unsubscribe and view-in-browser.

Fits `templates.mailing.Urls`. The links are functions of the message's id and the secret, so a retry carries
the same bytes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

from core.errors import RenderError
from tracking.public_links import PublicLinks, event_page
from tracking.tokens import Purpose, Signer

#: A tracked URL longer than this is not made (S-6.3): some mail readers and gateways cut longer ones.
MAX_URL: Final = 500
#: Tokens of the message itself: they are made together.
_OWN: Final = (Purpose.UNSUBSCRIBE, Purpose.VIEW, Purpose.OPEN)
#: Control characters, and the backslash that browsers read as a slash.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\\]")
#: Every visible ASCII character stays as it is written, so that the target arrives exactly.
_VISIBLE_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))


def redirect_target(url: str) -> str | None:
    """The URL as a Location header carries it; None when no link may lead there.

    Taken are http and https with a host, without user name or control characters (S-6.2). A host name outside
    ASCII becomes its A-label; blanks and other characters outside ASCII are percent-encoded; everything else
    stays exactly as it is written.
    """
    if _UNSAFE.search(url):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
            return None
        if not host.isascii():
            url = url.replace(parts.netloc, parts.netloc.encode("idna").decode(), 1)
    except ValueError:
        return None
    return quote(url, safe=_VISIBLE_ASCII)


@dataclass(slots=True)
class TrackedUrls:
    """The links of one message below `base_url`. Without `opens` there is no pixel; where the recipient does not want
    to be `tracked`, there is none either, and links lead straight to their targets. The caller makes `preferences`,
    which ends; so do links to `pages`, at `pages_end`."""

    base_url: str
    signer: Signer
    message_id: int
    opens: bool = True
    preferences: str = ""
    tracked: bool = True
    pages: PublicLinks | None = None
    pages_end: datetime | None = None
    unsubscribe: str = field(init=False)
    view: str = field(init=False)
    pixel: str | None = field(init=False)

    def __post_init__(self) -> None:
        base = self.base_url
        unsubscribe, view, pixel = self.signer.sign_each(_OWN, self.message_id)
        self.unsubscribe, self.view = f"{base}/u/{unsubscribe}", f"{base}/v/{view}"
        self.pixel = f"{base}/o/{pixel}.gif" if self.opens and self.tracked else None

    def survey(self, name: str) -> str:
        """The page of the survey for whoever gets the message."""
        if self.pages is None or self.pages_end is None:
            raise RenderError("links to surveys are for messages alone")
        return self.pages.survey(name, self.message_id, self.pages_end)

    def registration(self, name: str) -> str:
        """The page on which anybody registers for the event."""
        return event_page(self.base_url, name)

    def clicks(self, targets: Sequence[str]) -> list[str]:
        """The tracked links to `targets`, all of campaign_version.links in order."""
        if not self.tracked:
            return list(targets)
        begin = f"{self.base_url}/c/"
        return [begin + token for token in self.signer.sign_links(self.message_id, len(targets))]

    def click(self, position: int | None, url: str) -> str:
        """The tracked link to the target at `position` of campaign_version.links, or, when None, to `url`
        itself.

        A personalised target below `base_url` is a page for this person, and one too long for a tracked link of at
        most `MAX_URL` characters cannot be tracked: both are returned as they are.

        Raises:
            RenderError: `url` is not a web address a link may lead to.
        """
        if position is not None and self.tracked:
            return f"{self.base_url}/c/{self.signer.sign(Purpose.CLICK, self.message_id, position)}"
        if redirect_target(url) is None:
            raise RenderError(f"a link leads to {url[:80]!r}, expected an http or https address")
        if not self.tracked or url.startswith(f"{self.base_url}/"):
            return url
        tracked = f"{self.base_url}/c/{self.signer.sign(Purpose.CLICK, self.message_id, url=url)}"
        return tracked if len(tracked) <= MAX_URL else url
