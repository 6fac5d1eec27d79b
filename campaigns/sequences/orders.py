"""What people order of a sequence: pause, resume, cancel, one passage ended. Writes `sequence` and `enrolment`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select, text, update

from campaigns.sequences import recall
from campaigns.sequences.records import SequenceState, named
from core import audit
from core.errors import NotFound, PlanError
from core.schema import enrolment, sequence

#: Which states an order fits, and to which it leads.
ORDERS: Final[Mapping[str, tuple[frozenset[SequenceState], SequenceState]]] = {
    "pause": (frozenset({SequenceState.ACTIVE}), SequenceState.PAUSED),
    "resume": (frozenset({SequenceState.PAUSED}), SequenceState.ACTIVE),
    "cancel": (frozenset({SequenceState.ACTIVE, SequenceState.PAUSED}), SequenceState.CANCELLED),
}


def order(connection: Connection, name: str, verb: str) -> bool | None:
    """The sequence is in the ordered state; whether it changed. None: there is no such sequence.

    A pass under way is waited for: a second or two. Nobody goes on after a pause or cancel is committed. Passages
    through a cancelled sequence end by and by (`ending`). Repeat: safe.

    Raises:
        PlanError: its state does not fit the order.
    """
    row = connection.execute(select(sequence.c.state).where(sequence.c.name == name).with_for_update()).one_or_none()
    if row is None:
        return None
    befores, after = ORDERS[verb]
    if row.state == after:
        return False
    if row.state not in befores:
        expected = " or ".join(sorted(befores))
        raise PlanError(f"cannot {verb} {name!r} (the sequence is {row.state}, expected {expected})")
    connection.execute(update(sequence).where(sequence.c.name == name).values(state=after.value, fault=None))
    return True


_EXIT: Final = text("""
    UPDATE enrolment SET state = 'exited', due_at = NULL, ended_at = :now, ended_because = :because
    WHERE sequence = :name AND customer_id = :customer_id AND state = 'active'
      AND (CAST(:key AS text) IS NULL OR entry_key = :key)
    RETURNING id
""")


def exit_customer(
    connection: Connection, name: str, customer_id: int, *, key: str | None, actor: str, because: str, now: datetime
) -> list[int]:
    """The customer's passages through the sequence are over, or the one with this key; their ids. Repeat: safe.

    A message of theirs that still waits is not sent any more.

    Raises:
        NotFound: there is no such sequence, or the customer never entered it.
    """
    named(connection, name)
    known = select(enrolment.c.id).where(enrolment.c.sequence == name, enrolment.c.customer_id == customer_id)
    if connection.execute(known.limit(1)).first() is None:
        raise NotFound(f"this customer never entered {name}", hint=f"enrol them with `clarion enrol KEY {name}`")
    given = {"name": name, "customer_id": customer_id, "key": key, "because": f"operator:{because}", "now": now}
    ended = sorted(connection.execute(_EXIT, given).scalars())
    if ended:
        recall.call_back(connection, ended, now)
        subject = f"customer:{customer_id}"
        audit.record(
            connection, actor, "sequence.exit", subject, at=now, sequence=name, because=because, enrolments=ended
        )
    return ended
