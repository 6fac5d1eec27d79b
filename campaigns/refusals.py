"""What refusals lead to beside the message they answer: addresses suppressed, domains held, runs paused.

- A hard refusal suppresses its address (S-1.40). What only repetition makes hard (a full mailbox, a disabled one, a
  message given up after days) is counted from the ledger, by its own class, since the last accepted message (S-1.41).
- A block counts against the sender and never suppresses; so many faults of messages pause their run (S-1.42).
- A domain that refuses too many as unknown within minutes is more likely out of order than full of dead addresses: it
  is held, none of its refusals of that time suppresses anybody, and they count as soft from then on, so that
  `clarion retry --failed` reaches these people (S-1.43).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from sqlalchemy import ARRAY, BIGINT, Connection, Row, Text, bindparam, text
from sqlalchemy import UUID as UUID_TYPE

from campaigns.pacing import domain_of
from core import audit
from core.arrays import Ids
from core.refusal_settings import Outage, Refusals, Repeated
from core.units import format_duration
from delivery.bounce_classes import BounceClass, bounce_class
from delivery.holds import HeldBy
from delivery.smtp import Outcome, OutcomeState
from delivery.throttles.rows import lock_free
from suppression.refused import Refused, lift_refused, suppress_refused


@dataclass(frozen=True, slots=True)
class Refusal:
    """The last attempt of a message, as the ledger has it. The reply's local parts are masked."""

    message_id: int
    customer_id: int | None
    key: UUID
    domain: str
    is_over: bool  # the message has failed or come back; False: it is tried again
    bounce_class: BounceClass
    evidence: Mapping[str, object]


class OfRun(Protocol):
    """Whose messages they are: a claim, for example."""

    @property
    def run_id(self) -> int: ...
    @property
    def campaign(self) -> str: ...


def settle(
    connection: Connection, held: OfRun, answered: Sequence[int], now: datetime, policy: Refusals | None = None
) -> str | None:
    """The refusals among the messages' last attempts have had their consequences; a fault of the run is returned.

    `answered` may leave out accepted messages: without any refused one nothing is asked. Called in the transaction
    that closes the batch, after its attempts are recorded, its deferrals put off and `delivery.throttles.record` has
    the tallies. Repeat: safe, everything is counted from the ledger. Atomic with the connection's transaction.
    """
    refused = _refusals(connection, answered) if answered else []
    if not refused:
        return None
    policy = policy or Refusals()
    hard = [one for one in refused if one.is_over and one.bounce_class is BounceClass.HARD]
    fault, doubtful = doubtful_domains(connection, held.run_id, {one.domain for one in hard}, policy.outage, now)
    _count_as_soft(connection, [one.message_id for one in hard if one.domain in doubtful])
    dead = [Refused(one.key, one.evidence) for one in hard if one.domain not in doubtful]
    suppress_refused(connection, [*dead, *_repeated(connection, refused, policy, now)], now)
    if any(one.bounce_class is BounceClass.MESSAGE_FAULT for one in refused):
        fault = pause_faulty(connection, held, policy.message_faults) or fault
    return fault


_REFUSALS: Final = text(r"""
    SELECT * FROM (
        SELECT DISTINCT ON (m.id) m.id, m.customer_id, m.address_key, m.state, m.campaign, m.run_id,
               c.email, a.number, a.code, a.enhanced, a.bounce_class,
               regexp_replace(a.reply, '[^\s<>"'']+@', '…@', 'g') AS reply
        FROM message AS m JOIN attempt AS a ON a.message_id = m.id LEFT JOIN customer AS c ON c.id = m.customer_id
        WHERE m.id = ANY(:ids) AND m.state IN ('failed', 'deferred', 'bounced')
        ORDER BY m.id, a.number DESC, a.answered_at DESC
    ) AS last
    WHERE bounce_class IS NOT NULL ORDER BY id
""").bindparams(bindparam("ids", type_=Ids))


def _refusals(connection: Connection, message_ids: Sequence[int]) -> list[Refusal]:
    return [_refusal(row) for row in connection.execute(_REFUSALS, {"ids": list(message_ids)})]


def _refusal(row: Row[tuple[object, ...]]) -> Refusal:
    told = {"code": row.code, "enhanced": row.enhanced, "reply": row.reply}
    domain = domain_of(row.email or "")
    place = {"message": row.id, "run": row.run_id, "campaign": row.campaign, "domain": domain}
    is_over, kind = row.state in ("failed", "bounced"), BounceClass(row.bounce_class)
    return Refusal(row.id, row.customer_id, row.address_key, domain, is_over, kind, told | place)


# --- outages ---------------------------------------------------------------------------------------------

#: The time ends with the domain's newest tally, and begins after it was last held: somebody has let it go again since.
_HARD_SHARES: Final = text("""
    SELECT t.domain, sum(t.attempt_count) AS attempts, sum(t.hard_count) AS hard
    FROM (
        SELECT domain, greatest(max(minute) - :within, (
                   SELECT max(at) FROM audit WHERE action = 'domain.hold' AND subject = 'domain:' || domain_tally.domain
               )) AS since
        FROM domain_tally WHERE domain = ANY(:domains) GROUP BY domain
    ) AS asked
    JOIN domain_tally AS t ON t.domain = asked.domain AND t.minute > asked.since
    GROUP BY t.domain
    HAVING sum(t.attempt_count) >= :attempts AND sum(t.hard_count) > :share * sum(t.attempt_count)
    ORDER BY t.domain
""").bindparams(bindparam("domains", type_=ARRAY(Text)))
_HOLD: Final = text("""
    UPDATE throttle SET held_at = now(), held_until = NULL, held_because = :because, held_by = :by
    WHERE key = :key AND (held_at IS NULL OR held_until IS NOT NULL)
""")


def doubtful_domains(
    connection: Connection, run_id: int | None, domains: Iterable[str], outage: Outage, now: datetime
) -> tuple[str | None, frozenset[str]]:
    """Those of the domains whose hard refusals say nothing about addresses: they refused too many, and are held from
    now on, or were held before. With the last new hold in words. Repeat: safe."""
    fault, failing = _hold_domains(connection, run_id, domains, outage, now)
    return fault, failing | _held_domains(connection, domains)


def _hold_domains(
    connection: Connection, run_id: int | None, domains: Iterable[str], outage: Outage, now: datetime
) -> tuple[str | None, frozenset[str]]:
    """Domains that refused too many are held, and what their refusals of that time did is undone. The last of it in
    words, and these domains.

    One that somebody else is deciding about at this instant is held with its next refusal: whoever waited for it, with
    rows of other domains in hands, might be waited for.
    """
    limits = {"within": outage.within, "attempts": outage.attempts, "share": outage.share}
    found = connection.execute(_HARD_SHARES, {"domains": sorted(domains), **limits}).all() if domains else []
    free = lock_free(connection, [f"domain:{row.domain}" for row in found]) if found else {}
    told = None
    for domain, attempts, hard in found:
        if f"domain:{domain}" not in free:
            continue
        because = (
            f"it refused {hard:,} of {attempts:,} recipients as unknown within "
            f"{format_duration(outage.within)}, more likely an outage than dead addresses"
        )
        connection.execute(_HOLD, {"key": f"domain:{domain}", "because": because, "by": HeldBy.HARD_BOUNCES})
        told = f"{domain} is held: {because}"
        lifted = lift_refused(connection, domain, since=now - outage.within, because=told, now=now)
        _count_as_soft(connection, lifted)
        audit.record(
            connection, audit.ITSELF, "domain.hold", f"domain:{domain}",
            attempts=int(attempts), hard=int(hard), run=run_id, lifted=len(lifted),
        )  # fmt: skip
    return told, frozenset(row.domain for row in found)


_HELD: Final = text("""
    SELECT substr(key, length('domain:') + 1) FROM throttle
    WHERE key = ANY(:keys) AND held_at IS NOT NULL AND (held_until IS NULL OR held_until > now()) AND held_by <> :ours
""").bindparams(bindparam("keys", type_=ARRAY(Text)))


def _held_domains(connection: Connection, domains: Iterable[str]) -> frozenset[str]:
    """Those of the domains that are held: what was under way by then says nothing about addresses.

    One held for complaints is none of them: that is about what we send, and mail owed to one person goes on for days.
    """
    given = {"keys": [f"domain:{domain}" for domain in sorted(domains)], "ours": HeldBy.COMPLAINTS}
    return frozenset(connection.execute(_HELD, given).scalars()) if given["keys"] else frozenset()


#: What hard refusals count as once they are taken for an outage.
OF_OUTAGES: Final = BounceClass.SOFT
_SOFT: Final = text("""
    UPDATE attempt SET bounce_class = :of_outages WHERE message_id = ANY(:ids) AND bounce_class = 'hard'
""").bindparams(bindparam("ids", type_=Ids))


def _count_as_soft(connection: Connection, message_ids: Sequence[int]) -> None:
    if message_ids:
        connection.execute(_SOFT, {"ids": list(message_ids), "of_outages": OF_OUTAGES})


def condemns(code: int | None, enhanced: str | None, reply: str | None) -> bool:
    """Whether a refusal for good says that there is no such address, whatever it counts as."""
    return bounce_class(Outcome(OutcomeState.FAILED, code, enhanced, reply or "")) is BounceClass.HARD


# --- repetition --------------------------------------------------------------------------------------------

#: Messages to the address that ended for the same cause, with none accepted after them.
_REPEATED: Final = text("""
    SELECT r.key, count(*) AS times
    FROM unnest(:customers, :keys) AS r(customer_id, key)
    JOIN message AS m ON m.customer_id = r.customer_id AND m.address_key = r.key
                      AND m.state IN ('failed', 'bounced')
    JOIN LATERAL (
        SELECT bounce_class, answered_at FROM attempt
        WHERE message_id = m.id ORDER BY number DESC, answered_at DESC LIMIT 1
    ) AS last ON last.bounce_class = :bounce_class AND last.answered_at > :since
    WHERE NOT EXISTS (
        SELECT 1 FROM message AS later
        WHERE later.customer_id = m.customer_id AND later.address_key = m.address_key
          AND later.accepted_at > last.answered_at
    )
    GROUP BY r.key HAVING count(*) >= :times
""").bindparams(bindparam("customers", type_=ARRAY(BIGINT)), bindparam("keys", type_=ARRAY(UUID_TYPE)))


def _repeated(connection: Connection, refused: Sequence[Refusal], policy: Refusals, now: datetime) -> list[Refused]:
    """The addresses that were refused for the same cause often enough."""
    rules = (
        (BounceClass.DISABLED, policy.disabled, False),
        (BounceClass.MAILBOX_FULL, policy.mailbox_full, True),
        (BounceClass.SOFT, policy.soft, True),
    )
    return [
        entry
        for kind, rule, passes in rules
        for entry in _often(
            connection, [one for one in refused if one.is_over and one.bounce_class is kind], rule, passes, now
        )
    ]


def _often(
    connection: Connection, refused: Sequence[Refusal], rule: Repeated, passes: bool, now: datetime
) -> list[Refused]:
    """What `passes` (a mailbox is emptied some day) is suppressed for the length of the rule, else for good."""
    if not refused:
        return []
    given = {
        "customers": [one.customer_id for one in refused], "keys": [one.key for one in refused],
        "bounce_class": refused[0].bounce_class.value, "since": now - rule.within, "times": rule.times,
    }  # fmt: skip
    times = {row.key: row.times for row in connection.execute(_REPEATED, given)}
    ends = now + rule.within if passes else None
    return [
        Refused(one.key, {**one.evidence, "repeated": one.bounce_class.value, "times": times[one.key]}, ends)
        for one in refused
        if one.key in times
    ]


# --- faults of messages --------------------------------------------------------------------------------------

#: What was counted when the run was last paused for it is behind it: whoever resumed the run knew.
_FAULTS: Final = text("""
    SELECT (SELECT count(*) FROM message AS m
            WHERE m.run_id = :run_id AND m.state IN ('failed', 'deferred', 'bounced')
              AND EXISTS (SELECT 1 FROM attempt AS a WHERE a.message_id = m.id AND a.bounce_class = 'message_fault'))
           AS faults,
           coalesce((SELECT CAST(detail ->> 'message_faults' AS bigint) FROM audit
                     WHERE action = 'pause' AND subject = :subject AND detail ? 'message_faults'
                       AND detail -> 'runs' @> to_jsonb(:run_id)
                     ORDER BY id DESC LIMIT 1), 0) AS known
""").bindparams(bindparam("run_id", type_=BIGINT))
_PAUSE: Final = text("UPDATE run SET state = 'paused', fault = :fault WHERE id = :run_id AND state = 'running'")


#: Reports by mail cost their writer nothing but addresses: those of one domain are a share of the run, or are not
#: believed to be about the message.
_IS_WIDE: Final = text("""
    SELECT count(DISTINCT lower(split_part(c.email, '@', 2))) >= 3
           OR count(*) >= 0.01 * coalesce((SELECT audience FROM run WHERE id = :run_id), 0)
    FROM message AS m LEFT JOIN customer AS c ON c.id = m.customer_id
    WHERE m.run_id = :run_id AND m.state IN ('failed', 'deferred', 'bounced')
      AND EXISTS (SELECT 1 FROM attempt AS a WHERE a.message_id = m.id AND a.bounce_class = 'message_fault')
""").bindparams(bindparam("run_id", type_=BIGINT))


def pause_faulty(connection: Connection, held: OfRun, limit: int, *, is_reported: bool = False) -> str | None:
    """The run is paused when `limit` of its messages were refused for what they are.

    `is_reported`: it is told by mail, not answered to us: then they are of three domains, or of a hundredth of the run.
    """
    subject = f"campaign:{held.campaign}"
    faults, known = connection.execute(_FAULTS, {"run_id": held.run_id, "subject": subject}).one()
    if faults - known < limit:
        return None
    if is_reported and not connection.execute(_IS_WIDE, {"run_id": held.run_id}).scalar_one():
        return None
    fault = f"paused: {faults:,} messages were refused for what they are (refusals.message_faults: {limit:,})"
    if not connection.execute(_PAUSE, {"run_id": held.run_id, "fault": fault}).rowcount:
        return None
    audit.record(connection, audit.ITSELF, "pause", subject, runs=[held.run_id], message_faults=int(faults))
    return fault
