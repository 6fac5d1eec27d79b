"""How many customers each level holds, and what they bring."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from core.settings import Tiers
from customers.metrics import measure

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

#: scheme → its levels, the most valuable first.
LEVELS: Final[dict[str, tuple[str, ...]]] = {
    "rfm": ("champions", "loyal_customers", "potential_loyalists", "new_customers", "promising",
            "need_attention", "about_to_sleep", "cant_loose", "at_risk", "hibernating"),
    "abc": ("A", "B", "C"),
    "pyramid": ("top", "big", "medium", "small", "inactive", "prospect", "suspect"),
    "quadrant": ("E", "D", "C", "B", "A"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Level:
    """One level. `share_of_revenue` is the part of the revenue of all customers, 0 where more went back than was
    sold; the means are None for nobody, and for levels without orders; recency in days."""

    scheme: str
    level: str
    customers: int
    revenue: Decimal
    share_of_revenue: float
    mean_recency: Decimal | None
    mean_frequency: Decimal | None
    mean_monetary: Decimal | None


_SUMMARY: Final = """
    SELECT scheme, level, count(*) AS customers, sum(monetary) AS revenue,
           avg(recency_days) AS mean_recency, avg(order_count) AS mean_frequency, avg(monetary) AS mean_monetary
    FROM {source} CROSS JOIN LATERAL (VALUES
        ('rfm', rfm), ('abc', abc), ('pyramid', pyramid), ('quadrant', quadrant)
    ) AS place (scheme, level)
    WHERE level IS NOT NULL
    GROUP BY scheme, level
"""

_TOTAL: Final = "SELECT coalesce(sum(monetary), 0) FROM {source}"


def count_levels(
    connection: "Connection", tiers: Tiers, *, scheme: str | None = None, as_of: datetime | None = None
) -> list[Level]:
    """Every level of `scheme` (None: of all schemes), the empty ones too, the most valuable first. With `as_of` the
    metrics are computed for that instant and not stored; without, they are those of the last refresh."""
    from sqlalchemy import text

    if as_of is not None:
        measure(connection, tiers, as_of=as_of)
    source = "customer_metrics" if as_of is None else "measured"
    rows = {(row.scheme, row.level): row for row in connection.execute(text(_SUMMARY.format(source=source)))}
    total = connection.execute(text(_TOTAL.format(source=source))).scalar_one()
    return [
        _level(name, level, rows.get((name, level)), total)
        for name in ([scheme] if scheme else LEVELS)
        for level in LEVELS[name]
    ]


def _level(scheme: str, level: str, row: "Row[Any] | None", total: Decimal) -> Level:
    if row is None:
        return Level(scheme, level, 0, Decimal(0), 0.0, None, None, None)
    share = round(float(row.revenue / total), 6) if total > 0 else 0.0
    return Level(
        scheme, level, row.customers, row.revenue, share,
        *(None if mean is None else round(mean, 6)
          for mean in (row.mean_recency, row.mean_frequency, row.mean_monetary)),
    )  # fmt: skip


def measured_at(connection: "Connection") -> datetime | None:
    """The instant the stored metrics describe; None when there are none."""
    from sqlalchemy import func, select

    from core.schema import customer_metrics

    return connection.execute(select(func.max(customer_metrics.c.as_of))).scalar()
