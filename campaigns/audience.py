"""The audience of one step, decided person by person in one statement: who gets it, and why the others do not.

The plan counts this statement, the freeze inserts it: they cannot disagree.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, ColumnElement, Connection, Select, case, exists, func, literal, select

from campaigns import duplicates, holding
from campaigns.timing import TIME_PASSED, has_passed
from campaigns.versions import SEND_STEP, Version
from core.schema import customer, message
from segments.membership import audience
from suppression.contacts import Ahead
from suppression.gate import skip_reason
from suppression.mailboxes import unfit
from suppression.policy import Policy

#: The skip reason this module adds to those of the gate; `duplicates` and `timing` have others.
ALREADY_MESSAGED = "already_messaged"


@dataclass(frozen=True, slots=True)
class Counts:
    """Heads of one decided audience: `would_send` + the sum of `skipped` is everybody."""

    audience: int
    would_send: int
    skipped: Mapping[str, int]
    digest: str  # of who is in it and what was decided; the same people and decisions give the same text
    held: Mapping[str, int] = field(default_factory=dict)  # of `would_send`: who would wait at first, by the reason
    skipped_later: Mapping[str, int] = field(
        default_factory=dict
    )  # of `would_send`: who would wait longer than they may


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a campaign will have sent that is planned together with another one, and applied before it."""

    piece: str
    messages: Ahead


def decided(
    version: Version,
    occurrence: str,
    now: datetime,
    policy: Policy,
    *,
    only: ColumnElement[bool] | None = None,
    earlier: Sequence[Earlier] = (),
) -> CTE:
    """One row per person of the audience: customer_id, address_key, skip_reason (NULL: would be sent).

    Of several customers at one address, or of one person, household or company where the campaign says so, the one
    known longest is kept. `only` restricts the customers that are looked at; it must keep those together on whom a
    decision depends (`holding.depends_on`). `earlier`: the campaigns planned before this one.
    """
    which = duplicates.one_per(version, policy)
    same_piece = [one.messages.people for one in earlier if one.piece == version.piece]
    gets_piece = duplicates.got_piece(version, now, policy, same_piece)
    ahead = [one.messages for one in earlier]
    dropped = holding.dropped(version, now, policy, ahead)
    alone = duplicates.without_twins(_gated(version, occurrence, now, policy, gets_piece, dropped, only), which)
    left = holding.dropped_in_turn(alone, version, now, policy, ahead)
    return select(left.c.customer_id, left.c.address_key, left.c.skip_reason).cte("decided")


def _gated(
    version: Version,
    occurrence: str,
    now: datetime,
    policy: Policy,
    gets_piece: ColumnElement[bool],
    dropped: ColumnElement[str | None],
    only: ColumnElement[bool] | None,
) -> CTE:
    """The members of the segment who are in no excluded one, each with what the gate says, and what they share."""
    definition, vocabulary, which = version.definition, version.vocabulary, duplicates.one_per(version, policy)
    why_not = reason(version, literal(occurrence), now, policy, gets_piece=gets_piece, dropped=dropped)
    query = select(customer.c.id.label("customer_id"), customer.c.address_key, why_not.label("skip_reason"))
    query = query.add_columns(*duplicates.keys(customer, which))
    query = query.where(customer.c.id.in_(audience(definition.people.segment, vocabulary, now=now)))
    for excluded in definition.people.exclude:
        query = query.where(customer.c.id.not_in(audience(excluded, vocabulary, now=now)))
    gated = (query if only is None else query.where(only)).cte("gated")
    return gated.prefix_with("MATERIALIZED")  # inlined, the gate would be asked once per use of the reason


def reason(
    version: Version,
    occurrence: ColumnElement[str],
    now: datetime,
    policy: Policy,
    *,
    gets_piece: ColumnElement[bool],
    dropped: ColumnElement[str | None],
    steps: Collection[str] = (SEND_STEP,),
) -> ColumnElement[str | None]:
    """SQL over `customer`: why somebody gets no message of this step and occurrence; NULL: nothing stands against it.

    `steps`: the step's name, and those it had before.
    Of others who come to it at the same time it says nothing (`duplicates.without_twins`).
    """
    gate = skip_reason(
        customer.c.id, customer.c.address_key,
        topic=version.definition.consent_topic, campaign=version.campaign, now=now, policy=policy,
        by_behaviour=version.by_behaviour,
    )  # fmt: skip
    return func.coalesce(
        gate,
        unfit(customer.c.email, policy.mailboxes, is_bulk=True),
        case((_messaged(version, occurrence, steps), literal(ALREADY_MESSAGED))),
        case((has_passed(version, now), literal(TIME_PASSED))),
        duplicates.messaged_twin(version, occurrence, duplicates.one_per(version, policy), steps),
        case((gets_piece, literal(duplicates.DUPLICATE_PIECE))),
        dropped,
    )


def _messaged(version: Version, occurrence: ColumnElement[str], steps: Collection[str]) -> ColumnElement[bool]:
    """The address has a message of this campaign, step and occurrence (index uq_message_address)."""
    return exists().where(
        message.c.campaign == version.campaign,
        message.c.step.in_(steps),
        message.c.occurrence == occurrence,
        message.c.address_key == customer.c.address_key,
        message.c.skip_reason.is_(None),
    )


def count(
    connection: Connection,
    version: Version,
    occurrence: str,
    now: datetime,
    policy: Policy,
    earlier: Sequence[Earlier] = (),
) -> Counts:
    """The heads of the audience as it would be decided now; nothing is written."""
    rows = decided(version, occurrence, now, policy, earlier=earlier)
    if not holding.may_hold(connection, version, policy):
        return counted(connection, select(rows.c.customer_id, rows.c.address_key, rows.c.skip_reason))
    groups = _grouped(connection, holding.asked(rows, version, now, policy, [one.messages for one in earlier]))
    told = holding.forecast([group for group in groups if group.skip_reason is None], version, now, policy)
    return replace(_summed(groups), held=told.held, skipped_later=told.skipped_later)


def counted(connection: Connection, rows: Select[Any]) -> Counts:
    """The heads and the digest of decided rows (customer_id, address_key, skip_reason)."""
    return _summed(_grouped(connection, rows))


def _grouped(connection: Connection, rows: Select[Any]) -> Sequence[Any]:
    """`skip_reason`, further columns that the rows have, and the `heads` and `fingerprint` of those who share them."""
    people = rows.subquery("people")
    decision = func.concat(people.c.customer_id, ":", people.c.address_key, ":", people.c.skip_reason)
    # A sum of 64-bit hashes does not depend on the order of rows, and needs no sort.
    fingerprint = func.sum(func.hashtextextended(decision, 0)).label("fingerprint")
    shared = [column for column in people.c if column.name not in ("customer_id", "address_key")]
    return connection.execute(select(*shared, func.count().label("heads"), fingerprint).group_by(*shared)).all()


def _summed(groups: Sequence[Any]) -> Counts:
    heads: Counter[str | None] = Counter()
    for group in groups:
        heads[group.skip_reason] += group.heads
    total = sum(int(group.fingerprint) for group in groups)
    would_send = heads.pop(None, 0)
    everybody = would_send + sum(heads.values())
    skipped = {
        str(reason): number for reason, number in sorted(heads.items(), key=lambda item: (-item[1], str(item[0])))
    }
    return Counts(everybody, would_send, skipped, f"{everybody}:{total & (1 << 128) - 1:032x}")
