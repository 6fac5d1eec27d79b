"""Hashed do-not-contact lists: MD5 or SHA-256 of addresses in lower case, which nobody can read back.

Who has such an address is suppressed at once; who gets one later, by whatever way, by the trigger on `customer`.
"""

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

from customers.entries import record_entries
from customers.importing.values import Rejected

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Hexadecimal digits → the algorithm whose result has that many.
_LENGTHS: Final = {32: "MD5", 64: "SHA-256"}
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
#: As some tools write them in front.
_PREFIX: Final = re.compile(r"^(?:md5|sha-?256)[:=]\s*|^0x|^\\x", re.IGNORECASE)


def digest_of(text: str) -> bytes | None:
    """The digest that a cell holds; None when it looks like none, as an address does.

    Raises:
        Rejected: it is one of a kind that is not supported, or cut short.
    """
    plain = _PREFIX.sub("", text)
    if not _HEX.fullmatch(plain) or (len(plain) < min(_LENGTHS) and plain == text):
        return None
    if len(plain) not in _LENGTHS:
        raise Rejected(f"not a digest of an address (got {len(plain)} digits, expected 32 of MD5 or 64 of SHA-256)")
    return bytes.fromhex(plain)


#: Of one digest twice in a file the first row counts. A digest that was lifted counts again.
_LISTED: Final = """
    WITH given AS (
        SELECT DISTINCT ON (digest) digest, reason, row FROM staged WHERE digest IS NOT NULL ORDER BY digest, row
    )
    INSERT INTO blocked_digest AS known (digest, reason, source, created_at)
    SELECT digest, reason, :source, :now FROM given ORDER BY row
    ON CONFLICT (digest) DO UPDATE
    SET reason = excluded.reason, source = excluded.source, created_at = excluded.created_at,
        lifted_at = NULL, lifted_because = NULL
    WHERE known.lifted_at IS NOT NULL
    RETURNING known.digest, known.xmax <> 0 AS was_lifted
"""
#: Everybody who has such an address, whether the digest is new or was on the list before.
_CATCH: Final = """
    CREATE TEMP TABLE entry ON COMMIT DROP AS
    SELECT DISTINCT ON (c.address_key, b.reason)
           c.id AS row, c.address_key, 'email' AS channel, 'global' AS scope, '' AS scope_name, b.reason,
           'hashed_list' AS source, jsonb_build_object('list', b.source) AS evidence,
           CAST(:now AS timestamptz) AS created_at, CAST(NULL AS timestamptz) AS expires_at
    FROM customer AS c CROSS JOIN LATERAL address_digests(c.email) AS d
    JOIN blocked_digest AS b ON b.digest = d AND b.lifted_at IS NULL
    WHERE c.address_key IS NOT NULL AND d IN (SELECT digest FROM staged)
    ORDER BY c.address_key, b.reason, b.created_at
"""


def record_digests(connection: "Connection", source: str, now: datetime) -> tuple[int, tuple[str, ...]]:
    """The digests of the temporary table `staged` are on the list, and whoever has such an address is suppressed.

    Returns how many digests are new, and remarks. Repeat: safe.
    """
    from sqlalchemy import text

    if not connection.execute(text("SELECT EXISTS (SELECT FROM staged WHERE digest IS NOT NULL)")).scalar_one():
        return 0, ()
    # Whoever writes a customer waits: an address in the making would be missed here and by the trigger.
    connection.execute(text("LOCK TABLE customer IN SHARE MODE"))
    listed = connection.execute(text(_LISTED), {"source": source, "now": now}).all()
    connection.execute(text("DROP TABLE IF EXISTS entry"))
    connection.execute(text(_CATCH), {"now": now})
    caught = record_entries(connection, now=now)
    again = sum(row.was_lifted for row in listed)
    remarks = [f"{caught:,} addresses of customers are on the list"] if caught else []
    if again:
        remarks.append(f"{again:,} digests had been lifted before, and forbid again")
    return len(listed), tuple(remarks)
