"""Which campaigns may be sent without consent says clarion.yaml, not whoever writes campaign files (S-2.24)."""

import pytest

from campaigns import catalogue
from core.errors import ConfigError
from tests.conftest import MINIMAL_SETTINGS
from tests.transactional_files import FILES


def _problems(make_workspace, line):
    workspace = make_workspace(files=FILES, settings=MINIMAL_SETTINGS + line)
    return [str(problem) for problem in catalogue.examine(workspace)[1]]


def _owed(make_workspace):
    workspace = make_workspace(files=FILES)
    campaigns = catalogue.load(workspace).campaigns
    return [name for name, campaign in campaigns.items() if campaign.message_class == "transactional"]


def test_without_the_list_each_campaign_says_so_itself(make_workspace):
    """
    Workspaces without `transactional` in clarion.yaml stay as they were.
    """
    assert [] == _problems(make_workspace, "")
    assert _owed(make_workspace)


def test_campaign_that_is_not_named_is_refused_at_its_place(make_workspace):
    """
    The campaign's file is told with its line, and nothing of the workspace can be sent until it is mended.
    """
    name = _owed(make_workspace)[0]
    problems = _problems(make_workspace, "transactional: []\n")

    assert any(f"{name!r} may not be sent without consent" in problem for problem in problems)
    assert all(problem.startswith(f"campaigns/{name}.yaml:") for problem in problems if repr(name) in problem)
    with pytest.raises(ConfigError):
        catalogue.load(make_workspace(files=FILES, settings=MINIMAL_SETTINGS + "transactional: []\n"))


def test_named_campaigns_are_permitted_and_unknown_names_are_told(make_workspace):
    """
    Naming all of them is enough; a name without a file is a mistake in clarion.yaml.
    """
    names = ", ".join(_owed(make_workspace))

    assert [] == _problems(make_workspace, f"transactional: [{names}]\n")
    assert "clarion.yaml" in _problems(make_workspace, f"transactional: [{names}, nosuch]\n")[0]
