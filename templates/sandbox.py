"""Jinja as templates may use it: no access to anything but values, and nothing that can run away.

`ImmutableSandboxedEnvironment` keeps Python's internals out of reach but limits neither time nor memory. Here
operators and calls are intercepted, attributes and methods are on lists of their own, and `charging` makes
loops, macros and printed values pay from the message's budget.
"""

from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from typing import Any, Final

from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from core.errors import RenderError
from templates.budget import BUDGET, MAX_ITEMS, MAX_RANGE, MAX_TEXT, STEP, Budget, check_number, check_size
from templates.built_in import built_in_filters, charged_tests
from templates.charging import Charging, Escaping
from templates.filters import public_filters
from templates.page_links import PageLink

_TEXT_METHODS: Final = frozenset(
    {
        "lower",
        "upper",
        "title",
        "capitalize",
        "strip",
        "lstrip",
        "rstrip",
        "startswith",
        "endswith",
        "split",
        "count",
    }
)
_DICT_METHODS: Final = frozenset({"items", "keys", "values", "get"})
_DATE_FIELDS: Final = frozenset({"year", "month", "day", "hour", "minute", "isoformat", "weekday"})
_LOOP_FIELDS: Final = frozenset(
    {
        "index",
        "index0",
        "revindex",
        "revindex0",
        "first",
        "last",
        "length",
        "depth",
        "depth0",
        "previtem",
        "nextitem",
        "cycle",
        "changed",
    }
)
_ALLOWED: Final[tuple[tuple[type, frozenset[str]], ...]] = (
    (str, _TEXT_METHODS),
    (datetime, _DATE_FIELDS),
    (date, _DATE_FIELDS),
    (LoopContext, _LOOP_FIELDS),
)


class Missing(StrictUndefined):
    """A value that is not there: false in a condition, equal to none, and an error when it is used."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]
        return False

    def __eq__(self, other: object) -> bool:  # type: ignore[override]
        return other is None or isinstance(other, StrictUndefined)

    def __ne__(self, other: object) -> bool:  # type: ignore[override]
        return not self == other

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(None)

    @property
    def _undefined_message(self) -> str:
        return self._undefined_hint or f"{self._undefined_name!r} is not there"


def bounded_range(*bounds: int) -> range:
    """Python's `range`, of at most `MAX_RANGE` numbers."""
    numbers = range(*bounds)
    if len(numbers) > MAX_RANGE:
        raise RenderError(f"the range is too long (got {len(numbers)}, at most {MAX_RANGE} numbers)")
    return numbers


#: All that templates can call without a customer: a short list, and documented.
GLOBALS: Final[Mapping[str, Any]] = {"range": bounded_range, "namespace": Namespace}


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of every mailing."""

    code_generator_class = Escaping
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, *, html: bool) -> None:
        super().__init__(autoescape=html, undefined=Missing, keep_trailing_newline=True, cache_size=0)
        self.globals.clear()
        self.filters.clear()
        self.filters.update(public_filters() | built_in_filters(html=html))
        for name in ("filter", "test", "callable", "escaped", "sameas"):
            del self.tests[name]
        self.tests.update(charged_tests())

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        charged = Charging(self, tree).visit(tree)
        charged.set_environment(self)
        return charged  # type: ignore[no-any-return]

    def parse_plain(self, source: str) -> nodes.Template:
        """The tree of `source` as it was written, for checks."""
        return super()._parse(source, None, None)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A field of a record, or one of the few allowed methods; a record's field comes first."""
        if isinstance(obj, dict):
            try:
                return obj[attribute]
            except KeyError:
                if attribute in _DICT_METHODS:
                    return getattr(obj, attribute)
                return Missing(obj=obj, name=attribute)
        if isinstance(obj, Namespace):
            return ImmutableSandboxedEnvironment.getattr(self, obj, attribute)
        if isinstance(obj, StrictUndefined):
            return obj._fail_with_undefined_error()
        for kind, allowed in _ALLOWED:
            if isinstance(obj, kind):
                if attribute in allowed:
                    return getattr(obj, attribute)
                break
        if obj is None:
            return Missing(hint=f"{attribute!r} is asked of something that is empty")
        raise SecurityError(f"{attribute!r} is not available in templates")

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An item of a record, list or text."""
        if isinstance(obj, dict | list | tuple | str | range):
            try:
                return obj[argument]
            except (KeyError, IndexError, TypeError):
                return Missing(obj=obj, name=argument)
        if isinstance(argument, str):
            return self.getattr(obj, argument)
        raise SecurityError("this value has no items")

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """The result of a macro or an allowed method, charged by what it looks through and by its size."""
        kwargs.pop("_loop_vars", None)  # Jinja hands both to `Context.call`, which takes them off again
        kwargs.pop("_block_vars", None)
        budget: Budget = context.parent[BUDGET]
        budget.spend(STEP)
        if isinstance(obj, StrictUndefined):
            obj._fail_with_undefined_error()
        if not _callable(obj):
            raise SecurityError("this value cannot be called in templates")
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            budget.searched(owner, args)
        return budget.kept(obj(*args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`left operator right`, refused before it grows too big."""
        _check_operands(operator, left, right)
        result = check_number(self.binop_table[operator](left, right))
        return context.parent[BUDGET].kept(result) if isinstance(result, str | list | tuple) else result


def _callable(obj: Any) -> bool:
    if isinstance(obj, Macro | LoopContext | PageLink) or obj is bounded_range or obj is Namespace:
        return True
    owner = getattr(obj, "__self__", None)
    return isinstance(owner, str | dict | date | LoopContext)  # its name has passed `getattr`


def _check_operands(operator: str, left: Any, right: Any) -> None:
    if operator == "**":
        if not (isinstance(right, int | float) and -64 <= right <= 64 and abs(left) <= 1_000_000):
            raise RenderError("the template raises to a power that is too big")
        if isinstance(left, int) and left.bit_length() * right > 60:
            raise RenderError("the template works out a number that is too big")
    elif isinstance(left, str | list | tuple) or isinstance(right, str | list | tuple):
        _check_joined(operator, left, right)


def _check_joined(operator: str, left: Any, right: Any) -> None:
    if operator == "%":
        raise SecurityError("texts cannot be formatted with %; use ~ to join values")
    limit = MAX_TEXT if isinstance(left, str) or isinstance(right, str) else MAX_ITEMS
    if operator == "*":
        sequence, times = (right, left) if isinstance(left, int) else (left, right)
        if isinstance(times, int):
            check_size(len(sequence) * max(times, 0), limit)
    elif operator == "+" and isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
        check_size(len(left) + len(right), limit)


@cache
def sandbox(*, html: bool) -> Sandbox:
    """The one environment of HTML parts, or of plain text (subject, preheader, text part)."""
    return Sandbox(html=html)
