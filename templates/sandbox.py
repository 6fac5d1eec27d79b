"""Jinja as templates may use it: no access to anything but values, and nothing that can run away.

`ImmutableSandboxedEnvironment` keeps Python's internals out of reach but limits neither time nor memory. Here
the syntax tree is rewritten before it is compiled, so that loops, macros, joins and printed values are charged
to the message's budget; operators and calls are intercepted; attributes and methods are on lists of their own.
"""

from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from typing import Any, Final

from jinja2 import Environment, StrictUndefined, nodes
from jinja2.compiler import CodeGenerator
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from core.errors import RenderError
from templates.budget import BUDGET, MAX_ITEMS, MAX_RANGE, MAX_TEXT, STEP, Budget, check_number, check_size
from templates.built_in import PRINTED, SHOWN, built_in_filters
from templates.filters import public_filters

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


class _Escaping(CodeGenerator):
    """Jinja's compiler, which escapes nothing that is escaped already."""

    def _output_child_pre(self, node: nodes.Expr, frame: Any, finalize: Any) -> None:
        if _is_internal(node) or (isinstance(node, nodes.Filter) and node.name in (PRINTED, SHOWN)):
            self.write("(")
        else:
            super()._output_child_pre(node, frame, finalize)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of every mailing."""

    code_generator_class = _Escaping
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, *, html: bool) -> None:
        super().__init__(autoescape=html, undefined=Missing, keep_trailing_newline=True, cache_size=0)
        self.globals.clear()
        self.filters.clear()
        self.filters.update(public_filters() | built_in_filters(html=html))
        for name in ("filter", "test", "callable", "escaped", "sameas"):
            del self.tests[name]

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        charged = _Charging(self).visit(tree)
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
        """The result of a macro or an allowed method, charged by its size."""
        budget: Budget = context.parent[BUDGET]
        budget.spend(STEP)
        if isinstance(obj, StrictUndefined):
            obj._fail_with_undefined_error()
        if not _callable(obj):
            raise SecurityError("this value cannot be called in templates")
        return budget.kept(obj(*args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`left operator right`, refused before it grows too big."""
        _check_operands(operator, left, right)
        result = check_number(self.binop_table[operator](left, right))
        return context.parent[BUDGET].kept(result) if isinstance(result, str | list | tuple) else result


def _callable(obj: Any) -> bool:
    if isinstance(obj, Macro | LoopContext) or obj is bounded_range or obj is Namespace:
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


class _Charging(NodeTransformer):
    """Rewrites a tree so that what it does is charged, and what it prints is checked."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def _filter(self, name: str, node: nodes.Node | None, *args: object) -> nodes.Filter:
        constants: list[nodes.Expr] = [nodes.Const(arg) for arg in args]
        found = nodes.Filter(node, name, constants, [], None, None)
        found.set_lineno(node.lineno if node is not None else 1, override=False)
        return found

    def _located(self, node: nodes.Node, found: nodes.Filter) -> nodes.Filter:
        found.set_lineno(node.lineno, override=False)
        return found

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802  the names of Jinja's visitor
        cost = _cost(node.body)
        self.generic_visit(node)
        node.iter = self._located(node, self._filter(" counted", node.iter, cost))
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        return self._charged_body(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802
        return self._charged_body(node)

    def _charged_body(self, node: Any) -> nodes.Node:
        cost = _cost(node.body)
        self.generic_visit(node)
        charge = nodes.Output(
            [self._filter(" spent", nodes.Const(cost, lineno=node.lineno))], lineno=node.lineno
        )
        node.body.insert(0, self._lined(charge, node.lineno))
        return node  # type: ignore[no-any-return]

    @staticmethod
    def _lined(node: nodes.Node, lineno: int) -> nodes.Node:
        return node.set_lineno(lineno, override=False)

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.filter = self._located(node, self._filter(" sized", node.filter))
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        return self._container(node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        return self._container(node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        return self._container(node) if node.ctx == "load" else node

    def _container(self, node: nodes.Expr) -> nodes.Node:
        """A list or record that is written out; one of constants alone is as big as its text."""
        self.generic_visit(node)
        if not any(True for _ in node.find_all((nodes.Name, nodes.Filter, nodes.Call))):
            return node
        return self._located(node, self._filter(" sized", node))

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._located(node, self._filter(" joined", nodes.List(node.nodes, lineno=node.lineno)))

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if node.expr2 is None:
            node.expr2 = nodes.Const("", lineno=node.lineno)
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        demanded = [
            part if isinstance(part, nodes.TemplateData) else self._printed(part) for part in node.nodes
        ]
        node.nodes = demanded
        return node

    def _printed(self, node: nodes.Expr) -> nodes.Expr:
        """`node` so that nothing empty is printed unless the template says what to print instead (S-2.25)."""
        if isinstance(node, nodes.Const) or _is_internal(node):
            return node
        if isinstance(node, nodes.Name | nodes.Getattr | nodes.Getitem):
            name = path_text(node)
            self.generic_visit(node)
            return self._located(node, self._filter(PRINTED, node, name))
        demanded = self._demanded(node)
        return self._located(node, self._filter(SHOWN, self.visit(demanded)))

    def _demanded(self, node: nodes.Expr) -> nodes.Expr:
        if isinstance(node, nodes.Name | nodes.Getattr | nodes.Getitem):
            return self._located(node, self._filter(" required", node, path_text(node)))
        if isinstance(node, nodes.Filter) and node.node is not None and node.name not in ("default", "d"):
            node.node = self._demanded(node.node)
        elif isinstance(node, nodes.Concat):
            node.nodes = [self._demanded(part) for part in node.nodes]
        return node


def _is_internal(node: nodes.Expr) -> bool:
    """Whether the compiler of mailings wrote this itself: a name that begins with `_`."""
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        node = node.node
    return isinstance(node, nodes.Name) and node.name.startswith("_")


def path_text(node: nodes.Node) -> str:
    """The expression as its writer knows it, `customer.attributes.size`."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        return f"{path_text(node.node)}.{node.attr}"
    if isinstance(node, nodes.Getitem):
        inner = node.arg.value if isinstance(node.arg, nodes.Const) else "…"
        return f"{path_text(node.node)}[{inner!r}]" if inner != "…" else f"{path_text(node.node)}[…]"
    return "the value"


def _cost(body: list[nodes.Node]) -> int:
    """What one pass through `body` costs: its own text, and a fifth of a step for each expression in it."""
    units = 0
    for node in body:
        for data in [node, *node.find_all(nodes.Node)]:
            units += len(data.data) if isinstance(data, nodes.TemplateData) else STEP // 5
    return units


@cache
def sandbox(*, html: bool) -> Sandbox:
    """The one environment of HTML parts, or of plain text (subject, preheader, text part)."""
    return Sandbox(html=html)
