"""The way of one call: who calls, how often, what is asked, and the answer, which is committed before it is given.

Writes api_call. A call with an `Idempotency-Key` is carried out once: when it comes again, also at the same time, it is
answered as before, and nothing happens.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from core.api_settings import Scope
from core.errors import EngineError
from core.schema import api_call
from web.api.answers import Refusal, answer, refusal_of, refused, unavailable, unfit
from web.api.callers import Caller, caller_of, check_rate
from web.site import Site, site_of

BodyT = TypeVar("BodyT", bound=BaseModel)

#: A call is remembered by its key for as long.
REMEMBERED: Final = timedelta(days=2)
LONGEST_KEY: Final = 255
#: A thousand activities with their properties.
MAX_BODY: Final = 2 * 1024 * 1024
_log = logging.getLogger("clarion.api")


@dataclass(frozen=True, slots=True)
class Done:
    """What a call came to."""

    status: int
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that is being carried out."""

    site: Site
    caller: Caller
    connection: Connection
    now: datetime
    prepared: Any = None  # what was made ready before its transaction


Work = Callable[[Call], Done]


def posting(
    scope: Scope, model: type[BodyT], work: Callable[[Call, BodyT], Done],
    prepared: Callable[[Site, BodyT], Any] | None = None,
) -> Callable[[Request], Awaitable[Response]]:  # fmt: skip
    """A handler of POST: the body is read as `model`, and `work` carried out in one transaction.

    `prepared` runs before it, in transactions of its own, such as to store what files say at present; `work` finds in
    the call what it returned.
    """

    async def handler(request: Request) -> Response:
        async def taken(site: Site, caller: Caller) -> Response:
            raw = await _json_of(request)
            body = _read(model, raw)
            digest = hashlib.sha256(request.url.path.encode() + b"\n" + raw).digest()

            def work_it() -> tuple[Done, bool]:
                ready = prepared(site, body) if prepared is not None else None
                return _carried_out(site, caller, _key(request), digest, lambda call: work(call, body), ready)

            done, is_replayed = await _in_thread(site, work_it)
            headers = {"idempotency-replayed": "true"} if is_replayed else {}
            return answer(done.status, done.content, headers)

        return await _answered(request, scope, taken)

    return handler


def asking(scope: Scope, work: Callable[[Call, str], Done]) -> Callable[[Request], Awaitable[Response]]:
    """A handler of GET or DELETE about the `{name}` in its address."""

    async def handler(request: Request) -> Response:
        async def taken(site: Site, caller: Caller) -> Response:
            name = str(request.path_params["name"])

            def work_it() -> Done:
                with site.transaction() as connection:
                    return work(Call(site, caller, connection, site.clock.now()), name)

            done = await _in_thread(site, work_it)
            return answer(done.status, done.content)

        return await _answered(request, scope, taken)

    return handler


async def _answered(
    request: Request, scope: Scope, taken: Callable[[Site, Caller], Awaitable[Response]]
) -> Response:  # fmt: skip
    """The answer, whatever comes of it: JSON, and no word of what was sent."""
    site = site_of(request)
    try:
        caller = caller_of(request, site.workspace.settings.api, scope)
        await _in_thread(site, lambda: _count(site, caller))
        return await taken(site, caller)
    except Refusal as refusal:
        return refused(refusal)
    except HTTPException as error:
        return refused(Refusal(error.status_code, "unreadable", "the body was cut off"))
    except EngineError as error:
        told = refusal_of(error)
        if told.status >= 500:
            _log.error("a call for %s failed: %s", scope, error)
        return refused(told)
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        _log.error("a call for %s failed: %s %s", scope, type(cause).__name__, getattr(cause, "sqlstate", None) or "")
        return refused(unavailable())


ResultT = TypeVar("ResultT")


async def _in_thread(site: Site, function: Callable[[], ResultT]) -> ResultT:
    return await site.threads.run(site.threads.calls, function)


def _count(site: Site, caller: Caller) -> None:
    refusal: Refusal | None = None
    with site.transaction() as connection:
        try:
            check_rate(connection, caller, site.clock.now())
        except Refusal as too_many:  # the count is committed all the same
            refusal = too_many
    if refusal is not None:
        raise refusal


async def _json_of(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "not_json", "expected a body of the type application/json")
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_BODY:
            raise Refusal(413, "too_large", f"expected a body of at most {MAX_BODY // 2**20} MB")
    return bytes(raw)


def _read(model: type[BodyT], raw: bytes) -> BodyT:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise unfit(error) from None


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise Refusal(400, "bad_key", f"expected an Idempotency-Key of 1 to {LONGEST_KEY} characters")
    return key


def _carried_out(
    site: Site, caller: Caller, key: str | None, digest: bytes, work: Work, ready: Any
) -> tuple[Done, bool]:  # fmt: skip
    """What the call came to, and whether that was known: everything is committed. Atomic: yes."""
    with site.transaction() as connection:
        call = Call(site, caller, connection, site.clock.now(), ready)
        if key is None:
            return work(call), False
        named = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        its = (api_call.c.caller == caller.name) & (api_call.c.call_key == named)
        if not _is_first(call, named, digest):
            return _remembered(connection, its, digest), True
        done = work(call)
        connection.execute(update(api_call).where(its).values(status=done.status, answer=done.content))
        return done, False


def _is_first(call: Call, named: bytes, digest: bytes) -> bool:
    """Whether no call had the key; of two at the same time the second waits for the first."""
    values = {
        "caller": call.caller.name, "call_key": named, "content_hash": digest, "status": 0,
        "called_at": call.now, "forget_at": call.now + REMEMBERED,
    }  # fmt: skip
    added = insert(api_call).values(**values).on_conflict_do_nothing().returning(api_call.c.caller)
    return call.connection.execute(added).first() is not None


def _remembered(connection: Connection, its: Any, digest: bytes) -> Done:
    found = connection.execute(select(api_call).where(its)).one()
    if bytes(found.content_hash) != digest:
        raise Refusal(422, "key_reused", "the Idempotency-Key was used for another call", hint="use a new key")
    return Done(found.status, found.answer)
