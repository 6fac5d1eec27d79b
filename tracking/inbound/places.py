"""How far the mailboxes on servers were read, so that a mail counts whoever opened it first. Writes inbound_place."""

from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.dialects.postgresql import insert

from core.database import Database
from core.schema import inbound_place

_p = inbound_place.c


@dataclass(frozen=True, slots=True)
class Place:
    """A mail's place in a mailbox: its UID, among those of one UIDVALIDITY (RFC 3501 section 2.3.1.1)."""

    uid_validity: int
    last_uid: int


@dataclass(frozen=True, slots=True)
class Places:
    """The places of one workspace's mailboxes. Each call is a transaction of its own."""

    database: Database

    def of(self, account: str) -> Place | None:
        """How far the account was read; None before its first look."""
        known = select(_p.uid_validity, _p.last_uid).where(_p.account == account)
        with self.database.begin() as connection:
            row = connection.execute(known).one_or_none()
        return Place(*row) if row is not None else None

    def reach(self, account: str, place: Place) -> None:
        """The account was read up to `place`, and never goes back within one UIDVALIDITY. Repeat: safe."""
        given = insert(inbound_place).values(account=account, uid_validity=place.uid_validity, last_uid=place.last_uid)
        new = given.excluded
        further = case(
            (_p.uid_validity == new.uid_validity, func.greatest(_p.last_uid, new.last_uid)), else_=new.last_uid
        )
        stored = given.on_conflict_do_update(
            index_elements=["account"], set_={"uid_validity": new.uid_validity, "last_uid": further}
        )
        with self.database.begin() as connection:
            connection.execute(stored)
