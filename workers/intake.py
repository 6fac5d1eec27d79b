"""The process that takes mails in: listeners, mailboxes, and one thread that handles what was stored."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.exc import DBAPIError

from campaigns.inbox import Inbox
from core.addresses import parse_address
from core.clock import Clock
from core.database import Database
from core.errors import EngineError
from core.inbound_settings import ImapMailbox
from core.settings import Settings
from core.workspace import Workspace
from delivery.smtp.tokens import TokenSource
from tracking.inbound import storage
from tracking.inbound.imap import ImapAccount
from tracking.inbound.mailboxes import Mailbox
from tracking.inbound.maildir import MaildirMailbox
from tracking.inbound.places import Places
from tracking.inbound.storage import Arrived

_log = logging.getLogger("clarion.inbound")
#: What was stored by other processes is looked for so often.
_LOOK_S: Final = 5.0
_STORING_THREADS: Final = 2


@dataclass(slots=True)
class Intake:
    """Takes in the mails of one workspace until it is stopped."""

    workspace: Workspace
    database: Database
    clock: Clock
    stopping: threading.Event = field(default_factory=threading.Event)
    stored: threading.Event = field(default_factory=threading.Event)

    def keep(self, mail: Arrived) -> None:
        """The mail is committed, and handled soon."""
        with self.database.begin() as connection:
            storage.store(connection, mail, self.clock.now())
        self.stored.set()

    def fetch(self, mailbox: Mailbox) -> int:
        """What is in the mailbox is stored, handled, and then forgotten there; how many mails. Repeat: safe.

        A mail is forgotten only after everything that follows from it is committed (S-4.10).
        """
        count = 0
        with mailbox.opened() as opened:
            for fetched in opened.mails():
                with self.database.begin() as connection:
                    number = storage.store(connection, fetched.mail, self.clock.now())
                    if not fetched.mail.is_whole:
                        self.inbox().tell_of_aside(connection)
                self.handle()
                with self.database.begin() as connection:
                    is_settled = storage.is_settled(connection, number)
                if is_settled:
                    opened.forget(fetched)
                count += 1
                if self.stopping.is_set():
                    break
        return count

    def handle(self) -> int:
        """Every mail that waits is handled or kept aside; how many."""
        return self.inbox().handle_all()

    def inbox(self) -> Inbox:
        """What handles the mails, by the settings as they are now."""
        return Inbox(self.workspace, self.database, self.clock)

    def run(self) -> None:
        """Mails are taken in until `stopping` is set.

        Raises:
            ServiceError: a listener's port cannot be had.
        """
        settings = self.workspace.settings.inbound
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._listening())
            threads = [threading.Thread(target=self._repeat, args=(self._handle_stored, 0.0), name="inbound")]
            pauses = {name: one.every for name, one in settings.maildirs.items()}
            pauses |= {name: one.every for name, one in settings.mailboxes.items()}
            for mailbox in mailboxes(self.workspace, self.database):
                pause = pauses[mailbox.name].total_seconds()
                threads.append(threading.Thread(target=self._repeat, args=(self._fetching(mailbox), pause)))
            for thread in threads:
                thread.start()
            self.stopping.wait()
            self.stored.set()
            for thread in threads:
                thread.join()

    def _fetching(self, mailbox: Mailbox) -> Callable[[], None]:
        def fetch() -> None:
            self.fetch(mailbox)

        return fetch

    def _handle_stored(self) -> None:
        self.handle()
        self.stored.wait(_LOOK_S)
        self.stored.clear()

    def _repeat(self, step: Callable[[], None], pause_s: float) -> None:
        """The step is done again and again; what keeps it from going is said, and it is tried again later."""
        said = ""
        while not self.stopping.is_set():
            wait_s = max(pause_s, _LOOK_S)
            try:
                step()
                said, wait_s = "", pause_s
            except EngineError as error:
                if str(error) != said:
                    _log.warning("%s", error)
                said = str(error)
            except DBAPIError as error:
                _log.warning("the database went away: %s", type(error.orig).__name__)
            except Exception:  # noqa: BLE001  one mailbox must not end the others
                _log.exception("mails could not be taken in")
            self.stopping.wait(wait_s)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """The listeners answer, on an event loop of their own, while the block runs."""
        listeners = self.workspace.settings.inbound.listeners
        if not listeners:
            yield
            return
        from tracking.inbound.listener import listen  # loads aiosmtpd

        domains = own_domains(self.workspace.settings)
        most = int(self.workspace.settings.inbound.max_size)  # digits alone: it stands in an answer to EHLO
        loop = asyncio.new_event_loop()
        with ThreadPoolExecutor(_STORING_THREADS, thread_name_prefix="inbound") as executor:
            try:
                servers = [
                    loop.run_until_complete(listen(name, one, domains, most, self.keep, executor))
                    for name, one in listeners.items()
                ]
                thread = threading.Thread(target=loop.run_forever, name="listeners")
                thread.start()
                try:
                    yield
                finally:
                    loop.call_soon_threadsafe(loop.stop)
                    thread.join()
                    for server in servers:
                        server.close()
            finally:
                _finish(loop)


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """What was under way on the loop is ended: mail servers try again."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def own_domains(settings: Settings) -> frozenset[str]:
    """The domains that listeners take mail for, as A-labels."""
    found = set(settings.inbound.domains)
    for sender in settings.senders.values():
        found |= {parse_address(email).domain for email in (sender.email, sender.reply_to) if email is not None}
        found |= {sender.return_path} if sender.return_path is not None else set()
    return frozenset(found)


def mailboxes(workspace: Workspace, database: Database) -> list[Mailbox]:
    """The mailboxes of the workspace's settings."""
    settings = workspace.settings.inbound
    found: list[Mailbox] = [
        MaildirMailbox(name, workspace.root / one.path, one, settings.max_size)
        for name, one in settings.maildirs.items()
    ]
    return found + [
        ImapAccount(name, one, settings.max_size, Places(database), token=_tokens(one, workspace))
        for name, one in settings.mailboxes.items()
    ]


def _tokens(settings: ImapMailbox, workspace: Workspace) -> Callable[[], str] | None:
    """Where the token of the hour comes from; None for a mailbox with a password."""
    if settings.auth is None:
        return None
    xoauth2 = settings.auth.xoauth2
    return lambda: asyncio.run(TokenSource(xoauth2, workspace.root).token())
