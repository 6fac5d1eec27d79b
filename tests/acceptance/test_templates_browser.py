"""A mailing drawn by a real browser."""

import struct
import zlib
from pathlib import Path

import pytest

from templates.preview import preview_html, write_png
from tests.unit.templates_support import compiled, context_of

pytestmark = pytest.mark.browser

MAILING = """\
---
subject: Spring
preheader: Only this week
---
<mj-section>
<mj-column>
<mj-text font-size="32px">Good morning {{ customer.first_name }}</mj-text>
<mj-button href="https://shop.example/">See the offer</mj-button>
</mj-column>
</mj-section>
"""


def rows_of(picture: bytes) -> tuple[int, int, set[bytes]]:
    """Width, height and the distinct rows of a PNG, as it stores them."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    position, packed = 8, b""
    while position < len(picture):
        (length,) = struct.unpack(">I", picture[position : position + 4])
        if picture[position + 4 : position + 8] == b"IDAT":
            packed += picture[position + 8 : position + 8 + length]
        position += 12 + length
    pixels = zlib.decompress(packed)
    size = len(pixels) // height
    return width, height, {pixels[start : start + size] for start in range(0, len(pixels), size)}


def test_mailing_is_drawn(tmp_path: Path) -> None:
    """The picture of a mailing has the size asked for, and many rows that differ: text and a button are on it."""
    write_png(preview_html(compiled({"a.mjml": MAILING}), context_of()), tmp_path / "a.png", width=640, height=480)
    width, height, rows = rows_of((tmp_path / "a.png").read_bytes())

    assert (640, 480) == (width, height)
    assert len(rows) > 40
