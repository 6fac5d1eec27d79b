"""What the figures of campaigns need of somebody who is erased: that there was a conversion, and what it was worth."""

from typing import Final

from sqlalchemy import Connection, bindparam, text

from core.arrays import Ids
from customers.rights.subject import Subject

# By customer, since the view is asked by index then. An order that counts for two campaigns stays one order.
_KEEP: Final = text("""
    WITH counted AS MATERIALIZED (
        SELECT c.* FROM unnest(:customers) AS asked (id)
        CROSS JOIN LATERAL (SELECT * FROM conversion WHERE customer_id = asked.id) AS c
    ), named AS MATERIALIZED (
        SELECT reference, gen_random_uuid() AS nobody FROM (SELECT DISTINCT reference FROM counted) AS each
    )
    INSERT INTO erased_conversion (message_id, reference, at, value, currency)
    SELECT counted.message_id, named.nobody, counted.at, counted.value, (
        SELECT min(p.currency) FROM purchase AS p
        WHERE p.customer_id = counted.customer_id AND 'order:' || p.order_id = counted.reference
    )
    FROM counted JOIN named USING (reference)
""").bindparams(bindparam("customers", type_=Ids))


def keep_conversions(connection: Connection, subject: Subject) -> int:
    """Every conversion owed to their messages still counts when the orders are gone; how many is returned.

    Repeat: not safe, to be called once, before the customers are removed.
    """
    return connection.execute(_KEEP, {"customers": subject.customers}).rowcount if subject.customers else 0
