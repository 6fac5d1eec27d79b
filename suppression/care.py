"""Whom promotions spare: key accounts, who belong to a named person, and people with an open case (N5, N16).

A rule holds for a human being: for every customer of the same `person` or at the same address. All of it is asked only
where `care` in clarion.yaml says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    any_,
    bindparam,
    func,
    or_,
    select,
)

from core import schema
from core.arrays import Ids
from core.open_cases import one_person, open_case_since

if TYPE_CHECKING:
    from core.settings import Settings

#: Skip reason of a customer whom a person looks after.
KEY_ACCOUNT: Final = "key_account"
#: Hold reason of a promotion to somebody whose case is open, and skip reason of one that waited too long.
OPEN_CASE: Final = "open_case"
#: A message held for an open case is looked at again after this.
LOOK_AGAIN: Final = timedelta(minutes=15)


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
    found = select(peer.c.id).join_from(me, peer, one_person(me, peer)).where(me.c.id == customer_id)
    if rules.owned:
        found = found.where(func.coalesce(peer.c.owner, "") != "")
    if rules.levels:
        found = found.join(worth, worth.c.customer_id == peer.c.id)
        found = found.where(or_(*(worth.c[scheme] == level for scheme, level in rules.levels)))
    first = found.order_by(peer.c.id != me.c.id, peer.c.id).limit(1)
    return first.correlate_except(me, peer, worth).scalar_subquery()


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
