"""Hits: requests that came back by a message's links, kept raw and labelled. Writes the table hit."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Executable,
    Integer,
    SmallInteger,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    distinct,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, INET, INTERVAL

from core import schema
from tracking.machines import BURST, DEFAULT_RULES, TOO_SOON, Rules

_AGENT_LENGTH: Final = 300
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Hit:
    """One request as it arrived. `evidence` is what in it tells a machine, None for nothing
    (`tracking.machines`)."""

    message_id: int
    kind: str  # open, click, view or unsubscribe
    occurred_at: datetime
    link: int | None = None  # position in campaign_version.links; None for a target of its own
    ip: str | None = None
    user_agent: str | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A hit is in the table. `target` is where its link leads; None when the position has no link."""

    target: str | None


def store(connection: Connection, hits: Sequence[Hit], rules: Rules = DEFAULT_RULES) -> list[Recorded | None]:
    """The hits are in the table with their labels; one answer each, None where the message does not exist.

    A burst of clicks labels the earlier clicks of the burst, too. Atomic with the connection's transaction.
    Repeat: not safe, every call adds rows.
    """
    rows = connection.execute(
        _STORE,
        {
            "numbers": list(range(len(hits))),
            "message_ids": [hit.message_id for hit in hits],
            "kinds": [hit.kind for hit in hits],
            "links": [hit.link for hit in hits],
            "instants": [hit.occurred_at for hit in hits],
            "ips": [_checked_ip(hit.ip) for hit in hits],
            "agents": [_cleaned(hit.user_agent) for hit in hits],
            "evidences": [hit.evidence for hit in hits],
            "too_soon": rules.too_soon,
        },
    )
    targets = {number: Recorded(target) for number, target in rows}
    _label_bursts(connection, hits, rules)
    return [targets.get(number) for number in range(len(hits))]


def _checked_ip(text: str | None) -> str | None:
    try:
        return str(ipaddress.ip_address(text)).partition("%")[0] if text else None
    except ValueError:
        return None


def _cleaned(agent: str | None) -> str | None:
    return _CONTROL.sub(" ", agent)[:_AGENT_LENGTH] if agent else None


def _store_statement() -> Executable:
    """One statement inserts a batch and reads the targets, so that a request costs one round trip.

    The join drops hits of messages that were erased; a COPY would fail with all its rows on the foreign key.
    """
    types: dict[str, Any] = {
        "numbers": Integer, "message_ids": BigInteger, "kinds": Text, "links": SmallInteger,
        "instants": DateTime(timezone=True), "ips": Text, "agents": Text, "evidences": Text,
    }  # fmt: skip
    arrived = (
        func.unnest(*(bindparam(name, type_=ARRAY(kind)) for name, kind in types.items()))
        .table_valued(*(column(name, kind) for name, kind in types.items()), name="arrived")
        .render_derived()
    )
    message, run, version = schema.message, schema.run, schema.campaign_version
    # A message without an answer yet (handed_over, unknown) counts from its hand-over, which is its state_at.
    taken_at = func.coalesce(message.c.accepted_at, message.c.state_at)
    too_soon = arrived.c.instants < taken_at + bindparam("too_soon", type_=INTERVAL)
    evidence = func.coalesce(
        arrived.c.evidences, case((and_(arrived.c.kinds != "unsubscribe", too_soon), literal(TOO_SOON)))
    )
    placed = (
        select(arrived, evidence.label("evidence"), version.c.links.op("->>")(arrived.c.links).label("target"))
        .select_from(arrived)
        .join(message, message.c.id == arrived.c.message_ids)
        .join(run, run.c.id == message.c.run_id)
        .join(version, version.c.id == run.c.version_id)
        .cte("placed")
    )
    label = case((placed.c.evidence.is_(None), "human"), else_="machine")
    stored = insert(schema.hit).from_select(
        ["message_id", "kind", "link", "occurred_at", "ip", "user_agent", "label", "evidence"],
        select(
            placed.c.message_ids, placed.c.kinds, placed.c.links, placed.c.instants,
            cast(placed.c.ips, INET), placed.c.agents, label, placed.c.evidence,
        ),
    )  # fmt: skip
    return select(placed.c.numbers, placed.c.target).add_cte(stored.cte("stored"))


_STORE: Final = _store_statement()


def _label_bursts(connection: Connection, hits: Sequence[Hit], rules: Rules) -> None:
    """Clicks of too many different links of one message, in the window that ends now, are a machine's."""
    clicks = [hit for hit in hits if hit.kind == "click"]
    if not clicks:
        return
    hit = schema.hit
    since = min(click.occurred_at for click in clicks) - rules.burst_window
    within = and_(
        hit.c.message_id == func.any(literal([click.message_id for click in clicks], ARRAY(BigInteger))),
        hit.c.kind == "click",
        hit.c.occurred_at >= since,
    )
    bursts = (
        select(hit.c.message_id)
        .where(within)
        .group_by(hit.c.message_id)
        .having(func.count(distinct(func.coalesce(hit.c.link, -1))) >= rules.burst_links)
    )
    connection.execute(
        update(hit)
        .where(within, hit.c.label == "human", hit.c.message_id.in_(bursts))
        .values(label="machine", evidence=BURST)
    )
