"""The examples of docs/people.md are right."""

import re
from pathlib import Path

import pytest
from click import Context, Group

from campaigns.definition import CampaignFile
from cli import clarion
from core.care_settings import Duplicates
from core.settings import Settings
from core.settings_mistakes import settings_mistakes
from core.yaml_files import Document, build, parse_document
from tests.campaign_files import campaign_file
from tests.conftest import MINIMAL_SETTINGS

PAGE = (Path(__file__).parents[2] / "docs" / "people.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split(":")[0])
def test_example_is_read_without_a_mistake(example: str) -> None:
    """
    Each example is part of a clarion.yaml, or of a campaign file, that has no mistake.
    """
    if example.startswith("limits:"):
        document = parse_document(campaign_file() + example, Document("campaign.yaml"))
        build(CampaignFile, document)
    else:
        whole = MINIMAL_SETTINGS.format(database="embedded", broker="embedded", smtp_port=2525) + example
        document = parse_document(whole, Document("clarion.yaml"))
        settings = build(Settings, document)
        document.problems += settings_mistakes(settings, document) if settings is not None else []

    assert [] == document.problems


def test_page_says_what_holds_unless_you_say_otherwise() -> None:
    """
    The example of `duplicates` is what holds without it.
    """
    document = parse_document(next(text for text in EXAMPLES if text.startswith("duplicates:")), Document("x"))

    assert Duplicates() == Duplicates.model_validate(document.content["duplicates"])


@pytest.mark.parametrize("line", re.findall(r"^clarion (.+)$", PAGE, re.MULTILINE))
def test_commands_of_the_page_exist(line: str) -> None:
    """
    Each command shown is one, with the options it shows.
    """
    command, words = clarion, line.split()
    while isinstance(command, Group):
        found = command.get_command(Context(command), words.pop(0))
        assert found is not None
        command = found
    known = {option for parameter in command.params for option in parameter.opts}

    assert {word for word in words if word.startswith("--")} <= known
