"""Customers with the same `person` are one human being: what one says no to at an address holds at the others.

Entries that tell of a mailbox stay there (`customers.entries.OF_MAILBOX`). A copy has the source of its entry,
which it names as evidence, and is not copied on: nobody is reached by way of a shared mailbox.
"""

from typing import Final

from core.migrations.revision_0003.on_customers import whenever_known

_PERSONAL: Final = "reason NOT IN ('hard_bounce', 'soft_bounces', 'mailbox_full', 'erased')"
_ENTRY: Final = "channel, scope, scope_name, reason"

COPY_ENTRIES: Final = f"""
    CREATE FUNCTION copy_entries(ids bigint[], places uuid[]) RETURNS void LANGUAGE plpgsql AS $$
    -- Each entry holds at the place beside it, too.
    BEGIN
        UPDATE suppression AS s SET lifted_at = now(), lifted_because = 'replaced by a later entry'
        FROM unnest(ids, places) AS pair (id, place) JOIN suppression AS e USING (id)
        WHERE s.address_key = pair.place AND s.lifted_at IS NULL
          AND (s.channel, s.scope, s.scope_name, s.reason) = (e.channel, e.scope, e.scope_name, e.reason)
          AND s.expires_at < coalesce(e.expires_at, 'infinity');
        INSERT INTO suppression (address_key, {_ENTRY}, source, evidence, created_at, expires_at)
        SELECT DISTINCT ON (place, {_ENTRY}) place, {_ENTRY}, source,
               jsonb_build_object('same_person', e.id), created_at, expires_at
        FROM unnest(ids, places) AS pair (id, place) JOIN suppression AS e USING (id)
        ORDER BY place, {_ENTRY}, coalesce(expires_at, 'infinity') DESC, e.id
        ON CONFLICT (address_key, {_ENTRY}) WHERE lifted_at IS NULL DO NOTHING;
    END $$
"""  # noqa: S608  made of our own names

#: Two who write at two addresses of one person would wait for each other's copies: the second waits from the start.
ALONE: Final = """
    CREATE FUNCTION suppression_person_alone() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('person:' || person, 0)) FROM (
            SELECT DISTINCT person FROM customer
            WHERE address_key = NEW.address_key AND person IS NOT NULL ORDER BY person
        ) AS people;
        RETURN NEW;
    END $$
"""

GO_ALONE: Final = f"""
    CREATE TRIGGER suppression_person_alone BEFORE INSERT ON suppression
    FOR EACH ROW WHEN (NOT NEW.evidence ? 'same_person' AND NEW.{_PERSONAL})
    EXECUTE FUNCTION suppression_person_alone()
"""

OF_PERSON: Final = f"""
    CREATE FUNCTION suppression_of_person() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE ids bigint[]; places uuid[];
    BEGIN
        SELECT array_agg(id), array_agg(place) INTO ids, places FROM (
            SELECT DISTINCT w.id, other.address_key AS place
            FROM written AS w
            JOIN customer AS mine ON mine.address_key = w.address_key AND mine.person IS NOT NULL
            JOIN customer AS other ON other.person = mine.person AND other.address_key <> w.address_key
            WHERE w.lifted_at IS NULL AND NOT w.evidence ? 'same_person' AND w.{_PERSONAL}
        ) AS pair;
        IF ids IS NOT NULL THEN
            PERFORM copy_entries(ids, places);
        END IF;
        RETURN NULL;
    END $$
"""  # noqa: S608  made of our own names

GO_TO_THE_OTHERS: Final = """
    CREATE TRIGGER suppression_of_person AFTER INSERT ON suppression REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION suppression_of_person()
"""

PAUSE_OVER: Final = """
    CREATE FUNCTION suppression_pause_over() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE suppression SET lifted_at = NEW.lifted_at, lifted_because = NEW.lifted_because
        FROM customer AS mine JOIN customer AS other ON other.person = mine.person
        WHERE mine.address_key = NEW.address_key AND suppression.address_key = other.address_key
          AND suppression.lifted_at IS NULL AND suppression.reason = 'paused'
          AND (suppression.evidence ? 'same_person' OR NEW.evidence ? 'same_person')
          AND suppression.expires_at = NEW.expires_at;
        RETURN NULL;
    END $$
"""

END_PAUSES: Final = """
    CREATE TRIGGER suppression_pause_over AFTER UPDATE OF lifted_at ON suppression
    FOR EACH ROW WHEN (OLD.lifted_at IS NULL AND NEW.lifted_at IS NOT NULL AND NEW.reason = 'paused'
                       AND NEW.lifted_because <> 'replaced by a later entry')
    EXECUTE FUNCTION suppression_pause_over()
"""

#: Of customers that were changed: the person or the address is another one now.
_REGROUPED: Final = """
    NOT EXISTS (SELECT FROM known WHERE known.id = n.id AND known.person = n.person
                AND known.address_key = n.address_key)
"""

_JOINED: Final = f"""
    DECLARE ids bigint[]; places uuid[];
    BEGIN
        IF NOT EXISTS (SELECT FROM now_known WHERE person IS NOT NULL) THEN
            RETURN NULL;
        END IF;
        SELECT array_agg(e.id), array_agg(way.place) INTO ids, places FROM (
            SELECT DISTINCT place.*
            FROM now_known AS n JOIN customer AS other ON other.person = n.person
            CROSS JOIN LATERAL (VALUES (n.address_key, other.address_key), (other.address_key, n.address_key))
                AS place (of, place)
            WHERE other.address_key <> n.address_key AND {{condition}}
        ) AS way JOIN suppression AS e ON e.address_key = way.of AND e.lifted_at IS NULL AND e.{_PERSONAL};
        IF ids IS NOT NULL THEN
            PERFORM copy_entries(ids, places);
        END IF;
        RETURN NULL;
    END
"""  # noqa: S608  made of our own names

STATEMENTS: Final = (
    COPY_ENTRIES,
    ALONE,
    GO_ALONE,
    OF_PERSON,
    GO_TO_THE_OTHERS,
    PAUSE_OVER,
    END_PAUSES,
    *whenever_known("customer_one_person", _JOINED, changed=_REGROUPED),
)
COMMENTS: Final = {
    "FUNCTION copy_entries": "each entry of suppression holds at the place beside it, too",
    "TRIGGER suppression_person_alone ON suppression": "entries of one person are written one after another",
    "TRIGGER suppression_of_person ON suppression": "what a person says no to holds at all the addresses of the person",
    "TRIGGER suppression_pause_over ON suppression": "a break is over at all addresses when the person ends it at one",
    "TRIGGER customer_one_person ON customer": "what the person said no to holds for a new customer, too",
    "TRIGGER customer_one_person_anew ON customer": "the same, of customers who become the same person, or move",
}
