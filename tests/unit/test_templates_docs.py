"""The examples of the page for marketers are mailings that work."""

import re
from pathlib import Path

import pytest

from templates.filters import public_filters
from templates.variables import FIELDS
from tests.unit.templates_support import PlainUrls, compiled, context_of

PAGE = (Path(__file__).parents[2] / "docs" / "templates.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```(html|mjml)\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("suffix", "text"), EXAMPLES)
def test_example_renders(suffix: str, text: str) -> None:
    """Each example compiles and renders, also for a customer of whom only the address is known."""
    bare = context_of(first_name=None, last_name=None, company=None, order_count=None, tier=None, attributes={})
    mailing = compiled({f"example.{suffix}": text})

    assert all("Unsubscribe" in mailing.render(context, PlainUrls()).text for context in (bare, context_of()))


def test_page_names_every_field_and_filter() -> None:
    """Nothing a template may use is missing from the page."""
    names = {field for fields in FIELDS.values() for field in fields} | set(public_filters()) - {"d", "e"}

    assert [] == sorted(name for name in names if not re.search(rf"\b{name}\b", PAGE))
