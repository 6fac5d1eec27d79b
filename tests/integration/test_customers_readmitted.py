"""Somebody who was erased and came back: the no of before holds, and the yes of before does not."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from core import schema
from customers.rights.erase import erase_named
from customers.rights.readmit import readmit
from suppression.consent_ledger import confirm_consent, request_consent
from suppression.record import withdraw
from tests.factories import key_of, make_consent
from tests.integration.test_customers_opt_outs import NOW, Desk, desk

__all__ = ["desk"]

DAY = timedelta(days=1)
CUSTOMER = "id,email,topics,consent_at\nC1,ann@x.example,news,2025-01-01\n"


def _gone_and_back(desk: Desk) -> None:
    """C1 is erased on the first day and readmitted on the second."""
    with desk.database.begin() as connection:
        erase_named(connection, desk.workspace.secret, "C1", now=NOW + DAY)
    with desk.database.begin() as connection:
        readmit(connection, desk.workspace.secret, "C1", because="ordered", now=NOW + 2 * DAY, actor="anna")


@pytest.mark.parametrize("with_entry", [True, False])
def test_withdrawal_survives_erasure_and_readmission(desk: Desk, with_entry: bool) -> None:
    """
    Who withdrew, was erased and came back is opted out of that topic, until they agree and confirm it.
    """
    desk.run("customers", CUSTOMER)
    with desk.database.begin() as connection:
        if with_entry:
            withdraw(connection, key_of("ann@x.example"), topic="news", source="phone", now=NOW)
        else:
            person = connection.execute(select(schema.customer.c.id)).scalar_one()
            make_consent(connection, person, topic="news", state="withdrawn", captured_at=NOW)
    _gone_and_back(desk)
    desk.run("customers", CUSTOMER, now=NOW + 3 * DAY)
    desk.run("consents", "customer,topic,captured_at\nC1,news,2026-03-05\n", now=NOW + 4 * DAY)

    assert {"C1": "suppressed:unsubscribed"} == desk.gate()

    with desk.database.begin() as connection:
        person = connection.execute(select(schema.customer.c.id)).scalar_one()
        request_consent(connection, person, ["news"], source="form", now=NOW + 5 * DAY)
        confirm_consent(connection, person, ["news"], source="form", known_topics=["news"], now=NOW + 6 * DAY)
    assert {"C1": None} == desk.gate()


def test_later_yes_leaves_no_refusal(desk: Desk) -> None:
    """
    A withdrawal that was taken back before the erasure is no opt-out afterwards.
    """
    desk.run("customers", CUSTOMER)
    with desk.database.begin() as connection:
        person = connection.execute(select(schema.customer.c.id)).scalar_one()
        make_consent(connection, person, topic="news", state="withdrawn", captured_at=NOW - 9 * DAY)
        make_consent(connection, person, topic="news", state="confirmed", captured_at=NOW - DAY)
    _gone_and_back(desk)

    with desk.database.begin() as connection:
        open_ones = select(schema.suppression.c.reason).where(schema.suppression.c.lifted_at.is_(None))
        assert [] == list(connection.execute(open_ones).scalars())


@pytest.mark.parametrize("back_as", ["C1,ann@x.example", "C1,new@x.example", "C9,ANN@x.example"])
@pytest.mark.parametrize("at", ["", "2025-01-01", "2026-03-03"])
def test_consent_of_before_is_refused(desk: Desk, back_as: str, at: str) -> None:
    """
    No import takes an undated or older yes of somebody readmitted, known by address or by external id.
    """
    desk.run("customers", CUSTOMER)
    _gone_and_back(desk)
    desk.run("customers", f"id,email,topics,consent_at\n{back_as},news,{at}\n", now=NOW + 3 * DAY)
    name = back_as.partition(",")[0]
    told = desk.run("consents", f"customer,topic,captured_at\n{name},news,{at}\n", now=NOW + 3 * DAY)

    assert {name: "not_consented"} == desk.gate()
    assert (0, 1) == (told.counts.created, told.counts.rejected)


def test_consent_of_afterwards_counts(desk: Desk) -> None:
    """
    A yes that is dated after the readmission is on record.
    """
    desk.run("customers", CUSTOMER)
    _gone_and_back(desk)
    desk.run("customers", CUSTOMER.replace("2025-01-01", "2026-03-05"), now=NOW + 4 * DAY)

    assert {"C1": None} == desk.gate()
