"""`clarion audit`: the list that answers who did what, and the check that exits with 1."""

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from cli import clarion
from core import audit
from core.commands import Desk
from tests.factories import make_customer


@pytest.fixture
def run(database, make_workspace, clock):
    """Runs the command line in a workspace over the test's database."""
    desk = Desk(make_workspace(database=database).root, clock)
    with database.begin() as connection:
        number = make_customer(connection, external_id="K1")
        audit.record(connection, "anna", "suppress.add", "address:1", at=clock.now())
        audit.record(connection, "ben", "customer.export", f"customer:{number}", at=clock.now(), rows=3)
        audit.record(connection, "ben", "suppression", "address:2", at=clock.now())

    def call(*arguments, code=0):
        done = CliRunner().invoke(clarion, ["audit", *arguments], obj=desk, catch_exceptions=False)
        assert code == done.exit_code, done.output
        return done

    yield call
    desk.close()


def _actions(done):
    return [entry["action"] for entry in json.loads(done.stdout)["entries"]]


def test_list_answers_by_action_actor_and_customer(run, clock):
    """
    An action may be given by its first part; a customer by external id; the newest entry comes first.
    """
    assert ["suppression", "customer.export", "suppress.add"] == _actions(run("list", "--json"))
    assert ["suppress.add"] == _actions(run("list", "--action", "suppress", "--json"))
    assert ["customer.export"] == _actions(run("list", "--customer", "K1", "--json"))
    assert ["suppression", "customer.export"] == _actions(run("list", "--actor", "ben", "--within", "1d", "--json"))
    assert "rows=3" in run("list").stdout
    assert "there is no customer" in run("list", "--customer", "K2", code=1).stderr


def test_verify_prints_the_seal_and_exits_with_one_when_something_changed(run, database):
    """
    The seal printed holds later; a changed entry, and a seal that is in no entry, are told.
    """
    seal = run("verify").stdout.strip()
    assert json.loads(run("verify", "--seal", seal, "--json").stdout)["sound"]
    assert "hexadecimal" in run("verify", "--seal", "xyz", code=2).stderr
    assert "the chain was made anew" in run("verify", "--seal", "00" * 32, code=1).stdout

    with database.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE audit SET actor = 'eve' WHERE number = 2"))

    found = json.loads(run("verify", "--json", code=1).stdout)
    assert (False, [2]) == (found["sound"], [flaw["number"] for flaw in found["flaws"]])
