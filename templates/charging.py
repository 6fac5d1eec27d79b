"""The syntax tree of a template rewritten before it is compiled, so that the template pays for what it does.

Loops, macros, joins and lists are charged to the message's budget, and everything printed is checked.
"""

from collections.abc import Iterable
from typing import Any

from jinja2 import Environment, nodes
from jinja2.compiler import CodeGenerator
from jinja2.visitor import NodeTransformer

from templates.budget import STEP
from templates.built_in import COMPARED, PRINTED, REMEMBERED, SHOWN
from templates.remembering import SAID, SHORT, field_of, key_of, own_names


class Escaping(CodeGenerator):
    """Jinja's compiler, which escapes nothing that is escaped already, and looks into records by itself.

    Nearly everything a mailing asks for is a field of a record: asking the sandbox for each of them took a tenth of
    a message's time. Whatever is no record, or lacks the field, still goes to the sandbox.

    The page is collected in a list, which takes half as long as a generator that is asked for each piece. Whatever
    may be remembered is looked up among what was printed before in this message (`templates.remembering`); so that it
    is found quickly the first time, the records whose fields are printed are at hand.
    """

    _page: str | None = None  # the name of that list
    _said: str | None = None  # the name of what was printed before
    _records: dict[tuple[str, ...], str]  # the names of records, by where they stand

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._records = {}

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Any) -> None:
        if self._page is not None or not frame.rootlevel:
            super().blockvisit(nodes, frame)
            return
        self.buffer(frame)
        self._page, self._said = frame.buffer, self.temporary_identifier()
        self.writeline(f"{self._said} = context.parent[{SAID!r}]")
        if not self.environment.autoescape:
            self._find_records(nodes)
        super().blockvisit(nodes, frame)
        self.writeline(f"yield concat({self._page})")

    def visit_Filter(self, node: nodes.Filter, frame: Any) -> None:  # noqa: N802  the names of Jinja's visitor
        if node.name != REMEMBERED:
            super().visit_Filter(node, frame)
            return
        self.write(f"({self._said}.get({node.args[-1].as_const()!r}) or ")
        if self.environment.autoescape or node.node is None:
            super().visit_Filter(node, frame)
        else:
            self._remember(node, node.node, frame)
        self.write(")")

    def _find_records(self, body: Iterable[nodes.Node]) -> None:
        """The records whose fields may be remembered are at hand; an empty one stands for what is no record."""
        remembered = [each for node in body for each in node.find_all(nodes.Filter) if each.name == REMEMBERED]
        for *path, _ in filter(None, map(field_of, remembered)):
            source = "context.parent"
            for place in (tuple(path[:end]) for end in range(1, len(path) + 1)):
                if place not in self._records:
                    self._records[place] = record = self.temporary_identifier()
                    self.writeline(f"{record} = {source}.get({place[-1]!r})")
                    self.writeline(f"if type({record}) is not dict: {record} = {{}}")
                source = self._records[place]

    def _remember(self, node: nodes.Filter, value: nodes.Expr, frame: Any) -> None:
        """A short text in plain text is what it is: calling `remembered` for it took three times as long.

        It is looked for in the record at hand first; whatever else is there is worked out as the template says.
        """
        name, key = (argument.as_const() for argument in node.args)
        found = self.temporary_identifier()
        is_short_text = f"is str and 0 < len({found}) <= {SHORT} and not {found}.isspace()"
        self.write(f"({self._said}.setdefault({key!r}, {found}) if ")
        field = field_of(node)
        if record := self._records.get(field[:-1]):
            self.write(f"type({found} := {record}.get({field[-1]!r})) {is_short_text} or ")
        self.write(f"type({found} := ")
        self.visit(value, frame)
        self.write(f") {is_short_text} else {self.filters[REMEMBERED]}(context, {found}, {name!r}, {key!r}))")

    def visit_Getattr(self, node: nodes.Getattr, frame: Any) -> None:  # noqa: N802
        found = self.temporary_identifier()
        self.write(f"({found}[{node.attr!r}] if type({found} := ")
        self.visit(node.node, frame)
        self.write(f") is dict and {node.attr!r} in {found} else environment.getattr({found}, {node.attr!r}))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Any) -> None:  # noqa: N802
        if not (_is_internal(node) and isinstance(node.arg, nodes.Const)):
            super().visit_Getitem(node, frame)
            return
        self.visit(node.node, frame)
        self.write(f"[{node.arg.value!r}]")

    def _output_child_pre(self, node: nodes.Expr, frame: Any, finalize: Any) -> None:
        if _is_internal(node) or (isinstance(node, nodes.Filter) and node.name in (PRINTED, REMEMBERED, SHOWN)):
            self.write("(")
        else:
            super()._output_child_pre(node, frame, finalize)


class Charging(NodeTransformer):
    """Rewrites a tree so that what it does is charged, and what it prints is checked."""

    def __init__(self, environment: Environment, tree: nodes.Node) -> None:
        self._environment = environment
        self._own = own_names(tree)
        self._depth = 0  # of loops, macros and whatever else does not go straight into the page

    def _filter(self, name: str, node: nodes.Node | None, *args: object) -> nodes.Filter:
        constants: list[nodes.Expr] = [nodes.Const(arg) for arg in args]
        found = nodes.Filter(node, name, constants, [], None, None)
        found.set_lineno(node.lineno if node is not None else 1, override=False)
        return found

    def _located(self, node: nodes.Node, found: nodes.Filter) -> nodes.Filter:
        found.set_lineno(node.lineno, override=False)
        return found

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        cost = _cost(node.body)
        self._visit_inside(node)
        node.iter = self._located(node, self._filter(" counted", node.iter, cost))
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        return self._charged_body(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802
        return self._charged_body(node)

    def _charged_body(self, node: Any) -> nodes.Node:
        cost = _cost(node.body)
        self._visit_inside(node)
        charge = nodes.Output([self._filter(" spent", nodes.Const(cost, lineno=node.lineno))], lineno=node.lineno)
        node.body.insert(0, self._lined(charge, node.lineno))
        return node  # type: ignore[no-any-return]

    def _visit_inside(self, node: nodes.Node) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    @staticmethod
    def _lined(node: nodes.Node, lineno: int) -> nodes.Node:
        return node.set_lineno(lineno, override=False)

    def visit_FilterBlock(self, node: nodes.FilterBlock) -> nodes.Node:  # noqa: N802
        self._visit_inside(node)
        return node

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:  # noqa: N802
        self._visit_inside(node)
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

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        found = self._located(node, self._filter(COMPARED, node.expr))
        found.args = [part for operand in node.ops for part in (nodes.Const(operand.op), operand.expr)]
        return self._located(node, found)

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if node.expr2 is None:
            node.expr2 = nodes.Const("", lineno=node.lineno)
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        demanded = [part if isinstance(part, nodes.TemplateData) else self._printed(part) for part in node.nodes]
        node.nodes = demanded
        return node

    def _printed(self, node: nodes.Expr) -> nodes.Expr:
        """`node` so that nothing empty is printed unless the template says what to print instead (S-2.25)."""
        if isinstance(node, nodes.Const) or _is_internal(node):
            return node
        key = None if self._depth else key_of(node, self._own)
        if isinstance(node, nodes.Name | nodes.Getattr | nodes.Getitem):
            name = path_text(node)
            self.generic_visit(node)
            written = self._filter(PRINTED, node, name) if key is None else self._filter(REMEMBERED, node, name, key)
        else:
            shown = self.visit(self._demanded(node))
            written = self._filter(SHOWN, shown) if key is None else self._filter(REMEMBERED, shown, None, key)
        return self._located(node, written)

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
