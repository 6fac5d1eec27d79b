"""Who of an audience could not be written to at once: what a plan says of caps and quiet hours.

A campaign that drops capped people skips them when its audience is frozen; the others are held when their time comes,
and skipped when they would have to wait longer than they may.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import CTE, ColumnElement, Connection, DateTime, Select, Text, case, cast, func, literal, select

from campaigns import duplicates, turns
from campaigns.putting_off import waits_for_caps
from campaigns.timing import first_instant, in_recipient_zone, instants_by_zone
from campaigns.versions import Version
from core.open_cases import open_case_since
from core.schema import customer, preference
from suppression.caps import Rules
from suppression.care import OPEN_CASE
from suppression.contacts import Ahead
from suppression.policy import Policy
from suppression.pressure import FREQUENCY_CAP, has_wishes
from suppression.quiet_hours import QUIET_HOURS, QUIET_TOO_LONG, QuietHours

#: Where everybody has their own hour, the last zone's comes so long after the first one's.
_ROUND_THE_WORLD: Final = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would become of messages that nothing forbids: heads by reason."""

    held: Mapping[str, int]  # wait at first
    skipped_later: Mapping[str, int]  # have to wait longer than they may


def drops(version: Version, policy: Policy) -> bool:
    """The campaign skips whom a cap holds when its audience is frozen."""
    return waits_for_caps(version, policy) is None


def dropped(version: Version, now: datetime, policy: Policy, ahead: Sequence[Ahead] = ()) -> ColumnElement[str | None]:
    """SQL, for a row of `customer`: `frequency_cap` for whom the campaign skips for that, whoever else is in it.

    `ahead`: what campaigns that are planned together with this one will have sent.
    """
    if not drops(version, policy):
        return literal(None, Text)
    free_at = _free_at(version, policy, _last_start(version, now), ahead)
    return case((free_at.is_not(None), literal(FREQUENCY_CAP)))


def dropped_in_turn(rows: CTE, version: Version, now: datetime, policy: Policy, ahead: Sequence[Ahead] = ()) -> CTE:
    """`rows` (customer_id, address_key, skip_reason) of such a campaign, in which those are skipped, too, for whom the
    others leave no room."""
    if not drops(version, policy) or not turns.levels(version, policy):
        return rows
    free = select(*_of(rows), cast(None, DateTime(timezone=True)).label("free_at")).cte("free")
    found = turns.in_turn(free, version, policy, _last_start(version, now), ahead)
    reason = case((found.c.free_at.is_not(None), literal(FREQUENCY_CAP)), else_=found.c.skip_reason)
    return select(found.c.customer_id, found.c.address_key, reason.label("skip_reason")).cte("dropped")


def depends_on(customer_id: int, version: Version, policy: Policy) -> ColumnElement[bool]:
    """SQL over `customer`: everybody on whom it depends what is decided about this one."""
    shared = {*duplicates.LEVELS[duplicates.one_per(version, policy)], *turns.levels(version, policy)}
    return duplicates.twins_of(customer_id, shared)


def _free_at(version: Version, policy: Policy, at: datetime, ahead: Sequence[Ahead]) -> ColumnElement[Any]:
    """SQL: when caps, or their own wish, let a message to the customer go; NULL: at that time."""
    message = turns.pressed(customer, version, policy.pressure, at, ahead)
    # Whether anybody wishes is asked once a statement, not once a person.
    anybody = select(preference.c.customer_id).where(preference.c.most_messages.is_not(None)).exists()
    wishing = case((select(anybody).scalar_subquery(), message.free_at(Rules(), wishes=True)))
    if not policy.pressure.about(version.definition.consent_topic):
        return wishing
    return func.greatest(message.free_at(policy.pressure, wishes=False), wishing)


def may_hold(connection: Connection, version: Version, policy: Policy) -> bool:
    """Whether anything could hold messages of the version; where nothing can, nobody is asked about."""
    topic = version.definition.consent_topic
    rules = policy.pressure.about(topic) or policy.quiet_hours or policy.care.waits_for_cases(topic)
    return bool(rules) or has_wishes(connection)


def asked(rows: CTE, version: Version, now: datetime, policy: Policy, ahead: Sequence[Ahead] = ()) -> Select[Any]:
    """SQL: the decided `rows` with what `forecast` is told by: few different values."""
    at, quiet = _start(version, now), policy.quiet_hours
    free_at: ColumnElement[Any] = cast(None, DateTime(timezone=True))
    if not drops(version, policy):  # who drops capped people has left them out already
        own = case((rows.c.skip_reason.is_(None), _free_at(version, policy, at, ahead))).label("free_at")
        free = select(*_of(rows), own).join_from(rows, customer, customer.c.id == rows.c.customer_id).cte("free")
        rows = turns.in_turn(free.prefix_with("MATERIALIZED"), version, policy, at, ahead)
        free_at = rows.c.free_at
    columns = [_reason(version, policy, at, free_at), free_at > _deadline(version, now, policy)]
    if quiet is not None:
        columns += [customer.c.zone, customer.c.country, customer.c.attributes[quiet.subdivision].astext]
    told = [
        case((rows.c.skip_reason.is_(None), column)).label(f"hold_{name}")
        for name, column in zip(("reason", "ends_late", "zone", "country", "part"), columns, strict=False)
    ]
    return select(*_of(rows), *told).join_from(rows, customer, customer.c.id == rows.c.customer_id)


def forecast(groups: Sequence[Any], version: Version, now: datetime, policy: Policy) -> Forecast:
    """What becomes of those whom nothing forbids when their time comes.

    `groups`: `heads` for each combination of what `asked` tells by.
    """
    held: Counter[str] = Counter()
    later: Counter[str] = Counter()
    at = instants_by_zone(version, {row.hold_zone for row in groups}, now) if policy.quiet_hours and groups else {}
    over_at = _over_at(version, max(at.values(), default=now))
    for row in groups:
        quiet_until = _quiet_until(policy.quiet_hours, row, at[row.hold_zone]) if policy.quiet_hours else None
        if quiet_until is not None and over_at is not None and quiet_until > over_at:
            later[QUIET_TOO_LONG] += row.heads
        elif quiet_until is not None:
            held[QUIET_HOURS] += row.heads
        elif row.hold_reason == FREQUENCY_CAP and row.hold_ends_late:
            later[FREQUENCY_CAP] += row.heads
        elif row.hold_reason is not None:
            held[row.hold_reason] += row.heads
    return Forecast(dict(held.most_common()), dict(later.most_common()))


def forecast_of(
    connection: Connection, rows: CTE, customer_id: int, version: Version, now: datetime, policy: Policy
) -> Forecast:
    """The same for this one of the decided `rows` alone."""
    people = asked(rows, version, now, policy).add_columns(literal(1).label("heads"))
    mine = connection.execute(people.where(customer.c.id == customer_id)).all()
    return forecast(mine, version, now, policy)


def _of(rows: CTE) -> list[ColumnElement[Any]]:
    return [rows.c.customer_id, rows.c.address_key, rows.c.skip_reason]


def _start(version: Version, now: datetime) -> datetime:
    return first_instant(version, now) or now


def _last_start(version: Version, now: datetime) -> datetime:
    """When the last of those whose messages go at their own hour has had it."""
    start = _start(version, now)
    return start + _ROUND_THE_WORLD if in_recipient_zone(version) else start


def _over_at(version: Version, last: datetime) -> datetime | None:
    """Until when messages may go, the last of which is planned for that time."""
    valid_for = version.definition.limits.valid_for
    return None if valid_for is None else last + valid_for


def _deadline(version: Version, now: datetime, policy: Policy) -> datetime:
    """Until when a message that a cap holds at its time may wait."""
    waits, over_at = waits_for_caps(version, policy), _over_at(version, _last_start(version, now))
    deadline = _start(version, now) + (waits or timedelta(0))
    return deadline if over_at is None else min(deadline, over_at)


def _reason(version: Version, policy: Policy, at: datetime, free_at: ColumnElement[Any]) -> ColumnElement[str | None]:
    """SQL: what would hold a message to the customer at that time, quiet hours aside."""
    capped = case((free_at.is_not(None), literal(FREQUENCY_CAP, Text)))
    if policy.care.cases is None or not policy.care.waits_for_cases(version.definition.consent_topic):
        return capped
    is_open = open_case_since(customer.c.id, policy.care.cases, at).is_not(None)
    return case((is_open, literal(OPEN_CASE)), else_=capped)


def _quiet_until(quiet: QuietHours, row: Any, at: datetime) -> datetime | None:
    place = quiet.place(row.hold_zone, row.hold_country, {quiet.subdivision: row.hold_part})
    return quiet.until(place, at)
