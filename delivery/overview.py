"""What people are shown of the ways out: each transport and each slowed domain, and what keeps mail from going."""

from dataclasses import asdict, dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, or_, select

from core.schema import throttle, volume
from core.settings import Settings
from core.units import local_instant
from delivery.holds import HeldBy, Hold, holds
from delivery.routes import ways
from delivery.throttles import Throttles, transport_key
from delivery.throttles.cuts import RECOVERED_AFTER, factor_at


@dataclass(frozen=True, slots=True)
class Way:
    """One transport at this instant. `rate`: messages a second; `allowed_today`: by its warm-up plan. None: any."""

    transport: str
    address: str
    state: str  # free, held, or trial: one batch tries it
    rate: float | None
    sent_today: int | None  # counted while a plan is on
    allowed_today: int | None
    since: datetime | None = None
    until: datetime | None = None
    because: str | None = None
    by: str | None = None

    def document(self) -> dict[str, Any]:
        """The public form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SlowDomain:
    """A recipient domain that is held or was slowed down. `rate`: messages a second at present."""

    domain: str
    state: str  # held or slowed
    rate: float | None
    since: datetime
    until: datetime | None
    because: str | None

    def document(self) -> dict[str, Any]:
        """The public form."""
        return asdict(self)


def transports(connection: Connection, settings: Settings) -> list[Way]:
    """Every transport of the settings, in their order."""
    query = select(throttle, func.clock_timestamp().label("read_at")).where(throttle.c.held_at.is_not(None))
    held = {row["key"]: row for row in connection.execute(query).mappings()}
    now = connection.execute(select(func.clock_timestamp())).scalar_one()
    day = now.astimezone(ZoneInfo(settings.organisation.zone)).date()
    used = {row.key: row.message_count for row in connection.execute(select(volume).where(volume.c.day == day)).all()}
    found = []
    for name, transport in settings.transports.items():
        plan, row = transport.warm_up, held.get(transport_key(name))
        hold = Hold.of(row) if row is not None else None
        found.append(
            Way(
                name,
                transport.shown,
                "free" if hold is None else "trial" if hold.by is HeldBy.TRIAL else "held",
                transport.rate,
                used.get(transport_key(name), 0) if plan is not None else None,
                plan.allowed(day) if plan is not None else None,
                *(() if hold is None else (hold.since, hold.until, hold.because, hold.by.value)),
            )
        )
    return found


def slow_domains(connection: Connection, settings: Settings) -> list[SlowDomain]:
    """The recipient domains that are held, or served more slowly than set because they asked for it; by name."""
    throttles = Throttles.of(settings)
    is_held = throttle.c.held_at.is_not(None) & (
        throttle.c.held_until.is_(None) | (throttle.c.held_until > func.clock_timestamp())
    )
    is_slow = (throttle.c.factor < 1) & (throttle.c.factor_at > func.clock_timestamp() - RECOVERED_AFTER)
    query = select(throttle, is_held.label("is_held"), func.clock_timestamp().label("read_at")).where(
        throttle.c.key.startswith("domain:"), or_(is_held, is_slow)
    )
    found = []
    for row in connection.execute(query.order_by(throttle.c.key)).mappings():
        domain = row["key"].removeprefix("domain:")
        base = throttles.configured(domain) or (float(row["base_rate"]) if row["base_rate"] is not None else None)
        rate = (
            None if base is None else round(base * factor_at(float(row["factor"]), row["factor_at"], row["read_at"]), 3)
        )
        if row["is_held"]:
            found.append(SlowDomain(domain, "held", 0.0, row["held_at"], row["held_until"], row["held_because"]))
        else:
            until = row["factor_at"] + RECOVERED_AFTER
            found.append(SlowDomain(domain, "slowed", rate, row["factor_at"], until, "the receiver asked for less"))
    return found


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps mail from going at present. `until`: it ends by itself then, or is tried again; None: by a person."""

    because: str
    until: datetime | None


def obstacles(connection: Connection, settings: Settings, route: str) -> list[Obstacle]:
    """Why nothing goes over the route or transport `route` at present: one for each transport. Empty: one can be used.

    Raises:
        TransportError: the settings have neither.
    """
    given = ways(settings, route)
    now = connection.execute(select(func.clock_timestamp())).scalar_one()
    found = []
    for way in transports(connection, settings):
        if way.transport not in given:
            continue
        obstacle = _obstacle(way, settings, now)
        if obstacle is None:
            return []
        found.append(obstacle)
    return found


def _obstacle(way: Way, settings: Settings, now: datetime) -> Obstacle | None:
    plan, zone = settings.transports[way.transport].warm_up, settings.organisation.zone
    if way.state != "free":
        word = "paused" if way.by == HeldBy.OPERATOR else "held"
        return Obstacle(f"transport {way.transport} is {word}: {way.because}", way.until)
    if plan is None or way.allowed_today is None or (way.sent_today or 0) < way.allowed_today:
        return None
    today = now.astimezone(ZoneInfo(zone)).date()
    opens = local_instant(datetime.combine(max(today + timedelta(days=1), plan.start), time()), zone)
    if today < plan.start:
        return Obstacle(f"the warm-up of transport {way.transport} begins on {plan.start}", opens)
    used = f"the warm-up volume of transport {way.transport} is used up ({way.allowed_today:,} messages today)"
    return Obstacle(used, opens)


def held_by_name(connection: Connection) -> dict[str, str]:
    """A sentence for each transport and recipient domain that is held, by its name: `transport main`."""
    return {hold.key.replace(":", " ", 1): _told(hold) for hold in holds(connection)}


def _told(hold: Hold) -> str:
    kind, _, name = hold.key.partition(":")
    end = f"until {hold.until:%Y-%m-%d %H:%M} UTC" if hold.until is not None else "until it is resumed"
    if hold.by in (HeldBy.BREAKER, HeldBy.TRIAL):
        end = f"and tried again {hold.until:%H:%M} UTC" if hold.until is not None else end
    word = "paused" if hold.by is HeldBy.OPERATOR else "held"
    return f"{kind} {name} is {word} {end}: {hold.because}"
