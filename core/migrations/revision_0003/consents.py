"""Whose yes counts, and whose refusal to be watched binds whoever shares the mailbox."""

from typing import Final

from core.migrations.revision_0003.on_customers import MOVED, whenever_known

#: An implied consent ends 24 calendar months (in UTC) after a purchase, contract or donation, 6 after an inquiry or
#: where nobody knows what it came from, or at its own end if that is sooner; a purchase since then counts anew.
IMPLIED_UNTIL: Final = """
    CREATE FUNCTION implied_until(word consent, at timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT greatest(
            least(
                (said.at AT TIME ZONE 'UTC' + CASE
                    WHEN word.basis = 'contract'
                      OR word.proof ->> 'relation' IN ('purchase', 'contract', 'donation')
                    THEN interval '24 months' ELSE interval '6 months' END) AT TIME ZONE 'UTC',
                word.expires_at
            ),
            (SELECT (max(ordered_at) AT TIME ZONE 'UTC' + interval '24 months') AT TIME ZONE 'UTC' FROM purchase
             WHERE customer_id = word.customer_id AND ordered_at >= said.at AND ordered_at <= implied_until.at
               AND amount > 0)
        )
        -- What was said before is said again where customers are merged: it ends when it would have.
        FROM (SELECT coalesce((word.proof ->> 'said_at')::timestamptz, word.captured_at)) AS said (at)
    $$
"""

#: By the rules of the customer's country; an empty text when the row is a yes.
CONSENT_FLAW: Final = """
    CREATE FUNCTION consent_flaw(word consent, rules jsonb, at timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT CASE
            WHEN wants IS NULL THEN 'basis_not_enough'
            WHEN wants ? 'evidence' AND (
                word.proof @> '{"similar_products": true, "opt_out_offered": true}' AND word.proof ->> 'sale' <> ''
                AND word.proof ->> 'subscriber' IN ('individual', 'corporate')
            ) IS NOT TRUE THEN 'basis_not_enough'
            WHEN wants ? 'firm' AND word.proof ->> 'subscriber' IS DISTINCT FROM 'corporate' THEN 'basis_not_enough'
            WHEN wants ? 'confirmed' AND word.state <> 'confirmed' THEN 'not_confirmed'
            WHEN CASE WHEN wants ? 'ending' THEN implied_until(word, at) ELSE word.expires_at END <= at
            THEN 'consent_expired'
            ELSE '' END
        FROM (
            SELECT rules -> 'profiles' -> coalesce(rules -> 'of' ->> c.country, rules ->> 'else') -> word.basis
            FROM customer AS c WHERE c.id = word.customer_id
        ) AS known (wants)
    $$
"""

_UNWATCHED: Final = """
    BEGIN
        IF EXISTS (
            SELECT FROM consent WHERE channel IN ('tracking', 'profiling') AND state = 'withdrawn'
        ) THEN
            -- Who refuses to be watched refuses for the mailbox: whoever comes to it later is bound as well.
            INSERT INTO consent (customer_id, channel, topic, state, basis, source, proof, captured_at)
            SELECT DISTINCT ON (n.id, refusal.channel) n.id, refusal.channel, '', 'withdrawn', 'consent',
                   'address', jsonb_build_object('consent_id', refusal.id), n.updated_at
            FROM consent AS refusal JOIN customer AS p ON p.id = refusal.customer_id
            JOIN now_known AS n ON n.address_key = p.address_key AND n.id <> p.id
            WHERE refusal.channel IN ('tracking', 'profiling') AND refusal.state = 'withdrawn' AND {condition}
              AND NOT EXISTS (
                  SELECT FROM consent AS later
                  WHERE later.customer_id = p.id AND later.channel = refusal.channel
                    AND later.state IN ('granted', 'confirmed') AND later.captured_at > refusal.captured_at
              )
            ORDER BY n.id, refusal.channel, refusal.captured_at DESC
            ON CONFLICT ON CONSTRAINT uq_consent_fact DO NOTHING;
        END IF;
        RETURN NULL;
    END
"""

STATEMENTS: Final = (
    IMPLIED_UNTIL,
    CONSENT_FLAW,
    *whenever_known("customer_unwatched", _UNWATCHED, changed=MOVED),
)
COMMENTS: Final = {
    "FUNCTION implied_until": "when an implied consent ends by itself",
    "FUNCTION consent_flaw": "why a row of consent is no yes; empty: it is one",
    "TRIGGER customer_unwatched ON customer": "who gets the address of one who refuses to be watched is not watched",
    "TRIGGER customer_unwatched_anew ON customer": "the same, of customers who move there",
}
