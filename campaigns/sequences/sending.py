"""What a send step does: a message for everybody who comes to it, decided by the same gate as every audience.

Each step of a version has one open-ended run; its messages have the passage as their occurrence. Writes `run`,
`message` and `batch`, in the transaction that moves the passages on: no message without its step, and no step without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    DateTime,
    Interval,
    Text,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from campaigns import audience, duplicates, holding, key_accounts, versions
from campaigns.runs import WORK_CHANNEL, lock_campaign
from campaigns.sequences.passages import Passage
from campaigns.sequences.versions import Standing
from campaigns.versions import Version
from core.arrays import Ids, among
from core.database import analyze
from core.schema import customer, enrolment, message, run
from suppression.care import KEY_ACCOUNT
from suppression.policy import Policy

EXPIRED: Final = "expired"
#: The occurrence of the run of a step: messages are added as people come.
OPEN_ENDED: Final = "open"
#: So many messages of a new run refresh the planner's statistics: without that a claim costs ten times as much.
_ANALYZE_FROM: Final = 5_000


@dataclass(frozen=True, slots=True)
class Post:
    """What sending goes by beside the people."""

    connection: Connection
    standing: Standing
    now: datetime
    policy: Policy
    batch_size: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a send step, and for whom. `message_ids`: of each of them; empty where none is this step's."""

    outcome: str
    people: list[Passage]
    message_ids: list[int]


def send(post: Post, step: str, people: Sequence[Passage]) -> list[Sent]:
    """Each of the passages has its message of the step, to be sent or skipped with its reason; workers are told.

    Of two passages of one customer the caller gives one at a time, and has locked the sequence's pieces.
    """
    connection, version_id = post.connection, post.standing.sends[step]
    version = versions.fetch(connection, version_id)
    run_id, is_new = _open_run(post, step, version_id)
    ids = [passage.id for passage in people]
    rows = _inserted(post, version, step, run_id, people)
    if len(rows) < len(people):  # somebody at the same address was quicker
        rows += _inserted_as_twins(post, step, run_id, ids, [row.customer_id for row in rows])
    planned = sorted(message_id for message_id, _, reason in rows if reason is None)
    if is_new and len(planned) >= _ANALYZE_FROM:
        analyze(connection, "message")
    _to_be_sent(post, run_id, planned)
    accounts = [row.id for row in rows if row.skip_reason == KEY_ACCOUNT]
    if accounts:
        topic = version.definition.consent_topic
        key_accounts.leave_to_owners(connection, run_id, topic, post.policy, post.now, only=accounts)
    return _by_outcome(people, rows)


def _by_outcome(people: Sequence[Passage], rows: Sequence[Any]) -> list[Sent]:
    left = {passage.customer_id: passage for passage in people}
    found: dict[str | None, Sent] = {}
    for message_id, customer_id, reason in rows:
        sent = found.get(reason)
        if sent is None:
            sent = found[reason] = Sent("sent" if reason is None else f"skipped:{reason}", [], [])
        sent.people.append(left.pop(customer_id))
        sent.message_ids.append(message_id)
    # Of two customers who were merged the other one's message may stand in this passage's place.
    return [*found.values(), Sent(f"skipped:{audience.ALREADY_MESSAGED}", list(left.values()), [])]


def _open_run(post: Post, step: str, version_id: int) -> tuple[int, bool]:
    """The step's run, held open until this transaction ends, and whether it is new: made when there was none."""
    connection = post.connection
    taking = (
        select(run.c.id)
        .where(
            run.c.campaign == post.standing.sequence, run.c.step == step, run.c.version_id == version_id,
            run.c.open_ended, run.c.state.in_(("running", "paused")),
        )
        .order_by(run.c.id.desc())
        .limit(1)
        .with_for_update(read=True)
    )  # fmt: skip
    found = connection.execute(taking).scalar()
    if found is None:
        lock_campaign(connection, post.standing.sequence)  # the first two make one run
        found = connection.execute(taking).scalar()
    if found is None:
        values = {
            "campaign": post.standing.sequence, "version_id": version_id, "step": step, "occurrence": OPEN_ENDED,
            "state": "running", "digest": "", "starts_at": post.now, "created_at": post.now, "open_ended": True,
            "priority": post.standing.definition.limits.priority,
        }  # fmt: skip
        return int(connection.execute(insert(run).values(**values).returning(run.c.id)).scalar_one()), True
    return int(found), False


# --- who gets one ------------------------------------------------------------------------------------------------


def occurrence() -> ColumnElement[str]:
    """SQL over `enrolment`: what tells the messages of two passages of one customer apart."""
    number = cast(enrolment.c.number, Text)
    return case((enrolment.c.entry_key == "", number), else_=enrolment.c.entry_key + "#" + number)


def _people(ids: Sequence[int]) -> CTE:
    columns = [enrolment.c[name] for name in ("customer_id", "nominal_at", "given")]
    people = select(*columns, occurrence().label("occurrence")).where(among(enrolment.c.id, ids))
    return people.cte("people").prefix_with("MATERIALIZED")


def _decided(post: Post, version: Version, step: str, people: CTE, customer_ids: Sequence[int]) -> CTE:
    """customer_id, address_key and skip_reason of each of the people, as `audience.decided` has them.

    The customers are named by their ids beside the people, and these joined to them from outside: otherwise the planner
    reads all customers, and with an inner join it would expect next to nobody.
    """
    now, policy, which = post.now, post.policy, duplicates.one_per(version, post.policy)
    reason = func.coalesce(
        audience.reason(
            version, people.c.occurrence, now, policy,
            gets_piece=duplicates.got_piece(version, now, policy),
            dropped=holding.dropped(version, now, policy),
            steps=_names(post, step),
        ),
        _expired(version, people, now),
    )  # fmt: skip
    # Of two customers who share an address each passage has a message of its own kind: another order, another mail.
    twins = [(cast(key, Text) + "|" + people.c.occurrence).label(key.name) for key in duplicates.keys(customer, which)]
    gated = select(customer.c.id.label("customer_id"), customer.c.address_key, reason.label("skip_reason"), *twins)
    gated = gated.outerjoin_from(customer, people, customer.c.id == people.c.customer_id)
    gated = gated.where(among(customer.c.id, customer_ids))
    alone = duplicates.without_twins(gated.cte("gated").prefix_with("MATERIALIZED"), which)
    return holding.dropped_in_turn(alone, version, now, policy)


def _names(post: Post, step: str) -> tuple[str, ...]:
    """The step's name, and the one it had before: who got it then has it."""
    former = post.standing.definition.steps[step].renamed_from
    return (step,) if former is None else (step, former)


def _expired(version: Version, people: CTE, now: datetime) -> ColumnElement[str | None]:
    """What comes so late that nobody wants it any more, such as after a pause."""
    valid_for = version.definition.limits.valid_for
    if valid_for is None:
        return literal(None, Text)
    return case((people.c.nominal_at + literal(valid_for, Interval) < now, literal(EXPIRED)))


_NAMES: Final = (
    "run_id", "campaign", "step", "occurrence", "customer_id", "address_key", "state", "skip_reason", "not_before",
    "state_at", "given",
)  # fmt: skip


def _inserted(post: Post, version: Version, step: str, run_id: int, passages: Sequence[Passage]) -> list[Any]:
    people = _people([passage.id for passage in passages])
    rows = _decided(post, version, step, people, [passage.customer_id for passage in passages])
    state = cast(case((rows.c.skip_reason.is_(None), "planned"), else_="skipped"), message.c.state.type)
    return _messages(post, step, run_id, people, rows, state, rows.c.skip_reason)


def _inserted_as_twins(post: Post, step: str, run_id: int, ids: Sequence[int], known: Sequence[int]) -> list[Any]:
    """Those who have none: their address got one of this step and occurrence a moment ago."""
    people = _people(ids)
    rows = select(customer.c.id.label("customer_id"), customer.c.address_key).where(
        customer.c.id.in_(select(people.c.customer_id)), ~among(customer.c.id, known)
    )
    state = cast("skipped", message.c.state.type)
    return _messages(post, step, run_id, people, rows.cte("rows"), state, literal(audience.ALREADY_MESSAGED, Text))


def _messages(
    post: Post,
    step: str,
    run_id: int,
    people: CTE,
    rows: CTE,
    state: ColumnElement[Any],
    skip_reason: ColumnElement[Any],
) -> list[Any]:
    query = (
        select(
            literal(run_id), literal(post.standing.sequence), literal(step), people.c.occurrence, rows.c.customer_id,
            rows.c.address_key, state, skip_reason, literal(post.now, DateTime(timezone=True)),
            literal(post.now, DateTime(timezone=True)), case((people.c.given != text("'{}'::jsonb"), people.c.given)),
        )
        .join_from(rows, people, people.c.customer_id == rows.c.customer_id)
        .order_by(rows.c.customer_id)
    )  # fmt: skip
    added = upsert(message).from_select(list(_NAMES), query).on_conflict_do_nothing()
    returned = added.returning(message.c.id, message.c.customer_id, message.c.skip_reason)
    return list(post.connection.execute(returned).all())


# --- to the workers ----------------------------------------------------------------------------------------------

_CUT: Final = text("""
    INSERT INTO batch (run_id, message_ids, not_before)
    SELECT :run_id, array_agg(id ORDER BY id), :now
    FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / :size AS slice FROM unnest(:ids) AS m (id)) AS waiting
    GROUP BY slice ORDER BY slice
""").bindparams(bindparam("ids", type_=Ids), bindparam("now", type_=DateTime(timezone=True)))


def _to_be_sent(post: Post, run_id: int, planned: Sequence[int]) -> None:
    if not planned:
        return
    given = {"run_id": run_id, "now": post.now, "size": post.batch_size, "ids": list(planned)}
    post.connection.execute(_CUT, given)
    post.connection.execute(text(f"NOTIFY {WORK_CHANNEL}"))
