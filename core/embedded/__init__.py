"""A real PostgreSQL 18 and a real Valkey 9 for one workspace, started on demand, stopped by `clarion down`.

Both listen on Unix sockets in a folder only their owner may enter, and outlive the command that started
them. PostgreSQL refuses to run as root: then it runs as the system user `clarion`, from a copy of its
programs under /var/lib/clarion, so that no permission outside that folder is ever changed.
"""

import shutil

from core.embedded import postgres, valkey
from core.embedded.places import Places, places
from core.embedded.postgres import ensure_postgres, postgres_url
from core.embedded.valkey import broker_url, ensure_valkey
from core.workspace import Workspace

__all__ = [
    "Places",
    "broker_url",
    "destroy",
    "ensure_postgres",
    "ensure_valkey",
    "places",
    "postgres_url",
    "running",
    "stop",
]


def running(workspace: Workspace) -> dict[str, bool]:
    """Which embedded services run, by name."""
    at = places(workspace)
    return {"postgres": postgres.process(at) is not None, "valkey": valkey.process(at) is not None}


def stop(workspace: Workspace) -> list[str]:
    """No embedded service of this workspace runs; the names of those that did are returned. Data is kept."""
    at = places(workspace)
    if not at.base.is_dir():
        return []
    with at.locked():
        stopped = [name for name, ended in (("valkey", valkey.stop(at)), ("postgres", postgres.stop(at))) if ended]
        at.forget_sockets()
    return stopped


def destroy(workspace: Workspace) -> None:
    """The embedded services are stopped and their data is gone for good."""
    stop(workspace)
    shutil.rmtree(places(workspace).base, ignore_errors=True)
