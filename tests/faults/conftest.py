"""Fixtures of the fault runs."""

import pytest
import redis

from core.database import Database
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.faults.workplace import Workplace, populate

#: The shortest lease there is, so that what a lost worker held is free soon.
SETTINGS = MINIMAL_SETTINGS + "workers: {{processes: 1, lease: 10s}}\n"


@pytest.fixture
def quiet_broker(broker: str) -> str:
    """The URL of a Valkey that remembers nothing of workers that were killed before."""
    redis.Redis.from_url(broker).flushall()
    return broker


@pytest.fixture
def make_workplace(make_workspace, database: Database, quiet_broker: str):
    """Builds a workspace for `count` people, whose mail goes to `port`."""

    built = []

    def build(port: int, count: int = 12, files: dict[str, str] = FILES, settings: str = SETTINGS) -> Workplace:
        populate(database, count)
        workspace = make_workspace(
            database=database, broker=quiet_broker, smtp_port=port, files=files, settings=settings
        )
        built.append(Workplace(workspace, database))
        return built[-1]

    yield build
    for workplace in built:
        workplace.close()
