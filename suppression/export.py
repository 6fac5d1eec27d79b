"""The suppression list as a file for others: hashed, so that it blocks without telling whom, or plain for moving house.

Of an address that no customer has only the keyed hash is kept: such entries cannot be written down for others.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, text

Form = Literal["sha256", "md5", "plain"]

#: As `clarion import suppressions` reads them.
HASHED_COLUMNS: Final = ("digest", "reason", "created_at")
PLAIN_COLUMNS: Final = ("email", "scope", "topic", "campaign", "channel", "reason", "created_at", "expires_at")

#: Addresses by key, of customers and of who they were before.
_KNOWN: Final = """
    SELECT address_key, min(email) AS email
    FROM (SELECT address_key, email FROM customer WHERE email IS NOT NULL
          UNION ALL SELECT address_key, email FROM customer_address) AS addresses
    GROUP BY address_key
"""
_IN_FORCE: Final = """
    e.lifted_at IS NULL AND (e.expires_at IS NULL OR e.expires_at > :now)
    AND (CAST(:reason AS text) IS NULL OR e.reason = :reason)
"""
_WHOLLY: Final = "(e.scope = 'global' OR e.scope = 'channel' AND e.channel = 'email') AND e.expires_at IS NULL"

#: Only what forbids every mail for good: a digest can say nothing less. Lists that were imported are passed on.
_HASHED: Final = f"""
    SELECT encode(digest, 'hex') AS digest, (array_agg(reason ORDER BY created_at, reason))[1] AS reason,
           min(created_at) AS created_at
    FROM (
        SELECT CASE :form WHEN 'md5' THEN decode(md5(convert_to(lower(known.email), 'UTF8')), 'hex')
                          ELSE sha256(convert_to(lower(known.email), 'UTF8')) END AS digest, e.reason, e.created_at
        FROM suppression AS e JOIN ({_KNOWN}) AS known USING (address_key)
        WHERE {_IN_FORCE} AND {_WHOLLY}
        UNION ALL
        SELECT digest, reason, created_at FROM blocked_digest
        WHERE lifted_at IS NULL AND octet_length(digest) = CASE :form WHEN 'md5' THEN 16 ELSE 32 END
          AND (CAST(:reason AS text) IS NULL OR reason = :reason)
    ) AS listed
    GROUP BY listed.digest ORDER BY 1
"""  # noqa: S608  made of our own texts

_PLAIN: Final = f"""
    SELECT known.email, e.scope, CASE e.scope WHEN 'topic' THEN e.scope_name END AS topic,
           CASE e.scope WHEN 'campaign' THEN e.scope_name END AS campaign, e.channel, e.reason, e.created_at,
           e.expires_at
    FROM suppression AS e JOIN ({_KNOWN}) AS known USING (address_key)
    WHERE {_IN_FORCE} ORDER BY known.email, e.id
"""  # noqa: S608  made of our own texts

_UNKNOWN: Final = f"""
    SELECT count(*) FROM suppression AS e
    WHERE {_IN_FORCE} AND NOT EXISTS (SELECT FROM ({_KNOWN}) AS known WHERE known.address_key = e.address_key)
"""  # noqa: S608  made of our own texts


def columns_of(form: Form) -> tuple[str, ...]:
    """The columns of an export of this form, in order."""
    return PLAIN_COLUMNS if form == "plain" else HASHED_COLUMNS


def exported(connection: Connection, form: Form, *, reason: str | None, now: datetime) -> Iterator[Mapping[Any, Any]]:
    """The entries in force (with this reason; None: any), ordered by address or digest."""
    given = {"form": form, "reason": reason, "now": now}
    query = _PLAIN if form == "plain" else _HASHED
    yield from connection.execute(text(query), given).mappings()


_DIGESTS: Final = """
    SELECT count(*) FROM blocked_digest
    WHERE lifted_at IS NULL AND (CAST(:reason AS text) IS NULL OR reason = :reason)
      AND octet_length(digest) <> CASE :form WHEN 'md5' THEN 16 WHEN 'sha256' THEN 32 ELSE 0 END
"""


def digest_count(connection: Connection, *, reason: str | None, other_than: Form = "plain") -> int:
    """How many digests of imported lists are in force; without those that an export of this form has."""
    return int(connection.execute(text(_DIGESTS), {"reason": reason, "form": other_than}).scalar_one())


def unknown_count(connection: Connection, *, reason: str | None, now: datetime) -> int:
    """How many entries are of addresses that nobody has, and so cannot be exported."""
    return int(connection.execute(text(_UNKNOWN), {"reason": reason, "now": now}).scalar_one())
