"""Replies and features: what servers say, and what is not a reply."""

import pytest

from delivery.smtp.features import Features
from delivery.smtp.messages import OutcomeState
from delivery.smtp.replies import GarbledReply, Reply, ReplyParser


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"250 ok\r\n", [Reply(250, (b"ok",))]),
        (b"250\r\n", [Reply(250, (b"",))]),
        (b"250 ok\n", [Reply(250, (b"ok",))]),
        (b"250-a\r\n250-b\r\n250 c\r\n", [Reply(250, (b"a", b"b", b"c"))]),
        (b"250-a\r\n250\r\n", [Reply(250, (b"a", b""))]),
        (b"250 a\r\n354 b\r\n421 c", [Reply(250, (b"a",)), Reply(354, (b"b",))]),
        (b"", []),
    ],
)
def test_replies_are_cut_at_their_last_line(octets: bytes, expected: list[Reply]) -> None:
    """
    A reply ends with the line that has no hyphen; what is not complete stays.
    """
    assert expected == list(ReplyParser().feed(octets))


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n", b"25\r\n", b"2500 a\r\n", b"199 a\r\n", b"600 a\r\n", b"250_a\r\n", b"\r\n",
        b"\xff\xfe\xfd a\r\n",
        b"250-a\r\n251 b\r\n", b"250 " + b"x" * 3000 + b"\r\n", b"x" * 3000, b"250-a\r\n" * 300, b"\xb2\xb5\xb0 a\r\n",
    ],
)  # fmt: skip
def test_what_is_no_reply_is_garbled(octets: bytes) -> None:
    """
    Words, wrong codes, mixed codes, endless lines and endless replies are refused.
    """
    with pytest.raises(GarbledReply):
        list(ReplyParser().feed(octets))


def test_replies_before_a_garbled_one_count() -> None:
    """
    What came in good order is given out before the error is raised.
    """
    replies = ReplyParser().feed(b"250 a\r\n250 b\r\nnonsense\r\n")

    assert [Reply(250, (b"a",)), Reply(250, (b"b",))] == [next(replies), next(replies)]
    with pytest.raises(GarbledReply):
        next(replies)


@pytest.mark.parametrize(
    ("text", "enhanced"),
    [(b"5.1.1 no", "5.1.1"), (b"5.7.515", "5.7.515"), (b"4.2.2", "4.2.2"), (b"no 5.1.1", None), (b"3.1.1 x", None),
     (b"5.1.1x", None), (b"", None)],
)  # fmt: skip
def test_enhanced_code_stands_first(text: bytes, enhanced: str | None) -> None:
    """
    An enhanced status code counts where RFC 2034 puts it, at the beginning of the text.
    """
    assert enhanced == Reply(550, (text,)).outcome(OutcomeState.FAILED).enhanced


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((b"host",), Features()),
        ((b"host", b"PIPELINING", b"8bitmime", b"SMTPUTF8", b"STARTTLS"),
         Features(pipelining=True, eight_bit=True, smtputf8=True, starttls=True)),
        ((b"host", b"SIZE"), Features(size=True)),
        ((b"host", b"SIZE 0"), Features(size=True)),
        ((b"host", b"SIZE 1000"), Features(size=True, largest=1000)),
        ((b"host", b"SIZE many"), Features(size=True)),
        ((b"host", b"AUTH PLAIN", b"AUTH=PLAIN LOGIN"), Features(auth=frozenset({"PLAIN", "LOGIN"}))),
        ((b"PIPELINING", b""), Features()),
    ],
)  # fmt: skip
def test_features_are_those_of_the_reply(lines: tuple[bytes, ...], expected: Features) -> None:
    """
    Keywords count in any case, unknown ones are passed over, the first line is the server's name.
    """
    assert expected == Features.of(Reply(250, lines))
