"""The people who got the mail: who reads, follows a link, orders, or leaves. All of it over real HTTP.

What each one does follows from the seed and their address, so two demos tell the same story. Between them work
the machines that no list is without: a gateway that follows every link of a mail within a second, and mail
services that load pictures before anybody looks.
"""

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlencode, urlsplit

from demo.inbox import read_index
from demo.letters import Form, Letter, read_letter

BROWSERS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
)
#: What the gateway and the mail service say of themselves: the first poses as a browser, the second as next to nothing.
GATEWAY: Final = BROWSERS[0]
MAIL_PRIVACY: Final = "Mozilla/5.0"
#: How many have such a machine in front of their mailbox, and how many of those before do the next thing.
_GATEWAY_SHARE, _PRIVACY_SHARE = 0.05, 0.14
_OPEN_SHARE, _CLICK_SHARE, _BUY_SHARE, _LEAVE_SHARE = 0.46, 0.30, 0.34, 0.02
#: People look later than machines do; the demo's time is short, so their days pass in seconds.
_FIRST_LOOK_S, _LAST_LOOK_S = 2.2, 5.0
#: Behind a gateway people look later still: what follows its burst of clicks at once would pass for a part of it.
_GATEWAY_S: Final = 5.4
_THREADS: Final = 8


@dataclass(frozen=True, slots=True)
class Persona:
    """What one recipient, and the machines in front of the mailbox, will do. Delays are seconds."""

    gateway: bool
    privacy: bool
    opens_after: float | None
    clicks: tuple[float, ...]  # shares 0–1 that pick links
    buys: bool
    leaves: str | None  # one_click, page or everything
    browser: str

    @property
    def acts(self) -> bool:
        """Whether anybody or anything will look at the mail."""
        return self.gateway or self.privacy or self.opens_after is not None

    @classmethod
    def of(cls, recipient: str, seed: int) -> "Persona":
        """The recipient's persona; the same for the same seed."""
        random = Random(f"{seed}:{recipient}")  # noqa: S311  a sample, not a secret
        opens = random.random() < _OPEN_SHARE
        clicks = opens and random.random() < _CLICK_SHARE
        leaves = opens and random.random() < _LEAVE_SHARE
        return cls(
            gateway=random.random() < _GATEWAY_SHARE,
            privacy=random.random() < _PRIVACY_SHARE,
            opens_after=min(_FIRST_LOOK_S + random.expovariate(0.9), _LAST_LOOK_S) if opens else None,
            clicks=tuple(random.random() for _ in range(random.choice((1, 1, 2)))) if clicks else (),
            buys=clicks and random.random() < _BUY_SHARE,
            leaves=random.choice(("one_click", "page", "page", "everything")) if leaves else None,
            browser=random.choice(BROWSERS),
        )


@dataclass(frozen=True, slots=True)
class Order:
    """Somebody decided to buy, at this moment."""

    recipient: str
    at: datetime


@dataclass(slots=True)
class Answers:
    """What the audience did, counted by what it was; `failed` requests had no good answer."""

    counts: Counter[str] = field(default_factory=Counter)
    did: dict[str, str] = field(default_factory=dict)  # what → the first who did it
    orders: list[Order] = field(default_factory=list)


@dataclass(frozen=True, slots=True, order=True)
class Visit:
    """A request that somebody will make, `at` seconds on the monotonic clock; `bought` asks the server nothing."""

    at: float
    recipient: str
    what: str = field(compare=False)
    url: str = field(compare=False)
    browser: str = field(compare=False)


def visits(letter: Letter, persona: Persona, start: float) -> Iterator[Visit]:
    """All that the mail will bring about; `start` is when the first machines look."""
    who = letter.recipient
    if persona.gateway:
        for place, url in enumerate(letter.links):
            yield Visit(start + place * 0.08, who, "scanned", url, GATEWAY)
    if persona.privacy and letter.pixel:
        yield Visit(start, who, "prefetched", letter.pixel, MAIL_PRIVACY)
    if persona.opens_after is None:
        return
    at = start + (_GATEWAY_S if persona.gateway else persona.opens_after)
    if letter.pixel:
        yield Visit(at, who, "opened", letter.pixel, persona.browser)
    for share in persona.clicks if letter.links else ():
        at += 0.6
        yield Visit(at, who, "clicked", letter.links[int(share * len(letter.links))], persona.browser)
    if persona.buys:
        yield Visit(at + 0.4, who, "bought", "", persona.browser)
    if persona.leaves == "one_click" and letter.one_click:
        yield Visit(at + 0.5, who, "one_click", letter.one_click, persona.browser)
    elif persona.leaves and letter.unsubscribe_page:
        yield Visit(at + 0.5, who, persona.leaves, letter.unsubscribe_page, persona.browser)


def agenda_of(store: Path, seed: int, *, after: int = 0) -> list[Visit]:
    """What everybody will do from now on about their mails with numbers above `after`. Mails that nobody
    and nothing will look at are not even read."""
    planned = ((mail, Persona.of(mail.recipients[0], seed)) for mail in read_index(store, after=after))
    letters = [(read_letter(store, mail), persona) for mail, persona in planned if persona.acts]
    begin = time.monotonic()
    return [visit for letter, persona in letters for visit in visits(letter, persona, begin)]


def answer(agenda: Sequence[Visit], *, told: Callable[[int], None] = lambda _: None) -> Answers:
    """Everybody has done what they do; returns when the last one has. `told` hears of each visit that was made."""
    answers, lock, left = Answers(), threading.Lock(), list(agenda)
    heapq.heapify(left)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="audience") as threads:
        for person in [threads.submit(_browse, left, lock, answers, told) for _ in range(_THREADS)]:
            person.result()
    return answers


def _browse(left: list[Visit], lock: threading.Lock, answers: Answers, told: Callable[[int], None]) -> None:
    """Takes the next visit until there are none, waiting for its time."""
    client = Client()
    try:
        while True:
            with lock:
                if not left:
                    return
                visit = heapq.heappop(left)
            time.sleep(max(0.0, visit.at - time.monotonic()))
            done = client.make(visit)
            with lock:
                answers.counts[visit.what if done else "failed"] += 1
                answers.did.setdefault(visit.what, visit.recipient)
                if done and visit.what == "bought":
                    answers.orders.append(Order(visit.recipient, datetime.now(UTC)))
                told(1)
    finally:
        client.close()


class Client:
    """Keeps a connection to each host it visits."""

    def __init__(self) -> None:
        self._connections: dict[str, HTTPConnection] = {}

    def make(self, visit: Visit) -> bool:
        """The visit is made; False when the server had no good answer."""
        agent = {"User-Agent": visit.browser}
        if visit.what == "bought":
            return True
        if visit.what == "one_click":
            return self._post(visit.url, {"List-Unsubscribe": "One-Click"}, agent)
        if visit.what in ("page", "everything"):
            status, page = self._ask("GET", visit.url, None, agent)
            fields = Form(page.decode("utf-8", "replace")).fields
            chosen = {"choice": "everything"} if visit.what == "everything" else {}
            return status == 200 and self._post(visit.url, fields | chosen, agent)
        status, _ = self._ask("GET", visit.url, None, agent)
        return status in (200, 302, 303, 307)

    def _post(self, url: str, fields: dict[str, str], headers: dict[str, str]) -> bool:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        status, _ = self._ask("POST", url, urlencode(fields).encode(), headers | form)
        return 200 <= status < 300

    def _ask(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        parts = urlsplit(url)
        place = f"{parts.path}?{parts.query}" if parts.query else parts.path
        for is_last in (False, True):  # a connection the server closed meanwhile is opened again, once
            connection = self._connections.setdefault(parts.netloc, HTTPConnection(parts.netloc, timeout=20))
            try:
                connection.request(method, place, body, headers)
                response: HTTPResponse = connection.getresponse()
                return response.status, response.read()
            except (HTTPException, OSError):
                connection.close()
                del self._connections[parts.netloc]
                if is_last:
                    return 0, b""
        raise AssertionError("unreachable")

    def close(self) -> None:
        """No connection is open."""
        for connection in self._connections.values():
            connection.close()
