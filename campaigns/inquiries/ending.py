"""An inquiry ends with its task: whoever says that the task is done has answered."""

from datetime import datetime

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from campaigns.inquiries.states import ENDED, TRANSITIONS, InquiryState
from core.schema import activity, inquiry


def end_of(
    connection: Connection, *, inquiry_id: int | None = None, task_id: int | None = None, state: InquiryState, by: str,
    outcome: str, now: datetime,
) -> int | None:  # fmt: skip
    """The open inquiry, named by its number or by that of its task, is in `state`, and escalates no more; its number.
    None: there is none, or it has ended.

    The customer's history knows of it. Repeat: safe. Atomic with the connection's transaction.
    """
    before = [known for known, followers in TRANSITIONS.items() if state in followers]
    named = inquiry.c.id == inquiry_id if inquiry_id is not None else inquiry.c.task_id == task_id
    ended = (
        update(inquiry)
        .where(named, inquiry.c.state.in_(before))
        .values(state=state, answered_at=now, answered_by=by, outcome=outcome, escalates_at=None)
        .returning(inquiry.c.id, inquiry.c.customer_id, inquiry.c.desk)
    )
    row = connection.execute(ended).one_or_none()
    if row is None:
        return None
    if row.customer_id is not None:
        told = {
            "customer_id": row.customer_id, "name": ENDED[state], "occurred_at": now, "source": "operator",
            "properties": {"desk": row.desk, "inquiry": row.id}, "event_key": f"inquiry:{row.id}:ended",
        }  # fmt: skip
        connection.execute(insert(activity).values(told).on_conflict_do_nothing(index_elements=["event_key"]))
    return int(row.id)


def lock_of_task(connection: Connection, task_id: int) -> None:
    """Nobody else changes the inquiry whose task it is: whoever changes both takes the inquiry first."""
    connection.execute(select(inquiry.c.id).where(inquiry.c.task_id == task_id).with_for_update())


def hand_on(connection: Connection, task_id: int, owner: str) -> None:
    """The open inquiry whose task it is has this owner, too. Repeat: safe."""
    theirs = update(inquiry).where(inquiry.c.task_id == task_id, inquiry.c.state == InquiryState.OPEN)
    connection.execute(theirs.values(owner=owner))
