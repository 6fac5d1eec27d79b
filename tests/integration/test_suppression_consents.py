"""Consent as it is asked for, confirmed, taken back; and what may be recorded of people."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.errors import NotFound, UsageError
from core.schema import consent, customer, suppression
from suppression.consent_ledger import (
    Confirmed,
    Wording,
    choose,
    confirm_consent,
    grant_consent,
    request_consent,
)
from suppression.gate import skip_reason
from suppression.policy import Policy
from suppression.record import suppress, withdraw
from suppression.watching import chosen_by_behaviour, tracked
from tests.factories import key_of, make_consent, make_customer, make_suppression

TOPICS = ("promotions", "news")
DAY = timedelta(days=1)


@pytest.fixture
def desk(database, clock):
    with database.begin() as connection:
        yield Desk(connection, clock)


class Desk:
    """One transaction, one customer, and the words people say, each a minute after the last."""

    def __init__(self, connection: Any, clock: Any) -> None:
        self.connection, self.clock = connection, clock
        self.ann = make_customer(connection, email="ann@firm.example")

    def _later(self) -> Any:
        self.clock.step(timedelta(minutes=1))
        return self.clock.now()

    def request(self, *topics: str, person: int | None = None, **given: Any) -> None:
        request_consent(
            self.connection, person or self.ann, topics or TOPICS[:1], source="form:news", now=self._later(), **given
        )

    def confirm(self, *topics: str, person: int | None = None) -> Confirmed:
        return confirm_consent(
            self.connection, person or self.ann, topics or TOPICS[:1], source="confirm_page", known_topics=TOPICS,
            now=self._later(),
        )  # fmt: skip

    def suppress(self, **given: Any) -> None:
        place = {"scope": "topic", "scope_name": TOPICS[0], "reason": "unsubscribed", "source": "page"} | given
        suppress(self.connection, key_of("ann@firm.example"), **place, now=self._later())

    def withdraw(self, topic: str | None = TOPICS[0]) -> int:
        return withdraw(self.connection, key_of("ann@firm.example"), topic=topic, source="page", now=self._later())

    def reason(self, topic: str = TOPICS[0], policy: Policy | None = None) -> str | None:
        gate = skip_reason(
            customer.c.id, customer.c.address_key,
            topic=topic, campaign="spring", now=self.clock.now(), policy=policy or Policy(),
        )  # fmt: skip
        return self.connection.execute(select(gate).where(customer.c.id == self.ann)).scalar_one()

    def rows(self) -> list[tuple[str, str]]:
        said = select(consent.c.topic, consent.c.state).where(consent.c.customer_id == self.ann)
        return [tuple(row) for row in self.connection.execute(said.order_by(consent.c.captured_at, consent.c.id))]


# --- double opt-in -----------------------------------------------------------------------------------------------


def test_request_changes_nothing_until_it_is_confirmed(desk):
    """
    A request is no yes and takes no yes back; its confirmation is one, with wording and proof of the request.
    """
    desk.request(wording=Wording("news-3", "ab" * 32), proof={"ip": "192.0.2.1"})
    asked = desk.reason()
    confirmed = desk.confirm()

    assert ("not_consented", None) == (asked, desk.reason())
    assert Confirmed(("promotions",), (), is_new=True) == confirmed
    row = desk.connection.execute(select(consent).where(consent.c.state == "confirmed")).mappings().one()
    assert ("news-3", "ab" * 32, "192.0.2.1") == (row["wording"], row["wording_hash"], row["proof"]["ip"])
    assert "requested_at" in row["proof"]


def test_request_leaves_a_consent_as_it_is(desk):
    """
    Whoever enters somebody else's address into a form takes nothing away from them, and gives them nothing.
    """
    make_consent(desk.connection, desk.ann)
    desk.request(*TOPICS)

    assert (None, "not_consented") == (desk.reason("promotions"), desk.reason("news"))


def test_confirming_twice_is_confirming_once(desk):
    """
    The second click finds everything done.
    """
    desk.request(*TOPICS)
    first, again = desk.confirm(*TOPICS), desk.confirm(*TOPICS)

    assert (True, False) == (first.is_new, again.is_new)
    assert ("news", "promotions") == first.topics == again.topics
    assert 4 == len(desk.rows())


def test_nothing_is_confirmed_that_was_not_asked_for(desk):
    """
    A link for one topic gives no other.
    """
    desk.request("promotions")

    assert Confirmed(("promotions",), ("news",), is_new=True) == desk.confirm(*TOPICS)
    assert "not_consented" == desk.reason("news")


@pytest.mark.parametrize(
    "refuse",
    [
        lambda desk: desk.withdraw(),
        lambda desk: desk.withdraw(None),
        lambda desk: desk.suppress(),
        lambda desk: desk.suppress(scope="channel", scope_name=""),
        lambda desk: desk.suppress(scope="global", scope_name=""),
    ],
    ids=["withdraw", "withdraw_all", "topic", "channel", "global"],
)
@pytest.mark.parametrize("before", [False, True])
def test_an_opt_out_after_the_request_makes_its_link_void(desk, refuse, before):
    """
    Also when the same opt-out was on record before, so that no new entry says so. A second request works again.
    """
    if before:
        refuse(desk)
    desk.request()
    refuse(desk)
    void = desk.confirm()
    refused = desk.reason()
    desk.request()
    again = desk.confirm()

    assert (Confirmed((), ("promotions",), is_new=False), True) == (void, refused is not None)
    assert (("promotions",), None) == (again.topics, desk.reason())


def test_an_opt_out_of_another_topic_leaves_the_request(desk):
    """
    Who leaves the news may still confirm the promotions.
    """
    desk.request()
    desk.suppress(scope_name="news")
    desk.withdraw("news")

    assert ("promotions",) == desk.confirm().topics


def test_confirming_lifts_ones_own_opt_out_for_these_topics_alone(desk):
    """
    Who had stopped everything and asks for one topic gets that one; the entry is kept as lifted, with why.
    """
    make_consent(desk.connection, desk.ann, topic="news")
    desk.suppress(scope="global", scope_name="")
    desk.request("promotions")
    desk.confirm("promotions")

    assert (None, "suppressed:unsubscribed") == (desk.reason("promotions"), desk.reason("news"))
    lifted = desk.connection.execute(select(suppression.c.lifted_because).where(suppression.c.scope == "global"))
    assert "agreed again, and confirmed it" == lifted.scalar_one()


@pytest.mark.parametrize("reason", ["legal", "complaint", "hard_bounce", "manual"])
def test_confirming_lifts_nothing_that_others_decided(desk, reason):
    """
    A complaint, a bounce, an operator's word stand above a click.
    """
    make_suppression(desk.connection, "ann@firm.example", reason=reason)
    desk.request()
    desk.confirm()

    assert f"suppressed:{reason}" == desk.reason()


def test_confirming_again_after_a_withdrawal_needs_a_new_request(desk):
    """
    The link of the first time brings nobody back.
    """
    desk.request()
    desk.confirm()
    desk.withdraw()

    assert ((), "suppressed:unsubscribed") == (desk.confirm().topics, desk.reason())


def test_topics_that_want_confirmation_take_nothing_less(desk):
    """
    A yes in person is not enough for a topic with double opt-in, and says so; the confirmation is.
    """
    policy = Policy(confirmed_topics=frozenset({"promotions"}))
    grant_consent(desk.connection, desk.ann, TOPICS, source="fair", now=desk.clock.now())
    before = desk.reason("promotions", policy), desk.reason("news", policy)
    desk.request()
    desk.confirm()

    assert ("not_confirmed", None) == before
    assert desk.reason("promotions", policy) is None


# --- given in person ------------------------------------------------------------------------------------------------


def test_grant_counts_from_its_date_and_once(desk):
    """
    An older yes does not outrank a newer no; the same fact twice is one row; the future is refused.
    """
    now = desk.clock.now()
    make_consent(desk.connection, desk.ann, state="withdrawn", captured_at=now - DAY)
    old = grant_consent(desk.connection, desk.ann, TOPICS[:1], source="fair", captured_at=now - 2 * DAY, now=now)
    outranked = desk.reason()
    new = [grant_consent(desk.connection, desk.ann, TOPICS[:1], source="fair", now=now) for _ in range(2)]

    assert (1, "not_consented", [1, 0], None) == (old, outranked, new, desk.reason())
    with pytest.raises(UsageError, match="future"):
        grant_consent(desk.connection, desk.ann, TOPICS, source="fair", captured_at=now + DAY, now=now)


def test_a_pause_has_an_end(desk):
    """
    A pause for ever is an opt-out, and has another name.
    """
    with pytest.raises(UsageError, match="a pause without an end"):
        desk.suppress(reason="paused")


# --- what may be recorded --------------------------------------------------------------------------------------------


def watched(desk, policy):
    """external id → whether they are tracked."""
    may = tracked(customer.c.id, customer.c.country, now=desk.clock.now(), policy=policy)
    rows = desk.connection.execute(select(customer.c.country, may).order_by(customer.c.id))
    return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        ("opt_out", {None: True, "US": True, "DE": True, "CN": True, "BR": True, "CA": True}),
        ("opt_in", {None: False, "US": False, "DE": False, "CN": False, "BR": False, "CA": False}),
        ("by_profile", {None: False, "US": True, "DE": False, "CN": False, "BR": False, "CA": True}),
    ],
)
def test_tracking_without_a_word_is_the_default(desk, default, expected):
    """
    Whoever said nothing is under the workspace's default, or that of their country; unknown is strict.
    """
    for country in ("US", "DE", "CN", "BR", "CA"):
        make_customer(desk.connection, country=country)

    assert expected == watched(desk, Policy(tracking=default))


@pytest.mark.parametrize("default", ["opt_out", "opt_in", "by_profile"])
@pytest.mark.parametrize("about", ["tracking", "profiling"])
def test_a_persons_word_stands_above_the_default(desk, about, default):
    """
    Yes and no, in either order, each at once; saying it again changes nothing. A no binds whoever shares the address.
    """
    twin = make_customer(desk.connection, email="ANN@firm.example")
    may = {
        "tracking": lambda: tracked(
            customer.c.id, customer.c.country, now=desk.clock.now(), policy=Policy(tracking=default)
        ),
        "profiling": lambda: chosen_by_behaviour(
            customer.c.id, now=desk.clock.now(), policy=Policy(profiling="opt_in" if default == "opt_in" else "opt_out")
        ),
    }
    seen = []
    for allowed in (False, False, True, True, False):
        changed = choose(desk.connection, desk.ann, about, allowed=allowed, source="page", now=desk.clock.now())
        rows = desk.connection.execute(select(customer.c.id, may[about]())).all()
        answers = {row[0]: row[1] for row in rows}
        seen.append((changed, answers[desk.ann]))

    assert [(True, False), (False, False), (True, True), (False, True), (True, False)] == seen
    assert answers[twin] is False


def test_a_choice_is_somebodys(desk):
    """
    There is nothing to write for a customer nobody knows.
    """
    with pytest.raises(NotFound):
        choose(desk.connection, 999_999, "tracking", allowed=False, source="page", now=desk.clock.now())


# --- at the same time ------------------------------------------------------------------------------------------------


def waits(connection):
    """Whether somebody waits for an address."""
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    return connection.exec_driver_sql(waiting).scalar_one()


@pytest.mark.parametrize("first", ["confirm", "opt_out"])
def test_a_no_beside_a_yes_wins_whoever_comes_first(database, clock, first):
    """
    A confirmation and an opt-out at once: the second waits for the first to be committed, and the opt-out holds.
    """
    with database.begin() as connection:
        ann = make_customer(connection, email="ann@firm.example")
        make_suppression(connection, "ann@firm.example", scope="topic", scope_name="news", reason="unsubscribed")
        request_consent(connection, ann, ["news"], source="form", now=clock.now())
    clock.step(timedelta(seconds=1))

    def confirm(connection):
        return confirm_consent(connection, ann, ["news"], source="form", known_topics=TOPICS, now=clock.now())

    def opt_out(connection):
        key = key_of("ann@firm.example")
        suppress(
            connection, key, scope="topic", scope_name="news", reason="unsubscribed", source="page", now=clock.now()
        )
        withdraw(connection, key, topic="news", source="page", now=clock.now())

    def in_a_transaction(work):
        with database.begin() as connection:
            return work(connection)

    one, other = (confirm, opt_out) if first == "confirm" else (opt_out, confirm)
    watching = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with ThreadPoolExecutor(1) as pool, watching, database.engine.connect() as begun:
        one(begun)
        second = pool.submit(in_a_transaction, other)
        while not waits(watching) and not second.done():
            pass
        begun.commit()
        came = second.result()
        gate = skip_reason(
            customer.c.id, customer.c.address_key,
            topic="news", campaign="spring", now=clock.now() + DAY, policy=Policy(),
        )  # fmt: skip
        assert "suppressed:unsubscribed" == watching.execute(select(gate)).scalar_one()
    assert came is None or ("news",) == came.void
