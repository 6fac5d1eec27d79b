"""The customer a command is about."""

from typing import TYPE_CHECKING

from core.commands import Desk
from core.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping


def person_of(desk: Desk, connection: "Connection", key: str) -> "RowMapping":
    """The customer whose external id or e-mail address is `key`.

    Raises:
        NotFound: there is none.
    """
    from customers.identity import find_customer

    person = find_customer(connection, key, desk.workspace.secret)
    if person is None:
        raise NotFound(f"no customer {key!r}", hint="give an external id or an e-mail address")
    return person
