"""What a worker looks after beside sending: feedback that waits for its message, notices and tasks of the staff."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, or_, select, text

from campaigns import key_accounts, notices
from campaigns.feedback import Receiver, catch_up, gmail
from campaigns.notice_post import send_notices
from core.clock import Clock
from core.database import Database
from core.workspace import Workspace

_IS_PENDING: Final = text("EXISTS (SELECT FROM feedback WHERE pending)")
_IS_WAITING: Final = select(or_(_IS_PENDING, text(notices.IS_DUE), key_accounts.IS_UNWRITTEN))


def is_waiting(connection: Connection, now: datetime) -> bool:
    """Whether there is something for `attend_to`. Costs three looks into small indexes."""
    return bool(connection.execute(_IS_WAITING, {"now": now}).scalar())


def attend_to(workspace: Workspace, database: Database, clock: Clock, *, looks: bool = False) -> None:
    """Feedback whose message was in a worker's hands has changed it, tasks have their texts, and due notices were
    offered to a mail server.

    `looks`: what went to Gmail today was counted, too, which reads the ledger of the day. Repeat: safe, also
    concurrently.
    """
    receiver = Receiver.of(workspace)
    with database.begin() as connection:
        catch_up(connection, receiver, clock.now())
    if looks:
        with database.begin() as connection:
            gmail.watch(connection, receiver, clock.now())
    with database.begin() as connection:
        key_accounts.write_texts(connection, workspace, clock.now())
    send_notices(workspace, database, clock)
