"""Which customers may be one and the same: suggestions with reasons, for a person to judge.

Customers are brought together by equal keys (an address, a telephone number with a name, …), never compared pair by
pair. Whoever shares a key with very many others shares it with a company or a form, so that says nothing. Customers who
have the same `person` are known to be one already. 100,000 customers, half of them pairs, take seconds.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from customers.metrics import give_memory
from customers.typos import wrong_domains


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Two external ids; the first is known longer, so it is the one to keep. `score` sums up the reasons' weights."""

    customer: str
    duplicate: str
    score: int
    reasons: tuple[str, ...]


#: Reason → what it weighs. 100 or more: as good as sure.
WEIGHTS: Final = {
    "same address": 100,
    "address the other had before": 90,
    "same mailbox apart from dots and plus": 80,  # as some providers deliver (S-10.5): a hint, never an identity
    "same mailbox, one domain mistyped": 70,
    "same phone and last name": 70,
    "same name and company": 60,
    "same name and name of the mailbox": 50,
    "same name in the household": 50,
}
#: More customers than this behind one key are no duplicates.
_MOST_ALIKE: Final = 8

#: What is compared: small letters, single blanks, telephone numbers by their last nine digits.
_FOLDED: Final = r"""
    CREATE TEMP TABLE folded ON COMMIT DROP AS
    SELECT id, person, address_key, lower(split_part(email, '@', 1)) AS local, split_part(email, '@', 2) AS domain,
           nullif(lower(btrim(first_name)), '') AS first_name, nullif(lower(btrim(last_name)), '') AS last_name,
           nullif(regexp_replace(lower(company), '[\s.,]+', '', 'g'), '') AS company, household,
           right(regexp_replace(phone, '\D', '', 'g'), 9) AS phone
    FROM customer
"""

#: Each SELECT gives who has a key of its reason.
_KEYS: Final = {
    "same address": "SELECT id, CAST(address_key AS text) FROM folded WHERE address_key IS NOT NULL",
    "address the other had before": """
        SELECT customer_id, CAST(address_key AS text) FROM customer_address
        UNION SELECT f.id, CAST(address_key AS text) FROM folded f JOIN customer_address USING (address_key)
    """,
    "same mailbox apart from dots and plus": """
        SELECT id, CASE WHEN domain IN ('gmail.com', 'googlemail.com')
                        THEN replace(split_part(local, '+', 1), '.', '') || '@gmail.com'
                        ELSE split_part(local, '+', 1) || '@' || domain END
        FROM folded WHERE local <> ''
    """,
    "same mailbox, one domain mistyped": """
        SELECT id, local || '@' || coalesce(meant, domain)
        FROM folded LEFT JOIN unnest(CAST(:wrong AS text[]), CAST(:meant AS text[])) AS typo (wrong, meant)
            ON wrong = domain
        WHERE domain = ANY(:wrong) OR domain = ANY(:meant)
    """,
    "same phone and last name": "SELECT id, phone || '|' || last_name FROM folded WHERE length(phone) >= 6",
    "same name and company": "SELECT id, concat_ws('|', first_name, last_name, company) FROM named WHERE company > ''",
    "same name and name of the mailbox": """
        SELECT id, concat_ws('|', first_name, last_name, split_part(local, '+', 1)) FROM named WHERE local <> ''
    """,
    "same name in the household": """
        SELECT id, concat_ws('|', first_name, last_name, household) FROM named WHERE household > ''
    """,
}

#: Whoever shares a key is paired with the one known longest among them: n customers make n − 1 pairs.
_PAIRS: Final = """
    WITH named AS (
        SELECT * FROM folded WHERE first_name IS NOT NULL AND last_name IS NOT NULL
    ), keyed (id, key, reason) AS (
        {keys}
    ), alike AS (
        SELECT reason, min(id) AS first_id, array_agg(DISTINCT id) AS ids FROM keyed WHERE key IS NOT NULL
        GROUP BY reason, key HAVING count(*) > 1
    ), pair AS (
        SELECT first_id, id, sum(weight) AS score, array_agg(reason ORDER BY weight DESC, reason) AS reasons
        FROM (
            SELECT DISTINCT first_id, id, reason FROM alike CROSS JOIN LATERAL unnest(ids) AS same (id)
            WHERE cardinality(ids) <= :most_alike AND id <> first_id
        ) AS found JOIN unnest(CAST(:reasons AS text[]), CAST(:weights AS integer[])) AS worth (reason, weight)
            USING (reason)
        GROUP BY first_id, id
    )
    SELECT f.external_id, o.external_id, score, reasons
    FROM pair JOIN customer f ON f.id = first_id JOIN customer o ON o.id = pair.id
    WHERE f.person IS NULL OR o.person IS NULL OR f.person <> o.person
    ORDER BY score DESC, f.id, o.id LIMIT :most
"""


def suggestions(connection: Connection, *, most: int = 100) -> list[Suggestion]:
    """Pairs of customers who may be one, the likeliest first; nothing is changed.

    One address with another spelling by dots or plus counts as a hint beside others: who shares the very address has
    that reason alone.
    """
    give_memory(connection)
    connection.execute(text("DROP TABLE IF EXISTS pg_temp.folded"))
    connection.execute(text(_FOLDED))
    connection.execute(text("ANALYZE folded"))
    typos = wrong_domains(connection)
    given = {
        "wrong": list(typos), "meant": list(typos.values()), "most_alike": _MOST_ALIKE, "most": most,
        "reasons": list(WEIGHTS), "weights": list(WEIGHTS.values()),
    }  # fmt: skip
    rows = connection.execute(text(_PAIRS.format(keys=_keys())), given)
    return [Suggestion(kept, other, score, _told(reasons)) for kept, other, score, reasons in rows]


def _keys() -> str:
    selects = (
        # By a hash of 64 bits: texts took twice as long to bring together.
        f"SELECT id, hashtextextended(key, 0), '{reason}' FROM ({query}) AS k (id, key)"  # noqa: S608  our own names
        for reason, query in _KEYS.items()
    )
    return " UNION ALL ".join(selects)


def _told(reasons: list[str]) -> tuple[str, ...]:
    """The reasons, without one that follows from another."""
    implied = {"same mailbox apart from dots and plus", "same mailbox, one domain mistyped"}
    return tuple(reason for reason in reasons if reasons[0] != "same address" or reason not in implied)
