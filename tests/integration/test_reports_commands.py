"""`clarion report` as it is typed."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, update

from cli import clarion
from core.commands import Desk
from core.database import Database
from core.schema import message
from core.workspace import Workspace
from tests.factories import make_customer, make_hit, make_message, make_run

Run = Callable[..., Result]


@pytest.fixture
def run(database: Database, make_workspace: Callable[..., Workspace]) -> Run:
    """Types a command in a workspace whose database is the test's."""
    desk = Desk(make_workspace(database=database).root)

    def typed(*arguments: str) -> Result:
        return CliRunner().invoke(clarion, arguments, obj=desk)

    yield typed
    desk.database.dispose()


@pytest.fixture
def campaign(database: Database) -> str:
    """A campaign of two messages, one of them clicked."""
    with database.begin() as connection:
        sent = make_run(connection)
        messages = [make_message(connection, sent, make_customer(connection)) for _ in range(2)]
        make_hit(connection, messages[0], "click", link=None)
    return "spring-paper"


def test_report_prints_json(run: Run, campaign: str) -> None:
    """
    `--json` is one document on stdout with the figures of the ledger.
    """
    printed = json.loads(run("report", campaign, "--json").stdout)

    assert (2, 2, 1) == (printed["audience"], printed["accepted"], printed["clicked_human"])


def test_report_accounts_for_everybody_on_the_screen(run: Run, database: Database) -> None:
    """
    Whoever is in the audience stands in one of the rows below it: skipped, waiting, accepted, failed or unknown.
    """
    states = ["skipped"] + 2 * ["planned"] + 3 * ["accepted"] + 4 * ["failed"] + 5 * ["unknown"]
    with database.begin() as connection:
        sent = make_run(connection, audience=len(states))
        for state in states:
            reason = "no_address" if state == "skipped" else None
            make_message(connection, sent, make_customer(connection), state=state, skip_reason=reason)
    rows = re.findall(r"^  (\w+) +(\d+)  ", run("report", "spring-paper").stdout, re.MULTILINE)[:6]

    assert [
        ("audience", "15"), ("skipped", "1"), ("waiting", "2"), ("accepted", "3"), ("failed", "4"), ("unknown", "5"),
    ] == rows  # fmt: skip


def test_report_shows_bars_on_the_screen(run: Run, campaign: str) -> None:
    """
    Without options the figures come as text with bars, notes on stderr.
    """
    result = run("report", campaign)

    assert 0 == result.exit_code
    assert "clicked              1   50.0 % ███████████████" in result.stdout
    assert "no delivery reports" in result.stderr


def test_report_writes_a_page(run: Run, campaign: str, tmp_path: Path) -> None:
    """
    `--html` writes the page, making the folder it belongs in.
    """
    target = tmp_path / "reports" / "spring.html"
    result = run("report", campaign, "--html", str(target))

    assert 0 == result.exit_code
    assert target.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_report_lists_all_campaigns(run: Run, campaign: str) -> None:
    """
    Without a name there is one line per campaign.
    """
    assert campaign in run("report").stdout
    assert 2 == json.loads(run("report", "--json").stdout)["campaigns"][0]["accepted"]


def test_report_of_nothing_is_no_error(run: Run) -> None:
    """
    Before the first campaign the list is empty, and the command says what to do.
    """
    result = run("report")

    assert (0, "") == (result.exit_code, result.stdout)
    assert "clarion plan" in result.stderr


def test_report_of_unknown_campaign_fails_with_a_hint(run: Run, campaign: str) -> None:
    """
    An unknown name exits 1 with the near miss on stderr.
    """
    result = run("report", "spring-papr")

    assert 1 == result.exit_code
    assert "did you mean 'spring-paper'?" in result.stderr


def test_report_on_the_screen_tells_what_came_back(run: Run, database: Database, campaign: str) -> None:
    """
    Messages that were delivered, bounced or reported as spam have their rows; what did not happen has none.
    """
    with database.begin() as connection:
        ids = list(connection.execute(select(message.c.id).order_by(message.c.id)).scalars())
        connection.execute(update(message).where(message.c.id == ids[0]).values(state="complained"))

    shown = run("report", campaign).stdout

    assert re.search(r"complained +1 ", shown)
    assert "bounced" not in shown
