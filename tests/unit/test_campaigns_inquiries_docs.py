"""The pages about inquiries and surveys say what files, settings and commands take."""

import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from campaigns import catalogue
from campaigns.inquiries.commands import inquiry
from campaigns.surveys.definition import Question
from campaigns.surveys.files import survey_of
from core.inquiry_settings import Desk
from core.workspace import Workspace
from reports.surveys.commands import survey
from segments.expression import read
from segments.vocabulary import Vocabulary
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS

DOCS = Path(__file__).parents[2] / "docs"
INQUIRIES, SURVEYS = ((DOCS / name).read_text(encoding="utf-8") for name in ("inquiries.md", "surveys.md"))


def blocks(page: str, language: str) -> list[str]:
    """The examples of the page in the language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_examples_of_both_pages_are_a_valid_workspace(make_workspace: Callable[..., Workspace]) -> None:
    """
    Desk, care, digest, acknowledgement and survey, taken together: no mistake in any file.
    """
    settings = MINIMAL_SETTINGS + "".join(
        block.replace("{", "{{").replace("}", "}}") for block in blocks(INQUIRIES, "yaml")
    )
    acknowledgement = "kind: transactional\nsend: {template: received.html, from: offers}\n"
    ask = "---\nsubject: Ask\n---\n<html><body>" + blocks(SURVEYS, "html")[0] + "</body></html>\n"
    workspace = make_workspace(settings=settings, files=FILES | {
        "campaigns/inquiry-received.yaml": acknowledgement, "templates/received.html": blocks(INQUIRIES, "html")[0],
        "surveys/nps.yaml": blocks(SURVEYS, "yaml")[0], "templates/spring-paper.html": ask,
    })  # fmt: skip
    _, problems = catalogue.examine(workspace)

    assert [] == [str(problem) for problem in problems]
    assert {"likely", "liked", "why"} == set(survey_of(workspace, "nps").definition.questions)


def test_table_of_a_desk_has_every_key() -> None:
    """
    Each key of a desk is in the table, and each in the table is a key.
    """
    table = INQUIRIES.partition("| key |")[2].partition("\n\n")[0]
    named = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}

    assert set(Desk.model_fields) == named


def test_every_kind_of_question_is_told() -> None:
    """
    The kinds of the table are those of the files.
    """
    told = re.findall(r"^\| `(\w+)` \|", SURVEYS.partition("| `kind` |")[2], re.MULTILINE)

    assert told == list(Question.model_fields["kind"].annotation.__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize("expression", re.findall(r"^\| `((?:did|latest|received)\(.*?)` \|", SURVEYS, re.MULTILINE))
def test_expressions_of_the_page_compile(expression: str) -> None:
    """
    Each is one of the segment language.
    """
    assert () == tuple(read(expression, Vocabulary({}, frozenset(), None)).mistakes)


@pytest.mark.parametrize("line", [
    line for page in (INQUIRIES, SURVEYS) for block in blocks(page, "sh") for line in block.splitlines()
    if line.startswith(("clarion inquiry", "clarion survey"))
])  # fmt: skip
def test_commands_of_the_pages_are_commands(line: str) -> None:
    """
    Group, command and every option of each example.
    """
    _, group, name, *words = line.split()
    command = {"inquiry": inquiry, "survey": survey}[group].commands[name]
    known = {option for parameter in command.params for option in parameter.opts if isinstance(parameter, click.Option)}

    assert {word for word in words if word.startswith("--")} <= known
