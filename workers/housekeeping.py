"""What the scheduler does now and then: runs of former sequences end; once a day what was kept long enough goes."""

import logging
from datetime import UTC, datetime
from typing import Final

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from campaigns.sequences.former import finish_former
from core.clock import Clock
from core.database import Transactions
from core.errors import ServiceError
from core.fresh_settings import FreshWorkspace
from core.schema import schedule_tick
from customers.rights import retention, tombstones

_log = logging.getLogger("clarion.scheduler")
#: As a schedule; no campaign has a colon in its name.
RETENTION: Final = "clarion:retention"


class Housekeeping:
    """What the scheduler that leads does every ten minutes; the work of a day is done by whichever comes first."""

    def __init__(self, database: Transactions, workspace: FreshWorkspace, clock: Clock) -> None:
        """`database`: of a scheduler that leads, its lead."""
        self._database, self._workspace, self._clock = database, workspace, clock
        self._tombstones = workspace.current.state / tombstones.FILE

    def keep_house(self) -> bool:
        """Today's work is done; False: it was already. A fault is logged, and tomorrow is another day. Repeat: safe.

        Raises:
            ServiceError: the database cannot be reached, or another scheduler leads.
        """
        now = self._clock.now()
        try:
            with self._database.begin() as connection:
                tombstones.keep(connection, self._tombstones)
                if connection.execute(self._today(now)).first() is None:
                    return False
            self._workspace.renew()
            outcomes = retention.run(self._database, self._workspace.current.settings.retention, now=now)
        except ServiceError:
            raise  # that is no fault of this work: the scheduler tells it
        except Exception:  # noqa: BLE001  mail goes out, whatever becomes of old rows
            _log.exception("what was kept long enough could not be removed")
            return False
        _log.info("retention: %s rows", f"{sum(one.rows for one in outcomes):,}")
        return True

    def end_former(self) -> list[int]:
        """Runs of former versions of sequences that nobody can come to any more are finished; their ids. Repeat: safe.

        Raises:
            ServiceError: the database cannot be reached, or another scheduler leads.
        """
        with self._database.begin() as connection:
            return finish_former(connection, self._clock.now())

    @staticmethod
    def _today(now: datetime) -> ReturningInsert[tuple[str]]:
        day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        tick = insert(schedule_tick).values(schedule=RETENTION, nominal_at=day).on_conflict_do_nothing()
        return tick.returning(schedule_tick.c.schedule)
