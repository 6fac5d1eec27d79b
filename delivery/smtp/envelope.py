"""A message made ready for the wire: who it is from and to, and its content dot-stuffed."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from core.errors import AddressError
from delivery.addr_spec import wire_address
from delivery.smtp.features import Features
from delivery.smtp.messages import Outcome, OutcomeState, Outgoing

_NOT_XTEXT: Final = re.compile(rb"[^!-*,-<>-~]")
_LONGEST_ENVELOPE_ID: Final = 100
_LONGEST_ORIGINAL: Final = 500 - len(b"rfc822;")


@dataclass(slots=True, eq=False)
class Envelope:
    """One message on its way. `lines` are dot-stuffed and end with CRLF, the final dot not included.

    `size` counts the octets before dot-stuffing (RFC 1870); `envelope_id` is xtext; `had_second_chance` is set
    when its first connection broke.
    """

    id: int
    path: bytes
    recipient: bytes
    lines: bytes
    size: int
    eight_bit: bool
    smtputf8: bool
    envelope_id: bytes = b""
    had_second_chance: bool = False

    def mail_command(self, features: Features) -> bytes:
        """MAIL with the parameters that the server offers and this message needs."""
        command = b"MAIL FROM:<%b>" % self.path
        if features.size:
            command += b" SIZE=%d" % self.size
        if self.eight_bit:
            command += b" BODY=8BITMIME"
        if self.smtputf8:
            command += b" SMTPUTF8"
        if features.notify:
            command += b" RET=HDRS ENVID=%b" % self.envelope_id if self.envelope_id else b" RET=HDRS"
        return command + b"\r\n"

    def recipient_command(self, features: Features) -> bytes:
        """RCPT, and where the server offers DSN when to report and on whom (S-1.38)."""
        if not features.notify:
            return b"RCPT TO:<%b>\r\n" % self.recipient
        command = b"RCPT TO:<%b> NOTIFY=%b" % (self.recipient, features.notify)
        if self.recipient.isascii() and len(original := xtext(self.recipient)) <= _LONGEST_ORIGINAL:
            command += b" ORCPT=rfc822;%b" % original
        return command + b"\r\n"

    def refusal(self, features: Features) -> Outcome | None:
        """Why this server cannot be given the message at all; None when it can."""
        if features.largest is not None and self.size > features.largest:
            return _failed("5.3.4", f"message of {self.size} octets, the server takes at most {features.largest}")
        if self.smtputf8 and not features.smtputf8:
            return _failed("5.6.7", "unsupported address: the server does not offer SMTPUTF8")
        if self.eight_bit and not features.eight_bit:
            return _failed("5.6.3", "message holds 8-bit octets and the server does not offer 8BITMIME")
        return None


def envelope_of(outgoing: Outgoing) -> Envelope | Outcome:
    """The message ready for the wire, or the outcome that it fails with before any server is asked."""
    try:
        path = _path(outgoing.mail_from)
    except AddressError as error:
        return _failed("5.1.7", f"sender: {error.message}")
    try:
        recipient = wire_address(outgoing.recipient).encode()
    except AddressError as error:
        return _failed("5.1.3", f"recipient: {error.message}")
    content = outgoing.content
    if not outgoing.in_crlf and not _has_crlf_lines_only(content):
        return _failed("5.6.0", "message holds a bare CR or LF")
    smtputf8 = outgoing.smtputf8 or not (recipient.isascii() and path.isascii())
    return Envelope(
        outgoing.id, path, recipient, _stuffed(content), len(content), not content.isascii(), smtputf8,
        _envelope_id(outgoing.envelope_id) if outgoing.envelope_id else b"",
    )  # fmt: skip


def xtext(octets: bytes) -> bytes:
    """The octets as a DSN parameter takes them (RFC 3461 section 4): '+', '=' and all but visible ASCII as +XX."""
    return _NOT_XTEXT.sub(lambda found: b"+%02X" % found[0][0], octets)


def _envelope_id(text: str) -> bytes:
    """The id as xtext; nothing for one that is too long, because half of it would name nobody."""
    octets = text.encode()
    encoded = octets if octets.isalnum() else xtext(octets)
    return encoded if len(encoded) <= _LONGEST_ENVELOPE_ID else b""


@lru_cache(maxsize=64)
def _path(mail_from: str) -> bytes:
    return wire_address(mail_from).encode() if mail_from else b""


def _has_crlf_lines_only(content: bytes) -> bool:
    """S-1.16: a bare CR or LF could be taken for the end of the message by one server and not by the next."""
    return content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r") and content.endswith(b"\r\n")


def _stuffed(content: bytes) -> bytes:
    if content.find(b"\r\n.") >= 0:
        content = content.replace(b"\n.", b"\n..")
    return b"." + content if content.startswith(b".") else content


def _failed(enhanced: str, text: str) -> Outcome:
    return Outcome(OutcomeState.FAILED, None, enhanced, text)
