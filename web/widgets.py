"""The parts forms are made of: each has its label, its group its legend, and its problem is told where it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
