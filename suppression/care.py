"""Whom promotions spare: key accounts, who belong to a named person, and people with an open case (N5, N16).

A rule holds for a human being: for every customer of the same `person` or at the same address. All of it is asked only
where `care` in clarion.yaml says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Interval,
    Select,
    and_,
    any_,
    bindparam,
    func,
    literal,
    or_,
    select,
    true,
)

from core import schema
from core.arrays import Ids

if TYPE_CHECKING:
    from core.settings import Settings

#: Skip reason of a customer whom a person looks after.
KEY_ACCOUNT: Final = "key_account"
#: Hold reason of a promotion to somebody whose case is open, and skip reason of one that waited too long.
OPEN_CASE: Final = "open_case"
#: A message held for an open case is looked at again after this.
LOOK_AGAIN: Final = timedelta(minutes=15)

#: A moment, or a parameter of a statement that is compiled once and asked many times.
Instant = datetime | BindParameter[datetime]


@dataclass(frozen=True, slots=True)
class KeyAccounts:
    """Who is a key account: (scheme, level) pairs, any of them; none: everybody who has an owner."""

    levels: tuple[tuple[str, str], ...] = ()
    owned: bool = True
    task_due: timedelta = timedelta(days=5)  # after the campaign would have written to them


@dataclass(frozen=True, slots=True)
class Cases:
    """What opens and closes a case."""

    opened_by: tuple[str, ...]
    closed_by: tuple[str, ...]
    same: str | None
    forgotten_after: timedelta | None
    wait: timedelta


@dataclass(frozen=True, slots=True)
class Care:
    """The rules of one workspace; those of one that has none spare nobody."""

    promotions: frozenset[str] = frozenset()  # topics; none: all
    key_accounts: KeyAccounts | None = None
    cases: Cases | None = None

    @classmethod
    def of(cls, settings: "Settings") -> "Care":
        """The rules of the settings."""
        care = settings.care
        keys, cases = care.key_accounts, care.cases
        asked = sorted(keys.levels.items()) if keys else ()
        levels = tuple((scheme, level) for scheme, names in asked for level in names)
        return cls(
            frozenset(care.promotions),
            KeyAccounts(levels, keys.owned, keys.task_due) if keys else None,
            Cases(cases.opened_by, cases.closed_by, cases.same, cases.forgotten_after, cases.wait) if cases else None,
        )

    def spares_key_accounts(self, topic: str) -> bool:
        """Whether mail about the topic leaves out key accounts."""
        return self.key_accounts is not None and self._is_promotion(topic)

    def waits_for_cases(self, topic: str) -> bool:
        """Whether mail about the topic waits while a case is open."""
        return self.cases is not None and self._is_promotion(topic)

    def _is_promotion(self, topic: str) -> bool:
        return not self.promotions or topic in self.promotions


def key_account_id(customer_id: Any, rules: KeyAccounts) -> ColumnElement[int | None]:
    """SQL: the key account that the customer of this id is, or is one human being with; NULL when they are none."""
    me, peer, worth = schema.customer.alias("me"), schema.customer.alias("key"), schema.customer_metrics.alias("worth")
    found = select(peer.c.id).join_from(me, peer, _one_person(me, peer)).where(me.c.id == customer_id)
    if rules.owned:
        found = found.where(func.coalesce(peer.c.owner, "") != "")
    if rules.levels:
        found = found.join(worth, worth.c.customer_id == peer.c.id)
        found = found.where(or_(*(worth.c[scheme] == level for scheme, level in rules.levels)))
    first = found.order_by(peer.c.id != me.c.id, peer.c.id).limit(1)
    return first.correlate_except(me, peer, worth).scalar_subquery()


def _one_person(me: FromClause, peer: FromClause) -> ColumnElement[bool]:
    return or_(peer.c.id == me.c.id, peer.c.person == me.c.person, peer.c.address_key == me.c.address_key)


def open_case_since(customer_id: Any, rules: Cases, now: Instant) -> ColumnElement[datetime | None]:
    """SQL: when the customer's oldest case that is open at `now` was opened; NULL when none is."""
    me, peer = schema.customer.alias("me"), schema.customer.alias("case_peer")
    opened = schema.activity.alias("opened")
    begun = opened.c.occurred_at <= now
    if rules.forgotten_after is not None:
        begun = and_(begun, opened.c.occurred_at > _before(now, rules.forgotten_after))
    found = (
        select(opened.c.occurred_at)
        .select_from(me)
        .join(peer, _one_person(me, peer))
        .join(opened, opened.c.customer_id == peer.c.id)
        .where(me.c.id == customer_id, opened.c.name.in_(rules.opened_by), begun, ~_closed(opened, rules, now))
        .order_by(opened.c.occurred_at)
        .limit(1)
    )
    return found.correlate_except(me, peer, opened).scalar_subquery()


def _before(now: Instant, length: timedelta) -> Any:
    return now - length if isinstance(now, datetime) else now - literal(length, Interval)


def _closed(opened: FromClause, rules: Cases, now: Instant) -> ColumnElement[bool]:
    """The case was closed after it was opened, by anybody who is the same customer."""
    closed = schema.activity.alias("closed")
    same: ColumnElement[bool] = true()
    if rules.same is not None:
        names = [row.c.properties[rules.same].astext for row in (opened, closed)]
        same = names[0].is_not_distinct_from(names[1])
    return (
        select(closed.c.id)
        .where(
            closed.c.customer_id == opened.c.customer_id, closed.c.name.in_(rules.closed_by),
            closed.c.occurred_at >= opened.c.occurred_at, closed.c.occurred_at <= now, same,
        )
        .exists()
    )  # fmt: skip


# --- asked of messages -----------------------------------------------------------------------------------------


def held_for_cases(
    connection: Connection, message_ids: Sequence[int], *, care: Care, topic: str, now: datetime
) -> dict[int, datetime]:
    """Those of the bulk messages that wait for a case to be closed, with the time to look at them again.

    Nothing is asked where mail about the topic does not wait for cases.
    """
    if care.cases is None or not care.waits_for_cases(topic) or not message_ids:
        return {}
    rows = connection.execute(_asked(care.cases, now), {"ids": list(message_ids)})
    return dict.fromkeys(rows.scalars(), now + LOOK_AGAIN)


def _asked(cases: Cases, now: datetime) -> Select[Any]:
    message = schema.message
    is_open = open_case_since(message.c.customer_id, cases, now).is_not(None)
    return select(message.c.id).where(message.c.id == any_(bindparam("ids", type_=Ids)), is_open)
