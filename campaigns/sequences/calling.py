"""Calls of other systems made: by workers, several at a time, tried again until they are taken.

A call is made at least once and carries the same Idempotency-Key each time. Its body is signed: `Clarion-Signature` is
`t=<seconds>,v1=<hex>`, the HMAC-SHA256 of `<seconds>.<body>` under the endpoint's secret.
"""

import hashlib
import hmac
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from campaigns.sequences import calls
from campaigns.sequences.calls import Call, Place
from campaigns.sequences.http import Refused, post
from core.clock import Clock
from core.database import Database
from core.endpoint_settings import Endpoint
from core.settings import Settings
from core.workspace import Workspace

_log = logging.getLogger("clarion.calls")
#: Calls of one endpoint that are under way at once, in all workers together: who is slow holds up nobody else.
_PER_ENDPOINT: Final = 5
_AT_ONCE: Final = 50
#: So long a worker takes new calls; what is left comes up again soon. It looks for them this often.
_TURN_S: Final = 5.0
_LOOK_S: Final = 0.5
#: Whoever lost a call in the middle leaves it for so long, beyond the time that the call itself may take.
_LEASE: Final = timedelta(minutes=1)
#: How long an endpoint is left alone that did not answer; then the last one.
_PAUSES: Final = (timedelta(seconds=10), timedelta(seconds=30), timedelta(minutes=1), timedelta(minutes=5))


@dataclass
class Pauses:
    """Endpoints that do not answer, as one process knows them: each is left alone for longer and longer, and then
    tried with one call."""

    _silent: dict[str, tuple[int, datetime]] = field(default_factory=dict)  # how often in a row, and until when

    def room(self, endpoint: str, now: datetime) -> int:
        """How many calls of the endpoint may be under way now; a clock set back ends a pause."""
        if endpoint not in self._silent:
            return _PER_ENDPOINT
        return 0 if self._rests(self._silent[endpoint][1], now) else 1

    def note(self, endpoint: str, now: datetime, *, was_heard: bool) -> None:
        """The endpoint was called: it answered, whatever it said, or did not."""
        if was_heard:
            self._silent.pop(endpoint, None)
            return
        times, until = self._silent.get(endpoint, (0, now))
        if not self._rests(until, now):  # calls that were under way together are one silence
            self._silent[endpoint] = times + 1, now + _PAUSES[min(times, len(_PAUSES) - 1)]

    @staticmethod
    def _rests(until: datetime, now: datetime) -> bool:
        return timedelta() < until - now <= _PAUSES[-1]


def make_calls(workspace: Workspace, database: Database, clock: Clock, pauses: Pauses | None = None) -> int:
    """The calls that are due were made; how many were taken. An endpoint that does not answer holds up only its own.

    Takes some seconds, and at most the `timeout` of an endpoint beyond them. `pauses` is kept from turn to turn.
    Repeat: safe, also concurrently; a call whose worker is lost in the middle is made again, with its key.
    """
    turn = _Turn(workspace.settings, database, clock, pauses or Pauses())
    turn.begin()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return turn.work(pool, time.monotonic() + _TURN_S)


@dataclass
class _Turn:
    """One worker's turn at the calls: its threads make them, and it alone talks to the database."""

    settings: Settings
    database: Database
    clock: Clock
    pauses: Pauses
    under_way: dict[Future[Refused | None], Call] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)  # of endpoints that are to be called

    def begin(self) -> None:
        """Calls of paused sequences wait; of the others it is known whom they call."""
        now = self.clock.now()
        with self.database.begin() as connection:
            self.names = sorted({*calls.waiting_for(connection, now), *self.settings.endpoints})

    def work(self, pool: ThreadPoolExecutor, until: float) -> int:
        """Calls were made until that time of the monotonic clock, and all of them are settled; how many were taken."""
        accepted = 0
        while True:
            if time.monotonic() < until:
                for call in self._claimed():
                    self.under_way[pool.submit(_made, self.settings.endpoints, call, self.clock)] = call
            if not self.under_way:
                return accepted
            done, _ = wait(self.under_way, _LOOK_S, FIRST_COMPLETED)
            accepted += self._settled([(self.under_way.pop(each), each.result()) for each in done])

    def _claimed(self) -> Sequence[Call]:
        now, most = self.clock.now(), _AT_ONCE - len(self.under_way)
        names = random.sample(self.names, len(self.names))  # none of them is always the first
        places = [Place(name, self._room(name, now), _LEASE + self._timeout(name)) for name in names]
        with self.database.begin() as connection:
            return calls.claim(connection, places, now, most)

    def _room(self, endpoint: str, now: datetime) -> int:
        room = self.pauses.room(endpoint, now)
        mine = Counter(call.endpoint for call in self.under_way.values())[endpoint]
        return room if room > 1 or not mine else 0

    def _timeout(self, endpoint: str) -> timedelta:
        known = self.settings.endpoints.get(endpoint)
        return known.timeout if known is not None else timedelta()

    def _settled(self, made: Sequence[tuple[Call, Refused | None]]) -> int:
        """What came of the calls is in the database; how many of them were taken."""
        now = self.clock.now()
        with self.database.begin() as connection:
            for call, refused in made:
                calls.settle(connection, call, refused, _end(self.settings.endpoints.get(call.endpoint), call), now)
        for call, refused in made:
            self.pauses.note(call.endpoint, now, was_heard=refused is None or refused.was_heard)
        return sum(refused is None for _, refused in made)


def _made(endpoints: Mapping[str, Endpoint], call: Call, clock: Clock) -> Refused | None:
    """Why the call was not taken; None: it was. Raises nothing: one call's fault is not that of the others."""
    endpoint = endpoints.get(call.endpoint)
    if endpoint is None:
        return Refused(f"clarion.yaml has no endpoint {call.endpoint!r}")
    try:
        body = json.dumps(call.content, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": call.key,
            "Clarion-Signature": signature(endpoint.secret, body, clock.now()),
            "User-Agent": "Clarion",
        }
        post(endpoint.url, body, headers, timeout=endpoint.timeout, internal=endpoint.internal)
    except Refused as refused:
        return refused
    except Exception as error:  # noqa: BLE001  a mistake of ours: logged, and like any other call tried again
        _log.exception("call %d of %s could not be made", call.id, call.endpoint)
        return Refused(f"it could not be made: {type(error).__name__}", was_heard=True)
    return None


def signature(secret: str, body: bytes, now: datetime) -> str:
    """The value of the header by which the other system knows that the call is ours, and of now."""
    seconds = str(int(now.timestamp()))
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def _end(endpoint: Endpoint | None, call: Call) -> datetime:
    length = endpoint.give_up_after if endpoint is not None else timedelta(days=1)
    return call.created_at + length
