"""`clarion feedback`, and the page that explains it."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from campaigns.commands.feedback import KINDS
from campaigns.feedback import take
from cli import clarion
from core.clock import SteppedClock
from core.commands import Desk
from core.database import Database
from core.errors import ConfigError
from core.feedback_settings import FeedbackRules
from core.workspace import Workspace
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer, make_message, make_run
from tests.feedback_events import NOON, make_feedback, make_receiver
from tests.webhook_requests import GRID_KEY, public_text
from tracking.feedback import FeedbackKind

PAGE = (Path(__file__).parents[2] / "docs" / "feedback.md").read_text(encoding="utf-8")


@pytest.fixture
def run(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Callable[..., str]:
    """Calls `clarion feedback` with the arguments; what it printed."""
    desk = Desk(clock=clock)
    desk.workspace, desk.database = make_workspace(database=database), database
    with database.begin() as connection:
        person = make_customer(connection, email="reader@customers.example", external_id="C-1")
        campaign = make_run(connection)
        message = make_message(connection, campaign, person, accepted_at=NOON - timedelta(hours=1))
        told = [
            make_feedback("hard", message, status="5.1.1", diagnostic="550 <reader@customers.example> unknown"),
            make_feedback("complaint", message),
            make_feedback("complaint", address="reader@customers.example"),
            make_feedback("unknown", source="ses", is_verified=True, event_key="ses:1"),
        ]
        take(connection, told, make_receiver(), NOON)
    return lambda *arguments: (
        CliRunner().invoke(clarion, ["feedback", *arguments], obj=desk, catch_exceptions=False).stdout
    )


def test_feedback_commands_tell_what_came_back(run: Callable[..., str]) -> None:
    """
    Events with what followed from them, by person and kind; their counts; and the share of complaints.
    """
    everything = json.loads(run("list", "--json"))["events"]
    of_person = json.loads(run("list", "C-1", "--kind", "complaint", "--json"))["events"]
    counted = json.loads(run("counts", "--since", "3650d", "--json"))["counts"]
    shares = json.loads(run("shares", "--since", "3650d", "--json"))["shares"]

    assert ["unknown", "complaint", "complaint", "hard"] == [each["kind"] for each in everything]
    assert [False, True] == sorted(each["counts"] for each in of_person)
    assert ["message: complained; suppressed: complaint", "suppressed: hard_bounce"] == [
        each["effect"] for each in everything[2:]
    ]
    assert "550 <…@customers.example> unknown" == everything[-1]["diagnostic"]
    assert [("mail", "complaint", 2, 1), ("mail", "hard", 1, 0), ("ses", "unknown", 1, 0)] == [
        (row["source"], row["kind"], row["events"], row["unproven"]) for row in counted
    ]
    assert [("customers.example", 1, 1, 1.0)] == [
        (row["domain"], row["complained"], row["reached"], row["share"]) for row in shares
    ]
    assert "suppressed: hard_bounce" in run("list")
    assert "100.00%" in run("shares", "--since", "3650d")


def test_kinds_of_the_command_are_those_there_are() -> None:
    """
    The command names the kinds without importing what defines them.
    """
    assert [kind.value for kind in FeedbackKind] == list(KINDS)


def test_the_page_shows_settings_that_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The settings in docs/feedback.md are accepted, and the limits it names are the defaults.
    """
    for name, value in (
        ("SENDGRID_KEY", public_text(GRID_KEY)),
        ("MAILGUN_KEY", "k" * 16),
        ("POSTMARK_PASSWORD", "p" * 16),
    ):
        monkeypatch.setenv(name, value)
    shown = "".join(part.split("```")[0] for part in PAGE.split("```yaml\n")[1:])
    begin = MINIMAL_SETTINGS.format(database="embedded", broker="embedded", smtp_port=2525)
    (tmp_path / "clarion.yaml").write_text(begin + shown, encoding="utf-8")
    settings = Workspace(tmp_path).settings

    assert FeedbackRules(replies_to="anna") == settings.feedback
    assert {"ses", "sendgrid", "mailgun", "postmark"} == {name for name, each in settings.webhooks if each is not None}


def test_replies_go_to_somebody_who_works_here(tmp_path: Path) -> None:
    """
    A name that is no entry of staff is a mistake at its line.
    """
    begin = MINIMAL_SETTINGS.format(database="embedded", broker="embedded", smtp_port=2525)
    (tmp_path / "clarion.yaml").write_text(begin + "feedback: {replies_to: nobody}\n", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"clarion.yaml:\d+: feedback.replies_to: 'nobody' is no entry of staff"):
        _ = Workspace(tmp_path).settings


@pytest.mark.parametrize("kind", FeedbackKind)
def test_the_page_names_every_kind(kind: FeedbackKind) -> None:
    """
    Each kind of event has its line in the table of what follows.
    """
    assert f"| `{kind.value}` |" in PAGE
