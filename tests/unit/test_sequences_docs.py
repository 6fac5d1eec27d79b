"""The examples of docs/sequences.md are right, and it tells of everything a sequence may hold."""

import re
from pathlib import Path

from campaigns.catalogue import examine
from campaigns.sequences.definition import Enrol
from campaigns.sequences.steps import ACTIONS
from core.workspace import Workspace
from tests.campaign_files import TEMPLATE
from tests.conftest import MINIMAL_SETTINGS

PAGE = (Path(__file__).parents[2] / "docs" / "sequences.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_are_a_workspace_without_a_mistake(tmp_path: Path) -> None:
    """
    The sequence, the endpoints and the templates and segments they name make a workspace that validates.
    """
    found = dict(EXAMPLES)
    settings = MINIMAL_SETTINGS.format(database="embedded", broker="embedded", smtp_port=2525)
    files = {
        "clarion.yaml": settings + found["clarion.yaml"],
        "campaigns/welcome.yaml": found["campaigns/welcome.yaml"],
        "segments/new-customers.yaml": 'where: first_order_at is newer_than("30d")\n',
        "templates/welcome.html": TEMPLATE,
        "templates/nudge.html": TEMPLATE,
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    catalogue, problems = examine(Workspace(tmp_path))

    assert [] == problems
    assert catalogue is not None
    assert ["welcome"] == list(catalogue.sequences)


def test_the_page_tells_of_every_step_and_way_in() -> None:
    """
    Each action has a row of the table, and each key of `enrol` is named.
    """
    assert [] == [action for action in ACTIONS if f"| `{action}: " not in PAGE]
    assert [] == [key for key in Enrol.model_fields if f"{key}: " not in PAGE]
