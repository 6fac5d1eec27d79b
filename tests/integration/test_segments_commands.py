"""`clarion segment …` as a marketer calls it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert

from cli import clarion
from core import schema
from core.clock import SteppedClock
from core.commands import Desk
from core.database import Database
from core.workspace import Workspace
from tests.factories import make_activity, make_customer

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FILES = {
    "segments/drifting.yaml": (
        'description: Gone quiet\nwhere: |\n  tier in ["top", "big"]\n  and not did("page_view")\n'
    ),
    "segments/top.yaml": 'where: tier == "top"\n',
    "campaigns/spring-paper.yaml": "",
}
Run = Callable[..., Result]


@pytest.fixture
def run(database: Database, make_workspace: Callable[..., Workspace]) -> Run:
    """Calls `clarion` in a workspace of two segments and three customers."""
    with database.begin() as connection:
        for name, tier in (("K1", "top"), ("K2", "big"), ("K3", "small")):
            customer_id = make_customer(
                connection,
                external_id=name,
                first_name="Ann",
                last_name=name,
                email=f"{name}@customers.example",
            )
            connection.execute(insert(schema.customer_metrics).values(customer_id=customer_id, pyramid=tier, as_of=NOW))
            if name == "K2":
                make_activity(connection, customer_id, occurred_at=NOW - timedelta(days=1))
    workspace = make_workspace(database=database, files=FILES)

    def call(*arguments: str, files: dict[str, str] | None = None) -> Result:
        for name, text in (files or {}).items():
            (workspace.root / name).write_text(text, encoding="utf-8")
        desk = Desk(workspace.root, SteppedClock(NOW))
        result = CliRunner().invoke(clarion, ["segment", *arguments], obj=desk)
        desk.database.dispose()
        return result

    return call


def _json(result: Result) -> Any:
    assert 0 == result.exit_code, result.output
    return json.loads(result.stdout)


def test_list_counts_every_segment(run: Run) -> None:
    """
    Name, description and head count of each.
    """
    expected = [
        {"name": "drifting", "description": "Gone quiet", "count": 1},
        {"name": "top", "description": "", "count": 1},
    ]

    assert expected == _json(run("list", "--json"))["segments"]
    assert "drifting" in run("list").stdout


def test_list_goes_on_after_a_mistake(run: Run) -> None:
    """
    A wrong segment has no count, the others have theirs, and the exit code is 1.
    """
    result = run("list", "--json", files={"segments/bad.yaml": 'where: tear == "x"\n'})

    assert 1 == result.exit_code
    assert [None, 1, 1] == [row["count"] for row in json.loads(result.stdout)["segments"]]
    assert "segments/bad.yaml:1: unknown name 'tear'" in result.stderr


def test_count_takes_a_name_or_an_expression(run: Run) -> None:
    """
    The keys that other programs rely on.
    """
    found = _json(run("count", 'tier != "top"', "--json"))

    assert ['tier != "top"', 2] == [found["segment"], found["count"]]
    assert found["seconds"] >= 0
    assert "1 customer\n" == run("count", "drifting").stdout


def test_count_of_a_mistake_shows_the_caret(run: Run) -> None:
    """
    One line, the caret, a hint; exit code 1 and nothing on stdout.
    """
    result = run("count", 'tear == "top"')

    assert (1, "") == (result.exit_code, result.stdout)
    assert "clarion: unknown name 'tear'\n    tear == \"top\"\n    ^\nhint: did you mean 'tier'?\n" == result.stderr


def test_show_breaks_a_segment_down_by_tier(run: Run) -> None:
    """
    Rule, head count, share of everybody, and the tiers from the top down.
    """
    found = _json(run("show", 'tier in ["small", "top"]', "--json"))

    assert [2, 3, 0.6667] == [found["count"], found["customers"], found["share"]]
    assert [("top", 1, 0.5), ("small", 1, 0.5)] == [tuple(row.values()) for row in found["tiers"]]
    assert 'where: tier in ["top", "big"] and not did("page_view")' in run("show", "drifting").stdout


def test_sample_shows_customers_without_their_addresses(run: Run) -> None:
    """
    As many as asked for, the same ones each time.
    """
    found = _json(run("sample", "true", "-n", "2", "--json"))["customers"]

    assert found == _json(run("sample", "true", "-n", "2", "--json"))["customers"]
    assert 2 == len(found)
    assert {"external_id", "name", "company", "tier"} == set(found[0])
    assert "@" not in run("sample", "true").stdout


def test_sql_is_a_statement_that_runs(run: Run, database: Database) -> None:
    """
    The printed statement selects the segment's customers as it stands.
    """
    statement = _json(run("sql", 'in_segment("drifting") and email != "100%\'"', "--json"))["sql"]
    with database.begin() as connection:
        rows = connection.exec_driver_sql(statement.replace("%", "%%")).all()

    assert 1 == len(rows)
    assert "'100%'''" in statement
    assert run("sql", "top").stdout.endswith(";\n")


def test_explain_counts_each_condition(run: Run) -> None:
    """
    Each condition alone, and how many are left after it and those before.
    """
    parts = _json(run("explain", "drifting", "--json"))["parts"]

    assert [(2, 2), (2, 1)] == [(part["customers"], part["left"]) for part in parts]
    assert 'not did("page_view")' == parts[1]["condition"]
    assert 'tier in ["top", "big"]' in run("explain", "drifting").stdout


@pytest.mark.parametrize("key", ["K2", "k2@CUSTOMERS.example"])
def test_explain_judges_one_customer(run: Run, key: str) -> None:
    """
    Which part held, which did not, and what was found; the customer is named by id or address.
    """
    found = _json(run("explain", 'in_segment("drifting") or monetary > 10', "--customer", key, "--json"))
    opened = found["parts"][0]["parts"][0]["parts"]

    assert [False, False, False] == [found["holds"], *(part["holds"] for part in found["parts"])]
    assert [(True, 'tier is "big"'), (False, "once at 2026-03-01 12:00 UTC")] == [
        (part["holds"], part["found"]) for part in opened
    ]
    assert "monetary is 0" == found["parts"][1]["found"]
    text = run("explain", "drifting", "--customer", key).stdout
    assert f"{key} is not selected by drifting" in text
    assert '✗ not did("page_view")   (once at 2026-03-01 12:00 UTC)' in text


@pytest.mark.parametrize("key", ["K9", "nobody@customers.example"])
def test_explain_says_when_nobody_has_the_key(run: Run, key: str) -> None:
    """
    An unknown id or address is an error and no verdict.
    """
    result = run("explain", "drifting", "--customer", key)

    assert (1, True) == (result.exit_code, key in result.stderr)
