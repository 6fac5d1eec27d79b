"""The preference centre: what a person chooses there is so, and nothing else."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest

from campaigns.mailings import rendered_message
from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from customers.merging.merge import merge
from suppression.record import suppress
from tests import factories
from tests.public_pages import Pages, public_pages
from tests.serving import Answer, ask
from tracking.timed_tokens import TimedPurpose
from tracking.tokens import Purpose

EMAIL = "ann@customers.example"
#: The page as it is sent when nothing was touched, by somebody who agreed to promotions.
UNTOUCHED = {
    "action": "save", "topics:email": ["promotions"], "often": "none", "pause": "none",
    "privacy": ["tracking", "profiling"],
}  # fmt: skip


@pytest.fixture
def pages(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[Pages]:
    """The pages."""
    with public_pages(make_workspace, database, clock) as running:
        yield running


@pytest.fixture
def ann(pages: Pages) -> int:
    """A customer who agreed to promotions."""
    return pages.customer(email=EMAIL, consents=("promotions",))


@pytest.fixture
def path(pages: Pages, ann: int) -> str:
    """Where the footer of a mailing to her leads."""
    return f"/p/{pages.token(TimedPurpose.MAIL_PREFERENCES, pages.mailed(ann), days=400)}"


def save(pages: Pages, path: str, fields: Mapping[str, Any]) -> Answer:
    """The page as it is now was sent with these fields."""
    return pages.post(path, hidden(pages.get(path).text) | fields)


def hidden(page: str) -> dict[str, list[str]]:
    """What the page says it showed."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page):
        found.setdefault(name, []).append(unescape(value))
    return found


def test_page_shows_what_is_and_changes_nothing(pages: Pages, path: str) -> None:
    """
    Looking, also by the methods of scanners, writes no row.
    """
    before = pages.counts()
    answer = pages.get(path)
    pages.get(path + "/")

    assert 200 == answer.status
    assert 'value="promotions" checked' in answer.text
    assert 'value="news">' in answer.text
    assert "a…\u2060@customers.example" in answer.text
    assert EMAIL not in answer.text
    assert before == pages.counts()


def test_saving_it_untouched_writes_but_the_audit(pages: Pages, path: str) -> None:
    """
    A page that is sent as it was shown changes nothing about the person.
    """
    before = pages.counts()
    answer = save(pages, path, UNTOUCHED)
    after = pages.counts()

    assert 200 == answer.status
    assert 'role="status"' in answer.text
    assert before | {"audit": before["audit"] + 1, "audit_head": after["audit_head"]} == after


def test_topics_are_switched_on_and_off(pages: Pages, ann: int, path: str) -> None:
    """
    Off binds address and customer; on is a confirmed consent, for the link came to the mailbox. Both ways again.
    """
    save(pages, path, UNTOUCHED | {"topics:email": ["news"]})
    swapped = pages.reasons(ann)
    pages.clock.instant += timedelta(days=1)
    save(pages, path, UNTOUCHED | {"topics:email": ["promotions"]})

    assert {"news": None, "promotions": "suppressed:unsubscribed"} == swapped
    assert {"news": "suppressed:unsubscribed", "promotions": None} == pages.reasons(ann)


def test_stop_everything_stops_every_topic_and_can_be_taken_back(pages: Pages, ann: int, path: str) -> None:
    """
    One button ends all mailings; who comes back for one topic does so for no other.
    """
    answer = pages.post(path, {"action": "stop"})
    stopped = pages.reasons(ann)
    pages.clock.instant += timedelta(days=1)
    save(pages, path, UNTOUCHED | {"topics:email": ["news"]})

    assert "All mailings are stopped" in answer.text
    assert {"suppressed:unsubscribed"} == set(stopped.values())
    assert {"news": None, "promotions": "suppressed:unsubscribed"} == pages.reasons(ann)


def test_break_holds_mail_back_until_it_is_over(pages: Pages, ann: int, path: str) -> None:
    """
    A break of 30 days ends by itself; saved again it goes on, and it can be ended at once.
    """
    save(pages, path, UNTOUCHED | {"pause": "30d"})
    paused = pages.reasons(ann)
    shown = pages.get(path)
    pages.clock.instant += timedelta(days=10)
    save(pages, path, UNTOUCHED | {"pause": "keep"})
    pages.clock.instant += timedelta(days=20) - timedelta(seconds=1)
    last_second = pages.reasons(ann)
    pages.clock.instant += timedelta(seconds=1)
    over = pages.reasons(ann)
    save(pages, path, UNTOUCHED | {"pause": "90d"})
    save(pages, path, UNTOUCHED | {"pause": "none"})

    assert "The break goes on until 1 April 2026" in shown.text
    assert ["suppressed:paused", "suppressed:paused", None] == [
        found["promotions"] for found in (paused, last_second, over)
    ]
    assert pages.reasons(ann)["promotions"] is None


@pytest.mark.parametrize("days", [5, 60])
def test_break_of_ones_own_stands_beside_an_operators(pages: Pages, ann: int, path: str, days: int) -> None:
    """
    Shorter or longer, what an operator entered holds as long as it did, whatever the person begins and ends.
    """
    key, until = factories.key_of(EMAIL), pages.clock.now() + timedelta(days=days)
    with pages.database.begin() as connection:
        suppress(
            connection, key, scope="global", reason="paused", source="operator", expires_at=until, now=pages.clock.now()
        )
    for pause in ("30d", "90d", "none"):
        save(pages, path, UNTOUCHED | {"pause": pause})
    pages.clock.instant = until - timedelta(seconds=1)
    held = pages.reasons(ann)["promotions"]
    pages.clock.instant = until

    assert ("suppressed:paused", None) == (held, pages.reasons(ann)["promotions"])


def test_how_often_is_a_wish_on_record(pages: Pages, ann: int, path: str) -> None:
    """
    The choice is kept, shown again, and taken back.
    """
    save(pages, path, UNTOUCHED | {"often": "1 in 7d"})
    (wish,) = pages.rows(schema.preference)
    shown = pages.get(path).text
    save(pages, path, UNTOUCHED | {"often": "none"})

    assert (ann, 1, timedelta(days=7)) == (wish["customer_id"], wish["most_messages"], wish["most_within"])
    assert 'value="1 in 7d" checked' in shown
    assert [None] == [row["most_messages"] for row in pages.rows(schema.preference)]


def test_tracking_and_profiling_are_chosen_apart(pages: Pages, path: str) -> None:
    """
    Each no is a withdrawal of its own channel, shown unticked afterwards.
    """
    save(pages, path, UNTOUCHED | {"privacy": "profiling"})
    pages.clock.instant += timedelta(days=1)
    shown = pages.get(path).text
    words = [(row["channel"], row["state"]) for row in pages.rows(schema.consent) if row["channel"] != "email"]

    assert [("tracking", "withdrawn")] == words
    assert 'value="tracking">' in shown
    assert 'value="profiling" checked' in shown


def test_what_others_stopped_cannot_be_switched_on_here(pages: Pages, ann: int, path: str) -> None:
    """
    A complaint stays, and the page says whom to write to.
    """
    with pages.database.begin() as connection:
        factories.make_suppression(connection, EMAIL, reason="complaint")
    answer = save(pages, path, UNTOUCHED | {"topics:email": ["news", "promotions"]})

    assert "This could not be switched on from here: News, Offers and promotions" in answer.text
    assert {"suppressed:complaint"} == set(pages.reasons(ann).values())


def test_anything_else_is_refused(pages: Pages, path: str) -> None:
    """
    A form that is not the page's changes nothing.
    """
    before = pages.counts()
    forms = ({}, {"action": "save"}, {"action": "drop"}, UNTOUCHED | {"often": "9 in 9"},
             UNTOUCHED | {"often": "0 in 7d"}, UNTOUCHED | {"pause": "1h"}, UNTOUCHED | {"pause": ""})  # fmt: skip
    statuses = [pages.post(path, fields).status for fields in forms]

    assert [400] * len(forms) == statuses
    assert before == pages.counts()


def test_topics_nobody_offered_are_ignored(pages: Pages, path: str) -> None:
    """
    Neither a made-up topic nor another channel becomes a consent.
    """
    before = pages.counts()["consent"]
    save(pages, path, UNTOUCHED | {"topics:email": ["promotions", "secret"], "topics:sms": ["news"]})

    assert before == pages.counts()["consent"]


def moved(pages: Pages, customer_id: int) -> None:
    """The customer has another mailbox."""
    with pages.database.begin() as connection:
        values = {"email": "new@customers.example", "address_key": factories.key_of("new@customers.example")}
        connection.execute(schema.customer.update().where(schema.customer.c.id == customer_id).values(**values))


def test_links_to_a_former_address_stop_mail_and_open_nothing(pages: Pages, ann: int, path: str) -> None:
    """
    Whoever has the old mailbox now cannot see or choose for the person at the new one; a no is taken from anybody.
    """
    pages.post("/my", {"email": EMAIL, "what": "preferences"})
    asked_for = pages.path_in(pages.mails()[0])
    before = save(pages, asked_for, UNTOUCHED).status
    moved(pages, ann)
    counts = pages.counts()
    statuses = [
        status for link in (path, asked_for) for status in (pages.get(link).status, save(pages, link, UNTOUCHED).status)
    ]

    assert 200 == before
    assert [410] * 4 == statuses
    assert counts == pages.counts()
    assert 200 == pages.post(path, {"action": "stop"}).status
    assert {"suppressed:unsubscribed"} == set(pages.reasons(ann).values())


def test_stop_everything_is_taken_after_a_merge(pages: Pages, ann: int) -> None:
    """
    The link came to the address of a customer who is another one by now: mail to both addresses ends.
    """
    other = pages.customer(email="ann.lee@customers.example", consents=("promotions", "news"))
    link = f"/p/{pages.token(TimedPurpose.PREFERENCES, factories.key_of(EMAIL).int)}"
    with pages.database.begin() as connection:
        merge(connection, ann, other, because="same", actor="desk", now=pages.clock.now())
    answer = pages.post(link, {"action": "stop"})
    stopped = {row["address_key"] for row in pages.rows(schema.suppression)}

    assert (410, 200) == (pages.get(link).status, answer.status)
    assert {factories.key_of(EMAIL), factories.key_of("ann.lee@customers.example")} == stopped
    assert {"suppressed:unsubscribed"} == set(pages.reasons(other).values())


def one_click(pages: Pages, message: int) -> None:
    """A mail program opts out of the message's topic."""
    pages.clock.instant += timedelta(minutes=1)
    token = pages.signer.sign(Purpose.UNSUBSCRIBE, message)
    ask(f"{pages.base_url}/u/{token}", "POST", "List-Unsubscribe=One-Click", {})
    pages.clock.instant += timedelta(minutes=1)


def test_page_that_lay_open_undoes_no_opt_out(pages: Pages, ann: int) -> None:
    """
    A tick that was there before the opt-out is no wish; the page says what is off by now.
    """
    message = pages.mailed(ann)
    link = f"/p/{pages.token(TimedPurpose.MAIL_PREFERENCES, message, days=400)}"
    shown = hidden(pages.get(link).text)
    one_click(pages, message)
    answer = pages.post(link, shown | UNTOUCHED | {"often": "1 in 7d"})

    assert "suppressed:unsubscribed" == pages.reasons(ann)["promotions"]
    assert "switched off elsewhere" in answer.text
    assert [1] == [row["most_messages"] for row in pages.rows(schema.preference)]


def test_page_sent_twice_undoes_no_stop_in_between(pages: Pages, ann: int, path: str) -> None:
    """
    What was once switched on by a page is not switched on again when its answer is loaded anew.
    """
    fields = hidden(pages.get(path).text) | UNTOUCHED | {"topics:email": ["promotions", "news"]}
    pages.post(path, fields)
    on = pages.reasons(ann)
    pages.clock.instant += timedelta(minutes=1)
    pages.post(path, {"action": "stop"})
    pages.clock.instant += timedelta(minutes=1)
    pages.post(path, fields)

    assert {None} == set(on.values())
    assert {"suppressed:unsubscribed"} == set(pages.reasons(ann).values())


def test_form_without_what_was_shown_only_switches_off(pages: Pages, ann: int, path: str) -> None:
    """
    Whatever sends it, nothing is agreed to by it.
    """
    pages.post(path, UNTOUCHED | {"topics:email": ["news"]})

    assert {"news": "not_consented", "promotions": "suppressed:unsubscribed"} == pages.reasons(ann)


def test_tick_lifts_neither_what_another_nor_what_staff_entered(pages: Pages, ann: int, path: str) -> None:
    """
    At a shared mailbox one person's no is not another's to take back; nor is an operator's entry, or pause.
    """
    bob, key = pages.customer(email=EMAIL, consents=("promotions", "news")), factories.key_of(EMAIL)
    with pages.database.begin() as connection:
        now, until = pages.clock.now(), pages.clock.now() + timedelta(days=90)
        suppress(
            connection, key, scope="topic", scope_name="promotions", reason="unsubscribed", source="one_click",
            evidence={"customer": bob}, now=now,
        )  # fmt: skip
        suppress(connection, key, scope="topic", scope_name="news", reason="unsubscribed", source="operator", now=now)
        suppress(connection, key, scope="global", reason="paused", source="operator", expires_at=until, now=now)
    pages.clock.instant += timedelta(minutes=1)
    answer = save(pages, path, UNTOUCHED | {"topics:email": ["news", "promotions"], "pause": "none"})
    entries = [(row["source"], row["reason"]) for row in pages.rows(schema.suppression) if row["lifted_at"] is None]

    assert "could not be switched on" in answer.text
    assert [("one_click", "unsubscribed"), ("operator", "unsubscribed"), ("operator", "paused")] == entries


def test_tick_is_on_record_with_what_it_agreed_to(pages: Pages, path: str) -> None:
    """
    The consent names the version of the page's words, their hash in the language shown, and that language.
    """
    save(pages, path, UNTOUCHED | {"topics:email": ["promotions", "news"]})
    (given,) = [row for row in pages.rows(schema.consent) if row["state"] == "confirmed"]

    assert ("news", "preferences-1", 64) == (given["topic"], given["wording"], len(given["wording_hash"]))
    assert "en" == given["proof"]["language"]


def test_buttons_order_the_link_to_ones_data(pages: Pages, path: str) -> None:
    """
    Asked for from here, too, the link goes to the mailbox and is not shown.
    """
    answer = pages.post(path, {"action": "export"})
    (mail,) = pages.mails_to(EMAIL)

    assert 200 == answer.status
    assert mail["given"]["url"] not in answer.text
    assert "export" == mail["given"]["kind"]


def test_rendered_mailing_leads_to_the_page(pages: Pages, ann: int) -> None:
    """
    The footer's link, as the message is rendered, opens this person's page.
    """
    message = pages.mailed(ann)
    pages.clock.instant = factories.LONG_AGO + timedelta(days=399)
    with pages.database.begin() as connection:
        rendered = rendered_message(connection, pages.workspace, message, pages.clock.now())
    assert rendered is not None
    assert rendered.html is not None
    (link,) = [urlsplit(url).path for url in re.findall(r'href="([^"]+/p/[^"]+)"', rendered.html)]
    before = pages.get(link).status
    pages.clock.instant += timedelta(days=1)

    assert (200, 410) == (before, pages.get(link).status)
