"""Staged roll-out: a run reaches a few people first, is watched, and goes on to the rest only when that went well.

The frozen audience is put in an order nobody chose (a hash of address and run), so that each stage is a fair sample of
everybody and not the oldest customers. A batch waits until its run has come to the batch's stage. A stage is over when
each of its messages was tried once: what a server puts off for days does not hold up the others, nor does whom a
frequency cap or an open case holds. Quiet hours do: nobody goes on to the next stage while the first one sleeps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ARRAY, BIGINT, Connection, Row, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import JSONB

from campaigns.refusals import OF_OUTAGES, condemns
from campaigns.rollout_file import Rollout, bounds
from core import audit
from core.schema import batch, campaign_version, run
from core.units import parse_duration

#: Within this time after its recipients' own hour a batch still goes at once; later, the next day at that hour.
_STILL_FITS: Final = timedelta(hours=4)

# --- cutting -----------------------------------------------------------------------------------------------

_CUT: Final = text("""
    INSERT INTO batch (run_id, stage, message_ids, not_before)
    SELECT :run_id, stage, array_agg(id ORDER BY id), not_before
    FROM (
        SELECT id, not_before, stage,
               (row_number() OVER (PARTITION BY stage, not_before ORDER BY id) - 1) / :size AS slice
        FROM (
            SELECT id, not_before, width_bucket(
                       row_number() OVER (ORDER BY hashtextextended(address_key::text, :run_id), id), :bounds
                   ) AS stage
            FROM message WHERE run_id = :run_id AND state = 'planned'
        ) AS staged
    ) AS sliced
    GROUP BY stage, not_before, slice ORDER BY stage, not_before, slice
""").bindparams(bindparam("run_id", type_=BIGINT), bindparam("bounds", type_=ARRAY(BIGINT)))


def cut(connection: Connection, run_id: int, shares: Sequence[float], *, people: int, size: int) -> None:
    """The run's planned messages, `people` in number, are in batches of at most `size`, by stage and time."""
    firsts = [number + 1 for number in bounds(shares, people)]
    connection.execute(_CUT, {"run_id": run_id, "bounds": firsts, "size": size})


# --- going on ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of the messages of the stages so far."""

    answered: int
    hard_bounces: int
    complaints: int
    blocks: int

    def too_many(self, rollout: Rollout) -> list[str]:
        """What exceeds its limit, in words: more than the share, and more than a single message."""
        found = []
        for name, limit in rollout.stop_at:
            number = getattr(self, name)
            if number > 1 and number > limit * self.answered:
                share = number / self.answered
                found.append(f"{name.replace('_', ' ')} {share:.2%} (stop_at {limit:.2%}; {number:,} messages)")
        return found


def staged(connection: Connection) -> list[int]:
    """The running runs that have a stage ahead of them."""
    return list(connection.execute(_AHEAD.order_by(run.c.id)).scalars())


def advance(connection: Connection, now: datetime, *, run_id: int | None = None) -> list[int]:
    """Every running run whose stage is over and was watched is in its next stage, or paused when too much went wrong.

    Of one run or all; those that changed are returned. A run that somebody resumed after it was stopped goes on: they
    knew. Repeat: safe; of two schedulers one finds nothing to do.
    """
    query = _STAGED if run_id is None else _STAGED.where(run.c.id == run_id)
    return [row.id for row in connection.execute(query).all() if _advance(connection, row, now)]


_IS_STAGED: Final = (run.c.state == "running") & (
    select(batch.c.id).where(batch.c.run_id == run.c.id, batch.c.state != "done", batch.c.stage > run.c.stage).exists()
)
_AHEAD: Final = select(run.c.id).where(_IS_STAGED)
#: Whether `staged` finds any.
IS_AHEAD: Final = _AHEAD.exists()
_CAMPAIGN: Final = campaign_version.c.definition["campaign"]
#: The definition is read for staged runs alone, and a row another scheduler is at is left to it.
_STAGED: Final = (
    select(run, _CAMPAIGN["rollout"].label("rollout"),
           _CAMPAIGN["schedule"]["zone"].astext.label("zone"),
           _CAMPAIGN["limits"]["valid_for"].astext.label("valid_for"))
    .join(campaign_version, campaign_version.c.id == run.c.version_id)
    .where(_IS_STAGED)
    .order_by(run.c.id)
    .with_for_update(of=run, skip_locked=True)
)  # fmt: skip
_UNTRIED: Final = text("""
    SELECT EXISTS (SELECT 1 FROM batch WHERE run_id = :run_id AND stage <= :stage AND state <> 'done'
                   AND (state = 'claimed' OR attempt_count = 0
                        AND NOT EXISTS (SELECT 1 FROM message WHERE id = batch.message_ids[1]
                                        AND hold_reason IN ('frequency_cap', 'open_case'))))
""")

_WAITING: Final = text("""
    SELECT EXISTS (SELECT 1 FROM batch WHERE run_id = :run_id AND stage <= :stage AND state <> 'done')
""")


def _advance(connection: Connection, row: Row[Any], now: datetime) -> bool:
    rollout = Rollout.model_validate(row.rollout)
    if connection.execute(_UNTRIED, {"run_id": row.id, "stage": row.stage}).scalar():
        return False
    ended_at = row.stage_ended_at or now
    is_watched = now >= ended_at + rollout.watch
    if row.stage_ended_at is not None and not is_watched:
        return False
    # Looked at twice: when the stage has ended, and when it was watched.
    figures = _figures(connection, row.id)
    if not figures.answered and connection.execute(_WAITING, {"run_id": row.id, "stage": row.stage}).scalar():
        return False  # all of them are held: nothing was seen of how it goes
    wrong = figures.too_many(rollout)
    if wrong and not _was_stopped(connection, row):
        _stop(connection, row, figures, wrong)
        return True
    if not is_watched:
        _change(connection, row.id, stage_ended_at=ended_at)
        return False
    _next_stage(connection, row, now)
    return True


def _change(connection: Connection, run_id: int, **values: object) -> None:
    connection.execute(update(run).where(run.c.id == run_id).values(**values))


#: Only messages of the stages so far were tried. The last attempt tells why one failed; one that came back after it was
#: accepted counts as hard.
_FIGURES: Final = text("""
    SELECT count(*) AS answered,
           count(*) FILTER (WHERE m.state = 'bounced' OR m.state = 'failed' AND last.bounce_class = 'hard'),
           count(*) FILTER (WHERE m.state = 'complained'),
           count(*) FILTER (WHERE m.state IN ('failed', 'deferred') AND last.bounce_class = 'block')
    FROM message AS m LEFT JOIN LATERAL (
        SELECT bounce_class FROM attempt
        WHERE message_id = m.id AND m.state IN ('failed', 'deferred') ORDER BY number DESC, answered_at DESC LIMIT 1
    ) AS last ON true
    WHERE m.run_id = :run_id AND m.state NOT IN ('planned', 'handed_over', 'skipped')
""")


#: Refused in words that condemn an address, were they not taken for an outage of its domain since.
_EXCUSED: Final = text("""
    SELECT last.code, last.enhanced, last.reply
    FROM message AS m JOIN LATERAL (
        SELECT outcome, code, enhanced, reply, bounce_class FROM attempt
        WHERE message_id = m.id ORDER BY number DESC, answered_at DESC LIMIT 1
    ) AS last ON last.outcome = 'failed' AND last.bounce_class = :of_outages
    WHERE m.run_id = :run_id AND m.state = 'failed'
""")


def _figures(connection: Connection, run_id: int) -> Figures:
    """What the servers said, whatever it counts as by now: an outage and dead addresses look the same, and to stop once
    too often costs less."""
    figures = Figures(*connection.execute(_FIGURES, {"run_id": run_id}).one())
    excused = connection.execute(_EXCUSED, {"run_id": run_id, "of_outages": OF_OUTAGES})
    return replace(figures, hard_bounces=figures.hard_bounces + sum(condemns(*row) for row in excused))


_STOPPED: Final = text("""
    SELECT EXISTS (SELECT 1 FROM audit WHERE action = 'pause' AND subject = :subject AND detail @> :told)
""").bindparams(bindparam("told", type_=JSONB))


def _was_stopped(connection: Connection, row: Row[Any]) -> bool:
    """The roll-out was stopped at this stage before, and somebody resumed it."""
    told = {"runs": [row.id], "stage": row.stage}
    return bool(connection.execute(_STOPPED, {"subject": f"campaign:{row.campaign}", "told": told}).scalar())


def _stop(connection: Connection, row: Row[Any], figures: Figures, wrong: Sequence[str]) -> None:
    place = place_of(connection, row.id)
    reached = f"stage {row.stage + 1} of {place.stages if place else 1}, {figures.answered:,} messages answered"
    fault = f"stopped by its roll-out ({reached}): {', '.join(wrong)}"
    _change(connection, row.id, state="paused", fault=fault)
    audit.record(
        connection, audit.ITSELF, "pause", f"campaign:{row.campaign}", runs=[row.id], stage=row.stage,
        answered=figures.answered, hard_bounces=figures.hard_bounces, complaints=figures.complaints,
        blocks=figures.blocks,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a staged run is. `next_at`: when the next stage may begin; None: not before this one was tried."""

    stage: int  # from 1
    stages: int
    next_at: datetime | None


_PLACE: Final = text("""
    SELECT r.stage, r.stage_ended_at, (SELECT max(stage) FROM batch WHERE run_id = r.id) AS last,
           v.definition -> 'campaign' -> 'rollout' AS rollout
    FROM run AS r JOIN campaign_version AS v ON v.id = r.version_id WHERE r.id = :run_id
""")


def place_of(connection: Connection, run_id: int) -> Place | None:
    """Where the run is in its roll-out; None when it has but one stage."""
    row = connection.execute(_PLACE, {"run_id": run_id}).one()
    if not row.last:
        return None
    watch = Rollout.model_validate(row.rollout).watch
    return Place(row.stage + 1, row.last + 1, row.stage_ended_at + watch if row.stage_ended_at else None)


def _next_stage(connection: Connection, row: Row[Any], now: datetime) -> None:
    if row.zone == "recipient":
        _wait_for_the_hour(connection, row, now)
    _change(connection, row.id, stage=row.stage + 1, stage_ended_at=None)


# Whole days later, so that everybody's stays the local hour the campaign asked for.
_WAIT: Final = text("""
    WITH late AS (
        SELECT id, message_ids, extract(epoch FROM CAST(:now AS timestamptz) - not_before) / 86400 AS days FROM batch
        WHERE run_id = :run_id AND stage = :stage AND state = 'ready' AND not_before < :now
    ), moved AS (
        UPDATE batch AS b SET not_before = b.not_before + make_interval(days => CAST(ceil(late.days) AS int))
        FROM late WHERE b.id = late.id AND late.days - floor(late.days) > :fits
        RETURNING b.message_ids, b.not_before
    )
    UPDATE message AS m SET not_before = moved.not_before
    FROM moved CROSS JOIN LATERAL unnest(moved.message_ids) AS i(id) WHERE m.id = i.id
    RETURNING moved.not_before
""")


def _wait_for_the_hour(connection: Connection, row: Row[Any], now: datetime) -> None:
    """Nobody of the next stage gets it at another hour of their day; what that delays stays valid as long as asked."""
    fits = _STILL_FITS / timedelta(days=1)
    given = {"run_id": row.id, "stage": row.stage + 1, "now": now, "fits": fits}
    moved = list(connection.execute(_WAIT, given).scalars())
    if moved and row.valid_until is not None:
        valid_until = max(row.valid_until, max(moved) + parse_duration(row.valid_for))
        _change(connection, row.id, valid_until=valid_until)
