"""What every public page works with, made once for an application."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from core.clock import Clock
from core.database import Database
from core.workspace import Workspace
from tracking.hit_writer import HitWriter
from tracking.hits import Hit
from tracking.machines import request_evidence
from tracking.tokens import Purpose, Signer, Token
from web import pages
from web.languages import Words, words_for

ArgumentsP = ParamSpec("ArgumentsP")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Site:
    """Workspace, database and clock, the signer of its tokens, and the two ways to the database: shared
    commits for hits, a few threads for everything else."""

    workspace: Workspace
    database: Database
    clock: Clock
    signer: Signer
    hits: HitWriter
    #: Fewer than the engine's pooled connections, so that nobody waits for one with the event loop's
    #: patience.
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, thread_name_prefix="pages"))

    async def off_loop(
        self, function: Callable[ArgumentsP, ResultT], *args: ArgumentsP.args, **kwargs: ArgumentsP.kwargs
    ) -> ResultT:
        """The function's result; the event loop goes on meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, lambda: function(*args, **kwargs))

    async def close(self) -> None:
        """Every hit and page under way is finished; both ways are closed."""
        await self.hits.close()
        self.threads.shutdown()

    def token(self, request: Request, purpose: Purpose) -> Token | None:
        """The token in the request's path, if it is genuine and for this purpose."""
        return self.signer.verify(purpose, request.path_params["token"])

    def hit(self, request: Request, token: Token, purpose: Purpose) -> Hit:
        """The request as a hit, with what in it tells a machine."""
        return Hit(
            message_id=token.message_id,
            kind=purpose.value,
            occurred_at=self.clock.now(),
            link=None if purpose is not Purpose.CLICK or token.url else token.link,
            ip=request.client.host if request.client else None,
            user_agent=request.headers.get("user-agent"),
            evidence=request_evidence(purpose.value, request.method, request.headers),
        )

    def words(self, request: Request, *wishes: str | None) -> Words:
        """The words in the language wished for, else the browser's, else the organisation's."""
        accept = request.headers.get("accept-language", "")
        return words_for(*wishes, accept=f"{accept},{self.workspace.settings.organisation.language};q=0.001")

    @property
    def footer(self) -> str:
        """Who is writing, with the postal address."""
        organisation = self.workspace.settings.organisation
        return f"{organisation.name}\n{organisation.postal_address}"

    def message_page(self, request: Request, name: str, status: int) -> Response:
        """A page that only says something, in the browser's language."""
        return pages.message_page(self.words(request), name, footer=self.footer, status=status)

    def not_found(self, request: Request) -> Response:
        """The one answer to every address that leads nowhere."""
        return self.message_page(request, "not_found", 404)


def site_of(request: Request) -> Site:
    """The site a request came to."""
    site: Site = request.app.state.site
    return site
