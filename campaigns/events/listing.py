"""Events and who registered for them, as commands show them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Text, cast, false, func, select, true

from campaigns.events import seats
from campaigns.events.definition import reminder_step
from campaigns.events.held import HeldEvent, event_of
from campaigns.events.invitation import PREFIX
from campaigns.events.states import Seat
from core.errors import NotFound
from core.ids import AddressKey
from core.schema import customer, event, message, registration


def listed(connection: Connection, now: datetime, *, past: bool) -> Iterator[dict[str, Any]]:
    """The events that were applied, in the order of time; of those that are over with `past` alone."""
    query = select(event).order_by(event.c.starts_at, event.c.name)
    if not past:
        query = query.where(event.c.ends_at > now)
    for row in connection.execute(query).all():
        yield _facts(connection, HeldEvent.of(row))


def _facts(connection: Connection, held: HeldEvent) -> dict[str, Any]:
    counts = seats.count(connection, held)
    return {
        "event": held.name, "starts_at": held.starts_at, "state": held.state, "capacity": counts.capacity,
        "confirmed": counts.confirmed, "offered": counts.offered, "waiting": counts.waiting,
    }  # fmt: skip


def shown(connection: Connection, name: str, now: datetime) -> dict[str, Any]:
    """One event: seats, times, reminders to come, and what became of its mails."""
    held = event_of(connection, name)
    mine = registration.c.event == name
    came = (mine & registration.c.checked_in_at.is_not(None)) if held.state != "cancelled" else mine & False
    reminders = [
        {"reminder": reminder_step(one.before), "due_at": held.starts_at - one.before,
         "is_over": held.starts_at - one.before <= now}
        for one in held.definition.reminders
    ]  # fmt: skip
    states = select(message.c.step, message.c.state, func.count()).where(message.c.campaign == held.campaign)
    sent = connection.execute(states.group_by(message.c.step, message.c.state).order_by(message.c.step)).all()
    mails = [{"mail": step, "state": state, "count": count} for step, state, count in sent]
    return _facts(connection, held) | {
        "title": held.title("en"), "ends_at": held.ends_at, "zone": held.zone, "place": held.definition.place,
        "online": held.definition.online, "calendar": held.definition.calendar,
        "registration_opens_at": held.window[0], "registration_closes_at": held.window[1],
        "checked_in": connection.execute(select(func.count()).where(came)).scalar_one(),
        "reminders": reminders, "mails": mails,
    }  # fmt: skip


def attendees(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Who registered, in the order of their seats and turns, each with the last mail they were sent, or why not."""
    last = _last_mail(name).lateral("last")
    columns = (
        registration.c.id.label("registration"), registration.c.state, customer.c.external_id.label("customer"),
        customer.c.email, customer.c.first_name, customer.c.last_name, customer.c.company, registration.c.source,
        registration.c.language, registration.c.registered_at, registration.c.offered_until,
        registration.c.checked_in_at, registration.c.answers, last.c.step.label("last_mail"),
        func.coalesce(last.c.skip_reason, cast(last.c.state, Text)).label("mail_state"),
    )  # fmt: skip
    query = select(*columns).join(customer, customer.c.id == registration.c.customer_id)
    query = query.outerjoin(last, true())
    order = (func.coalesce(registration.c.waiting_since, registration.c.registered_at), registration.c.id)
    found = connection.execute(query.where(registration.c.event == name).order_by(*order)).mappings().all()
    places = {state: place for place, state in enumerate((Seat.CONFIRMED, Seat.OFFERED, Seat.WAITING, Seat.CANCELLED))}
    return sorted((dict(row) for row in found), key=lambda row: places[Seat(row["state"])])


def _last_mail(name: str) -> Select[Any]:
    """The newest mail of each registration that was not taken back; one that was, where there is no other."""
    theirs = (
        (message.c.customer_id == registration.c.customer_id)
        & message.c.campaign.like(PREFIX + "%")
        & message.c.given["registrations"].op("@>")(func.to_jsonb(registration.c.id))
    )
    is_back = func.coalesce(message.c.skip_reason == "superseded", false())
    columns = select(message.c.step, message.c.state, message.c.skip_reason).where(registration.c.event == name)
    return columns.where(theirs).order_by(is_back, message.c.id.desc()).limit(1).correlate(registration)


def registration_id(connection: Connection, name: str, person: RowMapping, key: AddressKey | None) -> int:
    """The newest registration of the customer for the event, one in force before others; that of the address, if the
    customer has several.

    Raises:
        NotFound: they never registered.
    """
    mine = (registration.c.event == name) & (registration.c.customer_id == person["id"])
    ended, is_other = registration.c.state == Seat.CANCELLED, registration.c.address_key.is_distinct_from(key)
    query = select(registration.c.id).where(mine).order_by(is_other, ended, registration.c.id.desc()).limit(1)
    found = connection.execute(query).scalar()
    if found is None:
        raise NotFound(f"{person['external_id']} did not register for {name}", hint=f"clarion event show {name}")
    return int(found)
