"""One rehearsal from beginning to end: a shadow world, the files applied in it, the days gone through, the figures."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from campaigns import catalogue as files
from campaigns.duty import Circumstances
from campaigns.simulation import collecting, dead_ends
from campaigns.simulation.applying import Refused, apply_files
from campaigns.simulation.assumptions import Assumptions
from campaigns.simulation.clock import VirtualClock
from campaigns.simulation.collecting import Period
from campaigns.simulation.courier import NullCourier
from campaigns.simulation.figures import DeadEnd, Figures
from campaigns.simulation.responses import Responses
from campaigns.simulation.world import shadow_world
from core.database import Database
from core.settings import Settings
from core.workspace import Workspace
from suppression.policy import Policy

#: Messages a batch: nobody waits for the first of them, and each batch costs some twenty statements.
BATCH_SIZE: Final = 5000


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be rehearsed: `days` from `start` on, with these files applied at `start` (none: all)."""

    start: datetime
    days: int
    names: tuple[str, ...] = ()
    assumptions: Assumptions = Assumptions()  # noqa: RUF009  frozen
    seed: int = 0
    samples: int | None = 5  # messages rendered of each version; None: all
    watched: str | None = None  # external id of a customer whose every message is told
    looks_apart: timedelta = timedelta(hours=6)  # of sequences at segments, and at what people wait for

    @property
    def until(self) -> datetime:
        """The last instant."""
        return self.start + timedelta(days=self.days)


def rehearse(
    database: Database,
    workspace: Workspace,
    wish: Wish,
    now: datetime,
    told: Callable[[datetime], None] = lambda _: None,
) -> Figures:
    """What would happen, as the database and the files are at `now`; nothing is written or sent.

    `told` hears of each instant the clock comes to. What is under way already goes on until `wish.start`.

    Raises:
        ConfigError: files have mistakes.
        NotFound: a name is unknown.
    """
    begun = time.monotonic()
    circumstances = rehearsed(workspace, wish.looks_apart)
    catalogue = replace(files.load(workspace), settings=circumstances.settings)
    with shadow_world(database) as connection:
        clock = open_world(connection, circumstances, wish, told)
        take_over(connection, now)
        if wish.start > now:
            clock.go(now, wish.start)
            clock.responses.noted.clear()  # answers count from the start on, as mails do
        collecting.begin(connection)
        applied, refused = apply_files(connection, catalogue, wish.names, wish.start)
        clock.go(wish.start, wish.until)
        found = _figures(clock, wish, tuple(applied), tuple(refused))
    return replace(found, seconds=time.monotonic() - begun)


def rehearsed(workspace: Workspace, looks_apart: timedelta = timedelta()) -> Circumstances:
    """What duties go by in a rehearsal: the workspace's settings, with larger batches, and rarer looks: thirty days of
    looks every ten minutes are 4,320."""
    settings: Settings = workspace.settings
    workers = settings.workers.model_copy(update={"batch_size": BATCH_SIZE})
    copy = Workspace(workspace.root)
    copy.__dict__["settings"] = settings.model_copy(update={"workers": workers})
    return Circumstances(copy, Policy.of(settings), looks_apart)


def open_world(
    connection: Connection, circumstances: Circumstances, wish: Wish, told: Callable[[datetime], None]
) -> VirtualClock:
    """The clock of a world that was just made, with its courier and its people."""
    Responses.prepare(connection)
    NullCourier.prepare(connection)
    responses = Responses(wish.assumptions, wish.seed)
    watched = frozenset([wish.watched] if wish.watched else [])
    courier = NullCourier(circumstances, responses, samples=wish.samples, watched=watched)
    return VirtualClock(connection, circumstances, courier, responses, told)


_IN_HANDS: Final = (
    "UPDATE message SET state = 'accepted', accepted_at = :now, state_at = :now WHERE state = 'handed_over'",
    "UPDATE batch SET state = 'ready', lease_until = NULL, published_at = NULL WHERE state <> 'done'",
)


def take_over(connection: Connection, now: datetime) -> None:
    """What workers have in their hands at this instant is accepted, and what they were told of is told again."""
    for statement in _IN_HANDS:
        connection.execute(text(statement), {"now": now} if ":now" in statement else {})


def _figures(clock: VirtualClock, wish: Wish, applied: tuple[str, ...], refused: tuple[Refused, ...]) -> Figures:
    connection, settings, courier = clock.connection, clock.circumstances.settings, clock.courier
    zone = settings.organisation.zone
    period = Period(wish.start, wish.until, zone)
    collecting.look(connection, period)
    steps = collecting.steps(connection)
    transports, exceeded = collecting.transports(connection, settings)
    histogram, pressed = collecting.pressure(connection, period)
    ends = (*dead_ends.of_messages(connection, steps, applied), *dead_ends.of_sequences(connection, period))
    idle = tuple(
        DeadEnd("idle_duty", name, None, f"it said {count:,} times that it was due, and did nothing")
        for name, count in sorted(clock.idle.items())
    )
    subjects = {message_id: rendered.subject for message_id, rendered in courier.sights.items()}
    watched = wish.watched
    return Figures(
        start=wish.start, until=wish.until, zone=zone, assumptions=wish.assumptions, applied=applied, refused=refused,
        days=collecting.days(connection), steps=steps, transports=transports, exceeded=exceeded,
        domains=collecting.domains(connection), pressure=histogram, pressed=pressed,
        answers=dict(sorted(clock.responses.noted.items())), dead_ends=(*ends, *idle),
        due=collecting.due(connection, period), rendered=courier.rendered.total(), flaws=tuple(courier.flaws),
        flaw_counts={f"{campaign}/{step}": count for (campaign, step), count in courier.flaw_counts.items()},
        watched=watched, moments=collecting.moments(connection, watched, subjects, zone) if watched else (),
        instants=clock.instants,
    )  # fmt: skip
