"""Images that travel inside a mail, seen in a real browser: on the page of a message, and as a picture of a preview."""

import struct
import zlib

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from cli import clarion
from core import schema
from tests.acceptance.test_templates_browser import rows_of
from tests.acceptance.test_web_browser import browser, run
from tests.campaign_files import FILES
from tests.factories import make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.serving import served
from tracking.links import TrackedUrls
from tracking.tokens import Signer
from web.app import create_app

pytestmark = pytest.mark.browser

__all__ = ["browser"]  # a fixture
TEMPLATE = """\
---
subject: Paper
---
<html><body style="margin:0"><img src="images/chess.png" alt="Chess" width="600" height="600"></body></html>
"""


def png_of(rows):
    """Rows of bits, each a pixel in black or white, as a PNG."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 8, len(rows), 1, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes([row]) for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture
def office(make_workspace, database):
    with database.begin() as connection:
        make_customer(connection, external_id="ann", consents=("promotions",))
    workspace = make_workspace(database=database, files=FILES | {"templates/spring-paper.html": TEMPLATE})
    (workspace.root / "templates/images").mkdir()
    (workspace.root / "templates/images/chess.png").write_bytes(png_of([0b10101010, 0b01010101] * 4))
    return workspace


def test_the_page_of_a_message_may_show_its_images(office, database, clock, browser, tmp_path):
    """
    The sandbox of view-in-browser lets the images inside the page through: the browser reports no violation.
    """
    apply_of(office, database, clock, plan_of(office, database, clock))
    with database.begin() as connection:
        message_id = connection.execute(select(schema.message.c.id)).scalar_one()
    with served(create_app(office, database, clock)) as base_url:
        url = TrackedUrls(base_url, Signer(office.secret), message_id).view
        done = run(browser, tmp_path, url, "--dump-dom")

    assert 'src="data:image/png;base64,' in done.stdout
    assert "Content Security Policy" not in done.stderr


def test_the_picture_of_a_preview_shows_the_image(office, tmp_path):
    """
    `preview --png` draws the chessboard: with an image that cannot be drawn the rows would not differ so.
    """

    def drawn(name):
        done = CliRunner().invoke(
            clarion, ["-w", str(office.root), "preview", "spring-paper", "--as", "ann", "--png", str(tmp_path / name)]
        )
        assert 0 == done.exit_code, done.output
        return rows_of((tmp_path / name).read_bytes())[2]

    chess = drawn("chess.png")
    (office.root / "templates/images/chess.png").write_bytes(png_of([0xFF] * 8))

    assert chess != drawn("white.png")
