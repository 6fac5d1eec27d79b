"""The Message-ID of a message: computed from its row, so that every attempt has the same one and none is stored."""

from functools import lru_cache
from uuid import UUID

from core.addresses import parse_address
from core.ids import keyed_hash


def identity_of(campaign: str, step: str, occurrence: str, address_key: UUID | str) -> str:
    """What tells one message from every other (S-2.4)."""
    return f"{campaign}|{step}|{occurrence}|{address_key}"


def message_id_of(secret: bytes, identity: str, sender_email: str) -> str:
    """The Message-ID without its angle brackets, under the sender's domain."""
    token = keyed_hash(secret, "message-id", identity.encode()).hex()
    return f"{token}@{sender_domain(sender_email)}"


@lru_cache(maxsize=64)
def sender_domain(sender_email: str) -> str:
    """The domain that a sender's messages are known by."""
    return parse_address(sender_email).domain
