"""docs/api.md: its calls are carried out by curl, and answered as it says; its description is that of the code."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

from campaigns.events.afterwards import Change
from campaigns.events.registering import Answer
from core.api_settings import Api
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.api_calls import KEY
from tests.event_pages import event_pages
from tests.sequence_files import ORDERED, sequence
from web.api.activities import MOST
from web.api.calls import MAX_BODY, REMEMBERED
from web.api.openapi import description
from web.api.routes import DESCRIBED, routes

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "api.md").read_text(encoding="utf-8")
CALLS = re.findall(r"^```sh\n(curl .*?)^```\n\n```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_calls_are_answered_as_the_page_says(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:
    """
    Each call, one after the other, by curl in a shell.
    """
    steps = "hello: {send: {template: ordered.html}}"
    files = {"campaigns/welcome.yaml": sequence(steps, enrol="{by: api}"), "templates/ordered.html": ORDERED}
    with event_pages(make_workspace, database, clock, more=files) as event:
        event.pages.customer(external_id="C-1", email="ann@customers.example")
        event.apply_sequence("welcome")
        answers = [_answer(event.pages.base_url, call) for call, _ in CALLS]

    assert [json.loads(told) for _, told in CALLS] == answers
    assert len(DESCRIBED) == len(CALLS)


def _answer(base_url: str, call: str) -> object:
    command = call.replace("https://news.paper.example", base_url).replace("curl ", "curl -sS ", 1)
    done = subprocess.run(
        ["bash", "-c", command], env={"CLARION_KEY": KEY, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_figures_and_settings_are_those_of_the_code() -> None:
    """
    What the page says of sizes and times, and its example of settings.
    """
    (settings,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    keys = Api.model_validate(yaml.safe_load(settings)["api"]).keys

    assert ("shop", 600) == next((name, key.per_minute) for name, key in keys.items())
    assert f"up to {MOST:,} in a call" in PAGE
    assert f"within {['no', 'one', 'two'][REMEMBERED.days]} days" in PAGE
    assert f"at most {MAX_BODY // 2**20} MB" in PAGE
    (codes,) = re.findall(r"^\| 409 \| (.*?) \| it cannot be done at present", PAGE, re.MULTILINE)
    assert {*Answer, Change.TOO_LATE} - {Answer.RECEIVED} == set(re.findall(r"`(\w+)`", codes))


def test_description_is_that_of_the_code_and_complete() -> None:
    """
    docs/reference/openapi.json is what the API says of itself, and every address is in it with all its methods.
    """
    described = description(DESCRIBED)
    kept = json.loads((DOCS / "reference" / "openapi.json").read_text(encoding="utf-8"))
    paths = {route.path.removeprefix("/api/v1") for route in routes()} - {"/openapi.json", "/{path:path}"}

    assert described == kept, "run `make docs`"
    assert paths == described["paths"].keys()
