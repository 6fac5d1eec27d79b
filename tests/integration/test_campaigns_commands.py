"""The commands about campaigns where something is in the way: one clear error, never a traceback."""

import getpass
import json
import os
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from cli import clarion
from core.clock import SteppedClock
from core.commands import Desk
from core.database import Database
from core.schema import audit
from core.workspace import Workspace
from tests.campaign_files import FILES, campaign_file
from tests.factories import make_customer

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
Run = Callable[..., Result]
GOOD = {
    "name": "spring-paper",
    "fingerprint": "0123456789abcdef",
    "digest": "1:0123456789abcdef0123456789abcdef",
    "audience": 1,
    "would_send": 1,
    "skipped": {},
    "pending": True,
}


@pytest.fixture
def workspace(database: Database, make_workspace: Callable[..., Workspace]) -> Workspace:
    """A workspace with one campaign and one customer who agreed."""
    with database.begin() as connection:
        make_customer(connection, external_id="K1", email="ann@firm.example", consents=("promotions",))
    return make_workspace(database=database, files=FILES)


@pytest.fixture
def run(workspace: Workspace) -> Run:
    """Calls `clarion` in the workspace."""

    def call(*arguments: str) -> Result:
        desk = Desk(workspace.root, SteppedClock(NOW))
        result = CliRunner().invoke(clarion, arguments, obj=desk)
        desk.close()
        return result

    return call


def _one_error(result: Result) -> str:
    """The message; fails where the command ended in anything but one."""
    told = "".join(traceback.format_exception(result.exception)) if result.exception else ""
    assert isinstance(result.exception, SystemExit), told
    assert 1 == result.exit_code
    assert 1 == result.stderr.count("clarion: ")
    return result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "--out", "{}"),
        ("preview", "spring-paper", "--as", "K1", "--html", "{}"),
        ("preview", "spring-paper", "--as", "K1", "--eml", "{}"),
    ],
    ids=lambda arguments: " ".join(arguments[::-1][1::-1]),
)
def test_file_in_a_folder_that_is_not_there_is_one_error(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """
    Where the folder of the asked file does not exist, the file is named and nothing is made.
    """
    target = tmp_path / "absent" / "file"

    assert f"{target} cannot be written: No such file" in _one_error(run(*(word.format(target) for word in arguments)))
    assert not target.parent.exists()


def test_a_plan_tells_the_counts_beside_what_it_refuses(
    run: Run, workspace: Workspace, database: Database, tmp_path: Path
) -> None:
    """
    One campaign that is too large does not hide the others; no plan file is written.
    """
    with database.begin() as connection:
        make_customer(connection, consents=("promotions",))
    too_large = campaign_file(limits="{max_audience: 1, piece_memory: none}")
    (workspace.root / "campaigns/autumn-paper.yaml").write_text(too_large, encoding="utf-8")
    planned = run("plan", "--out", str(tmp_path / "plan.json"))

    assert "autumn-paper: 2 people would be written to (expected at most 1)" in _one_error(planned)
    assert ["would", "send", "2"] == next(line.split() for line in planned.stdout.splitlines() if "send" in line)
    assert not (tmp_path / "plan.json").exists()


def test_a_plan_says_that_people_have_a_message_or_wait_for_it(run: Run) -> None:
    """
    Of people whose message waits in a run it is not said that they were written to.
    """
    run("apply", "--yes")

    assert "already_messaged: it was sent, or waits in a run (clarion status spring-paper)" in run("plan").stdout


@pytest.mark.parametrize("arguments", [("init", "{}"), ("schema", "--out", "{}")], ids=["init", "schema"])
def test_folder_that_cannot_be_made_is_one_error(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """
    A folder asked for below a file cannot be made, and the error says so.
    """
    (tmp_path / "file").write_text("", encoding="utf-8")
    target = tmp_path / "file" / "folder"

    assert f"{target} cannot be written: " in _one_error(run(*(word.format(target) for word in arguments)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no plan file"),
        ("[" * 100_000, "is no plan file"),
        (f'{{"format": {"9" * 5000}}}', "is no plan file"),
        ("[]", "this is no plan file (format None, expected 1)"),
        ('{"format": 1}', "campaigns: Input should be a valid list"),
        ('{"format": 1, "campaigns": {}}', "campaigns: Input should be a valid list"),
        ('{"format": 1, "campaigns": [1]}', "campaigns.0: "),
        ('{"format": 1, "campaigns": [{}]}', "campaigns.0.name: Field required"),
        *(
            (json.dumps({"format": 1, "campaigns": [GOOD | {key: value}]}), f"campaigns.0.{key}")
            for key, value in [
                ("name", None),
                ("name", "\ud800"),
                ("fingerprint", 1),
                ("would_send", "x"),
                ("would_send", -1),
                ("audience", True),
                ("skipped", []),
                ("skipped", {"not_consented": "x"}),
                ("pending", "yes"),
                ("extra", 1),
            ]
        ),
    ],
    ids=lambda value: str(value)[:40] if "{" not in str(value) else "",
)
def test_damaged_plan_file_is_one_error(run: Run, tmp_path: Path, content: str, message: str) -> None:
    """
    A plan file in which anything is of another kind is refused with the place of it, and nothing is sent.
    """
    file = tmp_path / "plan.json"
    file.write_text(content, encoding="utf-8")

    assert message in _one_error(run("apply", str(file)))


def test_plan_file_is_read_back(run: Run, tmp_path: Path) -> None:
    """
    What `plan --out` wrote is carried out by `apply`.
    """
    file = tmp_path / "plan.json"

    assert 2 == run("plan", "--out", str(file)).exit_code
    result = run("apply", str(file), "--json")
    assert 0 == result.exit_code, result.output
    assert ["spring-paper"] == [item["campaign"] for item in json.loads(result.stdout)["started"]]


def test_user_without_a_name_can_pause(run: Run, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    In a container whose user has no passwd entry the order is recorded under the user's number.
    """

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    run("send", "spring-paper", "--yes")

    assert 0 == run("pause", "spring-paper").exit_code
    with database.begin() as connection:
        actors = set(connection.execute(select(audit.c.actor).where(audit.c.action.contains("pause"))).scalars())
    assert {f"uid {os.getuid()}"} == actors


def test_value_from_the_environment_is_in_no_remark(
    run: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    `validate` and `validate --json` tell where a value from the environment is wrong, and never the value.
    """
    monkeypatch.setenv("PAPER_PASSWORD", "hunter2@secret")
    path = workspace.root / "clarion.yaml"
    path.write_text(path.read_text().replace("smtp://", "smtp://shop:${PAPER_PASSWORD}@"), encoding="utf-8")
    (workspace.root / "campaigns" / "spring-paper.yaml").write_text(
        FILES["campaigns/spring-paper.yaml"].replace("everybody", '"${PAPER_PASSWORD}"'), encoding="utf-8"
    )
    (workspace.root / "segments" / "everybody.yaml").write_text('where: tier == "${PAPER_PASSWORD}"\n')
    for result in (run("validate"), run("validate", "--json")):
        assert "percent-encoded" in result.output
        assert "a rule cannot read the environment" in result.output
        assert "no segment of this name" in result.output
        assert "hunter2" not in result.output


def test_resuming_what_was_not_paused_says_so(run: Run) -> None:
    """
    A running campaign that is resumed goes on as before, and nobody is told that it was paused.
    """
    run("send", "spring-paper", "--yes")

    assert "spring-paper: was not paused; nothing was changed" in run("resume", "spring-paper").output
    run("pause", "spring-paper")
    assert "spring-paper: resumed 1 run" in run("resume", "spring-paper").output


def test_status_lists_the_people_behind_a_count(run: Run) -> None:
    """
    A state or reason, typed as the counts name it, is answered by who they are; another word by a near one.
    """
    run("send", "spring-paper", "--yes")

    people = json.loads(run("status", "spring-paper", "--who", "planned", "--json").stdout)["people"]

    assert [("K1", "planned", None)] == [(row["customer"], row["state"], row["reason"]) for row in people]
    assert "(none)" in run("status", "spring-paper", "--who", "frequency_cap").stdout
    assert "did you mean 'planned'?" in run("status", "spring-paper", "--who", "planed").output
