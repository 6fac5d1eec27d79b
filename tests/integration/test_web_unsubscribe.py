"""Unsubscribing over HTTP, as mail programs and people do it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from suppression.gate import skip_reason
from suppression.policy import Policy
from tests import factories
from tests.serving import Answer, Correspondence, ask, correspondence

ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = '--edge\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--edge--\r\n'


@pytest.fixture
def mailed(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> Iterator[Correspondence]:
    """A message that can be answered."""
    with correspondence(make_workspace, database, clock) as one:
        yield one


def reasons(mailed: Correspondence, clock: SteppedClock) -> list[str | None]:
    """What the gate says to promotions and to news."""
    customer = schema.customer
    gates = [
        skip_reason(customer.c.id, customer.c.address_key, topic=topic, campaign="x", now=clock.now(), policy=Policy())
        for topic in ("promotions", "news")
    ]
    with mailed.database.begin() as connection:
        return list(connection.execute(select(*gates).where(customer.c.id == mailed.customer_id)).one())


def is_plain_success(answer: Answer) -> bool:
    """200, no redirect, no cookie."""
    return answer.status == 200 and not {"location", "set-cookie"} & answer.headers.keys()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (ONE_CLICK, FORM),
        (ONE_CLICK + "\r\n", FORM),
        (ONE_CLICK, {}),
        (MULTIPART, {"Content-Type": "multipart/form-data; boundary=edge"}),
    ],
    ids=["urlencoded", "urlencoded-with-line-end", "without-type", "multipart"],
)
def test_one_click_post_unsubscribes(
    mailed: Correspondence, clock: SteppedClock, body: str, headers: dict[str, str]
) -> None:
    """
    RFC 8058: a POST without cookie, login or script, in either encoding, ends mail about the topic.
    """
    answer = ask(mailed.urls.unsubscribe, "POST", body, headers | {"User-Agent": ""})

    assert is_plain_success(answer)
    assert ["suppressed:unsubscribed", None] == reasons(mailed, clock)


def test_one_click_post_to_a_trailing_slash_is_not_redirected(mailed: Correspondence, clock: SteppedClock) -> None:
    """
    A link that gained a slash on its way works all the same.
    """
    answer = ask(mailed.urls.unsubscribe + "/", "POST", ONE_CLICK, FORM)

    assert is_plain_success(answer)
    assert "suppressed:unsubscribed" == reasons(mailed, clock)[0]


def test_repeated_post_succeeds_and_changes_nothing_more(mailed: Correspondence) -> None:
    """
    The second opt-out is answered like the first.
    """
    first = ask(mailed.urls.unsubscribe, "POST", ONE_CLICK, FORM)
    before = mailed.row_counts()
    second = ask(mailed.urls.unsubscribe, "POST", ONE_CLICK, FORM)
    after = mailed.row_counts()

    assert (first.status, first.body) == (second.status, second.body)
    assert before | {"hit": before["hit"] + 1} == after


def test_page_leads_to_less_mail_while_the_mails_own_link_does(mailed: Correspondence, clock: SteppedClock) -> None:
    """
    Who would rather have less than nothing finds the way, until the link of the mail itself has ended.
    """
    clock.instant = factories.LONG_AGO + timedelta(days=399)
    young = [ask(mailed.urls.unsubscribe), ask(mailed.urls.unsubscribe, "POST", "choice=topic", FORM)]
    clock.instant += timedelta(days=1)
    old = [ask(mailed.urls.unsubscribe), ask(mailed.urls.unsubscribe, "POST", "choice=topic", FORM)]

    assert [True, True, False, False] == ["/p/" in answer.text for answer in (*young, *old)]


def test_other_methods_change_nothing(mailed: Correspondence) -> None:
    """
    Scanners may ask whatever they like.
    """
    before = mailed.row_counts()
    methods = ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")
    statuses = [ask(mailed.urls.unsubscribe, method).status for method in methods]

    assert [200, 200, 204, 405, 405, 405] == statuses
    assert before == mailed.row_counts()


def test_post_of_anything_else_is_refused(mailed: Correspondence) -> None:
    """
    A form that is neither the page's nor RFC 8058's changes nothing.
    """
    before = mailed.row_counts()
    bodies = (b"", b"choice=", b"List-Unsubscribe=Yes", b"choice=all", b"&" * 30, b"a=b&" * 30, b"\x00=\xff")
    statuses = [ask(mailed.urls.unsubscribe, "POST", body, FORM).status for body in bodies]

    assert [400] * len(bodies) == statuses
    assert before == mailed.row_counts()


def test_post_of_a_broken_multipart_form_is_refused(mailed: Correspondence) -> None:
    """
    Boundaries that do not fit are the sender's mistake, not the server's.
    """
    answer = ask(mailed.urls.unsubscribe, "POST", "--x\r\nbroken", {"Content-Type": "multipart/form-data; boundary=y"})

    assert 400 == answer.status


def test_post_of_a_large_body_is_refused(mailed: Correspondence) -> None:
    """
    No form of ours has a million characters.
    """
    answer = ask(mailed.urls.unsubscribe, "POST", ONE_CLICK + "&x=" + "x" * 1_000_000, FORM)

    assert 413 == answer.status


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("topic", ["suppressed:unsubscribed", None]),
        ("everything", ["suppressed:unsubscribed", "suppressed:unsubscribed"]),
    ],
)
def test_form_stops_what_was_chosen(
    mailed: Correspondence, clock: SteppedClock, choice: str, expected: list[str | None]
) -> None:
    """
    The page's form stops the topic or everything, and a page confirms it.
    """
    answer = ask(mailed.urls.unsubscribe, "POST", f"choice={choice}", FORM)

    assert is_plain_success(answer)
    assert "You are unsubscribed" in answer.text
    assert expected == reasons(mailed, clock)


def test_opt_out_records_where_it_came_from(mailed: Correspondence) -> None:
    """
    The entry names its source and the message, the consent row is a withdrawal, and the hit is a person's.
    """
    ask(mailed.urls.unsubscribe, "POST", ONE_CLICK, FORM)
    with mailed.database.begin() as connection:
        entry = connection.execute(select(schema.suppression)).mappings().one()
        consent = connection.execute(select(schema.consent).order_by(schema.consent.c.id.desc())).mappings().first()

    assert ("topic", "promotions", "one_click") == (entry["scope"], entry["scope_name"], entry["source"])
    assert {"message_id": mailed.message_id, "campaign": "spring-paper"} == entry["evidence"]
    assert consent is not None
    assert ("withdrawn", "promotions", "one_click") == (consent["state"], consent["topic"], consent["source"])
    assert [("unsubscribe", None, "human", None)] == mailed.hits()


def test_concurrent_posts_are_one_opt_out(mailed: Correspondence) -> None:
    """
    Twenty programs press the button at once: one entry, one withdrawal, twenty successes.
    """
    before = mailed.row_counts()
    with ThreadPoolExecutor(20) as threads:
        posts = [threads.submit(ask, mailed.urls.unsubscribe, "POST", ONE_CLICK, FORM) for _ in range(20)]
    after = mailed.row_counts()

    assert {200} == {post.result().status for post in posts}
    assert before | {"hit": 20, "suppression": 1, "consent": before["consent"] + 1} == after


def test_forged_token_is_not_found(mailed: Correspondence) -> None:
    """
    A changed character gives 404 and no change, to GET and POST alike.
    """
    token = mailed.urls.unsubscribe.rpartition("/")[2]
    forged = f"{mailed.base_url}/u/{token[:-1]}{'A' if token[-1] != 'A' else 'B'}"
    before = mailed.row_counts()
    statuses = {ask(forged).status, ask(forged, "POST", ONE_CLICK, FORM).status}

    assert ({404}, before) == (statuses, mailed.row_counts())


def test_page_has_a_form_and_no_script(mailed: Correspondence) -> None:
    """
    The page names topic and sender, escapes them, and needs neither script nor foreign content.
    """
    answer = ask(mailed.urls.unsubscribe)

    assert 200 == answer.status
    assert "Unsubscribe from Paper &amp; Co" in answer.text
    assert "Offers and promotions" in answer.text
    assert "…\u2060@customers.example" in answer.text
    assert '<form method="post">' in answer.text
    assert "<script" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "no-store" == answer.headers["cache-control"]


@pytest.mark.parametrize(
    ("language", "accept", "expected"),
    [
        ("de-AT", "en", "Abmelden"),
        ("zh_CN", "en", "退订"),
        (None, "fr;q=0.9, de;q=0.5, en;q=0.2", "Abmelden"),
        ("fr", "fr", "Unsubscribe"),
        (None, "de;q=x, *", "Unsubscribe"),
    ],
)
def test_page_speaks_the_customers_language(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock,
    language: str | None, accept: str, expected: str,
) -> None:  # fmt: skip
    """
    The customer's language counts first, then the browser's, then the organisation's.
    """
    with correspondence(make_workspace, database, clock, language=language) as mailed:
        answer = ask(mailed.urls.unsubscribe, headers={"Accept-Language": accept})

    assert f'<button type="submit">{expected}</button>' in answer.text
