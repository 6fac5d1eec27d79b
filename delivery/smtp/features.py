"""What the server offered in its latest EHLO."""

from dataclasses import dataclass
from typing import Self

from delivery.smtp.replies import Reply


@dataclass(frozen=True, slots=True)
class Features:
    """The extensions that Clarion uses. `largest` is the server's fixed maximum in octets, None without one;
    `notify` is when a bounce is asked for (DSN), empty where none is or the server cannot."""

    pipelining: bool = False
    size: bool = False
    largest: int | None = None
    eight_bit: bool = False
    smtputf8: bool = False
    starttls: bool = False
    auth: frozenset[str] = frozenset()
    notify: bytes = b""

    @classmethod
    def of(cls, reply: Reply, *, notify: bytes = b"") -> Self:
        """The features named in a reply to EHLO; unknown ones are passed over. `notify` is what is wanted of DSN."""
        offered: dict[str, list[str]] = {}
        for line in reply.lines[1:]:
            keyword, *words = line.decode("ascii", "replace").upper().replace("AUTH=", "AUTH ").split() or [""]
            offered.setdefault(keyword, []).extend(words)
        limit = next(iter(offered.get("SIZE", [])), "")
        return cls(
            pipelining="PIPELINING" in offered,
            size="SIZE" in offered,
            largest=(int(limit) or None) if limit.isdecimal() and limit.isascii() else None,
            eight_bit="8BITMIME" in offered,
            smtputf8="SMTPUTF8" in offered,
            starttls="STARTTLS" in offered,
            auth=frozenset(offered.get("AUTH", [])),
            notify=notify if "DSN" in offered else b"",
        )
