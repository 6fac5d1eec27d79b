"""When a consent is in force: the gate against the rules in plain Python, country by country and instant by instant."""

import calendar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, DateTime, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from core.consent_settings import ConsentSettings
from core.database import Database
from core.schema import customer
from suppression.gate import without_consent
from suppression.policy import Policy
from tests import factories

TICK = timedelta(microseconds=1)
COUNTRIES = (None, "US", "CA", "GB", "DE", "CH", "AU", "CN", "BR", "JP", "Narnia")
BASES = ("consent", "soft_opt_in", "contract", "legitimate_interest", "implied")
EVIDENCE = {"sale": "A-17", "similar_products": True, "opt_out_offered": True, "subscriber": "individual"}

#: The rules in the simplest words: country → what counts there.
ACCEPTED = {
    "US": BASES,
    "CA": ("consent", "contract", "implied"),
    "GB": ("consent", "soft_opt_in", "legitimate_interest"),
    "DE": ("consent", "soft_opt_in"),
    "CH": ("consent", "soft_opt_in"),
    "AU": ("consent", "contract", "implied"),
    "CN": ("consent",),
    "BR": ("consent", "legitimate_interest"),
}
SETTINGS = {
    "built_in": {},
    "tightened": {"eu": {"confirmed": True}, "us": {"bases": ["consent"]}, "strict": {"confirmed": True}},
    "own": {"brazil": {"countries": ["BR"], "bases": ["consent", "legitimate_interest"]}},
}

#: Instants around leap days, ends of months, and changes of clocks.
days = st.sampled_from(
    ["2024-02-29", "2024-02-28", "2024-03-01", "2023-08-31", "2023-08-30", "2024-03-10", "2024-12-31", "2025-01-01"]
)
instants = st.builds(
    lambda day, hour: datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(hours=hour), days, st.integers(0, 23)
)
proofs = st.one_of(
    st.just({}),
    st.just(EVIDENCE),
    st.sampled_from(sorted(EVIDENCE)).map(lambda gone: {name: said for name, said in EVIDENCE.items() if name != gone}),
    st.sampled_from([("similar_products", False), ("opt_out_offered", False), ("sale", "")]).map(
        lambda wrong: EVIDENCE | dict([wrong])
    ),
    st.sampled_from(["corporate", "individual", "nobody"]).map(lambda whose: EVIDENCE | {"subscriber": whose}),
    st.sampled_from(["purchase", "contract", "donation", "inquiry"]).map(lambda kind: {"relation": kind}),
)


@dataclass(frozen=True)
class Word:
    state: str
    basis: str
    captured_at: datetime
    expires_at: datetime | None
    proof: dict[str, object] = field(hash=False)


words = st.builds(
    Word,
    st.sampled_from(["requested", "granted", "granted", "confirmed", "withdrawn"]),
    st.sampled_from(BASES),
    instants,
    st.none() | instants.map(lambda at: at + timedelta(days=400)),
    proofs,
)
purchases = st.lists(st.tuples(instants, st.sampled_from([10, -10, 0])), max_size=3)


def months_later(at: datetime, months: int) -> datetime:
    """The same day and time so many months on, or the last day of the month."""
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return at.replace(year=year, month=month + 1, day=min(at.day, last))


def implied_end(word: Word, bought: list[tuple[datetime, int]], now: datetime) -> datetime:
    """Until when what a customer's purchase or question implies holds."""
    of_purchase = word.basis == "contract" or word.proof.get("relation") in ("purchase", "contract", "donation")
    end = months_later(word.captured_at, 24 if of_purchase else 6)
    if word.expires_at is not None:
        end = min(end, word.expires_at)
    since = [at for at, amount in bought if word.captured_at <= at <= now and amount > 0]
    return max([end, *(months_later(at, 24) for at in since)])


def flaw(
    said: list[Word], country: str | None, bought: list[tuple[datetime, int]], now: datetime, kind: str, *,
    wants_confirmed: bool,
) -> str | None:  # fmt: skip
    """Why nobody may write; None: everybody may."""
    heard = [(place, word) for place, word in enumerate(said) if word.state != "requested"]
    if not heard:
        return "not_consented"
    _, word = max(heard, key=lambda one: (one[1].captured_at, one[1].state == "withdrawn", one[0]))
    if word.state == "withdrawn":
        return "not_consented"
    accepted = ACCEPTED.get(country or "", ("consent",)) if (country != "BR" or kind == "own") else ("consent",)
    if kind == "tightened" and country == "US":
        accepted = ("consent",)
    if word.basis not in accepted:
        return "basis_not_enough"
    if word.basis == "soft_opt_in" and country != "US":
        proven = all(word.proof.get(name) for name in EVIDENCE) and word.proof["subscriber"] in (
            "individual",
            "corporate",
        )
        if not proven:
            return "basis_not_enough"
    if word.basis == "legitimate_interest" and country == "GB" and word.proof.get("subscriber") != "corporate":
        return "basis_not_enough"
    is_eu, has_profile = country in ("DE", "CH"), country in ACCEPTED and country != "BR"
    wanted = wants_confirmed or (kind == "tightened" and (is_eu or not has_profile))
    if wanted and word.state != "confirmed":
        return "not_confirmed"
    end = word.expires_at
    if country == "CA" and word.basis in ("implied", "contract"):
        end = implied_end(word, bought, now)
    return "consent_expired" if end is not None and end <= now else None


def asked(connection: Connection, customer_id: int, moments: list[datetime], policy: Policy) -> list[str | None]:
    """What the gate says at each of the moments, all asked in one statement."""
    at = func.unnest(literal(moments, ARRAY(DateTime(timezone=True)))).column_valued("at")
    gate = without_consent(literal(customer_id), topic="promotions", now=at, policy=policy)  # type: ignore[arg-type]
    return list(connection.execute(select(gate, at).order_by(at)).scalars())


def policy_of(kind: str, *, wants_confirmed: bool) -> Policy:
    profiles = ConsentSettings.model_validate({"profiles": SETTINGS[kind]}).resolved()
    return Policy(confirmed_topics=frozenset({"promotions"} if wants_confirmed else ()), profiles=profiles)


def compare(
    database: Database, said: list[Word], country: str | None, bought: list[tuple[datetime, int]], kind: str,
    wants_confirmed: bool, chance: datetime,
) -> None:  # fmt: skip
    """Gate and rules agree at every instant at which an answer changes, one before and one after, and by chance."""
    policy = policy_of(kind, wants_confirmed=wants_confirmed)
    edges = {word.expires_at for word in said if word.expires_at}
    edges |= {months_later(word.captured_at, months) for word in said for months in (6, 24)}
    edges |= {months_later(at, 24) for at, _ in bought} | {at for at, _ in bought}
    moments = sorted({chance, *(edge + shift for edge in edges for shift in (-TICK, timedelta(), TICK))})
    with database.engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL TIME ZONE 'America/Toronto'")  # a day must not depend on it
        person = factories.make_customer(connection, country=country)
        for place, word in enumerate(said):
            factories.make_consent(
                connection, person, state=word.state, basis=word.basis, captured_at=word.captured_at,
                expires_at=word.expires_at, proof=word.proof, source=f"s{place}",
            )  # fmt: skip
        for at, amount in bought:
            factories.make_purchase(connection, person, ordered_at=at, amount=amount)
        expected = [flaw(said, country, bought, now, kind, wants_confirmed=wants_confirmed) for now in moments]
        got = asked(connection, person, moments, policy)
        connection.rollback()

    assert expected == got


CIRCUMSTANCES = {
    "said": st.lists(words, max_size=3),
    "country": st.sampled_from(COUNTRIES),
    "bought": purchases,
    "kind": st.sampled_from(sorted(SETTINGS)),
    "wants_confirmed": st.booleans(),
    "chance": instants.map(lambda at: at + timedelta(days=365)),
}


@settings(max_examples=60)
@given(**CIRCUMSTANCES)
def test_consent_is_in_force_as_the_rules_say(module_database: Database, **case: Any) -> None:
    """
    Whatever was said, bought and set, gate and rules agree, also to the microsecond.
    """
    compare(module_database, **case)


@pytest.mark.slow
@settings(max_examples=2000)
@given(**CIRCUMSTANCES)
def test_consent_is_in_force_as_the_rules_say_in_many_cases(module_database: Database, **case: Any) -> None:
    """
    The same, for as many cases as a night has time for.
    """
    compare(module_database, **case)


CASES = [
    ("2024-02-29T12:00", {"relation": "purchase"}, [], "2026-02-28T12:00"),
    ("2024-02-28T12:00", {"relation": "purchase"}, [], "2026-02-28T12:00"),
    ("2022-02-28T00:00", {"relation": "donation"}, [], "2024-02-28T00:00"),
    ("2023-08-31T23:59", {"relation": "inquiry"}, [], "2024-02-29T23:59"),
    ("2024-08-31T10:00", {}, [], "2025-02-28T10:00"),
    ("2024-01-31T10:00", {"relation": "inquiry"}, ["2024-02-29T08:00"], "2026-02-28T08:00"),
    ("2024-01-31T10:00", {"relation": "purchase"}, ["2024-01-31T09:59"], "2026-01-31T10:00"),
    ("2024-01-31T10:00", {"relation": "purchase"}, ["2025-05-31T10:00", "2024-06-30T10:00"], "2027-05-31T10:00"),
]


@pytest.mark.parametrize(("captured", "proof", "bought", "end"), CASES)
def test_implied_consent_ends_on_its_very_day(
    module_database: Database, captured: str, proof: dict[str, str], bought: list[str], end: str
) -> None:
    """
    Two years after a purchase, six months after an inquiry, leap days and new purchases considered: the last
    microsecond before still counts, the instant itself no longer does (S-5.6).
    """
    ends = datetime.fromisoformat(end).replace(tzinfo=UTC)
    with module_database.engine.connect() as connection:
        person = factories.make_customer(connection, country="CA")
        captured_at = datetime.fromisoformat(captured).replace(tzinfo=UTC)
        factories.make_consent(connection, person, basis="implied", proof=proof, captured_at=captured_at)
        for each in bought:
            factories.make_purchase(connection, person, ordered_at=datetime.fromisoformat(each).replace(tzinfo=UTC))
        answers = asked(connection, person, [ends - TICK, ends], Policy())
        connection.rollback()

    assert [None, "consent_expired"] == answers


def test_a_new_purchase_counts_at_once_and_a_withdrawal_still_ends_it(module_database: Database) -> None:
    """
    A consent that had ended comes back with the next order, and no order brings back who has said no.
    """
    now = datetime(2026, 3, 2, tzinfo=UTC)
    with module_database.engine.connect() as connection:
        person = factories.make_customer(connection, country="CA")
        factories.make_consent(connection, person, basis="implied", captured_at=now - timedelta(days=900))
        answers = asked(connection, person, [now], Policy())
        factories.make_purchase(connection, person, ordered_at=now)
        answers += asked(connection, person, [now], Policy())
        factories.make_consent(connection, person, basis="implied", state="withdrawn", captured_at=now)
        factories.make_purchase(connection, person, ordered_at=now + TICK)
        answers += asked(connection, person, [now + timedelta(days=1)], Policy())
        connection.rollback()

    assert ["consent_expired", None, "not_consented"] == answers


def test_country_is_that_of_today(module_database: Database) -> None:
    """
    Who moves is under the rules of the new country from then on.
    """
    now = datetime(2026, 3, 2, tzinfo=UTC)
    with module_database.engine.connect() as connection:
        person = factories.make_customer(connection, country="US")
        factories.make_consent(connection, person, basis="legitimate_interest", captured_at=now)
        before = asked(connection, person, [now], Policy())
        connection.execute(customer.update().where(customer.c.id == person).values(country="DE"))
        after = asked(connection, person, [now], Policy())
        connection.rollback()

    assert ([None], ["basis_not_enough"]) == (before, after)
