"""The examples of the page for marketers are mailings that work."""

import re
from pathlib import Path

import pytest

from templates.files import CONTENT_TYPES, Asset, Pinned
from templates.filters import public_filters
from templates.variables import FIELDS
from tests.unit.templates_support import PlainUrls, compiled, context_of

PAGE = (Path(__file__).parents[2] / "docs" / "templates.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```(html|mjml)\n(.*?)```", PAGE, re.DOTALL)

FILES = ("files/price-list.pdf", "files/terms.pdf", "images/logo.png")
SHELF = Pinned({name: Asset(name, name.encode().hex().ljust(64, "0"), 1000) for name in FILES})


@pytest.mark.parametrize(("suffix", "text"), EXAMPLES)
def test_example_renders(suffix: str, text: str) -> None:
    """Each example compiles and renders, also for a customer of whom only the address is known."""
    bare = context_of(first_name=None, last_name=None, company=None, order_count=None, tier=None, attributes={})
    mailing = compiled({f"example.{suffix}": text}, shelf=SHELF)

    assert all("Unsubscribe" in mailing.render(context, PlainUrls()).text for context in (bare, context_of()))


def test_page_names_every_field_and_filter() -> None:
    """Nothing a template may use is missing from the page."""
    names = {field for fields in FIELDS.values() for field in fields} | set(public_filters()) - {"d", "e"}

    assert [] == sorted(name for name in names if not re.search(rf"\b{name}\b", PAGE))


def test_page_shows_files_that_are_sent() -> None:
    """The example of attachments sends its two files and its picture; every ending that may be sent is named."""
    text = next(text for _, text in EXAMPLES if "attachments:" in text)
    mailing = compiled({"example.html": text}, shelf=SHELF)

    assert FILES == (*(each.asset.name for each in mailing.attachments), *(image.name for image in mailing.images))
    assert ["price-list.pdf", "Bedingungen 2026.pdf"] == [attachment.name for attachment in mailing.attachments]
    assert " ".join(sorted(ending.removeprefix(".") for ending in CONTENT_TYPES)) in PAGE
