"""What the sandbox puts into every template itself: charging, refusing to print nothing, checking links.

The functions are filters to Jinja, under names that cannot be written in a template. `printed` and `shown` run
for every value of every message: they return text that is already escaped, so that it is not looked at twice.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from html import unescape
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Undefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from core.errors import RenderError
from templates.addresses import is_web, rendered_target
from templates.budget import BUDGET, LOOKED_AT, MAX_NUMBER, MAX_TEXT, SCALARS, Budget, size_checked
from templates.characters import escaped
from templates.filters import is_empty, joined
from templates.formats import shown_value
from templates.remembering import SAID, SHORT

Filter = Callable[..., Any]
PRINTED: Final = " printed"
SHOWN: Final = " shown"
REMEMBERED: Final = " remembered"
COMPARED: Final = " compared"
#: What a value inside CSS may be: words, numbers, lengths and colours. It can end neither the declaration, the rule
#: nor a string, and it can fetch nothing.
_proper_css = re.compile(r"(?:[A-Za-z0-9#%.,+ -]|\brgba?\([0-9., %]*\))*").fullmatch


@pass_context
def _counted(context: Context, values: Any, units: int) -> Iterable[Any]:
    budget: Budget = context.parent[BUDGET]
    if isinstance(values, Undefined):
        values._fail_with_undefined_error()
    return budget.counted(values, units)


@pass_context
def _spent(context: Context, units: int) -> str:
    context.parent[BUDGET].spend(units)
    return ""


@pass_context
def _sized(context: Context, value: Any) -> Any:
    return context.parent[BUDGET].kept(value)


@pass_context
def _joined(context: Context, values: list[Any]) -> str:
    text = joined(context.environment.autoescape is True, values)
    context.parent[BUDGET].spend(len(text))
    return text


def _in(value: Any, container: Any) -> bool:
    return value in container


def _not_in(value: Any, container: Any) -> bool:
    return value not in container


#: By the names of Jinja's syntax tree.
_OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": _in,
    "notin": _not_in,
}
#: By the names of Jinja's tests, which `select` and its like use too.
_TESTS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    **dict.fromkeys(("eq", "equalto", "=="), operator.eq),
    **dict.fromkeys(("ne", "!="), operator.ne),
    **dict.fromkeys(("lt", "lessthan", "<"), operator.lt),
    **dict.fromkeys(("le", "<="), operator.le),
    **dict.fromkeys(("gt", "greaterthan", ">"), operator.gt),
    **dict.fromkeys(("ge", ">="), operator.ge),
    "in": _in,
}


@pass_context
def _compared(context: Context, left: Any, *operands: Any) -> Any:
    """`left == right`, `left < middle <= right`, …: `operands` are operators and values by turns."""
    budget: Budget = context.parent[BUDGET]
    if len(operands) == 2 and type(left) in SCALARS and type(operands[1]) in SCALARS:
        budget.spend(2 * LOOKED_AT)
        return _OPERATORS[operands[0]](left, operands[1])
    result: Any = True
    for name, right in zip(operands[::2], operands[1::2], strict=True):
        budget.compared(left, right)
        result = _OPERATORS[name](left, right)
        if not result:
            break
        left = right
    return result


def charged_tests() -> dict[str, Callable[..., Any]]:
    """The tests that take time or memory, by name; those that compare pay as the operators do."""
    return {
        **{name: _charged_test(compare) for name, compare in _TESTS.items()},
        "lower": _case_test(str.islower),
        "upper": _case_test(str.isupper),
        "odd": lambda value: _whole(value) % 2 == 1,
        "even": lambda value: _whole(value) % 2 == 0,
        "divisibleby": lambda value, number: _whole(value) % _whole(number) == 0,
    }


def _charged_test(compare: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    @pass_context
    def tested(context: Context, left: Any, right: Any) -> Any:
        context.parent[BUDGET].compared(left, right)
        return compare(left, right)

    return tested


def _case_test(has_case: Callable[[str], bool]) -> Callable[..., bool]:
    @pass_context
    def tested(context: Context, value: Any) -> bool:
        context.parent[BUDGET].spend(size_checked(value))
        return isinstance(value, str) and has_case(value)

    return tested


def _whole(value: Any) -> int | float:
    if isinstance(value, int | float):
        return value
    raise RenderError("odd, even and divisibleby take numbers only")  # `%` formats a text, however wide


def _required(value: Any, name: str) -> Any:
    if is_empty(value):
        raise RenderError(f"{name} is empty", hint=f'say what to print instead: {{{{ {name} or "…" }}}}')
    return value


def _writers(*, html: bool) -> tuple[Filter, Filter, Filter]:
    """`shown`, `printed` and `remembered` for HTML or plain text.

    Written out three times: a call less is a tenth of a message's time.
    """

    @pass_context
    def shown(context: Context, value: Any) -> str:
        if type(value) is not str:
            value = shown_value(context, value)
        budget: Budget = context.parent[BUDGET]
        size = len(value)
        budget.left -= size
        if budget.left < 0 or size > MAX_TEXT:
            budget.refuse(size)
        return escaped(value) if html and type(value) is not Markup else value

    @pass_context
    def printed(context: Context, value: Any, name: str) -> str:
        if type(value) is not str:
            value = shown_value(context, _required(value, name))
        elif not value or value.isspace():
            _required(value, name)
        budget: Budget = context.parent[BUDGET]
        size = len(value)
        budget.left -= size
        if budget.left < 0 or size > MAX_TEXT:
            budget.refuse(size)
        return escaped(value) if html and type(value) is not Markup else value

    @pass_context
    def remembered(context: Context, value: Any, name: str | None, key: str) -> str:
        """`value` as `printed` writes it, or without `name` as `shown` does; if it is short, remembered by `key`."""
        if type(value) is str and 0 < len(value) <= SHORT and not value.isspace():
            text = escaped(value) if html else value
        elif type(value) is int and -MAX_NUMBER < value < MAX_NUMBER:
            text = str(value)
        else:
            text = shown(context, value) if name is None else printed(context, value, name)
            if type(text) is not str or len(text) > SHORT:
                return text
        context.parent[SAID][key] = text
        return text

    return shown, printed, remembered


@pass_context
def _link(context: Context, value: str) -> str:
    html = context.environment.autoescape
    target = rendered_target(unescape(str(value)) if html else value)
    own = target in [context.parent[name] for name in ("unsubscribe_url", "preferences_url", "view_url")]
    url = context.parent["_urls"].click(None, target) if is_web(target) and not own else target
    return escape(url) if html else str(url)


@pass_context
def _target(context: Context, value: str) -> str:
    html = context.environment.autoescape
    checked = rendered_target(unescape(str(value)) if html else value)
    return escape(checked) if html else checked


@pass_context
def _mailbox(context: Context, value: str) -> str:
    return quote(_plain(context, value), safe="@+")


@pass_context
def _mail_field(context: Context, value: str) -> str:
    return quote(_plain(context, value), safe="")


def _plain(context: Context, value: str) -> str:
    return unescape(str(value)) if context.environment.autoescape else str(value)


def _css(value: str) -> str:
    """`value`, escaped already, unless it could be more than one plain value of CSS."""
    if _proper_css(value):
        return value
    raise RenderError(
        f"a value inside CSS is {unescape(str(value))[:80]!r}",
        hint="letters, digits, blanks, # % . , + - and rgb(…) may stand there",
    )


def built_in_filters(*, html: bool) -> dict[str, Filter]:
    """The functions by the names under which the sandbox calls them."""
    shown, printed, remembered = _writers(html=html)
    return {
        " counted": _counted,
        " spent": _spent,
        " sized": _sized,
        " joined": _joined,
        " required": _required,
        SHOWN: shown,
        PRINTED: printed,
        REMEMBERED: remembered,
        COMPARED: _compared,
        "_css": _css,
        "_link": _link,
        "_mail_field": _mail_field,
        "_mailbox": _mailbox,
        "_target": _target,
    }
