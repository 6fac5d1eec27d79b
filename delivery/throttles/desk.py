"""Who may go now, and when the others: rates, warm-up plans and holds, kept by all workers together.

Owns `throttle.next_at`, `throttle.booked_until` and `volume`. Everything is decided under row locks and by the
database's clock, so neither a second worker nor a restart lets more through. What no setting limits and no server
has asked to slow down costs no statement.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, RowMapping, func, or_, select

from core.schema import throttle
from core.settings import Settings
from core.transport_settings import OTHER_DOMAINS, DomainLimit, Transport
from core.units import local_instant
from delivery.holds import HeldBy
from delivery.throttles import rows
from delivery.throttles.booking import Slot, slots
from delivery.throttles.cuts import RECOVERED_AFTER, factor_at
from delivery.throttles.limits import Limit, Volume, hold_end
from delivery.throttles.meter import Meter, shared_out

#: How old the list of domains that were slowed down or held may be.
_LOOK_EVERY_S: Final = 2.0


def transport_key(name: str) -> str:
    """The row of a transport."""
    return f"transport:{name}"


def domain_key(domain: str) -> str:
    """The row of a recipient domain."""
    return f"domain:{domain}"


@dataclass(slots=True)
class Throttles:
    """The throttles of one workspace, as one process sees them. `zone`: whose midnight begins a warm-up day."""

    transports: Mapping[str, Transport]
    domains: Mapping[str, DomainLimit]
    zone: str
    _slowed: frozenset[str] = frozenset()  # keys of domains that were cut or are held
    _looked_at: float = field(default=float("-inf"))
    _admitted_on: dict[str, date] = field(default_factory=dict)  # the day of the latest admission, by transport

    @classmethod
    def of(cls, settings: Settings) -> "Throttles":
        """The throttles that the settings ask for."""
        return cls(settings.transports, settings.domains, settings.organisation.zone)

    def limits(self, connection: Connection, transport: str, domains: Collection[str]) -> bool:
        """Whether anything limits these domains over this transport at present."""
        return bool(self._keys(connection, transport, domains))

    def admit(
        self,
        connection: Connection,
        transport: str,
        wanted: Mapping[str, int],
        *,
        urgent: bool = False,
        booked: bool = False,
    ) -> Mapping[str, int]:
        """How many of the `wanted` messages of each domain may go now; they are counted as gone.

        `urgent`: may use the burst, ahead of what is booked. `booked`: these were given their time before.
        Repeat: not safe, each call takes anew; `give_back` what did not go.
        """
        desk = self._open(connection, transport, wanted, urgent=urgent)
        if desk is None:
            return dict(wanted)
        going = {
            domain: desk.of(domain).free(count, desk.now, urgent=urgent, booked=booked)
            for domain, count in wanted.items()
        }
        total = desk.line.free(sum(going.values()), desk.now, urgent=urgent, booked=booked)
        going = shared_out(total, going)
        self._admitted_on[transport] = desk.day
        if total:
            self._take(connection, desk, going)
        else:
            rows.write(connection, desk.all)
        return going

    def book(
        self, connection: Connection, transport: str, wanted: Mapping[str, int], *, urgent: bool = False
    ) -> Sequence[Slot]:
        """The times at which the `wanted` messages should ask again, in order; one domain may have several.

        Repeat: not safe, each call books anew.
        """
        desk = self._open(connection, transport, wanted, urgent=urgent)
        if desk is None:  # what kept them when they were to be admitted is over
            now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
            return [Slot(now, domain, count) for domain, count in sorted(wanted.items()) if count]
        found = slots(desk.line, {domain: desk.of(domain) for domain in wanted}, wanted, desk.now, urgent=urgent)
        rows.write(connection, desk.all)
        return found

    def give_back(self, connection: Connection, transport: str, unused: Mapping[str, int]) -> None:
        """Messages that were admitted last and did not go are not counted, on the day they were. Repeat: not safe."""
        desk = self._open(connection, transport, unused, day=self._admitted_on.get(transport))
        if desk is None:
            return
        for domain, count in unused.items():
            desk.of(domain).give_back(count)
        desk.line.give_back(sum(unused.values()))
        rows.write(connection, desk.all)
        self._count(connection, desk, {domain: -count for domain, count in unused.items()})

    def look_again(self) -> None:
        """The next question asks the database which domains were slowed down."""
        self._looked_at = float("-inf")

    def configured(self, domain: str) -> float | None:
        """The rate the settings give to a domain, in messages a second."""
        limit = self.domains.get(domain) or self.domains.get(OTHER_DOMAINS)
        return limit.rate if limit is not None else None

    def _take(self, connection: Connection, desk: "_Desk", going: Mapping[str, int]) -> None:
        for domain, count in going.items():
            desk.of(domain).take(count, desk.now)
        desk.line.take(sum(going.values()), desk.now)
        rows.write(connection, desk.all)
        self._count(connection, desk, going)

    def _count(self, connection: Connection, desk: "_Desk", going: Mapping[str, int]) -> None:
        counts: dict[str, int] = {}
        for limit, count in [(desk.line, sum(going.values())), *((desk.of(name), n) for name, n in going.items())]:
            if limit.volume is not None and count:
                counts[limit.volume.key] = count
        rows.count_volumes(connection, counts, desk.day)

    # What is limited.

    def _keys(self, connection: Connection, transport: str, domains: Collection[str]) -> list[str]:
        """The rows to lock: of the transport when it or the plan of a domain is limited, and of limited domains."""
        self._look(connection)
        way = self.transports[transport]
        mine = [] if way.rate is None and way.warm_up is None else [transport_key(transport)]
        slowed = self._slowed
        if self.domains:
            is_open = OTHER_DOMAINS in self.domains
            named = (domain for domain in domains if is_open or domain in self.domains or domain_key(domain) in slowed)
        else:
            named = (domain for domain in domains if slowed and domain_key(domain) in slowed)
        return [*mine, *(domain_key(domain) for domain in named)]

    def _look(self, connection: Connection) -> None:
        """Which domains were slowed down or held is known, as of at most two seconds ago."""
        if time.monotonic() - self._looked_at < _LOOK_EVERY_S:
            return
        slowed = (throttle.c.factor < 1) & (throttle.c.factor_at > func.now() - RECOVERED_AFTER)
        held = throttle.c.held_at.is_not(None)
        query = select(throttle.c.key).where(throttle.c.key.startswith("domain:"), or_(slowed, held))
        self._slowed = frozenset(connection.execute(query).scalars())
        self._looked_at = time.monotonic()

    def _open(
        self,
        connection: Connection,
        transport: str,
        domains: Collection[str],
        *,
        day: date | None = None,
        urgent: bool = False,
    ) -> "_Desk | None":
        keys = self._keys(connection, transport, domains)
        if not keys:
            return None
        locked = rows.lock(connection, keys)
        today = locked.now.astimezone(ZoneInfo(self.zone)).date()
        desk = _Desk(locked.now, day or today, Limit(transport_key(transport)))
        way = self.transports[transport]
        if (row := locked.rows.get(transport_key(transport))) is not None:
            desk.line = _limit(row, None, way.rate, locked.now)  # whether it is held, its route has asked
        for domain in domains:
            if (row := locked.rows.get(domain_key(domain))) is not None:
                stops = not (urgent and row["held_by"] == HeldBy.COMPLAINTS)
                held_until = hold_end(row["held_at"], row["held_until"], locked.now) if stops else None
                desk.limits[domain] = _limit(row, held_until, self._rate(domain, row, locked.now), locked.now)
        if way.warm_up is not None:
            self._read_volumes(connection, transport, desk, domains)
        return desk

    def _rate(self, domain: str, row: RowMapping, now: datetime) -> float | None:
        """The domain's rate at present: what is set, or what it had when it was cut, less what the cut takes."""
        factor = factor_at(float(row["factor"]), row["factor_at"], now)
        base = self.configured(domain)
        if base is None and factor < 1 and row["base_rate"] is not None:
            base = float(row["base_rate"])
        return None if base is None else base * factor

    def _read_volumes(self, connection: Connection, transport: str, desk: "_Desk", domains: Iterable[str]) -> None:
        plan = self.transports[transport].warm_up
        if plan is None:
            return
        line = transport_key(transport)
        targets = {line: (desk.line, plan.allowed(desk.day))}
        for domain in plan.domains.keys() & set(domains):
            limit = desk.limits.setdefault(domain, Limit(domain_key(domain)))
            targets[f"{line}|{domain_key(domain)}"] = (limit, plan.allowed(desk.day, domain))
        used = rows.volumes(connection, list(targets), desk.day)
        opens_at = local_instant(_midnight(max(desk.day + timedelta(days=1), plan.start)), self.zone)
        for key, (limit, allowed) in targets.items():
            if allowed is not None:
                limit.volume = Volume(key, max(0, allowed - used.get(key, 0)), opens_at)


@dataclass(slots=True)
class _Desk:
    """The limits that one question is about, locked."""

    now: datetime
    day: date
    line: Limit  # of the transport
    limits: dict[str, Limit] = field(default_factory=dict)  # by domain

    def of(self, domain: str) -> Limit:
        if domain not in self.limits:
            self.limits[domain] = Limit(domain_key(domain))
        return self.limits[domain]

    @property
    def all(self) -> list[Limit]:
        return [self.line, *self.limits.values()]


def _limit(row: RowMapping, held_until: datetime | None, rate: float | None, now: datetime) -> Limit:
    if rate is None:
        return Limit(row["key"], held_until)
    stored = Meter(rate, row["next_at"], row["booked_until"])
    meter = stored.as_of(now)
    return Limit(row["key"], held_until, meter, is_changed=meter is not stored)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001  a wall time, made an instant in its zone
