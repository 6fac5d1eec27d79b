"""What a message is known by: its Message-ID, computed from its row so that every attempt has the same one, and the
Feedback-ID by which Gmail counts what people report."""

import hashlib
import re
from functools import lru_cache
from typing import Final
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


_SENDER_ID: Final = range(5, 16)  # its length; Gmail tells senders apart by it


def feedback_id(campaign: str, topic: str, sender_email: str) -> str:
    """The Feedback-ID of bulk mail (S-2.21): campaign, topic, class, and the same last part for all of a sender's mail.

    Nothing in it tells of the recipient. The parts hold no colon: it is what parts them.
    """
    return f"{campaign}:{topic}:bulk:{_sender_id(sender_domain(sender_email))}"


@lru_cache(maxsize=64)
def _sender_id(domain: str) -> str:
    """`paperexample` for paper.example; a domain that is too long or too short has digits of its hash at the end."""
    plain = re.sub(r"[^a-z0-9]", "", domain)
    if len(plain) in _SENDER_ID:
        return plain
    return plain[:9] + hashlib.blake2b(domain.encode(), digest_size=3).hexdigest()
