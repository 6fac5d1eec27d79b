"""What each customer is worth: one row of metrics per customer, computed from purchases in one statement.

All levels are relative to the other customers, so one new purchase can move anybody: the metrics are always
computed as a whole, and equal a rebuild from nothing whatever the order of imports.

- An **order** counts when one of its lines is no return (quantity above zero, amount not below). First and last
  order and recency look at all time; order count and money only at `tiers.period`. Money is that in
  `tiers.currency`: amounts of other currencies are not added up with it.
- **R, F, M scores** are the quintiles of `pandas.qcut` over everybody with an order: recency and money by value,
  frequency by its rank with ties in the order of the external ids (by length, then text: so numbers count up).
- **abc**: A is whoever the customers ranked before him by revenue have brought less than `tiers.abc.a` of it; so
  the one who crosses the line is still A. B likewise; C are the other buyers.
- **pyramid**: active customers ranked by `tiers.value`; top is whoever less than `top` of them rank before.
  Inactive: bought, but not within `inactive_after`. Prospect: never ordered, but did something or once agreed to
  a topic. Suspect: the others.
- **quadrant**: A lead, no order yet. Of the others, by average order value and number of orders, each high when
  above the cut (`tiers.quadrant`, else the median): B low value and few orders, C low value and many orders,
  D high value and few orders, E high value and many orders.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from core import advisory
from core.settings import Tiers

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Refreshes run one after the other: each is a whole.
_LOCK: Final = 0x434C4D45
_MEMORY: Final = "256MB"

#: One word for a whole number of fifths passed: quintile 1–5 of place `m` (from 0) among `n`, as pandas.qcut draws
#: the edges (linear interpolation), in whole numbers: an edge k/5 lies below place m when 5·m > k·(n − 1).
_QUINTILE: Final = "greatest(1, ceil(5.0 * ({place} - 1) / nullif(count(*) OVER () - 1, 0)))"

#: Groups of recency and frequency score, spelt as in the published segment map.
_RFM_GROUP: Final = """
    CASE
        WHEN r <= 2 AND f <= 2 THEN 'hibernating'
        WHEN r <= 2 AND f <= 4 THEN 'at_risk'
        WHEN r <= 2 THEN 'cant_loose'
        WHEN r = 3 AND f <= 2 THEN 'about_to_sleep'
        WHEN r = 3 AND f = 3 THEN 'need_attention'
        WHEN r = 5 AND f >= 4 THEN 'champions'
        WHEN f >= 4 THEN 'loyal_customers'
        WHEN f >= 2 THEN 'potential_loyalists'
        WHEN r = 4 THEN 'promising'
        ELSE 'new_customers'
    END
"""

#: The metrics of everybody at :as_of. Lines are first added up per order by hashing; windows then run over
#: customers only (three ntile windows over 5 million purchases took 41 s).
COMPUTE: Final = f"""
    WITH ordered AS (
        SELECT customer_id, order_id,
               min(ordered_at) FILTER (WHERE quantity > 0 AND amount >= 0) AS first_at,
               max(ordered_at) FILTER (WHERE quantity > 0 AND amount >= 0) AS last_at,
               bool_or(quantity > 0 AND amount >= 0 AND ordered_at > :since) AS counts,
               sum(amount) FILTER (WHERE currency = :currency AND ordered_at > :since) AS amount,
               sum(cost) FILTER (WHERE currency = :currency AND ordered_at > :since) AS cost
        FROM purchase WHERE ordered_at <= :as_of
        GROUP BY customer_id, order_id
    ), spent AS (
        SELECT customer_id, min(first_at) AS first_order_at, max(last_at) AS last_order_at,
               count(*) FILTER (WHERE counts) AS order_count, coalesce(sum(amount), 0) AS monetary,
               coalesce(sum(amount), 0) - coalesce(sum(cost), 0) AS gross_profit
        FROM ordered GROUP BY customer_id
    ), bought AS (
        SELECT spent.*, length(external_id) AS id_length, external_id,
               {{value}} AS value,
               round(monetary / nullif(order_count, 0), 4) AS average_order_value,
               CAST(floor(extract(epoch FROM :as_of - last_order_at) / 86400) AS integer) AS recency_days,
               last_order_at > :active_since AS is_active
        FROM spent JOIN customer ON customer.id = spent.customer_id
    ), scored AS (
        SELECT customer_id,
               6 - {_QUINTILE.format(place="rank() OVER (ORDER BY recency_days)")} AS r,
               {_QUINTILE.format(place="row_number() OVER (ORDER BY order_count, id_length, external_id)")} AS f,
               {_QUINTILE.format(place="rank() OVER (ORDER BY monetary)")} AS m
        FROM bought WHERE order_count > 0
    ), classed AS (
        SELECT customer_id, sum(monetary) OVER before - monetary AS share_before, sum(monetary) OVER () AS revenue
        FROM bought WHERE monetary > 0
        WINDOW before AS (ORDER BY monetary DESC, id_length, external_id ROWS UNBOUNDED PRECEDING)
    ), ranked AS (
        SELECT customer_id, row_number() OVER (ORDER BY value DESC, id_length, external_id) - 1 AS place,
               count(*) OVER () AS active_count
        FROM bought WHERE is_active
    ), cut AS (
        SELECT coalesce(CAST(:value_cut AS numeric), CAST(percentile_cont(0.5) WITHIN GROUP (
                   ORDER BY average_order_value) AS numeric)) AS order_value,
               coalesce(CAST(:frequency_cut AS numeric), CAST(percentile_cont(0.5) WITHIN GROUP (
                   ORDER BY order_count) AS numeric)) AS frequency
        FROM bought WHERE order_count > 0
    )
    SELECT c.id AS customer_id, b.first_order_at, b.last_order_at, coalesce(b.order_count, 0) AS order_count,
           coalesce(b.monetary, 0) AS monetary, coalesce(b.gross_profit, 0) AS gross_profit,
           b.average_order_value, b.recency_days,
           s.r AS recency_score, s.f AS frequency_score, s.m AS monetary_score,
           CASE WHEN s.customer_id IS NOT NULL THEN {_RFM_GROUP} END AS rfm,
           CASE
               WHEN classed.share_before < :a * classed.revenue THEN 'A'
               WHEN classed.share_before < :b * classed.revenue THEN 'B'
               WHEN classed.revenue IS NOT NULL OR b.last_order_at IS NOT NULL THEN 'C'
           END AS abc,
           CASE
               WHEN ranked.place < :top * ranked.active_count THEN 'top'
               WHEN ranked.place < :big * ranked.active_count THEN 'big'
               WHEN ranked.place < :medium * ranked.active_count THEN 'medium'
               WHEN ranked.place IS NOT NULL THEN 'small'
               WHEN b.customer_id IS NOT NULL THEN 'inactive'
               WHEN EXISTS (SELECT FROM activity WHERE customer_id = c.id AND occurred_at <= :as_of) THEN 'prospect'
               WHEN EXISTS (SELECT FROM consent WHERE customer_id = c.id AND state <> 'withdrawn'
                            AND captured_at <= :as_of) THEN 'prospect'
               ELSE 'suspect'
           END AS pyramid,
           CASE
               WHEN b.last_order_at IS NULL THEN 'A'
               WHEN b.average_order_value > cut.order_value AND b.order_count > cut.frequency THEN 'E'
               WHEN b.average_order_value > cut.order_value THEN 'D'
               WHEN b.order_count > cut.frequency THEN 'C'
               ELSE 'B'
           END AS quadrant
    FROM customer c
    CROSS JOIN cut
    LEFT JOIN bought b ON b.customer_id = c.id
    LEFT JOIN scored s ON s.customer_id = c.id
    LEFT JOIN classed ON classed.customer_id = c.id
    LEFT JOIN ranked ON ranked.customer_id = c.id
"""  # noqa: S608  made of our own names

_COLUMNS: Final = (
    "first_order_at", "last_order_at", "order_count", "monetary", "gross_profit", "average_order_value",
    "recency_days", "recency_score", "frequency_score", "monetary_score", "rfm", "abc", "pyramid", "quadrant",
)  # fmt: skip

#: A first level is no change: level_from then says what the customer was before the first change.
_CHANGES: Final = """
    INSERT INTO tier_change (customer_id, scheme, level_from, level_to, changed_at)
    SELECT customer_id, scheme, level_from, level_to, :as_of
    FROM customer_metrics old JOIN measured new USING (customer_id) CROSS JOIN LATERAL (VALUES
        ('rfm', old.rfm, new.rfm), ('abc', old.abc, new.abc),
        ('pyramid', old.pyramid, new.pyramid), ('quadrant', old.quadrant, new.quadrant)
    ) AS level (scheme, level_from, level_to)
    WHERE level_from IS DISTINCT FROM level_to
    ORDER BY customer_id, scheme
"""

_STORE: Final = f"""
    INSERT INTO customer_metrics (customer_id, {", ".join(_COLUMNS)}, as_of)
    SELECT customer_id, {", ".join(_COLUMNS)}, :as_of FROM measured
    ON CONFLICT (customer_id) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}, as_of = excluded.as_of
"""  # noqa: S608  made of our own names


def measure(connection: "Connection", tiers: Tiers, *, as_of: datetime) -> None:
    """The temporary table `measured` holds the metrics of every customer at `as_of`; nothing is stored."""
    from sqlalchemy import text

    give_memory(connection)
    value = {"monetary": "monetary", "gross_profit": "gross_profit"}[tiers.value]
    connection.execute(text("DROP TABLE IF EXISTS pg_temp.measured"))
    connection.execute(
        text(f"CREATE TEMP TABLE measured ON COMMIT DROP AS {COMPUTE.format(value=value)}"),
        _parameters(tiers, as_of),
    )
    connection.execute(text("ANALYZE measured"))


def refresh(connection: "Connection", tiers: Tiers, *, now: datetime) -> int:
    """`customer_metrics` describes every customer at `now`, and each change of level is a dated row of `tier_change`;
    returns the number of customers.

    Atomic: with the connection's transaction. Repeat: safe.
    """
    from sqlalchemy import text

    advisory.hold(connection, _LOCK)
    measure(connection, tiers, as_of=now)
    connection.execute(text(_CHANGES), {"as_of": now})
    count = connection.execute(text(_STORE), {"as_of": now}).rowcount
    connection.execute(text("DROP TABLE measured"))
    connection.execute(text("ANALYZE customer_metrics"))
    return count


def give_memory(connection: "Connection") -> None:
    """Sorts and hashes of this transaction stay in memory: the default work_mem of 4 MB spills them to disk."""
    from sqlalchemy import text

    connection.execute(text(f"SET LOCAL work_mem = '{_MEMORY}'"))


def _parameters(tiers: Tiers, as_of: datetime) -> dict[str, Any]:
    from decimal import Decimal

    pyramid = tiers.pyramid
    top, big, medium = (Decimal(str(share)) for share in (pyramid.top, pyramid.big, pyramid.medium))
    return {
        "as_of": as_of,
        "since": as_of - tiers.period if tiers.period is not None else "-infinity",
        "active_since": as_of - tiers.inactive_after,
        "currency": tiers.currency,
        "a": Decimal(str(tiers.abc.a)),
        "b": Decimal(str(tiers.abc.b)),
        "top": top,
        "big": top + big,
        "medium": top + big + medium,
        "value_cut": tiers.quadrant.value,
        "frequency_cut": tiers.quadrant.frequency,
    }
