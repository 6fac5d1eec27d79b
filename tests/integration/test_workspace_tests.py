"""`clarion test`: cases of a workspace played through by the real engine, in a world with nobody else in it."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from campaigns import catalogue as files
from campaigns.workspace_tests.definition import NEEDS, WorkspaceTestFile
from campaigns.workspace_tests.doing import _DO
from campaigns.workspace_tests.expecting import shown
from campaigns.workspace_tests.loading import load
from campaigns.workspace_tests.running import run
from cli import clarion
from core import schema
from core.commands import Desk
from core.errors import ConfigError, NotFound
from tests.campaign_files import FILES, campaign_file
from tests.factories import make_customer

HEAD = """\
clock: 2026-03-02T09:00
zone: Europe/Berlin
lasts: 10d
customers:
  ann: {first_name: Ann, company: Ann & Co, zone: America/New_York, consents: [promotions]}
  ben: {company: Ben & Co}
"""
WEEKLY = campaign_file(
    kind="recurring", schedule='{cron: "30 8 * * tue", zone: Europe/Berlin}', limits="{piece_memory: none}"
)
NURTURE = """\
kind: sequence
topic: promotions
enrol: {event: signed_up}
send: {from: offers}
exit_when: did("purchase", since="enrolment")
steps:
  hello: {send: {template: spring-paper.html, subject: Hello}}
  pause: {wait: 3d}
  call: {task: {title: Call them, owner: owner, due: 2d}}
  again: {send: {template: spring-paper.html, subject: Again}}
"""
WORKSPACE = FILES | {"campaigns/weekly.yaml": WEEKLY, "campaigns/nurture.yaml": NURTURE}


@pytest.fixture
def play(make_workspace, database):
    """
    Plays the cases of one file: `play(text)` gives what became of each, by its name.
    """

    def played(cases, head=HEAD):
        workspace = make_workspace(database=database, files=WORKSPACE | {"tests/one.yaml": f"{head}cases:\n{cases}"})
        catalogue = files.load(workspace)
        results = run(database, workspace, catalogue, load(workspace, catalogue))
        return {result.case.name: result for result in results}

    return played


def findings(result):
    return [(finding.line, finding.what, finding.expected, finding.found) for finding in result.findings]


def test_cases_are_played_one_by_one(play, database):
    """
    Broadcast, recurring campaign and sequence go as they would, each case from the beginning; nothing is left of it,
    and nobody of the real database takes part.
    """
    with database.begin() as connection:
        make_customer(connection, external_id="zoe", consents=("promotions",))
    results = play("""\
  broadcast:
    apply: [spring-paper]
    expect:
      messages:
        - {customer: ann, campaign: spring-paper, at: 2026-03-02T03:00, subject: Ann & Co, text: See the offer}
        - {customer: ben, campaign: spring-paper, skipped: not_consented}
  recurring:
    apply: [weekly]
    expect:
      messages:
        - {customer: ann, campaign: weekly, at: 2026-03-03T02:30}
        - {customer: ann, campaign: weekly, at: 2026-03-10T08:30 Europe/Berlin}
  sequence:
    apply: [nurture]
    steps: [{at: 2026-03-04T10:00, do: activity, customer: ann, name: signed_up}]
    expect:
      messages:
        - {customer: ann, campaign: nurture, step: hello, at: 2026-03-04T10:00 Europe/Berlin, subject: Hello}
        - {customer: ann, campaign: nurture, step: again, at: 2026-03-07T10:00 Europe/Berlin, subject: Again}
      tasks: [{customer: ann, title: Call, due: 2026-03-09T10:00}]
      enrolments: [{customer: ann, sequence: nurture, state: completed, step: again}]
""")

    assert {"broadcast": [], "recurring": [], "sequence": []} == {name: findings(one) for name, one in results.items()}
    with database.begin() as connection:
        tables = (schema.message, schema.campaign_version, schema.task)
        assert [0, 0, 0] == [connection.execute(select(func.count()).select_from(each)).scalar() for each in tables]


def test_what_differs_is_told_with_its_line(play):
    """
    Another time and subject, a message that is not there, one too many, a wrong reason, a passage elsewhere.
    """
    results = play("""\
  wrong:
    apply: [spring-paper, nurture]
    expect:
      messages:
        - {customer: ann, campaign: spring-paper, at: 2026-03-02T09:00, subject: Ink}
        - {customer: ben, campaign: spring-paper, skipped: no_address}
        - {customer: ben, campaign: nurture}
      tasks: [{customer: ann}]
      enrolments: [{customer: ann, sequence: nurture}]
  others:
    apply: [spring-paper]
    expect: {none: [{customer: ann, campaign: spring-paper}]}
  allowed:
    apply: [spring-paper]
    expect: {others: allowed}
""")
    ann = "ann  Mon 2026-03-02 03:00 America/New_York  spring-paper  'Paper for Ann & Co'"

    assert [
        (12, "another time and subject", "ann  2026-03-02T09:00  spring-paper  subject … 'Ink' …", ann),
        (13, "another reason", "ben  spring-paper  skipped: no_address",
         "ben  Mon 2026-03-02 09:00 Europe/Berlin  spring-paper  skipped: not_consented"),
        (14, "no such message", "ben  nurture", None),
        (15, "no such task", "customer: ann", "no task"),
        (16, "ann did not enter nurture", "active", "none"),
    ] == findings(results["wrong"])  # fmt: skip
    assert [
        (19, "a message goes that must not", "none", ann),
        (19, "a message goes that is not expected", None, ann),
    ] == (findings(results["others"]))
    assert results["allowed"].passed


@pytest.mark.slow
def test_what_happens_changes_what_follows(play):
    """
    A purchase ends the passage, an opt-out and a withdrawn field count from their minute on.
    """
    results = play("""\
  bought:
    apply: [nurture]
    steps:
      - {at: 2026-03-04T10:00, do: activity, customer: ann, name: signed_up}
      - {at: 2026-03-05T10:00, do: purchase, customer: ann, amount: 20}
    expect:
      messages: [{customer: ann, campaign: nurture, step: hello}]
      enrolments: [{customer: ann, sequence: nurture, state: exited, because: exit_when}]
  left:
    apply: [weekly]
    steps: [{at: 2026-03-03T08:30, do: opt-out, customer: ann, topic: promotions}]
    expect: {messages: [{customer: ann, campaign: weekly, at: 2026-03-03T02:30}]}
  agreed:
    apply: [weekly]
    steps: [{at: 2026-03-04T12:00, do: consent, customer: ben, topic: promotions}]
    expect:
      messages: [{customer: ben, campaign: weekly, at: 2026-03-10T08:30}]
      others: allowed
  renamed:
    apply: [weekly]
    steps:
      - {at: 2026-03-04T12:00, do: change, customer: ann, fields: {company: New & Co, attributes.size: 3}}
      - {at: 2026-03-05T12:00, do: click, customer: ann, campaign: weekly}
    expect:
      messages:
        - {customer: ann, campaign: weekly, subject: Paper for Ann & Co}
        - {customer: ann, campaign: weekly, subject: Paper for New & Co}
  too early:
    apply: [weekly]
    steps: [{at: 2026-03-02T12:00, do: open, customer: ann, campaign: weekly}]
    expect: {}
""")

    assert [] == [finding for name, one in results.items() for finding in findings(one) if name != "too early"]
    assert [(37, "ann cannot open: there is no message of weekly so far", None, None)] == findings(results["too early"])


def test_mistakes_are_located(make_workspace, database):
    """
    Unknown names, times before the clock and keys that mean nothing are told with file and line, all at once.
    """
    text = (
        HEAD
        + """\
cases:
  one:
    apply: [spring-papr]
    steps:
      - {at: 2026-03-01T09:00, do: activity, customer: anne, name: x}
      - {at: 2026-03-03T09:00, do: purchase, customer: ann}
      - {at: whenever, do: opt-out, customer: ann, topic: promotions}
    expect: {none: [{customer: ben}]}
"""
    )
    workspace = make_workspace(database=database, files=WORKSPACE | {"tests/one.yaml": text})
    with pytest.raises(ConfigError) as caught:
        load(workspace, files.load(workspace))
    told = {(problem.line, problem.message.split(" (")[0]) for problem in caught.value.problems}

    assert {12, 13} <= {line for line, _ in told}
    (workspace.root / "tests" / "one.yaml").write_text(
        text.replace("whenever", "2026-03-05").replace("customer: ann}", "customer: ann, amount: 3}")
    )
    with pytest.raises(ConfigError) as caught:
        load(workspace, files.load(workspace))

    assert [9, 11, 11] == [problem.line for problem in caught.value.problems]
    assert ["", "did you mean 'ann'?", "did you mean 'spring-paper'?"] == sorted(p.hint for p in caught.value.problems)
    with pytest.raises(NotFound):
        load(make_workspace(database=database, files=WORKSPACE), files.load(workspace))


def test_every_happening_can_be_done():
    """
    Whatever a file may say that happens, somebody carries out.
    """
    assert set(NEEDS) == set(_DO)


def test_command_tells_and_fails(make_workspace, database, clock, tmp_path):
    """
    On screen, as JSON and as JUnit's XML; exit code 1 as long as something differs. Its schema is written.
    """
    cases = (
        HEAD
        + """\
cases:
  fine: {apply: [spring-paper], expect: {messages: [{customer: ann, campaign: spring-paper}]}}
  wrong: {apply: [spring-paper], expect: {}}
"""
    )
    workspace = make_workspace(database=database, files=WORKSPACE | {"tests/one.yaml": cases})
    junit = tmp_path / "junit.xml"

    def call(*arguments):
        desk = Desk(workspace.root, clock)
        try:
            return CliRunner().invoke(clarion, ["test", *arguments], obj=desk)
        finally:
            desk.close()

    screen, told, fine = call(), call("--json", "--junit", str(junit)), call("--case", "fine")

    assert [1, 1, 0] == [screen.exit_code, told.exit_code, fine.exit_code]
    assert "FAILED tests/one.yaml: wrong\n       tests/one.yaml:9: a message goes" in screen.stdout
    document = json.loads(told.stdout)
    assert (1, 1, ["fine", "wrong"]) == (document["passed"], document["failed"], [c["case"] for c in document["cases"]])
    suites = ElementTree.parse(junit).getroot()
    assert ("2", "1", 1) == (suites.get("tests"), suites.get("failures"), len(list(suites.iter("failure"))))
    assert {"cases", "clock"} <= set(WorkspaceTestFile.model_json_schema()["required"])


def test_messages_are_shown_by_their_own_clock(play):
    """
    A message in one line: who, when where they live, of which campaign and step, with its subject.
    """
    results = play("  one: {apply: [spring-paper], expect: {others: allowed}}\n")

    assert "ann  Mon 2026-03-02 03:00 America/New_York  spring-paper  'Paper for Ann & Co'" == shown(
        results["one"].found.messages[0]
    )


def test_the_example_of_the_page_passes(make_workspace, database):
    """
    The file that docs/workspace-tests.md shows is valid, and its cases are as it says.
    """
    page = (Path(__file__).parents[2] / "docs" / "workspace-tests.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    workspace = make_workspace(database=database, files=WORKSPACE | {"tests/welcome.yaml": example})
    catalogue = files.load(workspace)
    results = run(database, workspace, catalogue, load(workspace, catalogue))

    assert [[], []] == [findings(result) for result in results]
