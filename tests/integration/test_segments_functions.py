"""Each field, test and function of the language against the real database."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select

from core import schema
from core.database import Database
from segments.definition import Segment
from segments.membership import Vocabulary, audience
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
VOCABULARY = Vocabulary(
    {
        "germans": Segment("germans", "segments/germans.yaml", 'country == "DE"'),
        "others": Segment("others", "segments/others.yaml", 'not in_segment("germans")'),
    },
    frozenset({"promotions", "news"}),
    None,
)
Selected = Callable[[str], set[str]]


def _ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """A transaction in an empty database, rolled back at the end."""
    with database.engine.connect() as opened:
        yield opened


@pytest.fixture
def selected(connection: Connection) -> Selected:
    """The external ids of the customers an expression selects."""

    def select_(expression: str) -> set[str]:
        members = audience(expression, VOCABULARY, now=NOW).subquery()
        found = select(schema.customer.c.external_id).join(members, members.c.customer_id == schema.customer.c.id)
        return set(connection.execute(found).scalars())

    return select_


def _metrics(connection: Connection, customer_id: int, **values: Any) -> None:
    connection.execute(insert(schema.customer_metrics).values(customer_id=customer_id, as_of=NOW, **values))


def test_fields_of_customer_and_metrics_are_compared(connection: Connection, selected: Selected) -> None:
    """
    `tier` is the level of the pyramid; customers without metrics have none.
    """
    top = make_customer(connection, external_id="top", country="DE", company="Mill & Sons")
    make_customer(connection, external_id="new", country=None)
    _metrics(connection, top, pyramid="top", monetary=500, order_count=3)

    assert {"top"} == selected('tier == "top" and monetary >= 500 and order_count in [3, 4]')
    assert {"new"} == selected("tier is missing")
    assert {"top"} == selected('company is contains("& S") and "Mill" in company and country is starts_with("D")')
    assert {"top"} == selected('email is ends_with("@customers.example") and 400 < monetary and company > "Mill"')


def test_missing_values_are_unequal_to_everything(connection: Connection, selected: Selected) -> None:
    """
    A comparison with a missing value is false; `!=` and `not in` are its opposite, and true.
    """
    make_customer(connection, external_id="german", country="DE")
    make_customer(connection, external_id="unknown", country=None)

    assert {"german"} == selected('country == "DE"')
    assert {"unknown"} == selected('country != "DE"')
    assert {"unknown"} == selected('country not in ["DE", "FR"]')
    assert {"unknown"} == selected('not country < "ZZ"')
    assert {"unknown"} == selected("country == none")
    assert {"german"} == selected("country is present and country != none")


def test_attributes_are_read_as_the_type_they_are_compared_with(connection: Connection, selected: Selected) -> None:
    """
    A number written as text is a number to a number, and text to a text.
    """
    for name, value in {
        "text": "12",
        "number": 12.0,
        "flag": True,
        "word": "true",
        "list": [12],
        "null": None,
    }.items():
        make_customer(connection, external_id=name, attributes={"the size": value})

    assert {"text", "number"} == selected('attributes["the size"] == 12')
    assert {"text", "number"} == selected('attributes["the size"] == "12"')
    assert {"flag", "word"} == selected('attributes["the size"]')
    assert {"flag", "word"} == selected('attributes["the size"] == "true"')
    assert {"null"} == selected('attributes["the size"] is missing')
    assert {"list", "null"} == selected('attributes["the size"] not in ["12", "true"]')


def test_a_rule_in_time_turns_at_its_second(connection: Connection, selected: Selected) -> None:
    """
    Exactly thirty days ago is not older than thirty days; a second more is.
    """
    make_customer(connection, external_id="edge", created_at=_ago(days=30))
    make_customer(connection, external_id="older", created_at=_ago(days=30, seconds=1))

    assert {"older"} == selected('created_at is older_than("30d")')
    assert {"edge"} == selected('created_at is newer_than("30d")')
    assert {"edge"} == selected('created_at >= "2026-01-31T12:00" and created_at < "2026-01-31T13:30+01:00"')


def test_recency_days_are_counted_from_now(connection: Connection, selected: Selected) -> None:
    """
    Whole days since the last order do not wait for the next refresh of the metrics.
    """
    customer_id = make_customer(connection, external_id="a")
    _metrics(connection, customer_id, last_order_at=_ago(days=10, hours=1), recency_days=3)

    assert {"a"} == selected("recency_days == 10")


def test_behaviour_is_counted_in_its_time_and_with_its_properties(connection: Connection, selected: Selected) -> None:
    """
    did, count, total and last see what has the name, the time and the properties; nothing in the future.
    """
    customer_id = make_customer(connection, external_id="a")
    make_customer(connection, external_id="idle")
    for days, category in ((1, "paper"), (40, "paper"), (2, "pens"), (-1, "paper")):
        make_activity(connection, customer_id, occurred_at=_ago(days=days), properties={"category": category}, value=10)

    assert {"a"} == selected('count("page_view") == 3 and total("page_view") == 30')
    assert {"a"} == selected('count("page_view", where={"category": "paper"}, within="30d") == 1')
    assert {"a"} == selected('did("page_view", within="50d", before="30d")')
    assert {"a"} == selected('count("page_view", where={"category": ["paper", "pens"]}) == 3')
    assert {"a"} == selected('last("page_view") == "2026-03-01T12:00"')
    assert {"idle"} == selected('not did("page_view") and count("page_view") == 0 and last("page_view") is missing')
    assert {"idle"} == selected('total("page_view") < 1')


def test_purchases_are_orders(connection: Connection, selected: Selected) -> None:
    """
    Lines of one order count once, returns alone are no order, and totals take returns off.
    """
    buyer, returner = (make_customer(connection, external_id=name) for name in ("buyer", "returner"))
    for line in "12":
        make_purchase(
            connection,
            buyer,
            order_id="O1",
            line_key=line,
            amount=50,
            category="paper",
            ordered_at=_ago(days=2),
        )
    make_purchase(connection, buyer, order_id="O2", amount=30, category="pens", ordered_at=_ago(days=50))
    make_purchase(connection, buyer, order_id="O3", amount=-20, quantity=-1, ordered_at=_ago(days=1))
    make_purchase(connection, returner, order_id="O4", amount=-20, quantity=-1, ordered_at=_ago(days=1))

    assert {"buyer"} == selected('count("purchase") == 2 and total("purchase") == 110')
    assert {"buyer"} == selected('did("purchase", where={"category": "pens"}, before="30d")')
    assert {"buyer"} == selected('total("purchase", where={"category": ["paper"]}, within="30d") == 100')
    assert {"buyer"} == selected('last("purchase") is newer_than("2d")')
    assert {"returner"} == selected('not did("purchase") and total("purchase") == -20')


def test_campaign_history_counts_what_people_did(connection: Connection, selected: Selected) -> None:
    """
    Bounced messages were not received, scanners do not open, a click has seen, and orders in time convert.
    """
    version = make_version(connection, "spring", goal_event="purchase", goal_within=timedelta(days=14))
    run = make_run(connection, "spring", version_id=version)
    ids = {}
    for name, state in (
        ("clicked", "accepted"),
        ("scanned", "delivered"),
        ("bounced", "bounced"),
        ("bought", "accepted"),
        ("replied", "accepted"),
    ):
        customer_id = make_customer(connection, external_id=name)
        ids[name] = make_message(connection, run, customer_id, state=state, accepted_at=_ago(days=9))
        if name == "bought":
            make_purchase(connection, customer_id, ordered_at=_ago(days=3))
    make_customer(connection, external_id="never")
    hits = [("clicked", "click", "human"), ("scanned", "open", "machine"), ("scanned", "click", "machine")]
    hits.append(("replied", "reply", "human"))
    for name, kind, label in hits:
        connection.execute(
            insert(schema.hit).values(message_id=ids[name], kind=kind, label=label, occurred_at=_ago(days=8))
        )

    assert {"clicked", "scanned", "bought", "replied"} == selected('received("spring")')
    assert set() == selected('received("spring", within="8d")')
    assert {"clicked"} == selected('opened("spring") and clicked("spring") and clicked(within="8d")')
    assert {"bought"} == selected('converted("spring", within="4d")')
    assert {"clicked", "bought", "replied"} == selected('responded("spring")')
    assert {"scanned"} == selected('received("spring") and not responded("spring")')
    assert set() == selected('received("autumn") or converted("autumn")')


def test_segments_refer_to_segments(connection: Connection, selected: Selected) -> None:
    """
    `in_segment` asks another segment, which may ask a third.
    """
    make_customer(connection, external_id="german", country="DE")
    make_customer(connection, external_id="french", country="FR")

    assert {"french"} == selected("others")
    assert {"german"} == selected('not in_segment("others") and in_segment("germans")')


def test_subscribed_is_the_latest_word_unless_suppressed(connection: Connection, selected: Selected) -> None:
    """
    The latest consent counts until it expires; a suppression of everything, mail or the topic outranks it.
    """
    states = {"yes": ["withdrawn", "granted"], "no": ["confirmed", "withdrawn"], "never": []}
    for name, said in states.items():
        customer_id = make_customer(connection, external_id=name)
        for day, state in enumerate(said):
            make_consent(connection, customer_id, state=state, captured_at=_ago(days=9 - day))
    expired = make_customer(connection, external_id="expired")
    make_consent(connection, expired, expires_at=NOW)
    for scope, values in {
        "global": {"channel": "sms"}, "channel": {}, "topic": {"scope_name": "promotions"},
        "other": {"scope": "topic", "scope_name": "news"}, "lifted": {"scope": "global", "lifted_at": NOW},
        "over": {"scope": "global", "expires_at": NOW}, "campaign": {"scope_name": "spring"},
    }.items():  # fmt: skip
        make_customer(connection, external_id=scope, email=f"{scope}@customers.example", consents=("promotions",))
        make_suppression(connection, f"{scope}@customers.example", **({"scope": scope} | values))

    assert {"yes", "other", "lifted", "over", "campaign"} == selected('subscribed("promotions")')
    assert set() == selected('subscribed("news")')


# --- hostile texts -----------------------------------------------------------------------------------

HOSTILE = (
    "'; DROP TABLE customer; --",
    '" OR "1"="1',
    "%",
    "_",
    "100%_\\",
    "\\",
    "\\'",
    "%(now)s",
    ":now",
    "$1",
    "{0}",
    "/%/_/",
    "'||pg_sleep(9)||'",
    "a\nb",
    "紙",
    "\u202e",
)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_only_texts(connection: Connection, selected: Selected, text: str) -> None:
    """
    Quotes, wildcards, placeholders and JSON paths in values and names find exactly the text they are.
    """
    hostile = make_customer(connection, external_id="hostile", company=text, attributes={text: text, "a": {"b": text}})
    make_customer(connection, external_id="plain", company="xyz", attributes={"x": "xyz"})
    make_activity(connection, hostile, text, properties={text: text}, occurred_at=_ago(days=1))
    quoted = _quoted(text)

    for expression in (
        f"company == {quoted}",
        f"company in [{quoted}]",
        f"company is contains({quoted})",
        f"company is starts_with({quoted}) and company is ends_with({quoted})",
        f"attributes[{quoted}] == {quoted}",
        f"attributes[{quoted}] is contains({quoted})",
        f"attributes[{quoted}] is present",
        f"did({quoted})",
        f"count({quoted}, where={{{quoted}: {quoted}}}) == 1",
    ):
        assert {"hostile"} == selected(expression)
    assert set() == selected(f'received({quoted}) or attributes["a.b"] is present or attributes["{{a,b}}"] is present')
    assert 2 == connection.execute(select(func.count()).select_from(schema.customer)).scalar()


def test_a_query_cannot_fail_on_what_is_stored(connection: Connection, selected: Selected) -> None:
    """
    Attributes that look almost like numbers, or are absurdly long, are missing and no error.
    """
    for number, value in enumerate(("1e400", "1" * 5000, "NaN", "Infinity", "--1", "1.", "٣", "1\n", 10**100, {}, [])):
        make_customer(connection, external_id=str(number), attributes={"size": value})

    assert {"8"} == selected("attributes.size > 0 or attributes.size <= 0")


# --- the statement --------------------------------------------------------------------------------------


def test_two_audiences_fit_into_one_statement(connection: Connection) -> None:
    """
    Audiences with the same segments inside can be joined, excluded and inserted from in one statement.
    """
    german = make_customer(connection, country="DE")
    french = make_customer(connection, country="FR", company="x")
    everybody = audience("true", VOCABULARY, now=NOW)
    others = audience('in_segment("others")', VOCABULARY, now=NOW)
    later = audience('in_segment("others") and created_at is older_than("1d")', VOCABULARY, now=NOW)
    customer = schema.customer.c
    found = select(customer.id).where(customer.id.in_(everybody), customer.id.not_in(others), customer.id.not_in(later))

    assert [german] == list(connection.execute(found).scalars())
    joined = others.subquery("a")
    both = select(joined.c.customer_id).join(later.subquery("b"), isouter=True, onclause=joined.c.customer_id > 0)
    assert [french] == list(connection.execute(both).scalars())


def test_every_value_is_a_parameter() -> None:
    """
    No text of the author's, and no instant, stands in the statement itself.
    """
    expression = 'company == "v1" and attributes.v2 == "v3" and did("v4", where={"v5": "v6"}, within="7d")'
    statement = audience(f'{expression} and received("v7") and subscribed("news")', VOCABULARY, now=NOW).compile()
    values = set(map(str, statement.params.values()))

    assert [] == [f"v{n}" for n in range(1, 8) if f"v{n}" in str(statement)]
    assert {f"v{n}" for n in range(1, 8)} | {str(NOW), str(NOW - timedelta(days=7)), "news"} <= values
