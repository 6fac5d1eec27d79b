"""What a template may name: checked in its syntax tree when it is compiled, not found out per customer."""

from collections.abc import Iterator, Mapping
from typing import Final

from jinja2 import TemplateSyntaxError, meta, nodes

from core.errors import Problem
from core.names import did_you_mean
from templates.charging import path_text
from templates.chunks import Script
from templates.page_links import FUNCTIONS
from templates.sandbox import GLOBALS, Sandbox, sandbox
from templates.words import words

#: The fields of each object; `attributes` of a customer holds whatever the imports brought.
FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "customer": words(
        "external_id email first_name last_name company phone country language zone owner attributes tier abc rfm "
        "quadrant order_count monetary first_order_at last_order_at recency_days"
    ),
    "organisation": frozenset({"name", "postal_address", "website"}),
    "campaign": frozenset({"name", "topic"}),
    "sender": frozenset({"name", "email"}),
}
LINKS: Final = frozenset({"unsubscribe_url", "preferences_url", "view_url"})
KNOWN: Final = frozenset({*FIELDS, *LINKS, *FUNCTIONS, *GLOBALS})
#: What comes with the order to send a transactional message: it may hold anything, and there is no way out of it.
GIVEN: Final = "given"
KNOWN_TRANSACTIONAL: Final = KNOWN - {"unsubscribe_url", "preferences_url"} | {GIVEN}
#: A step of a sequence knows what the passage through it began with.
KNOWN_IN_SEQUENCES: Final = KNOWN | {GIVEN}
_RECORD_METHODS: Final = frozenset({"items", "keys", "values", "get"})


def syntax_problems(script: Script, *, html: bool) -> list[Problem]:
    """The mistake that keeps the template from being read, if there is one."""
    found = _parsed(script, sandbox(html=html))
    return [found] if isinstance(found, Problem) else []


def _parsed(script: Script, environment: Sandbox) -> nodes.Template | Problem:
    try:
        return environment.parse_plain(script.text)
    except TemplateSyntaxError as error:
        return _at(script, error.lineno, *_syntax(error.message or "syntax error"))
    except (RecursionError, ValueError, MemoryError):
        return _too_deep(script)


def check_script(script: Script, *, html: bool, transactional: bool = False, given: bool = False) -> list[Problem]:
    """Every mistake that can be seen without a customer, each at its place."""
    known = KNOWN_TRANSACTIONAL if transactional else KNOWN_IN_SEQUENCES if given else KNOWN
    environment = sandbox(html=html)
    tree = _parsed(script, environment)
    if isinstance(tree, Problem):
        return [tree]
    try:
        problems = [_at(script, line, message, hint) for line, message, hint in _mistakes(tree, environment, known)]
        return problems or _compile_problems(script, environment)
    except RecursionError:
        return [_too_deep(script)]
    except Exception as error:  # noqa: BLE001  Jinja works constants out while it compiles, and they fail in any way
        message = f"an expression that cannot be worked out: {error}"
        return [_at(script, _failing_line(tree, environment), message)]


def _compile_problems(script: Script, environment: Sandbox) -> list[Problem]:
    """What only Jinja's compiler and Python's see, such as a hundred loops inside each other."""
    try:
        environment.compile(script.text)
    except TemplateSyntaxError as error:
        return [_at(script, error.lineno, error.message or "syntax error")]
    except (SyntaxError, ValueError, MemoryError, OverflowError):
        return [_too_deep(script)]
    return []


def _failing_line(tree: nodes.Template, environment: Sandbox) -> int:
    """The line of the first constant that cannot be worked out, such as `{[]: 1}`."""
    for node in tree.find_all(nodes.Expr):
        try:
            node.as_const(nodes.EvalContext(environment))
        except nodes.Impossible:
            continue
        except Exception:  # noqa: BLE001  whatever it was, here it is
            return node.lineno
    return 1


def _too_deep(script: Script) -> Problem:
    return _at(
        script,
        1,
        "the template is too deeply nested",
        "use fewer loops inside loops, and shorter expressions",
    )


def _at(script: Script, line: int, message: str, hint: str = "") -> Problem:
    file, at = script.origin(line)
    return Problem(file, at, message, hint)


def _syntax(message: str) -> tuple[str, str]:
    lowered = message[:1].lower() + message[1:]
    if "unknown tag" in message:
        return lowered, "a tag that ends a block needs the one that opens it before it"
    return lowered, ""


def _mistakes(tree: nodes.Template, environment: Sandbox, known: frozenset[str]) -> Iterator[tuple[int, str, str]]:
    unknown = list(_unknown_functions(tree, environment))
    yield from unknown
    yield from _forbidden(tree, known)
    assigned = {node.name for node in tree.find_all(nodes.Name) if node.ctx in ("store", "param")}
    if not unknown:  # the search for undeclared names compiles the tree, which needs its filters
        yield from _unknown_names(tree, assigned, known)
    yield from _unknown_fields(tree, assigned)


def _unknown_functions(tree: nodes.Template, environment: Sandbox) -> Iterator[tuple[int, str, str]]:
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        known = environment.filters if isinstance(node, nodes.Filter) else environment.tests
        kind = "filter" if isinstance(node, nodes.Filter) else "test"
        name = node.name
        if name not in known or name.startswith("_"):
            yield node.lineno, f"there is no {kind} {name!r}", _function_hint(name, known)


def _function_hint(name: str, known: Mapping[str, object]) -> str:
    if name == "safe":
        return "values are always escaped; write the HTML in the template"
    return did_you_mean(name, [other for other in known if other.isidentifier()])


def _forbidden(tree: nodes.Template, known: frozenset[str]) -> Iterator[tuple[int, str, str]]:
    for node in tree.find_all((nodes.ScopedEvalContextModifier, nodes.EvalContextModifier)):
        yield (
            node.lineno,
            "escaping cannot be switched off",
            "values are always escaped; write the HTML yourself",
        )
    for name in tree.find_all(nodes.Name):
        if name.ctx in ("store", "param") and name.name in known:
            yield name.lineno, f"{name.name!r} is taken and cannot be set", "choose another name"
        elif name.ctx in ("store", "param") and name.name.startswith("_"):
            yield name.lineno, f"the name {name.name!r} begins with '_'", "choose another name"
    for ref in tree.find_all(nodes.NSRef):
        if ref.attr.startswith("_"):
            yield ref.lineno, f"the name {ref.attr!r} begins with '_'", "choose another name"


def _unknown_names(tree: nodes.Template, assigned: set[str], known: frozenset[str]) -> Iterator[tuple[int, str, str]]:
    undeclared = meta.find_undeclared_variables(tree) - known
    seen: set[tuple[int, str]] = set()
    for node in tree.find_all(nodes.Name):
        if node.name in undeclared and node.ctx == "load" and (node.lineno, node.name) not in seen:
            seen.add((node.lineno, node.name))
            yield node.lineno, f"{node.name!r} is not known here", _name_hint(node.name, assigned, known)


def _name_hint(name: str, assigned: set[str], known: frozenset[str]) -> str:
    if name == GIVEN:
        return "only mails of events, transactional campaigns and sequences have it: let one of them name this template"
    if name in LINKS:
        return "nobody unsubscribes from a transactional message; use a layout without that link"
    owner = next((owner for owner, fields in FIELDS.items() if name in fields), None)
    if owner is not None:
        return f"write {owner}.{name}"
    return did_you_mean(name, {*known, *assigned})


def _unknown_fields(tree: nodes.Template, assigned: set[str]) -> Iterator[tuple[int, str, str]]:
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        owner = node.node  # type: ignore[attr-defined]
        name = _field(node)
        if name is not None and name.startswith("_"):
            yield node.lineno, f"{path_text(node)} begins with '_' and is not available", ""
        elif name is not None and isinstance(owner, nodes.Name) and owner.name in FIELDS and owner.name not in assigned:
            fields = FIELDS[owner.name]
            if name not in fields and name not in _RECORD_METHODS:
                yield (
                    node.lineno,
                    f"{owner.name} has no field {name!r}",
                    _field_hint(owner.name, name, fields),
                )


def _field(node: nodes.Node) -> str | None:
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        return node.arg.value
    return None


def _field_hint(owner: str, name: str, fields: frozenset[str]) -> str:
    hint = did_you_mean(name, fields)
    if owner == "customer":
        own = f"a field of your own is written customer.attributes.{name}"
        return f"{hint} {own}" if hint.startswith("did you mean") else own
    return hint
