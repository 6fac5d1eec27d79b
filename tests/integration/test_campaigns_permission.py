"""Permission from plan to hand-over: profiling, countries, expiry, tracking and labels, each asked again at the end."""

import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from campaigns import catalogue as files
from campaigns import ledger, mailings, versions
from campaigns.mailings import Studio
from campaigns.plan import make_plan
from campaigns.remarks import remarks_on
from campaigns.window import Window, hand_over
from core.schema import batch, campaign_version, customer, hit, message
from suppression.consent_ledger import choose
from suppression.policy import Policy
from tests.campaign_files import FILES, TEMPLATE
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_consent, make_customer, make_message, make_run
from tracking.hits import Hit, store

BUYERS = {"segments/everybody.yaml": 'description: Who bought\nwhere: did("purchase") or external_id != ""\n'}
_OCCURRENCES = itertools.count(1)
MINUTE = timedelta(minutes=1)


@dataclass
class Office:
    """A workspace, and a batch of one message in its ledger."""

    workspace: Any
    database: Any
    clock: Any

    def plan(self) -> dict[str, int]:
        """Who would be left out, by the reason."""
        with self.database.begin() as connection:
            plan = make_plan(connection, files.load(self.workspace), [], self.clock.now())
        return dict(plan.campaigns[0].counts.skipped)

    def frozen(self, person: int) -> int:
        """A message to the person, planned, in a batch that is ready; its number."""
        with self.database.begin() as connection:
            version_id = versions.store(connection, versions.pin(files.load(self.workspace), "spring-paper"))
            occurrence = str(next(_OCCURRENCES))
            run_id = make_run(connection, version_id=version_id, starts_at=self.clock.now(), occurrence=occurrence)
            message_id = make_message(connection, run_id, person, state="planned", not_before=self.clock.now())
            ready = insert(batch).values(run_id=run_id, message_ids=[message_id], not_before=self.clock.now())
            connection.execute(ready)
        return message_id

    def claim(self) -> Any:
        with self.database.begin() as connection:
            batch_id = connection.execute(select(batch.c.id)).scalar_one()
            policy = Policy.of(self.workspace.settings)
            return ledger.claim(
                connection, batch_id, worker="w", lease=MINUTE, policy=policy, now=self.clock.now()
            )  # fmt: skip

    def hand_over(self, held: Any, message_id: int) -> list[int]:
        with self.database.begin() as connection:
            return hand_over(connection, held, Window((message_id,)), transport="main", now=self.clock.now())

    def skipped(self, message_id: int) -> str | None:
        with self.database.begin() as connection:
            found = select(message.c.skip_reason).where(message.c.id == message_id)
            return connection.execute(found).scalar_one()

    def mail(self, person: int) -> Any:
        """The mail as the person gets it."""
        message_id = self.frozen(person)
        policy = Policy.of(self.workspace.settings)
        with self.database.begin() as connection:
            (recipient,) = mailings.recipients(connection, [message_id], policy=policy, now=self.clock.now())
            studio = Studio(self.workspace)
            version_id = connection.execute(select(campaign_version.c.id)).scalars().first()
            return studio.mail(studio.letter(connection, version_id), recipient)


@pytest.fixture
def office(make_workspace, database, clock):
    def made(extra: str = "", changed: dict[str, str] | None = None) -> Office:
        settings = MINIMAL_SETTINGS + extra
        return Office(
            make_workspace(database=database, files=FILES | (changed or {}), settings=settings), database, clock
        )

    return made


def refuse(office: Office, person: int, about: str) -> None:
    with office.database.begin() as connection:
        choose(connection, person, about, allowed=False, source="page", now=office.clock.now())


def customer_of(office: Office, **values: Any) -> int:
    with office.database.begin() as connection:
        return make_customer(connection, consents=("promotions",), **values)


# --- chosen by behaviour -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "by_behaviour"),
    [
        ('external_id != "" and country in ["DE"]', False),
        ('attributes.size > 10 and subscribed("promotions")', False),
        ('not did("purchase") or external_id != ""', True),
        ('tier in ["top"] or external_id != ""', True),
        ('count("page_view") >= 0', True),
        ('not clicked("spring-paper")', True),
    ],
)
def test_a_segment_looks_at_behaviour_or_not(office, where, by_behaviour):
    """
    What people told us is no behaviour; what they did, and every level made of it, is.
    """
    shop = office(changed={"segments/everybody.yaml": f"description: x\nwhere: {where!r}\n"})

    assert by_behaviour is versions.pin(files.load(shop.workspace), "spring-paper").by_behaviour


def test_who_refused_profiling_is_left_out_of_such_campaigns_alone(office):
    """
    The plan names the reason; a campaign to everybody still goes to them (S-5.12).
    """
    buyers, everybody = office(changed=BUYERS), office()
    person = customer_of(buyers, external_id="ann")
    refuse(buyers, person, "profiling")

    assert ({"no_profiling": 1}, {}) == (buyers.plan(), everybody.plan())


@pytest.mark.parametrize("claimed_first", [False, True])
def test_profiling_refused_after_the_freeze_counts_before_the_claim_and_after_it(office, claimed_first):
    """
    Between freeze and claim, and between claim and hand-over: the message is skipped, with its reason.
    """
    shop = office(changed=BUYERS)
    person = customer_of(shop)
    message_id = shop.frozen(person)
    held = shop.claim() if claimed_first else None
    refuse(shop, person, "profiling")
    held = held or shop.claim()

    assert [] == shop.hand_over(held, message_id)
    assert "no_profiling" == shop.skipped(message_id)


# --- countries, expiry ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claimed_first", [False, True])
@pytest.mark.parametrize(
    ("word", "change", "reason"),
    [
        ({"basis": "legitimate_interest"}, {"country": "DE"}, "basis_not_enough"),
        ({"basis": "legitimate_interest"}, {"country": None}, "basis_not_enough"),
        ({"expires_at": 1}, {}, "consent_expired"),
    ],
)
def test_a_yes_that_stops_counting_after_the_freeze_stops_the_message(office, word, change, reason, claimed_first):
    """
    A move to another country, or the end of the consent, is noticed at the claim, and at the hand-over.
    """
    shop = office()
    if "expires_at" in word:
        word = {"expires_at": shop.clock.now() + timedelta(seconds=1)}
    with shop.database.begin() as connection:
        person = make_customer(connection, country="US")
        make_consent(connection, person, **word)
    message_id = shop.frozen(person)
    held = shop.claim() if claimed_first else None
    with shop.database.begin() as connection:
        if change:
            connection.execute(update(customer).where(customer.c.id == person).values(**change))
    shop.clock.step(timedelta(seconds=1))
    held = held or shop.claim()

    assert [] == shop.hand_over(held, message_id)
    assert reason == shop.skipped(message_id)


def test_settings_that_become_stricter_count_for_what_is_frozen(office):
    """
    A run under way goes by the settings of today: who never confirmed is skipped once the topic wants it.
    """
    shop = office()
    person = customer_of(shop)
    message_id = shop.frozen(person)
    stricter = office("consent: {{profiles: {{strict: {{confirmed: true}}}}}}\n")
    held = stricter.claim()

    assert ((), "not_confirmed") == (held.message_ids, shop.skipped(message_id))


def test_a_yes_of_each_kind_goes_out_where_it_counts(office):
    """
    The messages of people whose law is content are handed over.
    """
    shop = office()
    with shop.database.begin() as connection:
        person = make_customer(connection, country="CA")
        make_consent(
            connection, person, basis="implied", proof={"relation": "inquiry"}, captured_at=shop.clock.now() - MINUTE
        )
    message_id = shop.frozen(person)

    assert [message_id] == shop.hand_over(shop.claim(), message_id)


# --- tracking ---------------------------------------------------------------------------------------------------------


def test_who_refuses_tracking_gets_mail_that_tells_us_nothing(office):
    """
    No pixel, links straight to their targets; the links to leave, to choose and to look stay.
    """
    shop = office()
    person = customer_of(shop)
    before = shop.mail(person)
    refuse(shop, person, "tracking")
    after = shop.mail(person)

    assert ("/c/" in before.html, "/o/" in before.html) == (True, True)
    assert ("/c/" in after.html, "/o/" in after.html, "/c/" in after.text) == (False, False, False)
    assert 'href="https://paper.example/spring"' in after.html
    assert "/u/" in after.html
    assert any(name == "List-Unsubscribe" for name, _ in after.headers)


def test_the_default_of_the_country_decides_where_nobody_said_anything(office):
    """
    By profile, a customer in Germany is not tracked and one in the United States is.
    """
    shop = office("consent: {{tracking: by_profile}}\n")
    german, american = (customer_of(shop, country=code) for code in ("DE", "US"))

    assert ["/o/" in shop.mail(person).html for person in (german, american)] == [False, True]


def test_hits_of_older_mail_are_not_kept_after_a_refusal(office):
    """
    Opens, clicks and views of mail that went out before are dropped from then on, the link leads on; an opt-out
    is always kept.
    """
    shop = office()
    person = customer_of(shop)
    message_id = shop.frozen(person)
    kinds = ("open", "click", "view", "unsubscribe")

    def answered() -> list[str | None]:
        now = shop.clock.now()
        arrived = [Hit(message_id, kind, now, link=0 if kind == "click" else None) for kind in kinds]
        with shop.database.begin() as connection:
            return [each.target if each else "nowhere" for each in store(connection, arrived)]

    first = answered()
    refuse(shop, person, "tracking")
    second = answered()
    with shop.database.begin() as connection:
        kept = list(connection.execute(select(hit.c.kind).order_by(hit.c.id)).scalars())

    assert [None, "https://paper.example/spring", None, None] == first == second
    assert sorted([*kinds, "unsubscribe"]) == sorted(kept)


# --- labels and remarks ---------------------------------------------------------------------------------------------


def test_bulk_mail_to_china_is_labelled(office):
    """
    The subject a customer in China gets begins with the label, in their language; nobody else's does.
    """
    shop = office()
    people = [
        customer_of(shop, country=country, language=language, company="Mill")
        for country, language in (("CN", "zh"), ("CN", "en"), ("DE", "de"))
    ]

    assert ["广告 Paper for Mill", "AD Paper for Mill", "Paper for Mill"] == [
        shop.mail(each).subject for each in people
    ]


def test_validate_remarks_on_a_subject_that_feigns_an_answer(office):
    """
    The file is named, and a subject like any other is not.
    """
    feigned = office(changed={"templates/spring-paper.html": TEMPLATE.replace("Paper for", "Re: paper for")})
    shops = [feigned, office()]
    found = [remarks_on(shop.workspace, files.load(shop.workspace)) for shop in shops]

    assert [True, False] == [any("begins like an answer" in remark for remark in remarks) for remarks in found]
