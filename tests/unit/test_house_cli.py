"""The command line as a whole: quick to start, complete, and helpful about mistakes."""

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from cli import COMMANDS, clarion
from core.errors import ConfigError, NotFound, UsageError

HEAVY = {
    "celery",
    "kombu",
    "sqlalchemy",
    "psycopg",
    "pydantic",
    "jinja2",
    "apscheduler",
    "alembic",
    "starlette",
}


def _modules_after(statement: str) -> set[str]:
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_importing_cli_loads_no_heavy_package():
    """
    `import cli` loads Click and the standard library, none of the packages that take long to start.
    """
    assert set() == HEAVY & _modules_after("import cli")


def test_help_loads_no_heavy_package_and_no_room():
    """
    `clarion --help` tells every command without loading the room it lives in.
    """
    loaded = _modules_after("import cli, contextlib; cli.clarion(['--help'], standalone_mode=False)")

    assert set() == loaded & (HEAVY | {module.partition(".")[0] for module, _, _ in COMMANDS.values()})


@pytest.mark.parametrize("name", COMMANDS)
def test_command_exists_and_has_help(name):
    """
    Each command of the table is a Click command whose help has a text, as has each of its subcommands.
    """
    command = clarion.get_command(click.Context(clarion), name)

    assert isinstance(command, click.Command)
    every = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    assert [] == [each.name for each in every if not each.help]


@pytest.mark.parametrize("module", sorted({module for module, _, _ in COMMANDS.values()}))
def test_commands_module_is_quick_to_import(module):
    """
    A room's `commands` module loads heavy packages only inside its functions, so that help is quick.
    """
    assert set() == {"celery", "sqlalchemy"} & _modules_after(f"import {module}")


def test_planning_loads_no_library_that_its_files_may_not_need():
    """
    Parsers, calendars, ciphers and migrations are loaded by the first file or database that asks for them.
    """
    seldom = {"markdown_it", "icalendar", "cryptography", "alembic", "celery", "starlette", "dns", "holidays"}

    assert set() == seldom & _modules_after("import campaigns.catalogue, campaigns.whole_plan, core.database")


def test_unknown_command_suggests_the_near_one():
    """
    A misspelt command is a usage error which names the command that was likely meant.
    """
    result = CliRunner().invoke(clarion, ["validat"])

    assert 2 == result.exit_code
    assert "Did you mean 'validate'?" in result.stderr


@pytest.mark.parametrize(
    ("error", "status"), [(NotFound("no such thing"), 1), (UsageError("no"), 2), (ConfigError("bad"), 1)]
)
def test_engine_error_is_one_message_on_stderr(error, status, monkeypatch):
    """
    An error a person can mend is printed with its hint on stderr, and sets the exit status.
    """
    error.hint = "look again"

    @click.command()
    def broken() -> None:
        raise error

    monkeypatch.setattr(type(clarion), "get_command", lambda self, ctx, name: broken)
    result = CliRunner().invoke(clarion, ["validate"])

    assert status == result.exit_code
    assert f"clarion: {error.message}\nhint: look again\n" == result.stderr
    assert "" == result.stdout


def test_bug_keeps_its_traceback(monkeypatch):
    """
    Any other exception is a bug and is not swallowed.
    """

    @click.command()
    def buggy() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(clarion), "get_command", lambda self, ctx, name: buggy)

    assert ZeroDivisionError is type(CliRunner().invoke(clarion, ["validate"]).exception)


def test_command_outside_a_workspace_says_how_to_get_one(tmp_path, monkeypatch):
    """
    A command that needs a workspace names the folder it looked in and the ways to have one.
    """
    monkeypatch.delenv("CLARION_WORKSPACE", raising=False)
    result = CliRunner().invoke(clarion, ["-w", str(tmp_path), "validate"])

    assert 1 == result.exit_code
    assert f"no clarion.yaml in {tmp_path}" in result.stderr
    assert "clarion init" in result.stderr
