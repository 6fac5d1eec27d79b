"""Holds: while one is on, nothing goes over a transport, or to a recipient domain. Owns `throttle.held_*`."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, RowMapping, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from core import audit
from core.schema import throttle

#: How long the reason of a hold may be.
_LONGEST_REASON: Final = 500


class HeldBy(StrEnum):
    """Who put a hold on."""

    BREAKER = "breaker"  #: faults of the transport
    TRIAL = "trial"  #: as breaker; one batch tries whether the transport works again
    OPERATOR = "operator"  #: a person, until resumed
    HARD_BOUNCES = "hard_bounces"  #: too many refusals at once to believe in them
    COMPLAINTS = "complaints"  #: too many readers there report spam; what is owed to one person goes on


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold. `until`: it ends by itself then; None: when somebody resumes it."""

    key: str
    since: datetime
    until: datetime | None
    because: str
    by: HeldBy

    @classmethod
    def of(cls, row: RowMapping) -> "Hold":
        """The hold that a row of `throttle` describes."""
        return cls(row["key"], row["held_at"], row["held_until"], row["held_because"] or "", HeldBy(row["held_by"]))


def holds(connection: Connection, prefix: str = "") -> list[Hold]:
    """The holds that are on, by key; of keys that begin with `prefix`.

    A breaker's counts until the transport was tried again with success, also when its pause is over.
    """
    is_on = or_(
        throttle.c.held_until.is_(None),
        throttle.c.held_until > func.clock_timestamp(),
        throttle.c.held_by.in_([HeldBy.BREAKER, HeldBy.TRIAL]),
    )
    query = select(throttle).where(throttle.c.held_at.is_not(None), is_on, throttle.c.key.startswith(prefix))
    return [Hold.of(row) for row in connection.execute(query.order_by(throttle.c.key)).mappings()]


def hold(
    connection: Connection, key: str, *, because: str, by: HeldBy, until: datetime | None = None, actor: str
) -> None:
    """Nothing goes under `key` from now on, until `until` or its release. Repeat: safe, the last one counts."""
    values = {
        "held_at": func.coalesce(throttle.c.held_at, func.clock_timestamp()),
        "held_until": until, "held_because": because[:_LONGEST_REASON], "held_by": by,
    }  # fmt: skip
    first = values | {"key": key, "held_at": func.clock_timestamp()}
    connection.execute(upsert(throttle).values(**first).on_conflict_do_update(index_elements=["key"], set_=values))
    audit.record(connection, actor, "hold", key, because=because[:_LONGEST_REASON], by=by)


def release(connection: Connection, key: str, *, actor: str) -> bool:
    """The hold under `key` is over, whoever put it on, and faults are forgotten; False: there was none."""
    cleared = {"held_at": None, "held_until": None, "held_because": None, "held_by": None, "fault_count": 0}
    is_held = (throttle.c.key == key) & throttle.c.held_at.is_not(None)
    if connection.execute(update(throttle).where(is_held).values(**cleared)).rowcount == 0:
        return False
    audit.record(connection, actor, "release", key)
    return True
