"""`clarion demo`, from an empty folder to the report, as a newcomer runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core import embedded
from core.workspace import Workspace
from demo.inbox import read_index

REPOSITORY = Path(__file__).resolve().parents[2]


def clarion(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """The command was run in the folder, as somebody types it."""
    paths = filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, "-P", "-m", "cli", *arguments], cwd=folder, env=environment, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=180, check=False,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Played:
    """A demo that was played: its folder, and what it said."""

    folder: Path
    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """A demo with 300 firms."""
    folder = tmp_path_factory.mktemp("demo")
    done = clarion("demo", "--customers", "300", "--folder", "dealer", folder=folder)
    yield Played(folder / "dealer", done.returncode, done.stdout, done.stderr)
    if (folder / "dealer" / "clarion.yaml").exists():
        embedded.destroy(Workspace(folder / "dealer"))


def test_demo_runs_to_the_report(played: Played) -> None:
    """
    The demo ends well, and says where the report is; it is there.
    """
    report = played.folder / "reports" / "paper-restock.html"

    assert 0 == played.code, played.stdout + played.stderr
    assert f"The report with its charts: {report}" in played.stdout
    assert "From audience to answer" in report.read_text(encoding="utf-8")


def test_demo_sends_what_its_ledger_says(played: Played) -> None:
    """
    The mail server has as many mails as the report has accepted ones, each to another address; people answered.
    """
    told = json.loads(clarion("report", "paper-restock", "--json", folder=played.folder).stdout)
    recipients = [mail.recipients for mail in read_index(played.folder / "inbox")]

    assert told["accepted"] == len(recipients) == len(set(recipients)) > 20
    assert min(told["opened_human"], told["clicked_human"], told["clicked_machine"], told["converted"]) > 0


def test_demo_shows_the_commands_it_types(played: Played) -> None:
    """
    Each step is a command of Clarion's own, echoed before it runs, and none printed an error.
    """
    typed = [line.split()[2] for line in played.stdout.splitlines() if line.startswith("$ clarion ")]

    assert typed[:6] == ["import"] * 5 + ["tiers"]
    assert {"plan", "up", "send", "report", "status", "why", "down"} <= set(typed)
    assert "Traceback" not in played.stderr


def test_demo_leaves_nothing_running(played: Played) -> None:
    """
    When the demo is over, its services are stopped. (Asking for the report starts the database again, so this
    one stops it first.)
    """
    clarion("down", folder=played.folder)

    assert {"postgres": False, "valkey": False} == embedded.running(Workspace(played.folder))


def test_demo_empties_only_its_own_folder(tmp_path: Path) -> None:
    """
    A folder that holds anything else is refused, and stays as it is.
    """
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    refused = clarion("demo", "--folder", str(tmp_path), folder=tmp_path)

    assert 2 == refused.returncode
    assert ["thesis.txt"] == [path.name for path in tmp_path.iterdir()]
