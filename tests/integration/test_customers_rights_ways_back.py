"""Whatever way somebody erased comes back by, nothing is sent to them: sign-up, merge, hashed list, any insert."""

import hashlib

import pytest
from sqlalchemy import delete, select

from campaigns.catalogue import load
from campaigns.transactional import post, standing
from core import schema
from core.addresses import parse_address
from customers.joining import customer_at
from customers.merging.merge import merge
from customers.rights.erase import erase
from suppression.gate import TRANSACTIONAL, skip_reason
from suppression.policy import Policy
from suppression.record import suppress
from tests.factories import SECRET, key_of, make_customer
from tests.transactional_files import FILES

EMAIL = "annelore@pappel.example"


@pytest.fixture
def erased(database, clock):
    """Somebody was a customer at EMAIL, and was erased."""
    with database.begin() as connection:
        person = make_customer(connection, email=EMAIL, external_id="K1", consents=("promotions",))
        erase(connection, SECRET, person, now=clock.now())


def _reason(connection, customer_id, clock, message_class="bulk"):
    gate = skip_reason(
        schema.customer.c.id, schema.customer.c.address_key, topic="promotions", campaign="spring-paper",
        now=clock.now(), policy=Policy(), message_class=message_class,
    )  # fmt: skip
    return connection.execute(select(gate).where(schema.customer.c.id == customer_id)).scalar_one()


def test_sign_up_makes_no_customer(database, erased, clock):
    """
    Whoever joins with the address of somebody erased is not made a customer, however it is written.
    """
    given = {"language": None, "source": "form:news", "now": clock.now()}
    with database.begin() as connection:
        for spelling in (EMAIL, "ANNELORE@Pappel.Example", "Ａnnelore@pappel.example"):
            assert customer_at(connection, parse_address(spelling), key_of(spelling), **given) is None


def test_customer_made_by_any_insert_is_suppressed(database, erased, clock):
    """
    Also a row that nobody checked gets no mail: neither what was agreed to anew nor what is owed.
    """
    with database.begin() as connection:
        back = make_customer(connection, email="Annelore@PAPPEL.example", consents=("promotions",))

        for message_class in ("bulk", TRANSACTIONAL):
            assert "suppressed:erased" == _reason(connection, back, clock, message_class)


def test_order_for_somebody_erased_is_skipped(database, erased, clock, make_workspace):
    """
    A receipt ordered for such a row is in the ledger as skipped, with the reason.
    """
    with database.begin() as connection:
        back = make_customer(connection, email=EMAIL)
        of = standing(connection, load(make_workspace(database=database, files=FILES)), "receipt")
        posted = post(connection, of, back, key="o1", given={"order_number": "1", "total": "5"}, now=clock.now())

    assert "suppressed:erased" == posted.skip_reason


def test_merge_takes_the_erasure_to_the_other_address(database, erased, clock):
    """
    Who is merged with such a row is the person who asked to be erased: their other address is suppressed, too.
    """
    with database.begin() as connection:
        back = make_customer(connection, email=EMAIL)
        other = make_customer(connection, email="else@x.example", consents=("promotions",))
        merge(connection, back, other, because="same person", actor="anna", now=clock.now())

        assert "suppressed:erased" == _reason(connection, other, clock)


def test_hashed_list_goes_on_forbidding_an_erased_address(database, clock):
    """
    The plain hash of the address is replaced by its key, so that nobody can guess it; it forbids what it forbade.
    """
    digest = hashlib.sha256(EMAIL.encode()).digest()
    with database.begin() as connection:
        connection.execute(schema.blocked_digest.insert().values(digest=digest, reason="legal", source="robinson"))
        person = make_customer(connection, email=EMAIL)
        erase(connection, SECRET, person, now=clock.now())
        connection.execute(delete(schema.suppression).where(schema.suppression.c.reason == "erased"))
        back = make_customer(connection, email=EMAIL)

        assert [] == connection.execute(select(schema.blocked_digest)).all()
        assert "suppressed:legal" == _reason(connection, back, clock)


def test_sign_up_at_a_merged_address_is_the_same_person(database, clock):
    """
    Who joins with the address of a merged customer is the person that customer is part of, and a no holds at both; an
    address that somebody gave up is nobody's.
    """
    given = {"language": None, "source": "form:news", "now": clock.now()}
    with database.begin() as connection:
        into = make_customer(connection, email="new@x.example", external_id="K2")
        merge(connection, make_customer(connection, email=EMAIL, external_id="K1"), into, because="same",
              actor="anna", now=clock.now())  # fmt: skip
        gone = {"customer_id": into, "address_key": key_of("gone@x.example"), "email": "gone@x.example"}
        connection.execute(schema.customer_address.insert().values(**gone))
        back = customer_at(connection, parse_address(EMAIL), key_of(EMAIL), **given)
        other = customer_at(connection, parse_address("gone@x.example"), key_of("gone@x.example"), **given)
        suppress(connection, key_of("new@x.example"), scope="global", reason="unsubscribed", source="page")

        assert "suppressed:unsubscribed" == _reason(connection, back, clock)
        assert "not_consented" == _reason(connection, other, clock)
