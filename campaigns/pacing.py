"""Messages that a throttle does not let through now wait in batches of their own."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, func, select, text

from campaigns.ledger import Claim
from campaigns.mailings import Recipient
from core.addresses import parse_address
from core.arrays import Ids
from core.schema import batch
from delivery.throttles import Slot, Throttles

_URGENT: Final = "transactional"
# The batch also holds what the claim leaves out: messages that a lost worker's server put off, and settled ones.
_SHRINK: Final = text("""
    UPDATE batch SET message_ids = ARRAY(SELECT unnest(message_ids) EXCEPT SELECT unnest(:moved) ORDER BY 1)
    WHERE id = :batch_id AND claim_count = :token AND worker = :worker AND state = 'claimed'
""").bindparams(bindparam("moved", type_=Ids))
_PUT_FORWARD: Final = text("""
    UPDATE batch SET state = 'ready', not_before = least(:not_before, run.valid_until + interval '1 second'),
                     booked_at = now(), published_at = NULL
    FROM run
    WHERE batch.id = :batch_id AND run.id = batch.run_id AND batch.message_ids <@ :moved
      AND batch.claim_count = :token AND batch.worker = :worker AND batch.state = 'claimed'
""").bindparams(bindparam("moved", type_=Ids))
# What would come too late anyway is looked at as soon as it has expired, so that its run can end.
_WAIT: Final = text("""
    INSERT INTO batch (run_id, queue, stage, attempt_count, waits_from, message_ids, not_before, booked_at)
    SELECT batch.run_id, batch.queue, batch.stage, batch.attempt_count, batch.waits_from, :ids,
           least(:not_before, run.valid_until + interval '1 second'), now()
    FROM batch JOIN run ON run.id = batch.run_id WHERE batch.id = :batch_id
""").bindparams(bindparam("ids", type_=Ids))


def pace(
    connection: Connection,
    held: Claim,
    people: Sequence[Recipient],
    transport: str,
    throttles: Throttles,
    spills: Callable[[], bool] = bool,
) -> tuple[Claim, list[Recipient]]:
    """The claim without the messages that must wait, and those of its `people` who may go now over `transport`.

    The others are in batches of their own, each with the time at which it asks again; where the whole batch waits for
    one time, it is that batch, and no claim is held any more. `spills`: whether those left over had better ask another
    transport than wait for this one; they ask at once. Who may go is counted as gone:
    `Throttles.give_back` those who did not. Nobody goes when the lease is lost. Costs nothing where nothing is
    limited. Atomic with the connection's transaction. Repeat: not safe.
    """
    domains = Counter(domain_of(person.email) for person in people)
    if not throttles.limits(connection, transport, domains.keys()):
        return held, list(people)
    is_urgent = held.message_class == _URGENT
    is_booked = connection.execute(select(batch.c.booked_at).where(batch.c.id == held.batch_id)).scalar() is not None
    free = throttles.admit(connection, transport, domains, urgent=is_urgent, booked=is_booked)
    going, waiting = _parted(people, dict(free))
    if not waiting:
        return held, going
    wanted = {domain: len(ids) for domain, ids in waiting.items()}
    times: Sequence[Slot]
    if spills():
        now = connection.execute(select(func.now())).scalar_one()
        times = [Slot(now, domain, count) for domain, count in wanted.items()]
    else:
        times = throttles.book(connection, transport, wanted, urgent=is_urgent)
    moved = {message_id for ids in waiting.values() for message_id in ids}
    left = replace(held, message_ids=tuple(message_id for message_id in held.message_ids if message_id not in moved))
    at = _by_time(times, waiting)
    if len(at) == 1 and not going and _put_forward(connection, held, moved, *at):
        return left, []
    if not _shrunk(connection, held, moved):
        return held, []
    _wait(connection, held, at)
    return left, going


def domain_of(email: str) -> str:
    """The domain of an address as throttles know it: an A-label in lower case."""
    domain = email.rpartition("@")[2]
    return domain.lower() if domain.isascii() else parse_address(email).domain


def _parted(people: Iterable[Recipient], free: dict[str, int]) -> tuple[list[Recipient], dict[str, list[int]]]:
    """Those who may go, in order, and the ids of those who wait, by domain."""
    going: list[Recipient] = []
    waiting: dict[str, list[int]] = defaultdict(list)
    for person in people:
        domain = domain_of(person.email)
        if free.get(domain, 0) > 0:
            free[domain] -= 1
            going.append(person)
        else:
            waiting[domain].append(person.message_id)
    return going, waiting


def _by_time(times: Iterable[Slot], waiting: dict[str, list[int]]) -> dict[datetime, list[int]]:
    """The ids of those who wait by the time they were given; earlier ids get earlier times."""
    at: dict[datetime, list[int]] = defaultdict(list)
    for slot in times:
        ids = waiting[slot.domain]
        at[slot.not_before] += ids[: slot.count]
        del ids[: slot.count]
    return at


def _put_forward(connection: Connection, held: Claim, moved: set[int], not_before: datetime) -> bool:
    """The batch holds nobody else, and waits; a hold of days makes no row every few minutes."""
    given = {"moved": sorted(moved), "batch_id": held.batch_id, "token": held.token, "worker": held.worker}
    return connection.execute(_PUT_FORWARD, given | {"not_before": not_before}).rowcount == 1


def _shrunk(connection: Connection, held: Claim, moved: Iterable[int]) -> bool:
    given = {"moved": sorted(moved), "batch_id": held.batch_id, "token": held.token, "worker": held.worker}
    return connection.execute(_SHRINK, given).rowcount == 1


def _wait(connection: Connection, held: Claim, at: dict[datetime, list[int]]) -> None:
    rows = [
        {"batch_id": held.batch_id, "ids": sorted(ids), "not_before": not_before}
        for not_before, ids in sorted(at.items())
    ]
    connection.execute(_WAIT, rows)
