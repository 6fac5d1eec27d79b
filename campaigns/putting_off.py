"""Messages whose recipients are not to be written to now wait in batches of their own, or are skipped with the reason.

Looked at when a batch is prepared, so that nothing is rendered in vain, and again in the transaction of each hand-over.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, case, select, text, update

from campaigns import ledger
from campaigns.holds import Hold, put_off
from campaigns.ledger import Claim
from campaigns.mailings import Recipient
from campaigns.versions import Version
from campaigns.watch import Watch
from core.arrays import among
from core.pressure_settings import Deferred
from core.schema import message, run
from suppression import pressure
from suppression.care import OPEN_CASE, held_for_cases
from suppression.contacts import FIRST
from suppression.gate import TRANSACTIONAL
from suppression.policy import Policy
from suppression.pressure import FREQUENCY_CAP
from suppression.quiet_hours import QUIET_HOURS, QUIET_TOO_LONG

#: Capped messages come back on the quarter of an hour: five hundred people are free again at five hundred instants.
_GRID: Final = timedelta(minutes=15)


# --- when a batch is prepared ------------------------------------------------------------------------------


def hold_off(
    connection: Connection, held: Claim, people: Sequence[Recipient], version: Version, now: datetime
) -> tuple[Claim, list[Recipient]]:
    """The claim without the messages that must wait or are skipped, and those of its `people` who may go now.

    Costs nothing where no hours are quiet and nothing is capped, and for transactional mail. Atomic with the
    connection's transaction. Repeat: safe.
    """
    if not people or held.message_class == TRANSACTIONAL or not _is_watched(held):
        return held, list(people)
    watch = _watch(connection, held, people, version, held.policy)
    watched = replace(held, watch=watch if watch.holds_somebody else None)
    free = set(hold_back(connection, watched, [person.message_id for person in people], now))
    if not _cleared(connection, watched, free):
        return held, []
    moved = {person.message_id for person in people} - free
    left = tuple(message_id for message_id in held.message_ids if message_id not in moved)
    return replace(watched, message_ids=left), [person for person in people if person.message_id in free]


def _is_watched(held: Claim) -> bool:
    rules = held.policy
    return bool(rules.pressure.caps or rules.quiet_hours or held.wishes or rules.care.waits_for_cases(held.topic))


def _cleared(connection: Connection, held: Claim, free: Collection[int]) -> bool:
    """Nothing holds the messages any more; False: the lease is lost. Batches are locked before messages."""
    were_held = select(message.c.id).where(among(message.c.id, free), message.c.hold_reason.is_not(None))
    ids = list(connection.execute(were_held).scalars()) if free else []
    if not ids:
        return True
    if not in_hands(connection, held):
        return False
    since = case((message.c.hold_reason != OPEN_CASE, message.c.held_at))
    connection.execute(update(message).where(among(message.c.id, ids)).values(hold_reason=None, held_at=since))
    return True


def _watch(connection: Connection, held: Claim, people: Sequence[Recipient], version: Version, policy: Policy) -> Watch:
    limits, quiet = version.definition.limits, policy.quiet_hours
    caps = replace(policy.pressure, caps=policy.pressure.about(held.topic))
    places = {}
    if quiet is not None:
        for person in people:
            known = person.customer
            places[person.message_id] = quiet.place(known["zone"], known["country"], known["attributes"])
    ids = [person.message_id for person in people]
    return Watch(
        rules=caps,
        care=policy.care,
        quiet_hours=quiet,
        topic=held.topic,
        priority=limits.priority,
        wishes=held.wishes,
        defer=waits_for_caps(version, policy),
        valid_until=connection.execute(select(run.c.valid_until).where(run.c.id == held.run_id)).scalar_one(),
        places=places,
        limited=pressure.limited(connection, ids, rules=caps, wishes=held.wishes),
    )


def waits_for_caps(version: Version, policy: Policy) -> timedelta | None:
    """How long a capped message of the version waits from the first time a cap holds it; None: it is skipped."""
    own = version.definition.limits.when_capped
    if own is None:
        return policy.pressure.defer
    return own.defer if isinstance(own, Deferred) else None


# --- before a hand-over ------------------------------------------------------------------------------------


def hold_back(connection: Connection, held: Claim, ids: Sequence[int], now: datetime) -> list[int]:
    """Those of the messages that may go now; the others wait in batches of their own, or are skipped.

    Exact where `suppression.pressure.lock` was taken for them before, in the same transaction.
    """
    watch = held.watch
    if watch is None or not ids:
        return list(ids)
    holds, too_long = _quiet(watch, ids, now)
    resting = {hold.message_id for hold in holds}.union(too_long)
    spared, sorry = _with_open_case(connection, watch, [id_ for id_ in ids if id_ not in resting], now)
    resting |= {hold.message_id for hold in spared}.union(sorry)
    capped = [id_ for id_ in ids if id_ in watch.limited and id_ not in resting]
    capping, dropped = _capped(connection, watch, capped, now)
    holds += [*spared, *capping]
    skipped = {QUIET_TOO_LONG: too_long, OPEN_CASE: sorry, FREQUENCY_CAP: dropped}
    stays = {hold.message_id for hold in holds}.union(*skipped.values())
    if not stays:
        return list(ids)
    if not in_hands(connection, held):
        return []
    for reason, skipping in skipped.items():
        ledger.skip(connection, skipping, reason, now)
    put_off(connection, held, holds, now)
    return [message_id for message_id in ids if message_id not in stays]


_IN_HANDS: Final = text("""
    SELECT id FROM batch
    WHERE id = :batch_id AND claim_count = :token AND worker = :worker AND state = 'claimed' FOR NO KEY UPDATE
""")


def in_hands(connection: Connection, held: Claim) -> bool:
    """Whether the batch is still this worker's, and stays so until the transaction ends."""
    given = {"batch_id": held.batch_id, "token": held.token, "worker": held.worker}
    return connection.execute(_IN_HANDS, given).scalar() is not None


def _quiet(watch: Watch, ids: Iterable[int], now: datetime) -> tuple[list[Hold], list[int]]:
    """Whose quiet hours last, and those whose messages would be too old by then."""
    holds: list[Hold] = []
    too_long: list[int] = []
    if watch.quiet_hours is None:
        return holds, too_long
    known: dict[object, datetime | None] = {}
    for message_id in ids:
        place = watch.places[message_id]
        if place not in known:
            known[place] = watch.quiet_hours.until(place, now)
        until = known[place]
        if until is not None and watch.valid_until is not None and until > watch.valid_until:
            too_long.append(message_id)
        elif until is not None:
            holds.append(Hold(message_id, QUIET_HOURS, until))
    return holds, too_long


def _with_open_case(
    connection: Connection, watch: Watch, ids: Sequence[int], now: datetime
) -> tuple[list[Hold], list[int]]:
    """Who waits for their case to be closed, and those who waited as long as they may."""
    found = held_for_cases(connection, ids, care=watch.care, topic=watch.topic, now=now)
    if not found or watch.care.cases is None:
        return [], []
    by_cap = message.c.hold_reason.is_not_distinct_from(FREQUENCY_CAP)
    since = select(message.c.id, message.c.held_at).where(among(message.c.id, found), message.c.held_at.is_not(None))
    since = since.where(~by_cap)
    deadlines = {row.id: row.held_at + watch.care.cases.wait for row in connection.execute(since)}
    sorry = [id_ for id_ in found if id_ in deadlines and now >= deadlines[id_]]
    holds = [Hold(id_, OPEN_CASE, min(until, deadlines.get(id_, until))) for id_, until in found.items()]
    return [hold for hold in holds if hold.message_id not in sorry], sorry


def _capped(connection: Connection, watch: Watch, ids: Sequence[int], now: datetime) -> tuple[list[Hold], list[int]]:
    """Whom a cap holds for now, and those who waited as long as they may."""
    holds: list[Hold] = []
    dropped: list[int] = []
    if not ids:
        return holds, dropped
    found = pressure.held_back(
        connection, ids, rules=watch.rules, topic=watch.topic, priority=watch.priority, wishes=watch.wishes, now=now
    )
    if watch.defer is None:
        return _unless_room(connection, watch, [one.message_id for one in found], now)
    for one in found:
        deadline = (one.held_at or now) + watch.defer
        if now >= deadline:
            dropped.append(one.message_id)
        else:
            holds.append(Hold(one.message_id, FREQUENCY_CAP, min(_on_grid(one.free_at), deadline)))
    return holds, dropped


def _unless_room(
    connection: Connection, watch: Watch, ids: Sequence[int], now: datetime
) -> tuple[list[Hold], list[int]]:
    """Of capped messages that do not wait, those that leave their place to a planned one, and the others.

    What is planned may come to nothing: until it is handed over, nobody has been written to in its place.
    """
    if not ids:
        return [], []
    found = pressure.held_back(
        connection, ids, rules=watch.rules, topic=watch.topic, priority=FIRST, wishes=watch.wishes, now=now
    )
    dropped = {one.message_id for one in found}
    look_again = _on_grid(now + _GRID)
    return [Hold(id_, FREQUENCY_CAP, look_again) for id_ in ids if id_ not in dropped], sorted(dropped)


def _on_grid(at: datetime) -> datetime:
    """The first quarter of an hour that is not before."""
    past = (at.astimezone(UTC) - datetime.min.replace(tzinfo=UTC)) % _GRID
    return at + (_GRID - past) if past else at
