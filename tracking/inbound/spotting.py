"""Addresses and ids found in long fields, in a time that grows with the field, and not with its square."""

import re
from collections.abc import Iterator
from typing import Final

#: Characters on each side of an @ that may belong to what it stands in.
_LONGEST: Final = 256
_BESIDE_ADDRESSES: Final = re.compile(r"[\s<>,;:\"()]")
_BESIDE_IDENTITIES: Final = re.compile(r"[\s<>]")
_BESIDE_RECIPIENTS: Final = re.compile(r"[\s<>;@]")


def addresses_in(text: str, most: int = 10) -> list[str]:
    """What looks like an address around each of the first `most` @."""
    return list(_around(text, _BESIDE_ADDRESSES, most))


def identities_in(text: str, most: int = 10) -> list[str]:
    """What looks like a Message-ID around each of the first `most` @, without its brackets."""
    return list(_around(text, _BESIDE_IDENTITIES, most))


def recipient_in(text: str) -> str | None:
    """The address around the first @ that stands in one."""
    return next(_around(text, _BESIDE_RECIPIENTS, 10), None)


def _around(text: str, beside: re.Pattern[str], most: int) -> Iterator[str]:
    """Only the characters near each @ are looked at: a pattern tried at every place of a field takes too long."""
    at = text.find("@")
    for _ in range(most):
        if at < 0:
            return
        before = beside.split(text[max(0, at - _LONGEST) : at])[-1]
        after = beside.split(text[at + 1 : at + 1 + _LONGEST], maxsplit=1)[0]
        if before and after:
            yield f"{before}@{after}"
        at = text.find("@", at + 1)
