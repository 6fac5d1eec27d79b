"""What in a request tells a machine."""

import pytest

from tracking.machines import request_evidence

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
OUTLOOK = "Mozilla/4.0 (compatible; ms-office; MSOffice 16)"
WECHAT = "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36 MicroMessenger/8.0.50"
CUBOT = "Mozilla/5.0 (Linux; Android 14; CUBOT KINGKONG 9) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"


@pytest.mark.parametrize("agent", [FIREFOX, SAFARI, OUTLOOK, WECHAT, CUBOT])
@pytest.mark.parametrize("kind", ["open", "click", "view"])
def test_people_leave_no_evidence(kind: str, agent: str) -> None:
    """
    Ordinary browsers and mail programs count as people.
    """
    assert request_evidence(kind, "GET", {"user-agent": agent}) is None


@pytest.mark.parametrize(
    ("kind", "method", "headers", "expected"),
    [
        ("click", "HEAD", {"user-agent": FIREFOX}, "head"),
        ("click", "OPTIONS", {"user-agent": FIREFOX}, "options"),
        ("click", "GET", {"user-agent": FIREFOX, "sec-purpose": "prefetch;prerender"}, "prefetch"),
        ("click", "GET", {"user-agent": FIREFOX, "purpose": "Prefetch"}, "prefetch"),
        ("click", "GET", {"user-agent": FIREFOX, "x-moz": "prefetch"}, "prefetch"),
        ("click", "GET", {"user-agent": SAFARI, "x-purpose": "preview"}, "prefetch"),
        ("click", "GET", {}, "no_user_agent"),
        ("click", "GET", {"user-agent": "  "}, "no_user_agent"),
        ("click", "GET", {"user-agent": "Mozilla/5.0 (compatible; bingbot/2.0)"}, "program"),
        ("click", "GET", {"user-agent": "BarracudaCentral/1.0"}, "program"),
        ("click", "GET", {"user-agent": "python-requests/2.32"}, "program"),
        ("click", "GET", {"user-agent": "curl/8.14.1"}, "program"),
        ("click", "GET", {"user-agent": "Mozilla/5.0 HeadlessChrome/130.0"}, "program"),
        ("open", "GET", {"user-agent": GMAIL}, "image_proxy"),
        ("open", "GET", {"user-agent": "YahooMailProxy; https://help.yahoo.com/kb/"}, "image_proxy"),
        ("open", "GET", {"user-agent": "Mozilla/5.0"}, "mail_privacy"),
    ],
)
def test_machines_are_told_by_their_evidence(kind: str, method: str, headers: dict[str, str], expected: str) -> None:
    """
    Methods, prefetch headers and programs that say what they are.
    """
    assert expected == request_evidence(kind, method, headers)
