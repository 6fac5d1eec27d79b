"""The statements of an import of customers, from the table `staged` to the table customer."""

from typing import Final

#: The external id of each row: its own; else that of the customer with its address, here or in the file, else of one
#: who had it; else the comparable address. A customer who is known by the address alone goes first, so that a repeated
#: import meets the same one. The name of a merged customer means the one they became.
ADDRESSED: Final = """
    CREATE TEMP TABLE addressed ON COMMIT DROP AS
    SELECT staged.*, coalesce(became.external_id, named.external_id) AS known_as,
           became.id IS NOT NULL OR named.is_former AS is_former
    FROM staged
    LEFT JOIN LATERAL (
        SELECT c.external_id FROM customer c
        WHERE staged.external_id IS NULL AND c.address_key = staged.address_key
        ORDER BY (c.external_id = staged.comparable) DESC, c.id LIMIT 1
    ) of_address ON true
    LEFT JOIN (
        SELECT DISTINCT ON (address_key) address_key, external_id FROM staged
        WHERE external_id IS NOT NULL AND address_key IS NOT NULL ORDER BY address_key, row
    ) in_file ON staged.external_id IS NULL AND in_file.address_key = staged.address_key
    LEFT JOIN LATERAL (
        SELECT c.external_id FROM customer_address a JOIN customer c ON c.id = a.customer_id
        WHERE staged.external_id IS NULL AND of_address.external_id IS NULL AND in_file.external_id IS NULL
          AND a.address_key = staged.address_key
        ORDER BY c.id LIMIT 1
    ) of_former ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(staged.external_id, of_address.external_id, in_file.external_id, of_former.external_id,
                        comparable) AS external_id, of_former.external_id IS NOT NULL AS is_former
    ) named
    LEFT JOIN customer_alias alias ON alias.external_id = named.external_id
    LEFT JOIN customer became ON became.id = alias.customer_id
"""

#: What a row may say of a customer; the later word counts, and an empty cell is none.
_SAID: Final = (
    "first_name", "last_name", "company", "phone", "country", "language", "zone", "owner", "person", "household",
)  # fmt: skip

_MERGED: Final = ", ".join(
    f"CASE WHEN a.is_former THEN coalesce(c.{name}, a.{name}) ELSE coalesce(a.{name}, c.{name}) END AS {name}"
    for name in _SAID
)

#: What each customer would become. `first_row` differs from `row` in a repeated row, and in one by a former name beside
#: one by the present name.
CANDIDATES: Final = f"""
    CREATE TEMP TABLE candidate ON COMMIT DROP AS
    SELECT a.row, first_value(a.row) OVER (PARTITION BY a.known_as ORDER BY a.is_former, a.row) AS first_row,
           a.is_former, a.known_as AS external_id, c.id AS customer_id,
           CASE WHEN keeps.address THEN c.email ELSE a.email END AS email,
           CASE WHEN keeps.address THEN c.address_key ELSE a.address_key END AS address_key,
           CASE WHEN keeps.address THEN coalesce(c.smtputf8, false) ELSE a.smtputf8 END AS smtputf8,
           {_MERGED},
           coalesce(c.source, a.source) AS source,
           CASE WHEN a.is_former THEN a.attributes || coalesce(c.attributes, '{{}}')
                ELSE coalesce(c.attributes, '{{}}') || a.attributes END AS attributes,
           a.topics, a.says_no, a.consent_at, a.consent_basis
    FROM addressed a LEFT JOIN customer c ON c.external_id = a.known_as
    CROSS JOIN LATERAL (SELECT a.email IS NULL OR (a.is_former AND c.email IS NOT NULL) AS address) keeps
"""  # noqa: S608  made of our own names

REPEATED: Final = "SELECT row, first_row FROM candidate WHERE row <> first_row AND NOT is_former"

#: The addresses of customers who are about to get another one.
MOVED: Final = """
    CREATE TEMP TABLE moved ON COMMIT DROP AS
    SELECT DISTINCT c.address_key AS old_key, n.address_key AS new_key
    FROM candidate n JOIN customer c ON c.id = n.customer_id
    WHERE n.row = n.first_row AND n.address_key <> c.address_key
"""

_FIELDS: Final = (
    "email", "address_key", "smtputf8", *_SAID, "source", "attributes",
)  # fmt: skip

#: Whoever is written to at another address from now on goes on to be known by the one they had.
REMEMBER: Final = """
    INSERT INTO customer_address (customer_id, address_key, email, known_at)
    SELECT c.id, c.address_key, c.email, :now FROM candidate n JOIN customer c ON c.id = n.customer_id
    WHERE n.row = n.first_row AND n.address_key <> c.address_key
    ON CONFLICT DO NOTHING
"""
FORGET_PRESENT: Final = """
    DELETE FROM customer_address a USING customer c, moved
    WHERE moved.new_key = a.address_key AND c.id = a.customer_id AND c.address_key = a.address_key
"""

UPSERT: Final = f"""
    WITH written AS (
        INSERT INTO customer AS known (external_id, {", ".join(_FIELDS)}, created_at, updated_at)
        SELECT n.external_id, {", ".join(f"n.{name}" for name in _FIELDS)}, :now, :now
        FROM candidate n LEFT JOIN customer c ON c.id = n.customer_id
        WHERE n.row = n.first_row AND (c.id IS NULL OR
            ({", ".join(f"n.{name}" for name in _FIELDS)}) IS DISTINCT FROM
            ({", ".join(f"c.{name}" for name in _FIELDS)}))
        ORDER BY n.row
        ON CONFLICT (external_id) DO UPDATE SET
            {", ".join(f"{name} = excluded.{name}" for name in _FIELDS)}, updated_at = excluded.updated_at
        RETURNING known.xmax = 0 AS is_new
    )
    SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM written
"""  # noqa: S608  made of our own names

AGREEMENTS: Final = """
    INSERT INTO agreement (row, customer_id, channel, topic, state, basis, source, proof, captured_at)
    SELECT n.row, c.id, 'email', topic, 'granted', n.consent_basis, :source, '{}', n.consent_at
    FROM candidate n JOIN customer c USING (external_id) CROSS JOIN LATERAL unnest(n.topics) AS topic
    WHERE n.row = n.first_row OR n.is_former
"""

#: An outright no in place of topics is about every topic, and the mailbox.
NO_AT: Final = """
    CREATE TEMP TABLE no_at ON COMMIT DROP AS
    SELECT n.row, c.address_key, c.id AS customer_id, 'email' AS channel, 'channel' AS scope, '' AS scope_name,
           CAST(NULL AS timestamptz) AS captured_at
    FROM candidate n JOIN customer c USING (external_id)
    WHERE (n.row = n.first_row OR n.is_former) AND n.says_no
"""
#: Whatever they, and everybody at the address, had agreed to or were asked about.
REFUSALS: Final = """
    INSERT INTO agreement (row, customer_id, channel, topic, state, basis, source, proof)
    SELECT DISTINCT bound.row, bound.id, 'email', said.topic, 'withdrawn', 'consent', :source, CAST('{}' AS jsonb)
    FROM (
        SELECT row, customer_id AS id FROM no_at
        UNION
        SELECT no_at.row, customer.id FROM no_at JOIN customer USING (address_key)
    ) AS bound CROSS JOIN LATERAL (
        SELECT DISTINCT ON (topic) topic, state FROM consent WHERE customer_id = bound.id AND channel = 'email'
        ORDER BY topic, captured_at DESC, id DESC
    ) AS said
    WHERE said.state <> 'withdrawn'
"""
