"""Messages whose hand-over has no answer, with what a mail server's records know them by."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BIGINT, Connection, Row, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from campaigns.message_ids import identity_of, message_id_of


@dataclass(frozen=True, slots=True)
class Doubt:
    """One message. Its last hand-over happened between `since` and `until`.

    `was_put_off`: the one before was answered with "later", and that is what `since` is.
    """

    id: int
    run_id: int
    campaign: str
    state: str
    message_id: str  # as sent, in lower case without brackets
    recipient: str
    since: datetime
    until: datetime
    was_put_off: bool = False


_LISTED: Final = text("""
    SELECT m.id, m.run_id, m.campaign, m.step, m.occurrence, m.address_key, m.state, m.state_at, c.email,
           greatest(m.not_before, before.answered_at) AS since,
           coalesce(before.outcome = 'deferred' AND before.answered_at > m.not_before, false) AS was_put_off
    FROM message AS m LEFT JOIN customer AS c ON c.id = m.customer_id LEFT JOIN LATERAL (
        SELECT a.answered_at, a.outcome FROM attempt AS a WHERE a.message_id = m.id AND a.number < m.attempt_count
        ORDER BY a.answered_at DESC, (a.outcome = 'planned') DESC LIMIT 1
    ) AS before ON true
    WHERE m.state = ANY(CAST(:states AS message_state[]))
      AND (CAST(:campaign AS text) IS NULL OR m.campaign = :campaign)
    ORDER BY m.id
""")
_SENDERS: Final = text("""
    SELECT r.id, v.definition -> 'sender' ->> 'email' AS email
    FROM run AS r JOIN campaign_version AS v ON v.id = r.version_id WHERE r.id = ANY(:runs)
""").bindparams(bindparam("runs", type_=ARRAY(BIGINT)))
#: In an order nobody chose: the first ones would all be from one minute.
_WITNESSES: Final = text("""
    SELECT id, run_id, campaign, step, occurrence, address_key, state, accepted_at AS state_at, NULL AS email,
           accepted_at AS since, false AS was_put_off
    FROM message WHERE run_id = :run_id AND accepted_at BETWEEN :first AND :last ORDER BY md5(id::text) LIMIT :most
""")


def doubts(
    connection: Connection, secret: bytes, *, campaign: str | None, states: Sequence[str] = ("unknown",)
) -> list[Doubt]:
    """The messages in these states, of one campaign or all, by id. Reads the whole ledger once."""
    given = {"states": list(states), "campaign": campaign}
    return _doubts(connection, secret, connection.execute(_LISTED, given).all())


def witnesses(
    connection: Connection, secret: bytes, runs: Iterable[int], first: datetime, last: datetime, *, most: int = 100
) -> list[Doubt]:
    """Some messages of each run that were accepted between the two instants: a complete record has them all."""
    rows: list[Row[Any]] = []
    for run_id in sorted(set(runs)):
        given = {"run_id": run_id, "first": first, "last": last, "most": most}
        rows += connection.execute(_WITNESSES, given).all()
    return _doubts(connection, secret, rows)


def _doubts(connection: Connection, secret: bytes, rows: Sequence[Row[Any]]) -> list[Doubt]:
    runs = sorted({row.run_id for row in rows})
    senders = {row.id: row.email for row in connection.execute(_SENDERS, {"runs": runs})}
    return [_doubt(row, secret, senders[row.run_id]) for row in rows]


def _doubt(row: Row[Any], secret: bytes, sender: str) -> Doubt:
    identity = identity_of(row.campaign, row.step, row.occurrence, row.address_key)
    message_id = message_id_of(secret, identity, sender).lower()
    return Doubt(
        row.id, row.run_id, row.campaign, row.state, message_id, row.email or "", row.since, row.state_at,
        row.was_put_off,
    )  # fmt: skip
