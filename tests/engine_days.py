"""Days gone through by the production engine: duties, scheduler's steps and couriers, committed, on a stepped clock.

It looks at fixed times of day, whatever is due, so that it knows nothing of how a rehearsal finds its next instant.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from campaigns import batches
from campaigns.sending import Courier
from core.clock import SteppedClock
from core.database import Database
from core.fresh_settings import FreshWorkspace
from core.workspace import Workspace
from workers.celery_app import make_app
from workers.duty_rounds import DutyRounds
from workers.scheduler import Ticks

#: Rounds at one instant, at most.
_MOST_ROUNDS = 200
MESSAGES = text("""
    SELECT c.external_id, m.campaign, m.step, m.occurrence, m.state::text AS state, m.skip_reason,
           date_trunc('minute', coalesce(m.accepted_at, m.not_before)) AT TIME ZONE
               CASE WHEN c.zone IN (SELECT name FROM pg_timezone_names) THEN c.zone ELSE :zone END AS local
    FROM message AS m JOIN customer AS c ON c.id = m.customer_id
    ORDER BY c.external_id, m.campaign, m.step, m.occurrence
""")


class EngineDays:
    """A scheduler and a worker that share a clock with the test."""

    def __init__(self, workspace: Workspace, database: Database, clock: SteppedClock) -> None:
        self.database, self.clock = database, clock
        self.rounds = DutyRounds(database, FreshWorkspace(workspace), clock)
        self.ticks = Ticks(database, make_app("memory://"), clock, workspace.settings.refusals)
        self.courier = Courier(workspace, database, clock, "w1")

    def go(self, until: datetime, every: timedelta = timedelta(minutes=15)) -> None:
        """Everything up to `until` has happened."""
        while self.clock.now() <= until:
            self.catch_up()
            self.clock.step(every)

    def catch_up(self) -> None:
        """Nothing is left to be done at this instant."""
        for _ in range(_MOST_ROUNDS):
            self.ticks.settle()  # first: a roll-out's next stage is sent at the instant at which it is let go
            done = self.rounds.work() + self._send()
            if not done:
                return
        raise AssertionError("the engine never came to rest")

    def _send(self) -> int:
        with self.database.begin() as connection:
            due = batches.due_batches(connection, now=self.clock.now(), again_after=None)
        for batch_id, _ in due:
            sent = self.courier.send_batch(batch_id)
            assert sent is None or sent.fault is None
        return len(due)

    def close(self) -> None:
        """Connections are closed."""
        self.courier.close()


def messages(connection: Any, zone: str) -> set[tuple[Any, ...]]:
    """Whom, what, when by their own clock, and what came of it."""
    return {tuple(row) for row in connection.execute(MESSAGES, {"zone": zone})}
