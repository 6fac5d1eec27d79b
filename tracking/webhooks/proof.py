"""Our own tokens in what a provider reports: they prove which message is meant (S-4.4)."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from core.settings import Sender
from tracking.feedback import MatchedBy
from tracking.return_paths import ReturnPaths
from tracking.tokens import Purpose, Signer
from tracking.webhooks.genuine import words

#: The last part of an unsubscribe link.
_TOKEN: Final = re.compile(r"/u/([\w-]{31,120})(?![\w-])")

#: A message, and what proves it.
Proof = tuple[int | None, MatchedBy | None]
NOTHING: Final[Proof] = (None, None)


class Tokens:
    """Knows the tokens of one installation: return paths under the domains of its senders, and unsubscribe links."""

    def __init__(self, secret: bytes, senders: Mapping[str, Sender], *, retired: Iterable[bytes] = ()) -> None:
        domains = {sender.return_path for sender in senders.values() if sender.return_path is not None}
        former = tuple(retired)
        self._paths = {domain: ReturnPaths(secret, domain, retired=former) for domain in domains}
        self._signer = Signer(secret, retired=former)

    def proof(self, *, return_path: object = None, unsubscribe: object = None) -> Proof:
        """The message that the envelope sender, else the List-Unsubscribe field, was made for."""
        if isinstance(return_path, str):
            paths = self._paths.get(return_path.rpartition("@")[2].lower().rstrip(".>"))
            if paths is not None and (found := paths.message_id(return_path)) is not None:
                return found, MatchedBy.VERP
        if isinstance(unsubscribe, str):
            for candidate in _TOKEN.findall(unsubscribe[:8192])[:10]:
                if (token := self._signer.verify(Purpose.UNSUBSCRIBE, candidate)) is not None:
                    return token.message_id, MatchedBy.HEADER
        return NOTHING


def names(values: Iterable[object]) -> tuple[str, ...]:
    """Those of the values that are Message-IDs."""
    told = (words(value, 998) for value in values)
    return tuple(dict.fromkeys(value for value in told if value is not None and "@" in value))
