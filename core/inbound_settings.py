"""`inbound` in `clarion.yaml`: where bounces, complaints and replies come in."""

from typing import Annotated, Final, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from core.field_types import Name
from core.service_urls import checked_url
from core.smtp_settings import Auth
from core.transport_settings import Domain
from core.units import Duration, Octets, Size, Unfit, format_size, parse_duration, parse_size, quoted
from core.yaml_files import Section

_SMALLEST: Final = parse_size("1 MB")
_PORTS: Final = {"imap": 143, "imaps": 993}


class Listener(Section):
    """A port to which a mail server hands over what comes in."""

    protocol: Literal["lmtp", "smtp"] = "lmtp"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)]
    connections: Annotated[int, Field(ge=1, le=100)] = 10  # at a time; further ones wait


class Maildir(Section):
    """A folder in which a mail server files what comes in."""

    path: Annotated[str, StringConstraints(min_length=1)]  # a relative one begins at the workspace
    afterwards: Literal["delete", "keep"] = "delete"  # keep: seen, in cur/
    every: Duration = parse_duration("10s")


def _imap_url(text: str) -> str:
    return checked_url(text, ("imap", "imaps"), "'imaps://user:${PASSWORD}@host/INBOX'")


class ImapMailbox(Section):
    """A mailbox on a mail server. `url` carries user and password; both are never stored or printed."""

    url: Annotated[str, AfterValidator(_imap_url)] = Field(repr=False)
    auth: Auth | None = None  # instead of user and password in the url
    afterwards: Literal["delete", "keep"] = "delete"  # keep: flagged as seen
    every: Duration = parse_duration("1m")
    timeout: Duration = parse_duration("1m")  # of each answer

    @model_validator(mode="after")
    def _has_a_user(self) -> "ImapMailbox":
        parts = urlsplit(self.url)
        if self.auth is None and (not parts.username or parts.password is None):
            raise ValueError("user or password is missing, expected 'imaps://user:${PASSWORD}@host/INBOX', or auth:")
        if self.auth is not None and parts.username:
            raise ValueError("got both auth: and a user in the url, expected one of them")
        return self

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or _PORTS[parts.scheme]

    @property
    def is_implicit_tls(self) -> bool:
        """TLS from the first byte; otherwise STARTTLS, except on this machine."""
        return urlsplit(self.url).scheme == "imaps"

    @property
    def user(self) -> str:
        """Who logs in."""
        return self.auth.xoauth2.user if self.auth is not None else unquote(urlsplit(self.url).username or "")

    @property
    def password(self) -> str:
        """The password."""
        return unquote(urlsplit(self.url).password or "")

    @property
    def folder(self) -> str:
        """The mailbox's name."""
        return unquote(urlsplit(self.url).path.lstrip("/")) or "INBOX"


def _mail_size(size: Octets) -> Octets:
    if size < _SMALLEST:
        raise Unfit(quoted(format_size(size)), f"at least '{format_size(_SMALLEST)}'")
    return size


class Inbound(Section):
    """Where mails come in; nothing is listened to or fetched unless it stands here."""

    listeners: dict[Name, Listener] = Field({})
    maildirs: dict[Name, Maildir] = Field({})
    mailboxes: dict[Name, ImapMailbox] = Field({})
    max_size: Annotated[Size, AfterValidator(_mail_size)] = parse_size("25 MB")  # of one mail, to be read
    domains: tuple[Domain, ...] = ()  # beside those of the senders; former return paths, too

    @property
    def is_used(self) -> bool:
        """Whether mails come in at all."""
        return bool(self.listeners or self.maildirs or self.mailboxes)
