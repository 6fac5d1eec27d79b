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


WHO_ENTERS: Final = Duty("sequences: who enters", looking.look, looking.next_look)
STEPS: Final = Duty("sequences: steps", engine.advance, _next_step)
DUTIES: Final[tuple[Duty, ...]] = (
    Duty("sequences: what people did", activities.read, activities.next_read),
    WHO_ENTERS,
    STEPS,
    Duty("sequences: cancelled ones", ending.end_cancelled, ending.is_left),
)
