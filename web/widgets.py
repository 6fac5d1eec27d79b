"""The parts forms are made of: each has its label, its group its legend, and its problem is told where it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from core.form_settings import Captcha
from web.languages import Words
from web.pages import NOTHING, Html, fragment, joined
from web.reading import LONGEST

#: Field → what is wrong with it, in the order of the form.
Problems = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Choice:
    """One box to tick, or one of several to choose from."""

    value: str
    label: str
    is_chosen: bool
    description: str = ""


def text_field(
    name: str, label: str, value: str, *, kind: str = "text", autocomplete: str, mark: str = "", problems: Problems
) -> Html:
    """A line to write in; required unless it has a mark that says it is not."""
    problem = problems.get(name)
    state = "" if mark else " required"
    if problem is not None:
        state += f' aria-invalid="true" aria-describedby="{name}-problem"'
        state += " autofocus" if next(iter(problems)) == name else ""
    values = {
        "name": name, "label": label, "value": value, "kind": kind, "autocomplete": autocomplete,
        "longest": str(LONGEST), "state": Html(state), "problem": _problem(name, problem),
        "mark": fragment("mark.html", {"mark": mark}) if mark else NOTHING,
    }  # fmt: skip
    return fragment("field.html", values)


def boxes(name: str, legend: str, choices: Sequence[Choice], problems: Problems) -> Html:
    """Boxes to tick, any number of them."""
    return _group(name, legend, choices, "checkbox", problems)


def options(name: str, legend: str, choices: Sequence[Choice], problems: Problems) -> Html:
    """Choices of which one counts."""
    return _group(name, legend, choices, "radio", problems)


def box(name: str, choice: Choice, problems: Problems) -> Html:
    """One box by itself, which has to be ticked."""
    problem = problems.get(name)
    state = f' aria-invalid="true" aria-describedby="{name}-problem"' if problem else ""
    return joined([_choice(name, choice, "checkbox", f' id="{name}" required{state}'), _problem(name, problem)])


def alert(words: Words, problems: Problems) -> Html:
    """What is wrong with the form, each a link to its place; nothing when nothing is."""
    if not problems:
        return NOTHING
    listed = [fragment("alert_item.html", {"name": name, "problem": text}) for name, text in problems.items()]
    return fragment("alert.html", {"words": words.say("form_problem"), "problems": joined(listed)})


def _group(name: str, legend: str, choices: Sequence[Choice], kind: str, problems: Problems) -> Html:
    problem = problems.get(name)
    values = {
        "name": name, "legend": legend, "choices": joined([_choice(name, choice, kind) for choice in choices]),
        "state": Html(f' aria-describedby="{name}-problem"') if problem else NOTHING,
        "problem": _problem(name, problem),
    }  # fmt: skip
    return fragment("group.html", values)


def _choice(name: str, choice: Choice, kind: str, state: str = "") -> Html:
    described = fragment("description.html", {"description": choice.description}) if choice.description else NOTHING
    chosen = " checked" if choice.is_chosen else ""
    values = {
        "kind": kind, "name": name, "value": choice.value, "label": choice.label, "description": described,
        "state": Html(state + chosen),
    }  # fmt: skip
    return fragment("choice.html", values)


def _problem(name: str, problem: str | None) -> Html:
    return fragment("problem.html", {"name": name, "problem": problem}) if problem else NOTHING


@dataclass(frozen=True, slots=True)
class Asked:
    """A field of a form as its author names it. `mark`: what says that it may stay empty; without it, it may not unless
    `is_free`."""

    name: str
    label: str
    value: str = ""
    mark: str = ""
    longest: int = LONGEST
    autocomplete: str = "off"
    is_free: bool = False


def line(asked: Asked, problems: Problems, *, kind: str = "text", earliest: str = "") -> Html:
    """A line to write in; `earliest`: the first day that may be entered."""
    values = _of(asked, problems) | {"kind": kind, "autocomplete": asked.autocomplete}
    if earliest:
        values["state"] = Html(f'{values["state"]} min="{earliest}"')
    return fragment("field.html", values)


def lines(asked: Asked, problems: Problems) -> Html:
    """A field for several lines of text."""
    return fragment("text.html", _of(asked, problems))


def menu(asked: Asked, choices: Sequence[Choice], problems: Problems) -> Html:
    """A list of which one is chosen."""
    return fragment("menu.html", _of(asked, problems) | {"choices": joined([option(one) for one in choices])})


def option(choice: Choice) -> Html:
    """One entry of a list."""
    values = {"value": choice.value, "label": choice.label, "state": Html(" selected") if choice.is_chosen else NOTHING}
    return fragment("option.html", values)


@dataclass(frozen=True, slots=True)
class Scale:
    """A rating from 0 upwards. `chosen` None: none yet."""

    highest: int
    chosen: int | None
    low_words: str = ""
    high_words: str = ""


def scale(asked: Asked, scale: Scale, problems: Problems) -> Html:
    """Numbers of which one is chosen."""
    steps = [
        fragment("step.html", {
            "name": asked.name, "value": str(number),
            "state": Html((" checked" if number == scale.chosen else "") + ("" if asked.mark else " required")),
        })
        for number in range(scale.highest + 1)
    ]  # fmt: skip
    ends = NOTHING
    if scale.low_words or scale.high_words:
        ends = fragment("scale_ends.html", {
            "low": f"0: {scale.low_words}" if scale.low_words else "",
            "high": f"{scale.highest}: {scale.high_words}" if scale.high_words else "",
        })  # fmt: skip
    problem = problems.get(asked.name)
    values = {
        "name": asked.name, "legend": asked.label, "mark": _mark(asked), "steps": joined(steps), "ends": ends,
        "state": Html(f' aria-describedby="{asked.name}-problem"') if problem else NOTHING,
        "problem": _problem(asked.name, problem),
    }  # fmt: skip
    return fragment("scale.html", values)


def group(asked: Asked, choices: Sequence[Choice], problems: Problems, *, several: bool = False) -> Html:
    """Choices one under the other: of which one counts, or, with `several`, any number of them."""
    legend = Html(f"{escape(asked.label)}{_mark(asked)}")
    return _group(asked.name, legend, choices, "checkbox" if several else "radio", problems)


def _mark(asked: Asked) -> Html:
    return fragment("mark.html", {"mark": asked.mark}) if asked.mark else NOTHING


def _of(asked: Asked, problems: Problems) -> dict[str, str]:
    problem = problems.get(asked.name)
    state = "" if asked.mark or asked.is_free else " required"
    if problem is not None:
        state += f' aria-invalid="true" aria-describedby="{asked.name}-problem"'
        state += " autofocus" if next(iter(problems)) == asked.name else ""
    return {
        "name": asked.name, "label": asked.label, "value": asked.value, "longest": str(asked.longest),
        "state": Html(state), "problem": _problem(asked.name, problem), "mark": _mark(asked),
    }  # fmt: skip


def captcha(service: Captcha | None, problems: Problems) -> Html:
    """Where the service's script puts its question; nothing without one."""
    if service is None:
        return NOTHING
    values = {
        "element": service.element, "site_key": service.site_key,
        "problem": _problem("captcha", problems.get("captcha")),
    }  # fmt: skip
    return fragment("captcha.html", values)
