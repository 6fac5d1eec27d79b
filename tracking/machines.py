"""Telling people from machines: security scanners, mail proxies and prefetching browsers follow links too.

Every hit is kept; one that looks like a machine's carries the evidence. Nothing here asks where a request came
from: scanners run in the same clouds as people's mail programs (S-6.4 to S-6.7).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

#: Programs that say what they are: crawlers, link checkers, previews of chat programs, HTTP libraries. (Cubot
#: makes telephones.)
_PROGRAM = re.compile(
    r"(?<!cu)bot\b|crawl|spider|scan|preview|headless|phantom|barracuda|proofpoint|mimecast|safelinks|fireeye|trend\s?micro"
    r"|symantec|messagelabs|sophos|fortiguard|zscaler|cisco|urldefense|virustotal|slurp|facebookexternalhit|whatsapp"
    r"|skypeuripreview|bitlybot|curl/|wget/|python-|aiohttp|httpx|okhttp|go-http-client|java/|libwww|apache-httpclient"
    r"|node-fetch|axios|undici|guzzle|php/|ruby|perl|powershell|postman",
    re.IGNORECASE,
)
#: Mail services that fetch every picture themselves, read or not.
_IMAGE_PROXY = re.compile(r"GoogleImageProxy|YahooMailProxy|OutlookImageProxy|yandex.*image|feedfetcher", re.IGNORECASE)
#: All that Apple's Mail Privacy Protection says of itself when it fetches pictures ahead of any reading.
_APPLE_MAIL_PRIVACY: Final = "Mozilla/5.0"
_AHEAD: Final = ("prefetch", "prerender", "preview")


@dataclass(frozen=True, slots=True)
class Rules:
    """When a series of hits cannot be a person's.

    `too_soon`: a hit this short after the server took the message. `burst_links` different links of one
    message within `burst_window` are opened by a machine.
    """

    too_soon: timedelta = timedelta(seconds=2)
    burst_links: int = 3
    burst_window: timedelta = timedelta(seconds=5)


#: What holds when nobody says otherwise.
DEFAULT_RULES: Final = Rules()

#: Evidence that only becomes visible beside the message or other hits; `tracking.hits` finds it.
TOO_SOON: Final = "too_soon"
BURST: Final = "burst"


def request_evidence(kind: str, method: str, headers: Mapping[str, str]) -> str | None:
    """What in the request itself tells a machine; None when nothing does.

    `headers` has lower-case names. One of `head`, `options` (only asks, does not read), `prefetch`,
    `no_user_agent`, `image_proxy` and `mail_privacy` (opens only), `program`.
    """
    if method in ("HEAD", "OPTIONS"):
        return method.lower()
    ahead = " ".join(headers.get(name, "") for name in ("sec-purpose", "purpose", "x-purpose", "x-moz"))
    if any(word in ahead.lower() for word in _AHEAD):
        return "prefetch"
    return _agent_evidence(kind, headers.get("user-agent", "").strip())


def _agent_evidence(kind: str, agent: str) -> str | None:
    if not agent:
        return "no_user_agent"
    if kind == "open" and _IMAGE_PROXY.search(agent):
        return "image_proxy"
    if kind == "open" and agent == _APPLE_MAIL_PRIVACY:
        return "mail_privacy"
    return "program" if _PROGRAM.search(agent) else None
