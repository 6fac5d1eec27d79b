"""What people said no to, through every kind of import."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core import schema
from core.database import Database
from core.workspace import Workspace
from customers.importing.files import How, Imported, import_file
from suppression.consent_ledger import choose, confirm_consent, grant_consent, request_consent
from suppression.gate import skip_reason
from suppression.policy import Policy
from suppression.record import lift
from suppression.watching import tracked
from tests.factories import key_of, make_consent, make_customer, make_suppression

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=80)
HOUR = timedelta(hours=1)


class Desk:
    """A workspace on a fresh database, files to import into it, and the gate."""

    def __init__(self, database: Database, workspace: Workspace, folder: Path) -> None:
        self.database, self.workspace, self.folder = database, workspace, folder

    def run(self, kind: str, content: str, *, now: datetime = NOW) -> Imported:
        path = self.folder / f"{kind}.csv"
        path.write_text(content, encoding="utf-8")
        return import_file(self.database, self.workspace, kind, path, now=now, how=How())

    def gate(self, topic: str = "news", now: datetime = LATER) -> dict[str, str | None]:
        """External id → what keeps the customer out."""
        customer = schema.customer.c
        reason = skip_reason(
            customer.id, customer.address_key, topic=topic, campaign="spring", now=now, policy=Policy()
        )
        with self.database.begin() as connection:
            return {row[0]: row[1] for row in connection.execute(select(customer.external_id, reason))}

    def entries(self) -> list[tuple[Any, ...]]:
        """(end, is open) of every suppression entry, oldest first."""
        table = schema.suppression.c
        with self.database.begin() as connection:
            rows = connection.execute(select(table.expires_at, table.lifted_at.is_(None)).order_by(table.id))
            return [tuple(row) for row in rows]


@pytest.fixture
def desk(database: Database, make_workspace: Callable[..., Workspace], tmp_path: Path) -> Desk:
    return Desk(database, make_workspace(database=database), tmp_path)


FAMILY = """\
id,email,topics,consent_at
C1,fam@x.example,news,2025-01-01
C2,Fam@x.example,news,2025-01-01
C3,other@x.example,news,2025-01-01
"""


# --- withdrawals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["fam@x.example", "C2"])
@pytest.mark.parametrize("at", ["", "2026-03-01"])
def test_withdrawal_binds_everybody_at_the_address(desk: Desk, named: str, at: str) -> None:
    """
    A withdrawal that names an address, or one of its customers, is that of all who share it, and one row created.
    """
    desk.run("customers", FAMILY)
    content = f"customer,topic,state,captured_at\n{named},news,withdrawn,{at}\n"
    first, again = desk.run("consents", content), desk.run("consents", content)

    assert {"C1": "suppressed:unsubscribed", "C2": "suppressed:unsubscribed", "C3": None} == desk.gate()
    assert (1, 0) == (first.counts.created, first.counts.unchanged)
    assert (0, 1) == (again.counts.created, again.counts.unchanged)


def test_withdrawal_binds_the_named_customer_and_the_named_address(desk: Desk) -> None:
    """
    A row with an id and another address withdraws for both.
    """
    desk.run("customers", FAMILY)
    desk.run("consents", "customer,email,topic,state\nC3,fam@x.example,news,withdrawn\n")

    assert {"suppressed:unsubscribed"} == set(desk.gate().values())


def test_consent_binds_only_the_customer_who_gave_it(desk: Desk) -> None:
    """
    A grant by address is one customer's, however many share the address.
    """
    desk.run("customers", "id,email\nC1,fam@x.example\nC2,fam@x.example\n")
    desk.run("consents", "email,topic\nfam@x.example,news\n")

    assert {"C1": None, "C2": "not_consented"} == desk.gate()


def test_withdrawal_without_date_counts_again_after_a_newer_consent(desk: Desk) -> None:
    """
    A list of opt-outs imported again withdraws what was granted since it was lifted, once, and says so.
    """
    opt_outs = "email,topic,state\nother@x.example,news,withdrawn\n"
    desk.run("customers", FAMILY)
    desk.run("consents", opt_outs)
    granted_at = NOW + timedelta(days=40)
    desk.run("consents", f"email,topic,captured_at\nother@x.example,news,{granted_at:%Y-%m-%d}\n", now=granted_at)
    with desk.database.begin() as connection:
        lift(connection, key_of("other@x.example"), because="asked on the phone", now=granted_at)
    between = desk.gate(now=granted_at)["C3"]
    again, repeated = (desk.run("consents", opt_outs, now=LATER) for _ in range(2))

    assert (None, "suppressed:unsubscribed") == (between, desk.gate()["C3"])
    assert (1, 0) == (again.counts.created, repeated.counts.created)
    assert "1 entries had been lifted before, and forbid again" in again.remarks


@pytest.mark.parametrize("states", [("withdrawn", "granted"), ("granted", "withdrawn")])
def test_consent_without_date_beside_a_withdrawal_is_refused(desk: Desk, states: tuple[str, str]) -> None:
    """
    Of an undated yes and a no in one file the no holds, in any order, and the yes is rejected.
    """
    desk.run("customers", "id,email\nC1,a@x.example\n")
    content = "customer,topic,state\n" + "".join(f"C1,news,{state}\n" for state in states)
    imported, again = desk.run("consents", content), desk.run("consents", content)

    assert {"C1": "suppressed:unsubscribed"} == desk.gate()
    assert (1, 1) == (imported.counts.created, imported.counts.rejected)
    assert (0, 1, 1) == (again.counts.created, again.counts.unchanged, again.counts.rejected)
    assert "withdrawn in the same file" in Path(str(imported.counts.rejects_file)).read_text(encoding="utf-8-sig")


def test_withdrawal_at_the_instant_of_a_consent_holds(desk: Desk) -> None:
    """
    Of a yes and a no of the same date in one file the no holds.
    """
    desk.run("customers", "id,email\nC1,a@x.example\n")
    desk.run("consents", "customer,topic,state,captured_at\nC1,news,withdrawn,2026-01-01\nC1,news,granted,2026-01-01\n")

    assert {"C1": "suppressed:unsubscribed"} == desk.gate()


def test_a_no_binds_whoever_comes_to_the_address_later(desk: Desk) -> None:
    """
    An arrival, a changed address, and an address nobody was known at when the no was imported.
    """
    desk.run("customers", FAMILY)
    said = desk.run("consents", "email,topic,state\nfam@x.example,news,no\nnobody@x.example,news,no\n")
    desk.run("customers", "id,email,topics\nNEW,fam@x.example,news\nC3,nobody@x.example,news\n", now=LATER)

    assert (2, 0) == (said.counts.created, said.counts.rejected)
    assert {"suppressed:unsubscribed"} == set(desk.gate().values())


def test_a_dated_consent_after_a_no_is_recorded_and_lifts_nothing(desk: Desk) -> None:
    """
    A file brings nobody back: the import says how many it left out; the confirmed link does.
    """
    desk.run("customers", FAMILY)
    desk.run("consents", "customer,topic,state\nC3,news,no\n")
    imported = desk.run("consents", "customer,topic,captured_at\nC3,news,2026-04-01\n", now=LATER)
    kept_out = desk.gate()["C3"]
    with desk.database.begin() as connection:
        find = select(schema.customer.c.id).where(schema.customer.c.external_id == "C3")
        person = connection.execute(find).scalar_one()
        request_consent(connection, person, ["news"], source="form", now=LATER)
        confirm_consent(connection, person, ["news"], source="form", known_topics=["news"], now=LATER + HOUR)

    assert "1 of them stay suppressed" in imported.remarks[-1]
    assert ("suppressed:unsubscribed", None) == (kept_out, desk.gate(now=LATER + 2 * HOUR)["C3"])


def test_a_history_of_words_counts_by_its_dates(desk: Desk) -> None:
    """
    A no that the same person took back later is old news; imported again after a lifting, it stays so.
    """
    desk.run("customers", "id,email\nC1,a@x.example\nC2,b@x.example\n")
    history = (
        "customer,topic,state,captured_at\nC1,news,withdrawn,2025-01-01\nC1,news,granted,2025-06-01\n"
        "C2,news,withdrawn,2025-01-01\n"
    )
    desk.run("consents", history)
    before = desk.gate()
    with desk.database.begin() as connection:
        lift(connection, key_of("b@x.example"), because="wrote to us", now=NOW)
        find = select(schema.customer.c.id).where(schema.customer.c.external_id == "C2")
        grant_consent(connection, connection.execute(find).scalar_one(), ["news"], source="letter", now=NOW)
    desk.run("consents", history, now=LATER)

    assert {"C1": None, "C2": "suppressed:unsubscribed"} == before
    assert {"C1": None, "C2": None} == desk.gate()


def test_a_plain_no_in_a_file_of_customers_is_about_every_topic(desk: Desk) -> None:
    """
    It withdraws, binds the mailbox and is told of; an empty cell says nothing.
    """
    desk.run("customers", FAMILY)
    imported = desk.run("customers", "id,email,consent\nC1,fam@x.example,No\nC3,other@x.example,\n", now=LATER)

    assert {"C1": "suppressed:unsubscribed", "C2": "suppressed:unsubscribed", "C3": None} == desk.gate()
    assert "1 customers say no: they get mail about no topic" in imported.remarks


def test_a_refusal_to_be_watched_binds_whoever_comes_to_the_address(desk: Desk) -> None:
    """
    As an arrival or by a changed address, until they choose for themselves.
    """
    desk.run("customers", FAMILY)
    with desk.database.begin() as connection:
        first = connection.execute(select(schema.customer.c.id).order_by(schema.customer.c.id)).scalars().first()
        choose(connection, first, "tracking", allowed=False, source="page", now=NOW)
    desk.run("customers", "id,email\nNEW,fam@x.example\nC3,fam@x.example\nC9,far@x.example\n", now=LATER)
    customer = schema.customer.c
    may = tracked(customer.id, customer.country, now=LATER + HOUR, policy=Policy())
    with desk.database.begin() as connection:
        watched = {row[0] for row in connection.execute(select(customer.external_id).where(may))}

    assert {"C9"} == watched


def test_a_request_hides_no_withdrawal(desk: Desk) -> None:
    """
    Whoever typed the address into a form: until it is confirmed, the no on record keeps an undated import out.
    """
    desk.run("customers", FAMILY)
    desk.run("consents", "customer,topic,state\nC3,news,withdrawn\n")
    with desk.database.begin() as connection:
        person = connection.execute(select(schema.customer.c.id).where(schema.customer.c.external_id == "C3"))
        request_consent(connection, person.scalar_one(), ["news"], source="form", now=NOW + timedelta(days=1))
    imported = desk.run("consents", "customer,topic,source\nC3,news,crm\n", now=NOW + timedelta(days=2))

    assert (0, 1) == (imported.counts.created, imported.counts.rejected)
    assert "suppressed:unsubscribed" == desk.gate()["C3"]


def test_a_date_alone_counts_as_the_end_of_its_day_for_a_no(desk: Desk) -> None:
    """
    Of a yes in the morning and a no without a time on one day, in either file first, the no holds.
    """
    desk.run("customers", "id,email\nC1,a@x.example\nC2,b@x.example\nC3,c@x.example\n")
    head = "customer,topic,state,captured_at\n"
    desk.run("consents", head + "C1,news,granted,2026-03-01 10:00\nC2,news,withdrawn,2026-03-01\n")
    desk.run("consents", head + "C1,news,withdrawn,2026-03-01\nC2,news,granted,2026-03-01\n", now=LATER)
    desk.run("consents", head + "C3,news,granted,2026-03-02 11:00\nC3,news,withdrawn,2026-03-02\n")

    assert None not in desk.gate().values()


def test_a_no_of_today_is_on_record_once(desk: Desk) -> None:
    """
    However often its file is imported, that day and later; after a yes of that day it is news, and holds.
    """
    desk.run("customers", "id,email\nC1,a@x.example\n")
    no, yes = (f"customer,topic,state,captured_at\nC1,news,{word}\n" for word in
               ("withdrawn,2026-03-02", "granted,2026-03-02 14:00"))  # fmt: skip
    files = [(no, 0), (no, 1), (yes, 3), (no, 4), (no, 5), (no, 30)]
    created = [desk.run("consents", content, now=NOW + hours * HOUR).counts.created for content, hours in files]

    assert [1, 0, 1, 1, 0, 0] == created
    assert {"C1": "suppressed:unsubscribed"} == desk.gate()


@pytest.mark.parametrize("order", [("withdrawn", "granted"), ("granted", "withdrawn")])
def test_of_two_words_of_one_instant_the_no_holds(desk: Desk, order: tuple[str, str]) -> None:
    """
    Whichever is written first.
    """
    with desk.database.begin() as connection:
        person = make_customer(connection, external_id="C1", email="a@x.example")
        for state in order:
            make_consent(connection, person, topic="news", state=state, captured_at=NOW, source=state)

    assert {"C1": "not_consented"} == desk.gate()


@pytest.mark.parametrize("channel", ["E-Mail", "邮件"])
def test_a_no_by_mail_in_any_spelling_of_the_channel_counts(desk: Desk, channel: str) -> None:
    """
    What a file calls the channel does not let an opt-out run into the void, as a consent or as a suppression.
    """
    desk.run("customers", FAMILY)
    desk.run("consents", f"customer,topic,state,Kanal\nC1,news,withdrawn,{channel}\n")
    desk.run("suppressions", f"email,topic,Kanal,reason\nother@x.example,news,{channel},abgemeldet\n")
    unknown = desk.run("suppressions", "email,channel\nother@x.example,pigeon\n")

    assert None not in desk.gate().values()
    assert (0, 1) == (unknown.counts.created, unknown.counts.rejected)


# --- suppressions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["2025-06-01", "2026-03-20"])
def test_suppression_for_good_replaces_one_that_ends(desk: Desk, end: str) -> None:
    """
    An entry for good meets an expired or shorter one, holds, and leaves the other one readable.
    """
    desk.run("customers", FAMILY)
    desk.run("suppressions", f"email,expires_at\nother@x.example,{end}\n")
    longer, again = (desk.run("suppressions", "email\nother@x.example\n") for _ in range(2))

    assert "suppressed:manual" == desk.gate()["C3"]
    assert [(datetime.fromisoformat(end).replace(tzinfo=UTC), False), (None, True)] == desk.entries()
    assert (1, 0) == (longer.counts.created, again.counts.created)


@pytest.mark.parametrize("ends", [("2026-03-03", ""), ("", "2026-03-03")])
def test_suppression_of_the_longest_end_in_a_file_holds(desk: Desk, ends: tuple[str, str]) -> None:
    """
    Of two rows that differ in their end the longer one is the entry, in any order; the other changes nothing.
    """
    desk.run("customers", FAMILY)
    imported = desk.run("suppressions", "email,expires_at\n" + "".join(f"other@x.example,{end}\n" for end in ends))

    assert "suppressed:manual" == desk.gate()["C3"]
    assert [(None, True)] == desk.entries()
    assert (1, 1) == (imported.counts.created, imported.counts.unchanged)


def test_suppression_that_ends_sooner_changes_nothing(desk: Desk) -> None:
    """
    A shorter entry, or an expired one imported again, leaves what is on record alone.
    """
    expired = "email,expires_at\nc@x.example,2025-06-01\n"
    desk.run("suppressions", f"{expired}other@x.example,2026-05-01\n")
    before = desk.entries()
    shorter = desk.run("suppressions", f"{expired}other@x.example,2026-04-01\n")

    assert before == desk.entries()
    assert (0, 2) == (shorter.counts.created, shorter.counts.unchanged)


# --- changed addresses -----------------------------------------------------------------------------------------

MOVED = "id,email,topics,consent_at\nC1,new@x.example,news;promotions,2025-01-01\n"


@pytest.mark.parametrize("reason", ["unsubscribed", "complaint", "manual"])
def test_opt_out_goes_with_the_customer_to_a_new_address(desk: Desk, reason: str) -> None:
    """
    Who must not be written to is not written to at an address they get later, about any topic.
    """
    desk.run("customers", FAMILY)
    desk.run("suppressions", f"email,reason\nfam@x.example,{reason}\n")
    moved, again = desk.run("customers", MOVED), desk.run("customers", MOVED)

    table = schema.suppression.c
    with desk.database.begin() as connection:
        copy = connection.execute(
            select(table.source, table.evidence).where(table.address_key == key_of("new@x.example"))
        )
        old = connection.execute(select(table.id).where(table.address_key == key_of("fam@x.example"))).scalar_one()
        assert [("address_change", {"suppression_id": old})] == [tuple(row) for row in copy]
    assert [f"suppressed:{reason}"] * 2 == [desk.gate(topic)["C1"] for topic in ("news", "promotions")]
    assert f"suppressed:{reason}" == desk.gate()["C2"]
    remark = "1 opt-outs went with customers to their new addresses"
    assert (True, False) == (remark in moved.remarks, remark in again.remarks)


def test_bounces_and_entries_that_are_over_stay_with_the_old_address(desk: Desk) -> None:
    """
    A hard bounce, a lifted and an expired opt-out say nothing of the new address.
    """
    with desk.database.begin() as connection:
        make_customer(connection, external_id="C1", email="old@x.example")
        make_suppression(connection, "old@x.example", reason="hard_bounce")
        make_suppression(connection, "old@x.example", reason="complaint", lifted_at=NOW)
        make_suppression(connection, "old@x.example", reason="unsubscribed", expires_at=NOW)
    desk.run("customers", MOVED)

    assert {"C1": None} == desk.gate()


def test_opt_out_that_outlasts_the_one_at_the_new_address_replaces_it(desk: Desk) -> None:
    """
    At the new address the longer of both opt-outs holds.
    """
    with desk.database.begin() as connection:
        make_customer(connection, external_id="C1", email="old@x.example")
        make_suppression(connection, "old@x.example", reason="unsubscribed")
        make_suppression(connection, "new@x.example", reason="unsubscribed", expires_at=NOW + timedelta(days=1))
    desk.run("customers", MOVED)

    assert {"C1": "suppressed:unsubscribed"} == desk.gate()


# --- evidence --------------------------------------------------------------------------------------------------

SOLD = """\
customer,topic,basis,Verkauf,similar products,opt-out offered,subscriber,shop
C1,news,soft opt-in,A-17,ja,yes,private,north
C2,news,soft opt-in,A-18,ja,,private,south
C3,news,legitimate interest,,,,Firma,
"""


def test_soft_opt_in_counts_with_its_evidence_and_the_import_counts_the_rest(desk: Desk) -> None:
    """
    In the United Kingdom, who bought and could refuse may be written to, and a firm; a row that lacks some evidence
    is kept, counts for nothing, and is told of.
    """
    desk.run("customers", "id,email,country\n" + "".join(f"C{n},c{n}@x.example,UK\n" for n in (1, 2, 3)))
    imported, again = desk.run("consents", SOLD), desk.run("consents", SOLD)
    table = schema.consent.c
    with desk.database.begin() as connection:
        proof = connection.execute(select(table.proof).order_by(table.id)).scalars().first()

    assert {"C1": None, "C2": "basis_not_enough", "C3": None} == desk.gate()
    assert {
        "sale": "A-17", "similar_products": True, "opt_out_offered": True, "subscriber": "individual", "shop": "north",
    } == proof  # fmt: skip
    assert "1 soft opt-ins lack" in imported.remarks[-1]
    assert (3, 0) == (imported.counts.created, again.counts.created)


def test_an_undated_consent_is_not_renewed_by_the_next_file(desk: Desk) -> None:
    """
    What holds already is not said anew under another file's name; what ends by itself needs its date.
    """
    desk.run("customers", "id,email,country\nC1,a@x.example,CA\n")
    head = "customer,topic,basis,source,captured_at\n"
    first = desk.run("consents", head + "C1,news,implied,crm-1,2026-01-01\n")
    undated = desk.run("consents", head + "C1,news,implied,crm-2,\nC1,promotions,contract,crm-2,\n")
    plain = [desk.run("consents", head + f"C1,promotions,,crm-{number},\n") for number in (3, 4)]
    column = desk.run("customers", "id,email,topics,consent basis\nC1,a@x.example,news,implied\n")

    assert [(1, 0), (0, 2)] == [(each.counts.created, each.counts.rejected) for each in (first, undated)]
    assert [1, 0] == [each.counts.created for each in plain]
    assert (1, "consent_expired") == (column.counts.rejected, desk.gate(now=NOW + timedelta(days=200))["C1"])


def test_every_row_with_evidence_nobody_understands_is_rejected(desk: Desk) -> None:
    """
    All bad rows of a file come back at once, each with what was expected.
    """
    desk.run("customers", FAMILY)
    imported = desk.run(
        "consents",
        "customer,topic,subscriber,relation,basis,date\nC1,news,robot,,,\nC2,news,,friend,,\nC3,news,,,whim,\n"
        "C1,news,corporate,Enquiry,implied,2026-01-01\n",
    )
    told = Path(str(imported.counts.rejects_file)).read_text(encoding="utf-8-sig")

    assert (1, 3) == (imported.counts.created, imported.counts.rejected)
    assert all(words in told for words in ("subscriber: got 'robot'", "relation: got 'friend'", "not a legal basis"))


def test_a_basis_in_a_file_of_customers_is_checked(desk: Desk) -> None:
    """
    A customer whose consent rests on something unknown is rejected, and one of a known basis is under their country.
    """
    imported = desk.run(
        "customers",
        "id,email,country,topics,consent basis,consent date\nA,a@x.example,US,news,implied,2026-01-01\n"
        "B,b@x.example,DE,news,implied,2026-01-01\nC,c@x.example,DE,news,whim,\n",
    )

    assert (2, 1) == (imported.counts.created, imported.counts.rejected)
    assert {"A": None, "B": "basis_not_enough"} == desk.gate()


def test_a_list_of_opt_outs_voids_what_was_asked_for_before(desk: Desk) -> None:
    """
    Also when the same opt-out is on record already: the link of a request before it confirms nothing.
    """
    desk.run("customers", "id,email\nA,a@x.example\n")
    opt_out = "email,topic,reason\na@x.example,news,unsubscribed\n"
    desk.run("suppressions", opt_out)
    with desk.database.begin() as connection:
        (person,) = connection.execute(select(schema.customer.c.id)).scalars()
        request_consent(connection, person, ["news"], source="form", now=NOW + timedelta(days=1))
    desk.run("suppressions", opt_out, now=NOW + timedelta(days=2))
    with desk.database.begin() as connection:
        confirmed = confirm_consent(
            connection, person, ["news"], source="form", known_topics=["news"], now=NOW + timedelta(days=3)
        )

    assert (("news",), "suppressed:unsubscribed") == (confirmed.void, desk.gate()["A"])
