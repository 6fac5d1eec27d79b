"""How much goes to private Gmail addresses a day: who comes close to 5,000 once is a bulk sender for good (S-3.10).

Counted from the ledger by the primary domain of the sender, subdomains included, and kept in `volume` as
`gmail|from:<domain>`.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from campaigns.feedback.complaints import tell
from campaigns.feedback.receiver import Receiver
from core import audit
from core.addresses import parse_address
from core.errors import AddressError
from delivery.throttles.rows import count_volumes, volumes

BULK_FROM: Final = 5000
WARN_FROM: Final = BULK_FROM * 8 // 10
PREFIX: Final = "gmail|from:"
#: Second-level names under which countries register: example.co.uk is one organisation's, co.uk nobody's.
_REGISTRIES: Final = frozenset({"ac", "co", "com", "edu", "gov", "gr", "ne", "net", "or", "org"})
_COUNTRY_LETTERS: Final = 2

_RUNS: Final = text("""
    SELECT coalesce(sum(audience), 0) FROM run
    WHERE starts_at < :ends AND (finished_at IS NULL OR finished_at >= :begins)
""")
_COUNT: Final = text("""
    SELECT v.definition -> 'sender' ->> 'email' AS sender, count(*) AS messages
    FROM run AS r JOIN campaign_version AS v ON v.id = r.version_id
    JOIN message AS m ON m.run_id = r.id JOIN customer AS c ON c.id = m.customer_id
    WHERE r.starts_at < :ends AND (r.finished_at IS NULL OR r.finished_at >= :begins)
      AND m.accepted_at >= :begins AND m.accepted_at < :ends
      AND split_part(c.email, '@', 2) IN ('gmail.com', 'googlemail.com')
    GROUP BY 1
""")


def primary_domain(domain: str) -> str:
    """The domain that an organisation registered, with everything below it: `news.paper.example` → `paper.example`."""
    labels = domain.lower().split(".")
    is_country = len(labels) > 2 and len(labels[-1]) == _COUNTRY_LETTERS and labels[-2] in _REGISTRIES
    return ".".join(labels[-3:] if is_country else labels[-2:])


def watch(connection: Connection, receiver: Receiver, now: datetime) -> Mapping[str, int]:
    """Today's messages to Gmail are counted by primary domain, and who comes close to 5,000 is warned of it, once.

    Little is sent: nothing is counted. Repeat: safe.
    """
    zone = ZoneInfo(receiver.zone)
    day = now.astimezone(zone).date()
    counts = _counted(connection, day, zone)
    for domain, number in sorted(counts.items()):
        key = PREFIX + domain
        before = volumes(connection, [key], day).get(key, 0)
        count_volumes(connection, {key: number - before}, day)
        if number >= WARN_FROM:
            _warn(connection, domain, number, receiver, now)
    return counts


def _counted(connection: Connection, day: date, zone: ZoneInfo) -> Counter[str]:
    following = day + timedelta(days=1)
    given = {
        "begins": datetime(day.year, day.month, day.day, tzinfo=zone),
        "ends": datetime(following.year, following.month, following.day, tzinfo=zone),
    }
    counts: Counter[str] = Counter()
    if connection.execute(_RUNS, given).scalar_one() < WARN_FROM:
        return counts
    for row in connection.execute(_COUNT, given):
        try:
            counts[primary_domain(parse_address(row.sender or "").domain)] += row.messages
        except AddressError:
            continue  # a version of long ago, without a sender
    return counts


def _warn(connection: Connection, domain: str, number: int, receiver: Receiver, now: datetime) -> None:
    """Once for each of the two limits, for ever: what Gmail requires does not end when less is sent."""
    limit = "reached" if number >= BULK_FROM else "near"
    key = f"{PREFIX}{domain}|{limit}"
    first_day = date(1970, 1, 1)
    if volumes(connection, [key], first_day).get(key):
        return
    count_volumes(connection, {key: 1}, first_day)
    words = (
        f"{number:,} messages went to private Gmail addresses today under {domain}: from {BULK_FROM:,} on, Gmail wants "
        "SPF, DKIM, DMARC and one-click unsubscription of it for good"
    )
    audit.record(connection, audit.ITSELF, "gmail.warn", f"domain:{domain}", at=now, messages=number, limit=limit)
    tell(connection, receiver, f"gmail:{limit}:{domain}", words, now)
