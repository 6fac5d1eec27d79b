"""SQL: when a person may be written to again, counted from the messages they were handed.

A contact is a message that was handed over, whatever became of it, but for one that was refused for good: nobody got
that. Those of everybody who shares a person, household or company count together; customers at one address are one
person, and so is a customer whom we know by several.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
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
)

from core import schema
from suppression.caps import Cap, Rules, periods

_INSTANT: Final = DateTime(timezone=True)
#: States of messages that were handed over, but for refused ones.
_CONTACTED: Final = ("handed_over", "accepted", "unknown", "delivered", "bounced", "complained")

# A name for a table costs a copy of all its columns: made once, not with each statement.
_CONTACT: Final = schema.message.alias("contact")
_RUN: Final = schema.run.alias("pressing")
_VERSION: Final = schema.campaign_version.alias("pressing_version")
_FORBIDS: Final = schema.suppression.alias("forbids")
_FORBIDDEN_VERSION: Final = schema.campaign_version.alias("forbidden_version")
_WISH: Final = schema.preference.alias("wish")
_OTHER: Final = schema.customer.alias("other")
_KNOWN: Final = schema.customer.alias("known")
_FORMER: Final = schema.customer_address.alias("former")

#: A priority that nobody's is above: what is planned leaves its place to such a message.
FIRST: Final = (1 << 15) - 1

Moments = Mapping[str, ColumnElement[datetime]]


def parameters(rules: Rules) -> Moments:
    """The moments that the expression names, as parameters; `values` of `now` are given with each execution."""
    names = ["now", *(f"{each}_{which}" for each in _calendars(rules) for which in ("first", "next"))]
    return {name: bindparam(name, type_=_INSTANT) for name in names}


def values(rules: Rules, now: datetime) -> dict[str, datetime]:
    """The values of `parameters` at `now`."""
    given = {"now": now}
    for each in _calendars(rules):
        given[f"{each}_first"], given[f"{each}_next"] = periods(each, rules.zone, now)
    return given


def moments(rules: Rules, now: datetime) -> Moments:
    """The same for a statement that is put together for this `now`."""
    return {name: literal(value, _INSTANT) for name, value in values(rules, now).items()}


def _calendars(rules: Rules) -> set[str]:
    return {cap.each for cap in rules.caps if cap.each is not None}


@dataclass(frozen=True)
class Ahead:
    """Messages that are planned together with others and not in the ledger: one for each `customer_id` of `people`."""

    people: FromClause
    topic: str
    priority: int
    starts_at: datetime


@dataclass(frozen=True)
class Pressed:
    """One bulk message that is to go to `person`, a row of customer or of an alias.

    Of other runs' messages that wait, and of those `ahead`, those of a higher `priority` go first; so do as many of its
    own run's as `before` says. `message_id` does not count against itself.
    """

    person: FromClause
    message_id: Any
    topic: str
    priority: int
    moments: Moments
    channel: str = "email"
    ahead: tuple[Ahead, ...] = ()
    before: ColumnElement[int] | None = None

    def free_at(self, rules: Rules, *, wishes: bool) -> ColumnElement[datetime | None]:
        """When it may go at the earliest; NULL: now. `wishes`: whether people's preferences are asked."""
        found = [part for cap in rules.about(self.topic, self.channel) for part in self._of_cap(cap)]
        if wishes:
            found.append(self._of_wishes())
        if not found:
            return cast(None, _INSTANT)
        return func.greatest(*found) if len(found) > 1 else found[0]

    def _of_cap(self, cap: Cap) -> list[ColumnElement[Any]]:
        """When enough contacts have left the cap's period; NULL when there are fewer of them."""
        asked = [(cap.most, False)] if not cap.reserve else [(cap.most, False), (cap.most - cap.reserve, True)]
        return [self._nth_of_cap(cap, most, bulk_only=bulk_only) for most, bulk_only in asked]

    def _nth_of_cap(self, cap: Cap, most: int, *, bulk_only: bool) -> ColumnElement[Any]:
        contacts = _Contacts(self, cap.of, cap.topic, bulk_only=bulk_only or cap.topic is not None)
        if cap.within is not None:
            return contacts.nth_within(literal(most), literal(cap.within, Interval))
        first, following = (self.moments[f"{cap.each}_{which}"] for which in ("first", "next"))
        return contacts.nth(literal(most), contacts.at >= first, following, following)

    def _of_wishes(self) -> ColumnElement[Any]:
        """The same for what the person asked for, under any of the names we know them by; all bulk mail counts."""
        wish = _WISH.c
        free = _Contacts(self, "person", None, bulk_only=True).nth_within(wish.most_messages, wish.most_within)
        asked = wish.customer_id.in_(together(self.person, "person")) & wish.most_messages.is_not(None)
        return select(func.max(free)).select_from(_WISH).where(asked).correlate_except(_WISH).scalar_subquery()


class _Contacts:
    """The contacts of everybody who is counted with the person, and the messages that go first."""

    def __init__(self, pressed: Pressed, of: str, topic: str | None, *, bulk_only: bool) -> None:
        self._pressed, self._of, self._topic, self._bulk_only = pressed, of, topic, bulk_only
        self._now = pressed.moments["now"]
        contact = _CONTACT.c
        # A merge leaves the second message of a run without a name. Arrays, as two indexes are asked.
        named = contact.customer_id == any_(func.array(together(pressed.person, of).scalar_subquery()))
        theirs = contact.address_key == any_(func.array(_addresses(pressed.person, of).scalar_subquery()))
        self._counted = or_(named, contact.customer_id.is_(None) & theirs) & (contact.id != pressed.message_id)
        self.at: ColumnElement[datetime] = case(
            (contact.state == "planned", func.greatest(contact.not_before, self._now)),
            else_=func.coalesce(contact.accepted_at, contact.state_at),
        )

    def nth_within(self, place: ColumnElement[Any], length: ColumnElement[Any]) -> ColumnElement[Any]:
        """When the contact at this place, the newest first, is as long ago as that."""
        return self.nth(place, self.at > self._now - length, self._now + length, self.at + length)

    def nth(
        self,
        place: ColumnElement[Any],
        since: ColumnElement[bool],
        until: ColumnElement[Any],
        found: ColumnElement[Any],
    ) -> ColumnElement[Any]:
        """`found` of the contact at this place, the newest first; NULL when there are fewer."""
        query = select(found).join_from(_CONTACT, _RUN, _RUN.c.id == _CONTACT.c.run_id)
        if self._bulk_only:
            query = query.join(_VERSION, _VERSION.c.id == _RUN.c.version_id)
            query = query.where(_VERSION.c.message_class == "bulk")
        if self._topic is not None:
            query = query.where(_VERSION.c.topic == self._topic)
        query = query.where(self._counted, self._went() | self._goes_first(until), since).order_by(self.at.desc())
        # What is planned will be newer than everything in the ledger.
        ahead = [self._ahead(one, until) for one in self._pressed.ahead if self._is_ahead(one)]
        if self._pressed.before is not None:
            ahead.append(self._pressed.before)
        left = place - sum(ahead[1:], ahead[0]) if ahead else place
        ordered = query.offset((func.greatest(left, 1) if ahead else left) - 1).limit(1)
        nth = ordered.correlate_except(_CONTACT, _RUN, _VERSION).scalar_subquery()
        return case((left < 1, until), else_=nth) if ahead else nth

    def _is_ahead(self, one: Ahead) -> bool:
        return one.priority > self._pressed.priority and self._topic in (None, one.topic)

    def _ahead(self, one: Ahead, until: ColumnElement[Any]) -> ColumnElement[int]:
        """How many of those messages go to somebody who is counted with the person."""
        mine = one.people.c.customer_id.in_(together(self._pressed.person, self._of))
        counted = select(func.count()).select_from(one.people).where(mine, literal(one.starts_at, _INSTANT) < until)
        return counted.correlate_except(one.people).scalar_subquery()

    def _went(self) -> ColumnElement[bool]:
        contact = _CONTACT.c
        return contact.state.in_(_CONTACTED) | ((contact.state == "deferred") & (contact.attempt_count > 0))

    def _goes_first(self, until: ColumnElement[Any]) -> ColumnElement[bool]:
        contact, run = _CONTACT.c, _RUN.c
        return and_(
            contact.state == "planned",
            run.priority > self._pressed.priority,
            run.state == "running",
            contact.not_before < until,
            or_(run.valid_until.is_(None), run.valid_until > self._now),
            ~self._is_forbidden(),
        )

    def _is_forbidden(self) -> ColumnElement[bool]:
        """An entry in force keeps the message from ever going: nobody waits for it."""
        entry, version = _FORBIDS, _FORBIDDEN_VERSION
        contact, run = _CONTACT.c, _RUN.c
        scopes = [
            entry.c.scope.in_(("global", "channel")),
            (entry.c.scope == "topic") & (entry.c.scope_name == version.c.topic),
            (entry.c.scope == "campaign") & (entry.c.scope_name == contact.campaign),
        ]
        return (
            select(entry.c.id)
            .select_from(entry)
            .join(version, version.c.id == run.version_id)
            .where(
                entry.c.address_key == contact.address_key, entry.c.lifted_at.is_(None), or_(*scopes),
                or_(entry.c.scope == "global", entry.c.channel == self._pressed.channel),
                or_(entry.c.expires_at.is_(None), entry.c.expires_at > self._now),
            )
            .correlate_except(entry, version)
            .exists()
        )  # fmt: skip


def _addresses(person: FromClause, of: str) -> Select[Any]:
    """SQL: the addresses, present and former, of the customers who are counted with this one."""
    former = select(_FORMER.c.address_key).where(_FORMER.c.customer_id == _KNOWN.c.id).correlate_except(_FORMER)
    both = func.unnest(func.array_append(func.array(former.scalar_subquery()), _KNOWN.c.address_key))
    return select(both).where(_KNOWN.c.id.in_(together(person, of))).correlate_except(_KNOWN)


def together(person: FromClause, of: str) -> Select[Any]:
    """SQL: the customers who are counted with this one as one person, household or company."""
    same = [
        _OTHER.c.id == person.c.id,
        _OTHER.c.address_key == person.c.address_key,
        _OTHER.c.person == func.nullif(person.c.person, ""),
    ]
    if of == "household":
        same.append(_OTHER.c.household == func.nullif(person.c.household, ""))
    elif of == "company":
        same.append(func.lower(_OTHER.c.company) == func.nullif(func.lower(person.c.company), ""))
    return select(_OTHER.c.id).where(or_(*same)).correlate_except(_OTHER)
