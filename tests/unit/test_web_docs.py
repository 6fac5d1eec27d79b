"""What docs/public-pages.md shows can be written, and its figures are those of the code."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from core.clock import SystemClock
from core.database import Database
from core.form_settings import PageLimits, PublicPages
from core.units import format_duration
from core.workspace import Workspace
from tests.conftest import MINIMAL_SETTINGS
from web.app import create_app

PAGE = (Path(__file__).parents[2] / "docs" / "public-pages.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_examples_of_settings_are_read(
    make_workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch, block: str
) -> None:
    """
    Each example stands in a clarion.yaml without a mistake.
    """
    monkeypatch.setenv("CAPTCHA_SECRET", "geheim")
    minimal = yaml.safe_load(MINIMAL_SETTINGS.format(database="embedded", broker="embedded", smtp_port=2525))
    text = yaml.safe_dump({**minimal, **yaml.safe_load(block)}, allow_unicode=True)
    workspace = make_workspace(settings=text.replace("{", "{{").replace("}", "}}"))

    assert workspace.settings.organisation.name == "Paper & Co"


def test_figures_of_the_limits_are_those_of_the_code() -> None:
    """
    The table of limits, and the lives of links, say what is set by default.
    """
    limits, links = PageLimits(), PublicPages().links
    rows = {
        f"`mail_every`: one mail of a kind to a mailbox | `{format_duration(limits.mail_every)}` |",
        f"mails to a mailbox that never confirmed | {limits.unconfirmed} |",
        f"events within `mail_every` | {limits.registrations} |",
        f"`inquiries`: of one mailbox within `mail_every` | {limits.inquiries} |",
        f"(/24, /48) | {limits.visitor_per_hour}, {limits.network_per_hour} |",
        f"`form_per_hour`, `all_per_hour` | {limits.form_per_hour}, {limits.all_per_hour} |",
        f"`pages.links.mailings` after the mail (`{format_duration(links.mailings)}`)",
    }

    assert {row for row in rows if row not in PAGE} == set()


def test_every_page_is_in_the_table(make_workspace: Callable[..., Workspace]) -> None:
    """
    Whatever page can be asked for with a form is told where it is, and when it changes something.
    """
    app = create_app(make_workspace(), Database("postgresql://nowhere.example/x"), SystemClock())
    named = (re.sub(r"{(\w+)}", lambda found: found[1].upper(), route.path) for route in app.routes)  # type: ignore[attr-defined]
    paths = {path.replace("/f/FORM", "/f/NAME") for path in named}
    told = set(re.findall(r"^\| `(/[^`]+)` \|", PAGE, re.MULTILINE))
    shape = r"/(?:[a-z]/[A-Z]+|my|events/EVENT|r/TOKEN/calendar.ics|(?:door|s)/[A-Z]+/TOKEN)"
    pages = {path for path in paths if re.fullmatch(shape, path)} - {"/c/TOKEN", "/v/TOKEN"}

    assert pages == told
