"""Carrying out plans: a run is made, its audience frozen, its batches cut, all in one transaction."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, case, cast, func, insert, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from campaigns import audience, duplicates, key_accounts, rollout, versions
from campaigns.audience import Counts
from campaigns.catalogue import Catalogue
from campaigns.plan import CampaignPlan, Reviewed, applied_by, plan_version
from campaigns.stages import CutBatches, FreezeAudience, Register, Stage
from campaigns.timing import first_instant, in_recipient_zone, instants_by_zone, zone_of
from campaigns.versions import SEND_STEP, Version
from core import advisory, audit
from core.database import analyze
from core.errors import PlanError, StalePlan
from core.people_lock import people_stay
from core.schema import batch, campaign_version, customer, message, run, schedule
from suppression.policy import Policy

#: PostgreSQL channel on which the scheduler hears that there is work.
WORK_CHANNEL = "clarion_work"
#: Frozen audiences from here on refresh the planner's statistics: without that a claim costs ten times as much.
_ANALYZE_FROM = 1000


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was made."""

    run_id: int
    campaign: str
    counts: Counts


@dataclass(slots=True)
class _Work:
    """What the stages of one campaign share while they run."""

    connection: Connection
    now: datetime
    policy: Policy
    started: Started | None = None


def apply_reviewed(
    connection: Connection,
    catalogue: Catalogue,
    reviewed: Iterable[Reviewed],
    now: datetime,
    *,
    actor: str = audit.ITSELF,
) -> list[Started]:
    """Exactly what was reviewed is under way; the runs that were made are returned.

    Atomic: yes, over all campaigns. Repeat: safe; what was applied has nothing pending any more.

    Raises:
        StalePlan: files, people or permissions changed since; nothing was done.
    """
    items = sorted(reviewed, key=lambda item: item.campaign)
    people_stay(connection)
    policy, batch_size = Policy.of(catalogue.settings), catalogue.settings.workers.batch_size
    pinned = [(_unchanged(catalogue, item), item) for item in items]
    for item in items:  # in one order, so that two applications never wait for each other
        lock_campaign(connection, item.campaign)
    duplicates.lock_pieces(connection, [version for version, _ in pinned], policy)
    started: list[Started] = []
    for version, item in sorted(pinned, key=lambda one: applied_by(one[0])):
        plan = plan_version(connection, version, now, batch_size, policy)
        if _was_applied(connection, item, plan):
            continue
        broadcast = catalogue.campaign(item.campaign).kind == "broadcast"
        if broadcast and (plan.stages or item.pending) and plan.counts.digest != item.counts.digest:
            raise StalePlan(_moved(item.campaign, item.counts, plan.counts), hint="make the plan again and review it")
        if not plan.stages:
            continue
        begun = apply_plan(connection, plan, now, policy)
        _note(connection, begun, version, actor, now)
        started += begun
    return started


def _note(connection: Connection, started: Iterable[Started], version: Version, actor: str, now: datetime) -> None:
    for one in started:
        audit.record(
            connection, actor, "campaign.start", f"campaign:{one.campaign}", at=now, run=one.run_id,
            segment=version.definition.people.segment, audience=one.counts.audience, would_send=one.counts.would_send,
            fingerprint=version.fingerprint,
        )  # fmt: skip


def _unchanged(catalogue: Catalogue, item: Reviewed) -> Version:
    version = versions.pin(catalogue, item.campaign)
    if version.fingerprint != item.fingerprint:
        raise StalePlan(f"{item.campaign}: its files changed since the plan was made", hint="make the plan again")
    return version


def _was_applied(connection: Connection, item: Reviewed, plan: CampaignPlan) -> bool:
    """A run froze exactly the reviewed audience of this version, and by now a plan would say something else."""
    if plan.counts.digest == item.counts.digest:
        return False
    applied = (
        select(run.c.id)
        .join(campaign_version, campaign_version.c.id == run.c.version_id)
        .where(
            run.c.campaign == item.campaign,
            run.c.digest == item.counts.digest,
            campaign_version.c.fingerprint == item.fingerprint,
        )
    )
    return connection.execute(applied).first() is not None


def _moved(campaign: str, before: Counts, after: Counts) -> str:
    return (
        f"{campaign}: the audience changed since the plan was made "
        f"(planned {before.would_send:,} of {before.audience:,}, now {after.would_send:,} of {after.audience:,})"
    )


def apply_plan(connection: Connection, plan: CampaignPlan, now: datetime, policy: Policy) -> list[Started]:
    """The stages of one campaign's plan are carried out, in order."""
    work = _Work(connection, now, policy)
    for stage in plan.stages:
        carry_out(stage, work)
    return [work.started] if work.started else []


def start_occurrence(
    connection: Connection, version_id: int, occurrence: str, now: datetime, batch_size: int, policy: Policy
) -> Started | None:
    """The run of one tick of a recurring campaign is under way; None when it already was. Repeat: safe."""
    people_stay(connection)
    version = versions.fetch(connection, version_id)
    lock_campaign(connection, version.campaign)
    known = select(run.c.id).where(run.c.campaign == version.campaign, run.c.occurrence == occurrence)
    if connection.execute(known).scalar() is not None:
        return None
    work = _Work(connection, now, policy)
    shares = version.definition.rollout.stages if version.definition.rollout else ()
    for stage in (FreezeAudience(version, occurrence, None), CutBatches(None, batch_size, shares)):
        carry_out(stage, work)
    _hold_if_too_many(work, version)
    _note(connection, [work.started] if work.started else [], version, audit.ITSELF, now)
    return work.started


def _hold_if_too_many(work: _Work, version: Version) -> None:
    """A tick has no reviewer: a run above the campaign's limit is paused until a person resumes or cancels it."""
    limit, started = version.definition.limits.max_audience, work.started
    if started is None or limit is None or started.counts.would_send <= limit:
        return
    fault = f"{started.counts.would_send:,} people would be written to (limits.max_audience: {limit:,})"
    work.connection.execute(update(run).where(run.c.id == started.run_id).values(state="paused", fault=fault))


def lock_campaign(connection: Connection, campaign: str) -> None:
    """Applications of one campaign wait for each other until the end of their transaction."""
    advisory.hold(connection, "campaign:" + campaign)


def carry_out(stage: Stage, work: _Work) -> None:
    """The stage is done within the work's transaction."""
    RUN[type(stage)](stage, work)


def _run_freeze(stage: FreezeAudience, work: _Work) -> None:
    connection, version, now = work.connection, stage.version, work.now
    version_id = versions.store(connection, version)
    duplicates.lock_pieces(connection, [version], work.policy)
    starts_at = first_instant(version, now) or now
    run_id = connection.execute(
        insert(run)
        .values(
            campaign=version.campaign,
            version_id=version_id,
            step=SEND_STEP,
            occurrence=stage.occurrence,
            state="running",
            digest="",
            starts_at=starts_at,
            priority=version.definition.limits.priority,
        )
        .returning(run.c.id)
    ).scalar_one()
    _insert_messages(work, version, run_id, stage.occurrence)
    frozen = select(message.c.customer_id, message.c.address_key, message.c.skip_reason).where(
        message.c.run_id == run_id
    )
    counts = audience.counted(connection, frozen)
    if stage.counts is not None and counts.digest != stage.counts.digest:
        raise StalePlan(_moved(version.campaign, stage.counts, counts), hint="make the plan again and review it")
    connection.execute(
        update(run)
        .where(run.c.id == run_id)
        .values(
            audience=counts.audience,
            digest=counts.digest,
            valid_until=_valid_until(connection, version, run_id),
        )
    )
    key_accounts.leave_to_owners(connection, run_id, version.definition.consent_topic, work.policy, now)
    if counts.audience >= _ANALYZE_FROM:
        analyze(connection, "message")
    work.started = Started(run_id, version.campaign, counts)


def _insert_messages(work: _Work, version: Version, run_id: int, occurrence: str) -> None:
    connection, now = work.connection, work.now
    rows = audience.decided(version, occurrence, now, work.policy)
    connection.execute(text("SET LOCAL work_mem = '256MB'"))
    start = first_instant(version, now) or now
    names = [
        "run_id",
        "campaign",
        "step",
        "occurrence",
        "customer_id",
        "address_key",
        "state",
        "skip_reason",
        "not_before",
    ]
    state = cast(case((rows.c.skip_reason.is_(None), "planned"), else_="skipped"), message.c.state.type)
    query = select(
        literal(run_id),
        literal(version.campaign),
        literal(SEND_STEP),
        literal(occurrence),
        rows.c.customer_id,
        rows.c.address_key,
        state,
        rows.c.skip_reason,
        literal(start),
    ).order_by(rows.c.customer_id)
    connection.execute(insert(message).from_select(names, query))
    _set_recipient_times(connection, version, run_id, now)


def _set_recipient_times(connection: Connection, version: Version, run_id: int, now: datetime) -> None:
    """Every message waits for its recipient's own local time, where the campaign asks for that."""
    if not in_recipient_zone(version):
        return
    mine = (message.c.run_id == run_id) & (message.c.customer_id == customer.c.id)
    zones = connection.execute(select(customer.c.zone).where(mine).distinct()).scalars().all()
    for zone, instant in instants_by_zone(version, zones, now).items():
        same = customer.c.zone.is_(None) if zone is None else customer.c.zone == zone
        connection.execute(update(message).where(mine, same).values(not_before=instant))


def _valid_until(connection: Connection, version: Version, run_id: int) -> datetime | None:
    valid_for = version.definition.limits.valid_for
    if valid_for is None:
        return None
    last = connection.execute(select(func.max(message.c.not_before)).where(message.c.run_id == run_id)).scalar()
    return last + valid_for if last else None


_CUT = text("""
    INSERT INTO batch (run_id, message_ids, not_before)
    SELECT :run_id, array_agg(id ORDER BY id), not_before
    FROM (
        SELECT id, not_before, (row_number() OVER (PARTITION BY not_before ORDER BY id) - 1) / :size AS slice
        FROM message WHERE run_id = :run_id AND state = 'planned'
    ) AS waiting
    GROUP BY not_before, slice ORDER BY not_before, slice
""")


def _run_batches(stage: CutBatches, work: _Work) -> None:
    if work.started is None:
        raise PlanError("batches are cut from a frozen audience, and none was frozen")
    if stage.shares:
        people = work.started.counts.would_send
        rollout.cut(work.connection, work.started.run_id, stage.shares, people=people, size=stage.size)
    else:
        work.connection.execute(_CUT, {"run_id": work.started.run_id, "size": stage.size})
    work.connection.execute(text(f"NOTIFY {WORK_CHANNEL}"))
    _finish_if_empty(work.connection, work.started.run_id, work.now)


def _finish_if_empty(connection: Connection, run_id: int, now: datetime) -> None:
    """A run nobody of which would be sent to is finished at once."""
    open_batches = select(batch.c.id).where(batch.c.run_id == run_id).exists()
    connection.execute(update(run).where(run.c.id == run_id, ~open_batches).values(state="finished", finished_at=now))


def _run_register(stage: Register, work: _Work) -> None:
    version_id = versions.store(work.connection, stage.version)
    definition = stage.version.definition
    cron = definition.schedule.cron if definition.schedule else None
    values = {"version_id": version_id, "cron": cron, "zone": zone_of(stage.version)}
    statement = upsert(schedule).values(campaign=stage.version.campaign, since=work.now, **values)
    # A new version of a paused campaign stays paused; of a cancelled one, its reviewed plan is the order to begin.
    again = case((schedule.c.state == "cancelled", "active"), else_=schedule.c.state)
    changed: dict[str, Any] = values | {"state": again, "fault": None}
    work.connection.execute(statement.on_conflict_do_update(index_elements=["campaign"], set_=changed))
    work.connection.execute(text(f"NOTIFY {WORK_CHANNEL}"))


RUN: Final[dict[type, Callable[[Any, _Work], None]]] = {
    FreezeAudience: _run_freeze,
    CutBatches: _run_batches,
    Register: _run_register,
}
