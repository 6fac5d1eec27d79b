"""The HTTP API on a real server, and calls of it."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.api_settings import hash_of
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests import public_pages
from tests.public_pages import Pages
from tests.serving import Answer, ask

KEY = "test-key-of-a-shop-that-calls-us-0123456789"
SETTINGS = (
    public_pages.SETTINGS
    + f"""\
api:
  keys:
    shop: {{{{sha256: {hash_of(KEY)}, scopes: [activities, enrolments, registrations, inquiries], per_minute: 5000}}}}
    narrow: {{{{key: {KEY[::-1]}, scopes: [inquiries], per_minute: 3}}}}
"""
)


@dataclass(frozen=True, slots=True)
class Called:
    """An answer of the API."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Api:
    """The API, and the pages beside it."""

    pages: Pages

    def post(self, path: str, body: Any, *, key: str | None = None, bearer: str = KEY, **headers: str) -> Called:
        """What a POST of the body as JSON is answered; `key`: its Idempotency-Key."""
        raw = body if isinstance(body, str | bytes) else json.dumps(body)
        named = {"Idempotency-Key": key} if key is not None else {}
        return self.call("POST", path, raw, **{"Content-Type": "application/json", **named, **headers}, bearer=bearer)

    def get(self, path: str, *, bearer: str = KEY) -> Called:
        """What is told."""
        return self.call("GET", path, None, bearer=bearer)

    def delete(self, path: str, *, bearer: str = KEY) -> Called:
        """What ending something is answered."""
        return self.call("DELETE", path, None, bearer=bearer)

    def call(self, method: str, path: str, raw: str | bytes | None, *, bearer: str = KEY, **headers: str) -> Called:
        """One call as it is."""
        shown = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        answer: Answer = ask(f"{self.pages.base_url}/api/v1/{path}", method, raw, {**shown, **headers})
        return Called(answer.status, answer.headers, answer.body)


@contextlib.contextmanager
def api_served(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock, *, settings: str = SETTINGS,
    files: Mapping[str, str] | None = None,
) -> Iterator[Api]:  # fmt: skip
    """The API, running."""
    with public_pages.public_pages(make_workspace, database, clock, settings=settings, files=files) as pages:
        yield Api(pages)
