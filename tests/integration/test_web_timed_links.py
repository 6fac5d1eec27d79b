"""Links that end: forged, replayed, expired and cross-purpose tokens are refused on every page, and change nothing
(S-9.8)."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.people_lock import people_go
from core.workspace import Workspace
from tests import factories
from tests.public_pages import GOOD, Pages, public_pages
from tests.serving import ask
from tracking.timed_tokens import TimedPurpose, TimedTokens
from tracking.tokens import Purpose
from web import rights_requests, site

EMAIL = "ann@customers.example"
#: Page → the purposes that open it, and a form it would act on.
TIMED = {
    "k": ({TimedPurpose.CONFIRM}, {}),
    "p": ({TimedPurpose.PREFERENCES, TimedPurpose.MAIL_PREFERENCES}, {"action": "stop"}),
    "x": ({TimedPurpose.EXPORT}, {}),
    "e": ({TimedPurpose.ERASE}, {}),
}
LASTING = {"u": Purpose.UNSUBSCRIBE, "c": Purpose.CLICK, "v": Purpose.VIEW}


@pytest.fixture
def pages(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[Pages]:
    """The pages."""
    with public_pages(make_workspace, database, clock) as running:
        yield running


def subjects(pages: Pages) -> dict[TimedPurpose, int]:
    """Something real for each purpose to be about, so that only the token is in the way."""
    customer = pages.customer(email=EMAIL, consents=("promotions",))
    message = pages.mailed(customer)
    pages.post("/f/newsletter", GOOD)
    for what in ("export", "erase"):
        pages.post("/my", {"email": EMAIL, "what": what})
    kinds = {row["kind"]: row["id"] for row in pages.rows(schema.rights_request)}
    return {
        TimedPurpose.CONFIRM: pages.rows(schema.sign_up)[0]["id"],
        TimedPurpose.PREFERENCES: factories.key_of(EMAIL).int,
        TimedPurpose.MAIL_PREFERENCES: message, TimedPurpose.EXPORT: kinds["export"],
        TimedPurpose.ERASE: kinds["erase"],
    }  # fmt: skip


def changed_bytes(token: str) -> Iterator[str]:
    """The token with one character changed, at every place."""
    for place, char in enumerate(token):
        yield token[:place] + ("A" if char != "A" else "B") + token[place + 1 :]


def test_no_token_opens_a_page_it_was_not_made_for(pages: Pages) -> None:
    """
    All purposes on all pages, by GET and POST: 4xx and no row changed, unless it is the purpose's own page.
    """
    real = subjects(pages)
    tokens = {purpose: pages.token(purpose, subject) for purpose, subject in real.items()}
    lasting = [pages.signer.sign(purpose, 1) for purpose in Purpose]
    before = pages.counts()
    for page, (own, form) in TIMED.items():
        for token in [*(token for purpose, token in tokens.items() if purpose not in own), *lasting]:
            assert {404} == {pages.get(f"/{page}/{token}").status, pages.post(f"/{page}/{token}", form).status}
    for page in LASTING:
        for token in tokens.values():
            assert 404 == pages.get(f"/{page}/{token}").status
            assert pages.post(f"/{page}/{token}", {"List-Unsubscribe": "One-Click"}).status in (404, 405)

    assert before == pages.counts()


def test_forged_tokens_are_refused(pages: Pages) -> None:
    """
    A changed character at any place, another secret, or nonsense: 404, and no row changed.
    """
    real = subjects(pages)
    stranger = TimedTokens(b"another secret, of enough length")
    before = pages.counts()
    for page, (own, form) in TIMED.items():
        for purpose in own:
            token = pages.token(purpose, real[purpose])
            forged = [*list(changed_bytes(token))[::9], stranger.sign(purpose, real[purpose], pages.clock.now()),
                      token[:-1], token + "A", "", "%00", "..%2f..", "%F0%9F%93%8E"]  # fmt: skip
            for one in forged:
                assert {404} == {pages.get(f"/{page}/{one}").status, pages.post(f"/{page}/{one}", form).status}

    assert before == pages.counts()


def test_expired_tokens_are_refused(pages: Pages) -> None:
    """
    At its last second a link opens its page; one second later it is 410, by GET and POST, and no row changed.
    """
    real = subjects(pages)
    tokens = [(page, pages.token(purpose, real[purpose]), form)
              for page, (own, form) in TIMED.items() for purpose in own]  # fmt: skip
    before = pages.counts()
    pages.clock.instant += timedelta(minutes=59, seconds=59)
    alive = {pages.get(f"/{page}/{token}").status for page, token, _ in tokens}
    pages.clock.instant += timedelta(seconds=1)
    dead = {pages.get(f"/{page}/{token}").status for page, token, _ in tokens}
    refused = {pages.post(f"/{page}/{token}", form).status for page, token, form in tokens}

    assert ({200}, {410}, {410}) == (alive, dead, refused)
    assert before == pages.counts()


def test_replayed_tokens_are_refused(pages: Pages) -> None:
    """
    Confirming, exporting and erasing work once; a second time they are 410, and no row changed.
    """
    real = subjects(pages)
    for page, purpose in (("k", TimedPurpose.CONFIRM), ("x", TimedPurpose.EXPORT), ("e", TimedPurpose.ERASE)):
        path = f"/{page}/{pages.token(purpose, real[purpose])}"
        first = pages.post(path).status
        before = pages.counts()

        assert (200, 410, 410) == (first, pages.post(path).status, pages.get(path).status)
        assert before == pages.counts()


def test_used_link_is_used_for_all_who_press_at_once(pages: Pages) -> None:
    """
    Five requests at the same time confirm once.
    """
    pages.post("/f/newsletter", GOOD)
    path = pages.path_in(pages.mails()[0])
    with ThreadPoolExecutor(5) as pool:
        statuses = sorted(pool.map(lambda _: pages.post(path).status, range(5)))

    assert [200, *[410] * 4] == statuses
    assert 1 == sum(row["state"] == "confirmed" for row in pages.rows(schema.consent))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_at_any_page_changes_nothing(pages: Pages, method: str) -> None:
    """
    Scanners follow every link: whatever has an effect waits for the button of a page that was shown (S-6.6).
    """
    real = subjects(pages)
    paths = [f"/{page}/{pages.token(purpose, real[purpose])}" for page, (own, _) in TIMED.items() for purpose in own]
    paths += [
        f"/u/{pages.signer.sign(Purpose.UNSUBSCRIBE, real[TimedPurpose.MAIL_PREFERENCES])}",
        "/f/newsletter",
        "/my",
    ]
    before = pages.counts()

    assert [200] * len(paths) == [ask(pages.base_url + path, method).status for path in paths]
    assert before == pages.counts()


def test_who_shares_a_mailbox_is_told_whom_it_is_about(pages: Pages) -> None:
    """
    A copy and an erasure take in every customer at the address, so the page says who they are before the button.
    """
    for name in ("Ann", "Bob <b>", None):
        pages.customer(email=EMAIL, first_name=name)
    for what in ("export", "erase"):
        pages.post("/my", {"email": EMAIL, "what": what})
    paths = [pages.path_in(mail) for mail in pages.mails_to(EMAIL)]
    shown = {
        "3 customers of ours use this address: Ann, Bob &lt;b&gt;, somebody without a name" in pages.get(path).text
        for path in paths
    }
    pages.post(paths[1])

    assert {True} == shown
    assert [] == pages.rows(schema.customer)


@pytest.mark.parametrize("what", ["export", "erase"])
def test_link_that_met_a_lock_stays_good(pages: Pages, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """
    While customers are being merged nobody waits for long: 503, and the link works afterwards.
    """
    monkeypatch.setattr(site, "_PATIENCE", text("SET LOCAL lock_timeout = '20ms'"))
    monkeypatch.setattr(rights_requests, "_SHORT", timedelta(0))
    pages.customer(email=EMAIL)
    pages.post("/my", {"email": EMAIL, "what": what})
    path = pages.path_in(pages.mails()[0])
    with pages.database.begin() as other:
        people_go(other)
        kept_waiting = pages.post(path)

    assert (503, 200) == (kept_waiting.status, pages.post(path).status)


def test_export_is_everything_as_a_file(pages: Pages) -> None:
    """
    The link mailed to the address gives one document, which names the customer, their consents and messages; that it
    was given out is logged (S-5.15).
    """
    subjects(pages)
    mail = next(mail for mail in pages.mails_to(EMAIL) if mail["given"].get("kind") == "export")
    shown, file = pages.get(pages.path_in(mail)), pages.post(pages.path_in(mail))
    found = json.loads(file.body)

    assert 'type="submit"' in shown.text
    assert ("application/json", "no-store") == (file.headers["content-type"], file.headers["cache-control"])
    assert 'attachment; filename="my-data.json"' == file.headers["content-disposition"]
    assert [EMAIL] == [row["email"] for row in found["tables"]["customer"]]
    assert found["tables"]["consent"]
    assert found["tables"]["message"]
    assert "done" == next(row["state"] for row in pages.rows(schema.rights_request) if row["kind"] == "export")
    assert ["person"] == [row["actor"] for row in pages.rows(schema.audit) if row["action"] == "customer.export"]


def test_erasure_leaves_no_customer_and_blocks_the_address(pages: Pages) -> None:
    """
    After the button the customer is gone, their mail is blocked, and asking again brings no mail.
    """
    subjects(pages)
    mail = next(mail for mail in pages.mails_to(EMAIL) if mail["given"].get("kind") == "erase")
    answer = pages.post(pages.path_in(mail))
    pages.clock.instant += timedelta(days=2)
    again = pages.post("/my", {"email": EMAIL, "what": "preferences"})

    assert "Your data is erased" in answer.text
    assert EMAIL not in str(pages.rows(schema.customer))
    assert "erased" in {row["reason"] for row in pages.rows(schema.suppression)}
    assert 200 == again.status
    assert ["new"] == sorted(
        {"new" if row["email"] != EMAIL else "old" for row in pages.rows(schema.sign_up)} or ["new"]
    )


def test_links_ended_lead_to_a_new_one(pages: Pages) -> None:
    """
    Who comes too late is told where to ask again.
    """
    answer = pages.get(f"/p/{pages.token(TimedPurpose.PREFERENCES, factories.key_of(EMAIL).int, seconds=-1)}")

    assert 410 == answer.status
    assert "/my" in answer.text
