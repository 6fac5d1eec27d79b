"""The metrics against a plain reference, and against the order in which purchases came."""

import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from statistics import median
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, text

from core import schema
from core.database import Database
from core.settings import Tiers
from customers import metrics

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
TIERS = Tiers.model_validate(
    {
        "period": "300d",
        "inactive_after": "100d",
        "pyramid": {"top": 0.2, "big": 0.2, "medium": 0.2},
        "value": "gross_profit",
    }
)


class Line(NamedTuple):
    customer: str
    order: int
    days_ago: int
    quantity: int
    amount: int
    cost: int | None
    currency: str


LINES = st.lists(
    st.builds(
        Line,
        customer=st.sampled_from([str(number) for number in range(7, 15)]),
        order=st.integers(0, 5),
        days_ago=st.sampled_from([-1, 0, 1, 30, 99, 100, 101, 299, 300, 301]),
        quantity=st.sampled_from([-1, 1, 2]),
        amount=st.integers(-3, 9),
        cost=st.none() | st.integers(0, 3),
        currency=st.sampled_from(["EUR", "EUR", "EUR", "USD"]),
    ),
    max_size=25,
)


def quintile(values: list[Any], value: Any) -> int:
    """The bin of pandas.qcut(values, 5): edges by linear interpolation, each bin closed on the right."""
    ordered = sorted(map(Fraction, values))
    edges = []
    for fifth in range(1, 5):
        place = Fraction(fifth * (len(ordered) - 1), 5)
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        edges.append(ordered[low] + (ordered[high] - ordered[low]) * (place - low))
    return 1 + sum(1 for edge in edges if Fraction(value) > edge)


def reference(lines: list[Line]) -> dict[str, tuple[Any, ...]]:
    """(order count, monetary, recency, R, F, M, abc, pyramid, quadrant) of every customer, the slow way."""
    past = [line for line in lines if line.days_ago >= 0]
    recent = [line for line in past if line.days_ago < 300]
    names = {line.customer for line in past}
    money: dict[str, int] = defaultdict(int)
    profit: dict[str, int] = defaultdict(int)
    orders: dict[str, set[int]] = defaultdict(set)
    last: dict[str, int] = {}
    for line in past:
        if line.quantity > 0 and line.amount >= 0:
            last[line.customer] = min(last.get(line.customer, 999), line.days_ago)
    for line in recent:
        if line.quantity > 0 and line.amount >= 0:
            orders[line.customer].add(line.order)
        if line.currency == "EUR":
            money[line.customer] += line.amount
            profit[line.customer] += line.amount - (line.cost or 0)
    buyers = [name for name in names if orders[name]]
    tie = {name: (len(name), name) for name in names}
    by_frequency = sorted(buyers, key=lambda name: (len(orders[name]), tie[name]))
    averages = {name: Fraction(money[name], len(orders[name])) for name in buyers}
    by_money = sorted((name for name in names if money[name] > 0), key=lambda name: (-money[name], tie[name]))
    revenue, before, abc = sum(money[name] for name in by_money), 0, {}
    for name in by_money:
        abc[name] = "A" if 5 * before < 4 * revenue else "B" if 20 * before < 19 * revenue else "C"
        before += money[name]
    active = sorted((n for n in names if last.get(n, 999) < 100), key=lambda name: (-profit[name], tie[name]))
    levels = {
        name: ["top", "big", "medium", "small", "small"][5 * place // len(active)] for place, name in enumerate(active)
    }
    facts: dict[str, tuple[Any, ...]] = {}
    for name in names:
        scores: tuple[int | None, ...] = (None, None, None)
        if name in buyers:
            scores = (
                6 - quintile([last[n] for n in buyers], last[name]),
                quintile(list(range(len(buyers))), by_frequency.index(name)),
                quintile([money[n] for n in buyers], money[name]),
            )
        quadrant = "A" if name not in last else "B"
        if name in buyers:
            is_high = averages[name] > median(averages.values())
            is_many = len(orders[name]) > median(len(orders[n]) for n in buyers)
            quadrant = {(True, True): "E", (True, False): "D", (False, True): "C", (False, False): "B"}[
                is_high, is_many
            ]
        facts[name] = (
            len(orders[name]), money[name], last.get(name), *scores,
            abc.get(name, "C" if name in last else None), levels.get(name, "inactive"), quadrant,
        )  # fmt: skip
    return facts


def load(connection: Connection, names: list[str], lines: list[Line]) -> None:
    connection.execute(text("TRUNCATE customer CASCADE"))
    if names:
        ids = dict(
            connection.execute(
                insert(schema.customer).returning(schema.customer.c.external_id, schema.customer.c.id),
                [{"external_id": name} for name in names],
            ).all()
        )
        rows = [
            {
                "customer_id": ids[line.customer], "order_id": f"{line.customer}-{line.order}", "line_key": str(number),
                "ordered_at": NOW - timedelta(days=line.days_ago), "quantity": line.quantity,
                "amount": Decimal(line.amount), "cost": line.cost, "currency": line.currency,
            }
            for number, line in enumerate(lines)
        ]  # fmt: skip
        if rows:
            connection.execute(insert(schema.purchase), rows)


MEASURED = text("""
    SELECT external_id, order_count, CAST(monetary AS integer), recency_days, recency_score, frequency_score,
           monetary_score, abc, pyramid, quadrant
    FROM customer_metrics JOIN customer ON customer.id = customer_id ORDER BY external_id
""")


def measured(connection: Connection) -> dict[str, tuple[Any, ...]]:
    return {row[0]: tuple(row[1:]) for row in connection.execute(MEASURED)}


#: Money without an order (a negative quantity that was paid for), ranked behind the cut of class B.
_NO_ORDER = [Line("7", 0, 0, -1, amount, None, "EUR") for amount in (9, 9, 1)] + [Line("8", 0, 0, -1, 1, None, "EUR")]


@settings(max_examples=40)
@given(lines=LINES)
@example(lines=_NO_ORDER)
def test_metrics_equal_a_plain_reference(module_database: Database, lines: list[Line]) -> None:
    """
    Counts, money, scores and levels are those of the definitions, computed the slow way.
    """
    names = sorted({line.customer for line in lines if line.days_ago >= 0})
    with module_database.begin() as connection:
        load(connection, names, [line for line in lines if line.customer in names])
        metrics.refresh(connection, TIERS, now=NOW)
        found = measured(connection)

    assert reference(lines) == found


@settings(max_examples=15)
@given(lines=LINES, randoms=st.randoms(use_true_random=False), split=st.floats(0, 1))
def test_metrics_do_not_depend_on_the_way_there(
    module_database: Database, lines: list[Line], randoms: Any, split: float
) -> None:
    """
    Purchases in any order, with a refresh in between, give what a rebuild from nothing gives.
    """
    names = sorted({line.customer for line in lines})
    with module_database.begin() as connection:
        load(connection, names, lines)
        metrics.refresh(connection, TIERS, now=NOW)
        rebuilt = measured(connection)

        shuffled = [*lines]
        randoms.shuffle(shuffled)
        randoms.shuffle(names)
        load(connection, names, shuffled)
        held_back = text("UPDATE purchase SET ordered_at = ordered_at + interval '999 days' WHERE line_key::int >= :n")
        connection.execute(held_back, {"n": int(split * len(lines))})
        metrics.refresh(connection, TIERS, now=NOW - timedelta(days=40))
        back = text("UPDATE purchase SET ordered_at = ordered_at - interval '999 days' WHERE line_key::int >= :n")
        connection.execute(back, {"n": int(split * len(lines))})
        metrics.refresh(connection, TIERS, now=NOW)

        assert rebuilt == measured(connection)
