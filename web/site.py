"""What every public page works with, made once for an application."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final, ParamSpec, TypeVar
from urllib.parse import urlencode

from sqlalchemy import Connection, text
from starlette.requests import Request
from starlette.responses import Response

from campaigns.duty import Circumstances
from campaigns.events.files import EventSource
from campaigns.surveys.files import Survey, surveys_of
from core.clock import Clock
from core.database import Database
from core.workspace import Workspace
from tracking.hit_writer import HitWriter
from tracking.hits import Hit
from tracking.machines import request_evidence
from tracking.timed_tokens import TimedPurpose, TimedTokens
from tracking.tokens import Purpose, Signer, Token
from tracking.webhooks import Reader
from tracking.webhooks.proof import Tokens
from tracking.webhooks.sns import Certificates
from web import pages
from web.kept import Kept, event_files
from web.languages import Words, languages_of, words_for
from web.orders import Orders
from web.pages import NOTHING, Html
from web.threads import Threads
from web.visitors import visitor_of

ArgumentsP = ParamSpec("ArgumentsP")
ResultT = TypeVar("ResultT")

#: What the address of a page says beside the language, such as a rating, stays when the language is changed.
_MOST_KEPT: Final = 20
_LONGEST_KEPT: Final = 100
#: Far longer than a lock is held by anything but a merge, an erasure, or what waits for an import.
_PATIENCE: Final = text("SET LOCAL lock_timeout = '4s'")


@dataclass(frozen=True, slots=True)
class Site:
    """Workspace, database and clock, the signer of its tokens, and the two ways to the database: shared
    commits for hits, a few threads for everything else."""

    workspace: Workspace
    database: Database
    clock: Clock
    signer: Signer
    timed: TimedTokens
    hits: HitWriter
    hooks: Reader
    languages: Mapping[str, Words]
    orders: Orders
    surveys: Kept[Mapping[str, Survey]]
    events: Kept[Mapping[str, EventSource]]
    threads: Threads = field(default_factory=Threads)

    @classmethod
    def of(cls, workspace: Workspace, database: Database, clock: Clock) -> "Site":
        """The site of a workspace.

        Raises:
            ConfigError: its language files have mistakes.
        """
        return cls(
            workspace, database, clock,
            Signer(workspace.token_secret, retired=workspace.retired_secrets),
            TimedTokens(workspace.token_secret, retired=workspace.retired_secrets),
            HitWriter(database), _hooks(workspace, Certificates()),
            languages_of(workspace), Orders(workspace, database),
            Kept(lambda: surveys_of(Workspace(workspace.root))),
            Kept(event_files(workspace.root)),
        )  # fmt: skip

    def renewed(self, workspace: Workspace) -> "Site":
        """The same site by the settings of `workspace`, which were read later; Amazon's certificates stay the same."""
        return replace(self, workspace=workspace, hooks=_hooks(workspace, self.hooks.certificates))

    async def off_loop(
        self, function: Callable[ArgumentsP, ResultT], *args: ArgumentsP.args, **kwargs: ArgumentsP.kwargs
    ) -> ResultT:
        """The function's result; the event loop goes on meanwhile."""
        return await self.threads.run(self.threads.pages, lambda: function(*args, **kwargs))

    async def opting_out(
        self, function: Callable[ArgumentsP, ResultT], *args: ArgumentsP.args, **kwargs: ArgumentsP.kwargs
    ) -> ResultT:
        """The function's result, in a thread that no other page takes: an opt-out never stands in a queue."""
        return await self.threads.run(self.threads.opt_outs, lambda: function(*args, **kwargs))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction of a page that may ask to come back later: whoever waits for a lock for long gives up, and the
        visitor is answered 503. Opt-outs do not give up (`database.begin`)."""
        with self.database.begin() as connection:
            connection.execute(_PATIENCE)
            yield connection

    async def close(self) -> None:
        """Every hit and page under way is finished; both ways are closed."""
        await self.hits.close()
        self.threads.close()

    def token(self, request: Request, purpose: Purpose) -> Token | None:
        """The token in the request's path, if it is genuine and for this purpose."""
        return self.signer.verify(purpose, request.path_params["token"])

    def link(self, page: str, purpose: TimedPurpose, subject_id: int, life: timedelta) -> str:
        """A link to the page that is good for so long, from now on."""
        token = self.timed.sign(purpose, subject_id, self.clock.now() + life)
        return f"{self.workspace.settings.tracking.base_url}/{page}/{token}"

    @property
    def mailbox(self) -> str:
        """Where people write to us."""
        sender = next(iter(self.workspace.settings.senders.values()))
        return sender.reply_to or sender.email

    @contextlib.asynccontextmanager
    async def evenly(self) -> AsyncIterator[None]:
        """What is done inside takes `pages.answer_s`, or a multiple of it: how long does not tell what was found."""
        step, clock = self.workspace.settings.pages.answer_s, asyncio.get_running_loop().time
        begun = clock()
        try:
            yield
        finally:
            if step > 0:
                spent = clock() - begun
                await asyncio.sleep(math.ceil(spent / step) * step - spent)

    @property
    def circumstances(self) -> Circumstances:
        """What registrations and inquiries go by."""
        return Circumstances.of(self.workspace)

    @property
    def takes_requests(self) -> bool:
        """Whether people can ask for links to their preferences or data."""
        pages = self.workspace.settings.pages
        return any((pages.preferences, pages.export, pages.erase))

    def visitor(self, request: Request) -> str | None:
        """The network address of whoever asks; a proxy we trust tells whose."""
        return visitor_of(request, self.workspace.settings.web)

    def hit(self, request: Request, token: Token, purpose: Purpose) -> Hit:
        """The request as a hit, with what in it tells a machine."""
        return Hit(
            message_id=token.message_id,
            kind=purpose.value,
            occurred_at=self.clock.now(),
            link=None if purpose is not Purpose.CLICK or token.url else token.link,
            ip=self.visitor(request),
            user_agent=request.headers.get("user-agent"),
            evidence=request_evidence(purpose.value, request.method, request.headers),
        )

    def words(self, request: Request, *wishes: str | None) -> Words:
        """The words in the language chosen on the page, else the one wished for, else the browser's, else the
        organisation's."""
        accept = request.headers.get("accept-language", "")
        chosen = request.query_params.get("lang")
        fallback = f"{accept},{self.workspace.settings.organisation.language};q=0.001"
        return words_for(chosen, *wishes, accept=fallback, known=self.languages)

    def page(
        self, request: Request, words: Words, title: str, content: Html, *, status: int = 200,
        origins: tuple[str, ...] = (), head: Html = NOTHING,
    ) -> Response:  # fmt: skip
        """A page of this site, with who is writing at its foot; one that is only looked at links to itself in every
        other language."""
        organisation = self.workspace.settings.organisation
        footer = f"{organisation.name}\n{organisation.postal_address}"
        links = self._language_links(request, words) if request.method in ("GET", "HEAD") else NOTHING
        frame = pages.Frame(title, organisation.name, footer, links, origins, head)
        return pages.page(words, content, frame, status)

    def _language_links(self, request: Request, words: Words) -> Html:
        asked = request.query_params.multi_items()[:_MOST_KEPT]
        kept = [(name[:_LONGEST_KEPT], value[:_LONGEST_KEPT]) for name, value in asked if name != "lang"]
        offered = [
            pages.fragment(
                "language.html" if other.code != words.code else "language_here.html",
                {
                    "code": other.code,
                    "direction": other.say("direction"),
                    "name": other.say("language_name"),
                    "query": urlencode([*kept, ("lang", other.code)], errors="replace"),
                },
            )
            for other in sorted(self.languages.values(), key=lambda other: other.say("language_name").casefold())
        ]
        return pages.fragment("languages.html", {"label": words.say("languages_label"), "links": pages.joined(offered)})

    def message(self, request: Request, words: Words, heading: str, *spoken: str | Html, status: int = 200) -> Response:
        """A page that only says something, in one paragraph or more; what is `Html` already stands as it is."""
        said = [one if isinstance(one, Html) else pages.fragment("paragraph.html", {"words": one}) for one in spoken]
        content = pages.fragment("message.html", {"heading": heading, "words": pages.joined(said)})
        return self.page(request, words, heading, content, status=status)

    def message_page(self, request: Request, name: str, status: int) -> Response:
        """The texts `<name>_heading` and `<name>_words`, in the browser's language."""
        words = self.words(request)
        return self.message(request, words, words.say(f"{name}_heading"), words.say(f"{name}_words"), status=status)

    def not_found(self, request: Request) -> Response:
        """The one answer to every address that leads nowhere."""
        return self.message_page(request, "not_found", 404)


def _hooks(workspace: Workspace, certificates: Certificates) -> Reader:
    settings = workspace.settings
    tokens = Tokens(workspace.token_secret, settings.senders, retired=workspace.retired_secrets)
    return Reader(settings.webhooks, tokens, certificates)


def site_of(request: Request) -> Site:
    """The site a request came to, the same until it is answered (`web.renewing`)."""
    site: Site = request.state.site
    return site
