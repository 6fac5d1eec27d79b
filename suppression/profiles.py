"""Whether a yes is enough for the country the customer lives in: its basis, its confirmation, its evidence, its end.

The plain case, a consent where nothing asks for its confirmation, is decided by the row alone. For any other row the
database's function `consent_flaw` looks up the customer's country and, where an implied consent ends by itself, the
last purchase. The rules are handed to it as one value: a window's statement has to stay short (`campaigns.window`).
"""

import json
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, Text, and_, case, cast, func, literal
from sqlalchemy.dialects.postgresql import JSONB

from core.consent_settings import STRICT, Profile
from suppression.policy import Policy

#: A moment, or a parameter of a statement that is compiled once and asked many times.
Instant = datetime | BindParameter[datetime]

#: The states of a consent row that say yes.
GIVEN: Final = ("granted", "confirmed")
#: The state of one that waits for confirmation: it says nothing yet, and takes nothing back.
REQUESTED: Final = "requested"

NOT_CONSENTED: Final = "not_consented"
CONSENT_EXPIRED: Final = "consent_expired"
#: `consent_flaw` says these two as well.
NOT_CONFIRMED: Final = "not_confirmed"
BASIS_NOT_ENOUGH: Final = "basis_not_enough"
#: Nothing is wrong with the row.
ENOUGH: Final = ""


def constant(words: str) -> ColumnElement[str]:
    """The words as part of a statement's text: short, and known to the planner."""
    return literal(words, Text, literal_execute=True)


def flaw(word: Any, *, topic: str, now: Instant, policy: Policy) -> ColumnElement[str]:
    """SQL: why the row of `word` (an alias of consent) is no yes to `topic`; `ENOUGH` when it is one."""
    wants_confirmed = topic in policy.confirmed_topics
    is_plain = word.c.basis == constant("consent")
    if wants_confirmed or any(profile.confirmed for profile in policy.profiles):
        is_plain = and_(is_plain, word.c.state == constant("confirmed"))
    rules = cast(literal(_rules(policy, all_confirmed=wants_confirmed), Text), JSONB)
    return case(
        (word.c.state == constant("withdrawn"), constant(NOT_CONSENTED)),
        (is_plain, case((word.c.expires_at <= now, constant(CONSENT_EXPIRED)), else_=constant(ENOUGH))),
        else_=func.consent_flaw(word.table_valued(), rules, now),
    )


@lru_cache(maxsize=64)
def _rules(policy: Policy, *, all_confirmed: bool) -> str:
    """The profiles as `consent_flaw` reads them: `of` tells the profile of a country, and each profile what it wants
    of every basis it takes: `confirmed`, `evidence` (of a soft opt-in, S-5.9), `firm` (only firms may be written to on
    this basis), `ending` (it ends some months on, S-5.6)."""

    def wants(profile: Profile, basis: str) -> dict[str, bool]:
        wanted = {
            "confirmed": all_confirmed or profile.confirmed,
            "evidence": basis in profile.proven_bases,
            "firm": basis not in profile.bases,
            "ending": profile.ends_implied and basis in ("implied", "contract"),
        }
        return {name: True for name, is_wanted in wanted.items() if is_wanted}

    profiles = {
        each.name: {basis: wants(each, basis) for basis in (*each.corporate_bases, *each.bases)}
        for each in policy.profiles
    }
    of = {country: each.name for each in policy.profiles for country in each.countries}
    return json.dumps({"of": of, "else": STRICT, "profiles": profiles}, separators=(",", ":"))
