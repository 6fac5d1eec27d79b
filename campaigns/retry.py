"""Failed messages are sent again when an operator says so: `clarion retry`.

Never those whose address a server says does not exist, nor those whom the gate forbids, nor those whose time is over.
A message keeps its Message-ID and goes on counting its attempts; a server that says "later" is asked as long as the
first time. Messages in doubt may have arrived, and so may failed ones of which an earlier hand-over was never answered:
for them the operator accepts that some people get it twice.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BIGINT,
    Boolean,
    Connection,
    Interval,
    RowMapping,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    select,
    text,
)

from campaigns.again import send_again, take_out
from core import audit
from core.errors import NotFound
from core.schema import attempt, batch, campaign_version, customer, message, run
from delivery.bounce_classes import BounceClass
from suppression.gate import skip_reason
from suppression.policy import Policy

#: Refusals without a class: no server spoke, or it could not be understood.
UNCLASSED: Final = "none"
#: What may be tried again. A hard refusal is not among them: the address does not exist.
CLASSES: Final = (*(kind.value for kind in BounceClass if kind is not BounceClass.HARD), UNCLASSED)


@dataclass(frozen=True, slots=True)
class Retry:
    """Messages that would be sent again, and how many would not, by the reason."""

    message_ids: Sequence[int]
    classes: Mapping[str, int]  # of those to be sent again
    left: Mapping[str, int]


def failed(connection: Connection, campaign: str, classes: Collection[str], now: datetime, policy: Policy) -> Retry:
    """The campaign's failed messages of these classes, but for those that may have arrived. Nothing is changed.

    Raises:
        NotFound: the campaign never ran.
    """
    return _looked_at(connection, campaign, "failed", classes, now, policy)


def in_doubt(connection: Connection, campaign: str, now: datetime, policy: Policy) -> Retry:
    """The campaign's messages in doubt, and failed ones that may have arrived. Nothing is changed.

    Raises:
        NotFound: the campaign never ran.
    """
    return _looked_at(connection, campaign, "unknown", CLASSES, now, policy)


def _looked_at(
    connection: Connection, campaign: str, state: str, classes: Collection[str], now: datetime, policy: Policy
) -> Retry:
    going: list[int] = []
    kinds: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for version in _versions(connection, campaign):
        for row in connection.execute(_judged(version, state, classes, now, policy)):
            if row.reason is None:
                going.append(row.id)
                kinds[row.bounce_class] += 1
            else:
                left[row.reason] += 1
    return Retry(sorted(going), dict(kinds.most_common()), dict(left.most_common()))


def _versions(connection: Connection, campaign: str) -> Sequence[RowMapping]:
    """What the campaign's runs are asked about; usually one row."""
    version = campaign_version.c
    query = (
        select(
            version.id, version.topic, version.message_class, version.by_behaviour, version.valid_for, run.c.campaign
        )
        .join(run, run.c.version_id == campaign_version.c.id)
        .where(run.c.campaign == campaign)
        .distinct()
    )
    rows = connection.execute(query).mappings().all()
    if not rows:
        raise NotFound(f"campaign {campaign!r} has not run", hint="start it with `clarion send` or `clarion apply`")
    return rows


#: SQL: whether a hand-over of the message `m` was never answered, since it was last planned by a person or a record.
_IN_DOUBT: Final = """
    EXISTS (SELECT FROM attempt AS a WHERE a.message_id = m.id AND a.outcome = 'unknown' AND NOT EXISTS (
        SELECT FROM attempt AS told WHERE told.message_id = m.id AND told.outcome <> 'unknown'
          AND (told.number = a.number OR told.outcome = 'planned' AND told.number > a.number)))
"""


def _judged(version: RowMapping, state: str, classes: Collection[str], now: datetime, policy: Policy) -> Any:
    """SQL: the messages of the version's runs in this state, their last class, and why one is left as it is."""
    mail = message.alias("m")
    in_doubt = literal_column(_IN_DOUBT, Boolean)
    asked = (mail.c.state == state) | (literal(state == "unknown") & (mail.c.state == "failed") & in_doubt)
    last = (
        select(attempt.c.bounce_class)
        .where(attempt.c.message_id == mail.c.id)
        .order_by(attempt.c.number.desc(), attempt.c.answered_at.desc())
        .limit(1)
        .lateral("last")
    )
    kind = func.coalesce(last.c.bounce_class, UNCLASSED)
    gate = skip_reason(
        mail.c.customer_id, mail.c.address_key, topic=version["topic"], campaign=version["campaign"], now=now,
        policy=policy, message_class=version["message_class"], by_behaviour=version["by_behaviour"],
    )  # fmt: skip
    reason = func.coalesce(
        case(
            (run.c.state == "cancelled", "cancelled"),
            (kind == BounceClass.HARD.value, literal("hard: the address does not exist")),
            (kind.not_in(list(classes)), literal("of another class: ") + kind),
            (in_doubt & literal(state == "failed"), "may have arrived: see --unknown"),
            (run.c.valid_until < now, "expired"),
            (mail.c.not_before + literal(version["valid_for"], Interval) < now, "expired"),
            (customer.c.address_key.is_distinct_from(mail.c.address_key), "address_changed"),
            (mail.c.id.in_(_in_hands(version["campaign"])), "its batch is being sent: try again in a minute"),
        ),
        gate,
    )
    return (
        select(mail.c.id, kind.label("bounce_class"), reason.label("reason"))
        .join(run, run.c.id == mail.c.run_id)
        .outerjoin(customer, customer.c.id == mail.c.customer_id)
        .outerjoin(last, literal(True))
        .where(run.c.version_id == version["id"], asked)
        .order_by(mail.c.id)
    )


def _in_hands(campaign: str) -> Any:
    """SQL: the messages of batches that workers hold."""
    held = select(func.unnest(batch.c.message_ids)).join(run, run.c.id == batch.c.run_id)
    return held.where(run.c.campaign == campaign, batch.c.state == "claimed")


_PLAN: Final = text("""
    WITH planned AS (
        UPDATE message SET state = 'planned', state_at = :now, held_at = NULL
        WHERE id = ANY(:ids) AND state IN ('failed', 'unknown')
        RETURNING id, attempt_count
    )
    INSERT INTO attempt (message_id, number, transport, worker, outcome, reply, answered_at)
    SELECT id, attempt_count, '', 'retry', 'planned', :why, :now FROM planned RETURNING message_id
""").bindparams(bindparam("ids", type_=ARRAY(BIGINT)))


def again(
    connection: Connection, campaign: str, retry: Retry, *, why: str, action: str, actor: str, size: int, now: datetime
) -> int:
    """The messages are planned again, each with an attempt that says `why`; how many is returned.

    Their finished runs are running again. One that changed since it was looked at, or that a worker has in hands, is
    left as it is. Atomic with the connection's transaction. Repeat: safe, what is planned is neither failed nor in
    doubt any more.
    """
    if not retry.message_ids:
        return 0
    free = take_out(connection, retry.message_ids)
    given = {"ids": free, "why": why, "now": now}
    planned = list(connection.execute(_PLAN, given).scalars())
    runs = send_again(connection, planned, anew=True, size=size, now=now)
    audit.record(
        connection, actor, action, f"campaign:{campaign}", at=now,
        messages=len(planned), runs=runs, classes=retry.classes,
    )  # fmt: skip
    return len(planned)
