"""Whether "relaying denied", said when a recipient is offered, is about this client or about the recipient.

A relay that does not know this client says it to every recipient, and then nobody may fail by it (S-1.8). A relay
that does know it may still say it to a single one, for example where it asks that recipient's own server first.
One answer does not tell which; others do:

* three in a row: it does not relay for this client;
* it takes another recipient, or took one before: those one or two denied were at fault themselves;
* neither, and nothing is left to try: it does not relay for this client.

The three are suspects then: denied again in a later delivery they do not count, so that the others get their turn.
As soon as the relay takes one of those, or if nobody else is left and it took others before, they fail by themselves:
no recipient can hold a transport again and again.

A demand for authentication (530 and its kin) is judged in the same way when it is said to a recipient.

Words that quote another server ("host mx said: … relay access denied") are never about this client.
"""

import re
from collections.abc import Iterable
from typing import Final

from delivery.smtp.replies import Reply

_ENOUGH: Final = 3
#: Authentication missing, too weak, failed, or needing encryption (RFC 4954).
ASKS_FOR_AUTH: Final = frozenset({530, 534, 535, 538})
_DENIED: Final = re.compile(
    r"relay(ing)?\b.{0,40}\b(denied|prohibited|rejected|disabled|refused|not (permitted|allowed|authori[sz]ed))"
    r"|(unable|not (allowed|permitted|authori[sz]ed)|cannot|can['’]t|won['’]t|(does|do) not|don['’]t|denied|refus\w+) "
    r"(to )?relay\b|rcpthosts|open relay"
    r"|authenticat(ion|e) (is )?(required|needed|first)|must (be )?authenticat|not (been )?authenticated",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(r"\bsaid\b|in reply to|undeliverable|verif", re.IGNORECASE)


def denies_relaying(reply: Reply) -> bool:
    """Whether a 5yz says that the server does not relay for this client, or not before it has logged in."""
    if reply.code in ASKS_FOR_AUTH:
        return True
    return reply.kind == 5 and bool(_DENIED.search(reply.text)) and not _QUOTED.search(reply.text)


class Denials:
    """How a relay answers the recipients of one pool, from delivery to delivery."""

    __slots__ = ("_suspects", "has_relayed", "in_a_row")

    def __init__(self) -> None:
        self.has_relayed = False
        self.in_a_row = 0
        self._suspects: set[bytes] = set()  # recipients for whom the transport was held

    def denied(self, recipient: bytes) -> None:
        """The relay denied the recipient; one for whom the transport was held before tells nothing new."""
        if recipient not in self._suspects:
            self.in_a_row += 1

    def suspect(self, recipients: Iterable[bytes]) -> None:
        """The transport is held for these: they do not count when they are denied again."""
        self._suspects.update(recipients)

    def begin(self) -> None:
        """Another delivery begins: what is in a row is so within one."""
        self.in_a_row = 0

    @property
    def are_of_the_client(self) -> bool:
        """Whether so many in a row are the transport's fault, whatever comes next."""
        return self.in_a_row >= _ENOUGH

    def relayed(self) -> None:
        """The relay took a recipient."""
        self.has_relayed = True
        self.in_a_row = 0
