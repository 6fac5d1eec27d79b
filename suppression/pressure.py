"""How often a person is written to, over all campaigns: frequency caps and the person's own wish (S-8.12).

A contact is a message that was handed over, whatever became of it, but for one that was refused for good: nobody got
that. Those of everybody who shares a person, household or company count together; customers at one address are one
person. Caps are exact although many workers send at once: whoever hands messages over takes `lock` first, in a
statement before the one that counts, and holds it until its own hand-over is committed.

Everything here is asked only where something is capped: `Rules.limits`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    FromClause,
    Interval,
    Select,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    text,
)

from core import schema
from core.arrays import Ids
from core.units import local_instant

if TYPE_CHECKING:
    from core.settings import Settings

#: Hold reason of a message that waits for a cap, and skip reason of one that does not, or did for too long.
FREQUENCY_CAP: Final = "frequency_cap"
#: States of messages that were handed over, but for refused ones.
_CONTACTED: Final = ("handed_over", "accepted", "unknown", "delivered", "bounced", "complained")
_INSTANT: Final = DateTime(timezone=True)


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `most` messages `within` a length of time, or in `each` day, week or month."""

    name: str
    most: int
    within: timedelta | None
    each: str | None
    of: str  # person, household or company
    topic: str | None
    channel: str | None
    reserve: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The caps of one workspace, and what becomes of messages of campaigns that do not say."""

    caps: tuple[Cap, ...] = ()
    defer: timedelta | None = None  # how long a capped message waits; None: it is skipped
    zone: str = "UTC"  # of days, weeks and months

    @classmethod
    def of(cls, settings: "Settings") -> "Rules":
        """The rules of the settings."""
        pressure = settings.pressure
        caps = tuple(Cap(name, **dict(cap)) for name, cap in pressure.caps.items())
        defer = None if pressure.when_capped == "drop" else pressure.when_capped.defer
        return cls(caps, defer, settings.organisation.zone)

    def about(self, topic: str, channel: str = "email") -> tuple[Cap, ...]:
        """The caps that may hold a message of this topic and channel."""
        return tuple(cap for cap in self.caps if cap.topic in (None, topic) and cap.channel in (None, channel))


@dataclass(frozen=True, slots=True)
class Capped:
    """A message that may not go before `free_at`. `held_at`: since when it waits; None: never did."""

    message_id: int
    held_at: datetime | None
    free_at: datetime


def period(each: str, zone: str, now: datetime) -> tuple[datetime, datetime]:
    """The first instants (UTC) of the present day, week (from Monday) or month in `zone`, and of the next one."""
    today = now.astimezone(ZoneInfo(zone)).date()
    if each == "month":
        first = today.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
    else:
        first = today - timedelta(days=today.weekday() if each == "week" else 0)
        following = first + timedelta(days=7 if each == "week" else 1)
    return _midnight(first, zone), _midnight(following, zone)


def _midnight(day: date, zone: str) -> datetime:
    return local_instant(datetime.combine(day, time()), zone).astimezone(UTC)


def periods(rules: Rules, now: datetime) -> dict[str, datetime]:
    """The values of the parameters that `free_at` names for calendar caps."""
    given: dict[str, datetime] = {}
    for each in {cap.each for cap in rules.caps if cap.each is not None}:
        given[f"{each}_first"], given[f"{each}_next"] = period(each, rules.zone, now)
    return given


# --- the expression ------------------------------------------------------------------------------------------


def hold_reason(
    person: FromClause,
    message_id: Any,
    *,
    rules: Rules,
    topic: str,
    priority: int,
    wishes: bool,
    channel: str = "email",
) -> ColumnElement[str | None]:
    """SQL: `frequency_cap` for a message that may not go now; NULL for one that may. See `free_at`."""
    free = free_at(person, message_id, rules=rules, topic=topic, priority=priority, wishes=wishes, channel=channel)
    return case((free.is_not(None), literal(FREQUENCY_CAP)))


def free_at(
    person: FromClause,
    message_id: Any,
    *,
    rules: Rules,
    topic: str,
    priority: int,
    wishes: bool,
    channel: str = "email",
) -> ColumnElement[datetime | None]:
    """SQL, for a row of `person` (customer or an alias): when the bulk message may go at the earliest; NULL: now.

    `message_id` names the message, which does not count against itself. Messages that wait count as well, when their
    run has a higher priority and their time falls into the period. `wishes`: whether anybody's preference is asked.
    Parameters: `now`, and those of `periods`.
    """
    found: list[ColumnElement[Any]] = []
    for cap in rules.about(topic, channel):
        found.append(_of_cap(person, message_id, cap, priority, cap.most, bulk_only=False))
        if cap.reserve:
            found.append(_of_cap(person, message_id, cap, priority, cap.most - cap.reserve, bulk_only=True))
    if wishes:
        found.append(_of_wishes(person, message_id, priority))
    if not found:
        return cast(None, _INSTANT)
    return func.greatest(*found) if len(found) > 1 else found[0]


def _now() -> ColumnElement[datetime]:
    return bindparam("now", type_=_INSTANT)


def _of_cap(
    person: FromClause, message_id: Any, cap: Cap, priority: int, most: int, *, bulk_only: bool
) -> ColumnElement[Any]:
    """When the contact that leaves one place free leaves the period; NULL when there are fewer contacts."""
    contacts = _Contacts(person, message_id, cap.of, priority, cap.topic, bulk_only or cap.topic is not None)
    if cap.within is not None:
        length = literal(cap.within, Interval)
        return contacts.nth(literal(most), contacts.at > _now() - length, _now() + length, contacts.at + length)
    first, following = (bindparam(f"{cap.each}_{which}", type_=_INSTANT) for which in ("first", "next"))
    return contacts.nth(literal(most), contacts.at >= first, following, following)


def _of_wishes(person: FromClause, message_id: Any, priority: int) -> ColumnElement[Any]:
    """The same for what the person asked for, under any of the names we know them by; all bulk mail counts."""
    wish = schema.preference.alias("wish")
    contacts = _Contacts(person, message_id, "person", priority, None, bulk_only=True)
    length = wish.c.most_within
    free = contacts.nth(wish.c.most_messages, contacts.at > _now() - length, _now() + length, contacts.at + length)
    asked = wish.c.customer_id.in_(_together(person, "person")) & wish.c.most_messages.is_not(None)
    return select(func.max(free)).select_from(wish).where(asked).correlate_except(wish).scalar_subquery()


class _Contacts:
    """SQL: the contacts of everybody who is counted with `person`, and the messages that go first."""

    def __init__(
        self, person: FromClause, message_id: Any, of: str, priority: int, topic: str | None, bulk_only: bool
    ) -> None:
        self._message, self._run = schema.message.alias("contact"), schema.run.alias("pressing")
        self._version = schema.campaign_version.alias("pressing_version")
        self._priority, self._topic, self._bulk_only = priority, topic, bulk_only
        contact = self._message.c
        self._counted = contact.customer_id.in_(_together(person, of)) & (contact.id != message_id)
        self.at = case(
            (contact.state == "planned", func.greatest(contact.not_before, _now())),
            else_=func.coalesce(contact.accepted_at, contact.state_at),
        )

    def nth(
        self,
        place: ColumnElement[Any],
        since: ColumnElement[bool],
        until: ColumnElement[Any],
        found: ColumnElement[Any],
    ) -> ColumnElement[Any]:
        """`found` of the contact at this place, the newest first; NULL when there are fewer."""
        query = select(found).join_from(self._message, self._run, self._run.c.id == self._message.c.run_id)
        if self._bulk_only:
            query = query.join(self._version, self._version.c.id == self._run.c.version_id)
            query = query.where(self._version.c.message_class == "bulk")
        if self._topic is not None:
            query = query.where(self._version.c.topic == self._topic)
        query = query.where(self._counted, self._went() | self._goes_first(until), since)
        ordered = query.order_by(self.at.desc()).offset(place - 1).limit(1)
        return ordered.correlate_except(self._message, self._run, self._version).scalar_subquery()

    def _went(self) -> ColumnElement[bool]:
        contact = self._message.c
        return contact.state.in_(_CONTACTED) | ((contact.state == "deferred") & (contact.attempt_count > 0))

    def _goes_first(self, until: ColumnElement[Any]) -> ColumnElement[bool]:
        contact, run = self._message.c, self._run.c
        return and_(
            contact.state == "planned",
            run.priority > self._priority,
            run.state == "running",
            contact.not_before < until,
        )


def _together(person: FromClause, of: str) -> Select[Any]:
    """SQL: the customers counted with this one."""
    other = schema.customer.alias("other")
    same = [other.c.id == person.c.id]
    if of == "company":
        same.append(func.lower(other.c.company) == func.nullif(func.lower(person.c.company), ""))
    elif of == "household":
        same.append(other.c.household == func.nullif(person.c.household, ""))
    same += [other.c.person == func.nullif(person.c.person, ""), other.c.address_key == person.c.address_key]
    return select(other.c.id).where(or_(*same)).correlate_except(other)


# --- asked of messages -----------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _asked(rules: Rules, topic: str, priority: int, wishes: bool) -> Select[Any]:
    free = free_at(
        schema.customer, schema.message.c.id, rules=rules, topic=topic, priority=priority, wishes=wishes
    ).label("free_at")
    query = select(schema.message.c.id, schema.message.c.held_at, free).join(
        schema.customer, schema.customer.c.id == schema.message.c.customer_id
    )
    return query.where(schema.message.c.id == any_(bindparam("ids", type_=Ids)))


def held_back(
    connection: Connection, message_ids: Sequence[int], *, rules: Rules, topic: str, priority: int, wishes: bool,
    now: datetime,
) -> list[Capped]:  # fmt: skip
    """Those of the bulk messages that may not go now."""
    given = {"ids": list(message_ids), "now": now} | periods(rules, now)
    rows = connection.execute(_asked(rules, topic, priority, wishes), given)
    return [Capped(*row) for row in rows if row.free_at is not None]


def limited(connection: Connection, message_ids: Sequence[int], *, rules: Rules, wishes: bool) -> frozenset[int]:
    """Those of the messages whose recipients something limits: all where there are caps, else who has a wish."""
    if rules.caps or not wishes:
        return frozenset(message_ids if rules.caps else ())
    return frozenset(connection.execute(_WISHING, {"ids": list(message_ids)}).scalars())


def has_wishes(connection: Connection) -> bool:
    """Whether anybody said how often they want to be written to."""
    wishing = select(schema.preference.c.customer_id).where(schema.preference.c.most_messages.is_not(None))
    return bool(connection.execute(select(wishing.exists())).scalar())


_WISHING: Final = (
    select(schema.message.c.id)
    .join(schema.customer, schema.customer.c.id == schema.message.c.customer_id)
    .join(schema.preference, schema.preference.c.customer_id.in_(_together(schema.customer, "person")))
    .where(schema.message.c.id == any_(bindparam("ids", type_=Ids)), schema.preference.c.most_messages.is_not(None))
)
# Sorted in one statement: two workers that want the same locks take them in the same order.
_LOCK: Final = text("""
    WITH wanted AS MATERIALIZED (
        SELECT m.id, k.key FROM message AS m JOIN customer AS c ON c.id = m.customer_id
        CROSS JOIN LATERAL (VALUES
            (hashtextextended('address:' || c.address_key, 0)),
            (hashtextextended('person:' || nullif(c.person, ''), 0)),
            (CASE WHEN :households THEN hashtextextended('household:' || nullif(c.household, ''), 0) END),
            (CASE WHEN :companies THEN hashtextextended('company:' || nullif(lower(c.company), ''), 0) END)
        ) AS k (key)
        WHERE m.id = ANY(:ids) AND k.key IS NOT NULL
    ), locked AS MATERIALIZED (
        SELECT pg_advisory_xact_lock(key) FROM (SELECT DISTINCT key FROM wanted ORDER BY key OFFSET 0) AS sorted
    )
    SELECT wanted.id, wanted.key FROM wanted WHERE (SELECT count(*) FROM locked) >= 0 ORDER BY wanted.id
""").bindparams(bindparam("ids", type_=Ids))


def lock(connection: Connection, message_ids: Sequence[int], *, rules: Rules) -> Mapping[int, Collection[int]]:
    """Nobody else hands over to those who are counted with the recipients until this transaction ends; the keys locked
    for each message are returned.

    In a statement of its own: what the next one counts includes what was committed before the locks were had.
    """
    sharing = {cap.of for cap in rules.caps}
    given = {"ids": list(message_ids), "households": "household" in sharing, "companies": "company" in sharing}
    keys: dict[int, set[int]] = {}
    for message_id, key in connection.execute(_LOCK, given):
        keys.setdefault(message_id, set()).add(key)
    return keys
