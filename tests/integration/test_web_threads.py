"""An opt-out waits for nothing that other pages wait for."""

import asyncio
import socket
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.form_settings import Captcha
from core.workspace import Workspace
from tests.public_pages import SETTINGS, Pages, public_pages, workspace_files
from tests.serving import ask, served
from tracking.timed_tokens import TimedPurpose
from tracking.tokens import Purpose
from web import captchas, site
from web.app import create_app
from web.threads import Threads


def test_opt_outs_are_taken_while_every_other_page_waits(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:  # fmt: skip
    """
    One click, the button that stops everything, and the question whether all is well have threads of their own.
    """
    workspace = make_workspace(database=database, files=workspace_files(), settings=SETTINGS)
    app = create_app(workspace, database, clock)
    go_on = threading.Event()
    with served(app) as base_url:
        pages = Pages(base_url, database, workspace, clock)
        message = pages.mailed(pages.customer(email="ann@customers.example", consents=("promotions",)))
        busy = [app.state.site.threads.pages.submit(go_on.wait) for _ in range(20)]
        try:
            statuses = [
                ask(
                    f"{base_url}/u/{pages.signer.sign(Purpose.UNSUBSCRIBE, message)}", "POST",
                    "List-Unsubscribe=One-Click", {},
                ).status,
                pages.post(f"/p/{pages.token(TimedPurpose.MAIL_PREFERENCES, message)}", {"action": "stop"}).status,
                pages.get("/healthz").status,
            ]  # fmt: skip
        finally:
            go_on.set()

        assert [200, 200, 200] == statuses
        assert all(one.result() for one in busy)


def test_page_that_waits_for_a_lock_gives_up(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """
    What can be asked again is answered 503, with the time after which to ask.
    """
    monkeypatch.setattr(site, "_PATIENCE", text("SET LOCAL lock_timeout = '20ms'"))
    with public_pages(make_workspace, database, clock) as pages, database.begin() as other:
        other.execute(text(f"LOCK TABLE {schema.public_count.name}"))
        answer = pages.post("/my", {"email": "ann@customers.example", "what": "export"})

    assert (503, "60") == (answer.status, answer.headers["retry-after"])


def test_captcha_service_that_does_not_answer_is_a_no() -> None:
    """
    It is waited for until the deadline, in a thread that nothing else needs.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        captcha = Captcha(
            script=url, verify_url=url, element="box", answer="response", site_key="site", secret="not told"
        )  # fmt: skip
        threads = Threads()
        answer = asyncio.run(captchas.is_person(threads, captcha, "an answer", None, deadline_s=0.05))
    threads.close()

    assert answer is False
