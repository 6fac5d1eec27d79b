"""What tells two orders from each other that came by one name: a digest of what was entered.

A form that is sent twice is one order; with Back, other words and Send it is another one, though its hidden name is the
same.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from campaigns.events.registering import Attendee
from core.ids import keyed_hash

_SIZE: Final = 12


def digest_of(secret: bytes, *entered: Any) -> str:
    """Equal for what is equal; 24 hexadecimal digits. Keyed: nobody tries addresses out by it who has the database."""
    text = json.dumps(entered, sort_keys=True, default=str)
    return keyed_hash(secret, "entered", text.encode(), size=_SIZE).hex()


def people_digest(secret: bytes, attendees: Iterable[Attendee]) -> str:
    """The same of people, each with their answers. In which language they asked does not matter."""
    return digest_of(secret, *([one.address.comparable, dict(one.answers)] for one in attendees))
