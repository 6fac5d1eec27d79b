"""Advisory locks: taken in production, and not in a rehearsal."""

import re
from pathlib import Path

import pytest
from sqlalchemy import text

from core import advisory

ROOT = Path(__file__).parents[2]
_MINE = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
#: Where locks of sessions or of the schema are taken, which no rehearsal comes to.
_OTHER = {"core/advisory.py", "core/migrate.py", "workers/leading.py"}
_ROOMS = ("core", "customers", "segments", "templates", "suppression", "tracking", "delivery", "campaigns", "reports",
          "web", "workers", "demo")  # fmt: skip
_TAKEN = re.compile(r"pg_(?:try_)?advisory\w*lock")


@pytest.mark.parametrize("key", ["campaign:spring-paper", 7])
@pytest.mark.parametrize("take", [advisory.hold, advisory.share, advisory.tried])
def test_lock_is_taken_in_production_alone(database, take, key):
    """
    A transaction holds one lock; one that rehearses holds none, and is told that it may go on.
    """
    with database.begin() as connection:
        assert take(connection, key) is not False
        assert 1 == connection.execute(_MINE).scalar()
    with database.begin() as connection:
        advisory.rehearse(connection)
        assert take(connection, key) is not False
        assert 0 == connection.execute(_MINE).scalar()


def test_lock_that_is_held_is_not_had_by_trying(database):
    """
    Who tries a key that somebody holds is told so, in production; a rehearsal does not mind.
    """
    with database.begin() as holder, database.begin() as other:
        advisory.hold(holder, "campaign:x")
        assert not advisory.tried(other, "campaign:x")
        advisory.rehearse(other)
        assert advisory.tried(other, "campaign:x")


def test_rehearsal_ends_with_its_transaction(database):
    """
    The same connection takes locks again in its next transaction.
    """
    with database.engine.connect() as connection:
        with connection.begin() as transaction:
            advisory.rehearse(connection)
            transaction.rollback()
        with connection.begin():
            advisory.hold(connection, 1)
            assert 1 == connection.execute(_MINE).scalar()


def test_every_lock_of_a_transaction_asks_which_world_it_is_in():
    """
    No other file calls PostgreSQL's lock functions without the condition that leaves them out of a rehearsal.

    Triggers of migrations do; a rehearsal's tables go without triggers that take locks.
    """
    found = []
    for path in (path for room in _ROOMS for path in (ROOT / room).rglob("*.py")):
        name, source = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        if (
            name not in _OTHER
            and "migrations" not in name
            and len(_TAKEN.findall(source)) > source.replace('.replace("{for_real}"', "").lower().count("{for_real}")
        ):
            found.append(name)

    assert [] == found
