"""SQL and Python select the same customers, for any expression the grammar allows."""

import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select

from core import schema
from core.database import Database, analyze
from segments.definition import Segment
from segments.facts import Facts, facts_of
from segments.in_memory import OneCustomer
from segments.membership import Vocabulary, audience, rule
from segments.wording import worded
from tests.factories import (
    make_activity,
    make_consent,
    make_customer,
    make_message,
    make_purchase,
    make_run,
    make_suppression,
    make_version,
)

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TEXTS = (
    "paper",
    "Paper",
    "pens",
    "100%",
    "a_b",
    "a\\b",
    'say "hi"',
    "it's",
    "紙 🗞",
    "",
    "10",
    "1.50",
    "true",
    "/x",
)
JSON_VALUES = (
    *TEXTS,
    10,
    1.5,
    -0.0,
    1500,
    True,
    False,
    None,
    ["paper"],
    {"a": 1},
    "1e5",
    "-3",
    "007",
    " 10",
    "9" * 40,
)
LENGTHS = ("1s", "90m", "1d", "30d", "60d", "52w")
#: Ages of events: on every boundary of LENGTHS, one second to each side, far back, and in the future.
AGES = (
    *(timedelta(days=days, seconds=shift) for days in (0, 1, 30, 60, 364) for shift in (-1, 0, 1)),
    timedelta(minutes=90),
    timedelta(days=900),
    timedelta(days=-5),
)

SEGMENTS = {
    "quiet": Segment("quiet", "segments/quiet.yaml", 'last_order_at is older_than("30d") or not did("page_view")'),
    "key": Segment("key", "segments/key.yaml", 'tier in ["top", "big"] and not in_segment("quiet")'),
    "both": Segment("both", "segments/both.yaml", 'in_segment("key") or in_segment("quiet") and country != "DE"'),
}
VOCABULARY = Vocabulary(SEGMENTS, frozenset({"promotions", "news"}), frozenset({"spring", "autumn"}))

# --- data --------------------------------------------------------------------------------------------


def _load(connection: Connection, dice: random.Random) -> list[int]:
    goals = {"spring": ("purchase", 30), "autumn": ("form_sent", 7)}
    runs = [
        make_run(
            connection,
            name,
            version_id=make_version(connection, name, goal_event=event, goal_within=timedelta(days=days)),
        )
        for name, (event, days) in goals.items()
    ]
    customers = [_make_customer(connection, dice, number) for number in range(120)]
    for customer_id in customers:
        _make_behaviour(connection, dice, customer_id)
        _make_history(connection, dice, customer_id, runs)
    analyze(connection, "customer", "customer_metrics", "activity", "purchase", "message", "hit")
    return customers


def _ago(dice: random.Random) -> datetime:
    return NOW - dice.choice(AGES)


def _maybe(dice: random.Random, values: Any) -> Any:
    return None if dice.random() < 0.3 else dice.choice(values)


def _make_customer(connection: Connection, dice: random.Random, number: int) -> int:
    attributes = {name: dice.choice(JSON_VALUES) for name in ("size", "the code") if dice.random() < 0.8}
    email = None if dice.random() < 0.1 else f"c{number}@customers.example"
    customer_id = make_customer(
        connection,
        email=email,
        company=_maybe(dice, TEXTS),
        country=_maybe(dice, ("DE", "FR")),
        owner=_maybe(dice, ("kim", "DE")),
        attributes=attributes,
        created_at=_ago(dice),
    )
    if dice.random() < 0.8:
        connection.execute(
            insert(schema.customer_metrics).values(
                customer_id=customer_id,
                last_order_at=_maybe(dice, [NOW - age for age in AGES]),
                first_order_at=_maybe(dice, [NOW - age for age in AGES]),
                order_count=dice.randrange(4),
                monetary=dice.choice((Decimal(0), Decimal("10.5"), Decimal(-3))),
                pyramid=dice.choice(("top", "big", "small")),
                abc=_maybe(dice, "ABC"),
                average_order_value=_maybe(dice, (Decimal("10.5"), Decimal(2))),
                as_of=NOW,
            )
        )
    for topic in ("promotions", "news"):
        for state in dice.choices(("requested", "granted", "confirmed", "withdrawn"), k=dice.randrange(3)):
            expires = _maybe(dice, (NOW, NOW + timedelta(days=1), NOW - timedelta(days=1), None))
            captured = NOW - timedelta(days=dice.randrange(4))
            make_consent(
                connection,
                customer_id,
                topic=topic,
                state=state,
                captured_at=captured,
                expires_at=expires,
                channel=dice.choice(("email", "email", "sms")),
                source=f"s{dice.random()}",
            )
    if email and dice.random() < 0.4:
        scope = dice.choice(("global", "channel", "topic", "campaign"))
        make_suppression(
            connection,
            email,
            scope=scope,
            scope_name="news" if scope == "topic" else "",
            channel=dice.choice(("email", "sms")),
            expires_at=_maybe(dice, (NOW, NOW + timedelta(days=1))),
            lifted_at=dice.choice((None, None, NOW)),
        )
    return customer_id


def _make_behaviour(connection: Connection, dice: random.Random, customer_id: int) -> None:
    for _ in range(dice.randrange(4)):
        properties = {key: dice.choice(JSON_VALUES) for key in ("category", "pages") if dice.random() < 0.8}
        make_activity(
            connection,
            customer_id,
            dice.choice(("page_view", "form_sent")),
            occurred_at=_ago(dice),
            properties=properties,
            value=_maybe(dice, (Decimal("10.5"), Decimal(-2))),
        )
    for line in range(dice.randrange(5)):
        make_purchase(
            connection,
            customer_id,
            order_id=f"O{customer_id}-{dice.randrange(3)}",
            line_key=str(line),
            ordered_at=_ago(dice),
            product=_maybe(dice, TEXTS),
            category=_maybe(dice, TEXTS),
            quantity=dice.choice((1, 1, -1)),
            amount=dice.choice((Decimal("10.5"), Decimal("-10.5"), Decimal(0), Decimal(4))),
        )


def _make_history(connection: Connection, dice: random.Random, customer_id: int, runs: list[int]) -> None:
    for run_id in runs:
        if dice.random() < 0.4:
            continue
        state = dice.choice(("planned", "accepted", "accepted", "delivered", "bounced", "complained"))
        accepted = None if state == "planned" else _ago(dice)
        message_id = make_message(connection, run_id, customer_id, state=state, accepted_at=accepted)
        for kind in dice.sample(("open", "click", "view", "unsubscribe", "reply"), k=dice.randrange(3)):
            connection.execute(
                insert(schema.hit).values(
                    message_id=message_id,
                    kind=kind,
                    occurred_at=_ago(dice),
                    label=dice.choice(("human", "machine")),
                )
            )


# --- the grammar -----------------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


texts = st.sampled_from(TEXTS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r"), max_size=4
)
quoted = texts.map(_quoted)
numbers = st.sampled_from(("0", "-3", "10", "10.5", "1.5", "2", "1500", "0.0", "1e2")) | st.integers(-5, 5).map(str)
flags = st.sampled_from(("true", "false"))
signs = st.sampled_from(("==", "!=", "<", "<=", ">", ">="))
lengths = st.sampled_from(LENGTHS)
text_fields = st.sampled_from(("company", "country", "owner", "email", 'attributes["the code"]', "attributes.size"))
attributes = st.sampled_from(('attributes["the code"]', "attributes.size", "attributes.absent"))
number_fields = st.sampled_from(("order_count", "monetary", "average_order_value", "recency_days"))
date_fields = st.sampled_from(("created_at", "first_order_at", "last_order_at"))
dates = st.sampled_from([f'"{(NOW - age).isoformat()}"' for age in AGES])


ranges = st.sampled_from(('{"from": 2}', '{"to": 2}', '{"from": -1, "to": 10.5}', '{"from": 10, "to": 10}'))


@st.composite
def behaviours(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(("page_view", "form_sent", "purchase", "never_done")))
    within = draw(st.none() | st.sampled_from(("30d", "60d", "52w")))
    before = draw(st.none() | st.sampled_from(("1s", "1d")))
    keys = ("product", "category") if name == "purchase" else ("category", "pages")
    values = quoted if name == "purchase" else quoted | numbers | flags | ranges
    listed = st.lists(values, min_size=1, max_size=3).map(lambda items: f"[{', '.join(items)}]")
    where = draw(st.none() | st.dictionaries(st.sampled_from(keys), values | listed, min_size=1))
    parts = [_quoted(name)]
    parts += [f'within="{within}"'] if within else []
    parts += [f'before="{before}"'] if before else []
    parts += [f"where={{{', '.join(f'{_quoted(k)}: {v}' for k, v in where.items())}}}"] if where else []
    return ", ".join(parts)


def _joined(*parts: Any) -> st.SearchStrategy[str]:
    strategies = [part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts]
    return st.tuples(*strategies).map("".join)


def _list_of(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, min_size=1, max_size=3).map(lambda items: f"[{', '.join(items)}]")


number_values = number_fields | _joined(st.sampled_from(("count", "total")), "(", behaviours(), ")")
number_values |= behaviours().filter(lambda text: not text.startswith('"purchase"')).map("latest({})".format)
date_values = date_fields | _joined("last(", behaviours(), ")")
membership = st.sampled_from((" in ", " not in "))
campaign_arguments = st.sampled_from(("", '"spring"', '"autumn"', 'within="30d"', '"spring", within="60d"'))
leaves = st.one_of(
    _joined(text_fields, " ", signs, " ", quoted),
    _joined(text_fields, membership, _list_of(quoted)),
    _joined(
        text_fields,
        " is ",
        st.sampled_from(("", "not ")),
        st.sampled_from(("contains", "starts_with", "ends_with")),
        "(",
        quoted,
        ")",
    ),
    _joined(quoted, membership, text_fields),
    _joined(attributes, " ", signs, " ", numbers),
    _joined(attributes, membership, _list_of(numbers)),
    _joined(attributes, " ", st.sampled_from(("==", "!=")), " ", flags),
    _joined(attributes, " ", signs, " ", number_values),
    _joined("company ", signs, " owner"),
    attributes,
    _joined(st.sampled_from(("tier", "abc")), " ", st.sampled_from(("!=", "==")), " none"),
    _joined("tier", membership, _list_of(st.sampled_from(('"top"', '"big"', '"suspect"')))),
    _joined(number_values, " ", signs, " ", numbers),
    _joined(numbers, " ", signs, " ", number_values),
    _joined(number_values, membership, _list_of(numbers)),
    _joined(number_values, " ", signs, " ", number_values),
    _joined(date_values, " ", signs, " ", dates | date_values),
    _joined(date_values, " is ", st.sampled_from(("older_than", "newer_than")), '("', lengths, '")'),
    _joined(
        text_fields | attributes | date_values | number_fields,
        " is ",
        st.sampled_from(("missing", "present", "not missing")),
    ),
    _joined("did(", behaviours(), ")"),
    _joined(
        st.sampled_from(("received", "opened", "clicked", "responded", "converted")),
        "(",
        campaign_arguments,
        ")",
    ),
    _joined('in_segment("', st.sampled_from(tuple(SEGMENTS)), '")'),
    _joined('subscribed("', st.sampled_from(("promotions", "news")), '")'),
    flags,
)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        _joined("(", inner, " and ", inner, ")"),
        _joined("(", inner, " or ", inner, ")"),
        _joined("not (", inner, ")"),
        _joined("(", inner, "\n  or ", inner, " and ", inner, ")"),
    ),
    max_leaves=6,
)

# --- the properties ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people(module_database: Database) -> Iterator[tuple[Connection, Mapping[int, Facts]]]:
    """A hundred and twenty customers with random lives, and the facts about each."""
    with module_database.engine.connect() as connection:
        _load(connection, random.Random(20260302))
        ids = connection.execute(select(schema.customer.c.id)).scalars()
        yield (
            connection,
            {found: facts for found in ids if (facts := facts_of(connection, found)) is not None},
        )


@settings(max_examples=300)
@given(expressions)
def test_sql_and_python_select_the_same_customers(
    people: tuple[Connection, Mapping[int, Facts]], expression: str
) -> None:
    """
    The statement returns exactly the customers of whom the condition is true when evaluated one by one.
    """
    connection, facts = people
    checked = rule(expression, VOCABULARY)
    one_by_one = {
        found
        for found, known in facts.items()
        if OneCustomer(known, checked.segments, now=NOW).holds(checked.condition)
    }
    selected = list(connection.execute(audience(expression, VOCABULARY, now=NOW)).scalars())

    assert one_by_one == set(selected)
    assert len(selected) == len(set(selected))


@settings(max_examples=150)
@given(expressions)
def test_a_condition_and_its_opposite_divide_the_customers(
    people: tuple[Connection, Mapping[int, Facts]], expression: str
) -> None:
    """
    Every customer is selected by an expression or by `not` of it, and nobody by both.
    """
    connection, facts = people
    selected = set(connection.execute(audience(expression, VOCABULARY, now=NOW)).scalars())
    opposite = set(connection.execute(audience(f"not ({expression})", VOCABULARY, now=NOW)).scalars())

    assert set() == selected & opposite
    assert set(facts) == selected | opposite


@settings(max_examples=300)
@given(expressions)
def test_a_condition_put_into_words_means_the_same(expression: str) -> None:
    """
    The words a condition is shown in are an expression of the same meaning.
    """
    checked = rule(expression, VOCABULARY)

    assert checked.condition == rule(worded(checked.condition), VOCABULARY).condition
