"""Reminders: due so long before the start, as instants; looked for when they are due, so that nothing is re-planned.

A reminder goes to whoever had a seat before it was due (S-7.13). Of several that became due while nothing ran, the last
one goes. It is not repeated when the event moves by less than its own time before the start; where the event moves
further, whoever was reminded of the old date is reminded of the new one.

Reminders of several events that one person gets within ten minutes are one mail, where the templates tell all of
`given.events`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from campaigns.duty import Circumstances
from campaigns.events import mails
from campaigns.events.definition import reminder_step
from campaigns.events.held import HeldEvent, lock_event
from campaigns.events.in_turn import first_done
from campaigns.events.mails import Reader
from campaigns.events.states import Seat
from campaigns.events.weighing import weight
from campaigns.posting import Owed, post_many
from campaigns.transactional import MOST_GIVEN
from core.people_lock import people_stay
from core.schema import event, message, registration

#: Reminders this close to each other are one mail.
TOGETHER: Final = timedelta(minutes=10)
_MOST: Final = 500
#: What a mail knows of an event beside its texts: a link, marks and numbers, in characters.
_MARKS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Due:
    """One reminder of one event, and when it is due."""

    held: HeldEvent
    step: str
    before: timedelta

    @property
    def at(self) -> datetime:
        """The instant."""
        return self.held.starts_at - self.before

    @property
    def joins(self) -> bool:
        """Whether its template tells of several events."""
        return "events" in self.held.joins.get(self.step, ())


@dataclass(frozen=True, slots=True)
class _One:
    """One person's reminder."""

    due: Due
    reader: Reader
    given: dict[str, Any]

    @property
    def mark(self) -> str:
        """What the ledger knows it by."""
        return f"{self.reader.row.id}:{self.due.step}"


def remind(connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    """The next who are to be reminded are; how many mails. Repeat: safe."""
    ahead = {due.held.name: due for due in _last_of_each(connection, now)}
    names = [name for name, due in ahead.items() if due.at <= now]
    every = list(ahead.values())
    return first_done(
        connection, "reminding", names, lambda name: _remind(connection, circumstances, ahead[name], every, now)
    )


def _remind(
    connection: Connection, circumstances: Circumstances, due: Due, ahead: Iterable[Due], now: datetime
) -> int:  # fmt: skip
    if not _to_remind(connection, due):
        return 0
    people_stay(connection)
    joined = [other for other in ahead if other.joins and due.joins and other.held.name != due.held.name]
    is_so = {one.held.name: _is_as_known(connection, one) for one in sorted([due, *joined], key=_name)}
    if not is_so[due.held.name]:
        return 0
    rows = _to_remind(connection, due)
    return _post(connection, circumstances, due, rows, [one for one in joined if is_so[one.held.name]], now)


def _name(due: Due) -> str:
    return due.held.name


def _is_as_known(connection: Connection, due: Due) -> bool:
    """Whether the event, locked from now on, still takes place when it did."""
    held = lock_event(connection, due.held.name)
    return (held.state, held.starts_at) == ("open", due.held.starts_at)


def _last_of_each(connection: Connection, now: datetime) -> Iterator[Due]:
    """Of each event the reminder that is due, or will be within the time in which reminders are joined."""
    for row in connection.execute(select(event).where(event.c.state == "open", event.c.starts_at > now)).all():
        held = HeldEvent.of(row)
        found = [due for due in _reminders(held) if due.at <= now + TOGETHER and due.at > held.since[due.step]]
        if found:
            yield min(found, key=lambda due: due.before)


def _reminders(held: HeldEvent) -> Iterator[Due]:
    for reminder in held.definition.reminders:
        yield Due(held, reminder_step(reminder.before), reminder.before)


def _to_remind(connection: Connection, due: Due, only: Iterable[int] | None = None) -> Sequence[Row[Any]]:
    """Who has a seat since before the reminder was due, and was not reminded; of the customers `only`, or all."""
    mine = (registration.c.event == due.held.name) & (registration.c.state == Seat.CONFIRMED)
    mark = func.jsonb_build_array(func.concat(registration.c.id, ":" + due.step))
    was_reminded = (
        (message.c.customer_id == registration.c.customer_id)
        & message.c.given["reminds"].op("@>")(mark)
        & (message.c.not_before > due.at - due.before)
        & message.c.skip_reason.is_distinct_from("superseded")
    )
    query = select(registration).where(
        mine, registration.c.confirmed_at < due.at, ~select(message.c.id).where(was_reminded).exists()
    )
    if only is not None:
        query = query.where(registration.c.customer_id.in_(list(only)))
    return connection.execute(query.order_by(registration.c.id).limit(_MOST)).all()


def _post(
    connection: Connection,
    circumstances: Circumstances,
    due: Due,
    rows: Sequence[Row[Any]],
    joined: Sequence[Due],
    now: datetime,
) -> int:
    mine = list(_ones(connection, circumstances, due, rows, now))
    others: dict[int, list[_One]] = {}
    for other in joined:
        theirs = _to_remind(connection, other, {row.customer_id for row in rows})
        for one in _ones(connection, circumstances, other, theirs, now):
            others.setdefault(one.reader.row.customer_id, []).append(one)
    again = _taken_back(connection, due, rows)
    standing = due.held.standing(due.step, circumstances)
    owed = [_owed(one, others.pop(one.reader.row.customer_id, []), again.get(one.reader.row.id, 0)) for one in mine]
    return post_many(connection, standing, owed, now) if standing is not None else 0


def _ones(
    connection: Connection, circumstances: Circumstances, due: Due, rows: Sequence[Row[Any]], now: datetime
) -> Iterator[_One]:
    post = mails.Post(connection, circumstances, due.held, now)
    for reader in post.readers(rows):
        yield _One(due, reader, post.given(reader))


def _taken_back(connection: Connection, due: Due, rows: Sequence[Row[Any]]) -> dict[int, int]:
    """How many such reminders of each registration were taken back: the next one is another message."""
    mark = func.jsonb_build_array(func.concat(registration.c.id, ":" + due.step))
    theirs = (message.c.customer_id == registration.c.customer_id) & (message.c.skip_reason == "superseded")
    query = select(registration.c.id, func.count()).join(message, theirs & message.c.given["reminds"].op("@>")(mark))
    query = query.where(registration.c.id.in_([row.id for row in rows])).group_by(registration.c.id)
    return {number: count for number, count in connection.execute(query).all()}  # noqa: C416  rows


def _owed(one: _One, others: Sequence[_One], taken_back: int) -> Owed:
    """The mail of one person: their reminder, and those that are joined to it, in order of time; as many of these as
    one mail holds."""
    room = MOST_GIVEN - weight(one.given) - _MARKS
    joined = [each for each in others if (room := room - weight(each.given["event"]) - _MARKS) >= 0]
    together = sorted([one, *joined], key=lambda each: each.due.held.starts_at)
    told = {
        "events": [each.given["event"] | {"url": each.given["url"]} for each in together],
        "reminds": [each.mark for each in together],
        "registrations": [each.reader.row.id for each in together],
    }
    key = f"{one.reader.row.id}.{one.due.at.timestamp():.0f}" + (f".{taken_back}" if taken_back else "")
    return Owed(one.reader.row.customer_id, key, one.given | told)


def next_reminder(connection: Connection, now: datetime) -> datetime | None:
    """When the next reminder is due that is not yet; `now` while one is due; None: none will be."""
    ahead = connection.execute(select(event).where(event.c.state == "open", event.c.starts_at > now)).all()
    times = [due.at for row in ahead for due in _reminders(HeldEvent.of(row)) if due.at > now]
    is_due = any(due.at <= now and _to_remind(connection, due) for due in _last_of_each(connection, now))
    return now if is_due else min(times, default=None)
