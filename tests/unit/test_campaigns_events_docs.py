"""The page on events says what is there."""

import re
from pathlib import Path

import yaml
from click.testing import CliRunner

from campaigns.events import activities
from campaigns.events.commands import event
from campaigns.events.definition import EventFile, Mails
from campaigns.events.states import FOLLOWS, Seat

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")


def test_the_example_is_a_good_file_with_every_mail():
    """
    It can be copied.
    """
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    made = EventFile.model_validate(yaml.safe_load(example))

    assert set(Mails.model_fields) < {name for name, _ in made.every_mail()}
    assert made == EventFile.model_validate(made.stored())


def test_the_states_are_those_there_are():
    """
    With what may follow them.
    """
    rows = re.findall(r"^\| (confirmed|waiting|offered|cancelled) \| .*? \| (.*?) \|$", PAGE, re.MULTILINE)

    told = {state: {name.strip() for name in after.partition(":")[0].split(",")} for state, after in rows}
    assert {seat.value: {after.value for after in FOLLOWS[seat]} for seat in Seat} == told


def test_every_command_is_named_and_exists():
    """
    With options that it takes.
    """
    lines = [line.split()[2:] for line in PAGE.splitlines() if line.startswith("clarion event ")]

    assert set(event.commands) == {line[0] for line in lines}
    for name in event.commands:
        assert CliRunner().invoke(event, [name, "--help"]).exit_code == 0
    options = {part for line in lines for part in line if part.startswith("--")}
    assert options <= {opt for each in event.commands.values() for one in each.params for opt in one.opts}


def test_the_activities_are_those_that_are_recorded():
    """
    Under these names segments find them.
    """
    assert set(activities.NAMES) == set(re.findall(r"`(event_\w+)`", PAGE))
