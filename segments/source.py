"""An expression's text, its tokens, and the tree Jinja makes of them, each with its place in the text.

Jinja knows the line of a token and no column. Here its parser is fed tokens whose line number *is* their
offset, so every node of its tree, and every syntax error, carries the offset instead.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser

from segments.mistakes import Wrong, wrong

MAX_LENGTH: Final = 50_000  # characters
MAX_DEPTH: Final = 25  # brackets in brackets; Jinja's parser takes about 13 Python frames for each
MAX_NUMBER: Final = 30  # digits

_ENVIRONMENT: Final = Environment(autoescape=True)
_OPENING: Final = {"(": ")", "[": "]", "{": "}"}

_JOINING: Final = frozenset({"and", "or", "in", "is"})
_JOINED: Final = _JOINING | {"", "not", "(", "[", "{", ",", ":", "=", "==", "!=", "<", "<=", ">", ">="}

#: What Jinja would take and a segment does not: token as written → (message, hint).
_REFUSED: Final = {
    "|": ("filters are not used in segments", "for 'one or the other' write 'or'"),
    "~": ("'~' joins texts; a segment only compares them", ""),
    "+": ("a segment does not calculate", "compare a field with a number"),
    "*": ("a segment does not calculate", "compare a field with a number"),
    "/": ("a segment does not calculate", "compare a field with a number"),
    "//": ("a segment does not calculate", "compare a field with a number"),
    "%": ("a segment does not calculate", "compare a field with a number"),
    "**": ("a segment does not calculate", "compare a field with a number"),
    ";": ("';' has no meaning here", "join conditions with 'and' or 'or'"),
    "if": ("'if' is not used in segments", "join conditions with 'and', 'or' and 'not'"),
    "else": ("'else' is not used in segments", "join conditions with 'and', 'or' and 'not'"),
    "}}": ("'}}' has no opening bracket", "write the expression without {{ }}"),
    "-}}": ("'}}' has no opening bracket", "write the expression without {{ }}"),
    "%}": ("'%}' has no opening bracket", "write the expression without {% %}"),
}
#: Characters no token begins with: → hint.
_STRANGE: Final = {
    "&": "write 'and'",
    "!": "write 'not', or '!=' for different",
    '"': "the text that begins here has no closing quote",
    "'": "the text that begins here has no closing quote",
    "“": 'write straight quotes: "…"',
    "”": 'write straight quotes: "…"',
    "„": 'write straight quotes: "…"',
    "‘": "write straight quotes: '…'",
    "’": "write straight quotes: '…'",
    "，": "write ','",
    "（": "write '('",
    "）": "write ')'",
    "＝": "write '=='",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A text that is one Jinja expression."""

    text: str
    tree: nodes.Expr
    keyword_places: Mapping[int, int]  # offset of an argument's value → offset of its name


def parse(text: str) -> Source:
    """The expression's tree; every `lineno` in it is an offset into the text.

    Raises:
        Wrong: it is not one expression, or uses what segments do not have; one mistake.
    """
    if text.lstrip().startswith(("{{", "{%")):
        raise wrong(text.index("{"), "brackets around the whole expression", "write it without {{ }}")
    if len(text) > MAX_LENGTH:
        raise wrong(0, f"the expression is too long (got {len(text):,} characters, at most {MAX_LENGTH:,})")
    pieces = list(_pieces(text))
    _vet(pieces)
    tokens = [*_tokens(pieces), Token(len(text.rstrip()), "eof", "")]
    if len(tokens) == 1:
        raise wrong(0, "the expression is empty", 'write a condition, such as tier == "top"; true selects everybody')
    parser = Parser(_ENVIRONMENT, "", state="variable")
    parser.stream = TokenStream(iter(tokens), None, None)
    try:
        tree = parser.parse_expression()
    except TemplateSyntaxError as error:
        raise _unexpected(tokens, error) from error
    if not parser.stream.eos:
        raise _left_over(parser.stream.current)
    return Source(text, tree, _keyword_places(tokens))


def _pieces(text: str) -> Iterator[tuple[int, str, str]]:
    """Every token and blank of the text as (offset, kind, characters)."""
    offset = 0
    try:
        for _, kind, raw in _ENVIRONMENT.lexer.tokeniter(text, None, None, "variable"):
            yield offset, str(kind), raw
            offset += len(raw)
    except TemplateSyntaxError as error:
        char = text[offset]
        if str(error.message).startswith("unexpected char"):
            hint = _STRANGE.get(char, "")
            message = hint if hint.startswith("the text") else f"{char!r} has no meaning here"
            raise wrong(offset, message, "" if message == hint else hint) from error
        raise wrong(offset, _brackets(str(error.message))) from error


def _brackets(message: str) -> str:
    got, _, wanted = message.removeprefix("unexpected ").partition(", expected ")
    return f"the bracket does not fit (got {got}, expected {wanted})" if wanted else f"{got} has no opening bracket"


def _vet(pieces: list[tuple[int, str, str]]) -> None:
    """Nothing a segment does not have, and no nesting that would exhaust a stack."""
    opened: list[tuple[int, str]] = []
    before = ""
    for offset, kind, raw in pieces:
        if kind == "whitespace":
            continue
        if raw in _REFUSED and kind != "string":
            raise wrong(offset, *_REFUSED[raw])
        if kind in ("integer", "float") and len(raw) > MAX_NUMBER:
            raise wrong(offset, f"the number is too long (at most {MAX_NUMBER} characters)")
        if kind == "string" and "\n" in raw:
            raise wrong(offset, "a text must end on the line it begins on")
        if raw == before and raw in ("not", "-"):
            raise wrong(offset, f"two {raw!r} in a row", "leave out both")
        if raw in _JOINING and before in _JOINED and (before, raw) != ("not", "in"):
            raise wrong(offset, f"{raw!r} joins nothing here", "something must stand on both sides of it")
        if raw in _OPENING:
            opened.append((offset, raw))
        elif raw in _OPENING.values():
            opened.pop()
        if len(opened) > MAX_DEPTH:
            message = f"brackets are nested too deep (at most {MAX_DEPTH})"
            raise wrong(offset, message, "make the inner part a segment of its own and use in_segment(…)")
        before = raw
    if opened:
        offset, bracket = opened[-1]
        raise wrong(offset, f"{bracket!r} is never closed", f"add {_OPENING[bracket]!r}")


def _tokens(pieces: list[tuple[int, str, str]]) -> list[Token]:
    try:
        return list(_ENVIRONMENT.lexer.wrap(iter(pieces)))
    except TemplateSyntaxError as error:
        at = error.lineno
        what = "this name holds a character names cannot have" if "identifier" in str(error.message) else ""
        raise wrong(at, what or f"the text holds a '\\' that means nothing ({error.message})") from error


def _unexpected(tokens: list[Token], error: TemplateSyntaxError) -> Wrong:
    at = error.lineno
    token = next((token for token in tokens if token.lineno == at), tokens[-1])
    if token.type == "eof":
        return wrong(
            at,
            "the expression ends too early",
            "after 'and', 'or', 'not' and comparisons something must follow",
        )
    if token.type == "assign":
        return wrong(at, "'=' compares nothing", "write '==' to compare")
    if "chain multiple tests" in str(error.message):
        return wrong(at, "'is' follows 'is'", "join tests with 'and'")
    return wrong(at, f"{_shown(token)} is out of place here")


def _left_over(token: Token) -> Wrong:
    if token.type == "assign":
        return wrong(token.lineno, "'=' compares nothing", "write '==' to compare")
    word = str(token.value).lower()
    if word in ("and", "or", "not", "in", "is") and token.value != word:
        return wrong(token.lineno, f"{token.value!r} is written in lower case", f"write {word!r}")
    return wrong(token.lineno, f"{_shown(token)} is out of place here", "join conditions with 'and' or 'or'")


def _shown(token: Token) -> str:
    return f'"{token.value}"' if token.type == "string" else repr(str(token.value))


def _keyword_places(tokens: list[Token]) -> dict[int, int]:
    found: dict[int, int] = {}
    for name, sign, value in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if name.type == "name" and sign.type == "assign":
            found[value.lineno] = name.lineno
    return found
