"""The page about transports says what the settings and the classes are."""

import re
from pathlib import Path

import pytest
import yaml

from core.transport_settings import Transport
from delivery.bounce_classes import BounceClass
from delivery.smtp import Endpoint

PAGE = (Path(__file__).parents[2] / "docs/transports.md").read_text(encoding="utf-8")
TRANSPORTS = [
    settings
    for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for settings in yaml.safe_load(block.replace("${SMTP_PASSWORD}", "s3cret")).get("transports", {}).values()
]


@pytest.mark.parametrize("settings", TRANSPORTS, ids=lambda settings: settings["url"])
def test_example_of_a_transport_is_valid(settings: dict[str, object], tmp_path: Path) -> None:
    """
    Each transport on the page can be read, and leads somewhere.
    """
    assert Endpoint.of(Transport.model_validate(settings), tmp_path).host


def test_page_names_every_class() -> None:
    """
    Neither a class nor a row of the table is missing.
    """
    table = PAGE.split("### Classes of refusals")[1]

    assert {kind.value for kind in BounceClass} == set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
