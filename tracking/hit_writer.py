"""Hits are durable before their requests are answered, and commits are shared.

While one batch is being committed the next one gathers: nobody waits for company, and the busier it gets, the
more hits share a commit.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from core.database import Database
from tracking.hits import Hit, Recorded, store
from tracking.machines import DEFAULT_RULES, Rules

#: More hits than this do not share a statement.
_BATCH: Final = 500


class HitWriter:
    """Writes hits from one event loop, many to a commit.

    `store` is called in a thread of its own; requests wait for the commit their hit is in.
    """

    def __init__(self, database: Database, rules: Rules = DEFAULT_RULES) -> None:
        self._database = database
        self._rules = rules
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hits")
        self._waiting: list[tuple[Hit, asyncio.Future[Recorded | None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, hit: Hit) -> Recorded | None:
        """The hit is committed; None when its message does not exist, and then nothing was written.

        Raises:
            SQLAlchemyError: the database did not take it.
            ServiceError: it cannot be reached.
        """
        answer: asyncio.Future[Recorded | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((hit, answer))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return await answer

    async def close(self) -> None:
        """Every hit that was waiting is committed and answered."""
        if self._writing is not None:
            await self._writing
        self._thread.shutdown()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            results = await loop.run_in_executor(self._thread, self._stored, [hit for hit, _ in batch])
            for (_, answer), result in zip(batch, results, strict=True):
                if answer.cancelled():
                    continue
                if isinstance(result, BaseException):
                    answer.set_exception(result)
                else:
                    answer.set_result(result)

    def _stored(self, hits: Sequence[Hit]) -> Sequence[Recorded | Exception | None]:
        """One answer a hit. When a batch fails, each of its hits is tried alone, so that none fails for
        another."""
        try:
            with self._database.begin() as connection:
                return store(connection, hits, self._rules)
        except Exception as error:  # noqa: BLE001  whatever it is, the requests that wait must hear of it
            if len(hits) == 1:
                return [error]
            return [self._stored([hit])[0] for hit in hits]
