"""Fields of forms that files of the workspace ask for: shown, and read back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from web import widgets
from web.languages import Words
from web.pages import Html
from web.widgets import Asked, Choice, Problems

#: What people tell of themselves: a field of such a name needs no label, and browsers fill it in.
PERSONAL: Final[Mapping[str, str]] = {
    "first_name": "given-name", "last_name": "family-name", "company": "organization", "phone": "tel",
}  # fmt: skip
#: More choices than these are a list to open.
_MOST_SHOWN: Final = 6
#: What a form sent: a field may have several values.
Sent = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class FormField:
    """One field. `choices`: what is kept → what is shown."""

    name: str
    label: str
    kind: Literal["line", "text", "choice"] = "line"
    choices: Mapping[str, str] | None = None
    required: bool = False
    longest: int = 300
    autocomplete: str = "off"
    missing: str = ""  # what is said when it is; empty: the pages' own words


def personal(name: str, words: Words, *, missing: str = "") -> FormField:
    """The field for something people tell of themselves; required where it is said what is missing."""
    label = words.say(f"form_{name}")
    return FormField(name, label, required=bool(missing), autocomplete=PERSONAL[name], missing=missing)


def last(sent: Sent, name: str) -> str:
    """The last value of a field; empty when there is none."""
    return sent.get(name, [""])[-1]


def shown(field: FormField, words: Words, sent: Sent, problems: Problems, suffix: str = "") -> Html:
    """The field with what was filled in already; `suffix` tells it from the same one of somebody else."""
    name, value = field.name + suffix, last(sent, field.name + suffix)[: field.longest]
    mark = "" if field.required else words.say("form_optional")
    asked = Asked(name, field.label, value, mark, field.longest, field.autocomplete)
    if field.kind == "text":
        return widgets.lines(asked, problems)
    if field.kind == "line":
        return widgets.line(asked, problems, kind="tel" if field.autocomplete == "tel" else "text")
    choices = [Choice(key, label, key == value) for key, label in (field.choices or {}).items()]
    if len(choices) <= _MOST_SHOWN:
        return widgets.group(asked, choices, problems)
    return widgets.menu(asked, [Choice("", "", not value), *choices], problems)


def read(field: FormField, words: Words, sent: Sent, problems: dict[str, str], suffix: str = "") -> str:
    """What was entered, without what no text has; what is wrong with it joins `problems`."""
    name = field.name + suffix
    value = _plain(last(sent, name)) if field.kind == "text" else one_line(last(sent, name))
    if not value:
        if field.required:
            problems[name] = field.missing or words.say("event_missing_problem", field=_named(field))
    elif field.kind == "choice" and value not in (field.choices or {}):
        problems[name] = words.say("event_choice_problem", field=_named(field))
    elif len(value) > field.longest:
        problems[name] = words.say("event_long_problem", field=_named(field))
    return value


def _named(field: FormField) -> str:
    return field.label.rstrip("?？:： ")


def one_line(text: str) -> str:
    """The text without line breaks and characters nobody sees."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _plain(text: str) -> str:
    return "".join(char for char in text.replace("\r\n", "\n") if char.isprintable() or char in "\n\t").strip()
