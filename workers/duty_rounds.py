"""The duties of `campaigns.duties`, worked through again and again by the scheduler that leads.

Before them, once: what former rules of zones had planned follows those of today (`campaigns.zone_rules`).
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError

from campaigns import zone_rules
from campaigns.duties import DUTIES
from campaigns.duty import Circumstances, Duty
from core.clock import Clock
from core.database import Transactions
from core.errors import ServiceError
from core.fresh_settings import FreshWorkspace

_log = logging.getLogger("clarion.scheduler")
#: After this long the next duty has its turn, though there is more to do; the rest is for the next round.
_TURN_S: Final = 5.0
#: A duty that failed is tried again after a second, then after twice as long each time, up to this.
_LONGEST_PAUSE_S: Final = 60.0
#: Answers are good for so long, and until a duty does something: what has become due since is not passed over.
_GOOD_FOR_S: Final = 0.1
#: Every duty is run this often whatever its condition: should one of them be wrong, nothing is late by more.
_UNASKED_S: Final = 60.0


class DutyRounds:
    """Every duty in its order, each run a transaction of its own.

    Whether any would do something is asked before, in one question: 16 transactions that do nothing took 2 % of a core.
    """

    def __init__(
        self, database: Transactions, workspace: FreshWorkspace, clock: Clock, duties: Sequence[Duty] | None = None,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        """`duties`: None for all. `is_stopping` is asked between two runs; then nothing further is begun."""
        self._database, self._workspace, self._clock = database, workspace, clock
        self._duties = (*zone_rules.duties(), *DUTIES) if duties is None else tuple(duties)
        self._is_stopping = is_stopping
        self._circumstances = Circumstances.of(workspace.current)
        self._failures: dict[str, tuple[int, float]] = {}
        self._unasked_at = float("-inf")  # when every duty was run last
        self._unanswered_at = float("-inf")  # when the question could not be answered

    def work(self) -> int:
        """What is due is done, or each duty has had its turn; how much was done is returned. Repeat: safe.

        One duty's fault is logged and does not hold up the others.

        Raises:
            ServiceError: the database cannot be reached, or another scheduler leads.
        """
        if self._workspace.renew():
            self._circumstances = Circumstances.of(self._workspace.current)
        done, asked_at = 0, time.monotonic()
        is_unasked = asked_at >= self._unasked_at + _UNASKED_S
        is_unasked |= asked_at < self._unanswered_at + _UNASKED_S
        answers = (True,) * len(self._duties) if is_unasked else self._answers()
        for duty, holds in zip(self._duties, answers, strict=True):
            is_out_of_date = done or time.monotonic() > asked_at + _GOOD_FOR_S
            if (holds or is_out_of_date) and not self._pauses(duty):
                done += self._look_after(duty)
        if is_unasked:
            self._unasked_at = asked_at
        return done

    def _answers(self) -> Sequence[bool]:
        """Whether the condition of each duty holds; all do when they cannot be asked, which is not tried for a minute.

        Raises:
            ServiceError: the database cannot be reached.
        """
        try:
            now = self._clock.now()
            question = _question(tuple(duty.condition(self._circumstances, now) for duty in self._duties))
            with self._database.link() as connection:
                return connection.execute(question, {"now": now}).one()
        except ServiceError:
            raise
        except Exception as error:  # logged with its traceback
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise
            _log.exception("whether duties are due could not be asked: each of them is looked after")
            self._unanswered_at = time.monotonic()
            return (True,) * len(self._duties)

    def _pauses(self, duty: Duty) -> bool:
        return time.monotonic() < self._failures.get(duty.name, (0, 0.0))[1]

    def _look_after(self, duty: Duty) -> int:
        done, until = 0, time.monotonic() + _TURN_S
        while not self._is_stopping():
            try:
                with self._database.begin() as connection:
                    number = duty.run(connection, self._circumstances, self._clock.now())
            except ServiceError:
                raise  # the next one would fare no better
            except Exception as error:  # logged with its traceback, and tried again
                if isinstance(error, DBAPIError) and error.connection_invalidated:
                    raise
                self._fail(duty)
                break
            self._failures.pop(duty.name, None)
            done += number
            if not number or time.monotonic() > until:
                break
        return done

    def _fail(self, duty: Duty) -> None:
        times = self._failures.get(duty.name, (0, 0.0))[0] + 1
        pause_s = min(2.0 ** min(times - 1, 10), _LONGEST_PAUSE_S)
        self._failures[duty.name] = times, time.monotonic() + pause_s
        _log.exception("%s could not be looked after; it is tried again in %.0f s", duty.name, pause_s)


@lru_cache(maxsize=4)
def _question(conditions: tuple[str, ...]) -> TextClause:
    return text("SELECT " + ", ".join(f"({each}) AS duty_{place}" for place, each in enumerate(conditions)))
