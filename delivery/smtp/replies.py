"""SMTP replies, out of a stream of bytes cut anywhere (RFC 5321 section 4.2)."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from delivery.smtp.messages import Outcome, OutcomeState
from delivery.smtp.steps import Step

_LONGEST_LINE = 2048  # RFC 5321 says 512; servers with long texts exist
_MOST_LINES = 200
_LONGEST_TEXT = 500
_ONE_LINE = re.compile(rb"[2-5][0-9]{2}(?:[ \r]|\Z)")
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s|$)")


class GarbledReply(Exception):
    """The server's bytes are no reply; the message tells which."""


class Reply(NamedTuple):
    """One complete reply; `lines` hold what follows the code."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def kind(self) -> int:
        """The first digit, the only one a client acts on: 2 done, 3 go on, 4 later, 5 never."""
        return self.code // 100

    @property
    def text(self) -> str:
        """The words in one line, printable, at most 500 characters."""
        text = b" ".join(self.lines).decode("utf-8", "replace")
        if not text.isprintable():
            text = "".join(character if character.isprintable() else "?" for character in text)
        return text[:_LONGEST_TEXT]

    def outcome(self, state: OutcomeState, step: Step | None = None) -> Outcome:
        """What this reply to `step` means for the message, with the enhanced status code if it has one."""
        return _outcome(self, state, step)


class ReplyParser:
    """Cuts replies out of the stream; what is not complete yet is kept for the next chunk."""

    __slots__ = ("_code", "_lines", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._code = 0
        self._lines: list[bytes] = []

    @property
    def is_empty(self) -> bool:
        """Whether no byte waits for the rest of its reply."""
        return not self._rest and not self._lines

    def feed(self, chunk: bytes) -> Iterator[Reply]:
        """The replies that `chunk` completes, in order.

        Raises:
            GarbledReply: after the replies before it, when a line is too long or is no reply, or the lines of
                one reply have different codes. The connection cannot be used any further.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if (reply := self._line(line)) is not None:
                yield reply
        if len(self._rest) > _LONGEST_LINE:
            raise GarbledReply("the server sent a line without end")

    def _line(self, line: bytes) -> Reply | None:
        if not self._lines and (reply := _one_line_reply(line)) is not None:
            return reply
        digits, mark = line[:3], line[3:4]
        if not digits.isdigit() or mark not in (b" ", b"-", b"\r", b"") or len(line) > _LONGEST_LINE:
            raise GarbledReply(f"the server sent what is no reply: {line[:80]!r}")
        code = int(digits)
        if not 200 <= code <= 599 or (self._lines and code != self._code) or len(self._lines) >= _MOST_LINES:
            raise GarbledReply(f"the server sent an inconsistent reply: {line[:80]!r}")
        text = line[4:].rstrip(b"\r")
        if mark == b"-":
            self._code = code
            self._lines.append(text)
            return None
        reply = Reply(code, (*self._lines, text))
        self._lines = []
        return reply


@lru_cache(maxsize=64)
def _one_line_reply(line: bytes) -> Reply | None:
    """The reply that this line is by itself; None: there is more to be said about it. Servers say much the same to
    every message."""
    if _ONE_LINE.match(line) is None or len(line) > _LONGEST_LINE:
        return None
    return Reply(int(line[:3]), (line[4:].rstrip(b"\r"),))


@lru_cache(maxsize=64)
def _outcome(reply: Reply, state: OutcomeState, step: Step | None) -> Outcome:
    text = reply.text
    found = _ENHANCED.match(text)
    return Outcome(state, reply.code, found[1] if found else None, text, step if reply.code >= 400 else None)
