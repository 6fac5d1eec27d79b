"""`clarion why` gives the reason of every decision; docs/why.md lists them, checked here against real cases."""

import itertools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Connection, select

from campaigns import catalogue as files
from campaigns import control, ledger, why
from campaigns.plan import from_file, make_plan, to_file
from campaigns.reasons import SENTENCES
from campaigns.runs import apply_reviewed
from campaigns.waiting import HOLDS
from core import schema
from core.database import Database
from customers.merging.merge import merge
from customers.rights.queued import ERASED
from suppression.gate import REASONS
from suppression.refused import MAILBOX_FULL, SOFT_BOUNCES
from tests.campaign_files import FILES, SEGMENT, TEMPLATE, campaign_file
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import (
    LONG_AGO,
    make_activity,
    make_consent,
    make_customer,
    make_message,
    make_run,
    make_suppression,
)

NOW: Final = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PAGE: Final = Path(__file__).parents[2] / "docs" / "why.md"
SETTINGS = (
    MINIMAL_SETTINGS.replace('news: {{label: "News"}}', 'news: {{label: "News", confirmed: true}}')
    + """\
  care: {{label: "Care"}}
care:
  key_accounts: {{levels: {{abc: [A]}}}}
  promotions: [promotions]
addresses: {{reserved: skip, role_accounts: skip}}
pressure: {{caps: {{weekly: {{most: 1, within: 7d}}}}}}
"""
)
FILES_HERE = {
    **FILES,
    "campaigns/spring-paper.yaml": campaign_file(limits="{one_per: household}"),
    "segments/everybody.yaml": SEGMENT.replace('external_id != ""', 'country != "CH"'),
    "segments/staff.yaml": "description: Staff\nwhere: country == \"BE\"\n",
    "campaigns/firms.yaml": campaign_file(
        limits="{one_per: company}", send="{template: firms.html, from: offers}",
        audience="{segment: everybody, exclude: [staff]}",
    ),
    "campaigns/news.yaml": campaign_file(topic="news", send="{template: news.html, from: offers}"),
    "campaigns/copy.yaml": campaign_file(),
    "segments/readers.yaml": "description: Readers\nwhere: did(\"page_view\")\n",
    "campaigns/readers.yaml": campaign_file(
        audience="{segment: readers}", send="{template: readers.html, from: offers}", limits="{one_per: address}"
    ),
    "campaigns/noon.yaml": campaign_file(
        schedule="{at: 2026-03-02T12:00, zone: recipient, when_passed: skip}",
        send="{template: noon.html, from: offers}",
    ),
    **{f"templates/{name}.html": TEMPLATE.replace("Ten boxes", name) for name in ("firms", "news", "noon", "readers")},
}  # fmt: skip
_numbers = itertools.count(1)


def somebody(connection: Connection, **values: Any) -> int:
    """A customer at an address that anybody may have, who agreed to promotions."""
    return make_customer(
        connection, **({"email": f"p{next(_numbers)}@people.firm", "consents": ("promotions",)} | values)
    )


def suppressed(connection: Connection, reason: str) -> int:
    """Somebody whose address has an entry for this reason."""
    email = f"s{next(_numbers)}@people.firm"
    ends = LONG_AGO + timedelta(days=3000) if reason == "paused" else None
    make_suppression(connection, email, reason=reason, expires_at=ends)
    return somebody(connection, email=email)


def second(connection: Connection, **shared: Any) -> int:
    """Somebody who shares these values with somebody who is known longer."""
    somebody(connection, **shared)
    return somebody(connection, **shared)


def worded(connection: Connection, customer_id: int, **word: Any) -> int:
    """The customer, who said this word."""
    make_consent(connection, customer_id, **word)
    return customer_id


def key_account(connection: Connection) -> int:
    """Somebody of class A, who is Anna's."""
    customer_id = somebody(connection, owner="anna")
    metrics = schema.customer_metrics.insert().values(customer_id=customer_id, abc="A", as_of=LONG_AGO)
    connection.execute(metrics)
    return customer_id


def unprofiled(connection: Connection) -> int:
    """Somebody who looked at a page, and refuses to be chosen for it."""
    customer_id = somebody(connection)
    make_activity(connection, customer_id)
    return worded(connection, customer_id, channel="profiling", topic="", state="withdrawn")


def written_to(connection: Connection) -> int:
    """Somebody who had a message of another campaign an hour ago."""
    customer_id = somebody(connection)
    make_message(connection, make_run(connection, "yesterday"), customer_id, accepted_at=NOW - timedelta(hours=1))
    return customer_id


#: Every reason of an entry that forbids bulk mail.
SUPPRESSED_FOR: Final = (*REASONS, SOFT_BOUNCES, MAILBOX_FULL, ERASED)
#: Cause → campaign, and how somebody comes to be left out of it for that. A plan decides all of these.
CASES: Final[dict[str, tuple[str, Callable[[Connection], int]]]] = {
    "no_address": ("spring-paper", lambda c: somebody(c, email=None)),
    "not_consented": ("spring-paper", lambda c: worded(c, somebody(c), state="withdrawn", captured_at=NOW)),
    "not_confirmed": ("news", lambda c: somebody(c, consents=("news",))),
    "basis_not_enough": (
        "spring-paper", lambda c: worded(c, somebody(c, consents=(), country="CN"), basis="implied"),
    ),
    "consent_expired": ("spring-paper", lambda c: worded(c, somebody(c, consents=()), expires_at=NOW)),
    "no_profiling": ("readers", unprofiled),
    **{
        f"suppressed:{reason}": ("spring-paper", partial(suppressed, reason=reason))
        for reason in SUPPRESSED_FOR
    },
    "duplicate_address": ("spring-paper", lambda c: second(c, email="both@people.firm")),
    "duplicate_person": ("spring-paper", lambda c: second(c, person="p")),
    "duplicate_household": ("spring-paper", lambda c: second(c, household="h")),
    "duplicate_company": ("firms", lambda c: second(c, company="Paper & Sons")),
    "key_account": ("spring-paper", key_account),
    "role_account": ("spring-paper", lambda c: somebody(c, email="sales@people.firm")),
    "reserved_address": ("spring-paper", lambda c: somebody(c, email="ann@shop.example.com")),
    "time_passed": ("noon", lambda c: somebody(c, zone="Pacific/Kiritimati")),
    "frequency_cap": ("news", lambda c: worded(c, written_to(c), topic="news", state="confirmed")),
}  # fmt: skip
#: Of whom nobody asks afterwards: who has the message already, and who is a customer no more.
UNASKED: Final = ("already_messaged", "erased")
#: What can only happen on the way.
LATER: Final = (
    "render_failed", "expired", "address_changed", "open_case", "quiet_too_long", "superseded", "left_sequence",
)  # fmt: skip


@pytest.fixture
def office(make_workspace, database):
    """A workspace with a campaign for every kind of cause."""
    return make_workspace(database=database, files=FILES_HERE, settings=SETTINGS)


def applied(office, database: Database, clock, name: str) -> None:
    """The campaign is under way."""
    catalogue = files.load(office)
    with database.begin() as connection:
        plan = make_plan(connection, catalogue, [name], clock.now())
        apply_reviewed(connection, catalogue, from_file(to_file(plan)), clock.now())


def answer(connection: Connection, catalogue: files.Catalogue, clock, customer_id: int, campaign: str) -> why.Answer:
    """What `clarion why` says."""
    person = connection.execute(select(schema.customer).where(schema.customer.c.id == customer_id)).mappings().one()
    return why.explain(connection, catalogue, person, campaign, clock.now())


def listed(heading: str) -> dict[str, str]:
    """Code → sentence in the table of docs/why.md under the heading."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.+?) \|", section, re.MULTILINE))


def test_page_lists_every_reason_with_its_sentence() -> None:
    """
    docs/why.md has every skip reason and every hold there is, in the words that `why` uses.
    """
    told = listed("What stands against a message")

    assert SENTENCES == {code: text for code, text in told.items() if not code.startswith("suppressed:")}
    assert {f"suppressed:{reason}" for reason in SUPPRESSED_FOR} == {
        code for code in told if code.startswith("suppressed:")
    }
    assert listed("What holds a message") == HOLDS


def test_every_row_of_the_page_has_a_case() -> None:
    """
    A reason that is added needs a case here that comes to it, beside its row.
    """
    cases = [*CASES, *LATER, "cancelled", "duplicate_piece", *UNASKED]

    assert sorted(listed("What stands against a message")) == sorted(cases)


def test_every_cause_is_told_as_the_page_says(office, database: Database, clock) -> None:
    """
    A case of each cause, decided by a plan and then by the freeze: both tell the reason that the page lists.
    """
    told = listed("What stands against a message")
    catalogue = files.load(office)
    with database.begin() as connection:
        people = {code: make(connection) for code, (_, make) in CASES.items()}
        before = {
            code: answer(connection, catalogue, clock, people[code], campaign) for code, (campaign, _) in CASES.items()
        }
    applied(office, database, clock, "spring-paper")
    with database.begin() as connection:
        stored = {
            code: answer(connection, catalogue, clock, people[code], campaign)
            for code, (campaign, _) in CASES.items() if campaign == "spring-paper"
        }  # fmt: skip

    assert {code: ("would_skip", f"{code}: {told[code]}") for code in CASES} == {
        code: (one.outcome, one.reason) for code, one in before.items()
    }
    assert {code: ("skipped", f"{code}: {told[code]}") for code in stored} == {
        code: (one.outcome, one.reason) for code, one in stored.items()
    }


def test_causes_on_the_way_are_told_as_the_page_says(office, database: Database, clock) -> None:
    """
    What stops a message after its audience was frozen is stored with it, and told by the page's words.
    """
    told = listed("What stands against a message")
    catalogue = files.load(office)
    with database.begin() as connection:
        people = {code: somebody(connection) for code in (*LATER, "cancelled", "planned", "duplicate_piece")}
    applied(office, database, clock, "spring-paper")
    with database.begin() as connection:
        for code in LATER:
            mine = select(schema.message.c.id).where(schema.message.c.customer_id == people[code])
            ledger.skip(connection, connection.execute(mine).scalars().all(), code, clock.now())
        waits = answer(connection, catalogue, clock, people["planned"], "spring-paper")
        copied = answer(connection, catalogue, clock, people["duplicate_piece"], "copy")
        control.order(connection, "spring-paper", "cancel", actor="t", now=clock.now())
        found = {
            code: answer(connection, catalogue, clock, people[code], "spring-paper") for code in (*LATER, "cancelled")
        }

    assert ("planned", "the message waits for its time and a worker") == (waits.outcome, waits.reason)
    assert ("would_skip", f"duplicate_piece: {told['duplicate_piece']}") == (copied.outcome, copied.reason)
    assert {code: f"{code}: {told[code]}" for code in found} == {code: one.reason for code, one in found.items()}


def test_people_outside_are_told_by_which_segment(office, database: Database, clock) -> None:
    """
    Who is in no audience is told which segment they are not in, or which one leaves them out.
    """
    catalogue = files.load(office)
    with database.begin() as connection:
        abroad, staff = somebody(connection, country="CH"), somebody(connection, country="BE")
        answers = [answer(connection, catalogue, clock, customer_id, "firms") for customer_id in (abroad, staff)]

    assert ["not in segment everybody", "excluded as a member of segment staff"] == [each.reason for each in answers]


def test_former_name_is_among_the_facts(office, database: Database, clock) -> None:
    """
    Of somebody into whom another customer was merged it is told who, and why.
    """
    catalogue = files.load(office)
    with database.begin() as connection:
        merged_id, into_id = somebody(connection, external_id="old"), somebody(connection)
        merge(connection, merged_id, into_id, because="same card", actor="t", now=clock.now())
        facts = [fact.what for fact in answer(connection, catalogue, clock, into_id, "spring-paper").facts]

    assert "old was merged into this customer: same card" in facts
