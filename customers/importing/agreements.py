"""Facts of consent from the temporary table `agreement`, and noes from `no_at`, are on record; both are there then.

A fact without a date counts from now on, once: the same from the same source is not recorded again, and a yes never
outranks a withdrawal that is on record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from core.latest_word import newest_first
from customers.entries import lifted_before, record_entries
from customers.importing.readmitted import refuse_older

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: The temporary table `agreement`, from which facts are recorded. `captured_at` is NULL for an undated one, and the
#: latest moment that `said_from` leaves open for a withdrawal of which only the day is known.
CONSENT_STAGE: Final[Mapping[str, str]] = {
    "row": "integer",
    "customer_id": "bigint",
    "channel": "text",
    "topic": "text",
    "state": "text",
    "basis": "text",
    "source": "text",
    "wording": "text",
    "proof": "jsonb",
    "captured_at": "timestamptz",
    "expires_at": "timestamptz",
    "said_from": "timestamptz",
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """`refused` are facts by row number, with the reason; the others are on record now, or were before."""

    created: int
    refused: tuple[tuple[int, str], ...]
    remarks: tuple[str, ...]


_FACT = "customer_id, channel, topic, captured_at, state, source, basis, wording, proof, expires_at"

#: The word that counts beside a fact of the file.
_LATEST = f"""
    SELECT state, basis, captured_at FROM consent
    WHERE (customer_id, channel, topic) = (agreement.customer_id, agreement.channel, agreement.topic)
      AND state <> 'requested'
    ORDER BY {newest_first()} LIMIT 1
"""  # noqa: S608  made of our own names

#: Which of the two came later nobody can tell, so the stricter one holds.
_REFUSE_BESIDE_WITHDRAWAL = """
    DELETE FROM agreement
    WHERE captured_at IS NULL AND state <> 'withdrawn' AND EXISTS (
        SELECT FROM agreement beside
        WHERE beside.state = 'withdrawn' AND (beside.customer_id, beside.channel, beside.topic)
            = (agreement.customer_id, agreement.channel, agreement.topic)
    )
    RETURNING row
"""

#: Undated facts that hold already go, whatever file says them again: written anew they would renew what ends by itself.
#: So does one that this source said before. A withdrawal that somebody's later consent has outranked is news: the file
#: says no once more.
_DROP_KNOWN = f"""
    DELETE FROM agreement USING consent
    WHERE agreement.captured_at IS NULL
      AND (consent.customer_id, consent.channel, consent.topic)
        = (agreement.customer_id, agreement.channel, agreement.topic)
      AND (
          (consent.state, consent.source) = (agreement.state, agreement.source)
          AND (agreement.state <> 'withdrawn' OR (SELECT state FROM ({_LATEST}) latest) = 'withdrawn')
          OR (SELECT (state, basis) FROM ({_LATEST}) latest) = (agreement.state, agreement.basis)
          AND agreement.state <> 'withdrawn'
      )
"""  # noqa: S608  made of our own names

#: Of a no of today, which counts from the import on, the same is said when the file is imported again.
_DROP_SAID_THAT_DAY = """
    DELETE FROM agreement USING consent AS said
    WHERE agreement.state = 'withdrawn' AND said.captured_at BETWEEN agreement.said_from AND agreement.captured_at
      AND (said.customer_id, said.channel, said.topic, said.state, said.source)
        = (agreement.customer_id, agreement.channel, agreement.topic, agreement.state, agreement.source)
      AND NOT EXISTS (
          SELECT FROM consent AS yes
          WHERE (yes.customer_id, yes.channel, yes.topic) = (said.customer_id, said.channel, said.topic)
            AND yes.state IN ('granted', 'confirmed') AND yes.captured_at > said.captured_at
            AND yes.captured_at <= agreement.captured_at
      )
"""

_REFUSE = f"""
    DELETE FROM agreement
    WHERE captured_at IS NULL AND state <> 'withdrawn'
      AND (SELECT state FROM ({_LATEST}) latest) = 'withdrawn'
    RETURNING row, (SELECT captured_at FROM ({_LATEST}) latest)
"""  # noqa: S608  made of our own names

#: Of them, those whom a no keeps out all the same: a file lifts nothing.
_AGREED_AGAIN = f"""
    SELECT count(DISTINCT customer_id),
           count(DISTINCT customer_id) FILTER (WHERE EXISTS (
               SELECT FROM customer JOIN suppression AS e USING (address_key)
               WHERE customer.id = agreement.customer_id AND e.lifted_at IS NULL AND e.reason = 'unsubscribed'
                 AND (e.expires_at IS NULL OR e.expires_at > :now)
                 AND (e.scope = 'global' OR e.channel = agreement.channel
                      AND (e.scope = 'channel' OR e.scope = 'topic' AND e.scope_name = agreement.topic))
           ))
    FROM agreement CROSS JOIN LATERAL ({_LATEST}) latest
    WHERE agreement.state <> 'withdrawn' AND latest.state = 'withdrawn'
      AND agreement.captured_at > latest.captured_at
"""  # noqa: S608  made of our own names

#: Counts the rows that said something new, whomever they bind. Of one instant's facts a withdrawal is the last.
_RECORD = f"""
    WITH recorded AS (
        INSERT INTO consent ({_FACT})
        SELECT {_FACT.replace("captured_at", "coalesce(captured_at, :now)")} FROM agreement
        ORDER BY state = 'withdrawn', row
        ON CONFLICT ON CONSTRAINT uq_consent_fact DO NOTHING
        RETURNING customer_id, channel, topic, captured_at, state, source
    ), first_said AS (
        SELECT min(agreement.row) AS row FROM recorded JOIN agreement USING (customer_id, channel, topic, state, source)
        WHERE coalesce(agreement.captured_at, :now) = recorded.captured_at
        GROUP BY customer_id, channel, topic, recorded.captured_at, state, source
    )
    INSERT INTO news SELECT DISTINCT row FROM first_said
"""  # noqa: S608  made of our own names

#: The opt-outs that the noes of the file are, in the table `entry`. One with a date is old news when the customer it
#: names has agreed later, or when it was lifted since; one without counts from now on.
_OPT_OUTS = f"""
    CREATE TEMP TABLE entry ON COMMIT DROP AS
    SELECT DISTINCT ON (address_key, channel, scope, scope_name)
           row, 'import' AS source, address_key, channel, scope, scope_name, 'unsubscribed' AS reason,
           jsonb_strip_nulls(jsonb_build_object(
               'file', CAST(:file AS text), 'withdrawal', true, 'customer', customer_id)) AS evidence,
           coalesce(captured_at, :now) AS created_at, CAST(NULL AS timestamptz) AS expires_at
    FROM (SELECT *, scope_name AS topic FROM no_at WHERE address_key IS NOT NULL) AS agreement
    WHERE captured_at IS NULL OR (
        coalesce((SELECT state FROM ({_LATEST}) latest), 'withdrawn') = 'withdrawn'
        AND NOT EXISTS (
            SELECT FROM suppression AS s
            WHERE (s.address_key, s.channel, s.scope, s.scope_name, s.reason)
                = (agreement.address_key, agreement.channel, agreement.scope, agreement.scope_name, 'unsubscribed')
              AND s.lifted_at >= agreement.captured_at AND s.lifted_because <> 'replaced by a later entry'
        )
    )
    ORDER BY address_key, channel, scope, scope_name, row
"""  # noqa: S608  made of our own names


def record_consents(connection: "Connection", secret: bytes, *, file: str, now: datetime) -> Recorded:
    """The facts of the temporary table `agreement` are on record, except undated grants after or beside a withdrawal,
    and grants from before somebody erased was readmitted. The noes of the table `no_at` suppress the addresses.

    Repeat: safe.
    """
    from sqlalchemy import text

    connection.execute(text("ANALYZE agreement"))
    refused = [
        (row, "withdrawn in the same file; a newer consent needs its date in captured_at")
        for row in connection.scalars(text(_REFUSE_BESIDE_WITHDRAWAL))
    ]
    refused += refuse_older(connection, secret)
    connection.execute(text(_DROP_KNOWN))
    connection.execute(text(_DROP_SAID_THAT_DAY))
    refused += [
        (row, f"withdrawn on {at:%Y-%m-%d}; a newer consent needs its date in captured_at")
        for row, at in connection.execute(text(_REFUSE))
    ]
    again, stopped = connection.execute(text(_AGREED_AGAIN), {"now": now}).one()
    connection.execute(text("CREATE TEMP TABLE news (row integer) ON COMMIT DROP"))
    connection.execute(text(_RECORD), {"now": now})
    remarks: tuple[str, ...] = (f"{again:,} customers who had withdrawn have agreed again later",) * bool(again)
    if stopped:
        remarks += (
            f"{stopped:,} of them stay suppressed, until they come back by a link of their own "
            "or `clarion suppress remove` lifts it",
        )
    remarks += _suppress_noes(connection, file, now=now)
    created = connection.execute(text("SELECT count(DISTINCT row) FROM news")).scalar_one()
    return Recorded(created, tuple(refused), remarks)


def _suppress_noes(connection: "Connection", file: str, *, now: datetime) -> tuple[str, ...]:
    """The addresses of `no_at` are suppressed: whoever comes to one later is bound, too."""
    from sqlalchemy import text

    connection.execute(text("DROP TABLE IF EXISTS entry"))
    connection.execute(text(_OPT_OUTS), {"file": file, "now": now})
    connection.execute(text("ANALYZE entry"))
    again = lifted_before(connection, now=now)
    record_entries(connection, now=now, tell=True)
    return again
