"""The form of a desk: how it is shown, and what is made of what was filled in."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from campaigns.inquiries.receiving import LONGEST_CONTENT, LONGEST_SUBJECT
from core.addresses import Address
from core.form_settings import in_language, label_in
from core.inquiry_settings import Desk, InquiryField
from core.units import local_instant
from web import form_fields, widgets
from web.form_fields import FormField, personal
from web.languages import Words
from web.pages import NOTHING, Html, fragment, joined
from web.reading import LONGEST, Sent, address_in, last, token_in
from web.widgets import Asked, Choice, Problems

_NAME: Final = "page"  # names the form
_CALL: Final = "call"
_DAY: Final = "call_day"
_TIME: Final = "call_time"


@dataclass(frozen=True, slots=True)
class Written:
    """A form that was filled in well."""

    token: str
    address: Address
    subject: str
    content: str
    fields: dict[str, str]
    call_at: datetime | None


def read(desk: Desk, zone: str, words: Words, sent: Sent, now: datetime) -> Written | Problems:
    """What was entered, or what is wrong with it, field by field in the order of the form."""
    problems: dict[str, str] = {}
    address = address_in(sent)
    if address is None:
        problems["email"] = words.say("form_email_problem")
    wants_call = desk.call_back and last(sent, _CALL) == "yes"
    found = {field.name: form_fields.read(field, words, sent, problems) for field in _fields(desk, words, wants_call)}
    call_at = _call_at(desk, zone, words, sent, problems, now) if wants_call else None
    if address is None or problems:
        return problems
    subject, content = found.pop("subject"), found.pop("content")
    told = {name: value for name, value in found.items() if value}
    return Written(token_in(sent, _NAME), address, subject, content, told, call_at)


def _call_at(
    desk: Desk, zone: str, words: Words, sent: Sent, problems: dict[str, str], now: datetime
) -> datetime | None:  # fmt: skip
    """When to call, by the clock of the desk; one that a clock change skips is the one after it (S-8.2)."""
    try:
        wall = datetime.fromisoformat(f"{last(sent, _DAY)}T{last(sent, _TIME)}")
        at = local_instant(wall, desk.zone(zone)) if wall.tzinfo is None else None
    except (ValueError, OverflowError):
        at = None
    if at is None or at <= now or at.year > now.year + 2:
        problems[_DAY] = words.say("inquiry_call_problem")
    return at


def _fields(desk: Desk, words: Words, wants_call: bool) -> list[FormField]:
    """The fields beside address and call, in their order. Who wants a call says where."""
    needs_phone = words.say("inquiry_phone_problem") if wants_call else ""
    asked = dict.fromkeys((*desk.ask_for, *(("phone",) if desk.call_back else ())))
    return [
        *(personal(name, words, missing=needs_phone if name == "phone" else "") for name in asked),
        *(_own(name, field, words) for name, field in desk.fields.items() if name not in asked),
        FormField("subject", words.say("inquiry_subject"), required=True, longest=LONGEST_SUBJECT),
        FormField("content", words.say("inquiry_content"), "text", required=True, longest=min(LONGEST_CONTENT, 10_000)),
    ]


def _own(name: str, field: InquiryField, words: Words) -> FormField:
    choices = {key: label_in(shown, words.code, key) for key, shown in field.choices.items()}
    label = label_in(field.label, words.code, name)
    return FormField(name, label, field.kind, choices, field.required, field.max_length)


def shown(desk: Desk, zone: str, words: Words, sent: Sent, problems: Problems, now: datetime) -> Html:
    """The content of the page, with what was filled in already."""
    email = Asked("email", words.say("form_email"), last(sent, "email")[:LONGEST], autocomplete="email")
    parts = [widgets.line(email, problems, kind="email")]
    parts += [form_fields.shown(field, words, sent, problems) for field in _fields(desk, words, wants_call=False)]
    if desk.call_back:
        parts += _call(desk, zone, words, sent, problems, now)
    parts.append(fragment("hidden.html", {"name": _NAME, "value": token_in(sent, _NAME)}))
    intro = in_language(desk.intro, words.code)
    values = {
        "heading": heading_of(desk, words), "alert": widgets.alert(words, problems), "fields": joined(parts),
        "intro": fragment("paragraph.html", {"words": intro}) if intro else NOTHING,
        "captcha": widgets.captcha(desk.captcha, problems), "leave_empty": words.say("form_leave_empty"),
        "button": words.say("inquiry_button"),
    }  # fmt: skip
    return fragment("fields_form.html", values)


def heading_of(desk: Desk, words: Words) -> str:
    """What stands above the form."""
    return in_language(desk.title, words.code) or ""


def _call(desk: Desk, zone: str, words: Words, sent: Sent, problems: Problems, now: datetime) -> list[Html]:
    """Whether to call, and when: the day and the time count with the first answer alone."""
    wants = last(sent, _CALL) == "yes"
    choices = [
        Choice("no", words.say("inquiry_call_no"), not wants), Choice("yes", words.say("inquiry_call_yes"), wants)
    ]  # fmt: skip
    today = now.astimezone(ZoneInfo(desk.zone(zone)))
    day = Asked(_DAY, words.say("inquiry_call_day"), last(sent, _DAY)[:20], is_free=True)
    time = Asked(_TIME, words.say("inquiry_call_time", zone=desk.zone(zone)), last(sent, _TIME)[:20], is_free=True)
    return [
        widgets.options(_CALL, words.say("inquiry_call"), choices, problems),
        fragment("two.html", {"fields": joined([
            widgets.line(day, problems, kind="date", earliest=f"{today:%Y-%m-%d}"),
            widgets.line(time, problems, kind="time"),
        ])}),
    ]  # fmt: skip
