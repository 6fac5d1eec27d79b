"""A request of a provider, and the ways it can fail to be one."""

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from core.errors import EngineError

#: How far the provider's clock may be ahead of ours.
CLOCKS_DIFFER: Final = timedelta(minutes=5)
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request as it came. `headers` has lower-case names; `body` is raw; `ip` is the visitor's, where known."""

    headers: Mapping[str, str]
    body: bytes
    now: datetime
    ip: str | None = None


class NotGenuine(EngineError):
    """The request is not proven to be the provider's: nothing in it counts. `status`: 401 unsigned, 403 wrong."""

    def __init__(self, message: str, *, status: int = 403) -> None:
        super().__init__(message)
        self.status = status


class Unreadable(EngineError):
    """The request is the provider's, and cannot be read."""


def unsigned(what: str) -> NotGenuine:
    """The refusal of a request that brings no proof at all."""
    return NotGenuine(f"{what} is missing", status=401)


def equal(given: str, expected: str) -> bool:
    """Whether they are equal, in the same time wherever they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))


def check_age(stamp: datetime, now: datetime, longest: timedelta) -> None:
    """Nothing, when the stamp is at most `longest` old.

    Raises:
        NotGenuine: it is older, or ahead of our clock by more than `CLOCKS_DIFFER`.
    """
    if now - stamp > longest:
        raise NotGenuine("the signature is too old")
    if stamp - now > CLOCKS_DIFFER:
        raise NotGenuine("the signature is from the future")


def instant(seconds: object) -> datetime:
    """The instant so many seconds after 1970.

    Raises:
        ValueError: it is none.
    """
    try:
        return datetime.fromtimestamp(float(str(seconds)), UTC)
    except (OverflowError, OSError):
        raise ValueError("not an instant") from None


def written_instant(text: object, default: datetime) -> datetime:
    """The instant in ISO 8601; `default` where it is none. Without a zone it is UTC."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return default
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def document(body: bytes | str) -> Any:
    """The JSON document.

    Raises:
        Unreadable: it is none, or nested absurdly deep.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("the body is not JSON") from None


def fields(value: object) -> Mapping[str, Any]:
    """`value` where it is an object, else an empty one: what is missing or odd says nothing."""
    return value if isinstance(value, dict) else {}


def words(value: object, longest: int = 1000) -> str | None:
    """`value` as text that can be stored: cut, without control characters; None where it is none, or empty."""
    if not isinstance(value, str):
        return None
    clean = _UNFIT.sub(" ", value[:longest]).encode("utf-8", "replace").decode()
    return clean.strip() or None


def items(value: object, most: int = 10_000) -> list[Mapping[str, Any]]:
    """The objects in a list."""
    return [one for one in value[:most] if isinstance(one, dict)] if isinstance(value, list) else []
