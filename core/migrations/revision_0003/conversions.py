"""What erased people bought still counts for the campaigns that they had mail of."""

from typing import Final

CONVERSION: Final = """
    CREATE OR REPLACE VIEW "conversion" AS
        (
        SELECT DISTINCT ON (r.campaign, done.customer_id, done.reference)
               r.campaign, m.run_id, m.id AS message_id, done.customer_id, done.reference, done.at, done.value
        FROM message m
        JOIN run r ON r.id = m.run_id
        JOIN campaign_version v ON v.id = r.version_id
        JOIN LATERAL (
            SELECT o.customer_id, 'order:' || o.order_id AS reference, o.at, net.value
            FROM (
                SELECT customer_id, order_id, min(ordered_at) AS at FROM purchase
                WHERE v.goal_event = 'purchase' AND customer_id = m.customer_id
                  AND ordered_at >= m.accepted_at AND ordered_at < m.accepted_at + v.goal_within
                GROUP BY customer_id, order_id
            ) o
            JOIN LATERAL (
                SELECT sum(l.amount) AS value, min(l.ordered_at) AS begun FROM purchase l
                WHERE l.order_id IN (o.order_id, 'C' || o.order_id) AND l.customer_id = o.customer_id
            ) net ON net.value > 0 AND net.begun >= m.accepted_at
            UNION ALL
            SELECT a.customer_id, 'activity:' || a.id, a.occurred_at, coalesce(a.value, 0)
            FROM activity a
            WHERE v.goal_event <> 'purchase' AND a.name = v.goal_event AND a.customer_id = m.customer_id
              AND a.occurred_at >= m.accepted_at AND a.occurred_at < m.accepted_at + v.goal_within
        ) done ON true
        WHERE m.accepted_at IS NOT NULL
        ORDER BY r.campaign, done.customer_id, done.reference, m.accepted_at DESC
        )
        UNION ALL
        SELECT m.campaign, m.run_id, m.id, NULL, 'erased:' || e.reference, e.at, e.value
        FROM erased_conversion e JOIN message m ON m.id = e.message_id
"""

STATEMENTS: Final = (CONVERSION,)
