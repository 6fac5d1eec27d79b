"""Fields of forms that files of the workspace ask for: shown, and read back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from core.plain_text import one_line, plain
from web import widgets
from web.languages import Words
from web.pages import Html
from web.reading import Sent, last
from web.widgets import Asked, Choice, Problems

#: What people tell of themselves: a field of such a name needs no label, and browsers fill it in.
PERSONAL: Final[Mapping[str, str]] = {
    "first_name": "given-name", "last_name": "family-name", "company": "organization", "phone": "tel",
}  # fmt: skip
#: More choices than these are a list to open.
_MOST_SHOWN: Final = 6


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


def read(field: FormField, words: Words, sent: Sent, problems: dict[str, str]) -> str:
    """What was entered, without what no text has; what is wrong with it joins `problems`."""
    name, entered = field.name, last(sent, field.name)
    value = plain(entered) if field.kind == "text" else one_line(entered)
    if not value:
        if field.required:
            problems[name] = wrong(field, "missing", words)
    elif field.kind == "choice" and value not in (field.choices or {}):
        problems[name] = wrong(field, "choice", words)
    elif len(value) > field.longest:
        problems[name] = wrong(field, "long", words)
    return value


def wrong(field: FormField, fault: str, words: Words) -> str:
    """What is said of what was entered: it is `missing`, no `choice`, or too `long`."""
    if fault == "missing" and field.missing:
        return field.missing
    return words.say(f"event_{fault}_problem", field=field.label.rstrip("?？:： "))
