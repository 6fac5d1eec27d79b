"""What the database does by itself: its views, with their texts; its functions and triggers, with their purpose.

The texts of functions and triggers are in the migrations: in the newest folder of `core/migrations/` that has one.
"""

from typing import Final

#: An order of a customer: lines of one order id, net. Read where `did("purchase")` or conversions are asked.
VIEWS: Final = {
    "customer_order": """
        SELECT customer_id, order_id, min(ordered_at) AS ordered_at, sum(amount) AS amount
        FROM purchase GROUP BY customer_id, order_id
    """,
    # A conversion is counted for the campaign's message that came last before it, within the goal's window. An order
    # counts when it began within the window, with the value of all its lines, whenever they were booked: what was
    # returned later, under its number or that number after a C, takes it back. Of erased people what counted is kept.
    "conversion": """
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
    """,
}

#: What queries and triggers call.
FUNCTIONS: Final = {
    "audit_seal": "the seal of an entry that comes after this one",
    "implied_until": "when an implied consent ends by itself",
    "consent_flaw": "why a row of consent is no yes; empty: it is one",
    "a_label": "one label of a domain name as it is asked for (RFC 3492); an ASCII label is itself",
    "idn_spelling": "an address in lower case, its domain as A-labels",
    "address_digests": "the hashes under which lists may have an address",
    "copy_entries": "each entry of suppression holds at the place beside it, too",
}

#: What holds whichever way a row is written, as `<trigger> ON <table>`.
TRIGGERS: Final = {
    "audit_append ON audit": "an entry gets its number and its seal when its transaction is committed",
    "audit_kept ON audit": "a sealed entry is never changed",
    "audit_not_removed ON audit": "no entry is removed",
    "customer_unwatched ON customer": "who gets the address of one who refuses to be watched is not watched",
    "customer_unwatched_anew ON customer": "the same, of customers who move there",
    "customer_listed ON customer": "a customer whose address is on a hashed list is suppressed",
    "customer_listed_anew ON customer": "the same, of customers who move to such an address",
    "suppression_person_alone ON suppression": "entries of one person are written one after another",
    "suppression_of_person ON suppression": "what a person says no to holds at all the addresses of the person",
    "suppression_pause_over ON suppression": "a break is over at all addresses when the person ends it at one",
    "customer_one_person ON customer": "what the person said no to holds for a new customer, too",
    "enrolment_gone ON enrolment": "the steps of a passage go with it",
    "activity_known ON activity": "who adds activities holds off whoever would read past them (campaigns.sequences)",
    "customer_one_person_anew ON customer": "the same, of customers who become the same person, or move",
}
