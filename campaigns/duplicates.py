"""Who would get the same twice: at one address, as one person, household or company, and by other campaigns.

Customers are compared by equal keys and ranked by how long they are known, so a plan and the freeze that follows it
keep the same ones.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Text,
    and_,
    any_,
    case,
    column,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    table,
    text,
)

from campaigns.versions import SEND_STEP, Version
from core import advisory
from core.schema import campaign_version, customer, message, run
from suppression.policy import Policy, remembered

DUPLICATE_PIECE: Final = "duplicate_piece"

#: What a campaign may write to one of → its keys, the narrowest first: who is kept for one stands for the next.
LEVELS: Final = {
    "address": ("address",),
    "person": ("address", "person"),
    "household": ("address", "person", "household"),
    "company": ("address", "person", "company"),
}
#: In these states nobody got the message, and nobody will.
_CAME_TO_NOTHING: Final = ("failed", "bounced")


def one_per(version: Version, policy: Policy) -> str:
    """Of whom the campaign writes to one: its own word, else the workspace's."""
    return version.definition.limits.one_per or policy.one_per


def key_of(row: FromClause, level: str) -> ColumnElement[Any]:
    """SQL: what customers of a row of `customer` share at this level; NULL: nothing with anybody."""
    if level == "company":
        return func.nullif(func.lower(row.c.company), "")
    shared: ColumnElement[Any] = row.c["address_key" if level == "address" else level]
    return shared


def keys(row: FromClause, which: str) -> list[ColumnElement[Any]]:
    """SQL: the columns by which `without_twins` compares."""
    return [key_of(row, level).label(f"{level}_twin") for level in LEVELS[which]]


def without_twins(rows: CTE, which: str) -> CTE:
    """`rows` (customer_id, address_key, skip_reason and `keys`) in which one of those that share a key is left.

    The others are skipped as `duplicate_<level>`. Kept is who is known longest: the lowest number.
    """
    for level in LEVELS[which]:
        key = rows.c[f"{level}_twin"]
        first = (
            select(key.label("twin"), func.min(rows.c.customer_id).label("kept"))
            .where(rows.c.skip_reason.is_(None), key.is_not(None))
            .group_by(key)
            .cte(f"first_of_{level}")
        )
        is_twin = and_(rows.c.skip_reason.is_(None), first.c.kept != rows.c.customer_id)
        reason = case((is_twin, literal(f"duplicate_{level}", Text)), else_=rows.c.skip_reason).label("skip_reason")
        others = [each for each in rows.c if each.name != "skip_reason"]
        rows = select(*others, reason).select_from(rows.outerjoin(first, first.c.twin == key)).cte(f"one_per_{level}")
    return rows


def twins_of(customer_id: int, levels: Collection[str]) -> ColumnElement[bool]:
    """SQL over `customer`: everybody on whom it depends whether this customer is a twin of somebody at these levels."""
    found = select(customer.c.id).where(customer.c.id == customer_id).cte("asked_about")
    for level in (each for each in ("company", "household", "person", "address") if each in levels):
        near, far = customer.alias(), customer.alias()
        shared = select(key_of(near, level)).where(near.c.id.in_(select(found.c.id)), key_of(near, level).is_not(None))
        wanted = or_(far.c.id.in_(select(found.c.id)), key_of(far, level).in_(shared))
        found = select(far.c.id).where(wanted).cte(f"near_by_{level}")
    return customer.c.id.in_(select(found.c.id))


def messaged_twin(
    version: Version, occurrence: ColumnElement[str], which: str, steps: Collection[str] = (SEND_STEP,)
) -> ColumnElement[str | None]:
    """SQL over `customer`: `duplicate_<level>` when somebody who shares a key has a message of this campaign and
    occurrence, from an earlier freeze; NULL else. `steps`: the step's name, and those it had before."""
    ran = exists().where(run.c.campaign == version.campaign, run.c.step.in_(steps))
    if not version.is_open_ended:  # a run of many occurrences has no name of its own
        ran = ran.where(run.c.occurrence == occurrence)
    reasons = []
    for level in LEVELS[which]:
        if level == "address":  # `already_messaged`
            continue
        twin, sent = customer.alias(f"messaged_{level}"), message.alias(f"sent_{level}")
        found = (
            select(literal(True))
            .join_from(twin, sent, sent.c.customer_id == twin.c.id)
            .where(
                key_of(twin, level) == key_of(customer, level), sent.c.campaign == version.campaign,
                sent.c.step.in_(steps), sent.c.occurrence == occurrence, sent.c.skip_reason.is_(None),
            )
            .limit(1)
            .correlate_except(twin, sent)
            .scalar_subquery()
        )  # fmt: skip
        reasons.append((and_(ran, found), literal(f"duplicate_{level}", Text)))
    return case(*reasons) if reasons else literal(None, Text)


# --- pieces ------------------------------------------------------------------------------------------------------


def piece_memory(version: Version, policy: Policy) -> timedelta | None:
    """How long the piece the campaign sends is remembered of a person; None: for ever, zero: not at all."""
    own = version.definition.limits.piece_memory
    return policy.piece_memory if own is None else remembered(own)


def got_piece(
    version: Version, now: datetime, policy: Policy, earlier: Sequence[FromClause] = ()
) -> ColumnElement[bool]:
    """SQL over `customer`: the person got this very piece, or is about to, within the piece memory (N1).

    By other campaigns; by former occurrences of the campaign itself where its own `limits.piece_memory` asks for that.
    Counts what anybody got who is the same person, or at the same address. `earlier`: tables of who will get it by
    campaigns that are planned together with this one, and applied before it (`keep_planned`).
    """
    memory = piece_memory(version, policy)
    if memory == timedelta(0):
        return false()
    runs = _runs_of_piece(version)
    peer, sent = customer.alias("peer"), message.alias("same_piece")
    same_person = or_(
        peer.c.id == customer.c.id, peer.c.person == customer.c.person, peer.c.address_key == customer.c.address_key
    )
    found = (
        select(literal(True))
        .join_from(peer, sent, sent.c.customer_id == peer.c.id)
        .where(
            same_person, sent.c.run_id == any_(runs), sent.c.skip_reason.is_(None),
            sent.c.state.not_in(_CAME_TO_NOTHING),
        )
        .limit(1)
    )  # fmt: skip
    if memory is not None:
        found = found.where(func.coalesce(sent.c.accepted_at, sent.c.not_before) > now - memory)
    # Asked of nobody while no other campaign said the same: the runs are looked for once a statement.
    had = and_(func.cardinality(runs) > 0, found.correlate_except(peer, sent).scalar_subquery())
    return or_(func.coalesce(had, false()), *(_is_among(people) for people in earlier))


def _is_among(people: FromClause) -> ColumnElement[bool]:
    """SQL over `customer`: they, or somebody who is the same person or at the same address, are in the table."""
    shared = []
    for name in ("id", "person", "address_key"):
        peer = customer.alias()
        theirs = select(peer.c[name]).join(people, people.c.customer_id == peer.c.id).where(peer.c[name].is_not(None))
        shared.append(func.coalesce(customer.c[name].in_(theirs), false()))
    return or_(*shared)


def keep_planned(connection: Connection, rows: CTE, number: int) -> FromClause:
    """A temporary table, until the transaction ends, of those among the decided `rows` who would be written to."""
    name = f"planned_{number}"
    going = select(rows.c.customer_id).where(rows.c.skip_reason.is_(None))
    connection.execute(text(f"DROP TABLE IF EXISTS pg_temp.{name}"))
    connection.execute(text(f"CREATE TEMP TABLE {name} (customer_id bigint) ON COMMIT DROP"))
    people = table(name, column("customer_id", BigInteger))
    connection.execute(people.insert().from_select(["customer_id"], going))
    connection.execute(text(f"CREATE INDEX ON pg_temp.{name} (customer_id)"))
    connection.execute(text(f"ANALYZE pg_temp.{name}"))
    return people


def lock_pieces(connection: Connection, versions: Iterable[Version], policy: Policy) -> None:
    """Freezes of campaigns that send one of the pieces wait for each other until the end of their transaction. Who
    freezes several asks for all at once: they are locked in one order."""
    pieces = {version.piece for version in versions if piece_memory(version, policy) != timedelta(0)}
    for piece in sorted(pieces):
        advisory.hold(connection, "piece:" + piece)


def lock_pieces_of(connection: Connection, campaigns: Collection[str]) -> None:
    """The same for every piece that any version of these campaigns sends."""
    if campaigns:
        theirs = select(campaign_version.c.piece).where(campaign_version.c.campaign.in_(campaigns)).distinct()
        for piece in sorted(connection.execute(theirs).scalars()):
            advisory.hold(connection, "piece:" + piece)


def _runs_of_piece(version: Version) -> ColumnElement[Any]:
    same = (
        select(run.c.id)
        .join(campaign_version, campaign_version.c.id == run.c.version_id)
        .where(campaign_version.c.piece == version.piece, campaign_version.c.message_class == "bulk")
    )
    if version.definition.limits.piece_memory is None:
        same = same.where(run.c.campaign != version.campaign)
    return func.array(same.correlate(None).scalar_subquery())
