"""`/api/v1/registrations`: people register for events, and withdraw."""

from typing import Annotated, Any, Final

from pydantic import Field

from campaigns.events import afterwards, answers, looking_up, registering
from campaigns.events.afterwards import Change
from campaigns.events.definition import EventFile
from campaigns.events.held import event_of
from campaigns.events.looking_up import Found
from campaigns.events.registering import Answer, Attendee, Order, Source
from core.addresses import parse_address
from web.api.answers import Mistake, Refusal
from web.api.bodies import Body, Email, Line, Text
from web.api.calls import Call, Done
from web.content import people_digest

_DIGITS: Final = 15
_WHY_NOT: Final = {
    Answer.FULL: "there are not so many seats, and no waiting list", Answer.NOT_YET: "registration has not begun",
    Answer.CLOSED: "registration is over, or the event does not take place",
}  # fmt: skip
Answers = dict[Line, Annotated[Text, Field(max_length=2000)]]


class Person(Body):
    """Somebody who is to come, or who registers others."""

    email: Email
    answers: Answers = Field({}, description="by the fields of the event")
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")] | None = None


class Registration(Body):
    """One order: everybody in it gets a seat or a place on the waiting list, in their order."""

    event: Line
    key: Annotated[Line, Field(max_length=100)] = Field(description="tells the order from every other of the event")
    attendees: Annotated[list[Person], Field(min_length=1, max_length=50)]
    registrant: Person | None = Field(None, description="who registers the others and does not come")


def register(call: Call, body: Registration) -> Done:
    """The attendees are registered, and told by mail."""
    attendees, registrant = _people(event_of(call.connection, body.event).definition, body)
    content = people_digest(call.site.workspace.secret, [*attendees, *([registrant] if registrant else [])])
    order = Order(attendees, Source.API, f"api:{call.caller.name}:{body.key}", registrant, content)
    done = registering.register(call.connection, call.site.circumstances, body.event, order, call.now)
    if done.answer is not Answer.RECEIVED:
        raise Refusal(409, done.answer.value, _WHY_NOT[done.answer])
    placed = [
        {"registration": one.registration_id, "seat": one.seat.value, "outcome": "new" if one.is_new else "known"}
        for one in done.placed
    ]
    is_new = any(one.is_new for one in done.placed)
    return Done(201 if is_new else 200, {"event": body.event, "registrations": placed})


def _people(definition: EventFile, body: Registration) -> tuple[tuple[Attendee, ...], Attendee | None]:
    """Who is to come, and who registers them.

    Raises:
        Refusal: the event's fields do not take their answers.
    """
    mistakes: list[Mistake] = []

    def read(person: Person, at: str, *, comes: bool) -> Attendee:
        kept, wrong = answers.read(definition, person.answers, is_asked=comes)
        mistakes.extend(Mistake(f"{at}.answers.{one.name}", one.message) for one in wrong)
        return Attendee(parse_address(person.email), kept, person.language)

    attendees = tuple(read(one, f"attendees.{number}", comes=True) for number, one in enumerate(body.attendees))
    registrant = read(body.registrant, "registrant", comes=False) if body.registrant is not None else None
    if mistakes:
        raise Refusal(422, "invalid", f"{len(mistakes)} of the answers cannot be taken", mistakes=mistakes)
    return attendees, registrant


def told(call: Call, name: str) -> Done:
    """How one registration stands."""
    return Done(200, _content(_found(call, name)))


def withdraw(call: Call, name: str) -> Done:
    """They will not come: their seat is offered on, and a mail says so."""
    found = _found(call, name)
    change = afterwards.withdraw(call.connection, call.site.circumstances, found.registration_id, call.now)
    if change is Change.TOO_LATE:
        raise Refusal(409, "too_late", "the event is over, or does not take place")
    return Done(200, _content(_found(call, name)) | {"outcome": "known" if change is Change.BEFORE else "withdrawn"})


def _found(call: Call, name: str) -> Found:
    is_number = name.isascii() and name.isdigit() and len(name) <= _DIGITS
    found = looking_up.registration_of(call.connection, int(name)) if is_number else None
    if found is None:
        raise Refusal(404, "not_found", "there is no such registration")
    return found


def _content(found: Found) -> dict[str, Any]:
    return {
        "registration": found.registration_id, "event": found.event, "seat": found.seat.value,
        "waiting_position": found.position, "checked_in": found.checked_in,
        "offered_until": found.offered_until.isoformat() if found.offered_until else None,
    }  # fmt: skip
