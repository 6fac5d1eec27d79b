"""The page for marketers says what the language is."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segments.definition import Segment
from segments.expression import read
from segments.fields import FIELDS
from segments.functions import FUNCTIONS
from segments.membership import Vocabulary, rule
from segments.tree import Condition

PAGE = (Path(__file__).parents[2] / "docs" / "segments.md").read_text(encoding="utf-8")
NOW = datetime(2026, 3, 2, tzinfo=UTC)
VOCABULARY = Vocabulary(
    {"key-accounts": Segment("key-accounts", "segments/key-accounts.yaml", "true")},
    frozenset({"promotions"}),
    None,
)
_EXPRESSION = re.compile(r"==|!=|[<>] ?[\d\"]| is \w+| in \[|^not |^[a-z_]+\(")
#: Every text in back quotes that is an expression and not a piece of one.
EXAMPLES = sorted(
    {
        text
        for text in re.findall(r"`([^`\n]+)`", PAGE)
        if _EXPRESSION.search(text)
        and len(text) > len("not did")
        and not text.startswith(("clarion ", "x ", "newer_than(", "older_than("))
        and text not in ('tier == "tpo"', "tier > 3")
        and "…" not in text
    }
)


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_its_row(name: str) -> None:
    """
    Name, type, meaning and levels of a field stand in the table.
    """
    field = FIELDS[name]
    levels = f": {', '.join(field.levels)}" if field.levels else ""

    assert f"| `{name}` | {field.type.value} | {field.meaning}{levels} |" in PAGE


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_its_row(name: str) -> None:
    """
    Name, example and meaning of a function stand in a table, and the example compiles.
    """
    function = FUNCTIONS[name]

    assert f"| `{name}` | `{function.usage}` | {function.meaning} |" in PAGE
    assert isinstance(rule(function.usage, VOCABULARY).condition, Condition)


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_an_expression(text: str) -> None:
    """
    What the page shows can be copied into a segment.
    """
    assert () == read(text, VOCABULARY).mistakes


def test_the_segment_at_the_top_is_one() -> None:
    """
    The first file a marketer sees is valid.
    """
    where = PAGE.split("where: >\n")[1].split("```")[0]

    assert () == read(where, VOCABULARY).mistakes
    assert len(EXAMPLES) > 25
