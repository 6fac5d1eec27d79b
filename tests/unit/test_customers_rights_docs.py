"""docs/rights.md says what the code does: the table of what is kept how long, and the examples of settings."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from core.retention_settings import Retention
from core.settings import Settings
from core.units import parse_duration
from customers.importing.refused import REASON

PAGE = (Path(__file__).parents[2] / "docs" / "rights.md").read_text(encoding="utf-8")


def _length(text: str) -> timedelta | None:
    return None if text == "for good" else parse_duration(text)


def test_page_lists_every_class_with_its_default():
    """
    The table of docs/rights.md has the classes of `retention`, in their order, each with its default.
    """
    listed = re.findall(r"^\| `(\w+)` \| ([\w ]+?) \|", PAGE, re.MULTILINE)

    assert {name: getattr(Retention(), name) for name in Retention.model_fields} == {
        name: _length(text) for name, text in listed
    }


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_settings_of_the_page_are_settings(block):
    """
    Every example is taken by clarion.yaml as it stands, once its variables have values.
    """
    content = yaml.safe_load(re.sub(r"\$\{\w+\}", "0123456789abcdef0123456789abcdef", block))
    fields = {name: Settings.model_fields[name] for name in content}

    assert set(content) == set(fields)
    if "retention" in content:
        assert timedelta(days=30) == Retention.model_validate(content["retention"]).origins


def test_rejected_row_names_the_way_back():
    """
    The reason in the rejects file names the command that the page explains.
    """
    assert "clarion customer readmit" in REASON
    assert "clarion customer readmit" in PAGE
