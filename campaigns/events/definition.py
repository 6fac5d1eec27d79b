"""`events/*.yaml`: what takes place when and where, who may come, and the mails that tell them."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, JsonValue, StringConstraints, WithJsonSchema, model_validator

from core.field_types import HeaderText, HttpUrl, Name
from core.form_settings import Captcha, PerHour, Wording, Words
from core.units import Duration, Unfit, WallTime, ZoneName, format_duration, local_instant, quoted
from core.yaml_files import Section

#: What a plan calls them.
KIND: Final = "event"
FOLDER: Final = "events"
#: Seats, and attendees of one order, have ends: what is typed in by mistake is found before it is sold.
_MOST_SEATS: Final = 1_000_000
_LONGEST: Final = timedelta(days=366)


class MailOf(Section):
    """One mail of an event: a template, and a subject where that of the template does not fit."""

    template: Annotated[str, StringConstraints(min_length=1)]
    subject: HeaderText | None = None


def _mail_of(value: object) -> object:
    if isinstance(value, str):
        return {"template": value}
    if isinstance(value, dict | MailOf):
        return value
    raise Unfit(quoted(value), "a template such as 'event-confirmed.html', or {template: …, subject: …}")


_MAIL_SCHEMA: Final[dict[str, JsonValue]] = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {"template": {"type": "string"}, "subject": {"type": "string"}},
            "required": ["template"],
            "additionalProperties": False,
        },
    ]
}
Mail = Annotated[MailOf, BeforeValidator(_mail_of), WithJsonSchema(_MAIL_SCHEMA)]


class Mails(Section):
    """What is mailed when. A mail that is not named is not sent."""

    confirmation: Mail  # a seat is theirs
    change: Mail  # time or place changed
    cancelled: Mail  # the event does not take place
    withdrawn: Mail  # they will not come
    waiting: Mail | None = None  # all seats are taken
    offer: Mail | None = None  # a seat was freed for them
    offer_expired: Mail | None = None  # they did not take it in time
    summary: Mail | None = None  # to who registered others: what became of each


class WaitingList(Section):
    """Who comes too late waits, in order; a freed seat is kept for the first of them so long."""

    offer_for: Duration


class Question(Section):
    """A field of the form. `first_name`, `last_name` and `company` need no label."""

    label: Words = Field({})
    required: bool = False
    choices: tuple[HeaderText, ...] = ()  # empty: free text
    longest: Annotated[int, Field(ge=1, le=2000)] = 200  # characters


class Registration(Section):
    """When and how people register."""

    opens: WallTime | None = None  # None: at once
    closes: WallTime | None = None  # None: when the event starts
    fields: dict[Name, Question] = Field({})
    wording: Wording = Wording()
    attendees: Annotated[int, Field(ge=1, le=50)] = 1  # of one order, at most
    captcha: Captcha | None = None
    per_hour: PerHour | None = None  # forms of this event; None: as `pages.limits` says for every form


class Reminder(Section):
    """A mail so long before the start."""

    before: Duration
    template: Annotated[str, StringConstraints(min_length=1)]
    subject: HeaderText | None = None


class FollowUp(Section):
    """Mails so long after the end, to those who were checked in and to those who were not."""

    after: Duration
    attended: Mail | None = None
    absent: Mail | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "FollowUp":
        if self.attended is None and self.absent is None:
            raise ValueError("expected 'attended', 'absent' or both")
        return self


class EventFile(Section):
    """One event file."""

    title: Words
    description: Words = Field({})
    starts: WallTime
    ends: WallTime | None = None
    lasts: Duration | None = None
    zone: ZoneName | None = None  # None: the organisation's
    place: HeaderText | None = None
    online: HttpUrl | None = None  # told to those who have a seat
    capacity: Annotated[int, Field(ge=1, le=_MOST_SEATS)] | None = None  # None: as many as come
    waiting_list: WaitingList | None = None
    registration: Registration = Registration()
    organiser: Name  # a sender: mails come from it, and it is the organiser in calendars
    transport: Name | None = None  # or a route
    calendar: Literal["request", "publish"] = (
        "request"  # for life: what came by one method is not cancelled by the other
    )
    attach: bool = False  # the calendar entry also as a file, called as the event
    topic: Name | None = None  # what calendars and reports count it under; its mails need no consent
    mails: Mails
    reminders: tuple[Reminder, ...] = ()
    follow_up: FollowUp | None = None
    cancelled: bool = False  # for good

    @model_validator(mode="after")
    def _has_one_end(self) -> "EventFile":
        if (self.ends is None) == (self.lasts is None):
            raise ValueError("expected exactly one of 'ends' and 'lasts'")
        if self.ends is not None and not self.starts < self.ends:
            raise ValueError("expected 'ends' after 'starts'")
        if self.length_of_wall_times > _LONGEST:
            raise ValueError(f"expected an event of at most {_LONGEST.days} days")
        return self

    @property
    def length_of_wall_times(self) -> timedelta:
        """How long it lasts by the clock on the wall."""
        return self.lasts if self.lasts is not None else (self.ends or self.starts) - self.starts

    @model_validator(mode="after")
    def _can_be_told(self) -> "EventFile":
        if self.place is None and self.online is None:
            raise ValueError("expected 'place', 'online' or both")
        if not self.title:
            raise ValueError("'title' has no text")
        if self.waiting_list is not None and self.capacity is None:
            raise ValueError("a 'waiting_list' needs a 'capacity'")
        missing = [name for name in ("waiting", "offer") if getattr(self.mails, name) is None]
        if self.waiting_list is not None and missing:
            raise ValueError(f"a 'waiting_list' needs the mails {' and '.join(map(repr, missing))}")
        if self.registration.attendees > 1 and self.mails.summary is None:
            raise ValueError("'registration.attendees' above 1 needs the mail 'summary'")
        return self

    @model_validator(mode="after")
    def _in_order(self) -> "EventFile":
        opens, closes = self.registration.opens, self.registration.closes
        if opens is not None and not opens < (closes or self.starts):
            raise ValueError("expected 'registration.opens' before it closes")
        if closes is not None and closes > self.starts + self.length_of_wall_times:
            raise ValueError("expected 'registration.closes' before the event ends")
        befores = [reminder.before for reminder in self.reminders]
        if len(set(befores)) < len(befores):
            raise ValueError("two reminders have the same 'before'")
        return self

    def every_mail(self) -> Iterator[tuple[str, MailOf]]:
        """Each mail by the name of its step: `confirmation`, …, `reminder-1d-12h`, `attended`, `absent`."""
        for name in Mails.model_fields:
            mail: MailOf | None = getattr(self.mails, name)
            if mail is not None:
                yield name, mail
        for reminder in self.reminders:
            yield reminder_step(reminder.before), MailOf(template=reminder.template, subject=reminder.subject)
        for name, mail in (self.follow_ups if self.follow_up is not None else {}).items():
            yield name, mail

    @property
    def follow_ups(self) -> Mapping[str, MailOf]:
        """The mails after the end, by `attended` and `absent`."""
        follow_up = self.follow_up
        found = {"attended": follow_up.attended, "absent": follow_up.absent} if follow_up is not None else {}
        return {name: mail for name, mail in found.items() if mail is not None}

    def stored(self) -> dict[str, Any]:
        """The definition as plain JSON values; `model_validate` reads it back."""
        stored = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        stored.get("registration", {}).pop("captcha", None)  # holds a secret: read from the file
        return stored


def reminder_step(before: timedelta) -> str:
    """The name of the reminder's step, such as `reminder-1d-12h`."""
    return "reminder-" + format_duration(before).replace(" ", "-")


def instants(definition: EventFile, zone: str) -> tuple[datetime, datetime]:
    """Start and end as UTC instants. A length is absolute; wall times are those of the zone (S-7.8)."""
    starts = local_instant(definition.starts, zone)
    if definition.lasts is not None:
        return starts, starts + definition.lasts
    return starts, local_instant(definition.ends or definition.starts, zone)


def registration_window(definition: EventFile, zone: str) -> tuple[datetime | None, datetime]:
    """When registration opens (None: it is open) and closes, as UTC instants."""
    opens, closes = definition.registration.opens, definition.registration.closes
    starts, _ = instants(definition, zone)
    return (
        local_instant(opens, zone) if opens is not None else None,
        local_instant(closes, zone) if closes is not None else starts,
    )
