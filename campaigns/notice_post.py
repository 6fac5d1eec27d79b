"""Notices leave: over the transports that campaigns use, signed like their mail, on connections of their own.

They are few, so connections are opened for them and closed again.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import func, select

from campaigns import notices
from campaigns.notices import Notice
from core.clock import Clock
from core.database import Database
from core.errors import EngineError
from core.workspace import Workspace
from delivery import dkim, routes
from delivery.smtp import Endpoint, Outcome, OutcomeState, Outgoing, SmtpPool, TransportFault

_log = logging.getLogger("clarion.notices")
#: A transport that cannot be used is tried again with these notices after this long.
_PAUSE: Final = timedelta(minutes=2)


def send_notices(workspace: Workspace, database: Database, clock: Clock) -> int:
    """The notices that are due were offered to a mail server; how many it took. What kept them from going is in the
    log, and they wait. Repeat: safe, also concurrently."""
    with database.begin() as connection:
        due = notices.claim(connection, clock.now())
    if not due:
        return 0
    post = _Post(database, clock)
    try:
        with database.begin() as connection:
            began = connection.execute(select(func.now())).scalar_one()
            transport = routes.choose(connection, workspace.settings, workspace.settings.default_way, salt=due[0].id)
        signer = _signer(workspace)
        asyncio.run(post.deliver(workspace, transport, [_outgoing(one, signer) for one in due]))
        if post.is_answered:
            with database.begin() as connection:
                routes.well(connection, transport, began=began)
    except EngineError as error:
        _log.warning("%d notices wait: %s", len(due), error.message)
        _put_back(database, clock, [one.id for one in due], error)
    return post.accepted_count


def _put_back(database: Database, clock: Clock, ids: Sequence[int], error: EngineError) -> None:
    """Those that were answered are settled already, and stay so."""
    with database.begin() as connection:
        notices.put_back(connection, ids, error.message, clock.now() + _PAUSE)


def _signer(workspace: Workspace) -> dkim.Signer | None:
    sender = next(iter(workspace.settings.senders.values()))
    return dkim.signer_for(dkim.signers(workspace.settings.dkim, workspace.root), sender.email)


def _outgoing(notice: Notice, signer: dkim.Signer | None) -> Outgoing:
    """With an empty return path: nothing is ever sent in answer to it (S-4.8)."""
    content = signer.sign(notice.content) if signer is not None else notice.content
    return Outgoing(notice.id, "", notice.recipient, content, smtputf8=not notice.recipient.isascii(), in_crlf=True)


class _Post:
    """One round of notices."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self.accepted_count = 0
        self.is_answered = False  # a server said something about one of them

    async def deliver(self, workspace: Workspace, transport: str, mails: Sequence[Outgoing]) -> None:
        """Every mail was answered.

        Raises:
            TransportFault: the transport cannot be used.
        """
        pool = SmtpPool(Endpoint.of(workspace.settings.transports[transport], workspace.root))
        try:
            await pool.deliver(_each(mails), self._hand_over)
        except TransportFault as error:
            with self._database.begin() as connection:
                routes.fault(connection, transport, error)
            raise
        finally:
            await pool.close()

    async def _hand_over(self, answered: Sequence[tuple[int, Outcome]], handing_over: Sequence[int]) -> Collection[int]:
        """The claim has written down already that they go: only the answers are new."""
        if answered:
            self.accepted_count += sum(outcome.state is OutcomeState.ACCEPTED for _, outcome in answered)
            self.is_answered |= any(outcome.code is not None for _, outcome in answered)
            await asyncio.get_running_loop().run_in_executor(None, self._settle, list(answered))
        return handing_over

    def _settle(self, answered: Sequence[tuple[int, Outcome]]) -> None:
        with self._database.begin() as connection:
            notices.settle(connection, answered, self._clock.now())


def _each(mails: Sequence[Outgoing]) -> Iterator[Outgoing]:
    yield from mails
