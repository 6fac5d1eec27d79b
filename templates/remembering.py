"""What a mailing prints several times is worked out once a message: its HTML and its text say much the same.

An expression is remembered by what it says. Only those are that mean the same anywhere in the message: fields of what
every template is given, words to say instead of an empty one, and the filters that write numbers and dates.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from jinja2 import nodes

from templates.characters import escaped, in_ascii

#: The texts printed so far stand in the context under a name no template can write; those of HTML are escaped.
SAID: Final = " said"
#: A longer text is written out anew, and charged, each time. What a template prints without a loop is bounded then by
#: its own length, so that it need not be charged.
SHORT: Final = 200
#: They read the value, their arguments and the customer's language, and do the same in HTML and in text.
_ALIKE: Final = frozenset({"date", "money", "number", "default", "d"})


def own_names(tree: nodes.Node) -> frozenset[str]:
    """The names that the template gives values itself: they may mean something else further down."""
    return frozenset({name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}) | {
        macro.name for macro in tree.find_all(nodes.Macro)
    }


def key_of(node: nodes.Node, own: Collection[str]) -> str | None:
    """The same text for expressions that print the same throughout a message; None: this one may not."""
    try:
        return "".join(_words(node, own))
    except _Changing:
        return None


def field_of(remembered: nodes.Filter) -> tuple[str, ...]:
    """Where the field stands that is printed, `("customer", "city")`; of `a or b`, where `a` does; `()`: it is none."""
    value = remembered.node.left if isinstance(remembered.node, nodes.Or) else remembered.node
    path: tuple[str, ...] = ()
    while isinstance(value, nodes.Getattr):
        path, value = (value.attr, *path), value.node
    return (value.name, *path) if isinstance(value, nodes.Name) and path else ()


class _Changing(Exception):
    """The value may depend on where it stands."""


def _words(node: Any, own: Collection[str]) -> Iterator[str]:
    match node:
        case nodes.Const():
            yield repr(node.value)
        case nodes.Name() if node.name not in own and not node.name.startswith("_"):
            yield node.name
        case nodes.Getattr():
            yield from _words(node.node, own)
            yield f".{node.attr}"
        case nodes.Getitem(arg=nodes.Const() as place):
            yield from _words(node.node, own)
            yield f"[{place.value!r}]"
        case nodes.Or():
            yield "("
            yield from _words(node.left, own)
            yield " or "
            yield from _words(node.right, own)
            yield ")"
        case nodes.Filter() if node.name in _ALIKE and node.node is not None and not (node.dyn_args or node.dyn_kwargs):
            yield from _words(node.node, own)
            yield f"|{node.name}("
            for value in node.args:
                yield from _words(value, own)
                yield ","
            for pair in node.kwargs:
                yield f"{pair.key}="
                yield from _words(pair.value, own)
                yield ","
            yield ")"
        case _:
            raise _Changing


def in_html(said: Mapping[str, str], *, as_ascii: bool) -> dict[str, str]:
    """What plain text said, as HTML says it; `as_ascii`: with the signs that ASCII can say as character references.

    All at once: one by one they would take three times as long.
    """
    words = escaped("\0".join(said.values()))
    parts = (in_ascii(words) if as_ascii else words).split("\0")
    return dict(zip(said, parts, strict=True)) if len(parts) == len(said) else {}
