"""The form of an event: how it is shown, and what is made of what was filled in."""

from collections.abc import Mapping
from typing import Final

from campaigns.events.answers import read as read_answers
from campaigns.events.definition import EventFile, Question
from campaigns.events.held import HeldEvent
from campaigns.events.registering import Attendee, Order, Source
from core.form_settings import Captcha, in_language, label_in
from web import form_fields, widgets
from web.form_fields import PERSONAL, FormField
from web.languages import Words
from web.pages import NOTHING, Html, fragment, joined
from web.reading import LONGEST, Sent, address_in, last, token_in
from web.widgets import Asked, Choice, Problems

_ORDER: Final = "order"  # names the form (S-7.10)
_PEOPLE: Final = "people"
#: So many people fit on a page, whatever the event allows a program.
MOST_PEOPLE: Final = 10


def most_people(definition: EventFile) -> int:
    """How many one form may register."""
    return min(definition.registration.attendees, MOST_PEOPLE)


def people_in(definition: EventFile, sent: Sent) -> int:
    """For how many people the form was filled in, or is to be shown."""
    count = last(sent, _PEOPLE)
    shown = int(count) if count.isascii() and count.isdigit() and len(count) < 3 else 1
    return max(1, min(shown, most_people(definition)))


def read(definition: EventFile, words: Words, sent: Sent) -> Order | Problems:
    """What was entered, or what is wrong with it. Nobody is meant by an empty part but the first."""
    problems: dict[str, str] = {}
    attendees: list[Attendee] = []
    for number in range(people_in(definition, sent)):
        suffix = _suffix(number)
        if number and not _is_filled(definition, sent, suffix):
            continue
        attendee = _attendee(definition, words, sent, problems, suffix)
        if attendee is None:
            continue
        if any(attendee.address.comparable == other.address.comparable for other in attendees):
            problems[f"email{suffix}"] = words.say("event_twice_problem")
        attendees.append(attendee)
    if definition.registration.wording.text and sent.get("agree") != ["yes"]:
        problems["agree"] = words.say("form_agree_problem")
    if problems:
        return problems
    return Order(tuple(attendees), Source.PAGE, f"page:{token_in(sent, _ORDER)}")


def _suffix(number: int) -> str:
    return f".{number + 1}" if number else ""


def _is_filled(definition: EventFile, sent: Sent, suffix: str) -> bool:
    return any(last(sent, name + suffix).strip() for name in ("email", *definition.registration.fields))


def _attendee(
    definition: EventFile, words: Words, sent: Sent, problems: dict[str, str], suffix: str
) -> Attendee | None:
    address = address_in(sent, f"email{suffix}")
    if address is None:
        problems[f"email{suffix}"] = words.say("form_email_problem")
    fields = {each.name: each for each in _fields(definition, words)}
    answers, mistakes = read_answers(definition, {name: last(sent, name + suffix) for name in fields}, is_asked=True)
    faults = {one.name: one.fault for one in mistakes}
    problems |= {
        name + suffix: form_fields.wrong(field, faults[name], words) for name, field in fields.items() if name in faults
    }
    wording = definition.registration.wording
    if wording.text:
        answers["wording"] = wording.version
    return None if address is None else Attendee(address, answers, words.code)


def _fields(definition: EventFile, words: Words) -> list[FormField]:
    return [_field(name, asked, words) for name, asked in definition.registration.fields.items()]


def _field(name: str, asked: Question, words: Words) -> FormField:
    is_personal = name in PERSONAL and not asked.label
    label = words.say(f"form_{name}") if is_personal else label_in(asked.label, words.code, name)
    return FormField(
        name, label, "choice" if asked.choices else "line", {choice: choice for choice in asked.choices},
        asked.required, asked.longest, PERSONAL.get(name, "off"),
    )  # fmt: skip


def shown(held: HeldEvent, words: Words, sent: Sent, problems: Problems, captcha: Captcha | None, note: str) -> Html:
    """The form with what was filled in already; `note` says how the seats stand, empty: there is nothing to say."""
    definition = held.definition
    count = people_in(definition, sent)
    parts = [_person(definition, words, sent, problems, number, count) for number in range(count)]
    wording = definition.registration.wording
    if wording.text:
        agreed = Choice("yes", in_language(wording.text, words.code) or "", sent.get("agree") == ["yes"])
        parts.append(widgets.box("agree", agreed, problems))
    else:
        parts.append(fragment("hint.html", {"words": words.say("event_note")}))
    hidden = [(_ORDER, token_in(sent, _ORDER)), (_PEOPLE, str(count))]
    more = fragment("more_button.html", {"label": words.say("event_more")})
    values = {
        "heading": words.say("event_register"), "fields": joined(parts), "button": words.say("event_button"),
        "note": fragment("paragraph.html", {"words": note}) if note else NOTHING,
        "order": joined([fragment("hidden.html", {"name": name, "value": value}) for name, value in hidden]),
        "captcha": widgets.captcha(captcha, problems), "leave_empty": words.say("form_leave_empty"),
        "more": more if count < most_people(definition) else NOTHING,
    }  # fmt: skip
    return fragment("event_form.html", values)


def one_more(definition: EventFile, sent: Sent) -> Mapping[str, list[str]]:
    """The form with room for one person more."""
    count = min(people_in(definition, sent) + 1, most_people(definition))
    return {**sent, _PEOPLE: [str(count)]}


def _person(
    definition: EventFile, words: Words, sent: Sent, problems: Problems, number: int, count: int
) -> Html:  # fmt: skip
    """The fields about one person; named when there are several."""
    suffix = _suffix(number)
    email = Asked(f"email{suffix}", words.say("form_email"), last(sent, f"email{suffix}")[:LONGEST],
                  autocomplete="email" if number == 0 else "off")  # fmt: skip
    fields = [widgets.line(email, problems, kind="email")]
    fields += [form_fields.shown(each, words, sent, problems, suffix) for each in _fields(definition, words)]
    if count == 1:
        return joined(fields)
    legend = words.say("event_person", number=str(number + 1))
    return fragment("person.html", {"legend": legend, "fields": joined(fields)})
