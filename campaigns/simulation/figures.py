"""What a rehearsal tells, as plain values; `document` is what `--json` prints."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from campaigns.simulation.applying import Refused
from campaigns.simulation.assumptions import Assumptions
from campaigns.simulation.courier import Flaw


@dataclass(frozen=True, slots=True)
class Day:
    """What was handed over on one day of the organisation's zone."""

    day: date
    accepted: int
    bounced: int
    transports: Mapping[str, int]
    campaigns: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StepFigures:
    """One step of one campaign. `messages` = accepted + bounced + waiting + other + the sum of `skipped`."""

    campaign: str
    step: str
    kind: str
    messages: int
    accepted: int
    bounced: int
    waiting: int
    other: int  # in doubt, or failed for another reason
    skipped: Mapping[str, int]
    held: Mapping[str, int]  # who had to wait at least once, by the reason
    first_at: datetime | None
    last_at: datetime | None
    fault: str | None  # why it stands still


@dataclass(frozen=True, slots=True)
class TransportDay:
    """A day on which a transport had more to carry than it may."""

    transport: str
    day: date
    wanted: int
    allowed: int


@dataclass(frozen=True, slots=True)
class TransportFigures:
    """One transport. `mails`: handed over, also those that bounce."""

    transport: str
    mails: int
    busiest_day: date
    busiest_day_count: int
    busiest_hour: datetime
    busiest_hour_count: int
    lasts_s: float | None  # how long the busiest hour's messages take by its rate; None: no rate is set


@dataclass(frozen=True, slots=True)
class Pressed:
    """Somebody who would get many mails. `most`: in any seven days, which end at `at`."""

    customer: str
    most: int
    total: int
    at: datetime


@dataclass(frozen=True, slots=True)
class DeadEnd:
    """Something nobody comes to, or nobody comes out of."""

    what: str  # step_not_reached, wait_times_out, enrolments_stuck, nobody, everybody_skipped, stands_still, idle_duty
    name: str
    step: str | None
    says: str


@dataclass(frozen=True, slots=True)
class Due:
    """What would fall to people, or come in, by its kind."""

    what: str  # task, inquiry, registration, notice, webhook_call, enrolment
    kind: str
    count: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happens to the customer who is watched."""

    at: datetime
    local: datetime  # as their own clock shows it
    what: str  # message, skipped, waiting, task
    campaign: str
    step: str
    says: str  # a subject, a reason, a title


@dataclass(frozen=True, slots=True)
class Figures:
    """A whole rehearsal."""

    start: datetime
    until: datetime
    zone: str
    assumptions: Assumptions
    applied: tuple[str, ...]
    refused: tuple[Refused, ...]
    days: tuple[Day, ...]
    steps: tuple[StepFigures, ...]
    transports: tuple[TransportFigures, ...]
    exceeded: tuple[TransportDay, ...]
    domains: Mapping[str, int]
    pressure: Mapping[int, int]  # people by the most mails they get in seven days
    pressed: tuple[Pressed, ...]
    answers: Mapping[str, int]
    dead_ends: tuple[DeadEnd, ...]
    due: tuple[Due, ...]
    rendered: int
    flaws: tuple[Flaw, ...]
    flaw_counts: Mapping[str, int]
    watched: str | None = None
    moments: tuple[Moment, ...] = ()
    instants: int = 0
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """The figures for JSON. Keys are stable."""
        found = asdict(self)
        found["assumptions"] = self.assumptions.document()
        found["pressure"] = [{"most": most, "people": people} for most, people in sorted(self.pressure.items())]
        found["domains"] = [{"domain": domain, "accepted": count} for domain, count in self.domains.items()]
        found["seconds"] = round(self.seconds, 1)
        return found
