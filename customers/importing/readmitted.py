"""Who was erased and came back agrees anew: what they said before they came back is on record nowhere, and stays so."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

from customers.importing.refused import external_key

if TYPE_CHECKING:
    from sqlalchemy import Connection

_BY_ADDRESS: Final = """
    CREATE TEMP TABLE come_back ON COMMIT DROP AS
    SELECT known.id AS customer_id, max(readmitted_at) AS at
    FROM erasure JOIN (
        SELECT id, address_key FROM customer UNION ALL SELECT customer_id, address_key FROM customer_address
    ) AS known USING (address_key)
    WHERE readmitted_at IS NOT NULL
    GROUP BY known.id
"""
_NAMES: Final = "SELECT external_key, max(readmitted_at) FROM erasure WHERE readmitted_at IS NOT NULL GROUP BY 1"
_OF_AGREEMENTS: Final = """
    SELECT id, external_id FROM customer WHERE id IN (SELECT customer_id FROM agreement WHERE state <> 'withdrawn')
"""
_BY_NAME: Final = "INSERT INTO come_back (customer_id, at) VALUES (:customer_id, :at)"

_REFUSE: Final = """
    DELETE FROM agreement USING (SELECT customer_id, max(at) AS at FROM come_back GROUP BY customer_id) AS back
    WHERE back.customer_id = agreement.customer_id AND agreement.state <> 'withdrawn'
      AND (agreement.captured_at IS NULL OR agreement.captured_at < back.at)
    RETURNING agreement.row, back.at
"""


def refuse_older(connection: "Connection", secret: bytes) -> Iterator[tuple[int, str]]:
    """The table `agreement` holds no yes of somebody readmitted that is undated, or older than that; the rows left
    out, with the reason.

    They are known by the address they have or had, and by their external id. Repeat: safe.
    """
    from sqlalchemy import text

    names = {row[0]: row[1] for row in connection.execute(text(_NAMES))}
    if not names:
        return
    connection.execute(text("DROP TABLE IF EXISTS come_back"))
    connection.execute(text(_BY_ADDRESS))
    known = [
        {"customer_id": row.id, "at": at}
        for row in connection.execute(text(_OF_AGREEMENTS))
        for at in [names.get(external_key(secret, row.external_id))] if at is not None
    ]  # fmt: skip
    if known:
        connection.execute(text(_BY_NAME), known)
    for row in connection.execute(text(_REFUSE)).all():
        yield row.row, _reason(row.at)


def _reason(at: datetime) -> str:
    return f"erased before, and readmitted on {at:%Y-%m-%d}; only a consent of later counts, with its date"
