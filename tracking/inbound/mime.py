"""Mails taken apart within limits, whatever is in them (S-4.9). Nothing here raises because of what a mail holds.

Parts are places in the mail's bytes, not copies: a level of nesting costs no memory. A limit that was reached is a
flaw, and what lies beyond it stays unread.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tracking.inbound.charsets import decoded_header, decoded_text, parameters

#: Of a whole header section, and of one field: what lies beyond is not looked at.
_HEADER_SECTION: Final = 256 * 1024
_FIELD: Final = 8 * 1024
_FIELDS: Final = 1000
_DEPTH: Final = 12
_PARTS: Final = 300
_NAME: Final = re.compile(rb"([!-9;-~]{1,100})[ \t]*:")
#: The flaw of a mail whose end is missing; what is there may still say everything.
CUT_OFF: Final = "ends within a part"
#: Fields one of which every mail has, whatever program wrote it.
_USUAL: Final = frozenset({
    "from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id", "received", "return-path",
    "delivered-to", "mime-version", "content-type",
})  # fmt: skip
_MBOX_LINE: Final = re.compile(rb"From [^\n]*\n")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its header fields in order, names in lower case, and where its body lies in the mail.

    `depth` counts the parts around it; `enclosed` the mails around it (`message/rfc822`).
    """

    mail: "Mail" = field(repr=False)
    fields: tuple[tuple[str, str], ...]
    start: int
    end: int
    depth: int
    enclosed: int
    kind: str  # type/subtype, in lower case
    children: list["Part"] = field(default_factory=list, repr=False)

    def first(self, name: str) -> str:
        """The first field of this name, encoded words decoded; empty where there is none."""
        return next((decoded_header(value) for key, value in self.fields if key == name), "")

    def every(self, name: str) -> list[str]:
        """Every field of this name, encoded words decoded."""
        return [decoded_header(value) for key, value in self.fields if key == name]

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of its Content-Type."""
        return parameters(next((value for key, value in self.fields if key == "content-type"), ""))

    @property
    def raw(self) -> bytes:
        """The body as it came."""
        return self.mail.raw[self.start : self.end]

    def text(self, most: int) -> str:
        """The body as text, of at most about `most` characters; NULs are blanks, line ends are `\\n`."""
        return decoded_text(self.mail.raw, self.start, self.end, most, self._encoding, self.parameters.get("charset"))

    @property
    def _encoding(self) -> str:
        return self.first("content-transfer-encoding").strip().lower()

    def walk(self) -> Iterator["Part"]:
        """It and all parts in it, outer before inner."""
        yield self
        for child in self.children:
            yield from child.walk()


class Mail:
    """A mail taken apart. `flaws` says in words which limits it went beyond."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.flaws: list[str] = []
        self._count = 0
        prefix = _MBOX_LINE.match(raw, 0, _FIELD)
        if not raw:
            self._flaw("empty")
        self.top = self._part(prefix.end() if prefix else 0, len(raw), 0, 0, "text/plain")
        if self.top.fields and not self.is_one:
            self._flaw("none of the fields that mails have")

    @property
    def is_one(self) -> bool:
        """Whether it is a mail at all; whatever else a file holds, its words are no report."""
        return any(name in _USUAL for name, _ in self.top.fields)

    def _flaw(self, text: str) -> None:
        if text not in self.flaws:
            self.flaws.append(text)

    def _part(self, start: int, end: int, depth: int, enclosed: int, usual: str) -> Part:
        self._count += 1
        fields, body = self._fields(start, end)
        value = next((value for key, value in fields if key == "content-type"), "")
        part = Part(self, fields, body, end, depth, enclosed, _kind(value, usual))
        if part.kind.startswith("multipart/"):
            self._multipart(part)
        elif part.kind in ("message/rfc822", "message/global") and self._may_open(depth):
            part.children.append(self._part(body, end, depth + 1, enclosed + 1, "text/plain"))
        return part

    def _may_open(self, depth: int) -> bool:
        if depth >= _DEPTH:
            self._flaw(f"nested more than {_DEPTH} levels deep")
        elif self._count >= _PARTS:
            self._flaw(f"more than {_PARTS} parts")
        return depth < _DEPTH and self._count < _PARTS

    def _multipart(self, part: Part) -> None:
        boundary = part.parameters.get("boundary", "").encode("utf-8", "replace").rstrip()
        if not boundary:
            self._flaw("a multipart without a boundary")
            return
        usual = "message/rfc822" if part.kind == "multipart/digest" else "text/plain"
        for start, end in self._between(part, b"--" + boundary):
            if not self._may_open(part.depth):
                return
            part.children.append(self._part(start, end, part.depth + 1, part.enclosed, usual))

    def _between(self, part: Part, mark: bytes) -> Iterator[tuple[int, int]]:
        """Where the bodies between the boundary lines lie; the last one may lack its closing line."""
        raw, line, after = self.raw, b"\n" + mark, len(mark)
        begun: int | None = None
        at = part.start if raw.startswith(mark, part.start) else _next(raw, line, part.start, part.end)
        while at >= 0:
            if begun is not None:
                yield begun, max(begun, at - (2 if raw[at - 2 : at] == b"\r\n" else 1))
            newline = raw.find(b"\n", at + after, part.end)
            if raw[at + after : min(at + after + 2, part.end)] == b"--" or newline < 0:
                break
            begun = newline + 1
            at = _next(raw, line, newline, part.end)
        if begun is None:
            self._flaw("a multipart without its parts")
        elif at < 0:
            self._flaw(CUT_OFF)
            yield begun, part.end

    def _fields(self, start: int, end: int) -> tuple[tuple[tuple[str, str], ...], int]:
        """The header fields from `start`, and where the body begins."""
        found: list[tuple[str, list[bytes]]] = []
        at, stop, room = start, min(end, start + _HEADER_SECTION), 0
        while at < stop:
            newline = self.raw.find(b"\n", at, stop)
            after = newline + 1 if newline >= 0 else stop
            line = self.raw[at : min(after, at + _FIELD)].rstrip(b"\r\n")
            if not line:
                return _decoded(found), after
            if line[:1] in b" \t" and found:
                room -= len(line)
                if room > 0:
                    found[-1][1].append(line)
            elif name := _NAME.match(line):
                if len(found) == _FIELDS:
                    self._flaw(f"more than {_FIELDS} header fields")
                    break
                found.append((name[1].decode("ascii").lower(), [line[name.end() :]]))
                room = _FIELD - len(line)
            elif not found or at == start:  # no header at all: a body without one
                if self._count == 1:
                    self._flaw("no header")
                return (), start
            at = after
        if stop < end:
            self._flaw(f"a header of more than {_HEADER_SECTION // 1024} KB")
        return _decoded(found), end


def _next(raw: bytes, line: bytes, start: int, end: int) -> int:
    """Where the next boundary line begins; -1 for none."""
    at = raw.find(line, start, end)
    return at + 1 if at >= 0 else -1


def _decoded(found: Sequence[tuple[str, list[bytes]]]) -> tuple[tuple[str, str], ...]:
    fields = []
    for name, lines in found:
        value = b"".join(lines)
        try:
            shown = value.decode("utf-8")
        except UnicodeDecodeError:
            shown = value.decode("latin-1")
        fields.append((name, shown.replace("\x00", " ").strip()))
    return tuple(fields)


_TYPE: Final = re.compile(r"\s*([\w.+-]{1,60})\s*/\s*([\w.+-]{1,100})")


def _kind(value: str, usual: str) -> str:
    found = _TYPE.match(value)
    return f"{found[1]}/{found[2]}".lower() if found else usual
