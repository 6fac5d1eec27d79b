"""Of the calendar: events, the mails before and after them, and when registration ends."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select, text

from campaigns.calendar.entries import Certainty, Entry, Kind, Window
from campaigns.events.definition import reminder_step
from campaigns.events.held import HeldEvent
from core.schema import event

_SEATS: Final = text("SELECT event, state, count(*) AS heads FROM registration GROUP BY event, state")
_OFFERS: Final = text("""
    SELECT event, count(*) AS heads, min(offered_until) AS begins, max(offered_until) AS ends,
        (offered_until AT TIME ZONE :zone)::date AS day
    FROM registration WHERE state = 'offered' AND offered_until >= :now AND offered_until < :until GROUP BY event, day
""")
Seats = Mapping[str, int]


def events(connection: Connection, window: Window) -> Iterator[Entry]:
    """Events that are not cancelled, with what is mailed of them and what ends before them."""
    seats: dict[str, dict[str, int]] = defaultdict(dict)
    for row in connection.execute(_SEATS):
        seats[row.event][row.state] = row.heads
    for found in connection.execute(select(event).where(event.c.state != "cancelled").order_by(event.c.name)):
        held = HeldEvent.of(found)
        for entry in (*_takes_place(held, seats[held.name]), *_mails(held, seats[held.name])):
            if window.holds(entry.at):
                yield entry
    yield from _offers(connection, window)


def _takes_place(held: HeldEvent, seats: Seats) -> Iterator[Entry]:
    confirmed = seats.get("confirmed", 0)
    of = f" of {held.capacity:,} seats" if held.capacity is not None else ""
    waits = f"{seats['waiting']:,} on the waiting list" if seats.get("waiting") else ""
    yield Entry(
        held.starts_at, Kind.EVENT, held.name, f"takes place{of and f', {confirmed:,}{of}'}", confirmed,
        Certainty.MEASURED, is_mail=False, until=held.ends_at, remark=waits,
    )  # fmt: skip
    closes = held.window[1]
    if closes != held.starts_at:
        yield Entry(
            closes, Kind.DEADLINE, held.name, "registration closes", confirmed, Certainty.MEASURED, is_mail=False
        )


def _mails(held: HeldEvent, seats: Seats) -> Iterator[Entry]:
    """People may still come and go until then, so that the numbers are estimates."""
    confirmed = seats.get("confirmed", 0)
    for reminder in held.definition.reminders:
        yield _mail(held, held.starts_at - reminder.before, reminder_step(reminder.before), confirmed)
    follow_up = held.definition.follow_up
    if follow_up is not None:
        steps = " or ".join(held.definition.follow_ups)
        is_all = len(held.definition.follow_ups) > 1
        yield _mail(held, held.ends_at + follow_up.after, steps, confirmed if is_all else None)


def _mail(held: HeldEvent, at: datetime, step: str, count: int | None) -> Entry:
    certainty = Certainty.UNKNOWN if count is None else Certainty.ESTIMATED
    remark = "some of those who have a seat" if count is None else "who has a seat now"
    return Entry(at, Kind.EVENT_MAIL, held.name, step, count, certainty, remark=remark)


def _offers(connection: Connection, window: Window) -> Iterator[Entry]:
    given = {"now": window.now, "until": window.until, "zone": window.zone}
    for row in connection.execute(_OFFERS, given):
        yield Entry(
            row.begins, Kind.DEADLINE, row.event, "offered seats are kept until then", row.heads, Certainty.MEASURED,
            is_mail=False, until=row.ends if row.ends > row.begins else None,
        )  # fmt: skip
