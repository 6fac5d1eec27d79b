"""The trial request that docs/feedback.md shows is one that counts."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from core import schema
from core.clock import SystemClock
from core.database import Database
from core.workspace import Workspace
from tests.conftest import MINIMAL_SETTINGS
from tests.serving import served
from tracking.webhooks import sendgrid
from web.app import create_app

PAGE = (Path(__file__).parents[2] / "docs" / "feedback.md").read_text(encoding="utf-8")
SHOWN = [block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "trial" in block]


def ran(script: str, folder: Path, url: str = "") -> str:
    """What the shell prints."""
    done = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=folder, env={"PATH": "/usr/bin:/bin", "CLARION_URL": url}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("curl")), reason="openssl or curl is not installed")
def test_the_page_shows_a_request_that_counts(
    make_workspace: Callable[..., Workspace], database: Database, tmp_path: Path
) -> None:
    """
    A key and a request as the page makes them count, once; the address is suppressed, for a provider vouches for it.
    """
    make_key, make_request = SHOWN
    settings = f'webhooks: {{{{sendgrid: {{{{public_key: "{ran(make_key, tmp_path)}"}}}}}}}}\n'
    workspace = make_workspace(database=database, settings=MINIMAL_SETTINGS + settings)
    with served(create_app(workspace, database, SystemClock())) as url:
        answers = [ran(make_request, tmp_path, url) for _ in range(2)]
    with database.begin() as connection:
        reasons = list(connection.execute(select(schema.suppression.c.reason)).scalars())

    assert ["1 of 1 new", "0 of 1 new"] == [answer.strip() for answer in answers]
    assert ["hard_bounce"] == reasons


def test_the_page_names_what_is_read_of_a_request() -> None:
    """
    Each header and each field that SendGrid's reader looks at stands in the table.
    """
    source = Path(sendgrid.__file__).read_text(encoding="utf-8")
    read = set(re.findall(r'event\.get\("([\w-]+)"\)', source)) - {"sg_machine_open"}
    rows = "\n".join(line for line in PAGE.split("\n") if line.startswith("| "))

    assert {
        name for name in (*read, sendgrid.SIGNATURE, sendgrid.TIMESTAMP) if f"`{name}`" not in rows.lower()
    } == set()
