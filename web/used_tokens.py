"""Links that work once. Writes used_token; what has ended is forgotten by retention."""

from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from core.schema import used_token
from tracking.timed_tokens import TimedToken


def use(connection: Connection, token: TimedToken, now: datetime) -> bool:
    """The token is used up once the transaction commits; False: it was before, and nothing may be done with it.

    Of two at the same time the second waits for the first. Atomic with the connection's transaction.
    """
    values = {"digest": token.digest, "used_at": now, "forget_at": token.ends_at}
    added = insert(used_token).values(**values).on_conflict_do_nothing().returning(used_token.c.digest)
    return connection.execute(added).first() is not None


def is_used(connection: Connection, token: TimedToken) -> bool:
    """Whether the token is used up."""
    found = connection.execute(used_token.select().where(used_token.c.digest == token.digest))
    return found.first() is not None
