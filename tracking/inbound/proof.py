"""What proves which message a mail is about: tokens of ours that came back, and the ids that messages have (S-4.4)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from core.workspace import Workspace
from tracking.feedback import MatchedBy
from tracking.inbound.mime import Mail, Part
from tracking.inbound.reading import Reading
from tracking.inbound.report_text import texts
from tracking.inbound.spotting import addresses_in, identities_in
from tracking.return_paths import ReturnPaths
from tracking.tokens import Purpose, Signer

_DELIVERED_TO: Final = ("delivered-to", "x-original-to", "envelope-to", "x-rcpt-to", "to")
#: The last part of an unsubscribe link, and of an address or subject that stands for it.
_TOKEN: Final = re.compile(r"(?<![\w-])[\w-]{31,120}(?![\w-])")
_LINK: Final = re.compile(r"/u/([\w-]{31,120})(?![\w-])")
_TEXTS: Final = 5
_HEADERS: Final = 64 * 1024
_TOKENS: Final = 20
_NAMES: Final = 50
_OF_ONE_FIELD: Final = 3


@dataclass(frozen=True, slots=True)
class Proof:
    """`message_id` where a token of ours came back; `named`: ids that may be those of messages."""

    message_id: int | None
    matched_by: MatchedBy | None
    named: tuple[str, ...]


class Prover:
    """Knows the tokens of one workspace."""

    def __init__(self, signer: Signer, paths: Mapping[str, ReturnPaths]) -> None:
        self._signer = signer
        self._paths = paths

    @classmethod
    def of(cls, workspace: Workspace) -> "Prover":
        """The prover of the workspace, for the return paths of its present senders."""
        senders = workspace.settings.senders.values()
        domains = {sender.return_path for sender in senders if sender.return_path is not None}
        domains |= set(workspace.settings.inbound.domains)  # those of former senders, too
        secret, retired = workspace.token_secret, workspace.retired_secrets
        paths = {domain: ReturnPaths(secret, domain, retired=retired) for domain in domains}
        return cls(Signer(secret, retired=retired), paths)

    def prove(self, reading: Reading, envelope_to: str | None) -> Proof:
        """Which message the mail is about, by the strongest of what came back."""
        mail = reading.mail
        returned = list(_returned(mail))
        named = _named(reading, returned)
        if (found := self._by_path(_delivered_to(mail, envelope_to))) is not None:
            return Proof(found, MatchedBy.VERP, named)
        if (found := self._by_token(_asking(mail, envelope_to))) is not None:
            return Proof(found, MatchedBy.HEADER, named)
        for fields in returned:
            values = [fields.get(name, "") for name in ("return-path", "list-unsubscribe")]
            found = self._by_path(addresses_in(values[0])) or self._by_token(values[1])
            if found is not None:
                return Proof(found, MatchedBy.HEADER, named)
        found = self._by_links(mail)
        return Proof(found, MatchedBy.HEADER if found is not None else None, named)

    def _by_links(self, mail: Mail) -> int | None:
        """The message whose unsubscribe link stands in the text of a mail that came back."""
        enclosed = [part for part in mail.top.walk() if part.enclosed and part.kind.startswith("text/")]
        for part in enclosed[:_TEXTS]:
            if (found := self._by_token(" ".join(_LINK.findall(part.text(_HEADERS))[:_TOKENS]))) is not None:
                return found
        return None

    def _by_path(self, addresses: Iterable[str]) -> int | None:
        for address in addresses:
            paths = self._paths.get(address.rpartition("@")[2].lower().rstrip(".>"))
            if paths is not None and (found := paths.message_id(address)) is not None:
                return found
        return None

    def _by_token(self, text: str) -> int | None:
        for candidate in _TOKEN.findall(text)[:_TOKENS]:
            if (token := self._signer.verify(Purpose.UNSUBSCRIBE, candidate)) is not None:
                return token.message_id
        return None


def _delivered_to(mail: Mail, envelope_to: str | None) -> Iterator[str]:
    """Where it was sent: by the envelope, else as mail servers note it."""
    yield from addresses_in(envelope_to or "", 100)
    for name in _DELIVERED_TO:
        for value in mail.top.every(name)[:10]:
            yield from addresses_in(value)


def _asking(mail: Mail, envelope_to: str | None) -> str:
    """Where a request to stop holds its token: in the subject or before the @ (S-4.11)."""
    locals_ = [address.partition("@")[0] for address in _delivered_to(mail, envelope_to)]
    tagged = [part for local in locals_ for part in (local, local.partition("+")[2])]
    return " ".join([mail.top.first("subject")[:1000], *tagged])


def _returned(mail: Mail) -> Iterator[dict[str, str]]:
    """The header fields of the mails that came back: enclosed, or their header alone."""
    for part in mail.top.walk():
        if part.enclosed and part.depth and _is_a_mail(part):
            yield dict(reversed(part.fields))
        elif part.kind in ("text/rfc822-headers", "message/rfc822-headers", "message/global-headers"):
            yield _fields(part.text(_HEADERS))
    if not any(part.enclosed for part in mail.top.walk()):
        for part in texts(mail.top)[:3]:
            yield _fields(part.text(_HEADERS))


def _is_a_mail(part: Part) -> bool:
    names = {name for name, _ in part.fields}
    return "from" in names or "message-id" in names or "list-unsubscribe" in names


_FIELD: Final = re.compile(
    r"^[ \t>|]{0,8}(message-id|list-unsubscribe|return-path)[ \t]*:[ \t]*(.{0,2000})", re.IGNORECASE
)


def _fields(text: str) -> dict[str, str]:
    """The fields that matter, wherever in the text they begin a line; folded lines are joined."""
    unfolded = re.sub(r"\n[ \t>|]{1,8}(?=\S*<)", " ", text)
    found: dict[str, str] = {}
    for line in unfolded.split("\n"):
        if match := _FIELD.match(line):
            found.setdefault(match[1].lower(), match[2].strip())
    return found


def _named(reading: Reading, returned: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """The ids that came back, each once: of the envelope, of the mails returned, of those that are answered."""
    top = reading.mail.top
    values = [fields.get("message-id", "") for fields in returned]
    values += [top.first("in-reply-to"), *top.first("references").split()[: -_NAMES - 1 : -1]]
    values += [field.first("original-message-id") for field in reading.mail.top.walk()]
    names = [name for value in values for name in identities_in(value, _OF_ONE_FIELD)]
    envelope = [reading.envelope_id] if reading.envelope_id else []
    return tuple(dict.fromkeys([*envelope, *names]))[:_NAMES]
