"""The web process goes by clarion.yaml as it is now, without a new start."""

import logging

import pytest

from core.api_settings import hash_of
from core.workspace import Workspace
from tests.conftest import MINIMAL_SETTINGS
from tests.inquiry_files import STAFF
from tests.public_pages import SETTINGS, public_pages
from tests.webhook_requests import CERTIFICATE_URL, TOPIC, Amazon, ses, ses_bounce
from tracking.webhooks import NotGenuine
from web.site import Site

DESK = "inquiries:\n  sales: {title: Ask our sales team, owner: anna}\n"
KEY = "k" * 40
API = f"api: {{keys: {{shop: {{sha256: {hash_of(KEY)}, scopes: [inquiries]}}}}}}\n"


@pytest.fixture
def pages(make_workspace, database, clock):
    with public_pages(make_workspace, database, clock, settings=SETTINGS + STAFF) as running:
        yield running


def write(pages, *changes, after=""):
    """clarion.yaml with texts replaced, and lines added."""
    file = pages.workspace.root / "clarion.yaml"
    text = file.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text + after, encoding="utf-8")


def test_mended_settings_count_from_the_next_request_on(pages, monkeypatch):
    """
    Desks, programs with keys, the name at the foot of pages: what is added is there, what is taken away is gone.
    """
    monkeypatch.setattr("web.renewing._EVERY_S", 0.0)
    paths = ("/api/v1/inquiries", "/f/offers", "/f/others")
    call = {"Authorization": f"Bearer {KEY}"}
    before = [pages.get(path, **call).status for path in paths]
    renamed = ('name: "Paper & Co", postal', 'name: "Mill & Daughters", postal')
    write(pages, renamed, ("  offers: {topics", "  others: {topics"), after=DESK + API)
    desk = pages.get("/i/sales")

    assert [404, 200, 404] == before
    assert (200, True, True) == (desk.status, "Ask our sales team" in desk.text, "Mill &amp; Daughters" in desk.text)
    assert [405, 404, 200] == [pages.get(path, **call).status for path in paths]


def test_settings_with_a_mistake_leave_the_pages_as_they_are(pages, monkeypatch, caplog):
    """
    The mistake is logged once with its line, and what is right again counts.
    """
    monkeypatch.setattr("web.renewing._EVERY_S", 0.0)
    with caplog.at_level(logging.ERROR, "clarion.settings"):
        write(pages, after=DESK.replace("owner: anna", "owner: eve"))
        wrong = [pages.get(path).status for path in ("/i/sales", "/f/offers", "/i/sales")]
    told = [record.getMessage() for record in caplog.records if record.name == "clarion.settings"]
    write(pages, ("owner: eve", "owner: anna"))

    assert [404, 200, 404] == wrong
    assert [True] == ["'eve' is no entry of staff" in message for message in told]
    assert 200 == pages.get("/i/sales").status


def test_settings_are_not_looked_at_with_each_request(pages, monkeypatch):
    """
    Between two looks requests cost nothing more.
    """
    monkeypatch.setattr("web.renewing._EVERY_S", 3600.0)
    assert 404 == pages.get("/i/sales").status
    write(pages, after=DESK)

    assert [404] * 3 == [pages.get("/i/sales").status for _ in range(3)]


def test_certificates_stay_when_settings_change(make_workspace, database, clock):
    """
    Amazon is asked for its certificate once, and who may report goes by the new settings.
    """
    amazon, other = Amazon(), f"{TOPIC}-too"
    settings = MINIMAL_SETTINGS + f'webhooks: {{{{ses: {{{{topics: ["{TOPIC}"]}}}}}}}}\n'
    workspace = make_workspace(database=database, settings=settings)
    site = Site.of(workspace, database, clock)
    site.hooks.certificates.fetch = amazon.fetch
    site.hooks.read("ses", ses(ses_bounce()).arrived())
    file = workspace.root / "clarion.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace(TOPIC, other), encoding="utf-8")
    renewed = site.renewed(Workspace(workspace.root))

    (bounce,) = renewed.hooks.read("ses", ses(ses_bounce(), TopicArn=other).arrived()).feedbacks
    assert "reader@customers.example" == bounce.address
    assert [CERTIFICATE_URL] == amazon.asked
    with pytest.raises(NotGenuine, match="not a topic of ours"):
        renewed.hooks.read("ses", ses(ses_bounce()).arrived())
