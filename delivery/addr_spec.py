"""Addresses as they go on the wire: in the SMTP envelope and between the angle brackets of a header."""

import re
from functools import lru_cache

from core.addresses import parse_address
from core.errors import AddressError

#: RFC 5321 Mailbox without quoted local parts and address literals, neither of which Clarion stores. What
#: matches cannot end the path, add a parameter or start a second header line (standards S-2.2).
_MAILBOX = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_MAX_PATH = 254  # octets without the angle brackets, RFC 5321 section 4.5.3.1.3


def wire_address(email: str) -> str:
    """The address with its domain as A-labels; the local part exactly as given.

    A local part outside ASCII is kept: the message then needs SMTPUTF8.

    Raises:
        AddressError: the text is not one plain addr-spec.
    """
    if _MAILBOX.fullmatch(email):
        wire = email
    elif email.isascii():
        raise AddressError(f"not an address that can be mailed (got {email!r})")
    else:
        wire = _with_a_labels(email)
    if len(wire.encode()) > _MAX_PATH:
        raise AddressError(f"address is too long (got {len(wire.encode())} octets, expected at most {_MAX_PATH})")
    return wire


@lru_cache(maxsize=1024)
def _with_a_labels(email: str) -> str:
    address = parse_address(email)
    return f"{address.email.rpartition('@')[0]}@{address.domain}"
