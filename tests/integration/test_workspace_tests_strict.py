"""`clarion test` says what is wrong: misspelt prohibitions, mails without content, values that cannot be."""

import pytest
from click.testing import CliRunner

from campaigns import catalogue as files
from campaigns.workspace_tests.loading import load
from campaigns.workspace_tests.running import run
from cli import clarion
from core.commands import Desk
from core.errors import ConfigError
from tests import event_files
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer
from tests.integration.test_workspace_tests import HEAD, WORKSPACE, findings

SPLIT = """\
kind: sequence
topic: promotions
enrol: {event: signed_up}
send: {from: offers}
steps:
  parts: {split: {red: 50%, blue: 50%}}
  red: {send: {template: spring-paper.html, subject: Red}, next: done}
  blue: {send: {template: spring-paper.html, subject: Blue}}
  done: {exit: finished}
"""
SPLIT_CASE = """\
  case{number}:
    apply: [parts]
    steps: [{{at: 2026-03-04T10:00, do: activity, customer: ann, name: signed_up}}]
    expect: {{others: allowed}}
"""
TEMPLATE = WORKSPACE["templates/spring-paper.html"]
BROKEN = {"templates/spring-paper.html": TEMPLATE.replace("</p>", "{{ customer.attributes.size + 1 }}</p>", 1)}


@pytest.fixture
def prepare(make_workspace, database):
    """
    A workspace with the cases of one file, as the arguments of `run`.
    """

    def prepared(cases, extra=None):
        texts = WORKSPACE | (extra or {}) | {"tests/one.yaml": f"{HEAD}cases:\n{cases}"}
        workspace = make_workspace(database=database, files=texts)
        catalogue = files.load(workspace)
        return database, workspace, catalogue, load(workspace, catalogue)

    return prepared


def test_split_goes_the_same_way_whoever_else_there_is(prepare, database):
    """
    Neither other cases nor people of the real database change which branch somebody takes.
    """
    *place, cases = prepare(
        "".join(SPLIT_CASE.format(number=number) for number in range(4)), {"campaigns/parts.yaml": SPLIT}
    )

    def subjects(chosen):
        return [result.found.messages[0].subject for result in run(*place, chosen)]

    all_of_them = subjects(cases)
    with database.begin() as connection:
        for number in range(3):
            make_customer(connection, external_id=f"Z{number}")

    assert 1 == len(set(all_of_them + subjects(cases[2:3]) + subjects(reversed(cases))))


def test_misspelt_names_of_expectations_are_told(prepare):
    """
    A prohibition of what does not exist would hold for ever: each name at its line, all at once.
    """
    with pytest.raises(ConfigError) as caught:
        prepare("""\
  typo:
    expect:
      none:
        - {customer: ann, campaign: nurtur}
        - {customer: ann, campaign: nurture, step: helo}
        - {customer: ann, step: sent}
      enrolments: [{customer: ann, sequence: nurtur, state: none}]
      registrations: [{customer: ann, event: no-such, state: none}]
      faults: [weekli]
""")

    told = [(problem.line, problem.message) for problem in caught.value.problems]
    assert [
        (11, "no campaign 'nurtur'"), (12, "no step 'helo'"), (13, "no step 'sent'"), (14, "no sequence 'nurtur'"),
        (15, "no event 'no-such'"), (16, "no campaign 'weekli'"),
    ] == sorted(told)  # fmt: skip


def test_registration_is_filled_in_as_the_form_asks(prepare):
    """
    The customer's names stand in it where it asks for them; what it does not take ends the case.
    """
    required = event_files.EVENT.replace("vegetarian]}", "vegetarian], required: true}")
    assert required != event_files.EVENT
    step = "{{at: 2026-03-02T10:00, do: registration, customer: ann, event: paper-evening{}}}"
    given = ("", ", answers: {diet: soup, hat: red}", ", answers: {diet: vegetarian}")
    cases = [
        f"""\
  case{number}:
    apply: [paper-evening]
    lasts: 2h
    steps: [{step.format(answers)}]
    expect: {{others: allowed, registrations: [{{customer: ann, event: paper-evening}}]}}
"""
        for number, answers in enumerate(given)
    ]
    results = run(*prepare("".join(cases), event_files.FILES | {"events/paper-evening.yaml": required}))

    refused = "ann cannot register for paper-evening:"
    assert [
        [f"{refused} diet: it is required"],
        [
            f"{refused} diet: got 'soup', expected everything, vegetarian; "
            "hat: the event has no such field; known: company, diet"
        ],
        [],
    ] == [[what for _, what, *_ in findings(one)] for one in results]


def test_mail_that_cannot_be_rendered_is_a_finding(prepare):
    """
    Whatever else is allowed; unless that very thing is expected.
    """
    results = run(*prepare("""\
  nothing: {apply: [spring-paper], expect: {others: allowed, none: [{customer: ann}]}}
  meant:
    apply: [spring-paper]
    expect: {messages: [{customer: ann, campaign: spring-paper, skipped: render_failed}]}
""", BROKEN))  # fmt: skip

    assert [["a message cannot be rendered"], []] == [[what for _, what, *_ in findings(one)] for one in results]
    assert "size" in (results[0].findings[0].found or "")


def test_sequence_that_stops_is_a_finding(prepare):
    """
    It is paused because too many would enter: that passes only where it is expected.
    """
    files_ = {
        "segments/joined.yaml": "where: company == 'Joined'\n",
        "campaigns/nurture.yaml": WORKSPACE["campaigns/nurture.yaml"]
        .replace("{event: signed_up}", "{segment: joined, look_every: 12h}")
        .replace("steps:", "limits: {max_audience: 1}\nsteps:", 1),
    }
    case = """\
  {name}:
    apply: [nurture]
    steps:
      - {{at: 2026-03-04T10:00, do: change, customer: ann, fields: {{company: Joined}}}}
      - {{at: 2026-03-04T10:00, do: change, customer: ben, fields: {{company: Joined}}}}
    expect: {{faults: [{faults}], others: allowed}}
"""
    fine = "  fine: {apply: [nurture], expect: {faults: [nurture]}}\n"
    cases = case.format(name="unnoticed", faults="") + case.format(name="meant", faults="nurture") + fine
    results = run(*prepare(cases, files_))

    told = [[what for _, what, *_ in findings(one)] for one in results]
    assert [["nurture does not go on"], [], ["nurture goes on"]] == told


def test_value_that_cannot_be_ends_its_own_case(prepare):
    """
    What the database refuses is a finding of the case; the ones after it are played.
    """
    bad, good = run(
        *prepare("""\
  bad:
    apply: [spring-paper]
    customers:
      eve: {email: a@b.example, purchases: [{at: 2026-01-01T09:00, amount: 5, order: A},
                                            {at: 2026-01-01T09:00, amount: 6, order: A}]}
    expect: {others: allowed}
  good: {apply: [spring-paper], expect: {others: allowed}}
""")
    )

    assert [(8, True)] == [(line, what.startswith("it cannot go on: ")) for line, what, *_ in findings(bad)]
    assert good.passed


@pytest.mark.parametrize(
    "step",
    [
        "do: change, customer: ann, fields: {zone: Nowhere/X}",
        "do: change, customer: ann, fields: {company: 3}",
        "do: purchase, customer: ann, amount: 1e30",
        "do: activity, customer: ann, name: x, value: .inf",
        f"do: enrol, customer: ann, sequence: nurture, key: {'k' * 5000}",
    ],
)
def test_value_out_of_bounds_is_a_mistake_of_the_file(prepare, step):
    """
    Told with its line before anything is played.
    """
    with pytest.raises(ConfigError) as caught:
        prepare(f"  bad:\n    steps:\n      - {{at: 2026-03-04T10:00, {step}}}\n    expect: {{}}\n")

    assert {10} == {problem.line for problem in caught.value.problems}


def test_case_that_is_not_there_is_told(make_workspace, database, clock):
    """
    `--case` with a typing mistake is no success.
    """
    cases = f"{HEAD}cases:\n  welcome: {{apply: [spring-paper], expect: {{others: allowed}}}}\n"
    desk = Desk(make_workspace(database=database, files=WORKSPACE | {"tests/one.yaml": cases}).root, clock)
    done = CliRunner().invoke(clarion, ["test", "--case", "wlecome"], obj=desk)
    desk.close()

    assert done.exit_code != 0
    assert "no case whose name holds 'wlecome'" in done.stderr
    assert "did you mean 'welcome'?" in done.stderr


def test_time_after_the_clock_of_the_organisation_is_no_mistake(make_workspace, database):
    """
    Half past nine in Berlin comes after a clock of nine, which names no place and is the organisation's.
    """
    cases = """\
clock: 2026-03-02T09:00
customers: {ann: {}}
cases:
  one:
    apply: [nurture]
    steps: [{at: "2026-03-02T08:30Z", do: activity, customer: ann, name: signed_up}]
    expect: {}
"""
    settings = MINIMAL_SETTINGS.replace("{{name", "{{zone: Europe/Berlin, name", 1)
    workspace = make_workspace(database=database, files=WORKSPACE | {"tests/one.yaml": cases}, settings=settings)

    assert ["one"] == [case.name for case in load(workspace, files.load(workspace))]
