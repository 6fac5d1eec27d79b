"""Who would get the same twice: one person's addresses, households, companies, and one piece by two campaigns."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from campaigns import catalogue as files
from campaigns import why
from campaigns.plan import from_file, make_plan, to_file
from campaigns.runs import apply_reviewed
from core import schema
from core.database import Database
from customers.merging.merge import merge
from tests.campaign_files import FILES, campaign_file
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer, make_message, make_run, make_version

WANTED = {"consents": ("promotions",)}


@pytest.fixture
def office(make_workspace, database):
    """
    A workspace with one campaign, and a second one that sends the same template.
    """
    second = {"campaigns/second-try.yaml": campaign_file()}
    return make_workspace(database=database, files={**FILES, **second})


@pytest.fixture
def neighbours(database: Database) -> None:
    """Ann with two addresses, her husband Bob, their colleague Cat in the same firm, and Dan who is alone."""
    same_home, same_firm = {"household": "elm-1"}, {"company": "Paper & Sons"}
    with database.begin() as connection:
        make_customer(connection, external_id="ann", person="p1", **same_home, **same_firm, **WANTED)
        make_customer(connection, external_id="ann-at-work", person="p1", **WANTED)
        make_customer(connection, external_id="bob", **same_home, **WANTED)
        make_customer(connection, external_id="cat", company="PAPER & SONS", **WANTED)
        make_customer(connection, external_id="dan", **WANTED)


def planned(workspace, database, clock, *names: str) -> Any:
    """The plan of the named campaigns."""
    with database.begin() as connection:
        return make_plan(connection, files.load(workspace), names, clock.now())


def applied(workspace, database, clock, *names: str) -> dict[str, str | None]:
    """External id → skip reason in the runs that applying the named campaigns made."""
    plan = planned(workspace, database, clock, *names)
    with database.begin() as connection:
        started = apply_reviewed(connection, files.load(workspace), from_file(to_file(plan)), clock.now())
        query = (
            select(schema.customer.c.external_id, schema.message.c.skip_reason)
            .join(schema.customer, schema.customer.c.id == schema.message.c.customer_id)
            .where(schema.message.c.run_id.in_([run.run_id for run in started]))
        )
        return dict(tuple(row) for row in connection.execute(query))


@pytest.mark.parametrize(
    ("one_per", "skipped"),
    [
        ("address", {}),
        ("person", {"ann-at-work": "duplicate_person"}),
        ("household", {"ann-at-work": "duplicate_person", "bob": "duplicate_household"}),
        ("company", {"ann-at-work": "duplicate_person", "cat": "duplicate_company"}),
    ],
)
def test_campaign_writes_to_one_of_those_it_names(
    make_workspace, database, clock, neighbours, one_per: str, skipped: dict[str, str]
) -> None:
    """
    `limits.one_per` says of whom one gets the message: who is known longest; plan and freeze skip the same people.
    """
    own = {"campaigns/spring-paper.yaml": campaign_file(limits=f"{{one_per: {one_per}}}")}
    office = make_workspace(database=database, files={**FILES, **own})

    everybody = {"ann", "ann-at-work", "bob", "cat", "dan"}
    reasons = list(skipped.values())
    counts = planned(office, database, clock).campaigns[0].counts
    assert {reason: reasons.count(reason) for reason in reasons} == counts.skipped
    assert {name: skipped.get(name) for name in everybody} == applied(office, database, clock)


def test_one_person_is_the_rule_without_a_word(office, database, clock, neighbours) -> None:
    """
    A campaign and a workspace that say nothing write to a person once, whatever the number of addresses.
    """
    skipped = {name: reason for name, reason in applied(office, database, clock, "spring-paper").items() if reason}

    assert {"ann-at-work": "duplicate_person"} == skipped


def test_workspace_says_what_campaigns_do_not(make_workspace, database, clock, neighbours) -> None:
    """
    `duplicates.one_per` of clarion.yaml holds for campaigns that say nothing.
    """
    settings = MINIMAL_SETTINGS + "duplicates: {{one_per: household}}\n"
    office = make_workspace(database=database, files=FILES, settings=settings)

    assert "duplicate_household" == applied(office, database, clock)["bob"]


def test_skipped_twin_gets_nothing_by_a_second_plan(office, database, clock, neighbours) -> None:
    """
    Who was left out because another address of the person got the message is left out by a later plan as well.
    """
    applied(office, database, clock, "spring-paper")
    later = planned(office, database, clock, "spring-paper").campaigns[0]

    assert (0, 1) == (later.counts.would_send, later.counts.skipped["duplicate_person"])


def test_twin_of_somebody_who_is_not_written_to_goes_first(office, database, clock) -> None:
    """
    Who gets no message for another reason stands in nobody's way: the other address of the person gets it.
    """
    with database.begin() as connection:
        make_customer(connection, external_id="no-consent", person="p1")
        make_customer(connection, external_id="other", person="p1", **WANTED)

    assert {"no-consent": "not_consented", "other": None} == applied(office, database, clock, "spring-paper")


def test_why_sees_the_same_twins_as_the_plan(make_workspace, database, clock, neighbours) -> None:
    """
    `why` looks at one customer and decides as the whole plan does, for each of them.
    """
    own = {"campaigns/spring-paper.yaml": campaign_file(limits="{one_per: household}")}
    office = make_workspace(database=database, files={**FILES, **own})
    catalogue = files.load(office)
    with database.begin() as connection:
        people = connection.execute(select(schema.customer).order_by(schema.customer.c.id)).mappings().all()
        answers = {
            person["external_id"]: why.explain(connection, catalogue, person, "spring-paper", clock.now()).outcome
            for person in people
        }

    would = applied(office, database, clock)
    assert {name: "would_skip" if reason else "would_send" for name, reason in would.items()} == answers


# --- pieces ------------------------------------------------------------------------------------------------------


def test_nobody_gets_one_piece_by_two_campaigns(office, database, clock, neighbours) -> None:
    """
    A second campaign with the same template goes only to those who did not get the first one (N1, N12).
    """
    applied(office, database, clock, "spring-paper")
    with database.begin() as connection:
        make_customer(connection, external_id="new", **WANTED)
    second = applied(office, database, clock, "second-try")

    assert {"new"} == {name for name, reason in second.items() if reason is None}
    assert {"duplicate_piece"} == {reason for name, reason in second.items() if name != "new"}


def test_two_campaigns_of_one_plan_share_out_the_people(office, database, clock, neighbours) -> None:
    """
    A plan of two campaigns that say the same knows that the first leaves nobody for the second; it applies as it is.
    """
    plan = planned(office, database, clock)
    with database.begin() as connection:
        started = apply_reviewed(connection, files.load(office), from_file(to_file(plan)), clock.now())

    told = {item.campaign: (item.counts.would_send, dict(item.counts.skipped)) for item in plan.campaigns}
    assert {"second-try": (4, {"duplicate_person": 1}), "spring-paper": (0, {"duplicate_piece": 5})} == told
    assert ["second-try"] == [run.campaign for run in started]


def test_plan_of_two_that_overlap_is_applied_as_it_stands(make_workspace, database, clock, neighbours) -> None:
    """
    Of two campaigns with one piece the second is for those alone whom the first does not reach, in plan and freeze.
    """
    firm = {
        "segments/firm.yaml": "description: Firm\nwhere: company in ['Paper & Sons', 'PAPER & SONS']\n",
        "campaigns/a-firm.yaml": campaign_file(audience="{segment: firm}"),
    }
    office = make_workspace(database=database, files={**FILES, **firm})
    plan = planned(office, database, clock)
    with database.begin() as connection:
        started = apply_reviewed(connection, files.load(office), from_file(to_file(plan)), clock.now())

    assert {"a-firm": 2, "spring-paper": 2} == {item.campaign: item.counts.would_send for item in plan.campaigns}
    assert {"a-firm": 2, "spring-paper": 2} == {run.campaign: run.counts.would_send for run in started}
    assert 3 == started[1].counts.skipped["duplicate_piece"]


def sent_piece(office, database, customer: str, *, piece_of: str = "spring-paper", **values: Any) -> None:
    """Another campaign with the piece of `piece_of` has a message to the customer."""
    from campaigns import versions

    catalogue = files.load(office)
    with database.begin() as connection:
        piece = versions.pin(catalogue, piece_of).piece
        run_id = make_run(connection, "last-year", version_id=make_version(connection, "last-year", piece=piece))
        found = select(schema.customer.c.id).where(schema.customer.c.external_id == customer)
        make_message(connection, run_id, connection.execute(found).scalar_one(), **values)


def test_piece_is_remembered_of_the_person(office, database, clock, neighbours) -> None:
    """
    What one address of a person got, the other one does not get either.
    """
    sent_piece(office, database, "ann-at-work")
    reasons = applied(office, database, clock, "spring-paper")

    assert "duplicate_piece" == reasons["ann"] == reasons["ann-at-work"]
    assert reasons["bob"] is None


@pytest.mark.parametrize(
    ("state", "got"), [("accepted", True), ("unknown", True), ("failed", False), ("bounced", False)]
)
def test_piece_that_came_to_nothing_may_be_sent_again(
    office, database, clock, neighbours, state: str, got: bool
) -> None:
    """
    A message that failed or came back told nobody anything; one in doubt may have arrived.
    """
    sent_piece(office, database, "dan", state=state)

    assert ("duplicate_piece" if got else None) == applied(office, database, clock, "spring-paper")["dan"]


@pytest.mark.parametrize(("memory", "days_ago", "got"), [("30d", 29, True), ("30d", 31, False), ("none", 1, False)])
def test_piece_memory_ends(make_workspace, database, clock, neighbours, memory: str, days_ago: int, got: bool) -> None:
    """
    A campaign may forget who got its piece, after a while or at once.
    """
    own = {"campaigns/spring-paper.yaml": campaign_file(limits=f"{{piece_memory: {memory}}}")}
    office = make_workspace(database=database, files={**FILES, **own})
    sent_piece(office, database, "dan", accepted_at=clock.now() - timedelta(days=days_ago))

    assert ("duplicate_piece" if got else None) == applied(office, database, clock, "spring-paper")["dan"]


def test_piece_of_a_merged_customer_is_remembered(office, database, clock, neighbours) -> None:
    """
    Who was sent a piece under the name of a customer merged since does not get it under the other name.
    """
    sent_piece(office, database, "dan")
    with database.begin() as connection:
        ids = dict(
            tuple(row) for row in connection.execute(select(schema.customer.c.external_id, schema.customer.c.id))
        )
        merge(connection, ids["dan"], ids["cat"], because="same", actor="t", now=clock.now())
    reasons = applied(office, database, clock, "spring-paper")

    assert "duplicate_piece" == reasons["cat"]
    assert "dan" not in reasons


def test_same_address_counts_for_pieces(office, database, clock, neighbours) -> None:
    """
    Two customers at one address are one reader: what came to the one was read by the other.
    """
    with database.begin() as connection:
        key = select(schema.customer.c.address_key).where(schema.customer.c.external_id == "dan").scalar_subquery()
        connection.execute(
            update(schema.customer).where(schema.customer.c.external_id == "bob").values(address_key=key)
        )
    sent_piece(office, database, "dan")

    assert "duplicate_piece" == applied(office, database, clock, "spring-paper")["bob"]
