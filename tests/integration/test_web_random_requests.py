"""Whatever is sent to the public pages, no answer is a failure of ours."""

import json
import random
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from urllib.parse import quote, urlencode, urlsplit

import pytest

from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests import factories
from tests.api_calls import KEY
from tests.event_pages import PERSON, SETTINGS, EventPages, event_pages
from tests.public_pages import GOOD
from tracking.timed_tokens import TimedPurpose
from tracking.tokens import Purpose

_METHODS = ("GET", "GET", "HEAD", "POST", "POST", "POST", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
_PAGES = (
    "f", "k", "p", "x", "e", "u", "c", "v", "o", "my", "hooks", "healthz", "", "..", "%2e%2e", "f/newsletter/x",
    "events", "r", "s/nps", "i", "door/paper-day", "calendar", "api/v1", "api/v1/registrations", "api/v1/activities",
)  # fmt: skip
_TEXTS = (
    "", "yes", "news", "none", "1 in 7d", "save", "stop", "export", "erase", "30d", "keep", "ann@customers.example",
    "not an address", "a" * 5000, "\x00", "é", "𝄞", "\ud800", "' OR 1=1 --", "{{7*7}}", "${organisation}", "%", "%zz",
    "<script>", "\r\nX-Injected: 1", "-1", "9" * 400, "One-Click", "\u202e", "1 in 99999999999999d", "٣ in ٣d",
    "\\ud800", "+2AA-", "xn--a",
)  # fmt: skip
_FIELDS = (
    "email", "topics", "agree", "homepage", "first_name", "what", "action", "often", "pause", "privacy", "choice",
    "topics:email", "topics:sms", "topics:", "List-Unsubscribe", "", "x" * 300, "\x00", "é", "order", "people", "meal",
    "last_name", "email.2", "registration", "q", "zone", "likely", "channel", "why", "subject", "content", "call",
    "call_day", "call_time", "phone", "page",
)  # fmt: skip
_CHARSETS = ("unicode_escape", "utf-7", "utf-16-le", "hex", "idna", "punycode", "undefined", "mbcs", "\xe9")
_TYPES = (
    *["application/x-www-form-urlencoded"] * 6,
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "multipart/form-data", "application/json",
    "text/plain; charset=latin-1", "application/x-www-form-urlencoded; charset=utf-16", "",
    "multipart/form-data; b=\xff", *(f"multipart/form-data; boundary=b; charset={name}" for name in _CHARSETS),
)  # fmt: skip


_WHO = {"external_id": "C-1", "email": "ann@customers.example"}
_CALLS = (
    {"activities": [{"customer": _WHO, "name": "page_view", "value": 1, "properties": {"a": 1}}]},
    {"sequence": "none", "customer": _WHO, "given": {"a": [1]}},
    {
        "event": "paper-day", "key": "k",
        "attendees": [{"email": "a@b.example", "answers": {"last_name": "A", "meal": "Vegan"}}],
    },
    {"desk": "sales", "key": "k", "subject": "s", "email": "a@b.example", "fields": {"a": 1}},
)  # fmt: skip


class Requests:
    """An endless stream of requests, the same for the same seed."""

    def __init__(self, event: EventPages, seed: int) -> None:
        pages = event.pages
        event.register("ann@customers.example")
        self._dice = random.Random(seed)
        customer = pages.customer(email="ann@customers.example", consents=("promotions",))
        pages.customer(email="eve@customers.example")
        message = pages.mailed(customer)
        pages.post("/f/newsletter", GOOD)
        pages.post("/my", {"email": "ann@customers.example", "what": "export"})
        pages.post("/my", {"email": "eve@customers.example", "what": "erase"})
        timed = {purpose: pages.token(purpose, number) for purpose, number in (
            (TimedPurpose.CONFIRM, 1), (TimedPurpose.PREFERENCES, factories.key_of("ann@customers.example").int),
            (TimedPurpose.MAIL_PREFERENCES, message),
            (TimedPurpose.EXPORT, 1), (TimedPurpose.ERASE, 2),
        )}  # fmt: skip
        lasting = {purpose: pages.signer.sign(purpose, message) for purpose in Purpose}
        self._tokens = [*timed.values(), *lasting.values(), "newsletter"]
        self._real = [
            "/f/newsletter", "/f/offers", "/my", "/k/" + timed[TimedPurpose.CONFIRM],
            *["/p/" + timed[purpose] for purpose in (TimedPurpose.PREFERENCES, TimedPurpose.MAIL_PREFERENCES)] * 2,
            "/x/" + timed[TimedPurpose.EXPORT], "/e/" + timed[TimedPurpose.ERASE],
            "/u/" + lasting[Purpose.UNSUBSCRIBE], "/c/" + lasting[Purpose.CLICK], "/v/" + lasting[Purpose.VIEW],
            f"/o/{lasting[Purpose.OPEN]}.gif",
            "/events/paper-day", "/i/sales", event.registration(1), f"{event.registration(1)}/calendar.ics", event.door,
            event.asked_by(message), *["/api/v1/" + call for call in (
                "activities", "enrolments", "registrations", "registrations/1", "inquiries", "openapi.json",
            )] * 2,
        ]  # fmt: skip

    def next(self) -> tuple[str, str, bytes | None, dict[str, str]]:
        """Method, path, body and headers."""
        dice = self._dice
        method, path = dice.choice(_METHODS), dice.choice(self._real)
        if dice.random() < 0.3:
            path = "/" + "/".join(part for part in (dice.choice(_PAGES), self._token()) if part is not None)
        if dice.random() < 0.2:
            path += "?" + self._encoded()
        kind = dice.choice(_TYPES)
        headers = {
            "Content-Type": kind, "Accept-Language": dice.choice(("de", "zh;q=x", "*", "\xff" * 50, "en" * 400)),
            "X-Forwarded-For": dice.choice(("192.0.2.1", "junk", ", ,", "::1, [", "1.2.3.4" * 99)),
        }  # fmt: skip
        if "/api/" in path:
            headers |= {"Authorization": dice.choice((f"Bearer {KEY}", f"bearer {KEY}", f"Bearer {KEY}", "x", "\xff"))}
            headers |= {"Idempotency-Key": dice.choice(("a", "b" * 300, "\xe9"))} if dice.random() < 0.3 else {}
            if dice.random() < 0.8:
                return method, path, self._json(), headers | {"Content-Type": "application/json"}
        return method, path, self._body(kind) if method in ("POST", "PUT", "PATCH") else None, headers

    def _token(self) -> str | None:
        dice = self._dice
        roll = dice.random()
        if roll < 0.55:
            return dice.choice(self._tokens)
        if roll < 0.7:
            token = dice.choice(self._tokens)
            return token[: dice.randrange(len(token))] + dice.choice(("A", "/", "%00", "=", ""))
        if roll < 0.9:
            return quote(bytes(dice.randrange(256) for _ in range(dice.randrange(60))))
        return None

    def _json(self) -> bytes:
        """A body of a call, nearly right, cut off, or nested beyond reason."""
        dice = self._dice
        body = dict(dice.choice(_CALLS))
        if dice.random() < 0.6:
            body[dice.choice([*body, "x"])] = dice.choice((
                None, 1, -1e308, 10**30, True, [], {}, [[]], "\x00", "ann@customers.example", "é" * 300, [{}] * 30,
                {"external_id": "x", "email": "\ud800"}, {"a": {"b": [1]}}, "2026-13-01", [{"email": "a@b.example"}],
            ))  # fmt: skip
        written = json.dumps(body).encode()
        roll = dice.random()
        if roll < 0.05:
            return b"[" * 20_000
        return written[: dice.randrange(len(written))] if roll < 0.1 else written.replace(b"1e308", b"NaN")

    def _encoded(self) -> str:
        dice = self._dice
        pairs = [(dice.choice(_FIELDS), dice.choice(_TEXTS)) for _ in range(dice.randrange(70))]
        return urlencode(pairs, errors="surrogatepass")

    def _likely(self) -> dict[str, object]:
        """A form that is nearly right."""
        dice = self._dice
        form: dict[str, object] = dict(dice.choice((
            GOOD, {"email": "ann@customers.example", "what": dice.choice(("export", "erase", "preferences"))},
            {"action": "save", "topics:email": ["news"], "often": "1 in 7d", "pause": "30d", "privacy": "tracking"},
            {"action": "stop"}, {"choice": "topic"}, {"List-Unsubscribe": "One-Click"}, PERSON,
            {"action": "cancel"}, {"registration": "1", "action": "here"}, {"likely": "9"},
            {"email": "ann@customers.example", "subject": "a", "content": "b", "call": "yes", "call_day": "2026-03-04",
             "call_time": "10:30", "phone": "1"},
        )))  # fmt: skip
        if dice.random() < 0.5:
            form[dice.choice(_FIELDS)] = dice.choice(_TEXTS).encode("utf-8", "surrogatepass")
        return form

    def _body(self, kind: str) -> bytes:
        dice = self._dice
        roll = dice.random()
        if roll < 0.35:
            return urlencode(self._likely(), doseq=True).encode()
        if roll < 0.45:
            return bytes(dice.randrange(256) for _ in range(dice.randrange(400)))
        if roll < 0.48:
            return b"x" * 20_000
        if "multipart" in kind:
            parts = "".join(
                f'--b\r\nContent-Disposition: form-data; name="{dice.choice(_FIELDS)}"\r\n\r\n{dice.choice(_TEXTS)}\r\n'
                for _ in range(dice.randrange(6))
            )
            return (parts + dice.choice(("--b--\r\n", "--b", ""))).encode("utf-8", "surrogatepass")
        return self._encoded().encode()


def failures(event: EventPages, count: int, seed: int) -> list[tuple[int, str, str]]:
    """Of `count` random requests, those that were answered by 5xx or not at all."""
    found, requests, place = [], Requests(event, seed), urlsplit(event.pages.base_url)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=20)
    for _ in range(count):
        method, path, body, headers = requests.next()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, ValueError) as error:
            status = 0 if isinstance(error, OSError) else 400  # our own client would not send that
        if status == 0 or status >= 500:
            found.append((status, method, path))
        if status in (0, 400, 413):
            connection.close()
    connection.close()
    return found


@pytest.fixture
def event(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[EventPages]:
    """The pages, with limits too high to be reached."""
    unlimited = ", ".join(f"{name}_per_hour: 1000000" for name in ("visitor", "network", "form", "all"))
    settings = SETTINGS.replace("answer_s: 0}}", f"answer_s: 0, limits: {{{{{unlimited}}}}}}}}}")
    with event_pages(make_workspace, database, clock, settings=settings, capacity=1000) as running:
        yield running


def test_five_hundred_random_requests_never_fail(event: EventPages) -> None:
    """
    Methods, paths, tokens, forms and headers of all kinds: answers below 500.
    """
    assert [] == failures(event, 500, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_ten_thousand_random_requests_never_fail(event: EventPages, seed: int) -> None:
    """
    The same for ten thousand, of two seeds.
    """
    assert [] == failures(event, 10_000, seed=seed)
