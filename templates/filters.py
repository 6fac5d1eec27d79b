"""The filters of mailings: Jinja's harmless ones, charged by size, and ours for money, numbers and dates.

Left out on purpose: `safe` and `attr` (they undo the sandbox), `format`, `center`, `indent`, `wordwrap`,
`tojson`, `xmlattr`, `urlize` (they grow without bound, or no mailing needs them).
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Undefined, pass_context, pass_environment
from jinja2 import filters as jinja_filters
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.utils import _PassArg
from markupsafe import Markup, escape, soft_str

from core.errors import RenderError
from templates.budget import BUDGET, MAX_ITEMS, MAX_TEXT, SCALARS, STEP, Budget, check_size
from templates.formats import date_text, money_text, number_text

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
def _join(environment: Any, values: Iterable[Any], between: str = "", attribute: str | int | None = None) -> str:
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


@pass_context
def _nl2br(context: Context, value: Any) -> str:
    return _broken(soft_str(value), bool(context.environment.autoescape), type(value) is Markup)


@lru_cache(maxsize=64)  # most of what has lines is the organisation's address
def _broken(text: str, html: bool, is_escaped: bool) -> str:
    lines = (Markup(text) if is_escaped else text).splitlines()  # noqa: S704  it was escaped before
    return Markup("<br>\n").join(lines) if html else "\n".join(lines)


_OURS: Final[Mapping[str, Filter]] = {
    "batch": _batch,
    "d": _default,
    "default": _default,
    "join": _join,
    "replace": _replace,
    "round": _round,
    "sum": _sum,
    "urlencode": _urlencode,
}


_WRITERS: Final[Mapping[str, Filter]] = {
    "date": date_text, "money": money_text, "nl2br": _nl2br, "number": number_text,
}  # fmt: skip


def public_filters() -> dict[str, Filter]:
    """Every filter that templates may use, charging the message's budget."""
    plain: dict[str, Filter] = {name: FILTERS[name] for name in _FROM_JINJA} | dict(_OURS)
    charged = {name: _charged(function) for name, function in plain.items()}
    return charged | {name: _written(function) for name, function in _WRITERS.items()}


def _written(function: Filter) -> Filter:
    """`function`, which writes one value, asked for in most mailings: charged in one go, when its text is there."""

    @pass_context
    def written(context: Context, value: Any, *args: Any, **kwargs: Any) -> str:
        text: str = function(context, value, *args, **kwargs)
        budget: Budget = context.parent[BUDGET]
        size = len(text)
        budget.left -= STEP + size + (len(value) if type(value) is str else 0)
        if budget.left < 0 or size > MAX_TEXT:
            budget.refuse(size)
        return text

    return written


def _length(value: Any) -> int:
    return len(value) if isinstance(value, Sized) and not isinstance(value, Undefined) else 0


def _charged(function: Filter) -> Filter:
    wants = _PassArg.from_obj(function)

    @pass_context
    def charged(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        budget: Budget = context.parent[BUDGET]
        budget.spend(1 if type(value) in SCALARS else 1 + _length(value))
        if isinstance(value, str) and (args or kwargs):
            budget.searched(value, (*args, *kwargs.values()))
        if wants is _PassArg.context:
            return budget.kept(function(context, value, *args, **kwargs))
        if wants is _PassArg.environment:
            return budget.kept(function(context.environment, value, *args, **kwargs))
        if wants is _PassArg.eval_context:
            return budget.kept(function(context.eval_ctx, value, *args, **kwargs))
        return budget.kept(function(value, *args, **kwargs))

    return charged
