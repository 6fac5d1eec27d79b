"""Somebody who was erased comes back: imports take them again, and they may be written to if they agree anew."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, or_, select, update

from core import audit
from core.errors import NotFound, UsageError
from core.schema import erasure, suppression
from customers.identity import key_of_address
from customers.importing.refused import external_key
from customers.rights.queued import ERASED
from customers.rights.subject import of_keys


def readmit(
    connection: Connection, secret: bytes, named: str, *, because: str, now: datetime, actor: str
) -> int:  # fmt: skip
    """Whoever was erased by this external id or address is no longer refused; how many addresses this frees.

    What they had said before (an opt-out, a withdrawal, a complaint) still holds: only the entry of the erasure is
    lifted, with the reason. Consent has to be given anew: imports take no older one. Repeat: the second time
    nobody is found.

    Raises:
        UsageError: without a reason.
        NotFound: nobody of that name was erased, or they were readmitted before.
    """
    if not because.strip():
        raise UsageError("somebody is taken back only with a reason", hint="say why with --because")
    found = [erasure.c.external_key == external_key(secret, named)]
    key = key_of_address(named, secret)
    if key is not None:
        found.append(erasure.c.address_key == key)
    opened = connection.execute(
        update(erasure)
        .where(erasure.c.person.in_(select(erasure.c.person).where(or_(*found))), erasure.c.readmitted_at.is_(None))
        .values(readmitted_at=now, readmitted_because=because)
        .returning(erasure.c.address_key)
    ).scalars()
    keys = list(opened)
    if not keys:
        raise NotFound(f"nobody known as {named!r} was erased", hint="give the former external id or address")
    freed = sorted({each for each in keys if each is not None}, key=str)
    _lift(connection, freed, because, now)
    for each in freed:
        audit.record(connection, actor, "customer.readmit", f"address:{each}", at=now, because=because)
    return len(freed)


def _lift(connection: Connection, keys: list[UUID], because: str, now: datetime) -> None:
    connection.execute(
        update(suppression)
        .where(of_keys(suppression.c.address_key, keys), suppression.c.reason == ERASED)
        .where(suppression.c.lifted_at.is_(None))
        .values(lifted_at=now, lifted_because=because)
    )
