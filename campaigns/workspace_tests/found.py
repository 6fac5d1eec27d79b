"""What is there at the end of a case: messages, tasks, passages and registrations, by the names of the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from campaigns.simulation.clock import VirtualClock
from campaigns.simulation.courier import NAME
from campaigns.workspace_tests.given import Place
from core.local_time import zone_or


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A message of the ledger. `at`: when it went, else when it was due (UTC)."""

    customer: str
    campaign: str
    step: str
    occurrence: str
    at: datetime
    zone: str  # the customer's own clock
    state: str
    skipped: str | None
    subject: str
    text: str
    fault: str | None = None  # why it could not be rendered


@dataclass(frozen=True, slots=True)
class FoundTask:
    """A task."""

    customer: str | None
    kind: str
    owner: str | None
    title: str
    due: datetime | None


@dataclass(frozen=True, slots=True)
class FoundEnrolment:
    """The newest passage of a customer through a sequence."""

    customer: str
    sequence: str
    state: str
    step: str
    because: str | None


@dataclass(frozen=True, slots=True)
class FoundRegistration:
    """The newest registration of a customer for an event."""

    customer: str
    event: str
    state: str


@dataclass(frozen=True, slots=True)
class FoundFault:
    """A campaign or sequence that stands still, or did not start, and why."""

    name: str
    what: str


@dataclass(frozen=True, slots=True)
class Found:
    """All of it, in order."""

    messages: tuple[FoundMessage, ...]
    tasks: tuple[FoundTask, ...]
    enrolments: tuple[FoundEnrolment, ...]
    registrations: tuple[FoundRegistration, ...]
    faults: tuple[FoundFault, ...]


_MESSAGES: Final = """
    SELECT m.id, c.external_id, m.campaign, m.step, m.occurrence, coalesce(a.answered_at, m.not_before) AS at,
           c.zone, m.state::text AS state, m.skip_reason
    FROM message AS m JOIN customer AS c ON c.id = m.customer_id
    LEFT JOIN attempt AS a ON a.message_id = m.id AND a.worker = :worker AND a.outcome = 'accepted'
    ORDER BY at, m.id
"""
_TASKS: Final = """
    SELECT c.external_id, t.kind, t.owner, t.title, t.due_at
    FROM task AS t LEFT JOIN customer AS c ON c.id = t.customer_id ORDER BY t.id
"""
_ENROLMENTS: Final = """
    SELECT DISTINCT ON (c.external_id, e.sequence) c.external_id, e.sequence, e.state, e.step, e.ended_because
    FROM enrolment AS e JOIN customer AS c ON c.id = e.customer_id ORDER BY c.external_id, e.sequence, e.id DESC
"""
_REGISTRATIONS: Final = """
    SELECT DISTINCT ON (c.external_id, r.event) c.external_id, r.event, r.state
    FROM registration AS r JOIN customer AS c ON c.id = r.customer_id ORDER BY c.external_id, r.event, r.id DESC
"""


def look(place: Place, clock: VirtualClock) -> Found:
    """What the world holds."""
    return Found(
        tuple(_message(row, place, clock) for row in _rows(place.connection, _MESSAGES, worker=NAME)),
        tuple(FoundTask(*tuple(row)) for row in _rows(place.connection, _TASKS)),
        tuple(FoundEnrolment(*tuple(row)) for row in _rows(place.connection, _ENROLMENTS)),
        tuple(FoundRegistration(*tuple(row)) for row in _rows(place.connection, _REGISTRATIONS)),
        _faults(place.connection, clock),
    )


# A run that stands still because of its sequence is told once.
_FAULTS: Final = """
    SELECT name, fault FROM sequence WHERE fault IS NOT NULL
    UNION
    SELECT campaign, coalesce(fault, 'it is paused') FROM run WHERE fault IS NOT NULL OR state = 'paused'
    ORDER BY 1, 2
"""


def _faults(connection: Connection, clock: VirtualClock) -> tuple[FoundFault, ...]:
    setbacks = clock.circumstances.setbacks.faults.items()
    found = [FoundFault(*tuple(row)) for row in _rows(connection, _FAULTS)]
    return (*found, *(FoundFault(name, fault) for name, fault in setbacks))


def _rows(connection: Connection, query: str, **given: Any) -> Sequence[Row[Any]]:
    return connection.execute(text(query), given).all()


def _message(row: Row[Any], place: Place, clock: VirtualClock) -> FoundMessage:
    sight = clock.courier.sights.get(row.id)
    zone = zone_or(row.zone, place.zone)
    return FoundMessage(
        row.external_id, row.campaign, row.step, row.occurrence, row.at, zone, row.state, row.skip_reason,
        sight.subject if sight else "", sight.text if sight else "", clock.courier.faults.get(row.id),
    )  # fmt: skip
