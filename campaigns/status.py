"""The counts of the ledger for a campaign; `balance` proves them."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Text, cast, func, select, true

from campaigns import balance
from campaigns.doubts import doubts
from campaigns.events.invitation import PREFIX
from campaigns.rollout import Place, place_of
from campaigns.states import OPEN, State
from campaigns.versions import SEND_STEP
from core.errors import NotFound, TransportError
from core.schema import attempt, batch, campaign_version, customer, event, message, run, schedule
from core.settings import Settings
from delivery.routes import ways

#: States after acceptance: what the receiver did later does not take it back.
TAKEN: Final = (State.ACCEPTED, State.DELIVERED, State.BOUNCED, State.COMPLAINED)


@dataclass(frozen=True, slots=True)
class Status:
    """One run's ledger. `broken` lists the rules that do not hold; empty: it balances."""

    campaign: str
    run: int
    state: str
    fault: str | None  # why its messages cannot go at present
    occurrence: str
    starts_at: datetime
    audience: int
    states: Mapping[str, int]  # every state but skipped; `claimed`: planned, in a batch that a worker holds
    skipped: Mapping[str, int]
    broken: tuple[str, ...]
    rollout: Place | None = None  # where a staged run is; None: it is not staged
    held: Mapping[str, int] = field(default_factory=dict)  # of those that wait: who is held, by the reason
    step: str = SEND_STEP

    @property
    def balanced(self) -> bool:
        return not self.broken

    @property
    def is_one_of_several(self) -> bool:
        """Whether other runs send other mails of the same campaign, such as those of an event."""
        return self.step != SEND_STEP

    @property
    def open(self) -> int:
        """Messages that still have something ahead of them."""
        return sum(self.states[state] for state in ("claimed", *OPEN))

    def document(self) -> dict[str, Any]:
        """The public form: `accepted` counts everything the transport took, whatever came back later."""
        taken = sum(self.states[state] for state in TAKEN)
        named = {state: self.states[state] for state in ("planned", "claimed", "handed_over")}
        later = {state: self.states[state] for state in ("deferred", "failed", "unknown")}
        return {
            "campaign": self.campaign,
            "run": self.run,
            "step": self.step,
            "state": self.state,
            "fault": self.fault,
            "occurrence": self.occurrence,
            "starts_at": self.starts_at,
            "stage": self.rollout.stage if self.rollout else None,
            "stages": self.rollout.stages if self.rollout else None,
            "next_stage_at": self.rollout.next_at if self.rollout else None,
            "audience": self.audience,
            **named,
            "accepted": taken,
            **later,
            "delivered": self.states["delivered"],
            "bounced": self.states["bounced"],
            "complained": self.states["complained"],
            "held": dict(self.held),
            "skipped": dict(self.skipped),
            "balanced": self.balanced,
            "broken": list(self.broken),
        }


#: What runs of several steps come to together.
_SUMS: Final = (
    "audience", "planned", "claimed", "handed_over", "accepted", "deferred", "failed", "unknown", "delivered",
    "bounced", "complained",
)  # fmt: skip


def summed(rows: Sequence[Status]) -> dict[str, Any]:
    """The counts of runs of several steps, newest first, added up, and the public form of each as `runs`."""
    documents = [row.document() for row in rows]
    by_reason = {key: _added([document[key] for document in documents]) for key in ("held", "skipped")}
    return {
        "run": documents[0]["run"] if documents else None,
        "step": None,
        **{key: sum(document[key] for document in documents) for key in _SUMS},
        **by_reason,
        "balanced": all(row.balanced for row in rows),
        "broken": [f"run {row.run}: {rule}" for row in rows for rule in row.broken],
        "runs": documents,
    }


def _added(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for reason, number in part.items():
            total[reason] = total.get(reason, 0) + number
    return total


def in_ledger(connection: Connection, name: str) -> str:
    """What the ledger calls the mailings of `name`: those of an event have a name of their own."""
    ran = select(run.c.id).where(run.c.campaign == name).limit(1)
    held = select(event.c.name).where(event.c.name == name)
    is_event = connection.execute(ran).first() is None and connection.execute(held).first() is not None
    return PREFIX + name if is_event else name


def statuses(connection: Connection, campaign: str | None = None) -> list[Status]:
    """One status per run, newest first; of one campaign or all.

    Raises:
        NotFound: the named campaign never ran; why, where it ought to have.
    """
    query = select(run.c.id).order_by(run.c.id.desc())
    if campaign is not None:
        query = query.where(run.c.campaign == campaign)
    ids = list(connection.execute(query).scalars())
    if campaign is not None and not ids:
        fault = schedule_fault(connection, campaign)
        hint = fault or "start it with `clarion send` or `clarion apply`"
        raise NotFound(f"campaign {campaign!r} has not run", hint=hint)
    return [status_of(connection, run_id) for run_id in ids]


def status_of(connection: Connection, run_id: int) -> Status:
    """The status of one run, with every rule of the ledger checked."""
    row = connection.execute(select(run).where(run.c.id == run_id)).mappings().one()
    query = (
        select(message.c.state, message.c.skip_reason, func.count().label("heads"))
        .where(message.c.run_id == run_id)
        .group_by(message.c.state, message.c.skip_reason)
    )
    states = {state.value: 0 for state in State if state != State.SKIPPED} | {"claimed": 0}
    skipped: dict[str, int] = {}
    for state, reason, heads in connection.execute(query):
        if state == State.SKIPPED:
            skipped[reason] = heads
        else:
            states[state] += heads
    states["claimed"] = _claimed(connection, run_id)
    states["planned"] -= states["claimed"]
    # The audience of an open-ended run was never frozen: it is whoever has a message so far.
    audience = row["audience"] if not row["open_ended"] else sum(states.values()) + sum(skipped.values())
    broken = tuple(balance.broken(connection, row["id"], row["state"], audience, states, skipped))
    return Status(
        row["campaign"],
        run_id,
        row["state"],
        row["fault"],
        row["occurrence"],
        row["starts_at"],
        audience,
        states,
        dict(sorted(skipped.items(), key=lambda item: (-item[1], item[0]))),
        broken,
        place_of(connection, run_id),
        _held(connection, run_id),
        row["step"],
    )


#: States that the last attempt explains.
_TOLD: Final = (State.DEFERRED, State.FAILED, State.UNKNOWN, State.BOUNCED)


def who(connection: Connection, rows: Sequence[Status], asked: str, secret: bytes) -> list[dict[str, Any]]:
    """The people of the runs behind a count, by external id: `customer step state reason since`. `asked`: a state, or
    a reason why people were skipped or are held. The reason may be what a server said. Those in doubt have a
    `message_id`, too, as it stands in the mail."""
    words = func.concat_ws(" ", attempt.c.code, attempt.c.reply).label("words")
    of_message = (attempt.c.message_id == message.c.id) & message.c.state.in_(_TOLD)
    newest = (attempt.c.number.desc(), attempt.c.answered_at.desc())
    last = select(words).where(of_message).order_by(*newest).limit(1).lateral("last_attempt")
    kept = func.coalesce(message.c.skip_reason, message.c.hold_reason)
    fits: ColumnElement[bool] = (cast(message.c.state, Text) == asked) | (kept == asked)
    if asked == "held":
        fits = message.c.hold_reason.is_not(None)
    since = func.coalesce(message.c.held_at, message.c.state_at)
    query = (
        select(
            message.c.id, customer.c.external_id.label("customer"), message.c.step, message.c.state,
            func.coalesce(kept, func.nullif(last.c.words, "")).label("reason"), since.label("since"),
        )
        .join_from(message, customer, customer.c.id == message.c.customer_id)
        .outerjoin(last, true())
        .where(message.c.run_id.in_([row.run for row in rows]), fits)
        .order_by(customer.c.external_id, message.c.id)
    )  # fmt: skip
    people = [dict(row) for row in connection.execute(query).mappings()]
    ids = [person.pop("id") for person in people]
    if asked != State.UNKNOWN or not people:
        return people
    names = {doubt.id: f"<{doubt.message_id}>" for doubt in doubts(connection, secret, campaign=rows[0].campaign)}
    return [person | {"message_id": names.get(id_)} for id_, person in zip(ids, people, strict=True)]


def ways_of(connection: Connection, settings: Settings, runs: Sequence[int]) -> set[str]:
    """The transports that carry messages of the runs; none of a route that is no more."""
    route = campaign_version.c.definition["transport"].astext
    query = select(route).distinct().join(run).where(run.c.id.in_(runs), route.is_not(None))
    found: set[str] = set()
    for name in connection.execute(query).scalars():
        with contextlib.suppress(TransportError):
            found |= set(ways(settings, name))
    return found


def _held(connection: Connection, run_id: int) -> dict[str, int]:
    """Messages that wait beyond their time, by what holds them."""
    query = (
        select(message.c.hold_reason, func.count().label("heads"))
        .where(message.c.run_id == run_id, message.c.hold_reason.is_not(None))
        .group_by(message.c.hold_reason)
        .order_by(func.count().desc(), message.c.hold_reason)
    )
    return {row.hold_reason: row.heads for row in connection.execute(query)}


def _claimed(connection: Connection, run_id: int) -> int:
    """Planned messages in the hands of workers."""
    held = select(func.unnest(batch.c.message_ids)).where(batch.c.run_id == run_id, batch.c.state == "claimed")
    query = select(func.count()).where(message.c.id.in_(held), message.c.state == State.PLANNED)
    return int(connection.execute(query).scalar_one())


def scheduled(connection: Connection) -> list[dict[str, Any]]:
    """The recurring campaigns the scheduler knows: campaign, cron, zone, state, and why they do not begin."""
    query = (
        select(
            schedule.c.campaign,
            schedule.c.cron,
            schedule.c.zone,
            schedule.c.state,
            schedule.c.fault,
            campaign_version.c.fingerprint,
        )
        .join(campaign_version, campaign_version.c.id == schedule.c.version_id)
        .order_by(schedule.c.campaign)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def schedule_fault(connection: Connection, campaign: str) -> str | None:
    """Why a recurring campaign does not begin though it is due; None: nothing is known against it."""
    fault = connection.execute(select(schedule.c.fault).where(schedule.c.campaign == campaign)).scalar()
    return None if fault is None else f"the run that is due could not be started: {fault}"
