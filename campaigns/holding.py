"""Who of an audience could not be written to at once: what a plan says of caps and quiet hours.

A campaign that drops capped people skips them when its audience is frozen; the others are held when their time comes.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import CTE, BigInteger, ColumnElement, Connection, Text, case, func, literal, select

from campaigns.putting_off import waits_for_caps
from campaigns.timing import first_instant, in_recipient_zone, instants_by_zone
from campaigns.versions import Version
from core.schema import customer, preference
from suppression.care import OPEN_CASE, open_case_since
from suppression.contacts import Pressed, moments
from suppression.policy import Policy
from suppression.pressure import has_wishes, hold_reason
from suppression.quiet_hours import QUIET_HOURS, QuietHours

#: Where everybody has their own hour, the last zone's comes so long after the first one's.
_ROUND_THE_WORLD: Final = timedelta(hours=26)
#: A message that is not in the ledger.
_NOBODYS: Final = -1


def dropped(version: Version, now: datetime, policy: Policy) -> ColumnElement[str | None]:
    """SQL, for a row of `customer`: `frequency_cap` for whom the campaign skips for that."""
    if waits_for_caps(version, policy) is not None:
        return literal(None, Text)
    starts_at = first_instant(version, now) or now
    return _capped(version, policy, starts_at + _ROUND_THE_WORLD if in_recipient_zone(version) else starts_at)


def _capped(version: Version, policy: Policy, at: datetime) -> ColumnElement[str | None]:
    """SQL: `frequency_cap` for the customer whom a cap, or their own wish, would hold at that time."""
    topic, priority = version.definition.consent_topic, version.definition.limits.priority
    pressed = Pressed(customer, literal(_NOBODYS, BigInteger), topic, priority, moments(policy.pressure, at))

    def asked(*, wishes: bool) -> ColumnElement[str | None]:
        return hold_reason(pressed, rules=policy.pressure, wishes=wishes)

    # Asked once a statement, not once a person.
    anybody_wishes = select(preference.c.customer_id).where(preference.c.most_messages.is_not(None)).exists()
    wishing = case((select(anybody_wishes).scalar_subquery(), asked(wishes=True)))
    return func.coalesce(asked(wishes=False), wishing) if policy.pressure.about(topic) else wishing


def held(connection: Connection, version: Version, people: CTE, now: datetime, policy: Policy) -> Mapping[str, int]:
    """How many of the decided `people` whom nothing forbids would have to wait when their time comes, by the reason."""
    if not (_is_configured(version, policy) or has_wishes(connection)):
        return {}
    starts_at = first_instant(version, now) or now
    quiet = policy.quiet_hours
    reason = _reason(version, policy, starts_at)
    place = [customer.c.zone, customer.c.country, customer.c.attributes[quiet.subdivision].astext] if quiet else []
    names = ("reason", "zone", "country", "part")
    columns = [column.label(name) for name, column in zip(names, [reason, *place], strict=False)]
    query = select(*columns, func.count().label("heads")).join_from(
        people, customer, customer.c.id == people.c.customer_id
    )
    rows = connection.execute(query.where(people.c.skip_reason.is_(None)).group_by(*columns)).all()
    found: Counter[str] = Counter()
    at = instants_by_zone(version, {row.zone for row in rows}, now) if quiet else {}
    for row in rows:
        if quiet is not None and _is_quiet(quiet, row, at[row.zone]):
            found[QUIET_HOURS] += row.heads
        elif row.reason is not None:
            found[row.reason] += row.heads
    return dict(found.most_common())


def _is_configured(version: Version, policy: Policy) -> bool:
    topic = version.definition.consent_topic
    return bool(policy.pressure.about(topic) or policy.quiet_hours or policy.care.waits_for_cases(topic))


def _reason(version: Version, policy: Policy, at: datetime) -> ColumnElement[str | None]:
    """SQL: what would hold a message to the customer at that time, quiet hours aside."""
    capped = _capped(version, policy, at)
    if policy.care.cases is None or not policy.care.waits_for_cases(version.definition.consent_topic):
        return capped
    is_open = open_case_since(customer.c.id, policy.care.cases, at).is_not(None)
    return case((is_open, literal(OPEN_CASE)), else_=capped)


def _is_quiet(quiet: QuietHours, row: Any, at: datetime) -> bool:
    return quiet.until(quiet.place(row.zone, row.country, {quiet.subdivision: row.part}), at) is not None
