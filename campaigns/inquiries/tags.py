"""Addresses that name one inquiry, such as `sales+i12-9f3c…@paper.example`: only who got a notice of it knows them."""

import hmac
import re
from typing import Final

from core.ids import keyed_hash
from core.settings import Settings

_TAG: Final = re.compile(r"^i([0-9]{1,18})-([0-9a-f]{20})$")
_SIZE: Final = 10


def tagged_address(settings: Settings, secret: bytes, desk: str, inquiry_id: int) -> str | None:
    """Where an employee's answer in copy ends the inquiry; None: the desk takes no such mail."""
    given = settings.inquiries.get(desk)
    if given is None or not given.tagged or not given.addresses:
        return None
    local, _, domain = given.addresses[0].rpartition("@")
    return f"{local}+i{inquiry_id}-{_mac(secret, inquiry_id)}@{domain}"


def inquiry_named(secret: bytes, addresses: list[str]) -> int | None:
    """The inquiry that one of the addresses names, provably."""
    for address in addresses:
        found = _TAG.match(address.rpartition("@")[0].partition("+")[2].lower())
        if found is not None and hmac.compare_digest(_mac(secret, int(found[1])), found[2]):
            return int(found[1])
    return None


def _mac(secret: bytes, inquiry_id: int) -> str:
    """In small letters and digits: mail servers may change the case of what stands before the @."""
    return keyed_hash(secret, "inquiry-tag", str(inquiry_id).encode(), size=_SIZE).hex()
