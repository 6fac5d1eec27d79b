"""How many of a day's messages to one domain were reported as spam; above a share of them no bulk mail goes there.

A complaint belongs to the day on which its message was accepted, so a share is one of the same messages. Complaints
are counted as they come in; what they are a share of is counted from the ledger only when that may matter (S-3.11).
Writes rows of `volume`: `complained|domain:…`, `reached|domain:…`, and `warned|…` and `paused|…` once that was done.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import ARRAY, Connection, Text, bindparam, func, select, text

from campaigns import notices
from campaigns.feedback.matching import Match
from campaigns.feedback.receiver import Receiver
from core import audit
from core.staff_settings import responsible
from core.units import format_duration
from delivery.holds import HeldBy, hold, holds
from delivery.throttles import domain_key
from delivery.throttles.rows import count_volumes, volumes

#: Shares of older days say nothing about what is sent now.
_LOOK_BACK: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Share:
    """The complaints about one day's messages to one domain. `reached`: those that got there."""

    domain: str
    day: date
    complained: int
    reached: int

    @property
    def value(self) -> float:
        """The share, 0–1."""
        return self.complained / self.reached if self.reached else 0.0

    def __str__(self) -> str:
        return (
            f"{self.complained:,} of {self.reached:,} messages of {self.day} to {self.domain} were reported as spam "
            f"({self.value:.2%})"
        )


def count(connection: Connection, found: Iterable[Match], receiver: Receiver, now: datetime) -> list[Share]:
    """The complaints are counted, and followed by what their share calls for: a warning, or a pause of bulk mail to
    the domain. The shares that had to be worked out are returned.

    Each is done once for a day: whoever lets a domain go on knows. Repeat: not safe, `take` calls it for new ones.
    """
    zone = ZoneInfo(receiver.zone)
    counted = Counter((one.domain, _day(one, zone)) for one in found if one.domain is not None)
    shares = []
    for (domain, day), number in sorted(counted.items()):
        count_volumes(connection, {f"complained|{domain_key(domain)}": number}, day)
        if day > (now - _LOOK_BACK).astimezone(zone).date():
            share = _share(connection, domain, day, receiver)
            if share is not None:
                _follow(connection, share, receiver, now)
                shares.append(share)
    return shares


def _day(one: Match, zone: ZoneInfo) -> date:
    is_known = one.message is not None and one.is_told and one.message.accepted_at is not None
    moment = one.message.accepted_at if is_known and one.message is not None else None
    return (moment or one.feedback.occurred_at).astimezone(zone).date()


def _share(connection: Connection, domain: str, day: date, receiver: Receiver) -> Share | None:
    """The share, when it may be above a limit; None: it cannot be, by what was counted last."""
    rules = receiver.rules.complaints
    complained_key, reached_key = f"complained|{domain_key(domain)}", f"reached|{domain_key(domain)}"
    known = volumes(connection, [complained_key, reached_key], day)
    complained, before = known[complained_key], known.get(reached_key, 0)
    if complained < rules.at_least or (before and complained / before < rules.warn):
        return None  # more can have got there since, not fewer
    reached = reached_count(connection, domain, day, receiver.zone)
    count_volumes(connection, {reached_key: reached - before}, day)
    return Share(domain, day, complained, reached)


_REACHED: Final = text("""
    SELECT count(*) FILTER (WHERE m.state IN ('delivered', 'complained')) AS delivered,
           count(*) FILTER (WHERE m.state IN ('accepted', 'delivered', 'complained')) AS accepted,
           coalesce(bool_or(m.state = 'delivered'), false) AS is_reported
    FROM run AS r JOIN message AS m ON m.run_id = r.id JOIN customer AS c ON c.id = m.customer_id
    WHERE r.starts_at < :ends AND (r.finished_at IS NULL OR r.finished_at >= :begins)
      AND m.accepted_at >= :begins AND m.accepted_at < :ends AND split_part(c.email, '@', 2) = ANY(:domains)
""").bindparams(bindparam("domains", type_=ARRAY(Text)))


def reached_count(connection: Connection, domain: str, day: date, zone: str) -> int:
    """How many messages of the day got to the domain: those reported as delivered, or, where nobody reports that,
    those accepted that did not come back."""
    begins = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    following = day + timedelta(days=1)
    ends = datetime(following.year, following.month, following.day, tzinfo=ZoneInfo(zone))
    given = {"begins": begins, "ends": ends, "domains": sorted({domain, _as_written(domain)})}
    row = connection.execute(_REACHED, given).one()
    return int(row.delivered if row.is_reported else row.accepted)


def _as_written(domain: str) -> str:
    """A domain of A-labels as customers' addresses have it."""
    try:
        return domain.encode("ascii").decode("idna")
    except UnicodeError:
        return domain


def _follow(connection: Connection, share: Share, receiver: Receiver, now: datetime) -> None:
    rules, key = receiver.rules.complaints, domain_key(share.domain)
    if share.complained and share.value >= rules.pause and _first(connection, f"paused|{key}", share.day):
        words = f"{share}: no bulk mail goes there for {format_duration(rules.lasts)}"
        if not any(one.key == key for one in holds(connection, key)):
            until = connection.execute(select(func.now())).scalar_one() + rules.lasts  # holds go by that clock
            hold(connection, key, because=words, by=HeldBy.COMPLAINTS, until=until, actor=audit.ITSELF)
        tell(connection, receiver, f"complaints:paused:{share.domain}:{share.day}", words, now)
    elif share.value >= rules.warn and _first(connection, f"warned|{key}", share.day):
        audit.record(connection, audit.ITSELF, "complaints.warn", key, at=now, words=str(share))
        words = f"{share}; from {rules.pause:.2%} on, no bulk mail goes there"
        tell(connection, receiver, f"complaints:warned:{share.domain}:{share.day}", words, now)


def _first(connection: Connection, key: str, day: date) -> bool:
    """Whether this was not done before for the day; it is now."""
    if volumes(connection, [key], day).get(key):
        return False
    count_volumes(connection, {key: 1}, day)
    return True


def tell(connection: Connection, receiver: Receiver, key: str, words: str, now: datetime) -> None:
    """Whoever gets replies is told, where the settings name somebody."""
    name = responsible(receiver.staff, receiver.rules.replies_to)
    if name is None or not receiver.senders:
        return
    employee = receiver.staff[name]
    wanted = notices.NewNotice(key, employee.email, employee.name, words[:100], words + ".\n")
    notices.order(connection, wanted, secret=receiver.secret, sender=next(iter(receiver.senders.values())), now=now)


_LISTED: Final = text("""
    SELECT c.key, c.day, c.message_count AS complained FROM volume AS c
    WHERE c.key LIKE 'complained|domain:%' AND c.day >= :since ORDER BY c.day DESC, c.message_count DESC, c.key
""")


def shares(connection: Connection, *, since: date, zone: str) -> list[Share]:
    """The shares of every domain and day with complaints, the latest first. Counts each from the ledger."""
    listed = []
    for row in connection.execute(_LISTED, {"since": since}).all():
        domain = row.key.removeprefix("complained|domain:")
        listed.append(Share(domain, row.day, row.complained, reached_count(connection, domain, row.day, zone)))
    return listed
