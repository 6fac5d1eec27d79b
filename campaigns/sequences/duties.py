"""What sequences do by themselves, in the order in which it is looked after at one instant."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from campaigns.duty import Circumstances, Duty
from campaigns.sequences import activities, ending, engine, looking

_NEXT: Final = text("""
    SELECT min(least(
        (SELECT min(e.due_at) FROM enrolment AS e WHERE e.sequence = s.name AND e.state = 'active'),
        (SELECT min(l.look_at) FROM sequence_look AS l WHERE l.sequence = s.name)
    )) FROM sequence AS s WHERE s.state = 'active'
""")


def _next_step(connection: Connection, around: Circumstances, now: datetime) -> datetime | None:
    """When the next passage goes on, or a rule is asked."""
    del around, now
    at: datetime | None = connection.execute(_NEXT).scalar()
    return at


#: What people did may begin or wake passages though it is read again: they go on in the same round.
_MAY_GO_ON: Final = f"({engine.IS_DUE} OR {activities.IS_BEHIND})"
WHO_ENTERS: Final = Duty("sequences: who enters", looking.look, looking.next_look, lambda *_: looking.IS_LOOKING)
STEPS: Final = Duty("sequences: steps", engine.advance, _next_step, lambda *_: _MAY_GO_ON)
DUTIES: Final[tuple[Duty, ...]] = (
    Duty("sequences: what people did", activities.read, activities.next_read, lambda *_: activities.IS_BEHIND),
    WHO_ENTERS,
    STEPS,
    Duty("sequences: cancelled ones", ending.end_cancelled, ending.is_left, lambda *_: ending.IS_LEFT),
)
