"""Two years of an office-supplies dealer, as the CSV files its systems would hand over.

Everything follows from the seed and the day: the same arguments write the same bytes. What firms spend is
distributed as in real trade, a fifth of them bringing about four fifths of the revenue, so the tiers that come
out are ranked, not drawn.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Final

from demo.goods import BY_CATEGORY, CATEGORIES, CATEGORY_WEIGHTS, Product
from demo.places import PLACES, TRADES, Place, plain, trade_name

CUSTOMERS: Final = 5_000
SEED: Final = 20_260
PERIOD: Final = timedelta(days=730)
FILES: Final = ("customers", "purchases", "events", "consents", "suppressions")
#: Mailboxes that begin so do not exist any more; the demo's inbox refuses them.
GONE: Final = "gone."
_OWNERS: Final = ("M. Albers", "S. Novak", "J. Whitfield")
#: The tail of the Pareto distribution: 1.16 is where a fifth brings four fifths.
_TAIL: Final = 1.16
_BUYER_SHARE, _LAPSED_SHARE = 0.82, 0.09
_NO_ADDRESS_SHARE, _SHARED_ADDRESS_SHARE, _GONE_SHARE, _BROKEN_SHARE = 0.015, 0.012, 0.008, 0.002


@dataclass(frozen=True, slots=True)
class Firm:
    """One customer. `weight` says how much it spends beside the others (1 and more; 0: it never bought);
    `left_at` is when a lapsed one stopped."""

    number: int
    place: Place
    trade: str
    first_name: str
    last_name: str
    company: str
    email: str
    weight: float
    favourite: str
    joined_at: datetime
    left_at: datetime | None

    @property
    def key(self) -> str:
        """The customer number."""
        return f"K{self.number:05}"

    @property
    def interest(self) -> float:
        """How much it looks around, 0–1."""
        return min(1.0, 0.25 + 0.2 * math.log1p(self.weight))


def generate(folder: Path, *, today: date, customers: int = CUSTOMERS, seed: int = SEED) -> dict[str, int]:
    """The five CSV files are in `folder`; returns their numbers of rows. The last purchase is of yesterday.

    Repeat: safe, the same arguments write the same files.
    """
    random = Random(seed)  # noqa: S311  a sample, not a secret
    end = datetime.combine(today, time(), UTC)
    firms = list(_firms(random, customers, end))
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, tuple[Sequence[str], Iterable[Sequence[object]]]] = {
        "customers": (_CUSTOMER_COLUMNS, map(_customer_row, firms)),
        "purchases": (_PURCHASE_COLUMNS, _purchases(random, firms, end)),
        "events": (_EVENT_COLUMNS, _events(random, firms, end)),
        "consents": (_CONSENT_COLUMNS, _consents(random, firms)),
        "suppressions": (_SUPPRESSION_COLUMNS, _suppressions(random, firms, end)),
    }
    return {name: _written(folder / f"{name}.csv", *table) for name, table in tables.items()}


def _written(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    number = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for number, row in enumerate(rows, start=1):  # noqa: B007  counted while they are made
            writer.writerow(row)
    return number


# --- firms ------------------------------------------------------------------------------------------

_CUSTOMER_COLUMNS = (
    "external_id", "email", "first_name", "last_name", "company", "phone", "country", "language", "zone", "owner",
    "industry", "employees",
)  # fmt: skip


def _firms(random: Random, number: int, end: datetime) -> Iterator[Firm]:
    shares = [place.share for place in PLACES]
    trades = tuple(TRADES)
    previous = ""
    for position in range(1, number + 1):
        place = random.choices(PLACES, shares)[0]
        trade = random.choice(trades)
        first, last = random.choice(place.first_names), random.choice(place.last_names)
        company = random.choice(place.forms).format(last, trade_name(trade, place), random.choice(place.last_names))
        kind = random.random()
        bought = kind < _BUYER_SHARE + _LAPSED_SHARE
        email = _email(random, position, place, first, last, previous)
        yield Firm(
            position, place, trade, first, last, company, email,
            weight=min(random.paretovariate(_TAIL), 400.0) if bought else 0.0,
            favourite=random.choices(CATEGORIES, list(CATEGORY_WEIGHTS.values()))[0],
            joined_at=end - PERIOD * random.uniform(0.05, 1),
            left_at=end - timedelta(days=random.uniform(370, 600)) if bought and kind >= _BUYER_SHARE else None,
        )  # fmt: skip
        previous = email if "@" in email and not email.startswith(GONE) else previous


def _email(random: Random, number: int, place: Place, first: str, last: str, previous: str) -> str:
    """Most firms have an address of their own; the rest is what lists are really like."""
    german = place.language == "de"
    local = f"{plain(first, german=german)}.{plain(last, german=german)}"
    domain = f"{plain(last, german=german)}-{number}.example"
    draw = random.random()
    for share, email in (
        (_NO_ADDRESS_SHARE, ""),
        (_SHARED_ADDRESS_SHARE, previous),
        (_GONE_SHARE, f"{GONE}{local}@{domain}"),
        (_BROKEN_SHARE, f"{local}(at){domain}"),
        (0.002, f"{first.lower()}.{last.lower()}@{domain}".replace("'", "")),
        (0.15, f"office@{domain}"),
    ):
        if draw < share:
            return email
        draw -= share
    return f"{local}@{domain}"


def _customer_row(firm: Firm) -> Sequence[object]:
    place = firm.place
    employees = max(1, round(3 * firm.weight**0.8 + firm.number % 7))
    owner = _OWNERS[firm.number % len(_OWNERS)] if firm.weight > 40 else ""
    return (
        firm.key, firm.email, firm.first_name, firm.last_name, firm.company,
        f"{place.phone} {firm.number * 7919 % 9_000_000 + 1_000_000}", place.country, place.language, place.zone,
        owner, firm.trade, employees,
    )  # fmt: skip


# --- what they did ----------------------------------------------------------------------------------

_PURCHASE_COLUMNS = (
    "order_id", "line_number", "external_id", "ordered_at", "product", "category", "description", "quantity",
    "unit_price", "unit_cost", "currency",
)  # fmt: skip
_EVENT_COLUMNS = ("event_key", "external_id", "name", "occurred_at", "category", "page")


def _working_moment(random: Random, begin: datetime, end: datetime) -> datetime:
    """A second between the two, on a weekday in office hours where they leave room for one."""
    at = begin + (end - begin) * random.random()
    at = at.replace(hour=7 + int(random.triangular(0, 11, 3)), minute=random.randrange(60), second=random.randrange(60))
    at = at.replace(microsecond=0) - timedelta(days=max(0, at.weekday() - 4))
    return min(max(at, begin.replace(microsecond=0)), end - timedelta(seconds=1))


def _purchases(random: Random, firms: Iterable[Firm], end: datetime) -> Iterator[Sequence[object]]:
    order = 0
    for firm in firms:
        if not firm.weight:
            continue
        last = firm.left_at or end
        begin = min(firm.joined_at, last - timedelta(days=30))
        for _ in range(_order_count(random, firm)):
            order += 1
            at = _working_moment(random, begin, last)
            yield from _order(random, firm, f"A{order:06}", at, end)


def _order_count(random: Random, firm: Firm) -> int:
    """At least one; a firm that spends a lot orders more often, and larger."""
    mean = 1.5 + 3.2 * math.log(firm.weight)
    return max(1, round(random.gammavariate(2.0, mean / 2)))


def _order(random: Random, firm: Firm, order: str, at: datetime, end: datetime) -> Iterator[Sequence[object]]:
    stamp = at.isoformat()
    for line in range(1, random.choices((1, 2, 3, 4), (0.4, 0.33, 0.18, 0.09))[0] + 1):
        product = _product(random, firm)
        quantity = max(1, round(product.pack * firm.weight**0.6 * random.uniform(0.5, 1.6)))
        yield _line(firm, order, line, stamp, product, quantity)
        if random.random() < 0.012:  # sent back some days later
            returned = min(at + timedelta(days=random.randrange(3, 20)), end - timedelta(hours=1))
            yield _line(firm, order, 10 + line, returned.isoformat(), product, -quantity)


def _product(random: Random, firm: Firm) -> Product:
    usual = random.random() < 0.45
    category = firm.favourite if usual else random.choices(CATEGORIES, list(CATEGORY_WEIGHTS.values()))[0]
    return random.choice(BY_CATEGORY[category])


def _line(firm: Firm, order: str, line: int, stamp: str, product: Product, quantity: int) -> Sequence[object]:
    return (
        order, line, firm.key, stamp, product.number, product.category, product.name, quantity, f"{product.price:.2f}",
        f"{product.cost:.2f}", "EUR",
    )  # fmt: skip


def _events(random: Random, firms: Iterable[Firm], end: datetime) -> Iterator[Sequence[object]]:
    number = 0
    for firm in firms:
        last = firm.left_at or end
        for _ in range(round(random.expovariate(1 / (7 * firm.interest)))):
            number += 1
            begin = max(firm.joined_at - timedelta(days=20), last - timedelta(days=180))
            at = _working_moment(random, min(begin, last - timedelta(days=1)), last)
            product = _product(random, firm)
            yield f"V{number:06}", firm.key, "page_view", at.isoformat(), product.category, f"/shop/{product.number}"
        if firm.weight and random.random() < 0.02:
            number += 1
            opened = _working_moment(random, end - timedelta(days=25), end)
            yield f"V{number:06}", firm.key, "ticket_opened", opened.isoformat(), "", ""


# --- what they agreed to -----------------------------------------------------------------------------

_CONSENT_COLUMNS = ("external_id", "topic", "state", "basis", "source", "captured_at")
_SUPPRESSION_COLUMNS = ("email", "reason", "scope", "topic", "created_at")


def _consents(random: Random, firms: Iterable[Firm]) -> Iterator[Sequence[object]]:
    for firm in firms:
        at = firm.joined_at.replace(microsecond=0)
        for topic, share in (("promotions", 0.86), ("news", 0.62)):
            if random.random() >= share:
                continue
            state, source = ("confirmed", "web-form") if random.random() < 0.7 else ("granted", "order-form")
            yield firm.key, topic, state, "consent", source, at.isoformat()
            if random.random() < 0.03:
                later = at + timedelta(days=random.uniform(5, 30))
                yield firm.key, topic, "withdrawn", "consent", "telephone", later.replace(microsecond=0).isoformat()


def _suppressions(random: Random, firms: Iterable[Firm], end: datetime) -> Iterator[Sequence[object]]:
    reasons = (
        ("unsubscribed", "topic", "promotions", 0.022),
        ("unsubscribed", "global", "", 0.006),
        ("hard_bounce", "global", "", 0.008),
        ("complaint", "global", "", 0.001),
        ("manual", "global", "", 0.002),
    )
    for firm in firms:
        if "@" not in firm.email or firm.email.startswith(GONE):
            continue
        draw = random.random()
        at = _working_moment(random, end - timedelta(days=500), end)
        for reason, scope, topic, share in reasons:
            if draw < share:
                yield firm.email, reason, scope, topic, at.isoformat()
                break
            draw -= share
