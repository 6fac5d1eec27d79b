"""Stopping and looking work while `clarion.yaml` has a mistake: nobody mends a file first when mail goes wrong."""

import json

import pytest
from click.testing import CliRunner

from cli import clarion
from core.commands import Desk
from core.errors import ConfigError
from core.essentials import essentials
from tests.campaign_files import FILES
from tests.factories import make_customer

MISTAKES = {
    "value": ("connections: 4", "connections: none"),
    "key": ("connections: 4", "conections: 4"),
    "syntax": ("topics:", "topics: [\nnews"),
    "twice": ("topics:", "topics: {news: {label: N}}\ntopics:"),
    "variable": ("Paper & Co", "${NOBODY_SET_THIS}"),
}


@pytest.fixture
def broken(make_workspace, database):
    """`broken(mistake)` gives a function that calls `clarion` where a campaign runs and the file has the mistake."""
    with database.begin() as connection:
        make_customer(connection, consents=("promotions",))
    workspace = make_workspace(database=database, files=FILES)

    def call(*arguments):
        desk = Desk(workspace.root)
        result = CliRunner().invoke(clarion, list(arguments), obj=desk)
        desk.close()
        return result

    def build(mistake):
        assert 0 == call("send", "spring-paper", "--yes").exit_code
        file = workspace.root / "clarion.yaml"
        file.write_text(file.read_text().replace(*MISTAKES[mistake], 1))
        return call

    return build


@pytest.mark.parametrize("mistake", MISTAKES)
def test_campaign_is_stopped_beside_a_mistake(broken, mistake):
    """
    Pause, look, resume, cancel; the mistake is remarked, and everything else refuses as before.
    """
    call = broken(mistake)
    told = call("pause", "spring-paper")

    assert (0, "spring-paper: paused 1 run\n") == (told.exit_code, told.stdout)
    assert "remark: clarion.yaml has mistakes" in told.stderr
    assert "paused" == json.loads(call("status", "spring-paper", "--json").stdout)["state"]
    assert [1] == json.loads(call("resume", "spring-paper", "--json").stdout)["runs"]
    assert 0 == call("cancel", "spring-paper", "--yes").exit_code
    assert "is cancelled already" in call("cancel", "spring-paper", "--yes").stdout
    assert 1 == call("plan").exit_code


def test_transport_and_domain_are_held_beside_a_mistake(broken):
    """
    Names are taken as they are: the file cannot say which of them it has.
    """
    call = broken("syntax")

    assert "main: paused" in call("transport", "pause", "main").stdout
    assert "slow.example: paused" in call("transport", "pause", "slow.example").stdout
    assert "main: resumed" in call("transport", "resume", "main").stdout


def test_mistake_in_the_database_itself_is_one():
    """
    There is no other place to look for the ledger, and its address is not shown.
    """
    with pytest.raises(ConfigError) as caught:
        essentials("topics: 5\ndatabase: mysql://u:hunter2@h/x\n", "clarion.yaml")

    assert "clarion.yaml:2: database is wrong (expected 'embedded' or" in caught.value.message
    assert "hunter2" not in caught.value.message


def test_database_of_a_file_that_is_no_yaml_is_read_from_its_line():
    """
    And without such a line it is the embedded one.
    """
    assert "postgresql://h/x" == essentials("a: [\ndatabase: postgresql://h/x\n", "clarion.yaml").database
    assert "embedded" == essentials("a: [\n", "clarion.yaml").database
