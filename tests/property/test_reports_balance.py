"""Whatever the ledger and the answers look like, the report adds up and no share exceeds the whole."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select

from core import schema
from core.database import Database
from core.schema import MESSAGE_STATES
from reports.figures import RATES, CampaignReport, Figures
from reports.funnel import campaign_report
from reports.people import ACCEPTED
from tests.factories import (
    LONG_AGO,
    make_attempt,
    make_customer,
    make_hit,
    make_message,
    make_purchase,
    make_run,
    make_version,
)

ADDED_UP = ("audience", "skipped", "waiting", "accepted", "failed", "unknown", "orders", "revenue", *RATES)
moments = st.integers(0, 20 * 86400).map(lambda seconds: timedelta(seconds=seconds))
hits = st.tuples(
    st.sampled_from(("open", "click", "view", "unsubscribe")),
    st.sampled_from(("human", "machine")),
    st.sampled_from((None, 0, 1)),
    moments,
)
messages = st.fixed_dictionaries(
    {
        "person": st.integers(0, 4),
        "run": st.integers(0, 1),
        "state": st.sampled_from(MESSAGE_STATES),
        "code": st.sampled_from((None, 250, 421, 452, 550, 552)),
        "hits": st.lists(hits, max_size=4),
        "orders": st.lists(st.tuples(moments, st.integers(-50, 200)), max_size=3),
    }
)
campaigns = st.lists(messages, max_size=10, unique_by=lambda each: (each["person"], each["run"]))


def stored(connection: Connection, drawn: list[dict[str, Any]]) -> str:
    """The drawn messages are in the ledger of a campaign of two runs; returns its name."""
    name = f"drawn-{connection.execute(select(func.count()).select_from(schema.run)).scalar_one()}"
    version = make_version(
        connection, name, goal_event="purchase", goal_within=timedelta(days=7), links=["https://a.example"],
        cost_per_message=Decimal("0.1"),
    )  # fmt: skip
    runs = [make_run(connection, name, version_id=version, occurrence=str(number)) for number in range(2)]
    people = [make_customer(connection, country=country) for country in ("DE", "DE", "CN", None, "FR")]
    for each in drawn:
        _store_message(connection, runs[each["run"]], people[each["person"]], each)
    return name


def _store_message(connection: Connection, run: int, person: int, drawn: dict[str, Any]) -> None:
    state = drawn["state"]
    message = make_message(
        connection, run, person, state=state, skip_reason="expired" if state == "skipped" else None,
        accepted_at=LONG_AGO if state in ACCEPTED else None,
    )  # fmt: skip
    if drawn["code"] is not None:
        make_attempt(connection, message, code=drawn["code"], enhanced=None, outcome=state)
    for kind, label, link, after in drawn["hits"]:
        make_hit(connection, message, kind, label=label, link=link, occurred_at=LONG_AGO + after)
    for after, amount in drawn["orders"]:
        make_purchase(connection, person, ordered_at=LONG_AGO + after, amount=amount)


def told(database: Database, drawn: list[dict[str, Any]]) -> CampaignReport:
    """The report of the drawn messages."""
    with database.begin() as connection:
        name = stored(connection, drawn)
        return campaign_report(connection, name, now=LONG_AGO + timedelta(days=30))


@settings(max_examples=15)
@given(drawn=campaigns)
def test_report_balances(module_database: Database, drawn: list[dict[str, Any]]) -> None:
    """
    Every message is counted in exactly one of skipped, waiting, accepted, failed and unknown.
    """
    figures = told(module_database, drawn).figures

    assert (len(drawn), True) == (figures.audience, figures.balances)
    assert figures.bounced_hard + figures.bounced_soft <= figures.failed + figures.accepted


@settings(max_examples=15)
@given(drawn=campaigns)
def test_report_never_exceeds_the_whole(module_database: Database, drawn: list[dict[str, Any]]) -> None:
    """
    No rate is above 100 %, and nobody is counted who is not in the audience.
    """
    figures = told(module_database, drawn).figures
    rates = [figures.rate(name) for name in RATES]

    assert all(rate is None or 0 <= rate <= 1 for rate in rates)
    assert figures.written_to <= len({each["person"] for each in drawn})


@settings(max_examples=15)
@given(drawn=campaigns)
def test_report_parts_add_up(module_database: Database, drawn: list[dict[str, Any]]) -> None:
    """
    Tiers and countries add up to the whole, skip reasons to the skipped, the timeline to the people counted.
    """
    report = told(module_database, drawn)

    for groups in (report.tiers, report.countries):
        for name in ADDED_UP:
            assert sum(getattr(group.figures, name) for group in groups) == getattr(report.figures, name)
    assert sum(each.messages for each in report.skips) == report.figures.skipped
    moments = report.timeline.moments if report.timeline else ()
    for name in ("opened_human", "clicked_human", "converted"):
        assert sum(getattr(moment, name) for moment in moments) == getattr(report.figures, name)


def test_figures_that_do_not_balance_are_noticed() -> None:
    """
    A message that is nowhere makes the figures unbalanced.
    """
    assert Figures(audience=2, accepted=1, skipped=1).balances
    assert not Figures(audience=3, accepted=1, skipped=1).balances
