"""Constants written in an expression."""

from datetime import UTC, datetime
from decimal import Decimal

from jinja2 import nodes

from segments.mistakes import wrong
from segments.places import start
from segments.tree import Constant, Type


def is_literal(node: nodes.Expr) -> bool:
    """Whether the node is a constant; `none` is one."""
    return isinstance(node, nodes.Const) or (isinstance(node, nodes.Neg) and isinstance(node.node, nodes.Const))


def constant(node: nodes.Expr, what: str) -> tuple[Type, Constant]:
    """The type and value of a literal; numbers are decimals."""
    at = start(node)
    sign, inner = (-1, node.node) if isinstance(node, nodes.Neg) else (1, node)
    if not isinstance(inner, nodes.Const):
        raise wrong(at, f"{what} must be a text, a number or true/false")
    value = inner.value
    if value is None:
        raise wrong(at, f"{what} cannot be none", "write 'is missing' or 'is present'")
    if isinstance(value, bool | str) and sign < 0:
        raise wrong(at, "'-' stands before something that is no number")
    if isinstance(value, bool):
        return Type.FLAG, value
    if isinstance(value, str):
        return Type.TEXT, _storable(value, at)
    number = Decimal(repr(value))
    if not number.is_finite():
        raise wrong(at, "the number is too large")
    return Type.NUMBER, sign * number


def text_constant(node: nodes.Expr, what: str) -> str:
    """A text literal."""
    if not isinstance(node, nodes.Const) or not isinstance(node.value, str):
        raise wrong(start(node), f"{what} must be a text in quotes")
    return _storable(node.value, start(node))


def _storable(text: str, at: int) -> str:
    """`text`, which PostgreSQL can hold: neither NUL nor half of a surrogate pair."""
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise wrong(at, "the text holds a character that cannot be stored")
    return text


def instant(text: str, at: int) -> datetime:
    """The aware instant of an ISO date or date and time; UTC where no offset is written."""
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong(at, f"got {text!r}, expected a date such as '2026-03-01' or '2026-03-01T09:00'") from None
