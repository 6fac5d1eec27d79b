"""Clicks, opens and views over HTTP."""

import base64
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.serving import LINKS, Correspondence, ask, correspondence, served
from tracking.links import TrackedUrls
from tracking.tokens import Purpose, Signer
from web.app import create_app


@pytest.fixture
def mailed(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> Iterator[Correspondence]:
    """A message that can be answered."""
    with correspondence(make_workspace, database, clock) as one:
        yield one


def test_click_leads_to_exactly_the_target(mailed: Correspondence, clock: SteppedClock) -> None:
    """
    Encoded query and fragment arrive untouched; no cookie, no referrer, nothing cached.
    """
    for position, target in enumerate(LINKS):
        answer = ask(mailed.urls.click(position, target))
        clock.step(timedelta(minutes=1))

        assert (302, target) == (answer.status, answer.headers["location"])
        assert ("no-referrer", "no-store") == (answer.headers["referrer-policy"], answer.headers["cache-control"])
        assert "set-cookie" not in answer.headers
    assert [("click", position, "human", None) for position in range(len(LINKS))] == mailed.hits()


def test_click_on_a_personal_target_leads_there(mailed: Correspondence) -> None:
    """
    A target that is no link of the campaign travels inside the token.
    """
    target = "https://shop.example/basket?c=42&t=%20a+b#top"
    answer = ask(mailed.urls.click(None, target))

    assert (302, target) == (answer.status, answer.headers["location"])
    assert [("click", None, "human", None)] == mailed.hits()


def test_click_with_a_changed_token_is_not_found(mailed: Correspondence) -> None:
    """
    Whatever character is changed: 404, no redirect, no hit.
    """
    url = mailed.urls.click(1, LINKS[1])
    start = url.rindex("/") + 1
    changed = [url[:place] + ("A" if url[place] != "A" else "B") + url[place + 1 :] for place in range(start, len(url))]
    answers = [ask(one) for one in changed]

    assert {(404, False)} == {(answer.status, "location" in answer.headers) for answer in answers}
    assert 1 == len({answer.body for answer in answers})
    assert [] == mailed.hits()


def test_token_of_another_purpose_is_not_found(
    mailed: Correspondence, make_workspace: Callable[..., Workspace]
) -> None:
    """
    Each address takes its own tokens only.
    """
    urls = mailed.urls
    tokens = {
        "c": urls.click(1, LINKS[1]).rpartition("/")[2],
        "u": urls.unsubscribe.rpartition("/")[2],
        "v": urls.view.rpartition("/")[2],
        "o": str(urls.pixel).rpartition("/")[2].removesuffix(".gif"),
    }
    statuses = {
        ask(f"{mailed.base_url}/{place}/{token}").status
        for place in "cuv"
        for owner, token in tokens.items()
        if owner != place
    }
    posted = ask(f"{mailed.base_url}/u/{tokens['c']}", "POST", "List-Unsubscribe=One-Click")

    assert ({404}, 404) == (statuses, posted.status)


def test_signed_target_that_is_unsafe_is_not_followed(mailed: Correspondence) -> None:
    """
    Not even a genuine token leads to a script or past the host it shows.
    """
    signer = Signer(b"0123456789abcdef0123456789abcdef")
    unsafe = ["javascript:alert(1)", "//evil.example", "https://a@evil.example", "https://a\\@evil.example", "/c"]
    urls = [f"{mailed.base_url}/c/{signer.sign(Purpose.CLICK, mailed.message_id, url=target)}" for target in unsafe]

    assert {404} == {ask(url).status for url in urls}


def test_query_of_a_click_is_ignored(mailed: Correspondence) -> None:
    """
    There is no open redirect: what is added to the link changes nothing.
    """
    answer = ask(mailed.urls.click(1, LINKS[1]) + "?url=https://evil.example/")

    assert LINKS[1] == answer.headers["location"]


@pytest.mark.parametrize(
    ("method", "headers", "evidence"),
    [
        ("HEAD", {}, "head"),
        ("OPTIONS", {}, "options"),
        ("GET", {"Sec-Purpose": "prefetch"}, "prefetch"),
        ("GET", {"User-Agent": "BarracudaCentral/1.0"}, "program"),
    ],
)
def test_click_of_a_machine_is_redirected_and_labelled(
    mailed: Correspondence, method: str, headers: dict[str, str], evidence: str
) -> None:
    """
    Scanners see what people see, and are counted apart.
    """
    answer = ask(mailed.urls.click(1, LINKS[1]), method, headers=headers)

    assert (302, LINKS[1]) == (answer.status, answer.headers["location"])
    assert [("click", 1, "machine", evidence)] == mailed.hits()


def test_click_on_every_link_at_once_is_a_machines(mailed: Correspondence, clock: SteppedClock) -> None:
    """
    A scanner that poses as a browser gives itself away by its haste.
    """
    for position, target in enumerate(LINKS):
        ask(mailed.urls.click(position, target))
        clock.step(timedelta(milliseconds=300))

    assert {("machine", "burst")} == {hit[2:] for hit in mailed.hits()}


def test_pixel_has_the_same_bytes_for_any_token(mailed: Correspondence) -> None:
    """
    Genuine, forged and senseless tokens cannot be told apart by the answer.
    """
    pixel = str(mailed.urls.pixel)
    forged = pixel[:-6] + ("A" if pixel[-6] != "A" else "B") + pixel[-5:]
    answers = [ask(url) for url in (pixel, forged, f"{mailed.base_url}/o/x.gif")]

    assert 1 == len({(answer.status, answer.body, answer.headers["cache-control"]) for answer in answers})
    assert ("image/gif", b"GIF89a\x01\x00\x01\x00") == (answers[0].headers["content-type"], answers[0].body[:10])
    assert [("open", None, "human", None)] == mailed.hits()


def test_pixel_fetched_by_apple_is_a_machines(mailed: Correspondence) -> None:
    """
    Mail Privacy Protection fetches pictures whether anybody reads or not.
    """
    ask(str(mailed.urls.pixel), headers={"User-Agent": "Mozilla/5.0"})

    assert [("open", None, "machine", "mail_privacy")] == mailed.hits()


def test_hit_keeps_what_came(mailed: Correspondence, database: Database, clock: SteppedClock) -> None:
    """
    Time, sender and program are kept raw.
    """
    ask(mailed.urls.click(0, LINKS[0]), headers={"User-Agent": "Reader 1.0"})
    with database.begin() as connection:
        hit = connection.execute(select(schema.hit)).mappings().one()

    assert (clock.now(), "127.0.0.1", "Reader 1.0") == (hit["occurred_at"], str(hit["ip"]), hit["user_agent"])


def test_erased_message_leads_nowhere(mailed: Correspondence, database: Database) -> None:
    """
    Links of a message that is no longer there: 404, and the pixel as ever.
    """
    with database.begin() as connection:
        connection.execute(schema.message.delete())
    urls = (mailed.urls.click(0, LINKS[0]), mailed.urls.unsubscribe, mailed.urls.view)
    statuses = [ask(url).status for url in urls]

    assert ([404, 404, 404], 200) == (statuses, ask(str(mailed.urls.pixel)).status)


def test_view_shows_the_mailing_in_a_sandbox(mailed: Correspondence) -> None:
    """
    The browser shows what was mailed, locked away from this site and from scripts, and counts a view, not an open.
    """
    answer = ask(mailed.urls.view)

    assert 200 == answer.status
    assert "Good morning there" in answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox ")
    assert "allow-scripts" not in answer.headers["content-security-policy"]
    assert "/o/" not in answer.text
    assert [("view", None, "human", None)] == mailed.hits()


def test_unknown_addresses_get_one_plain_page(mailed: Correspondence) -> None:
    """
    Everything else is the one page that says so.
    """
    paths = ("/", "/c", "/c/", "/u/a/b", "/o/x", "/favicon.ico", "/../etc/passwd", "//", "/%00", "/c/" + "A" * 8000)
    answers = {(answer.status, answer.body) for answer in (ask(mailed.base_url + path) for path in paths)}

    assert [404] == [status for status, _ in answers]
    assert b"This page does not exist" in answers.pop()[1]


def test_unreachable_database_is_told_apart(
    make_workspace: Callable[..., Workspace], clock: SteppedClock, tmp_path: Path
) -> None:
    """
    A hit that cannot be stored is not answered as if it were: 503, come again.
    """
    nowhere = Database(f"postgresql://postgres@/nowhere?host={tmp_path}")
    workspace = make_workspace()
    with served(create_app(workspace, nowhere, clock)) as base_url:
        urls = TrackedUrls(base_url, Signer(workspace.secret), 1)
        answers = [ask(url) for url in (urls.click(0, LINKS[0]), str(urls.pixel), urls.unsubscribe, urls.view)]
        healthy = ask(f"{base_url}/healthz")

    assert [503] * 5 == [answer.status for answer in (*answers, healthy)]
    assert "60" == answers[0].headers["retry-after"]


def test_health_is_told(mailed: Correspondence) -> None:
    """
    A balancer can ask whether pages and database are there.
    """
    assert (200, "ok\n") == (ask(f"{mailed.base_url}/healthz").status, ask(f"{mailed.base_url}/healthz").text)


def test_random_requests_fail_cleanly(mailed: Correspondence) -> None:
    """
    Two thousand requests of nonsense: never an answer of the 500s, and nothing but hits is written.
    """
    chance = random.Random(20260302)
    genuine = [mailed.urls.click(0, LINKS[0]), mailed.urls.unsubscribe, mailed.urls.view, str(mailed.urls.pixel)]
    tokens = [url.removeprefix(mailed.base_url)[3:] for url in genuine]
    before = mailed.row_counts()
    statuses = {ask(mailed.base_url + path, method, body, headers).status
                for method, path, body, headers in (nonsense(chance, tokens) for _ in range(2000))}  # fmt: skip
    after = mailed.row_counts()

    assert {status for status in statuses if status >= 500} == set()
    assert before | {"hit": after["hit"]} == after


def nonsense(chance: random.Random, tokens: list[str]) -> tuple[str, str, bytes | None, dict[str, str]]:
    """A request that is nearly right: method, path, body, headers."""
    noise = base64.urlsafe_b64encode(chance.randbytes(chance.randrange(80))).decode()
    token = chance.choice([noise, noise.strip("="), chance.choice(tokens), chance.choice(tokens)[:-3], "%00", "ä%ff"])
    tail = chance.choice(["", "", "/", ".gif", "?x=" + noise, "%2f..", ";a=b"])
    path = f"/{chance.choice(['c', 'u', 'v', 'o', 'healthz', '%75', noise])}/{token}{tail}"
    method = chance.choice(["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
    kind = chance.choice(["application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "multipart/form-data",
                          "application/json", noise, "text/plain; charset=nonsense"])  # fmt: skip
    headers = {"Content-Type": kind, "Accept-Language": noise, "User-Agent": noise, "X-Forwarded-For": noise}
    body = chance.randbytes(chance.randrange(300)) if method in ("POST", "PUT", "PATCH") else None
    return method, path.encode("ascii", "ignore").decode(), body, headers
