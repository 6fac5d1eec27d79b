"""The rows of `throttle` and `volume`: locked in one order, read by the database's clock, written back at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import BIGINT, Connection, DateTime, RowMapping, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from delivery.throttles.limits import Limit

_KEYS: Final = bindparam("keys", type_=ARRAY(Text))
# Domains come before transports, as a batch that ends has them: `domain:` is less than `transport:`.
# The clock is read while the rows come out of the lock, one after another: the last reading is after the last lock.
_LOCK: Final = text("""
    WITH locked AS MATERIALIZED (SELECT * FROM throttle WHERE key = ANY(:keys) ORDER BY key FOR UPDATE)
    SELECT locked.*, clock_timestamp() AS read_at FROM locked
""").bindparams(_KEYS)
_LOCK_FREE: Final = text(_LOCK.text.replace("FOR UPDATE", "FOR UPDATE SKIP LOCKED")).bindparams(_KEYS)
_ENSURE: Final = text("""
    INSERT INTO throttle (key) SELECT wanted.key FROM unnest(:keys) AS wanted (key) ORDER BY 1 ON CONFLICT DO NOTHING
""").bindparams(_KEYS)
_WRITE: Final = text("""
    UPDATE throttle SET next_at = new.next_at, booked_until = new.booked_until
    FROM unnest(:keys, :next_at, :booked_until) AS new (key, next_at, booked_until) WHERE throttle.key = new.key
""").bindparams(
    _KEYS,
    bindparam("next_at", type_=ARRAY(DateTime(timezone=True))),
    bindparam("booked_until", type_=ARRAY(DateTime(timezone=True))),
)
_READ_VOLUMES: Final = text("SELECT key, message_count FROM volume WHERE key = ANY(:keys) AND day = :day").bindparams(
    _KEYS
)
_COUNT_VOLUMES: Final = text("""
    INSERT INTO volume (key, day, message_count)
    SELECT new.key, :day, greatest(new.count, 0) FROM unnest(:keys, :counts) AS new (key, count)
    ON CONFLICT (key, day) DO UPDATE SET message_count = greatest(0, volume.message_count + (
        SELECT new.count FROM unnest(:keys, :counts) AS new (key, count) WHERE new.key = volume.key))
""").bindparams(_KEYS, bindparam("counts", type_=ARRAY(BIGINT)))


@dataclass(frozen=True, slots=True)
class Locked:
    """Rows of `throttle` by key, locked until the end of the transaction, and the instant they were."""

    now: datetime
    rows: Mapping[str, RowMapping]


def lock(connection: Connection, keys: Sequence[str]) -> Locked:
    """The rows of `keys` are locked, in order of their keys, so that two workers never wait for each other."""
    ordered = sorted(set(keys))
    found = connection.execute(_LOCK, {"keys": ordered}).mappings().all()
    if len(found) < len(ordered):
        connection.execute(_ENSURE, {"keys": ordered})
        found = connection.execute(_LOCK, {"keys": ordered}).mappings().all()
    return Locked(max(row["read_at"] for row in found), {row["key"]: row for row in found})


def lock_free(connection: Connection, keys: Sequence[str]) -> Mapping[str, RowMapping]:
    """Those of the rows that nobody else has locked are locked, with the instant as `read_at`. Waits for nobody, so it
    may follow `lock` in one transaction."""
    connection.execute(_ENSURE, {"keys": sorted(set(keys))})
    return {row["key"]: row for row in connection.execute(_LOCK_FREE, {"keys": list(keys)}).mappings()}


def write(connection: Connection, limits: Sequence[Limit]) -> None:
    """The meters that moved are stored."""
    moved = [limit for limit in limits if limit.is_changed and limit.meter is not None]
    if moved:
        meters = [limit.meter for limit in moved if limit.meter is not None]
        given: dict[str, Any] = {
            "keys": [limit.key for limit in moved],
            "next_at": [meter.next_at for meter in meters],
            "booked_until": [meter.booked_until for meter in meters],
        }
        connection.execute(_WRITE, given)


def volumes(connection: Connection, keys: Sequence[str], day: date) -> dict[str, int]:
    """How many messages went on `day` under each of `keys`."""
    rows = connection.execute(_READ_VOLUMES, {"keys": list(keys), "day": day})
    return {row.key: row.message_count for row in rows}


def count_volumes(connection: Connection, counts: Mapping[str, int], day: date) -> None:
    """The counts are added to the volumes of `day`; negative ones are taken off, down to nothing."""
    if counts:
        connection.execute(_COUNT_VOLUMES, {"keys": list(counts), "counts": list(counts.values()), "day": day})
