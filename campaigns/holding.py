"""Who of an audience could not be written to at once: what a plan says of caps and quiet hours.

A campaign that drops capped people skips them when its audience is frozen; the others are held when their time comes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, FromClause, Text, case, func, literal, select

from campaigns.putting_off import waits_for_caps
from campaigns.timing import first_instant, in_recipient_zone, instants_by_zone
from campaigns.versions import Version
from core.schema import customer, preference
from suppression.caps import Rules
from suppression.care import OPEN_CASE, open_case_since
from suppression.contacts import Ahead, Pressed, moments
from suppression.policy import Policy
from suppression.pressure import has_wishes, hold_reason
from suppression.quiet_hours import QUIET_HOURS, QuietHours

#: Where everybody has their own hour, the last zone's comes so long after the first one's.
_ROUND_THE_WORLD: Final = timedelta(hours=26)
#: A message that is not in the ledger.
_NOBODYS: Final = -1


def dropped(version: Version, now: datetime, policy: Policy, ahead: Sequence[Ahead] = ()) -> ColumnElement[str | None]:
    """SQL, for a row of `customer`: `frequency_cap` for whom the campaign skips for that.

    `ahead`: what campaigns that are planned together with this one will have sent.
    """
    if waits_for_caps(version, policy) is not None:
        return literal(None, Text)
    starts_at = first_instant(version, now) or now
    at = starts_at + _ROUND_THE_WORLD if in_recipient_zone(version) else starts_at
    return _capped(version, policy, at, ahead)


def _capped(version: Version, policy: Policy, at: datetime, ahead: Sequence[Ahead]) -> ColumnElement[str | None]:
    """SQL: `frequency_cap` for the customer whom a cap, or their own wish, would hold at that time."""
    topic, priority = version.definition.consent_topic, version.definition.limits.priority
    nobodys, at_moments = literal(_NOBODYS, BigInteger), moments(policy.pressure, at)
    pressed = Pressed(customer, nobodys, topic, priority, at_moments, ahead=tuple(ahead))

    # Whether anybody wishes is asked once a statement, not once a person.
    anybody = select(preference.c.customer_id).where(preference.c.most_messages.is_not(None)).exists()
    wishing = case((select(anybody).scalar_subquery(), hold_reason(pressed, rules=Rules(), wishes=True)))
    if not policy.pressure.about(topic):
        return wishing
    return func.coalesce(hold_reason(pressed, rules=policy.pressure, wishes=False), wishing)


def may_hold(connection: Connection, version: Version, policy: Policy) -> bool:
    """Whether anything could hold messages of the version; where nothing can, nobody is asked about."""
    topic = version.definition.consent_topic
    rules = policy.pressure.about(topic) or policy.quiet_hours or policy.care.waits_for_cases(topic)
    return bool(rules) or has_wishes(connection)


def columns(
    people: FromClause, version: Version, now: datetime, policy: Policy, ahead: Sequence[Ahead] = ()
) -> list[ColumnElement[Any]]:
    """SQL: what `held` is told by, for rows of the decided `people` joined to `customer`: few different values."""
    quiet = policy.quiet_hours
    asked = [_reason(version, policy, first_instant(version, now) or now, ahead)]
    if quiet is not None:
        asked += [customer.c.zone, customer.c.country, customer.c.attributes[quiet.subdivision].astext]
    names = ("reason", "zone", "country", "part")
    return [
        case((people.c.skip_reason.is_(None), column)).label(f"hold_{name}")
        for name, column in zip(names, asked, strict=False)
    ]


def held(rows: Sequence[Any], version: Version, now: datetime, policy: Policy) -> Mapping[str, int]:
    """How many of those whom nothing forbids would have to wait when their time comes, by the reason.

    `rows`: `heads` for each combination of `columns`.
    """
    found: Counter[str] = Counter()
    at = instants_by_zone(version, {row.hold_zone for row in rows}, now) if policy.quiet_hours else {}
    for row in rows:
        if policy.quiet_hours is not None and _is_quiet(policy.quiet_hours, row, at[row.hold_zone]):
            found[QUIET_HOURS] += row.heads
        elif row.hold_reason is not None:
            found[row.hold_reason] += row.heads
    return dict(found.most_common())


def hold_of(
    connection: Connection, people: FromClause, customer_id: int, version: Version, now: datetime, policy: Policy
) -> str | None:
    """What would hold the message to this one of the decided `people`; None: nothing."""
    asked = select(*columns(people, version, now, policy), literal(1).label("heads"))
    mine = asked.join_from(people, customer, customer.c.id == people.c.customer_id).where(customer.c.id == customer_id)
    return next(iter(held(connection.execute(mine).all(), version, now, policy)), None)


def _reason(version: Version, policy: Policy, at: datetime, ahead: Sequence[Ahead]) -> ColumnElement[str | None]:
    """SQL: what would hold a message to the customer at that time, quiet hours aside."""
    # A campaign that drops capped people has left them out already.
    capped: ColumnElement[str | None] = literal(None, Text)
    if waits_for_caps(version, policy) is not None:
        capped = _capped(version, policy, at, ahead)
    if policy.care.cases is None or not policy.care.waits_for_cases(version.definition.consent_topic):
        return capped
    is_open = open_case_since(customer.c.id, policy.care.cases, at).is_not(None)
    return case((is_open, literal(OPEN_CASE)), else_=capped)


def _is_quiet(quiet: QuietHours, row: Any, at: datetime) -> bool:
    place = quiet.place(row.hold_zone, row.hold_country, {quiet.subdivision: row.hold_part})
    return quiet.until(place, at) is not None
