"""Who calls the API, what for, and how often. Writes public_count."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text
from starlette.requests import Request

from core.api_settings import Api, ApiKey, Scope, hash_of
from web.api.answers import Refusal

_MINUTE: Final = timedelta(minutes=1)
_SCHEME: Final = "bearer"
_LONGEST: Final = 500


@dataclass(frozen=True, slots=True)
class Caller:
    """A program whose key was shown: an entry of `api.keys`."""

    name: str
    key: ApiKey


def caller_of(request: Request, settings: Api, scope: Scope) -> Caller:
    """Who calls. Every key there is is compared, in constant time: how long it takes tells nothing of them.

    Raises:
        Refusal: no key was shown that there is (401), or it is not for this (403).
    """
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    hashed = hash_of(shown.strip()[:_LONGEST])
    found = None
    for name, key in settings.keys.items():
        if hmac.compare_digest(key.hash, hashed):
            found = Caller(name, key)
    if found is None or scheme.lower() != _SCHEME:
        raise Refusal(
            401, "no_key", "no valid API key", hint="send the header Authorization: Bearer KEY",
            headers={"www-authenticate": 'Bearer realm="api"'},
        )  # fmt: skip
    if scope not in found.key.scopes:
        raise Refusal(403, "scope", f"this key is not for {scope}", hint=f"add it to api.keys.{found.name}.scopes")
    return found


#: A call that is refused counts too: whoever calls without end does not get in by patience alone.
_COUNT: Final = text("""
    INSERT INTO public_count (key, period, count, forget_at) VALUES (:key, :period, 1, :forget_at)
    ON CONFLICT (key, period) DO UPDATE SET count = public_count.count + 1
    RETURNING count
""")


def check_rate(connection: Connection, caller: Caller, now: datetime) -> None:
    """One more call of this minute is counted. To be committed either way.

    Raises:
        Refusal: there were too many (429).
    """
    minute = now.replace(second=0, microsecond=0)
    given = {"key": f"api:{caller.name}", "period": minute, "forget_at": minute + _MINUTE}
    count = int(connection.execute(_COUNT, given).scalar_one())
    if count > caller.key.per_minute:
        wait = max(1, int((minute + _MINUTE - now).total_seconds()))
        raise Refusal(
            429, "too_many", f"more than {caller.key.per_minute} calls within a minute",
            headers={"retry-after": str(wait)},
        )  # fmt: skip
