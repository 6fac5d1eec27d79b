"""A workspace full of mistakes gets every one of them told, at its place, in one run."""

import json

import pytest
from click.testing import CliRunner

from cli import clarion
from tests.campaign_files import FILES, campaign_file

TEN_MISTAKES = {
    "clarion.yaml": """\
organisation: {name: "Paper & Co", postal_address: "1 Mill Lane, 12345 Papertown", zone: Europe/Berlinn}
senders:
  offers: {name: "Paper & Co", email: offers@paper.example}
transports:
  main: {url: "smtp://127.0.0.1:2525", connections: many}
topics:
  promotions: {label: "Offers"}
""",
    "segments/everybody.yaml": "where: external_id != ''\ndescripton: wrong key\n",
    "segments/big.yaml": "where: tierr in ['top', 'big']\n",
    "segments/broken.yaml": "where: [tier\n",
    "segments/twice.yaml": "where: tier == 'top'\nwhere: tier == 'big'\n",
    "templates/spring-paper.html": FILES["templates/spring-paper.html"].replace("first_name", "frist_name"),
    "campaigns/spring-paper.yaml": campaign_file(audience="{segment: everybodyy}"),
    "campaigns/no-topic.yaml": campaign_file(topic="offers"),
    "campaigns/weekly.yaml": campaign_file(kind="recurring", schedule='{cron: "61 8 * * mon"}'),
}
EXPECTED = [
    ("clarion.yaml", 1, "Europe/Berlinn"),
    ("clarion.yaml", 5, "connections"),
    ("segments/everybody.yaml", 2, "descripton"),
    ("segments/big.yaml", 1, "tierr"),
    ("segments/broken.yaml", 2, "YAML syntax"),
    ("segments/twice.yaml", 2, "duplicate name 'where'"),
    ("templates/spring-paper.html", 6, "frist_name"),
    ("campaigns/spring-paper.yaml", 5, "everybodyy"),
    ("campaigns/no-topic.yaml", 5, "no topic 'offers'"),
    ("campaigns/weekly.yaml", 6, "minute"),
]


def run(workspace, *arguments):
    return CliRunner().invoke(clarion, ["--workspace", str(workspace.root), *arguments])


@pytest.fixture
def faulty(make_workspace):
    """A workspace with ten planted mistakes of ten kinds."""
    return make_workspace(files=TEN_MISTAKES)


def test_ten_mistakes_give_ten_located_messages(faulty):
    """
    Wrong key, bad type, unknown field, unknown segment, missing template variable, bad cron, bad zone, duplicate name,
    YAML syntax and missing topic are reported together, each at its file and line, with exit code 1.
    """
    result = run(faulty, "validate", "--json")
    problems = json.loads(result.stdout)["problems"]

    assert 1 == result.exit_code
    found = [(p["file"], p["line"], p["message"]) for p in problems]
    for file, line, words in EXPECTED:
        assert any((file, line) == place[:2] and words in place[2] for place in found), (file, line, words, found)
    assert len(EXPECTED) == len(found)


def test_mistakes_are_readable_on_screen(faulty):
    """
    On screen every mistake starts with file:line, a near miss is suggested, and the number to mend is said.
    """
    result = run(faulty, "validate")

    assert 1 == result.exit_code
    assert "segments/big.yaml:1:" in result.stderr
    assert "did you mean 'tier'?" in result.stderr
    assert "did you mean 'Europe/Berlin'?" in result.stderr
    assert "10 to mend" in result.stderr


def test_a_good_workspace_is_fine(make_workspace):
    """
    A workspace without mistakes is said to be fine, with exit code 0.
    """
    result = run(make_workspace(files=FILES), "validate")

    assert (0, "fine: 1 segment, 2 templates, 1 campaign\n") == (result.exit_code, result.stdout)


def test_the_starter_workspace_is_valid(tmp_path):
    """
    What `clarion init` makes validates as it is, and a second init into the same folder changes nothing.
    """
    made = CliRunner().invoke(clarion, ["init", str(tmp_path / "shop")])
    checked = CliRunner().invoke(clarion, ["--workspace", str(tmp_path / "shop"), "validate"])
    again = CliRunner().invoke(clarion, ["init", str(tmp_path / "shop")])

    assert 0 == made.exit_code, made.output
    assert 0 == checked.exit_code, checked.output
    assert 2 == again.exit_code
