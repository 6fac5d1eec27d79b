"""The threads in which pages wait for the database and for others, apart by what must not wait for what."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

ResultT = TypeVar("ResultT")

#: All that use the database are fewer than the engine's connections (15), so that nobody waits for one with the event
#: loop's patience.
_PAGES: Final = 4
_OPT_OUTS: Final = 4
_CALLS: Final = 4
_CAPTCHAS: Final = 8


class Threads:
    """Threads for pages, for opt-outs, for calls of the API, for the question whether all is well, and for services
    that tell people from programs: none of them stands in a queue behind another kind."""

    def __init__(self) -> None:
        self.pages = ThreadPoolExecutor(_PAGES, thread_name_prefix="pages")
        self.opt_outs = ThreadPoolExecutor(_OPT_OUTS, thread_name_prefix="opt-outs")
        self.calls = ThreadPoolExecutor(_CALLS, thread_name_prefix="calls")
        self.health = ThreadPoolExecutor(1, thread_name_prefix="health")
        self.captchas = ThreadPoolExecutor(_CAPTCHAS, thread_name_prefix="captchas")

    async def run(self, pool: ThreadPoolExecutor, function: Callable[[], ResultT]) -> ResultT:
        """The function's result; the event loop goes on meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(pool, function)

    def close(self) -> None:
        """What is under way in the database is finished; a slow service is not waited for."""
        self.captchas.shutdown(wait=False, cancel_futures=True)
        for pool in (self.pages, self.opt_outs, self.calls, self.health):
            pool.shutdown()
