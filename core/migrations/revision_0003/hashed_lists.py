"""Whoever gets an address that is on a hashed list is suppressed, by whatever way the address came.

The lists hold the hash of the address in lower case; of a domain outside ASCII also that of its A-label.
"""

from typing import Final

from core.migrations.revision_0003.on_customers import MOVED, whenever_known

A_LABEL: Final = """
    CREATE FUNCTION a_label(label text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
    -- One label of a domain name as it is asked for (RFC 3492); an ASCII label is itself.
    DECLARE
        points int[] := ARRAY(SELECT ascii(c) FROM string_to_table(label, NULL) WITH ORDINALITY AS s(c, place)
                              ORDER BY place);
        encoded text := (SELECT coalesce(string_agg(chr(p), '' ORDER BY place), '')
                         FROM unnest(points) WITH ORDINALITY AS s(p, place) WHERE p < 128);
        digits constant text := 'abcdefghijklmnopqrstuvwxyz0123456789';
        basic int := length(encoded);
        handled int := basic;
        n int := 128; delta int := 0; bias int := 72; next int; q int; k int; t int; p int;
    BEGIN
        IF basic = cardinality(points) THEN
            RETURN label;
        END IF;
        IF basic > 0 THEN
            encoded := encoded || '-';
        END IF;
        WHILE handled < cardinality(points) LOOP
            SELECT min(u) INTO next FROM unnest(points) AS u WHERE u >= n;
            delta := delta + (next - n) * (handled + 1);
            n := next;
            FOREACH p IN ARRAY points LOOP
                IF p < n THEN
                    delta := delta + 1;
                ELSIF p = n THEN
                    q := delta;
                    k := 36;
                    LOOP
                        t := greatest(1, least(26, k - bias));
                        EXIT WHEN q < t;
                        encoded := encoded || substr(digits, t + (q - t) % (36 - t) + 1, 1);
                        q := (q - t) / (36 - t);
                        k := k + 36;
                    END LOOP;
                    encoded := encoded || substr(digits, q + 1, 1);
                    delta := CASE WHEN handled = basic THEN delta / 700 ELSE delta / 2 END;
                    delta := delta + delta / (handled + 1);
                    k := 0;
                    WHILE delta > 455 LOOP
                        delta := delta / 35;
                        k := k + 36;
                    END LOOP;
                    bias := k + 36 * delta / (delta + 38);
                    delta := 0;
                    handled := handled + 1;
                END IF;
            END LOOP;
            delta := delta + 1;
            n := n + 1;
        END LOOP;
        RETURN 'xn--' || encoded;
    END $$
"""

#: To be inlined, as ADDRESS_DIGESTS is, so neither is STRICT: called as functions they took ten times as long.
IDN_SPELLING: Final = """
    CREATE FUNCTION idn_spelling(email text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT lower(split_part(email, '@', 1)) || '@' || (
            SELECT string_agg(a_label(label), '.' ORDER BY place)
            FROM string_to_table(lower(split_part(email, '@', 2)), '.') WITH ORDINALITY AS s(label, place)
        )
    $$
"""

ADDRESS_DIGESTS: Final = """
    CREATE FUNCTION address_digests(email text) RETURNS SETOF bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT sha256(convert_to(lower(email), 'UTF8'))
        UNION ALL SELECT decode(md5(convert_to(lower(email), 'UTF8')), 'hex')
        UNION ALL SELECT sha256(convert_to(idn_spelling(email), 'UTF8')) WHERE octet_length(email) <> length(email)
        UNION ALL SELECT decode(md5(convert_to(idn_spelling(email), 'UTF8')), 'hex')
                  WHERE octet_length(email) <> length(email)
    $$
"""

_LISTED: Final = """
    BEGIN
        IF EXISTS (SELECT FROM blocked_digest WHERE lifted_at IS NULL) THEN
            -- An entry that ends makes room for the one for good.
            UPDATE suppression AS s SET lifted_at = now(), lifted_because = 'replaced by a later entry'
            FROM now_known AS n CROSS JOIN LATERAL address_digests(n.email) AS d
            JOIN blocked_digest AS b ON b.digest = d AND b.lifted_at IS NULL
            WHERE s.address_key = n.address_key AND s.channel = 'email' AND s.scope = 'global'
              AND s.scope_name = '' AND s.reason = b.reason AND s.lifted_at IS NULL
              AND s.expires_at IS NOT NULL AND {condition};
            INSERT INTO suppression (address_key, scope, reason, source, evidence)
            SELECT DISTINCT ON (n.address_key, b.reason)
                   n.address_key, 'global', b.reason, 'hashed_list', jsonb_build_object('list', b.source)
            FROM now_known AS n CROSS JOIN LATERAL address_digests(n.email) AS d
            JOIN blocked_digest AS b ON b.digest = d AND b.lifted_at IS NULL
            WHERE n.address_key IS NOT NULL AND {condition}
            ORDER BY n.address_key, b.reason, b.created_at
            ON CONFLICT (address_key, channel, scope, scope_name, reason) WHERE lifted_at IS NULL DO NOTHING;
        END IF;
        RETURN NULL;
    END
"""

STATEMENTS: Final = (
    A_LABEL,
    IDN_SPELLING,
    ADDRESS_DIGESTS,
    *whenever_known("customer_listed", _LISTED, changed=MOVED),
)
COMMENTS: Final = {
    "FUNCTION a_label": "one label of a domain name as it is asked for (RFC 3492); an ASCII label is itself",
    "FUNCTION idn_spelling": "an address in lower case, its domain as A-labels",
    "FUNCTION address_digests": "the hashes under which lists may have an address",
    "TRIGGER customer_listed ON customer": "a customer whose address is on a hashed list is suppressed",
    "TRIGGER customer_listed_anew ON customer": "the same, of customers who move to such an address",
}
