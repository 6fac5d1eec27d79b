"""Sessions of the database reckon in UTC, wherever the server stands."""

import re
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from core.database import Database, plain_link

ASKED = (
    "SELECT current_setting('timezone'), CAST(timestamptz '2026-03-01T20:00Z' AS date), timestamptz '2026-03-01T20:00Z'"
)
IN_UTC = ("UTC", date(2026, 3, 1), datetime(2026, 3, 1, 20, tzinfo=UTC).isoformat())


@pytest.fixture
def abroad(database, monkeypatch):
    """The URL of a database whose server, and whose user, name another zone."""
    monkeypatch.setenv("PGTZ", "Asia/Kathmandu")
    with psycopg.connect(database.url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Kathmandu'")
    return database.url


def _shown(row):
    zone, day, at = row
    return zone, day, at.isoformat()


def _told_by(opened):
    with opened as connection:
        return _shown(connection.execute(text(ASKED)).one())


def test_every_session_reckons_in_utc_on_a_server_elsewhere(abroad):
    """
    In Kathmandu it is the second of March already; every connection of ours says the first, and tells times in UTC.
    """
    database = Database(abroad)
    with plain_link(abroad, "clarion test") as plain:
        told = _shown(plain.execute(ASKED).fetchone())

    assert IN_UTC == told
    assert [IN_UTC] * 3 == [_told_by(opened) for opened in (database.begin(), database.rehearsal(), database.link())]
    with psycopg.connect(abroad) as theirs:
        assert "Asia/Kathmandu" == theirs.execute(ASKED).fetchone()[0]
    database.dispose()


def test_a_session_stays_in_utc_after_a_rollback(abroad):
    """
    A transaction that fails, be it the first one of a connection, takes nothing from the next.
    """
    database = Database(abroad)
    with database.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.rollback()
        zone = connection.execute(text("SHOW timezone")).scalar_one()
    database.dispose()

    assert "UTC" == zone


def test_options_of_the_address_stay_but_for_the_zone(database):
    """
    `options` in the URL of `database:` reach the server; a zone among them does not turn our clocks.
    """
    url = f"{database.url}&options=-c%20statement_timeout%3D12345%20-c%20timezone%3DAsia%2FKathmandu"
    asked = "SELECT current_setting('statement_timeout'), current_setting('timezone')"
    theirs = Database(url)
    with theirs.begin() as connection, plain_link(url, "clarion test") as plain:
        told = tuple(connection.execute(text(asked)).one()), plain.execute(asked).fetchone()
    theirs.dispose()

    assert (("12345ms", "UTC"),) * 2 == told


def test_connections_are_opened_in_one_place():
    """
    No other file of the product connects: one that did would reckon by the server's clock.
    """
    root = Path(__file__).parents[2]
    ours = [path for path in root.glob("[a-z]*/**/*.py") if path.parts[len(root.parts)] not in ("tests", "bench")]
    opening = re.compile(r"psycopg\.(Async)?(Connection\.)?connect\(|create_(async_)?engine\(|engine_from_config")

    assert ["core/database.py"] == [str(path.relative_to(root)) for path in ours if opening.search(path.read_text())]
