"""Hits: requests that came back by a message's links, kept raw and labelled. Writes the table hit."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from core.latest_word import newest_first
from tracking.machines import BURST, DEFAULT_RULES, TOO_SOON, Rules

_AGENT_LENGTH: Final = 300
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

#: One statement inserts a batch and reads the targets, so that a request costs one round trip. The join drops hits
#: of messages that were erased; a COPY would fail with all its rows on the foreign key. A message without an answer
#: yet (handed_over, unknown) counts from its hand-over, which is its state_at. Of somebody who does not want to be
#: tracked nothing is kept, also of mail that was sent before they said so; their links go on leading somewhere.
#:
#: Text, not Core: these two run for every few requests, and building and hashing them costs 2 ms a batch.
_STORE: Final = text(
    f"""
    WITH arrived AS (
        SELECT *
        FROM unnest(
            CAST(:numbers AS integer[]), CAST(:message_ids AS bigint[]), CAST(:kinds AS text[]),
            CAST(:links AS smallint[]), CAST(:instants AS timestamptz[]), CAST(:ips AS inet[]),
            CAST(:agents AS text[]), CAST(:evidences AS text[])
        ) AS a (number, message_id, kind, link, occurred_at, ip, user_agent, evidence)
    ), placed AS (
        SELECT a.number, a.message_id, a.kind, a.link, a.occurred_at, a.ip, a.user_agent, v.links ->> a.link AS
        target,
               coalesce(a.evidence, CASE WHEN a.kind <> 'unsubscribe'
                   AND a.occurred_at < coalesce(m.accepted_at, m.state_at) + CAST(:too_soon AS interval)
                   THEN :too_soon_evidence END) AS evidence,
               a.kind = 'unsubscribe' OR (
                   SELECT c.state FROM consent c
                   WHERE c.customer_id = m.customer_id AND c.channel = 'tracking' AND c.topic = ''
                     AND c.state <> 'requested'
                   ORDER BY {newest_first("c")} LIMIT 1
               ) IS DISTINCT FROM 'withdrawn' AS is_kept
        FROM arrived a
        JOIN message m ON m.id = a.message_id
        JOIN run r ON r.id = m.run_id
        JOIN campaign_version v ON v.id = r.version_id
    ), stored AS (
        INSERT INTO hit (message_id, kind, link, occurred_at, ip, user_agent, label, evidence)
        SELECT message_id, kind, link, occurred_at, ip, user_agent,
               CASE WHEN evidence IS NULL THEN 'human' ELSE 'machine' END, evidence
        FROM placed WHERE is_kept
    )
    SELECT number, target FROM placed
    """  # noqa: S608  made of our own names
)
_LABEL_BURSTS: Final = text(
    """
    UPDATE hit SET label = 'machine', evidence = :evidence
    FROM (
        SELECT w.message_id, w.since
        FROM unnest(CAST(:message_ids AS bigint[]), CAST(:sinces AS timestamptz[])) AS w (message_id, since)
        JOIN hit AS recent
          ON recent.message_id = w.message_id AND recent.kind = 'click' AND recent.occurred_at >= w.since
        GROUP BY w.message_id, w.since
        HAVING count(DISTINCT coalesce(recent.link, -1)) >= :links
    ) AS burst
    WHERE hit.message_id = burst.message_id AND hit.kind = 'click' AND hit.label = 'human'
      AND hit.occurred_at >= burst.since
    """
).bindparams(evidence=BURST)


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
    """The hits are in the table with their labels, but for those of people who refused to be tracked; one answer
    each, None where the message does not exist.

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
            "too_soon_evidence": TOO_SOON,
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


def _label_bursts(connection: Connection, hits: Sequence[Hit], rules: Rules) -> None:
    """Clicks of too many different links of one message, in the window before that message's own click, are a
    machine's. What was clicked in other messages at the time says nothing about it."""
    earliest: dict[int, datetime] = {}
    for hit in hits:
        if hit.kind == "click":
            earliest[hit.message_id] = min(hit.occurred_at, earliest.get(hit.message_id, hit.occurred_at))
    if earliest:
        sinces = [instant - rules.burst_window for instant in earliest.values()]
        values = {"message_ids": list(earliest), "sinces": sinces, "links": rules.burst_links}
        connection.execute(_LABEL_BURSTS, values)
