"""Public forms cannot be used to flood mailboxes, nor to find out who is known (S-9.9, S-9.10)."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

import pytest
from sqlalchemy import event

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from customers.rights import retention
from tests import factories
from tests.public_pages import GOOD, SETTINGS, Pages, public_pages

SECOND = timedelta(seconds=1)
#: Visitors come through a proxy on this machine, which says who they are.
BEHIND_A_PROXY = SETTINGS + "web: {{proxies: [127.0.0.1]}}\n"


def limited(**limits: int) -> str:
    """Settings behind a proxy, with these limits."""
    shown = ", ".join(f"{name}: {count}" for name, count in limits.items())
    return BEHIND_A_PROXY.replace("answer_s: 0}}", f"answer_s: 0, limits: {{{{{shown}}}}}}}}}")


@pytest.fixture
def pages(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[Pages]:
    """The pages behind a proxy."""
    with public_pages(make_workspace, database, clock, settings=BEHIND_A_PROXY) as running:
        yield running


def sign_up(pages: Pages, email: str, visitor: str = "192.0.2.1") -> int:
    """The status of one sign-up."""
    return pages.post("/f/newsletter", GOOD | {"email": email}, **{"X-Forwarded-For": visitor}).status


def test_mailbox_gets_one_confirmation_in_24_hours_and_three_at_all(pages: Pages) -> None:
    """
    The second mail is due 24 hours after the first, not a second earlier; after three without an answer none is.
    """
    counts = []
    for step in (timedelta(0), timedelta(hours=24) - SECOND, SECOND, timedelta(hours=24), timedelta(hours=24),
                 timedelta(days=300)):  # fmt: skip
        pages.clock.instant += step
        assert 200 == sign_up(pages, "ann@customers.example")
        counts.append(len(pages.mails()))

    assert [1, 1, 2, 3, 3, 3] == counts
    assert 3 == len(pages.rows(schema.sign_up))


def test_spellings_of_one_mailbox_share_its_limit(pages: Pages) -> None:
    """
    Tags, dots, case and another name of the provider bring no second mail.
    """
    for email in ("ann.lee@gmail.com", "annlee@gmail.com", "a.n.n.l.e.e+x@gmail.com", "AnnLee@GoogleMail.com",
                  "annlee+shop+2@googlemail.com"):  # fmt: skip
        assert 200 == sign_up(pages, email)

    assert 1 == len(pages.mails())


def test_confirmed_mailbox_may_be_asked_again(pages: Pages) -> None:
    """
    Only what was never confirmed counts among the three.
    """
    for number in range(5):
        sign_up(pages, "ann@customers.example")
        pages.post(pages.path_in(pages.mails()[number]))
        pages.clock.instant += timedelta(days=1)

    assert 5 == len(pages.mails())


def test_bombing_by_many_visitors_at_once_brings_one_mail(pages: Pages) -> None:
    """
    Twenty machines that sign somebody up at the same time cause one mail.
    """
    with ThreadPoolExecutor(5) as pool:
        statuses = set(pool.map(lambda n: sign_up(pages, f"ann+{n}@customers.example", f"192.0.{n}.1"), range(20)))

    assert {200} == statuses
    assert 1 == len(pages.mails())


def test_visitor_and_network_are_limited_by_the_hour(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:  # fmt: skip
    """
    So many forms from an address in an hour, so many from its network; the next hour begins anew.
    """
    with public_pages(
        make_workspace, database, clock, settings=limited(visitor_per_hour=2, network_per_hour=5)
    ) as pages:

        def burst(visitor: str, count: int) -> list[int]:
            return [sign_up(pages, "ann@customers.example", visitor) for _ in range(count)]

        first = burst("198.51.100.7", 3)
        others = [*burst("198.51.100.10", 2), *burst("198.51.100.11", 2)]
        elsewhere = burst("198.51.101.1", 1)
        clock.instant += timedelta(hours=1)
        later = burst("198.51.100.7", 1)

    assert ([200, 200, 429], [200, 200, 200, 429]) == (first, others)
    assert ([200], [200]) == (elsewhere, later)


def test_all_forms_have_a_brake(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:  # fmt: skip
    """
    A form, and all forms together, take so many in an hour, wherever they come from.
    """
    with public_pages(make_workspace, database, clock, settings=limited(form_per_hour=3, all_per_hour=5)) as pages:
        of_form = [sign_up(pages, f"a{number}@customers.example", f"192.0.{number}.1") for number in range(4)]
        fields = {"email": "b@customers.example", "agree": "yes"}
        of_all = [pages.post("/f/offers", fields, **{"X-Forwarded-For": f"192.1.{n}.1"}) for n in range(3)]

    assert [200, 200, 200, 429] == of_form
    assert [200, 200, 429] == [answer.status for answer in of_all]
    assert "3600" == of_all[2].headers["retry-after"]


def test_limits_are_forgotten_after_their_time(pages: Pages) -> None:
    """
    Network addresses of visitors are kept for the hour, times of mails for the day; how many were not answered longer.
    """
    sign_up(pages, "ann@customers.example", "192.0.2.77")
    pages.clock.instant += timedelta(days=2)
    sign_up(pages, "bob@customers.example", "192.0.2.78")

    keys = [row["key"] for row in pages.rows(schema.public_count)]
    assert not any("192.0.2.77" in key for key in keys)
    assert 7 == len(keys)
    assert 2 == len([key for key in keys if key.startswith("unanswered:")])


def test_one_visitor_uses_up_nobody_elses_limit(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:  # fmt: skip
    """
    What is refused to a visitor, or to a network, counts for nothing wider: others go on.
    """
    settings = limited(visitor_per_hour=1, network_per_hour=2, form_per_hour=4, all_per_hour=5)
    with public_pages(make_workspace, database, clock, settings=settings) as pages:
        noisy = [sign_up(pages, "ann@customers.example", f"192.0.2.{1 + n % 3}") for n in range(12)]
        other = sign_up(pages, "bob@customers.example", "203.0.113.9")

    assert 2 == noisy.count(200)
    assert 200 == other


def bombed(pages: Pages, days: int) -> int:
    """The mails to Ann after everything was asked for in her name on each day."""
    for day in range(days):
        sign_up(pages, "ann@customers.example", f"192.0.{day}.1")
        for what in ("preferences", "export", "erase"):
            fields = {"email": "ann@customers.example", "what": what}
            assert 200 == pages.post("/my", fields, **{"X-Forwarded-For": f"192.1.{day}.1"}).status
        pages.clock.instant += timedelta(days=1)
    return len(pages.mails_to("ann@customers.example"))


def test_whom_a_form_alone_names_is_known_nowhere(pages: Pages) -> None:
    """
    Three unanswered confirmations at all, and no links to data: nothing else is known of them. Retention gives no more.
    """
    first = bombed(pages, 5)
    pages.clock.instant += timedelta(days=200)
    retention.run(pages.database, pages.workspace.settings.retention, now=pages.clock.now())
    kept = [len(pages.rows(table)) for table in (schema.sign_up, schema.customer, schema.rights_request)]

    assert 3 == first
    assert [0, 0, 0] == kept
    assert 3 == bombed(pages, 2)


def test_mails_of_all_kinds_that_nobody_answers_end(pages: Pages) -> None:
    """
    Three in a day, ten at all, to a customer we know; once a link was used they are counted anew.
    """
    pages.customer(email="ann@customers.example", consents=("promotions",))
    counts = [bombed(pages, 1), bombed(pages, 6)]
    links = [mail for mail in pages.mails_to("ann@customers.example") if mail["given"].get("kind") == "preferences"]
    pages.clock.instant -= timedelta(days=7)
    assert 200 == pages.post(pages.path_in(links[0]), {"action": "stop"}).status
    pages.clock.instant += timedelta(days=7)

    assert [3, 10] == counts
    assert bombed(pages, 1) > 10


def test_erasure_that_cannot_be_mailed_becomes_a_task(pages: Pages) -> None:
    """
    Nothing goes to somebody who complained; staff is told what they asked for.
    """
    pages.customer(email="ann@customers.example")
    with pages.database.begin() as connection:
        factories.make_suppression(connection, "ann@customers.example", reason="complaint")
    pages.post("/my", {"email": "ann@customers.example", "what": "erase"})
    (task,) = pages.rows(schema.task)

    assert "suppressed:complaint" in task["title"]
    assert ["skipped"] == [mail["state"] for mail in pages.mails()]


def test_header_of_a_stranger_is_ignored(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:  # fmt: skip
    """
    Only a proxy that was named may say who is visiting: otherwise limits would be for the choosing.
    """
    stranger = limited(visitor_per_hour=3).replace("127.0.0.1]}}", "203.0.113.0/24]}}")
    with public_pages(make_workspace, database, clock, settings=stranger) as pages:
        statuses = [sign_up(pages, "ann@customers.example", f"192.0.{number}.1") for number in range(4)]

    assert [200, 200, 200, 429] == statuses


@contextmanager
def statements_of(database: Database) -> Iterator[list[str]]:
    """The statements that are executed, by their first words."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def test_known_and_unknown_addresses_get_the_same_answer(pages: Pages) -> None:
    """
    Body, status and headers are equal, byte for byte, for every question that could tell who is known.
    """
    pages.customer(email="known@customers.example", consents=("promotions", "news"), first_name="Ann")
    for path, fields in (
        ("/f/newsletter", GOOD), ("/f/offers", {"agree": "yes"}), ("/my", {"what": "export"}),
        ("/my", {"what": "erase"}), ("/my", {"what": "preferences"}),
    ):  # fmt: skip
        answers = [
            pages.post(path, fields | {"email": f"{who}@customers.example"}) for who in ("known", "unknown", "known")
        ]

        assert 1 == len({(one.status, one.body) for one in answers})
        assert 1 == len({tuple(sorted(set(one.headers.items()) - {("date", one.headers["date"])})) for one in answers})


def test_known_and_unknown_addresses_take_the_same_time(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:  # fmt: skip
    """
    No answer comes before `answer_s`, whatever was found; what differs is hidden behind it.
    """
    with public_pages(
        make_workspace, database, clock, settings=SETTINGS.replace("answer_s: 0}}", "answer_s: 0.3}}")
    ) as pages:
        pages.customer(email="known@customers.example")
        spent = []
        for who in ("known", "unknown"):
            begun = monotonic()
            pages.post("/my", {"email": f"{who}@customers.example", "what": "export"})
            spent.append(monotonic() - begun)

    assert min(spent) >= 0.3


def test_sign_up_does_about_the_same_work_for_everybody(pages: Pages) -> None:
    """
    The statements for a known and an unknown address differ by the one that makes a customer.
    """
    pages.customer(email="known@customers.example")
    sign_up(pages, "first@customers.example")  # reads the campaign's files, opens its run
    work = []
    for who in ("known", "unknown"):
        with statements_of(pages.database) as seen:
            sign_up(pages, f"{who}@customers.example")
        work.append(len(seen))

    assert 1 == work[1] - work[0]
