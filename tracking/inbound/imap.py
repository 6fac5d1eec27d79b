"""A mailbox on an IMAP server (RFC 3501), spoken to inside TLS unless it is on this machine."""

import contextlib
import imaplib
import re
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from core.errors import ServiceError
from core.inbound_settings import ImapMailbox
from tracking.inbound.mailboxes import Fetched, OpenMailbox
from tracking.inbound.places import Place, Places
from tracking.inbound.storage import HEAD, Arrived

_AT_A_TIME: Final = 200
_SIZE: Final = re.compile(rb"RFC822\.SIZE (\d{1,15})")
_UID: Final = re.compile(rb"UID (\d{1,15})")
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class ImapAccount:
    """One mailbox of `inbound.mailboxes`. `tls` replaces the system's certificates, `token` a password by the token of
    the hour."""

    name: str
    settings: ImapMailbox
    max_size: int
    places: Places
    tls: ssl.SSLContext | None = None
    token: Callable[[], str] | None = None

    @property
    def key(self) -> str:
        """What it is known by, whatever clarion.yaml calls it: user, server and folder."""
        host, port = self.settings.place
        return f"{self.settings.user}@{host}:{port}/{self.settings.folder}"

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenMailbox]:
        """The mailbox, logged in and selected until the block ends.

        Raises:
            ServiceError: it cannot be reached, does not speak TLS, or refuses the user or the folder.
        """
        with self._explained():
            connection = self._connected()
        try:
            with self._explained():
                self._log_in(connection)
                _checked(connection.select(_quoted(self.settings.folder)))
            yield _Selected(self, connection)
        finally:
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                connection.logout()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (imaplib.IMAP4.error, OSError) as error:
            host, port = self.settings.place
            words = " ".join(str(error).split())[:200]
            raise ServiceError(
                f"inbound.mailboxes.{self.name}: {host}:{port}: {words or type(error).__name__}",
                hint="check host, user, password and folder of its url in clarion.yaml",
            ) from None

    def _connected(self) -> imaplib.IMAP4:
        host, port = self.settings.place
        timeout = self.settings.timeout.total_seconds()
        tls = self.tls if self.tls is not None else ssl.create_default_context()
        if self.settings.is_implicit_tls:
            return imaplib.IMAP4_SSL(host, port, ssl_context=tls, timeout=timeout)
        connection = imaplib.IMAP4(host, port, timeout=timeout)
        if host not in _LOOPBACK:
            connection.starttls(tls)
        return connection

    def _log_in(self, connection: imaplib.IMAP4) -> None:
        user, password = self.settings.user, self.settings.password
        if self.token is not None:
            said = iter((f"user={user}\x01auth=Bearer {self.token()}\x01\x01".encode(),))
            connection.authenticate("XOAUTH2", lambda _: next(said, b""))  # a refusal is answered with nothing
        elif "AUTH=PLAIN" in connection.capabilities:  # takes characters beyond ASCII, too
            connection.authenticate("PLAIN", lambda _: f"\x00{user}\x00{password}".encode())
        else:
            connection.login(user, password)


class _Selected:
    """The folder that is looked into."""

    def __init__(self, account: ImapAccount, connection: imaplib.IMAP4) -> None:
        self._account, self._connection = account, connection
        self._keeps = account.settings.afterwards == "keep"
        said = connection.response("UIDVALIDITY")[1][0]
        self._uid_validity = int(said) if said else 0

    def mails(self) -> Iterator[Fetched]:
        """Those neither deleted nor flagged, nor seen where seen ones are kept, and whatever came since the first
        look, though somebody else has opened or flagged it; by UID, which is by age."""
        with self._account._explained():
            last = self._last_uid()
            left = self._search("UNSEEN UNFLAGGED UNDELETED" if self._keeps else "UNFLAGGED UNDELETED")
            new = {
                number for number in self._search(f"UID {last + 1}:* UNDELETED") if number > last
            }  # n:* is never empty
            numbers = sorted(left | new)[:_AT_A_TIME]
            sizes = self._sizes(numbers)
        for number in numbers:
            if number in sizes:
                with self._account._explained():
                    fetched = self._fetched(number, sizes[number])
                if fetched is not None:
                    yield fetched

    def _last_uid(self) -> int:
        """The UID up to which everything is known. At the first look, that is what was there before."""
        places, account = self._account.places, self._account.key
        known = places.of(account)
        if known is None:
            known = Place(self._uid_validity, max(self._search("UID *"), default=0))
            places.reach(account, known)
        return known.last_uid if known.uid_validity == self._uid_validity else 0

    def _search(self, criteria: str) -> set[int]:
        found = _checked(self._connection.uid("SEARCH", criteria))
        return {int(word) for line in found if line for word in line.split()}

    def _sizes(self, numbers: Iterable[int]) -> dict[int, int]:
        joined = ",".join(map(str, numbers))
        if not joined:
            return {}
        sizes = {}
        for line in _checked(self._connection.uid("FETCH", joined, "(RFC822.SIZE)")):
            uid, size = _UID.search(line), _SIZE.search(line)
            if uid and size:
                sizes[int(uid[1])] = int(size[1])
        return sizes

    def _fetched(self, number: int, size: int) -> Fetched | None:
        """None when it is gone meanwhile. No more is fetched than may be read, whatever size the server names."""
        most = self._account.max_size
        wanted = most + 1 if size <= most else HEAD
        answer = self._connection.uid("FETCH", str(number), f"(BODY.PEEK[]<0.{wanted}>)")
        raw = next((item[1] for item in _checked(answer) if isinstance(item, tuple)), None)
        if raw is None:
            return None
        is_whole = size <= most and len(raw) <= most
        kept, octets = (raw, len(raw)) if is_whole else (raw[:HEAD], max(size, len(raw)))
        return Fetched(str(number), Arrived(self._account.name, kept, octets))

    def forget(self, fetched: Fetched) -> None:
        """Deleted, or kept as seen; flagged where only its beginning was read. Repeat: safe."""
        with self._account._explained():
            if not fetched.mail.is_whole:
                self._flag(fetched.key, r"(\Flagged)")
            elif self._keeps:
                self._flag(fetched.key, r"(\Seen)")
            else:
                self._flag(fetched.key, r"(\Deleted)")
                if "UIDPLUS" in self._connection.capabilities:
                    _checked(self._connection.uid("EXPUNGE", fetched.key))
                else:
                    _checked(self._connection.expunge())
        self._account.places.reach(self._account.key, Place(self._uid_validity, int(fetched.key)))

    def _flag(self, number: str, flags: str) -> None:
        _checked(self._connection.uid("STORE", number, "+FLAGS.SILENT", flags))


def _checked(answer: tuple[str, list[Any]]) -> list[Any]:
    status, lines = answer
    if status != "OK":
        said = next((line.decode("utf-8", "replace") for line in lines if isinstance(line, bytes)), status)
        raise imaplib.IMAP4.error(said)
    return lines


def _quoted(folder: str) -> str:
    escaped = folder.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
