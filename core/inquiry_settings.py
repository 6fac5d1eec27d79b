"""`inquiries` and `tasks` in `clarion.yaml`: who answers what people ask, by when, and who is told when nobody does."""

from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from core.field_types import Email, Name
from core.form_settings import PAGE_FIELDS, Captcha, Label, Words
from core.local_time import Weekday
from core.names import did_you_mean
from core.pressure_settings import ClockTime
from core.units import Duration, Unfit, ZoneName, format_duration, parse_duration, quoted
from core.yaml_files import Section

#: A deadline further away is none; and hours of work are counted day by day.
_LONGEST: Final = timedelta(days=30)
_SHORTEST_DAY: Final = timedelta(hours=1)
_ANY_DAY: Final = date(2000, 1, 1)


def _within_a_month(length: timedelta) -> timedelta:
    if length > _LONGEST:
        raise Unfit(quoted(format_duration(length)), f"at most '{format_duration(_LONGEST)}'")
    return length


#: Names of the form itself: what is typed into a field of such a name could not be told from them.
_TAKEN: Final = PAGE_FIELDS | {"email", "subject", "content", "page", "call", "call_day", "call_time"}

AnswerTime = Annotated[Duration, AfterValidator(_within_a_month)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class OfficeHours(Section):
    """When people are at work: other hours do not count towards a deadline."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = ("mon", "tue", "wed", "thu", "fri")
    start: ClockTime = Field(time(9), alias="from")
    end: ClockTime = Field(time(17), alias="to")
    zone: ZoneName | None = None  # None: that of the organisation
    country: Country | None = None  # whose public holidays are days off; None: none are
    subdivision: str | None = None  # of the country: its code or name, such as BY

    @model_validator(mode="after")
    def _in_one_day(self) -> "OfficeHours":
        ends = datetime.combine(_ANY_DAY + timedelta(days=self.end == time()), self.end)
        if ends - datetime.combine(_ANY_DAY, self.start) < _SHORTEST_DAY:
            raise ValueError("'to' is not an hour after 'from', expected hours of one day such as '09:00' and '17:00'")
        if self.subdivision is not None and self.country is None:
            raise ValueError("a subdivision needs its 'country'")
        return self


class InquiryField(Section):
    """One thing a form asks for, beside address, subject and text."""

    label: Label
    kind: Literal["line", "text", "choice"] = "line"
    choices: dict[Name, Label] = Field({})  # of a choice: what is kept → what is shown
    required: bool = False
    max_length: Annotated[int, Field(ge=1, le=10_000)] = 500

    @model_validator(mode="after")
    def _choices_fit(self) -> "InquiryField":
        if (self.kind == "choice") != bool(self.choices):
            raise ValueError("expected 'choices' with kind 'choice', and with no other")
        return self


class OwnerRule(Section):
    """Whose an inquiry is when everything it names holds."""

    country: Annotated[tuple[Country, ...], Field(min_length=1)] | None = None  # of the customer
    language: tuple[str, ...] | None = None  # the page's or the customer's: de, zh
    where: dict[Name, tuple[str, ...]] = Field({})  # a field → its values
    owner: Name  # an entry of `staff`

    @model_validator(mode="after")
    def _asks_something(self) -> "OwnerRule":
        if self.country is None and self.language is None and not self.where:
            raise ValueError("expected at least one of 'country', 'language' and 'where'; who else answers is 'owner'")
        return self


class Escalation(Section):
    """Who is given an inquiry that is still open."""

    after: AnswerTime | None = None  # the deadline, or the level before; office hours count. None: at once
    to: Name  # an entry of `staff`


class Desk(Section):
    """What people may ask, and who answers it."""

    title: Label
    intro: Words = Field({})
    thanks: Words = Field({})  # shown once it was sent; empty: the pages' own words
    fields: dict[Name, InquiryField] = Field({})
    ask_for: tuple[Literal["first_name", "last_name", "company", "phone"], ...] = ()
    call_back: bool = False  # the form asks when to call
    captcha: Captcha | None = None
    owner: Name  # an entry of `staff`: who answers what is nobody else's
    customers_owner: bool = True  # the customer's own employee goes first
    owners: tuple[OwnerRule, ...] = ()  # the first that holds
    deadline: AnswerTime = parse_duration("1d")
    office_hours: OfficeHours | None = None  # None: every hour counts
    escalation: tuple[Escalation, ...] = ()
    acknowledge: Name | None = None  # the transactional campaign that says it was received; None: nothing does
    addresses: tuple[Email, ...] = ()  # what is written there is an inquiry
    replies: bool = False  # so are answers of customers to mailings, whatever address they came to
    tagged: bool = False  # the mail server takes local+anything@ too: an employee's answer there ends the inquiry

    def zone(self, organisations: str) -> str:
        """The zone of its clock: `organisations`, unless its hours name another one."""
        return (self.office_hours.zone if self.office_hours else None) or organisations


#: Name → desk, as `inquiries:` lists them.
Desks = Mapping[str, Desk]


class Digest(Section):
    """The daily mail to everybody who has something to do."""

    at: ClockTime = time(7, 30)
    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = ("mon", "tue", "wed", "thu", "fri")
    zone: ZoneName | None = None  # None: that of the organisation


class Tasks(Section):
    """What employees are told of their tasks."""

    digest: Digest | None = None  # None: no mail, `clarion task list` alone
    nobodys: Name | None = None  # an entry of `staff`: who is told of tasks that have no owner; None: the first entry


def acknowledging(desks: Desks) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every campaign the section names, with its place."""
    for name, desk in desks.items():
        if desk.acknowledge is not None:
            yield ("inquiries", name, "acknowledge"), desk.acknowledge


def inquiry_mistakes(
    desks: Desks, tasks: Tasks, staff: Collection[str]
) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Employees who are nobody, fields that are none or the page's own, and addresses of two desks.

    Each as its place, text and hint.
    """
    first: dict[str, str] = {}
    for name, desk in desks.items():
        for place, owner in _employees(desk):
            if owner not in staff:
                path = ("inquiries", name, *place)
                yield path, f"inquiries.{name}: {owner!r} is no entry of staff", did_you_mean(owner, staff)
        for field in desk.fields:
            if field in _TAKEN:
                text = f"inquiries.{name}: a field cannot be called {field!r}"
                yield ("inquiries", name, "fields", field), text, "choose another name"
        for number, rule in enumerate(desk.owners):
            yield from _rule_mistakes(name, desk, number, rule)
        for number, address in enumerate(desk.addresses):
            other = first.setdefault(address.casefold(), name)
            if other != name:
                text = f"inquiries.{name}: {address} is an address of inquiries.{other} already"
                yield ("inquiries", name, "addresses", number), text, "leave it to one of them"
    if len(answering := [name for name, desk in desks.items() if desk.replies]) > 1:
        text = f"inquiries.{answering[1]}: replies go to inquiries.{answering[0]} already"
        yield ("inquiries", answering[1], "replies"), text, "leave them to one desk"
    if tasks.nobodys is not None and tasks.nobodys not in staff:
        text = f"tasks.nobodys: {tasks.nobodys!r} is no entry of staff"
        yield ("tasks", "nobodys"), text, did_you_mean(tasks.nobodys, staff)


def _employees(desk: Desk) -> Iterator[tuple[tuple[str | int, ...], str]]:
    yield ("owner",), desk.owner
    yield from ((("owners", number, "owner"), rule.owner) for number, rule in enumerate(desk.owners))
    yield from ((("escalation", number, "to"), level.to) for number, level in enumerate(desk.escalation))


def _rule_mistakes(
    name: str, desk: Desk, number: int, rule: OwnerRule
) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    for field, values in rule.where.items():
        path = ("inquiries", name, "owners", number, "where", field)
        asked = desk.fields.get(field)
        if asked is None:
            yield path, f"inquiries.{name}: the form has no field {field!r}", did_you_mean(field, desk.fields)
            continue
        for value in values if asked.choices else ():
            if value not in asked.choices:
                text = f"inquiries.{name}: the field {field!r} has no choice {value!r}"
                yield path, text, did_you_mean(value, asked.choices)
