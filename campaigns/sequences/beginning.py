"""Who would enter a sequence now, and who of them would get its first mailing: counted as it would be decided."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import CTE, Connection, DateTime, func, literal, select

from campaigns import audience, duplicates, holding
from campaigns.audience import Counts
from campaigns.plan import NOBODY
from campaigns.sequences import looking
from campaigns.sequences.versions import SequenceVersion, Standing
from campaigns.versions import Version
from core.errors import PlanError
from core.schema import customer
from segments.membership import passing
from suppression.policy import Policy

#: The occurrence of the messages of somebody's first passage.
FIRST: Final = "1"


@dataclass(frozen=True, slots=True)
class Entering:
    """Who would enter. `counts`: them all, with what becomes of their first mailing; `leaving`: who fits `exit_when`
    already, and leaves before the first action."""

    counts: Counts = NOBODY
    first: str | None = None  # the first step that sends; None: none does
    leaving: int = 0


def entering(connection: Connection, version: SequenceVersion, now: datetime, policy: Policy) -> Entering:
    """Who would enter from the segment at `now`; nobody where people enter by what they do, or are named.

    Raises:
        PlanError: more than `limits.max_audience` would.
    """
    if version.definition.enrol.segment is None:
        return Entering()
    members = looking.candidates(Standing(0, version, {}), now).cte("member").prefix_with("MATERIALIZED")
    first = version.definition.sends[0] if version.definition.sends else None
    if first is None:
        people = connection.execute(select(func.count()).select_from(members)).scalar_one()
        counts = Counts(people, 0, {}, NOBODY.digest)
    else:
        rows = _decided(version.mailings[first], first, members, now, policy)
        counts = audience.counted(connection, select(rows.c.customer_id, rows.c.address_key, rows.c.skip_reason))
    limit = version.definition.limits.max_audience
    if limit is not None and counts.audience > limit:
        raise PlanError(
            f"{version.sequence}: {counts.audience:,} people would enter (expected at most {limit:,})",
            hint="narrow the segment, or raise limits.max_audience",
        )
    return Entering(counts, first, _leaving(connection, version, now) if version.definition.exit_when else 0)


def _decided(version: Version, step: str, members: CTE, now: datetime, policy: Policy) -> CTE:
    """customer_id, address_key and skip_reason of each of the members, were the mailing theirs now."""
    which = duplicates.one_per(version, policy)
    reason = audience.reason(
        version, literal(FIRST), now, policy,
        gets_piece=duplicates.got_piece(version, now, policy), dropped=holding.dropped(version, now, policy),
        steps=(step,),
    )  # fmt: skip
    gated = select(customer.c.id.label("customer_id"), customer.c.address_key, reason.label("skip_reason"))
    gated = gated.add_columns(*duplicates.keys(customer, which))
    gated = gated.join_from(members, customer, customer.c.id == members.c.customer_id)
    alone = duplicates.without_twins(gated.cte("gated").prefix_with("MATERIALIZED"), which)
    return holding.dropped_in_turn(alone, version, now, policy)


def _leaving(connection: Connection, version: SequenceVersion, now: datetime) -> int:
    """How many fit `exit_when` as they would enter."""
    at = literal(now, DateTime(timezone=True))
    members = looking.candidates(Standing(0, version, {}), now).subquery("member")
    passages = select(
        members.c.customer_id.label("id"), members.c.customer_id, members.c.given, at.label("entered_at"),
        at.label("step_since"),
    ).cte("passage")  # fmt: skip
    fitting = passing(version.definition.exit_when or "", version.vocabulary, passages, now=now).subquery()
    return int(connection.execute(select(func.count()).select_from(fitting)).scalar_one())
