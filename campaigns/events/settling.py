"""After the event: who came and who did not, and what each of them hears."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select, update

from campaigns.duty import Circumstances
from campaigns.events import activities, mails, seats
from campaigns.events.held import HeldEvent, lock_event
from campaigns.events.in_turn import first_done
from campaigns.events.states import Seat
from core.people_lock import people_stay
from core.schema import event, message, registration

#: Lists of the door are typed in after the doors closed: so long after the end attendance is taken as it stands.
_LATE_CHECK_INS: Final = timedelta(hours=1)
#: A follow-up that could not go for so long does not go.
_TOO_OLD: Final = timedelta(days=7)
#: Nothing follows an event that is over for so long.
LONG_AGO: Final = timedelta(days=400)
_MOST: Final = 500


def settle(connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    """Of an event that is over attendance is on record, and nobody waits for it any more; how many. Repeat: safe."""
    del circumstances
    names = [held.name for held in _open(connection) if _settles_at(held) <= now]
    return first_done(connection, "taking attendance", names, lambda name: _settle(connection, name, now))


def _open(connection: Connection) -> list[HeldEvent]:
    rows = connection.execute(select(event).where(event.c.state == "open").order_by(event.c.ends_at)).all()
    return [HeldEvent.of(row) for row in rows]


def _settles_at(held: HeldEvent) -> datetime:
    follow_up = held.definition.follow_up
    return held.ends_at + (min(_LATE_CHECK_INS, follow_up.after) if follow_up is not None else _LATE_CHECK_INS)


def _settle(connection: Connection, name: str, now: datetime) -> int:
    """Who was checked in attended; whoever has a seat and was not is absent, unless nobody was checked in at all."""
    people_stay(connection)
    held = lock_event(connection, name)
    if held.state != "open":
        return 1
    for before in (Seat.OFFERED, Seat.WAITING):
        mine = (registration.c.event == held.name) & (registration.c.state == before)
        left = connection.execute(select(registration.c.id).where(mine)).scalars().all()
        seats.change(connection, left, before, Seat.CANCELLED, "event_over", now)
    confirmed = (registration.c.event == held.name) & (registration.c.state == Seat.CONFIRMED)
    rows = connection.execute(select(registration).where(confirmed)).all()
    came = [row for row in rows if row.checked_in_at is not None]
    activities.record(connection, held, came, "event_attended", held.ends_at)
    if came:
        absent = [row for row in rows if row.checked_in_at is None]
        activities.record(connection, held, absent, "event_absent", held.ends_at)
    connection.execute(update(event).where(event.c.name == held.name).values(state="closed"))
    return 1


def follow_up(connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    """The next who came, or did not, hear of us once more; how many. Repeat: safe.

    Where nobody was checked in, nobody knows who came: nothing is sent.
    """
    due = {held.name: held for held in _to_follow_up(connection, now)}
    return first_done(
        connection, "following up", due, lambda name: _follow_up(connection, circumstances, due[name], now)
    )  # fmt: skip


def _follow_up(connection: Connection, circumstances: Circumstances, held: HeldEvent, now: datetime) -> int:
    if not _is_known(connection, held):
        return 0
    for step in held.definition.follow_ups:
        people_stay(connection)
        rows = _unheard(connection, held, step)
        if rows and (done := mails.Post(connection, circumstances, held, now).followed_up(step, rows)):
            return done
    return 0


def _to_follow_up(connection: Connection, now: datetime) -> list[HeldEvent]:
    """The events whose follow-ups are due."""
    return [held for held, at in _closed(connection, now) if at <= now < at + _TOO_OLD]


def _closed(connection: Connection, now: datetime) -> list[tuple[HeldEvent, datetime]]:
    """Events that are over and have follow-ups, with when these are due."""
    lately = event.c.definition["event"]["follow_up"].is_not(None) & (event.c.state == "closed")
    lately &= event.c.ends_at > now - LONG_AGO
    rows = connection.execute(select(event).where(lately).order_by(event.c.ends_at)).all()
    found = [HeldEvent.of(row) for row in rows]
    return [(held, held.ends_at + held.definition.follow_up.after) for held in found if held.definition.follow_up]


def _is_known(connection: Connection, held: HeldEvent) -> bool:
    """Whether anybody was checked in."""
    came = (registration.c.event == held.name) & registration.c.checked_in_at.is_not(None)
    return connection.execute(select(registration.c.id).where(came).limit(1)).scalar() is not None


def _unheard(connection: Connection, held: HeldEvent, step: str) -> Sequence[Row[Any]]:
    """Who attended, or was absent, and has no such mail."""
    came = registration.c.checked_in_at.is_not(None)
    mine = (registration.c.event == held.name) & (registration.c.state == Seat.CONFIRMED)
    has_mail = (
        (message.c.customer_id == registration.c.customer_id)
        & (message.c.campaign == held.campaign)
        & (message.c.step == step)
        & message.c.given["registrations"].op("@>")(func.to_jsonb(registration.c.id))
    )
    query = select(registration).where(mine, came if step == "attended" else ~came)
    query = query.where(~select(message.c.id).where(has_mail).exists())
    return connection.execute(query.order_by(registration.c.id).limit(_MOST)).all()


def next_settling(connection: Connection, now: datetime) -> datetime | None:
    """When attendance is taken next, or a follow-up is due; `now` while one is; None: none will be."""
    times = [max(_settles_at(held), now) for held in _open(connection)]
    for held, at in _closed(connection, now):
        if at > now:
            times.append(at)
        elif now < at + _TOO_OLD and _is_known(connection, held):
            times += [now for step in held.definition.follow_ups if _unheard(connection, held, step)]
    return min(times, default=None)
