"""The real PostgreSQL and Valkey, started once a test run, and a fresh database for each test that asks."""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from core import embedded
from core.clock import SteppedClock
from core.database import Database
from core.migrate import ensure_schema
from core.workspace import Workspace
from tests.databases import Databases
from tests.remembering import statements_compiled_once

settings.register_profile("clarion", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("clarion")

MINIMAL_SETTINGS = """\
organisation: {{name: "Paper & Co", postal_address: "1 Mill Lane, 12345 Papertown"}}
database: "{database}"
broker: "{broker}"
secret: "0123456789abcdef0123456789abcdef"
senders:
  offers: {{name: "Paper & Co", email: offers@paper.example, reply_to: help@paper.example}}
transports:
  main: {{url: "smtp://127.0.0.1:{smtp_port}", connections: 4}}
topics:
  promotions: {{label: "Offers and promotions"}}
  news: {{label: "News"}}
"""
_numbers = itertools.count()
#: Long tests first, so that no process is left alone with one at the end.
_FOLDERS = ("acceptance", "property", "integration", "unit")


def pytest_configure(config: pytest.Config) -> None:
    """Files are handed out in the order of their tests, and not by how many there are in each."""
    config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By folder; inside a folder the order stays random."""
    items.sort(key=lambda item: _FOLDERS.index(item.path.parent.name) if item.path.parent.name in _FOLDERS else -1)


@pytest.fixture(scope="session", autouse=True)
def _statements_compiled_once() -> Iterator[None]:
    with statements_compiled_once():
        yield


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The workspace whose embedded services every test uses; both are destroyed at the end."""
    root = tmp_path_factory.mktemp("server")
    (root / "clarion.yaml").write_text(
        MINIMAL_SETTINGS.format(database="embedded", broker="embedded", smtp_port=2525), encoding="utf-8"
    )
    workspace = Workspace(root)
    # The tests' data need not survive a power cut, nor be tidied up. The product never does this.
    options = dict.fromkeys(("fsync", "full_page_writes", "synchronous_commit", "autovacuum"), "off")
    options |= {"max_connections": "200"}  # fifty workers in one test
    url = embedded.ensure_postgres(workspace, options=options)
    template = Database(url)
    ensure_schema(template, may_upgrade=True)
    template.dispose()
    yield workspace
    embedded.destroy(workspace)


@pytest.fixture(scope="session")
def broker(server: Workspace) -> str:
    """The URL of a real Valkey."""
    return embedded.ensure_valkey(server)


@pytest.fixture(scope="session")
def databases(server: Workspace) -> Databases:
    """The databases of this run, each of which is taken and given back."""
    return Databases(embedded.places(server).sockets, "clarion")


def _lent(databases: Databases) -> Iterator[Database]:
    fresh = Database(databases.take())
    yield fresh
    fresh.dispose()
    databases.give_back(fresh.url)


@pytest.fixture
def database(databases: Databases) -> Iterator[Database]:
    """An empty database with the schema, for one test."""
    yield from _lent(databases)


@pytest.fixture(scope="module")
def module_database(databases: Databases) -> Iterator[Database]:
    """A database shared by the tests of one file, for data that is loaded once and only read."""
    yield from _lent(databases)


@pytest.fixture
def clock() -> SteppedClock:
    """A clock that stands at noon UTC on 2 March 2026 until it is stepped."""
    return SteppedClock(datetime(2026, 3, 2, 12, 0, tzinfo=UTC))


@pytest.fixture
def make_workspace(tmp_path: Path) -> Callable[..., Workspace]:
    """
    Builds a workspace folder: `make_workspace(database=…, broker=…, smtp_port=…, files={"a.yaml": …})`.
    """

    def build(
        *,
        database: Database | None = None,
        broker: str = "embedded",
        smtp_port: int = 2525,
        files: dict[str, str] | None = None,
        settings: str = MINIMAL_SETTINGS,
    ) -> Workspace:
        root = tmp_path / f"workspace{next(_numbers)}"
        root.mkdir()
        url = database.url if database else "embedded"
        text = settings.format(database=url, broker=broker, smtp_port=smtp_port)
        for name, content in {"clarion.yaml": text, **(files or {})}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return Workspace(root)

    return build
