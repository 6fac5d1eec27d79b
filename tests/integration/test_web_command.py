"""`clarion web` as a process of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import select

from core import schema
from core.database import Database
from core.workspace import Workspace
from tests import factories
from tests.serving import ask
from tracking.links import TrackedUrls
from tracking.tokens import Signer


@contextmanager
def start(workspace: Workspace, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """`clarion web`, which has ended when the block does, whatever happened in it."""
    command = [sys.executable, "-P", "-m", "cli", "--workspace", str(workspace.root), "web", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_web_says_where_it_listens_serves_and_stops(
    make_workspace: Callable[..., Workspace], database: Database
) -> None:
    """
    It prints its address, answers there, stops on SIGTERM with exit code 0, and has logged no token.
    """
    workspace = make_workspace(database=database)
    with database.begin() as connection:
        customer = factories.make_customer(connection)
        message = factories.make_message(connection, factories.make_run(connection), customer)
    with start(workspace, "--port", "0") as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        base_url = line.removeprefix("listening on ").strip()
        urls = TrackedUrls(base_url, Signer(workspace.secret), message)
        answer = ask(urls.click(None, "https://shop.example/"))
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    with database.begin() as connection:
        kinds = connection.execute(select(schema.hit.c.kind)).scalars().all()

    assert re.fullmatch(r"listening on http://127\.0\.0\.1:\d+\n", line)
    assert (302, ["click"]) == (answer.status, kinds)
    assert (0, "", "") == (process.returncode, output, errors)


def test_web_on_a_port_in_use_says_so(make_workspace: Callable[..., Workspace], database: Database) -> None:
    """
    A taken port is one line and a hint, not a traceback.
    """
    workspace = make_workspace(database=database)
    with start(workspace, "--port", "0") as first:
        assert first.stderr is not None
        port = first.stderr.readline().strip().rpartition(":")[2]
        with start(workspace, "--port", port) as second:
            _, errors = second.communicate(timeout=60)
        first.terminate()
        first.communicate(timeout=60)

    assert 1 == second.returncode
    assert errors.startswith(f"clarion: cannot listen on 127.0.0.1:{port}")
    assert "hint: choose another with --host and --port" in errors
