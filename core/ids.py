"""Identities that are computed rather than stored: keyed, stable, and without personal content."""

import hashlib
from typing import NewType
from uuid import UUID

#: Names one mailbox without saying which: the join key of suppression, ledger and customers.
AddressKey = NewType("AddressKey", UUID)


def keyed_hash(secret: bytes, purpose: str, content: bytes, *, size: int = 16) -> bytes:
    """`size` bytes of BLAKE2b, keyed with `secret` and separated by `purpose` (at most 16 bytes)."""
    return hashlib.blake2b(content, key=secret[:64], person=purpose.encode()[:16], digest_size=size).digest()


def address_key(secret: bytes, comparable: str) -> AddressKey:
    """The key of a mailbox from the comparable form of its address (`core.addresses`)."""
    return AddressKey(UUID(bytes=keyed_hash(secret, "address", comparable.encode())))
