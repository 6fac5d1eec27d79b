"""The filters of mailings: Jinja's harmless ones, charged by size, and ours for money, numbers and dates.

Left out on purpose: `safe` and `attr` (they undo the sandbox), `format`, `center`, `indent`, `wordwrap`,
`tojson`, `xmlattr`, `urlize` (they grow without bound, or no mailing needs them).
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from html import unescape
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Undefined, pass_context, pass_environment
from jinja2 import filters as jinja_filters
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.utils import _PassArg
from markupsafe import Markup, escape, soft_str

from core.errors import RenderError
from templates.addresses import is_web, rendered_target
from templates.budget import MAX_ITEMS, MAX_TEXT, Budget, check_size, size_checked
from templates.formats import date_text, money_text, number_text, shown_value

Filter = Callable[..., Any]
_FROM_JINJA: Final = (
    "abs", "capitalize", "count", "dictsort", "e", "escape", "first", "float", "groupby", "int", "items", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr",
    "sort", "string", "title", "trim", "truncate", "unique", "upper", "wordcount",
)  # fmt: skip


def is_empty(value: Any) -> bool:
    """Whether there is nothing to print: not there, none, or only blanks."""
    return value is None or isinstance(value, Undefined) or (isinstance(value, str) and not value.strip())


def _default(value: Any, instead: Any = "", boolean: bool = False) -> Any:
    """`value`, or `instead` when it is missing or empty; with `boolean` also when it is false."""
    return instead if is_empty(value) or (boolean and not value) else value


@pass_environment
def _join(
    environment: Any, values: Iterable[Any], between: str = "", attribute: str | int | None = None
) -> str:
    items = list(itertools.islice(values, MAX_ITEMS + 1))
    check_size(len(items), MAX_ITEMS)
    if attribute is not None:
        items = list(map(jinja_filters.make_attrgetter(environment, attribute), items))
    if any(item is None or isinstance(item, Undefined) for item in items):
        raise RenderError("an item to be joined is empty", hint="leave such items out with select()")
    return joined(environment.autoescape, items, between)


def joined(autoescape: bool, items: Iterable[Any], between: str = "") -> str:
    """The items as one text; refused before it is built when it would be too long."""
    texts = [escape(item) if autoescape else soft_str(item) for item in items]
    check_size(sum(map(len, texts)) + len(between) * len(texts), MAX_TEXT)
    return (escape(between) if autoescape else between).join(texts)


@pass_environment
def _replace(environment: Any, text: Any, old: str, new: str, count: int = -1) -> str:
    whole = escape(text) if environment.autoescape else soft_str(text)
    if not old:
        raise RenderError("replace needs a text to replace")
    check_size(len(whole) + whole.count(old) * len(new), MAX_TEXT)
    return whole.replace(old, new, count)


def _round(value: Any, digits: int = 0) -> Any:
    if not 0 <= digits <= 9:
        raise RenderError(f"round takes 0 to 9 digits (got {digits})")
    return round(float(value), digits) if digits else round(float(value))


@pass_environment
def _sum(environment: Any, values: Iterable[Any], attribute: str | int | None = None) -> Any:
    if attribute is not None:
        values = map(jinja_filters.make_attrgetter(environment, attribute), values)
    numbers = list(values)
    if not all(hasattr(number, "__round__") for number in numbers):
        raise RenderError("sum takes numbers only")
    return sum(numbers)


def _batch(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    if not 1 <= size <= MAX_ITEMS:
        raise RenderError(f"batch takes 1 to {MAX_ITEMS} items a row (got {size})")
    remaining = iter(values)
    while row := list(itertools.islice(remaining, size)):
        yield row


def _urlencode(value: Any) -> str:
    return quote(soft_str(value), safe="")


def _nl2br(value: Any) -> Markup:
    return escape(soft_str(value).replace("\r\n", "\n")).replace("\n", Markup("<br>\n"))


_OURS: Final[Mapping[str, Filter]] = {
    "batch": _batch,
    "d": _default,
    "date": date_text,
    "default": _default,
    "join": _join,
    "money": money_text,
    "nl2br": _nl2br,
    "number": number_text,
    "replace": _replace,
    "round": _round,
    "sum": _sum,
    "urlencode": _urlencode,
}
NAMES: Final = frozenset({*_FROM_JINJA, *_OURS})


def filters_for(budget_name: str) -> dict[str, Filter]:
    """Every filter, charging the budget that the context holds under `budget_name`."""
    plain: dict[str, Filter] = {name: FILTERS[name] for name in _FROM_JINJA} | dict(_OURS)
    return {name: _charged(function, budget_name) for name, function in plain.items()} | _checks(budget_name)


def _charged(function: Filter, budget_name: str) -> Filter:
    wants = _PassArg.from_obj(function)

    @pass_context
    def charged(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        budget: Budget = context.parent[budget_name]
        budget.spend(1 + (len(value) if isinstance(value, Sized) else 0))
        if wants is _PassArg.context:
            return budget.kept(function(context, value, *args, **kwargs))
        if wants is _PassArg.environment:
            return budget.kept(function(context.environment, value, *args, **kwargs))
        if wants is _PassArg.eval_context:
            return budget.kept(function(context.eval_ctx, value, *args, **kwargs))
        return budget.kept(function(value, *args, **kwargs))

    return charged


def _checks(budget_name: str) -> dict[str, Filter]:
    """The filters that the sandbox puts into every template; their names cannot be written in one."""

    @pass_context
    def counted(context: Context, values: Any, units: int) -> Iterable[Any]:
        budget: Budget = context.parent[budget_name]
        if isinstance(values, Undefined):
            values._fail_with_undefined_error()
        return budget.counted(values, units)

    @pass_context
    def spent(context: Context, units: int) -> str:
        context.parent[budget_name].spend(units)
        return ""

    @pass_context
    def sized(context: Context, value: Any) -> Any:
        return context.parent[budget_name].kept(value)

    @pass_context
    def joined_values(context: Context, values: list[Any]) -> str:
        text = joined(context.environment.autoescape is True, values)
        context.parent[budget_name].spend(len(text))
        return text

    def required(value: Any, name: str) -> Any:
        if is_empty(value):
            raise RenderError(f"{name} is empty", hint=f'say what to print instead: {{{{ {name} or "…" }}}}')
        return value

    @pass_context
    def shown(context: Context, value: Any) -> Any:
        if type(value) is not str:
            value = shown_value(context, value)
        context.parent[budget_name].spend(size_checked(value))
        return value

    @pass_context
    def printed(context: Context, value: Any, name: str) -> Any:
        if type(value) is not str:
            value = shown_value(context, required(value, name))
        elif not value or value.isspace():
            required(value, name)
        context.parent[budget_name].spend(size_checked(value))
        return value

    @pass_context
    def link(context: Context, value: str) -> str:
        target = rendered_target(unescape(value) if context.environment.autoescape else value)
        url = context.parent["_urls"].click(None, target) if is_web(target) else target
        return escape(url) if context.environment.autoescape else str(url)

    @pass_context
    def target(context: Context, value: str) -> str:
        checked = rendered_target(unescape(value) if context.environment.autoescape else value)
        return escape(checked) if context.environment.autoescape else checked

    named: dict[str, Filter] = {
        "counted": counted, "spent": spent, "sized": sized, "joined": joined_values, "required": required,
        "shown": shown, "printed": printed,
    }  # fmt: skip
    hidden = {f" {name}": function for name, function in named.items()}
    return hidden | {"_link": link, "_target": target}
