"""The settings of clarion.yaml as they are now: who mends the file does not start the web process again."""

import asyncio
import logging
import math
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from core.fresh_settings import FreshWorkspace
from web.site import Site

_log = logging.getLogger("clarion.web")
#: So often, at most, the file is looked at; what that costs is two hops to a thread.
_EVERY_S: Final = 1.0


class Renewing:
    """Each request goes by one site from its beginning to its end, with the settings that could be read last."""

    def __init__(self, app: ASGIApp, site: Site, fresh: FreshWorkspace) -> None:
        self._app, self._site, self._fresh = app, site, fresh
        self._next_look = -math.inf

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})["site"] = await self._newest()
        await self._app(scope, receive, send)

    async def _newest(self) -> Site:
        clock = asyncio.get_running_loop().time
        if clock() >= self._next_look:
            self._next_look = math.inf  # who comes meanwhile does not wait for the file
            try:
                await asyncio.to_thread(self._fresh.renew)
                if self._fresh.current is not self._site.workspace:
                    self._site = self._site.renewed(self._fresh.current)
            except Exception:  # noqa: BLE001  no page may fail by what was to be read anew
                _log.exception("clarion.yaml could not be read anew; the settings before it stay in force")
            finally:
                self._next_look = clock() + _EVERY_S
        return self._site
