"""Why messages wait: what stands between them and a mail server at present, and until when."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ARRAY, Connection, Row, Text, bindparam, func, select, text

from campaigns.pacing import domain_of
from campaigns.particulars import particulars
from campaigns.presence import present
from campaigns.rollout import place_of
from core.errors import TransportError
from core.local_time import shown_in
from core.open_cases import open_case_since
from core.schema import message
from core.settings import Settings
from delivery.overview import SlowDomain, obstacles, slow_domains
from suppression.care import OPEN_CASE
from suppression.policy import Policy


@dataclass(frozen=True, slots=True)
class Waiting:
    """One reason. `until`: it ends by itself then, or is looked at again; None: when somebody does something."""

    because: str
    until: datetime | None = None
    messages: int | None = None  # how many wait for it, some for another reason, too; None: of a single message

    def document(self) -> dict[str, Any]:
        """The public form."""
        return {"because": self.because, "until": self.until, "messages": self.messages}

    def sentence_in(self, zone: str) -> str:
        """As people read it whose clock is that of `zone`."""
        number = f"{self.messages:,}: " if self.messages is not None else ""
        end = f", until {shown_in(zone, self.until, 'seconds')}" if self.until is not None else ""
        return f"{number}{self.because}{end}"


def run_waits(connection: Connection, settings: Settings, run_id: int, now: datetime) -> list[Waiting]:
    """Why open messages of the run wait, the most general reason first. Empty: none does, or all are on their way."""
    row = connection.execute(_RUN, {"run_id": run_id}).one()
    if not row.waiting:
        return []
    ways, faults = _of_ways(connection, settings, row), _of_faults(row)
    held = _held_domains(connection, settings)
    of_all = (*_of_pause(row), *(ways or faults), *_of_processes(connection))
    return [
        *(replace(wait, messages=row.waiting) for wait in of_all),
        *_of_times(connection, settings, row, now, held, _explained(ways, faults)),
        *_of_domains(connection, row, held),
    ]


def message_waits(connection: Connection, settings: Settings, message_id: int, now: datetime) -> list[Waiting]:
    """The same for one message that is planned or deferred; none for every other."""
    own = connection.execute(_MESSAGE, {"message_id": message_id, "now": now}).one_or_none()
    if own is None or own.state not in ("planned", "deferred"):
        return []
    row = connection.execute(_RUN, {"run_id": own.run_id}).one()
    ways, faults = _of_ways(connection, settings, row), _of_faults(row)
    domain = domain_of(own.email) if own.email else ""
    of_domain = [_of_domain(slow) for slow in _held_domains(connection, settings) if slow.domain == domain]
    found = [*_of_pause(row), *(ways or faults), *_of_processes(connection)]
    if own.stage is not None and own.stage > row.stage:
        found.append(_of_stage(connection, own.run_id, None))
    elif own.not_before is not None and own.not_before > now:
        told = _explained([*ways, *of_domain], faults)
        if own.hold_reason is not None or own.kind not in told:
            found.append(_of_own_time(connection, settings, own, now))
    return found + of_domain


#: SQL: what gave the batch `b` of the message `m` its time.
_KIND: Final = """
    CASE WHEN b.booked_at IS NOT NULL THEN 'booked' WHEN b.attempt_count > 0 THEN 'tried'
         WHEN m.not_before > :now THEN 'planned' ELSE 'put_off' END
"""
#: The same in words.
_LATER_IN_WORDS: Final = {
    "booked": "the rate or warm-up plan of the transport or domain lets no more through now",
    "tried": "the server said later or the connection was lost, and the next try is not due",
    "planned": "the time has not come",
    "put_off": "nothing could be sent at the last try, and the next one is not due",
}
_RUN: Final = text("""
    SELECT r.id, r.state, r.fault, r.campaign, r.stage, v.definition ->> 'transport' AS route,
           (SELECT count(*) FROM message AS m WHERE m.run_id = r.id AND m.state IN ('planned', 'deferred')) AS waiting
    FROM run AS r JOIN campaign_version AS v ON v.id = r.version_id WHERE r.id = :run_id
""")
_MESSAGE: Final = text(
    """
    SELECT m.id, m.state, m.run_id, m.hold_reason, m.customer_id, c.email, b.stage, b.not_before,
           {kind} AS kind, r.priority, v.topic
    FROM message AS m JOIN customer AS c ON c.id = m.customer_id JOIN run AS r ON r.id = m.run_id
    JOIN campaign_version AS v ON v.id = r.version_id
    LEFT JOIN batch AS b ON b.run_id = m.run_id AND b.state <> 'done' AND m.id = ANY(b.message_ids)
    WHERE m.id = :message_id
""".replace("{kind}", _KIND)
)
#: Of what asked for its turn, those to held domains are left out: they wait for that.
_LATER: Final = text(
    """
    SELECT stage, kind, held_by, sum(heads) AS messages, min(not_before) AS first
    FROM (
        SELECT b.stage, {kind} AS kind, m.hold_reason AS held_by, b.not_before,
               cardinality(b.message_ids) - CASE WHEN b.booked_at IS NULL OR cardinality(:domains) = 0 THEN 0 ELSE (
                   SELECT count(*) FROM message AS i JOIN customer AS c ON c.id = i.customer_id
                   WHERE i.id = ANY(b.message_ids) AND lower(split_part(c.email, '@', 2)) = ANY(:domains)
               ) END AS heads
        FROM batch AS b LEFT JOIN message AS m ON m.id = b.message_ids[1]
        WHERE b.run_id = :run_id AND b.state = 'ready' AND (b.not_before > :now OR b.stage > :stage)
    ) AS later
    WHERE heads > 0 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""".replace("{kind}", _KIND)
).bindparams(bindparam("domains", type_=ARRAY(Text)))
_RESTING: Final = text("""
    SELECT coalesce(sum(cardinality(b.message_ids)), 0) FROM batch AS b
    WHERE b.run_id = :run_id AND b.state = 'ready' AND (b.attempt_count > 0 OR b.not_before > :later
      OR EXISTS (SELECT FROM message AS m WHERE m.id = b.message_ids[1] AND m.hold_reason IS NOT NULL))
""")
#: Whoever waits longer than this is not waited for at a keyboard.
_LONG: Final = timedelta(hours=1)


def resting(connection: Connection, run_id: int, now: datetime) -> int:
    """How many messages of the run are put off, held, or wait for more than an hour."""
    return int(connection.execute(_RESTING, {"run_id": run_id, "later": now + _LONG}).scalar_one())


_TO_DOMAIN: Final = text("""
    SELECT count(*) FROM message AS m JOIN customer AS c ON c.id = m.customer_id
    WHERE m.run_id = :run_id AND m.state IN ('planned', 'deferred') AND lower(split_part(c.email, '@', 2)) = :domain
""")


def _of_pause(row: Row[Any]) -> Iterator[Waiting]:
    if row.state == "paused":
        why = row.fault or "paused by hand"
        yield Waiting(f"the run is paused ({why}); `clarion resume {row.campaign}` goes on")


def _of_ways(connection: Connection, settings: Settings, row: Row[Any]) -> list[Waiting]:
    """What keeps every message of the run from every transport that it may take."""
    try:
        found = obstacles(connection, settings, row.route)
    except TransportError as error:
        return [Waiting(f"{error.message}: {error.hint}")]
    return [Waiting(obstacle.because, obstacle.until) for obstacle in found]


def _of_faults(row: Row[Any]) -> list[Waiting]:
    return [Waiting(f"the last try failed: {row.fault}")] if row.state == "running" and row.fault else []


def _of_processes(connection: Connection) -> Iterator[Waiting]:
    if missing := {"worker", "scheduler"} - present(connection):
        yield Waiting(f"no {' and no '.join(sorted(missing))} is running; start them with `clarion up`")


def _explained(ways: Sequence[Waiting], faults: Sequence[Waiting]) -> frozenset[str]:
    """The kinds of later times that only follow from these reasons."""
    return frozenset({"booked", "put_off"} if ways else {"put_off"} if faults else ())


def _of_times(
    connection: Connection, settings: Settings, row: Row[Any], now: datetime,
    held: Sequence[SlowDomain], explained: Collection[str],
) -> Iterator[Waiting]:  # fmt: skip
    """What has a later time, but for the kinds that are `explained`."""
    given = {"run_id": row.id, "stage": row.stage, "now": now, "domains": [slow.domain for slow in held]}
    later = connection.execute(_LATER, given).all()
    if staged := sum(batch.messages for batch in later if batch.stage > row.stage):
        yield _of_stage(connection, row.id, int(staged))
    for batch in later:
        if batch.stage <= row.stage and (batch.held_by is not None or batch.kind not in explained):
            closed = _closed(connection, settings, row.id, now) if batch.held_by == OPEN_CASE else 0
            if closed:
                yield Waiting(f"{CASE_CLOSED}; they go at the next look", batch.first, closed)
            if batch.messages > closed:
                yield Waiting(_why_later(batch.kind, batch.held_by), batch.first, int(batch.messages) - closed)


def _closed(connection: Connection, settings: Settings, run_id: int, now: datetime) -> int:
    """How many messages of the run are held for a case that is open no more."""
    cases = Policy.of(settings).care.cases
    held = select(func.count()).where(message.c.run_id == run_id, message.c.hold_reason == OPEN_CASE)
    if cases is not None:
        held = held.where(open_case_since(message.c.customer_id, cases, now).is_(None))
    return int(connection.execute(held.where(message.c.state.in_(("planned", "deferred")))).scalar_one())


def _of_stage(connection: Connection, run_id: int, messages: int | None) -> Waiting:
    place = place_of(connection, run_id)
    stage = f"stage {place.stage} of {place.stages}" if place is not None else "an earlier stage"
    return Waiting(f"{stage} of the roll-out comes first", place.next_at if place is not None else None, messages)


#: Hold reasons in words.
HOLDS: Final = {
    "quiet_hours": "it is quiet hours, a weekend or a holiday where the recipients live (quiet_hours)",
    "frequency_cap": "the recipients were written to as often as a cap, or they themselves, allow (pressure)",
    "open_case": "a case of the recipients is open (care.cases)",
}


#: Of a case that was open when the messages were put off.
CASE_CLOSED: Final = "the case of the recipients was closed"


def _of_own_time(connection: Connection, settings: Settings, own: Row[Any], now: datetime) -> Waiting:
    """Why one message has a later time, with what is known of its recipient."""
    general = _why_later(own.kind, own.hold_reason)
    if own.hold_reason is None:
        return Waiting(general, own.not_before)
    known = particulars(
        connection, Policy.of(settings), own.customer_id, own.hold_reason, topic=own.topic, priority=own.priority,
        message_id=own.id, now=now,
    )  # fmt: skip
    if own.hold_reason == OPEN_CASE and not known.startswith("opened"):
        return Waiting(f"{CASE_CLOSED}: {known}" if known else CASE_CLOSED, own.not_before)
    return Waiting(f"{general}: {known}" if known else general, own.not_before)


def _why_later(kind: str, held_by: str | None) -> str:
    return HOLDS.get(held_by, held_by) if held_by is not None else _LATER_IN_WORDS[kind]


def _held_domains(connection: Connection, settings: Settings) -> list[SlowDomain]:
    return [slow for slow in slow_domains(connection, settings) if slow.state == "held"]


def _of_domain(slow: SlowDomain, messages: int | None = None) -> Waiting:
    return Waiting(f"domain {slow.domain} is held: {slow.because}", slow.until, messages)


def _of_domains(connection: Connection, row: Row[Any], held: Sequence[SlowDomain]) -> Iterator[Waiting]:
    for slow in held:
        given = {"run_id": row.id, "domain": slow.domain}
        if messages := connection.execute(_TO_DOMAIN, given).scalar_one():
            yield _of_domain(slow, messages)
