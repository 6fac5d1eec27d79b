"""The preference centre: what a person chooses there is so, and nothing else."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from campaigns.mailings import rendered_message
from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from suppression.gate import skip_reason
from suppression.policy import Policy
from tests import factories
from tests.public_pages import Pages, public_pages
from tracking.timed_tokens import TimedPurpose

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


def reasons(pages: Pages, customer_id: int) -> dict[str, str | None]:
    """What the gate says to each topic."""
    customer = schema.customer
    gates = [
        skip_reason(
            customer.c.id, customer.c.address_key, topic=topic, campaign="x", now=pages.clock.now(), policy=Policy()
        ).label(topic)
        for topic in ("news", "promotions")
    ]
    with pages.database.begin() as connection:
        return dict(connection.execute(select(*gates).where(customer.c.id == customer_id)).mappings().one())


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
    answer = pages.post(path, UNTOUCHED)
    after = pages.counts()

    assert 200 == answer.status
    assert 'role="status"' in answer.text
    assert before | {"audit": before["audit"] + 1, "audit_head": after["audit_head"]} == after


def test_topics_are_switched_on_and_off(pages: Pages, ann: int, path: str) -> None:
    """
    Off binds address and customer; on is a confirmed consent, for the link came to the mailbox. Both ways again.
    """
    pages.post(path, UNTOUCHED | {"topics:email": ["news"]})
    swapped = reasons(pages, ann)
    pages.clock.instant += timedelta(days=1)
    pages.post(path, UNTOUCHED | {"topics:email": ["promotions"]})

    assert {"news": None, "promotions": "suppressed:unsubscribed"} == swapped
    assert {"news": "suppressed:unsubscribed", "promotions": None} == reasons(pages, ann)


def test_stop_everything_stops_every_topic_and_can_be_taken_back(pages: Pages, ann: int, path: str) -> None:
    """
    One button ends all mailings; who comes back for one topic does so for no other.
    """
    answer = pages.post(path, {"action": "stop"})
    stopped = reasons(pages, ann)
    pages.clock.instant += timedelta(days=1)
    pages.post(path, UNTOUCHED | {"topics:email": ["news"]})

    assert "All mailings are stopped" in answer.text
    assert {"suppressed:unsubscribed"} == set(stopped.values())
    assert {"news": None, "promotions": "suppressed:unsubscribed"} == reasons(pages, ann)


def test_break_holds_mail_back_until_it_is_over(pages: Pages, ann: int, path: str) -> None:
    """
    A break of 30 days ends by itself; saved again it goes on, and it can be ended at once.
    """
    pages.post(path, UNTOUCHED | {"pause": "30d"})
    paused = reasons(pages, ann)
    shown = pages.get(path)
    pages.clock.instant += timedelta(days=10)
    pages.post(path, UNTOUCHED | {"pause": "keep"})
    pages.clock.instant += timedelta(days=20) - timedelta(seconds=1)
    last_second = reasons(pages, ann)
    pages.clock.instant += timedelta(seconds=1)
    over = reasons(pages, ann)
    pages.post(path, UNTOUCHED | {"pause": "90d"})
    pages.post(path, UNTOUCHED | {"pause": "none"})

    assert "The break goes on until 1 April 2026" in shown.text
    assert ["suppressed:paused", "suppressed:paused", None] == [
        found["promotions"] for found in (paused, last_second, over)
    ]
    assert reasons(pages, ann)["promotions"] is None


def test_how_often_is_a_wish_on_record(pages: Pages, ann: int, path: str) -> None:
    """
    The choice is kept, shown again, and taken back.
    """
    pages.post(path, UNTOUCHED | {"often": "1 in 7d"})
    (wish,) = pages.rows(schema.preference)
    shown = pages.get(path).text
    pages.post(path, UNTOUCHED | {"often": "none"})

    assert (ann, 1, timedelta(days=7)) == (wish["customer_id"], wish["most_messages"], wish["most_within"])
    assert 'value="1 in 7d" checked' in shown
    assert [None] == [row["most_messages"] for row in pages.rows(schema.preference)]


def test_tracking_and_profiling_are_chosen_apart(pages: Pages, path: str) -> None:
    """
    Each no is a withdrawal of its own channel, shown unticked afterwards.
    """
    pages.post(path, UNTOUCHED | {"privacy": "profiling"})
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
    answer = pages.post(path, UNTOUCHED | {"topics:email": ["news", "promotions"]})

    assert "This could not be switched on from here: News, Offers and promotions" in answer.text
    assert {"suppressed:complaint"} == set(reasons(pages, ann).values())


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
    pages.post(path, UNTOUCHED | {"topics:email": ["promotions", "secret"], "topics:sms": ["news"]})

    assert before == pages.counts()["consent"]


def test_link_of_a_mail_to_a_former_address_opens_nothing(pages: Pages, ann: int, path: str) -> None:
    """
    Whoever has the old mailbox now cannot choose for the person at the new one.
    """
    with pages.database.begin() as connection:
        moved = {"email": "new@customers.example", "address_key": factories.key_of("new@customers.example")}
        connection.execute(schema.customer.update().where(schema.customer.c.id == ann).values(**moved))
    before = pages.counts()

    assert [410, 410] == [pages.get(path).status, pages.post(path, {"action": "stop"}).status]
    assert before == pages.counts()


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
