"""The mail the pages order, as it is shipped: rendered in each language, its link as it was made."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import ClassVar
from urllib.parse import parse_qs

import pytest

from campaigns import catalogue
from campaigns.mailings import rendered_message
from core.clock import SteppedClock
from core.database import Database
from core.errors import ConfigError
from core.workspace import Workspace
from tests.public_pages import GOOD, SETTINGS, public_pages, workspace_files

SUBJECTS = {
    "en": ("Please confirm that you signed up", "The link you asked for"),
    "de": ("Bitte bestätigen Sie Ihre Anmeldung", "Ihr Link"),
    "zh": ("请确认您的订阅", "您申请的链接"),
}
CAPTCHA = """\
    captcha: {{script: "https://captcha.example/api.js", verify_url: "http://127.0.0.1:{port}/verify",
               origins: ["https://*.captcha.example"], element: h-captcha, answer: h-captcha-response,
               site_key: site, secret: "geheim"}}
"""
#: Where in the settings the section of the captcha ends.
_OFFERS = "  offers: {{topics"


def test_mails_speak_the_language_of_the_page_and_carry_the_link_as_it_is(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:  # fmt: skip
    """
    Confirmation and links are rendered in all three languages; their target is no tracked link (S-6.9).
    """
    with public_pages(make_workspace, database, clock) as pages:
        for code, (confirm, link) in SUBJECTS.items():
            pages.customer(email=f"{code}@customers.example")
            pages.post("/f/newsletter", GOOD | {"email": f"{code}@customers.example"}, **{"Accept-Language": code})
            clock.instant += timedelta(days=1)  # four mails in a day are one too many
            for what in ("preferences", "export", "erase"):
                fields = {"email": f"{code}@customers.example", "what": what}
                pages.post("/my", fields, **{"Accept-Language": code})
            mails = pages.mails_to(f"{code}@customers.example")
            with database.begin() as connection:
                rendered = [rendered_message(connection, pages.workspace, mail["id"], clock.now()) for mail in mails]

            assert [confirm, link, link, link] == [one.subject for one in rendered if one]
            for mail, one in zip(mails, rendered, strict=True):
                assert one is not None
                assert f'href="{mail["given"]["url"]}"' in (one.html or "")
                assert mail["given"]["url"] in one.text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("topics: [promotions]", "topics: [promos]"), "forms.offers: no topic 'promos'"),
        (("campaign: confirm-sign-up}}", "campaign: confirm}}"), "no campaign 'confirm'"),
        (("export: your-link", "export: spring-paper"), "'spring-paper' is not transactional"),
        (("answer_s: 0", "answer_s: 9"), "answer_s"),
        ((_OFFERS, CAPTCHA.replace('"https://*.', "\"'self' https://*.").replace("{port}", "9") + _OFFERS), "origins"),
        (("answer_s: 0", "limits: {{mail_every: 5m}}"), "expected at least '1h'"),
        (("answer_s: 0}}", "answer_s: 0}}\nweb: {{proxies: [all]}}"), "expected a network address"),
    ],
)
def test_mistakes_in_forms_and_pages_are_told(
    make_workspace: Callable[..., Workspace], change: tuple[str, str], told: str
) -> None:  # fmt: skip
    """
    What the two sections name has to be there, before anybody fills in a form.
    """
    workspace = make_workspace(files=workspace_files(), settings=SETTINGS.replace(*change))
    with pytest.raises(ConfigError) as caught:
        catalogue.load(workspace)

    assert told in "\n".join(problem.message for problem in caught.value.problems)


class Judge(BaseHTTPRequestHandler):
    """A service that takes one answer for a person's."""

    asked: ClassVar[list[dict[str, list[str]]]] = []

    def do_POST(self) -> None:
        fields = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.asked.append(fields)
        verdict = b'{"success": true}' if fields["response"] == ["human"] else b'{"success": false}'
        self.send_response(200)
        self.end_headers()
        self.wfile.write(verdict)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def judge() -> Iterator[int]:
    """The port of such a service."""
    Judge.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Judge) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def with_captcha(port: int) -> str:
    """Settings whose newsletter form asks the service at the port."""
    captcha = CAPTCHA.replace("{port}", str(port))
    return SETTINGS.replace(_OFFERS, captcha + _OFFERS, 1)


def test_captcha_decides_who_is_a_person(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock, judge: int
) -> None:  # fmt: skip
    """
    The service is asked with secret, answer and visitor; its no, or no answer at all, brings the form again.
    """
    with public_pages(make_workspace, database, clock, settings=with_captcha(judge)) as pages:
        shown = pages.get("/f/newsletter")
        statuses = [
            pages.post("/f/newsletter", GOOD | fields).status
            for fields in ({"h-captcha-response": "robot"}, {}, {"h-captcha-response": "human"})
        ]

        assert [422, 422, 200] == statuses
        assert 1 == len(pages.mails())
    assert ["geheim"] == Judge.asked[0]["secret"]
    assert ["127.0.0.1"] == Judge.asked[0]["remoteip"]
    assert 2 == len(Judge.asked)
    assert '<div class="h-captcha" data-sitekey="site">' in shown.text
    policy = shown.headers["content-security-policy"]
    for kind in ("script-src", "frame-src", "connect-src"):
        assert f"{kind} https://captcha.example https://*.captcha.example" in policy
    assert re.search(r"style-src 'sha256-\S+' https://captcha\.example https://\*\.captcha\.example", policy)


def test_captcha_that_cannot_be_reached_lets_nobody_pass(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:  # fmt: skip
    """
    Who is turned away can try again; a mailbox that is flooded cannot.
    """
    with public_pages(make_workspace, database, clock, settings=with_captcha(9)) as pages:
        answer = pages.post("/f/newsletter", GOOD | {"h-captcha-response": "human"})

        assert (422, 0) == (answer.status, len(pages.mails()))
        assert "geheim" not in answer.text


def test_form_without_its_campaign_asks_to_come_back(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:  # fmt: skip
    """
    While the workspace's files have mistakes nothing is taken, and nobody is told that a mail is on its way.
    """
    with public_pages(make_workspace, database, clock) as pages:
        (pages.workspace.root / "campaigns/confirm-sign-up.yaml").unlink()
        known, unknown = (pages.post("/f/newsletter", GOOD | {"email": f"{n}@customers.example"}) for n in "ab")

        assert (503, 503) == (known.status, unknown.status)
        assert [] == pages.mails()
