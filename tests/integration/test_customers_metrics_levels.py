"""Levels, their changes, and the people behind a key."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from core import schema
from core.database import Database
from core.settings import Tiers
from customers.identity import find_customer, shown_name
from customers.metrics import refresh
from customers.profile import customer_profile
from customers.tiers import LEVELS, count_levels
from tests.factories import (
    SECRET,
    make_activity,
    make_consent,
    make_customer,
    make_message,
    make_purchase,
    make_run,
    make_suppression,
)

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
TIERS = Tiers()


def metrics_of(connection: Connection, customer_id: int) -> dict[str, Any]:
    table = schema.customer_metrics
    return dict(connection.execute(select(table).where(table.c.customer_id == customer_id)).mappings().one())


def test_refresh_ranks_people_without_orders(database: Database) -> None:
    """
    Who did something or agreed once is a prospect, who only withdrew or did nothing is a suspect, who only sent
    goods back is inactive.
    """
    with database.begin() as connection:
        did = make_customer(connection)
        make_activity(connection, did)
        agreed = make_customer(connection, consents=("news",))
        withdrew = make_customer(connection)
        make_consent(connection, withdrew, state="withdrawn")
        nothing = make_customer(connection)
        returned = make_customer(connection)
        make_purchase(connection, returned, quantity=-1, amount=-5)
        count = refresh(connection, TIERS, now=NOW)
        levels = [
            metrics_of(connection, customer)["pyramid"] for customer in (did, agreed, withdrew, nothing, returned)
        ]

    assert 5 == count
    assert ["prospect", "prospect", "suspect", "suspect", "inactive"] == levels


def test_refresh_measures_orders_net_of_returns(database: Database) -> None:
    """
    Orders are counted once, returns come off the money, costs off the profit, days are whole.
    """
    with database.begin() as connection:
        customer = make_customer(connection)
        make_purchase(
            connection,
            customer,
            order_id="A",
            line_key="1",
            amount=Decimal("70.10"),
            cost=40,
            ordered_at=NOW - timedelta(days=9, hours=23),
        )
        make_purchase(
            connection, customer, order_id="A", line_key="2", amount=30, ordered_at=NOW - timedelta(days=9, hours=23)
        )
        make_purchase(connection, customer, order_id="B", amount=0, ordered_at=NOW - timedelta(days=20))
        make_purchase(
            connection, customer, order_id="C", quantity=-1, amount=-10, cost=-5, ordered_at=NOW - timedelta(days=2)
        )
        make_purchase(
            connection, customer, order_id="D", amount=999, currency="USD", ordered_at=NOW - timedelta(days=30)
        )
        make_purchase(connection, customer, order_id="E", ordered_at=NOW + timedelta(days=1))
        refresh(connection, TIERS, now=NOW)
        found = metrics_of(connection, customer)

    assert {
        "order_count": 3, "monetary": Decimal("90.1000"), "gross_profit": Decimal("55.1000"), "recency_days": 9,
        "average_order_value": Decimal("30.0333"), "first_order_at": NOW - timedelta(days=30),
        "last_order_at": NOW - timedelta(days=9, hours=23), "as_of": NOW,
    }.items() <= found.items()  # fmt: skip


def test_refresh_dates_each_change_of_level_once(database: Database) -> None:
    """
    A first ranking is no change; a later one is, with its date; refreshing again adds none.
    """
    with database.begin() as connection:
        customer = make_customer(connection, consents=("news",))
        refresh(connection, TIERS, now=NOW)
        make_purchase(connection, customer, ordered_at=NOW)
        later = NOW + timedelta(days=1)
        refresh(connection, TIERS, now=later)
        refresh(connection, TIERS, now=later)
        change = schema.tier_change.c
        changes = connection.execute(
            select(change.scheme, change.level_from, change.level_to, change.changed_at).order_by(change.scheme)
        ).all()

    assert [
        ("abc", None, "A", later), ("pyramid", "prospect", "top", later), ("quadrant", "A", "B", later),
        ("rfm", None, "new_customers", later),
    ] == [tuple(row) for row in changes]  # fmt: skip


def test_refresh_follows_the_calendar(database: Database) -> None:
    """
    Whoever stops ordering becomes inactive on the day the settings say.
    """
    with database.begin() as connection:
        customer = make_customer(connection)
        make_purchase(connection, customer, ordered_at=NOW)
        levels = []
        for days in (364, 365):
            refresh(connection, TIERS, now=NOW + timedelta(days=days))
            levels.append(metrics_of(connection, customer)["pyramid"])

    assert ["top", "inactive"] == levels


def test_refresh_of_nobody_is_empty(database: Database) -> None:
    """
    Without customers there is nothing to rank, and no error.
    """
    with database.begin() as connection:
        assert 0 == refresh(connection, TIERS, now=NOW)
        assert all(level.customers == 0 for level in count_levels(connection, TIERS))


def test_levels_share_out_all_customers_and_revenue(database: Database) -> None:
    """
    The shares of the buyers' schemes add up to one, empty levels are listed, the best first.
    """
    with database.begin() as connection:
        for number in range(1, 21):
            customer = make_customer(connection)
            make_purchase(connection, customer, amount=number**2, ordered_at=NOW - timedelta(days=number))
        make_customer(connection)
        refresh(connection, TIERS, now=NOW)
        levels = count_levels(connection, TIERS)

    assert list(LEVELS) == list(dict.fromkeys(level.scheme for level in levels))
    for scheme, names in LEVELS.items():
        of_scheme = [level for level in levels if level.scheme == scheme]
        assert list(names) == [level.level for level in of_scheme]
        assert 1.0 == round(sum(level.share_of_revenue for level in of_scheme), 4)
        assert (20 if scheme in ("rfm", "abc") else 21) == sum(level.customers for level in of_scheme)


def test_levels_share_nothing_where_more_went_back_than_was_sold(database: Database) -> None:
    """
    Every share is 0 when the revenue of all customers is not above 0.
    """
    with database.begin() as connection:
        for amount in (100, -300):
            make_purchase(connection, make_customer(connection), quantity=1 if amount > 0 else -1, amount=amount)
        refresh(connection, TIERS, now=NOW)
        levels = count_levels(connection, TIERS)

    assert {0.0} == {level.share_of_revenue for level in levels}


def test_levels_at_an_instant_are_not_stored(database: Database) -> None:
    """
    Looking back computes with what was known by then, and leaves the stored metrics alone.
    """
    with database.begin() as connection:
        customer = make_customer(connection)
        make_purchase(connection, customer, ordered_at=NOW - timedelta(days=500))
        make_purchase(connection, customer, ordered_at=NOW - timedelta(days=5))
        refresh(connection, TIERS, now=NOW)
        before = metrics_of(connection, customer)
        then = count_levels(connection, TIERS, scheme="pyramid", as_of=NOW - timedelta(days=100))

        assert before == metrics_of(connection, customer)
    assert {"inactive": 1} == {level.level: level.customers for level in then if level.customers}


def test_customer_is_found_by_external_id_then_by_address(database: Database) -> None:
    """
    The external id goes first; any spelling of the address finds the oldest customer who has it.
    """
    with database.begin() as connection:
        first = make_customer(connection, external_id="C1", email="jörg@exämple.de", first_name="Jörg", last_name="B")
        make_customer(connection, external_id="C2", email="jörg@exämple.de")
        named = make_customer(connection, external_id="odd@x.example", email=None, company="Acme")
        keys = ("C1", "JÖRG@xn--exmple-cua.de", "odd@x.example", "nobody@x.example", "C9")
        found = [find_customer(connection, key, SECRET) for key in keys]

    assert [first, first, named, None, None] == [row["id"] if row else None for row in found]
    assert ["Jörg B", "Acme"] == [shown_name(row) for row in (found[0], found[2])]


def test_profile_holds_what_is_known_of_a_customer(database: Database) -> None:
    """
    Fields, metrics, latest consents, suppressions in force, last messages and orders are on one page.
    """
    with database.begin() as connection:
        customer = make_customer(connection, external_id="C1", email="a@x.example")
        make_consent(connection, customer, topic="news")
        make_consent(connection, customer, topic="news", state="withdrawn", captured_at=NOW)
        make_suppression(connection, "a@x.example", reason="complaint")
        make_suppression(connection, "a@x.example", reason="manual", expires_at=NOW)
        make_purchase(connection, customer, order_id="A", line_key="1")
        make_purchase(connection, customer, order_id="A", line_key="2")
        make_message(connection, make_run(connection), customer)
        refresh(connection, TIERS, now=NOW)
        row = find_customer(connection, "C1", SECRET)
        assert row is not None
        profile = customer_profile(connection, row, now=NOW)

    assert "C1" == profile["customer"]["external_id"]
    assert "address_key" not in profile["customer"]
    assert 1 == profile["metrics"]["order_count"]
    assert [("news", "withdrawn")] == [(consent["topic"], consent["state"]) for consent in profile["consents"]]
    assert ["complaint"] == [entry["reason"] for entry in profile["suppressions"]]
    assert [("spring-paper", "accepted")] == [(sent["campaign"], sent["state"]) for sent in profile["messages"]]
    assert [("A", 2, Decimal(200))] == [
        (order["order_id"], order["lines"], order["amount"]) for order in profile["orders"]
    ]
