"""The examples of docs/authentication.md are settings that Clarion reads."""

import re
import textwrap
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from core.dkim_settings import DkimSettings
from core.yaml_files import Document, parse_document
from delivery.dkim import VALID_FOR

PAGE = (Path(__file__).parents[2] / "docs" / "authentication.md").read_text(encoding="utf-8")
EXAMPLES = [textwrap.dedent(block) for block in re.findall(r"^ *```yaml\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_is_read(example, monkeypatch):
    """
    Each YAML example names keys of one domain, of which one signs for each kind.
    """
    monkeypatch.setenv("DKIM_KEY", "not read here")
    document = parse_document(example, Document("clarion.yaml"))
    read = TypeAdapter(DkimSettings).validate_python(document.content["dkim"])

    signing = [key.selector[0] for key in read["paper.example"].keys if key.signs]
    assert [] == document.problems
    assert signing in (["s"], ["s", "e"])


def test_page_has_examples_and_tells_how_long_signatures_are_valid():
    """
    The page's examples are found, and the days it names are those of the code.
    """
    assert 5 == len(EXAMPLES)
    assert f"**{VALID_FOR.days} days**" in PAGE
