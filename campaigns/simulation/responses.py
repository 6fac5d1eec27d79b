"""What the people of a rehearsal do with their mail, as assumed: written where production writes it, so that branches
and exit rules go both ways.

Who does what is drawn from the message's identity and a seed: the same in every rehearsal, however batches are cut.
Answers are noted on the hour. Writes hit, purchase, activity, suppression and consent of the rehearsal's own world.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, text

from campaigns.simulation.assumptions import Assumptions
from core.arrays import Ids

#: Answers come to the ledger's knowledge at most this often.
_GRID: Final = timedelta(hours=1)
_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)
_TABLE: Final = """
    CREATE TEMP TABLE rehearsal_answer (at timestamptz NOT NULL, message_id bigint NOT NULL, kind text NOT NULL);
    CREATE INDEX ON pg_temp.rehearsal_answer (at)
"""
#: A number from 0 to 1 that belongs to the message, and to nothing else.
_CHANCE: Final = """
    (hashtextextended(concat_ws('|', m.campaign, m.step, m.occurrence, m.address_key, {what}), :seed)
     & 9223372036854775807)::float8 / 9223372036854775807
"""
# People open within hours, most of them soon; who orders takes a day.
_EXPECT: Final = text(
    """
    WITH drawn AS MATERIALIZED (
        SELECT m.id, {interest} AS interest, {answer} AS answer, {leave} AS leave,
               -ln(1 - 0.999 * {delay}) * interval '6 hours' AS delay
        FROM message AS m WHERE m.id = ANY(:ids)
    )
    INSERT INTO rehearsal_answer (at, message_id, kind)
    SELECT :now + drawn.delay + later, id, kind FROM drawn CROSS JOIN LATERAL (VALUES
        ('open', interest < :opens OR interest < :clicks, interval '1 minute'),
        ('click', interest < :clicks, interval '3 minutes'),
        ('convert', interest < :converts, interval '1 day'),
        ('reply', answer < :replies, interval '1 hour'),
        ('unsubscribe', leave < :unsubscribes, interval '5 minutes')
    ) AS a (kind, happens, later) WHERE happens
""".replace("{interest}", _CHANCE.replace("{what}", "'interest'"))
    .replace("{answer}", _CHANCE.replace("{what}", "'answer'"))
    .replace("{leave}", _CHANCE.replace("{what}", "'leave'"))
    .replace("{delay}", _CHANCE.replace("{what}", "'delay'"))
).bindparams(bindparam("ids", type_=Ids))
_BOUNCED: Final = text(
    "SELECT m.id FROM message AS m WHERE m.id = ANY(:ids) AND {bounce} < :bounces".replace(
        "{bounce}", _CHANCE.replace("{what}", "'bounce'")
    )
).bindparams(bindparam("ids", type_=Ids))
# What was noted is passed over, not taken away: within one transaction PostgreSQL would go past it each time.
_NEXT: Final = text("SELECT min(at) FROM rehearsal_answer WHERE at > :noted_until")
_TAKE: Final = text("""
    CREATE TEMP TABLE rehearsal_noted ON COMMIT DROP AS
    SELECT a.at, a.kind, m.id AS message_id, m.customer_id, v.goal_event, coalesce(v.currency, 'EUR') AS currency
    FROM rehearsal_answer AS a JOIN message AS m ON m.id = a.message_id
    JOIN run AS r ON r.id = m.run_id JOIN campaign_version AS v ON v.id = r.version_id
    WHERE a.at > :noted_until AND a.at <= :now AND m.customer_id IS NOT NULL
""")
_NOTES: Final = (
    """
    INSERT INTO hit (message_id, kind, occurred_at, label)
    SELECT message_id, kind, at, 'human' FROM rehearsal_noted WHERE kind IN ('open', 'click', 'reply') ORDER BY at
    """,
    """
    INSERT INTO purchase (customer_id, order_id, line_key, ordered_at, quantity, amount, currency)
    SELECT customer_id, 'rehearsal-' || message_id, '1', at, 1, 1, currency
    FROM rehearsal_noted WHERE kind = 'convert' AND coalesce(goal_event, 'purchase') = 'purchase'
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO activity (customer_id, name, occurred_at, event_key, source)
    SELECT customer_id, goal_event, at, 'rehearsal-' || message_id, 'rehearsal'
    FROM rehearsal_noted WHERE kind = 'convert' AND goal_event <> 'purchase' ORDER BY at
    ON CONFLICT DO NOTHING
    """,
)
# What `suppression.record.unsubscribe` writes for one message, for all of them at once: whoever leaves by several
# messages does so by the first. Nobody else writes here, so nothing is locked.
_LEAVING: Final = (
    """
    CREATE TEMP TABLE rehearsal_leaving ON COMMIT DROP AS
    SELECT n.message_id, n.at, n.customer_id, m.campaign, v.topic, m.address_key, c.address_key AS present_key
    FROM rehearsal_noted AS n JOIN message AS m ON m.id = n.message_id JOIN run AS r ON r.id = m.run_id
    JOIN campaign_version AS v ON v.id = r.version_id LEFT JOIN customer AS c ON c.id = m.customer_id
    WHERE n.kind = 'unsubscribe' AND m.address_key IS NOT NULL
    """,
    """
    INSERT INTO suppression (address_key, channel, scope, scope_name, reason, source, evidence, created_at)
    SELECT DISTINCT ON (key, topic) key, 'email', 'topic', topic, 'unsubscribed', 'page',
           jsonb_build_object('message_id', message_id, 'campaign', campaign), at
    FROM rehearsal_leaving CROSS JOIN LATERAL (VALUES (address_key), (present_key)) AS k (key)
    WHERE key IS NOT NULL ORDER BY key, topic, at, message_id
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO consent (customer_id, channel, topic, state, basis, source, proof, captured_at)
    SELECT DISTINCT ON (latest.customer_id, l.topic) latest.customer_id, 'email', l.topic, 'withdrawn', latest.basis,
           'page', jsonb_build_object('message_id', l.message_id),
           greatest(latest.captured_at + interval '1 microsecond', l.at)
    FROM rehearsal_leaving AS l
    CROSS JOIN LATERAL (
        SELECT id FROM customer WHERE address_key = l.address_key UNION SELECT l.customer_id
    ) AS who
    CROSS JOIN LATERAL (
        SELECT customer_id, state, basis, captured_at FROM consent
        WHERE customer_id = who.id AND channel = 'email' AND topic = l.topic
        ORDER BY captured_at DESC, id DESC LIMIT 1
    ) AS latest
    WHERE latest.state <> 'withdrawn' ORDER BY latest.customer_id, l.topic, l.at, l.message_id
    """,
    "DROP TABLE pg_temp.rehearsal_leaving",
    "DROP TABLE pg_temp.rehearsal_noted",
)


@dataclass
class Responses:
    """The people who answer. `noted`: how many did what so far."""

    assumptions: Assumptions
    seed: int = 0
    noted: dict[str, int] = field(default_factory=dict)
    _noted_until: datetime = _BEFORE_ALL

    @classmethod
    def prepare(cls, connection: Connection) -> None:
        """The table of what is still to be answered is there."""
        connection.exec_driver_sql(_TABLE)

    def bounced(self, connection: Connection, ids: Sequence[int]) -> Collection[int]:
        """Those of the messages whose address is assumed not to exist."""
        if not self.assumptions.bounces or not ids:
            return ()
        given = {"ids": list(ids), "bounces": self.assumptions.bounces, "seed": self.seed}
        return set(connection.execute(_BOUNCED, given).scalars())

    def expect(self, connection: Connection, ids: Sequence[int], now: datetime) -> None:
        """The messages were accepted at `now`: what their recipients will do is known to nobody yet."""
        shares = self.assumptions.document()
        del shares["bounces"]
        if ids and any(shares.values()):
            connection.execute(_EXPECT, {"ids": list(ids), "now": now, "seed": self.seed} | shares)

    def next_at(self, connection: Connection) -> datetime | None:
        """When the next answer is noted."""
        first: datetime | None = connection.execute(_NEXT, {"noted_until": self._noted_until}).scalar()
        if first is None:
            return None
        past = (first.astimezone(UTC) - _BEFORE_ALL) % _GRID
        return first + (_GRID - past) if past else first

    def note(self, connection: Connection, now: datetime) -> int:
        """What people did up to `now` is on record; how many answers that were."""
        due = self.next_at(connection)
        if due is None or due > now:
            return 0
        connection.execute(_TAKE, {"now": now, "noted_until": self._noted_until})
        kinds = connection.execute(text("SELECT kind, count(*) FROM rehearsal_noted GROUP BY kind")).all()
        for kind, count in kinds:
            self.noted[kind] = self.noted.get(kind, 0) + count
        for statement in (*_NOTES, *_LEAVING):
            connection.execute(text(statement))
        self._noted_until = now
        return sum(count for _, count in kinds)
