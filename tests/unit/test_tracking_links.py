"""The links of a message, and where links may lead."""

import pytest

from core.errors import RenderError
from tracking.links import MAX_URL, TrackedUrls, redirect_target
from tracking.tokens import Purpose, Signer, Token

SIGNER = Signer(b"0123456789abcdef0123456789abcdef")
URLS = TrackedUrls("https://news.example", SIGNER, 4711)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "http://shop.example:8080/a/b;c=1?q=a%20b&r=%C3%A4+x#part-2",
        "https://shop.example/?q=[1]{2}|^~`'\"<>!$&()*,",
        "https://shop.example/%zz//../.",
        "HTTPS://Shop.Example/MiXed",
    ],
)
def test_target_is_followed_exactly(url: str) -> None:
    """
    Fragment, encoded query, case and oddities arrive as they were written.
    """
    assert url == redirect_target(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://shop.example/ä b", "https://shop.example/%C3%A4%20b"),
        (
            "https://exämple.example:81/纸?q=ü#ö",
            "https://xn--exmple-cua.example:81/%E7%BA%B8?q=%C3%BC#%C3%B6",
        ),
    ],
)
def test_target_outside_ascii_is_encoded(url: str, expected: str) -> None:
    """
    A Location header holds ASCII: the host becomes its A-label, the rest is percent-encoded.
    """
    assert expected == redirect_target(url)


@pytest.mark.parametrize(
    "url",
    [
        "", "shop.example", "//shop.example", "/path", "javascript:alert(1)", "data:text/html,x",
        "mailto:a@b.example", "ftp://shop.example", "https://", "https:///path", "https://user@shop.example",
        "https://a:b@shop.example/", "https://shop.example\\@evil.example",
        "https://shop.example/\r\nSet-Cookie: a=b", "https://shop.example/\x00",
        "https://shop.example/\u2028", "https://[::1", "https://" + "ä" * 80 + ".example/",
        "java\tscript:alert(1)",
    ],
)  # fmt: skip
def test_unsafe_target_is_refused(url: str) -> None:
    """
    Other schemes, hidden hosts and control characters lead nowhere.
    """
    assert redirect_target(url) is None


def test_links_carry_tokens_of_their_purpose() -> None:
    """
    Every link verifies for its own purpose and names the message.
    """
    token = Token(4711)
    found = [
        SIGNER.verify(Purpose.UNSUBSCRIBE, URLS.unsubscribe.removeprefix("https://news.example/u/")),
        SIGNER.verify(Purpose.VIEW, URLS.view.removeprefix("https://news.example/v/")),
        SIGNER.verify(Purpose.OPEN, str(URLS.pixel).removeprefix("https://news.example/o/").removesuffix(".gif")),
    ]

    assert [token, token, token] == found


def test_without_opens_there_is_no_pixel() -> None:
    """
    Opens are switched off by the pixel's absence.
    """
    assert TrackedUrls("https://news.example", SIGNER, 4711, opens=False).pixel is None


def test_click_carries_position_or_target() -> None:
    """
    A static link is known by its position, a personalised one by its target.
    """
    fixed = URLS.click(7, "https://shop.example/").removeprefix("https://news.example/c/")
    own = URLS.click(None, "https://shop.example/?c=42").removeprefix("https://news.example/c/")

    assert Token(4711, 7) == SIGNER.verify(Purpose.CLICK, fixed)
    assert Token(4711, 0, "https://shop.example/?c=42") == SIGNER.verify(Purpose.CLICK, own)


def test_click_stays_within_the_length_mail_readers_take() -> None:
    """
    A personalised target that would make too long a link is left as it is.
    """
    links = [URLS.click(None, "https://shop.example/" + "x" * size) for size in range(250, 400)]

    assert any(link.startswith("https://news.example/c/") for link in links)
    assert all(len(link) <= MAX_URL for link in links)
    assert links[-1] == "https://shop.example/" + "x" * 399


def test_click_to_an_unsafe_target_fails_the_message() -> None:
    """
    A personalised link that is no web address is a mistake in one message, not a dead link in it.
    """
    with pytest.raises(RenderError, match="expected an http or https address"):
        URLS.click(None, "javascript:alert(1)")
