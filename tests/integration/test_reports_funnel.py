"""The figures of a campaign against rows made by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from core import schema
from core.database import Database
from core.errors import NotFound
from reports.figures import Count, Link, document
from reports.funnel import COUNTRIES_SHOWN, campaign_report, overview
from tests.factories import (
    LONG_AGO,
    make_activity,
    make_attempt,
    make_customer,
    make_hit,
    make_message,
    make_purchase,
    make_run,
    make_suppression,
    make_version,
)

NOW = datetime(2025, 1, 10, tzinfo=UTC)
SOON = LONG_AGO + timedelta(minutes=5)
CONTRACT = {
    "campaign", "audience", "accepted", "delivered", "bounced_hard", "bounced_soft", "complained",
    "opened_human", "opened_machine", "clicked_human", "clicked_machine", "unsubscribed", "converted",
    "revenue", "cost", "return", "arms", "lift",
}  # fmt: skip


def make_sale(connection: Connection, **version: Any) -> int:
    """A run whose goal is a purchase within seven days."""
    defaults: dict[str, Any] = {
        "goal_event": "purchase", "goal_within": timedelta(days=7), "fixed_cost": 20,
        "cost_per_message": Decimal("0.5"), "currency": "EUR",
    }  # fmt: skip
    return make_run(connection, version_id=make_version(connection, **(defaults | version)))


def test_report_counts_each_person_once(database: Database) -> None:
    """
    Ten opens of one person are one person who opened.
    """
    with database.begin() as connection:
        run = make_run(connection)
        message = make_message(connection, run, make_customer(connection))
        for _ in range(10):
            make_hit(connection, message, "open")
        figures = campaign_report(connection, "spring-paper", now=NOW).figures

    assert (1, 1) == (figures.accepted, figures.opened_human)


def test_report_keeps_machines_apart(database: Database) -> None:
    """
    What a scanner fetched counts under its own heading and not as a person's click.
    """
    with database.begin() as connection:
        run = make_run(connection)
        scanned, read = (make_message(connection, run, make_customer(connection)) for _ in range(2))
        make_hit(connection, scanned, "click", label="machine", evidence="too fast")
        make_hit(connection, scanned, "open", label="machine", evidence="too fast")
        make_hit(connection, read, "click", link=0)
        figures = campaign_report(connection, "spring-paper", now=NOW).figures

    assert (1, 1) == (figures.opened_machine, figures.clicked_machine)
    assert (0, 1) == (figures.opened_human, figures.clicked_human)


def test_report_counts_readers_of_two_issues_once(database: Database) -> None:
    """
    A person who opened both issues of a newsletter is one of one: no rate passes 100 %.
    """
    with database.begin() as connection:
        version, reader = make_version(connection), make_customer(connection)
        for occurrence in ("1", "2"):
            run = make_run(connection, version_id=version, occurrence=occurrence)
            make_hit(connection, make_message(connection, run, reader), "open")
        report = campaign_report(connection, "spring-paper", now=NOW)
        second = campaign_report(connection, "spring-paper", now=NOW, run_id=report.runs[1].id)

    assert (2, 1) == (report.figures.accepted, report.figures.written_to)
    assert 1.0 == report.figures.rate("opened_human")
    assert (1, 1) == (second.figures.audience, len(second.runs))


def test_report_tells_hard_soft_and_other_refusals_apart(database: Database) -> None:
    """
    Only refusals of the address are hard bounces; a policy block is neither hard nor soft.
    """
    refusals = [
        {"code": 550, "enhanced": "5.1.1"},
        {"code": 550, "enhanced": None, "reply": "Requested action not taken: mailbox unknown"},
        {"code": 550, "enhanced": "5.7.1", "reply": "blocked"},
        {"code": 452, "enhanced": "4.2.2"},
        {"code": 552, "enhanced": "5.2.2"},
    ]
    with database.begin() as connection:
        run = make_run(connection)
        for refusal in refusals:
            message = make_message(connection, run, make_customer(connection), state="failed")
            make_attempt(connection, message, number=1, code=421, enhanced="4.7.0")
            make_attempt(connection, message, number=2, **refusal)
        report = campaign_report(connection, "spring-paper", now=NOW)

    assert (5, 2, 2) == (report.figures.failed, report.figures.bounced_hard, report.figures.bounced_soft)
    assert Count("550 5.1.1", 1) in report.answers


def test_report_takes_revenue_net_of_returns_within_the_window(database: Database) -> None:
    """
    An order within the window counts, less what was returned of it; a later order and an earlier one do not.
    """
    with database.begin() as connection:
        run = make_sale(connection)
        customer = make_customer(connection)
        make_message(connection, run, customer)
        make_purchase(connection, customer, order_id="A", ordered_at=SOON, amount=300)
        make_purchase(connection, customer, order_id="A", line_key="2", ordered_at=SOON, amount=-100)
        make_purchase(connection, customer, order_id="B", ordered_at=LONG_AGO - timedelta(days=1), amount=5)
        make_purchase(connection, customer, order_id="C", ordered_at=LONG_AGO + timedelta(days=7), amount=50)
        report = campaign_report(connection, "spring-paper", now=NOW)

    assert (1, 1, Decimal(200)) == (report.figures.converted, report.figures.orders, report.figures.revenue)
    assert report.money.cost == Decimal("20.50")
    assert report.money.return_ == Decimal("8.7561")


def test_report_counts_activities_as_goals(database: Database) -> None:
    """
    A goal that is an activity is reached by that activity and by no order.
    """
    with database.begin() as connection:
        run = make_sale(connection, goal_event="registered")
        customer, other = make_customer(connection), make_customer(connection)
        for each in (customer, other):
            make_message(connection, run, each)
        make_activity(connection, customer, "registered", occurred_at=SOON)
        make_purchase(connection, other, ordered_at=SOON)
        figures = campaign_report(connection, "spring-paper", now=NOW).figures

    assert (1, Decimal(0)) == (figures.converted, figures.revenue)


def test_report_counts_opt_outs_that_name_its_messages(database: Database) -> None:
    """
    An opt-out is the campaign's when it came through one of its messages, not when an operator entered it.
    """
    with database.begin() as connection:
        run = make_run(connection)
        for number, source in enumerate(("one_click", "page", "operator")):
            email = f"leaver{number}@customers.example"
            message = make_message(connection, run, make_customer(connection, email=email))
            make_suppression(
                connection, email, reason="unsubscribed", source=source, evidence={"message_id": message},
                scope="topic", scope_name="promotions", created_at=SOON,
            )  # fmt: skip
        figures = campaign_report(connection, "spring-paper", now=NOW).figures

    assert 2 == figures.unsubscribed


def test_report_lists_every_link(database: Database) -> None:
    """
    Each target is listed with the people who followed it, unfollowed ones and personal links too.
    """
    with database.begin() as connection:
        first = make_version(connection, links=["https://a.example", "https://b.example"])
        second = make_version(connection, links=["https://b.example", "https://c.example"])
        runs = [
            make_run(connection, version_id=version, occurrence=str(number))
            for number, version in enumerate((first, second))
        ]
        customer = make_customer(connection)
        for run, link in zip(runs, (1, 0), strict=True):  # b.example in both versions, under two numbers
            message = make_message(connection, run, customer)
            make_hit(connection, message, "click", link=link)
        make_hit(connection, message, "click", link=None)
        make_hit(connection, message, "click", link=1, label="machine")
        report = campaign_report(connection, "spring-paper", now=NOW)

    assert (
        Link("https://b.example", 1, 0),
        Link("(a link of their own)", 1, 0),
        Link("https://a.example", 0, 0),
        Link("https://c.example", 0, 1),
    ) == report.links


def test_report_groups_by_tier_from_above(database: Database) -> None:
    """
    Tiers come in the pyramid's order, people without metrics last, and add up to the whole.
    """
    with database.begin() as connection:
        run = make_run(connection)
        for tier in ("small", "top", None, "small"):
            customer = make_customer(connection)
            make_message(connection, run, customer)
            if tier:
                connection.execute(
                    insert(schema.customer_metrics).values(customer_id=customer, pyramid=tier, as_of=NOW)
                )
        report = campaign_report(connection, "spring-paper", now=NOW)

    assert [
        ("top", 1), ("small", 2), ("unknown", 1),
    ] == [(group.name, group.figures.audience) for group in report.tiers]  # fmt: skip


def test_report_adds_up_small_countries(database: Database) -> None:
    """
    Countries beyond the shown ones are one line, so that the lines still add up.
    """
    with database.begin() as connection:
        run = make_run(connection)
        for number in range(COUNTRIES_SHOWN + 3):
            make_message(connection, run, make_customer(connection, country=f"X{number}"))
        countries = campaign_report(connection, "spring-paper", now=NOW).countries

    assert ("other", 3) == (countries[-1].name, countries[-1].figures.audience)
    assert sum(group.figures.audience for group in countries) == COUNTRIES_SHOWN + 3


def test_report_says_who_was_left_out(database: Database) -> None:
    """
    Skip reasons are counted, the most frequent first.
    """
    with database.begin() as connection:
        run = make_run(connection)
        for reason in ("not_consented", "no_address", "not_consented"):
            customer = make_customer(connection)
            make_message(connection, run, customer, state="skipped", skip_reason=reason)
        report = campaign_report(connection, "spring-paper", now=NOW)

    assert (Count("not_consented", 2), Count("no_address", 1)) == report.skips
    assert (3, 3, None) == (report.figures.audience, report.figures.skipped, report.timeline)


def test_report_keeps_erased_people(database: Database) -> None:
    """
    The figures do not change when a customer's record is erased.
    """
    with database.begin() as connection:
        message = make_message(connection, make_run(connection), make_customer(connection))
        make_hit(connection, message, "open")
        before = campaign_report(connection, "spring-paper", now=NOW).figures
        connection.execute(update(schema.message).values(customer_id=None))
        after = campaign_report(connection, "spring-paper", now=NOW).figures

    assert before == after


def test_report_document_has_the_contract_keys(database: Database) -> None:
    """
    The keys that outside checks rely on are all there; experiments are empty lists until there are some.
    """
    with database.begin() as connection:
        make_message(connection, make_sale(connection), make_customer(connection))
        printed = document(campaign_report(connection, "spring-paper", now=NOW))

    assert CONTRACT <= set(printed)
    assert ([], []) == (printed["arms"], printed["lift"])
    assert (0, True) == (printed["delivered"], "delivery reports" in str(printed["remarks"]))


def test_report_remarks_on_mixed_currencies(database: Database) -> None:
    """
    Money of several currencies is not silently added up.
    """
    with database.begin() as connection:
        run = make_sale(connection)
        for currency in ("EUR", "CNY"):
            customer = make_customer(connection)
            make_message(connection, run, customer)
            make_purchase(connection, customer, ordered_at=SOON, currency=currency)
        report = campaign_report(connection, "spring-paper", now=NOW)

    assert "Revenue adds amounts of several currencies as they are: CNY, EUR." in report.remarks


def test_report_of_unknown_campaign_names_a_near_miss(database: Database) -> None:
    """
    A misspelt campaign is an error that names the one that was probably meant.
    """
    with database.begin() as connection:
        make_run(connection)
        with pytest.raises(NotFound) as caught:
            campaign_report(connection, "spring-papr", now=NOW)

    assert "did you mean 'spring-paper'?" == caught.value.hint


def test_overview_has_one_line_per_campaign(database: Database) -> None:
    """
    Every campaign that has run is there, the latest first, with its own figures and cost.
    """
    with database.begin() as connection:
        make_message(connection, make_sale(connection), make_customer(connection))
        news = make_run(connection, "news", starts_at=SOON)
        for _ in range(2):
            make_message(connection, news, make_customer(connection))
        lines = overview(connection)

    assert [
        ("news", 2, Decimal("0.00")),
        ("spring-paper", 1, Decimal("20.50")),
    ] == [(group.name, group.figures.accepted, money.cost) for group, money in lines]


@pytest.mark.parametrize(
    ("lines", "converted", "revenue"),
    [
        ([("O1", 1, 1000), ("O1", 9, -1000)], 0, 0),  # returned after the window had ended
        ([("O1", 1, 1000), ("O1", 9, -300)], 1, 700),
        ([("O1", 1, 1000), ("CO1", 2, -1000)], 0, 0),  # cancelled by an invoice of its own, as dealers number them
        ([("O1", -3, 1000), ("O1", 1, 50)], 0, 0),  # begun before the message came
        ([("O1", 8, 1000)], 0, 0),  # begun when the window had ended
        ([("O1", 1, 1000), ("O2", 2, 500)], 1, 1500),
    ],
)
def test_returns_take_conversions_back(
    database: Database, lines: list[tuple[str, int, int]], converted: int, revenue: int
) -> None:
    """
    An order begun within the window counts with all its lines, whenever they were booked; one begun before does not.
    """
    with database.begin() as connection:
        buyer = make_customer(connection)
        make_message(connection, make_sale(connection), buyer)
        for number, (order, day, amount) in enumerate(lines):
            at = LONG_AGO + timedelta(days=day, hours=1)
            make_purchase(connection, buyer, order_id=order, line_key=str(number), ordered_at=at, amount=amount)
        figures = campaign_report(connection, "spring-paper", now=NOW).figures

    assert (converted, revenue) == (figures.converted, figures.revenue)
