"""The rules by which the ledger of a run balances, each counted from the rows themselves."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, TextClause, func, select, text

from campaigns.states import OPEN
from core.schema import attempt, batch, message, run

_IN_TWO_BATCHES: Final = text("""
    SELECT count(*) FROM (
        SELECT held.id FROM batch AS b CROSS JOIN LATERAL unnest(b.message_ids) AS held (id)
        WHERE b.run_id = :run_id AND b.state <> 'done'
        GROUP BY held.id HAVING count(*) > 1
    ) AS twice JOIN message AS m ON m.id = twice.id WHERE m.state IN ('planned', 'handed_over', 'deferred')
""")
_ASTRAY: Final = text("""
    SELECT count(*) FROM message AS m LEFT JOIN (
        SELECT DISTINCT held.id FROM batch AS b CROSS JOIN LATERAL unnest(b.message_ids) AS held (id)
        WHERE b.run_id = :run_id AND b.state = 'claimed'
    ) AS taken ON taken.id = m.id
    WHERE m.run_id = :run_id AND m.state = 'handed_over' AND taken.id IS NULL
""")
_LEFT_OPEN: Final = text("""
    SELECT count(*) FROM batch AS b JOIN run AS r ON r.id = b.run_id
    WHERE r.id = :run_id AND r.state = 'finished' AND b.state <> 'done'
""")
_HELD_FOR_NOTHING: Final = text("""
    SELECT count(*) FROM message
    WHERE run_id = :run_id AND hold_reason IS NOT NULL AND state NOT IN ('planned', 'deferred')
""")


def broken(
    connection: Connection,
    run_id: int,
    state: str,
    audience: int,
    states: Mapping[str, int],
    skipped: Mapping[str, int],
) -> list[str]:
    """The rules of the ledger that do not hold for the run, in words; `states` and `skipped` are its counts.

    Right also while workers are at it: each rule is looked at in one statement.
    """
    found = []
    total = sum(states.values()) + sum(skipped.values())
    if total != audience:
        found.append(f"the audience was {audience:,}, the ledger has {total:,} rows")
    still_open = sum(states[name] for name in ("claimed", *OPEN))
    if state in ("finished", "cancelled") and still_open:
        found.append(f"the run is {state}, but {still_open:,} messages are open")
    lost = _without_batch(connection, run_id)
    if lost:
        found.append(f"{lost:,} open messages are in no batch: nobody would send them")
    of_two = _counted(connection, _IN_TWO_BATCHES, run_id)
    if of_two:
        found.append(f"{of_two:,} open messages are in more than one batch: they might be sent twice")
    astray = _counted(connection, _ASTRAY, run_id)
    if astray:
        found.append(f"{astray:,} messages are handed over, but no worker holds their batch: nobody reads the answer")
    left_open = _counted(connection, _LEFT_OPEN, run_id)
    if left_open:
        found.append(f"the run is finished, but {left_open:,} of its batches are open: no worker takes them")
    twice = _doubled(connection, run_id)
    if twice:
        found.append(f"{twice:,} addresses have more than one message of this campaign, step and occurrence")
    held = _counted(connection, _HELD_FOR_NOTHING, run_id)
    if held:
        found.append(f"{held:,} messages are held, but do not wait: nobody would let them go")
    unanswered = _without_attempt(connection, run_id)
    if unanswered:
        found.append(f"{unanswered:,} answered messages have no attempt on record")
    return found


def _counted(connection: Connection, rule: TextClause, run_id: int) -> int:
    return int(connection.execute(rule, {"run_id": run_id}).scalar_one())


def _without_batch(connection: Connection, run_id: int) -> int:
    held = (
        select(func.unnest(batch.c.message_ids).label("id"))
        .where(batch.c.run_id == run_id, batch.c.state != "done")
        .cte("held")
    )
    query = (
        select(func.count())
        .select_from(message)
        .where(message.c.run_id == run_id, message.c.state.in_(OPEN), message.c.id.not_in(select(held.c.id)))
    )
    return int(connection.execute(query).scalar_one())


def _doubled(connection: Connection, run_id: int) -> int:
    """Counted from the rows, not from the unique index: a check must not trust what it checks."""
    names = (run.c.campaign, run.c.step, run.c.occurrence)
    *own, is_open_ended = connection.execute(select(*names, run.c.open_ended).where(run.c.id == run_id)).one()
    # An open-ended run has messages of many occurrences, and its own name is that of none.
    same = [message.c[name.name] == value for name, value in zip(names, own, strict=True)]
    twice = (
        select(message.c.address_key)
        .where(*([message.c.run_id == run_id] if is_open_ended else same), message.c.skip_reason.is_(None))
        .group_by(message.c.occurrence, message.c.address_key)
        .having(func.count() > 1)
        .subquery()
    )
    return int(connection.execute(select(func.count()).select_from(twice)).scalar_one())


def _without_attempt(connection: Connection, run_id: int) -> int:
    answered = message.c.state.in_(["accepted", "failed", "unknown", "delivered", "bounced", "complained"])
    recorded = select(attempt.c.message_id).where(attempt.c.message_id == message.c.id).exists()
    query = select(func.count()).select_from(message).where(message.c.run_id == run_id, answered, ~recorded)
    return int(connection.execute(query).scalar_one())
